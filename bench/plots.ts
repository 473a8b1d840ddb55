/** Which plots a report has. A plot without figures is left out. */
import type { Report, Result } from './results.ts'
import { subjectNames } from './results.ts'
import { storeNames } from './stores.ts'
import type { StoreName } from './stores.ts'
import { barPlot, linePlot } from './svg.ts'
import type { Series } from './svg.ts'
import type { Subject } from './target.ts'

export interface Plot {
  /** File name without folder. */
  readonly file: string
  readonly title: string
  readonly svg: string
}

const colors: Readonly<Record<Subject, string>> = { bayou: '#2563eb', kafka: '#d97706', nisshi: '#059669', 'delta-queue': '#9333ea' }
const subjects: readonly Subject[] = ['bayou', 'kafka', 'nisshi', 'delta-queue']

interface Bars {
  readonly file: string
  readonly title: string
  readonly unit: string
  readonly key: string
  readonly names: RegExp
  readonly store: StoreName
}

const bars: readonly Bars[] = [
  { file: 'produce', title: 'Produce, unthrottled, one partition', unit: 'MB/s', key: 'megabytesPerSecond', names: /^produce-(18|100|1k|10k)$/, store: 'minio' },
  { file: 'produce-codecs', title: 'Produce with codecs of the client', unit: 'records/s', key: 'recordsPerSecond', names: /^produce-(100|1k)(-lz4|-zstd)?$/, store: 'minio' },
  { file: 'produce-partitions', title: 'Produce 1 KiB by number of partitions', unit: 'MB/s', key: 'megabytesPerSecond', names: /^produce-1k(-\d+p)?$/, store: 'minio' },
  { file: 'consume', title: 'Consume from memory, by header of batches', unit: 'MB/s', key: 'scanMegabytesPerSecond', names: /^consume-hot-(18|100|1k|10k)$/, store: 'minio' },
  { file: 'freshness', title: 'Age of a row at a reader on delta-rs, p99', unit: 'ms', key: 'p99Ms', names: /^freshness-/, store: 'minio' },
  { file: 'topics', title: 'PUTs of the lane by number of topics at the same traffic', unit: '1/s', key: 'lanePutsPerSecond', names: /^topics-/, store: 'minio' },
]

const lines: readonly { readonly file: string; readonly title: string; readonly names: RegExp; readonly store: StoreName }[] = [
  { file: 'bursts', title: 'Bursts of 10,000 records, end to end', names: /^bursts-(\d+)k$/, store: 'minio' },
  { file: 'smooth', title: 'The same rates evenly spread, end to end', names: /^smooth-(\d+)k$/, store: 'minio' },
]

export function plotsOf(report: Report): readonly Plot[] {
  return [...bars.flatMap((one) => barsOf(report, one)), ...lines.flatMap((one) => linesOf(report, one)), ...storesPlot(report)]
}

function barsOf(report: Report, { file, title, unit, key, names, store }: Bars): Plot[] {
  const results = report.results.filter((result) => result.store === store && names.test(result.name) && result.spreads[key] !== undefined)
  return grouped({ file, title, unit }, [...new Set(results.map(({ name }) => name))], (name, subject) => spreadOf(results, (one) => one.name === name && one.subject === subject, key))
}

/** One-record latency on every store. */
function storesPlot(report: Report): Plot[] {
  const results = report.results.filter(({ name, subject, spreads }) => name === 'latency' && subject !== 'kafka' && spreads['p50Ms'] !== undefined)
  const stores = storeNames.filter((store) => results.some((result) => result.store === store))
  return grouped({ file: 'latency', title: 'One record, acks=all, p50', unit: 'ms' }, stores, (store, subject) =>
    spreadOf(results, (one) => one.store === store && one.subject === subject, 'p50Ms'),
  )
}

type Bar = { readonly min: number; readonly value: number; readonly max: number } | null

function grouped(head: { readonly file: string; readonly title: string; readonly unit: string }, groups: readonly string[], barOf: (group: string, subject: Subject) => Bar): Plot[] {
  const present = subjects.filter((subject) => groups.some((group) => barOf(group, subject) !== null))
  if (present.length === 0) return []
  const drawn = groups.map((name) => ({ name, bars: present.map((subject) => barOf(name, subject)) }))
  return [{ file: `${head.file}.svg`, title: head.title, svg: barPlot({ title: head.title, unit: head.unit, series: present.map(seriesOf), groups: drawn }) }]
}

function linesOf(report: Report, { file, title, names, store }: (typeof lines)[number]): Plot[] {
  const results = report.results.filter((result) => result.store === store && names.test(result.name) && result.spreads['p99Ms'] !== undefined)
  const series = subjects.flatMap((subject) =>
    (['p50Ms', 'p99Ms'] as const).flatMap((key) => {
      const points = results
        .filter((result) => result.subject === subject)
        .map((result) => [Number(names.exec(result.name)?.[1]) * 1000, result.spreads[key]?.median ?? 0] as const)
        .filter(([, ms]) => ms > 0)
        .sort(([a], [b]) => a - b)
      return points.length === 0 ? [] : [{ ...seriesOf(subject), name: `${subjectNames[subject]} ${key.slice(0, 3)}`, dashed: key === 'p99Ms', points }]
    }),
  )
  if (series.every(({ points }) => points.length < 2)) return []
  return [{ file: `${file}.svg`, title, svg: linePlot({ title, xTitle: 'records/s', unit: 'ms', series }) }]
}

function spreadOf(results: readonly Result[], matches: (result: Result) => boolean, key: string): Bar {
  const spread = results.find(matches)?.spreads[key]
  return spread === undefined ? null : { min: spread.min, value: spread.median, max: spread.max }
}

function seriesOf(subject: Subject): Series {
  return { name: subjectNames[subject], color: colors[subject] }
}
