/** Reading lanes: scans of heads, and batches by range. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LaneWriter } from '../../../storage/lane/lane-writer.ts'
import { segmentProbeBytes } from '../../../storage/lane/limits.ts'
import { LaneObjectMissingError, readBatches } from '../../../storage/lane/read-batches.ts'
import type { BatchRef } from '../../../storage/lane/read-batches.ts'
import { LaneGapError, scanSegments } from '../../../storage/lane/scan.ts'
import { SegmentCorruptError } from '../../../storage/lane/segment.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { laneSegmentKey } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { lane, laneOptions, TestEntry } from './support.ts'

const key = (seq: number): string => laneSegmentKey(lane.brokerId, lane.incarnation, seq)

/** Counts what is asked of it. */
class CountingStore extends MemoryStore {
  readonly ranges: string[] = []
  running = 0
  runningMax = 0

  override async getRange(at: string, start: number, end: number): Promise<Uint8Array | null> {
    this.ranges.push(`${Number(at.slice(-20))}:${start}-${end}`)
    this.runningMax = Math.max(this.runningMax, ++this.running)
    const bytes = await super.getRange(at, start, end)
    this.running--
    return bytes
  }
}

async function written(payloads: readonly number[], segmentBytesMax = 1): Promise<{ store: CountingStore; entries: TestEntry[] }> {
  const env = new SimEnv(1)
  const store = new CountingStore()
  const options = { ...laneOptions, segmentBytesMax }
  const writer = new LaneWriter({ store, env, lane, firstSeq: 0, options })
  const entries = payloads.map((payloadBytes, offset) => new TestEntry(offset, { payloadBytes }))
  for (const entry of entries) writer.append(entry)
  await env.run(writer.flush())
  return { store, entries }
}

function refOf(entry: TestEntry): BatchRef {
  assert(entry.fate?.kind === 'durable')
  const { seq, start, end } = entry.fate
  return { lane, seq, start, end, baseOffset: entry.baseOffset }
}

async function seqs(store: MemoryStore, from: number, options?: { toSeq?: number; concurrency?: number }): Promise<number[]> {
  const all: number[] = []
  for await (const { seq } of scanSegments(store, lane, from, options)) all.push(seq)
  return all
}

test('a scan gives the segments in order with bounded concurrency, and ends where the lane does', async () => {
  const { store } = await written(Array.from({ length: 40 }, () => 10))
  assert.deepEqual(await seqs(store, 3, { toSeq: 40, concurrency: 5 }), Array.from({ length: 37 }, (_, i) => i + 3))
  assert.equal(store.ranges.length, 37)
  assert.equal(store.runningMax, 5)
  assert.equal((await seqs(store, 0)).length, 40)
  assert.deepEqual(await seqs(store, 40), [])
  assert.deepEqual(await seqs(store, 40, { toSeq: 40 }), [])
})

test('a missing segment is a gap', async () => {
  const { store } = await written([1, 1, 1, 1])
  await store.delete([key(2)])
  await assert.rejects(seqs(store, 0, { toSeq: 4 }), (error) => error instanceof LaneGapError && error.seq === 2)
  assert.deepEqual(await seqs(store, 0), [0, 1])
})

test('a scan that is left early leaves no unhandled failure behind', async () => {
  const { store } = await written([1, 1, 1, 1])
  await store.put(key(3), [Buffer.from('garbage')])
  for await (const { seq } of scanSegments(store, lane, 0, { toSeq: 4 })) if (seq === 1) break
  await assert.rejects(seqs(store, 0, { toSeq: 4 }), /0003: .*too few/)
})

test('an index longer than the first range takes a second one, and no batch', async () => {
  const { store, entries } = await written(Array.from({ length: 1500 }, () => 3), 10_000_000)
  const heads = []
  for await (const head of scanSegments(store, lane, 0, { toSeq: 1 })) heads.push(head)
  const [head] = heads
  assert(head?.kind === 'segment')
  assert.equal(head.rows.length, 1500)
  const headBytes = head.rows[0]!.start
  assert.deepEqual(store.ranges, [`0:0-${segmentProbeBytes}`, `0:${segmentProbeBytes}-${headBytes}`])
  assert.deepEqual(head.rows.map(({ start, end }) => ({ start, end })), entries.map(refOf).map(({ start, end }) => ({ start, end })))
})

test('an object that was cut short is corrupt, though its index is whole', async () => {
  const { store } = await written([500])
  const bytes = (await store.get(key(0)))!
  await store.put(key(0), [bytes.subarray(0, bytes.byteLength - 1)])
  await assert.rejects(seqs(store, 0, { toSeq: 1 }), SegmentCorruptError)
})

test('neighbours share a GET, strangers do not, and the order is that of the refs', async () => {
  const { store, entries } = await written([100, 100, 100, 3000, 100, 100], 100_000)
  const wanted = [5, 0, 2, 1].map((i) => entries[i]!)
  const batches = await readBatches(store, wanted.map(refOf), { gapBytesMax: 500 })
  assert.deepEqual(batches.map((batch) => Buffer.from(batch)), wanted.map(({ bytes }) => Buffer.from(bytes)))
  const [first, third, last] = [refOf(entries[0]!), refOf(entries[2]!), refOf(entries[5]!)]
  assert.deepEqual(store.ranges.toSorted(), [`0:${first.start}-${third.end}`, `0:${last.start}-${last.end}`].toSorted())
})

test('a GET has a limit, unless one batch is larger', async () => {
  const { store, entries } = await written([400, 400, 400, 2000, 400], 100_000)
  await readBatches(store, entries.map(refOf), { spanBytesMax: 1000 })
  const sizes = store.ranges.map((range) => range.slice(2).split('-')).map(([start, end]) => Number(end) - Number(start))
  assert.deepEqual(sizes, [922, 461, 2061, 461])
})

test('a few batches out of a large range do not keep it in memory', async () => {
  const { store, entries } = await written([10, 5000, 10], 100_000)
  const [first, third] = await readBatches(store, [refOf(entries[0]!), refOf(entries[2]!)])
  assert.equal(store.ranges.length, 1)
  assert.deepEqual([first!.buffer.byteLength, third!.buffer.byteLength], [71, 71])
})

test('the same batch may be asked for twice; nothing costs nothing', async () => {
  const { store, entries } = await written([100])
  const batches = await readBatches(store, [refOf(entries[0]!), refOf(entries[0]!)])
  assert.deepEqual(batches[0], batches[1])
  assert.deepEqual(await readBatches(store, []), [])
})

test('an object that was collected is told apart from one that is damaged', async () => {
  const { store, entries } = await written([100, 100])
  const refs = entries.map(refOf)
  await store.delete([key(1)])
  await assert.rejects(readBatches(store, refs), (error) => error instanceof LaneObjectMissingError && error.key === key(1))
  const bytes = (await store.get(key(0)))!
  for (const at of [0, 7, 10, 16, 18, 30, 100]) {
    const changed = new Uint8Array(bytes)
    changed[refs[0]!.start + at]! ^= 1
    await store.put(key(0), [changed])
    await assert.rejects(readBatches(store, [refs[0]!]), SegmentCorruptError, `byte ${at} of the batch`)
  }
  await store.put(key(0), [bytes.subarray(0, refs[0]!.end - 1)])
  await assert.rejects(readBatches(store, [refs[0]!]), /are only/)
})
