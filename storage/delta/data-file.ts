/** The add action of a data file that Bayou wrote. */
import type { AddFile } from './actions.ts'
import { encodePath } from './actions.ts'
import { DeltaError } from './errors.ts'
import { encodeStats } from './stats.ts'

/** What the writer of a Parquet file knows about its rows; `storage/parquet` returns it with every file. */
export interface WrittenRows {
  readonly rows: number
  readonly minOffset: number
  readonly maxOffset: number
  /** Microseconds since the epoch; null when no row has a timestamp. */
  readonly minTimestampMicros: number | null
  readonly maxTimestampMicros: number | null
  readonly nullCounts: { readonly offset: number; readonly timestamp: number }
}

export interface DataFile {
  /** Relative to the table, as `dataFilePath` made it. */
  readonly path: string
  readonly partition: number
  /** Exact size of the object. */
  readonly bytes: number
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number
  /** False for files that only rearrange rows (compaction). */
  readonly dataChange: boolean
  readonly written: WrittenRows
}

/**
 * Bounds are never narrower than the rows: readers skip files by them. Timestamps are stated in milliseconds, rounded outwards.
 * @throws DeltaError `invalid` for a file without rows or with rows that have no offset.
 */
export function addFileOf({ path, partition, bytes, modifiedMs, dataChange, written }: DataFile): AddFile {
  const { rows, minOffset, maxOffset, nullCounts } = written
  if (rows <= 0 || nullCounts.offset !== 0 || minOffset < 0 || maxOffset < minOffset) {
    throw new DeltaError('invalid', `${path}: ${rows} rows with offsets ${minOffset} to ${maxOffset}, ${nullCounts.offset} of them without`)
  }
  const { minTimestampMicros, maxTimestampMicros } = written
  return {
    path: encodePath(path),
    partitionValues: { partition: String(partition) },
    size: bytes,
    modificationTime: Math.trunc(modifiedMs),
    dataChange,
    stats: encodeStats({
      numRecords: rows,
      minOffset,
      maxOffset,
      ...(minTimestampMicros === null ? {} : { minTimestampMs: Math.floor(minTimestampMicros / 1000) }),
      ...(maxTimestampMicros === null ? {} : { maxTimestampMs: Math.ceil(maxTimestampMicros / 1000) }),
      nullTimestamps: nullCounts.timestamp,
    }),
  }
}
