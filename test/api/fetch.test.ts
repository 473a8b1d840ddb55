/** Fetch without sessions: how much is returned, when it is returned, and what stands beside the records. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { DeleteTopics } from '../../protocol/messages/20-delete-topics.ts'
import { OffsetForLeaderEpoch } from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import { eventually } from '../support/broker.ts'
import {
  batchOf,
  batchSizes,
  bytesOf,
  createTopic,
  fetchOne,
  fetchRequest,
  freshName,
  isError,
  onlyHere,
  onlyPartition,
  produceOk,
  produceRequest,
  recordsIn,
  useBroker,
} from './support.ts'
import type { TestTopic } from './support.ts'

const subject = useBroker()
const UUID = 'BBBBBBBBBBBBBBBBBBBBBA'

/** Three batches of three records each. */
async function threeBatches(): Promise<{ topic: TestTopic; size: number }> {
  const topic = await createTopic(subject.client)
  const batches = [0, 1, 2].map((n) => batchOf([0, 1, 2].map((i) => `${n}.${i}`)))
  for (const batch of batches) await produceOk(subject.client, topic, batch)
  return { topic, size: batches[0]!.length }
}

describe('what is returned', () => {
  test('in every version: the records, the watermarks', async () => {
    const { topic } = await threeBatches()
    for (let version = 4; version <= 18; version++) {
      const response = await subject.client.send(Fetch, version, fetchRequest(topic, 0))
      assert.deepEqual(response.responses.map((r) => [r.topic, r.topicId]), [version >= 13 ? ['', topic.id] : [topic.name, 'AAAAAAAAAAAAAAAAAAAAAA']])
      const partition = onlyPartition(response)
      isError(partition.errorCode, 'NONE')
      assert.deepEqual([partition.highWatermark, partition.lastStableOffset], [9, 9])
      assert.equal(partition.logStartOffset, version >= 5 ? 0 : -1)
      assert.equal(partition.preferredReadReplica, -1)
      assert.deepEqual(recordsIn(partition).map(({ offset }) => offset), [0, 1, 2, 3, 4, 5, 6, 7, 8])
      assert.equal(response.sessionId, 0)
    }
  })

  test('zstd in v9 too, though clients of that age cannot ask for it', async () => {
    const topic = await createTopic(subject.client)
    await produceOk(subject.client, topic, batchOf(['a'], { codec: 4 }))
    assert.equal(recordsIn(await fetchOne(subject.client, topic, 0, { version: 9 }))[0]?.value, 'a')
  })

  test('an offset in the middle of a batch gives the whole batch', async () => {
    const { topic } = await threeBatches()
    for (const [from, first] of [[1, 0], [3, 3], [5, 3], [8, 6]] as const) {
      assert.equal(recordsIn(await fetchOne(subject.client, topic, from))[0]?.offset, first)
    }
  })

  test('nothing to read: zero bytes of records, not null, and right watermarks', async () => {
    const { topic } = await threeBatches()
    const empty = await createTopic(subject.client)
    for (const version of [4, 11, 12, 18]) {
      for (const [of, at, end] of [[topic, 9, 9], [empty, 0, 0]] as const) {
        const partition = await fetchOne(subject.client, of, at, { version })
        isError(partition.errorCode, 'NONE')
        assert.notEqual(partition.records, null)
        assert.equal(bytesOf(partition).length, 0)
        assert.deepEqual([partition.highWatermark, partition.lastStableOffset], [end, end])
      }
    }
  })

  test('aborted transactions: null for read_uncommitted, a list for read_committed', async () => {
    const { topic } = await threeBatches()
    for (const at of [0, 9]) {
      assert.equal((await fetchOne(subject.client, topic, at, { isolationLevel: 0 })).abortedTransactions, null)
      assert.deepEqual((await fetchOne(subject.client, topic, at, { isolationLevel: 1 })).abortedTransactions, [])
    }
  })

  test('out of range: OFFSET_OUT_OF_RANGE, and no records', async () => {
    const { topic } = await threeBatches()
    for (const at of [10, 1_000_000, -1]) {
      const partition = await fetchOne(subject.client, topic, at)
      isError(partition.errorCode, 'OFFSET_OUT_OF_RANGE')
      assert.equal(bytesOf(partition).length, 0)
    }
    isError((await fetchOne(subject.client, await createTopic(subject.client), 1)).errorCode, 'OFFSET_OUT_OF_RANGE')
  })

  test('an error does not wait', async () => {
    const { topic } = await threeBatches()
    const startedMs = performance.now()
    await fetchOne(subject.client, topic, 100, { maxWaitMs: 10_000, minBytes: 1 })
    await fetchOne(subject.client, { name: freshName('absent'), id: UUID }, 0, { maxWaitMs: 10_000, minBytes: 1 }).catch(() => undefined)
    assert.ok(performance.now() - startedMs < 5000)
  })
})

describe('limits', () => {
  test('one byte still gives the first batch, whole', async () => {
    const { topic, size } = await threeBatches()
    for (const limits of [{ maxBytes: 1 }, { partitionMaxBytes: 1 }, { maxBytes: 1, partitionMaxBytes: 1 }, { maxBytes: 0, partitionMaxBytes: 0 }]) {
      assert.deepEqual(batchSizes(await fetchOne(subject.client, topic, 4, limits)), [size], JSON.stringify(limits))
    }
  })

  test('whole batches up to the limit of the partition and of the request', onlyHere, async () => {
    const { topic, size } = await threeBatches()
    for (const [limit, batches] of [[size, 1], [2 * size - 1, 1], [2 * size, 2], [3 * size, 3], [9 * size, 3]] as const) {
      assert.equal(batchSizes(await fetchOne(subject.client, topic, 0, { partitionMaxBytes: limit })).length, batches, `partition ${limit}`)
      assert.equal(batchSizes(await fetchOne(subject.client, topic, 0, { maxBytes: limit })).length, batches, `request ${limit}`)
    }
  })

  test('over partitions: the first with data exceeds the limit if it must, the others then get nothing', async () => {
    const topic = await createTopic(subject.client, { partitions: 3 })
    for (const partition of [1, 2]) await produceOk(subject.client, topic, batchOf(['x'.repeat(500)]), { partition })
    const partitions = [0, 1, 2].map((partition) => ({ partition, fetchOffset: 0, partitionMaxBytes: 1 << 20 }))
    const ask = async (maxBytes: number): Promise<number[]> => {
      const { responses } = await subject.client.send(Fetch, 11, {
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes,
        topics: [{ topic: topic.name, partitions }],
        forgottenTopicsData: [],
      })
      return responses.flatMap((r) => r.partitions).toSorted((a, b) => a.partitionIndex - b.partitionIndex).map((p) => batchSizes(p).length)
    }
    assert.deepEqual(await ask(1), [0, 1, 0])
    assert.deepEqual(await ask(100_000), [0, 1, 1])
    assert.deepEqual(await ask(700), [0, 1, 0])
  })

  test('a limit of zero for one partition still lets the others through', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    for (const partition of [0, 1]) await produceOk(subject.client, topic, batchOf(['x']), { partition })
    const { responses } = await subject.client.send(Fetch, 11, {
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: 1000,
      topics: [{ topic: topic.name, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }, { partition: 1, fetchOffset: 0, partitionMaxBytes: 0 }] }],
      forgottenTopicsData: [],
    })
    const counts = responses.flatMap((r) => r.partitions).map((p) => [p.partitionIndex, batchSizes(p).length])
    assert.deepEqual(counts.toSorted((a, b) => a[0]! - b[0]!), [[0, 1], [1, 0]])
  })
})

describe('waiting', () => {
  test('max wait: an empty answer when nothing comes', async () => {
    const topic = await createTopic(subject.client)
    const startedMs = performance.now()
    const partition = await fetchOne(subject.client, topic, 0, { maxWaitMs: 300, minBytes: 1 })
    const tookMs = performance.now() - startedMs
    assert.equal(bytesOf(partition).length, 0)
    assert.ok(tookMs >= 290 && tookMs < 3000, `${tookMs} ms`)
  })

  test('min bytes of zero does not wait', async () => {
    const topic = await createTopic(subject.client)
    const startedMs = performance.now()
    await fetchOne(subject.client, topic, 0, { maxWaitMs: 10_000, minBytes: 0 })
    assert.ok(performance.now() - startedMs < 5000)
  })

  test('a record that comes meanwhile ends the wait', async () => {
    const topic = await createTopic(subject.client)
    const waiting = await subject.connect()
    const startedMs = performance.now()
    const answer = fetchOne(waiting, topic, 0, { maxWaitMs: 10_000, minBytes: 1 })
    await produceOk(subject.client, topic, batchOf(['news']))
    assert.deepEqual(recordsIn(await answer).map(({ value }) => value), ['news'])
    assert.ok(performance.now() - startedMs < 5000)
  })

  test('min bytes are waited for over several batches', async () => {
    const topic = await createTopic(subject.client)
    const waiting = await subject.connect()
    const size = batchOf(['1']).length
    const answer = fetchOne(waiting, topic, 0, { maxWaitMs: 10_000, minBytes: 2 * size + 1 })
    for (const value of ['1', '2', '3']) await produceOk(subject.client, topic, batchOf([value]))
    assert.deepEqual(recordsIn(await answer).map(({ value }) => value), ['1', '2', '3'])
  })

  test('what is there already is returned at the end of the wait, though it is less than min bytes', async () => {
    const topic = await createTopic(subject.client)
    await produceOk(subject.client, topic, batchOf(['only']))
    assert.deepEqual(recordsIn(await fetchOne(subject.client, topic, 0, { maxWaitMs: 100, minBytes: 1_000_000 })).map(({ value }) => value), ['only'])
  })

  test('a waiting fetch holds up the answers behind it, and not the requests', async () => {
    const topic = await createTopic(subject.client)
    const client = await subject.connect()
    const order: string[] = []
    const fetched = client.send(Fetch, 13, fetchRequest(topic, 0, { maxWaitMs: 10_000, minBytes: 1 })).then(() => order.push('fetch'))
    const versions = client.send(ApiVersions, 0, { clientSoftwareName: '', clientSoftwareVersion: '' }).then(() => order.push('versions'))
    await produceOk(subject.client, topic, batchOf(['x']))
    await Promise.all([fetched, versions])
    assert.deepEqual(order, ['fetch', 'versions'])
  })

  test('a produce behind a waiting fetch of one connection wakes it', onlyHere, async () => {
    const topic = await createTopic(subject.client)
    const client = await subject.connect()
    const fetched = client.send(Fetch, 13, fetchRequest(topic, 0, { maxWaitMs: 10_000, minBytes: 1 }))
    const produced = client.send(Produce, 9, produceRequest(topic, batchOf(['own'])))
    assert.deepEqual(recordsIn(onlyPartition(await fetched)).map(({ value }) => value), ['own'])
    isError((await produced).responses[0]?.partitionResponses[0]?.errorCode, 'NONE')
  })

  test('a topic that is deleted meanwhile ends the wait', async () => {
    const topic = await createTopic(subject.client)
    const waiting = await subject.connect()
    const answer = fetchOne(waiting, topic, 0, { maxWaitMs: 10_000, minBytes: 1 })
    await subject.client.send(DeleteTopics, 6, { topics: [{ name: topic.name, topicId: ZERO_UUID }], timeoutMs: 5000 })
    const { errorCode } = await answer
    assert.notEqual(errorCode, 0)
  })
})

describe('topics', () => {
  test('an unknown name or partition: UNKNOWN_TOPIC_OR_PARTITION; an unknown id: UNKNOWN_TOPIC_ID', async () => {
    const topic = await createTopic(subject.client)
    const absent = { name: freshName('absent'), id: UUID }
    isError((await fetchOne(subject.client, absent, 0, { version: 12 })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    isError((await fetchOne(subject.client, absent, 0, { version: 13 })).errorCode, 'UNKNOWN_TOPIC_ID')
    isError((await fetchOne(subject.client, topic, 0, { version: 12, partition: 9 })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    isError((await fetchOne(subject.client, topic, 0, { version: 13, partition: 9 })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
  })

  test('deleted and created anew under its name: the old id is unknown, the new topic is empty', async () => {
    const old = await createTopic(subject.client)
    await produceOk(subject.client, old, batchOf(['old']))
    await subject.client.send(DeleteTopics, 6, { topics: [{ name: old.name, topicId: ZERO_UUID }], timeoutMs: 5000 })
    await eventually('the name is free', async () => {
      const { topics } = await subject.client.send(Metadata, 12, { topics: [{ name: old.name }], allowAutoTopicCreation: false })
      return topics[0]?.errorCode === 3
    })
    const anew = await createTopic(subject.client, { name: old.name })
    assert.notEqual(anew.id, old.id)
    isError((await fetchOne(subject.client, old, 0)).errorCode, 'UNKNOWN_TOPIC_ID')
    const partition = await fetchOne(subject.client, anew, 0)
    assert.deepEqual([partition.errorCode, partition.highWatermark], [0, 0])
    isError((await fetchOne(subject.client, anew, 1)).errorCode, 'OFFSET_OUT_OF_RANGE')
    const { responses } = await subject.client.send(Produce, 13, produceRequest(old, batchOf(['late'])))
    isError(responses[0]?.partitionResponses[0]?.errorCode, 'UNKNOWN_TOPIC_ID')
  })
})

describe('leader epochs (KIP-320)', () => {
  test('older than the leader\'s: FENCED_LEADER_EPOCH; newer: UNKNOWN_LEADER_EPOCH; none or the same: served', async () => {
    const { topic } = await threeBatches()
    const epoch = await epochOf(topic)
    assert.ok(epoch >= 0)
    isError((await fetchOne(subject.client, topic, 0, { currentLeaderEpoch: epoch + 1 })).errorCode, 'UNKNOWN_LEADER_EPOCH')
    if (epoch > 0) isError((await fetchOne(subject.client, topic, 0, { currentLeaderEpoch: epoch - 1 })).errorCode, 'FENCED_LEADER_EPOCH')
    for (const currentLeaderEpoch of [epoch, -1]) isError((await fetchOne(subject.client, topic, 0, { currentLeaderEpoch })).errorCode, 'NONE')
  })

  test('where the log and the reader part is said, with no records', async () => {
    const { topic } = await threeBatches()
    const epoch = await epochOf(topic)
    const same = await fetchOne(subject.client, topic, 3, { lastFetchedEpoch: epoch })
    assert.deepEqual([same.errorCode, same.divergingEpoch, batchSizes(same).length], [0, { epoch: -1, endOffset: -1 }, 2])
  })

  test('OffsetForLeaderEpoch: the end of the epoch, -1 for one that is not known', async () => {
    const { topic } = await threeBatches()
    const epoch = await epochOf(topic)
    const ask = async (version: number, leaderEpoch: number, currentLeaderEpoch = -1) => {
      const { topics } = await subject.client.send(OffsetForLeaderEpoch, version, {
        replicaId: -1,
        topics: [{ topic: topic.name, partitions: [{ partition: 0, currentLeaderEpoch, leaderEpoch }] }],
      })
      const { errorCode, leaderEpoch: found, endOffset } = topics[0]!.partitions[0]!
      return [errorCode, found, endOffset]
    }
    for (const version of [2, 3, 4]) assert.deepEqual(await ask(version, epoch), [0, epoch, 9])
    assert.deepEqual(await ask(4, epoch + 5), [0, -1, -1])
    assert.deepEqual(await ask(4, epoch, epoch + 1), [75, -1, -1])
    const absent = await subject.client.send(OffsetForLeaderEpoch, 4, {
      replicaId: -1,
      topics: [{ topic: freshName('absent'), partitions: [{ partition: 0, leaderEpoch: 0 }] }],
    })
    isError(absent.topics[0]?.partitions[0]?.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
  })
})

async function epochOf(topic: TestTopic): Promise<number> {
  const { topics } = await subject.client.send(Metadata, 12, { topics: [{ name: topic.name }] })
  return topics[0]?.partitions[0]?.leaderEpoch ?? -1
}
