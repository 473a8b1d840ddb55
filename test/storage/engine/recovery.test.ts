/** Starts while others are at work on the same lanes: each test is a symptom that the simulation found or would find. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SupersededError } from '../../../storage/engine/recovery.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { laneCheckpointPrefix } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { offsetsOf, read } from '../partition/support.ts'
import { Door, TestBroker, keysOf } from './support.ts'

const never = { flushIntervalMs: 1_000_000 }
const simulated = (name: string, body: (env: SimEnv, store: MemoryStore) => Promise<void>): void => {
  test(name, () => {
    const env = new SimEnv(1)
    return env.run(body(env, new MemoryStore({ clock: env.clock })))
  })
}

simulated('a restart serves what was acknowledged, from the lane', async (env, store) => {
  const first = await TestBroker.start(env, store, never)
  const topic = await first.createTopic('orders', 2)
  assert.equal(await first.produce(topic, ['a', 'b']), 'durable')
  assert.equal(await first.produce(topic, ['c'], 1), 'durable')
  const second = await TestBroker.start(env, store, never)
  assert.deepEqual(offsetsOf(await read(second.log(topic), 0)), [0, 1])
  assert.deepEqual(offsetsOf(await read(second.log(topic, 1), 0)), [0])
  assert.equal(second.log(topic).leaderEpoch, second.engine.incarnation)
  assert.equal(await first.produce(topic, ['lost']), 'notLeader')
  assert.equal(first.fenced.length, 1)
  assert.equal(await second.produce(topic, ['d']), 'durable')
})

simulated('records of a topic that was created after the successor had registered are not lost', async (env, store) => {
  const first = await TestBroker.start(env, store, never)
  const door = new Door()
  const starting = TestBroker.start(env, store, { ...never, gate: (_operation, key) => (key.startsWith('lanes/') ? door.pass() : undefined) })
  await door.reached
  const topic = await first.createTopic('late')
  assert.equal(await first.produce(topic, ['a', 'b']), 'durable')
  door.open()
  const second = await starting
  assert.deepEqual(offsetsOf(await read(second.log(topic), 0)), [0, 1])
  await second.engine.checkpoint()
  assert.deepEqual(offsetsOf(await read(second.log(topic), 0)), [0, 1])
  assert.equal(second.log(topic).flushedOffset, 0, 'only the lane holds it')
})

simulated('a start that finds lanes collected by a fenced predecessor takes over from its checkpoint', async (env, store) => {
  const first = await TestBroker.start(env, store, { flushIntervalMs: 20 })
  const topic = await first.createTopic('orders')
  assert.equal(await first.produce(topic, ['a', 'b']), 'durable')
  await first.flushed(topic)
  await first.engine.checkpoint()

  // The second one sleeps before its first checkpoint; the third one has looked for it in vain, and sleeps before it looks further back.
  const secondDoor = new Door()
  const secondKey = laneCheckpointPrefix(1, 3)
  const starting = TestBroker.start(env, store, {
    ...never, gate: (operation, key) => (operation === 'putIfAbsent' && key.startsWith(secondKey) ? secondDoor.pass() : undefined),
  })
  await secondDoor.reached
  const thirdDoor = new Door()
  const firstKey = laneCheckpointPrefix(1, 1)
  let looks = 0
  const restarting = TestBroker.start(env, store, {
    ...never, gate: (operation, key) => (operation === 'list' && key === firstKey && ++looks > 2 ? thirdDoor.pass() : undefined),
  })
  await thirdDoor.reached
  secondDoor.open()
  const second = await starting
  await second.engine.checkpoint()
  assert.equal(second.journal.state.incarnations.has(1), false, 'the first lane is retired')
  thirdDoor.open()
  const third = await restarting
  assert.equal(third.log(topic).highWatermark, 2)
  assert.deepEqual(offsetsOf(await read(third.log(topic), 0)), [0, 1])
  assert.equal(await third.produce(topic, ['c']), 'durable')
})

simulated('a start that slept through its own replacement gives way', async (env, store) => {
  const first = await TestBroker.start(env, store, never)
  const topic = await first.createTopic('orders')
  assert.equal(await first.produce(topic, ['a', 'b']), 'durable')
  const door = new Door()
  const sleeping = TestBroker.start(env, store, { ...never, gate: (_operation, key) => (key.startsWith('lanes/1/1/checkpoints/') ? door.pass() : undefined) })
  await door.reached
  const third = await TestBroker.start(env, store, { flushIntervalMs: 20 })
  await third.flushed(topic)
  await third.engine.checkpoint()
  door.open()
  await assert.rejects(sleeping, SupersededError)
  assert.equal(await third.produce(topic, ['c']), 'durable')
  assert.deepEqual(third.fenced, [])
})

simulated('a damaged checkpoint is passed over for the one before it', async (env, store) => {
  const first = await TestBroker.start(env, store, never)
  const topic = await first.createTopic('orders')
  await first.produce(topic, ['a'])
  await first.engine.checkpoint()
  await first.produce(topic, ['b'])
  const checkpoints = await keysOf(store, laneCheckpointPrefix(1, 1))
  assert.equal(checkpoints.length, 2)
  await store.put(checkpoints[1]!, [Buffer.from('garbage')])
  const second = await TestBroker.start(env, store, never)
  assert.deepEqual(offsetsOf(await read(second.log(topic), 0)), [0, 1])
})

simulated('a store whose lanes were lost is refused, so that no offset is given twice', async (env, store) => {
  const first = await TestBroker.start(env, store, { flushIntervalMs: 20 })
  const topic = await first.createTopic('orders')
  await first.produce(topic, ['a'])
  const checkpoint = (await keysOf(store, laneCheckpointPrefix(1, 1)))[0]!
  const old = new Map<string, Uint8Array>()
  for (const key of await keysOf(store, 'lanes/')) old.set(key, (await store.get(key))!)
  await first.produce(topic, ['b', 'c'])
  await first.flushed(topic)
  // Somebody restores an older copy of the lanes.
  await store.delete(await keysOf(store, 'lanes/'))
  for (const [key, bytes] of old) await store.put(key, [bytes])
  assert.ok(old.has(checkpoint))
  await assert.rejects(TestBroker.start(env, store), /lanes/)
})

simulated('nobody is served before the first checkpoint of the lane is durable: a recovery would not look at the lane', async (env, store) => {
  const door = new Door()
  let isServing = false
  const starting = TestBroker.start(env, store, { ...never, gate: (operation, key) => (operation === 'putIfAbsent' && key.includes('/checkpoints/') ? door.pass() : undefined) })
  void starting.then(() => (isServing = true))
  await door.reached
  await env.clock.sleep(60_000)
  assert.equal(isServing, false)
  door.open()
  const broker = await starting
  assert.deepEqual(await keysOf(store, laneCheckpointPrefix(1, broker.engine.incarnation)), ['lanes/1/1/checkpoints/00000000000000000000'])
})

simulated('processes that crash at every start leave nothing behind once one serves', async (env, store) => {
  const first = await TestBroker.start(env, store, never)
  const topic = await first.createTopic('orders')
  await first.produce(topic, ['a'])
  for (let i = 0; i < 40; i++) {
    const gate = (operation: string, key: string): void => {
      if (operation === 'putIfAbsent' && key.includes('/checkpoints/')) throw new StoreError('denied', 'crash')
    }
    await assert.rejects(TestBroker.start(env, store, { ...never, gate }), /crash/)
  }
  let calls = 0
  const survivor = await TestBroker.start(env, store, { flushIntervalMs: 20, gate: () => void calls++ })
  assert.ok(calls < 41 * 12, `${calls} store calls`)
  await survivor.flushed(topic)
  await survivor.engine.checkpoint()
  await survivor.engine.checkpoint()
  assert.deepEqual([...survivor.journal.state.incarnations.keys()], [survivor.engine.incarnation])
})
