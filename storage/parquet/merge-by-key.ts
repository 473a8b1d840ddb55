/**
 * Log compaction (Kafka: `cleanup.policy=compact`) in three steps over the files of a partition: the last offsets of keys are collected, files are
 * searched for rows that they supersede, and those files are written again without them. Rows from `endOffset` on are never touched.
 */
import { isValid } from './arrow-views.ts'
import type { RangeReader } from './byte-source.ts'
import { KeyOffsets } from './key-offsets.ts'
import { mergedLayout, openMergeable, wholeFile } from './merge.ts'
import type { Pauses } from './merge.ts'
import { forEachOrdered, openFile } from './ordered-rows.ts'
import type { OpenFile } from './ordered-rows.ts'
import { NotMergeableError } from './parquet-codec.ts'
import type { RowColumns } from './row-columns.ts'
import { copyRow, lengthAt, offsetAt } from './row-view.ts'
import type { RowView } from './row-view.ts'
import { rowGroupBytesDefault, rowGroupRowsDefault, TopicFileWriter } from './topic-file-writer.ts'
import type { FileLayout, WrittenFile } from './topic-file-writer.ts'
import type { TopicColumn } from './topic-schema.ts'

export interface CollectKeysOptions {
  /** Of a `KeyOffsets`, where the keys are noted. */
  readonly keys: SharedArrayBuffer
  /** Keys of rows with from ≤ offset < end. */
  readonly fromOffset: number
  readonly endOffset: number
}

interface KeysInUse {
  /** Of a `KeyOffsets`. */
  readonly keys: SharedArrayBuffer
  /** Rows from here on are left alone. */
  readonly endOffset: number
}

export interface SupersededOptions extends KeysInUse {
  /** Whether tombstones are counted, for which values must be read too. */
  readonly withTombstones: boolean
}

export interface KeyMergeOptions extends KeysInUse {
  /** Whether tombstones (null value) are dropped as well. Only safe when no row of their keys is left at lower offsets. */
  readonly dropTombstones: boolean
}

/** Rows below the end. */
export interface SupersededRows {
  /** With a later row of the same key, or without a key. */
  readonly superseded: number
  /** Without a value; null where nobody asked. */
  readonly tombstones: number | null
}

export interface KeyMergedFile extends WrittenFile {
  /** Rows that were left out. */
  readonly dropped: number
}

/**
 * Gives the offset up to which all keys are noted: `endOffset`, or less where the map is full.
 *
 * Throws ParquetFormatError, UnsupportedColumnError, and whatever a reader rejects with.
 */
export async function collectKeys(readers: readonly RangeReader[], { keys, fromOffset, endOffset }: CollectKeysOptions): Promise<number> {
  const map = new KeyOffsets(keys)
  let end = endOffset
  const files = await Promise.all(readers.map(openFile))
  await forEachOrdered(files, { ...narrow, columns: keyColumns, fromOffset, endOffset }, (view, order) => {
    for (const row of order) {
      const key = keyAt(view, row)
      const offset = offsetAt(view, row)!
      if (key === null || map.put(key, offset)) continue
      end = offset
      return false
    }
    return true
  })
  return end
}

/** What of a file is superseded, null for one that `mergeByKey` could not write again. Throws as `collectKeys`. */
export async function countSuperseded(reader: RangeReader, { keys, endOffset, withTombstones }: SupersededOptions): Promise<SupersededRows | null> {
  const map = new KeyOffsets(keys)
  let superseded = 0
  let tombstones = 0
  let files: OpenFile[]
  try {
    files = await openMergeable([reader])
  } catch (error) {
    if (error instanceof NotMergeableError) return null
    throw error
  }
  const columns = withTombstones ? keyAndValueColumns : keyColumns
  await forEachOrdered(files, { ...narrow, columns, fromOffset: 0, endOffset }, (view, order) => {
    for (const row of order) {
      if (isSuperseded(view, row, map)) superseded++
      if (withTombstones && lengthAt(view.value, row) < 0) tombstones++
    }
    return true
  })
  return { superseded, tombstones: withTombstones ? tombstones : null }
}

/**
 * One file with the rows of all files but those that are superseded, and those without a key, as Kafka's cleaner does (producing them to a
 * compacted topic is refused). Throws as `mergeByOffset`.
 */
export async function mergeByKey(
  readers: readonly RangeReader[], layout: FileLayout & KeyMergeOptions & Pauses, columns: RowColumns,
): Promise<KeyMergedFile> {
  const { keys, endOffset, dropTombstones } = layout
  const map = new KeyOffsets(keys)
  const files = await openMergeable(readers)
  const writer = new TopicFileWriter(columns, { ...mergedLayout, ...layout })
  let dropped = 0
  await forEachOrdered(files, wholeFile(layout, writer), (view, order) => {
    for (const row of order) {
      const offset = offsetAt(view, row)!
      if (offset < endOffset && (isSuperseded(view, row, map) || (dropTombstones && lengthAt(view.value, row) < 0))) dropped++
      else copyRow(view, row, offset, columns)
    }
    return true
  })
  return { ...writer.finish(), dropped }
}

const keyColumns: ReadonlySet<TopicColumn> = new Set(['offset', 'key'])
const keyAndValueColumns: ReadonlySet<TopicColumn> = new Set(['offset', 'key', 'value'])
/** Chunks for rows of few columns. */
const narrow = { chunkBytes: rowGroupBytesDefault, chunkRows: rowGroupRowsDefault }

function isSuperseded(view: RowView, row: number, map: KeyOffsets): boolean {
  const key = keyAt(view, row)
  return key === null || map.get(key) > offsetAt(view, row)!
}

function keyAt(view: RowView, row: number): Uint8Array | null {
  const column = view.key
  if (column === null || !isValid(column.validity, row)) return null
  return column.bytes.subarray(column.offsets[row], column.offsets[row + 1])
}
