/** Cooperative rebalances of a classic group (KIP-429): partitions change hands in two generations, and never have two owners in between. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import { Classic } from './classic-client.ts'
import { World } from './world.ts'

const { NONE, REBALANCE_IN_PROGRESS } = KafkaError
const ALL = [0, 1, 2, 3, 4, 5, 6, 7].map((p) => `orders:${p}`)

/** Everybody joins; the leader syncs first or last, which is all the same. */
async function rebalance(world: World, ...members: Classic[]): Promise<void> {
  const joining = members.map((member) => member.join())
  await world.env.advance(8_000)
  assert.deepEqual(await Promise.all(joining), members.map(() => NONE))
  await Promise.all(members.map((member) => member.sync()))
}

test('a member that joins gets its share in the follow-up rebalance, when the others have given it up', async () => {
  const world = new World()
  const [old, fresh] = [new Classic(world, 'g', { cooperative: true }), new Classic(world, 'g', { cooperative: true })]
  await rebalance(world, old)
  assert.deepEqual(old.assigned, ALL)
  const generation = old.generation

  const joining = fresh.join()
  await world.env.advance(10)
  // What it holds it may read and commit while the others gather.
  assert.equal(await old.commit(3, 30), NONE)
  assert.equal(await old.heartbeat(), REBALANCE_IN_PROGRESS)
  assert.equal(await old.commit(3, 31), NONE)
  assert.deepEqual([await old.join(), await joining], [NONE, NONE])
  await Promise.all([old.sync(), fresh.sync()])
  assert.deepEqual([old.generation, fresh.generation], [generation + 1, generation + 1])
  assert.deepEqual([old.assigned.length, fresh.assigned], [4, []], 'half is given up, and nobody has it yet')

  // Who gave something up joins again at once; the other one is told so, and holds on to what it has.
  const kept = old.assigned
  const rejoining = old.join()
  await world.env.advance(10)
  assert.equal(await fresh.heartbeat(), REBALANCE_IN_PROGRESS)
  assert.deepEqual([await fresh.join(), await rejoining], [NONE, NONE])
  await Promise.all([old.sync(), fresh.sync()])
  assert.equal(old.generation, generation + 2)
  assert.deepEqual(old.assigned, kept)
  assert.deepEqual([...old.assigned, ...fresh.assigned].toSorted(), ALL)
  assert.deepEqual([await old.heartbeat(), await fresh.heartbeat()], [NONE, NONE], 'and there is peace')
  assert.equal(await world.offset('g', 3), 31)
})

test('a member that leaves: the others keep what they have, and get the rest in one rebalance', async () => {
  const world = new World()
  const members = [new Classic(world, 'g', { cooperative: true }), new Classic(world, 'g', { cooperative: true })]
  await rebalance(world, ...members)
  const [stays, goes] = members as [Classic, Classic]
  const kept = stays.assigned
  assert.equal(kept.length, 4)
  const { errorCodes } = await world.groups.leave('g', [{ memberId: goes.id, instanceId: null, reason: 'the consumer is being closed' }])
  assert.deepEqual(errorCodes, [NONE])
  assert.equal(await stays.heartbeat(), REBALANCE_IN_PROGRESS)
  assert.equal(await stays.rejoin(), NONE)
  assert.deepEqual(stays.assigned, ALL)
  assert.ok(kept.every((place) => stays.assigned.includes(place)))
})
