/** Offsets that are committed in transactions (KIP-98, KIP-447): nobody sees them before the marker, and nothing is lost on the way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { KafkaError, errorName } from '../../protocol/errors.ts'
import { baseSequence, isControl, isTransactional, attributes, producerEpoch, producerId, recordCount } from '../../protocol/records/batch.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import type { CommitTopic } from '../../src/groups/coordinator.ts'
import { join } from './consumer/support.ts'
import type { MemoryLog } from './support.ts'
import { ORDERS, World, ZERO } from './world.ts'

const { NONE } = KafkaError
const UNSTABLE = 'UNSTABLE_OFFSET_COMMIT'
const HOUR_MS = 60 * 60 * 1000
const P = 4711
const Q = 4712

test('offsets of a transaction are seen once it has committed, and that is durable', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  assert.equal(await world.commitTransactional('g', 5, P, { producerEpoch: 3 }), NONE)
  assert.equal(await world.offset('g'), 1)
  log.hold = true
  let answer: number | null = null
  void world.end('g', P, true).then((code) => (answer = code))
  await turn()
  assert.deepEqual([answer, await world.offset('g'), log.logEndOffset], [null, 1, 3])
  log.release()
  await turn()
  assert.deepEqual([answer, await world.offset('g'), await world.stable('g')], [NONE, 5, 5])
  const [, written] = log.batches
  assert.ok(written)
  assert.deepEqual([producerId(written, 0), producerEpoch(written, 0), baseSequence(written, 0), isTransactional(attributes(written, 0))], [P, 3, -1, true])
  world.restart()
  assert.equal(await world.offset('g'), 5)
})

test('what was aborted leaves nothing behind', async () => {
  const { world } = worldWithLog()
  await world.commit('kept', 1)
  await world.commitTransactional('kept', 2, P)
  await world.commitTransactional('new', 3, P)
  assert.deepEqual(await namesOf(world), ['kept', 'new'])
  assert.equal(await world.end('kept', P, false), NONE)
  assert.deepEqual([await world.stable('kept'), await world.stable('new')], [1, -1])
  assert.deepEqual(await namesOf(world), ['kept'])
  world.restart()
  assert.deepEqual([await world.stable('kept'), await world.stable('new')], [1, -1])
  assert.deepEqual(await namesOf(world), ['kept'])
})

for (const committed of [true, false]) {
  test(`a restart before the marker: the offsets are pending again, and ${committed ? 'count' : 'are dropped'} in the end`, async () => {
    const { world } = worldWithLog()
    await world.commit('g', 1)
    await world.commitTransactional('g', 5, P)
    await world.commitTransactional('only', 6, P)
    world.restart()
    assert.deepEqual([await world.offset('g'), await world.stable('g'), await world.stable('only')], [1, UNSTABLE, UNSTABLE])
    assert.deepEqual(await namesOf(world), ['g', 'only'])
    assert.equal(await world.end('g', P, committed), NONE)
    assert.deepEqual([await world.stable('g'), await world.stable('only')], committed ? [5, 6] : [1, -1])
  })

  test(`a restart between the marker and its durability: ${committed ? 'the commit' : 'the abort'} is repeated`, async () => {
    const { world, log } = worldWithLog()
    await world.commitTransactional('g', 5, P)
    log.hold = true
    let answered = false
    void world.end('g', P, committed).then(() => (answered = true))
    await turn()
    world.restart()
    log.hold = false
    assert.equal(await world.stable('g'), UNSTABLE)
    assert.equal(answered, false)
    // Whoever does not know whether the marker arrived writes it again: a second one is harmless.
    assert.deepEqual([await world.end('g', P, committed), await world.end('g', P, committed)], [NONE, NONE])
    const expected = committed ? 5 : -1
    assert.equal(await world.stable('g'), expected)
    world.restart()
    assert.equal(await world.stable('g'), expected)
  })
}

test('a restart in the middle of a write: what was not durable is not pending', async () => {
  const { world, log } = worldWithLog()
  await world.commitTransactional('g', 5, P)
  log.hold = true
  void world.commitTransactional('g', 6, P)
  void world.commitTransactional('g', 7, P, { partition: 1 })
  await turn()
  world.restart()
  log.hold = false
  await world.end('g', P, true)
  assert.deepEqual([await world.stable('g'), await world.stable('g', 1)], [5, -1])
})

test('who asks for stable offsets is told of pending ones, partition by partition', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  await world.commit('g', 2, { partition: 1 })
  await world.commitTransactional('g', 5, P)
  await world.commitTransactional('g', 6, P, { partition: 2 })
  const asked = [{ name: 'orders', topicId: ZERO, partitionIndexes: [0, 1, 2, 3] }]
  const told = async (topics: typeof asked | null, stable: boolean): Promise<unknown> => {
    const reply = await world.groups.fetch('g', topics, stable)
    assert.equal(reply.errorCode, NONE)
    return reply.topics[0]?.partitions.map(({ partitionIndex, committedOffset, errorCode }) => [partitionIndex, committedOffset, errorName(errorCode)])
  }
  assert.deepEqual(await told(asked, true), [[0, -1, UNSTABLE], [1, 2, 'NONE'], [2, -1, UNSTABLE], [3, -1, 'NONE']])
  assert.deepEqual(await told(asked, false), [[0, 1, 'NONE'], [1, 2, 'NONE'], [2, -1, 'NONE'], [3, -1, 'NONE']])
  assert.deepEqual(await told(null, true), [[0, -1, UNSTABLE], [1, 2, 'NONE']])
  assert.deepEqual(await told(null, false), [[0, 1, 'NONE'], [1, 2, 'NONE']])
  const byId = await world.groups.fetch('g', [{ name: '', topicId: ORDERS, partitionIndexes: [0] }], true)
  assert.equal(errorName(byId.topics[0]?.partitions[0]?.errorCode ?? -1), UNSTABLE)
  assert.equal(await world.stable('another'), -1)
  // The marker is on its way: who asks now is answered when it has arrived.
  log.hold = true
  const ending = world.end('g', P, true)
  const stable = world.stable('g')
  await turn()
  log.release()
  assert.deepEqual([await ending, await stable, await world.stable('g', 2)], [NONE, 5, 6])
})

test('a commit that is on its way is unstable too', async () => {
  const { world, log } = worldWithLog()
  log.hold = true
  const committing = world.commitTransactional('g', 5, P)
  const stable = world.stable('g')
  await turn()
  log.release()
  assert.deepEqual([await committing, await stable], [NONE, UNSTABLE])
})

/** `p5` commits 5 in the transaction of P, `5` without one, `p+` commits, `p-` aborts, `x` deletes the offset. */
const ORDERINGS: readonly (readonly [steps: string, result: number])[] = [
  ['p5 p+ 6', 6],
  ['6 p5 p+', 5],
  ['p5 6 p+', 6],
  ['p5 6 p-', 6],
  ['p5 6 p7 p+', 7],
  ['p5 q6 q+ p+', 6],
  ['p5 q6 p+ q+', 6],
  ['p5 q6 q- p+', 5],
  ['p5 q6 q+ p-', 6],
  ['p5 q6 p7 p+ q+', 7],
  ['p5 q6 p7 q+ p+', 7],
  ['p5 q6 7 p8 q+ p+', 8],
  ['p5 q6 7 p8 p- q+', 7],
  ['p5 q6 p+ 7 q+', 7],
  ['1 p5 x p+', -1],
  ['p5 x p+', -1],
  ['p5 x q6 p+ q+', 6],
  ['p5 x p6 p+', 6],
  ['p5 6 x p+', -1],
  ['p5 q6 q+ x p+', -1],
  ['p5 p+ p6', 5],
  ['p5 p+ p6 p-', 5],
  ['p5 p+ p6 p+', 6],
]

for (const [steps, result] of ORDERINGS) {
  test(`the later record wins: ${steps} gives ${result}`, async () => {
    const { world, log } = worldWithLog()
    for (const step of steps.split(' ')) {
      const producer = step.startsWith('q') ? Q : P
      const rest = /^[pq]/.test(step) ? step.slice(1) : null
      if (step === 'x') assert.equal((await world.groups.deleteOffsets('g', [{ name: 'orders', partitionIndexes: [0] }])).errorCode, NONE)
      else if (rest === null) await world.commit('g', Number(step))
      else if (rest === '+' || rest === '-') assert.equal(await world.end('g', producer, rest === '+'), NONE)
      else assert.equal(await world.commitTransactional('g', Number(rest), producer), NONE)
    }
    assert.equal(await world.offset('g'), result)
    const open = await world.stable('g')
    world.restart()
    assert.deepEqual([await world.offset('g'), await world.stable('g')], [result, open], 'after a restart')
    log.flush()
    world.restart()
    assert.deepEqual([await world.offset('g'), await world.stable('g')], [result, open], 'from the table')
  })
}

test('the end of one transaction is not that of another', async () => {
  const { world } = worldWithLog()
  for (const group of ['a', 'b']) {
    await world.commitTransactional(group, 5, P)
    await world.commitTransactional(group, 6, Q, { partition: 1 })
  }
  const all = async (): Promise<unknown> => [await world.stable('a'), await world.stable('b'), await world.stable('a', 1), await world.stable('b', 1)]
  world.restart()
  assert.deepEqual(await all(), [UNSTABLE, UNSTABLE, UNSTABLE, UNSTABLE])
  await world.end('a', P, true)
  assert.deepEqual(await all(), [5, 5, UNSTABLE, UNSTABLE])
  world.restart()
  assert.deepEqual(await all(), [5, 5, UNSTABLE, UNSTABLE])
  await world.end('a', Q, false)
  assert.deepEqual(await all(), [5, 5, -1, -1])
})

test('a marker is for one partition of __consumer_offsets', async () => {
  const world = new World({ partitions: 3 })
  const groups = ['g0', 'g1', 'g2']
  assert.equal(new Set(groups.map((group) => world.groups.offsetsPartitionOf(group))).size, 3)
  for (const group of groups) await world.commitTransactional(group, 5, P)
  await world.end('g1', P, true)
  assert.deepEqual(await Promise.all(groups.map((group) => world.stable(group))), [UNSTABLE, 5, UNSTABLE])
})

test('writes of one turn keep their order, and each batch is of one producer', async () => {
  const { world, log } = worldWithLog()
  const codes = await Promise.all([
    world.commit('g', 1),
    world.commit('g', 2, { partition: 1 }),
    world.commitTransactional('g', 3, P),
    world.commitTransactional('g', 4, P, { partition: 1 }),
    world.commitTransactional('g', 5, Q),
    world.commitTransactional('g', 6, Q, { partition: 2, producerEpoch: 1 }),
    world.stable('g', 7),
    world.commit('g', 7, { partition: 3 }),
    world.commitTransactional('g', 8, P, { partition: 3 }),
  ])
  assert.deepEqual(codes, [NONE, NONE, NONE, NONE, NONE, NONE, -1, NONE, NONE])
  const batches = log.batches.map((batch) => [producerId(batch, 0), producerEpoch(batch, 0), recordCount(batch, 0)])
  assert.deepEqual(batches, [[-1, -1, 2], [P, 0, 2], [Q, 0, 1], [Q, 1, 1], [-1, -1, 1], [P, 0, 1]])
  await world.end('g', P, true)
  assert.deepEqual([await world.offset('g'), await world.offset('g', 1), await world.offset('g', 3)], [3, 4, 8])
  await world.end('g', Q, true)
  assert.deepEqual([await world.offset('g'), await world.offset('g', 2)], [5, 6])
})

test('a marker is appended in its turn, behind what was committed before it', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  log.hold = true
  void world.commit('g', 2)
  const committing = world.commitTransactional('g', 5, P)
  const ending = world.end('g', P, true)
  assert.equal(log.logEndOffset, 4, 'nobody has waited for anything')
  const later = world.commitTransactional('g', 6, P)
  await turn()
  assert.deepEqual(log.batches.map((batch) => isControl(attributes(batch, 0))), [false, false, false, true, false])
  const [marker] = recordsOf(log.batches[3] as Uint8Array)
  assert.deepEqual([...(marker?.key ?? [])], [0, 0, 0, 1])
  log.release()
  assert.deepEqual([await committing, await ending, await later], [NONE, NONE, NONE])
  assert.deepEqual([await world.offset('g'), await world.stable('g')], [5, UNSTABLE])
})

test('a marker waits for its partition to be loaded, behind commits that do', async () => {
  const { world } = worldWithLog()
  await world.commitTransactional('g', 5, P)
  assert.equal(world.groups.isLoaded(0), true)
  world.restart()
  const { promise, resolve: opened } = Promise.withResolvers<void>()
  world.opening = promise
  assert.equal(world.groups.isLoaded(0), false)
  const committing = world.commitTransactional('g', 6, P, { partition: 1 })
  const ending = world.end('g', P, true)
  opened()
  assert.deepEqual([await committing, await ending], [NONE, NONE])
  assert.deepEqual([await world.stable('g'), await world.stable('g', 1)], [5, 6])
  world.restart()
  world.opening = new Promise(() => {})
  const late = world.end('g', P, true)
  await world.env.advance(2_000)
  assert.equal(errorName(await late), 'COORDINATOR_LOAD_IN_PROGRESS')
})

test('commits are given up after a time, markers are not', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  log.hold = true
  const committing = world.commitTransactional('g', 5, P)
  let ended: number | null = null
  void world.end('g', P, true).then((code) => (ended = code))
  const behind = world.commit('other', 1)
  await world.env.advance(60_000)
  assert.deepEqual([errorName(await committing), ended, errorName(await behind)], ['COORDINATOR_NOT_AVAILABLE', null, 'COORDINATOR_NOT_AVAILABLE'])
  const later = world.commit('other', 2)
  await world.env.advance(60_000)
  assert.equal(errorName(await later), 'COORDINATOR_NOT_AVAILABLE')
  log.release()
  await turn()
  assert.deepEqual([ended, await world.offset('g'), await world.offset('other')], [NONE, 5, 2])
})

test('when another broker takes over, nobody is told that a transaction has ended', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  log.hold = true
  const committing = world.commitTransactional('g', 5, P)
  const ending = world.end('g', P, true)
  await turn()
  log.fence()
  assert.deepEqual([errorName(await committing), errorName(await ending)], ['NOT_COORDINATOR', 'NOT_COORDINATOR'])
})

test('a coordinator that stops finishes the markers on their way, and takes no others', async () => {
  const { world, log } = worldWithLog()
  await world.commitTransactional('g', 5, P)
  log.hold = true
  const ending = world.end('g', P, true)
  await turn()
  world.groups.stop()
  assert.equal(errorName(await world.end('g', P, true)), 'NOT_COORDINATOR')
  log.release()
  assert.equal(await ending, NONE)
  world.restart()
  assert.equal(await world.stable('g'), 5)
})

test('a producer that was fenced gets nowhere, and leaves no group behind', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  log.refuse = { kind: 'staleProducerEpoch', reason: 'test' }
  assert.equal(errorName(await world.commitTransactional('new', 5, P)), 'INVALID_PRODUCER_EPOCH')
  assert.equal(errorName(await world.end('g', P, true)), 'INVALID_PRODUCER_EPOCH')
  log.refuse = { kind: 'invalidTransactionState', reason: 'test' }
  assert.equal(errorName(await world.commitTransactional('g', 5, P)), 'INVALID_TXN_STATE')
  log.refuse = null
  assert.deepEqual(await namesOf(world), ['g'])
  assert.equal(await world.stable('g'), 1)
})

test('topics and partitions that do not exist are refused, the rest is committed', async () => {
  const { world } = worldWithLog()
  const request = { groupId: 'g', producerId: P, producerEpoch: 0, memberId: '', instanceId: null, generation: -1, namesUnknownGroup: false, retentionMs: -1 }
  const topics = [
    { name: 'orders', topicId: ZERO, partitions: [partition(0), partition(8), partition(-1), partition(1, 'x'.repeat(4097))] },
    { name: 'nothing', topicId: ZERO, partitions: [partition(0)] },
  ]
  const codesOf = async (groupId: string, of: readonly CommitTopic[] = topics): Promise<unknown> => {
    const replies = await world.groups.commitTransactional({ ...request, groupId, topics: of })
    return replies.map(({ partitions }) => partitions.map(({ errorCode }) => errorName(errorCode)))
  }
  const UNKNOWN = 'UNKNOWN_TOPIC_OR_PARTITION'
  assert.deepEqual(await codesOf('g'), [['NONE', UNKNOWN, UNKNOWN, 'OFFSET_METADATA_TOO_LARGE'], [UNKNOWN]])
  assert.deepEqual(await codesOf(''), [['INVALID_GROUP_ID', UNKNOWN, UNKNOWN, 'INVALID_GROUP_ID'], [UNKNOWN]])
  assert.deepEqual(await codesOf('h', topics.slice(1)), [[UNKNOWN]])
  await world.end('g', P, true)
  assert.deepEqual([await world.stable('g'), await world.stable('g', 1)], [5, -1])
  assert.deepEqual(await namesOf(world), ['g'])
})

test('who may commit: members, and producers that name none', async () => {
  const { world } = worldWithLog()
  const code = async (groupId: string, options: Parameters<World['commitTransactional']>[3] = {}): Promise<string> =>
    errorName(await world.commitTransactional(groupId, 5, P, options))
  assert.equal(await code('unknown', { generation: 3 }), 'ILLEGAL_GENERATION')
  assert.equal(await code('unknown'), 'NONE')
  const { memberId, generation } = await world.settle('g')
  const { memberId: fixed } = await world.settle('fixed', { instanceId: 'i' })
  assert.equal(await code('g'), 'NONE')
  assert.equal(await code('g', { memberId, generation }), 'NONE')
  assert.equal(await code('g', { memberId, generation: generation + 1 }), 'ILLEGAL_GENERATION')
  assert.equal(await code('g', { memberId }), 'ILLEGAL_GENERATION')
  assert.equal(await code('g', { memberId: 'else', generation }), 'UNKNOWN_MEMBER_ID')
  assert.equal(await code('g', { generation }), 'UNKNOWN_MEMBER_ID')
  assert.equal(await code('fixed', { memberId: fixed, instanceId: 'i', generation: 1 }), 'NONE')
  assert.equal(await code('fixed', { memberId: 'else', instanceId: 'i', generation: 1 }), 'FENCED_INSTANCE_ID')
  assert.equal(await code('fixed', { memberId: fixed, instanceId: 'j', generation: 1 }), 'UNKNOWN_MEMBER_ID')
  // In the middle of a rebalance members may commit in transactions, unlike otherwise.
  const rejoining = world.join('g', { memberId, protocols: [{ name: 'range', metadata: Buffer.from('y') }] })
  assert.equal((await rejoining).generation, generation + 1)
  assert.equal((await world.groups.describe('g')).state, 'CompletingRebalance')
  assert.equal(errorName(await world.commit('g', 5, { memberId, generation: generation + 1 })), 'REBALANCE_IN_PROGRESS')
  assert.equal(await code('g', { memberId, generation: generation + 1 }), 'NONE')
})

test('who may commit to a group of the consumer protocol', async () => {
  const { world } = worldWithLog()
  const code = async (options: Parameters<World['commitTransactional']>[3]): Promise<string> =>
    errorName(await world.commitTransactional('g', 5, P, options))
  const { memberEpoch } = await join(world, 'g', 'm')
  assert.equal(await code({}), 'NONE')
  assert.equal(await code({ memberId: 'm', generation: memberEpoch }), 'NONE')
  assert.equal(await code({ memberId: 'm', generation: memberEpoch + 1 }), 'ILLEGAL_GENERATION')
  assert.equal(await code({ memberId: 'm' }), 'ILLEGAL_GENERATION')
  assert.equal(await code({ memberId: 'else', generation: memberEpoch }), 'UNKNOWN_MEMBER_ID')
  assert.equal(await code({ generation: memberEpoch }), 'UNKNOWN_MEMBER_ID')
  await world.end('g', P, true)
  assert.equal(await world.stable('g'), 5)
})

test('offsets with pending ones do not expire, nor do groups that have them', async () => {
  const { world } = worldWithLog()
  world.groups.start()
  await world.commit('g', 1)
  await world.commit('g', 2, { partition: 1 })
  await world.commitTransactional('g', 5, P)
  await world.commitTransactional('only', 6, P)
  await world.env.advance(2 * HOUR_MS)
  assert.deepEqual([await world.offset('g'), await world.offset('g', 1)], [1, -1])
  assert.deepEqual(await namesOf(world), ['g', 'only'])
  await world.end('g', P, true)
  assert.deepEqual([await world.offset('g'), await world.offset('only')], [5, 6])
  await world.env.advance(120_000)
  assert.deepEqual(await namesOf(world), [], 'they are as old as their commits')
  world.restart()
  assert.deepEqual([await world.stable('g'), await world.stable('only')], [-1, -1])
})

test('a group that was used stays what it is while offsets are pending', async () => {
  const { world } = worldWithLog()
  world.groups.start()
  const { memberId } = await world.settle('g')
  await world.commitTransactional('g', 5, P)
  await world.groups.leave('g', [{ memberId, instanceId: null, reason: null }])
  await world.env.advance(2 * HOUR_MS)
  world.restart()
  const [group] = (await world.groups.list([], [])).groups
  assert.deepEqual([group?.groupId, group?.protocolType, group?.state], ['g', 'consumer', 'Empty'])
  await world.end('g', P, false)
  assert.equal((await world.groups.list([], [])).groups[0]?.protocolType, 'consumer')
})

test('a group without members is deleted with what is pending', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  await world.commitTransactional('g', 5, P)
  await world.commitTransactional('g', 6, P, { partition: 1 })
  await world.commitTransactional('h', 7, P)
  assert.equal(await world.groups.delete('g'), NONE)
  assert.deepEqual(await namesOf(world), ['h'])
  assert.equal(errorName(await world.groups.delete('g')), 'GROUP_ID_NOT_FOUND')
  assert.equal(log.records, 6, 'one tombstone for each partition')
  await world.end('g', P, true)
  for (let i = 0; i < 2; i++) {
    assert.deepEqual([await world.stable('g'), await world.stable('g', 1), await world.stable('h')], [-1, -1, 7])
    world.restart()
  }
  assert.deepEqual(await namesOf(world), ['h'])
})

test('a commit behind the deletion of its group counts', async () => {
  const { world, log } = worldWithLog()
  await world.commit('g', 1)
  log.hold = true
  const deleting = world.groups.delete('g')
  await turn()
  const committing = world.commitTransactional('g', 5, P)
  await turn()
  log.release()
  assert.deepEqual([await deleting, await committing], [NONE, NONE])
  log.hold = false
  assert.equal(await world.stable('g'), UNSTABLE)
  await world.end('g', P, true)
  assert.equal(await world.stable('g'), 5)
  world.restart()
  assert.equal(await world.stable('g'), 5)
})

test('the deletion of an offset takes what is pending with it', async () => {
  const { world } = worldWithLog()
  await world.commitTransactional('g', 5, P)
  await world.commitTransactional('g', 6, P, { partition: 1 })
  const { errorCode } = await world.groups.deleteOffsets('g', [{ name: 'orders', partitionIndexes: [0] }])
  assert.equal(errorCode, NONE)
  assert.deepEqual([await world.stable('g'), await world.stable('g', 1)], [-1, UNSTABLE])
  await world.end('g', P, true)
  assert.deepEqual([await world.stable('g'), await world.stable('g', 1)], [-1, 6])
})

test('a snapshot that is taken while offsets are pending loses none of them', async () => {
  const world = new World({ snapshots: true })
  const [log] = world.logs
  assert.ok(log)
  for (let i = 0; i < 30; i++) await world.commit('g', i, { partition: i % 4 })
  await world.commitTransactional('g', 100, P)
  await world.commitTransactional('g', 101, Q, { partition: 1 })
  await world.commit('g', 102, { partition: 1 })
  await world.env.advance(2_000)
  world.snapshots?.clear()
  for (let i = 0; i < 30; i++) await world.commit('g', 200 + i, { partition: 2 })
  assert.equal(world.snapshots?.size, 1)
  await world.commitTransactional('g', 103, Q, { partition: 3 })
  world.restart()
  const all = async (): Promise<unknown> => [await world.stable('g'), await world.stable('g', 1), await world.stable('g', 2), await world.stable('g', 3)]
  log.batchesRead = 0
  assert.deepEqual(await all(), [UNSTABLE, UNSTABLE, 229, UNSTABLE])
  assert.equal(log.batchesRead, 34, 'the snapshot spares what is in front of the first pending offset')
  await world.end('g', P, true)
  await world.end('g', Q, true)
  assert.deepEqual(await all(), [100, 102, 229, 103])
  assert.equal(world.snapshots?.size, 1)
  world.restart()
  assert.deepEqual(await all(), [100, 102, 229, 103])
})

test('a snapshot stands in front of all that is pending, however much that is', async () => {
  const world = new World({ snapshots: true })
  world.topics.set('orders', { id: ORDERS, partitions: 400 })
  const partitions = Array.from({ length: 400 }, (_, i) => partition(i, 'x'.repeat(4_000)))
  const request = { groupId: 'g', producerId: P, producerEpoch: 0, memberId: '', instanceId: null, generation: -1, namesUnknownGroup: false, retentionMs: -1 }
  await world.groups.commitTransactional({ ...request, topics: [{ name: 'orders', topicId: ZERO, partitions }] })
  world.snapshots?.clear()
  await world.env.advance(2_000)
  for (let i = 0; i < 30; i++) await world.commit('h', i)
  assert.equal(world.snapshots?.size, 1)
  world.restart()
  assert.deepEqual([await world.stable('g'), await world.stable('g', 399)], [UNSTABLE, UNSTABLE])
  await world.end('g', P, true)
  assert.deepEqual([await world.stable('g'), await world.stable('g', 399)], [5, 5])
})

test('a log that is flushed while it is read is read again', async () => {
  const world = new World({ config: { 'offsets.load.buffer.size': 1 } })
  const [log] = world.logs
  assert.ok(log)
  await world.commitTransactional('g', 5, P)
  await world.commit('g', 6, { partition: 1 })
  await world.commitTransactional('g', 7, Q, { partition: 2 })
  await world.end('g', P, true)
  await world.end('g', Q, false)
  await world.commit('g', 8, { partition: 3 })
  world.restart()
  log.beforeRead = () => {
    log.beforeRead = () => log.flush()
  }
  const all = await Promise.all([0, 1, 2, 3].map((index) => world.stable('g', index)))
  assert.deepEqual(all, [5, 6, -1, 8])
  assert.equal(log.batches.length, 3, 'it was flushed')
})

test('offsets that take more than one batch are pending together', async () => {
  const { world, log } = worldWithLog()
  world.topics.set('orders', { id: ORDERS, partitions: 400 })
  const partitions = Array.from({ length: 400 }, (_, i) => partition(i, 'x'.repeat(4_000)))
  const request = { groupId: 'g', producerId: P, producerEpoch: 0, memberId: '', instanceId: null, generation: -1, namesUnknownGroup: false, retentionMs: -1 }
  log.hold = true
  const committing = world.groups.commitTransactional({ ...request, topics: [{ name: 'orders', topicId: ZERO, partitions }] })
  const behind = world.commit('g', 6, { partition: 399 })
  await turn()
  assert.ok(log.batches.length > 3)
  assert.deepEqual(log.batches.map((batch) => producerId(batch, 0)), [...log.batches.slice(1).map(() => P), -1])
  log.release(200)
  await turn()
  log.release()
  log.hold = false
  assert.deepEqual(new Set((await committing)[0]?.partitions.map(({ errorCode }) => errorCode)), new Set([NONE]))
  await behind
  assert.equal(await world.stable('g'), UNSTABLE)
  await world.end('g', P, true)
  assert.deepEqual([await world.stable('g'), await world.stable('g', 398), await world.stable('g', 399)], [5, 5, 6])
})

function worldWithLog(): { world: World; log: MemoryLog } {
  const world = new World()
  const [log] = world.logs
  assert.ok(log)
  return { world, log }
}

async function namesOf(world: World): Promise<string[]> {
  return (await world.groups.list([], [])).groups.map(({ groupId }) => groupId).toSorted()
}

function partition(partitionIndex: number, committedMetadata = ''): CommitTopic['partitions'][number] {
  return { partitionIndex, committedOffset: 5, committedLeaderEpoch: -1, committedMetadata }
}
