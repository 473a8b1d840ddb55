import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LaneWriter } from '../../../storage/lane/lane-writer.ts'
import { readSegmentIndex } from '../../../storage/lane/segment.ts'
import type { SegmentRow } from '../../../storage/lane/segment.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { laneSegmentKey } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { lane, laneOptions, TestEntry } from './support.ts'

test('entries of one turn share a segment and are durable in order', async () => {
  const env = new SimEnv(1)
  const store = new MemoryStore()
  const writer = new LaneWriter({ store, env, lane, firstSeq: 0, options: laneOptions })
  const told: number[] = []
  const entries = [0, 1, 2].map((offset) => new TestEntry(offset, { told: (entry) => told.push(entry.baseOffset) }))
  for (const entry of entries) assert.equal(writer.append(entry), true)
  await env.run(writer.flush())
  assert.deepEqual(told, [0, 1, 2])
  assert.equal(writer.committedSeq, 1)
  assert.equal(writer.pendingBytes, 0)
  const bytes = (await store.get(laneSegmentKey(7, 42, 0)))!
  const index = readSegmentIndex(bytes, { lane, seq: 0 })
  assert(index.kind === 'segment')
  for (const [i, entry] of entries.entries()) {
    const row: SegmentRow = index.rows[i]!
    assert.deepEqual(entry.fate, { kind: 'durable', seq: 0, start: row.start, end: row.end })
    assert.deepEqual(Buffer.from(bytes.subarray(row.start, row.end)), Buffer.from(entry.bytes))
  }
})
