/**
 * Columns of a row group decoded straight from their pages, without the Parquet library: a cold read then neither builds a file around a row
 * group nor copies it into the library's memory and out again. Covers what our own writer and most others produce for these columns: pages
 * that are not compressed or with zstd, and the encodings of `encodings.ts`, PLAIN, DELTA_LENGTH_BYTE_ARRAY and dictionaries. For everything
 * else the answer is null, and the library reads it.
 *
 * Source: parquet.thrift (SchemaElement, PageHeader, DataPageHeader, DataPageHeaderV2, Encoding); Parquet format, "Nested Encoding".
 */
import type { BytesView, ColumnView, IntegerView, Validity } from './arrow-views.ts'
import { isHybridRun, readDeltas, readHybrid } from './encodings.ts'
import { ParquetFormatError, columnMeta, columnChunk, schemaElement, topLevelColumns } from './footer.ts'
import type { ColumnChunk, ParquetFooter, RowGroup } from './footer.ts'
import { codecUncompressed, codecZstd, pagesOf, plainBody } from './page-codec.ts'
import { release } from './release.ts'
import { bytesField, numberField, structField, structList } from './thrift-compact.ts'
import type { ThriftStruct } from './thrift-compact.ts'

const physical = { int32: 1, int64: 2, byteArray: 6 } as const
const repetition = { required: 0, optional: 1, repeated: 2 } as const
const converted = { timestampMicros: 10 } as const
const encoding = { plain: 0, plainDictionary: 2, rle: 3, deltaBinaryPacked: 5, deltaLengthByteArray: 6, rleDictionary: 8 } as const
const pageType = { data: 0, index: 1, dictionary: 2, dataV2: 3 } as const
const pageHeader = { type: 1, data: 5, dictionary: 7, dataV2: 8 } as const
const fileMetaDataSchema = 2

/** Rows of a row group beyond which the library reads it, span by span. */
const rowsMax = 4 * 1024 * 1024

/** The column, or null where this is for the library. `bytesOf` gives the bytes of a chunk. Throws ParquetFormatError on damaged pages. */
export function readColumn(
  footer: ParquetFooter, group: RowGroup, column: string, bytesOf: (chunk: ColumnChunk) => Uint8Array,
): ColumnView | null {
  const chunks = group.chunks.filter((chunk) => chunk.column === column)
  const schema = structList(footer.metadata, fileMetaDataSchema)
  const place = topLevelColumns(schema).find(({ name }) => name === column)
  if (place === undefined || group.rows > rowsMax) return null
  const elements = schema.slice(place.from, place.to)
  try {
    if (elements.length === 1 && chunks.length === 1) return flatColumn(elements[0]!, chunks[0]!, group.rows, bytesOf)
    return column === 'headers' ? headersColumn(elements, chunks, group.rows, bytesOf) : null
  } catch (cause) {
    if (cause instanceof ParquetFormatError) throw cause
    throw new ParquetFormatError(`damaged pages of column ${column}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

function flatColumn(element: ThriftStruct, chunk: ColumnChunk, rows: number, bytesOf: (chunk: ColumnChunk) => Uint8Array): ColumnView | null {
  const repeats = numberField(element, schemaElement.repetition)
  const type = typeOf(element)
  if (type === null || repeats === repetition.repeated) return null
  const leaf: Leaf = { ...type, definitionMax: repeats === repetition.optional ? 1 : 0, repetitionMax: 0 }
  const values = readLeaf(leaf, chunk, rows, bytesOf(chunk))
  return values === null ? null : viewOf(values, leaf)
}

/** Lists of structs of key and value, in the layout of the format's "Lists": group, repeated group, element group, two leaves. */
function headersColumn(
  elements: readonly ThriftStruct[], chunks: readonly ColumnChunk[], rows: number, bytesOf: (chunk: ColumnChunk) => Uint8Array,
): ColumnView | null {
  const [list, repeated, element, ...leaves] = elements
  if (list === undefined || repeated === undefined || element === undefined || leaves.length !== 2 || chunks.length !== 2) return null
  const repetitions = [list, repeated, element, ...leaves].map((one) => numberField(one, schemaElement.repetition) ?? 0)
  const optional = (at: number): number => (repetitions[at] === repetition.optional ? 1 : 0)
  if (numberField(list, schemaElement.children) !== 1 || numberField(repeated, schemaElement.children) !== 1) return null
  if (numberField(element, schemaElement.children) !== 2 || repetitions[1] !== repetition.repeated) return null
  if (repetitions.some((one, i) => i !== 1 && one === repetition.repeated)) return null
  /** From this definition level on, the list is there, has an element, and the element is there. */
  const listAt = optional(0)
  const itemAt = listAt + 1
  const elementAt = itemAt + optional(2)
  const fields = new Map<string, ColumnView>()
  let lists: Lists | null = null
  for (const [i, element] of leaves.entries()) {
    const type = typeOf(element)
    if (type === null || type.physical !== physical.byteArray) return null
    const leaf: Leaf = { ...type, definitionMax: elementAt + optional(3 + i), repetitionMax: 1 }
    const entries = numberField(structField(chunks[i]!.struct, columnChunk.metaData) ?? new Map(), columnMeta.values) ?? -1
    const levels = readLeaf(leaf, chunks[i]!, entries, bytesOf(chunks[i]!), { itemAt, elementAt })
    if (levels === null) return null
    const shape = listsOf(levels, rows, listAt, itemAt)
    if (lists !== null && Buffer.compare(bytesOfWords(shape.offsets), bytesOfWords(lists.offsets)) !== 0) {
      throw new RangeError('header keys and values differ in number')
    }
    lists = shape
    fields.set(nameOf(element), viewOf(levels, leaf))
  }
  return { kind: 'list', length: rows, ...lists!, elementValidity: null, fields }
}

const bytesOfWords = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength)

interface Lists {
  readonly offsets: Int32Array
  readonly validity: Validity
}

/** Where the list of each row begins and ends among the elements. */
function listsOf(leaf: LeafValues, rows: number, listAt: number, itemAt: number): Lists {
  const { definition, repetition: repeats, entries, isVoid } = leaf
  if (isVoid && listAt > 0 && entries === rows) return { offsets: new Int32Array(rows + 1), validity: { bits: new Uint8Array((rows + 7) >> 3), from: 0 } }
  if (definition === null || repeats === null) throw new RangeError('a list without levels')
  const offsets = new Int32Array(rows + 1)
  const bits = new Uint8Array((rows + 7) >> 3)
  let row = -1
  let items = 0
  for (let i = 0; i < definition.length; i++) {
    if (repeats[i] === 0) {
      row++
      if (row >= rows) throw new RangeError('more lists than rows')
      offsets[row] = items
      if (definition[i]! >= listAt) bits[row >> 3]! |= 1 << (row & 7)
    } else if (row < 0) throw new RangeError('a list begins in its middle')
    if (definition[i]! >= itemAt) items++
  }
  if (row !== rows - 1) throw new RangeError('fewer lists than rows')
  offsets[rows] = items
  return { offsets, validity: { bits, from: 0 } }
}

function nameOf(element: ThriftStruct): string {
  return new TextDecoder().decode(bytesField(element, schemaElement.name) ?? new Uint8Array())
}

// ---- one leaf -------------------------------------------------------------------------------------------------------------------

interface LeafType {
  readonly physical: number
  readonly ticksPerSecond: number | null
}

interface Leaf extends LeafType {
  readonly definitionMax: number
  readonly repetitionMax: number
}

/** Types of our columns; null for all others, whose meaning the library knows. */
function typeOf(element: ThriftStruct): LeafType | null {
  const type = numberField(element, schemaElement.type) ?? -1
  const annotation = numberField(element, schemaElement.converted)
  switch (type) {
    case physical.int64:
      if (annotation === converted.timestampMicros) return { physical: type, ticksPerSecond: 1e6 }
      return annotation === undefined && !element.has(schemaElement.logical) ? { physical: type, ticksPerSecond: null } : null
    case physical.int32:
      return annotation === undefined && !element.has(schemaElement.logical) ? { physical: type, ticksPerSecond: null } : null
    case physical.byteArray:
      return annotation === undefined || annotation === 0 ? { physical: type, ticksPerSecond: null } : null
    default:
      return null
  }
}

interface LeafValues {
  readonly length: number
  /** Of slots: rows, or elements of lists. Null where all are there. */
  readonly validity: Validity | null
  readonly words: Int32Array
  readonly offsets: Int32Array
  readonly bytes: Uint8Array
  /** Levels of a leaf of lists, else null. */
  readonly definition: Uint8Array | null
  readonly repetition: Uint8Array | null
  /** Number of levels. */
  readonly entries: number
  /** All levels are 0: of lists, no row has one. */
  readonly isVoid: boolean
}

function viewOf(values: LeafValues, leaf: Leaf): ColumnView {
  const { length, validity, words, offsets, bytes } = values
  if (leaf.physical === physical.byteArray) return { kind: 'bytes', length, validity, offsets, bytes } satisfies BytesView
  return {
    kind: 'integer', length, validity, words, wide: leaf.physical === physical.int64, ticksPerSecond: leaf.ticksPerSecond,
  } satisfies IntegerView
}

/**
 * All pages of a leaf. `entries` is how many levels it has; of lists, entries below `itemAt` are no slots, and null elements (below `elementAt`) are
 * for the library.
 */
function readLeaf(
  leaf: Leaf, chunk: ColumnChunk, entries: number, bytes: Uint8Array, lists: { itemAt: number; elementAt: number } | null = null,
): LeafValues | null {
  const meta = structField(chunk.struct, columnChunk.metaData)
  const codec = meta === undefined ? undefined : numberField(meta, columnMeta.codec)
  if (meta === undefined || (codec !== codecUncompressed && codec !== codecZstd)) return null
  if (entries < 0 || entries > 16 * rowsMax) throw new RangeError('damaged number of values')
  const definition = leaf.definitionMax === 0 ? null : new Uint8Array(entries)
  const repeats = leaf.repetitionMax === 0 ? null : new Uint8Array(entries)
  const collected = new Values(leaf, entries, numberField(meta, columnMeta.uncompressedBytes) ?? 0)
  let at = 0
  let allThere = true
  let isVoid = repeats !== null
  /** Memory of decompressed pages, given back when their values are collected: at some garbage collection it would be in the way for long. */
  const spent: Uint8Array[] = []
  for (const { struct, body } of pagesOf(bytes)) {
    const type = numberField(struct, pageHeader.type)
    if (type === pageType.index) continue
    const plain = codec === codecUncompressed ? body : plainBody(struct, body)
    if (plain.buffer !== bytes.buffer) spent.push(plain)
    if (type === pageType.dictionary) {
      const header = structField(struct, pageHeader.dictionary)
      const form = header === undefined ? undefined : numberField(header, 2)
      if (header === undefined || (form !== encoding.plain && form !== encoding.plainDictionary)) return null
      collected.setDictionary(plain, numberField(header, 1) ?? 0)
      continue
    }
    const page = type === pageType.data ? dataPage(struct, plain, leaf) : type === pageType.dataV2 ? dataPageV2(struct, plain) : null
    if (page === null) return null
    if (page.entries < 0 || page.entries > entries - at) throw new RangeError('more values than declared')
    let present = page.entries
    const width = widthOf(leaf.definitionMax)
    const isRun = (from: number, to: number, bits: number, value: number): boolean => isHybridRun(plain, from, to, bits, page.entries, value)
    if (repeats !== null && page.entries > 0 && isRun(page.repetitionAt, page.definitionAt, 1, 0)
      && isRun(page.definitionAt, page.valuesAt, width, 0)) {
      // The levels are zeros already.
      if (!collected.add(plain, page.valuesAt, page.encoding, 0)) return null
      at += page.entries
      allThere = false
      continue
    }
    isVoid = false
    if (repeats !== null) readHybrid(plain, page.repetitionAt, page.definitionAt, 1, page.entries, repeats, at)
    if (definition !== null && page.entries > 0 && isRun(page.definitionAt, page.valuesAt, width, leaf.definitionMax)) {
      definition.fill(leaf.definitionMax, at, at + page.entries)
    } else if (definition !== null) {
      allThere = false
      readHybrid(plain, page.definitionAt, page.valuesAt, width, page.entries, definition, at)
      for (let i = at; i < at + page.entries; i++) if (definition[i]! < leaf.definitionMax) present--
    }
    if (!collected.add(plain, page.valuesAt, page.encoding, present)) return null
    at += page.entries
  }
  if (at !== entries) throw new RangeError('fewer values than declared')
  for (const page of spent) if (!collected.isIn(page)) release(page)
  if (lists === null) return { ...collected.spread(allThere ? null : slotsOf(definition, leaf.definitionMax), entries), definition: null, repetition: null, entries, isVoid }
  if (isVoid) return { ...collected.spread(null, 0), definition, repetition: repeats, entries, isVoid }
  const slots = levelsFrom(definition!, lists.itemAt)
  if (slots.some((level) => level < lists.elementAt)) return null
  return { ...collected.spread(slotsOf(slots, leaf.definitionMax), slots.length), definition, repetition: repeats, entries, isVoid }
}

/** The levels that are at least `least`. */
function levelsFrom(levels: Uint8Array, least: number): Uint8Array {
  const found = new Uint8Array(levels.length)
  let count = 0
  for (let i = 0; i < levels.length; i++) if (levels[i]! >= least) found[count++] = levels[i]!
  return found.subarray(0, count)
}

const widthOf = (levelMax: number): number => 32 - Math.clz32(levelMax)

/** Which slots hold a value, as bits; null where all do. */
function slotsOf(definition: Uint8Array | null, definitionMax: number): Uint8Array | null {
  if (definition === null) return null
  const bits = new Uint8Array((definition.length + 7) >> 3)
  for (let i = 0; i < definition.length; i++) if (definition[i] === definitionMax) bits[i >> 3]! |= 1 << (i & 7)
  return bits
}

/** Where the parts of a page's body are; each goes to where the next one begins. */
interface DataPage {
  readonly entries: number
  readonly encoding: number
  readonly repetitionAt: number
  readonly definitionAt: number
  readonly valuesAt: number
}

/** Levels have their length in front, and are there only where the column has such levels. */
function dataPage(struct: ThriftStruct, body: Uint8Array, leaf: Leaf): DataPage | null {
  const header = structField(struct, pageHeader.data)
  if (header === undefined) throw new RangeError('a data page without its header')
  let at = 0
  const levels = (there: boolean): { from: number; to: number } => {
    if (!there) return { from: at, to: at }
    if (body.length - at < 4) throw new RangeError('levels are cut off')
    const length = new DataView(body.buffer, body.byteOffset + at, 4).getUint32(0, true)
    const from = at + 4
    if (length > body.length - from) throw new RangeError('levels are cut off')
    at = from + length
    return { from, to: at }
  }
  const rle = (id: number): boolean => numberField(header, id) === encoding.rle
  if ((leaf.definitionMax > 0 && !rle(3)) || (leaf.repetitionMax > 0 && !rle(4))) return null
  const repeats = levels(leaf.repetitionMax > 0)
  const definition = levels(leaf.definitionMax > 0)
  return {
    entries: numberField(header, 1) ?? -1, encoding: numberField(header, 2) ?? -1,
    repetitionAt: repeats.from, definitionAt: leaf.definitionMax > 0 ? definition.from : at, valuesAt: at,
  }
}

function dataPageV2(struct: ThriftStruct, body: Uint8Array): DataPage {
  const header = structField(struct, pageHeader.dataV2)
  const definitionBytes = header === undefined ? -1 : numberField(header, 5) ?? 0
  const repetitionBytes = header === undefined ? -1 : numberField(header, 6) ?? 0
  if (header === undefined || definitionBytes < 0 || repetitionBytes < 0 || definitionBytes + repetitionBytes > body.length) {
    throw new RangeError('levels are cut off')
  }
  return {
    entries: numberField(header, 1) ?? -1, encoding: numberField(header, 4) ?? -1,
    repetitionAt: 0, definitionAt: repetitionBytes, valuesAt: repetitionBytes + definitionBytes,
  }
}

/** The values of a leaf that are there, page after page. */
class Values {
  readonly #leaf: Leaf
  readonly #step: number
  /** Of integers. */
  readonly #words: Int32Array
  /** Of byte strings. */
  readonly #offsets: Int32Array
  #bytes: Uint8Array = nothing
  #used = 0
  /** True while `#bytes` is the body of the only page so far, which is not ours to grow. */
  #borrowed = false
  #count = 0
  #dictionary: { readonly words: Int32Array; readonly offsets: Int32Array; readonly bytes: Uint8Array; readonly count: number } | null = null
  readonly #bytesExpected: number

  constructor(leaf: Leaf, entries: number, bytesExpected: number) {
    this.#leaf = leaf
    this.#step = leaf.physical === physical.int64 ? 2 : 1
    const isBytes = leaf.physical === physical.byteArray
    this.#words = new Int32Array(isBytes ? 0 : entries * this.#step)
    this.#offsets = new Int32Array(isBytes ? entries + 1 : 0)
    this.#bytesExpected = bytesExpected
  }

  setDictionary(body: Uint8Array, count: number): void {
    if (count < 0 || count > body.length) throw new RangeError('damaged size of a dictionary')
    const entries = new Values(this.#leaf, count, body.length)
    if (!entries.add(body, 0, encoding.plain, count)) throw new RangeError('a dictionary that is not plain')
    this.#dictionary = { words: entries.#words, offsets: entries.#offsets, bytes: entries.#bytes, count }
  }

  /** False for an encoding that is for the library. */
  add(body: Uint8Array, at: number, form: number, count: number): boolean {
    const isBytes = this.#leaf.physical === physical.byteArray
    switch (form) {
      case encoding.plain:
        if (isBytes) this.#addPlainBytes(body, at, count)
        else this.#addPlainIntegers(body, at, count)
        break
      case encoding.deltaBinaryPacked:
        if (isBytes) return false
        readDeltas(body, at, body.length, count, this.#step === 2, this.#words, this.#count)
        break
      case encoding.deltaLengthByteArray:
        if (!isBytes) return false
        this.#addDeltaLengths(body, at, count)
        break
      case encoding.plainDictionary:
      case encoding.rleDictionary:
        this.#addFromDictionary(body, at, count)
        break
      default:
        return false
    }
    this.#count += count
    return true
  }

  /** Whether the values still lie in the memory of this page. */
  isIn(page: Uint8Array): boolean {
    return this.#bytes.buffer === page.buffer
  }

  /** With slots for what is not there: `valid` has a bit for each of `length` slots, null where all are there. */
  spread(valid: Uint8Array | null, length: number): Omit<LeafValues, 'definition' | 'repetition' | 'entries' | 'isVoid'> {
    const words = this.#words
    const offsets = this.#offsets
    const bytes = this.#bytes.subarray(0, this.#used)
    if (valid === null) return { length, validity: null, words, offsets: offsets.subarray(0, offsets.length === 0 ? 0 : length + 1), bytes }
    const step = this.#step
    const isBytes = this.#leaf.physical === physical.byteArray
    // From the end, so that no value is overwritten before it has moved.
    let from = this.#count
    if (isBytes) offsets[length] = this.#used
    for (let slot = length - 1; slot >= 0; slot--) {
      const there = ((valid[slot >> 3]! >> (slot & 7)) & 1) === 1
      if (there) from--
      if (isBytes) offsets[slot] = there ? offsets[from]! : offsets[slot + 1]!
      else for (let i = step - 1; i >= 0; i--) words[slot * step + i] = there ? words[from * step + i]! : 0
    }
    return { length, validity: { bits: valid, from: 0 }, words, offsets: offsets.subarray(0, isBytes ? length + 1 : 0), bytes }
  }

  #addPlainIntegers(body: Uint8Array, at: number, count: number): void {
    const size = count * this.#step * 4
    if (size > body.length - at) throw new RangeError('values are cut off')
    const target = this.#words
    new Uint8Array(target.buffer, target.byteOffset + this.#count * this.#step * 4, size).set(body.subarray(at, at + size))
  }

  #addPlainBytes(body: Uint8Array, at: number, count: number): void {
    this.#reserve(body.length - at)
    const view = new DataView(body.buffer, body.byteOffset, body.length)
    for (let i = 0; i < count; i++) {
      if (body.length - at < 4) throw new RangeError('values are cut off')
      const length = view.getUint32(at, true)
      at += 4
      if (length > body.length - at) throw new RangeError('values are cut off')
      this.#bytes.set(body.subarray(at, at + length), this.#used)
      this.#used += length
      at += length
      this.#offsets[this.#count + i + 1] = this.#used
    }
  }

  #addDeltaLengths(body: Uint8Array, at: number, count: number): void {
    // The lengths first lie where the ends will be.
    const offsets = this.#offsets
    const from = readDeltas(body, at, body.length, count, false, offsets, this.#count + 1)
    let sum = 0
    for (let i = this.#count + 1; i <= this.#count + count; i++) {
      const length = offsets[i]!
      if (length < 0) throw new RangeError('a negative length')
      sum += length
      if (sum > body.length - from) throw new RangeError('values are cut off')
      offsets[i] = this.#used + sum
    }
    if (this.#used === 0 && !this.#borrowed) {
      this.#bytes = body.subarray(from, from + sum)
      this.#borrowed = true
    } else {
      this.#reserve(sum)
      this.#bytes.set(body.subarray(from, from + sum), this.#used)
    }
    this.#used += sum
  }

  #addFromDictionary(body: Uint8Array, at: number, count: number): void {
    const dictionary = this.#dictionary
    if (dictionary === null) throw new RangeError('a dictionary is missing')
    if (count === 0) return
    const indexes = new Int32Array(count)
    readHybrid(body, at + 1, body.length, body[at] ?? 32, count, indexes, 0)
    const step = this.#step
    const isBytes = this.#leaf.physical === physical.byteArray
    for (let i = 0; i < count; i++) {
      const index = indexes[i]!
      if (index < 0 || index >= dictionary.count) throw new RangeError('an entry is not in the dictionary')
      if (isBytes) {
        const start = dictionary.offsets[index]!
        const end = dictionary.offsets[index + 1]!
        this.#reserve(end - start)
        if (end > start) this.#bytes.set(dictionary.bytes.subarray(start, end), this.#used)
        this.#used += end - start
        this.#offsets[this.#count + i + 1] = this.#used
      } else for (let k = 0; k < step; k++) this.#words[(this.#count + i) * step + k] = dictionary.words[index * step + k]!
    }
  }

  /** Room for `more` bytes, in memory of our own. */
  #reserve(more: number): void {
    const needed = this.#used + more
    if (!this.#borrowed && needed <= this.#bytes.length) return
    if (needed > 2 ** 31 - 1) throw new RangeError('a column holds less than 2 GiB')
    // Not initialised: all of it that is used is written.
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#borrowed || this.#bytes.length === 0 ? this.#bytesExpected : this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#used))
    this.#bytes = new Uint8Array(grown.buffer, 0, grown.length)
    this.#borrowed = false
  }
}

const nothing = new Uint8Array(0)
