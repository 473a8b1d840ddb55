/** One byte budget for the batches of all partitions (P8). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LaneRow } from '../../../storage/lane/types.ts'
import { BatchEntry } from '../../../storage/partition/batch-entry.ts'
import { HotCache } from '../../../storage/partition/hot-cache.ts'
import type { CachedBatch } from '../../../storage/partition/hot-cache.ts'

class TestBatch implements CachedBatch {
  sizeBytes: number
  evictable: boolean
  constructor(sizeBytes: number, evictable = true) {
    this.sizeBytes = sizeBytes
    this.evictable = evictable
  }
  evict(): void {
    this.sizeBytes = 0
  }
}

test('the oldest leave first, no more than needed', () => {
  const cache = new HotCache(100)
  const batches = [40, 40, 40, 10].map((bytes) => new TestBatch(bytes))
  for (const batch of batches) cache.add(batch)
  assert.deepEqual(batches.map(({ sizeBytes }) => sizeBytes), [0, 40, 40, 10])
  assert.equal(cache.bytes, 90)
})

test('what is not durable stays, and holds back what is younger until it is', () => {
  const cache = new HotCache(50)
  const first = new TestBatch(60, false)
  const second = new TestBatch(30)
  cache.add(first)
  cache.add(second)
  assert.equal(cache.bytes, 90)
  first.evictable = true
  cache.trim()
  assert.deepEqual([first.sizeBytes, second.sizeBytes, cache.bytes], [0, 30, 30])
})

test('batches of deleted topics leave by themselves and are not counted twice', () => {
  const cache = new HotCache(100)
  const batches = [50, 30, 15].map((bytes) => new TestBatch(bytes))
  for (const batch of batches) cache.add(batch)
  cache.released(batches[0]!.sizeBytes)
  batches[0]!.evict()
  assert.equal(cache.bytes, 45)
  cache.add(new TestBatch(60))
  assert.equal(cache.bytes, 75)
  assert.equal(batches[1]!.sizeBytes, 0)
})

test('a budget of nothing keeps nothing but what is in flight, over thousands of batches', () => {
  const cache = new HotCache(0)
  for (let i = 0; i < 5000; i++) cache.add(new TestBatch(10))
  assert.equal(cache.bytes, 0)
})

test('small batches count with the memory around them: a budget of a megabyte does not hold ten thousand', () => {
  const cache = new HotCache(1024 * 1024)
  const owner = { batchDurable: () => undefined, batchFailed: () => undefined, batchEvicted: () => undefined }
  const row: LaneRow = {
    topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partition: 0, baseOffset: 0, lastOffset: 0, maxTimestamp: 0, producerId: -1, producerEpoch: -1, baseSequence: -1,
    leaderEpoch: 0, attributes: 0, recordCount: 1, crc: 0,
  }
  const entries = Array.from({ length: 10_000 }, () => new BatchEntry(owner, row, new Uint8Array(100), { lane: { brokerId: 0, incarnation: 1 }, seq: 0, start: 0, end: 100 }))
  for (const entry of entries) cache.add(entry)
  const resident = entries.filter(({ resident }) => resident).length
  assert.ok(resident > 500 && resident <= 1024, `${resident} of them`)
  assert.ok(cache.bytes <= 1024 * 1024)
})
