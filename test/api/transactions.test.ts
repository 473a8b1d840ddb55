/** Transactions down to the protocol: both rules of clients (KIP-890), error codes by version, what administrators see. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { OffsetFetch } from '../../protocol/messages/09-offset-fetch.ts'
import { FindCoordinator } from '../../protocol/messages/10-find-coordinator.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import { AddPartitionsToTxn } from '../../protocol/messages/24-add-partitions-to-txn.ts'
import { AddOffsetsToTxn } from '../../protocol/messages/25-add-offsets-to-txn.ts'
import { EndTxn } from '../../protocol/messages/26-end-txn.ts'
import { WriteTxnMarkers } from '../../protocol/messages/27-write-txn-markers.ts'
import { TxnOffsetCommit } from '../../protocol/messages/28-txn-offset-commit.ts'
import { DescribeTransactions } from '../../protocol/messages/65-describe-transactions.ts'
import { ListTransactions } from '../../protocol/messages/66-list-transactions.ts'
import { batchOf, createTopic, fetchOne, freshName, isError, onlyHere, recordsIn, useBroker } from './support.ts'
import type { TestTopic } from './support.ts'

const subject = useBroker()
const READ_COMMITTED = 1

interface Producer {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
}

async function init(transactionalId = freshName('tx'), options: { version?: number; timeoutMs?: number; producerId?: number; producerEpoch?: number } = {}): Promise<Producer & { errorCode: number }> {
  const { version = 5, timeoutMs = 60_000, producerId = -1, producerEpoch = -1 } = options
  for (;;) {
    const reply = await subject.client.send(InitProducerId, version, { transactionalId, transactionTimeoutMs: timeoutMs, producerId, producerEpoch })
    const again: readonly number[] = [KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR]
    if (!again.includes(reply.errorCode)) return { ...reply, transactionalId }
  }
}

async function write(producer: Producer, topic: TestTopic, value: string, options: { version?: number; partition?: number; sequence?: number } = {}): Promise<number> {
  const { producerId, producerEpoch, transactionalId } = producer
  const batch = batchOf([value], { producerId, producerEpoch, baseSequence: options.sequence ?? 0, transactional: true })
  const { responses } = await subject.client.send(Produce, options.version ?? 12, {
    transactionalId,
    acks: -1,
    timeoutMs: 10_000,
    topicData: [{ name: topic.name, topicId: topic.id, partitionData: [{ index: options.partition ?? 0, records: [batch] }] }],
  })
  return responses[0]!.partitionResponses[0]!.errorCode
}

async function end({ transactionalId, producerId, producerEpoch }: Producer, committed: boolean, version = 5): Promise<Producer & { errorCode: number }> {
  const reply = await subject.client.send(EndTxn, version, { transactionalId, producerId, producerEpoch, committed })
  return { ...reply, transactionalId }
}

async function add(producer: Producer, topics: readonly { name: string; partitions: readonly number[] }[], version = 3): Promise<number[]> {
  const { resultsByTopicV3AndBelow } = await subject.client.send(AddPartitionsToTxn, version, {
    v3AndBelowTransactionalId: producer.transactionalId,
    v3AndBelowProducerId: producer.producerId,
    v3AndBelowProducerEpoch: producer.producerEpoch,
    v3AndBelowTopics: topics,
  })
  return resultsByTopicV3AndBelow.flatMap(({ resultsByPartition }) => resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode))
}

/** Values up to the last stable offset, those of aborted transactions too. */
async function stableIn(topic: TestTopic, partition = 0): Promise<(string | null)[]> {
  return recordsIn(await fetchOne(subject.client, topic, 0, { isolationLevel: READ_COMMITTED, partition })).map(({ value }) => value)
}

async function committedOffset(groupId: string, topic: TestTopic): Promise<number> {
  const { groups } = await subject.client.send(OffsetFetch, 8, {
    groups: [{ groupId, topics: [{ name: topic.name, partitionIndexes: [0] }] }],
    requireStable: true,
  })
  const partition = groups[0]!.topics[0]!.partitions[0]!
  return partition.errorCode === 0 ? partition.committedOffset : -partition.errorCode
}

function commitOffset({ transactionalId, producerId, producerEpoch }: Producer, groupId: string, topic: TestTopic, offset: number, version = 5) {
  return subject.client.send(TxnOffsetCommit, version, {
    transactionalId,
    groupId,
    producerId,
    producerEpoch,
    topics: [{ name: topic.name, partitions: [{ partitionIndex: 0, committedOffset: offset, committedMetadata: '' }] }],
  })
}

describe('a client that leaves it to the broker to add partitions', () => {
  test('writes, and gets a new epoch with every end', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    let producer: Producer = await init()
    for (let i = 0; i < 3; i++) {
      isError(await write(producer, topic, `v${i}`), 'NONE')
      isError(await write(producer, topic, `w${i}`, { version: 13, partition: 1 }), 'NONE')
      const reply = await end(producer, true)
      isError(reply.errorCode, 'NONE')
      assert.deepEqual([reply.producerId, reply.producerEpoch], [producer.producerId, producer.producerEpoch + 1])
      // A retry.
      assert.equal((await end(producer, true)).producerEpoch, reply.producerEpoch)
      isError(await write(producer, topic, 'late'), 'INVALID_PRODUCER_EPOCH')
      producer = reply
    }
    assert.deepEqual((await stableIn(topic)).filter((value) => value?.startsWith('v') === true), ['v0', 'v1', 'v2'])
    isError((await end(producer, true)).errorCode, 'INVALID_TXN_STATE')
    isError((await end(producer, false)).errorCode, 'NONE')
  })

  test('writes to many partitions at once', async () => {
    const topic = await createTopic(subject.client, { partitions: 3 })
    const other = await createTopic(subject.client)
    const { transactionalId, producerId, producerEpoch } = await init()
    const records = () => [batchOf(['x'], { producerId, producerEpoch, baseSequence: 0, transactional: true })]
    const { responses } = await subject.client.send(Produce, 12, {
      transactionalId,
      acks: -1,
      timeoutMs: 10_000,
      topicData: [
        { name: topic.name, partitionData: [0, 2, 7].map((index) => ({ index, records: records() })) },
        { name: other.name, partitionData: [{ index: 0, records: records() }] },
      ],
    })
    const codes = responses.flatMap(({ partitionResponses }) => partitionResponses.map(({ errorCode }) => errorCode))
    assert.deepEqual(codes, [0, 0, KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 0])
    const { transactionStates } = await subject.client.send(DescribeTransactions, 0, { transactionalIds: [transactionalId] })
    assert.deepEqual(transactionStates[0]!.topics, [{ topic: topic.name, partitions: [0, 2] }, { topic: other.name, partitions: [0] }])
    isError((await end({ transactionalId, producerId, producerEpoch }, true)).errorCode, 'NONE')
    assert.deepEqual([(await stableIn(topic, 2))[0], (await stableIn(other))[0]], ['x', 'x'])
  })

  test('its open transaction is seen by administrators, and holds readers of committed records back', async () => {
    const topic = await createTopic(subject.client)
    const producer = await init()
    isError(await write(producer, topic, 'open'), 'NONE')
    const { transactionStates } = await subject.client.send(DescribeTransactions, 0, { transactionalIds: [producer.transactionalId] })
    const [described] = transactionStates
    assert.deepEqual([described!.transactionState, described!.producerId, described!.topics], ['Ongoing', producer.producerId, [{ topic: topic.name, partitions: [0] }]])
    const listed = async (request: object): Promise<string[]> =>
      (await subject.client.send(ListTransactions, 2, { stateFilters: [], producerIdFilters: [], transactionalIdPattern: null, ...request })).transactionStates.map(
        ({ transactionalId }) => transactionalId,
      )
    assert.ok((await listed({ stateFilters: ['Ongoing'] })).includes(producer.transactionalId))
    assert.ok(!(await listed({ stateFilters: ['Empty'] })).includes(producer.transactionalId))
    assert.deepEqual(await listed({ producerIdFilters: [producer.producerId] }), [producer.transactionalId])
    assert.deepEqual(await listed({ transactionalIdPattern: `${producer.transactionalId.slice(0, -1)}.` }), [producer.transactionalId])
    assert.deepEqual(await listed({ producerIdFilters: [producer.producerId], durationFilter: 3_600_000 }), [])
    assert.deepEqual(await stableIn(topic), [])
    isError((await end(producer, false)).errorCode, 'NONE')
    const partition = await fetchOne(subject.client, topic, 0, { isolationLevel: READ_COMMITTED })
    assert.deepEqual(partition.abortedTransactions, [{ producerId: producer.producerId, firstOffset: 0 }])
    assert.deepEqual([partition.highWatermark, partition.lastStableOffset], [2, 2])
  })

  test('commits offsets of a group with its transaction', async () => {
    const topic = await createTopic(subject.client)
    const groupId = freshName('group')
    const producer = await init()
    const { topics } = await commitOffset(producer, groupId, topic, 7)
    isError(topics[0]!.partitions[0]!.errorCode, 'NONE')
    assert.equal(await committedOffset(groupId, topic), -KafkaError.UNSTABLE_OFFSET_COMMIT)
    const reply = await end(producer, true)
    isError(reply.errorCode, 'NONE')
    assert.equal(await committedOffset(groupId, topic), 7)
    isError((await commitOffset(producer, groupId, topic, 8)).topics[0]!.partitions[0]!.errorCode, 'INVALID_PRODUCER_EPOCH')
    isError((await commitOffset(reply, groupId, topic, 9)).topics[0]!.partitions[0]!.errorCode, 'NONE')
    isError((await end(reply, false)).errorCode, 'NONE')
    assert.equal(await committedOffset(groupId, topic), 7)
  })
})

describe('a client that adds partitions itself', () => {
  test('writes to those alone', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    const producer = await init()
    isError(await write(producer, topic, 'x', { version: 10 }), 'INVALID_TXN_STATE')
    isError(await write(producer, topic, 'x', { version: 11 }), 'TRANSACTION_ABORTABLE')
    assert.deepEqual(await add(producer, [{ name: topic.name, partitions: [1] }]), [KafkaError.NONE])
    isError(await write(producer, topic, 'x', { version: 11 }), 'TRANSACTION_ABORTABLE')
    isError(await write(producer, topic, 'x', { version: 9, partition: 1 }), 'NONE')
    const reply = await end(producer, true, 4)
    isError(reply.errorCode, 'NONE')
    isError((await end(producer, true, 4)).errorCode, 'NONE')
    isError((await end(producer, false, 4)).errorCode, 'INVALID_TXN_STATE')
    assert.deepEqual((await stableIn(topic, 1))[0], 'x')
  })

  test('adds all partitions or none', async () => {
    const topic = await createTopic(subject.client)
    const producer = await init()
    assert.deepEqual(await add(producer, [{ name: topic.name, partitions: [0, 5] }, { name: freshName(), partitions: [0] }]), [
      KafkaError.OPERATION_NOT_ATTEMPTED, KafkaError.UNKNOWN_TOPIC_OR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PARTITION,
    ])
    const { transactionStates } = await subject.client.send(DescribeTransactions, 0, { transactionalIds: [producer.transactionalId] })
    assert.equal(transactionStates[0]!.transactionState, 'Empty')
  })

  test('adds offsets before it commits them', async () => {
    const topic = await createTopic(subject.client)
    const groupId = freshName('group')
    const producer = await init()
    isError((await commitOffset(producer, groupId, topic, 4, 3)).topics[0]!.partitions[0]!.errorCode, 'INVALID_TXN_STATE')
    isError((await commitOffset(producer, groupId, topic, 4, 4)).topics[0]!.partitions[0]!.errorCode, 'TRANSACTION_ABORTABLE')
    const { transactionalId, producerId, producerEpoch } = producer
    isError((await subject.client.send(AddOffsetsToTxn, 3, { transactionalId, producerId, producerEpoch, groupId })).errorCode, 'NONE')
    isError((await commitOffset(producer, groupId, topic, 4, 3)).topics[0]!.partitions[0]!.errorCode, 'NONE')
    isError((await end(producer, true, 3)).errorCode, 'NONE')
    assert.equal(await committedOffset(groupId, topic), 4)
  })

  test('brokers ask for many transactions at once, and without adding', onlyHere, async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    const producers = [await init(), await init()]
    const ask = async (verifyOnly: boolean, partitions: number[]): Promise<number[][]> => {
      const { resultsByTransaction } = await subject.client.send(AddPartitionsToTxn, 5, {
        transactions: producers.map((producer) => ({ ...producer, verifyOnly, topics: [{ name: topic.name, partitions }] })),
      })
      return resultsByTransaction.map(({ topicResults }) => topicResults[0]!.resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode))
    }
    assert.deepEqual(await ask(false, [1]), [[0], [0]])
    const { NONE, TRANSACTION_ABORTABLE } = KafkaError
    assert.deepEqual(await ask(true, [0, 1]), [[TRANSACTION_ABORTABLE, NONE], [TRANSACTION_ABORTABLE, NONE]])
  })
})

describe('producers that were replaced', () => {
  test('are told by the code that their version knows', async () => {
    const topic = await createTopic(subject.client)
    const old = await init()
    const young = await init(old.transactionalId)
    assert.deepEqual([young.producerId, young.producerEpoch], [old.producerId, old.producerEpoch + 1])
    isError((await end(old, true, 1)).errorCode, 'INVALID_PRODUCER_EPOCH')
    for (const version of [2, 4]) isError((await end(old, true, version)).errorCode, 'PRODUCER_FENCED')
    assert.deepEqual(await add(old, [{ name: topic.name, partitions: [0] }], 1), [KafkaError.INVALID_PRODUCER_EPOCH])
    assert.deepEqual(await add(old, [{ name: topic.name, partitions: [0] }], 2), [KafkaError.PRODUCER_FENCED])
    isError((await init(old.transactionalId, { version: 3, producerId: old.producerId, producerEpoch: 0 })).errorCode, 'INVALID_PRODUCER_EPOCH')
    isError((await init(old.transactionalId, { version: 4, producerId: old.producerId, producerEpoch: 0 })).errorCode, 'PRODUCER_FENCED')
    isError(await write(old, topic, 'x'), 'INVALID_PRODUCER_EPOCH')
    isError(await write({ ...old, producerId: old.producerId + 1 }, topic, 'x'), 'INVALID_PRODUCER_ID_MAPPING')
    isError((await end({ ...old, transactionalId: freshName() }, true)).errorCode, 'INVALID_PRODUCER_ID_MAPPING')
  })

  test('what they have open is aborted by their successor, which asks twice', async () => {
    const topic = await createTopic(subject.client)
    const old = await init()
    isError(await write(old, topic, 'old'), 'NONE')
    isError((await init(old.transactionalId)).errorCode, 'CONCURRENT_TRANSACTIONS')
    const young = await init(old.transactionalId)
    isError(young.errorCode, 'NONE')
    isError(await write(young, topic, 'young'), 'NONE')
    isError((await end(young, true)).errorCode, 'NONE')
    const { abortedTransactions } = await fetchOne(subject.client, topic, 0, { isolationLevel: READ_COMMITTED })
    assert.deepEqual(abortedTransactions, [{ producerId: old.producerId, firstOffset: 0 }])
  })
})

describe('transactional ids', () => {
  test('that are empty, times that are none or too long, and two-phase commit are refused', async () => {
    isError((await init('')).errorCode, 'INVALID_REQUEST')
    for (const timeoutMs of [0, -1, 900_001]) isError((await init(freshName(), { timeoutMs })).errorCode, 'INVALID_TRANSACTION_TIMEOUT')
    const asked = { transactionalId: freshName(), transactionTimeoutMs: 1_000 }
    isError((await subject.client.send(InitProducerId, 6, { ...asked, enable2Pc: true })).errorCode, 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED')
  })

  test('have a coordinator', async () => {
    const { coordinators } = await subject.client.send(FindCoordinator, 4, { keyType: 1, coordinatorKeys: ['tx'] })
    isError(coordinators[0]!.errorCode, 'NONE')
  })

  test('are for clients that know the feature', async () => {
    const software = { clientSoftwareName: 'test', clientSoftwareVersion: '1' }
    const { finalizedFeatures } = await subject.client.send(ApiVersions, 4, software)
    assert.equal(finalizedFeatures.find(({ name }) => name === 'transaction.version')?.maxVersionLevel, 2)
    assert.equal((await subject.client.send(ApiVersions, 3, software)).finalizedFeatures.some(({ name }) => name === 'transaction.version'), false)
  })
})

test('an administrator aborts a transaction that hangs', async () => {
  const topic = await createTopic(subject.client)
  const producer = await init()
  isError(await write(producer, topic, 'hangs'), 'NONE')
  const { producerId, producerEpoch } = producer
  const ask = async (name: string): Promise<number> => {
    const { markers } = await subject.client.send(WriteTxnMarkers, 1, {
      markers: [{ producerId, producerEpoch, coordinatorEpoch: 0, transactionResult: false, topics: [{ name, partitionIndexes: [0] }] }],
    })
    return markers[0]!.topics[0]!.partitions[0]!.errorCode
  }
  isError(await ask(topic.name), 'NONE')
  isError(await ask(freshName()), 'UNKNOWN_TOPIC_OR_PARTITION')
  const partition = await fetchOne(subject.client, topic, 0, { isolationLevel: READ_COMMITTED })
  assert.deepEqual([partition.lastStableOffset, partition.abortedTransactions], [2, [{ producerId, firstOffset: 0 }]])
})
