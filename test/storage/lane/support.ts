/** Entries, batches and options for the tests of the lane. */
import { ATTRIBUTES_AT, BATCH_HEADER_SIZE, BATCH_LENGTH_OVERHEAD, CRC_AT } from '../../../protocol/records/batch.ts'
import { crc32c } from '../../../protocol/records/crc32c.ts'
import { writeInt16, writeInt32, writeInt64 } from '../../../protocol/records/integers.ts'
import type { LaneEntry, LaneFailure, LaneId, LaneOptions } from '../../../storage/lane/types.ts'

export const topicA = 'AAAAAAAAAAAAAAAAAAAAAQ'
export const topicB = '_v3-AAAAAAAAAAAAAAAAAg'
export const lane: LaneId = { brokerId: 7, incarnation: 42 }

export const laneOptions: LaneOptions = { lingerMs: 5, inflightMax: 3, segmentBytesMax: 4096, bufferBytesMax: 64 * 1024 }

/** The bytes of a record batch v2 with a right header and CRC; what follows the header is filler, not records. */
export function batchOf(baseOffset: number, records: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(BATCH_HEADER_SIZE + payloadBytes).fill(baseOffset & 0xff)
  writeInt64(bytes, 0, baseOffset)
  writeInt32(bytes, 8, bytes.byteLength - BATCH_LENGTH_OVERHEAD)
  writeInt32(bytes, 12, 5)
  bytes[16] = 2
  writeInt16(bytes, ATTRIBUTES_AT, 0)
  writeInt32(bytes, 23, records - 1)
  writeInt64(bytes, 27, 1_700_000_000_000)
  writeInt64(bytes, 35, 1_700_000_000_123)
  writeInt64(bytes, 43, -1)
  writeInt16(bytes, 51, -1)
  writeInt32(bytes, 53, -1)
  writeInt32(bytes, 57, records)
  writeInt32(bytes, CRC_AT, crc32c(bytes.subarray(ATTRIBUTES_AT)))
  return bytes
}

export type Fate =
  | { readonly kind: 'durable'; readonly seq: number; readonly start: number; readonly end: number }
  | { readonly kind: 'failed'; readonly reason: LaneFailure }

/** An entry that remembers what the lane told it; telling it twice is an error. */
export class TestEntry implements LaneEntry {
  readonly topicId: string
  readonly partition: number
  readonly baseOffset: number
  readonly lastOffset: number
  readonly maxTimestamp = 1_700_000_000_123
  readonly producerId = -1
  readonly producerEpoch = -1
  readonly baseSequence = -1
  readonly leaderEpoch = 5
  readonly attributes = 0
  readonly recordCount: number
  readonly crc: number
  readonly bytes: Uint8Array
  fate: Fate | null = null
  readonly #told: (entry: TestEntry) => void

  constructor(
    baseOffset: number,
    options: { topicId?: string; partition?: number; records?: number; payloadBytes?: number; told?: (entry: TestEntry) => void } = {},
  ) {
    this.topicId = options.topicId ?? topicA
    this.partition = options.partition ?? 0
    this.recordCount = options.records ?? 1
    this.baseOffset = baseOffset
    this.lastOffset = baseOffset + this.recordCount - 1
    this.bytes = batchOf(baseOffset, this.recordCount, options.payloadBytes ?? 39)
    this.crc = crc32c(this.bytes.subarray(ATTRIBUTES_AT))
    this.#told = options.told ?? (() => undefined)
  }

  durable(_lane: LaneId, seq: number, start: number, end: number): void {
    this.#settle({ kind: 'durable', seq, start, end })
  }

  failed(reason: LaneFailure): void {
    this.#settle({ kind: 'failed', reason })
  }

  #settle(fate: Fate): void {
    if (this.fate !== null) throw new Error(`offset ${this.baseOffset} was told twice`)
    this.fate = fate
    this.#told(this)
  }
}
