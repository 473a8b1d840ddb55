/** @platformatic/kafka against a broker in a child process: a second, unrelated client with newer protocol versions (topic ids, KIP-848-era encodings). */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Admin, Consumer, MessagesStreamModes, ProduceAcks, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'

const fast = ['--group-initial-rebalance-delay-ms', '0', '--table-flush-interval-ms', '100', '--lane-checkpoint-interval-ms', '200']

function options(broker: TestBroker): { clientId: string; bootstrapBrokers: string[]; retries: number; retryDelay: number } {
  return { clientId: 'platformatic', bootstrapBrokers: [broker.address], retries: 100, retryDelay: 100 }
}

async function produce(broker: TestBroker, topic: string, values: readonly string[], compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'): Promise<void> {
  const producer = new Producer({ ...options(broker), serializers: stringSerializers, autocreateTopics: true })
  for (let i = 0; i < values.length; i += 100) {
    await producer.send({
      acks: ProduceAcks.ALL,
      compression,
      messages: values.slice(i, i + 100).map((value) => ({ topic, key: 'k', value, headers: new Map([['h', value]]) })),
    })
  }
  await producer.close()
}

async function consume(broker: TestBroker, topic: string, count: number): Promise<string[]> {
  const consumer = new Consumer({ ...options(broker), groupId: `g-${topic}-${Math.random()}`, deserializers: stringDeserializers })
  const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: true, maxWaitTime: 100 })
  const values: string[] = []
  for await (const message of stream) {
    values.push(message.value)
    assert.equal(message.headers.get('h'), message.value)
    if (values.length === count) break
  }
  await stream.close()
  await consumer.close(true)
  return values
}

describe('@platformatic/kafka', () => {
  let broker: TestBroker
  before(async () => {
    broker = await startTestBroker({ args: fast })
  })
  after(async () => {
    assert.equal(await broker.stop(), 0)
    await removeStore(broker.store)
  })

  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
    test(`${compression}: what is produced is consumed, in order`, async () => {
      const values = Array.from({ length: 1000 }, (_, n) => `${compression}-${n}`)
      await produce(broker, `codec-${compression}`, values, compression)
      assert.deepEqual(await consume(broker, `codec-${compression}`, values.length), values)
    })
  }

  test('admin: topics and groups', async () => {
    const admin = new Admin(options(broker))
    const created = await admin.createTopics({ topics: ['made'], partitions: 2, replicas: 1 })
    assert.equal(created[0]!.partitions, 2)
    assert.ok((await admin.listTopics()).includes('made'))
    const groups = await admin.listGroups()
    assert.ok([...groups.keys()].some((id) => id.startsWith('g-codec-none')))
    await admin.deleteTopics({ topics: ['made'] })
    assert.ok(!(await admin.listTopics()).includes('made'))
    await admin.close()
  })
})

test('kill -9 between producing and consuming: the table and the lanes together have everything', async () => {
  const store = await freshStore()
  let broker = await startTestBroker({ store, args: [...fast, '--table-flush-interval-ms', '3000'] })
  const values = Array.from({ length: 3000 }, (_, n) => `v${n}`)
  await produce(broker, 'mixed', values.slice(0, 1500), 'lz4')
  await broker.kill()
  broker = await startTestBroker({ store, args: fast })
  await produce(broker, 'mixed', values.slice(1500), 'zstd')
  await broker.kill()
  broker = await startTestBroker({ store, args: fast })
  assert.deepEqual(await consume(broker, 'mixed', values.length), values)
  assert.equal(await broker.stop(), 0)
  await removeStore(store)
})
