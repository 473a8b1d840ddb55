/**
 * Whether compaction by key is due for a partition, and of what. Pure policy, after Kafka's LogCleanerManager: rows below the cleaned offset have
 * distinct keys; those from there on are dirty. A pass is made when enough is dirty, so that the rewriting of a table costs a bounded multiple of what is
 * written to it, however large it grows.
 */
import { newestRecordMs } from '../delta/snapshot.ts'
import type { TableFile } from '../delta/snapshot.ts'
import type { CompactionConfig } from '../partition/types.ts'
import type { Offset } from '../types.ts'

export interface CompactedPartition {
  /** All files, by first offset. */
  readonly files: readonly TableFile[]
  /** Below it no two rows have one key. */
  readonly cleanedOffset: Offset
  readonly logStartOffset: Offset
  readonly flushedOffset: Offset
}

export interface CleaningPlan {
  /** Dirty are rows with from ≤ offset < end; both are equal when only tombstones are due. */
  readonly fromOffset: Offset
  readonly endOffset: Offset
  /** Those with rows below the end, by first offset. */
  readonly files: readonly TableFile[]
  /** Tombstones of files that are clean and were not modified since have been there for long enough. */
  readonly tombstonesBeforeMs: number
}

export function planCleaning(partition: CompactedPartition, config: CompactionConfig, nowMs: number): CleaningPlan | null {
  const { flushedOffset } = partition
  const fromOffset = Math.min(Math.max(partition.cleanedOffset, partition.logStartOffset), flushedOffset)
  // A row in a place that nobody knows may be the newest of its key.
  if (partition.files.some((file) => file.range.kind !== 'known')) return null
  const isClean = (file: TableFile): boolean => file.last < fromOffset
  let endOffset = flushedOffset
  if (config.minLagMs > 0) {
    const young = partition.files.find((file) => !isClean(file) && newestRecordMs(file) > nowMs - config.minLagMs)
    if (young !== undefined) endOffset = Math.min(endOffset, Math.max(fromOffset, young.first))
  }
  const files = partition.files.filter((file) => file.first < endOffset)
  let cleanBytes = 0
  let dirtyBytes = 0
  let isOverdue = false
  let hasOldTombstones = false
  const tombstonesBeforeMs = nowMs - config.deleteRetentionMs
  for (const file of files) {
    if (isClean(file)) {
      cleanBytes += file.bytes
      if ((file.nullValues ?? 0) > 0 && isOldFile(file, tombstonesBeforeMs)) hasOldTombstones = true
      continue
    }
    // A merge of small files may lie across the border.
    const cleanShare = file.first < fromOffset ? (fromOffset - file.first) / (file.last + 1 - file.first) : 0
    cleanBytes += file.bytes * cleanShare
    dirtyBytes += file.bytes * (1 - cleanShare)
    if (oldestMs(file) < nowMs - config.maxLagMs) isOverdue = true
  }
  const isDirty = dirtyBytes > 0 && (isOverdue || dirtyBytes / (cleanBytes + dirtyBytes) > config.minDirtyRatio)
  if (!isDirty && !hasOldTombstones) return null
  return { fromOffset, endOffset: isDirty ? endOffset : fromOffset, files: isDirty ? files : files.filter(isClean), tombstonesBeforeMs }
}

/** Whether what is clean in it has been so since before a time: cleaning writes files with tombstones again, and keeps their time from then on. */
export function isOldFile(file: TableFile, beforeMs: number): boolean {
  return file.modifiedMs <= beforeMs
}

/** Records without timestamps are as old as their file. */
function oldestMs(file: TableFile): number {
  const { minTimestampMs } = file
  return minTimestampMs === undefined || minTimestampMs < 0 ? file.modifiedMs : minTimestampMs
}
