/** Reading: what was just written, what lies in the tables, and a backlog while producers go on. */
import type { LoadResult } from '../load.ts'
import { median } from '../stats.ts'
import type { StoreName } from '../stores.ts'
import type { Case } from './case.ts'
import { bandwidth, bayouAlone, brokers, cpuPerGb, recordRate } from './case.ts'
import { MB, Meter, commitsEvery, flushed, load, rates, secondsOf, sizeKey, sizeName } from './parts.ts'

/** Less than what Bayou keeps in memory by default. */
const hotBytes = 90 * MB

export const consumeCases: readonly Case[] = [
  hotCase(100),
  hotCase(1024, { stores: ['minio', 'dir'] }),
  hotCase(1024, { codec: 'lz4', onRequest: true }),
  hotCase(1024, { codec: 'zstd', onRequest: true }),
  hotCase(100, { codec: 'lz4', onRequest: true }),
  hotCase(100, { codec: 'zstd', onRequest: true }),
  hotCase(18, { onRequest: true }),
  hotCase(10_240, { onRequest: true }),
  coldCase('consume-cold-100', 2_000_000, 500_000),
  coldCase('consume-cold-10m', 10_000_000, 10_000_000, true),
  {
    name: 'backlog',
    theme: 'Consume',
    about: 'a consumer reads a backlog of records of 100 B from the start while producers go on at 20,000 records/s',
    subjects: brokers,
    stores: ['minio'],
    columns: [recordRate, { key: 'produceP99Ms', title: 'p99 of the producers meanwhile', unit: 'ms', better: 'lower' }],
    async run(context) {
      const records = context.quick ? 1_000_000 : 3_000_000
      const target = await context.start()
      await load(context, target, 'create', { topic: 'backlog' })
      await load(context, target, 'produce', { topic: 'backlog', size: 100, records, seconds: 60, warmup: 0 })
      const meter = await Meter.start(target)
      const seconds = secondsOf(context, 8, 5)
      const producing = load(context, target, 'spread', { topic: 'backlog', size: 100, rate: 20_000, seconds, warmup: 1 })
      producing.catch(() => undefined)
      const drained = await load(context, target, 'consume', { topic: 'backlog', records })
      const produced = await producing
      const cost = await meter.stop()
      await target.stop()
      return { ...rates(drained), drainSeconds: drained.seconds ?? 0, produceP50Ms: produced.latencyMs!.p50, produceP99Ms: produced.latencyMs!.p99, ...cost }
    },
  },
]

interface Hot {
  readonly codec?: 'lz4' | 'zstd'
  readonly onRequest?: boolean
  readonly stores?: readonly StoreName[]
}

function hotCase(size: number, { codec, onRequest = false, stores = ['minio'] }: Hot = {}): Case {
  return {
    name: `consume-hot-${sizeKey(size)}${codec === undefined ? '' : `-${codec}`}`,
    theme: 'Consume',
    about: `read from memory, ${sizeName(size)}${codec === undefined ? '' : `, ${codec}`}: a client that decodes, and one that looks at the headers of batches only`,
    onRequest,
    subjects: brokers,
    stores,
    columns: [
      { key: 'scanMegabytesPerSecond', title: 'by header', unit: 'MB/s', better: 'higher' },
      { key: 'scanRecordsPerSecond', title: 'by header', unit: 'records/s', better: 'higher' },
      { ...bandwidth, title: 'decoded' },
      { ...recordRate, title: 'decoded' },
      cpuPerGb,
    ],
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic: 'hot' })
      const records = Math.floor(hotBytes / (size + 10))
      await load(context, target, 'produce', { topic: 'hot', size, records, seconds: 60, warmup: 0, ...(codec !== undefined && { codec }) })
      await flushed(target)
      await load(context, target, 'scan', { topic: 'hot' })
      await load(context, target, 'consume', { topic: 'hot' })
      const scans: LoadResult[] = []
      const reads: LoadResult[] = []
      const meter = await Meter.start(target)
      for (let i = 0; i < (context.quick ? 3 : 6); i++) {
        scans.push(await load(context, target, 'scan', { topic: 'hot' }))
        reads.push(await load(context, target, 'consume', { topic: 'hot' }))
      }
      const cost = await meter.stop((2 * scans.length * hotBytes) / MB)
      await target.stop()
      return {
        megabytesPerSecond: median(reads.map((read) => read.megabytesPerSecond!)),
        recordsPerSecond: median(reads.map((read) => read.recordsPerSecond!)),
        scanMegabytesPerSecond: median(scans.map((scan) => scan.megabytesPerSecond!)),
        scanRecordsPerSecond: median(scans.map((scan) => scan.recordsPerSecond!)),
        ...cost,
      }
    },
  }
}

function coldCase(name: string, full: number, quick: number, onRequest = false): Case {
  return {
    name,
    theme: 'Consume',
    about: `all ${full / 1e6} M rows of 100 B read back from Parquet after a restart, one consumer`,
    onRequest,
    subjects: bayouAlone,
    stores: ['minio'],
    columns: [
      recordRate,
      { key: 'firstMs', title: 'first records after', unit: 'ms', better: 'lower' },
      { key: 'restartMs', title: 'restart', unit: 'ms', better: 'lower' },
    ],
    async run(context) {
      const records = context.quick ? quick : full
      const first = await context.start(commitsEvery(500))
      await load(context, first, 'create', { topic: 'cold' })
      await load(context, first, 'produce', { topic: 'cold', size: 100, records, seconds: 120, warmup: 0 })
      await flushed(first)
      await first.stop()
      const startedAt = performance.now()
      const second = await context.start({ url: first.store })
      const restartMs = performance.now() - startedAt
      const meter = await Meter.start(second)
      const read = await load(context, second, 'consume', { topic: 'cold' })
      const cost = await meter.stop()
      await second.stop()
      return { ...rates(read), restartMs, firstMs: read.firstMs ?? 0, ...cost }
    },
  }
}
