/** The way of batches into the table, and the way of the state through a checkpoint into the next incarnation. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeCheckpoint, encodeCheckpoint, encodePartition } from '../../../storage/engine/checkpoint-codec.ts'
import { RESIDENT_OVERHEAD_BYTES } from '../../../storage/partition/batch-list.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import { TestHost, append, batchOf, idempotent, lane, offsetsOf, openLog, read } from './support.ts'

describe('flush', () => {
  it('takes durable batches in order, at least one and about as many bytes as asked for', async () => {
    const host = new TestHost()
    const log = openLog(host)
    assert.equal(log.flushRun(1), null)
    for (const text of ['a', 'b', 'c', 'd']) append(log, batchOf([text]))
    assert.equal(log.flushRun(1), null, 'nothing is durable')
    await host.settle(3)
    const size = batchOf(['a']).length
    assert.deepEqual(bordersOf(log, 1), [0, 1])
    assert.deepEqual(bordersOf(log, 2 * size), [0, 2])
    assert.deepEqual(bordersOf(log, 1_000_000), [0, 3])
    assert.equal(log.unflushedBytes, 3 * size)
  })

  it('releases every batch, also when a producer that waited for that appends at once and pushes others out of memory', async () => {
    const host = new TestHost()
    const log = openLog(host)
    for (let n = 0; n < 300; n++) append(log, batchOf([`${n}`]))
    while (host.submitted.length > 0) await host.settle(1)
    const batchReleased = host.batchReleased.bind(host)
    host.batchReleased = (...batch) => {
      batchReleased(...batch)
      log.forgetFlushed(log.flushedOffset)
      append(log, batchOf(['more']))
    }
    log.markFlushed(300)
    assert.equal(log.unflushedBytes, 0)
    assert.deepEqual(host.released.map(({ seq }) => seq), Array.from({ length: 300 }, (_, n) => n))
    await host.settle()
    assert.equal(log.highWatermark, 600)
    assert.equal(log.unflushedBytes, 300 * batchOf(['more']).length)
  })

  it('releases a batch exactly once, when the table has it', async () => {
    const host = new TestHost()
    const log = openLog(host)
    for (const text of ['a', 'b', 'c']) append(log, batchOf([text, text]))
    while (host.submitted.length > 0) await host.settle(1)
    log.markFlushed(4)
    log.markFlushed(4)
    log.markFlushed(2)
    assert.deepEqual(host.released.map(({ seq }) => seq), [0, 1])
    assert.equal(log.flushedOffset, 4)
    assert.deepEqual(bordersOf(log, 1_000_000), [4, 6])
    assert.equal(log.unflushedBytes, batchOf(['c', 'c']).length)
    assert.notEqual(log.oldestUnflushedMs, null)
    log.markFlushed(6)
    assert.equal(log.oldestUnflushedMs, null)
    assert.equal(log.unflushedBytes, 0)
  })

  it('never says that more is flushed than is durable', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, batchOf(['a']))
    append(log, batchOf(['b']))
    await host.settle(1)
    log.markFlushed(100)
    assert.equal(log.flushedOffset, 1)
    await host.settle()
    assert.deepEqual(bordersOf(log, 1_000_000), [1, 2])
  })

  it('gives way to the table in memory where the table was compacted, and only there', async () => {
    const host = new TestHost()
    const log = openLog(host)
    for (const text of ['a', 'b', 'c', 'd']) append(log, batchOf([text]))
    await host.settle()
    log.markFlushed(3)
    host.cold.batches = [batchOf(['b'], { baseOffset: 1 }), batchOf(['c'], { baseOffset: 2 })]
    assert.deepEqual(offsetsOf(await read(log, 0)), [0, 1, 2, 3])
    const { bytes } = host.cache
    log.forgetFlushed(2)
    assert.equal(host.cache.bytes, bytes - 2 * (batchOf(['a']).length + RESIDENT_OVERHEAD_BYTES))
    assert.deepEqual(offsetsOf(await read(log, 2)), [2, 3], 'not below the end: from memory')
    const reads = host.cold.reads
    assert.equal(offsetsOf(await read(log, 0))[0], 1)
    assert.equal(host.cold.reads, reads + 1)
    log.forgetFlushed(100)
    assert.deepEqual(offsetsOf(await read(log, 3)), [3], 'what is not flushed stays')
    assert.equal(host.cache.bytes, batchOf(['d']).length + RESIDENT_OVERHEAD_BYTES)
  })
})

describe('checkpoint and recovery', () => {
  it('carries the state over, through bytes', async () => {
    const host = new TestHost()
    const log = openLog(host)
    for (let i = 0; i < 4; i++) append(log, idempotent(7, 2 * i, 2))
    await host.settle(3)
    log.markFlushed(2)
    const next = recovered(host, log)
    assert.equal(next.logStartOffset, 0)
    assert.equal(next.flushedOffset, 2)
    assert.equal(next.highWatermark, 6, 'what was not durable is not in it')
    assert.equal(next.logEndOffset, 6)
    assert.equal(next.leaderEpoch, 4)
    assert.deepEqual(offsetsOf(await read(next, 2)), [2, 3, 4, 5])
    assert.equal(next.unflushedBytes, log.unflushedBytes)
    assert.deepEqual(decoded(next), { ...decoded(log), epochs: [[3, 0]] })
  })

  it('remembers sequences that are durable, and none that are not', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, idempotent(7, 0))
    await host.settle()
    append(log, idempotent(7, 1))
    append(log, idempotent(8, 0))
    const next = recovered(host, log)
    assert.deepEqual(append(next, idempotent(7, 0)), { kind: 'duplicate', baseOffset: 0, lastOffset: 0, logAppendTimeMs: -1 })
    assert.equal(append(next, idempotent(7, 2)).kind, 'outOfOrderSequence', 'sequence 1 was lost')
    assert.deepEqual(append(next, idempotent(7, 1)), { kind: 'appended', baseOffset: 1, lastOffset: 1, logAppendTimeMs: -1 })
    assert.equal(append(next, idempotent(8, 0)).kind, 'appended')
  })

  it('replays later rows once, sequences and epochs included', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, idempotent(7, 0))
    append(log, idempotent(7, 1, 3))
    await host.settle(1)
    const checkpoint = log.checkpoint()
    await host.settle()
    const next = openLog(host, {}, 4)
    next.restore(checkpoint)
    for (const batch of log.checkpoint().unflushed) next.replay(batch, batch.ref, 0)
    assert.equal(next.highWatermark, 4)
    assert.deepEqual(offsetsOf(await read(next, 0)), [0, 1, 2, 3])
    assert.equal(append(next, idempotent(7, 1, 3)).kind, 'duplicate')
    assert.equal(append(next, idempotent(7, 4)).kind, 'appended')
    assert.deepEqual(next.endOffsetForEpoch(3), { leaderEpoch: 3, endOffset: 4 })
    assert.deepEqual(next.endOffsetForEpoch(4), { leaderEpoch: 4, endOffset: 5 })
    assert.equal(next.endOffsetForEpoch(5), null)
    assert.deepEqual([0, 3, 4].map((offset) => next.epochOf(offset)), [3, 3, 4])
  })

  it('survives the codec with every field', () => {
    const state = {
      topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 5, logStartOffset: 1, nextOffset: 2 ** 50, flushedOffset: 3,
      epochs: [[2, 0], [9, 100]] as const,
      producers: [[77, 3, 123, [[0x7ffffffe, 4, 10, 16]]]] as const,
      transactions: { open: [[5, 12, 3]], ended: [[6, 11, 14, 1, 2]] } as const,
      unflushed: [
        {
          topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 5, baseOffset: 3, lastOffset: 9, maxTimestamp: -1, producerId: 77, producerEpoch: 3,
          baseSequence: 0, leaderEpoch: 9, attributes: 0x18, recordCount: 7, crc: 0xffff_ffff,
          ref: { lane, seq: 12, start: 200, end: 4_000_000_000 },
        },
      ],
    }
    const none = { ...state, partition: 6, unflushed: [] }
    const many = { ...state, partition: 7, unflushed: Array.from({ length: 2500 }, (_, i) => ({ ...state.unflushed[0]!, partition: 7, baseOffset: i, lastOffset: i })) }
    const bytes = Buffer.concat(encodeCheckpoint(3, [state, none, many].flatMap((one) => [...encodePartition(one)])))
    assert.deepEqual(decodeCheckpoint(bytes), [state, none, many])
    assert.deepEqual(bytes.toString().split('\n').map((line) => line === '' || typeof JSON.parse(line)), ['object', 'object', 'object', 'object', true])
    assert.deepEqual(decodeCheckpoint(Buffer.concat(encodeCheckpoint(0, []))), [])
    assert.throws(() => decodeCheckpoint(bytes.subarray(0, bytes.lastIndexOf(10, bytes.length - 2) + 1)), /lacks partitions/)
    assert.throws(() => decodeCheckpoint(Buffer.from('{"format":3,"partitions":0}\n')), /format 3/)
  })
})

function bordersOf(log: StoredPartitionLog, bytesMax: number): [number, number] | null {
  const run = log.flushRun(bytesMax)
  return run === null ? null : [run.fromOffset, run.endOffset]
}

function decoded(log: StoredPartitionLog): ReturnType<StoredPartitionLog['checkpoint']> {
  return decodeCheckpoint(Buffer.concat(encodeCheckpoint(1, [...encodePartition(log.checkpoint())])))[0]!
}

/** The log of the next incarnation. */
function recovered(host: TestHost, log: StoredPartitionLog): StoredPartitionLog {
  const next = openLog(host, {}, 4)
  next.restore(decoded(log))
  return next
}
