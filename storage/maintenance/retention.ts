/**
 * What of a partition is older or larger than its topic keeps (`retention.ms`, `retention.bytes`). Pure policy. Kafka deletes whole segments
 * from the beginning of a log; here the unit is the data file: the log start moves to the first offset to keep, and whole files below it go.
 */
import { newestRecordMs } from '../delta/snapshot.ts'
import type { TableFile } from '../delta/snapshot.ts'
import type { Offset } from '../types.ts'

export interface RetentionLimits {
  /** Files whose newest record is older go, Unix milliseconds; null keeps them whatever their age. */
  readonly expiredBeforeMs: number | null
  /** Files go as long as at least this much is left without them; null is no limit. */
  readonly bytesMax: number | null
}

export interface RetainedPartition {
  /** All files, by first offset. */
  readonly files: readonly TableFile[]
  readonly logStartOffset: Offset
  readonly flushedOffset: Offset
  /** Bytes of the partition that are not in the table yet. */
  readonly unflushedBytes: number
}

/** The offset that the log should begin at, or null where it should stay as it is. */
export function retainedFrom(partition: RetainedPartition, limits: RetentionLimits): Offset | null {
  const { logStartOffset, flushedOffset } = partition
  const files = partition.files.filter((file) => file.range.kind !== 'known' || file.last >= logStartOffset)
  // What has no known place might be older or newer than everything else.
  if (files.some((file) => file.range.kind !== 'known')) return null
  let bytes = files.reduce((sum, file) => sum + file.bytes, partition.unflushedBytes)
  let kept = 0
  let end = logStartOffset
  for (; kept < files.length; kept++) {
    const file = files[kept]!
    const tooOld = limits.expiredBeforeMs !== null && newestRecordMs(file) < limits.expiredBeforeMs
    const tooMuch = limits.bytesMax !== null && bytes - file.bytes >= limits.bytesMax
    if (!tooOld && !tooMuch) break
    bytes -= file.bytes
    end = Math.max(end, file.last + 1)
  }
  // Files that others rewrote may overlap: nothing of those that stay is cut off.
  const first = files[kept]?.first ?? Infinity
  const start = Math.min(end, first, flushedOffset)
  return start > logStartOffset ? start : null
}
