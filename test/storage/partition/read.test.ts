/** Reads over memory, lane and table: limits, borders between them, and what happens when something moves during a read. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RESIDENT_OVERHEAD_BYTES } from '../../../storage/partition/batch-list.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { simEpochMs } from '../../simulation/sim-env.ts'
import { TestHost, append, batchOf, offsetsOf, openLog, read, record } from './support.ts'

/** The batch of a table: one record per offset. */
function rows(offsets: readonly number[]): Uint8Array {
  return encodeBatch({
    baseOffset: offsets[0]!,
    records: offsets.map((offset) => ({ ...record(`row ${offset}`, simEpochMs + offset), offset })),
  })
}

/** Batches of two records each, durable. */
async function filled(host: TestHost, batches: number): Promise<ReturnType<typeof openLog>> {
  const log = openLog(host)
  for (let i = 0; i < batches; i++) {
    append(log, batchOf([], { records: [record('a', simEpochMs + 2 * i), record('b', simEpochMs + 2 * i + 1)] }))
    await host.settle()
  }
  return log
}

describe('read', () => {
  it('is synchronous from memory', async () => {
    const log = await filled(new TestHost(), 2)
    assert.ok(!(read(log, 0) instanceof Promise))
  })

  it('knows its range', async () => {
    const host = new TestHost()
    const log = await filled(host, 2)
    append(log, batchOf(['in flight']))
    assert.equal(offsetsOf(await read(log, -1)), 'outOfRange')
    assert.deepEqual(offsetsOf(await read(log, 4)), [], 'the high watermark')
    assert.deepEqual(offsetsOf(await read(log, 5)), [], 'the log end')
    assert.equal(offsetsOf(await read(log, 6)), 'outOfRange')
    assert.deepEqual(offsetsOf(await read(log, 0)), [0, 1, 2, 3], 'nothing beyond the high watermark')
  })

  it('returns the first batch whole, for an offset in its middle and beyond the byte limit', async () => {
    const log = await filled(new TestHost(), 3)
    assert.deepEqual(offsetsOf(await read(log, 3)), [2, 3, 4, 5])
    assert.deepEqual(offsetsOf(await read(log, 3, 1)), [2, 3])
    assert.deepEqual(offsetsOf(await read(log, 3, 1, false)), [])
    const batch = batchOf(['a', 'b']).length
    assert.deepEqual(offsetsOf(await read(log, 0, 2 * batch)), [0, 1, 2, 3])
    assert.deepEqual(offsetsOf(await read(log, 0, 2 * batch - 1)), [0, 1])
  })

  it('reads what left memory from the lane, under the same limits', async () => {
    const host = new TestHost(0)
    const log = await filled(host, 3)
    host.cache.trim()
    assert.equal(host.cache.bytes, 0)
    assert.deepEqual(offsetsOf(await read(log, 1)), [0, 1, 2, 3, 4, 5])
    assert.equal(host.laneReads, 1)
    assert.deepEqual(offsetsOf(await read(log, 2, 1)), [2, 3])
    assert.deepEqual(offsetsOf(await read(log, 2, 1, false)), [])
  })

  it('stops at the border between lane and memory, and goes on there', async () => {
    const host = new TestHost(batchOf(['a', 'b']).length + RESIDENT_OVERHEAD_BYTES)
    const log = await filled(host, 3)
    host.cache.trim()
    assert.deepEqual(offsetsOf(await read(log, 0)), [0, 1, 2, 3])
    assert.deepEqual(offsetsOf(await read(log, 4)), [4, 5])
  })

  it('reads flushed offsets from the table once they left memory', async () => {
    const host = new TestHost(0)
    const log = await filled(host, 3)
    host.cache.trim()
    host.cold.batches = [rows([0, 1, 2, 3])]
    log.markFlushed(4)
    assert.deepEqual(offsetsOf(await read(log, 1)), [0, 1, 2, 3])
    assert.equal(host.cold.reads, 1)
    assert.deepEqual(offsetsOf(await read(log, 4)), [4, 5])
    assert.equal(host.cold.reads, 1)
  })

  it('prefers memory to the table', async () => {
    const host = new TestHost()
    const log = await filled(host, 2)
    log.markFlushed(4)
    assert.deepEqual(offsetsOf(await read(log, 0)), [0, 1, 2, 3])
    assert.equal(host.cold.reads, 0)
  })

  it('forgets a flushed batch when it leaves memory', async () => {
    const host = new TestHost(batchOf(['a', 'b']).length + RESIDENT_OVERHEAD_BYTES)
    const log = await filled(host, 2)
    log.markFlushed(4)
    host.cold.batches = [rows([0, 1, 2, 3])]
    append(log, batchOf(['c', 'd']))
    await host.settle()
    host.cache.trim()
    assert.deepEqual(offsetsOf(await read(log, 0)), [0, 1, 2, 3])
    assert.equal(host.cold.reads, 1)
    assert.equal(host.laneReads, 0)
  })

  it('is unavailable when a segment is gone that is not flushed, and reads the table when it is', async () => {
    const host = new TestHost(0)
    const log = await filled(host, 1)
    host.cache.trim()
    host.segments.clear()
    assert.equal(offsetsOf(await read(log, 0)), 'unavailable')
    host.cold.batches = [rows([0, 1])]
    const reading = read(log, 0)
    log.markFlushed(2)
    assert.deepEqual(offsetsOf(await reading), [0, 1])
  })

  it('says so when the table cannot be read, and never skips', async () => {
    const host = new TestHost(0)
    const log = await filled(host, 2)
    host.cache.trim()
    log.markFlushed(2)
    host.cold.duringRead = () => {
      throw new Error('the store is gone')
    }
    assert.deepEqual(await read(log, 0), { kind: 'unavailable', reason: 'the store is gone' })
  })

  it('goes on behind a gap of the table where memory begins', async () => {
    const host = new TestHost(0)
    const log = await filled(host, 3)
    host.cache.trim()
    log.markFlushed(4)
    assert.deepEqual(offsetsOf(await read(log, 0)), [4, 5])
  })

  it('a consumer at a gap of the table skips nothing when a flush takes memory away meanwhile', async () => {
    const host = new TestHost(0)
    const log = await filled(host, 4)
    host.cache.trim()
    log.markFlushed(2)
    host.cold.duringRead = () => {
      host.cold.batches = [rows([2, 3, 4, 5])]
      log.markFlushed(6)
    }
    assert.deepEqual(offsetsOf(await read(log, 0)), [2, 3, 4, 5])
  })

  it('notices that the topic was deleted during a read of the table', async () => {
    const host = new TestHost(0)
    const log = await filled(host, 1)
    host.cache.trim()
    host.cold.batches = [rows([0, 1])]
    log.markFlushed(2)
    host.cold.duringRead = () => log.delete()
    assert.equal(offsetsOf(await read(log, 0)), 'deleted')
  })
})

describe('look-ups by timestamp', () => {
  it('finds the first record at or after a time, in table, lane and memory', async () => {
    const host = new TestHost(batchOf(['a', 'b']).length + RESIDENT_OVERHEAD_BYTES)
    const log = await filled(host, 3)
    host.cache.trim()
    host.cold.batches = [rows([0, 1])]
    log.markFlushed(2)
    for (let offset = 0; offset < 6; offset++) {
      assert.deepEqual(await log.offsetForTimestamp(simEpochMs + offset), { offset, timestampMs: simEpochMs + offset, leaderEpoch: 3 })
    }
    assert.equal(await log.offsetForTimestamp(simEpochMs + 6), null)
    assert.deepEqual(await log.offsetOfMaxTimestamp(), { offset: 5, timestampMs: simEpochMs + 5, leaderEpoch: 3 })
  })

  it('gives the first of equal greatest timestamps, and none for an empty log', async () => {
    const host = new TestHost()
    const log = openLog(host)
    assert.equal(await log.offsetOfMaxTimestamp(), null)
    append(log, batchOf([], { records: [record('a', 5), record('b', 9), record('c', 9)] }))
    append(log, batchOf([], { records: [record('d', 9)] }))
    await host.settle()
    assert.deepEqual(await log.offsetOfMaxTimestamp(), { offset: 1, timestampMs: 9, leaderEpoch: 3 })
  })

  it('sees nothing that is not durable', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, batchOf(['a']))
    assert.equal(await log.offsetForTimestamp(0), null)
    assert.equal(await log.offsetOfMaxTimestamp(), null)
  })

  it('a record that is flushed and dropped from memory during the search is found all the same', async () => {
    for (const isCollected of [false, true]) {
      const host = new TestHost(0)
      const log = await filled(host, 3)
      host.cache.trim()
      host.cold.batches = [rows([0, 1])]
      log.markFlushed(2)
      host.cold.duringRead = () => {
        host.cold.batches = [rows([0, 1, 2, 3, 4, 5])]
        log.markFlushed(6)
        if (isCollected) host.segments.clear()
      }
      assert.equal((await log.offsetForTimestamp(simEpochMs + 3))?.offset, 3)
    }
  })
})
