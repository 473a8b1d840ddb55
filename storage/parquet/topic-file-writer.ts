/**
 * Writes the Parquet file of a table row group by row group, so that neither the columns under construction nor the memory of the
 * Parquet library outgrow one row group, and keeps the statistics that go into the Delta log. Pages without compression and with zstd are written
 * here (`row-group-writer.ts`), those of the other codecs by the library.
 */
import { join } from './footer.ts'
import { parquetLibrary, rowsToIpc } from './library-on-demand.ts'
import type { ParquetCompression } from './parquet-library.ts'
import { release } from './release.ts'
import { PageBuffer } from './page-buffer.ts'
import type { NullCounts, Range, RowColumns } from './row-columns.ts'
import { packed, writeRowGroup, writeTopicFile } from './row-group-writer.ts'
import type { WrittenRowGroup } from './row-group-writer.ts'
import { offsetLeaf, topicColumns } from './topic-schema.ts'
import type { TopicColumn } from './topic-schema.ts'

/** Bounds of a row group; whichever is reached first ends it. */
export interface FileLayout {
  readonly compression: ParquetCompression
  /** Of zstd, 1 (fast) to 19; 1 without it, and 3 for merged files, which stay. */
  readonly compressionLevel?: number
  readonly rowGroupRows?: number
  /** Of keys, values and headers, uncompressed. */
  readonly rowGroupBytes?: number
  /**
   * Puts the pages of a row group together when it ends, for files that take long: until then a page takes the memory that it had before it was
   * compressed. Costs a copy.
   */
  readonly packed?: boolean
}

export const rowGroupRowsDefault = 128 * 1024
export const rowGroupBytesDefault = 8 * 1024 * 1024

/** A Parquet file and what the Delta log wants to know about it. */
export interface WrittenFile {
  /** The file, in pieces where it is large; null when there are no rows: then there is no file. Nothing else is in their memory. */
  readonly parquet: readonly Uint8Array[] | null
  readonly rows: number
  /** -1 without rows. */
  readonly minOffset: number
  readonly maxOffset: number
  /** Microseconds since the epoch, null when no row has a timestamp; beyond 2^53 rounded outwards, so that they stay bounds. */
  readonly minTimestampMicros: number | null
  readonly maxTimestampMicros: number | null
  readonly nullCounts: NullCounts
}

export class TopicFileWriter {
  /** Where rows are added. Empty at the start; what was in it is lost. */
  readonly columns: RowColumns
  readonly #layout: Required<FileLayout>
  /** Level of zstd, null without compression, undefined for the codecs that the library writes. */
  readonly #zstdLevel: number | null | undefined
  readonly #page = new PageBuffer()
  readonly #rowGroups: WrittenRowGroup[] = []
  /** Row groups of the library, a file for each. */
  readonly #files: Uint8Array<ArrayBuffer>[] = []
  #rows = 0
  #offsets: Range | null = null
  #micros: Range | null = null
  readonly #nulls: Record<TopicColumn, number> = { offset: 0, timestamp: 0, timestampType: 0, key: 0, value: 0, headers: 0 }

  constructor(columns: RowColumns, layout: FileLayout) {
    columns.clear()
    this.columns = columns
    this.#layout = {
      compression: layout.compression,
      compressionLevel: layout.compressionLevel ?? 1,
      rowGroupRows: layout.rowGroupRows ?? rowGroupRowsDefault,
      rowGroupBytes: layout.rowGroupBytes ?? rowGroupBytesDefault,
      packed: layout.packed ?? false,
    }
    this.#zstdLevel = layout.compression === 'none' ? null : layout.compression === 'zstd' ? this.#layout.compressionLevel : undefined
  }

  /** Ends the row group if it is full. To be called between rows; marks that were taken before are void then. */
  cutIfFull(): void {
    const { rowGroupRows, rowGroupBytes } = this.#layout
    if (this.columns.rows >= rowGroupRows || this.columns.payloadBytes >= rowGroupBytes) this.#cut()
  }

  finish(): WrittenFile {
    this.#cut()
    return {
      parquet: this.#file(),
      rows: this.#rows,
      minOffset: this.#offsets?.min ?? -1,
      maxOffset: this.#offsets?.max ?? -1,
      minTimestampMicros: this.#micros === null ? null : outwards(this.#micros.min, -1),
      maxTimestampMicros: this.#micros === null ? null : outwards(this.#micros.max, 1),
      nullCounts: this.#nulls,
    }
  }

  #cut(): void {
    const { columns } = this
    if (columns.rows === 0) return
    const { offsets, micros } = columns.ranges()
    this.#offsets = union(this.#offsets, offsets)
    this.#micros = union(this.#micros, micros)
    this.#rows += columns.rows
    const nulls = columns.nullCounts()
    for (const column of topicColumns) this.#nulls[column] += nulls[column]
    if (this.#zstdLevel !== undefined) {
      const group = writeRowGroup(columns, this.#zstdLevel, this.#page)
      this.#rowGroups.push(this.#layout.packed ? packed(group) : group)
    } else {
      const ipc = rowsToIpc(columns)
      const file = parquetLibrary().writeTopicRows(ipc, this.#layout.compression)
      release(ipc)
      this.#files.push(join([file], offsetLeaf))
      release(file)
    }
    columns.clear()
  }

  #file(): readonly Uint8Array[] | null {
    if (this.#zstdLevel !== undefined) return this.#rowGroups.length === 0 ? null : writeTopicFile(this.#rowGroups, this.#zstdLevel)
    if (this.#files.length <= 1) return this.#files.length === 0 ? null : this.#files
    const file = join(this.#files, offsetLeaf)
    for (const rowGroup of this.#files) release(rowGroup)
    return [file]
  }
}

function union(a: Range | null, b: Range | null): Range | null {
  if (a === null || b === null) return a ?? b
  return { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) }
}

/** Doubles of the size of an int64 are 1024 apart at most. */
function outwards(value: number, direction: 1 | -1): number {
  return Number.isSafeInteger(value) ? value : value + direction * 1024
}
