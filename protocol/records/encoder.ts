/**
 * Record batches v2 out of records. `BatchBuilder` is for hot loops: ranges of the caller's buffers in, no object per
 * record. `encodeBatch` is for tests and cold code.
 *
 * Format: Kafka protocol guide, "Record Batch" and "Record".
 */
import {
  BATCH_HEADER_SIZE,
  CODEC_NONE,
  CREATE_TIME,
  LOG_APPEND_TIME,
  NO_LEADER_EPOCH,
  NO_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  NO_SEQUENCE,
  NO_TIMESTAMP,
  makeAttributes,
  writeBatchHeader,
} from './batch.ts'
import type { TimestampType } from './batch.ts'
import { compress } from './compression.ts'
import { LOOP_COPY_MAX, copyWords } from './copy.ts'
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from './integers.ts'
import type { RecordHeader } from './record.ts'

/** Everything about a batch except its records. */
export interface BatchOptions {
  readonly baseOffset: number
  /** -1 (unknown) without it. */
  readonly leaderEpoch?: number
  /** CREATE_TIME without it. With LOG_APPEND_TIME all records must have the same timestamp: the format keeps only one. */
  readonly timestampType?: TimestampType
  /** Codec number; CODEC_NONE without it. */
  readonly codec?: number
  /** Of gzip and zstd; the library's default without it. */
  readonly compressionLevel?: number
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly transactional?: boolean
  readonly control?: boolean
}

/** A record to encode. */
export interface RecordToEncode {
  /** Absolute; without it the previous record's offset plus one (the first: the base offset). Gaps are allowed. */
  readonly offset?: number
  /** Milliseconds since the epoch, -1 for none. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: readonly RecordHeader[]
}

export interface BatchToEncode extends BatchOptions {
  readonly records: readonly RecordToEncode[]
  /** Where compaction removed records at the end, the offset delta that the batch still covers; else that of the last record. */
  readonly lastOffsetDelta?: number
}

/**
 * One batch of the given records, in a buffer of its own.
 *
 * @throws RangeError when offsets do not ascend within int32 of the base offset, a log-append batch has several timestamps,
 *   or the batch would exceed 2 GiB
 */
export function encodeBatch(batch: BatchToEncode): Uint8Array {
  const builder = new BatchBuilder(batch)
  let next = batch.baseOffset
  for (const record of batch.records) {
    const offset = record.offset ?? next
    builder.append(offset - batch.baseOffset, record.timestamp, record.key, record.value, record.headers)
    next = offset + 1
  }
  return builder.finish(batch.lastOffsetDelta)
}

/** First capacity; grows by doubling. */
const CAPACITY_MIN = 4096
/** Largest batch: its length field is an int32. */
const CAPACITY_MAX = 0x7fffffff
/** Up to this many bytes a plain loop beats the call into the runtime with its view. */
const HEADER_COPY_MAX = 48
/** Largest varint and varlong. */
const VARINT_MAX = 5

const encoder = new TextEncoder()
const EMPTY = new Uint8Array(0)

/**
 * Collects records in a buffer that grows, then makes a batch of them; `reset` makes it ready for the next one and keeps
 * the buffer.
 *
 * A record's headers are added before the record: `addHeader…` zero or more times, then `append…`.
 */
export class BatchBuilder {
  #options: BatchOptions
  /** The batch, with room for the header in front. */
  #bytes: Uint8Array
  #view: DataView
  /** The buffer that was copied from last, and a view on it: keys and values usually come from one and the same. */
  #source: Uint8Array = EMPTY
  #sourceView: DataView = new DataView(EMPTY.buffer)
  #length = BATCH_HEADER_SIZE
  /** Encoded headers of the record to come. */
  #headers: Uint8Array = EMPTY
  #headersLength = 0
  #headerCount = 0
  #count = 0
  #lastOffsetDelta = -1
  #baseTimestamp = NO_TIMESTAMP
  #maxTimestamp = NO_TIMESTAMP

  /** `capacity` is what a batch is expected to take, bytes. */
  constructor(options: BatchOptions, capacity = CAPACITY_MIN) {
    this.#options = options
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** Drops what was collected and starts the next batch. */
  reset(options: BatchOptions): void {
    this.#options = options
    this.#length = BATCH_HEADER_SIZE
    this.#headersLength = this.#headerCount = 0
    this.#count = 0
    this.#lastOffsetDelta = -1
    this.#baseTimestamp = this.#maxTimestamp = NO_TIMESTAMP
  }

  /** Bytes of the batch so far, before compression, header included. */
  get sizeSoFar(): number {
    return this.#length
  }

  get recordCount(): number {
    return this.#count
  }

  /** Offset delta of the last record, -1 before the first. */
  get lastOffsetDelta(): number {
    return this.#lastOffsetDelta
  }

  /** Appends a record whose key and value are whole arrays. @throws RangeError as `encodeBatch` */
  append(
    offsetDelta: number,
    timestamp: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers?: readonly RecordHeader[],
  ): void {
    if (headers !== undefined) for (const header of headers) this.addHeader(header.key, header.value)
    const keyEnd = key === null ? 0 : key.length
    const valueEnd = value === null ? 0 : value.length
    this.appendRange(offsetDelta, timestamp, key, 0, keyEnd, value, 0, valueEnd)
  }

  /**
   * Appends a record whose key is `key[keyStart, keyEnd)` (null without `key`), and its value alike.
   *
   * @param offsetDelta offset relative to the base offset, above the previous record's
   * @param timestamp milliseconds since the epoch, -1 for none
   * @throws RangeError as `encodeBatch`
   */
  appendRange(
    offsetDelta: number,
    timestamp: number,
    key: Uint8Array | null,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array | null,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (!(offsetDelta > this.#lastOffsetDelta) || offsetDelta > 0x7fffffff) {
      throw new RangeError(`offset delta ${offsetDelta} after ${this.#lastOffsetDelta}`)
    }
    if (this.#count === 0) {
      this.#baseTimestamp = this.#maxTimestamp = timestamp
    } else if (timestamp !== this.#maxTimestamp) {
      if (this.#options.timestampType === LOG_APPEND_TIME) throw new RangeError('the records of a log-append batch have one timestamp')
      if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
    }
    const timestampDelta = timestamp - this.#baseTimestamp
    const keyLength = key === null ? -1 : keyEnd - keyStart
    const valueLength = value === null ? -1 : valueEnd - valueStart
    const bodyLength =
      1 +
      sizeOfVarlong(timestampDelta) +
      sizeOfVarint(offsetDelta) +
      sizeOfVarint(keyLength) +
      (keyLength > 0 ? keyLength : 0) +
      sizeOfVarint(valueLength) +
      (valueLength > 0 ? valueLength : 0) +
      sizeOfVarint(this.#headerCount) +
      this.#headersLength
    this.#reserve(bodyLength + VARINT_MAX)

    const bytes = this.#bytes
    let at = writeVarint(bytes, this.#length, bodyLength)
    bytes[at++] = 0
    at = writeVarlong(bytes, at, timestampDelta)
    at = writeVarint(bytes, at, offsetDelta)
    at = writeVarint(bytes, at, keyLength)
    if (key !== null) at = this.#copy(at, key, keyStart, keyEnd)
    at = writeVarint(bytes, at, valueLength)
    if (value !== null) at = this.#copy(at, value, valueStart, valueEnd)
    at = writeVarint(bytes, at, this.#headerCount)
    if (this.#headersLength > 0) {
      at = copy(bytes, at, this.#headers, 0, this.#headersLength)
      this.#headersLength = this.#headerCount = 0
    }
    this.#length = at
    this.#count++
    this.#lastOffsetDelta = offsetDelta
  }

  /** Adds a header to the record that the next `append…` writes. */
  addHeader(key: string | Uint8Array, value: Uint8Array | null): void {
    const keyBytes = typeof key === 'string' ? utf8(key) : key
    this.addHeaderRange(keyBytes, 0, keyBytes.length, value, 0, value === null ? 0 : value.length)
  }

  /** As `addHeader`, with ranges: the key is `key[keyStart, keyEnd)`, the value alike or null. */
  addHeaderRange(key: Uint8Array, keyStart: number, keyEnd: number, value: Uint8Array | null, valueStart: number, valueEnd: number): void {
    const keyLength = keyEnd - keyStart
    const valueLength = value === null ? -1 : valueEnd - valueStart
    this.#headers = grown(this.#headers, this.#headersLength, keyLength + Math.max(0, valueLength) + 2 * VARINT_MAX)
    let at = writeVarint(this.#headers, this.#headersLength, keyLength)
    at = copy(this.#headers, at, key, keyStart, keyEnd)
    at = writeVarint(this.#headers, at, valueLength)
    if (value !== null) at = copy(this.#headers, at, value, valueStart, valueEnd)
    this.#headersLength = at
    this.#headerCount++
  }

  /**
   * The batch, in a buffer of exactly its size that the builder does not touch again. Call `reset` before the next append.
   *
   * A batch without records is what compaction leaves to keep a range of offsets (KIP-98); give `lastOffsetDelta` then.
   *
   * @param lastOffsetDelta the offset delta that the batch covers, if more than its last record's
   */
  finish(lastOffsetDelta = this.#lastOffsetDelta): Uint8Array {
    const options = this.#options
    const codec = options.codec ?? CODEC_NONE
    const timestampType = options.timestampType ?? CREATE_TIME
    if (lastOffsetDelta < this.#lastOffsetDelta) throw new RangeError(`last offset delta ${lastOffsetDelta} before the last record's`)
    let batch: Uint8Array
    if (codec === CODEC_NONE) {
      batch = this.#bytes.slice(0, this.#length)
    } else {
      const level = options.compressionLevel
      const records = compress(codec, this.#bytes.subarray(BATCH_HEADER_SIZE, this.#length), level === undefined ? {} : { level })
      batch = new Uint8Array(BATCH_HEADER_SIZE + records.length)
      batch.set(records, BATCH_HEADER_SIZE)
    }
    writeBatchHeader(batch, 0, batch.length, {
      baseOffset: options.baseOffset,
      partitionLeaderEpoch: options.leaderEpoch ?? NO_LEADER_EPOCH,
      attributes: makeAttributes(codec, timestampType, options.transactional === true, options.control === true),
      lastOffsetDelta,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: this.#maxTimestamp,
      producerId: options.producerId ?? NO_PRODUCER_ID,
      producerEpoch: options.producerEpoch ?? NO_PRODUCER_EPOCH,
      baseSequence: options.baseSequence ?? NO_SEQUENCE,
      recordCount: this.#count,
    })
    return batch
  }

  #copy(at: number, source: Uint8Array, start: number, end: number): number {
    const length = end - start
    if (length > LOOP_COPY_MAX || start < 0 || end > source.length) return copy(this.#bytes, at, source, start, end)
    if (source !== this.#source) {
      this.#source = source
      this.#sourceView = new DataView(source.buffer, source.byteOffset, source.length)
    }
    copyWords(this.#view, at, this.#sourceView, start, length)
    return at + length
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    this.#bytes = grown(this.#bytes, this.#length, more)
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length)
  }
}

/** UTF-8 of a header key. The result is overwritten by the next call where it is short ASCII, which nearly all keys are. */
function utf8(text: string): Uint8Array {
  const length = text.length
  const ascii = ASCII_KEYS[length]
  if (ascii === undefined) return encoder.encode(text)
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x7f) return encoder.encode(text)
    ascii[index] = code
  }
  return ascii
}
/** One buffer for each length up to 63. */
const ASCII_KEYS = Array.from({ length: 64 }, (_, length) => new Uint8Array(length))

/** `bytes`, or a copy of its first `used` bytes with room for `more`. */
function grown(bytes: Uint8Array, used: number, more: number): Uint8Array {
  const needed = used + more
  if (needed <= bytes.length) return bytes
  if (needed > CAPACITY_MAX) throw new RangeError('a batch cannot exceed 2 GiB')
  const larger = new Uint8Array(Math.min(CAPACITY_MAX, Math.max(needed, bytes.length * 2, CAPACITY_MIN)))
  larger.set(bytes.subarray(0, used))
  return larger
}

/** Copies `source[start, end)` to `target[at, …)` and returns the position behind it. */
function copy(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length <= HEADER_COPY_MAX) {
    for (let from = start; from < end; from++) target[at++] = source[from]!
    return at
  }
  target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at)
  return at + length
}
