/** Checkpoints, collection, topics and the orderly stop of one engine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { laneCheckpointPrefix, lanePrefix } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { batchOf, offsetsOf, read } from '../partition/support.ts'
import { TestBroker, keysOf } from './support.ts'
import type { Gate } from './support.ts'

const never = { flushIntervalMs: 1_000_000 }
const simulated = (name: string, body: (env: SimEnv, store: MemoryStore) => Promise<void>): void => {
  test(name, () => {
    const env = new SimEnv(1)
    return env.run(body(env, new MemoryStore({ clock: env.clock })))
  })
}

async function segmentsOf(store: MemoryStore, broker: TestBroker): Promise<number[]> {
  const { brokerId, incarnation } = broker.engine.lane
  const keys = await keysOf(store, `${lanePrefix(brokerId, incarnation)}0`)
  return keys.map((key) => Number(key.slice(-20)))
}

simulated('a segment goes when it is flushed and below the older of two checkpoints, not before', async (env, store) => {
  const broker = await TestBroker.start(env, store)
  const topic = await broker.createTopic('orders')
  await broker.produce(topic, ['a'])
  await broker.engine.checkpoint()
  assert.deepEqual(await segmentsOf(store, broker), [0], 'not flushed')
  await broker.flushed(topic)
  assert.deepEqual(await segmentsOf(store, broker), [0], 'no checkpoint says that it is flushed')
  await broker.engine.checkpoint()
  assert.ok(!(await segmentsOf(store, broker)).includes(0))
  assert.equal((await keysOf(store, laneCheckpointPrefix(1, broker.engine.incarnation))).length, 2)
})

simulated('an engine at rest writes nothing', async (env, store) => {
  const broker = await TestBroker.start(env, store, { flushIntervalMs: 20, options: { checkpointIntervalMs: 50 } })
  const topic = await broker.createTopic('orders')
  await broker.produce(topic, ['a'])
  await broker.flushed(topic)
  await env.clock.sleep(1000)
  const before = await keysOf(store, '')
  await env.clock.sleep(100_000)
  assert.deepEqual(await keysOf(store, ''), before)
})

simulated('a collection that failed is tried again although nothing has changed since', async (env, store) => {
  let failures = 0
  const gate = (operation: string, key: string): void => {
    if (operation === 'delete' && key.startsWith('lanes/') && failures++ < 3) throw new StoreError('unavailable', 'no')
  }
  const broker = await TestBroker.start(env, store, { flushIntervalMs: 20, gate, options: { checkpointIntervalMs: 50 } })
  const topic = await broker.createTopic('orders')
  for (const text of ['a', 'b', 'c']) {
    await broker.produce(topic, [text])
    await env.clock.sleep(60)
  }
  await broker.flushed(topic)
  await env.clock.sleep(2000)
  assert.ok(failures > 3, String(failures))
  const oldest = Math.min(...(await keysOf(store, laneCheckpointPrefix(1, broker.engine.incarnation))).map((key) => Number(key.slice(-20))))
  assert.equal((await keysOf(store, laneCheckpointPrefix(1, broker.engine.incarnation))).length, 2)
  assert.deepEqual((await segmentsOf(store, broker)).filter((seq) => seq < oldest), [])
})

simulated('a deleted topic lets go of the lane, and its objects are removed twice', async (env, store) => {
  const broker = await TestBroker.start(env, store, never)
  const topic = await broker.createTopic('passing')
  await broker.produce(topic, ['a'])
  const log = broker.log(topic)
  log.append(batchOf(['in flight']), { origin: 'client' })
  await broker.deleteTopic(topic)
  assert.equal(broker.engine.partition(topic, 0), null)
  await store.put('topics/passing/partition=0/late.parquet', [new Uint8Array(1)])
  await env.clock.sleep(61_000)
  assert.deepEqual(await keysOf(store, 'topics/passing/'), [])
  assert.equal(broker.journal.state.deletedTopics.size, 0)
  await broker.engine.checkpoint()
  await broker.engine.checkpoint()
  const next = await TestBroker.start(env, store, never)
  const again = await next.createTopic('passing')
  assert.equal(await next.produce(again, ['b']), 'durable')
  assert.deepEqual(offsetsOf(await read(next.log(again), 0)), [0])
  assert.notEqual(next.journal.state.topics.get(again)!.location, 'topics/passing')
})

simulated('a purge that a crash interrupted is finished by the next start', async (env, store) => {
  const broker = await TestBroker.start(env, store)
  const topic = await broker.createTopic('passing')
  await broker.produce(topic, ['a'])
  await broker.flushed(topic)
  await broker.deleteTopic(topic)
  await TestBroker.start(env, store)
  await env.clock.sleep(61_000)
  assert.deepEqual(await keysOf(store, 'topics/'), [])
})

simulated('what left memory is read back once for all partitions of a flush', async (env, store) => {
  const reads: string[] = []
  const gate: Gate = (operation, key) => {
    if (operation === 'getRange' && key.startsWith('lanes/')) reads.push(key)
  }
  const broker = await TestBroker.start(env, store, { gate, options: { cacheBytes: 0 }, flushIntervalMs: 10_000 })
  const topic = await broker.createTopic('wide', 60)
  const partitions = Array.from({ length: 60 }, (_, partition) => partition)
  for (let n = 0; n < 5; n++) await Promise.all(partitions.map((partition) => broker.produce(topic, [`${n}`, `${n}`], partition)))
  reads.length = 0
  for (const partition of partitions) await broker.flushed(topic, partition)
  const segments = new Set(reads).size
  assert.ok(segments >= 2, 'batches of several segments were read back')
  // The first flush of a pause may take a part of them, the next one the rest.
  assert.ok(reads.length <= 2 * segments, `${reads.length} reads of ${segments} segments`)
  await broker.engine.close(1000)
})

simulated('an orderly stop leaves everything in the tables, also of topics that were never flushed before', async (env, store) => {
  const broker = await TestBroker.start(env, store, never)
  const topics = [await broker.createTopic('one'), await broker.createTopic('two')]
  for (const topic of topics) broker.log(topic).append(batchOf(['a', 'b']), { origin: 'client' })
  await broker.engine.close(10_000)
  const next = await TestBroker.start(env, store, never)
  for (const topic of topics) {
    assert.equal(next.log(topic).flushedOffset, 2)
    assert.deepEqual(offsetsOf(await read(next.log(topic), 0)), [0, 1])
  }
})

simulated('a stop does not wait longer than its bound for a store that hangs', async (env, store) => {
  for (const hanging of ['topics/', 'lanes/']) {
    let hangs = false
    const gate = (_operation: string, key: string): Promise<void> | void => (hangs && key.startsWith(hanging) ? new Promise(() => undefined) : undefined)
    const broker = await TestBroker.start(env, store, { ...never, gate })
    const topic = await broker.createTopic(`orders${hanging.length}`)
    await broker.produce(topic, ['a'])
    hangs = true
    const startedMs = env.nowMs
    await broker.engine.close(500)
    assert.ok(env.nowMs - startedMs <= 501, `${hanging}: ${env.nowMs - startedMs} ms`)
  }
})

simulated('batches that become durable are served before their table exists', async (env, store) => {
  const gate = (_operation: string, key: string): void => {
    if (key.startsWith('topics/')) throw new StoreError('unavailable', 'no')
  }
  const broker = await TestBroker.start(env, store, { gate, options: { cacheBytes: 0 } })
  const topic = await broker.createTopic('orders')
  assert.equal(await broker.produce(topic, ['a', 'b']), 'durable')
  await env.clock.sleep(5000)
  assert.deepEqual(offsetsOf(await read(broker.log(topic), 0)), [0, 1])
  assert.equal(broker.log(topic).flushedOffset, 0)
})

simulated('a successor is noticed without a write, and everything is refused from then on', async (env, store) => {
  const first = await TestBroker.start(env, store, { options: { journalPollMs: 100 } })
  const topic = await first.createTopic('orders')
  await TestBroker.start(env, store)
  await env.clock.sleep(150)
  assert.equal(first.fenced.length, 1)
  assert.equal(await first.produce(topic, ['a']), 'notLeader')
  assert.equal(offsetsOf(await read(first.log(topic), 0)), 'notLeader')
})
