/**
 * Parquet footers: which row groups a file has, where their bytes are and which offsets they hold; and new footers over
 * the same bytes. Two things rest on it:
 *
 * - reading by ranges: a reader fetches the footer, picks row groups by the statistics of `offset`, fetches only their bytes and
 *   wraps them into a small file of their own (`excerpt`), which the Parquet library then reads as any other;
 * - writing in bounded memory where the library writes: every row group is encoded as a file of its own and the files are joined (`join`), so
 *   that the memory of the library holds one row group, however large the result is.
 *
 * Source: parquet.thrift (FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, Statistics, OffsetIndex).
 */
import { codecUncompressed, codecZstd, compressPages, decompressPages } from './page-codec.ts'
import type { Page } from './page-codec.ts'
import { release } from './release.ts'
import {
  bytesField, i32Field, i64Field, listField, listOf, numberField, patched, readThriftStruct, structField, structList, thriftType,
  writeThriftStruct,
} from './thrift-compact.ts'
import type { ThriftStruct, ThriftValue } from './thrift-compact.ts'

/** The bytes are not a Parquet file, or one that is damaged or encrypted. */
export class ParquetFormatError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'ParquetFormatError'
  }
}

export interface ParquetFooter {
  readonly rows: number
  /** Names of the top-level columns, in file order. */
  readonly columns: readonly string[]
  readonly rowGroups: readonly RowGroup[]
  readonly metadata: ThriftStruct
}

export interface RowGroup {
  readonly index: number
  readonly rows: number
  /** Bytes [start, end) of the file that hold all column chunks. */
  readonly start: number
  readonly end: number
  readonly uncompressedBytes: number
  /** From the statistics of `offset`; null where the writer left none or the column is absent. */
  readonly offsets: { readonly min: number; readonly max: number; readonly nulls: number | null } | null
  readonly chunks: readonly ColumnChunk[]
}

export interface ColumnChunk {
  /** Name of the top-level column that the chunk belongs to. */
  readonly column: string
  readonly start: number
  readonly end: number
  readonly struct: ThriftStruct
}

/** At both ends of a file. */
export const magic = Uint8Array.of(0x50, 0x41, 0x52, 0x31)
/** Magic and length behind the footer. */
export const footerTailBytes = 8
const text = new TextDecoder()

const fileMetaData = { schema: 2, rows: 3, rowGroups: 4, keyValues: 5, columnOrders: 7 } as const
export const schemaElement = { type: 1, repetition: 3, name: 4, children: 5, converted: 6, logical: 10 } as const
const rowGroupField = { columns: 1, totalBytes: 2, rows: 3, sortingColumns: 4, fileOffset: 5, compressedBytes: 6, ordinal: 7 } as const
export const columnChunk = {
  filePath: 1, fileOffset: 2, metaData: 3, offsetIndexAt: 4, offsetIndexBytes: 5, columnIndexAt: 6, columnIndexBytes: 7, crypto: 8,
} as const
export const columnMeta = {
  path: 3, codec: 4, values: 5, uncompressedBytes: 6, compressedBytes: 7, dataPageAt: 9, indexPageAt: 10, dictionaryPageAt: 11, statistics: 12,
  bloomFilterAt: 14, bloomFilterBytes: 15,
} as const

/** Length in bytes of the footer, from the last 8 bytes of the file. Throws ParquetFormatError. */
export function footerLength(tail: Uint8Array): number {
  const at = tail.length - footerTailBytes
  if (at < 0 || magic.some((byte, i) => tail[at + 4 + i] !== byte)) {
    throw new ParquetFormatError('no Parquet file: magic is missing at its end')
  }
  return new DataView(tail.buffer, tail.byteOffset + at, 4).getUint32(0, true)
}

/** Footer of a whole file. Throws ParquetFormatError. */
export function footerOf(file: Uint8Array): ParquetFooter {
  const length = footerLength(file)
  const start = file.length - footerTailBytes - length
  if (start < magic.length) throw new ParquetFormatError(`no Parquet file: a footer of ${length} bytes in ${file.length}`)
  return parseFooter(file.subarray(start, start + length))
}

/** Footer from its own bytes (without length and magic). Throws ParquetFormatError. */
export function parseFooter(bytes: Uint8Array): ParquetFooter {
  let metadata: ThriftStruct
  try {
    metadata = readThriftStruct(bytes)
  } catch (cause) {
    throw new ParquetFormatError('damaged Parquet footer', { cause })
  }
  const leaves = leavesOf(metadata)
  const rowGroups = structList(metadata, fileMetaData.rowGroups).map((group, index) => parseRowGroup(group, index, leaves))
  return { rows: numberField(metadata, fileMetaData.rows) ?? 0, columns: [...new Set(leaves)], rowGroups, metadata }
}

/**
 * A file that holds some row groups and columns of another one. `bytesOf(chunk)` gives the bytes of a column chunk. The result
 * carries no key-value metadata (no Arrow schema hints: columns read as the plain Arrow types of their Parquet types) and no page
 * index, and pages that were compressed with zstd are not.
 *
 * Throws ParquetFormatError on damaged pages.
 */
export function excerpt(
  footer: ParquetFooter,
  rowGroups: readonly RowGroup[],
  columns: ReadonlySet<string>,
  bytesOf: (chunk: ColumnChunk) => Uint8Array,
): Uint8Array {
  const parts: Uint8Array[] = [magic]
  let at = magic.length
  let rows = 0
  const groups: ThriftStruct[] = rowGroups.map((group, ordinal) => {
    const chunks = group.chunks.filter((chunk) => columns.has(chunk.column)).map((chunk) => {
      const moved = moveChunk(chunk, bytesOf(chunk), at, { kind: 'decompress' })
      parts.push(...moved.parts)
      at += moved.bytes
      return moved.struct
    })
    rows += group.rows
    const struct = structList(footer.metadata, fileMetaData.rowGroups)[group.index]!
    return patched(struct, {
      [rowGroupField.columns]: listOf(thriftType.struct, chunks),
      [rowGroupField.sortingColumns]: null,
      [rowGroupField.fileOffset]: null,
      [rowGroupField.compressedBytes]: null,
      [rowGroupField.ordinal]: { type: thriftType.i16, value: ordinal },
    })
  })
  const metadata = patched(footer.metadata, {
    [fileMetaData.schema]: listOf(thriftType.struct, projectSchema(footer.metadata, columns)),
    [fileMetaData.rows]: i64Field(rows),
    [fileMetaData.rowGroups]: listOf(thriftType.struct, groups),
    [fileMetaData.keyValues]: null,
    [fileMetaData.columnOrders]: null,
  })
  return concatenate([...parts, ...footerBytes(metadata)])
}

/**
 * One file with the row groups of all `files` (of one schema), in their order, and with their page indexes. `sortedByColumn` is the
 * index of the leaf column that rows ascend by, recorded in the footer, null for none. The pages of uncompressed files are
 * compressed with zstd where a level is given.
 */
export function join(files: readonly Uint8Array[], sortedByColumn: number | null, zstdLevel?: number): Uint8Array<ArrayBuffer> {
  const pages: PageChange = zstdLevel === undefined ? { kind: 'keep' } : { kind: 'compress', level: zstdLevel }
  const footers = files.map(footerOf)
  const first = footers[0]
  if (first === undefined) throw new RangeError('nothing to join')
  const data: Uint8Array[] = [magic]
  let at = magic.length
  const groups: { file: Uint8Array; struct: ThriftStruct; start: number; end: number; chunks: MovedChunk[]; rows: number }[] = []
  footers.forEach((footer, i) => {
    for (const group of footer.rowGroups) {
      const file = files[i]!
      const start = at
      const chunks = group.chunks.map((chunk) => {
        const moved = moveChunk(chunk, file.subarray(chunk.start, chunk.end), at, pages)
        data.push(...moved.parts)
        at += moved.bytes
        return moved
      })
      const struct = structList(footer.metadata, fileMetaData.rowGroups)[group.index]!
      groups.push({ file, struct, start, end: at, chunks, rows: group.rows })
    }
  })
  // The indexes come behind the data of all row groups, where readers fetch them together with the footer.
  const place = (bytes: Uint8Array): number => {
    data.push(bytes)
    at += bytes.length
    return at - bytes.length
  }
  const structs = groups.map((group, ordinal) => patched(group.struct, {
    [rowGroupField.columns]: listOf(thriftType.struct, group.chunks.map((chunk) => placeIndexes(chunk, group.file, place))),
    [rowGroupField.totalBytes]: i64Field(group.chunks.reduce((sum, chunk) => sum + chunk.uncompressedBytes, 0)),
    [rowGroupField.sortingColumns]: sortedByColumn === null ? null : listOf(thriftType.struct, [sortingColumn(sortedByColumn)]),
    [rowGroupField.fileOffset]: i64Field(group.start),
    [rowGroupField.compressedBytes]: i64Field(group.end - group.start),
    [rowGroupField.ordinal]: { type: thriftType.i16, value: ordinal },
  }))
  const metadata = patched(first.metadata, {
    [fileMetaData.rows]: i64Field(groups.reduce((sum, group) => sum + group.rows, 0)),
    [fileMetaData.rowGroups]: listOf(thriftType.struct, structs),
  })
  const joined = concatenate([...data, ...footerBytes(metadata)])
  for (const { file, chunks } of groups) {
    for (const part of chunks.flatMap(({ parts }) => parts)) if (part.buffer !== file.buffer) release(part)
  }
  return joined
}

function parseRowGroup(group: ThriftStruct, index: number, leaves: readonly string[]): RowGroup {
  let start = Infinity
  let end = 0
  let uncompressedBytes = 0
  let offsets: RowGroup['offsets'] = null
  const structs = structList(group, rowGroupField.columns)
  if (structs.length !== leaves.length) throw new ParquetFormatError('damaged Parquet footer: a row group lacks columns')
  const chunks = structs.map((struct, i): ColumnChunk => {
    const meta = structField(struct, columnChunk.metaData)
    if (meta === undefined || struct.has(columnChunk.crypto)) throw new ParquetFormatError('encrypted Parquet files are not supported')
    if (struct.has(columnChunk.filePath)) throw new ParquetFormatError('Parquet files with external column chunks are not supported')
    const dataAt = numberField(meta, columnMeta.dataPageAt) ?? 0
    const dictionaryAt = numberField(meta, columnMeta.dictionaryPageAt) ?? 0
    const from = dictionaryAt > 0 && dictionaryAt < dataAt ? dictionaryAt : dataAt
    const to = from + (numberField(meta, columnMeta.compressedBytes) ?? 0)
    start = Math.min(start, from)
    end = Math.max(end, to)
    uncompressedBytes += numberField(meta, columnMeta.uncompressedBytes) ?? 0
    const path = listField(meta, columnMeta.path)
    if (leaves[i] === 'offset' && path.length === 1) offsets = offsetStatistics(meta)
    return { column: leaves[i]!, start: from, end: to, struct }
  })
  return { index, rows: numberField(group, rowGroupField.rows) ?? 0, start, end, uncompressedBytes, offsets, chunks }
}

/** Statistics of an INT64 (or INT32) column: `min_value`/`max_value`, or the deprecated pair, which is right for signed integers. */
function offsetStatistics(meta: ThriftStruct): RowGroup['offsets'] {
  const statistics = structField(meta, columnMeta.statistics)
  if (statistics === undefined) return null
  const min = integer(bytesField(statistics, 6) ?? bytesField(statistics, 2))
  const max = integer(bytesField(statistics, 5) ?? bytesField(statistics, 1))
  return min === null || max === null ? null : { min, max, nulls: numberField(statistics, 3) ?? null }
}

function integer(bytes: Uint8Array | undefined): number | null {
  if (bytes?.length === 8) return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true))
  if (bytes?.length === 4) return new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true)
  return null
}

/** Top-level column of each leaf of the schema tree, which is stored depth first. */
function leavesOf(metadata: ThriftStruct): string[] {
  const elements = structList(metadata, fileMetaData.schema)
  const leaves: string[] = []
  for (const { name, from, to } of topLevelColumns(elements)) {
    for (const element of elements.slice(from, to)) if ((numberField(element, schemaElement.children) ?? 0) === 0) leaves.push(name)
  }
  return leaves
}

/** Top-level columns and which schema elements, in depth-first order, make up each. Throws ParquetFormatError. */
export function topLevelColumns(elements: readonly ThriftStruct[]): { name: string; from: number; to: number }[] {
  const columns: { name: string; from: number; to: number }[] = []
  for (let at = 1; at < elements.length; ) {
    let to = at
    for (let open = 1; open > 0; to++) {
      const element = elements[to]
      if (element === undefined) throw new ParquetFormatError('damaged Parquet footer: the schema tree is cut off')
      open += (numberField(element, schemaElement.children) ?? 0) - 1
    }
    columns.push({ name: text.decode(bytesField(elements[at]!, schemaElement.name) ?? new Uint8Array()), from: at, to })
    at = to
  }
  return columns
}

function projectSchema(metadata: ThriftStruct, columns: ReadonlySet<string>): ThriftValue[] {
  const elements = structList(metadata, fileMetaData.schema)
  const kept = topLevelColumns(elements).filter(({ name }) => columns.has(name))
  return [
    patched(elements[0]!, { [schemaElement.children]: i32Field(kept.length) }),
    ...kept.flatMap(({ from, to }) => elements.slice(from, to)),
  ]
}

/** A column chunk at its new place. The struct has no page indexes yet. */
interface MovedChunk {
  readonly original: ColumnChunk
  readonly struct: ThriftStruct
  readonly parts: readonly Uint8Array[]
  readonly bytes: number
  readonly uncompressedBytes: number
  /** New position and size of each data page, null where they only moved by `delta`. */
  readonly dataPages: readonly { readonly at: number; readonly bytes: number }[] | null
  readonly delta: number
}

type PageChange = { readonly kind: 'keep' } | { readonly kind: 'compress'; readonly level: number } | { readonly kind: 'decompress' }

/** The chunk with the bytes `bytes`, moved to `at`, its pages (de)compressed on the way where that applies. */
function moveChunk(chunk: ColumnChunk, bytes: Uint8Array, at: number, pages: PageChange): MovedChunk {
  const meta = structField(chunk.struct, columnChunk.metaData)!
  const codec = numberField(meta, columnMeta.codec)
  const delta = at - chunk.start
  const common = { [columnMeta.bloomFilterAt]: null, [columnMeta.bloomFilterBytes]: null }
  const moved = (metaData: ThriftStruct): ThriftStruct => patched(chunk.struct, {
    [columnChunk.fileOffset]: i64Field(0),
    [columnChunk.metaData]: { type: thriftType.struct, value: metaData },
    [columnChunk.offsetIndexAt]: null, [columnChunk.offsetIndexBytes]: null,
    [columnChunk.columnIndexAt]: null, [columnChunk.columnIndexBytes]: null,
  })
  const level = pages.kind === 'compress' && codec === codecUncompressed ? pages.level : null
  if (level === null && !(pages.kind === 'decompress' && codec === codecZstd)) {
    const by = (id: number) => {
      const from = numberField(meta, id)
      return from === undefined || from <= 0 ? null : i64Field(from + delta)
    }
    const metaData = patched(meta, {
      ...common,
      [columnMeta.dataPageAt]: by(columnMeta.dataPageAt) ?? i64Field(at),
      [columnMeta.indexPageAt]: by(columnMeta.indexPageAt),
      [columnMeta.dictionaryPageAt]: by(columnMeta.dictionaryPageAt),
    })
    const uncompressedBytes = numberField(meta, columnMeta.uncompressedBytes) ?? 0
    return { original: chunk, struct: moved(metaData), parts: [bytes], bytes: bytes.length, uncompressedBytes, dataPages: null, delta }
  }
  const rewritten = rewritePages(() => (level === null ? decompressPages(bytes) : compressPages(bytes, level)))
  const parts: Uint8Array[] = []
  const dataPages: { at: number; bytes: number }[] = []
  let uncompressedBytes = 0
  let position = at
  let dictionaryAt: number | null = null
  for (const page of rewritten) {
    const size = page.header.length + page.body.length
    parts.push(page.header, page.body)
    if (page.isDictionary) dictionaryAt = position
    else dataPages.push({ at: position, bytes: size })
    uncompressedBytes += page.header.length + page.uncompressedBytes
    position += size
  }
  const metaData = patched(meta, {
    ...common,
    [columnMeta.codec]: i32Field(level === null ? codecUncompressed : codecZstd),
    [columnMeta.uncompressedBytes]: i64Field(uncompressedBytes),
    [columnMeta.compressedBytes]: i64Field(position - at),
    [columnMeta.dataPageAt]: i64Field(dataPages[0]?.at ?? at),
    [columnMeta.indexPageAt]: null,
    [columnMeta.dictionaryPageAt]: dictionaryAt === null ? null : i64Field(dictionaryAt),
  })
  return { original: chunk, struct: moved(metaData), parts, bytes: position - at, uncompressedBytes, dataPages, delta }
}

function rewritePages(rewrite: () => Page[]): Page[] {
  try {
    return rewrite()
  } catch (cause) {
    throw new ParquetFormatError(`damaged Parquet page: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/**
 * The chunk's struct with the page indexes of the original file, brought up to date; `place` takes their bytes and tells where they
 * will be.
 */
function placeIndexes(chunk: MovedChunk, file: Uint8Array, place: (bytes: Uint8Array) => number): ThriftStruct {
  const original = chunk.original.struct
  const slice = (atId: number, bytesId: number): Uint8Array | null => {
    const at = numberField(original, atId)
    const bytes = numberField(original, bytesId)
    return at === undefined || bytes === undefined ? null : file.subarray(at, at + bytes)
  }
  const columnIndex = slice(columnChunk.columnIndexAt, columnChunk.columnIndexBytes)
  const offsetIndex = slice(columnChunk.offsetIndexAt, columnChunk.offsetIndexBytes)
  const moved = offsetIndex === null ? null : moveOffsetIndex(offsetIndex, chunk)
  return patched(chunk.struct, {
    [columnChunk.columnIndexAt]: columnIndex === null ? null : i64Field(place(columnIndex)),
    [columnChunk.columnIndexBytes]: columnIndex === null ? null : i32Field(columnIndex.length),
    [columnChunk.offsetIndexAt]: moved === null ? null : i64Field(place(moved)),
    [columnChunk.offsetIndexBytes]: moved === null ? null : i32Field(moved.length),
  })
}

/** OffsetIndex: field 1 is a list of PageLocation, one per data page: 1 position in the file, 2 size with header. */
function moveOffsetIndex(bytes: Uint8Array, { dataPages, delta }: MovedChunk): Uint8Array {
  const index = readThriftStruct(bytes)
  const locations = structList(index, 1)
  if (dataPages !== null && dataPages.length !== locations.length) throw new ParquetFormatError('a page index does not fit its pages')
  const pages = locations.map((location, i) => dataPages === null
    ? patched(location, { 1: i64Field((numberField(location, 1) ?? 0) + delta) })
    : patched(location, { 1: i64Field(dataPages[i]!.at), 2: i32Field(dataPages[i]!.bytes) }))
  return writeThriftStruct(patched(index, { 1: listOf(thriftType.struct, pages) }))
}

/** SortingColumn: index of the leaf column, ascending, nulls last. */
function sortingColumn(column: number): ThriftStruct {
  return new Map([
    [1, i32Field(column)],
    [2, { type: thriftType.false, value: false }],
    [3, { type: thriftType.false, value: false }],
  ])
}

/** The footer of a file with its length and the magic behind it. */
export function footerBytes(metadata: ThriftStruct): Uint8Array[] {
  const footer = writeThriftStruct(metadata)
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, footer.length, true)
  return [footer, length, magic]
}

/** The parts one after the other, in a buffer of exactly that size (which can be transferred). */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
