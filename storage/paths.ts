/** Every key in the bucket is made here (DESIGN §3, docs/FORMATS.md). Numbers have 20 digits so that keys sort as numbers. */
import type { Incarnation, LogVersion, TableVersion, Uuid } from './types.ts'

export function digits20(n: number): string {
  return String(n).padStart(20, '0')
}

export const journalPrefix = 'meta/journal/'
export const journalSnapshotPrefix = 'meta/snapshots/'

export function journalKey(version: LogVersion): string {
  return `${journalPrefix}${digits20(version)}.json`
}

export function journalSnapshotKey(version: LogVersion): string {
  return `${journalSnapshotPrefix}${digits20(version)}.json`
}

export function lanePrefix(brokerId: number, incarnation: Incarnation): string {
  return `lanes/${brokerId}/${incarnation}/`
}

export function laneSegmentKey(brokerId: number, incarnation: Incarnation, seq: LogVersion): string {
  return `${lanePrefix(brokerId, incarnation)}${digits20(seq)}`
}

export function laneCheckpointPrefix(brokerId: number, incarnation: Incarnation): string {
  return `${lanePrefix(brokerId, incarnation)}checkpoints/`
}

export function laneCheckpointKey(brokerId: number, incarnation: Incarnation, seq: LogVersion): string {
  return `${laneCheckpointPrefix(brokerId, incarnation)}${digits20(seq)}`
}

/** State of the groups of one partition of `__consumer_offsets`; a hint. */
export function groupSnapshotKey(topicId: Uuid, partition: number): string {
  return `meta/groups/${topicId}/${partition}`
}

/** `location` is what the journal recorded for the topic, e.g. `topics/orders`. */
export function deltaLogPrefix(location: string): string {
  return `${location}/_delta_log/`
}

export function deltaCommitKey(location: string, version: TableVersion): string {
  return `${deltaLogPrefix(location)}${digits20(version)}.json`
}

/** Path of a data file relative to the table. */
export function dataFilePath(partition: number, baseOffset: number, uuid: string): string {
  return `partition=${partition}/${digits20(baseOffset)}-${uuid}.parquet`
}
