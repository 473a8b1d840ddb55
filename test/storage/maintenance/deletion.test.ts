/** What leaves a partition on request (DeleteRecords) or by age and size (retention): the log start, the rows of the table, recovery. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import type { TableFile } from '../../../storage/delta/snapshot.ts'
import { StorageEngine } from '../../../storage/engine/engine.ts'
import { Journal } from '../../../storage/journal/journal.ts'
import { retainedFrom } from '../../../storage/maintenance/retention.ts'
import type { RetentionLimits } from '../../../storage/maintenance/retention.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import { TableReads } from '../../../storage/partition/table-reads.ts'
import type { TopicLogConfig } from '../../../storage/partition/types.ts'
import { realEnv } from '../../../src/real-env.ts'
import { eventually } from '../../support/broker.ts'
import { logConfig } from '../../support/log-config.ts'

const parquet = new InlineParquet()
const TOPIC = 'dGVzdC10b3BpYy1pZC0wMA'
const location = 'topics/t'
const newStore = (): MemoryStore => new MemoryStore({ clock: realEnv.clock })

interface Settings {
  readonly flushIntervalMs?: number
  readonly checkpointIntervalMs?: number
  readonly cacheBytes?: number
  readonly retention?: NonNullable<TopicLogConfig['retention']>
}

async function startEngine(store: MemoryStore, settings: Settings = {}): Promise<StorageEngine> {
  const journal = await Journal.open(store, realEnv)
  const engine = await StorageEngine.start(
    {
      env: realEnv,
      store,
      journal,
      workers: parquet,
      checkpoints: new InlineCheckpointEngine(),
      coldReads: (tableOf) => new TableReads({ store, parquet, tableOf, options: { cacheBytes: 1 << 20, compressionOf: () => 'none' } }),
      configOf: () => ({
        ...logConfig,
        flushIntervalMs: settings.flushIntervalMs ?? 5,
        retention: settings.retention ?? { ms: -1, bytes: -1 },
      }),
      options: {
        nodeId: 0,
        lane: { lingerMs: 0, inflightMax: 2, segmentBytesMax: 1 << 20, bufferBytesMax: 1 << 22 },
        checkpointIntervalMs: settings.checkpointIntervalMs ?? 20,
        journalPollMs: 1000,
        cacheBytes: settings.cacheBytes ?? 0,
        producerExpirationMs: 1e9,
        retentionCheckIntervalMs: 20,
        flush: { parquetCompression: 'none', topicsAtOnce: 2, retryMs: 10 },
        maintenance: { compaction: false, parquetCompression: 'none', logRetentionMs: 1e9, deletedFileRetentionMs: 1e9 },
      },
      observer: {
        lane: { segmentWritten: () => undefined, segmentRetried: () => undefined },
        flush: { flushed: () => undefined, trouble: () => undefined, quarantined: () => undefined },
        maintenance: { done: () => undefined, failed: () => undefined },
        info: () => undefined,
        warn: () => undefined,
      },
      onFenced: () => undefined,
    },
    {},
  )
  if (!journal.state.topics.has(TOPIC)) {
    const topic = { id: TOPIC, name: 't', partitions: 1, configs: {}, location, createdMs: 0, internal: false }
    await journal.append(() => [{ type: 'topic-created', topic }])
    engine.syncTopics()
  }
  return engine
}

/** Appends one batch of records with these timestamps, and waits until it is durable. */
async function produce(log: StoredPartitionLog, timestamps: readonly number[]): Promise<void> {
  const records = timestamps.map((timestamp) => ({ timestamp, key: null, value: Buffer.from(`at ${timestamp}`) }))
  const outcome = log.append(encodeBatch({ baseOffset: 0, timestampType: 0, codec: 0, records }), { origin: 'client' })
  assert.ok(outcome.kind === 'appended')
  assert.equal(await new Promise((resolve) => log.whenDurable(outcome.lastOffset, resolve)), 'durable')
}

async function produceAndFlush(log: StoredPartitionLog, timestamps: readonly number[]): Promise<void> {
  await produce(log, timestamps)
  await eventually('the flush', () => log.flushedOffset === log.highWatermark)
}

/** Offsets of the rows in the table. */
async function rowsOf(engine: StorageEngine, store: MemoryStore): Promise<number[]> {
  const offsets: number[] = []
  for (const file of engine.topic(TOPIC)!.table.snapshot.files(0)) {
    const { batches } = await parquet.decode({ file: (await store.get(`${location}/${file.path}`))!, fromOffset: 0, maxBytes: 1 << 20 })
    for (const { bytes } of batches) {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
      const base = Number(view.readBigInt64BE(0))
      for (let i = 0; i <= view.readInt32BE(23); i++) offsets.push(base + i)
    }
  }
  return offsets
}

describe('deletion on request', () => {
  test('rows leave the table: whole files, and part of the one across the new start', async () => {
    const store = newStore()
    const engine = await startEngine(store)
    const log = engine.partition(TOPIC, 0)!
    await produceAndFlush(log, [1, 2, 3])
    await produceAndFlush(log, [4, 5, 6])
    await produceAndFlush(log, [7, 8])
    assert.deepEqual(await engine.deleteRecords(TOPIC, 0, 4), { kind: 'deleted', logStartOffset: 4 })
    assert.equal(log.logStartOffset, 4)
    assert.deepEqual(await log.read({ fromOffset: 3, maxBytes: 1000, atLeastOne: true, isolation: 'readUncommitted' }), { kind: 'outOfRange' })
    await eventually('the rows are gone', async () => (await rowsOf(engine, store)).length === 4)
    assert.deepEqual(await rowsOf(engine, store), [4, 5, 6, 7])
    const read = await log.read({ fromOffset: 4, maxBytes: 1000, atLeastOne: true, isolation: 'readUncommitted' })
    assert.equal(read.kind, 'records')
    assert.equal(log.flushedOffset, 8)
    await engine.close(1000)
  })

  test('null stands for the high watermark; beyond it is out of range; backwards changes nothing', async () => {
    const engine = await startEngine(newStore())
    const log = engine.partition(TOPIC, 0)!
    await produce(log, [1, 2, 3])
    assert.deepEqual(await engine.deleteRecords(TOPIC, 0, 4), { kind: 'outOfRange' })
    assert.deepEqual(await engine.deleteRecords(TOPIC, 0, -2), { kind: 'outOfRange' })
    assert.deepEqual(await engine.deleteRecords(TOPIC, 0, null), { kind: 'deleted', logStartOffset: 3 })
    assert.deepEqual(await engine.deleteRecords(TOPIC, 0, 1), { kind: 'deleted', logStartOffset: 3 })
    assert.deepEqual(await engine.deleteRecords(TOPIC, 5, 0), { kind: 'notLeader' })
    await engine.close(1000)
  })

  test('what was not in the table yet does not stay there after its flush', async () => {
    const store = newStore()
    const engine = await startEngine(store, { flushIntervalMs: 200 })
    const log = engine.partition(TOPIC, 0)!
    await produceAndFlush(log, [1])
    await produce(log, [2, 3])
    assert.ok(log.flushedOffset < 3)
    await engine.deleteRecords(TOPIC, 0, 2)
    await eventually('the flush and the deletion', async () => log.flushedOffset === 3 && (await rowsOf(engine, store)).length === 1)
    assert.deepEqual(await rowsOf(engine, store), [2])
    await engine.close(1000)
  })

  for (const checkpointIntervalMs of [10, 1e9]) {
    test(`a process that dies forgets no deletion (${checkpointIntervalMs === 10 ? 'checkpoint' : 'control row'})`, async () => {
      const store = newStore()
      const first = await startEngine(store, { checkpointIntervalMs, flushIntervalMs: 1e6 })
      const log = first.partition(TOPIC, 0)!
      await produce(log, [1, 2, 3])
      await first.deleteRecords(TOPIC, 0, 2)
      await produce(log, [4])
      if (checkpointIntervalMs === 10) await first.checkpoint()
      const second = await startEngine(store)
      const { logStartOffset, highWatermark } = second.partition(TOPIC, 0)!
      assert.deepEqual({ logStartOffset, highWatermark }, { logStartOffset: 2, highWatermark: 4 })
      await eventually('the rows are gone', async () => {
        const { table } = second.topic(TOPIC)!
        return table.isLoaded && (await rowsOf(second, store)).join() === '2,3'
      })
      const third = await startEngine(store)
      assert.equal(third.partition(TOPIC, 0)!.logStartOffset, 2)
      await Promise.all([first.close(1000), second.close(1000), third.close(1000)])
    })
  }

  test('lookups by time see nothing of what is deleted, in memory and in the table', async () => {
    for (const cacheBytes of [0, 1 << 20]) {
      const engine = await startEngine(newStore(), { cacheBytes })
      const log = engine.partition(TOPIC, 0)!
      await produceAndFlush(log, [50, 90, 60])
      await produceAndFlush(log, [70])
      await engine.deleteRecords(TOPIC, 0, 2)
      assert.equal((await log.offsetForTimestamp(0))?.offset, 2)
      assert.equal((await log.offsetForTimestamp(65))?.offset, 3)
      assert.equal(await log.offsetForTimestamp(80), null)
      assert.deepEqual((await log.offsetOfMaxTimestamp())?.offset, 3)
      await engine.deleteRecords(TOPIC, 0, null)
      assert.equal(await log.offsetOfMaxTimestamp(), null)
      await engine.close(1000)
    }
  })
})

describe('retention', () => {
  test('files older than retention.ms go, from the beginning of the log on', async () => {
    const store = newStore()
    const engine = await startEngine(store, { retention: { ms: 60_000, bytes: -1 } })
    const log = engine.partition(TOPIC, 0)!
    const nowMs = Date.now()
    await produceAndFlush(log, [nowMs, nowMs - 1_000_000])
    await produceAndFlush(log, [1000, 2000])
    await new Promise((resolve) => setTimeout(resolve, 60))
    assert.equal(log.logStartOffset, 0, 'an old file behind one that stays, stays')
    await engine.deleteRecords(TOPIC, 0, 2)
    await eventually('the old file goes', () => log.logStartOffset === 4)
    await eventually('its rows go', async () => (await rowsOf(engine, store)).length === 0)
    await produce(log, [nowMs])
    assert.deepEqual([log.logStartOffset, log.highWatermark], [4, 5])
    await engine.close(1000)
  })

  test('what is beyond retention.bytes goes, and only that', async () => {
    const store = newStore()
    const sizer = await startEngine(newStore())
    await produceAndFlush(sizer.partition(TOPIC, 0)!, [1])
    const fileBytes = sizer.topic(TOPIC)!.table.snapshot.files(0)[0]!.bytes
    await sizer.close(1000)
    const engine = await startEngine(store, { retention: { ms: -1, bytes: Math.floor(fileBytes * 2.5) } })
    const log = engine.partition(TOPIC, 0)!
    for (const timestamp of [1, 2, 3, 4, 5]) await produceAndFlush(log, [timestamp])
    await eventually('two files go', () => log.logStartOffset === 2)
    await eventually('their rows go', async () => (await rowsOf(engine, store)).join() === '2,3,4')
    await engine.close(1000)
  })
})

describe('retainedFrom', () => {
  const file = (first: number, last: number, more: Partial<TableFile> = {}): TableFile => ({
    key: `f${first}`, path: `f${first}`, partition: 0, partitionValue: '0', bytes: 100, modifiedMs: 0, records: last - first + 1, nullOffsets: 0,
    nullValues: 0, minTimestampMs: first, maxTimestampMs: last, range: { kind: 'known', first, last }, first, last, hasDeletionVector: false, addedAt: 0, ...more,
  })
  const start = (files: readonly TableFile[], limits: Partial<RetentionLimits>, more: object = {}): number | null =>
    retainedFrom({ files, logStartOffset: 0, flushedOffset: 1000, unflushedBytes: 0, ...more }, { expiredBeforeMs: null, bytesMax: null, ...limits })

  test('files of others that overlap cut nothing off from those that stay', () => {
    assert.equal(start([file(0, 9), file(10, 30, { maxTimestampMs: 1 }), file(20, 40)], { expiredBeforeMs: 35 }), 20)
  })

  test('a file without known offsets keeps everything', () => {
    assert.equal(start([file(0, 9), file(-1, -1, { range: { kind: 'unknown' } })], { expiredBeforeMs: 100 }), null)
  })

  test('everything may go, up to what is flushed', () => {
    assert.equal(start([file(0, 9), file(10, 19)], { expiredBeforeMs: 100 }), 20)
    assert.equal(start([file(0, 9), file(10, 19)], { expiredBeforeMs: 100 }, { flushedOffset: 15 }), 15)
  })

  test('unflushed bytes count, files below the log start do not', () => {
    const files = [file(0, 9), file(10, 19), file(20, 29)]
    assert.equal(start(files, { bytesMax: 300 }), null)
    assert.equal(start(files, { bytesMax: 200 }), 10)
    assert.equal(start(files, { bytesMax: 300 }, { unflushedBytes: 100 }), 10)
    assert.equal(start(files, { bytesMax: 200 }, { logStartOffset: 10 }), null)
  })

  test('records without timestamps are as old as their file', () => {
    assert.equal(start([file(0, 9, { maxTimestampMs: -1, modifiedMs: 50 })], { expiredBeforeMs: 40 }), null)
    assert.equal(start([file(0, 9, { maxTimestampMs: -1, modifiedMs: 50 })], { expiredBeforeMs: 60 }), 10)
  })
})
