/**
 * Judges what a producer sent for one partition, before it gets an offset. The outcome says what is wrong; which error
 * code that becomes is decided elsewhere.
 *
 * Order and strictness follow Kafka (observed on 4.3.1, and KIP-98 for the batch format): what Kafka answers with
 * CORRUPT_MESSAGE is `corrupt`, with INVALID_RECORD `invalid` or `unsupported-magic`.
 */
import {
  BATCH_HEADER_SIZE,
  BATCH_LENGTH_OVERHEAD,
  CODEC_NONE,
  LOG_APPEND_TIME,
  MAGIC_AT,
  MAGIC_V2,
  batchLength,
  computeCrc,
  magic,
  readBatchHeader,
} from './batch.ts'
import type { BatchHeader } from './batch.ts'
import { DECOMPRESSED_BYTES_MAX_DEFAULT, codecName, decompress, startsLikeCodec } from './compression.ts'
import { DecompressionError } from './errors.ts'
import { RecordCursor } from './record.ts'

export interface ValidateOptions {
  /** Bound on the whole batch as sent, in bytes (`max.message.bytes`); none without it. */
  readonly maxBytes?: number
  /** Decompress compressed batches and walk their records too. */
  readonly deep?: boolean
  /** Bound on the output of `deep`, in bytes; 64 MiB without it. */
  readonly decompressedBytesMax?: number
  /** Take what only the broker itself writes: control batches, and batches of a producer without a sequence (offsets of a transaction). */
  readonly fromBroker?: boolean
  /** Take batches marked LogAppendTime; producers may not set that bit. */
  readonly allowLogAppendTime?: boolean
}

export interface ValidBatch {
  readonly kind: 'ok'
  readonly header: BatchHeader
  /** Whether the records were walked: always for uncompressed batches, with `deep` for compressed ones. */
  readonly walked: boolean
  /** Of the records if they were walked (the header's max timestamp may be wrong), else the header's base and max timestamp. */
  readonly minTimestamp: number
  readonly maxTimestamp: number
  /** Whether some record has no key; null when the records were not walked. */
  readonly hasNullKey: boolean | null
}

export interface RefusedBatch {
  /**
   * - `corrupt`: the bytes are damaged (checksum, length, magic above 2, data that does not decompress)
   * - `invalid`: undamaged, but not one well-formed batch that a producer may send
   * - `invalid-timestamp`: a timestamp type or value that a producer may not send
   * - `unsupported-magic`: message format 0 or 1
   * - `unsupported-codec`: a codec number that does not exist
   * - `too-large`: beyond `maxBytes`, or beyond `decompressedBytesMax` when decompressed
   */
  readonly kind: 'corrupt' | 'invalid' | 'invalid-timestamp' | 'unsupported-magic' | 'unsupported-codec' | 'too-large'
  /** For people. */
  readonly reason: string
}

/** The smallest length field that Kafka takes for a message of any format; below it the bytes are damaged. */
const LENGTH_MIN_ANY_MAGIC = 14
/** One object serves all batches, because validation is synchronous. */
const cursor = new RecordCursor()
const NOTHING = new Uint8Array(BATCH_HEADER_SIZE)

/**
 * Checks that `bytes` are exactly one sound record batch v2 as a producer may send it: lengths, magic, CRC-32C, counts,
 * flags, codec; and for uncompressed batches (with `deep` for all) every record's lengths and the offset deltas 0…n-1.
 *
 * Does not throw, does not allocate per record, and reads nothing beyond `bytes`.
 */
export function validateProduceBatch(bytes: Uint8Array, options: ValidateOptions = {}): ValidBatch | RefusedBatch {
  const damage = frameProblem(bytes, options)
  if (damage !== null) return damage
  const header = readBatchHeader(bytes, 0)
  if (header.crc !== computeCrc(bytes, 0)) return refused('corrupt', 'the CRC does not match')
  const problem = headerProblem(header, options)
  if (problem !== null) return problem
  if (header.codec === CODEC_NONE) return walk(bytes, header, bytes, BATCH_HEADER_SIZE)

  const compressed = bytes.subarray(BATCH_HEADER_SIZE)
  if (!startsLikeCodec(header.codec, compressed)) return refused('corrupt', `the records are not ${codecName(header.codec)} data`)
  if (options.deep !== true) {
    return { kind: 'ok', header, walked: false, minTimestamp: header.baseTimestamp, maxTimestamp: header.maxTimestamp, hasNullKey: null }
  }
  let records: Uint8Array
  try {
    records = decompress(header.codec, compressed, { maxBytes: options.decompressedBytesMax ?? DECOMPRESSED_BYTES_MAX_DEFAULT })
  } catch (error) {
    if (!(error instanceof DecompressionError)) throw error
    return refused(error.reason === 'too-large' ? 'too-large' : 'corrupt', error.message)
  }
  return walk(bytes, header, records, 0)
}

/** What can be said before the CRC: is there one batch with the right magic, from the first byte to the last? */
function frameProblem(bytes: Uint8Array, options: ValidateOptions): RefusedBatch | null {
  if (bytes.length <= MAGIC_AT) return refused('invalid', 'there is no record batch')
  const length = batchLength(bytes, 0)
  if (length < LENGTH_MIN_ANY_MAGIC) return refused('corrupt', `the batch length is ${length}`)
  const format = magic(bytes, 0)
  if (format < 0 || format > MAGIC_V2) return refused('corrupt', `the magic is ${format}`)
  const size = length + BATCH_LENGTH_OVERHEAD
  if (format < MAGIC_V2) return refused('unsupported-magic', `message format ${format} is not supported`)
  if (size < BATCH_HEADER_SIZE) return refused('corrupt', `the batch length is ${length}`)
  if (size > 0x7fffffff) return refused('corrupt', `the batch length is ${length}`)
  if (options.maxBytes !== undefined && size > options.maxBytes) {
    return refused('too-large', `the batch has ${size} bytes, the limit is ${options.maxBytes}`)
  }
  if (size > bytes.length) return refused('invalid', `the batch claims ${size} bytes, ${bytes.length} were sent`)
  if (size < bytes.length) return refused('invalid', `${bytes.length - size} bytes follow the batch, where exactly one batch is expected`)
  return null
}

function headerProblem(header: BatchHeader, options: ValidateOptions): RefusedBatch | null {
  if (header.recordCount < 1) return refused('invalid', `the record count is ${header.recordCount}`)
  if (header.lastOffsetDelta !== header.recordCount - 1) {
    return refused('invalid', `${header.recordCount} records do not fit a last offset delta of ${header.lastOffsetDelta}`)
  }
  if (header.isControl && options.fromBroker !== true) return refused('invalid', 'producers may not write control batches')
  if (!Number.isSafeInteger(header.producerId) || header.producerId < -1) {
    return refused('invalid', `the producer id is ${header.producerId}`)
  }
  if (header.producerId >= 0) {
    if (header.producerEpoch < 0) return refused('invalid', `the producer epoch is ${header.producerEpoch}`)
    if (header.baseSequence < 0 && options.fromBroker !== true) return refused('invalid', `the base sequence is ${header.baseSequence}`)
  } else if (header.isTransactional) {
    return refused('invalid', 'a transactional batch has no producer id')
  }
  if (codecName(header.codec) === null) return refused('unsupported-codec', `codec ${header.codec} does not exist`)
  if (header.timestampType === LOG_APPEND_TIME && options.allowLogAppendTime !== true) {
    return refused('invalid-timestamp', 'producers may not set the timestamp type to LogAppendTime')
  }
  if (!isTimestamp(header.baseTimestamp) || !isTimestamp(header.maxTimestamp)) {
    return refused('invalid-timestamp', `timestamps from ${header.baseTimestamp} to ${header.maxTimestamp}`)
  }
  return null
}

/** Steps over the records `records[start, …)` of a batch whose header is sound. */
function walk(batch: Uint8Array, header: BatchHeader, records: Uint8Array, start: number): ValidBatch | RefusedBatch {
  let minDelta = Infinity
  let maxDelta = -Infinity
  let hasNullKey = false
  let expected = 0
  let problem: string | null = null
  cursor.resetToRecords(batch, 0, records, start, records.length)
  for (;;) {
    const step = cursor.step()
    if (step === 'end') break
    if (step === 'malformed') {
      problem = `record ${expected}: ${cursor.problem}`
      break
    }
    if (cursor.offsetDelta !== expected) {
      problem = `record ${expected} has offset delta ${cursor.offsetDelta}`
      break
    }
    expected++
    const delta = cursor.timestampDelta
    if (delta < minDelta) minDelta = delta
    if (delta > maxDelta) maxDelta = delta
    if (cursor.keyStart === -1) hasNullKey = true
  }
  cursor.resetToRecords(NOTHING, 0, NOTHING, 0, 0)
  if (problem !== null) return refused('invalid', problem)
  const minTimestamp = header.baseTimestamp + minDelta
  const maxTimestamp = header.baseTimestamp + maxDelta
  if (!isTimestamp(minTimestamp) || !isTimestamp(maxTimestamp)) {
    return refused('invalid-timestamp', `timestamps from ${minTimestamp} to ${maxTimestamp}`)
  }
  if (header.timestampType === LOG_APPEND_TIME) {
    return { kind: 'ok', header, walked: true, minTimestamp: header.maxTimestamp, maxTimestamp: header.maxTimestamp, hasNullKey }
  }
  return { kind: 'ok', header, walked: true, minTimestamp, maxTimestamp, hasNullKey }
}

/** Half the safe range, so that the difference of two timestamps is exact as well. Some 142,000 years either side of 1970. */
function isTimestamp(ms: number): boolean {
  return ms >= -TIMESTAMP_ABS_MAX && ms <= TIMESTAMP_ABS_MAX
}
const TIMESTAMP_ABS_MAX = 2 ** 52

function refused(kind: RefusedBatch['kind'], reason: string): RefusedBatch {
  return { kind, reason }
}
