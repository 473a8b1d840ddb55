/** What a partition log says to an append, and when it calls a record durable. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CRC_AT, LOG_APPEND_TIME, MAGIC_AT, computeCrc, crc, readBatchHeader } from '../../../protocol/records/batch.ts'
import { writeInt32, writeInt64 } from '../../../protocol/records/integers.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { simEpochMs } from '../../simulation/sim-env.ts'
import { Durability, TestHost, append, batchOf, idempotent, offsetsOf, openLog, read, record } from './support.ts'

const compaction = { minDirtyRatio: 0.5, deleteRetentionMs: 0, minLagMs: 0, maxLagMs: Number.MAX_SAFE_INTEGER }

describe('append', () => {
  it('gives offsets in the order of calls, and writes them and the leader epoch into the batch', () => {
    const host = new TestHost()
    const log = openLog(host)
    assert.deepEqual(append(log, batchOf(['a', 'b', 'c'])), { kind: 'appended', baseOffset: 0, lastOffset: 2, logAppendTimeMs: -1 })
    assert.deepEqual(append(log, batchOf(['d'])), { kind: 'appended', baseOffset: 3, lastOffset: 3, logAppendTimeMs: -1 })
    assert.equal(log.logEndOffset, 4)
    assert.equal(log.highWatermark, 0)
    for (const { bytes, baseOffset } of host.submitted) {
      const header = readBatchHeader(bytes, 0)
      assert.equal(header.baseOffset, baseOffset)
      assert.equal(header.partitionLeaderEpoch, 3)
      assert.equal(header.crc, computeCrc(bytes, 0))
    }
  })

  it('names what is wrong with a batch and takes nothing of it', () => {
    const damaged = batchOf(['a'])
    damaged[damaged.length - 1]! ^= 1
    const old = batchOf(['a'])
    old[MAGIC_AT] = 1
    const unknownCodec = batchOf(['a'])
    unknownCodec[22]! |= 5
    writeInt32(unknownCodec, CRC_AT, computeCrc(unknownCodec, 0))
    const cases: readonly [Uint8Array, string, Parameters<typeof openLog>[1]?][] = [
      [damaged, 'corrupt'],
      [old, 'invalidRecord'],
      [new Uint8Array(0), 'invalidRecord'],
      [Buffer.concat([batchOf(['a']), batchOf(['b'])]), 'invalidRecord'],
      [unknownCodec, 'unsupportedCodec'],
      [batchOf(['a'], { control: true, producerId: 1, producerEpoch: 0 }), 'invalidRecord'],
      [batchOf(['a'.repeat(20_000)]), 'tooLarge'],
      [batchOf([], { records: [record('a', simEpochMs + 7_200_000)] }), 'invalidTimestamp'],
      [batchOf([], { records: [record('a', simEpochMs - 7_200_000)] }), 'invalidTimestamp', { timestampBeforeMaxMs: 3_600_000 }],
      [batchOf([], { records: [record('a', 2 ** 51)] }), 'invalidTimestamp', { timestampAfterMaxMs: Number.MAX_SAFE_INTEGER }],
      [batchOf([], { records: [{ timestamp: simEpochMs, key: null, value: null }] }), 'invalidRecord', { compaction }],
      [batchOf([], { codec: 1, records: [{ timestamp: simEpochMs, key: null, value: null }] }), 'invalidRecord', { compaction }],
    ]
    for (const [bytes, kind, overrides] of cases) {
      const host = new TestHost()
      const log = openLog(host, overrides)
      assert.equal(append(log, bytes).kind, kind)
      assert.equal(log.logEndOffset, 0)
      assert.equal(host.submitted.length, 0)
    }
  })

  it('takes records without a timestamp whatever the bounds are', () => {
    const log = openLog(new TestHost(), { timestampBeforeMaxMs: 1, timestampAfterMaxMs: 1 })
    assert.equal(append(log, batchOf([], { records: [record('a', -1)] })).kind, 'appended')
  })

  it('stamps batches of LogAppendTime topics with the time of the broker, checksum included', () => {
    const host = new TestHost()
    const log = openLog(host, { timestampType: 'LogAppendTime', timestampBeforeMaxMs: 1 })
    const nowMs = host.env.clock.now()
    const outcome = append(log, batchOf([], { records: [record('a', 5), record('b', 6)] }))
    assert.deepEqual(outcome, { kind: 'appended', baseOffset: 0, lastOffset: 1, logAppendTimeMs: nowMs })
    const { bytes, crc: noted, maxTimestamp } = host.submitted[0]!
    assert.equal(readBatchHeader(bytes, 0).timestampType, LOG_APPEND_TIME)
    assert.equal(crc(bytes, 0), computeCrc(bytes, 0))
    assert.equal(noted, computeCrc(bytes, 0))
    assert.equal(maxTimestamp, nowMs)
    assert.deepEqual(recordsOf(bytes).map(({ timestamp }) => timestamp), [nowMs, nowMs])
  })

  it('corrects a max timestamp that the producer computed wrongly', () => {
    const host = new TestHost()
    const log = openLog(host)
    const batch = batchOf([], { records: [record('a', simEpochMs), record('b', simEpochMs - 50)] })
    writeInt64(batch, 35, simEpochMs - 50)
    writeInt32(batch, CRC_AT, computeCrc(batch, 0))
    assert.equal(append(log, batch).kind, 'appended')
    assert.equal(host.submitted[0]!.maxTimestamp, simEpochMs)
    assert.equal(crc(host.submitted[0]!.bytes, 0), computeCrc(host.submitted[0]!.bytes, 0))
  })

  it('refuses everything once it is closed or deleted', () => {
    for (const [end, kind] of [['close', 'notLeader'], ['delete', 'deleted']] as const) {
      const log = openLog(new TestHost())
      log[end]()
      assert.equal(append(log, batchOf(['a'])).kind, kind)
      assert.equal((read(log, 0) as { kind: string }).kind, kind)
    }
  })

  it('ends when a batch is lost, because every later one is lost with it', () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, batchOf(['a']))
    append(log, batchOf(['b']))
    host.submitted[0]!.failed('fenced')
    assert.equal(append(log, batchOf(['c'])).kind, 'notLeader')
  })
})

describe('durability (P1)', () => {
  it('shows nothing and says nothing before the lane has it', async () => {
    const host = new TestHost()
    const log = openLog(host)
    const durability = new Durability()
    append(log, batchOf(['a', 'b']))
    durability.wait(log, 1)
    assert.deepEqual(offsetsOf(await read(log, 0)), [])
    assert.deepEqual(durability.said, [])
    await host.settle()
    assert.deepEqual(durability.said, [[1, 'durable']])
    assert.deepEqual(offsetsOf(await read(log, 0)), [0, 1])
    assert.equal(log.highWatermark, 2)
  })

  it('answers in the order of offsets, whoever asked first', async () => {
    const host = new TestHost()
    const log = openLog(host)
    const durability = new Durability()
    for (const text of ['a', 'b', 'c']) append(log, batchOf([text]))
    for (const offset of [2, 0, 1]) durability.wait(log, offset)
    await host.settle(1)
    assert.deepEqual(durability.said, [[0, 'durable']])
    await host.settle()
    assert.deepEqual(durability.said, [[0, 'durable'], [1, 'durable'], [2, 'durable']])
    durability.wait(log, 1)
    assert.deepEqual(durability.said.at(-1), [1, 'durable'])
  })

  it('wakes listeners once per segment', async () => {
    const host = new TestHost()
    const log = openLog(host)
    let woken = 0
    const listener = (): void => void woken++
    log.onAdvance(listener)
    for (const text of ['a', 'b', 'c']) append(log, batchOf([text]))
    await host.settle()
    assert.equal(woken, 1)
    log.offAdvance(listener)
    append(log, batchOf(['d']))
    await host.settle()
    assert.equal(woken, 1)
  })

  it('tells who waits what became of the batch when the log ends', async () => {
    for (const [end, outcome] of [['close', 'notLeader'], ['delete', 'deleted']] as const) {
      const host = new TestHost()
      const log = openLog(host)
      const durability = new Durability()
      append(log, batchOf(['a']))
      await host.settle()
      append(log, batchOf(['b']))
      durability.wait(log, 1)
      log[end]()
      assert.deepEqual(durability.said, [[1, outcome]])
      durability.wait(log, 0)
      durability.wait(log, 1)
      assert.deepEqual(durability.said.slice(1), [[0, 'durable'], [1, outcome]])
    }
  })

  it('a repetition of a batch in flight waits for the original', async () => {
    const host = new TestHost()
    const log = openLog(host)
    const durability = new Durability()
    assert.equal(append(log, idempotent(7, 0, 2)).kind, 'appended')
    assert.deepEqual(append(log, idempotent(7, 0, 2)), { kind: 'duplicate', baseOffset: 0, lastOffset: 1, logAppendTimeMs: -1 })
    durability.wait(log, 1)
    assert.deepEqual(durability.said, [])
    assert.equal(host.submitted.length, 1)
    await host.settle()
    assert.deepEqual(durability.said, [[1, 'durable']])
  })

  it('a deleted topic lets go of what is durable, and the lane still gets the bytes of what is not', async () => {
    const host = new TestHost()
    const log = openLog(host)
    append(log, batchOf(['a']))
    await host.settle()
    append(log, batchOf(['b']))
    const [inFlight] = host.submitted
    log.delete()
    assert.equal(host.released.length, 1)
    assert.ok(inFlight!.bytes.length > 0 && log.cachedBytes(inFlight!.number) > 0)
    assert.equal(host.cache.bytes, log.cachedBytes(inFlight!.number))
    await host.settle()
    assert.equal(host.durable.length, 1, 'a late batch of a deleted topic is not retained')
    assert.equal(log.unflushedBytes, 0)
  })
})

