/** What the project wants of itself, and what a run gave. Ratios are of medians within one run. */
import type { Report, Result } from './results.ts'
import { ratioTo } from './results.ts'
import { round } from './stats.ts'
import type { StoreName } from './stores.ts'
import type { Subject } from './target.ts'

interface Target {
  readonly figure: string
  readonly target: string
  /** The stores that it is asked of, a column each; those of MinIO where none are named. */
  readonly stores?: readonly StoreName[]
  /** What was measured, and whether it is enough; null where the run does not tell. */
  readonly measured: (run: Run) => Measured | null
}

interface Measured {
  readonly text: string
  readonly met: boolean
}

/** Look-ups in what a report has of one store; everything is a median. */
class Run {
  readonly #report: Report
  readonly #store: StoreName

  constructor(report: Report, store: StoreName) {
    this.#report = report
    this.#store = store
  }

  get(name: string, key: string, subject: Subject = 'bayou'): number | undefined {
    return this.#find(name, subject)?.spreads[key]?.median
  }

  ratio(name: string, key: string, peer: Subject): number | undefined {
    return ratioTo(this.#find(name, peer), this.#find(name, 'bayou'), key)
  }

  #find(name: string, subject: Subject): Result | undefined {
    return this.#report.results.find((result) => result.name === name && result.store === this.#store && result.subject === subject)
  }
}

interface Check {
  readonly label: string
  readonly value: number | undefined
  readonly unit: string
  readonly most?: number
  readonly least?: number
}

/** All that were measured, in words; met when each of them is within its bounds. Null when nothing was measured. */
function checks(...all: readonly Check[]): Measured | null {
  const known = all.flatMap((check) => (check.value === undefined ? [] : [{ ...check, value: check.value }]))
  if (known.length === 0) return null
  return {
    text: known.map(({ label, value, unit }) => `${label}${label === '' ? '' : ' '}${round(value)} ${unit}`).join(', '),
    met: known.every(({ value, most = Number.POSITIVE_INFINITY, least = Number.NEGATIVE_INFINITY }) => value <= most && value >= least),
  }
}

const burstNames = ['bursts-10k', 'bursts-30k', 'bursts-70k', 'bursts-150k', 'bursts-250k'] as const

const targets: readonly Target[] = [
  {
    figure: 'one-record produce (acks=all) on MinIO over a raw conditional PUT of 4 KiB',
    target: 'p50 ≤ 1.5 ×, p99 ≤ 2 ×',
    measured: (run) => checks({ label: 'p50', value: run.get('latency', 'ratioP50'), unit: '×', most: 1.5 }, { label: 'p99', value: run.get('latency', 'ratioP99'), unit: '×', most: 2 }),
  },
  {
    figure: 'end to end, bursts of 10,000 × 18 B at 10k … 250k records/s, tables committing every 100 ms',
    target: 'p50 ≤ 20 ms, p99 ≤ 60 ms at every rate',
    measured: (run) =>
      checks(
        ...burstNames.flatMap((name) => [
          { label: `${name.slice('bursts-'.length)} p50`, value: run.get(name, 'p50Ms'), unit: 'ms', most: 20 },
          { label: 'p99', value: run.get(name, 'p99Ms'), unit: 'ms', most: 60 },
        ]),
      ),
  },
  {
    figure: 'unthrottled produce, 1 KiB, one partition and sixteen',
    target: '≥ 0.5 × raw PUT bandwidth; ≥ 2 × Nisshi',
    measured: (run) =>
      checks(
        { label: 'one', value: run.get('produce-1k', 'ratioBandwidth'), unit: '× raw', least: 0.5 },
        { label: 'sixteen', value: run.get('produce-1k-16p', 'ratioBandwidth'), unit: '× raw', least: 0.5 },
        { label: '', value: run.ratio('produce-1k', 'megabytesPerSecond', 'nisshi'), unit: '× Nisshi', least: 2 },
      ),
  },
  {
    figure: 'unthrottled produce, 100 B',
    target: '≥ 900,000 records/s; ≥ 1.5 × Nisshi; ≥ 0.5 × Apache Kafka',
    measured: (run) =>
      checks(
        { label: '', value: run.get('produce-100', 'recordsPerSecond'), unit: 'records/s', least: 900_000 },
        { label: '', value: run.ratio('produce-100', 'recordsPerSecond', 'nisshi'), unit: '× Nisshi', least: 1.5 },
        { label: '', value: run.ratio('produce-100', 'recordsPerSecond', 'kafka'), unit: '× Apache Kafka', least: 0.5 },
      ),
  },
  {
    figure: 'the same with lz4 and zstd from the client, over uncompressed',
    target: '≥ 1 ×',
    measured: (run) => {
      const plain = run.get('produce-100', 'recordsPerSecond')
      const over = (name: string): number | undefined => {
        const rate = run.get(name, 'recordsPerSecond')
        return rate === undefined || plain === undefined ? undefined : rate / plain
      }
      return checks({ label: 'lz4', value: over('produce-100-lz4'), unit: '×', least: 1 }, { label: 'zstd', value: over('produce-100-zstd'), unit: '×', least: 1 })
    },
  },
  {
    figure: 'consume, hot, 1 KiB and 100 B',
    target: '≥ 0.7 × Apache Kafka; ≥ 4 × Nisshi at 1 KiB',
    measured: (run) =>
      checks(
        { label: '1 KiB', value: run.ratio('consume-hot-1k', 'scanMegabytesPerSecond', 'kafka'), unit: '× Apache Kafka', least: 0.7 },
        { label: '100 B', value: run.ratio('consume-hot-100', 'scanRecordsPerSecond', 'kafka'), unit: '× Apache Kafka', least: 0.7 },
        { label: '1 KiB', value: run.ratio('consume-hot-1k', 'scanMegabytesPerSecond', 'nisshi'), unit: '× Nisshi', least: 4 },
      ),
  },
  {
    figure: 'consume, cold from Parquet, 100 B, one consumer',
    target: '≥ 700,000 records/s',
    measured: (run) => checks({ label: '', value: run.get('consume-cold-10m', 'recordsPerSecond') ?? run.get('consume-cold-100', 'recordsPerSecond'), unit: 'records/s', least: 700_000 }),
  },
  {
    figure: 'table freshness at 100 ms commits over delta-rs writing and reading alone; at 250k',
    target: '≤ 1.0 ×, p50 and p99; p99 ≤ 500 ms',
    measured: (run) =>
      checks(
        ...(['freshness-10k', 'freshness-70k'] as const).flatMap((name) => [
          { label: `${name.slice('freshness-'.length)} p50`, value: run.ratio(name, 'p50Ms', 'delta-queue'), unit: '×', most: 1 },
          { label: 'p99', value: run.ratio(name, 'p99Ms', 'delta-queue'), unit: '×', most: 1 },
        ]),
        { label: '250k p99', value: run.get('freshness-250k', 'p99Ms'), unit: 'ms', most: 500 },
      ),
  },
  {
    figure: 'CPU of the broker per GB produced (1 KiB)',
    target: 'main thread ≤ 3.5 s, all ≤ 8 s',
    measured: (run) => checks({ label: 'main', value: run.get('produce-1k', 'mainSecondsPerGb'), unit: 's', most: 3.5 }, { label: 'all', value: run.get('produce-1k', 'cpuSecondsPerGb'), unit: 's', most: 8 }),
  },
  {
    figure: 'memory: idle, under unthrottled load, growth under 30 minutes of load',
    target: '≤ 120 MB, ≤ 500 MB, flat',
    measured: (run) =>
      checks(
        { label: 'idle', value: run.get('idle', 'rssEndMb'), unit: 'MB', most: 120 },
        { label: 'load', value: run.get('produce-1k', 'rssPeakMb'), unit: 'MB', most: 500 },
        { label: 'growth', value: run.get('steady', 'rssSlopeMbPerHour'), unit: 'MB/h', most: 10 },
      ),
  },
  {
    figure: 'lane PUTs per second at the same traffic, 10,000 topics over one',
    target: '0.9 … 1.1 ×',
    measured: (run) => {
      const [one, many] = [run.get('topics-1', 'lanePutsPerSecond'), run.get('topics-10000', 'lanePutsPerSecond')]
      return checks({ label: '', value: one === undefined || many === undefined ? undefined : many / one, unit: '×', least: 0.9, most: 1.1 })
    },
  },
  {
    figure: '1,000 partitions × 10 records/s; its CPU over that of one partition',
    target: 'p99 ≤ 100 ms; ≤ 2 ×',
    measured: (run) => {
      const [one, many] = [run.get('many-partitions-1', 'cpuCores'), run.get('many-partitions-1000', 'cpuCores')]
      return checks(
        { label: 'p99', value: run.get('many-partitions-1000', 'p99Ms'), unit: 'ms', most: 100 },
        { label: 'CPU', value: one === undefined || many === undefined ? undefined : many / one, unit: '×', most: 2 },
      )
    },
  },
  {
    figure: 'unbatched producers (16 connections, one record a request, one in flight each)',
    target: '≥ 6,000 requests/s on MinIO',
    measured: (run) => checks({ label: '', value: run.get('unbatched', 'requestsPerSecond'), unit: 'requests/s', least: 6000 }),
  },
  {
    figure: 'restart after kill -9 with 1 GB unflushed',
    target: 'serving within 5 s',
    measured: (run) => {
      const ms = run.get('restart', 'servingMs')
      return checks({ label: '', value: ms === undefined ? undefined : ms / 1000, unit: 's', most: 5 })
    },
  },
  {
    figure: 'simulated S3 Standard (PUT 60/200 ms)',
    stores: ['s3-standard'],
    target: 'ack p50 ≤ 1.6 × PUT p50; ≤ 40 PUTs/s of the lane; end to end p99 ≤ 350 ms',
    measured: (run) =>
      checks(
        { label: 'ack', value: run.get('latency', 'ratioP50'), unit: '×', most: 1.6 },
        { label: '', value: run.get('smooth-10k', 'lanePutsPerSecond'), unit: 'PUTs/s', most: 40 },
        { label: 'smooth-10k p99', value: run.get('smooth-10k', 'p99Ms'), unit: 'ms', most: 350 },
        { label: 'bursts-10k p99', value: run.get('bursts-10k', 'p99Ms'), unit: 'ms', most: 350 },
      ),
  },
]

/** A row per target; the figure is left out where the run does not tell. */
export function renderTargets(report: Report): string {
  const rows = targets.map(({ figure, target, measured, stores = ['minio', 'minio-memory'] }) => {
    const found = [0, 1].map((column) => {
      const store = stores[column]
      return store === undefined ? null : measured(new Run(report, store))
    })
    return `| ${figure} | ${target} | ${found.map((one) => (one === null ? ' | ' : `${one.text} | ${one.met ? 'yes' : 'no'}`)).join(' | ')} |`
  })
  return ['| figure | target | measured | met | with MinIO in memory | met |', '|---|---|---|---|---|---|', ...rows].join('\n')
}
