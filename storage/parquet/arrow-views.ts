/**
 * Typed-array views of Arrow arrays that lie in the memory of the Parquet library, read through the Arrow C data interface: no
 * serialization, no copies, no object per row. The views are dead as soon as the library allocates again (its memory may move) or
 * the table is freed; whoever holds one longer copies.
 *
 * Covers the types that the columns of a topic's table can have in a Parquet file, whoever wrote it. Pointers are 32-bit (wasm32).
 *
 * Source: Arrow columnar format, "The Arrow C data interface" and "Format strings".
 */

/** Int64, Int32 and smaller, Timestamp. `int64` is at hand instead of `int32` for 64-bit columns, as pairs of 32-bit words. */
export interface IntegerView {
  readonly kind: 'integer'
  readonly length: number
  readonly validity: Validity | null
  /** 32-bit values, or for 64-bit columns low and high word alternating. */
  readonly words: Int32Array
  readonly wide: boolean
  /** Ticks per second of a timestamp column, else null. */
  readonly ticksPerSecond: number | null
}

/** Binary, Utf8 and their large variants: value i is `bytes[offsets[i], offsets[i + 1])`. */
export interface BytesView {
  readonly kind: 'bytes'
  readonly length: number
  readonly validity: Validity | null
  readonly offsets: Int32Array
  readonly bytes: Uint8Array
}

/** List of structs: elements of row i are `offsets[i]` to `offsets[i + 1]` of the fields. */
export interface ListView {
  readonly kind: 'list'
  readonly length: number
  readonly validity: Validity | null
  readonly offsets: Int32Array
  readonly elementValidity: Validity | null
  readonly fields: ReadonlyMap<string, ColumnView>
}

export type ColumnView = IntegerView | BytesView | ListView

/** Bit i + `from` tells whether value i is there. */
export interface Validity {
  readonly bits: Uint8Array
  readonly from: number
}

export function isValid(validity: Validity | null, index: number): boolean {
  if (validity === null) return true
  const bit = validity.from + index
  return ((validity.bits[bit >> 3]! >> (bit & 7)) & 1) === 1
}

/** A column that is known to be of this kind. Throws TypeError where it is not. */
export function ofKind<K extends ColumnView['kind']>(columns: ReadonlyMap<string, ColumnView>, name: string, kind: K): Extract<ColumnView, { kind: K }> {
  const column = columns.get(name)
  if (column?.kind !== kind) throw new TypeError(`column ${name} is no ${kind}`)
  return column as Extract<ColumnView, { kind: K }>
}

/** A column has an Arrow type that the table's schema does not allow for it. */
export class UnsupportedColumnError extends Error {
  constructor(column: string, format: string) {
    super(`column ${column} has the unsupported Arrow type ${format}`)
    this.name = 'UnsupportedColumnError'
  }
}

/** Columns by name of the record batch whose ArrowArray and ArrowSchema structs are at these addresses. */
export function columnViews(memory: ArrayBufferLike, arrayAddress: number, schemaAddress: number): Map<string, ColumnView> {
  const at = new Memory(memory)
  const columns = new Map<string, ColumnView>()
  const schema = at.schema(schemaAddress)
  const array = at.array(arrayAddress)
  schema.children.forEach((child, i) => {
    const view = viewOf(at, at.array(array.children[i]!), child, array.offset, array.length)
    columns.set(at.schema(child).name, view)
  })
  return columns
}

function viewOf(at: Memory, array: ArrowArray, schemaAddress: number, parentOffset: number, length: number): ColumnView {
  const { format, name, children } = at.schema(schemaAddress)
  const from = array.offset + parentOffset
  const bits = array.buffers[0] ?? 0
  const validity = bits === 0 || array.nulls === 0 ? null : { bits: at.bytes(bits, (from + length + 7) >> 3), from }
  const data = array.buffers[1] ?? 0
  const integer = (words: Int32Array, wide: boolean, ticksPerSecond: number | null = null): IntegerView =>
    ({ kind: 'integer', length, validity, words, wide, ticksPerSecond })
  switch (format.startsWith('ts') ? format.slice(0, 3) : format) {
    case 'l':
    case 'L':
      return integer(at.words(data + from * 8, length * 2), true)
    case 'tss':
      return integer(at.words(data + from * 8, length * 2), true, 1)
    case 'tsm':
      return integer(at.words(data + from * 8, length * 2), true, 1e3)
    case 'tsu':
      return integer(at.words(data + from * 8, length * 2), true, 1e6)
    case 'tsn':
      return integer(at.words(data + from * 8, length * 2), true, 1e9)
    case 'i':
    case 'I':
      return integer(at.words(data + from * 4, length), false)
    case 's':
      return integer(Int32Array.from(at.int16(data + from * 2, length)), false)
    case 'c':
      return integer(Int32Array.from(at.int8(data + from, length)), false)
    case 'z':
    case 'u': {
      const offsets = data === 0 ? new Int32Array(length + 1) : at.words(data + from * 4, length + 1)
      return { kind: 'bytes', length, validity, offsets, bytes: at.bytes(array.buffers[2] ?? 0, offsets[length]!) }
    }
    case 'Z':
    case 'U': {
      const offsets = data === 0 ? new Int32Array(length + 1) : narrow(at.words(data + from * 8, (length + 1) * 2))
      return { kind: 'bytes', length, validity, offsets, bytes: at.bytes(array.buffers[2] ?? 0, offsets[length]!) }
    }
    case '+l':
    case '+L': {
      const wide = format === '+L'
      const offsets = data === 0 ? new Int32Array(length + 1) : wide ? narrow(at.words(data + from * 8, (length + 1) * 2))
        : at.words(data + from * 4, length + 1)
      return listView(at, array, children[0]!, name, { length, validity, offsets })
    }
    default:
      throw new UnsupportedColumnError(name, format)
  }
}

function listView(
  at: Memory,
  array: ArrowArray,
  elementSchema: number,
  name: string,
  list: { length: number; validity: Validity | null; offsets: Int32Array },
): ListView {
  const element = at.schema(elementSchema)
  if (element.format !== '+s') throw new UnsupportedColumnError(name, `list of ${element.format}`)
  const struct = at.array(array.children[0]!)
  const bits = struct.buffers[0] ?? 0
  const elementValidity = bits === 0 || struct.nulls === 0
    ? null : { bits: at.bytes(bits, (struct.offset + struct.length + 7) >> 3), from: struct.offset }
  const fields = new Map<string, ColumnView>()
  element.children.forEach((child, i) => {
    fields.set(at.schema(child).name, viewOf(at, at.array(struct.children[i]!), child, struct.offset, struct.length))
  })
  return { kind: 'list', ...list, elementValidity, fields }
}

/** Low words of 64-bit offsets: nothing in 32-bit memory is longer. */
function narrow(words: Int32Array): Int32Array {
  const offsets = new Int32Array(words.length / 2)
  for (let i = 0; i < offsets.length; i++) offsets[i] = words[i * 2]!
  return offsets
}

interface ArrowArray {
  readonly length: number
  readonly nulls: number
  readonly offset: number
  /** Addresses; 0 is an absent buffer. */
  readonly buffers: readonly number[]
  readonly children: readonly number[]
}

interface ArrowSchema {
  readonly format: string
  readonly name: string
  readonly children: readonly number[]
}

const text = new TextDecoder()

/** Reads the structs of the C data interface, laid out for wasm32: 4-byte pointers, int64 on 8-byte boundaries. */
class Memory {
  readonly #buffer: ArrayBufferLike
  readonly #view: DataView
  readonly #schemas = new Map<number, ArrowSchema>()

  constructor(buffer: ArrayBufferLike) {
    this.#buffer = buffer
    this.#view = new DataView(buffer)
  }

  array(address: number): ArrowArray {
    return {
      length: this.#int64(address),
      nulls: this.#int64(address + 8),
      offset: this.#int64(address + 16),
      buffers: this.#pointers(this.#pointer(address + 40), this.#int64(address + 24)),
      children: this.#pointers(this.#pointer(address + 44), this.#int64(address + 32)),
    }
  }

  schema(address: number): ArrowSchema {
    const known = this.#schemas.get(address)
    if (known !== undefined) return known
    const schema = {
      format: this.#text(this.#pointer(address)),
      name: this.#text(this.#pointer(address + 4)),
      children: this.#pointers(this.#pointer(address + 32), this.#int64(address + 24)),
    }
    this.#schemas.set(address, schema)
    return schema
  }

  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, address, length)
  }

  words(address: number, length: number): Int32Array {
    return new Int32Array(this.#buffer, address, length)
  }

  int16(address: number, length: number): Int16Array {
    return new Int16Array(this.#buffer, address, length)
  }

  int8(address: number, length: number): Int8Array {
    return new Int8Array(this.#buffer, address, length)
  }

  #pointer(address: number): number {
    return this.#view.getUint32(address, true)
  }

  #int64(address: number): number {
    return Number(this.#view.getBigInt64(address, true))
  }

  #pointers(address: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.#pointer(address + i * 4))
  }

  #text(address: number): string {
    if (address === 0) return ''
    const bytes = new Uint8Array(this.#buffer, address)
    return text.decode(bytes.slice(0, bytes.indexOf(0)))
  }
}
