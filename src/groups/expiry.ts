/**
 * Which offsets of a group are old enough to go (KIP-211): those of a group that has been empty for the retention time; of topics that a
 * live consumer group no longer reads; of a group that only stores offsets, since their last commit; and those of topics that are gone.
 * Where an open transaction has an offset for the partition, nothing goes before it has ended.
 */
import { subscribesTo } from './consumer/consumer-group.ts'
import type { TopicIndex } from './ports.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import type { CommittedOffset } from './records.ts'
import { isFree } from './group-entry.ts'
import type { GroupEntry } from './group-entry.ts'
import type { PendingOffsets } from './pending-offsets.ts'
import type { OffsetPlace } from './shard.ts'

/**
 * What was committed a moment ago to a topic that nobody knows is left alone: another broker may have created the topic, and the news of it
 * may not have arrived.
 */
const GONE_GRACE_MS = 10 * 60 * 1000

export interface Expiry {
  readonly places: readonly OffsetPlace[]
  /** Nothing is left of the group after this: it goes too. */
  readonly group: boolean
}

/** `nowMs` is wall-clock time, as are the times in the records. */
export function expiredOf(entry: GroupEntry, pending: PendingOffsets, topics: TopicIndex, retentionMs: number, nowMs: number): Expiry {
  const { offsets } = entry
  const { id } = entry.group
  const places: OffsetPlace[] = []
  for (const [topic, partitions] of offsets.topics()) {
    const retained = !mayExpire(entry, topic)
    for (const [partition, offset] of partitions) {
      if (pending.has(id, topic, partition)) continue
      if (topicIsGone(offset, topics, nowMs) || (!retained && isExpired(entry, offset, retentionMs, nowMs))) places.push({ topic, partition })
    }
  }
  return { places, group: isFree(entry) && entry.writes === 0 && places.length === offsets.size && !pending.hasGroup(id) }
}

function mayExpire({ group, consumer }: GroupEntry, topic: string): boolean {
  if (consumer !== null) return !subscribesTo(consumer, topic)
  if (group.phase === 'Empty') return true
  return group.phase === 'Stable' && group.subscribedTopics !== null && !group.subscribedTopics.has(topic)
}

function isExpired({ group }: GroupEntry, offset: CommittedOffset, retentionMs: number, nowMs: number): boolean {
  if (offset.expireTimestampMs !== -1) return nowMs >= offset.expireTimestampMs
  const emptySinceMs = group.phase === 'Empty' && group.protocolType !== null ? group.phaseChangedAtMs : -1
  return nowMs - (emptySinceMs === -1 ? offset.commitTimestampMs : emptySinceMs) >= retentionMs
}

/** A topic that was deleted, or deleted and created anew: its offsets mean nothing any more. */
function topicIsGone(offset: CommittedOffset, topics: TopicIndex, nowMs: number): boolean {
  if (offset.topicId === ZERO_UUID || nowMs - offset.commitTimestampMs < GONE_GRACE_MS) return false
  return topics.byId(offset.topicId) === undefined
}
