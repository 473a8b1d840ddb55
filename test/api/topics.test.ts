/** Topics as clients manage them: Metadata, CreateTopics, CreatePartitions, DeleteTopics, DescribeTopicPartitions, DescribeCluster. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { errorName } from '../../protocol/errors.ts'
import type { KafkaError } from '../../protocol/errors.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { CreateTopics } from '../../protocol/messages/19-create-topics.ts'
import { DeleteTopics } from '../../protocol/messages/20-delete-topics.ts'
import { CreatePartitions } from '../../protocol/messages/37-create-partitions.ts'
import { DescribeCluster } from '../../protocol/messages/60-describe-cluster.ts'
import { DescribeTopicPartitions } from '../../protocol/messages/75-describe-topic-partitions.ts'
import type { DecodedResponseOf, RequestInputOf } from '../../protocol/schema/api.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import { eventually } from '../support/broker.ts'
import { batchOf, createTopic, endOffset, fetchOne, freshName, isError, onKafka, onlyHere, produceOk, recordsIn, useBroker } from './support.ts'

const subject = useBroker()
const strict = useBroker(['--auto-create-topics-enable', 'false', '--delete-topic-enable', 'false', '--num-partitions', '3'])
const UNKNOWN_ID = 'BBBBBBBBBBBBBBBBBBBBBA'
const NOT_ASKED = -(2 ** 31)
const TOPIC_OPERATIONS = 3576
const CLUSTER_OPERATIONS = 8096

type ErrorName = keyof typeof KafkaError
type AskedTopic = Partial<RequestInputOf<typeof CreateTopics>['topics'][number]>
type CreatedTopic = DecodedResponseOf<typeof CreateTopics>['topics'][number]

async function create(topics: readonly AskedTopic[], options: { version?: number; validateOnly?: boolean } = {}): Promise<readonly CreatedTopic[]> {
  const response = await subject.client.send(CreateTopics, options.version ?? 7, {
    topics: topics.map((topic) => ({ name: freshName('made'), numPartitions: 1, replicationFactor: 1, assignments: [], configs: [], ...topic })),
    timeoutMs: 10_000,
    validateOnly: options.validateOnly ?? false,
  })
  return response.topics
}

async function metadata(topics: RequestInputOf<typeof Metadata>['topics'], options: { version?: number } & Partial<RequestInputOf<typeof Metadata>> = {}) {
  const { version = 12, ...request } = options
  return await subject.client.send(Metadata, version, { allowAutoTopicCreation: false, ...request, topics })
}

async function exists(name: string): Promise<boolean> {
  return (await metadata([{ name }])).topics[0]?.errorCode === 0
}

describe('CreateTopics', () => {
  test('creates in every version; what is answered depends on it', async () => {
    for (let version = 2; version <= 7; version++) {
      const name = freshName('made')
      const [created] = await create([{ name, numPartitions: 3, configs: [{ name: 'retention.ms', value: '1234' }] }], { version })
      isError(created?.errorCode, 'NONE', created?.errorMessage)
      assert.deepEqual([created?.numPartitions, created?.replicationFactor], version >= 5 ? [3, 1] : [-1, -1])
      const own = created?.configs?.find((config) => config.name === 'retention.ms')
      assert.deepEqual([own?.value, own?.configSource], version >= 5 ? ['1234', 1] : [undefined, undefined])
      assert.equal(created?.topicId === ZERO_UUID, version < 7)
      await eventually('the topic is there', () => exists(name))
      const found = (await metadata([{ name }])).topics[0]
      assert.equal(found?.partitions.length, 3)
      if (version >= 7) assert.equal(found?.topicId, created?.topicId)
    }
  })

  test('-1 stands for the defaults, also in versions before v4', async () => {
    for (const version of [3, 7]) {
      const [created] = await create([{ numPartitions: -1, replicationFactor: -1 }], { version })
      isError(created?.errorCode, 'NONE')
      if (version >= 5) assert.deepEqual([created?.numPartitions, created?.replicationFactor], [4, 1])
    }
  })

  test('validate only: all is checked and nothing is made', async () => {
    const name = freshName('made')
    for (let i = 0; i < 2; i++) {
      const [created] = await create([{ name, numPartitions: 5 }], { validateOnly: true })
      assert.deepEqual([created?.errorCode, created?.numPartitions], [0, 5])
    }
    assert.equal(await exists(name), false)
    isError((await create([{ name: 'a b' }], { validateOnly: true }))[0]?.errorCode, 'INVALID_TOPIC_EXCEPTION')
  })

  const broker0 = { brokerIds: [0] }
  const assigned = (assignments: AskedTopic['assignments']): AskedTopic => ({ numPartitions: -1, replicationFactor: -1, ...(assignments === undefined ? {} : { assignments }) })
  const config = (name: string, value: string | null): AskedTopic => ({ configs: [{ name, value }] })
  const refused: readonly [what: string, asked: AskedTopic, error: ErrorName, message: RegExp][] = [
    ['no name', { name: '' }, 'INVALID_TOPIC_EXCEPTION', /^Topic name is invalid: the empty string is not allowed$/],
    ['.', { name: '.' }, 'INVALID_TOPIC_EXCEPTION', /^Topic name is invalid: '\.' is not allowed$/],
    ['..', { name: '..' }, 'INVALID_TOPIC_EXCEPTION', /^Topic name is invalid: '\.\.' is not allowed$/],
    ['a name of 250 characters', { name: 'x'.repeat(250) }, 'INVALID_TOPIC_EXCEPTION', /is longer than the max allowed length 249$/],
    ['a blank in the name', { name: 'a b' }, 'INVALID_TOPIC_EXCEPTION', /'a b' contains one or more characters other than ASCII alphanumerics, '\.', '_' and '-'$/],
    ['a letter that is not ASCII', { name: 'é' }, 'INVALID_TOPIC_EXCEPTION', /contains one or more characters other than ASCII/],
    ['no partitions', { numPartitions: 0 }, 'INVALID_PARTITIONS', /^Number of partitions was set to an invalid non-positive value\.$/],
    ['-2 partitions', { numPartitions: -2 }, 'INVALID_PARTITIONS', /non-positive/],
    ['no replicas', { replicationFactor: 0 }, 'INVALID_REPLICATION_FACTOR', /^Replication factor must be larger than 0, or -1 to use the default value\.$/],
    ['-2 replicas', { replicationFactor: -2 }, 'INVALID_REPLICATION_FACTOR', /larger than 0/],
    ['more replicas than brokers', { replicationFactor: 3 }, 'INVALID_REPLICATION_FACTOR', /^Unable to replicate the partition 3 time\(s\): The target replication factor of 3 cannot be reached because only 1 broker\(s\) are registered/],
    ['assignments beside a replication factor', { numPartitions: -1, assignments: [{ partitionIndex: 0, ...broker0 }] }, 'INVALID_REQUEST', /^A manual partition assignment was specified, but replication factor was not set to -1\.$/],
    ['assignments beside a number of partitions', { replicationFactor: -1, assignments: [{ partitionIndex: 0, ...broker0 }] }, 'INVALID_REQUEST', /^A manual partition assignment was specified, but numPartitions was not set to -1\.$/],
    ['assignments with a gap', assigned([{ partitionIndex: 0, ...broker0 }, { partitionIndex: 2, ...broker0 }]), 'INVALID_REPLICA_ASSIGNMENT', /consecutive 0-based integer sequence/],
    ['assignments from 1', assigned([{ partitionIndex: 1, ...broker0 }]), 'INVALID_REPLICA_ASSIGNMENT', /consecutive 0-based/],
    ['one partition assigned twice', assigned([{ partitionIndex: 0, ...broker0 }, { partitionIndex: 0, ...broker0 }]), 'INVALID_REPLICA_ASSIGNMENT', /^Found multiple manual partition assignments for partition 0$/],
    ['a partition assigned to nobody', assigned([{ partitionIndex: 0, brokerIds: [] }]), 'INVALID_REPLICA_ASSIGNMENT', /empty replica list/],
    ['a partition assigned to one broker twice', assigned([{ partitionIndex: 0, brokerIds: [0, 0] }]), 'INVALID_REPLICA_ASSIGNMENT', /the broker 0 more than once/],
    ['a partition assigned to a stranger', assigned([{ partitionIndex: 0, brokerIds: [7] }]), 'INVALID_REPLICA_ASSIGNMENT', /broker 7, but no such broker is registered/],
    ['a config that nobody knows', config('nope', '1'), 'INVALID_CONFIG', /^Unknown topic config name: nope$/],
    ['a config without a value', config('retention.ms', null), 'INVALID_CONFIG', /^Null value not supported for topic configs: retention\.ms$/],
    ['a number that is none', config('retention.ms', 'x'), 'INVALID_CONFIG', /^Invalid value x for configuration retention\.ms: Not a number of type LONG$/],
    ['a number beyond its type', config('max.message.bytes', '3000000000'), 'INVALID_CONFIG', /Not a number of type INT$/],
    ['a number that is too small', config('retention.ms', '-2'), 'INVALID_CONFIG', /^Invalid value -2 for configuration retention\.ms: Value must be at least -1$/],
    ['min.insync.replicas of 0', config('min.insync.replicas', '0'), 'INVALID_CONFIG', /Value must be at least 1$/],
    ['a ratio above 1', config('min.cleanable.dirty.ratio', '2'), 'INVALID_CONFIG', /for configuration min\.cleanable\.dirty\.ratio: Value must be no more than 1$/],
    ['a choice that is none', config('compression.type', 'foo'), 'INVALID_CONFIG', /: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer$/],
    ['a policy that is none', config('cleanup.policy', 'delete,foo'), 'INVALID_CONFIG', /: String must be one of: compact, delete$/],
    ['a flag that is none', config('preallocate', 'foo'), 'INVALID_CONFIG', /: Expected value to be either true or false$/],
    ['a timestamp type that is none', config('message.timestamp.type', 'x'), 'INVALID_CONFIG', /: String must be one of: CreateTime, LogAppendTime$/],
  ]
  for (const [what, asked, error, message] of refused) {
    test(`${what}: ${error}`, async () => {
      for (const validateOnly of [true, false]) {
        const [answer] = await create([asked], { validateOnly })
        isError(answer?.errorCode, error, answer?.errorMessage)
        assert.match(answer?.errorMessage ?? '', message)
        assert.deepEqual([answer?.topicId, answer?.numPartitions, answer?.replicationFactor, answer?.configs], [ZERO_UUID, -1, -1, []])
      }
    })
  }

  test('names that exist, and names that are one name to metrics', async () => {
    const name = freshName('a.b')
    await createTopic(subject.client, { name })
    const [again] = await create([{ name }])
    isError(again?.errorCode, 'TOPIC_ALREADY_EXISTS')
    assert.equal(again?.errorMessage, `Topic '${name}' already exists.`)
    const similar = name.replace('.', '_')
    const [collides] = await create([{ name: similar }])
    isError(collides?.errorCode, 'INVALID_TOPIC_EXCEPTION')
    assert.equal(collides?.errorMessage, `Topic '${similar}' collides with existing topic: ${name}`)
  })

  test('a name that is given twice is created not even once; the others are', async () => {
    const [twice, once] = [freshName('made'), freshName('made')]
    const answers = await create([{ name: twice }, { name: once }, { name: twice, numPartitions: 3 }])
    assert.deepEqual(new Map(answers.map(({ name, errorCode, errorMessage }) => [name, [errorName(errorCode), errorMessage]])), new Map([
      [twice, ['INVALID_REQUEST', 'Duplicate topic name.']],
      [once, ['NONE', null]],
    ]))
    await eventually('the other one is there', () => exists(once))
    assert.equal(await exists(twice), false)
  })

  test('manual assignments give the number of partitions', async () => {
    const [created] = await create([assigned([{ partitionIndex: 1, ...broker0 }, { partitionIndex: 0, ...broker0 }])])
    assert.deepEqual([created?.errorCode, created?.numPartitions], [0, 2])
  })

  test('configs as people write them', async () => {
    for (const [name, value] of [['retention.ms', ' 5 '], ['unclean.leader.election.enable', 'FALSE'], ['cleanup.policy', 'compact, delete'], ['cleanup.policy', ''], ['compression.zstd.level', '5'], ['max.compaction.lag.ms', '9223372036854775807']] as const) {
      const [created] = await create([config(name, value)])
      isError(created?.errorCode, 'NONE', `${name}=${value}: ${created?.errorMessage}`)
    }
  })

  test('two requests for one name at once: one wins', async () => {
    const name = freshName('made')
    const answers = await Promise.all(Array.from({ length: 5 }, () => create([{ name }])))
    const codes = answers.map(([answer]) => errorName(answer?.errorCode ?? -1))
    assert.deepEqual(codes.filter((code) => code === 'NONE').length, 1, codes.join())
    assert.ok(codes.every((code) => code === 'NONE' || code === 'TOPIC_ALREADY_EXISTS'), codes.join())
  })

  test('names that differ in case are two topics, also on a disk that thinks otherwise', async () => {
    const name = freshName('Case')
    await createTopic(subject.client, { name })
    await createTopic(subject.client, { name: name.toLowerCase() })
    await produceOk(subject.client, { name }, batchOf(['x']))
    assert.equal(await endOffset(subject.client, { name: name.toLowerCase() }), 0)
  })
})

describe('Metadata', () => {
  test('none, all, some: in every version', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    for (let version = 0; version <= 13; version++) {
      const some = await metadata([{ name: topic.name }], { version })
      const [found] = some.topics
      assert.deepEqual([found?.name, found?.errorCode, found?.isInternal], [topic.name, 0, false])
      assert.deepEqual(found?.partitions.map((p) => [p.partitionIndex, p.errorCode, p.leaderId, [...p.replicaNodes], [...p.isrNodes], [...p.offlineReplicas]]), [
        [0, 0, 0, [0], [0], []],
        [1, 0, 0, [0], [0], []],
      ])
      assert.equal(found?.topicId, version >= 10 ? topic.id : ZERO_UUID)
      assert.equal(found.partitions[0]!.leaderEpoch >= 0, version >= 7)
      assert.deepEqual(some.brokers.map(({ nodeId, host, port }) => [nodeId, `${host}:${port}`]), [[0, subject.address]])
      assert.equal(some.controllerId, version >= 1 ? 0 : -1)
      assert.equal(some.clusterId !== null, version >= 2)
      const none = await metadata([], { version })
      assert.equal(none.topics.length > 0, version === 0)
      if (version > 0) assert.ok((await metadata(null, { version })).topics.some(({ name }) => name === topic.name))
    }
  })

  test('a topic that is asked for twice is answered once', async () => {
    const { name } = await createTopic(subject.client)
    assert.equal((await metadata([{ name }, { name }])).topics.length, 1)
  })

  test('by id: v12 and later; an id counts more than the name beside it', async () => {
    const topic = await createTopic(subject.client)
    const [byId] = (await metadata([{ name: null, topicId: topic.id }])).topics
    assert.deepEqual([byId?.errorCode, byId?.name, byId?.topicId], [0, topic.name, topic.id])
    const [unknown] = (await metadata([{ name: null, topicId: UNKNOWN_ID }])).topics
    assert.deepEqual([errorName(unknown?.errorCode ?? 0), unknown?.name, unknown?.topicId], ['UNKNOWN_TOPIC_ID', null, UNKNOWN_ID])
    assert.equal((await metadata([{ name: 'other', topicId: topic.id }])).topics[0]?.name, topic.name)
    for (const version of [10, 11]) isError((await metadata([{ name: null, topicId: topic.id }], { version })).topics[0]?.errorCode, 'INVALID_REQUEST')
  })

  test('what may be done is said to who asks', async () => {
    const { name } = await createTopic(subject.client)
    assert.equal((await metadata([{ name }])).topics[0]?.topicAuthorizedOperations, NOT_ASKED)
    assert.equal((await metadata([{ name }], { includeTopicAuthorizedOperations: true })).topics[0]?.topicAuthorizedOperations, TOPIC_OPERATIONS)
    assert.equal((await metadata([], { version: 9 })).clusterAuthorizedOperations, NOT_ASKED)
    assert.equal((await metadata([], { version: 9, includeClusterAuthorizedOperations: true })).clusterAuthorizedOperations, CLUSTER_OPERATIONS)
  })

  test('names that are not allowed: INVALID_TOPIC_EXCEPTION, whether or not they may be created', async () => {
    for (const name of ['', '..', 'a b', 'x'.repeat(250)]) {
      for (const allowAutoTopicCreation of [true, false]) {
        isError((await metadata([{ name }], { allowAutoTopicCreation })).topics[0]?.errorCode, 'INVALID_TOPIC_EXCEPTION', name)
      }
    }
  })

  test('an unknown name is created where client and broker allow it, with the default number of partitions', async () => {
    const name = freshName('auto')
    isError((await metadata([{ name }])).topics[0]?.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    await eventually('it is there', async () => (await metadata([{ name }], { allowAutoTopicCreation: true })).topics[0]?.errorCode === 0)
    assert.equal((await metadata([{ name }])).topics[0]?.partitions.length, 4)
  })

  test('before v4 the client allows it by asking; created by many at once, it is one topic', onlyHere, async () => {
    const name = freshName('auto')
    const clients = await Promise.all(Array.from({ length: 4 }, () => subject.connect()))
    const answers = await Promise.all(clients.map((client) => client.send(Metadata, 1, { topics: [{ name }] })))
    for (const { topics } of answers) assert.deepEqual([topics[0]?.errorCode, topics[0]?.partitions.length], [0, 4])
    assert.equal((await metadata(null)).topics.filter((topic) => topic.name === name).length, 1)
  })

  test('auto.create.topics.enable=false: UNKNOWN_TOPIC_OR_PARTITION', onlyHere, async () => {
    const { topics } = await strict.client.send(Metadata, 12, { topics: [{ name: freshName('auto') }], allowAutoTopicCreation: true })
    isError(topics[0]?.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    const { topics: made } = await strict.client.send(CreateTopics, 7, { topics: [{ name: freshName(), numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }] })
    assert.equal(made[0]?.numPartitions, 3)
  })

  test('internal topics say so', async () => {
    await eventually('it is there', async () => (await metadata([{ name: '__consumer_offsets' }], { allowAutoTopicCreation: true })).topics[0]?.errorCode === 0)
    const [found] = (await metadata([{ name: '__consumer_offsets' }])).topics
    assert.deepEqual([found?.isInternal, found?.partitions.length], [true, 50])
  })
})

describe('DeleteTopics', () => {
  const remove = async (topics: readonly { name?: string | null; topicId?: string }[]) => {
    const { responses } = await subject.client.send(DeleteTopics, 6, { topics: topics.map((topic) => ({ name: null, topicId: ZERO_UUID, ...topic })), timeoutMs: 10_000 })
    return responses.map(({ name, topicId, errorCode, errorMessage }) => [name, topicId, errorName(errorCode), errorMessage])
  }

  test('by name in every version', async () => {
    for (let version = 1; version <= 5; version++) {
      const topic = await createTopic(subject.client)
      const { responses } = await subject.client.send(DeleteTopics, version, { topicNames: [topic.name, 'absent'], timeoutMs: 10_000 })
      assert.deepEqual(new Map(responses.map(({ name, errorCode }) => [name, errorName(errorCode)])), new Map([[topic.name, 'NONE'], ['absent', 'UNKNOWN_TOPIC_OR_PARTITION']]))
      await eventually('it is gone', async () => !(await exists(topic.name)))
    }
  })

  test('by name and by id; name and id are both answered', async () => {
    const [one, two] = [await createTopic(subject.client), await createTopic(subject.client)]
    const answers = await remove([{ name: one.name }, { topicId: two.id }])
    assert.deepEqual(new Set(answers.map(([, topicId, code]) => `${topicId} ${code}`)), new Set([`${one.id} NONE`, `${two.id} NONE`]))
    for (const { name } of [one, two]) await eventually('it is gone', async () => !(await exists(name)))
  })

  test('what is not there, and what is not said well', async () => {
    assert.deepEqual(await remove([{ name: 'absent' }]), [['absent', ZERO_UUID, 'UNKNOWN_TOPIC_OR_PARTITION', 'This server does not host this topic-partition.']])
    assert.deepEqual(await remove([{ topicId: UNKNOWN_ID }]), [[null, UNKNOWN_ID, 'UNKNOWN_TOPIC_ID', 'This server does not host this topic ID.']])
    const topic = await createTopic(subject.client)
    assert.deepEqual((await remove([{ name: topic.name, topicId: topic.id }])).map(([, , code, message]) => [code, message]), [['INVALID_REQUEST', 'You may not specify both topic name and topic id.']])
    assert.deepEqual((await remove([{}])).map(([, , code, message]) => [code, message]), [['INVALID_REQUEST', 'Neither topic name nor id were specified.']])
    assert.equal(await exists(topic.name), true)
  })

  test('a topic that is given twice is not deleted', async () => {
    const topic = await createTopic(subject.client)
    const twice: readonly (readonly [Parameters<typeof remove>[0], string])[] = [
      [[{ name: topic.name }, { name: topic.name }], 'Duplicate topic name.'],
      [[{ topicId: topic.id }, { topicId: topic.id }], 'Duplicate topic id.'],
      [[{ name: topic.name }, { topicId: topic.id }], 'The provided topic name maps to an ID that was already supplied.'],
    ]
    for (const [asked, message] of twice) {
      const answers = await remove(asked)
      assert.ok(answers.length > 0)
      for (const [, , code, said] of answers) assert.deepEqual([code, said], ['INVALID_REQUEST', message])
    }
    assert.equal(await exists(topic.name), true)
  })

  test('delete.topic.enable=false: TOPIC_DELETION_DISABLED, INVALID_REQUEST before v3', onlyHere, async () => {
    const { name } = await createTopic(strict.client)
    for (const [version, error] of [[1, 'INVALID_REQUEST'], [3, 'TOPIC_DELETION_DISABLED'], [5, 'TOPIC_DELETION_DISABLED']] as const) {
      const { responses } = await strict.client.send(DeleteTopics, version, { topicNames: [name], timeoutMs: 10_000 })
      isError(responses[0]?.errorCode, error)
    }
  })

  test('created anew under its name it is another topic, and empty', async () => {
    const old = await createTopic(subject.client)
    await produceOk(subject.client, old, batchOf(['old']))
    await remove([{ name: old.name }])
    await eventually('it is gone', async () => !(await exists(old.name)))
    const anew = await createTopic(subject.client, { name: old.name })
    assert.notEqual(anew.id, old.id)
    assert.equal(await endOffset(subject.client, anew), 0)
    assert.equal(await produceOk(subject.client, anew, batchOf(['new'])), 0)
    assert.deepEqual(recordsIn(await fetchOne(subject.client, anew, 0)).map(({ value }) => value), ['new'])
  })
})

describe('CreatePartitions', () => {
  const add = async (topics: readonly { name: string; count: number; assignments?: readonly { brokerIds: number[] }[] | null }[], options: { version?: number; validateOnly?: boolean } = {}) => {
    const { results } = await subject.client.send(CreatePartitions, options.version ?? 3, {
      topics: topics.map((topic) => ({ assignments: null, ...topic })),
      timeoutMs: 10_000,
      validateOnly: options.validateOnly ?? false,
    })
    return results.map(({ errorCode, errorMessage }) => [errorName(errorCode), errorMessage] as const)
  }

  test('in every version, usable at once and empty', async () => {
    for (let version = 0; version <= 3; version++) {
      const topic = await createTopic(subject.client)
      await produceOk(subject.client, topic, batchOf(['x']))
      assert.deepEqual(await add([{ name: topic.name, count: 3 }], { version }), [['NONE', null]])
      await eventually('they are there', async () => (await metadata([{ name: topic.name }])).topics[0]?.partitions.length === 3)
      if (onKafka) continue
      assert.equal(await produceOk(subject.client, topic, batchOf(['y']), { partition: 2 }), 0)
      assert.deepEqual([await endOffset(subject.client, topic, 0), await endOffset(subject.client, topic, 1)], [1, 0])
    }
  })

  test('what is refused, in Kafka\'s words', async () => {
    const { name } = await createTopic(subject.client, { partitions: 2 })
    const to = (count: number, assignments: readonly { brokerIds: number[] }[] | null = null) => add([{ name, count, assignments }])
    assert.deepEqual(await to(2), [['INVALID_PARTITIONS', 'Topic already has 2 partition(s).']])
    for (const count of [1, 0, -1]) {
      assert.deepEqual(await to(count), [['INVALID_PARTITIONS', `The topic ${name} currently has 2 partition(s); ${count} would not be an increase.`]])
    }
    assert.equal((await add([{ name: 'absent', count: 3 }]))[0]?.[0], 'UNKNOWN_TOPIC_OR_PARTITION')
    assert.deepEqual(await add([{ name, count: 3 }, { name, count: 4 }]), [['INVALID_REQUEST', 'Duplicate topic name.']])
    assert.deepEqual(await to(4, [{ brokerIds: [0] }]), [['INVALID_REPLICA_ASSIGNMENT', 'Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.']])
    for (const brokerIds of [[9], [], [0, 0], [0, 1]]) assert.equal((await to(3, [{ brokerIds }]))[0]?.[0], 'INVALID_REPLICA_ASSIGNMENT', String(brokerIds))
    assert.equal((await metadata([{ name }])).topics[0]?.partitions.length, 2)
  })

  test('validate only, and manual assignments', async () => {
    const { name } = await createTopic(subject.client)
    assert.deepEqual(await add([{ name, count: 2 }], { validateOnly: true }), [['NONE', null]])
    assert.equal((await metadata([{ name }])).topics[0]?.partitions.length, 1)
    assert.deepEqual(await add([{ name, count: 2, assignments: [{ brokerIds: [0] }] }]), [['NONE', null]])
  })
})

describe('DescribeTopicPartitions', () => {
  type Page = readonly [topic: string, partitions: readonly number[]][]
  const ask = async (names: readonly string[], responsePartitionLimit: number, cursor: { topicName: string; partitionIndex: number } | null = null) =>
    await subject.client.send(DescribeTopicPartitions, 0, { topics: names.map((name) => ({ name })), responsePartitionLimit, cursor })
  const page = ({ topics }: Awaited<ReturnType<typeof ask>>): Page => topics.map(({ name, partitions }) => [name ?? '', partitions.map(({ partitionIndex }) => partitionIndex)])

  test('page by page, in the order of names', async () => {
    const stem = freshName('page')
    const [a, b, c] = ['a', 'b', 'c'].map((end) => stem + end) as [string, string, string]
    for (const name of [b, c, a]) await createTopic(subject.client, { name, partitions: 3 })
    const names = [c, a, b]
    const all = await ask(names, 2000)
    assert.deepEqual(page(all), [[a, [0, 1, 2]], [b, [0, 1, 2]], [c, [0, 1, 2]]])
    assert.equal(all.nextCursor, null)
    assert.equal(all.topics[0]?.topicAuthorizedOperations, TOPIC_OPERATIONS)
    const first = await ask(names, 4)
    assert.deepEqual([page(first), first.nextCursor], [[[a, [0, 1, 2]], [b, [0]]], { topicName: b, partitionIndex: 1 }])
    const second = await ask(names, 4, first.nextCursor)
    assert.deepEqual([page(second), second.nextCursor], [[[b, [1, 2]], [c, [0, 1]]], { topicName: c, partitionIndex: 2 }])
    const third = await ask(names, 4, second.nextCursor)
    assert.deepEqual([page(third), third.nextCursor], [[[c, [2]]], null])
    const exact = await ask(names, 3)
    assert.deepEqual([page(exact), exact.nextCursor], [[[a, [0, 1, 2]]], { topicName: b, partitionIndex: 0 }])
    assert.deepEqual(page(await ask(names, 0)), [[a, [0]]])
    assert.deepEqual(page(await ask([a, a], 100)), [[a, [0, 1, 2]]])
    assert.ok(page(await ask([], 2000)).length >= 3)
  })

  test('a cursor that is not of the request: INVALID_REQUEST for all of it', async () => {
    const { name } = await createTopic(subject.client)
    for (const cursor of [{ topicName: name, partitionIndex: -1 }, { topicName: 'absent', partitionIndex: 0 }]) {
      const { topics } = await ask([name], 100, cursor)
      assert.deepEqual(topics.map(({ errorCode }) => errorName(errorCode)), ['INVALID_REQUEST'])
    }
  })

  test('unknown names and names that are not allowed', async () => {
    const { topics } = await ask(['absent', 'a b'], 100)
    assert.deepEqual(topics.map(({ name, errorCode }) => [name, errorName(errorCode)]), [['a b', 'INVALID_TOPIC_EXCEPTION'], ['absent', 'UNKNOWN_TOPIC_OR_PARTITION']])
  })
})

describe('DescribeCluster', () => {
  test('one broker, which is its own controller', async () => {
    const { clusterId } = await metadata([])
    for (let version = 0; version <= 2; version++) {
      const cluster = await subject.client.send(DescribeCluster, version, { includeClusterAuthorizedOperations: version === 2 })
      assert.deepEqual([cluster.errorCode, cluster.clusterId, cluster.controllerId], [0, clusterId, 0])
      assert.deepEqual(cluster.brokers.map(({ brokerId, host, port, isFenced }) => [brokerId, `${host}:${port}`, isFenced]), [[0, subject.address, false]])
      assert.equal(cluster.clusterAuthorizedOperations, version === 2 ? CLUSTER_OPERATIONS : NOT_ASKED)
    }
  })

  test('controllers are not to be had here', async () => {
    for (const [endpointType, error] of [[2, 'MISMATCHED_ENDPOINT_TYPE'], [3, 'UNSUPPORTED_ENDPOINT_TYPE']] as const) {
      const answer = await subject.client.send(DescribeCluster, 1, { includeClusterAuthorizedOperations: false, endpointType })
      isError(answer.errorCode, error)
      assert.deepEqual([answer.endpointType, answer.brokers], [1, []])
    }
  })
})
