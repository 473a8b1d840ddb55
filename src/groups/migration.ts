/**
 * Online migration of a group with members between the two protocols (KIP-848): what a classic group is as a consumer group, and the reverse.
 * Members keep their ids, sessions and assignments, and the generation goes on as epoch and as generation again. The functions are pure; the
 * shard swaps the groups and writes both sides of the change down together.
 */
import type { Uuid } from '../../storage/types.ts'
import { assignmentBytes, partitionIds } from './consumer/classic-members.ts'
import { newConsumerGroup, setPosition, setSubscription, watch } from './consumer/membership.ts'
import { NOTHING_HELD, NO_PARTITIONS, partitionsOf } from './consumer/reconcile.ts'
import { groupEpochRecord, memberRecord, positionRecord, targetEpochRecord, targetRecord } from './consumer/records.ts'
import { namesOf } from './consumer/arrivals.ts'
import type { ConsumerGroup, ConsumerMember, ConsumerWorld, HeldPartitions } from './consumer/types.ts'
import { CONSUMER_PROTOCOL_TYPE, decodeAssignment, decodeSubscription } from './consumer-protocol.ts'
import { metadataRecord, newGroup, selectProtocol, settle } from './membership.ts'
import type { TopicIndex } from './ports.ts'
import type { RecordBytes } from './records.ts'
import { subscribedTopicsOf } from './subscription.ts'
import type { Group, GroupMetadata, Member, Now } from './types.ts'

/**
 * The consumer group that a classic group with members becomes, or why it cannot. Members are in the epoch that is the group's generation and
 * hold what they were assigned last; those that are rebalancing learn by their next JoinGroup what else there is for them.
 */
export function upgraded(classic: Group, { now, limits, topics }: ConsumerWorld): ConsumerGroup | string {
  const cannot = `Cannot upgrade classic group ${classic.id} to consumer group because`
  if (!limits.upgrade) return `${cannot} online upgrade is disabled.`
  if (classic.protocolType !== CONSUMER_PROTOCOL_TYPE) return `${cannot} the group does not use the consumer embedded protocol.`
  if (classic.members.size > limits.maxSize) return `${cannot} the group size exceeds the consumer group maximum size.`
  const group = newConsumerGroup(classic.id)
  group.epoch = classic.generation
  group.assignmentEpoch = classic.generation
  const taken = new Map<Uuid, Set<number>>()
  for (const member of classic.members.values()) {
    const problem = addClassic(group, member, { topics, now, taken })
    if (problem !== null) return `${cannot} ${problem}`
  }
  return group
}

/** Everything about a group that was just converted. */
export function consumerGroupRecords(group: ConsumerGroup, wallMs: number): RecordBytes[] {
  const records = [groupEpochRecord(group), targetEpochRecord(group, wallMs)]
  for (const { id, subscription, position } of group.members.values()) {
    records.push(memberRecord(group.id, id, subscription))
    records.push(targetRecord(group.id, id, group.target.get(id) ?? NO_PARTITIONS))
    records.push(positionRecord(group.id, id, position))
  }
  return records
}

/**
 * The classic group that a consumer group becomes of which all members speak the classic protocol. It is stable, in the generation that was the
 * group's epoch, with the target as assignment; the caller begins a rebalance, because the partitions of whoever left have to go to somebody.
 */
export function downgraded(consumer: ConsumerGroup, { now, topics }: ConsumerWorld): Group {
  const group = newGroup(consumer.id, now.wallMs)
  group.phase = 'Stable'
  group.protocolType = CONSUMER_PROTOCOL_TYPE
  group.generation = consumer.epoch
  for (const { id, subscription } of consumer.members.values()) {
    const { classic } = subscription
    if (classic === null) throw new Error(`member ${id} of group ${consumer.id} speaks the consumer protocol`)
    settle(group, {
      id,
      instanceId: subscription.instanceId,
      clientId: subscription.clientId,
      clientHost: subscription.clientHost,
      sessionTimeoutMs: classic.sessionTimeoutMs,
      rebalanceTimeoutMs: subscription.rebalanceTimeoutMs,
      protocols: classic.supportedProtocols,
      assignment: assignmentBytes(classic.supportedProtocols[0]!, consumer.target.get(id) ?? NO_PARTITIONS, topics),
    }, now)
  }
  group.protocol = selectProtocol(group)
  group.subscribedTopics = subscribedTopicsOf(group)
  return group
}

/** A downgraded group as it is written down: without a leader, which says that its rebalance has yet to come. */
export function downgradedMetadata(group: Group): GroupMetadata {
  return { ...metadataRecord(group), leader: null }
}

/** Whether a group that was loaded is to rebalance: it was written down on its way back to the classic protocol. */
export function awaitsRebalance({ leader, members }: GroupMetadata): boolean {
  return leader === null && members.length > 0
}

/** A member of the classic group in the consumer group; or why it cannot be one. */
function addClassic(
  group: ConsumerGroup,
  classic: Member,
  { topics, now, taken }: { readonly topics: TopicIndex; readonly now: Now; readonly taken: Map<Uuid, Set<number>> },
): string | null {
  const [protocol] = classic.protocols
  try {
    const subscription = decodeSubscription(protocol!.metadata)
    const assignment = classic.assignment.length === 0 ? null : decodeAssignment(classic.assignment)
    if ((assignment?.userData?.length ?? 0) > 0) {
      return 'an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade.'
    }
    // In the middle of a rebalance the assignment is unknown; members of cooperative assignors still hold what they say.
    const owned = partitionIds(assignment?.assignedPartitions ?? subscription.ownedPartitions, topics)
    const assigned = heldBy(owned, group.epoch, taken)
    const { epoch } = group
    const member: ConsumerMember = {
      id: classic.id,
      subscription: {
        instanceId: classic.instanceId,
        rackId: subscription.rackId,
        clientId: classic.clientId,
        clientHost: classic.clientHost,
        topicNames: namesOf(subscription.topics),
        topicRegex: null,
        rebalanceTimeoutMs: classic.rebalanceTimeoutMs,
        assignor: null,
        classic: { sessionTimeoutMs: classic.sessionTimeoutMs, supportedProtocols: classic.protocols },
      },
      position: { epoch, previousEpoch: epoch, state: 'stable', assigned: NOTHING_HELD, revoking: NOTHING_HELD },
      sessionDeadlineMs: now.monotonicMs + classic.sessionTimeoutMs,
      revocationDeadlineMs: Infinity,
      joinDeadlineMs: Infinity,
      syncDeadlineMs: Infinity,
    }
    group.members.set(member.id, member)
    setSubscription(group, member, member.subscription)
    setPosition(group, member, { ...member.position, assigned })
    group.target.set(member.id, partitionsOf(assigned))
    watch(group, member)
    return null
  } catch {
    return 'the embedded consumer protocol is malformed.'
  }
}

/** What a member holds of these partitions; what a careless leader gave to two members stays with the first. */
function heldBy(
  owned: ReturnType<typeof partitionIds>,
  epoch: number,
  taken: Map<Uuid, Set<number>>,
): HeldPartitions {
  const held = new Map<Uuid, Map<number, number>>()
  for (const { topicId, partitions } of owned) {
    const others = taken.get(topicId) ?? new Set()
    taken.set(topicId, others)
    const mine = held.get(topicId) ?? new Map<number, number>()
    for (const partition of partitions) {
      if (others.has(partition)) continue
      others.add(partition)
      mine.set(partition, epoch)
    }
    if (mine.size > 0) held.set(topicId, mine)
  }
  return held
}
