/** Every rule of the state machine, in virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkaError, errorName } from '../../protocol/errors.ts'
import { admitCommit, heartbeat, step } from '../../src/groups/group.ts'
import { groupFromMetadata, newGroup } from '../../src/groups/membership.ts'
import type {
  Effect,
  Group,
  GroupEvent,
  GroupLimits,
  GroupMetadata,
  JoinEvent,
  JoinReply,
  Now,
  PersistPurpose,
  SyncEvent,
  SyncReply,
} from '../../src/groups/types.ts'

const SESSION_MS = 10_000
const REBALANCE_MS = 60_000
const DELAY_MS = 3_000
const { NONE } = KafkaError

test('a dynamic member gets an id first and joins with it', () => {
  const g = new Harness()
  const first = g.join({ newMemberId: 'a-1' })
  assert.equal(name(first.reply), 'MEMBER_ID_REQUIRED')
  assert.equal(first.reply?.memberId, 'a-1')
  assert.equal(g.group.members.size, 0)
  const second = g.join({ memberId: 'a-1' })
  assert.equal(second.reply, undefined)
  assert.equal(g.group.phase, 'PreparingRebalance')
  g.advance(DELAY_MS)
  assert.deepEqual(summary(second.reply), { error: 'NONE', generation: 1, leader: 'a-1', memberId: 'a-1', members: ['a-1'] })
})

test('an old client joins without a member id', () => {
  const g = new Harness()
  const join = g.join({ newMemberId: 'a-1', requiresKnownMemberId: false })
  g.advance(DELAY_MS)
  assert.equal(join.reply?.memberId, 'a-1')
})

test('a member id that was given and not used is forgotten after the session timeout', () => {
  const g = new Harness()
  g.join({ newMemberId: 'a-1' })
  g.advance(SESSION_MS - 1)
  assert.equal(g.group.pendingMembers.size, 1)
  g.advance(1)
  assert.equal(g.group.pendingMembers.size, 0)
  assert.equal(name(g.join({ memberId: 'a-1' }).reply), 'UNKNOWN_MEMBER_ID')
})

test('the first rebalance waits for more members, longer when some come, never beyond the rebalance timeout', () => {
  const g = new Harness()
  const joins = [g.joinNew('a')]
  g.advance(DELAY_MS - 1)
  joins.push(g.joinNew('b'))
  g.advance(1)
  assert.equal(g.group.phase, 'PreparingRebalance', 'b came during the delay: another delay')
  g.advance(DELAY_MS - 1)
  assert.equal(joins[0]?.reply, undefined)
  g.advance(1)
  assert.deepEqual(joins.map(({ reply }) => reply?.generation), [1, 1])

  const h = new Harness()
  const first = h.joinNew('m0')
  for (let i = 1; first.reply === undefined; i++) {
    assert.ok(h.nowMs <= REBALANCE_MS, 'the delay is bounded by the rebalance timeout')
    h.advance(1_000)
    if (first.reply === undefined) h.joinNew(`m${i}`)
  }
  assert.equal(h.nowMs, REBALANCE_MS)
})

test('without initial delay the first member is alone in its generation', () => {
  const g = new Harness({ initialRebalanceDelayMs: 0 })
  const join = g.joinNew('a')
  assert.equal(join.reply?.generation, 1)
})

test('only the leader is told the members, and its assignment goes out when it is durable', () => {
  const g = new Harness()
  const a = g.joinNew('a')
  const b = g.joinNew('b')
  g.advance(2 * DELAY_MS)
  assert.deepEqual(a.reply?.members.map(({ memberId }) => memberId), ['a', 'b'])
  assert.deepEqual(b.reply?.members, [])
  assert.equal(b.reply?.leader, 'a')
  assert.equal(g.group.phase, 'CompletingRebalance')
  const syncB = g.sync('b')
  g.holdPersists = true
  const syncA = g.sync('a', { a: 'A', b: 'B' })
  assert.equal(syncA.reply, undefined)
  assert.equal(syncB.reply, undefined)
  assert.equal(g.persists[0]?.value.members[1]?.assignment.toString(), Buffer.from('B').toString())
  g.persisted(NONE)
  assert.equal(assignmentOf(syncA.reply), 'A')
  assert.equal(assignmentOf(syncB.reply), 'B')
  assert.equal(g.group.phase, 'Stable')
  assert.equal(assignmentOf(g.sync('b').reply), 'B', 'a repeated SyncGroup in a stable group is answered at once')
})

test('members that the leader forgot get an empty assignment', () => {
  const g = new Harness()
  g.settle(['a', 'b'], { a: 'A' })
  assert.equal(g.group.members.get('b')?.assignment.length, 0)
})

test('an assignment that could not be stored starts another rebalance', () => {
  const g = new Harness()
  g.joinNew('a')
  g.advance(DELAY_MS)
  g.holdPersists = true
  const sync = g.sync('a', { a: 'A' })
  g.persisted(KafkaError.COORDINATOR_NOT_AVAILABLE)
  assert.equal(name(sync.reply), 'COORDINATOR_NOT_AVAILABLE')
  assert.equal(g.group.phase, 'PreparingRebalance')
})

test('an assignment of a generation that is over is void', () => {
  const g = new Harness()
  g.joinNew('a')
  g.advance(DELAY_MS)
  g.holdPersists = true
  const sync = g.sync('a', { a: 'A' })
  g.joinNew('b')
  assert.equal(name(sync.reply), 'REBALANCE_IN_PROGRESS')
  g.join({ memberId: 'a' })
  assert.deepEqual([g.group.phase, g.group.generation], ['CompletingRebalance', 2])
  g.persisted(NONE)
  assert.equal(g.group.phase, 'CompletingRebalance')
  assert.equal(g.group.members.get('a')?.assignment.length, 0)
})

test('a new member makes the others rejoin, and those who do not are out after the rebalance timeout', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  const c = g.joinNew('c')
  assert.equal(errorName(g.heartbeat('a')), 'REBALANCE_IN_PROGRESS')
  const a = g.join({ memberId: 'a' })
  for (let i = 0; i < REBALANCE_MS / 5_000; i++) {
    g.heartbeat('b')
    g.advance(5_000)
  }
  assert.deepEqual(a.reply?.members.map(({ memberId }) => memberId), ['a', 'c'])
  assert.equal(c.reply?.generation, 2)
  assert.equal(errorName(g.heartbeat('b')), 'UNKNOWN_MEMBER_ID')
})

test('the rebalance ends as soon as everybody has rejoined', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  g.joinNew('c')
  g.join({ memberId: 'a' })
  const b = g.join({ memberId: 'b' })
  assert.equal(b.reply?.generation, 2)
  assert.equal(g.nowMs, g.settledAtMs)
})

test('when the leader does not rejoin, somebody who did leads', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  const c = g.joinNew('c')
  const b = g.join({ memberId: 'b' })
  for (let i = 0; i < REBALANCE_MS / 5_000; i++) {
    g.heartbeat('a')
    g.advance(5_000)
  }
  assert.equal(c.reply?.leader, 'b')
  assert.deepEqual(b.reply?.members.map(({ memberId }) => memberId), ['b', 'c'])
})

test('heartbeats keep a session alive, silence ends it and starts a rebalance', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  for (let i = 0; i < 10; i++) {
    g.advance(SESSION_MS - 1)
    assert.equal(errorName(g.heartbeat('a')), 'NONE')
    assert.equal(errorName(g.heartbeat('b')), 'NONE')
  }
  g.advance(SESSION_MS - 1)
  g.heartbeat('a')
  g.advance(1)
  assert.equal(errorName(g.heartbeat('a')), 'REBALANCE_IN_PROGRESS')
  assert.equal(errorName(g.heartbeat('b')), 'UNKNOWN_MEMBER_ID')
})

test('heartbeats need no tick of their own', () => {
  const g = new Harness()
  g.settle(['a'])
  g.advance(0)
  const before = g.ticks
  for (let i = 0; i < 300; i++) {
    g.advance(100)
    g.heartbeat('a')
  }
  assert.ok(g.ticks - before <= 5, `${g.ticks - before} ticks for 300 heartbeats`)
})

test('a waiting JoinGroup stands for the heartbeat, but that of a new member is given up after five minutes', () => {
  const g = new Harness()
  g.settle(['a', 'b'], {}, { rebalanceTimeoutMs: 600_000 })
  const c = g.joinNew('c', { rebalanceTimeoutMs: 600_000 })
  const a = g.join({ memberId: 'a', rebalanceTimeoutMs: 600_000 })
  for (let i = 0; i < 299_999 / 7_000; i++) {
    g.heartbeat('b')
    g.advance(7_000)
  }
  assert.equal(g.nowMs > 299_999, true)
  assert.equal(name(c.reply), 'UNKNOWN_MEMBER_ID')
  assert.equal(a.reply, undefined, 'a is no new member: its JoinGroup waits on')
})

test('members that never sync are removed after the rebalance timeout', () => {
  const g = new Harness()
  g.joinNew('a')
  g.joinNew('b')
  g.advance(2 * DELAY_MS)
  g.sync('a', { a: 'A', b: 'B' })
  for (let i = 0; i < REBALANCE_MS / 5_000; i++) {
    g.heartbeat('a')
    g.heartbeat('b')
    g.advance(5_000)
  }
  assert.equal(errorName(g.heartbeat('b')), 'UNKNOWN_MEMBER_ID')
  assert.equal(errorName(g.heartbeat('a')), 'REBALANCE_IN_PROGRESS')
})

test('a follower that joins again with the same subscription gets the current generation, a changed one makes a rebalance', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  const again = g.join({ memberId: 'b' })
  assert.deepEqual([again.reply?.generation, g.group.phase], [1, 'Stable'])
  g.join({ memberId: 'b', protocols: protocols('range', 'other') })
  assert.equal(g.group.phase, 'PreparingRebalance')
})

test('the leader may ask for a rebalance by joining again', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  g.join({ memberId: 'a' })
  assert.equal(g.group.phase, 'PreparingRebalance')
})

test('a lost JoinGroup answer is repeated while the assignment is awaited', () => {
  const g = new Harness()
  const a = g.joinNew('a')
  g.advance(DELAY_MS)
  const again = g.join({ memberId: 'a' })
  assert.deepEqual(again.reply, a.reply)
})

test('a second JoinGroup of a waiting member supersedes the first, which is told so', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  g.joinNew('c')
  const first = g.join({ memberId: 'a' })
  g.join({ memberId: 'a' })
  assert.equal(name(first.reply), 'REBALANCE_IN_PROGRESS')
  assert.equal(g.group.joinsWaiting, 2)
})

test('protocols: the type must be the same, one must be common to all, and the most votes win', () => {
  const g = new Harness()
  const a = g.joinNew('a', { protocols: protocols('range', 'x', 'roundrobin', 'x') })
  g.joinNew('b', { protocols: protocols('roundrobin', 'x', 'range', 'x') })
  g.joinNew('c', { protocols: protocols('roundrobin', 'x', 'range', 'x', 'sticky', 'x') })
  assert.equal(name(g.join({ newMemberId: 'd', protocols: protocols('sticky', 'x') }).reply), 'INCONSISTENT_GROUP_PROTOCOL')
  assert.equal(name(g.join({ newMemberId: 'd', protocolType: 'connect' }).reply), 'INCONSISTENT_GROUP_PROTOCOL')
  g.advance(2 * DELAY_MS)
  assert.equal(a.reply?.protocol, 'roundrobin')
  assert.equal(a.reply?.protocolType, 'consumer')

  const empty = new Harness()
  assert.equal(name(empty.join({ newMemberId: 'd', protocols: [] }).reply), 'INCONSISTENT_GROUP_PROTOCOL')
  assert.equal(name(empty.join({ newMemberId: 'd', protocolType: '' }).reply), 'INCONSISTENT_GROUP_PROTOCOL')
})

test('an empty group takes the protocol type of whoever comes next', () => {
  const g = new Harness()
  g.settle(['a'])
  g.leave('a')
  assert.equal(g.group.phase, 'Empty')
  const b = g.joinNew('b', { protocolType: 'connect' })
  g.advance(DELAY_MS)
  assert.equal(b.reply?.protocolType, 'connect')
  assert.equal(b.reply?.generation, 3, 'generations go on')
})

test('SyncGroup and Heartbeat are checked for member, generation, protocol and phase', () => {
  const g = new Harness()
  assert.equal(name(g.sync('x').reply), 'UNKNOWN_MEMBER_ID')
  assert.equal(errorName(g.heartbeat('x')), 'UNKNOWN_MEMBER_ID')
  g.settle(['a'])
  assert.equal(name(g.sync('x').reply), 'UNKNOWN_MEMBER_ID')
  assert.equal(name(g.sync('a', {}, { generation: 7 }).reply), 'ILLEGAL_GENERATION')
  assert.equal(name(g.sync('a', {}, { protocol: 'sticky' }).reply), 'INCONSISTENT_GROUP_PROTOCOL')
  assert.equal(name(g.sync('a', {}, { protocolType: 'connect' }).reply), 'INCONSISTENT_GROUP_PROTOCOL')
  assert.equal(errorName(g.heartbeat('a', 7)), 'ILLEGAL_GENERATION')
  g.joinNew('b')
  assert.equal(name(g.sync('a').reply), 'REBALANCE_IN_PROGRESS')
})

test('leaving makes a rebalance; the last one leaves an empty group that is written down', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  assert.deepEqual(g.leave('b').map(errorName), ['NONE'])
  assert.equal(errorName(g.heartbeat('a')), 'REBALANCE_IN_PROGRESS')
  assert.deepEqual(g.leave('a', 'nobody').map(errorName), ['NONE', 'UNKNOWN_MEMBER_ID'])
  assert.equal(g.group.phase, 'Empty')
  assert.deepEqual([g.group.leader, g.group.protocol, g.group.protocolType], [null, null, 'consumer'])
  assert.deepEqual(g.persists.at(-1)?.purpose, { kind: 'empty' })
  assert.equal(g.persists.at(-1)?.value.members.length, 0)
})

test('a member that leaves while its JoinGroup waits is answered', () => {
  const g = new Harness()
  g.settle(['a', 'b'])
  const c = g.joinNew('c')
  g.leave('c')
  assert.equal(name(c.reply), 'UNKNOWN_MEMBER_ID')
  g.join({ memberId: 'a' })
  const b = g.join({ memberId: 'b' })
  assert.equal(b.reply?.generation, 2)
})

test('a pending member may leave', () => {
  const g = new Harness()
  g.join({ newMemberId: 'a-1' })
  assert.deepEqual(g.leave('a-1').map(errorName), ['NONE'])
  assert.equal(g.group.pendingMembers.size, 0)
})

test('group.max.size refuses new members and lets existing ones rejoin', () => {
  const g = new Harness({ maxSize: 2 })
  g.settle(['a', 'b'])
  const refused = g.join({ newMemberId: 'c' })
  assert.equal(name(refused.reply), 'GROUP_MAX_SIZE_REACHED')
  assert.equal(refused.reply?.memberId, '')
  g.join({ memberId: 'a' })
  const b = g.join({ memberId: 'b' })
  assert.equal(b.reply?.generation, 2)
})

test('during a rebalance of a full group the last to rejoin is out', () => {
  const g = new Harness()
  g.settle(['a', 'b', 'c'])
  g.limits = { ...g.limits, maxSize: 2 }
  g.join({ memberId: 'a' })
  g.join({ memberId: 'b' })
  const c = g.join({ memberId: 'c' })
  assert.equal(name(c.reply), 'GROUP_MAX_SIZE_REACHED')
  assert.deepEqual(Array.from(g.group.members.keys()), ['a', 'b'])
  assert.equal(g.group.phase, 'CompletingRebalance', 'the others go on')
})

test('a static member that restarts takes its old place without a rebalance', () => {
  const g = new Harness()
  g.settleStatic(['a', 'b'])
  g.holdPersists = true
  const back = g.join({ newMemberId: 'b-2', instanceId: 'i-b' })
  assert.ok(!answered(back), 'the new id has to be durable first')
  g.persisted(NONE)
  assert.deepEqual([back.reply?.memberId, back.reply?.generation, g.group.phase], ['b-2', 1, 'Stable'])
  assert.equal(assignmentOf(g.sync('b-2', {}, { instanceId: 'i-b' }).reply), 'B')
  assert.equal(errorName(g.heartbeat('b', 1, 'i-b')), 'FENCED_INSTANCE_ID')
  assert.equal(name(g.sync('b', {}, { instanceId: 'i-b' }).reply), 'FENCED_INSTANCE_ID')
  assert.equal(name(g.join({ memberId: 'b', instanceId: 'i-b' }).reply), 'FENCED_INSTANCE_ID')
})

test('a static leader that restarts skips the assignment, or does not learn that it leads (KIP-814)', () => {
  const g = new Harness()
  g.settleStatic(['a', 'b'])
  const back = g.join({ newMemberId: 'a-2', instanceId: 'i-a' })
  assert.equal(back.reply?.skipAssignment, true)
  assert.equal(back.reply?.leader, 'a-2')
  assert.deepEqual(back.reply?.members.map(({ memberId }) => memberId), ['a-2', 'b'])
  const old = g.join({ newMemberId: 'a-3', instanceId: 'i-a', supportsSkippingAssignment: false })
  assert.deepEqual([old.reply?.skipAssignment, old.reply?.leader, old.reply?.members], [false, 'a-2', []])
})

test('a static member whose new id cannot be stored stays who it was', () => {
  const g = new Harness()
  g.settleStatic(['a', 'b'])
  g.holdPersists = true
  const back = g.join({ newMemberId: 'b-2', instanceId: 'i-b' })
  g.persisted(KafkaError.NOT_COORDINATOR)
  assert.equal(name(back.reply), 'NOT_COORDINATOR')
  assert.equal(errorName(g.heartbeat('b', 1, 'i-b')), 'NONE')
  assert.equal(g.group.joinsWaiting, 0)
})

test('a static member that comes back with other protocols makes a rebalance if that changes the choice', () => {
  const g = new Harness()
  const both = { protocols: protocols('range', 'x', 'sticky', 'x') }
  g.settleStatic(['a', 'b'], both)
  assert.equal(g.group.protocol, 'range')
  g.join({ newMemberId: 'b-2', instanceId: 'i-b', protocols: protocols('range', 'y', 'sticky', 'y') })
  assert.deepEqual([g.group.phase, g.group.generation], ['Stable', 1])
  const b = g.join({ newMemberId: 'b-3', instanceId: 'i-b', protocols: protocols('sticky', 'x') })
  g.join({ memberId: 'a', instanceId: 'i-a', ...both })
  assert.deepEqual([b.reply?.protocol, b.reply?.generation], ['sticky', 2])
})

test('a static member that comes back while the assignment is awaited makes a rebalance', () => {
  const g = new Harness()
  g.joinStatic('a')
  g.joinStatic('b')
  g.advance(2 * DELAY_MS)
  const sync = g.sync('b', {}, { instanceId: 'i-b' })
  g.join({ newMemberId: 'b-2', instanceId: 'i-b' })
  assert.equal(name(sync.reply), 'FENCED_INSTANCE_ID')
  assert.equal(g.group.phase, 'PreparingRebalance')
})

test('a waiting static member that is replaced is fenced', () => {
  const g = new Harness()
  const first = g.joinStatic('a')
  const second = g.join({ newMemberId: 'a-2', instanceId: 'i-a' })
  assert.equal(name(first.reply), 'FENCED_INSTANCE_ID')
  g.advance(DELAY_MS)
  assert.equal(second.reply?.generation, 1)
})

test('a static member keeps its place over a rebalance that it missed, if it comes back in time', () => {
  for (const comesBack of [true, false]) {
    const g = new Harness()
    const timeout = { rebalanceTimeoutMs: 5_000, sessionTimeoutMs: 30_000 }
    g.settleStatic(['a', 'b'], timeout)
    g.joinNew('c', timeout)
    const a = g.join({ memberId: 'a', instanceId: 'i-a', ...timeout })
    g.advance(5_000)
    assert.deepEqual(a.reply?.members.map(({ memberId }) => memberId), ['a', 'b', 'c'], 'b has not rejoined and is in')
    g.sync('c')
    g.sync('a', { b: 'B2' }, { instanceId: 'i-a' })
    g.advance(4_000)
    if (comesBack) {
      assert.equal(g.join({ newMemberId: 'b-2', instanceId: 'i-b', ...timeout }).reply?.generation, 2)
      assert.equal(assignmentOf(g.sync('b-2', {}, { instanceId: 'i-b' }).reply), 'B2')
    }
    g.advance(2_000)
    assert.equal(g.group.staticMembers.get('i-b'), comesBack ? 'b-2' : undefined)
    assert.equal(g.group.phase, comesBack ? 'Stable' : 'PreparingRebalance')
  }
})

test('an administrator removes static members by their instance id', () => {
  const g = new Harness()
  g.settleStatic(['a', 'b'])
  assert.deepEqual(g.leaveInstances('i-a', 'i-x').map(errorName), ['NONE', 'UNKNOWN_MEMBER_ID'])
  assert.equal(g.group.members.has('a'), false)
  assert.equal(g.group.leader, 'b')
})

test('an unknown instance id is an unknown member', () => {
  const g = new Harness()
  g.settle(['a'])
  assert.equal(errorName(g.heartbeat('a', 1, 'i-a')), 'UNKNOWN_MEMBER_ID')
})

test('commits: members of this generation, everybody in an empty group, nobody else', () => {
  const g = new Harness()
  assert.equal(errorName(g.commit('', -1)), 'NONE')
  g.joinNew('a')
  g.joinNew('b')
  g.advance(2 * DELAY_MS)
  assert.equal(errorName(g.commit('a', 1)), 'REBALANCE_IN_PROGRESS', 'no commits before the assignment')
  g.sync('b')
  g.sync('a')
  assert.equal(errorName(g.commit('a', 1)), 'NONE')
  assert.equal(errorName(g.commit('a', 0)), 'ILLEGAL_GENERATION')
  assert.equal(errorName(g.commit('x', 1)), 'UNKNOWN_MEMBER_ID')
  assert.equal(errorName(g.commit('', -1)), 'UNKNOWN_MEMBER_ID')
  g.joinNew('c')
  assert.equal(errorName(g.commit('a', 1)), 'NONE', 'while the group rebalances the old generation may still commit')
})

test('a commit is a sign of life', () => {
  const g = new Harness()
  g.settle(['a'])
  for (let i = 0; i < 5; i++) {
    g.advance(SESSION_MS - 1)
    assert.equal(errorName(g.commit('a', 1)), 'NONE')
  }
})

test('members come back after a restart in their generation, with fresh sessions', () => {
  const g = new Harness()
  g.settle(['a', 'b'], { a: 'A', b: 'B' })
  const h = new Harness({}, g.persists.at(-1)?.value)
  assert.deepEqual([h.group.phase, h.group.generation, h.group.leader], ['Stable', 1, 'a'])
  assert.equal(errorName(h.heartbeat('b')), 'NONE')
  assert.equal(assignmentOf(h.sync('b').reply), 'B')
  h.advance(SESSION_MS - 1)
  assert.equal(errorName(h.heartbeat('b')), 'NONE')
  h.advance(1)
  assert.equal(errorName(h.heartbeat('a')), 'UNKNOWN_MEMBER_ID')
})

test('whoever waits when the group is handed over is sent to the new coordinator', () => {
  const g = new Harness()
  const a = g.joinNew('a')
  g.event({ kind: 'unload', errorCode: KafkaError.NOT_COORDINATOR })
  assert.equal(name(a.reply), 'NOT_COORDINATOR')
  assert.equal(name(g.join({ memberId: 'a' }).reply), 'COORDINATOR_NOT_AVAILABLE')
  assert.equal(errorName(g.heartbeat('a')), 'COORDINATOR_NOT_AVAILABLE')
  assert.deepEqual(g.leave('a').map(errorName), ['COORDINATOR_NOT_AVAILABLE'])
})

test('the topics of a consumer group are known from the subscriptions of its protocol', () => {
  const g = new Harness()
  g.joinNew('a', { protocols: [{ name: 'range', metadata: subscription('orders', 'users') }] })
  g.joinNew('b', { protocols: [{ name: 'range', metadata: subscription('users', 'clicks') }] })
  g.advance(2 * DELAY_MS)
  assert.deepEqual(Array.from(g.group.subscribedTopics ?? []), ['orders', 'users', 'clicks'])
  g.joinNew('c', { protocols: [{ name: 'range', metadata: Buffer.from([0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1]) }] })
  g.join({ memberId: 'a' })
  g.join({ memberId: 'b' })
  assert.equal(g.group.subscribedTopics, null, 'an unreadable subscription: the topics are not known')
})

interface Waiting<Reply> {
  reply?: Reply
}

/** One group, its clock, and its effects. Writes are durable at once unless held. */
class Harness {
  readonly group: Group
  limits: GroupLimits
  nowMs = 0
  settledAtMs = 0
  ticks = 0
  holdPersists = false
  readonly persists: { readonly value: GroupMetadata; readonly purpose: PersistPurpose }[] = []
  readonly #held: PersistPurpose[] = []

  constructor(limits: Partial<GroupLimits> = {}, metadata?: GroupMetadata) {
    this.limits = { initialRebalanceDelayMs: DELAY_MS, maxSize: 1000, newMemberJoinTimeoutMs: 300_000, ...limits }
    this.group = metadata === undefined ? newGroup('g', this.now().wallMs) : groupFromMetadata('g', metadata, this.now())
  }

  now(): Now {
    return { monotonicMs: this.nowMs, wallMs: 1_700_000_000_000 + this.nowMs }
  }

  event(event: GroupEvent): void {
    for (const effect of step(this.group, event, this.now(), this.limits)) this.#perform(effect)
  }

  /** Lets time pass, with a tick whenever one is due. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms
    while (this.group.wakeAtMs <= endMs) {
      this.nowMs = Math.max(this.nowMs, this.group.wakeAtMs)
      this.ticks++
      this.event({ kind: 'tick' })
      assert.ok(this.group.wakeAtMs > this.nowMs, 'a tick leaves nothing due')
    }
    this.nowMs = endMs
  }

  join(options: Partial<JoinEvent>): Waiting<JoinReply> {
    const waiting: Waiting<JoinReply> = {}
    this.event({
      kind: 'join',
      ticket: (reply) => {
        assert.equal(waiting.reply, undefined, 'answered once')
        waiting.reply = reply
      },
      memberId: '',
      instanceId: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: SESSION_MS,
      rebalanceTimeoutMs: REBALANCE_MS,
      protocolType: 'consumer',
      protocols: protocols('range', 'x'),
      requiresKnownMemberId: true,
      supportsSkippingAssignment: true,
      newMemberId: 'unused',
      reason: null,
      ...options,
    })
    return waiting
  }

  /** The whole way in: an id, then the group. */
  joinNew(id: string, options: Partial<JoinEvent> = {}): Waiting<JoinReply> {
    this.join({ ...options, newMemberId: id })
    return this.join({ ...options, memberId: id })
  }

  joinStatic(id: string, options: Partial<JoinEvent> = {}): Waiting<JoinReply> {
    return this.join({ ...options, newMemberId: id, instanceId: `i-${id}` })
  }

  sync(memberId: string, assignments: Record<string, string> = {}, options: Partial<SyncEvent> = {}): Waiting<SyncReply> {
    const waiting: Waiting<SyncReply> = {}
    this.event({
      kind: 'sync',
      ticket: (reply) => {
        assert.equal(waiting.reply, undefined, 'answered once')
        waiting.reply = reply
      },
      memberId,
      instanceId: null,
      generation: this.group.generation,
      protocolType: 'consumer',
      protocol: this.group.protocol,
      assignments: new Map(Object.entries(assignments).map(([id, value]) => [id, Buffer.from(value)])),
      ...options,
    })
    return waiting
  }

  /** A stable group of these members, who all lived through its first rebalance. */
  settle(ids: readonly string[], assignments: Record<string, string> = {}, options: Partial<JoinEvent> = {}): void {
    for (const id of ids) this.joinNew(id, options)
    this.advance(2 * DELAY_MS)
    for (const id of ids.toReversed()) this.sync(id, assignments)
    assert.equal(this.group.phase, 'Stable')
    this.settledAtMs = this.nowMs
  }

  settleStatic(ids: readonly string[], options: Partial<JoinEvent> = {}): void {
    for (const id of ids) this.joinStatic(id, options)
    this.advance(2 * DELAY_MS)
    const assignments = Object.fromEntries(ids.map((id) => [id, id.toUpperCase()]))
    for (const id of ids.toReversed()) this.sync(id, assignments, { instanceId: `i-${id}` })
    assert.equal(this.group.phase, 'Stable')
  }

  heartbeat(memberId: string, generation = this.group.generation, instanceId: string | null = null): number {
    return heartbeat(this.group, memberId, instanceId, generation, this.now())
  }

  commit(memberId: string, generation: number): number {
    return admitCommit(this.group, memberId, null, generation, this.now())
  }

  leave(...memberIds: string[]): readonly number[] {
    return this.#leave(memberIds.map((memberId) => ({ memberId, instanceId: null, reason: 'test' })))
  }

  leaveInstances(...instanceIds: string[]): readonly number[] {
    return this.#leave(instanceIds.map((instanceId) => ({ memberId: '', instanceId, reason: null })))
  }

  /** Ends the writes that were held. */
  persisted(errorCode: number): void {
    for (const purpose of this.#held.splice(0)) this.event({ kind: 'persisted', purpose, errorCode })
  }

  #leave(members: { memberId: string; instanceId: string | null; reason: string | null }[]): readonly number[] {
    let codes: readonly number[] | null = null
    this.event({ kind: 'leave', members, done: (errorCodes) => (codes = errorCodes) })
    assert.ok(codes !== null)
    return codes
  }

  #perform(effect: Effect): void {
    if (effect.kind === 'joinReply') effect.ticket(effect.reply)
    else if (effect.kind === 'syncReply') effect.ticket(effect.reply)
    else if (effect.kind === 'leaveReply') effect.done(effect.errorCodes)
    else if (effect.kind === 'persist') {
      this.persists.push({ value: effect.value, purpose: effect.purpose })
      if (this.holdPersists) this.#held.push(effect.purpose)
      else this.event({ kind: 'persisted', purpose: effect.purpose, errorCode: NONE })
    }
  }
}

/** name, metadata, name, metadata… */
function protocols(...parts: string[]): { name: string; metadata: Buffer }[] {
  return Array.from({ length: parts.length / 2 }, (_, i) => ({ name: parts[2 * i] as string, metadata: Buffer.from(parts[2 * i + 1] as string) }))
}

function subscription(...topics: string[]): Buffer {
  const names = topics.flatMap((topic) => [Buffer.from([0, topic.length]), Buffer.from(topic)])
  return Buffer.concat([Buffer.from([0, 1, 0, 0, 0, topics.length]), ...names, Buffer.from([0xff, 0xff, 0xff, 0xff])])
}

function answered(waiting: Waiting<unknown>): boolean {
  return waiting.reply !== undefined
}

function name(reply: JoinReply | SyncReply | undefined): string | undefined {
  return reply && errorName(reply.errorCode)
}

function summary(reply: JoinReply | undefined): object | undefined {
  if (reply === undefined) return undefined
  const { errorCode, generation, leader, memberId, members } = reply
  return { error: errorName(errorCode), generation, leader, memberId, members: members.map((member) => member.memberId) }
}

function assignmentOf(reply: SyncReply | undefined): string {
  return Buffer.from(reply?.assignment ?? []).toString()
}
