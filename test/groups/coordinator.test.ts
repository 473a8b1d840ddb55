/** Offsets and groups through the coordinator: durability, restarts, validation, expiry, administration. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { KafkaError, errorName } from '../../protocol/errors.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import type { CommitTopic } from '../../src/groups/coordinator.ts'
import { groupRecord, offsetRecord, partitionOfGroup } from '../../src/groups/records.ts'
import { ORDERS, USERS, World, ZERO } from './world.ts'

const { NONE } = KafkaError
const HOUR_MS = 60 * 60 * 1000

test('a commit is answered when it is durable, and seen from then on', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  log.hold = true
  let answer: number | null = null
  void world.commit('g', 41).then((code) => (answer = code))
  await turn()
  assert.equal(answer, null)
  assert.equal(log.logEndOffset, 1)
  assert.equal(await world.offset('g'), -1)
  log.release()
  await turn()
  assert.equal(answer, NONE)
  assert.equal(await world.offset('g'), 41)
})

test('commits of one turn of the event loop share one record batch', async () => {
  const world = new World()
  const codes = await Promise.all(Array.from({ length: 50 }, (_, i) => world.commit(`g${i}`, i)))
  assert.deepEqual(new Set(codes), new Set([NONE]))
  assert.equal(world.logs[0]?.batches.length, 1)
  assert.equal(world.logs[0]?.records, 50)
})

test('offsets survive a restart; what was not durable is gone and was never acknowledged', async () => {
  const world = new World({ partitions: 3 })
  for (let i = 0; i < 20; i++) assert.equal(await world.commit(`g${i}`, 100 + i, { partition: i % 8 }), NONE)
  for (const log of world.logs) log.hold = true
  let acknowledged = false
  void world.commit('g0', 999).then(() => (acknowledged = true))
  await turn()
  world.restart()
  for (let i = 0; i < 20; i++) assert.equal(await world.offset(`g${i}`, i % 8), 100 + i)
  assert.equal(acknowledged, false)
})

test('everything about an offset comes back: leader epoch and metadata', async () => {
  const world = new World()
  await world.commit('g', 7)
  world.restart()
  const { topics } = await world.groups.fetch('g', null, false)
  assert.deepEqual(topics, [
    {
      name: 'orders',
      topicId: ORDERS,
      partitions: [{ partitionIndex: 0, committedOffset: 7, committedLeaderEpoch: 3, metadata: 'm7', errorCode: NONE }],
    },
  ])
})

test('a missing offset is -1 without an error, also for a group that never existed', async () => {
  const world = new World()
  await world.commit('g', 7)
  for (const group of ['g', 'other']) {
    const { errorCode, topics } = await world.groups.fetch(group, [{ name: 'orders', topicId: ZERO, partitionIndexes: [5] }], false)
    assert.equal(errorCode, NONE)
    assert.deepEqual(topics[0]?.partitions[0], {
      partitionIndex: 5,
      committedOffset: -1,
      committedLeaderEpoch: -1,
      metadata: '',
      errorCode: NONE,
    })
  }
  assert.deepEqual((await world.groups.fetch('other', null, false)).topics, [])
})

test('require_stable waits for commits on their way', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  await world.commit('g', 1)
  log.hold = true
  void world.commit('g', 2)
  await turn()
  assert.equal(await world.offset('g'), 1)
  const stable = world.offset('g', 0, 'orders', true)
  await turn()
  log.release()
  assert.equal(await stable, 2)
})

test('topics and partitions that do not exist are refused, the rest is committed', async () => {
  const world = new World()
  const request = { groupId: 'g', memberId: '', instanceId: null, generation: -1, namesUnknownGroup: true, retentionMs: -1 }
  const topics = [
    { name: 'orders', topicId: ZERO, partitions: [partition(0), partition(8), partition(-1), partition(1, 'x'.repeat(4097))] },
    { name: 'nothing', topicId: ZERO, partitions: [partition(0)] },
    { name: '', topicId: USERS, partitions: [partition(0)] },
    { name: '', topicId: 'BBBBBBBBBBBBBBBBBBBBBB', partitions: [partition(0)] },
  ]
  const replies = await world.groups.commit({ ...request, topics })
  assert.deepEqual(
    replies.map(({ partitions }) => partitions.map(({ errorCode }) => errorName(errorCode))),
    [
      ['NONE', 'UNKNOWN_TOPIC_OR_PARTITION', 'UNKNOWN_TOPIC_OR_PARTITION', 'OFFSET_METADATA_TOO_LARGE'],
      ['UNKNOWN_TOPIC_OR_PARTITION'],
      ['NONE'],
      ['UNKNOWN_TOPIC_ID'],
    ],
  )
  assert.equal(await world.offset('g'), 5)
  assert.equal(await world.offset('g', 0, 'users'), 5)
  const byId = await world.groups.fetch('g', [
    { name: '', topicId: USERS, partitionIndexes: [0] },
    { name: '', topicId: 'BBBBBBBBBBBBBBBBBBBBBB', partitionIndexes: [0] },
  ], false)
  assert.deepEqual(byId.topics.map(({ partitions: [only] }) => [only?.committedOffset, errorName(only?.errorCode ?? -1)]), [
    [5, 'NONE'],
    [-1, 'UNKNOWN_TOPIC_ID'],
  ])
})

test('who may commit: members, and everybody where there are none', async () => {
  const world = new World()
  assert.equal(errorName(await world.commit('g', 1, { generation: 3 })), 'GROUP_ID_NOT_FOUND')
  assert.equal(errorName(await world.commit('g', 1, { generation: 3, namesUnknownGroup: false })), 'ILLEGAL_GENERATION')
  const { memberId, generation } = await world.settle('g')
  assert.equal(errorName(await world.commit('g', 1)), 'UNKNOWN_MEMBER_ID')
  assert.equal(errorName(await world.commit('g', 1, { memberId, generation: generation + 1 })), 'ILLEGAL_GENERATION')
  assert.equal(errorName(await world.commit('g', 1, { memberId, generation })), 'NONE')
})

test('offsets of a topic that was deleted and created anew are not those of the new topic, and are swept away', async () => {
  const world = new World()
  await world.commit('g', 7)
  await world.commit('g', 8, { topic: 'users' })
  world.topics.set('orders', { id: 'CCCCCCCCCCCCCCCCCCCCCC', partitions: 8 })
  assert.equal(await world.offset('g'), -1)
  assert.deepEqual((await world.groups.fetch('g', null, false)).topics.map(({ name }) => name), ['users'])
  world.groups.start()
  await world.env.advance(9 * 60_000)
  assert.equal(world.logs[0]?.records, 2, 'the news of a topic may be late')
  await world.env.advance(2 * 60_000)
  world.restart()
  assert.equal(await world.offset('g', 0, 'users'), 8)
  assert.equal(world.logs[0]?.records, 3)
})

test('members go on in their generation after a restart of the broker', async () => {
  const world = new World()
  const { memberId, generation } = await world.settle('g')
  world.restart()
  assert.equal(errorName(await world.groups.heartbeat('g', memberId, null, generation)), 'NONE')
  assert.equal(errorName(await world.commit('g', 1, { memberId, generation })), 'NONE')
  assert.equal(Buffer.from((await world.sync('g', memberId, generation)).assignment).toString(), 'mine')
  await world.env.advance(10_000)
  assert.equal(errorName(await world.groups.heartbeat('g', memberId, null, generation)), 'UNKNOWN_MEMBER_ID')
  assert.equal((await world.groups.describe('g')).state, 'Empty')
})

test('a static member that came back is known by its new id after a restart', async () => {
  const world = new World()
  await world.settle('g', { instanceId: 'i' })
  const back = await world.join('g', { instanceId: 'i' })
  assert.equal(back.errorCode, NONE)
  world.restart()
  assert.equal(errorName(await world.groups.heartbeat('g', back.memberId, 'i', back.generation)), 'NONE')
})

test('an assignment that is not durable in time is an error for all who wait', async () => {
  const world = new World()
  const joining = world.join('g')
  await world.env.advance(3_000)
  const { memberId, generation } = await joining
  for (const log of world.logs) log.hold = true
  const syncing = world.sync('g', memberId, generation)
  await world.env.advance(5_000)
  assert.equal(errorName((await syncing).errorCode), 'COORDINATOR_NOT_AVAILABLE')
  assert.equal((await world.groups.describe('g')).state, 'PreparingRebalance')
})

test('a commit that is not durable in time is an error, and is seen all the same once it is', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  log.hold = true
  const committing = world.commit('g', 5)
  await world.env.advance(5_000)
  assert.equal(errorName(await committing), 'COORDINATOR_NOT_AVAILABLE')
  log.release()
  assert.equal(await world.offset('g'), 5)
})

test('when another broker takes over, everybody is sent to it', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  const joining = world.join('g')
  log.hold = true
  const committing = world.commit('simple', 5)
  await turn()
  log.fence()
  assert.equal(errorName(await committing), 'NOT_COORDINATOR')
  assert.equal(errorName((await joining).errorCode), 'NOT_COORDINATOR')
  world.openFails = true
  assert.equal(errorName(await world.groups.heartbeat('g', 'm', null, 1)), 'COORDINATOR_NOT_AVAILABLE')
})

test('a record that the log refuses is an error of that commit alone', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  await world.commit('g', 1)
  log.refuse = { kind: 'tooLarge', reason: 'test' }
  assert.equal(errorName(await world.commit('g', 2)), 'INVALID_COMMIT_OFFSET_SIZE')
  log.refuse = null
  assert.equal(await world.offset('g'), 1)
  assert.equal(errorName(await world.commit('g', 3)), 'NONE')
})

test('requests wait a little for a partition that is being loaded, then are told so', async () => {
  const world = new World()
  const { promise, resolve: opened } = Promise.withResolvers<void>()
  world.opening = promise
  const committing = world.commit('g', 1)
  const beating = world.groups.heartbeat('g', 'm', null, 1)
  const syncing = world.sync('g', 'm', 1)
  await world.env.advance(2_000)
  assert.equal(errorName(await committing), 'COORDINATOR_LOAD_IN_PROGRESS')
  assert.equal(errorName(await beating), 'NONE', 'a heartbeat must not throw a member out')
  assert.equal(errorName((await syncing).errorCode), 'REBALANCE_IN_PROGRESS')
  const later = world.commit('g', 2)
  opened()
  assert.equal(errorName(await later), 'NONE')
})

test('a partition that cannot be read is tried again', async () => {
  const world = new World()
  await world.commit('g', 1)
  world.restart()
  const [log] = world.logs
  assert.ok(log)
  log.unreadable = { kind: 'unavailable', reason: 'test' }
  const fetching = world.offset('g')
  await world.env.advance(1_000)
  assert.equal(await fetching, 1)
  world.restart()
  log.unreadable = { kind: 'notLeader' }
  assert.equal(errorName(await world.groups.heartbeat('g', 'm', null, 1)), 'COORDINATOR_NOT_AVAILABLE')
  assert.equal(await world.offset('g'), 1, 'the next request loads anew')
})

test('records of other kinds and damaged ones do not keep a partition from loading', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  const good = offsetRecord('g', 'orders', 0, {
    offset: 9,
    leaderEpoch: -1,
    metadata: '',
    commitTimestampMs: 1_700_000_000_000,
    expireTimestampMs: -1,
    topicId: ZERO,
  })
  const records = [
    { key: Buffer.from('000b000167', 'hex'), value: Buffer.from('0000', 'hex') },
    { key: Buffer.from('0001ff', 'hex'), value: null },
    { key: null, value: null },
    good,
  ].map((record) => ({ ...record, timestamp: 0 }))
  log.append(encodeBatch({ baseOffset: 0, records }))
  assert.equal(await world.offset('g'), 9)
  assert.equal(world.warnings.length, 1)
})

test('groups that Kafka wrote are taken over', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  const member = { memberId: 'm', instanceId: null, clientId: 'c', clientHost: '/h', rebalanceTimeoutMs: 1000, sessionTimeoutMs: 10_000 }
  const { key, value } = groupRecord('g', {
    protocolType: 'consumer',
    generation: 4,
    protocol: 'range',
    leader: 'm',
    phaseChangedAtMs: 1,
    members: [{ ...member, subscription: Buffer.from('s'), assignment: Buffer.from('a') }],
  })
  log.append(encodeBatch({ baseOffset: 0, records: [{ key, value, timestamp: 0 }] }))
  const group = await world.groups.describe('g')
  assert.deepEqual([group.state, group.protocolType, group.protocol], ['Stable', 'consumer', 'range'])
  assert.equal(Buffer.from(group.members[0]?.metadata ?? []).toString(), 's')
  assert.equal(Buffer.from(group.members[0]?.assignment ?? []).toString(), 'a')
})

test('validation of JoinGroup', async () => {
  const world = new World()
  assert.equal(errorName((await world.join('')).errorCode), 'INVALID_GROUP_ID')
  assert.equal(errorName((await world.join('g', { sessionTimeoutMs: 5_999 })).errorCode), 'INVALID_SESSION_TIMEOUT')
  assert.equal(errorName((await world.join('g', { sessionTimeoutMs: 1_800_001 })).errorCode), 'INVALID_SESSION_TIMEOUT')
  assert.equal(errorName((await world.join('g', { memberId: 'x' })).errorCode), 'UNKNOWN_MEMBER_ID')
  const long = await world.join('g', { clientId: 'ü'.repeat(30_000), requiresKnownMemberId: true })
  assert.equal(errorName(long.errorCode), 'MEMBER_ID_REQUIRED')
  assert.ok(Buffer.byteLength(long.memberId) < 2_000)
})

test('groups that nobody got into leave nothing behind', async () => {
  const world = new World()
  for (let i = 0; i < 100; i++) await world.join(`g${i}`, { requiresKnownMemberId: true })
  assert.equal((await world.groups.list([], [])).groups.length, 100)
  await world.env.advance(10_000)
  assert.equal((await world.groups.list([], [])).groups.length, 0)
  assert.equal(world.env.timers, 0)
  assert.equal(world.logs[0]?.records, 0)
})

test('groups are listed by state and type', async () => {
  const world = new World({ partitions: 4 })
  await world.settle('stable')
  await world.commit('simple', 1)
  const all = await world.groups.list([], [])
  assert.deepEqual(all.groups.toSorted((a, b) => (a.groupId < b.groupId ? -1 : 1)), [
    { groupId: 'simple', protocolType: '', state: 'Empty', type: 'classic' },
    { groupId: 'stable', protocolType: 'consumer', state: 'Stable', type: 'classic' },
  ])
  const list = async (states: string[], types: string[]): Promise<string[]> =>
    (await world.groups.list(states, types)).groups.map(({ groupId }) => groupId)
  assert.deepEqual(await list(['stable'], []), ['stable'])
  assert.deepEqual(await list(['EMPTY', 'Dead'], ['Classic']), ['simple'])
  assert.deepEqual(await list([], ['consumer']), [])
})

test('a broker without __consumer_offsets answers about groups without creating it', async () => {
  const world = new World()
  world.exists = false
  world.openFails = true
  assert.deepEqual(await world.groups.list([], []), { errorCode: NONE, groups: [] })
  assert.equal(errorName((await world.groups.describe('g')).errorCode), 'GROUP_ID_NOT_FOUND')
  assert.equal(errorName(await world.groups.delete('g')), 'GROUP_ID_NOT_FOUND')
  assert.equal(await world.offset('g'), -1)
})

test('deleting a group takes its offsets with it, for good', async () => {
  const world = new World()
  const { memberId } = await world.settle('g')
  assert.equal(errorName(await world.groups.delete('g')), 'NON_EMPTY_GROUP')
  await world.groups.leave('g', [{ memberId, instanceId: null, reason: null }])
  await world.commit('g', 5)
  assert.equal(errorName(await world.groups.delete('g')), 'NONE')
  assert.equal(errorName(await world.groups.delete('g')), 'GROUP_ID_NOT_FOUND')
  assert.equal(await world.offset('g'), -1)
  world.restart()
  assert.equal(await world.offset('g'), -1)
  assert.equal((await world.groups.list([], [])).groups.length, 0)
})

test('a commit behind a deletion counts', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  await world.commit('g', 5)
  log.hold = true
  const deleting = world.groups.delete('g')
  await turn()
  const committing = world.commit('g', 6)
  await turn()
  log.release()
  assert.deepEqual([errorName(await deleting), errorName(await committing)], ['NONE', 'NONE'])
  assert.equal(await world.offset('g'), 6)
  world.restart()
  assert.equal(await world.offset('g'), 6)
})

test('offsets expire when the group has been empty for the retention time, simple ones since their commit', async () => {
  const world = new World()
  world.groups.start()
  const { memberId, generation } = await world.settle('used', { sessionTimeoutMs: 1_800_000 })
  await world.commit('used', 1, { memberId, generation })
  await world.commit('simple', 2)
  await world.env.advance(HOUR_MS / 2)
  await world.groups.heartbeat('used', memberId, null, generation)
  await world.commit('simple', 3, { partition: 1 })
  await world.env.advance(HOUR_MS / 2 - 30_000)
  assert.equal(await world.offset('simple'), 2)
  await world.groups.leave('used', [{ memberId, instanceId: null, reason: null }])
  await world.env.advance(120_000)
  assert.equal(await world.offset('simple'), -1)
  assert.equal(await world.offset('simple', 1), 3)
  assert.equal(await world.offset('used'), 1, 'empty for two minutes only')
  await world.env.advance(HOUR_MS)
  assert.equal((await world.groups.list([], [])).groups.length, 0)
  world.restart()
  assert.equal(await world.offset('used'), -1)
  assert.equal((await world.groups.list([], [])).groups.length, 0)
})

test('offsets of topics that a live group no longer reads expire, those that it reads stay', async () => {
  const world = new World()
  world.groups.start()
  const subscription = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 1, 0, 6]), Buffer.from('orders'), Buffer.from([0xff, 0xff, 0xff, 0xff])])
  const { memberId, generation } = await world.settle('g', {
    sessionTimeoutMs: 1_800_000,
    protocols: [{ name: 'range', metadata: subscription }],
  })
  await world.commit('g', 1, { memberId, generation })
  await world.commit('g', 2, { memberId, generation, topic: 'users' })
  for (let i = 0; i < 5; i++) {
    await world.env.advance(HOUR_MS / 4)
    await world.groups.heartbeat('g', memberId, null, generation)
  }
  assert.deepEqual([await world.offset('g'), await world.offset('g', 0, 'users')], [1, -1])
})

test('a retention time of its own counts for an offset (OffsetCommit v2 to v4)', async () => {
  const world = new World()
  world.groups.start()
  await world.commit('g', 1, { retentionMs: 5 * 60_000 })
  await world.env.advance(4 * 60_000)
  assert.equal(await world.offset('g'), 1)
  await world.env.advance(2 * 60_000)
  assert.equal(await world.offset('g'), -1)
})

test('the sweep reaches groups that nobody asks for after a restart', async () => {
  const world = new World({ partitions: 3 })
  await world.commit('g', 1)
  world.restart()
  world.groups.start()
  await world.env.advance(HOUR_MS + 180_000)
  const log = world.logs[partitionOfGroup('g', 3)]
  assert.equal(log?.records, 2, 'the offset and its tombstone')
})

test('stopping answers whoever waits', async () => {
  const world = new World()
  const joining = world.join('g')
  await turn()
  world.groups.stop()
  assert.equal(errorName((await joining).errorCode), 'NOT_COORDINATOR')
  assert.equal(errorName(await world.groups.heartbeat('g', 'm', null, 1)), 'NOT_COORDINATOR')
  assert.equal(world.env.timers, 0)
})

function partition(partitionIndex: number, committedMetadata = ''): CommitTopic['partitions'][number] {
  return { partitionIndex, committedOffset: 5, committedLeaderEpoch: -1, committedMetadata }
}

test('a group that is over its limit after a restart rebalances, and the last ones are out', async () => {
  const world = new World()
  const first = world.join('g', { memberId: '' })
  const second = world.join('g', { memberId: '' })
  await world.env.advance(10_000)
  const members = await Promise.all([first, second])
  const leader = members.find(({ leader: id, memberId }) => id === memberId)!
  await world.sync('g', leader.memberId, leader.generation, { assignments: new Map() })
  world.config = { ...world.config, 'group.max.size': 1 }
  world.restart()
  assert.equal(await world.groups.heartbeat('g', leader.memberId, null, leader.generation), KafkaError.REBALANCE_IN_PROGRESS)
  const joining = members.map(({ memberId }) => world.join('g', { memberId }))
  await world.env.advance(60_000)
  const codes = (await Promise.all(joining)).map(({ errorCode }) => errorCode)
  assert.deepEqual(codes.toSorted((a, b) => a - b), [KafkaError.NONE, KafkaError.GROUP_MAX_SIZE_REACHED])
})
