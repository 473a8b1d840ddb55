/**
 * Rows of a topic's table as Arrow columns under construction: growing typed arrays, filled field by field straight from the bytes of
 * records, without an object per record. The arrays keep their capacity from one row group to the next.
 */
import { LOOP_COPY_MAX, copyWords } from '../../protocol/records/copy.ts'
import type { ColumnView } from './arrow-views.ts'
import { escapeKey, needsEscape } from './header-keys.ts'
import type { TopicColumn } from './topic-schema.ts'

const two32 = 4_294_967_296
/** Capacity that is kept for the next row group; what is beyond is given back. */
const keptBytesMax = 32 * 1024 * 1024

export type NullCounts = Readonly<Record<TopicColumn, number>>

export interface Range {
  readonly min: number
  readonly max: number
}

/** A position to come back to when a batch turns out to be damaged in its middle. */
export interface Mark {
  readonly rows: number
  readonly headers: number
  readonly keyBytes: number
  readonly valueBytes: number
  readonly headerKeyBytes: number
  readonly headerValueBytes: number
  readonly timestampNulls: number
  readonly keyNulls: number
  readonly valueNulls: number
  readonly headersNulls: number
}

export class RowColumns {
  #rows = 0
  /** Low and high words alternating, as they lie in an Int64 column. */
  #offsets = new Int32Array(2048)
  #timestamps = new Int32Array(2048)
  #timestampTypes = new Int32Array(1024)
  #timestampValid = new Uint8Array(128)
  #headersValid = new Uint8Array(128)
  /** Element range of row i in the header columns is `[i, i + 1)` of this. */
  #headersAt = new Int32Array(1025)
  readonly #keys = new BytesColumn()
  readonly #values = new BytesColumn()
  readonly #headerKeys = new BytesColumn()
  readonly #headerValues = new BytesColumn()
  #timestampNulls = 0
  #headersNulls = 0

  get rows(): number {
    return this.#rows
  }

  /** Bytes of keys, values and headers so far. */
  get payloadBytes(): number {
    return this.#keys.used + this.#values.used + this.#headerKeys.used + this.#headerValues.used
  }

  nullCounts(): NullCounts {
    return {
      offset: 0,
      timestamp: this.#timestampNulls,
      timestampType: 0,
      key: this.#keys.nulls,
      value: this.#values.nulls,
      headers: this.#headersNulls,
    }
  }

  /**
   * Starts a row at a Kafka timestamp in milliseconds (-1 is none, others any safe integer: they all fit). Key, value and then
   * headers follow, the first two exactly once.
   */
  start(offset: number, timestampMs: number, timestampType: number): void {
    this.#room()
    const at = this.#rows * 2
    const high = Math.floor(offset / two32)
    this.#offsets[at] = offset - high * two32
    this.#offsets[at + 1] = high
    this.#timestampTypes[this.#rows] = timestampType
    if (timestampMs === -1) {
      this.#timestamps[at] = 0
      this.#timestamps[at + 1] = 0
      this.#timestampNulls++
    } else {
      const highMs = Math.floor(timestampMs / two32)
      const low = (timestampMs - highMs * two32) * 1000
      const carry = Math.floor(low / two32)
      this.#timestamps[at] = low - carry * two32
      this.#timestamps[at + 1] = highMs * 1000 + carry
      this.#timestampValid[this.#rows >> 3]! |= 1 << (this.#rows & 7)
    }
  }

  /** As `start`, with the low and high word of the microseconds as another table has them. */
  startMicros(offset: number, low: number, high: number, timestampType: number): void {
    this.start(offset, 0, timestampType)
    this.#timestamps[this.#rows * 2] = low
    this.#timestamps[this.#rows * 2 + 1] = high
  }

  /** The key as `bytes[start, start + length)`; a negative length is null. */
  key(bytes: Uint8Array, start: number, length: number): void {
    this.#keys.append(bytes, start, length)
  }

  value(bytes: Uint8Array, start: number, length: number): void {
    this.#values.append(bytes, start, length)
  }

  /** One header; keys are bytes as Kafka has them and are escaped here where they are not UTF-8. */
  header(bytes: Uint8Array, keyStart: number, keyLength: number, valueStart: number, valueLength: number): void {
    if (needsEscape(bytes, keyStart, keyStart + keyLength)) {
      const escaped = escapeKey(bytes.subarray(keyStart, keyStart + keyLength))
      this.#headerKeys.append(escaped, 0, escaped.length)
    } else this.#headerKeys.append(bytes, keyStart, keyLength)
    this.#headerValues.append(bytes, valueStart, valueLength)
  }

  /** One header as another table stores it, key and value in different buffers. */
  storedHeader(
    keyBytes: Uint8Array, keyStart: number, keyLength: number, valueBytes: Uint8Array, valueStart: number, valueLength: number,
  ): void {
    this.#headerKeys.append(keyBytes, keyStart, keyLength)
    this.#headerValues.append(valueBytes, valueStart, valueLength)
  }

  /** Ends the row. Without headers the column is NULL, unless an empty list is to be kept. */
  end(emptyHeaders = false): void {
    const headers = this.#headerKeys.rows
    if (headers === this.#headersAt[this.#rows]! && !emptyHeaders) this.#headersNulls++
    else this.#headersValid[this.#rows >> 3]! |= 1 << (this.#rows & 7)
    this.#rows++
    this.#headersAt[this.#rows] = headers
  }

  mark(): Mark {
    return {
      rows: this.#rows,
      headers: this.#headerKeys.rows,
      keyBytes: this.#keys.used,
      valueBytes: this.#values.used,
      headerKeyBytes: this.#headerKeys.used,
      headerValueBytes: this.#headerValues.used,
      timestampNulls: this.#timestampNulls,
      keyNulls: this.#keys.nulls,
      valueNulls: this.#values.nulls,
      headersNulls: this.#headersNulls,
    }
  }

  /** Forgets every row, finished or not, since `mark`. */
  rollback(mark: Mark): void {
    clearBits(this.#timestampValid, mark.rows)
    clearBits(this.#headersValid, mark.rows)
    this.#rows = mark.rows
    this.#keys.rollback(mark.rows, mark.keyBytes, mark.keyNulls)
    this.#values.rollback(mark.rows, mark.valueBytes, mark.valueNulls)
    this.#headerKeys.rollback(mark.headers, mark.headerKeyBytes, null)
    this.#headerValues.rollback(mark.headers, mark.headerValueBytes, null)
    this.#timestampNulls = mark.timestampNulls
    this.#headersNulls = mark.headersNulls
  }

  /** Empty again, for the next row group. */
  clear(): void {
    this.rollback({
      rows: 0, headers: 0, keyBytes: 0, valueBytes: 0, headerKeyBytes: 0, headerValueBytes: 0,
      timestampNulls: 0, keyNulls: 0, valueNulls: 0, headersNulls: 0,
    })
    for (const column of [this.#keys, this.#values, this.#headerKeys, this.#headerValues]) column.trim(keptBytesMax)
  }

  /** Least and greatest offset and timestamp (microseconds), null where there is none. Numbers beyond 2^53 are rounded. */
  ranges(): { readonly offsets: Range | null; readonly micros: Range | null } {
    return { offsets: rangeOf(this.#offsets, this.#rows, null), micros: rangeOf(this.#timestamps, this.#rows, this.#timestampValid) }
  }

  /** The rows as views, valid until the next change. */
  views(): ReadonlyMap<TopicColumn, ColumnView> {
    const length = this.#rows
    const integer = (words: Int32Array, wide: boolean, validity: Uint8Array | null, ticksPerSecond: number | null = null): ColumnView =>
      ({ kind: 'integer', length, validity: validity === null ? null : { bits: validity, from: 0 }, words, wide, ticksPerSecond })
    const fields = new Map([['key', this.#headerKeys.view()], ['value', this.#headerValues.view()]])
    const headers: ColumnView = {
      kind: 'list', length, validity: { bits: this.#headersValid, from: 0 }, offsets: this.#headersAt, elementValidity: null, fields,
    }
    return new Map<TopicColumn, ColumnView>([
      ['offset', integer(this.#offsets, true, null)],
      ['timestamp', integer(this.#timestamps, true, this.#timestampValid, 1e6)],
      ['timestampType', integer(this.#timestampTypes, false, null)],
      ['key', this.#keys.view()],
      ['value', this.#values.view()],
      ['headers', headers],
    ])
  }

  #room(): void {
    const capacity = this.#timestampTypes.length
    if (this.#rows < capacity) return
    this.#offsets = grown(this.#offsets, capacity * 4)
    this.#timestamps = grown(this.#timestamps, capacity * 4)
    this.#timestampTypes = grown(this.#timestampTypes, capacity * 2)
    this.#headersAt = grown(this.#headersAt, capacity * 2 + 1)
    this.#timestampValid = grownBytes(this.#timestampValid, capacity / 4)
    this.#headersValid = grownBytes(this.#headersValid, capacity / 4)
  }
}

const nothing: Uint8Array = new Uint8Array(0)

/** A nullable column of byte strings. */
class BytesColumn {
  rows = 0
  used = 0
  nulls = 0
  #offsets = new Int32Array(1025)
  #valid = new Uint8Array(128)
  #bytes = new Uint8Array(16 * 1024)
  #view = new DataView(this.#bytes.buffer)
  /** The buffer that was copied from last, and a view on it: many values come from one and the same. */
  #source = nothing
  #sourceView: DataView = new DataView(nothing.buffer)

  append(source: Uint8Array, start: number, length: number): void {
    const row = this.rows
    if (row + 1 >= this.#offsets.length) {
      this.#offsets = grown(this.#offsets, row * 2 + 1)
      this.#valid = grownBytes(this.#valid, row / 4 + 1)
    }
    if (length < 0) this.nulls++
    else {
      this.#valid[row >> 3]! |= 1 << (row & 7)
      const to = this.used
      if (to + length > this.#bytes.length) this.#grow(to + length)
      if (length > LOOP_COPY_MAX) this.#bytes.set(source.subarray(start, start + length), to)
      else {
        if (source !== this.#source) {
          this.#source = source
          this.#sourceView = new DataView(source.buffer, source.byteOffset, source.length)
        }
        copyWords(this.#view, to, this.#sourceView, start, length)
      }
      this.used = to + length
    }
    this.rows = row + 1
    this.#offsets[row + 1] = this.used
  }

  rollback(rows: number, used: number, nulls: number | null): void {
    clearBits(this.#valid, rows)
    this.nulls = nulls ?? this.#countNulls(rows)
    this.rows = rows
    this.used = used
  }

  trim(bytesMax: number): void {
    if (this.#bytes.length > bytesMax) this.#own(new Uint8Array(bytesMax))
    this.#source = nothing
    this.#sourceView = new DataView(nothing.buffer)
  }

  view(): ColumnView {
    return { kind: 'bytes', length: this.rows, validity: { bits: this.#valid, from: 0 }, offsets: this.#offsets, bytes: this.#bytes }
  }

  #countNulls(rows: number): number {
    let nulls = 0
    for (let i = 0; i < rows; i++) if (((this.#valid[i >> 3]! >> (i & 7)) & 1) === 0) nulls++
    return nulls
  }

  #grow(needed: number): void {
    if (needed > 2 ** 31 - 1) throw new RangeError('a row group holds less than 2 GiB')
    const bytes = new Uint8Array(Math.min(2 ** 31 - 1, Math.max(needed, this.#bytes.length * 2)))
    bytes.set(this.#bytes.subarray(0, this.used))
    this.#own(bytes)
  }

  #own(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }
}

/** Range of 64-bit values that lie as low and high words. */
function rangeOf(words: Int32Array, count: number, valid: Uint8Array | null): Range | null {
  let min = Infinity
  let max = -Infinity
  for (let i = 0; i < count; i++) {
    if (valid !== null && ((valid[i >> 3]! >> (i & 7)) & 1) === 0) continue
    const value = words[i * 2 + 1]! * two32 + (words[i * 2]! >>> 0)
    if (value < min) min = value
    if (value > max) max = value
  }
  return min <= max ? { min, max } : null
}

function grown(from: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(length)
  to.set(from)
  return to
}

function grownBytes(from: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const to = new Uint8Array(length)
  to.set(from)
  return to
}

/** Clears every bit from `from` on. */
function clearBits(bits: Uint8Array, from: number): void {
  const byte = from >> 3
  if (byte >= bits.length) return
  bits[byte]! &= (1 << (from & 7)) - 1
  bits.fill(0, byte + 1)
}
