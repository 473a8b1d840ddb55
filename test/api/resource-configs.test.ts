/** Configs of groups and client-metrics subscriptions, their list, AlterConfigs, and the quorum that tools ask for. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DescribeConfigs } from '../../protocol/messages/32-describe-configs.ts'
import { AlterConfigs } from '../../protocol/messages/33-alter-configs.ts'
import { IncrementalAlterConfigs } from '../../protocol/messages/44-incremental-alter-configs.ts'
import { DescribeQuorum } from '../../protocol/messages/55-describe-quorum.ts'
import { ConsumerGroupHeartbeat } from '../../protocol/messages/68-consumer-group-heartbeat.ts'
import { ListConfigResources } from '../../protocol/messages/74-list-config-resources.ts'
import { removeStore, startTestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'
import { createTopic, freshName, isError, onlyHere, quick, useBroker } from './support.ts'

const subject = useBroker()
const TOPIC = 2
const BROKER = 4
const STATIC_BROKER_CONFIG = 4
const CLIENT_METRICS = 16
const GROUP = 32
const SET = 0
const DELETE = 1
const APPEND = 2

type Change = readonly [name: string, operation: number, value: string | null]

async function alter(client: RawClient, resourceType: number, resourceName: string, changes: readonly Change[], validateOnly = false) {
  const configs = changes.map(([name, configOperation, value]) => ({ name, configOperation, value }))
  return (await client.send(IncrementalAlterConfigs, 1, { resources: [{ resourceType, resourceName, configs }], validateOnly })).responses[0]!
}

async function configsOf(client: RawClient, resourceType: number, resourceName: string) {
  const { results } = await client.send(DescribeConfigs, 4, { resources: [{ resourceType, resourceName, configurationKeys: null }], includeSynonyms: true })
  isError(results[0]!.errorCode, 'NONE')
  return new Map(results[0]!.configs.map((config) => [config.name, config]))
}

async function list(client: RawClient, ...resourceTypes: number[]): Promise<string[]> {
  const { errorCode, configResources } = await client.send(ListConfigResources, 1, { resourceTypes })
  isError(errorCode, 'NONE')
  return configResources.map(({ resourceType, resourceName }) => `${resourceType} ${resourceName}`)
}

describe('configs of a group', () => {
  test('are set, described with their source, listed, and gone when the last is deleted', async () => {
    const group = freshName('group')
    assert.equal((await configsOf(subject.client, GROUP, group)).get('consumer.session.timeout.ms')?.value, '45000')
    isError((await alter(subject.client, GROUP, group, [['consumer.session.timeout.ms', SET, '50000']])).errorCode, 'NONE')
    const config = (await configsOf(subject.client, GROUP, group)).get('consumer.session.timeout.ms')
    assert.deepEqual([config?.value, config?.configSource, config?.synonyms.at(-1)?.value], ['50000', 8, '45000'])
    assert.ok((await list(subject.client, GROUP)).includes(`${GROUP} ${group}`))
    isError((await alter(subject.client, GROUP, group, [['consumer.session.timeout.ms', DELETE, null]])).errorCode, 'NONE')
    assert.equal((await configsOf(subject.client, GROUP, group)).get('consumer.session.timeout.ms')?.configSource, 5)
    assert.ok(!(await list(subject.client, GROUP)).includes(`${GROUP} ${group}`))
  })

  test('that are unknown, out of range, or without effect are refused with the reason, and nothing is changed', async () => {
    const group = freshName('group')
    for (const change of [['no.such', SET, '1'], ['consumer.session.timeout.ms', SET, '1'], ['consumer.session.timeout.ms', SET, 'soon']] as const) {
      const refused = await alter(subject.client, GROUP, group, [['consumer.heartbeat.interval.ms', SET, '6000'], change])
      isError(refused.errorCode, 'INVALID_CONFIG')
      assert.match(refused.errorMessage ?? '', new RegExp(change[0]))
    }
    isError((await alter(subject.client, GROUP, '', [['consumer.session.timeout.ms', SET, '50000']])).errorCode, 'INVALID_REQUEST')
    isError((await alter(subject.client, GROUP, group, [['consumer.session.timeout.ms', SET, '50000']], true)).errorCode, 'NONE')
    assert.equal((await configsOf(subject.client, GROUP, group)).get('consumer.heartbeat.interval.ms')?.configSource, 5)
    assert.ok(!(await list(subject.client, GROUP)).includes(`${GROUP} ${group}`))
  })

  test('take effect: members are told the interval of their group', async () => {
    const group = freshName('group')
    isError((await alter(subject.client, GROUP, group, [['consumer.heartbeat.interval.ms', SET, '7000']])).errorCode, 'NONE')
    const reply = await subject.client.send(ConsumerGroupHeartbeat, 1, {
      groupId: group,
      memberId: 'a',
      memberEpoch: 0,
      rebalanceTimeoutMs: 60_000,
      subscribedTopicNames: ['none'],
      topicPartitions: [],
    })
    isError(reply.errorCode, 'NONE')
    assert.equal(reply.heartbeatIntervalMs, 7000)
  })

  test('a session must be longer than a heartbeat interval, and both within the limits of the broker', async () => {
    const broker = await startTestBroker({ args: [...quick, '--group-consumer-max-heartbeat-interval-ms', '50000'] })
    const client = await RawClient.connect(broker.address)
    isError((await alter(client, GROUP, 'g', [['consumer.heartbeat.interval.ms', SET, '45000']])).errorCode, 'INVALID_CONFIG')
    isError((await alter(client, GROUP, 'g', [['consumer.heartbeat.interval.ms', SET, '44000']])).errorCode, 'NONE')
    isError((await alter(client, GROUP, 'g', [['consumer.heartbeat.interval.ms', SET, '50001']])).errorCode, 'INVALID_CONFIG')
    client.close()
    await broker.stop()
    await removeStore(broker.store)
  })

  test('share groups are named in the refusal', onlyHere, async () => {
    assert.match((await alter(subject.client, GROUP, 'g', [['share.auto.offset.reset', SET, 'earliest']])).errorMessage ?? '', /no groups of this kind/)
  })
})

describe('client-metrics subscriptions', () => {
  test('lists can be appended to; matching is checked', async () => {
    const name = freshName('metrics')
    isError((await alter(subject.client, CLIENT_METRICS, name, [['metrics', SET, 'org.apache.kafka.producer.'], ['interval.ms', SET, '1000']])).errorCode, 'NONE')
    isError((await alter(subject.client, CLIENT_METRICS, name, [['metrics', APPEND, 'org.apache.kafka.consumer.']])).errorCode, 'NONE')
    const configs = await configsOf(subject.client, CLIENT_METRICS, name)
    assert.equal(configs.get('metrics')?.value, 'org.apache.kafka.producer.,org.apache.kafka.consumer.')
    assert.equal(configs.get('interval.ms')?.configSource, 7)
    for (const match of ['planet=earth', 'client_id', 'client_id=a(']) {
      isError((await alter(subject.client, CLIENT_METRICS, name, [['match', SET, match]])).errorCode, 'INVALID_CONFIG', match)
    }
    isError((await alter(subject.client, CLIENT_METRICS, name, [['match', SET, 'client_id=app-.*,client_software_name=librdkafka']])).errorCode, 'NONE')
    const { configResources } = await subject.client.send(ListConfigResources, 0, {})
    assert.ok(configResources.some(({ resourceName }) => resourceName === name))
  })
})

test('a restart keeps them', onlyHere, async () => {
  const first = await startTestBroker({ args: quick })
  const client = await RawClient.connect(first.address)
  isError((await alter(client, GROUP, 'g', [['consumer.session.timeout.ms', SET, '50000']])).errorCode, 'NONE')
  client.close()
  await first.kill()
  const second = await startTestBroker({ store: first.store, args: quick })
  const again = await RawClient.connect(second.address)
  assert.equal((await configsOf(again, GROUP, 'g')).get('consumer.session.timeout.ms')?.value, '50000')
  again.close()
  await second.stop()
  await removeStore(first.store)
})

test('a broker tells where it is advertised, as Kafka names it', async () => {
  const [broker] = (await list(subject.client, BROKER)).map((name) => name.slice(2))
  const advertised = (await configsOf(subject.client, BROKER, broker!)).get('advertised.listeners')
  assert.match(advertised?.value ?? '', /^PLAINTEXT:\/\/.+:\d+$/)
  // It follows from --listen, which was given.
  assert.equal(advertised?.configSource, STATIC_BROKER_CONFIG)
})

describe('ListConfigResources', () => {
  test('everything, or the types that are asked for', async () => {
    const topic = await createTopic(subject.client)
    const all = await list(subject.client)
    assert.ok(all.includes(`${TOPIC} ${topic.name}`))
    assert.equal(all.filter((name) => name.startsWith(`${BROKER} `)).length, 1)
    assert.ok((await list(subject.client, TOPIC)).every((name) => name.startsWith(`${TOPIC} `)))
  })

  test('an unknown type is UNSUPPORTED_VERSION', async () => {
    isError((await subject.client.send(ListConfigResources, 1, { resourceTypes: [99] })).errorCode, 'UNSUPPORTED_VERSION')
  })
})

test('AlterConfigs replaces all configs of a topic', async () => {
  const topic = await createTopic(subject.client, { configs: { 'retention.ms': '1000', 'max.message.bytes': '5000' } })
  const replace = async (configs: readonly { name: string; value: string | null }[], version: number) =>
    (await subject.client.send(AlterConfigs, version, { resources: [{ resourceType: TOPIC, resourceName: topic.name, configs }], validateOnly: false })).responses[0]!
  for (const version of [0, 1, 2]) {
    isError((await replace([{ name: 'retention.ms', value: '9000' }], version)).errorCode, 'NONE')
    const configs = await configsOf(subject.client, TOPIC, topic.name)
    assert.deepEqual([configs.get('retention.ms')?.value, configs.get('max.message.bytes')?.configSource], ['9000', 5])
  }
  isError((await replace([{ name: 'retention.ms', value: 'soon' }], 2)).errorCode, 'INVALID_CONFIG')
  isError((await replace([{ name: 'retention.ms', value: null }], 2)).errorCode, 'INVALID_REQUEST')
  const resource = { resourceType: TOPIC, resourceName: topic.name, configs: [] }
  const { responses } = await subject.client.send(AlterConfigs, 2, { resources: [resource, resource], validateOnly: true })
  for (const { errorCode } of responses) isError(errorCode, 'INVALID_REQUEST')
})

test('DescribeQuorum shows one voter', async () => {
  for (const version of [0, 1, 2]) {
    const asked = [{ topicName: '__cluster_metadata', partitions: [{ partitionIndex: 0 }] }]
    const { errorCode, topics } = await subject.client.send(DescribeQuorum, version, { topics: asked })
    isError(errorCode, 'NONE')
    const partition = topics[0]!.partitions[0]!
    isError(partition.errorCode, 'NONE')
    assert.ok(partition.highWatermark > 0 && partition.currentVoters.length === 1)
    assert.equal(partition.currentVoters[0]!.replicaId, partition.leaderId)
  }
  const { topics } = await subject.client.send(DescribeQuorum, 2, { topics: [{ topicName: 'other', partitions: [{ partitionIndex: 0 }] }] })
  isError(topics[0]!.partitions[0]!.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
})
