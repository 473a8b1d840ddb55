/** The admin surface that changes nothing where there is one broker: elections, moves, log directories, features, ACLs, transactions. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import type { Admin } from 'kafkajs'
import { OffsetCommit } from '../../protocol/messages/08-offset-commit.ts'
import { OffsetFetch } from '../../protocol/messages/09-offset-fetch.ts'
import { JoinGroup } from '../../protocol/messages/11-join-group.ts'
import { SyncGroup } from '../../protocol/messages/14-sync-group.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { DescribeAcls } from '../../protocol/messages/29-describe-acls.ts'
import { CreateAcls } from '../../protocol/messages/30-create-acls.ts'
import { DeleteAcls } from '../../protocol/messages/31-delete-acls.ts'
import { AlterReplicaLogDirs } from '../../protocol/messages/34-alter-replica-log-dirs.ts'
import { DescribeLogDirs } from '../../protocol/messages/35-describe-log-dirs.ts'
import { ElectLeaders } from '../../protocol/messages/43-elect-leaders.ts'
import { AlterPartitionReassignments } from '../../protocol/messages/45-alter-partition-reassignments.ts'
import { ListPartitionReassignments } from '../../protocol/messages/46-list-partition-reassignments.ts'
import { OffsetDelete } from '../../protocol/messages/47-offset-delete.ts'
import { UpdateFeatures } from '../../protocol/messages/57-update-features.ts'
import { DescribeProducers } from '../../protocol/messages/61-describe-producers.ts'
import { DescribeTransactions } from '../../protocol/messages/65-describe-transactions.ts'
import { ListTransactions } from '../../protocol/messages/66-list-transactions.ts'
import { eventually } from '../support/broker.ts'
import { batchOf, createTopic, freshName, freshProducerId, isError, onKafka, onlyHere, produceOk, useBroker } from './support.ts'
import type { TestTopic } from './support.ts'

const subject = useBroker()

async function commitOffset(groupId: string, topic: TestTopic, partitions: readonly number[]): Promise<void> {
  const asked = partitions.map((partitionIndex) => ({ partitionIndex, committedOffset: 3, committedMetadata: '' }))
  const { topics } = await subject.client.send(OffsetCommit, 8, {
    groupId, generationIdOrMemberEpoch: -1, memberId: '', topics: [{ name: topic.name, partitions: asked }],
  })
  for (const { errorCode } of topics[0]!.partitions) isError(errorCode, 'NONE')
}

async function committed(groupId: string, topic: TestTopic, partitions: readonly number[]): Promise<number[]> {
  const { groups } = await subject.client.send(OffsetFetch, 8, { groups: [{ groupId, topics: [{ name: topic.name, partitionIndexes: [...partitions] }] }] })
  return groups[0]!.topics[0]!.partitions.map(({ committedOffset }) => committedOffset)
}

describe('OffsetDelete', () => {
  const remove = async (groupId: string, name: string, partitions: readonly number[]) =>
    await subject.client.send(OffsetDelete, 0, { groupId, topics: [{ name, partitions: partitions.map((partitionIndex) => ({ partitionIndex })) }] })

  test('forgets the offsets that are named, and no others', async () => {
    const topic = await createTopic(subject.client, { partitions: 3 })
    const groupId = freshName('group')
    await commitOffset(groupId, topic, [0, 1])
    const { errorCode, topics } = await remove(groupId, topic.name, [1, 2, 9])
    isError(errorCode, 'NONE')
    // Kafka names those that it refuses first.
    const [first, second, third] = topics[0]!.partitions.toSorted((a, b) => a.partitionIndex - b.partitionIndex)
    isError(first!.errorCode, 'NONE')
    isError(second!.errorCode, 'NONE', 'never committed, which is no error')
    isError(third!.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    assert.deepEqual(await committed(groupId, topic, [0, 1]), [3, -1])
  })

  test('a group that does not exist is GROUP_ID_NOT_FOUND', async () => {
    const topic = await createTopic(subject.client)
    isError((await remove(freshName('group'), topic.name, [0])).errorCode, 'GROUP_ID_NOT_FOUND')
  })

  test('a live consumer group keeps the offsets of what it subscribes to', async () => {
    const subscribed = await createTopic(subject.client)
    const other = await createTopic(subject.client)
    const groupId = freshName('group')
    await commitOffset(groupId, subscribed, [0])
    await commitOffset(groupId, other, [0])
    const name = Buffer.from(subscribed.name)
    const metadata = Buffer.concat([Buffer.from('000000000001', 'hex'), Buffer.of(0, name.length), name, Buffer.from('ffffffff', 'hex')])
    const join = { groupId, sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000, protocolType: 'consumer', protocols: [{ name: 'range', metadata }] }
    const { memberId } = await subject.client.send(JoinGroup, 5, { ...join, memberId: '' })
    const joined = await subject.client.send(JoinGroup, 5, { ...join, memberId })
    isError(joined.errorCode, 'NONE')
    await subject.client.send(SyncGroup, 5, {
      groupId, generationId: joined.generationId, memberId, protocolType: 'consumer', protocolName: 'range',
      assignments: [{ memberId, assignment: Buffer.alloc(0) }],
    })
    isError((await remove(groupId, subscribed.name, [0])).topics[0]!.partitions[0]!.errorCode, 'GROUP_SUBSCRIBED_TO_TOPIC')
    isError((await remove(groupId, other.name, [0])).topics[0]!.partitions[0]!.errorCode, 'NONE')
    assert.deepEqual([await committed(groupId, subscribed, [0]), await committed(groupId, other, [0])], [[3], [-1]])
  })
})

describe('leaders and moves', () => {
  test('no election is ever needed', async () => {
    const topic = await createTopic(subject.client)
    for (const electionType of [0, 1]) {
      const { errorCode, replicaElectionResults } = await subject.client.send(ElectLeaders, 2, {
        electionType, topicPartitions: [{ topic: topic.name, partitions: [0, 7] }, { topic: 'nowhere', partitions: [0] }],
      })
      isError(errorCode, 'NONE')
      const [known, unknown] = replicaElectionResults
      isError(known!.partitionResult[0]!.errorCode, 'ELECTION_NOT_NEEDED')
      isError(known!.partitionResult[1]!.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
      isError(unknown!.partitionResult[0]!.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    }
  })

  test('an election for all partitions names every topic and no partition', async () => {
    const topics = [await createTopic(subject.client), await createTopic(subject.client, { partitions: 3 })]
    const all = await subject.client.send(ElectLeaders, 2, { electionType: 0, topicPartitions: null })
    isError(all.errorCode, 'NONE')
    const named = all.replicaElectionResults.map(({ topic }) => topic)
    for (const { name } of topics) assert.equal(named.filter((other) => other === name).length, 1)
    assert.deepEqual(all.replicaElectionResults.flatMap(({ partitionResult }) => partitionResult), [])
  })

  test('an election of an unknown type is refused for the request and for each partition', async () => {
    const { errorCode, replicaElectionResults } = await subject.client.send(ElectLeaders, 2, { electionType: 7, topicPartitions: [{ topic: 'nowhere', partitions: [0, 1] }] })
    isError(errorCode, 'INVALID_REQUEST')
    for (const partition of replicaElectionResults[0]!.partitionResult) isError(partition.errorCode, 'INVALID_REQUEST')
    assert.equal(replicaElectionResults[0]!.partitionResult.length, 2)
  })

  test('a partition can be assigned to where it is, and nowhere else', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    const ask = async (partitionIndex: number, replicas: number[] | null) => {
      const topics = [{ name: topic.name, partitions: [{ partitionIndex, replicas }] }]
      return (await subject.client.send(AlterPartitionReassignments, 0, { topics })).responses[0]!.partitions[0]!.errorCode
    }
    const [node] = (await adminOf(subject.address, (admin) => admin.describeCluster())).brokers
    isError(await ask(0, [node!.nodeId]), 'NONE')
    isError(await ask(1, [node!.nodeId, 4711]), 'INVALID_REPLICA_ASSIGNMENT')
    isError(await ask(1, []), 'INVALID_REPLICA_ASSIGNMENT')
    isError(await ask(5, [node!.nodeId]), 'UNKNOWN_TOPIC_OR_PARTITION')
    isError(await ask(0, null), 'NO_REASSIGNMENT_IN_PROGRESS')
    const { errorCode, topics } = await subject.client.send(ListPartitionReassignments, 0, { topics: null })
    assert.deepEqual([errorCode, topics], [0, []])
  })
})

describe('log directories', () => {
  const sizeOf = async (topic: TestTopic, version = 4): Promise<number> => {
    const { results } = await subject.client.send(DescribeLogDirs, version, { topics: [{ topic: topic.name, partitions: [0] }] })
    return results.flatMap(({ topics }) => topics.flatMap(({ partitions }) => partitions))[0]!.partitionSize
  }

  test('a partition has a size as soon as it has records, and keeps one in its table', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    assert.equal(await sizeOf(topic), 0)
    await produceOk(subject.client, topic, batchOf(['a'.repeat(2000)]))
    for (const version of [1, 2, 3, 4, 5]) assert.ok((await sizeOf(topic, version)) > 0)
    const batchBytes = batchOf(['a'.repeat(2000)]).length
    if (onKafka) return
    const tableBytes = await eventually('the record is in the table', async () => {
      const bytes = await sizeOf(topic)
      return bytes === batchBytes ? null : bytes
    })
    assert.ok(tableBytes > 0)
  })

  test('all topics, or those that are named and exist', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    const all = await subject.client.send(DescribeLogDirs, 4, { topics: null })
    isError(all.errorCode, 'NONE')
    assert.equal(all.results.length, 1)
    assert.deepEqual(all.results[0]!.topics.find(({ name }) => name === topic.name)!.partitions.map(({ partitionIndex }) => partitionIndex), [0, 1])
    const none = await subject.client.send(DescribeLogDirs, 4, { topics: [{ topic: 'nowhere', partitions: [0] }] })
    assert.deepEqual(none.results[0]!.topics, [])
  })

  test('the one directory is known, no other is', async () => {
    const topic = await createTopic(subject.client)
    const { results } = await subject.client.send(DescribeLogDirs, 4, { topics: [] })
    const move = async (path: string, partition: number) => {
      const dirs = [{ path, topics: [{ name: topic.name, partitions: [partition] }] }]
      return (await subject.client.send(AlterReplicaLogDirs, 2, { dirs })).results[0]!.partitions[0]!.errorCode
    }
    isError(await move(results[0]!.logDir, 0), 'NONE')
    isError(await move(results[0]!.logDir, 9), 'UNKNOWN_TOPIC_OR_PARTITION')
    isError(await move('/nowhere', 0), 'LOG_DIR_NOT_FOUND')
  })
})

describe('producers and transactions', () => {
  test('DescribeProducers knows who wrote with idempotence', async () => {
    const topic = await createTopic(subject.client)
    const producerId = await freshProducerId(subject.client)
    const before = Date.now()
    await produceOk(subject.client, topic, batchOf(['a', 'b', 'c'], { producerId, producerEpoch: 0, baseSequence: 0 }))
    const { topics } = await subject.client.send(DescribeProducers, 0, { topics: [{ name: topic.name, partitionIndexes: [0, 3] }] })
    const [known, unknown] = topics[0]!.partitions
    isError(unknown!.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    isError(known!.errorCode, 'NONE')
    const [producer] = known!.activeProducers
    assert.ok(producer!.lastTimestamp >= before - 1000)
    assert.deepEqual({ ...producer, lastTimestamp: 0 }, {
      producerId, producerEpoch: 0, lastSequence: 2, lastTimestamp: 0, coordinatorEpoch: -1, currentTxnStartOffset: -1,
    })
  })

  test('an id without a transaction is not found; an unknown state is named', async () => {
    const { transactionStates } = await subject.client.send(DescribeTransactions, 0, { transactionalIds: ['nobody'] })
    isError(transactionStates[0]!.errorCode, 'TRANSACTIONAL_ID_NOT_FOUND')
    const listed = await subject.client.send(ListTransactions, 1, { stateFilters: ['Ongoing', 'Sleeping'], producerIdFilters: [] })
    assert.deepEqual([listed.errorCode, listed.unknownStateFilters, listed.transactionStates], [0, ['Sleeping'], []])
  })

  test('a pattern of transactional ids that is none is refused, and not taken for one that matches nothing', async () => {
    const ask = async (transactionalIdPattern: string | null) =>
      (await subject.client.send(ListTransactions, 2, { stateFilters: [], producerIdFilters: [], transactionalIdPattern })).errorCode
    isError(await ask('('), 'INVALID_REGULAR_EXPRESSION')
    for (const pattern of [null, '', 'nobody-.*']) isError(await ask(pattern), 'NONE')
  })
})

describe('features', () => {
  const software = { clientSoftwareName: 'test', clientSoftwareVersion: '1' }

  test('ApiVersions tells the metadata version', async () => {
    for (const version of [3, 4]) {
      const { supportedFeatures, finalizedFeatures, finalizedFeaturesEpoch } = await subject.client.send(ApiVersions, version, software)
      assert.ok(finalizedFeaturesEpoch >= 0)
      const supported = supportedFeatures.find(({ name }) => name === 'metadata.version')
      const finalized = finalizedFeatures.find(({ name }) => name === 'metadata.version')
      assert.ok(supported !== undefined && finalized !== undefined)
      assert.equal(supported.minVersion, 7)
      assert.ok(finalized.maxVersionLevel <= supported.maxVersion)
      for (const { minVersion } of supportedFeatures) assert.ok(minVersion > 0 || version >= 4)
    }
  })

  test('the level in force can be asked for, others are refused with the reason', onlyHere, async () => {
    const ask = async (feature: string, maxVersionLevel: number, upgradeType = 1) =>
      await subject.client.send(UpdateFeatures, 1, { featureUpdates: [{ feature, maxVersionLevel, upgradeType }] })
    const granted = await ask('metadata.version', 30)
    isError(granted.errorCode, 'NONE')
    isError(granted.results[0]!.errorCode, 'NONE')
    for (const refused of [await ask('metadata.version', 29, 2), await ask('metadata.version', 99), await ask('no.such', 1), await ask('metadata.version', 30, 9)]) {
      isError(refused.errorCode, 'INVALID_UPDATE_VERSION')
      assert.match(refused.errorMessage ?? '', /failed for all features/)
      assert.deepEqual(refused.results, [])
    }
    const { errorCode, errorMessage } = await subject.client.send(UpdateFeatures, 2, { featureUpdates: [{ feature: 'no.such', maxVersionLevel: 1 }] })
    isError(errorCode, 'INVALID_UPDATE_VERSION')
    assert.match(errorMessage ?? '', /no\.such/)
  })
})

test('ACLs without an authorizer are SECURITY_DISABLED', async () => {
  const acl = { resourceType: 2, resourceName: 'x', principal: 'User:a', host: '*', operation: 3, permissionType: 3 }
  const filter = { resourceTypeFilter: 1, resourceNameFilter: null, principalFilter: null, hostFilter: null, operation: 1, permissionType: 1 }
  for (const version of [1, 2, 3]) {
    isError((await subject.client.send(DescribeAcls, version, filter)).errorCode, 'SECURITY_DISABLED')
    isError((await subject.client.send(CreateAcls, version, { creations: [acl] })).results[0]!.errorCode, 'SECURITY_DISABLED')
    isError((await subject.client.send(DeleteAcls, version, { filters: [filter] })).filterResults[0]!.errorCode, 'SECURITY_DISABLED')
  }
})

async function adminOf<T>(address: string, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

