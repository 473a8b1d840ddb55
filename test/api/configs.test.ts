/** DescribeConfigs and IncrementalAlterConfigs: values, where they come from, what may be changed. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { errorName } from '../../protocol/errors.ts'
import { DescribeConfigs } from '../../protocol/messages/32-describe-configs.ts'
import { IncrementalAlterConfigs } from '../../protocol/messages/44-incremental-alter-configs.ts'
import type { DecodedResponseOf, RequestInputOf } from '../../protocol/schema/api.ts'
import { eventually } from '../support/broker.ts'
import { batchOf, createTopic, freshName, isError, onKafka, onlyHere, produce, produceOk, useBroker } from './support.ts'
import type { TestTopic } from './support.ts'

const subject = useBroker(['--num-partitions', '7', '--log-retention-ms', '123456789'])

const TOPIC = 2
const BROKER = 4
const [FROM_TOPIC, STATIC, DEFAULT] = [1, 4, 5]
const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3]

type Described = DecodedResponseOf<typeof DescribeConfigs>['results'][number]
type Config = Described['configs'][number]
type Resource = Partial<RequestInputOf<typeof DescribeConfigs>['resources'][number]>

async function describeResource(resource: Resource, options: { version?: number; includeSynonyms?: boolean; includeDocumentation?: boolean } = {}): Promise<Described> {
  const { version = 4, ...include } = options
  const { results } = await subject.client.send(DescribeConfigs, version, {
    resources: [{ resourceType: TOPIC, resourceName: '', configurationKeys: null, ...resource }],
    includeSynonyms: true,
    includeDocumentation: true,
    ...include,
  })
  assert.equal(results.length, 1)
  return results[0]!
}

async function configOf(topic: TestTopic, name: string, options: Parameters<typeof describeResource>[1] = {}): Promise<Config> {
  const { configs, errorCode, errorMessage } = await describeResource({ resourceName: topic.name, configurationKeys: [name] }, options)
  isError(errorCode, 'NONE', errorMessage)
  assert.equal(configs.length, 1)
  return configs[0]!
}

type Change = readonly [name: string, operation: number, value?: string | null]

async function alter(resource: { name: string } | { type: number; name: string }, changes: readonly Change[], options: { version?: number; validateOnly?: boolean } = {}) {
  const { responses } = await subject.client.send(IncrementalAlterConfigs, options.version ?? 1, {
    resources: [
      {
        resourceType: 'type' in resource ? resource.type : TOPIC,
        resourceName: resource.name,
        configs: changes.map(([name, configOperation, value = null]) => ({ name, configOperation, value })),
      },
    ],
    validateOnly: options.validateOnly ?? false,
  })
  assert.equal(responses.length, 1)
  const { errorCode, errorMessage } = responses[0]!
  return [errorName(errorCode), errorMessage] as const
}

describe('DescribeConfigs of a topic', () => {
  test('all the usual names, with type and documentation', async () => {
    const { name } = await createTopic(subject.client)
    const { configs } = await describeResource({ resourceName: name })
    const types = new Map(configs.map((config) => [config.name, config.configType]))
    const expected = {
      'cleanup.policy': 7, 'compression.gzip.level': 3, 'compression.lz4.level': 3, 'compression.type': 2, 'compression.zstd.level': 3, 'delete.retention.ms': 5,
      'file.delete.delay.ms': 5, 'flush.messages': 5, 'flush.ms': 5, 'follower.replication.throttled.replicas': 7, 'index.interval.bytes': 3,
      'leader.replication.throttled.replicas': 7, 'local.retention.bytes': 5, 'local.retention.ms': 5, 'max.compaction.lag.ms': 5, 'max.message.bytes': 3,
      'message.timestamp.after.max.ms': 5, 'message.timestamp.before.max.ms': 5, 'message.timestamp.type': 2, 'min.cleanable.dirty.ratio': 6,
      'min.compaction.lag.ms': 5, 'min.insync.replicas': 3, preallocate: 1, 'remote.log.copy.disable': 1, 'remote.log.delete.on.disable': 1,
      'remote.storage.enable': 1, 'retention.bytes': 5, 'retention.ms': 5, 'segment.bytes': 3, 'segment.index.bytes': 3, 'segment.jitter.ms': 5, 'segment.ms': 5,
      'unclean.leader.election.enable': 1,
    }
    for (const [config, type] of Object.entries(expected)) assert.equal(types.get(config), type, config)
    for (const config of configs) {
      assert.deepEqual([config.readOnly, config.isSensitive], [false, false])
      assert.ok((config.documentation ?? '').length > 10, config.name)
    }
  })

  test('the defaults are Kafka\'s', async () => {
    const topic = await createTopic(subject.client)
    const defaults = {
      'cleanup.policy': 'delete', 'compression.type': 'producer', 'delete.retention.ms': '86400000', 'max.message.bytes': '1048588', 'message.timestamp.type': 'CreateTime',
      'message.timestamp.after.max.ms': '3600000', 'message.timestamp.before.max.ms': '9223372036854775807', 'min.insync.replicas': '1', 'retention.bytes': '-1',
      'segment.bytes': '1073741824', 'segment.ms': '604800000', 'compression.lz4.level': '9', 'compression.zstd.level': '3', 'compression.gzip.level': '-1',
      'local.retention.ms': '-2', 'min.cleanable.dirty.ratio': '0.5', 'flush.messages': '9223372036854775807', preallocate: 'false',
    }
    for (const [name, value] of Object.entries(defaults)) assert.equal((await configOf(topic, name)).value, value, name)
  })

  test('a value of its own stands before the default, with both among the synonyms', async () => {
    const topic = await createTopic(subject.client, { configs: { 'max.message.bytes': '5000' } })
    const own = await configOf(topic, 'max.message.bytes')
    assert.deepEqual([own.value, own.configSource], ['5000', FROM_TOPIC])
    assert.deepEqual(own.synonyms, [
      { name: 'max.message.bytes', value: '5000', source: FROM_TOPIC },
      { name: 'message.max.bytes', value: '1048588', source: DEFAULT },
    ])
    const inherited = await configOf(topic, 'compression.type')
    assert.deepEqual([inherited.configSource, inherited.synonyms.map(({ name }) => name)], [DEFAULT, ['compression.type']])
  })

  test('a setting of the broker that was set is where the value comes from', onlyHere, async () => {
    const topic = await createTopic(subject.client)
    const inherited = await configOf(topic, 'retention.ms')
    assert.deepEqual([inherited.value, inherited.configSource], ['123456789', STATIC])
    assert.deepEqual(inherited.synonyms, [
      { name: 'log.retention.ms', value: '123456789', source: STATIC },
      { name: 'log.retention.ms', value: '604800000', source: DEFAULT },
    ])
  })

  test('synonyms and documentation only for who asks, types and documentation from v3 on', async () => {
    const topic = await createTopic(subject.client)
    for (let version = 1; version <= 4; version++) {
      const full = await configOf(topic, 'max.message.bytes', { version })
      assert.deepEqual([full.synonyms.length, full.configType], [1, version >= 3 ? 3 : 0])
      assert.equal((full.documentation ?? '') !== '', version >= 3)
      const plain = await configOf(topic, 'max.message.bytes', { version, includeSynonyms: false, includeDocumentation: false })
      assert.deepEqual([plain.synonyms, plain.documentation ?? ''], [[], ''])
    }
  })

  test('some keys, none (which is all), and keys that nobody knows', async () => {
    const { name } = await createTopic(subject.client)
    const names = async (configurationKeys: string[] | null): Promise<string[]> =>
      (await describeResource({ resourceName: name, configurationKeys })).configs.map((config) => config.name)
    assert.deepEqual(await names(['segment.ms', 'nope']), ['segment.ms'])
    assert.ok((await names([])).length > 30)
    assert.deepEqual(new Set(await names([])), new Set(await names(null)))
  })

  test('unknown and impossible names', async () => {
    isError((await describeResource({ resourceName: freshName('absent') })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    isError((await describeResource({ resourceName: 'a b' })).errorCode, 'INVALID_TOPIC_EXCEPTION')
    isError((await describeResource({ resourceName: '' })).errorCode, 'INVALID_TOPIC_EXCEPTION')
  })
})

describe('DescribeConfigs of the broker', () => {
  test('what was set and what was not', onlyHere, async () => {
    const { configs, errorCode } = await describeResource({ resourceType: BROKER, resourceName: '0' })
    isError(errorCode, 'NONE')
    const find = (name: string): Config => configs.find((config) => config.name === name)!
    const partitions = find('num.partitions')
    assert.deepEqual([partitions.value, partitions.configSource, partitions.readOnly], ['7', STATIC, true])
    assert.deepEqual(partitions.synonyms, [{ name: 'num.partitions', value: '7', source: STATIC }, { name: 'num.partitions', value: '4', source: DEFAULT }])
    const auto = find('auto.create.topics.enable')
    assert.deepEqual([auto.value, auto.configSource, auto.configType], ['true', DEFAULT, 1])
  })

  test('another broker, no number, the cluster-wide defaults', async () => {
    for (const [name, message] of [['7', 'Unexpected broker id, expected 0 or empty string, but received 7'], ['x', 'Broker id must be an integer, but it is: x']] as const) {
      const { errorCode, errorMessage } = await describeResource({ resourceType: BROKER, resourceName: name })
      isError(errorCode, 'INVALID_REQUEST')
      assert.equal(errorMessage, message)
    }
    isError((await describeResource({ resourceType: BROKER, resourceName: '' })).errorCode, 'NONE')
  })

  test('a kind of resource that does not exist: INVALID_REQUEST', async () => {
    for (const resourceType of [0, 99]) isError((await describeResource({ resourceType, resourceName: 'x' })).errorCode, 'INVALID_REQUEST')
  })
})

describe('IncrementalAlterConfigs', () => {
  async function becomes(topic: TestTopic, name: string, value: string, source = FROM_TOPIC): Promise<void> {
    if (onKafka) await eventually(`${name}=${value}`, async () => (await configOf(topic, name)).value === value)
    const config = await configOf(topic, name)
    assert.deepEqual([config.value, config.configSource], [value, source])
  }

  test('set and delete, in every version, in force at once', async () => {
    for (const version of [0, 1]) {
      const topic = await createTopic(subject.client)
      assert.deepEqual(await alter(topic, [['segment.ms', SET, '7'], ['max.message.bytes', SET, ' 100 ']], { version }), ['NONE', null])
      await becomes(topic, 'segment.ms', '7')
      await becomes(topic, 'max.message.bytes', '100')
      isError((await produce(subject.client, topic, batchOf(['x'.repeat(100)]))).errorCode, 'MESSAGE_TOO_LARGE')
      assert.deepEqual(await alter(topic, [['max.message.bytes', DELETE], ['segment.jitter.ms', DELETE], ['nope', DELETE]], { version }), ['NONE', null])
      await becomes(topic, 'max.message.bytes', '1048588', DEFAULT)
      await becomes(topic, 'segment.ms', '7')
      await produceOk(subject.client, topic, batchOf(['x'.repeat(100)]))
    }
  })

  test('append to and subtract from lists', async () => {
    const topic = await createTopic(subject.client)
    for (const [operation, value, result] of [[APPEND, 'compact', 'delete,compact'], [APPEND, 'compact', 'delete,compact'], [SUBTRACT, 'delete', 'compact'], [SUBTRACT, 'compact', '']] as const) {
      assert.deepEqual(await alter(topic, [['cleanup.policy', operation, value]]), ['NONE', null])
      await becomes(topic, 'cleanup.policy', result)
    }
    assert.deepEqual(await alter(topic, [['retention.ms', APPEND, '1']]), ['INVALID_CONFIG', "Can't APPEND to key retention.ms because its type is not LIST."])
    assert.deepEqual(await alter(topic, [['retention.ms', SUBTRACT, '1']]), ['INVALID_CONFIG', "Can't SUBTRACT to key retention.ms because its type is not LIST."])
  })

  test('what is refused changes nothing, also where the rest would do', async () => {
    const topic = await createTopic(subject.client)
    const refused: readonly (readonly [readonly Change[], string, string])[] = [
      [[['segment.ms', SET, 'x']], 'INVALID_CONFIG', 'Invalid value x for configuration segment.ms: Not a number of type LONG'],
      [[['segment.ms', SET, '77'], ['retention.bytes', SET, 'x']], 'INVALID_CONFIG', 'Invalid value x for configuration retention.bytes: Not a number of type LONG'],
      [[['nope', SET, 'x']], 'INVALID_CONFIG', 'Unknown topic config name: nope'],
      [[['segment.ms', SET]], 'INVALID_REQUEST', 'Null value not supported for : segment.ms'],
      [[['segment.ms', SET, '1'], ['segment.ms', SET, '2']], 'INVALID_REQUEST', 'Error due to duplicate config keys'],
    ]
    for (const [changes, error, message] of refused) assert.deepEqual(await alter(topic, changes), [error, message])
    await becomes(topic, 'segment.ms', '604800000', DEFAULT)
  })

  test('a config that can have no effect takes its default alone, and says why; what is promised anyway takes every value', onlyHere, async () => {
    const topic = await createTopic(subject.client)
    for (const [name, value, other] of [
      ['compression.lz4.level', '9', '10'], ['follower.replication.throttled.replicas', '', '0:0'], ['index.interval.bytes', '4096', '8192'],
      ['leader.replication.throttled.replicas', '', '*'], ['local.retention.bytes', '-2', '1'], ['local.retention.ms', '-2', '-1'], ['preallocate', 'false', 'true'],
      ['remote.log.copy.disable', 'false', 'true'], ['remote.log.delete.on.disable', 'false', 'true'], ['remote.storage.enable', 'false', 'true'],
      ['segment.index.bytes', '10485760', '4096'], ['segment.jitter.ms', '0', '1'], ['unclean.leader.election.enable', 'false', 'true'],
    ] as const) {
      assert.deepEqual(await alter(topic, [[name, SET, value]]), ['NONE', null], name)
      const [error, message] = await alter(topic, [[name, SET, other]])
      assert.equal(error, 'INVALID_CONFIG', name)
      assert.match(message ?? '', /: it has no effect here and must stay .+\. (There|Segments|A leader)/, name)
      await becomes(topic, name, value)
    }
    for (const name of ['flush.messages', 'flush.ms', 'min.insync.replicas']) {
      assert.deepEqual(await alter(topic, [[name, SET, '1']]), ['NONE', null], name)
      assert.match((await configOf(topic, name)).documentation ?? '', /^Whatever it says: .+ before it is acknowledged/, name)
    }
  })

  test('validate only', async () => {
    const topic = await createTopic(subject.client)
    assert.deepEqual(await alter(topic, [['segment.ms', SET, '99']], { validateOnly: true }), ['NONE', null])
    assert.equal((await alter(topic, [['segment.ms', SET, 'x']], { validateOnly: true }))[0], 'INVALID_CONFIG')
    await becomes(topic, 'segment.ms', '604800000', DEFAULT)
  })

  test('resources that are not there, or not to be changed', async () => {
    const change: readonly Change[] = [['segment.ms', SET, '1']]
    assert.deepEqual(await alter({ name: 'absent' }, change), ['UNKNOWN_TOPIC_OR_PARTITION', "The topic 'absent' does not exist."])
    assert.equal((await alter({ name: 'a b' }, change))[0], 'INVALID_TOPIC_EXCEPTION')
    assert.deepEqual(await alter({ name: '' }, change), ['INVALID_REQUEST', 'Default topic resources are not allowed.'])
    assert.deepEqual(await alter({ type: 99, name: 'x' }, change), ['INVALID_REQUEST', 'Unknown resource type 99'])
    assert.deepEqual(await alter({ type: BROKER, name: '7' }, [['num.partitions', SET, '1']]), ['INVALID_REQUEST', 'Unexpected broker id, expected 0, but received 7'])
    const [error, message] = await alter({ type: BROKER, name: '0' }, [['num.partitions', SET, '1']])
    assert.equal(error, 'INVALID_REQUEST')
    assert.match(message ?? '', /^Cannot update these configs dynamically: \[num\.partitions\]/)
  })

  test('one resource twice: INVALID_REQUEST for both', async () => {
    const { name } = await createTopic(subject.client)
    const resource = { resourceType: TOPIC, resourceName: name, configs: [{ name: 'segment.ms', configOperation: SET, value: '5' }] }
    const { responses } = await subject.client.send(IncrementalAlterConfigs, 1, { resources: [resource, resource], validateOnly: false })
    assert.deepEqual(responses.map(({ errorCode, errorMessage }) => [errorName(errorCode), errorMessage]), Array.from({ length: 2 }, () => ['INVALID_REQUEST', 'Each resource must appear at most once.']))
  })
})
