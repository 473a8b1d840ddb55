/** One byte budget for the batches of all partitions (P8). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HotCache } from '../../../storage/partition/hot-cache.ts'
import type { CachedBatches } from '../../../storage/partition/hot-cache.ts'
import { TestHost, append, batchOf, openLog } from './support.ts'

/** The batches of one partition, by number. */
class TestBatches implements CachedBatches {
  readonly bytes: number[] = []
  readonly inFlight = new Set<number>()

  cachedBytes(number: number): number {
    return this.bytes[number]!
  }
  isEvictable(number: number): boolean {
    return !this.inFlight.has(number)
  }
  evict(number: number): void {
    this.bytes[number] = 0
  }

  addTo(cache: HotCache, bytes: number, inFlight = false): void {
    const number = this.bytes.push(bytes) - 1
    if (inFlight) this.inFlight.add(number)
    cache.add(this, number)
  }
}

test('the oldest leave first, no more than needed', () => {
  const cache = new HotCache(100)
  const batches = new TestBatches()
  for (const bytes of [40, 40, 40, 10]) batches.addTo(cache, bytes)
  assert.deepEqual(batches.bytes, [0, 40, 40, 10])
  assert.equal(cache.bytes, 90)
})

test('partitions share the budget, in the order in which their batches came', () => {
  const cache = new HotCache(100)
  const one = new TestBatches()
  const other = new TestBatches()
  for (const batches of [one, other, one, other]) batches.addTo(cache, 40)
  assert.deepEqual([one.bytes, other.bytes], [[0, 40], [0, 40]])
})

test('what is not durable stays, and holds back what is younger until it is', () => {
  const cache = new HotCache(50)
  const batches = new TestBatches()
  batches.addTo(cache, 60, true)
  batches.addTo(cache, 30)
  assert.equal(cache.bytes, 90)
  batches.inFlight.clear()
  cache.trim()
  assert.deepEqual([batches.bytes, cache.bytes], [[0, 30], 30])
})

test('batches of deleted topics leave by themselves and are not counted twice', () => {
  const cache = new HotCache(100)
  const batches = new TestBatches()
  for (const bytes of [50, 30, 15]) batches.addTo(cache, bytes)
  cache.released(batches.cachedBytes(0))
  batches.evict(0)
  assert.equal(cache.bytes, 45)
  batches.addTo(cache, 60)
  assert.equal(cache.bytes, 75)
  assert.equal(batches.bytes[1], 0)
})

test('a budget of nothing keeps nothing but what is in flight, over thousands of batches', () => {
  const cache = new HotCache(0)
  const batches = new TestBatches()
  for (let i = 0; i < 5000; i++) batches.addTo(cache, 10)
  assert.equal(cache.bytes, 0)
})

test('small batches count with the memory around them: a budget of a megabyte does not hold ten thousand', async () => {
  const host = new TestHost(1024 * 1024)
  const log = openLog(host)
  for (let i = 0; i < 10_000; i++) append(log, batchOf(['x']))
  await host.settle()
  host.cache.trim()
  const resident = Array.from({ length: 10_000 }, (_, number) => log.cachedBytes(number)).filter((bytes) => bytes > 0).length
  assert.ok(resident > 1000 && resident <= 2048, `${resident} of them`)
  assert.ok(host.cache.bytes <= 1024 * 1024)
})
