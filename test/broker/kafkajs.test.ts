/**
 * The main job with kafkajs against a broker in a child process: produce, consume in a group, kill -9 in the middle, nothing that was
 * acknowledged is lost, and every record is in order and once per partition.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import type { KafkaMessage } from 'kafkajs'
import { eventually, freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1'
const fast = ['--group-initial-rebalance-delay-ms', '0', '--table-flush-interval-ms', '100', '--lane-checkpoint-interval-ms', '200']

function client(broker: TestBroker): Kafka {
  return new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING, retry: { retries: 100, initialRetryTime: 50, maxRetryTime: 500 } })
}

interface Seen {
  readonly partition: number
  readonly message: KafkaMessage
}

async function consume(kafka: Kafka, topic: string, count: number, groupId = `g-${Math.random()}`): Promise<Seen[]> {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const seen: Seen[] = []
  await consumer.run({
    eachMessage: ({ partition, message }) => {
      seen.push({ partition, message })
      return Promise.resolve()
    },
  })
  await eventually(`${count} messages of ${topic} (${seen.length} so far)`, () => seen.length >= count)
  await consumer.disconnect()
  return seen
}

function assertInOrder(seen: readonly Seen[]): void {
  const next = new Map<number, number>()
  for (const { partition, message } of seen) {
    assert.equal(Number(message.offset), next.get(partition) ?? 0, `partition ${partition}`)
    next.set(partition, Number(message.offset) + 1)
  }
}

describe('kafkajs', () => {
  let broker: TestBroker
  before(async () => {
    broker = await startTestBroker({ args: fast })
  })
  after(async () => {
    assert.equal(await broker.stop(), 0)
    await removeStore(broker.store)
  })

  test('keys, values, headers, timestamps and nulls come back as they were sent', async () => {
    const kafka = client(broker)
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({
      topic: 'fidelity',
      messages: [
        { partition: 0, key: 'k', value: 'v', headers: { a: 'b', many: ['1', '2'] }, timestamp: '1700000000000' },
        { partition: 0, key: null, value: 'no key', timestamp: '1' },
        { partition: 0, key: 'tombstone', value: null },
        { partition: 0, key: '', value: '' },
      ],
    })
    await producer.disconnect()
    const seen = (await consume(kafka, 'fidelity', 4)).map(({ message }) => message)
    assert.deepEqual(seen.map(({ key }) => key?.toString() ?? null), ['k', null, 'tombstone', ''])
    assert.deepEqual(seen.map(({ value }) => value?.toString() ?? null), ['v', 'no key', null, ''])
    assert.equal(seen[0]!.timestamp, '1700000000000')
    assert.equal(seen[1]!.timestamp, '1')
    assert.equal(String(seen[0]!.headers?.['a']), 'b')
    assert.deepEqual((seen[0]!.headers!['many'] as Buffer[]).map(String), ['1', '2'])
  })

  test('gzip batches of an idempotent producer, in order', async () => {
    const kafka = client(broker)
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    for (let i = 0; i < 20; i++) {
      await producer.send({
        topic: 'gzip',
        acks: -1,
        compression: CompressionTypes.GZIP,
        messages: Array.from({ length: 50 }, (_, n) => ({ partition: n % 4, value: `${i}-${n}` })),
      })
    }
    await producer.disconnect()
    const seen = await consume(kafka, 'gzip', 1000)
    assert.equal(seen.length, 1000)
    assertInOrder(seen)
  })

  test('committed offsets: a second run of the group continues where the first one stopped', async () => {
    const kafka = client(broker)
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({ topic: 'resume', messages: Array.from({ length: 10 }, (_, n) => ({ partition: 0, value: String(n) })) })
    await consume(kafka, 'resume', 10, 'resume-group')
    await producer.send({ topic: 'resume', messages: [{ partition: 0, value: 'next' }] })
    await producer.disconnect()
    const again = await consume(kafka, 'resume', 1, 'resume-group')
    assert.deepEqual(again.map(({ message }) => message.value?.toString()), ['next'])
  })

  test('admin: create, describe, list offsets by time, delete, create again', async () => {
    const admin = client(broker).admin()
    await admin.connect()
    assert.equal(await admin.createTopics({ topics: [{ topic: 'admin', numPartitions: 3 }] }), true)
    assert.equal(await admin.createTopics({ topics: [{ topic: 'admin', numPartitions: 3 }] }), false)
    const metadata = await admin.fetchTopicMetadata({ topics: ['admin'] })
    assert.equal(metadata.topics[0]!.partitions.length, 3)
    const producer = client(broker).producer()
    await producer.connect()
    await producer.send({ topic: 'admin', messages: [100, 200, 300].map((timestamp) => ({ partition: 1, value: 'x', timestamp: String(timestamp) })) })
    await producer.disconnect()
    const byTime = await admin.fetchTopicOffsetsByTimestamp('admin', 150)
    assert.equal(byTime.find(({ partition }) => partition === 1)?.offset, '1')
    await admin.deleteTopics({ topics: ['admin'] })
    assert.ok(!(await admin.listTopics()).includes('admin'))
    assert.equal(await admin.createTopics({ topics: [{ topic: 'admin', numPartitions: 1 }] }), true)
    assert.deepEqual(await admin.fetchTopicOffsets('admin'), [{ partition: 0, offset: '0', high: '0', low: '0' }])
    await admin.disconnect()
  })
})

test('kill -9 in the middle: nothing acknowledged is lost, nothing is there twice, the group goes on', async () => {
  const store = await freshStore()
  let broker = await startTestBroker({ store, args: fast })
  const port = Number(broker.address.split(':').at(-1))
  const kafka = client(broker)
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const acknowledged: string[] = []
  let producing = true
  const work = (async () => {
    for (let i = 0; producing; i++) {
      const values = Array.from({ length: 5 }, (_, n) => `${i}-${n}`)
      await producer.send({ topic: 'crash', acks: -1, messages: values.map((value) => ({ partition: i % 2, value })) })
      acknowledged.push(...values)
    }
  })()
  for (let round = 0; round < 3; round++) {
    const reached = acknowledged.length + 100
    await eventually('progress', () => acknowledged.length >= reached)
    await broker.kill()
    broker = await startTestBroker({ store, port, args: fast })
  }
  const reached = acknowledged.length + 100
  await eventually('progress after the last crash', () => acknowledged.length >= reached)
  producing = false
  await work
  await producer.disconnect()

  const seen = await consume(kafka, 'crash', acknowledged.length)
  assertInOrder(seen)
  const values = seen.map(({ message }) => message.value!.toString())
  assert.equal(new Set(values).size, values.length, 'a record is there twice')
  const missing = acknowledged.filter((value) => !new Set(values).has(value))
  assert.deepEqual(missing, [])

  // The same from the table alone: a new process with nothing in memory.
  await broker.stop()
  broker = await startTestBroker({ store, port, args: fast })
  const cold = await consume(kafka, 'crash', acknowledged.length)
  assert.deepEqual(cold.map(({ message }) => message.value!.toString()).toSorted(), values.toSorted())
  assert.equal(await broker.stop(), 0)
  await removeStore(store)
})

test('a second broker on the same store takes over; the first one refuses, says so, and ends', async () => {
  const store = await freshStore()
  const first = await startTestBroker({ store, args: fast })
  const producer = client(first).producer({ retry: { retries: 0 } })
  await producer.connect()
  await producer.send({ topic: 'fence', messages: [{ value: 'before' }] })
  const second = await startTestBroker({ store, args: fast })
  const refused = producer.send({ topic: 'fence', messages: [{ value: 'too late' }] })
  await assert.rejects(refused)
  assert.equal(await first.exited, 3)
  assert.ok(first.log.some(({ msg }) => String(msg).startsWith('fenced')))
  await producer.disconnect().catch(() => undefined)
  const seen = await consume(client(second), 'fence', 1)
  assert.deepEqual(seen.map(({ message }) => message.value?.toString()), ['before'])
  assert.equal(await second.stop(), 0)
  await removeStore(store)
})
