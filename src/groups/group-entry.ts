/** What the coordinator keeps of one group, whichever protocol its members speak. */
import type { Timer } from '../../storage/env.ts'
import type { ConsumerGroup } from './consumer/types.ts'
import type { OffsetTable } from './offset-table.ts'
import type { RecordBytes } from './records.ts'
import type { Group, GroupMetadata } from './types.ts'

export interface GroupEntry {
  /** The classic group; an empty one while `consumer` is set. */
  group: Group
  /** Set for a group of the consumer protocol. */
  consumer: ConsumerGroup | null
  /** The durable records of the consumer group by their keys. Memory is ahead of them by the writes that are on their way. */
  readonly consumerRecords: Map<string, RecordBytes>
  /** A write of the consumer group, or of a change to or from one, failed: the group is to be what is durable once nothing is on its way. */
  consumerLost: boolean
  readonly offsets: OffsetTable
  /** Whether the log holds a record of the classic group, or soon will, that a deletion must cancel. */
  persisted: boolean
  /** The newest record of the classic group that is durable. */
  durable: GroupMetadata | null
  /** Writes of this group that are not settled: it must not be forgotten meanwhile. */
  writes: number
  timer: Timer | null
  timerAtMs: number
}

export function newEntry(group: Group, offsets: OffsetTable): GroupEntry {
  return {
    group,
    consumer: null,
    consumerRecords: new Map(),
    consumerLost: false,
    offsets,
    persisted: false,
    durable: null,
    writes: 0,
    timer: null,
    timerAtMs: Infinity,
  }
}

/** Nobody is in the group, or about to be. */
export function isFree({ group, consumer }: GroupEntry): boolean {
  return group.phase === 'Empty' && group.pendingMembers.size === 0 && !hasConsumers(consumer)
}

/** Whether there is a consumer group with members. */
export function hasConsumers(consumer: ConsumerGroup | null): consumer is ConsumerGroup {
  return consumer !== null && consumer.members.size > 0
}
