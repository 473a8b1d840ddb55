/** What clients find after kill -9 and a new start: the same cluster, the same topics, a new leader epoch, and every record as it was. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { attributes, baseOffset, iterateBatches, partitionLeaderEpoch, timestampTypeOf } from '../../protocol/records/batch.ts'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import { ListOffsets } from '../../protocol/messages/02-list-offsets.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { DeleteTopics } from '../../protocol/messages/20-delete-topics.ts'
import { OffsetForLeaderEpoch } from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import { DescribeConfigs } from '../../protocol/messages/32-describe-configs.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import { eventually, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'
import { batchOf, bytesOf, createTopic, endOffset, fetchOne, fetchRequest, isError, listOffset, onlyHere, produceOk, quick, readFrom } from './support.ts'
import type { TestTopic } from './support.ts'

describe('after kill -9', onlyHere, () => {
  let broker: TestBroker
  let client: RawClient
  const topics: Record<'plain' | 'stamped' | 'gone', TestTopic> = { plain: { name: '', id: '' }, stamped: { name: '', id: '' }, gone: { name: '', id: '' } }
  let clusterBefore: string | null
  let epochBefore: number
  let recordsBefore: Awaited<ReturnType<typeof readFrom>>
  let stampedBefore: Awaited<ReturnType<typeof readFrom>>
  let sessionBefore: number
  const now = Date.now()

  const epochNow = async (topic: TestTopic): Promise<number> =>
    (await client.send(Metadata, 12, { topics: [{ name: topic.name }] })).topics[0]?.partitions[0]?.leaderEpoch ?? -1
  const endOf = async (leaderEpoch: number): Promise<readonly number[]> => {
    const asked = { replicaId: -1, topics: [{ topic: topics.plain.name, partitions: [{ partition: 0, leaderEpoch }] }] }
    const { errorCode, leaderEpoch: found, endOffset: end } = (await client.send(OffsetForLeaderEpoch, 4, asked)).topics[0]!.partitions[0]!
    return [errorCode, found, end]
  }

  before(async () => {
    broker = await startTestBroker({ args: quick })
    client = await RawClient.connect(broker.address)
    topics.plain = await createTopic(client, { configs: { 'retention.bytes': '123456789' } })
    topics.stamped = await createTopic(client, { configs: { 'message.timestamp.type': 'LogAppendTime' } })
    topics.gone = await createTopic(client)
    for (const { name } of Object.values(topics)) {
      await produceOk(client, { name }, batchOf([{ timestamp: now + 30, key: Buffer.from('k'), headers: [{ key: 'h', value: null }] }, { timestamp: now + 10 }]))
      await produceOk(client, { name }, batchOf([{ timestamp: now + 20, value: Buffer.from('z') }], { codec: 4 }))
    }
    await client.send(DeleteTopics, 6, { topics: [{ name: topics.gone.name, topicId: ZERO_UUID }], timeoutMs: 10_000 })
    clusterBefore = (await client.send(Metadata, 12, { topics: [] })).clusterId
    epochBefore = await epochNow(topics.plain)
    recordsBefore = await readFrom(client, topics.plain)
    stampedBefore = await readFrom(client, topics.stamped)
    sessionBefore = (await client.send(Fetch, 13, { ...fetchRequest(topics.plain, 0), sessionEpoch: 0 })).sessionId
    client.close()
    await broker.kill()
    broker = await startTestBroker({ store: broker.store, args: [...quick, '--cache-bytes', '0'] })
    client = await RawClient.connect(broker.address)
  })
  after(async () => {
    client.close()
    assert.equal(await broker.stop(), 0)
    await removeStore(broker.store)
  })

  test('the cluster and its topics are the same', async () => {
    const { clusterId, topics: all } = await client.send(Metadata, 12, { topics: null })
    assert.equal(clusterId, clusterBefore)
    assert.deepEqual(new Map(all.map(({ name, topicId }) => [name, topicId])), new Map([topics.plain, topics.stamped].map(({ name, id }) => [name, id])))
    const { results } = await client.send(DescribeConfigs, 4, { resources: [{ resourceType: 2, resourceName: topics.plain.name, configurationKeys: ['retention.bytes'] }] })
    assert.equal(results[0]?.configs[0]?.value, '123456789')
    isError((await fetchOne(client, topics.gone, 0)).errorCode, 'UNKNOWN_TOPIC_ID')
  })

  test('the records are the same, from lanes and from the table', async () => {
    assert.deepEqual(await readFrom(client, topics.plain), recordsBefore)
    await eventually('all is flushed', async () => {
      const answer = (await (await fetch(`${broker.http}/v1/topics/${topics.plain.name}`)).json()) as { partitions: { flushedOffset: number }[] }
      return answer.partitions[0]!.flushedOffset >= 3
    })
    assert.deepEqual(await readFrom(client, topics.plain), recordsBefore)
  })

  test('LogAppendTime is still that', async () => {
    assert.deepEqual(await readFrom(client, topics.stamped), stampedBefore)
    const bytes = bytesOf(await fetchOne(client, topics.stamped, 0))
    for (const { start } of iterateBatches(bytes)) assert.equal(timestampTypeOf(attributes(bytes, start)), 1)
  })

  test('look-ups by time find the same records', async () => {
    for (const [target, offset] of [[10, 0], [25, 0], [31, -1]] as const) assert.equal((await listOffset(client, topics.plain, now + target)).offset, offset)
    assert.equal((await listOffset(client, topics.plain, -3)).offset, 0)
  })

  test('the old epoch is fenced, everywhere', async () => {
    const epoch = await epochNow(topics.plain)
    assert.ok(epoch > epochBefore)
    isError((await fetchOne(client, topics.plain, 0, { currentLeaderEpoch: epochBefore })).errorCode, 'FENCED_LEADER_EPOCH')
    isError((await fetchOne(client, topics.plain, 0, { currentLeaderEpoch: epoch })).errorCode, 'NONE')
    const asked = (currentLeaderEpoch: number) => ({ partitionIndex: 0, currentLeaderEpoch, timestamp: -1 })
    const { topics: listed } = await client.send(ListOffsets, 8, { replicaId: -1, topics: [{ name: topics.plain.name, partitions: [asked(epochBefore)] }] })
    isError(listed[0]?.partitions[0]?.errorCode, 'FENCED_LEADER_EPOCH')
  })

  test('epochs end where the next one begins, and records say theirs', async () => {
    const epoch = await epochNow(topics.plain)
    assert.deepEqual(await endOf(epochBefore), [0, epochBefore, 3])
    assert.deepEqual(await endOf(epoch), [0, epoch, 3])
    assert.equal(await produceOk(client, topics.plain, batchOf(['after'])), 3)
    assert.deepEqual(await endOf(epochBefore), [0, epochBefore, 3])
    assert.deepEqual(await endOf(epoch), [0, epoch, 4])
    assert.deepEqual(await endOf(epoch - 1), [0, epochBefore, 3])
    for (const [from, expected] of [[0, epochBefore], [3, epoch]] as const) {
      const bytes = bytesOf(await fetchOne(client, topics.plain, from))
      assert.deepEqual([partitionLeaderEpoch(bytes, 0), baseOffset(bytes, 0)], [expected, from])
    }
  })

  test('a reader that is beyond the end of its epoch is told where that was', async () => {
    const end = await endOffset(client, topics.plain)
    const within = await fetchOne(client, topics.plain, 3, { lastFetchedEpoch: epochBefore })
    assert.deepEqual([within.errorCode, within.divergingEpoch.epoch], [0, -1])
    const beyond = await fetchOne(client, topics.plain, end, { lastFetchedEpoch: epochBefore })
    assert.deepEqual([beyond.errorCode, beyond.divergingEpoch, bytesOf(beyond).length], [0, { epoch: epochBefore, endOffset: 3 }, 0])
  })

  test('sessions of fetches are gone, and clients begin new ones', async () => {
    const { errorCode } = await client.send(Fetch, 13, { ...fetchRequest(topics.plain, 0), topics: [], sessionId: sessionBefore, sessionEpoch: 1, forgottenTopicsData: [] })
    isError(errorCode, 'FETCH_SESSION_ID_NOT_FOUND')
  })

  test('the name of a deleted topic is free', async () => {
    const anew = await createTopic(client, { name: topics.gone.name })
    assert.notEqual(anew.id, topics.gone.id)
    assert.equal(await endOffset(client, anew), 0)
  })
})
