/** The Delta statistics of a Parquet file of ours. */
import { encodeStats } from '../delta/stats.ts'
import type { WrittenFile } from '../parquet/topic-file-writer.ts'

export function fileStats(file: WrittenFile): string {
  return encodeStats({
    numRecords: file.rows,
    minOffset: file.minOffset,
    maxOffset: file.maxOffset,
    ...(file.minTimestampMicros === null ? {} : { minTimestampMs: Math.floor(file.minTimestampMicros / 1000) }),
    ...(file.maxTimestampMicros === null ? {} : { maxTimestampMs: Math.ceil(file.maxTimestampMicros / 1000) }),
    nullTimestamps: file.nullCounts.timestamp,
    nullValues: file.nullCounts.value,
  })
}
