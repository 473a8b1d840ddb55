/** The group APIs over the wire format, in all their versions: what differs between versions, and that every answer can be encoded. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { KafkaError, errorName } from '../../protocol/errors.ts'
import type { Api } from '../../protocol/schema/api.ts'
import { offsetCommit } from '../../src/api/08-offset-commit.ts'
import { offsetFetch } from '../../src/api/09-offset-fetch.ts'
import { findCoordinator } from '../../src/api/10-find-coordinator.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { heartbeat } from '../../src/api/12-heartbeat.ts'
import { leaveGroup } from '../../src/api/13-leave-group.ts'
import { syncGroup } from '../../src/api/14-sync-group.ts'
import { describeGroups } from '../../src/api/15-describe-groups.ts'
import { listGroups } from '../../src/api/16-list-groups.ts'
import { deleteGroups } from '../../src/api/42-delete-groups.ts'
import { consumerGroupHeartbeat } from '../../src/api/68-consumer-group-heartbeat.ts'
import { consumerGroupDescribe } from '../../src/api/69-consumer-group-describe.ts'
import type { RequestContext } from '../../src/api/handler.ts'
import { ORDERS, USERS, World, ZERO } from './world.ts'

const { NONE } = KafkaError
const handlers = [
  offsetCommit,
  offsetFetch,
  findCoordinator,
  joinGroup,
  heartbeat,
  leaveGroup,
  syncGroup,
  describeGroups,
  listGroups,
  deleteGroups,
  consumerGroupHeartbeat,
  consumerGroupDescribe,
] as const

test('every version that Kafka 4.3 has is served', () => {
  for (const { api, versions } of handlers) assert.deepEqual(versions, api.versions, api.name)
})

test('a failure can be answered in every version', () => {
  for (const handler of handlers) {
    for (let version = handler.versions[0]; version <= handler.versions[1]; version++) failsIn(handler, version)
  }
})

describe('a life in a group', () => {
  for (let version = 0; version <= 9; version++) {
    test(`JoinGroup v${version} and the others in their like`, () => lifeIn(version))
  }
})

for (const version of [0, 1]) {
  test(`a life in a consumer group, v${version}`, async () => {
    const client = new Client()
    const beats = { groupId: 'g', memberId: version === 0 ? '' : 'm', memberEpoch: 0, rebalanceTimeoutMs: 1_000, topicPartitions: [] }
    const wants = version === 0 ? { subscribedTopicNames: ['users'] } : { subscribedTopicRegex: 'us.rs' }
    const joined = await client.call(consumerGroupHeartbeat, version, { ...beats, ...wants, rackId: 'r', instanceId: 'i' })
    const { memberId, assignment, ...rest } = joined
    assert.ok(memberId)
    assert.deepEqual(rest, { throttleTimeMs: 0, errorCode: NONE, errorMessage: null, memberEpoch: 1, heartbeatIntervalMs: 5_000 })
    assert.deepEqual(assignment, { topicPartitions: [{ topicId: USERS, partitions: [0] }] })
    const topics = [{ topicId: USERS, topicName: 'users', partitions: [0] }]
    const { groups } = await client.call(consumerGroupDescribe, version, { groupIds: ['g', 'x'], includeAuthorizedOperations: true })
    assert.deepEqual(groups[0], {
      errorCode: NONE,
      errorMessage: null,
      groupId: 'g',
      groupState: 'Stable',
      groupEpoch: 1,
      assignmentEpoch: 1,
      assignorName: 'uniform',
      members: [
        {
          memberId,
          instanceId: 'i',
          rackId: 'r',
          memberEpoch: 1,
          clientId: 'tester',
          clientHost: '/127.0.0.1',
          subscribedTopicNames: version === 0 ? ['users'] : [],
          subscribedTopicRegex: version === 0 ? null : 'us.rs',
          assignment: { topicPartitions: topics },
          targetAssignment: { topicPartitions: topics },
          memberType: version === 0 ? -1 : 1,
        },
      ],
      authorizedOperations: 3400,
    })
    assert.deepEqual([errorName(groups[1]?.errorCode ?? 0), groups[1]?.errorMessage], ['GROUP_ID_NOT_FOUND', 'Group x not found.'])
    const left = await client.call(consumerGroupHeartbeat, version, { ...beats, memberId, memberEpoch: -1 })
    assert.deepEqual([left.errorCode, left.memberEpoch, left.assignment], [NONE, -1, null])
  })
}

/** Joins, syncs, beats, commits, fetches, describes and leaves, each API in its `age`-th version or its last one. */
async function lifeIn(age: number): Promise<void> {
  const client = new Client()
  const at = (handler: { versions: readonly [number, number] }): number => Math.min(handler.versions[0] + age, handler.versions[1])
  const instance = age >= 5 ? { groupInstanceId: 'i' } : {}
  const join = {
    groupId: 'g',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 20_000,
    memberId: '',
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('subscription') }],
    ...instance,
  }
  let joining = client.call(joinGroup, age, join)
  if (age === 4) {
    const first = await joining
    assert.equal(errorName(first.errorCode), 'MEMBER_ID_REQUIRED')
    joining = client.call(joinGroup, age, { ...join, memberId: first.memberId })
  }
  await client.world.env.advance(3_000)
  const joined = await joining
  const { memberId, generationId } = joined
  assert.deepEqual([errorName(joined.errorCode), generationId, joined.leader, joined.protocolName], ['NONE', 1, memberId, 'range'])
  assert.equal(joined.protocolType, age >= 7 ? 'consumer' : null)
  assert.equal(Buffer.from(joined.members[0]?.metadata ?? []).toString(), 'subscription')

  const member = { groupId: 'g', memberId, generationId, groupInstanceId: age >= 5 ? 'i' : null }
  const synced = await client.call(syncGroup, at(syncGroup), {
    ...member,
    protocolType: 'consumer',
    protocolName: 'range',
    assignments: [{ memberId, assignment: Buffer.from('mine') }],
  })
  assert.deepEqual([errorName(synced.errorCode), Buffer.from(synced.assignment).toString()], ['NONE', 'mine'])
  assert.equal(errorName((await client.call(heartbeat, at(heartbeat), member)).errorCode), 'NONE')

  const commitVersion = at(offsetCommit)
  const committed = await client.call(offsetCommit, commitVersion, {
    ...member,
    generationIdOrMemberEpoch: generationId,
    topics: [{
      name: 'orders',
      topicId: ORDERS,
      partitions: [{ partitionIndex: 2, committedOffset: 77, committedLeaderEpoch: 5, committedMetadata: null }],
    }],
  })
  assert.deepEqual(committed.topics, [
    {
      name: commitVersion >= 10 ? '' : 'orders',
      topicId: commitVersion >= 10 ? ORDERS : ZERO,
      partitions: [{ partitionIndex: 2, errorCode: NONE }],
    },
  ])

  const fetchVersion = at(offsetFetch)
  const topics = [{ name: 'orders', topicId: ORDERS, partitionIndexes: [2, 3] }]
  const fetched = await client.call(offsetFetch, fetchVersion, { groupId: 'g', topics, groups: [{ groupId: 'g', topics }] })
  const found = (fetchVersion >= 8 ? fetched.groups[0]?.topics : fetched.topics)?.[0]?.partitions
  const epoch = commitVersion >= 6 && fetchVersion >= 5 ? 5 : -1
  assert.deepEqual(found?.map((partition) => [partition.committedOffset, partition.committedLeaderEpoch, partition.metadata]), [
    [77, epoch, ''],
    [-1, -1, ''],
  ])

  const described = await client.call(describeGroups, at(describeGroups), { groups: ['g'], includeAuthorizedOperations: true })
  const [group] = described.groups
  assert.deepEqual([group?.groupState, group?.protocolType, group?.protocolData], ['Stable', 'consumer', 'range'])
  assert.equal(group?.authorizedOperations, at(describeGroups) >= 3 ? 3400 : -(2 ** 31))
  assert.deepEqual([group?.members[0]?.clientId, group?.members[0]?.clientHost], ['tester', '/127.0.0.1'])
  assert.equal(Buffer.from(group?.members[0]?.memberAssignment ?? []).toString(), 'mine')

  const leaving = await client.call(leaveGroup, at(leaveGroup), { ...member, members: [{ memberId, groupInstanceId: member.groupInstanceId }] })
  assert.equal(errorName(leaving.errorCode), 'NONE')
  assert.deepEqual(leaving.members.map(({ errorCode }) => errorCode), at(leaveGroup) >= 3 ? [NONE] : [])
  const listed = await client.call(listGroups, at(listGroups), { statesFilter: ['Empty'], typesFilter: ['classic'] })
  assert.deepEqual(listed.groups, [
    {
      groupId: 'g',
      protocolType: 'consumer',
      groupState: at(listGroups) >= 4 ? 'Empty' : '',
      groupType: at(listGroups) >= 5 ? 'classic' : '',
    },
  ])
  const deleted = await client.call(deleteGroups, at(deleteGroups), { groupsNames: ['g', 'g', 'x'] })
  assert.deepEqual(deleted.results.map(({ groupId, errorCode }) => [groupId, errorName(errorCode)]), [
    ['g', 'NONE'],
    ['x', 'GROUP_ID_NOT_FOUND'],
  ])
}

test('OffsetFetch of all topics of many groups', async () => {
  const client = new Client()
  await client.world.commit('a', 1)
  await client.world.commit('b', 2, { topic: 'users' })
  const groups = ['a', 'b', 'c'].map((groupId) => ({ groupId, topics: null }))
  for (const version of [8, 9, 10]) {
    const reply = await client.call(offsetFetch, version, { groups, requireStable: true })
    assert.deepEqual(
      reply.groups.map(({ groupId, topics }) => [groupId, topics.map((topic) => (version >= 10 ? topic.topicId : topic.name))]),
      [
        ['a', [version >= 10 ? ORDERS : 'orders']],
        ['b', [version >= 10 ? USERS : 'users']],
        ['c', []],
      ],
    )
  }
  const one = await client.call(offsetFetch, 2, { groupId: 'a', topics: null })
  assert.deepEqual(one.topics.map(({ name }) => name), ['orders'])
})

test('an error of the group has a place in every version of OffsetFetch', async () => {
  const client = new Client()
  client.world.openFails = true
  const topics = [{ name: 'orders', partitionIndexes: [0] }]
  const v1 = await client.call(offsetFetch, 1, { groupId: 'g', topics })
  assert.equal(errorName(v1.topics[0]?.partitions[0]?.errorCode ?? 0), 'COORDINATOR_NOT_AVAILABLE')
  assert.equal(errorName((await client.call(offsetFetch, 2, { groupId: 'g', topics })).errorCode), 'COORDINATOR_NOT_AVAILABLE')
  const v8 = await client.call(offsetFetch, 8, { groups: [{ groupId: 'g', topics }] })
  assert.equal(errorName(v8.groups[0]?.errorCode ?? 0), 'COORDINATOR_NOT_AVAILABLE')
})

test('FindCoordinator: groups and transactions here, so that InitProducerId can refuse the latter at once, share groups and unknown types refused; an empty key is a key', async () => {
  const client = new Client()
  const here = await client.call(findCoordinator, 3, { key: '', keyType: 0 })
  assert.deepEqual([errorName(here.errorCode), here.nodeId, here.host, here.port], ['NONE', 1, 'localhost', 9092])
  const many = await client.call(findCoordinator, 6, { coordinatorKeys: ['a', 'b'], keyType: 0 })
  assert.deepEqual(many.coordinators.map(({ key, nodeId, errorCode }) => [key, nodeId, errorCode]), [['a', 1, 0], ['b', 1, 0]])
  const codes: string[] = []
  for (const keyType of [1, 2, 7]) {
    const reply = await client.call(findCoordinator, 6, { coordinatorKeys: ['a'], keyType })
    codes.push(errorName(reply.coordinators[0]?.errorCode ?? 0))
  }
  assert.deepEqual(codes, ['NONE', 'INVALID_REQUEST', 'INVALID_REQUEST'])
})

test('DescribeGroups: an unknown group is Dead, and an error from v6 on', async () => {
  const client = new Client()
  for (const version of [0, 5, 6]) {
    const { groups } = await client.call(describeGroups, version, { groups: ['nobody'] })
    assert.equal(groups[0]?.groupState, 'Dead')
    assert.equal(errorName(groups[0]?.errorCode ?? -1), version >= 6 ? 'GROUP_ID_NOT_FOUND' : 'NONE')
    assert.equal(groups[0]?.errorMessage === null, version < 6)
  }
})

test('SyncGroup v5 must name the protocol', async () => {
  const reply = await new Client().call(syncGroup, 5, { groupId: 'g', generationId: 1, memberId: 'm', assignments: [] })
  assert.equal(errorName(reply.errorCode), 'INCONSISTENT_GROUP_PROTOCOL')
})

test('LeaveGroup of an unknown group: an error of the request up to v2, of the members from v3 on', async () => {
  const client = new Client()
  const v2 = await client.call(leaveGroup, 2, { groupId: 'g', memberId: 'm' })
  assert.equal(errorName(v2.errorCode), 'UNKNOWN_MEMBER_ID')
  const v3 = await client.call(leaveGroup, 3, { groupId: 'g', members: [{ memberId: 'm' }] })
  assert.deepEqual([errorName(v3.errorCode), errorName(v3.members[0]?.errorCode ?? 0)], ['NONE', 'UNKNOWN_MEMBER_ID'])
})

interface AnyHandler<Q, QIn, S, SIn> {
  readonly api: Api<Q, never, unknown, SIn> | Api<Q, QIn, S, SIn>
  handle(request: Q, context: RequestContext): SIn | null | Promise<SIn | null>
  onError?(request: Q, errorCode: number, context: RequestContext): SIn | null
}

/** A client in the same process: requests and answers go through their bytes. */
class Client {
  readonly world = new World()

  async call<Q, QIn, S, SIn>(handler: AnyHandler<Q, QIn, S, SIn>, apiVersion: number, request: object): Promise<Any> {
    const api = handler.api as Api<Q, QIn, S, SIn>
    const body = Buffer.concat(api.encodeRequest(apiVersion, request as QIn))
    const response = await handler.handle(api.decodeRequest(apiVersion, body), contextOf(this.world, apiVersion))
    assert.ok(response !== null)
    return api.decodeResponse(apiVersion, Buffer.concat(api.encodeResponse(apiVersion, response))) as Any
  }
}

/** The union of what the group APIs answer. */
interface Any {
  readonly memberEpoch: number
  readonly errorCode: number
  readonly generationId: number
  readonly protocolType: string | null
  readonly protocolName: string
  readonly leader: string
  readonly memberId: string
  readonly assignment: Uint8Array
  readonly nodeId: number
  readonly host: string
  readonly port: number
  readonly members: readonly { readonly errorCode: number; readonly metadata: Uint8Array }[]
  readonly results: readonly { readonly groupId: string; readonly errorCode: number }[]
  readonly coordinators: readonly { readonly key: string; readonly nodeId: number; readonly errorCode: number }[]
  readonly topics: readonly Topic[]
  readonly groups: readonly {
    readonly groupId: string
    readonly errorCode: number
    readonly errorMessage: string | null
    readonly topics: readonly Topic[]
    readonly groupState: string
    readonly groupType: string
    readonly protocolType: string
    readonly protocolData: string
    readonly authorizedOperations: number
    readonly members: readonly { readonly clientId: string; readonly clientHost: string; readonly memberAssignment: Uint8Array }[]
  }[]
}

interface Topic {
  readonly name: string
  readonly topicId: string
  readonly partitions: readonly {
    readonly partitionIndex: number
    readonly errorCode: number
    readonly committedOffset: number
    readonly committedLeaderEpoch: number
    readonly metadata: string
  }[]
}

function contextOf(world: World, apiVersion: number): RequestContext {
  return {
    broker: { groups: world.groups } as RequestContext['broker'],
    apiVersion,
    clientId: 'tester',
    clientHost: '/127.0.0.1',
    connectionId: 'test',
    clientSoftware: { name: '', version: '' },
    signal: new AbortController().signal,
    closeConnection: () => assert.fail('no reason to close'),
    memory: null,
    whenSent: () => undefined,
  }
}

/** What the handler answers when it has thrown, encoded. */
function failsIn(handler: AnyHandler<unknown, unknown, unknown, unknown>, version: number): void {
  const api = handler.api as Api<unknown, unknown, unknown, unknown>
  const partition = { partitionIndex: 0, committedOffset: 1, committedMetadata: null }
  const topics = [{ name: 't', topicId: ORDERS, partitions: [partition], partitionIndexes: [0] }]
  const request = {
    groupId: 'g',
    memberId: 'm',
    generationId: 1,
    sessionTimeoutMs: 1,
    protocolType: 'p',
    protocolName: 'p',
    protocols: [],
    assignments: [],
    key: 'k',
    coordinatorKeys: ['k'],
    members: [{ memberId: 'm' }],
    groupsNames: ['g'],
    generationIdOrMemberEpoch: 1,
    topics,
    groups: api.name === 'DescribeGroups' ? ['g'] : [{ groupId: 'g', topics }],
    statesFilter: [],
    typesFilter: [],
    includeAuthorizedOperations: false,
    memberEpoch: 0,
    groupIds: ['g'],
  }
  const decoded = api.decodeRequest(version, Buffer.concat(api.encodeRequest(version, request)))
  const answer = handler.onError?.(decoded, KafkaError.UNKNOWN_SERVER_ERROR, contextOf(new World(), version))
  const bytes = Buffer.concat(api.encodeResponse(version, answer))
  // ListGroups v0 with an error is 6 bytes long; the code is in all of them somewhere.
  assert.ok(bytes.includes(Buffer.from([0xff, 0xff])), `${api.name} v${version}`)
}
