/** What is measured. A case starts its own broker on a fresh place in the store, so that CPU, memory and requests are its own. */
import { join } from 'node:path'
import { DeltaLogWatch } from './freshness.ts'
import type { LoadMode, LoadResult } from './load.ts'
import { runLoad } from './load.ts'
import type { Usage } from './process-usage.ts'
import { UsageSampler, residentMb } from './process-usage.ts'
import type { BenchStore, StoreLimit } from './stores.ts'
import { putLatencies, quantiles } from './stores.ts'
import type { Target, TargetOptions } from './target.ts'

/** What a case measured, by name with unit; medians over repeats are taken name by name. */
export type Numbers = Record<string, number>

export interface CaseContext {
  readonly store: BenchStore
  readonly limit: StoreLimit
  readonly program: string
  readonly quick: boolean
  /** Overrides how long a case loads the broker. */
  readonly seconds: number | null
  readonly scratch: string
  start(options?: TargetOptions): Promise<Target>
}

export interface Case {
  readonly name: string
  readonly about: string
  /** Left out unless it is asked for by --case. */
  readonly onRequest?: boolean
  /** The number whose spread over repeats is shown. */
  readonly key: string
  run(context: CaseContext): Promise<Numbers>
  render(numbers: Numbers): string
}

const MB = 1e6
const tableArgs = (ms: number): string[] => ['--table-flush-interval-ms', String(ms)]

export const cases: readonly Case[] = [
  {
    name: 'idle',
    about: 'memory of a broker with nothing to do',
    key: 'rssMb',
    async run(context) {
      const target = await context.start()
      await sleep(context.quick ? 2000 : 5000)
      const usage = await UsageSampler.start(target.pid)
      await sleep(context.quick ? 2000 : 5000)
      const { cpuSeconds } = await usage.stop()
      const rssMb = await residentMb(target.pid)
      await target.stop()
      return { rssMb, cpuPercent: (cpuSeconds / (context.quick ? 2 : 5)) * 100 }
    },
    render: (n) => `RSS ${round(n['rssMb'])} MB, CPU ${round(n['cpuPercent'])} %`,
  },
  {
    name: 'latency',
    about: 'one record of 100 B after the other, acks=all; raw PUTs of 4 KiB alternate with it',
    key: 'ratioP50',
    async run(context) {
      const target = await context.start(bayouArgs(1000))
      const objects = await context.store.open(context.store.freshUrl())
      await load(context, target, 'create', { topic: 'one' })
      const raw: number[] = []
      const produced: LoadResult[] = []
      const usage = await UsageSampler.start(target.pid)
      const slices = context.quick ? 2 : 4
      const seconds = (context.seconds ?? (context.quick ? 4 : 10)) / slices
      for (let i = 0; i < slices; i++) {
        raw.push(...(await putLatencies(objects, seconds)))
        produced.push(await load(context, target, 'latency', { topic: 'one', seconds: seconds + 0.5, warmup: 0.5 }))
      }
      const used = await usage.stop()
      await objects.close()
      await target.stop()
      const put = quantiles(raw)
      const p50 = median(produced.map((slice) => slice.latencyMs!.p50))
      const p99 = median(produced.map((slice) => slice.latencyMs!.p99))
      return { p50Ms: p50, p99Ms: p99, rawP50Ms: put.p50, rawP99Ms: put.p99, ratioP50: p50 / put.p50, ratioP99: p99 / put.p99, ...used0(used) }
    },
    render: (n) =>
      `p50 ${round(n['p50Ms'])} ms = ${round(n['ratioP50'])} × raw PUT (${round(n['rawP50Ms'])}); p99 ${round(n['p99Ms'])} ms = ${round(n['ratioP99'])} × (${round(n['rawP99Ms'])})`,
  },
  produceCase('produce-1k', 'unthrottled, 1 KiB half random, one partition', { size: 1024 }),
  produceCase('produce-100', 'unthrottled, 100 B half random, one partition', { size: 100 }),
  produceCase('produce-1k-16p', 'unthrottled, 1 KiB half random, sixteen partitions', { size: 1024, partitions: 16 }),
  produceCase('produce-100-lz4', 'unthrottled, 100 B half random, lz4 by the client', { size: 100, codec: 'lz4' }, true),
  produceCase('produce-100-zstd', 'unthrottled, 100 B half random, zstd by the client', { size: 100, codec: 'zstd' }, true),
  produceCase('blast-1k', 'as produce-1k, with batches that were encoded once', { size: 1024 }, true, 'blast'),
  produceCase('blast-100', 'as produce-100, with batches that were encoded once', { size: 100 }, true, 'blast'),
  hotCase('consume-hot-1k', 1024),
  hotCase('consume-hot-100', 100),
  burstCase('bursts-10k', 10_000),
  burstCase('bursts-70k', 70_000),
  burstCase('bursts-30k', 30_000, true),
  burstCase('bursts-150k', 150_000, true),
  burstCase('bursts-250k', 250_000, true),
  freshnessCase('freshness-10k', 10_000),
  freshnessCase('freshness-70k', 70_000),
  {
    name: 'consume-cold-100',
    about: 'all rows read back from Parquet after a restart, 100 B, one consumer',
    key: 'recordsPerSecond',
    async run(context) {
      const records = context.quick ? 500_000 : 2_000_000
      const first = await context.start(bayouArgs(500))
      await load(context, first, 'create', { topic: 'cold' })
      await load(context, first, 'produce', { topic: 'cold', size: 100, records, seconds: 60, warmup: 0 })
      await flushed(first)
      await first.stop()
      const startedAt = performance.now()
      const second = await context.start({ url: first.store })
      const restartMs = performance.now() - startedAt
      const usage = await UsageSampler.start(second.pid)
      const read = await load(context, second, 'consume', { topic: 'cold' })
      const used = await usage.stop()
      await second.stop()
      return { ...rates(read), restartMs, firstMs: read.firstMs ?? 0, ...used0(used) }
    },
    render: (n) =>
      `${thousands(n['recordsPerSecond'])} records/s, first records after ${round(n['firstMs'])} ms; restart ${round(n['restartMs'])} ms`,
  },
]

function produceCase(
  name: string,
  about: string,
  load0: { readonly size: number; readonly partitions?: number; readonly codec?: string },
  onRequest = false,
  mode: LoadMode = 'produce',
): Case {
  return {
    name,
    about,
    onRequest,
    key: 'megabytesPerSecond',
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic: 'p', partitions: load0.partitions ?? 1 })
      const before = await target.metrics()
      const usage = await UsageSampler.start(target.pid)
      const seconds = context.seconds ?? (context.quick ? 5 : 10)
      const result = await load(context, target, mode, { topic: 'p', seconds, warmup: 1, partitions: 1, ...load0 })
      const unflushedMb = unflushedBytesOf(await target.metrics(), load0.size) / MB
      const drainStart = performance.now()
      await flushed(target)
      const drainSeconds = (performance.now() - drainStart) / 1000
      const used = await usage.stop()
      const after = await target.metrics()
      await target.stop()
      const megabytes = (result.valueBytes ?? 0) / MB
      return {
        ...rates(result),
        ratioBandwidth: (result.megabytesPerSecond ?? 0) / context.limit.putMegabytesPerSecond,
        unflushedMb, drainSeconds,
        cpuSecondsPerGb: (used.cpuSeconds / megabytes) * 1000,
        mainSecondsPerGb: (used.mainSeconds / megabytes) * 1000,
        ...written(before, after),
        ...used0(used),
      }
    },
    render: (n) =>
      `${round(n['megabytesPerSecond'])} MB/s = ${round(n['ratioBandwidth'])} × raw PUT, ${thousands(n['recordsPerSecond'])} records/s; ` +
      `CPU ${round(n['cpuSecondsPerGb'])} s/GB (main ${round(n['mainSecondsPerGb'])}); not in the table at the end ${round(n['unflushedMb'])} MB, ${round(n['drainSeconds'])} s later 0`,
  }
}

function hotCase(name: string, size: number): Case {
  return {
    name,
    about: `read from memory, ${size === 1024 ? '1 KiB' : `${size} B`}: a client that decodes, and one that looks at headers of batches only`,
    key: 'scanMegabytesPerSecond',
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic: 'hot' })
      const records = Math.floor((90 * MB) / (size + 10))
      await load(context, target, 'produce', { topic: 'hot', size, records, seconds: 60, warmup: 0 })
      await flushed(target)
      await load(context, target, 'scan', { topic: 'hot' })
      const usage = await UsageSampler.start(target.pid)
      const scans: LoadResult[] = []
      const reads: LoadResult[] = []
      for (let i = 0; i < (context.quick ? 3 : 6); i++) {
        scans.push(await load(context, target, 'scan', { topic: 'hot' }))
        reads.push(await load(context, target, 'consume', { topic: 'hot' }))
      }
      const used = await usage.stop()
      await target.stop()
      const scanned = median(scans.map((scan) => scan.megabytesPerSecond!))
      return {
        ...rates({ megabytesPerSecond: median(reads.map((r) => r.megabytesPerSecond!)), recordsPerSecond: median(reads.map((r) => r.recordsPerSecond!)) }),
        scanMegabytesPerSecond: scanned,
        scanRecordsPerSecond: median(scans.map((scan) => scan.recordsPerSecond!)),
        cpuSecondsPerGb: used.cpuSeconds / (2 * scans.length * 0.09),
        ...used0(used),
      }
    },
    render: (n) =>
      `${round(n['megabytesPerSecond'])} MB/s, ${thousands(n['recordsPerSecond'])} records/s decoded; ` +
      `${round(n['scanMegabytesPerSecond'])} MB/s, ${thousands(n['scanRecordsPerSecond'])} records/s by header; CPU ${round(n['cpuSecondsPerGb'])} s/GB`,
  }
}

function burstCase(name: string, rate: number, onRequest = false): Case {
  return {
    name,
    about: `bursts of 10,000 records of 18 B, ${rate / 1000}k records/s, commits every 100 ms, client linger 5 ms, end to end from the intended send time`,
    onRequest,
    key: 'p99Ms',
    async run(context) {
      const target = await context.start(bayouArgs(100))
      await load(context, target, 'create', { topic: 'b' })
      const before = await target.metrics()
      const usage = await UsageSampler.start(target.pid)
      const seconds = context.seconds ?? (context.quick ? 8 : 15)
      const windowSeconds = Math.max(seconds / 10, 1)
      const result = await load(context, target, 'bursts', { topic: 'b', size: 18, rate, seconds, warmup: 2, window: windowSeconds })
      const used = await usage.stop()
      const after = await target.metrics()
      const unflushedMb = unflushedBytesOf(after, 18) / MB
      await target.stop()
      const windows = result.windows ?? []
      const half = Math.floor(windows.length / 2)
      return {
        p50Ms: result.latencyMs!.p50, p99Ms: result.latencyMs!.p99, maxMs: result.latencyMs!.max,
        firstHalfP50Ms: median(windows.slice(0, half).map((window) => window.p50)),
        secondHalfP50Ms: median(windows.slice(half).map((window) => window.p50)),
        generatorLateMs: result.generatorLateMsMax ?? 0,
        unflushedMb, commitsPerSecond: (after['bayou_flushes_total']! - (before['bayou_flushes_total'] ?? 0)) / (result.seconds ?? 1),
        cpuSecondsPerMillionRecords: used.cpuSeconds / ((result.records ?? 0) / 1e6),
        cpuCores: used.cpuSeconds / (result.seconds ?? 1),
        ...written(before, after),
        ...used0(used),
      }
    },
    render: (n) =>
      `p50 ${round(n['p50Ms'])} ms, p99 ${round(n['p99Ms'])} ms, max ${round(n['maxMs'])} ms; p50 of the halves ${round(n['firstHalfP50Ms'])} → ${round(n['secondHalfP50Ms'])} ms; ` +
      `${round(n['commitsPerSecond'])} commits/s; broker ${round(n['cpuCores'])} cores`,
  }
}

function freshnessCase(name: string, rate: number): Case {
  return {
    name,
    about: `from the intended send time until the Delta commit with the row is seen, ${rate / 1000}k records/s of 18 B in bursts of 1,000, commits every 100 ms`,
    key: 'p99Ms',
    async run(context) {
      const target = await context.start(bayouArgs(100))
      await load(context, target, 'create', { topic: 'f' })
      const objects = await context.store.open(target.store)
      const watch = new DeltaLogWatch(objects, 'topics/f')
      const samples = join(context.scratch, `samples-${process.pid}`)
      const usage = await UsageSampler.start(target.pid)
      const seconds = context.seconds ?? (context.quick ? 6 : 12)
      await load(context, target, 'bursts', { topic: 'f', size: 18, rate, burst: 1000, seconds, warmup: 1, samples })
      await flushed(target)
      await sleep(500)
      const used = await usage.stop()
      await watch.stop()
      const ages = await watch.ages(samples)
      await objects.close()
      await target.stop()
      return { p50Ms: ages.p50, p99Ms: ages.p99, maxMs: ages.max, commits: watch.commits, ...used0(used) }
    },
    render: (n) => `p50 ${round(n['p50Ms'])} ms, p99 ${round(n['p99Ms'])} ms, ${round(n['commits'])} commits`,
  }
}

// ---- parts ----------------------------------------------------------------------------------------------------------------------

function bayouArgs(flushMs: number): TargetOptions {
  return { args: tableArgs(flushMs) }
}

function load(context: CaseContext, target: Target, mode: LoadMode, flags: Readonly<Record<string, string | number>>): Promise<LoadResult> {
  const seconds = typeof flags['seconds'] === 'number' ? flags['seconds'] : 0
  return runLoad(context.program, mode, { brokers: target.address, ...flags }, seconds + 120)
}

/** Waits until everything is in the tables. */
async function flushed(target: Target): Promise<void> {
  const end = performance.now() + 120_000
  while ((await target.metrics())['bayou_flush_lag_records'] !== 0) {
    if (performance.now() > end) throw new Error('the tables did not catch up within two minutes')
    await sleep(50)
  }
}

function unflushedBytesOf(metrics: Readonly<Record<string, number>>, size: number): number {
  return (metrics['bayou_flush_lag_records'] ?? 0) * size
}

function written(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): Numbers {
  const delta = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0)
  const puts = Object.keys(after).filter((name) => /^bayou_store_operations_total\{.*operation="(put|putIfAbsent)"/.test(name))
  const bytes = Object.keys(after).filter((name) => /^bayou_store_bytes_total\{.*operation="(put|putIfAbsent)"/.test(name))
  const produced = delta('bayou_produced_bytes_total')
  return {
    puts: puts.reduce((sum, name) => sum + delta(name), 0),
    bytesWrittenPerByte: produced === 0 ? 0 : bytes.reduce((sum, name) => sum + delta(name), 0) / produced,
    lanePuts: delta('bayou_lane_segments_total'),
  }
}

function used0(used: Usage): Numbers {
  return { cpuSeconds: used.cpuSeconds, mainSeconds: used.mainSeconds, rssPeakMb: used.rssPeakMb, rssEndMb: used.rssEndMb }
}

function rates(result: { readonly recordsPerSecond?: number; readonly megabytesPerSecond?: number }): Numbers {
  return { recordsPerSecond: result.recordsPerSecond ?? 0, megabytesPerSecond: result.megabytesPerSecond ?? 0 }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Three significant digits are what a shared machine gives. */
export function round(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 100) return String(Math.round(value))
  return String(Number(value.toPrecision(3)))
}

function thousands(value: number | undefined): string {
  return value === undefined ? '–' : Math.round(value).toLocaleString('en-US')
}
