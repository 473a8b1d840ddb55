/** ListOffsets: special timestamps, look-ups by time, wherever the records are by now. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import { ListOffsets } from '../../protocol/messages/02-list-offsets.ts'
import { eventually } from '../support/broker.ts'
import { batchOf, createTopic, freshName, isError, listOffset, onlyHere, produceOk, useBroker } from './support.ts'
import type { TestTopic } from './support.ts'

/** No room in memory: what is durable is read from lanes, and what is flushed from the table. */
const subject = useBroker()
const cold = useBroker(['--cache-bytes', '0', '--cold-cache-bytes', '0'])

const LATEST = -1
const EARLIEST = -2
const MAX_TIMESTAMP = -3
const EARLIEST_LOCAL = -4
const LATEST_TIERED = -5
const EARLIEST_PENDING_UPLOAD = -6
const NO = [KafkaError.UNSUPPORTED_VERSION, -1, -1]

/** Timestamps out of order, in three batches of which one is compressed: offset → timestamp relative to `base`. */
const TIMES = [10, 30, 20, 20, 50, 40, 45, 5, 50]

async function outOfOrder(client: typeof subject.client, base: number): Promise<TestTopic> {
  const topic = await createTopic(client)
  const records = TIMES.map((time) => ({ timestamp: base + time, value: Buffer.from(String(time)) }))
  await produceOk(client, topic, batchOf(records.slice(0, 3)))
  await produceOk(client, topic, batchOf(records.slice(3, 6), { codec: 1 }))
  await produceOk(client, topic, batchOf(records.slice(6)))
  return topic
}

/** Target relative to the base → offset and timestamp of the first record, in log order, at or after it. */
const EXPECTED: readonly (readonly [target: number, offset: number, timestamp: number])[] = [
  [0, 0, 10],
  [10, 0, 10],
  [11, 1, 30],
  [20, 1, 30],
  [31, 4, 50],
  [45, 4, 50],
  [50, 4, 50],
  [51, -1, -1],
]

async function checkLookups(client: typeof subject.client, topic: TestTopic, base: number): Promise<void> {
  for (const [target, offset, timestamp] of EXPECTED) {
    const found = await listOffset(client, topic, base + target)
    assert.deepEqual([found.errorCode, found.offset, found.timestamp], [0, offset, timestamp < 0 ? -1 : base + timestamp], `target ${target}`)
    assert.equal(found.leaderEpoch >= 0, offset >= 0)
  }
  const max = await listOffset(client, topic, MAX_TIMESTAMP)
  assert.deepEqual([max.errorCode, max.offset, max.timestamp], [0, 4, base + 50])
}

describe('special timestamps', () => {
  test('in every version, for what exists in it', async () => {
    const topic = await createTopic(subject.client)
    await produceOk(subject.client, topic, batchOf(['a', 'b', 'c']))
    for (let version = 1; version <= 11; version++) {
      const ask = async (timestamp: number, isolationLevel = 0) => {
        const { errorCode, offset, timestamp: time } = await listOffset(subject.client, topic, timestamp, { version, isolationLevel })
        return [errorCode, offset, time]
      }
      assert.deepEqual(await ask(LATEST), [0, 3, -1])
      assert.deepEqual(await ask(LATEST, 1), [0, 3, -1])
      assert.deepEqual(await ask(EARLIEST), [0, 0, -1])
      const max = await ask(MAX_TIMESTAMP)
      assert.deepEqual(max.slice(0, 2), version >= 7 ? [0, 0] : NO.slice(0, 2), `max timestamp in v${version}`)
      assert.deepEqual(await ask(EARLIEST_LOCAL), version >= 8 ? [0, 0, -1] : NO, `earliest local in v${version}`)
      assert.deepEqual(await ask(LATEST_TIERED), version >= 9 ? [0, -1, -1] : NO, `latest tiered in v${version}`)
      assert.deepEqual(await ask(EARLIEST_PENDING_UPLOAD), version >= 11 ? [0, -1, -1] : NO, `earliest pending upload in v${version}`)
      assert.deepEqual(await ask(-7), NO)
    }
  })

  test('on an empty partition', async () => {
    const topic = await createTopic(subject.client)
    for (const [timestamp, offset] of [[LATEST, 0], [EARLIEST, 0], [EARLIEST_LOCAL, 0], [MAX_TIMESTAMP, -1], [0, -1], [Date.now(), -1]] as const) {
      const found = await listOffset(subject.client, topic, timestamp)
      assert.deepEqual([found.errorCode, found.offset, found.timestamp], [0, offset, -1], String(timestamp))
    }
  })

  test('the leader epoch stands beside the offset from v4 on', async () => {
    const topic = await createTopic(subject.client)
    await produceOk(subject.client, topic, batchOf(['a']))
    for (const version of [3, 4, 8]) {
      const { leaderEpoch } = await listOffset(subject.client, topic, LATEST, { version })
      assert.equal(leaderEpoch >= 0, version >= 4)
    }
  })
})

describe('by time', () => {
  test('the first record in log order at or after the target, from memory', async () => {
    const base = Date.now() - 10_000
    await checkLookups(subject.client, await outOfOrder(subject.client, base), base)
  })

  test('records without a timestamp are found by no time but -1\'s neighbours', async () => {
    const topic = await createTopic(subject.client)
    await produceOk(subject.client, topic, batchOf([{ timestamp: -1 }, { timestamp: -1 }]))
    assert.equal((await listOffset(subject.client, topic, 0)).offset, -1)
  })

  test('from lanes, from the table, and over the border between them', onlyHere, async () => {
    const { client, broker } = cold
    const base = Date.now() - 10_000
    const topic = await outOfOrder(client, base)
    await checkLookups(client, topic, base)
    await eventually('all is flushed', async () => {
      const answer = (await (await fetch(`${broker.http}/v1/topics/${topic.name}`)).json()) as { partitions: { flushedOffset: number }[] }
      return answer.partitions[0]?.flushedOffset === TIMES.length
    })
    await checkLookups(client, topic, base)
    await produceOk(client, topic, batchOf([{ timestamp: base + 60 }, { timestamp: base + 5 }, { timestamp: base + 70 }]))
    for (const [target, offset] of [[50, 4], [51, 9], [61, 11], [71, -1]] as const) {
      assert.equal((await listOffset(client, topic, base + target)).offset, offset, `target ${target}`)
    }
    assert.equal((await listOffset(client, topic, MAX_TIMESTAMP)).offset, 11)
    assert.equal((await listOffset(client, topic, EARLIEST)).offset, 0)
  })

  test('of the largest timestamp the first record, also across batches', async () => {
    const topic = await createTopic(subject.client)
    const now = Date.now()
    for (const times of [[3, 1], [5, 5], [5], [2]]) await produceOk(subject.client, topic, batchOf(times.map((time) => ({ timestamp: now + time }))))
    const max = await listOffset(subject.client, topic, MAX_TIMESTAMP)
    assert.deepEqual([max.offset, max.timestamp], [2, now + 5])
  })

  test('on LogAppendTime topics by the broker\'s time; the largest timestamp is at the last batch\'s first record', async () => {
    const topic = await createTopic(subject.client, { configs: { 'message.timestamp.type': 'LogAppendTime' } })
    await produceOk(subject.client, topic, batchOf([{ timestamp: 1 }, { timestamp: 2 }]))
    await new Promise((resolve) => setTimeout(resolve, 5))
    const between = Date.now()
    await new Promise((resolve) => setTimeout(resolve, 5))
    await produceOk(subject.client, topic, batchOf([{ timestamp: 3 }, { timestamp: 4 }]))
    assert.equal((await listOffset(subject.client, topic, 5)).offset, 0)
    assert.equal((await listOffset(subject.client, topic, between)).offset, 2)
    assert.equal((await listOffset(subject.client, topic, MAX_TIMESTAMP)).offset, 2)
  })
})

describe('errors', () => {
  test('an unknown topic or partition: UNKNOWN_TOPIC_OR_PARTITION', async () => {
    const topic = await createTopic(subject.client)
    isError((await listOffset(subject.client, { name: freshName('absent') }, LATEST)).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    isError((await listOffset(subject.client, topic, LATEST, { partition: 1 })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    isError((await listOffset(subject.client, topic, LATEST, { partition: -1 })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
  })

  test('an epoch that is not the leader\'s', async () => {
    const topic = await createTopic(subject.client)
    const epoch = (await listOffset(subject.client, topic, LATEST)).leaderEpoch
    const { topics } = await subject.client.send(ListOffsets, 8, {
      replicaId: -1,
      topics: [{ name: topic.name, partitions: [{ partitionIndex: 0, currentLeaderEpoch: epoch + 1, timestamp: LATEST }] }],
    })
    isError(topics[0]?.partitions[0]?.errorCode, 'UNKNOWN_LEADER_EPOCH')
  })

  test('one partition asked for twice: INVALID_REQUEST', async () => {
    const topic = await createTopic(subject.client)
    const { topics } = await subject.client.send(ListOffsets, 8, {
      replicaId: -1,
      topics: [{ name: topic.name, partitions: [LATEST, EARLIEST].map((timestamp) => ({ partitionIndex: 0, timestamp })) }],
    })
    assert.ok(topics[0]!.partitions.length > 0)
    for (const { errorCode } of topics[0]!.partitions) isError(errorCode, 'INVALID_REQUEST')
  })
})
