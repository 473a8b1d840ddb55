/**
 * Consumers of @platformatic/kafka with the consumer protocol (KIP-848) against a broker in a child process: members share a topic, one goes
 * and the other takes over, the broker is killed and nobody notices.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Admin, Consumer, MessagesStreamModes, ProduceAcks, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'

const fast = [
  '--group-initial-rebalance-delay-ms',
  '0',
  '--lane-checkpoint-interval-ms',
  '200',
  '--group-consumer-min-heartbeat-interval-ms',
  '200',
  '--group-consumer-heartbeat-interval-ms',
  '200',
  '--group-consumer-min-session-timeout-ms',
  '6000',
  '--group-consumer-session-timeout-ms',
  '6000',
]
const COUNT = 400

interface Client {
  readonly bootstrapBrokers: string[]
  readonly clientId: string
  readonly retries: number
  readonly retryDelay: number
}

function client(broker: TestBroker): Client {
  return { clientId: 'platformatic', bootstrapBrokers: [broker.address], retries: 20, retryDelay: 100 }
}

async function produce(broker: TestBroker, topic: string, from: number): Promise<void> {
  const producer = new Producer({ ...client(broker), serializers: stringSerializers })
  const messages = Array.from({ length: COUNT }, (_, i) => ({ topic, key: `k${i}`, value: `v${from + i}` }))
  await producer.send({ acks: ProduceAcks.ALL, messages })
  await producer.close()
}

interface Running {
  readonly values: Set<string>
  stop(): Promise<void>
}

async function consume(broker: TestBroker, topic: string, groupId: string, groupProtocol: 'classic' | 'consumer' = 'consumer'): Promise<Running> {
  const protocol = groupProtocol === 'consumer' ? { groupProtocol } : { groupProtocol, heartbeatInterval: 300, sessionTimeout: 10_000, rebalanceTimeout: 10_000 }
  const consumer = new Consumer({ ...client(broker), groupId, ...protocol, deserializers: stringDeserializers })
  const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest', autocommit: true, maxWaitTime: 100 })
  const values = new Set<string>()
  const reading = (async () => {
    for await (const message of stream) values.add(message.value)
  })()
  return {
    values,
    async stop() {
      await stream.close()
      await reading
      await consumer.close(true)
    },
  }
}

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await done())) {
    assert.ok(Date.now() < deadline, what)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('@platformatic/kafka with the consumer protocol', { timeout: 120_000 }, () => {
  let broker: TestBroker
  let store: string
  before(async () => {
    store = await freshStore()
    broker = await startTestBroker({ store, args: fast })
  })
  after(async () => {
    assert.equal(await broker.stop(), 0)
    await removeStore(store)
  })

  test('two members share a topic; when one goes, the other has it all', async () => {
    const admin = new Admin(client(broker))
    await admin.createTopics({ topics: ['shared'], partitions: 4, replicas: 1 })
    const one = await consume(broker, 'shared', 'sharing')
    const two = await consume(broker, 'shared', 'sharing')
    const groups = await admin.listGroups({ types: ['consumer'] })
    assert.deepEqual([...groups.keys()], ['sharing'])
    // Give both the time to have their shares, so that both read.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await produce(broker, 'shared', 0)
    await until('everything is read', () => one.values.size + two.values.size >= COUNT)
    assert.ok(one.values.size > 0 && two.values.size > 0, `${one.values.size} and ${two.values.size}: both read`)
    assert.equal(one.values.size + two.values.size, COUNT, 'nothing is read twice')
    const readBefore = one.values.size
    await two.stop()
    await produce(broker, 'shared', COUNT)
    await until('the other one has everything', () => one.values.size === readBefore + COUNT)
    await one.stop()
    await admin.close()
  })

  test('a broker that is killed and comes back finds its members', async () => {
    const admin = new Admin(client(broker))
    await admin.createTopics({ topics: ['lasting'], partitions: 2, replicas: 1 })
    await produce(broker, 'lasting', 0)
    const one = await consume(broker, 'lasting', 'stable')
    await until('everything is read', () => one.values.size === COUNT)
    const port = Number(broker.address.split(':')[1])
    await broker.kill()
    broker = await startTestBroker({ store, port, args: fast })
    await produce(broker, 'lasting', COUNT)
    await until('the group goes on', () => one.values.size === 2 * COUNT)
    await one.stop()
    await admin.close()
  })

  test('a group goes over from the classic protocol to the consumer protocol and back while it reads', async () => {
    const admin = new Admin(client(broker))
    await admin.createTopics({ topics: ['moving'], partitions: 4, replicas: 1 })
    const type = async (): Promise<string> => {
      const consumer = await admin.listGroups({ types: ['consumer'], states: ['STABLE'] })
      const classic = await admin.listGroups({ types: ['classic'], states: ['STABLE'] })
      return consumer.has('moving') ? 'consumer' : classic.has('moving') ? 'classic' : 'none'
    }
    const classic = await consume(broker, 'moving', 'moving', 'classic')
    await until('the group is a classic one', async () => (await type()) === 'classic')
    await produce(broker, 'moving', 0)
    await until('the classic member reads', () => classic.values.size === COUNT)

    const modern = await consume(broker, 'moving', 'moving')
    await until('the group is a consumer group', async () => (await type()) === 'consumer')
    await produce(broker, 'moving', COUNT)
    await until('both have everything', () => new Set([...classic.values, ...modern.values]).size === 2 * COUNT)
    assert.ok(modern.values.size > 0 && modern.values.size < COUNT, `${modern.values.size} of ${COUNT}: both read`)

    await modern.stop()
    await until('the group is a classic one again', async () => (await type()) === 'classic')
    await produce(broker, 'moving', 2 * COUNT)
    await until('the classic member has the rest', () => new Set([...classic.values, ...modern.values]).size === 3 * COUNT)
    await classic.stop()
    await admin.close()
  })
})
