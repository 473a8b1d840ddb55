import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow'
import { joinBody } from '../../../storage/objects/keys.ts'
import { KeyOffsets } from '../../../storage/parquet/key-offsets.ts'
import { NotMergeableError } from '../../../storage/parquet/parquet-codec.ts'
import type { ArrowTableOptions } from '../../../storage/parquet/parquet-codec.ts'
import { ParquetWorkerError, ParquetWorkers } from '../../../storage/parquet/parquet-workers.ts'
import type { ParquetMetric } from '../../../storage/parquet/parquet-workers.ts'
import { plainBatches, plainFile, plainRecords } from './sample-records.ts'

const metrics: ParquetMetric[] = []
const workers = new ParquetWorkers({ threads: 2, onMetric: (metric) => metrics.push(metric) })
after(() => workers.close())

const batches = plainBatches(100, 10)
const all = { partition: 0, fromOffset: 0, endOffset: 1e9, compression: 'snappy' } as const

test('batches go through the threads and come back', async () => {
  // Slices of one large buffer, as they lie in the cache: what is around them must not travel, and they must stay usable.
  const large = new Uint8Array(Buffer.concat([new Uint8Array(1000), ...batches]))
  let at = 1000
  const slices = batches.map((batch) => large.subarray(at, (at += batch.length)))
  const file = await workers.encode({ ...all, batches: slices })
  assert.equal(file.rows, 1000)
  assert.equal(joinBody(file.parquet!).buffer.byteLength, joinBody(file.parquet!).length)
  const part = await workers.decode({ file: joinBody(file.parquet!), fromOffset: 0, maxBytes: 1e6 })
  assert.deepEqual(plainFile(part), plainRecords(batches))
  assert.deepEqual(plainRecords(slices), plainRecords(batches))
  assert.equal((await workers.mergeByOffset({ files: [joinBody(file.parquet!)], compression: 'zstd' })).rows, 1000)
  const keys = KeyOffsets.create(100, 1 << 20).memory
  assert.equal(await workers.collectKeys({ files: [joinBody(file.parquet!)], keys, fromOffset: 0, endOffset: 1000 }), 1000)
  const kept = { files: [joinBody(file.parquet!)], compression: 'zstd', keys, endOffset: 1000, dropTombstones: false } as const
  assert.equal((await workers.mergeByKey(kept)).rows, 7)
  const { superseded } = (await workers.countSuperseded({ file: joinBody(file.parquet!), keys, endOffset: 1000, withTombstones: true }))!
  assert.equal(superseded + 7, file.rows)
  assert.equal((await workers.offsetRange({ file: joinBody(file.parquet!) })).maxOffset, 999)
  assert.deepEqual(await workers.encode({ ...all, batches: slices, prompt: true }), file)
  assert.deepEqual(plainRecords(slices), plainRecords(batches))
})

test('a file that must not be written again is told from one that is damaged', async () => {
  const other = await workers.encodeArrowTable(tableToIPC(tableFromArrays({ offset: BigInt64Array.of(1n), price: Float64Array.of(2) }), 'stream'))
  await assert.rejects(workers.mergeByOffset({ files: [other], compression: 'none' }), NotMergeableError)
  await assert.rejects(workers.mergeByOffset({ files: [other.subarray(1000)], compression: 'none' }), ParquetWorkerError)
})

test('more bytes than are copied at one go', async () => {
  const many = plainBatches(6, 20_000)
  const file = await workers.encode({ ...all, batches: many })
  assert.deepEqual([file.rows, file.minOffset, file.maxOffset, file.unreadable], [120_000, 0, 119_999, []])
  assert.deepEqual(await workers.encode({ ...all, batches: many, prompt: true }), file)
})

test('a flush and a read do not wait until a long merge is over', async () => {
  const one = new ParquetWorkers({ threads: 1 })
  try {
    const files = await Promise.all(Array.from({ length: 40 }, async (_, n) =>
      joinBody((await one.encode({ ...all, batches: plainBatches(1, 5000, n * 5000), compression: 'zstd' })).parquet!)))
    const order: string[] = []
    const merge = one.mergeByOffset({ files, compression: 'zstd' }).then(({ rows }) => order.push(`merge of ${rows}`))
    const flush = one.encode({ ...all, batches }).then(() => order.push('flush'))
    const read = one.decode({ file: files[0]!, fromOffset: 0, maxBytes: 1e6 }).then(() => order.push('read'))
    await Promise.all([merge, flush, read])
    assert.equal(order.at(-1), 'merge of 200000')
  } finally {
    await one.close()
  }
})

test('a large file is read by ranges, and only the ranges that are needed', async () => {
  const file = joinBody((await workers.encode({ ...all, batches: plainBatches(100, 200), rowGroupRows: 1000 })).parquet!)
  const ranges: [number, number][] = []
  const reader = {
    size: file.length,
    read: async (start: number, end: number) => {
      ranges.push([start, end])
      return file.subarray(start, end)
    },
  }
  const part = await workers.decode({ file: reader, fromOffset: 10_500, endOffset: 11_000, maxBytes: 1e6 })
  assert.deepEqual(plainFile(part).map((row) => row.offset), Array.from({ length: 500 }, (_, i) => 10_500 + i))
  assert.equal(ranges.length, 2, 'the footer and one row group')
  assert.ok(ranges[1]![1] - ranges[1]![0] < file.length / 10)
})

test('an error of the reader is the error of the call, and the thread goes on', async () => {
  const broken = new Error('the store is gone')
  const reader = { size: 1000, read: () => Promise.reject(broken) }
  await assert.rejects(workers.decode({ file: reader, fromOffset: 0, maxBytes: 1 }), (error) => error === broken)
  const short = { size: 1000, read: () => Promise.resolve(new Uint8Array(3)) }
  const outcome = workers.decode({ file: short, fromOffset: 0, maxBytes: 1 })
  await assert.rejects(outcome, { name: 'ParquetWorkerError', kind: 'format', retriable: false })
  assert.equal((await workers.encode({ ...all, batches })).rows, 1000)
})

test('Arrow tables of any schema', async () => {
  const table = tableFromArrays({ a: Int32Array.of(1, 2, 3), b: ['x', 'y', null] })
  const parquet = await workers.encodeArrowTable(tableToIPC(table, 'stream'), { compression: 'snappy' })
  const back = tableFromIPC(await workers.decodeToArrow(parquet))
  assert.deepEqual(back.toArray().map((row) => ({ ...row })), [{ a: 1, b: 'x' }, { a: 2, b: 'y' }, { a: 3, b: null }])
})

test('many jobs at once, more than there are threads', async () => {
  const file = joinBody((await workers.encode({ ...all, batches, rowGroupRows: 100 })).parquet!)
  const parts = await Promise.all(Array.from({ length: 40 }, (_, i) =>
    workers.decode({ file, fromOffset: i * 20, endOffset: i * 20 + 20, maxBytes: 1e6 })))
  assert.deepEqual(parts.flatMap(plainFile), plainRecords(batches).slice(0, 800))
  assert.equal(metrics.filter((metric) => metric.kind === 'thread' && metric.event === 'started').length, 2)
})

const misbehaving = new URL('./misbehaving-worker.ts', import.meta.url)
/** The misbehaving worker is told what to do in place of the codec, and answers with the id of its thread. */
const behave = (pool: ParquetWorkers, how: string) =>
  pool.encodeArrowTable(new Uint8Array(1), { compression: how } as unknown as ArrowTableOptions) as unknown as Promise<number>

test('a thread that dies rejects its jobs as retriable and is replaced', async () => {
  for (const death of ['exit', 'throw', 'trap']) {
    const events: string[] = []
    const onMetric = (metric: ParquetMetric) => metric.kind === 'thread' && events.push(metric.event)
    const pool = new ParquetWorkers({ threads: 1, workerUrl: misbehaving, onMetric })
    const first = await behave(pool, 'work')
    const hanging = behave(pool, 'hang')
    const innocent = assert.rejects(hanging, { kind: 'crashed', retriable: true })
    await assert.rejects(behave(pool, death), { name: 'ParquetWorkerError', kind: 'crashed', retriable: true }, death)
    await innocent
    assert.notEqual(await behave(pool, 'work'), first, 'another thread')
    assert.equal(events.filter((event) => event === 'started').length, 2)
    await pool.close()
  }
})

test('a thread whose library has grown is replaced when it is idle', async () => {
  const events: string[] = []
  const pool = new ParquetWorkers({
    threads: 1, workerUrl: misbehaving, memoryBytesMax: 2 ** 30,
    onMetric: (metric) => metric.kind === 'thread' && events.push(metric.event),
  })
  const first = await behave(pool, 'work')
  assert.equal(await behave(pool, 'grow'), first)
  assert.notEqual(await behave(pool, 'work'), first)
  assert.deepEqual(events, ['started', 'retired', 'started'])
  await pool.close()
})

test('the queue is bounded, and closing rejects what is left', async () => {
  const pool = new ParquetWorkers({ threads: 1, jobsPerThread: 1, queueMax: 2, workerUrl: misbehaving })
  const jobs = [behave(pool, 'hang'), behave(pool, 'hang'), behave(pool, 'hang')]
  const closed = jobs.map((job) => assert.rejects(job, { kind: 'closed' }))
  await assert.rejects(behave(pool, 'hang'), { kind: 'busy', retriable: true })
  await pool.close()
  await Promise.all(closed)
  await assert.rejects(behave(pool, 'work'), (error) => error instanceof ParquetWorkerError && error.kind === 'closed')
})
