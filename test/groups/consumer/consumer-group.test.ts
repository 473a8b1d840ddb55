/** Consumer groups through the coordinator, in virtual time: what each member is told, and when. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkaError } from '../../../protocol/errors.ts'
import { ORDERS, USERS, World, ZERO } from '../world.ts'
import { beat, join, ownedOf, text } from './support.ts'

const {
  FENCED_INSTANCE_ID,
  FENCED_MEMBER_EPOCH,
  GROUP_ID_NOT_FOUND,
  GROUP_MAX_SIZE_REACHED,
  GROUP_SUBSCRIBED_TO_TOPIC,
  INCONSISTENT_GROUP_PROTOCOL,
  INVALID_REGULAR_EXPRESSION,
  INVALID_REQUEST,
  NONE,
  NON_EMPTY_GROUP,
  STALE_MEMBER_EPOCH,
  UNKNOWN_MEMBER_ID,
  UNRELEASED_INSTANCE_ID,
  UNSUPPORTED_ASSIGNOR,
  UNSUPPORTED_VERSION,
} = KafkaError

const ALL = '0 1 2 3 4 5 6 7'.split(' ').map((p) => `orders:${p}`).join(' ')

test('the first member gets everything at once', async () => {
  const world = new World()
  const reply = await join(world, 'g', 'a')
  assert.deepEqual({ ...reply, assignment: text(reply.assignment) }, {
    errorCode: NONE,
    errorMessage: null,
    memberId: 'a',
    memberEpoch: 1,
    heartbeatIntervalMs: 5_000,
    assignment: ALL,
  })
  const again = await beat(world, 'g', 'a', { memberEpoch: 1, owned: ownedOf(reply.assignment) })
  assert.deepEqual([again.errorCode, again.memberEpoch, again.assignment], [NONE, 1, null])
  const described = await world.groups.describeConsumer('g')
  assert.deepEqual([described.state, described.epoch, described.assignmentEpoch, described.assignor], ['Stable', 1, 1, 'uniform'])
})

test('a second member gets its share when the first has given it up, and not before', async () => {
  const world = new World()
  const first = await join(world, 'g', 'a')
  const joined = await join(world, 'g', 'b')
  assert.deepEqual([joined.memberEpoch, text(joined.assignment)], [2, ''])
  assert.equal((await world.groups.describeConsumer('g')).state, 'Reconciling')
  const told = await beat(world, 'g', 'a', { memberEpoch: 1 })
  assert.deepEqual([told.memberEpoch, told.assignment?.get(ORDERS)?.length], [1, 4])
  // It still holds what it is to give up: whoever asks meanwhile gets nothing.
  assert.equal((await beat(world, 'g', 'b', { memberEpoch: 2 })).assignment, null)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1, owned: ownedOf(first.assignment) })).memberEpoch, 1)
  const released = await beat(world, 'g', 'a', { memberEpoch: 1, owned: ownedOf(told.assignment) })
  assert.deepEqual([released.memberEpoch, released.assignment], [2, null])
  const got = await beat(world, 'g', 'b', { memberEpoch: 2 })
  const both = [...(told.assignment?.get(ORDERS) ?? []), ...(got.assignment?.get(ORDERS) ?? [])]
  assert.deepEqual(both.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7])
  assert.equal((await world.groups.describeConsumer('g')).state, 'Stable')
})

test('who does not give up its partitions within the rebalance timeout is out', async () => {
  const world = new World()
  await join(world, 'g', 'a', { rebalanceTimeoutMs: 8_000 })
  await join(world, 'g', 'b')
  await beat(world, 'g', 'a', { memberEpoch: 1 })
  await world.env.advance(4_000)
  await beat(world, 'g', 'a', { memberEpoch: 1 })
  await world.env.advance(4_001)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1 })).errorCode, UNKNOWN_MEMBER_ID)
  assert.equal(text((await beat(world, 'g', 'b', { memberEpoch: 2 })).assignment), ALL)
})

test('a session ends after its timeout, and the others get the partitions', async () => {
  const world = new World()
  await join(world, 'g', 'a')
  await join(world, 'g', 'b')
  await world.env.advance(30_000)
  assert.equal((await beat(world, 'g', 'b', { memberEpoch: 2 })).errorCode, NONE)
  await world.env.advance(15_001)
  const left = await beat(world, 'g', 'b', { memberEpoch: 2 })
  assert.deepEqual([left.memberEpoch, text(left.assignment)], [3, ALL])
  await world.env.advance(45_001)
  assert.equal((await world.groups.describeConsumer('g')).state, 'Empty')
})

test('a member that leaves makes room', async () => {
  const world = new World()
  await join(world, 'g', 'a')
  await join(world, 'g', 'b')
  const left = await beat(world, 'g', 'a', { memberEpoch: -1 })
  assert.deepEqual([left.errorCode, left.memberEpoch, left.memberId], [NONE, -1, 'a'])
  assert.equal(text((await beat(world, 'g', 'b', { memberEpoch: 2 })).assignment), ALL)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: -1 })).errorCode, UNKNOWN_MEMBER_ID)
})

test('epochs: an answer that was lost is given again, other ones are fenced', async () => {
  const world = new World()
  const { assignment } = await join(world, 'g', 'a')
  // The answer to the join got lost.
  assert.equal(text((await join(world, 'g', 'a')).assignment), ALL)
  await join(world, 'g', 'b')
  const told = await beat(world, 'g', 'a', { memberEpoch: 1 })
  const owned = ownedOf(told.assignment)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1, owned })).memberEpoch, 2)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1, owned })).errorCode, NONE)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1, owned: ownedOf(assignment) })).errorCode, FENCED_MEMBER_EPOCH)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1 })).errorCode, FENCED_MEMBER_EPOCH)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 3 })).errorCode, FENCED_MEMBER_EPOCH)
  assert.equal((await beat(world, 'g', 'nobody', { memberEpoch: 3 })).errorCode, UNKNOWN_MEMBER_ID)
  assert.equal((await beat(world, 'nothing', 'a', { memberEpoch: 3 })).errorCode, GROUP_ID_NOT_FOUND)
  assert.equal((await beat(world, 'nothing', 'a', { memberEpoch: -1 })).errorCode, GROUP_ID_NOT_FOUND)
})

test('malformed heartbeats are refused with the reason', async () => {
  const world = new World()
  const full = { rebalanceTimeoutMs: 1, topicNames: ['orders'], owned: [] }
  const cases: [string, Parameters<typeof beat>[3], string][] = [
    ['', full, "MemberId can't be empty."],
    ['a', { ...full, instanceId: ' ' }, "InstanceId can't be empty."],
    ['a', { ...full, rackId: '' }, "RackId can't be empty."],
    ['a', { ...full, rebalanceTimeoutMs: -1 }, 'RebalanceTimeoutMs must be provided in first request.'],
    ['a', { ...full, owned: null }, 'TopicPartitions must be empty when (re-)joining.'],
    ['a', { ...full, owned: [{ topicId: ORDERS, partitions: [1] }] }, 'TopicPartitions must be empty when (re-)joining.'],
    ['a', { ...full, topicNames: null }, 'Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.'],
    ['a', { memberEpoch: -2 }, "InstanceId can't be null."],
    ['a', { memberEpoch: -3 }, 'MemberEpoch is invalid.'],
  ]
  for (const [memberId, options, message] of cases) {
    const { errorCode, errorMessage } = await beat(world, 'g', memberId, options)
    assert.deepEqual([errorCode, errorMessage], [INVALID_REQUEST, message])
  }
  assert.equal((await beat(world, '', 'a', full)).errorMessage, "GroupId can't be empty.")
  assert.equal((await join(world, 'g', 'a', { assignor: 'mine' })).errorCode, UNSUPPORTED_ASSIGNOR)
  assert.equal((await world.groups.list([], [])).groups.length, 0, 'refused joins leave nothing behind')
  const named = await join(world, 'g', '', {}, 0)
  assert.equal(named.errorCode, NONE)
  assert.ok(named.memberId !== null && named.memberId.length > 10, 'v0 gives an id to those who have none')
})

test('group.consumer.max.size', async () => {
  const world = new World({ config: { 'group.consumer.max.size': 1 } })
  await join(world, 'g', 'a')
  assert.equal((await join(world, 'g', 'b')).errorCode, GROUP_MAX_SIZE_REACHED)
  assert.equal((await join(world, 'g', 'a')).errorCode, NONE)
})

test('a static member is back under another id and goes on where it was', async () => {
  const world = new World()
  const i = { instanceId: 'i' }
  await join(world, 'g', 'a', i)
  assert.equal((await join(world, 'g', 'other', i)).errorCode, UNRELEASED_INSTANCE_ID)
  assert.equal((await beat(world, 'g', 'other', { memberEpoch: 1, ...i })).errorCode, FENCED_INSTANCE_ID)
  assert.equal((await beat(world, 'g', 'other', { memberEpoch: -2, ...i })).errorCode, FENCED_INSTANCE_ID)
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1, instanceId: 'j' })).errorCode, UNKNOWN_MEMBER_ID)
  const left = await beat(world, 'g', 'a', { memberEpoch: -2, ...i })
  assert.deepEqual([left.errorCode, left.memberEpoch], [NONE, -2])
  const joined = await join(world, 'g', 'b')
  assert.equal(text(joined.assignment), '', 'its partitions wait for it')
  await beat(world, 'g', 'b', { memberEpoch: -1 })
  const { epoch } = await world.groups.describeConsumer('g')
  const back = await join(world, 'g', 'a2', i)
  assert.deepEqual([back.errorCode, back.memberEpoch], [NONE, epoch])
  assert.equal((await world.groups.describeConsumer('g')).epoch, epoch, 'the group does not rebalance')
  await beat(world, 'g', 'a2', { memberEpoch: -2, ...i })
  await world.env.advance(45_001)
  assert.equal((await world.groups.describeConsumer('g')).members.length, 0, 'its session ends all the same')
})

test('topics that appear, grow and go call for another assignment', async () => {
  const world = new World()
  world.topics.delete('users')
  const first = await join(world, 'g', 'a', { topicNames: ['orders', 'users'] })
  assert.equal(text(first.assignment), ALL)
  world.topics.set('other', { id: 'otherTopicIdAAAAAAAAAA', partitions: 3 })
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1 })).memberEpoch, 1)
  world.topics.set('users', { id: USERS, partitions: 1 })
  const appeared = await beat(world, 'g', 'a', { memberEpoch: 1 })
  assert.deepEqual([appeared.memberEpoch, text(appeared.assignment)], [2, `${ALL} usersT:0`])
  world.topics.set('users', { id: USERS, partitions: 2 })
  const grown = await beat(world, 'g', 'a', { memberEpoch: 2 })
  assert.deepEqual([grown.memberEpoch, text(grown.assignment)], [3, `${ALL} usersT:0 usersT:1`])
  world.topics.delete('orders')
  const gone = await beat(world, 'g', 'a', { memberEpoch: 3 })
  assert.deepEqual([gone.memberEpoch, text(gone.assignment)], [3, 'usersT:0 usersT:1'])
  const done = await beat(world, 'g', 'a', { memberEpoch: 3, owned: ownedOf(gone.assignment) })
  assert.equal(done.memberEpoch, 4)
})

test('regular expressions: matched by the broker, kept up with topics, refused when invalid', async () => {
  const world = new World()
  assert.equal((await join(world, 'g', 'a', { topicRegex: '(ord' })).errorCode, INVALID_REGULAR_EXPRESSION)
  assert.equal((await join(world, 'g', 'a', { topicRegex: '(?=ord).*' })).errorCode, INVALID_REGULAR_EXPRESSION)
  const joined = await join(world, 'g', 'a', { topicRegex: 'ord.*|new' })
  assert.equal(text(joined.assignment), ALL)
  world.topics.set('new', { id: 'newTopicIdAAAAAAAAAAAA', partitions: 1 })
  world.topics.set('news', { id: 'newsTopicIdAAAAAAAAAAA', partitions: 1 })
  const found = await beat(world, 'g', 'a', { memberEpoch: 1 })
  assert.deepEqual([found.memberEpoch, text(found.assignment)], [2, `newTop:0 ${ALL}`], 'the whole name must match')
  // Names come first, what an expression matches with the next heartbeat.
  const both = await join(world, 'h', 'a', { topicNames: ['users'], topicRegex: 'orders' })
  assert.equal(text(both.assignment), 'usersT:0')
  assert.equal(text((await beat(world, 'h', 'a', { memberEpoch: 1 })).assignment), `${ALL} usersT:0`)
  const without = await beat(world, 'h', 'a', { memberEpoch: 2, topicRegex: '' })
  assert.equal(text(without.assignment), 'usersT:0')
  const [described] = (await world.groups.describeConsumer('g')).members
  assert.deepEqual([described?.topicNames, described?.topicRegex], [[], 'ord.*|new'])
})

test('a pattern that would hold up other engines costs this one nothing', async () => {
  const world = new World()
  world.topics.set('a'.repeat(200), { id: 'longTopicIdAAAAAAAAAAA', partitions: 1 })
  const startedMs = performance.now()
  assert.equal((await join(world, 'g', 'a', { topicRegex: '(a+)+(a+)+(a+)+b' })).errorCode, NONE)
  assert.ok(performance.now() - startedMs < 1_000)
})

test('range: neighbouring partitions, the same ones in every topic; the votes of the members decide', async () => {
  const world = new World()
  world.topics.set('users', { id: USERS, partitions: 8 })
  await join(world, 'g', 'a', { topicNames: ['orders', 'users'], assignor: 'range' })
  await join(world, 'g', 'b', { topicNames: ['orders', 'users'], assignor: 'range' })
  const { assignor, members } = await world.groups.describeConsumer('g')
  assert.equal(assignor, 'range')
  assert.deepEqual(
    members.map(({ target }) => target.map(({ topicName, partitions }) => `${topicName} ${partitions.join('')}`)),
    [['orders 0123', 'users 0123'], ['orders 4567', 'users 4567']],
  )
})

test('commits need the epoch of their member, or one since which it has held the partition', async () => {
  const world = new World()
  await join(world, 'g', 'a')
  const commit = (memberId: string, generation: number, partition = 0, namesUnknownGroup = true): Promise<number> =>
    world.commit('g', 5, { memberId, generation, partition, namesUnknownGroup })
  assert.equal(await commit('a', 1), NONE)
  assert.equal(await commit('a', 2), STALE_MEMBER_EPOCH)
  assert.equal(await commit('a', 0), STALE_MEMBER_EPOCH)
  assert.equal(await commit('b', 1), UNKNOWN_MEMBER_ID)
  assert.equal(await commit('', -1), UNKNOWN_MEMBER_ID)
  assert.equal(await commit('a', 1, 0, false), UNSUPPORTED_VERSION)
  await join(world, 'g', 'b')
  const told = await beat(world, 'g', 'a', { memberEpoch: 1 })
  const kept = told.assignment?.get(ORDERS)?.[0] ?? -1
  const lost = [0, 1, 2, 3, 4, 5, 6, 7].find((p) => told.assignment?.get(ORDERS)?.includes(p) === false) ?? -1
  assert.equal(await commit('a', 1, lost), NONE, 'it is still held')
  await beat(world, 'g', 'a', { memberEpoch: 1, owned: ownedOf(told.assignment) })
  assert.equal(await commit('a', 1, kept), NONE, 'a commit that was sent in the epoch before')
  assert.equal(await commit('a', 1, lost), STALE_MEMBER_EPOCH)
  await beat(world, 'g', 'a', { memberEpoch: -1 })
  await beat(world, 'g', 'b', { memberEpoch: -1 })
  assert.equal(await commit('', -1), NONE, 'nobody is in the group')
})

test('fetching offsets with another epoch is refused', async () => {
  const world = new World()
  await join(world, 'g', 'a')
  await world.commit('g', 5, { memberId: 'a', generation: 1 })
  const topics = [{ name: 'orders', topicId: ZERO, partitionIndexes: [0] }]
  const as = async (memberId: string | null, memberEpoch: number): Promise<number> =>
    (await world.groups.fetch('g', topics, true, { memberId, memberEpoch })).errorCode
  assert.deepEqual(
    [await as('a', 1), await as(null, -1), await as('a', 0), await as('a', 2), await as('b', 1)],
    [NONE, NONE, STALE_MEMBER_EPOCH, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID],
  )
  assert.equal(await world.offset('g'), 5)
})

test('a restart changes nothing for the members', async () => {
  for (const snapshots of [false, true]) {
    const world = new World({ snapshots })
    const before = await join(world, 'g', 'a', { instanceId: 'i' })
    await join(world, 'g', 'b', { topicRegex: 'ord.*' })
    const told = await beat(world, 'g', 'a', { memberEpoch: 1 })
    for (let i = 0; i < 60; i++) await world.commit('g', i, { memberId: 'a', generation: 1, partition: told.assignment?.get(ORDERS)?.[0] ?? 0 })
    await world.env.advance(1_500)
    const described = await world.groups.describeConsumer('g')
    world.restart()
    assert.deepEqual(await world.groups.describeConsumer('g'), described)
    assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1, owned: ownedOf(before.assignment) })).memberEpoch, 1)
    assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1, owned: ownedOf(told.assignment) })).memberEpoch, 2)
    assert.equal((await beat(world, 'g', 'b', { memberEpoch: 2 })).assignment?.get(ORDERS)?.length, 4)
    assert.equal((await world.groups.describeConsumer('g')).state, 'Stable')
    world.restart()
    await world.groups.describeConsumer('g')
    await world.env.advance(45_001)
    assert.equal((await world.groups.describeConsumer('g')).state, 'Empty')
  }
})

test('nobody is told of a change before it is durable', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  log.hold = true
  let answered = 0
  const joining = join(world, 'g', 'a')
  void joining.then(() => answered++)
  await world.env.advance(100)
  const again = join(world, 'g', 'a')
  void again.then(() => answered++)
  await world.env.advance(100)
  assert.equal(answered, 0)
  log.release()
  assert.equal(text((await joining).assignment), ALL)
  assert.equal(text((await again).assignment), ALL)
  // What is not durable before a crash never was.
  const second = join(world, 'g', 'b')
  second.catch(() => {})
  await world.env.advance(100)
  world.restart()
  assert.deepEqual((await world.groups.describeConsumer('g')).members.map(({ memberId }) => memberId), ['a'])
})

test('a change that cannot be written down never was', async () => {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  await join(world, 'g', 'a')
  log.refuse = { kind: 'invalidRecord', message: 'no', index: 0 } as never
  assert.notEqual((await join(world, 'g', 'b')).errorCode, NONE)
  log.refuse = null
  assert.deepEqual((await world.groups.describeConsumer('g')).members.map(({ memberId }) => memberId), ['a'])
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1 })).errorCode, NONE)
  assert.equal((await join(world, 'g', 'b')).memberEpoch, 2)
})

test('groups are listed by type and state, deleted when empty, and can change their protocol then', async () => {
  const world = new World()
  await join(world, 'modern', 'a')
  await world.commit('modern', 7, { memberId: 'a', generation: 1 })
  await world.settle('old')
  const types = async (...of: string[]): Promise<string[]> => (await world.groups.list([], of)).groups.map(({ groupId }) => groupId).toSorted()
  assert.deepEqual(await types('Consumer'), ['modern'])
  assert.deepEqual(await types('classic'), ['old'])
  assert.deepEqual(await types(), ['modern', 'old'])
  assert.deepEqual((await world.groups.list(['stable'], ['consumer'])).groups, [
    { groupId: 'modern', protocolType: 'consumer', state: 'Stable', type: 'consumer' },
  ])
  assert.equal((await world.groups.describe('modern')).errorCode, GROUP_ID_NOT_FOUND)
  assert.equal((await world.groups.describeConsumer('old')).errorMessage, 'Group old is not a consumer group.')
  assert.equal(await world.groups.delete('modern'), NON_EMPTY_GROUP)
  assert.equal((await world.join('modern')).errorCode, INCONSISTENT_GROUP_PROTOCOL)
  assert.equal((await join(world, 'old', 'a')).errorCode, GROUP_ID_NOT_FOUND)
  // Empty, the group changes over and keeps its offsets.
  await beat(world, 'modern', 'a', { memberEpoch: -1 })
  assert.equal((await world.settle('modern')).generation, 1)
  assert.equal(await world.offset('modern'), 7)
  assert.deepEqual(await types('consumer'), [])
  world.restart()
  assert.deepEqual(await types('classic'), ['modern', 'old'])
  await world.env.advance(20_000)
  assert.equal((await join(world, 'modern', 'a')).errorCode, NONE)
  assert.equal(await world.offset('modern'), 7)
  world.restart()
  assert.deepEqual(await types('consumer'), ['modern'])
  await beat(world, 'modern', 'a', { memberEpoch: -1 })
  assert.equal(await world.groups.delete('modern'), NONE)
  assert.equal(await world.groups.delete('modern'), GROUP_ID_NOT_FOUND)
  world.restart()
  assert.deepEqual(await types('consumer'), [])
  assert.equal(await world.offset('modern'), -1)
})

test('offsets of topics that a group reads do not expire; those of an empty group do, and the group with them', async () => {
  const world = new World()
  world.groups.start()
  await join(world, 'g', 'a')
  await world.commit('g', 1, { memberId: 'a', generation: 1 })
  await world.commit('g', 2, { memberId: 'a', generation: 1, topic: 'users' })
  for (let minutes = 0; minutes < 62; minutes += 0.5) {
    await world.env.advance(30_000)
    assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1 })).errorCode, NONE)
  }
  assert.deepEqual([await world.offset('g'), await world.offset('g', 0, 'users')], [1, -1])
  await beat(world, 'g', 'a', { memberEpoch: -1 })
  await world.env.advance(2 * 60_000)
  assert.equal(await world.offset('g'), -1)
  assert.equal((await world.groups.describeConsumer('g')).errorCode, GROUP_ID_NOT_FOUND)
})

test("a group's own configs count for its members with their next heartbeat", async () => {
  const world = new World()
  await join(world, 'g', 'a')
  await join(world, 'other', 'a')
  world.own.set('g consumer.heartbeat.interval.ms', '7000')
  world.own.set('g consumer.session.timeout.ms', '60000')
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1 })).heartbeatIntervalMs, 7_000)
  assert.equal((await beat(world, 'other', 'a', { memberEpoch: 1 })).heartbeatIntervalMs, 5_000)
  await world.env.advance(50_000)
  assert.equal((await world.groups.describeConsumer('other')).state, 'Empty')
  assert.equal((await beat(world, 'g', 'a', { memberEpoch: 1 })).errorCode, NONE)
})

test('group.consumer.assignors: the first is the default, and only these are allowed', async () => {
  const world = new World({ config: { 'group.consumer.assignors': ['range'] } })
  await join(world, 'g', 'a')
  assert.equal((await world.groups.describeConsumer('g')).assignor, 'range')
  assert.equal((await join(world, 'g', 'b', { assignor: 'uniform' })).errorCode, UNSUPPORTED_ASSIGNOR)
})

test('OffsetDelete leaves offsets of topics that a consumer group subscribes to', async () => {
  const world = new World()
  await join(world, 'g', 'a')
  for (const topic of ['orders', 'users']) assert.equal(await world.commit('g', 7, { memberId: 'a', generation: 1, topic }), NONE)
  const codes = async (): Promise<number[]> => {
    const topics = ['orders', 'users'].map((name) => ({ name, partitionIndexes: [0] }))
    return (await world.groups.deleteOffsets('g', topics)).topics.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
  }
  assert.deepEqual(await codes(), [GROUP_SUBSCRIBED_TO_TOPIC, NONE])
  assert.deepEqual([await world.offset('g'), await world.offset('g', 0, 'users')], [7, -1])
  await beat(world, 'g', 'a', { memberEpoch: -1 })
  assert.deepEqual(await codes(), [NONE, NONE])
  assert.equal(await world.offset('g'), -1)
})
