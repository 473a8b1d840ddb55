/**
 * Record batch v2 as bytes: where the header's fields are, how to read one without decoding the rest, and the few
 * changes a broker makes in place (Kafka protocol guide, "Record Batch"; KIP-98).
 *
 * Everything takes `(bytes, at)`, the buffer and the position of the batch in it, so that nothing is copied or wrapped
 * on the hot path. Callers make sure that `BATCH_HEADER_SIZE` bytes are there; for bytes from a client that is what
 * `validateProduceBatch` does.
 */
import { crc32cRange } from './crc32c.ts'
import { RecordFormatError } from './errors.ts'
import { readInt16, readInt32, readInt64, readUint32, writeInt16, writeInt32, writeInt64 } from './integers.ts'

/** Byte positions of the header's fields, relative to the start of the batch. */
export const BASE_OFFSET_AT = 0
export const BATCH_LENGTH_AT = 8
export const PARTITION_LEADER_EPOCH_AT = 12
export const MAGIC_AT = 16
export const CRC_AT = 17
/** The CRC covers everything from here to the end of the batch. */
export const ATTRIBUTES_AT = 21
export const LAST_OFFSET_DELTA_AT = 23
export const BASE_TIMESTAMP_AT = 27
export const MAX_TIMESTAMP_AT = 35
export const PRODUCER_ID_AT = 43
export const PRODUCER_EPOCH_AT = 51
export const BASE_SEQUENCE_AT = 53
export const RECORD_COUNT_AT = 57
/** Size of the header: the records, compressed or not, start here. */
export const BATCH_HEADER_SIZE = 61
/** Bytes of a batch that its length field does not count: base offset and the length itself. */
export const BATCH_LENGTH_OVERHEAD = 12

export const MAGIC_V2 = 2
export const NO_PRODUCER_ID = -1
export const NO_PRODUCER_EPOCH = -1
export const NO_SEQUENCE = -1
export const NO_LEADER_EPOCH = -1
/** The timestamp of a record that has none. */
export const NO_TIMESTAMP = -1

const CODEC_MASK = 0x07
const TIMESTAMP_TYPE_BIT = 0x08
const TRANSACTIONAL_BIT = 0x10
const CONTROL_BIT = 0x20
const DELETE_HORIZON_BIT = 0x40

/** Codec numbers of the attributes' low three bits. */
export const CODEC_NONE = 0
export const CODEC_GZIP = 1
export const CODEC_SNAPPY = 2
export const CODEC_LZ4 = 3
export const CODEC_ZSTD = 4

/** Timestamp types, as Spark's Kafka source and Kafka itself number them. */
export const CREATE_TIME = 0
export const LOG_APPEND_TIME = 1
export type TimestampType = typeof CREATE_TIME | typeof LOG_APPEND_TIME

/** The header of one batch as values; for use once per batch, not per record. */
export interface BatchHeader {
  readonly baseOffset: number
  /** Bytes of the batch behind the length field. */
  readonly batchLength: number
  readonly partitionLeaderEpoch: number
  readonly magic: number
  /** Unsigned. */
  readonly crc: number
  readonly attributes: number
  /** 0–7; above 4 there is no such codec. */
  readonly codec: number
  readonly timestampType: TimestampType
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly lastOffsetDelta: number
  /** Milliseconds since the epoch; the records' timestamps are relative to it. */
  readonly baseTimestamp: number
  /** Milliseconds since the epoch; with LOG_APPEND_TIME the timestamp of every record. */
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
}

export function baseOffset(bytes: Uint8Array, at: number): number {
  return readInt64(bytes, at + BASE_OFFSET_AT)
}

/** The length field: bytes of the batch behind it. `batchSize` is the whole. */
export function batchLength(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + BATCH_LENGTH_AT)
}

/** Bytes of the whole batch. */
export function batchSize(bytes: Uint8Array, at: number): number {
  return batchLength(bytes, at) + BATCH_LENGTH_OVERHEAD
}

export function partitionLeaderEpoch(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + PARTITION_LEADER_EPOCH_AT)
}

/** Signed, as Kafka reads it. */
export function magic(bytes: Uint8Array, at: number): number {
  return (bytes[at + MAGIC_AT]! << 24) >> 24
}

/** The CRC-32C that the batch carries, unsigned. */
export function crc(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at + CRC_AT)
}

/** The CRC-32C that the batch should carry, unsigned. */
export function computeCrc(bytes: Uint8Array, at: number): number {
  return crc32cRange(bytes, at + ATTRIBUTES_AT, at + batchSize(bytes, at))
}

/** Signed int16; only the low seven bits have a meaning. */
export function attributes(bytes: Uint8Array, at: number): number {
  return readInt16(bytes, at + ATTRIBUTES_AT)
}

/** Codec number 0–7 of an attributes field. */
export function codecOf(attributes: number): number {
  return attributes & CODEC_MASK
}

export function timestampTypeOf(attributes: number): TimestampType {
  return (attributes & TIMESTAMP_TYPE_BIT) === 0 ? CREATE_TIME : LOG_APPEND_TIME
}

export function isTransactional(attributes: number): boolean {
  return (attributes & TRANSACTIONAL_BIT) !== 0
}

/** A control batch holds a commit or abort marker and is never shown to applications (KIP-98). */
export function isControl(attributes: number): boolean {
  return (attributes & CONTROL_BIT) !== 0
}

/** Set by Kafka's log cleaner: the base timestamp is then the time at which tombstones may go (KIP-534). */
export function hasDeleteHorizon(attributes: number): boolean {
  return (attributes & DELETE_HORIZON_BIT) !== 0
}

export function makeAttributes(codec: number, timestampType: TimestampType, transactional: boolean, control: boolean): number {
  return (
    (codec & CODEC_MASK) |
    (timestampType === LOG_APPEND_TIME ? TIMESTAMP_TYPE_BIT : 0) |
    (transactional ? TRANSACTIONAL_BIT : 0) |
    (control ? CONTROL_BIT : 0)
  )
}

export function lastOffsetDelta(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + LAST_OFFSET_DELTA_AT)
}

/** Offset of the last record (or of the last one that was ever in it, after compaction). */
export function lastOffset(bytes: Uint8Array, at: number): number {
  return baseOffset(bytes, at) + lastOffsetDelta(bytes, at)
}

export function baseTimestamp(bytes: Uint8Array, at: number): number {
  return readInt64(bytes, at + BASE_TIMESTAMP_AT)
}

export function maxTimestamp(bytes: Uint8Array, at: number): number {
  return readInt64(bytes, at + MAX_TIMESTAMP_AT)
}

export function producerId(bytes: Uint8Array, at: number): number {
  return readInt64(bytes, at + PRODUCER_ID_AT)
}

export function producerEpoch(bytes: Uint8Array, at: number): number {
  return readInt16(bytes, at + PRODUCER_EPOCH_AT)
}

export function baseSequence(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + BASE_SEQUENCE_AT)
}

export function recordCount(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + RECORD_COUNT_AT)
}

/** All fields of the header at `at`. */
export function readBatchHeader(bytes: Uint8Array, at: number): BatchHeader {
  const flags = attributes(bytes, at)
  return {
    baseOffset: baseOffset(bytes, at),
    batchLength: batchLength(bytes, at),
    partitionLeaderEpoch: partitionLeaderEpoch(bytes, at),
    magic: magic(bytes, at),
    crc: crc(bytes, at),
    attributes: flags,
    codec: codecOf(flags),
    timestampType: timestampTypeOf(flags),
    isTransactional: isTransactional(flags),
    isControl: isControl(flags),
    lastOffsetDelta: lastOffsetDelta(bytes, at),
    baseTimestamp: baseTimestamp(bytes, at),
    maxTimestamp: maxTimestamp(bytes, at),
    producerId: producerId(bytes, at),
    producerEpoch: producerEpoch(bytes, at),
    baseSequence: baseSequence(bytes, at),
    recordCount: recordCount(bytes, at),
  }
}

/** Writes a whole header with magic 2; batch length and CRC follow from the bytes up to `end`, where the batch ends. */
export function writeBatchHeader(
  bytes: Uint8Array,
  at: number,
  end: number,
  fields: Omit<BatchHeader, 'batchLength' | 'magic' | 'crc' | 'codec' | 'timestampType' | 'isTransactional' | 'isControl'>,
): void {
  writeInt64(bytes, at + BASE_OFFSET_AT, fields.baseOffset)
  writeInt32(bytes, at + BATCH_LENGTH_AT, end - at - BATCH_LENGTH_OVERHEAD)
  writeInt32(bytes, at + PARTITION_LEADER_EPOCH_AT, fields.partitionLeaderEpoch)
  bytes[at + MAGIC_AT] = MAGIC_V2
  writeInt16(bytes, at + ATTRIBUTES_AT, fields.attributes)
  writeInt32(bytes, at + LAST_OFFSET_DELTA_AT, fields.lastOffsetDelta)
  writeInt64(bytes, at + BASE_TIMESTAMP_AT, fields.baseTimestamp)
  writeInt64(bytes, at + MAX_TIMESTAMP_AT, fields.maxTimestamp)
  writeInt64(bytes, at + PRODUCER_ID_AT, fields.producerId)
  writeInt16(bytes, at + PRODUCER_EPOCH_AT, fields.producerEpoch)
  writeInt32(bytes, at + BASE_SEQUENCE_AT, fields.baseSequence)
  writeInt32(bytes, at + RECORD_COUNT_AT, fields.recordCount)
  writeInt32(bytes, at + CRC_AT, crc32cRange(bytes, at + ATTRIBUTES_AT, end))
}

/** Gives the batch its place in the log, in place. The CRC does not cover these fields and stays right. */
export function patchBatch(bytes: Uint8Array, at: number, place: { readonly baseOffset: number; readonly leaderEpoch: number }): void {
  writeInt64(bytes, at + BASE_OFFSET_AT, place.baseOffset)
  writeInt32(bytes, at + PARTITION_LEADER_EPOCH_AT, place.leaderEpoch)
}

/** Makes `ms` the timestamp of every record (`message.timestamp.type=LogAppendTime`, KIP-32), in place, with a new CRC. */
export function setLogAppendTime(bytes: Uint8Array, at: number, ms: number): void {
  writeInt16(bytes, at + ATTRIBUTES_AT, attributes(bytes, at) | TIMESTAMP_TYPE_BIT)
  setMaxTimestamp(bytes, at, ms)
}

/** Corrects the max timestamp of a batch whose producer computed it wrongly, in place, with a new CRC. */
export function setMaxTimestamp(bytes: Uint8Array, at: number, ms: number): void {
  writeInt64(bytes, at + MAX_TIMESTAMP_AT, ms)
  writeInt32(bytes, at + CRC_AT, computeCrc(bytes, at))
}

/**
 * End of the batch at `at`, or -1 when it is not complete in `bytes`.
 *
 * @throws RecordFormatError when the length field is too small for a header: there is no next batch to be found then
 */
export function batchEnd(bytes: Uint8Array, at: number): number {
  if (at + BATCH_LENGTH_OVERHEAD > bytes.length) return -1
  const size = batchSize(bytes, at)
  if (size < BATCH_HEADER_SIZE) throw new RecordFormatError(`batch at ${at} has length ${batchLength(bytes, at)}`)
  return at + size > bytes.length ? -1 : at + size
}

/** The range of one batch: `bytes[start, end)`. */
export interface BatchRange {
  readonly start: number
  readonly end: number
}

/**
 * The batches of `bytes[from, …)` in order. An incomplete one at the end is left out, as Kafka's consumers do with the
 * tail of a fetch.
 *
 * @throws RecordFormatError as `batchEnd`
 */
export function* iterateBatches(bytes: Uint8Array, from = 0): Generator<BatchRange, void, void> {
  let start = from
  for (let end = batchEnd(bytes, start); end !== -1; end = batchEnd(bytes, start)) {
    yield { start, end }
    start = end
  }
}
