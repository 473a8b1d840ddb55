import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeCheckpoint } from '../../../storage/lane/checkpoint-store.ts'
import { fenceLane } from '../../../storage/lane/fence.ts'
import { LaneWriter } from '../../../storage/lane/lane-writer.ts'
import { readSegmentHead, scanSegments } from '../../../storage/lane/scan.ts'
import { encodeGuard } from '../../../storage/lane/segment.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { laneSegmentKey } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { lane, laneOptions, TestEntry, topicB } from './support.ts'

const key = (seq: number): string => laneSegmentKey(lane.brokerId, lane.incarnation, seq)

async function fill(env: SimEnv, store: MemoryStore, count: number): Promise<LaneWriter> {
  const writer = new LaneWriter({ store, env, lane, firstSeq: 0, options: { ...laneOptions, segmentBytesMax: 1 } })
  for (let offset = 0; offset < count; offset++) writer.append(new TestEntry(offset))
  await env.run(writer.flush())
  return writer
}

async function scanned(store: MemoryStore, from: number, toSeq?: number): Promise<string[]> {
  const all: string[] = []
  for await (const { kind, seq } of scanSegments(store, lane, from, toSeq === undefined ? {} : { toSeq })) all.push(`${kind} ${seq}`)
  return all
}

test('the fence goes behind the last segment and stops the owner', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  const writer = await fill(env, store, 3)
  assert.deepEqual(await env.run(fenceLane(store, env, lane, 0, 43)), { fenceSeq: 3 })
  const entry = new TestEntry(3)
  writer.append(entry)
  await env.run(writer.flush())
  assert.deepEqual(entry.fate, { kind: 'failed', reason: 'fenced' })
  assert.deepEqual(await scanned(store, 0), ['segment 0', 'segment 1', 'segment 2', 'fence 3'])
  assert.deepEqual(await scanned(store, 1, 3), ['segment 1', 'segment 2'])
})

test('a lane without a segment is fenced at 0; fencing again changes nothing', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  for (const by of [43, 44, 45]) assert.deepEqual(await env.run(fenceLane(store, env, lane, 0, by)), { fenceSeq: 0 })
  const head = await readSegmentHead(store, lane, 0)
  assert(head?.kind === 'fence')
  assert.deepEqual([head.fencedBy, head.endSeq, store.size], [43, 0, 1])
})

test('segments behind a hole are beyond the fence', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  await fill(env, store, 5)
  await store.delete([key(2)])
  assert.deepEqual(await env.run(fenceLane(store, env, lane, 0, 43)), { fenceSeq: 2 })
})

test('a number that was collected is not taken for the end of the lane', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  await fill(env, store, 6)
  let collected = false
  const busy = new MemoryStore({
    // The owner writes a checkpoint and collects just before the first fence comes.
    before: async (operation, at) => {
      if (operation !== 'putIfAbsent' || !at.startsWith('lanes/') || collected) return
      collected = true
      await writeCheckpoint(busy, env, lane, 4, [])
      await busy.delete([key(0), key(1), key(2), key(3)])
    },
  })
  for (const { key: at } of await store.list('')) await busy.put(at, [(await store.get(at))!])
  await busy.delete([key(0)])
  assert.deepEqual(await env.run(fenceLane(busy, env, lane, 0, 43)), { fenceSeq: 6 })
  assert.equal((await readSegmentHead(busy, lane, 0))?.kind, 'fence', 'the one that stops nobody')
  assert.deepEqual(await env.run(fenceLane(busy, env, lane, 0, 44)), { fenceSeq: 6 })
})

test('a lane that another successor has emptied keeps its end', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  await fill(env, store, 6)
  await env.run(fenceLane(store, env, lane, 0, 43))
  await store.delete([0, 1, 2, 3, 5].map(key))
  assert.deepEqual(await env.run(fenceLane(store, env, lane, 0, 44)), { fenceSeq: 6 })
  assert.equal(store.size, 2)
  await assert.rejects(scanned(store, 0, 6), /segment 0 of lane 7\/42 is missing; the lane ends at 6/)
})

test('an owner that is always faster runs into a wall', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  const writer = await fill(env, store, 1)
  let offset = 1
  const acknowledged: number[] = []
  const told = (entry: TestEntry): void => {
    if (entry.fate?.kind === 'durable') acknowledged.push(entry.baseOffset)
  }
  const raced: ObjectStore = {
    description: 'raced',
    get: (at) => store.get(at),
    getRange: (at, start, end) => store.getRange(at, start, end),
    head: (at) => store.head(at),
    put: (at, body) => store.put(at, body),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys) => store.delete(keys),
    close: () => store.close(),
    // Whatever number the successor tries, the owner has just written it, unless it is far ahead.
    putIfAbsent: async (at, body) => {
      const seq = Number(at.slice(-20))
      while (writer.state === 'open' && writer.committedSeq <= seq && seq < writer.committedSeq + 10) {
        writer.append(new TestEntry(offset++, { told }))
        await writer.flush()
      }
      return store.putIfAbsent(at, body)
    },
  }
  const { fenceSeq } = await env.run(fenceLane(raced, env, lane, 0, 43))
  assert(fenceSeq > 100, `the walk ended at ${fenceSeq}`)
  assert.equal(writer.state, 'fenced')
  assert.equal((await readSegmentHead(store, lane, fenceSeq))?.kind, 'wall')
  const rows: number[] = []
  for await (const segment of scanSegments(store, lane, 0, { toSeq: fenceSeq })) {
    if (segment.kind === 'segment') rows.push(...segment.rows.map(({ baseOffset }) => baseOffset))
  }
  assert.deepEqual(rows, [0, ...acknowledged])
  assert.deepEqual(await env.run(fenceLane(store, env, lane, 0, 44)), { fenceSeq })
})

test('a wall that landed where a segment had been collected is no end', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  await fill(env, store, 6)
  const guard = { lane, commitId: topicB, createdAtMs: 0, fencedBy: 43 }
  await store.delete([key(2)])
  await store.putIfAbsent(key(2), [encodeGuard({ ...guard, kind: 'wall', seq: 2, endSeq: 2 })])
  await store.putIfAbsent(key(6), [encodeGuard({ ...guard, kind: 'fence', seq: 6, endSeq: 2 })])
  assert.deepEqual(await env.run(fenceLane(store, env, lane, 0, 44)), { fenceSeq: 2 })
  await env.run(writeCheckpoint(store, env, lane, 3, []))
  assert.deepEqual(await env.run(fenceLane(store, env, lane, 0, 44)), { fenceSeq: 6 })
})

test('the signal ends a fencing that a broken store holds up', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  store.putIfAbsent = async () => ({ kind: 'unknown', cause: new Error('no answer') })
  const stop = new AbortController()
  env.clock.schedule(5000, () => stop.abort())
  await assert.rejects(env.run(fenceLane(store, env, lane, 0, 43, stop.signal)), { name: 'StoreError', kind: 'unavailable' })
})
