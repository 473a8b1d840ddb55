/**
 * Rows of table files in the order of their offsets, in bounded memory, whatever the order in the files is (an OPTIMIZE by somebody
 * else concatenates files newest first, DESIGN §5). Works from the `offset` column alone, not from statistics that may be missing:
 *
 * 1. Row groups are taken up by their least offset (statistics where there are any, else the column itself is read).
 * 2. The `offset` column of a row group is read once; rows below the least offset of the next row group are final.
 * 3. Final rows are cut into chunks of about `chunkBytes`, and of each row group only the span of rows that a chunk needs is
 *    decoded.
 *
 * Files that we wrote (sorted, disjoint) cost one pass and no copies. Rows without an offset are no messages yet and are left out.
 * Where two rows have one offset, the first one found counts.
 */
import { readExactly, readFooter } from './byte-source.ts'
import type { RangeReader } from './byte-source.ts'
import type { ColumnView } from './arrow-views.ts'
import { readColumn } from './column-reader.ts'
import { excerpt } from './footer.ts'
import type { ColumnChunk, ParquetFooter, RowGroup } from './footer.ts'
import { parquetLibrary } from './library-on-demand.ts'
import type { RowSpan } from './parquet-library.ts'
import { release } from './release.ts'
import { RowColumns } from './row-columns.ts'
import { copyRow, offsetAt, rowView, spanView } from './row-view.ts'
import type { RowView } from './row-view.ts'
import { topicColumns } from './topic-schema.ts'
import type { TopicColumn } from './topic-schema.ts'

export interface OrderedRowsOptions {
  /** Only rows with from ≤ offset < end. */
  readonly fromOffset: number
  readonly endOffset: number
  /** Uncompressed bytes to decode at once, roughly. */
  readonly chunkBytes: number
  /** Rows to decode at once; without a limit without it. */
  readonly chunkRows?: number
  /** Called behind every chunk; may use the Parquet library, which `visit` must not. False stops, if there is more at all. */
  readonly betweenChunks?: () => boolean | Promise<boolean>
  /** Columns to read, `offset` among them; all of the topic schema without it. */
  readonly columns?: ReadonlySet<TopicColumn>
}

/**
 * Rows of a chunk in the order of their offsets: `order[i]` is a row of `view`. Valid during the call only, and only until the
 * Parquet library is used again. False stops.
 */
export type ChunkVisitor = (view: RowView, order: Int32Array) => boolean

export interface OpenFile {
  readonly reader: RangeReader
  readonly footer: ParquetFooter
}

/** Throws ParquetFormatError, and whatever the reader rejects with. */
export async function openFile(reader: RangeReader): Promise<OpenFile> {
  return { reader, footer: await readFooter(reader) }
}

/** Offsets of one row group; `max` is below `min` when no row has one. */
export interface RowGroupOffsets {
  readonly rows: number
  readonly rowsWithoutOffset: number
  readonly min: number
  readonly max: number
}

/** From the statistics where they are complete, else from the column. Throws as `forEachOrdered`. */
export async function rowGroupOffsets(file: OpenFile): Promise<RowGroupOffsets[]> {
  const all: RowGroupOffsets[] = []
  for (const meta of file.footer.rowGroups) {
    const { rows, offsets } = meta
    if (!file.footer.columns.includes('offset')) all.push({ rows, rowsWithoutOffset: rows, min: 0, max: -1 })
    else if (offsets !== null && offsets.nulls !== null) {
      all.push({ rows, rowsWithoutOffset: offsets.nulls, min: offsets.min, max: offsets.max })
    } else {
      const group = new Group(file, meta)
      await group.loadOffsets()
      all.push({ rows, rowsWithoutOffset: rows - group.offsets.length, min: group.min, max: group.max })
    }
  }
  return all
}

/** Resolves to true when every row was visited, false when the visitor stopped. Throws ParquetFormatError, UnsupportedColumnError. */
export async function forEachOrdered(files: readonly OpenFile[], options: OrderedRowsOptions, visit: ChunkVisitor): Promise<boolean> {
  const { fromOffset, endOffset } = options
  const groups: Group[] = []
  for (const file of files) {
    if (!file.footer.columns.includes('offset')) continue
    for (const meta of file.footer.rowGroups) {
      const group = new Group(file, meta, options.columns !== undefined)
      await group.loadBounds()
      if (group.max >= fromOffset && group.min < endOffset) groups.push(group)
    }
  }
  groups.sort((a, b) => a.min - b.min)
  try {
    return await visitGroups(groups, options, visit)
  } finally {
    for (const group of groups) group.drop()
  }
}

/** As `forEachOrdered`, for row groups by their least offset. */
async function visitGroups(groups: readonly Group[], options: OrderedRowsOptions, visit: ChunkVisitor): Promise<boolean> {
  const { fromOffset, endOffset, columns: wanted = topicColumns } = options
  let active: Group[] = []
  let next = fromOffset
  for (let i = 0; i < groups.length; i++) {
    active.push(groups[i]!)
    await groups[i]!.loadOffsets()
    const frontier = Math.min(groups[i + 1]?.min ?? endOffset, endOffset)
    while (next < frontier) {
      const plan = planChunk(active, next, frontier, options)
      if (plan.picks.length > 0 && !(await visitChunk(plan.picks, wanted, visit))) return false
      next = plan.end
      if ((await options.betweenChunks?.()) === false) return !active.some((group) => group.hasIn(next, endOffset)) && i === groups.length - 1
    }
    active = active.filter((group) => {
      if (group.max >= next) return true
      group.drop()
      return false
    })
  }
  return true
}

/** One row group with what is known of its offsets. */
class Group {
  readonly file: OpenFile
  readonly meta: RowGroup
  min = 0
  max = -1
  /** Offsets of the rows that have one, ascending, and the row of each. */
  offsets = new Float64Array(0)
  rowsByOffset = new Int32Array(0)
  /** Every row has an offset, each above the one before: row numbers are their own order. */
  isInOrder = false
  /** Few columns are wanted: the others are not even fetched. */
  readonly #isNarrow: boolean
  #bytes: Uint8Array | null = null
  #loaded = false
  /** Columns that were decoded whole, null those that are for the library. */
  readonly #columns = new Map<string, ColumnView | null>()

  constructor(file: OpenFile, meta: RowGroup, isNarrow = false) {
    this.file = file
    this.meta = meta
    this.#isNarrow = isNarrow
  }

  /** `max` is below `min` afterwards when no row has an offset. */
  async loadBounds(): Promise<void> {
    const { offsets: statistics } = this.meta
    if (statistics === null) await this.loadOffsets()
    else {
      this.min = statistics.min
      this.max = statistics.max
    }
  }

  async loadOffsets(): Promise<void> {
    if (this.#loaded) return
    this.#loaded = true
    const offsets = new Float64Array(this.meta.rows)
    const rows = new Int32Array(this.meta.rows)
    let count = 0
    let at = 0
    let ascending = true
    const collect = (view: RowView): void => {
      for (let row = 0; row < view.rows; row++, at++) {
        const offset = offsetAt(view, row)
        if (offset === null || offset < 0) continue
        if (count > 0 && offset <= offsets[count - 1]!) ascending = false
        offsets[count] = offset
        rows[count++] = at
      }
    }
    const column = await this.#column('offset')
    if (column !== null) collect(rowView(new Map([['offset', column]]), this.meta.rows))
    else {
      const file = await this.excerpt(new Set(['offset']))
      parquetLibrary().readColumns(file, { start: 0, count: this.meta.rows }, (columns, rowCount) => collect(rowView(columns, rowCount)))
    }
    this.isInOrder = ascending && count === this.meta.rows
    this.offsets = offsets.subarray(0, count)
    this.rowsByOffset = rows.subarray(0, count)
    if (!ascending) this.#sort()
    if (count === 0) {
      this.min = 0
      this.max = -1
    } else {
      this.min = this.offsets[0]!
      this.max = this.offsets.at(-1)!
    }
  }

  /**
   * The span of rows decoded: `visit` as in `readColumns`. `whole` decodes all rows at once and keeps them for the next span, where this can do
   * without the library.
   */
  async read(columns: ReadonlySet<string>, span: RowSpan, whole: boolean, visit: (view: RowView, firstRow: number) => void): Promise<void> {
    const decoded = whole ? await this.#decoded(columns) : null
    if (decoded !== null) {
      visit(spanView(rowView(decoded, this.meta.rows), span), span.start)
      return
    }
    const file = await this.excerpt(columns)
    let at = span.start
    parquetLibrary().readColumns(file, span, (views, rows) => {
      visit(rowView(views, rows), at)
      at += rows
    })
  }

  /** Null where one of the columns is for the library, which then gets all of them. */
  async #decoded(columns: ReadonlySet<string>): Promise<ReadonlyMap<string, ColumnView> | null> {
    if (this.meta.uncompressedBytes > decodedBytesMax) return null
    const decoded = new Map<string, ColumnView>()
    for (const column of columns) {
      if (!this.file.footer.columns.includes(column)) continue
      const view = await this.#column(column)
      if (view === null) return null
      decoded.set(column, view)
    }
    return decoded
  }

  async #column(column: string): Promise<ColumnView | null> {
    let view = this.#columns.get(column)
    if (view === undefined) {
      const bytesOf = await this.#chunks(new Set([column]))
      view = readColumn(this.file.footer, this.meta, column, bytesOf)
      this.#columns.set(column, view)
    }
    return view
  }

  /** Gives back what was read and decoded; views on it are dead. */
  drop(): void {
    for (const view of this.#columns.values()) {
      // Values of a page that was not compressed lie in the file, which is the caller's.
      if (view?.kind === 'bytes' && this.#bytes !== null && view.bytes.buffer !== this.#bytes.buffer) release(view.bytes)
    }
    this.#bytes = null
    this.#columns.clear()
    this.offsets = new Float64Array(0)
    this.rowsByOffset = new Int32Array(0)
  }

  /** Index of the first offset ≥ `offset`. */
  search(offset: number): number {
    let low = 0
    let high = this.offsets.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.offsets[middle]! < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Whether a row has an offset in [from, end). */
  hasIn(from: number, end: number): boolean {
    return (this.offsets[this.search(from)] ?? Infinity) < end
  }

  /** A file of this row group's `columns`. */
  async excerpt(columns: ReadonlySet<string>): Promise<Uint8Array> {
    return excerpt(this.file.footer, [this.meta], columns, await this.#chunks(columns))
  }

  /** Bytes of the chunks of some columns, from one read where the row group is not large. */
  async #chunks(columns: ReadonlySet<string>): Promise<(chunk: ColumnChunk) => Uint8Array> {
    const { file, meta } = this
    if (this.#bytes === null && !this.#isNarrow && meta.end - meta.start <= wholeRowGroupBytesMax) {
      this.#bytes = await readExactly(file.reader, meta.start, meta.end)
    }
    const whole = this.#bytes
    if (whole !== null) return (chunk) => whole.subarray(chunk.start - meta.start, chunk.end - meta.start)
    const chunks = new Map<number, Uint8Array>()
    for (const chunk of meta.chunks) {
      if (columns.has(chunk.column)) chunks.set(chunk.start, await readExactly(file.reader, chunk.start, chunk.end))
    }
    return (chunk) => chunks.get(chunk.start)!
  }

  #sort(): void {
    const { offsets, rowsByOffset } = this
    const order = Int32Array.from(offsets, (_, i) => i).sort((a, b) => offsets[a]! - offsets[b]! || a - b)
    this.offsets = Float64Array.from(order, (i) => offsets[i]!)
    this.rowsByOffset = Int32Array.from(order, (i) => rowsByOffset[i]!)
  }
}

/** Row groups up to this size are read whole; of larger ones only the columns and when they are needed. */
const wholeRowGroupBytesMax = 64 * 1024 * 1024
/** Row groups up to this size are decoded whole where nothing else of the file is in the way; larger ones span by span. */
const decodedBytesMax = 32 * 1024 * 1024

/** Rows `rowsByOffset[from, to)` of a group. */
interface Pick {
  readonly group: Group
  readonly from: number
  readonly to: number
}

/** What of `active` has offsets in [next, end), where `end` ≤ `frontier` keeps the chunk within its limits, but for a single row. */
function planChunk(
  active: readonly Group[], next: number, frontier: number, limits: { readonly chunkBytes: number; readonly chunkRows?: number },
): { picks: Pick[]; end: number } {
  const { chunkBytes, chunkRows = Infinity } = limits
  const fits = (end: number): boolean => {
    let bytes = 0
    let rows = 0
    for (const group of active) {
      const count = group.search(end) - group.search(next)
      rows += count
      bytes += count * (group.meta.uncompressedBytes / Math.max(1, group.meta.rows))
    }
    return bytes <= chunkBytes && rows <= chunkRows
  }
  let end = frontier
  if (!fits(frontier)) {
    let first = Infinity
    let last = next
    for (const group of active) {
      first = Math.min(first, group.offsets[group.search(next)] ?? Infinity)
      last = Math.max(last, Math.min(group.max, frontier - 1))
    }
    // The greatest end that fits, by bisection between the first row and the last.
    let low = first + 1
    let high = last + 1
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2)
      if (fits(middle)) low = middle
      else high = middle - 1
    }
    end = low
  }
  const picks: Pick[] = []
  for (const group of active) {
    const from = group.search(next)
    const to = group.search(end)
    if (from < to) picks.push({ group, from, to })
  }
  return { picks, end }
}

async function visitChunk(picks: readonly Pick[], columns: ReadonlySet<string>, visit: ChunkVisitor): Promise<boolean> {
  const [only] = picks
  if (picks.length === 1 && only !== undefined) {
    const { span, order } = spanOf(only)
    let outcome: boolean | null = null
    const staged = new RowColumns()
    await only.group.read(columns, span, true, (view, firstRow) => {
      if (view.rows === span.count) outcome = visit(view, order)
      else for (let row = 0; row < view.rows; row++) copyRow(view, row, offsetAt(view, row) ?? -(firstRow + row) - 1, staged)
    })
    return outcome ?? visit(rowView(staged.views(), staged.rows), order)
  }
  // Interleaved row groups: the rows that are needed are copied side by side, then visited in order.
  const staged = new RowColumns()
  const offsets: number[] = []
  for (const pick of picks) {
    const { span, order } = spanOf(pick)
    const needed = Int32Array.from(order).sort()
    let done = 0
    await pick.group.read(columns, span, false, (view, firstRow) => {
      const base = firstRow - span.start
      for (; done < needed.length && needed[done]! - base < view.rows; done++) {
        const offset = offsetAt(view, needed[done]! - base)!
        copyRow(view, needed[done]! - base, offset, staged)
        offsets.push(offset)
      }
    })
  }
  const order = Int32Array.from(offsets, (_, i) => i).sort((a, b) => offsets[a]! - offsets[b]! || a - b)
  return visit(rowView(staged.views(), staged.rows), withoutRepeats(order, (row) => offsets[row]!))
}

/** The rows between the first and the last that are picked, and the picked ones within them in the order of their offsets. */
function spanOf({ group, from, to }: Pick): { span: RowSpan; order: Int32Array } {
  if (group.isInOrder) return { span: { start: from, count: to - from }, order: ascending(to - from) }
  const rows = group.rowsByOffset.subarray(from, to)
  let first = Infinity
  let last = -1
  for (const row of rows) {
    if (row < first) first = row
    if (row > last) last = row
  }
  const span = { start: first, count: last - first + 1 }
  const order = withoutRepeats(Int32Array.from(rows, (_, i) => i), (i) => group.offsets[from + i]!)
  return { span, order: order.map((i) => rows[i]! - first) }
}

let numbers = new Int32Array(0)

/** 0 to `count` - 1. */
function ascending(count: number): Int32Array {
  if (numbers.length < count) numbers = Int32Array.from({ length: Math.max(count, numbers.length * 2) }, (_, i) => i)
  return numbers.subarray(0, count)
}

/** `order` without the items whose offset is that of their predecessor. */
function withoutRepeats(order: Int32Array, offsetOf: (item: number) => number): Int32Array {
  return order.filter((item, i) => i === 0 || offsetOf(item) !== offsetOf(order[i - 1]!))
}
