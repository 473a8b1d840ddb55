/** Incremental fetch sessions (KIP-227) as a client sees them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { errorName } from '../../protocol/errors.ts'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { DeleteTopics } from '../../protocol/messages/20-delete-topics.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import type { RawClient } from '../support/raw-client.ts'
import { batchOf, createTopic, isError, onlyHere, onlyPartition, produceOk, recordsIn, useBroker } from './support.ts'
import type { FetchResult, TestTopic } from './support.ts'

const subject = useBroker(['--max-incremental-fetch-session-cache-slots', '40'])

interface Asked {
  readonly topic: TestTopic
  readonly partition?: number
  readonly offset?: number
  readonly epoch?: number
}

interface SessionRequest {
  readonly id?: number
  readonly epoch: number
  readonly ask?: readonly Asked[]
  readonly forget?: readonly Asked[]
  readonly version?: number
  readonly maxWaitMs?: number
  readonly maxBytes?: number
}

function fetchIn(client: RawClient, { id = 0, epoch, ask = [], forget = [], version = 13, maxWaitMs = 0, maxBytes = 1 << 20 }: SessionRequest): Promise<FetchResult> {
  return client.send(Fetch, version, {
    maxWaitMs,
    minBytes: maxWaitMs > 0 ? 1 : 0,
    maxBytes,
    sessionId: id,
    sessionEpoch: epoch,
    topics: ask.map(({ topic, partition = 0, offset = 0, epoch: currentLeaderEpoch = -1 }) => ({
      topic: topic.name,
      topicId: topic.id,
      partitions: [{ partition, fetchOffset: offset, partitionMaxBytes: 1 << 20, currentLeaderEpoch }],
    })),
    forgottenTopicsData: forget.map(({ topic, partition = 0 }) => ({ topic: topic.name, topicId: topic.id, partitions: [partition] })),
  })
}

function partitionsIn(response: FetchResult): number[] {
  return response.responses.flatMap(({ partitions }) => partitions.map(({ partitionIndex }) => partitionIndex))
}

/** A session over the partitions of a new topic, caught up with what was produced. */
async function session(partitions = 1): Promise<{ topic: TestTopic; id: number; client: RawClient }> {
  const client = await subject.connect()
  const topic = await createTopic(client, { partitions })
  const ask = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
  const { sessionId, errorCode } = await fetchIn(client, { epoch: 0, ask })
  isError(errorCode, 'NONE')
  assert.notEqual(sessionId, 0)
  return { topic, id: sessionId, client }
}

describe('a session', () => {
  test('begins with epoch 0 and a full answer; then only what has news is answered', async () => {
    for (const version of [7, 12, 13, 18]) {
      const client = await subject.connect()
      const topic = await createTopic(client, { partitions: 3 })
      const first = await fetchIn(client, { epoch: 0, version, ask: [0, 1, 2].map((partition) => ({ topic, partition })) })
      assert.deepEqual(new Set(partitionsIn(first)), new Set([0, 1, 2]))
      assert.ok(first.sessionId > 0)
      const quiet = await fetchIn(client, { id: first.sessionId, epoch: 1, version })
      assert.deepEqual([quiet.errorCode, quiet.sessionId, quiet.responses], [0, first.sessionId, []])
      await produceOk(client, topic, batchOf(['x']), { partition: 1 })
      const news = await fetchIn(client, { id: first.sessionId, epoch: 2, version })
      assert.deepEqual(partitionsIn(news), [1])
      assert.equal(recordsIn(onlyPartition(news))[0]?.value, 'x')
      const moved = await fetchIn(client, { id: first.sessionId, epoch: 3, version, ask: [{ topic, partition: 1, offset: 1 }] })
      assert.deepEqual(moved.responses, [])
      await fetchIn(client, { id: first.sessionId, epoch: -1, version })
    }
  })

  test('what was asked for stays asked for: records come again until the offset moves', async () => {
    const { topic, id, client } = await session()
    await produceOk(client, topic, batchOf(['x']))
    for (const epoch of [1, 2]) assert.equal(recordsIn(onlyPartition(await fetchIn(client, { id, epoch })))[0]?.value, 'x')
  })

  test('a fetch without changes waits for any of its partitions', async () => {
    const { topic, id, client } = await session(3)
    const waiting = fetchIn(client, { id, epoch: 1, maxWaitMs: 10_000 })
    await produceOk(subject.client, topic, batchOf(['x']), { partition: 2 })
    assert.deepEqual(partitionsIn(await waiting), [2])
  })

  test('partitions can join and leave', async () => {
    const { topic, id, client } = await session()
    const other = await createTopic(client)
    const joined = await fetchIn(client, { id, epoch: 1, ask: [{ topic: other }] })
    assert.deepEqual(joined.responses.map(({ topicId }) => topicId), [other.id])
    const left = await fetchIn(client, { id, epoch: 2, forget: [{ topic }] })
    assert.deepEqual([left.errorCode, left.sessionId], [0, id])
    await produceOk(client, topic, batchOf(['x']))
    await produceOk(client, other, batchOf(['y']))
    const news = await fetchIn(client, { id, epoch: 3 })
    assert.deepEqual(news.responses.map(({ topicId }) => topicId), [other.id])
  })

  test('forgetting the last partition ends it, and that answer carries session id 0', async () => {
    const { topic, id, client } = await session()
    const last = await fetchIn(client, { id, epoch: 1, forget: [{ topic }] })
    assert.deepEqual([last.errorCode, last.sessionId, last.responses], [0, 0, []])
    isError((await fetchIn(client, { id, epoch: 2 })).errorCode, 'FETCH_SESSION_ID_NOT_FOUND')
  })

  test('a wrong epoch is INVALID_FETCH_SESSION_EPOCH and keeps the session', async () => {
    const { id, client } = await session()
    for (const epoch of [5, 2, 0x7fff_ffff]) {
      const wrong = await fetchIn(client, { id, epoch })
      isError(wrong.errorCode, 'INVALID_FETCH_SESSION_EPOCH')
      assert.deepEqual(wrong.responses, [])
    }
    isError((await fetchIn(client, { id, epoch: 1 })).errorCode, 'NONE')
    isError((await fetchIn(client, { id, epoch: 1 })).errorCode, 'INVALID_FETCH_SESSION_EPOCH')
    isError((await fetchIn(client, { id, epoch: 2 })).errorCode, 'NONE')
  })

  test('answers one fetch after the other, whichever connection they come from', async () => {
    const { topic, id, client } = await session(2)
    const waiting = fetchIn(client, { id, epoch: 1, maxWaitMs: 10_000 })
    const second = await subject.connect()
    // Until the first one has begun, epoch 2 is wrong for that reason.
    isError((await fetchIn(second, { id, epoch: 2 })).errorCode, 'INVALID_FETCH_SESSION_EPOCH')
    await produceOk(subject.client, topic, batchOf(['x']), { partition: 1 })
    assert.equal(recordsIn(onlyPartition(await waiting))[0]?.value, 'x')
    const next = await fetchIn(second, { id, epoch: 2 })
    isError(next.errorCode, 'NONE')
    assert.equal(recordsIn(onlyPartition(next))[0]?.value, 'x')
  })

  test('an unknown session is FETCH_SESSION_ID_NOT_FOUND', async () => {
    for (const id of [0, 123_456_789]) {
      const unknown = await fetchIn(subject.client, { id, epoch: 1 })
      isError(unknown.errorCode, 'FETCH_SESSION_ID_NOT_FOUND')
      assert.deepEqual([unknown.sessionId, unknown.responses], [0, []])
    }
  })

  test('epoch -1 ends it and answers in full', async () => {
    const { topic, id, client } = await session()
    const final = await fetchIn(client, { id, epoch: -1, ask: [{ topic }] })
    assert.deepEqual([final.errorCode, final.sessionId, partitionsIn(final)], [0, 0, [0]])
    isError((await fetchIn(client, { id, epoch: 1 })).errorCode, 'FETCH_SESSION_ID_NOT_FOUND')
  })

  test('epoch 0 with an old id begins a new one in its place', async () => {
    const { topic, id, client } = await session()
    const anew = await fetchIn(client, { id, epoch: 0, ask: [{ topic }] })
    assert.ok(anew.sessionId > 0 && anew.sessionId !== id)
    isError((await fetchIn(client, { id, epoch: 1 })).errorCode, 'FETCH_SESSION_ID_NOT_FOUND')
    isError((await fetchIn(client, { id: anew.sessionId, epoch: 1 })).errorCode, 'NONE')
  })

  test('may begin without partitions', async () => {
    const client = await subject.connect()
    const { sessionId } = await fetchIn(client, { epoch: 0 })
    assert.notEqual(sessionId, 0)
    const topic = await createTopic(client)
    const joined = await fetchIn(client, { id: sessionId, epoch: 1, ask: [{ topic }] })
    assert.deepEqual([joined.sessionId, partitionsIn(joined)], [sessionId, [0]])
  })

  test('of names is not one of ids: FETCH_SESSION_TOPIC_ID_ERROR', async () => {
    const { id, client } = await session()
    isError((await fetchIn(client, { id, epoch: 1, version: 12 })).errorCode, 'FETCH_SESSION_TOPIC_ID_ERROR')
    const topic = await createTopic(client)
    const named = await fetchIn(client, { epoch: 0, version: 12, ask: [{ topic }] })
    isError((await fetchIn(client, { id: named.sessionId, epoch: 1, version: 13 })).errorCode, 'FETCH_SESSION_TOPIC_ID_ERROR')
  })

  test('may be used over another connection', async () => {
    const { id } = await session()
    isError((await fetchIn(await subject.connect(), { id, epoch: 1 })).errorCode, 'NONE')
  })

  test('an error is repeated until it is gone', async () => {
    const { topic, id, client } = await session()
    const beyond = await fetchIn(client, { id, epoch: 1, ask: [{ topic, offset: 5 }] })
    isError(onlyPartition(beyond).errorCode, 'OFFSET_OUT_OF_RANGE')
    isError(onlyPartition(await fetchIn(client, { id, epoch: 2 })).errorCode, 'OFFSET_OUT_OF_RANGE')
    await fetchIn(client, { id, epoch: 3, ask: [{ topic, offset: 0 }] })
    assert.deepEqual((await fetchIn(client, { id, epoch: 4 })).responses, [])
  })

  test('a topic that is deleted is told as an error', async () => {
    const { topic, id, client } = await session()
    await client.send(DeleteTopics, 6, { topics: [{ name: topic.name, topicId: ZERO_UUID }], timeoutMs: 5000 })
    let epoch = 1
    for (;;) {
      const answer = await fetchIn(client, { id, epoch: epoch++ })
      if (answer.responses.length === 0) continue
      const { errorCode } = onlyPartition(answer)
      if (errorCode === 0) continue
      // Kafka's session knows the name that the id had.
      assert.match(errorName(errorCode), /^UNKNOWN_TOPIC_(ID|OR_PARTITION)$/)
      break
    }
    const { topics } = await client.send(Metadata, 12, { topics: [{ topicId: topic.id, name: null }] })
    isError(topics[0]?.errorCode, 'UNKNOWN_TOPIC_ID')
  })

  test('a topic that does not exist yet does not keep the session from others', async () => {
    const client = await subject.connect()
    const topic = await createTopic(client)
    const absent = { name: 'absent', id: 'BBBBBBBBBBBBBBBBBBBBBA' }
    const first = await fetchIn(client, { epoch: 0, ask: [{ topic: absent }, { topic }] })
    const codes = new Map(first.responses.map(({ topicId, partitions }) => [topicId, partitions[0]?.errorCode]))
    isError(codes.get(absent.id), 'UNKNOWN_TOPIC_ID')
    isError(codes.get(topic.id), 'NONE')
    const again = await fetchIn(client, { id: first.sessionId, epoch: 1 })
    assert.deepEqual(again.responses.map(({ topicId }) => topicId), [absent.id])
  })

  test('a busy partition does not starve the others of a small answer', async () => {
    const { topic, id, client } = await session(3)
    for (const partition of [0, 1, 2]) for (const value of ['a', 'b', 'c']) await produceOk(client, topic, batchOf([value.repeat(400)]), { partition })
    const seen: number[] = []
    const offsets = [0, 0, 0]
    let ask: Asked[] = []
    for (let epoch = 1; epoch <= 9; epoch++) {
      const answer = await fetchIn(client, { id, epoch, ask, maxBytes: 500 })
      const full = answer.responses.flatMap(({ partitions }) => partitions).filter((partition) => recordsIn(partition).length > 0)
      assert.equal(full.length, 1)
      const partition = full[0]!.partitionIndex
      seen.push(partition)
      offsets[partition]!++
      ask = [{ topic, partition, offset: offsets[partition]! }]
    }
    assert.deepEqual(offsets, [3, 3, 3])
    assert.equal(new Set(seen.slice(0, 3)).size, 3, `order ${seen.join()}`)
  })

  test('where all slots are taken by sessions in use, answers are full and carry id 0', onlyHere, async () => {
    const client = await subject.connect()
    const topic = await createTopic(client)
    const ids: number[] = []
    for (let i = 0; i < 41; i++) ids.push((await fetchIn(client, { epoch: 0, ask: [{ topic }] })).sessionId)
    assert.equal(ids.at(-1), 0)
    const full = await fetchIn(client, { id: 0, epoch: 0, ask: [{ topic }] })
    assert.deepEqual([full.errorCode, full.sessionId, partitionsIn(full)], [0, 0, [0]])
    const freed = ids.find((id) => id !== 0)!
    await fetchIn(client, { id: freed, epoch: -1 })
    assert.notEqual((await fetchIn(client, { epoch: 0, ask: [{ topic }] })).sessionId, 0)
  })
})
