/** DeleteRecords, and what Fetch and ListOffsets make of it. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { OffsetCommit } from '../../protocol/messages/08-offset-commit.ts'
import { DeleteRecords } from '../../protocol/messages/21-delete-records.ts'
import { eventually, removeStore, startTestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'
import { batchOf, createTopic, fetchOne, freshName, isError, listOffset, onlyHere, produceOk, quick, recordsIn, useBroker } from './support.ts'
import type { TestTopic } from './support.ts'

const subject = useBroker()
const EARLIEST = -2

async function remove(client: RawClient, topic: { name: string }, offset: number, options: { partition?: number; version?: number } = {}) {
  const topics = [{ name: topic.name, partitions: [{ partitionIndex: options.partition ?? 0, offset }] }]
  return (await client.send(DeleteRecords, options.version ?? 2, { topics, timeoutMs: 10_000 })).topics[0]!.partitions[0]!
}

async function fiveRecords(configs: Readonly<Record<string, string>> = {}): Promise<TestTopic> {
  const topic = await createTopic(subject.client, { configs })
  for (const values of [['0', '1', '2'], ['3', '4']]) await produceOk(subject.client, topic, batchOf(values.map((value) => ({ key: Buffer.from(value), value: Buffer.from(value) }))))
  return topic
}

describe('DeleteRecords', () => {
  test('the log begins later, for Fetch and ListOffsets too', async () => {
    for (const version of [0, 1, 2]) {
      const topic = await fiveRecords()
      const { errorCode, lowWatermark } = await remove(subject.client, topic, 4, { version })
      isError(errorCode, 'NONE')
      assert.equal(lowWatermark, 4)
      assert.equal((await listOffset(subject.client, topic, EARLIEST)).offset, 4)
      assert.equal((await listOffset(subject.client, topic, 0)).offset, 4)
      isError((await fetchOne(subject.client, topic, 3)).errorCode, 'OFFSET_OUT_OF_RANGE')
      const fetched = await fetchOne(subject.client, topic, 4)
      isError(fetched.errorCode, 'NONE')
      assert.equal(fetched.logStartOffset, 4)
      assert.equal(recordsIn(fetched).at(-1)?.value, '4')
    }
  })

  test('-1 deletes everything, and the partition goes on from there', async () => {
    const topic = await fiveRecords()
    assert.equal((await remove(subject.client, topic, -1)).lowWatermark, 5)
    assert.equal((await listOffset(subject.client, topic, EARLIEST)).offset, 5)
    assert.equal(await produceOk(subject.client, topic, batchOf(['5'])), 5)
    assert.deepEqual(recordsIn(await fetchOne(subject.client, topic, 5)).map(({ value }) => value), ['5'])
  })

  test('a timeout of zero leaves the time that the write needs', async () => {
    const topic = await fiveRecords()
    const topics = [{ name: topic.name, partitions: [{ partitionIndex: 0, offset: 2 }] }]
    const { errorCode, lowWatermark } = (await subject.client.send(DeleteRecords, 2, { topics, timeoutMs: 0 })).topics[0]!.partitions[0]!
    isError(errorCode, 'NONE')
    assert.equal(lowWatermark, 2)
  })

  test('an earlier offset changes nothing; beyond the end is OFFSET_OUT_OF_RANGE', async () => {
    const topic = await fiveRecords()
    await remove(subject.client, topic, 3)
    assert.equal((await remove(subject.client, topic, 1)).lowWatermark, 3)
    for (const offset of [6, 1e15, -2]) {
      const refused = await remove(subject.client, topic, offset)
      isError(refused.errorCode, 'OFFSET_OUT_OF_RANGE')
      assert.equal(refused.lowWatermark, -1)
    }
  })

  test('what does not exist is UNKNOWN_TOPIC_OR_PARTITION', async () => {
    const topic = await fiveRecords()
    isError((await remove(subject.client, { name: freshName() }, 0)).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    isError((await remove(subject.client, topic, 0, { partition: 1 })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
  })

  test('a topic that is only compacted refuses it, and so does an internal one', async () => {
    isError((await remove(subject.client, await fiveRecords({ 'cleanup.policy': 'compact' }), 1)).errorCode, 'POLICY_VIOLATION')
    isError((await remove(subject.client, await fiveRecords({ 'cleanup.policy': 'compact,delete' }), 1)).errorCode, 'NONE')
    const topic = await createTopic(subject.client)
    const partitions = [{ partitionIndex: 0, committedOffset: 0, committedMetadata: '' }]
    await subject.client.send(OffsetCommit, 8, { groupId: freshName('group'), generationIdOrMemberEpoch: -1, memberId: '', topics: [{ name: topic.name, partitions }] })
    isError((await remove(subject.client, { name: '__consumer_offsets' }, 0)).errorCode, 'INVALID_TOPIC_EXCEPTION')
  })

  test('kafkajs deletes records and sees what is left', async () => {
    const topic = await fiveRecords()
    const admin = new Kafka({ brokers: [subject.address], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    try {
      // It loads the metadata of the topic, without which deleteTopicRecords fails.
      await admin.fetchTopicOffsets(topic.name)
      await admin.deleteTopicRecords({ topic: topic.name, partitions: [{ partition: 0, offset: '2' }] })
      assert.deepEqual((await admin.fetchTopicOffsets(topic.name)).map(({ low, high }) => [low, high]), [['2', '5']])
    } finally {
      await admin.disconnect()
    }
  })

  test('a broker that is killed right after the answer has deleted all the same', onlyHere, async () => {
    const first = await startTestBroker({ args: [...quick, '--lane-checkpoint-interval-ms', '60000'] })
    let client = await RawClient.connect(first.address)
    const topic = await createTopic(client)
    await produceOk(client, topic, batchOf(['0', '1', '2']))
    assert.equal((await remove(client, topic, 2)).lowWatermark, 2)
    client.close()
    await first.kill()
    const second = await startTestBroker({ store: first.store, args: quick })
    client = await RawClient.connect(second.address)
    assert.equal((await listOffset(client, topic, EARLIEST)).offset, 2)
    assert.equal((await listOffset(client, topic, -1)).offset, 3)
    client.close()
    await second.stop()
    await removeStore(first.store)
  })
})

test('retention.ms that is set later takes effect at the next check', onlyHere, async () => {
  const broker = await startTestBroker({ args: [...quick, '--log-retention-check-interval-ms', '50'] })
  const client = await RawClient.connect(broker.address)
  const kept = await createTopic(client, { configs: { 'retention.ms': '-1' } })
  const topic = await createTopic(client, { configs: { 'retention.ms': '1000' } })
  for (const { name } of [kept, topic]) await produceOk(client, { name }, batchOf([{ timestamp: Date.now() - 100_000, value: Buffer.from('old') }]))
  await eventually('the old record goes', async () => (await listOffset(client, topic, EARLIEST)).offset === 1)
  assert.equal((await listOffset(client, kept, EARLIEST)).offset, 0)
  client.close()
  assert.equal(await broker.stop(), 0)
  await removeStore(broker.store)
})
