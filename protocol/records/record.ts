/**
 * Records out of a batch. `RecordCursor` is for hot loops: its fields are overwritten by every step and point into one
 * buffer, so that a record costs no allocation. `recordsOf` is for tests and cold code.
 *
 * Format: Kafka protocol guide, "Record"; headers: KIP-82.
 */
import {
  BATCH_HEADER_SIZE,
  LOG_APPEND_TIME,
  attributes,
  baseOffset,
  baseTimestamp,
  batchEnd,
  codecOf,
  magic,
  MAGIC_V2,
  maxTimestamp,
  recordCount,
  timestampTypeOf,
} from './batch.ts'
import { DECOMPRESSED_BYTES_MAX_DEFAULT, decompress } from './compression.ts'
import { RecordFormatError } from './errors.ts'

/** A header of a record. The key is a string where its bytes are valid UTF-8 and the bytes themselves where they are not. */
export interface RecordHeader {
  readonly key: string | Uint8Array
  readonly value: Uint8Array | null
}

/** One record as an object. Null and empty are different in key, value and header value. */
export interface DecodedRecord {
  readonly offset: number
  /** Milliseconds since the epoch, -1 for none. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
}

export interface DecodeOptions {
  /** Bound on the decompressed records; 64 MiB without it. */
  readonly maxBytes?: number
}

/** A position that no buffer reaches: an overlong varint puts the cursor there, and every later bounds check fails. */
const BEYOND = 0x40000000

/**
 * Steps through the records of one batch after the other; reusable through `reset`.
 *
 * `bytes[keyStart, keyEnd)` is the key unless `keyStart` is -1 (null), and the same for the value. Ranges stay valid until
 * the next `reset`.
 */
export class RecordCursor {
  /** The buffer that all positions refer to: the batch's own for uncompressed batches, else a decompressed one. */
  bytes: Uint8Array = new Uint8Array(0)
  offset = 0
  offsetDelta = 0
  /** Milliseconds; for LogAppendTime batches that of the batch. */
  timestamp = 0
  /** As the producer wrote it, relative to the batch's base timestamp. */
  timestampDelta = 0
  keyStart = -1
  keyEnd = -1
  valueStart = -1
  valueEnd = -1
  headerCount = 0
  /** Where the headers behind the count start; `recordEnd` is where they end. */
  headersStart = 0
  recordEnd = 0
  /** Fields of the header that `nextHeader` moved to; the key is never null, the value is when `headerValueStart` is -1. */
  headerKeyStart = 0
  headerKeyEnd = 0
  headerValueStart = -1
  headerValueEnd = -1
  /** What is wrong, after `step` has returned 'malformed'. */
  problem = ''

  #position = 0
  #end = 0
  #remaining = 0
  #baseOffset = 0
  #baseTimestamp = 0
  #logAppendTime = false
  #maxTimestamp = 0
  #headersLeft = 0
  #headerPosition = 0

  /**
   * Points the cursor before the first record of the batch at `at`, decompressing it if need be.
   *
   * @throws RecordFormatError when there is no complete batch with magic 2
   * @throws DecompressionError
   */
  reset(batch: Uint8Array, at = 0, options: DecodeOptions = {}): void {
    const end = batchEnd(batch, at)
    if (end === -1) throw new RecordFormatError(`the batch at ${at} is cut off`)
    if (magic(batch, at) !== MAGIC_V2) throw new RecordFormatError(`the batch at ${at} has magic ${magic(batch, at)}`)
    const codec = codecOf(attributes(batch, at))
    if (codec === 0) {
      this.resetToRecords(batch, at, batch, at + BATCH_HEADER_SIZE, end)
      return
    }
    const maxBytes = options.maxBytes ?? DECOMPRESSED_BYTES_MAX_DEFAULT
    const records = decompress(codec, batch.subarray(at + BATCH_HEADER_SIZE, end), { maxBytes })
    this.resetToRecords(batch, at, records, 0, records.length)
  }

  /** As `reset`, for a caller that has the decompressed records at hand: `records[start, end)`. The header is not checked. */
  resetToRecords(batch: Uint8Array, at: number, records: Uint8Array, start: number, end: number): void {
    const flags = attributes(batch, at)
    // A plain view even of a Buffer: one kind of array keeps the loops below fast, and slices of it compare equal in tests.
    this.bytes = Buffer.isBuffer(records) ? new Uint8Array(records.buffer, records.byteOffset, records.length) : records
    this.problem = ''
    this.#position = start
    this.#end = end
    this.#remaining = recordCount(batch, at)
    this.#baseOffset = baseOffset(batch, at)
    this.#baseTimestamp = baseTimestamp(batch, at)
    this.#logAppendTime = timestampTypeOf(flags) === LOG_APPEND_TIME
    this.#maxTimestamp = maxTimestamp(batch, at)
    this.#headersLeft = 0
  }

  /** Records that are still to come, by the batch's own count. */
  get remaining(): number {
    return this.#remaining
  }

  /**
   * Moves to the next record; false behind the last one.
   *
   * @throws RecordFormatError when the records do not fit the batch
   */
  next(): boolean {
    const outcome = this.step()
    if (outcome === 'malformed') throw new RecordFormatError(this.problem)
    return outcome === 'record'
  }

  /** `next` for untrusted bytes: what is malformed is an outcome. Every length is checked against the record's own bounds. */
  step(): 'record' | 'end' | 'malformed' {
    if (this.#remaining <= 0) {
      return this.#position === this.#end ? 'end' : this.#malformed('there are bytes behind the last record')
    }
    const length = this.#varint()
    const bodyStart = this.#position
    const recordEnd = bodyStart + length
    // A body has at least six bytes: attributes, two deltas, two lengths and the number of headers.
    if (length < 6 || recordEnd > this.#end) return this.#malformed('a record does not fit its batch')
    this.#position = bodyStart + 1
    this.timestampDelta = this.#varlong()
    this.offsetDelta = this.#varint()

    const keyLength = this.#varint()
    const keyStart = this.#position
    if (keyLength < -1 || keyStart + keyLength > recordEnd) return this.#malformed('a key does not fit its record')
    if (keyLength === -1) {
      this.keyStart = this.keyEnd = -1
    } else {
      this.keyStart = keyStart
      this.#position = this.keyEnd = keyStart + keyLength
    }

    const valueLength = this.#varint()
    const valueStart = this.#position
    if (valueLength < -1 || valueStart + valueLength > recordEnd) return this.#malformed('a value does not fit its record')
    if (valueLength === -1) {
      this.valueStart = this.valueEnd = -1
    } else {
      this.valueStart = valueStart
      this.#position = this.valueEnd = valueStart + valueLength
    }

    const headerCount = this.#varint()
    // A header takes two bytes at least, which bounds the loop by the bytes that are there.
    if (headerCount < 0 || this.#position + headerCount * 2 > recordEnd) return this.#malformed('the headers do not fit their record')
    this.headersStart = this.#headerPosition = this.#position
    this.headerCount = this.#headersLeft = headerCount
    for (let left = headerCount; left > 0; left--) {
      const headerKeyLength = this.#varint()
      if (headerKeyLength < 0 || this.#position + headerKeyLength > recordEnd) {
        return this.#malformed('a header key does not fit its record')
      }
      this.#position += headerKeyLength
      const headerValueLength = this.#varint()
      if (headerValueLength < -1 || this.#position + headerValueLength > recordEnd) {
        return this.#malformed('a header value does not fit its record')
      }
      if (headerValueLength > 0) this.#position += headerValueLength
    }
    if (this.#position !== recordEnd) return this.#malformed('a record has not its declared length')

    this.recordEnd = recordEnd
    this.offset = this.#baseOffset + this.offsetDelta
    this.timestamp = this.#logAppendTime ? this.#maxTimestamp : this.#baseTimestamp + this.timestampDelta
    this.#remaining--
    return 'record'
  }

  /** Moves to the current record's next header; false behind the last one. */
  nextHeader(): boolean {
    if (this.#headersLeft === 0) return false
    this.#headersLeft--
    const recordPosition = this.#position
    this.#position = this.#headerPosition
    const keyLength = this.#varint()
    this.headerKeyStart = this.#position
    this.#position = this.headerKeyEnd = this.headerKeyStart + keyLength
    const valueLength = this.#varint()
    if (valueLength === -1) {
      this.headerValueStart = this.headerValueEnd = -1
    } else {
      this.headerValueStart = this.#position
      this.#position = this.headerValueEnd = this.headerValueStart + valueLength
    }
    this.#headerPosition = this.#position
    this.#position = recordPosition
    return true
  }

  /** Back before the current record's first header. */
  rewindHeaders(): void {
    this.#headersLeft = this.headerCount
    this.#headerPosition = this.headersStart
  }

  /** View on the current record's key. */
  key(): Uint8Array | null {
    return this.keyStart === -1 ? null : this.bytes.subarray(this.keyStart, this.keyEnd)
  }

  /** View on the current record's value. */
  value(): Uint8Array | null {
    return this.valueStart === -1 ? null : this.bytes.subarray(this.valueStart, this.valueEnd)
  }

  /** The current record's headers as objects, with views on its bytes. Leaves `nextHeader` behind the last one. */
  headers(): RecordHeader[] {
    const headers: RecordHeader[] = []
    this.rewindHeaders()
    while (this.nextHeader()) {
      headers.push({
        key: textOrBytes(this.bytes.subarray(this.headerKeyStart, this.headerKeyEnd)),
        value: this.headerValueStart === -1 ? null : this.bytes.subarray(this.headerValueStart, this.headerValueEnd),
      })
    }
    return headers
  }

  #malformed(problem: string): 'malformed' {
    this.problem = problem
    this.#remaining = 0
    this.#position = this.#end + 1
    return 'malformed'
  }

  /** Zigzag int32. Reading beyond the buffer gives zeros, which ends the loop; the caller's check of the position finds it. */
  #varint(): number {
    const bytes = this.bytes
    let position = this.#position
    let byte = bytes[position++]!
    if (byte < 0x80) {
      this.#position = position
      return (byte >>> 1) ^ -(byte & 1)
    }
    let value = byte & 0x7f
    for (let shift = 7; shift <= 28; shift += 7) {
      byte = bytes[position++]!
      value |= (byte & 0x7f) << shift
      if (!(byte >= 0x80)) {
        this.#position = position
        return (value >>> 1) ^ -(value & 1)
      }
    }
    this.#position = BEYOND
    return 0
  }

  /** Zigzag int64 as a number; rounded beyond 2^53. */
  #varlong(): number {
    const bytes = this.bytes
    let position = this.#position
    let byte = bytes[position++]!
    let value = byte & 0x7f
    for (let shift = 7; byte >= 0x80 && shift <= 21; shift += 7) {
      byte = bytes[position++]!
      value |= (byte & 0x7f) << shift
    }
    if (!(byte >= 0x80)) {
      this.#position = position
      return (value >>> 1) ^ -(value & 1)
    }
    let wide = value
    for (let scale = 268_435_456, count = 5; count <= 10; scale *= 128, count++) {
      byte = bytes[position++]!
      wide += (byte & 0x7f) * scale
      if (!(byte >= 0x80)) {
        this.#position = position
        return value % 2 === 0 ? wide / 2 : -(wide + 1) / 2
      }
    }
    this.#position = BEYOND
    return 0
  }
}

/**
 * Calls `visitor` with the cursor at each record of the batch at the start of `batch`; `false` from the visitor stops.
 *
 * @throws RecordFormatError, DecompressionError
 */
export function decodeRecords(batch: Uint8Array, options: DecodeOptions, visitor: (cursor: RecordCursor) => boolean | void): void {
  const cursor = new RecordCursor()
  cursor.reset(batch, 0, options)
  while (cursor.next()) if (visitor(cursor) === false) return
}

/**
 * The records of the batch at `at` as objects. Keys and values are views on the batch (or on its decompressed content).
 *
 * @throws RecordFormatError, DecompressionError
 */
export function recordsOf(batch: Uint8Array, at = 0, options: DecodeOptions = {}): DecodedRecord[] {
  const cursor = new RecordCursor()
  cursor.reset(batch, at, options)
  const records: DecodedRecord[] = []
  while (cursor.next()) {
    records.push({
      offset: cursor.offset,
      timestamp: cursor.timestamp,
      key: cursor.key(),
      value: cursor.value(),
      headers: cursor.headers(),
    })
  }
  return records
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bytes of a header key as a string if that loses nothing, else as they are. */
export function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  try {
    return utf8.decode(bytes)
  } catch {
    return bytes
  }
}
