/**
 * Which small files of a partition to merge into one. Pure policy; storage/maintenance does the work.
 *
 * A run is merged only when the result is at least `growth` times as large as its largest member. So every time a byte is
 * rewritten the file that it lives in has grown by that factor, and no byte is rewritten more often than the logarithm
 * of the target size: a table with ten commits a second stays healthy at a bounded cost. Runs are made of our own files alone,
 * neighbours in offset order without overlap: what others rewrote is theirs to arrange.
 */
import type { AddFile } from './actions.ts'
import type { TableChange } from './change.ts'
import { DeltaError } from './errors.ts'
import { newestRecordMs } from './snapshot.ts'
import type { SnapshotView, TableFile } from './snapshot.ts'

/** A merged file is made in memory. */
export const mergedBytesMax = 64 * 1024 * 1024

export interface CompactionOptions {
  /** Least number of files in a run, unless it fills half of the target. Default 32. */
  readonly filesMin?: number
  /** Default 1,024. */
  readonly filesMax?: number
  /** No result becomes larger, and files of half of it are left alone. Default 64 MiB. */
  readonly targetBytes?: number
  /**
   * The files of a run expire at most so far apart. As retention takes files from the beginning of a partition only, a file expires
   * with the newest record in it or before it: records that come out of order of time keep no files from being merged. Without it
   * there is no limit.
   */
  readonly spanMs?: number
  /** See above. Default 8. */
  readonly growth?: number
}

export interface CompactionPlan {
  readonly partition: number
  /** In offset order, without overlap. */
  readonly files: readonly TableFile[]
  readonly bytes: number
  /** Undefined when a file lacks the statistic. */
  readonly records: number | undefined
  readonly first: number
  readonly last: number
}

/** The cheapest run that is worth merging, or null. Among equals the oldest. */
export function planCompaction(snapshot: SnapshotView, partition: number, options: CompactionOptions = {}): CompactionPlan | null {
  const filesMin = options.filesMin ?? 32
  const filesMax = options.filesMax ?? 1024
  const targetBytes = options.targetBytes ?? mergedBytesMax
  const growth = options.growth ?? 8
  const files = snapshot.files(partition)
  // Small sizes first: they cost least and are what readers suffer from.
  for (let bytesMax = 4096; ; bytesMax *= growth) {
    const limit = Math.min(bytesMax, targetBytes / 2)
    for (const run of runs(files, { limit, targetBytes, filesMax, spanMs: options.spanMs ?? Infinity })) {
      const plan = planOf(partition, run)
      if (run.length < filesMin && plan.bytes < targetBytes / 2) continue
      const largest = Math.max(...run.map((file) => file.bytes))
      if (plan.bytes >= growth * largest) return plan
    }
    if (limit >= targetBytes / 2) return null
  }
}

/**
 * The commit of a merge: the inputs out, the outputs in, no data changed. `outputs` must hold exactly the rows of the inputs.
 * @throws DeltaError `invalid` when the counts say otherwise.
 */
export function compactionChange(plan: CompactionPlan, outputs: readonly AddFile[], commitId: string, nowMs: number): TableChange {
  if (plan.records !== undefined) {
    const records = outputs.reduce((sum, add) => sum + (recordsOf(add) ?? Number.NaN), 0)
    if (records !== plan.records) throw new DeltaError('invalid', `merged ${plan.records} rows into ${records}`)
  }
  return {
    commitId,
    operation: 'OPTIMIZE',
    operationParameters: { predicate: '[]', targetSize: String(plan.bytes) },
    adds: outputs.map((add) => ({ ...add, dataChange: false })),
    removes: plan.files.map((file) => ({
      path: file.path,
      dataChange: false,
      deletionTimestamp: nowMs,
      extendedFileMetadata: true,
      partitionValues: { partition: file.partitionValue },
      size: file.bytes,
    })),
    txns: [],
  }
}

/** Maximal runs of mergeable neighbours of at most `limit` bytes each, cut where one more would be too large, too many or too far away in time. */
function* runs(files: readonly TableFile[], most: { limit: number; targetBytes: number; filesMax: number; spanMs: number }): Generator<TableFile[]> {
  let run: TableFile[] = []
  let bytes = 0
  let firstExpiresMs = 0
  let expiresMs = -Infinity
  let previousLast = -1
  for (const file of files) {
    if (file.range.kind !== 'known') continue
    const overlaps = file.first <= previousLast
    if (overlaps) run.pop()
    const fits = isMergeable(file) && !overlaps && file.bytes <= most.limit
    expiresMs = Math.max(expiresMs, newestRecordMs(file))
    const isTooFar = run.length > 0 && expiresMs - firstExpiresMs > most.spanMs
    if (!fits || bytes + file.bytes > most.targetBytes || run.length === most.filesMax || isTooFar) {
      if (run.length > 0) yield run
      run = []
      bytes = 0
    }
    if (fits) {
      if (run.length === 0) firstExpiresMs = expiresMs
      run.push(file)
      bytes += file.bytes
    }
    previousLast = Math.max(previousLast, file.last)
  }
  if (run.length > 0) yield run
}

/** Whether it is one of our files, with an offset in every row: its rows can be rewritten without loss. */
export function isMergeable(file: TableFile): boolean {
  return (file.nullOffsets ?? 0) === 0 && !file.hasDeletionVector && ourName.test(file.path)
}

/** As `dataFilePath` makes them. */
const ourName = /^partition=\d+\/\d{20}-[\w-]{1,36}\.parquet$/

function planOf(partition: number, run: readonly TableFile[]): CompactionPlan {
  let bytes = 0
  let records: number | undefined = 0
  for (const file of run) {
    bytes += file.bytes
    records = records === undefined || file.records === undefined ? undefined : records + file.records
  }
  return { partition, files: run, bytes, records, first: run[0]?.first ?? 0, last: run.at(-1)?.last ?? -1 }
}

function recordsOf(add: AddFile): number | undefined {
  try {
    const stats = JSON.parse(add.stats ?? '{}') as { numRecords?: unknown }
    return typeof stats.numRecords === 'number' ? stats.numRecords : undefined
  } catch {
    return undefined
  }
}
