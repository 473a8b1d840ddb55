/** Looks at single records of one batch: rare questions (ListOffsets, compacted topics) that the header cannot answer. */
import { recordsOf } from '../../protocol/records/record.ts'
import type { DecodedRecord } from '../../protocol/records/record.ts'
import type { Offset } from '../types.ts'

/** The first record from `fromOffset` on, in log order, whose timestamp is at or after `timestampMs`. */
export function findTimestamp(batch: Uint8Array, timestampMs: number, fromOffset: Offset = 0): { offset: Offset; timestampMs: number } | null {
  for (const record of recordsOf(batch)) {
    if (record.timestamp >= timestampMs && record.offset >= fromOffset) return { offset: record.offset, timestampMs: record.timestamp }
  }
  return null
}

/** The first record that carries the greatest timestamp of the batch from `fromOffset` on; offset -1 where there is none. */
export function maxTimestampOf(batch: Uint8Array, fromOffset: Offset = 0): { offset: Offset; timestampMs: number } {
  let best: { offset: Offset; timestampMs: number } | null = null
  for (const record of recordsOf(batch)) {
    if (record.offset < fromOffset) continue
    if (best === null || record.timestamp > best.timestampMs) best = { offset: record.offset, timestampMs: record.timestamp }
  }
  return best ?? { offset: -1, timestampMs: -1 }
}

/** Positions in the batch of the records that are so. */
export function positionsWhere(batch: Uint8Array, is: (record: DecodedRecord) => boolean): number[] {
  const positions: number[] = []
  for (const [position, record] of recordsOf(batch).entries()) if (is(record)) positions.push(position)
  return positions
}
