/** Groups with members of both protocols (KIP-848, "Online migration"), through the coordinator in virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import { beat, join, ownedOf, text } from './consumer/support.ts'
import { Classic, assignmentOf, subscriptionBytes } from './classic-client.ts'
import { ORDERS, World } from './world.ts'

const {
  FENCED_INSTANCE_ID,
  GROUP_ID_NOT_FOUND,
  GROUP_MAX_SIZE_REACHED,
  ILLEGAL_GENERATION,
  INCONSISTENT_GROUP_PROTOCOL,
  MEMBER_ID_REQUIRED,
  NONE,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID,
} = KafkaError

const ALL = [0, 1, 2, 3, 4, 5, 6, 7].map((p) => `orders:${p}`)

/** Types of the members as ConsumerGroupDescribe tells them. */
async function membersOf(world: World): Promise<string> {
  const { members } = await world.groups.describeConsumer('g')
  return members.map(({ memberId, classic }) => `${memberId.slice(0, 6)}:${classic ? 'classic' : 'consumer'}`).toSorted().join(' ')
}

async function typeOf(world: World): Promise<string> {
  const [group] = (await world.groups.list([], [])).groups
  return `${group?.type} ${group?.state}`
}

/** A classic group of these members, stable. */
async function classicGroup(world: World, ...members: Classic[]): Promise<void> {
  const joining = members.map((member) => member.join())
  await world.env.advance(8_000)
  await Promise.all(joining)
  await Promise.all(members.toSorted((a, b) => Number(a.leads) - Number(b.leads)).map((member) => member.sync()))
  assert.equal(await typeOf(world), 'classic Stable')
}

/** A consumer group of a classic member, which has been there before, and one of the consumer protocol, settled. */
async function mixedGroup(world: World, options: { readonly instanceId?: string } = {}): Promise<Classic> {
  const classic = new Classic(world, 'g', options)
  await classicGroup(world, classic)
  await join(world, 'g', 'modern')
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  await classic.rejoin()
  const { memberEpoch } = await beat(world, 'g', 'modern', { memberEpoch: 2 })
  assert.equal(memberEpoch, classic.generation)
  assert.equal(await typeOf(world), 'consumer Stable')
  return classic
}

test('a member of the consumer protocol joins a classic group: the group changes over, and the classic member gives up its half', async () => {
  const world = new World()
  const classic = new Classic(world, 'g')
  await classicGroup(world, classic)
  assert.deepEqual(classic.assigned, ALL)
  const first = await join(world, 'g', 'modern')
  assert.deepEqual([first.errorCode, first.memberEpoch, text(first.assignment)], [NONE, classic.generation + 1, ''])
  assert.equal(await typeOf(world), 'consumer Reconciling')
  assert.equal(await membersOf(world), 'client:classic modern:consumer')
  assert.equal((await world.groups.describe('g')).errorCode, GROUP_ID_NOT_FOUND)
  // It keeps everything, and may commit, until it has joined again.
  assert.equal(await classic.commit(7, 17), NONE)
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  assert.equal((await beat(world, 'g', 'modern', { memberEpoch: 2 })).assignment, null)
  await classic.rejoin()
  assert.equal(classic.generation, 2)
  assert.equal(classic.assigned.length, 4)
  assert.equal(await classic.heartbeat(), NONE)
  const got = await beat(world, 'g', 'modern', { memberEpoch: 2 })
  assert.deepEqual([...classic.assigned, ...(text(got.assignment) ?? '').split(' ')].toSorted(), ALL)
  assert.equal(await typeOf(world), 'consumer Stable')
  assert.equal(await world.offset('g', 7), 17)
})

test('a member of a cooperative assignor gives up and then gets, in two rebalances, and never holds what another holds', async () => {
  const world = new World()
  const classic = new Classic(world, 'g', { cooperative: true })
  await classicGroup(world, classic)
  await join(world, 'g', 'modern')
  await classic.rejoin()
  // It stays in its generation until it has said that it owns no more than this.
  assert.deepEqual([classic.generation, classic.assigned.length], [1, 4])
  assert.equal((await beat(world, 'g', 'modern', { memberEpoch: 2 })).assignment, null)
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  await classic.rejoin()
  assert.deepEqual([classic.generation, classic.assigned.length], [2, 4])
  assert.equal((await beat(world, 'g', 'modern', { memberEpoch: 2 })).assignment?.get(ORDERS)?.length, 4)
  // The other one goes without a word: what it had comes back with a rebalance.
  await world.env.advance(20_000)
  assert.equal(await classic.heartbeat(), UNKNOWN_MEMBER_ID)
})

test('the last member of the consumer protocol leaves: the group is a classic one again', async () => {
  const world = new World()
  const classic = await mixedGroup(world)
  assert.equal((await beat(world, 'g', 'modern', { memberEpoch: -1 })).memberEpoch, -1)
  assert.equal(await typeOf(world), 'classic PreparingRebalance')
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  assert.equal(await classic.commit(0, 5), NONE)
  await classic.rejoin()
  assert.equal(classic.generation, 3)
  assert.deepEqual(classic.assigned, ALL)
  assert.equal(await typeOf(world), 'classic Stable')
  assert.equal((await world.groups.describeConsumer('g')).errorMessage, 'Group g is not a consumer group.')
  // Nothing of the consumer group is left behind.
  world.restart()
  assert.equal(await typeOf(world), 'classic Stable')
  assert.equal(await classic.heartbeat(), NONE)
})

test('the last member of the consumer protocol falls silent: the group is a classic one again', async () => {
  const world = new World()
  const classic = await mixedGroup(world)
  for (let i = 0; i < 14; i++) {
    await world.env.advance(3_000)
    assert.equal(await classic.heartbeat(), NONE)
  }
  await world.env.advance(4_000)
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  await classic.rejoin()
  assert.deepEqual(classic.assigned, ALL)
  assert.equal(await typeOf(world), 'classic Stable')
})

test('what both sides of a change wrote survives a restart', async () => {
  const world = new World()
  const classic = new Classic(world, 'g')
  await classicGroup(world, classic)
  await join(world, 'g', 'modern')
  world.restart()
  assert.equal(await typeOf(world), 'consumer Reconciling')
  assert.equal(await membersOf(world), 'client:classic modern:consumer')
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  await classic.rejoin()
  world.restart()
  assert.equal(await classic.heartbeat(), NONE)
  await beat(world, 'g', 'modern', { memberEpoch: 2 })
  assert.equal(await typeOf(world), 'consumer Stable')
  await beat(world, 'g', 'modern', { memberEpoch: -1 })
  // The rebalance was due and had not begun: the members still must hear of it.
  world.restart()
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  await classic.rejoin()
  assert.deepEqual(classic.assigned, ALL)
})

test('group.consumer.migration.policy', async () => {
  for (const [policy, upgrades, downgrades] of [
    ['bidirectional', true, true],
    ['upgrade', true, false],
    ['downgrade', false, true],
    ['disabled', false, false],
  ] as const) {
    const world = new World({ config: { 'group.consumer.migration.policy': policy } })
    const member = new Classic(world, 'g')
    await classicGroup(world, member)
    const reply = await join(world, 'g', 'modern')
    assert.equal(reply.errorCode, upgrades ? NONE : GROUP_ID_NOT_FOUND, policy)
    if (!upgrades) {
      assert.match(reply.errorMessage ?? '', /Cannot upgrade classic group g to consumer group because online upgrade is disabled/)
      assert.equal(await member.heartbeat(), NONE)
    }
    await join(world, 'other', 'modern')
    const joined = await world.join('other', { protocols: [{ name: 'range', metadata: subscriptionBytes() }], sessionTimeoutMs: 60_000 })
    assert.equal(joined.errorCode, NONE)
    await beat(world, 'other', 'modern', { memberEpoch: -1 })
    const { groups } = await world.groups.list([], [])
    assert.equal(groups.find(({ groupId }) => groupId === 'other')?.type, downgrades ? 'classic' : 'consumer', policy)
  }
})

test('groups that do not use the consumer protocol, or use an assignor of their own, stay as they are', async () => {
  const world = new World()
  const connect = world.join('connect', { protocolType: 'connect' })
  await world.env.advance(3_000)
  await connect
  assert.match((await join(world, 'connect', 'a')).errorMessage ?? '', /does not use the consumer embedded protocol/)

  const custom = await world.settle('custom', { protocols: [{ name: 'mine', metadata: subscriptionBytes() }] })
  assert.match((await join(world, 'custom', 'a')).errorMessage ?? '', /embedded consumer protocol is malformed/)
  const assignment = Buffer.concat([Buffer.from('000100000000', 'hex'), Buffer.from('000000027564', 'hex')])
  const again = world.join('custom', { memberId: custom.memberId, protocols: [{ name: 'mine', metadata: subscriptionBytes() }] })
  const { generation } = await again
  await world.sync('custom', custom.memberId, generation, { assignments: new Map([[custom.memberId, assignment]]) })
  const refused = await join(world, 'custom', 'a')
  assert.equal(refused.errorCode, GROUP_ID_NOT_FOUND)
  assert.match(refused.errorMessage ?? '', /unsupported custom assignor is in use/)
  assert.equal(await world.groups.heartbeat('custom', custom.memberId, null, generation), NONE)

  const limited = new World({ config: { 'group.consumer.max.size': 1 } })
  const [a, b] = [new Classic(limited, 'g'), new Classic(limited, 'g')]
  await classicGroup(limited, a, b)
  assert.match((await join(limited, 'g', 'modern')).errorMessage ?? '', /exceeds the consumer group maximum size/)
})

test('a group is upgraded in the middle of a rebalance: who waits is told to join again', async () => {
  const world = new World()
  const [a, b] = [new Classic(world, 'g'), new Classic(world, 'g', { cooperative: true })]
  await classicGroup(world, a)
  const waiting = b.join()
  await world.env.advance(0)
  assert.equal(await typeOf(world), 'classic PreparingRebalance')
  assert.equal((await join(world, 'g', 'modern')).errorCode, NONE)
  assert.equal(await waiting, REBALANCE_IN_PROGRESS)
  await b.rejoin()
  assert.deepEqual(b.assigned, [])
  await a.rejoin()
  await b.rejoin()
  const modern = await beat(world, 'g', 'modern', { memberEpoch: 2 })
  const held = [...a.assigned, ...b.assigned, ...(text(modern.assignment) ?? '').split(' ')]
  assert.deepEqual(held.toSorted(), ALL)

  // And while the leader computes: the SyncGroups of the others are called off, the members of cooperative assignors keep what they own.
  const other = new World()
  const [c, d] = [new Classic(other, 'g', { cooperative: true }), new Classic(other, 'g', { cooperative: true })]
  await classicGroup(other, c)
  const joining = d.join()
  await other.env.advance(0)
  await c.join()
  await joining
  const syncing = d.sync()
  await other.env.advance(0)
  assert.equal(await typeOf(other), 'classic CompletingRebalance')
  await join(other, 'g', 'modern')
  assert.equal(await syncing, REBALANCE_IN_PROGRESS)
  const { members } = await other.groups.describeConsumer('g')
  const held2 = members.map(({ assigned }) => assigned.flatMap(({ partitions }) => partitions).length)
  assert.deepEqual(held2.toSorted((x, y) => x - y), [0, 0, 8])
})

test('dynamic members of the classic protocol join a consumer group: an id first, then a place', async () => {
  const world = new World()
  await join(world, 'g', 'modern')
  const asked = await world.join('g', { requiresKnownMemberId: true, protocols: [{ name: 'range', metadata: subscriptionBytes() }] })
  assert.deepEqual([asked.errorCode, asked.memberId.startsWith('client-')], [MEMBER_ID_REQUIRED, true])
  assert.equal(await membersOf(world), 'modern:consumer')
  const classic = new Classic(world, 'g')
  assert.equal(await classic.join(), NONE)
  assert.deepEqual([classic.generation, classic.leads], [2, false])
  assert.equal(await classic.sync(), NONE)
  assert.deepEqual(classic.assigned, [])
  const told = await beat(world, 'g', 'modern', { memberEpoch: 1 })
  assert.equal(await classic.heartbeat(), NONE)
  await beat(world, 'g', 'modern', { memberEpoch: 1, owned: ownedOf(told.assignment) })
  // What it waits for is free.
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  await classic.rejoin()
  assert.equal(classic.assigned.length, 4)
})

test('JoinGroups that a consumer group refuses', async () => {
  const world = new World({ config: { 'group.consumer.max.size': 2 } })
  const classic = await mixedGroup(world, { instanceId: 'i1' })
  const protocols = [{ name: 'range', metadata: subscriptionBytes() }]
  const code = async (options: Parameters<World['join']>[1]): Promise<number> => (await world.join('g', { protocols, ...options })).errorCode
  assert.equal(await code({ memberId: 'x' }), GROUP_MAX_SIZE_REACHED)
  assert.equal(await code({ memberId: classic.id, instanceId: 'i1', protocolType: 'connect' }), INCONSISTENT_GROUP_PROTOCOL)
  assert.equal(await code({ memberId: classic.id, instanceId: 'i1', protocols: [{ name: 'other', metadata: subscriptionBytes() }] }), INCONSISTENT_GROUP_PROTOCOL)
  assert.equal(await code({ memberId: classic.id, instanceId: 'i1', protocols: [{ name: 'range', metadata: Buffer.from('x') }] }), INCONSISTENT_GROUP_PROTOCOL)
  assert.equal(await code({ memberId: 'x', instanceId: 'i1' }), FENCED_INSTANCE_ID)
  await beat(world, 'g', 'modern', { memberEpoch: 2 })
  assert.equal(await classic.heartbeat(), NONE)
  const roomy = new World()
  await mixedGroup(roomy)
  assert.equal((await roomy.join('g', { memberId: 'x', instanceId: 'i9', protocols })).errorCode, UNKNOWN_MEMBER_ID)
})

test('SyncGroups and Heartbeats that a consumer group refuses', async () => {
  const world = new World()
  const classic = await mixedGroup(world)
  const { id, generation } = classic
  const sync = async (memberId: string, at: number, options: Parameters<World['sync']>[3] = {}): Promise<number> =>
    (await world.sync('g', memberId, at, options)).errorCode
  assert.equal(await sync('x', generation), UNKNOWN_MEMBER_ID)
  assert.equal(await sync('modern', generation), UNKNOWN_MEMBER_ID)
  assert.equal(await sync(id, generation - 1), ILLEGAL_GENERATION)
  assert.equal(await sync(id, generation, { protocolType: 'connect' }), INCONSISTENT_GROUP_PROTOCOL)
  assert.equal(await sync(id, generation, { protocol: 'other' }), INCONSISTENT_GROUP_PROTOCOL)
  assert.equal(await sync(id, generation, { instanceId: 'i' }), UNKNOWN_MEMBER_ID)
  assert.equal(await world.groups.heartbeat('g', 'x', null, generation), UNKNOWN_MEMBER_ID)
  assert.equal(await world.groups.heartbeat('g', 'modern', null, generation), UNKNOWN_MEMBER_ID)
  assert.equal(await world.groups.heartbeat('g', id, null, generation + 1), ILLEGAL_GENERATION)
  await join(world, 'g', 'third')
  assert.equal(await sync(id, generation), REBALANCE_IN_PROGRESS)
})

test('members of the classic protocol that do not come back in time are out', async () => {
  const world = new World()
  const classic = await mixedGroup(world)
  await join(world, 'g', 'third')
  // Told to join again, it goes on with heartbeats only: after its rebalance timeout it is out.
  for (let i = 0; i < 20; i++) {
    assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
    for (const [memberId, memberEpoch] of [['modern', 2], ['third', 3]] as const) await beat(world, 'g', memberId, { memberEpoch })
    await world.env.advance(3_000)
  }
  assert.equal(await classic.heartbeat(), UNKNOWN_MEMBER_ID)

  // It joins and never asks for its assignment.
  const other = new World()
  await join(other, 'g', 'modern')
  const silent = new Classic(other, 'g')
  await silent.join()
  for (let i = 0; i < 20; i++) {
    assert.notEqual(await silent.heartbeat(), UNKNOWN_MEMBER_ID)
    await beat(other, 'g', 'modern', { memberEpoch: 1, owned: [] })
    await other.env.advance(3_000)
  }
  assert.equal(await silent.heartbeat(), UNKNOWN_MEMBER_ID)

  // It falls silent: its own session timeout counts, not that of the group.
  const third = new World()
  await mixedGroup(third)
  await third.env.advance(10_000)
  assert.equal(await membersOf(third), 'modern:consumer')
  assert.equal((await beat(third, 'g', 'modern', { memberEpoch: 2 })).memberEpoch, 3)
})

test('LeaveGroup from a consumer group, one by one and by an administrator', async () => {
  const world = new World()
  await join(world, 'g', 'modern')
  const members = [new Classic(world, 'g'), new Classic(world, 'g'), new Classic(world, 'g', { instanceId: 'i1' }), new Classic(world, 'g', { instanceId: 'i2' })]
  for (const member of members) await member.join()
  const { errorCode, errorCodes } = await world.groups.leave('g', [
    { memberId: members[0]!.id, instanceId: null, reason: 'enough' },
    { memberId: members[0]!.id, instanceId: null, reason: null },
    { memberId: 'modern', instanceId: null, reason: null },
    { memberId: '', instanceId: 'i1', reason: null },
    { memberId: 'x', instanceId: 'i2', reason: null },
    { memberId: '', instanceId: 'i3', reason: null },
  ])
  assert.equal(errorCode, NONE)
  assert.deepEqual(errorCodes, [NONE, UNKNOWN_MEMBER_ID, UNKNOWN_MEMBER_ID, NONE, FENCED_INSTANCE_ID, UNKNOWN_MEMBER_ID])
  assert.equal(await membersOf(world), ['client:classic', 'i2-' + members[3]!.id.slice(3, 6) + ':classic', 'modern:consumer'].join(' '))
})

test('a static member goes over to the consumer protocol with a restart, and keeps its partitions', async () => {
  const world = new World()
  const classic = new Classic(world, 'g', { instanceId: 'i1' })
  await classicGroup(world, classic)
  const reply = await join(world, 'g', 'modern', { instanceId: 'i1' })
  assert.deepEqual([reply.errorCode, text(reply.assignment)], [NONE, ALL.join(' ')])
  assert.equal(await membersOf(world), 'modern:consumer')
  // The one before is out.
  assert.equal(await classic.heartbeat(), FENCED_INSTANCE_ID)
  assert.equal(await classic.rejoin(), FENCED_INSTANCE_ID)
})

test('static members go back to the classic protocol one by one; with the last one the group is classic again', async () => {
  const world = new World()
  await join(world, 'g', 'm1', { instanceId: 'i1' })
  await join(world, 'g', 'm2', { instanceId: 'i2' })
  await beat(world, 'g', 'm1', { memberEpoch: 1, owned: [], instanceId: 'i1' })
  await beat(world, 'g', 'm2', { memberEpoch: 2, instanceId: 'i2' })
  const [one, two] = [new Classic(world, 'g', { instanceId: 'i1' }), new Classic(world, 'g', { instanceId: 'i2' })]
  assert.equal(await one.join(), NONE)
  await one.sync()
  assert.equal(one.assigned.length, 4)
  assert.equal(await typeOf(world), 'consumer Stable')
  const joining = two.join()
  await world.env.advance(0)
  assert.equal(await typeOf(world), 'classic PreparingRebalance')
  assert.equal(await one.heartbeat(), REBALANCE_IN_PROGRESS)
  await one.join()
  await joining
  for (const member of [one, two].toSorted((a, b) => Number(a.leads) - Number(b.leads))) void member.sync()
  await world.env.advance(0)
  assert.deepEqual([...one.assigned, ...two.assigned].toSorted(), ALL)
  assert.equal(await typeOf(world), 'classic Stable')
})

test('a static member of the consumer protocol that was alone comes back with the classic one', async () => {
  const world = new World()
  await join(world, 'g', 'm1', { instanceId: 'i1' })
  await beat(world, 'g', 'm1', { memberEpoch: -2, instanceId: 'i1' })
  const classic = new Classic(world, 'g', { instanceId: 'i1' })
  await classicGroup(world, classic)
  assert.deepEqual(classic.assigned, ALL)
})

test('a topic grows in a consumer group whose members all speak the classic protocol', async () => {
  const world = new World({ config: { 'group.consumer.migration.policy': 'upgrade' } })
  const classic = await mixedGroup(world)
  await beat(world, 'g', 'modern', { memberEpoch: -1 })
  await classic.rejoin()
  assert.equal(await typeOf(world), 'consumer Stable')
  assert.deepEqual(classic.assigned, ALL)
  world.topics.set('orders', { id: ORDERS, partitions: 9 })
  assert.equal(await classic.heartbeat(), REBALANCE_IN_PROGRESS)
  await classic.rejoin()
  assert.equal(classic.assigned.length, 9)
})

test('an upgrade that cannot be written down never was', async () => {
  const world = new World()
  const classic = new Classic(world, 'g')
  await classicGroup(world, classic)
  world.logs[0]!.refuse = { kind: 'tooLarge', reason: 'test' }
  assert.equal((await join(world, 'g', 'modern')).errorCode, KafkaError.UNKNOWN_SERVER_ERROR)
  world.logs[0]!.refuse = null
  assert.equal(await typeOf(world), 'classic Stable')
  assert.equal(await classic.heartbeat(), NONE)
  assert.equal((await join(world, 'g', 'modern')).errorCode, NONE)
  world.logs[0]!.refuse = { kind: 'tooLarge', reason: 'test' }
  await beat(world, 'g', 'modern', { memberEpoch: -1 })
  world.logs[0]!.refuse = null
  assert.equal(await membersOf(world), 'client:classic modern:consumer')
})

test('assignments come in the version that the member understands', async () => {
  const world = new World()
  await join(world, 'g', 'modern')
  const { memberId, generation } = await world.join('g', { protocols: [{ name: 'range', metadata: subscriptionBytes({ version: 0 }) }] })
  const { assignment, errorCode } = await world.sync('g', memberId, generation)
  assert.equal(errorCode, NONE)
  assert.equal(Buffer.from(assignment).toString('hex'), '000000000000ffffffff')
  assert.deepEqual(assignmentOf(assignment), [])
})

test('OffsetFetch of members of the classic protocol: a generation that they name must be theirs', async () => {
  const world = new World()
  const classic = await mixedGroup(world)
  const fetch = async (memberId: string, memberEpoch: number): Promise<number> =>
    (await world.groups.fetch('g', null, false, { memberId, memberEpoch })).errorCode
  assert.equal(await fetch(classic.id, classic.generation), NONE)
  assert.equal(await fetch(classic.id, -1), NONE)
  assert.equal(await fetch(classic.id, classic.generation - 1), ILLEGAL_GENERATION)
  assert.equal(await fetch('modern', -1), KafkaError.STALE_MEMBER_EPOCH)
  assert.equal(await fetch('x', -1), UNKNOWN_MEMBER_ID)
})
