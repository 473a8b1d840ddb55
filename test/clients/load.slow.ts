/** Groups under load: the broker is killed and comes back, members come and go, many topics, consumers that are slower than their producers. Nothing acknowledged is lost, whoever asks. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Consumer, MessagesStreamModes } from '@platformatic/kafka'
import { eventually } from '../support/broker.ts'
import { allClients, clients, kafkajs, kafkajsGroup, numbered, platformatic, platformaticGroup, texts, unique } from './support/client.ts'
import type { Member, NodeClient } from './support/client.ts'
import { createTopic, endOffsets, sharedBroker } from './support/setup.ts'

const broker = sharedBroker()

interface Load {
  readonly acknowledged: readonly string[]
  progress(): Promise<void>
  stop(): Promise<void>
}

/** An idempotent producer that never stops sending. */
async function load(client: NodeClient, topic: string, partitions: number): Promise<Load> {
  const sender = await client.sender(broker.address(), { idempotent: true })
  const acknowledged: string[] = []
  let sending = true
  const work = (async () => {
    for (let round = 0; sending; round++) {
      const messages = numbered(String(round), 5, () => ({ partition: round % partitions }))
      await sender.send(topic, messages)
      acknowledged.push(...messages.map(({ value }) => String(value)))
    }
  })()
  return {
    acknowledged,
    async progress() {
      const reached = acknowledged.length + 100
      await eventually('progress', () => acknowledged.length >= reached, 60_000)
    },
    async stop() {
      sending = false
      await work
      await sender.close()
    },
  }
}

function missing(acknowledged: readonly string[], members: readonly Member[]): string[] {
  const read = new Set(members.flatMap(({ seen }) => texts(seen)))
  return acknowledged.filter((value) => !read.has(value))
}

for (const client of allClients) {
  describe(client.name, () => {
    test('the broker is killed under load: producer and member go on, nothing acknowledged is missing, nothing is in the log twice', async () => {
      const topic = unique('killed')
      await createTopic(broker.address(), topic, 2)
      const producing = await load(client, topic, 2)
      const member = await client.join(broker.address(), topic, { groupId: unique('killed') })
      for (let round = 0; round < 2; round++) {
        await producing.progress()
        await broker.crash()
      }
      await producing.progress()
      await producing.stop()
      await eventually('all of it', () => missing(producing.acknowledged, [member]).length === 0, 60_000)
      await member.stop()
      const [a = 0, b = 0] = await endOffsets(broker.address(), topic)
      assert.equal(a + b, producing.acknowledged.length)
    })

    test('members come and go under load: every message is read by one of them', async () => {
      const topic = unique('churn')
      const groupId = unique('churn')
      await createTopic(broker.address(), topic, 4)
      const producing = await load(clients[0]!, topic, 4)
      const members: Member[] = []
      let running: Member[] = []
      for (let round = 0; round < 4; round++) {
        const member = await client.join(broker.address(), topic, { groupId })
        members.push(member)
        running.push(member)
        await producing.progress()
        if (running.length > 2) {
          await running[0]!.stop()
          running = running.slice(1)
        }
      }
      await producing.stop()
      await eventually('all of it', () => missing(producing.acknowledged, members).length === 0, 60_000)
      for (const member of running) await member.stop()
    })
  })
}

test('a hundred topics in one subscription are all read', async () => {
  const prefix = unique('many')
  const admin = kafkajs(broker.address()).admin()
  await admin.connect()
  await admin.createTopics({ topics: Array.from({ length: 100 }, (_, n) => ({ topic: `${prefix}-${n}`, numPartitions: 2 })) })
  await admin.disconnect()
  const producer = kafkajs(broker.address()).producer()
  await producer.connect()
  await producer.sendBatch({ topicMessages: Array.from({ length: 100 }, (_, n) => ({ topic: `${prefix}-${n}`, messages: [{ value: String(n) }, { value: String(n) }] })) })
  await producer.disconnect()
  const consumer = kafkajs(broker.address()).consumer({ groupId: unique('many'), ...kafkajsGroup })
  const read: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topics: [new RegExp(`^${prefix}`)], fromBeginning: true })
  await consumer.run({ eachMessage: ({ message }) => Promise.resolve(void read.push(String(message.value))) })
  await eventually('all', () => read.length === 200)
  await consumer.disconnect()
  assert.equal(new Set(read).size, 100)
})

test('#228 #260 a batch consumer that is slower than its producer keeps making progress, with a bounded queue', async () => {
  const topic = unique('slow')
  await createTopic(broker.address(), topic)
  const sender = await clients[1]!.sender(broker.address())
  for (let batch = 0; batch < 20; batch++) await sender.send(topic, numbered(String(batch), 100, () => ({ key: 'x'.repeat(100) })))
  await sender.close()
  const consumer = new Consumer({ ...platformatic(broker.address()), ...platformaticGroup, groupId: unique('slow'), highWaterMark: 64 })
  const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false, maxWaitTime: 100, maxBytes: 20_000 })
  let read = 0
  let queued = 0
  for await (const message of stream) {
    queued = Math.max(queued, stream.readableLength)
    if (++read % 50 === 0) {
      await message.commit()
      await new Promise((done) => setTimeout(done, 10))
    }
    if (read === 2000) break
  }
  await consumer.close(true)
  assert.ok(queued < 1500, `${queued} messages were queued`)
})
