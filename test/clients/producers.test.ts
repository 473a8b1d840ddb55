/** Producers: acknowledgements, idempotence when answers are lost, and topics that change while they are written to. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Producer, ProduceAcks } from '@platformatic/kafka'
import { eventually, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { clients, kafkajs, numbered, platformatic, texts, unique } from './support/client.ts'
import { Proxy } from './support/proxy.ts'
import { createTopic, endOffsets, fast, sharedBroker } from './support/setup.ts'

const PRODUCE = 0
const broker = sharedBroker()

async function valuesOf(address: string, topic: string, count: number): Promise<(string | null)[]> {
  const member = await clients[0]!.join(address, topic, { groupId: unique('values') })
  await eventually(`${count} messages`, () => member.seen.length >= count)
  await member.stop()
  return texts(member.seen)
}

for (const client of clients) {
  describe(client.name, () => {
    for (const acks of [0, 1, -1] as const) {
      test(`acks ${acks}: everything arrives, in order`, async () => {
        const topic = unique('acks')
        await createTopic(broker.address(), topic)
        const sender = await client.sender(broker.address(), { acks })
        for (let i = 0; i < 20; i++) await sender.send(topic, numbered(String(i), 5))
        await eventually('all', async () => (await endOffsets(broker.address(), topic))[0] === 100)
        await sender.close()
        assert.deepEqual(await valuesOf(broker.address(), topic, 100), Array.from({ length: 100 }, (_, n) => `${Math.floor(n / 5)}-${n % 5}`))
      })
    }

    test('an idempotent producer that sends from many places at once: each message once', async () => {
      const topic = unique('concurrent')
      await createTopic(broker.address(), topic, 2)
      const sender = await client.sender(broker.address(), { idempotent: true })
      await sender.send(topic, [{ partition: 0, value: 'first' }])
      await Promise.all(Array.from({ length: 40 }, (_, n) => sender.send(topic, [{ partition: n % 2, value: `c-${n}` }])))
      await sender.close()
      const values = await valuesOf(broker.address(), topic, 41)
      assert.equal(new Set(values).size, 41)
      assert.deepEqual((await endOffsets(broker.address(), topic)).toSorted((a, b) => a - b), [20, 21])
    })

    test('partitions that are added are written to by the producer that runs', async () => {
      const topic = unique('growing')
      await createTopic(broker.address(), topic)
      const sender = await client.sender(broker.address())
      await sender.send(topic, [{ partition: 0, value: 'old' }])
      const admin = kafkajs(broker.address()).admin()
      await admin.connect()
      await admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] })
      await admin.disconnect()
      // Each of its clients learns of it when its metadata is refreshed.
      const fresh = await client.sender(broker.address())
      await fresh.send(topic, [{ partition: 1, value: 'new' }])
      await sender.send(topic, [{ partition: 0, value: 'still' }])
      await fresh.close()
      await sender.close()
      assert.deepEqual(await endOffsets(broker.address(), topic), [2, 1])
    })

    test('stale metadata: a topic that is deleted and made again under a running producer takes its messages', async () => {
      const topic = unique('again')
      await createTopic(broker.address(), topic)
      const sender = await client.sender(broker.address())
      await sender.send(topic, numbered('old', 3, () => ({ partition: 0 })))
      const admin = kafkajs(broker.address()).admin()
      await admin.connect()
      await admin.deleteTopics({ topics: [topic] })
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
      await admin.disconnect()
      await sender.send(topic, numbered('new', 2, () => ({ partition: 0 })))
      await sender.close()
      assert.deepEqual(await valuesOf(broker.address(), topic, 2), ['new-0', 'new-1'])
      assert.deepEqual(await endOffsets(broker.address(), topic), [2])
    })
  })
}

describe('behind a network that loses answers', () => {
  let proxy: Proxy
  let behind: TestBroker
  before(async () => {
    proxy = await Proxy.start()
    behind = await startTestBroker({ args: [...fast, '--advertise', proxy.address] })
    proxy.forwardTo(behind.address)
  })
  after(async () => {
    assert.equal(await behind.stop(), 0)
    await proxy.close()
    await removeStore(behind.store)
  })

  for (const client of clients) {
    test(`${client.name}: an idempotent producer whose answer is lost sends again, and the message is there once`, async () => {
      const topic = unique('lost')
      await createTopic(proxy.address, topic)
      const sender = await client.sender(proxy.address, { idempotent: true })
      await sender.send(topic, [{ partition: 0, value: '0' }])
      for (let i = 1; i <= 5; i++) {
        const lost = proxy.lost
        proxy.loseAnswerTo(PRODUCE)
        await sender.send(topic, [{ partition: 0, value: String(i) }])
        assert.equal(proxy.lost, lost + 1)
      }
      await sender.close()
      assert.deepEqual(await endOffsets(proxy.address, topic), [6])
      assert.deepEqual(await valuesOf(proxy.address, topic, 6), ['0', '1', '2', '3', '4', '5'])
    })

    test(`${client.name}: #206 connections that are reset while it reads leave no gap and give nothing twice`, async () => {
      const topic = unique('reset')
      await createTopic(proxy.address, topic)
      const sender = await client.sender(behind.address)
      const member = await client.join(proxy.address, topic, { groupId: unique('reset') })
      for (let round = 0; round < 3; round++) {
        await sender.send(topic, numbered(String(round), 20))
        await eventually('some', () => member.seen.length > round * 20)
        proxy.reset()
      }
      await sender.close()
      await eventually('all', () => member.seen.length >= 60)
      await member.stop()
      const offsets = member.seen.map(({ offset }) => offset)
      assert.deepEqual([...new Set(offsets)].toSorted((a, b) => a - b), Array.from({ length: 60 }, (_, n) => n))
    })
  }
})

describe('@platformatic/kafka', () => {
  test('a producer stream with acks 0 and back-pressure loses nothing', async () => {
    const topic = unique('stream')
    await createTopic(broker.address(), topic)
    const producer = new Producer({ ...platformatic(broker.address()) })
    const stream = producer.asStream({ acks: ProduceAcks.NO_RESPONSE, batchSize: 25, batchTime: 10, highWaterMark: 10 })
    for (let n = 0; n < 500; n++) {
      if (!stream.write({ topic, partition: 0, value: Buffer.from(String(n)) })) await new Promise((done) => stream.once('drain', done))
    }
    await stream.close()
    await eventually('all', async () => (await endOffsets(broker.address(), topic))[0] === 500)
    await producer.close()
    assert.deepEqual(await valuesOf(broker.address(), topic, 500), Array.from({ length: 500 }, (_, n) => String(n)))
  })
})
