/**
 * Thrift's compact protocol as a generic tree, because the footer of a Parquet file is one and two things need it: the
 * statistics that the Parquet library does not hand out, and footers that are put together anew (`footer.ts`).
 * Everything that was read is written back, known to us or not.
 *
 * Source: Thrift compact protocol specification; parquet.thrift.
 */

/** Type ids of the compact protocol. Booleans carry their value in the type id of a field, and in a byte inside a list. */
export const thriftType = {
  true: 1, false: 2, byte: 3, i16: 4, i32: 5, i64: 6, double: 7, binary: 8, list: 9, set: 10, map: 11, struct: 12,
} as const

export type ThriftValue = number | bigint | boolean | Uint8Array | ThriftList | ThriftMap | ThriftStruct

export interface ThriftList {
  readonly elementType: number
  readonly items: ThriftValue[]
}

export interface ThriftMap {
  readonly keyType: number
  readonly valueType: number
  readonly entries: [ThriftValue, ThriftValue][]
}

/** Fields by id. Insertion order is kept, ids ascend in everything that Parquet writers produce. */
export type ThriftStruct = Map<number, ThriftField>

export interface ThriftField {
  readonly type: number
  readonly value: ThriftValue
}

const depthMax = 64

/** Reads one struct. Throws RangeError on bytes that are none. */
export function readThriftStruct(bytes: Uint8Array): ThriftStruct {
  return new Reader(bytes).struct(0)
}

/** As `readThriftStruct`, for a struct that is followed by something else, which begins at `end`. */
export function readThriftPrefix(bytes: Uint8Array): { readonly struct: ThriftStruct; readonly end: number } {
  const reader = new Reader(bytes)
  return { struct: reader.struct(0), end: reader.position }
}

export function writeThriftStruct(struct: ThriftStruct): Uint8Array {
  const writer = new Writer()
  writer.struct(struct)
  return writer.bytes()
}

/** Number of field `id`, or undefined when the field is absent. Values beyond 2^53 lose precision and never occur in offsets. */
export function numberField(struct: ThriftStruct, id: number): number | undefined {
  const value = struct.get(id)?.value
  return typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : undefined
}

export function bytesField(struct: ThriftStruct, id: number): Uint8Array | undefined {
  const value = struct.get(id)?.value
  return value instanceof Uint8Array ? value : undefined
}

export function structField(struct: ThriftStruct, id: number): ThriftStruct | undefined {
  const value = struct.get(id)?.value
  return value instanceof Map ? value : undefined
}

/** Items of the list in field `id`; an empty array when the field is absent or no list. */
export function listField(struct: ThriftStruct, id: number): readonly ThriftValue[] {
  const value = struct.get(id)?.value
  return value !== undefined && typeof value === 'object' && 'items' in value ? value.items : []
}

export function structList(struct: ThriftStruct, id: number): ThriftStruct[] {
  return listField(struct, id).filter((item): item is ThriftStruct => item instanceof Map)
}

export const i32Field = (value: number): ThriftField => ({ type: thriftType.i32, value })
export const i64Field = (value: number): ThriftField => ({ type: thriftType.i64, value })
export const listOf = (elementType: number, items: ThriftValue[]): ThriftField =>
  ({ type: thriftType.list, value: { elementType, items } })

/** A copy of `struct` with some fields replaced (or, given null, left out), in ascending order of ids as Thrift expects. */
export function patched(struct: ThriftStruct, changes: Readonly<Record<number, ThriftField | null>>): ThriftStruct {
  const fields = new Map(struct)
  for (const [id, field] of Object.entries(changes)) {
    if (field === null) fields.delete(Number(id))
    else fields.set(Number(id), field)
  }
  return new Map([...fields].sort((a, b) => a[0] - b[0]))
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get position(): number {
    return this.#at
  }

  struct(depth: number): ThriftStruct {
    if (depth > depthMax) throw new RangeError('thrift: nested too deeply')
    const fields: ThriftStruct = new Map()
    let id = 0
    for (;;) {
      const head = this.#byte()
      if (head === 0) return fields
      const delta = head >> 4
      id = delta === 0 ? Number(this.#zigzag()) : id + delta
      const type = head & 15
      fields.set(id, { type, value: this.#value(type, depth, false) })
    }
  }

  #value(type: number, depth: number, inList: boolean): ThriftValue {
    switch (type) {
      case thriftType.true:
      case thriftType.false:
        return inList ? this.#byte() === thriftType.true : type === thriftType.true
      case thriftType.byte:
        return (this.#byte() << 24) >> 24
      case thriftType.i16:
      case thriftType.i32:
      case thriftType.i64:
        return this.#zigzag()
      case thriftType.double: {
        const raw = this.#take(8)
        return new DataView(raw.buffer, raw.byteOffset, 8).getFloat64(0, true)
      }
      case thriftType.binary:
        return this.#take(this.#count())
      case thriftType.list:
      case thriftType.set: {
        const head = this.#byte()
        const elementType = head & 15
        const count = head >> 4 === 15 ? this.#count() : head >> 4
        const items: ThriftValue[] = []
        for (let i = 0; i < count; i++) items.push(this.#value(elementType, depth + 1, true))
        return { elementType, items }
      }
      case thriftType.map: {
        const count = this.#count()
        const types = count === 0 ? 0 : this.#byte()
        const entries: [ThriftValue, ThriftValue][] = []
        for (let i = 0; i < count; i++) {
          entries.push([this.#value(types >> 4, depth + 1, true), this.#value(types & 15, depth + 1, true)])
        }
        return { keyType: types >> 4, valueType: types & 15, entries }
      }
      case thriftType.struct:
        return this.struct(depth + 1)
      default:
        throw new RangeError(`thrift: unknown type ${type}`)
    }
  }

  #byte(): number {
    const value = this.#bytes[this.#at++]
    if (value === undefined) throw new RangeError('thrift: truncated')
    return value
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw new RangeError('thrift: truncated')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** An unsigned varint that counts bytes or items: never more than the bytes that are left. */
  #count(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#byte()
      value += (byte & 127) * scale
      if (byte < 128) break
      if (scale > 2 ** 35) throw new RangeError('thrift: bad length')
    }
    if (value > this.#bytes.length - this.#at) throw new RangeError('thrift: truncated')
    return value
  }

  #zigzag(): number | bigint {
    let low = 0
    let shift = 0
    for (; shift < 28; shift += 7) {
      const byte = this.#byte()
      low |= (byte & 127) << shift
      if (byte < 128) return (low >>> 1) ^ -(low & 1)
    }
    let wide = BigInt(low >>> 0)
    for (; shift < 70; shift += 7) {
      const byte = this.#byte()
      wide |= BigInt(byte & 127) << BigInt(shift)
      if (byte < 128) {
        const value = BigInt.asIntN(64, (wide >> 1n) ^ -(wide & 1n))
        const small = Number(value)
        return Number.isSafeInteger(small) ? small : value
      }
    }
    throw new RangeError('thrift: bad varint')
  }
}

class Writer {
  #buffer = new Uint8Array(256)
  #length = 0

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  struct(struct: ThriftStruct): void {
    let previous = 0
    for (const [id, field] of struct) {
      const type = typeof field.value === 'boolean' ? (field.value ? thriftType.true : thriftType.false) : field.type
      const delta = id - previous
      if (delta > 0 && delta < 16) this.#byte((delta << 4) | type)
      else {
        this.#byte(type)
        this.#varint(zigzag(id))
      }
      previous = id
      if (typeof field.value !== 'boolean') this.#value(type, field.value)
    }
    this.#byte(0)
  }

  #value(type: number, value: ThriftValue): void {
    if (typeof value === 'boolean') this.#byte(value ? thriftType.true : thriftType.false)
    else if (typeof value === 'number' && type === thriftType.byte) this.#byte(value & 255)
    else if (typeof value === 'number' && type === thriftType.double) {
      const raw = new Uint8Array(8)
      new DataView(raw.buffer).setFloat64(0, value, true)
      this.#raw(raw)
    } else if (typeof value === 'number' || typeof value === 'bigint') this.#varint(zigzag(value))
    else if (value instanceof Uint8Array) {
      this.#varint(BigInt(value.length))
      this.#raw(value)
    } else if (value instanceof Map) this.struct(value)
    else if ('items' in value) {
      const count = value.items.length
      this.#byte((Math.min(count, 15) << 4) | value.elementType)
      if (count >= 15) this.#varint(BigInt(count))
      for (const item of value.items) this.#value(value.elementType, item)
    } else {
      this.#varint(BigInt(value.entries.length))
      if (value.entries.length > 0) this.#byte((value.keyType << 4) | value.valueType)
      for (const [key, item] of value.entries) {
        this.#value(value.keyType, key)
        this.#value(value.valueType, item)
      }
    }
  }

  #byte(value: number): void {
    this.#room(1)
    this.#buffer[this.#length++] = value
  }

  #raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  #varint(value: bigint): void {
    let rest = value
    while (rest > 127n) {
      this.#byte(Number(rest & 127n) | 128)
      rest >>= 7n
    }
    this.#byte(Number(rest))
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + bytes))
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = grown
  }
}

function zigzag(value: number | bigint): bigint {
  const wide = BigInt(value)
  return BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n))
}
