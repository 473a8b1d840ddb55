/** Transactions in one partition log: what is stable, what was aborted, who is fenced, and what a recovery knows of it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isControl, isTransactional, readBatchHeader } from '../../../protocol/records/batch.ts'
import { decodeCheckpoint, encodeCheckpoint, encodePartition } from '../../../storage/engine/checkpoint-codec.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import type { AbortedTransaction, ReadOutcome } from '../../../storage/partition/types.ts'
import { TestHost, append, batchOf, lane, offsetsOf, openLog } from './support.ts'

/** A transactional batch of `count` records. */
function transactional(producerId: number, baseSequence: number, count = 1, producerEpoch = 0): Uint8Array {
  return batchOf(Array.from({ length: count }, (_, i) => `${producerId}:${baseSequence + i}`), { producerId, producerEpoch, baseSequence, transactional: true })
}

function end(log: StoredPartitionLog, producerId: number, committed: boolean, producerEpoch = 0): ReturnType<StoredPartitionLog['appendMarker']> {
  return log.appendMarker({ producerId, producerEpoch, coordinatorEpoch: 9, committed })
}

async function readCommitted(log: StoredPartitionLog, fromOffset: number): Promise<{ offsets: number[] | string; aborted: readonly AbortedTransaction[] }> {
  const outcome: ReadOutcome = await log.read({ fromOffset, maxBytes: 1_000_000, atLeastOne: true, isolation: 'readCommitted' })
  return { offsets: offsetsOf(outcome), aborted: outcome.kind === 'records' ? (outcome.aborted ?? []).map(plain) : [] }
}

function plain({ producerId, firstOffset, lastOffset }: AbortedTransaction): AbortedTransaction {
  return { producerId, firstOffset, lastOffset }
}

/** The same partition after a crash, from its checkpoint as bytes; `rows` of the lane after it are replayed. */
function recovered(host: TestHost, log: StoredPartitionLog): StoredPartitionLog {
  const state = decodeCheckpoint(Buffer.concat(encodeCheckpoint(1, [...encodePartition(log.checkpoint())])))[0]!
  const next = openLog(host, {}, 4)
  next.restore(state)
  return next
}

describe('the last stable offset', () => {
  it('is where the first open transaction begins, and the high watermark when none is open', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, batchOf(['plain']))
    append(log, transactional(1, 0, 2))
    append(log, transactional(2, 0))
    await host.settle()
    assert.deepEqual([log.lastStableOffset, log.highWatermark], [1, 4])
    assert.deepEqual([log.openTransaction(1), log.openTransaction(2), log.openTransaction(3)], [1, 3, null])
    end(log, 1, true)
    assert.equal(log.lastStableOffset, 1, 'the marker is not durable')
    assert.equal(log.openTransaction(1), null, 'and was accepted')
    await host.settle()
    assert.equal(log.lastStableOffset, 3)
    end(log, 2, false)
    await host.settle()
    assert.deepEqual([log.lastStableOffset, log.highWatermark], [6, 6])
  })

  it('wakes those who wait for it when a marker is durable', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, transactional(1, 0))
    await host.settle()
    assert.equal(log.isAtEnd(0, 'readCommitted'), true)
    assert.equal(log.isAtEnd(0, 'readUncommitted'), false)
    let woken = 0
    log.onAdvance(() => woken++)
    end(log, 1, true)
    await host.settle()
    assert.equal(woken, 1)
    assert.equal(log.isAtEnd(0, 'readCommitted'), false)
  })
})

describe('reads of committed records', () => {
  it('end at the last stable offset and name the aborted transactions among the records', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, transactional(1, 0))
    append(log, transactional(2, 0))
    append(log, transactional(1, 1))
    end(log, 1, false)
    end(log, 2, true)
    append(log, transactional(2, 1))
    end(log, 2, false)
    append(log, transactional(3, 0))
    await host.settle()
    const all = await readCommitted(log, 0)
    assert.deepEqual(all.offsets, [0, 1, 2, 3, 4, 5, 6])
    assert.deepEqual(all.aborted, [{ producerId: 1, firstOffset: 0, lastOffset: 3 }, { producerId: 2, firstOffset: 5, lastOffset: 6 }])
    assert.deepEqual((await readCommitted(log, 4)).aborted, [{ producerId: 2, firstOffset: 5, lastOffset: 6 }])
    assert.deepEqual((await readCommitted(log, 3)).aborted.length, 2, 'its marker is part of it')
    const uncommitted = await log.read({ fromOffset: 0, maxBytes: 1_000_000, atLeastOne: true, isolation: 'readUncommitted' })
    assert.deepEqual(offsetsOf(uncommitted), [0, 1, 2, 3, 4, 5, 6, 7])
    assert.deepEqual(uncommitted.kind === 'records' && uncommitted.aborted, [])
  })

  it('know what was aborted as long as its records may come from memory, also when the table has what is beside them', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, transactional(1, 0))
    append(log, batchOf(['plain']))
    end(log, 1, false)
    await host.settle()
    log.markFlushed(3)
    assert.deepEqual(await readCommitted(log, 0), { offsets: [0, 1, 2], aborted: [{ producerId: 1, firstOffset: 0, lastOffset: 2 }] })
    log.forgetFlushed(3)
    host.cold.batches = [batchOf(['plain'], { baseOffset: 1 })]
    assert.deepEqual(await readCommitted(log, 0), { offsets: [1], aborted: [] })
    assert.deepEqual(log.endedTransactions, [], 'nobody needs it any more')
  })

  it('do not name one whose marker comes before them: readers would wait for it', async () => {
    const host = new TestHost()
    const before = openLog(host)
    append(before, transactional(1, 0))
    await host.settle()
    const log = recovered(host, before)
    end(log, 1, false)
    await host.settle()
    log.markFlushed(2)
    append(log, transactional(1, 1))
    end(log, 1, true)
    await host.settle()
    // The marker is in memory and the aborted record is not; the table has nothing of them.
    assert.deepEqual(await readCommitted(log, 0), { offsets: [2, 3], aborted: [] })
  })

  it('from the lane name them too', async () => {
    const host = new TestHost(0)
    const log = openLog(host)
    append(log, transactional(1, 0))
    end(log, 1, false)
    await host.settle()
    host.cache.trim()
    const reads = host.laneReads
    assert.deepEqual(await readCommitted(log, 0), { offsets: [0, 1], aborted: [{ producerId: 1, firstOffset: 0, lastOffset: 1 }] })
    assert.equal(host.laneReads, reads + 1)
  })
})

describe('a marker', () => {
  it("is Kafka's control batch", async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, transactional(7, 0, 1, 5))
    end(log, 7, false, 5)
    await host.settle()
    const outcome = await log.read({ fromOffset: 1, maxBytes: 1000, atLeastOne: true, isolation: 'readUncommitted' })
    assert.ok(outcome.kind === 'records')
    const [marker] = outcome.chunks
    const header = readBatchHeader(marker!, 0)
    assert.deepEqual(
      [header.baseOffset, header.producerId, header.producerEpoch, header.baseSequence, header.recordCount, isControl(header.attributes), isTransactional(header.attributes)],
      [1, 7, 5, -1, 1, true, true],
    )
    // Length, attributes, deltas; key of 4 bytes: version 0, type 0; value of 6: version 0, coordinator epoch 9; no headers.
    assert.equal(Buffer.from(marker!.subarray(61)).toString('hex'), '2000000008000000000c00000000000900')
  })

  it('fences older epochs of its producer, and a newer one begins at sequence 0', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, transactional(1, 0))
    assert.equal(end(log, 1, false, 1).kind, 'appended')
    assert.equal(append(log, transactional(1, 1)).kind, 'staleProducerEpoch')
    assert.equal(end(log, 1, true, 0).kind, 'staleProducerEpoch')
    assert.equal(append(log, transactional(1, 3, 1, 1)).kind, 'outOfOrderSequence')
    assert.equal(append(log, transactional(1, 0, 1, 1)).kind, 'appended')
    await host.settle()
    const next = recovered(host, log)
    assert.equal(append(next, transactional(1, 1)).kind, 'staleProducerEpoch', 'after a recovery too')
  })

  it('that bumps the epoch ends nothing with an epoch that is not above, and does no harm where there is nothing to end', () => {
    const log = openLog(new TestHost())
    const marker = { producerId: 1, coordinatorEpoch: 9, committed: true, bumpsEpoch: true }
    append(log, transactional(1, 0, 1, 4))
    assert.equal(log.appendMarker({ ...marker, producerEpoch: 4 }).kind, 'staleProducerEpoch')
    assert.equal(log.openTransaction(1), 0)
    assert.equal(log.appendMarker({ ...marker, producerEpoch: 5 }).kind, 'appended')
    assert.equal(log.appendMarker({ ...marker, producerEpoch: 5 }).kind, 'appended', 'again')
    assert.equal(log.appendMarker({ ...marker, producerEpoch: 4 }).kind, 'staleProducerEpoch')
  })

  it('of a coordinator that was replaced is refused', () => {
    const log = openLog(new TestHost())
    append(log, transactional(1, 0))
    end(log, 1, true)
    assert.equal(log.appendMarker({ producerId: 1, producerEpoch: 0, coordinatorEpoch: 8, committed: true }).kind, 'staleCoordinatorEpoch')
    assert.equal(log.appendMarker({ producerId: 2, producerEpoch: 0, coordinatorEpoch: 8, committed: true }).kind, 'appended', 'it has ended nothing of this one')
    assert.equal(log.appendMarker({ producerId: 1, producerEpoch: 0, coordinatorEpoch: 9, committed: true }).kind, 'appended')
  })

  it('leaves the sequences of its epoch as they are', () => {
    const log = openLog(new TestHost())
    append(log, transactional(1, 0, 2))
    end(log, 1, true)
    assert.equal(append(log, transactional(1, 3)).kind, 'outOfOrderSequence')
    assert.equal(append(log, transactional(1, 2)).kind, 'appended')
  })

  it('without a transaction changes nothing that readers see', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, batchOf(['a']))
    end(log, 4, false)
    await host.settle()
    assert.deepEqual(await readCommitted(log, 0), { offsets: [0, 1], aborted: [] })
    assert.deepEqual(log.endedTransactions, [])
  })
})

it('a producer with an open transaction may not write outside of it', () => {
  const log = openLog(new TestHost())
  append(log, transactional(1, 0))
  assert.equal(append(log, batchOf(['x'], { producerId: 1, producerEpoch: 0, baseSequence: 1 })).kind, 'invalidTransactionState')
  end(log, 1, true)
  assert.equal(append(log, batchOf(['x'], { producerId: 1, producerEpoch: 0, baseSequence: 1 })).kind, 'appended')
})

it('offsets of a transaction have no sequence: their producer is judged by its epoch alone', () => {
  const log = openLog(new TestHost())
  const offsets = (producerEpoch: number): ReturnType<typeof append> =>
    log.append(batchOf(['offset'], { producerId: 1, producerEpoch, baseSequence: -1, transactional: true }), { origin: 'broker' })
  assert.equal(offsets(2).kind, 'appended')
  assert.equal(offsets(2).kind, 'appended')
  assert.equal(offsets(1).kind, 'staleProducerEpoch')
  assert.equal(append(log, batchOf(['x'], { producerId: 1, producerEpoch: 2, baseSequence: -1, transactional: true })).kind, 'invalidRecord', 'clients have one')
})

describe('flush and recovery', () => {
  it('a flush ends at the last stable offset', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, transactional(1, 0))
    append(log, batchOf(['plain']))
    await host.settle()
    assert.equal(log.flushRun(1_000_000), null)
    end(log, 1, false)
    append(log, transactional(2, 0))
    await host.settle()
    const run = log.flushRun(1_000_000)!
    assert.deepEqual([run.fromOffset, run.endOffset], [0, 3])
    assert.equal(log.flushableBytes, run.bytes)
    assert.ok(log.unflushedBytes > run.bytes)
  })

  it('open and ended transactions come back from a checkpoint, and with the rows behind it', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, transactional(1, 0))
    append(log, transactional(2, 0))
    end(log, 1, false)
    await host.settle()
    const before = recovered(host, log)
    assert.deepEqual([before.lastStableOffset, before.openTransaction(1), before.openTransaction(2)], [1, null, 1])
    end(log, 2, true)
    append(log, transactional(3, 0))
    const rows = [...host.submitted]
    await host.settle()
    let start = 0
    for (const row of rows) {
      before.replay(row, { lane, seq: 1, start, end: (start += row.bytes.length) }, 0)
    }
    assert.deepEqual([before.lastStableOffset, before.openTransaction(2), before.openTransaction(3)], [4, null, 4])
    assert.deepEqual(before.endedTransactions.map(({ producerId, committed }) => [producerId, committed]), [[1, false], [2, true]])
    assert.equal(append(before, batchOf(['x'], { producerId: 3, producerEpoch: 0, baseSequence: 1 })).kind, 'invalidTransactionState')
  })

  it('a checkpoint of the format before has no transactions', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, batchOf(['a']))
    await host.settle()
    const [head, ...lines] = Buffer.concat(encodeCheckpoint(1, [...encodePartition(log.checkpoint())])).toString().split('\n')
    assert.equal(head, '{"format":2,"partitions":1}')
    const [state] = decodeCheckpoint(Buffer.from(['{"format":1,"partitions":1}', ...lines].join('\n')))
    assert.equal(state!.transactions, null)
    assert.throws(() => decodeCheckpoint(Buffer.from(['{"format":3,"partitions":1}', ...lines].join('\n'))), /format 3/)
  })
})
