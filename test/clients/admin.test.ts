/** Topics, records and configs through the admin of each client: what it may ask for, what it is told, and what it is refused. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import type { Admin as PlatformaticAdmin } from '@platformatic/kafka'
import kafkajsPackage from 'kafkajs'
import type { Admin } from 'kafkajs'
import { eventually } from '../support/broker.ts'
import { clients, kafkajs, numbered, platformaticAdmin, texts, unique } from './support/client.ts'
import { createTopic, endOffsets, sharedBroker } from './support/setup.ts'

const { ConfigResourceTypes } = kafkajsPackage
const broker = sharedBroker()

async function filled(what: string, count: number, partitions = 1): Promise<string> {
  const topic = unique(what)
  await createTopic(broker.address(), topic, partitions)
  const sender = await clients[0]!.sender(broker.address())
  for (let partition = 0; partition < partitions; partition++) {
    await sender.send(topic, numbered(String(partition), count, (n) => ({ partition, timestamp: 1_700_000_000_000 + n * 1000 })))
  }
  await sender.close()
  return topic
}

/** Somewhere in the error stands this code. */
function saying(code: string | RegExp): (error: unknown) => boolean {
  return (error) => {
    const said = inspect(error, { depth: 6 })
    assert.match(said, code instanceof RegExp ? code : new RegExp(code))
    return true
  }
}

describe('kafkajs', () => {
  let admin: Admin
  before(async () => {
    admin = kafkajs(broker.address(), { retry: { retries: 2, initialRetryTime: 50 } }).admin()
    await admin.connect()
  })
  after(() => admin.disconnect())

  test('createTopics: true for new ones, false for those that are there, nothing with validateOnly', async () => {
    const [one, two, three] = [unique('one'), unique('two'), unique('three')]
    assert.equal(await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics: [{ topic: one }] }), true)
    assert.ok(!(await admin.listTopics()).includes(one))
    assert.equal(await admin.createTopics({ waitForLeaders: true, topics: [{ topic: one, numPartitions: 2 }, { topic: two }] }), true)
    assert.equal(await admin.createTopics({ topics: [{ topic: one }, { topic: three }] }), false)
    const listed = await admin.listTopics()
    assert.ok([one, two, three].every((topic) => listed.includes(topic)), 'one that is there does not keep another from being made')
  })

  test('createTopics refuses what cannot be, each with its code', async () => {
    const topics = (more: object): { topics: { topic: string }[] } => ({ topics: [{ topic: unique('bad'), ...more }] })
    await assert.rejects(admin.createTopics({ topics: [{ topic: 'not/a/name' }] }), saying('INVALID_TOPIC_EXCEPTION'))
    await assert.rejects(admin.createTopics(topics({ numPartitions: 0 })), saying('INVALID_PARTITIONS'))
    await assert.rejects(admin.createTopics(topics({ configEntries: [{ name: 'retention.ms', value: 'soon' }] })), saying('INVALID_CONFIG'))
    await assert.rejects(admin.createTopics(topics({ replicaAssignment: [{ partition: 0, replicas: [77] }] })), saying('INVALID_REPLICA_ASSIGNMENT'))
  })

  test('createTopics with an assignment by hand and configs', async () => {
    const topic = unique('assigned')
    const { brokers } = await admin.describeCluster()
    const replicas = [brokers[0]!.nodeId]
    await admin.createTopics({
      topics: [{ topic, replicaAssignment: [{ partition: 0, replicas }, { partition: 1, replicas }], configEntries: [{ name: 'retention.ms', value: '1234567' }] }],
    })
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    const partitions = topics[0]!.partitions.toSorted((a, b) => a.partitionId - b.partitionId)
    assert.deepEqual(partitions.map(({ partitionId, leader, replicas: all }) => [partitionId, leader, all]), [[0, replicas[0], replicas], [1, replicas[0], replicas]])
  })

  test('createPartitions: more of them, and a refusal of fewer, of unknown topics and of brokers that do not exist', async () => {
    const topic = await filled('partitions', 1, 2)
    await admin.createPartitions({ validateOnly: true, topicPartitions: [{ topic, count: 3 }] })
    assert.equal((await endOffsets(broker.address(), topic)).length, 2)
    await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    assert.deepEqual(await endOffsets(broker.address(), topic), [1, 1, 0, 0])
    await assert.rejects(admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] }), saying('INVALID_PARTITIONS'))
    await assert.rejects(admin.createPartitions({ topicPartitions: [{ topic: unique('nowhere'), count: 3 }] }), saying('UNKNOWN_TOPIC_OR_PARTITION'))
    await assert.rejects(admin.createPartitions({ topicPartitions: [{ topic, count: 5, assignments: [[10]] }] }), saying('INVALID_REPLICA_ASSIGNMENT'))
  })

  test('an admin that asks for a topic that does not exist is told so, and does not make it', async () => {
    const topic = unique('unknown')
    await assert.rejects(admin.fetchTopicMetadata({ topics: [topic] }), saying('UNKNOWN_TOPIC_OR_PARTITION'))
    assert.ok(!(await admin.listTopics()).includes(topic))
  })

  test('offsets by time: the first at or after it, the end where there is none', async () => {
    const topic = await filled('by-time', 3, 2)
    const at = async (timestamp?: number): Promise<string[]> => (await admin.fetchTopicOffsetsByTimestamp(topic, timestamp)).toSorted((a, b) => a.partition - b.partition).map(({ offset }) => offset)
    assert.deepEqual(await at(1_700_000_000_500), ['1', '1'])
    assert.deepEqual(await at(1), ['0', '0'])
    assert.deepEqual(await at(1_700_000_900_000), ['3', '3'])
    assert.deepEqual(await at(), ['3', '3'])
  })

  test('deleteTopicRecords: up to an offset, all with -1, not beyond the end; what is left is consumed', async () => {
    const topic = await filled('cut', 10, 2)
    const offsets = async (): Promise<[string, string][]> => (await admin.fetchTopicOffsets(topic)).toSorted((a, b) => a.partition - b.partition).map(({ low, high }) => [low, high])
    await offsets()
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '7' }, { partition: 1, offset: '-1' }] })
    assert.deepEqual(await offsets(), [['7', '10'], ['10', '10']])
    await assert.rejects(admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '11' }] }), saying('OFFSET_OUT_OF_RANGE'))
    const member = await clients[0]!.join(broker.address(), topic, { groupId: unique('cut') })
    await eventually('what is left', () => member.seen.length === 3)
    await member.stop()
    assert.deepEqual(texts(member.seen), ['0-7', '0-8', '0-9'])
  })

  test('describeConfigs and alterConfigs: values with their sources; validateOnly and bad values change nothing', async () => {
    const topic = await filled('configs', 1)
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
    const retention = async (): Promise<[string | undefined, boolean | undefined]> => {
      const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ ...resource, configNames: ['retention.ms'] }] })
      assert.equal(resources[0]!.configEntries.length, 1)
      const [entry] = resources[0]!.configEntries
      return [entry?.configValue, entry?.isDefault]
    }
    const alter = (value: string, validateOnly = false): Promise<unknown> => admin.alterConfigs({ validateOnly, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value }] }] })
    const [byDefault] = await retention()
    await alter('3600000', true)
    assert.equal((await retention())[0], byDefault)
    await alter('3600000')
    assert.equal((await retention())[0], '3600000')
    await assert.rejects(alter('tomorrow'), saying(/INVALID_CONFIG|Configuration is invalid/))
    assert.equal((await retention())[0], '3600000')
    const all = await admin.describeConfigs({ includeSynonyms: true, resources: [resource, { type: ConfigResourceTypes.BROKER, name: String((await admin.describeCluster()).brokers[0]!.nodeId) }] })
    assert.deepEqual(all.resources.map(({ errorCode }) => errorCode), [0, 0])
    assert.ok(all.resources.every(({ configEntries }) => configEntries.length > 10))
  })

  test('deleteTopics: gone from the list, an error for those that never were, and the name is free again', async () => {
    const topic = await filled('gone', 3)
    await admin.deleteTopics({ topics: [topic] })
    assert.ok(!(await admin.listTopics()).includes(topic))
    await assert.rejects(admin.deleteTopics({ topics: [topic] }), saying('UNKNOWN_TOPIC_OR_PARTITION'))
    await createTopic(broker.address(), topic)
    assert.deepEqual(await endOffsets(broker.address(), topic), [0])
  })

  test('the cluster has one broker, which is its controller, under the address that clients use', async () => {
    const { brokers, controller, clusterId } = await admin.describeCluster()
    assert.deepEqual(brokers.map(({ nodeId, host, port }) => [nodeId, `${host}:${port}`]), [[controller, broker.address()]])
    assert.ok(clusterId.length > 0)
  })

  test('reassignments: none is under way; moving to a broker that does not exist is refused', async () => {
    const topic = await filled('moves', 1)
    assert.deepEqual((await admin.listPartitionReassignments({})).topics, [])
    await assert.rejects(admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [77] }] }] }), saying('INVALID_REPLICA_ASSIGNMENT'))
    await assert.rejects(admin.alterPartitionReassignments({ topics: [{ topic: unique('nowhere'), partitionAssignment: [{ partition: 0, replicas: [0] }] }] }), saying('UNKNOWN_TOPIC_OR_PARTITION'))
  })
})

describe('@platformatic/kafka', () => {
  let admin: PlatformaticAdmin
  before(() => {
    admin = platformaticAdmin(broker.address())
  })
  after(() => admin.close())

  test('createTopics tells id, partitions and configs of what was made', async () => {
    const topic = unique('made')
    const [created] = await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1, configs: [{ name: 'max.message.bytes', value: '2000' }] })
    assert.deepEqual([created!.name, created!.partitions, created!.replicas, created!.configuration['max.message.bytes']], [topic, 3, 1, '2000'])
    assert.match(created!.id, /^[0-9a-f-]{36}$/)
  })

  test('incrementalAlterConfigs: set, then back to the default, and the rest untouched', async () => {
    const topic = await filled('incremental', 1)
    const change = (name: string, configOperation: 0 | 1, value: string): Promise<void> => admin.incrementalAlterConfigs({ resources: [{ resourceType: 2, resourceName: topic, configs: [{ name, configOperation, value }] }] })
    const value = async (name: string): Promise<string | null | undefined> => {
      const [described] = await admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: topic, configurationKeys: null }], includeSynonyms: true, includeDocumentation: true })
      const config = described!.configs.find((one) => one.name === name)
      assert.ok((config?.documentation ?? '').length > 0)
      return config?.value
    }
    const byDefault = await value('retention.bytes')
    await change('retention.ms', 0, '7654321')
    await change('retention.bytes', 0, '1000000')
    await change('retention.bytes', 1, '')
    assert.deepEqual([await value('retention.ms'), await value('retention.bytes')], ['7654321', byDefault])
    await assert.rejects(change('no.such.config', 0, '1'), saying('INVALID_CONFIG'))
  })

  test('listOffsets for the special timestamps, and deleteRecords with the new low watermark', async () => {
    const topic = await filled('special', 5)
    const at = async (timestamp: bigint): Promise<bigint> => (await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }] }))[0]!.partitions[0]!.offset
    assert.deepEqual([await at(-2n), await at(-1n), await at(-3n), await at(1_700_000_002_000n)], [0n, 5n, 4n, 2n])
    const [deleted] = await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 3n }] }] })
    assert.deepEqual(deleted!.partitions, [{ partition: 0, lowWatermark: 3n }])
    assert.equal(await at(-2n), 3n)
  })

  test('log directories tell a size above nothing', async () => {
    const topic = await filled('sized', 100)
    const size = async (): Promise<bigint | undefined> => {
      const [described] = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0] }] })
      return described!.results[0]!.topics.find(({ name }) => name === topic)?.partitions[0]?.partitionSize
    }
    await eventually('a size', async () => ((await size()) ?? 0n) > 0n)
  })

  test('findCoordinator gives this broker for any group', async () => {
    const found = await admin.findCoordinator({ keyType: 0, keys: ['one', 'two'] })
    assert.deepEqual(found.map(({ key, host, port }) => [key, `${host}:${port}`]), [['one', broker.address()], ['two', broker.address()]])
  })
})
