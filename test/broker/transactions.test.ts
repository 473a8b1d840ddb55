/** Transactions with kafkajs against a broker in a child process: what is committed is seen, what is aborted is not, zombies get nowhere. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import type { Producer } from 'kafkajs'
import { eventually, freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1'
const fast = [
  '--group-initial-rebalance-delay-ms', '0',
  '--table-flush-interval-ms', '100',
  '--lane-checkpoint-interval-ms', '200',
  '--transaction-abort-timed-out-transaction-cleanup-interval-ms', '200',
]

function client(broker: TestBroker): Kafka {
  return new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING, retry: { retries: 100, initialRetryTime: 50, maxRetryTime: 500 } })
}

async function transactional(kafka: Kafka, transactionalId: string, options: { readonly timeoutMs?: number; readonly retries?: number } = {}): Promise<Producer> {
  const producer = kafka.producer({
    transactionalId,
    idempotent: true,
    maxInFlightRequests: 1,
    ...(options.timeoutMs === undefined ? {} : { transactionTimeout: options.timeoutMs }),
    retry: { retries: options.retries ?? 100, initialRetryTime: 50, maxRetryTime: 500 },
  })
  await producer.connect()
  return producer
}

/** All values that a reader of committed (or all) records sees before one that says `end`, by partition. */
async function read(kafka: Kafka, topic: string, readUncommitted = false): Promise<string[]> {
  const marker = kafka.producer()
  await marker.connect()
  await marker.send({ topic, messages: [{ partition: 0, value: 'end' }, { partition: 1, value: 'end' }] })
  await marker.disconnect()
  const consumer = kafka.consumer({ groupId: `g-${Math.random()}`, maxWaitTimeInMs: 100, readUncommitted })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const seen: string[][] = [[], []]
  await consumer.run({
    eachMessage: ({ partition, message }) => {
      seen[partition]!.push(String(message.value))
      return Promise.resolve()
    },
  })
  await eventually(`the end of ${topic} (${JSON.stringify(seen)})`, () => seen.every((values) => values.at(-1) === 'end'))
  await consumer.disconnect()
  return seen.flat().filter((value) => value !== 'end')
}

async function createTopic(kafka: Kafka, topic: string): Promise<void> {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] })
  await admin.disconnect()
}

async function offsetOf(kafka: Kafka, groupId: string, topic: string): Promise<string | undefined> {
  const admin = kafka.admin()
  await admin.connect()
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] })
  await admin.disconnect()
  return offsets?.partitions.find(({ partition }) => partition === 0)?.offset
}

describe('transactions of kafkajs', () => {
  let broker: TestBroker
  before(async () => {
    broker = await startTestBroker({ args: fast })
  })
  after(async () => {
    assert.equal(await broker.stop(), 0)
    await removeStore(broker.store)
  })

  test('what is committed is seen, what is aborted is not, one after the other by the same producer', async () => {
    const kafka = client(broker)
    await createTopic(kafka, 'ends')
    const producer = await transactional(kafka, 'ends')
    const expected: string[] = []
    for (let i = 0; i < 6; i++) {
      const transaction = await producer.transaction()
      for (const partition of [0, 1]) await transaction.send({ topic: 'ends', messages: [{ partition, value: `${i}-${partition}` }] })
      if (i % 2 === 0) {
        await transaction.commit()
        expected.push(`${i}-0`, `${i}-1`)
      } else {
        await transaction.abort()
      }
    }
    await producer.disconnect()
    assert.deepEqual((await read(kafka, 'ends')).sort(), expected.sort())
    assert.equal((await read(kafka, 'ends', true)).length, 12)
  })

  test('offsets count with the commit, and are forgotten with the abort', async () => {
    const kafka = client(broker)
    await createTopic(kafka, 'input')
    await createTopic(kafka, 'output')
    const producer = await transactional(kafka, 'offsets')
    const send = async (offset: string, committed: boolean): Promise<void> => {
      const transaction = await producer.transaction()
      await transaction.send({ topic: 'output', messages: [{ partition: 0, value: offset }] })
      await transaction.sendOffsets({ consumerGroupId: 'readers', topics: [{ topic: 'input', partitions: [{ partition: 0, offset }] }] })
      await (committed ? transaction.commit() : transaction.abort())
    }
    await send('5', true)
    assert.equal(await offsetOf(kafka, 'readers', 'input'), '5')
    await send('9', false)
    assert.equal(await offsetOf(kafka, 'readers', 'input'), '5')
    await send('7', true)
    assert.equal(await offsetOf(kafka, 'readers', 'input'), '7')
    await producer.disconnect()
    assert.deepEqual(await read(kafka, 'output'), ['5', '7'])
  })

  test('a producer that was replaced can neither write nor commit, and what it had open is aborted', async () => {
    const kafka = client(broker)
    await createTopic(kafka, 'zombie')
    const old = await transactional(kafka, 'zombie', { retries: 2 })
    const stuck = await old.transaction()
    await stuck.send({ topic: 'zombie', messages: [{ partition: 0, value: 'old' }] })
    const young = await transactional(kafka, 'zombie')
    const transaction = await young.transaction()
    await transaction.send({ topic: 'zombie', messages: [{ partition: 0, value: 'young' }] })
    await assert.rejects(stuck.send({ topic: 'zombie', messages: [{ partition: 0, value: 'late' }] }))
    await assert.rejects(stuck.commit())
    await transaction.commit()
    await young.disconnect()
    await old.disconnect()
    assert.deepEqual(await read(kafka, 'zombie'), ['young'])
  })

  test('a transaction that is open for too long is aborted, so that readers get on', async () => {
    const kafka = client(broker)
    await createTopic(kafka, 'slow')
    const producer = await transactional(kafka, 'slow', { timeoutMs: 1_000, retries: 2 })
    const transaction = await producer.transaction()
    await transaction.send({ topic: 'slow', messages: [{ partition: 0, value: 'too late' }] })
    assert.deepEqual(await read(kafka, 'slow'), [])
    await assert.rejects(transaction.commit())
    await producer.disconnect()
  })
})

test('kill -9 between transactions: what was committed is there, what was open is aborted by the next producer', async () => {
  const store = await freshStore()
  let broker = await startTestBroker({ store, args: fast })
  const kafka = client(broker)
  const port = Number(broker.address.split(':').at(-1))
  await createTopic(kafka, 'killed')
  const producer = await transactional(kafka, 'killed', { retries: 2 })
  const first = await producer.transaction()
  await first.send({ topic: 'killed', messages: [{ partition: 0, value: 'kept' }, { partition: 1, value: 'kept' }] })
  await first.commit()
  const second = await producer.transaction()
  await second.send({ topic: 'killed', messages: [{ partition: 0, value: 'lost' }, { partition: 1, value: 'lost' }] })
  await broker.kill()
  broker = await startTestBroker({ store, port, args: fast })
  const next = await transactional(client(broker), 'killed')
  const third = await next.transaction()
  await third.send({ topic: 'killed', messages: [{ partition: 0, value: 'new' }] })
  await third.commit()
  await next.disconnect()
  assert.deepEqual(await read(client(broker), 'killed'), ['kept', 'new', 'kept'])
  await producer.disconnect().catch(() => {})
  assert.equal(await broker.stop(), 0)
  await removeStore(store)
})

test('kill -9 in the middle: every transaction is there as a whole or not at all, and those that were acknowledged are there', async () => {
  const store = await freshStore()
  let broker = await startTestBroker({ store, args: fast })
  const port = Number(broker.address.split(':').at(-1))
  const kafka = client(broker)
  await createTopic(kafka, 'atomic')
  const acknowledged: string[] = []
  let producing = true
  const work = (async () => {
    let producer: Producer | null = null
    for (let i = 0; producing; i++) {
      try {
        producer ??= await transactional(kafka, 'atomic', { retries: 20 })
        const transaction = await producer.transaction()
        for (const partition of [0, 1]) await transaction.send({ topic: 'atomic', messages: [{ partition, value: String(i) }] })
        await transaction.sendOffsets({ consumerGroupId: 'atomic', topics: [{ topic: 'atomic', partitions: [{ partition: 0, offset: String(i) }] }] })
        await transaction.commit()
        acknowledged.push(String(i))
      } catch {
        // What it had open is aborted by the next one.
        await producer?.disconnect().catch(() => {})
        producer = null
      }
    }
    await producer?.disconnect()
  })()
  for (let round = 0; round < 4; round++) {
    const reached = acknowledged.length + 7
    await eventually('progress', () => acknowledged.length >= reached)
    await broker.kill()
    broker = await startTestBroker({ store, port, args: fast })
  }
  const reached = acknowledged.length + 7
  await eventually('progress after the last crash', () => acknowledged.length >= reached)
  producing = false
  await work
  const seen = await read(kafka, 'atomic')
  const counts = new Map<string, number>()
  for (const value of seen) counts.set(value, (counts.get(value) ?? 0) + 1)
  assert.deepEqual([...counts].filter(([, count]) => count !== 2), [])
  assert.deepEqual(acknowledged.filter((value) => !counts.has(value)), [])
  // The offsets are those of the last transaction that counts.
  assert.equal(await offsetOf(kafka, 'atomic', 'atomic'), String(Math.max(...Array.from(counts.keys(), Number))))
  assert.equal(await broker.stop(), 0)
  await removeStore(store)
})
