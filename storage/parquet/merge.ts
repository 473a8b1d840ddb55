/** Several files of one partition to one, with every row as it is; `merge-by-key.ts` leaves rows out. */
import type { RangeReader } from './byte-source.ts'
import { forEachOrdered, openFile, rowGroupOffsets } from './ordered-rows.ts'
import type { OpenFile } from './ordered-rows.ts'
import type { RowColumns } from './row-columns.ts'
import { copyRow, offsetAt } from './row-view.ts'
import { TopicFileWriter, rowGroupBytesDefault, rowGroupRowsDefault } from './topic-file-writer.ts'
import type { FileLayout, WrittenFile } from './topic-file-writer.ts'
import { NotMergeableError } from './parquet-codec.ts'
import { topicColumns } from './topic-schema.ts'

export interface OffsetRange {
  readonly rows: number
  /** Rows that somebody else appended and that have no offset yet. */
  readonly rowsWithoutOffset: number
  /** -1 when no row has an offset. */
  readonly minOffset: number
  readonly maxOffset: number
}

/** Throws ParquetFormatError, UnsupportedColumnError, and whatever the reader rejects with. */
export async function offsetRange(reader: RangeReader): Promise<OffsetRange> {
  const groups = await rowGroupOffsets(await openFile(reader))
  const known = groups.filter((group) => group.max >= group.min)
  return {
    rows: groups.reduce((sum, group) => sum + group.rows, 0),
    rowsWithoutOffset: groups.reduce((sum, group) => sum + group.rowsWithoutOffset, 0),
    minOffset: known.length === 0 ? -1 : Math.min(...known.map((group) => group.min)),
    maxOffset: known.length === 0 ? -1 : Math.max(...known.map((group) => group.max)),
  }
}

export interface OffsetMergeOptions {
  /** Rows below it are left out; all are kept without it. */
  readonly fromOffset?: number
}

/** Merges take seconds. */
export interface Pauses {
  /** Lets others have the thread; called after every quarter of a row group. */
  readonly pause?: (() => Promise<void>) | undefined
}

/** Throws NotMergeableError, ParquetFormatError, UnsupportedColumnError, and whatever a reader rejects with. */
export async function mergeByOffset(readers: readonly RangeReader[], layout: FileLayout & OffsetMergeOptions & Pauses, columns: RowColumns): Promise<WrittenFile> {
  const files = await openMergeable(readers)
  const writer = new TopicFileWriter(columns, { ...mergedLayout, ...layout })
  await forEachOrdered(files, { ...wholeFile(layout, writer), fromOffset: layout.fromOffset ?? 0 }, (view, order) => {
    for (const row of order) copyRow(view, row, offsetAt(view, row)!, columns)
    return true
  })
  return writer.finish()
}

/** Merged files stay: a better ratio is worth some time. And they are large. */
export const mergedLayout = { compressionLevel: 3, packed: true } as const

/** All rows, in chunks of a quarter of a row group: row groups of `writer` end between chunks, where others may have the thread. */
export function wholeFile(layout: FileLayout & Pauses, writer: TopicFileWriter) {
  const { rowGroupBytes = rowGroupBytesDefault, rowGroupRows = rowGroupRowsDefault } = layout
  const chunkRows = Math.max(1, Math.floor(rowGroupRows / 4))
  const betweenChunks = async (): Promise<boolean> => {
    writer.cutIfFull()
    await layout.pause?.()
    return true
  }
  return { fromOffset: 0, endOffset: Number.MAX_SAFE_INTEGER, chunkBytes: rowGroupBytes / 4, chunkRows, betweenChunks }
}

/** Columns that a file may have besides ours: the partition column, which some writers repeat in the file. */
const ignoredColumns: ReadonlySet<string> = new Set([...topicColumns, 'partition'])

/** Throws NotMergeableError where writing the files again would lose something, and as `offsetRange`. */
export async function openMergeable(readers: readonly RangeReader[]): Promise<OpenFile[]> {
  const files: OpenFile[] = []
  for (const reader of readers) {
    const file = await openFile(reader)
    const extra = file.footer.columns.find((column) => !ignoredColumns.has(column))
    if (extra !== undefined) throw new NotMergeableError(`the column ${extra} would be lost`)
    const withoutOffset = (await rowGroupOffsets(file)).reduce((sum, group) => sum + group.rowsWithoutOffset, 0)
    if (withoutOffset > 0) throw new NotMergeableError(`${withoutOffset} rows without an offset would be lost`)
    files.push(file)
  }
  return files
}
