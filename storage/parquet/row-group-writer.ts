/**
 * Row groups of a topic's table, from columns straight to pages: without an Arrow stream in between, and without the Parquet library, whose
 * memory the columns would have to be copied into and out of. Offsets, timestamps and lengths are differences (DELTA_BINARY_PACKED), keys and
 * values lie one after the other behind their lengths (DELTA_LENGTH_BYTE_ARRAY). There is no dictionary, which zstd makes up for, and no page
 * index: row groups are small, and have statistics.
 *
 * Source: parquet.thrift; Parquet format, "Encodings", "Nested Encoding", "Data Pages".
 */
import type { BytesView, ColumnView, IntegerView, ListView } from './arrow-views.ts'
import { isValid, ofKind } from './arrow-views.ts'
import { columnChunk, columnMeta, concatenate, footerBytes, magic } from './footer.ts'
import type { PageBuffer } from './page-buffer.ts'
import { codecUncompressed, codecZstd, compressBody } from './page-codec.ts'
import { PageLevel } from './page-level.ts'
import { release } from './release.ts'
import type { Range, RowColumns } from './row-columns.ts'
import { i32Field, i64Field, listOf, thriftType, writeThriftStruct } from './thrift-compact.ts'
import type { ThriftField, ThriftStruct, ThriftValue } from './thrift-compact.ts'
import { offsetLeaf } from './topic-schema.ts'
import type { TopicColumn } from './topic-schema.ts'

/** Bytes of keys, values or headers that make up a page, roughly. */
const pageBytes = 1024 * 1024
/** Files up to this size are one piece: they are kept for a while, and a page may take twice its size in memory. */
const wholeBytesMax = 8 * 1024 * 1024
/** Pages of fewer bytes may lie in memory that is shared, and are copied. */
const pieceBytesMin = 256 * 1024

const physical = { int32: 1, int64: 2, byteArray: 6 } as const
const optional = 1
const repeated = 2
const encoding = { rle: 3, deltaBinaryPacked: 5, deltaLengthByteArray: 6 } as const
const createdBy = 'bayou'

/** Column chunks of one row group, and what the footer says about them. */
export interface WrittenRowGroup {
  readonly rows: number
  readonly chunks: readonly ChunkSummary[]
  /** Of all chunks, headers and bodies, one after the other; each has its memory for itself. */
  readonly pages: readonly Uint8Array[]
}

interface WrittenChunk {
  readonly summary: ChunkSummary
  readonly pages: readonly Uint8Array[]
}

interface ChunkSummary {
  readonly leaf: Leaf
  readonly bytes: number
  readonly uncompressedBytes: number
  readonly entries: number
  readonly statistics: Statistics
}

interface Statistics {
  readonly nulls: number
  /** Of integers that are exact. */
  readonly range: Range | null
}

interface Leaf {
  readonly path: readonly string[]
  readonly physical: number
  readonly encoding: number
}

/** `zstdLevel` null leaves pages uncompressed. `page` is working memory. */
export function writeRowGroup(columns: RowColumns, zstdLevel: number | null, page: PageBuffer): WrittenRowGroup {
  const { rows } = columns
  const views = columns.views()
  const nulls = columns.nullCounts()
  const { offsets, micros } = columns.ranges()
  const writer = new ChunkWriter(zstdLevel, page)
  const integers = (column: TopicColumn, range: Range | null): WrittenChunk =>
    writer.integers(column, ofKind(views, column, 'integer'), rows, { nulls: nulls[column], range })
  const headers = ofKind(views, 'headers', 'list')
  const chunks = [
    integers('offset', offsets),
    integers('timestamp', micros),
    integers('timestampType', null),
    writer.byteStrings('key', ofKind(views, 'key', 'bytes'), rows, nulls.key),
    writer.byteStrings('value', ofKind(views, 'value', 'bytes'), rows, nulls.value),
    writer.headers('key', headers, rows),
    writer.headers('value', headers, rows),
  ]
  return { rows, chunks: chunks.map(({ summary }) => summary), pages: chunks.flatMap(({ pages }) => pages) }
}

/** The same in one piece of memory. What was in the pages is gone. */
export function packed(group: WrittenRowGroup): WrittenRowGroup {
  const pages = [concatenate(group.pages)]
  for (const page of group.pages) release(page)
  return { ...group, pages }
}

/** A whole file of row groups, in pieces that nothing else shares memory with. The memory of the pages is given back, or is that of the pieces. */
export function writeTopicFile(groups: readonly WrittenRowGroup[], zstdLevel: number | null): Uint8Array[] {
  const parts: Uint8Array[] = [magic]
  let at = magic.length
  const structs = groups.map((group, ordinal): ThriftStruct => {
    const start = at
    parts.push(...group.pages)
    const chunks = group.chunks.map((chunk) => {
      const struct = chunkStruct(chunk, at, zstdLevel)
      at += chunk.bytes
      return struct
    })
    return structOf({
      1: listOf(thriftType.struct, chunks),
      2: i64Field(group.chunks.reduce((sum, chunk) => sum + chunk.uncompressedBytes, 0)),
      3: i64Field(group.rows),
      4: structList([{ 1: i32Field(offsetLeaf), 2: flag(false), 3: flag(false) }]),
      5: i64Field(start),
      6: i64Field(at - start),
      7: { type: thriftType.i16, value: ordinal },
    })
  })
  const metadata = structOf({
    1: i32Field(1),
    2: listOf(thriftType.struct, [...schema]),
    3: i64Field(groups.reduce((sum, group) => sum + group.rows, 0)),
    4: listOf(thriftType.struct, structs),
    6: binary(createdBy),
    // Bounds are by the order of the type: without this readers do not trust `min_value` and `max_value`.
    7: structList(leafElements.map(() => ({ 1: nested({}) }))),
  })
  parts.push(...footerBytes(metadata))
  const small = at <= wholeBytesMax
  const pieces = joinParts(parts, small ? Infinity : pieceBytesMin)
  for (const part of parts) if (small || part.length < pieceBytesMin) release(part)
  return pieces
}

/** Parts of fewer bytes are put together with their neighbours, in their order; the others are pieces by themselves. */
function joinParts(parts: readonly Uint8Array[], bytesMin: number): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let from = 0
  for (let i = 0; i <= parts.length; i++) {
    const part = parts[i]
    if (part !== undefined && part.length < bytesMin) continue
    if (i > from) pieces.push(concatenate(parts.slice(from, i)))
    if (part !== undefined) pieces.push(part)
    from = i + 1
  }
  return pieces
}

// ---- column chunks --------------------------------------------------------------------------------------------------------------

class ChunkWriter {
  readonly #zstdLevel: number | null
  readonly #page: PageBuffer

  constructor(zstdLevel: number | null, page: PageBuffer) {
    this.#zstdLevel = zstdLevel
    this.#page = page
  }

  integers(column: TopicColumn, view: IntegerView, rows: number, statistics: Statistics): WrittenChunk {
    const leaf: Leaf = { path: [column], physical: view.wide ? physical.int64 : physical.int32, encoding: encoding.deltaBinaryPacked }
    const chunk = new Chunk(leaf, this.#zstdLevel, this.#page)
    this.#page.clear()
    this.#validity(view, 0, rows, statistics.nulls)
    if (statistics.nulls === 0) this.#page.deltas(view.words, 0, rows, view.wide)
    else {
      const step = view.wide ? 2 : 1
      const there = new Int32Array((rows - statistics.nulls) * step)
      let count = 0
      for (let row = 0; row < rows; row++) {
        if (!isValid(view.validity, row)) continue
        for (let i = 0; i < step; i++) there[count++] = view.words[row * step + i]!
      }
      this.#page.deltas(there, 0, count / step, view.wide)
    }
    chunk.endPage(rows)
    return chunk.finish(statistics)
  }

  byteStrings(column: TopicColumn, view: BytesView, rows: number, nulls: number): WrittenChunk {
    const leaf: Leaf = { path: [column], physical: physical.byteArray, encoding: encoding.deltaLengthByteArray }
    const chunk = new Chunk(leaf, this.#zstdLevel, this.#page)
    const { offsets } = view
    for (let from = 0; from < rows; ) {
      // Pages begin at whole bytes of the validity bits.
      let to = Math.min(rows, from + 8)
      while (to < rows && offsets[to]! - offsets[from]! < pageBytes) to = Math.min(rows, to + 8)
      this.#page.clear()
      this.#validity(view, from, to, nulls)
      this.#lengthsAndBytes(view, from, to, nulls > 0)
      chunk.endPage(to - from)
      from = to
    }
    return chunk.finish({ nulls, range: null })
  }

  /** Levels: list null 0, list empty 1, value null 3, value 4; an element that begins its row repeats at 0. */
  headers(field: 'key' | 'value', lists: ListView, rows: number): WrittenChunk {
    const leaf: Leaf = { path: ['headers', 'list', 'element', field], physical: physical.byteArray, encoding: encoding.deltaLengthByteArray }
    const chunk = new Chunk(leaf, this.#zstdLevel, this.#page)
    const view = ofKind(lists.fields, field, 'bytes')
    const { offsets: listAt } = lists
    let nulls = 0
    for (let from = 0; from < rows; ) {
      let to = from
      let entries = 0
      const firstByte = view.offsets[listAt[from]!]!
      do {
        entries += Math.max(1, listAt[to + 1]! - listAt[to]!)
        to++
      } while (to < rows && view.offsets[listAt[to]!]! - firstByte < pageBytes)
      const first = listAt[from]!
      const last = listAt[to]!
      this.#page.clear()
      if (first === last && !anyValid(lists, from, to)) {
        this.#page.levelRun(0, entries)
        this.#page.levelRun(0, entries)
        nulls += entries
      } else {
        const repetition = new Uint8Array(entries)
        const definition = new Uint8Array(entries)
        let at = 0
        for (let row = from; row < to; row++) {
          const begin = listAt[row]!
          const end = listAt[row + 1]!
          if (begin === end) definition[at++] = isValid(lists.validity, row) ? 1 : 0
          for (let i = begin; i < end; i++) {
            repetition[at] = i === begin ? 0 : 1
            definition[at++] = isValid(view.validity, i) ? 4 : 3
          }
        }
        for (const level of definition) if (level < 4) nulls++
        this.#page.levels(repetition, 1)
        this.#page.levels(definition, 3)
      }
      this.#lengthsAndBytes(view, first, last, true)
      chunk.endPage(entries)
      from = to
    }
    return chunk.finish({ nulls, range: null })
  }

  #validity(view: ColumnView, from: number, to: number, nulls: number): void {
    if (nulls === 0 || view.validity === null) this.#page.levelRun(1, to - from)
    else if (!anyValid(view, from, to)) this.#page.levelRun(0, to - from)
    else this.#page.levelBits(view.validity.bits, from, to - from)
  }

  #lengthsAndBytes(view: BytesView, from: number, to: number, hasNulls: boolean): void {
    const { offsets } = view
    const lengths = new Int32Array(to - from)
    let count = 0
    for (let row = from; row < to; row++) {
      if (!hasNulls || isValid(view.validity, row)) lengths[count++] = offsets[row + 1]! - offsets[row]!
    }
    this.#page.deltas(lengths, 0, count, false)
    this.#page.raw(view.bytes.subarray(offsets[from], offsets[to]))
  }
}

function anyValid(view: ColumnView, from: number, to: number): boolean {
  for (let row = from; row < to; row++) if (isValid(view.validity, row)) return true
  return false
}

/** Pages of one leaf, one after the other. */
class Chunk {
  readonly #leaf: Leaf
  readonly #level: PageLevel | null
  readonly #page: PageBuffer
  readonly #pages: Uint8Array[] = []
  #bytes = 0
  #uncompressedBytes = 0
  #entries = 0

  constructor(leaf: Leaf, zstdLevel: number | null, page: PageBuffer) {
    this.#leaf = leaf
    this.#level = zstdLevel === null ? null : new PageLevel(zstdLevel)
    this.#page = page
  }

  /** Takes what is in the buffer. */
  endPage(entries: number): void {
    const plain = this.#page.bytes()
    const body = this.#level === null ? plain.slice() : compressBody(plain, this.#level.next)
    this.#level?.wrote(plain.length, body.length)
    const header = writeThriftStruct(structOf({
      1: i32Field(0),
      2: i32Field(plain.length),
      3: i32Field(body.length),
      5: nested({ 1: i32Field(entries), 2: i32Field(this.#leaf.encoding), 3: i32Field(encoding.rle), 4: i32Field(encoding.rle) }),
    }))
    this.#pages.push(header, body)
    this.#bytes += header.length + body.length
    this.#uncompressedBytes += header.length + plain.length
    this.#entries += entries
  }

  finish(statistics: Statistics): WrittenChunk {
    const summary = { leaf: this.#leaf, bytes: this.#bytes, uncompressedBytes: this.#uncompressedBytes, entries: this.#entries, statistics }
    return { summary, pages: this.#pages }
  }
}

// ---- footer ---------------------------------------------------------------------------------------------------------------------

function chunkStruct(chunk: ChunkSummary, at: number, zstdLevel: number | null): ThriftStruct {
  const { leaf, statistics } = chunk
  const { nulls, range } = statistics
  const bounds = range !== null && Number.isSafeInteger(range.min) && Number.isSafeInteger(range.max)
    ? { 5: int64Bytes(range.max), 6: int64Bytes(range.min), 7: flag(true), 8: flag(true) } : {}
  return structOf({
    [columnChunk.fileOffset]: i64Field(0),
    [columnChunk.metaData]: nested({
      1: i32Field(leaf.physical),
      2: listOf(thriftType.i32, [encoding.rle, leaf.encoding]),
      [columnMeta.path]: listOf(thriftType.binary, leaf.path.map((name) => encoder.encode(name))),
      [columnMeta.codec]: i32Field(zstdLevel === null ? codecUncompressed : codecZstd),
      [columnMeta.values]: i64Field(chunk.entries),
      [columnMeta.uncompressedBytes]: i64Field(chunk.uncompressedBytes),
      [columnMeta.compressedBytes]: i64Field(chunk.bytes),
      [columnMeta.dataPageAt]: i64Field(at),
      [columnMeta.statistics]: nested({ 3: i64Field(nulls), ...bounds }),
    }),
  })
}

const encoder = new TextEncoder()

function structOf(fields: Readonly<Record<number, ThriftField>>): ThriftStruct {
  return new Map(Object.entries(fields).map(([id, field]) => [Number(id), field]))
}

const nested = (fields: Readonly<Record<number, ThriftField>>): ThriftField => ({ type: thriftType.struct, value: structOf(fields) })
const structList = (items: readonly Readonly<Record<number, ThriftField>>[]): ThriftField =>
  listOf(thriftType.struct, items.map((item): ThriftValue => structOf(item)))
const binary = (text: string): ThriftField => ({ type: thriftType.binary, value: encoder.encode(text) })
const flag = (value: boolean): ThriftField => ({ type: value ? thriftType.true : thriftType.false, value })

function int64Bytes(value: number): ThriftField {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true)
  return { type: thriftType.binary, value: bytes }
}

/** SchemaElements, depth first: a type for leaves, a number of children for groups, and annotations old and new. */
const element = (name: string, fields: Readonly<Record<number, ThriftField>>): ThriftStruct => structOf({ 4: binary(name), ...fields })
const leafElement = (name: string, type: number, more: Readonly<Record<number, ThriftField>> = {}): ThriftStruct =>
  ordered(element(name, { 1: i32Field(type), 3: i32Field(optional), ...more }))
const ordered = (struct: ThriftStruct): ThriftStruct => new Map([...struct].toSorted((a, b) => a[0] - b[0]))

const schema: readonly ThriftStruct[] = [
  ordered(element('schema', { 5: i32Field(6) })),
  leafElement('offset', physical.int64),
  // TIMESTAMP_MICROS; logical TIMESTAMP, adjusted to UTC, MICROS.
  leafElement('timestamp', physical.int64, { 6: i32Field(10), 10: nested({ 8: nested({ 1: flag(true), 2: nested({ 2: nested({}) }) }) }) }),
  leafElement('timestampType', physical.int32),
  leafElement('key', physical.byteArray),
  leafElement('value', physical.byteArray),
  // LIST.
  ordered(element('headers', { 3: i32Field(optional), 5: i32Field(1), 6: i32Field(3), 10: nested({ 3: nested({}) }) })),
  ordered(element('list', { 3: i32Field(repeated), 5: i32Field(1) })),
  ordered(element('element', { 3: i32Field(optional), 5: i32Field(2) })),
  // UTF8, STRING.
  leafElement('key', physical.byteArray, { 6: i32Field(0), 10: nested({ 1: nested({}) }) }),
  leafElement('value', physical.byteArray),
]
const leafElements = schema.filter((struct) => struct.has(1))
