/**
 * Members of the classic protocol in a consumer group (KIP-848, "Online migration"). A JoinGroup is a heartbeat in other words: it says what
 * the member subscribes to and owns, and is answered at once with the member's epoch as generation. SyncGroup fetches the assignment, and
 * Heartbeat tells a member to join again when it has partitions to give up or to get. Nobody leads: the coordinator assigns.
 *
 * As in the rest of the consumer protocol, each function changes the group, which it owns, and returns what has to be durable before the answer
 * is given.
 */
import { KafkaError } from '../../../protocol/errors.ts'
import type { Uuid } from '../../../storage/types.ts'
import { CONSUMER_PROTOCOL_TYPE, decodeSubscription, encodeAssignment, subscriptionVersion } from '../consumer-protocol.ts'
import type { ConsumerSubscription } from '../consumer-protocol.ts'
import { failedJoin, failedSync } from '../group.ts'
import type { TopicIndex } from '../ports.ts'
import type { RecordBytes } from '../records.ts'
import type { JoinEvent, JoinReply, LeavingMember, Protocol, SyncEvent, SyncReply } from '../types.ts'
import { dismiss, knownMember, namesOf, staticMember, subscribe, takeMember } from './arrivals.ts'
import { ownerOf, watch } from './membership.ts'
import { NO_PARTITIONS, partitionsOf } from './reconcile.ts'
import { advance, assign, refreshTopics } from './targets.ts'
import type { ClassicSide, ConsumerGroup, ConsumerLimits, ConsumerMember, ConsumerWorld, HeartbeatRequest, Partitions } from './types.ts'

export interface ClassicOutcome<Reply> {
  readonly reply: Reply
  readonly records: readonly RecordBytes[]
}

/** A JoinGroup to a consumer group. Refused ones change nothing. */
export function joinClassic(group: ConsumerGroup, event: Omit<JoinEvent, 'ticket'>, world: ConsumerWorld): ClassicOutcome<JoinReply> {
  const { instanceId } = event
  const errorCode = refuseJoin(group, event, world.limits)
  const subscription = readSubscription(event.protocols)
  if (errorCode !== KafkaError.NONE || subscription === null) {
    const memberId = errorCode === KafkaError.MEMBER_ID_REQUIRED ? event.newMemberId : event.memberId
    return { reply: failedJoin(memberId, errorCode === KafkaError.NONE ? KafkaError.INCONSISTENT_GROUP_PROTOCOL : errorCode), records: [] }
  }
  const records: RecordBytes[] = []
  const memberId = event.memberId === '' ? event.newMemberId : event.memberId
  const { member, isNew } = takeMember(group, { memberId, instanceId, joins: true }, records)
  const was = member.subscription
  const next = {
    instanceId: instanceId ?? was.instanceId,
    rackId: subscription.rackId ?? was.rackId,
    clientId: event.clientId,
    clientHost: event.clientHost,
    topicNames: namesOf(subscription.topics),
    topicRegex: null,
    rebalanceTimeoutMs: event.rebalanceTimeoutMs,
    assignor: was.assignor,
    classic: { sessionTimeoutMs: event.sessionTimeoutMs, supportedProtocols: event.protocols },
  }
  const changed = subscribe(group, member, next, isNew, records) || isNew
  if (changed || group.topicsSeen !== world.topics.all()) refreshTopics(group, { changed, later: null }, world, records)
  assign(group, world, records)
  advance(group, member, { owned: partitionIds(subscription.ownedPartitions, world.topics), isNew }, records)
  const { monotonicMs } = world.now
  member.sessionDeadlineMs = monotonicMs + event.sessionTimeoutMs
  member.syncDeadlineMs = monotonicMs + event.rebalanceTimeoutMs
  member.joinDeadlineMs = Infinity
  member.revocationDeadlineMs = Infinity
  watch(group, member)
  return { reply: joined(member, firstOf(event.protocols)), records }
}

/**
 * The static member of the consumer protocol whose place this JoinGroup takes, if it is the only one left of its kind, so that the group is to
 * become a classic one before the JoinGroup is dealt with.
 */
export function lastToBeReplaced(group: ConsumerGroup, event: Omit<JoinEvent, 'ticket'>, limits: ConsumerLimits): ConsumerMember | null {
  if (event.instanceId === null || event.memberId !== '' || !limits.downgrade || group.members.size > limits.classicMaxSize) return null
  const replaced = staticMember(group, event.instanceId)
  if (replaced === undefined || replaced.subscription.classic !== null) return null
  if (refuseJoin(group, event, limits) !== KafkaError.NONE) return null
  for (const member of group.members.values()) if (member !== replaced && member.subscription.classic === null) return null
  return replaced
}

/** A SyncGroup to a consumer group. */
export function syncClassic(group: ConsumerGroup, event: Omit<SyncEvent, 'ticket'>, { now, topics }: ConsumerWorld): SyncReply {
  const found = classicMember(group, event.memberId, event.instanceId)
  if (typeof found === 'number') return failedSync(found)
  const { member, classic } = found
  if (event.generation !== member.position.epoch) return failedSync(KafkaError.ILLEGAL_GENERATION)
  const protocol = firstOf(classic.supportedProtocols)
  const otherType = event.protocolType !== null && event.protocolType !== CONSUMER_PROTOCOL_TYPE
  if (otherType || (event.protocol !== null && event.protocol !== protocol.name)) return failedSync(KafkaError.INCONSISTENT_GROUP_PROTOCOL)
  // Who has partitions to give up gets the rest now, and is called back by its next heartbeat.
  if (member.position.epoch < group.assignmentEpoch && member.position.state !== 'unrevoked') {
    callBack(group, member, now.monotonicMs)
    return failedSync(KafkaError.REBALANCE_IN_PROGRESS)
  }
  member.syncDeadlineMs = Infinity
  member.sessionDeadlineMs = now.monotonicMs + classic.sessionTimeoutMs
  watch(group, member)
  return {
    errorCode: KafkaError.NONE,
    protocolType: event.protocolType,
    protocol: event.protocol,
    assignment: assignmentBytes(protocol, partitionsOf(member.position.assigned), topics),
  }
}

/** A Heartbeat to a consumer group: an error code. */
export function heartbeatClassic(
  group: ConsumerGroup,
  { memberId, instanceId, generation }: { readonly memberId: string; readonly instanceId: string | null; readonly generation: number },
  world: ConsumerWorld,
): ClassicOutcome<number> {
  const found = classicMember(group, memberId, instanceId)
  if (typeof found === 'number') return { reply: found, records: [] }
  const { member, classic } = found
  if (generation !== member.position.epoch) return { reply: KafkaError.ILLEGAL_GENERATION, records: [] }
  const { now, topics } = world
  member.sessionDeadlineMs = now.monotonicMs + classic.sessionTimeoutMs
  watch(group, member)
  const records: RecordBytes[] = []
  // Members of the classic protocol do not ask about topics; where nobody else does, their heartbeats are the occasion to look.
  if (group.topicsSeen !== topics.all()) refreshTopics(group, { changed: false, later: null }, world, records)
  assign(group, world, records)
  if (!mustRejoin(group, member)) return { reply: KafkaError.NONE, records }
  callBack(group, member, now.monotonicMs)
  return { reply: KafkaError.REBALANCE_IN_PROGRESS, records }
}

/** A LeaveGroup to a consumer group: an error code for each member. Members of the consumer protocol leave by their own heartbeats. */
export function leaveClassic(
  group: ConsumerGroup,
  members: readonly LeavingMember[],
  limits: ConsumerLimits,
): ClassicOutcome<readonly number[]> & { readonly downgrades: boolean } {
  const leaving = new Set<ConsumerMember>()
  const reply = members.map(({ memberId, instanceId }) => {
    // An administrator removes static members by instance id alone.
    const id = memberId === '' && instanceId !== null ? (group.staticMembers.get(instanceId) ?? '') : memberId
    const found = classicMember(group, id, instanceId)
    if (typeof found === 'number') return found
    if (leaving.has(found.member)) return KafkaError.UNKNOWN_MEMBER_ID
    leaving.add(found.member)
    return KafkaError.NONE
  })
  const records: RecordBytes[] = []
  const downgrades = leaving.size > 0 && dismiss(group, [...leaving], limits, records)
  return { reply, records, downgrades }
}

/** What a member of the classic protocol gets to see of an assignment. Topics that are gone have no name to be told by. */
export function assignmentBytes({ metadata }: Protocol, partitions: Partitions, topics: TopicIndex): Uint8Array {
  const named = Array.from(partitions, ([topicId, numbers]) => ({ topic: topics.byId(topicId)?.name ?? '', partitions: numbers }))
  return encodeAssignment(subscriptionVersion(metadata), named.filter(({ topic }) => topic !== ''))
}

/** Partitions by the ids of their topics, without those of topics that are gone. */
export function partitionIds(
  owned: ConsumerSubscription['ownedPartitions'],
  topics: TopicIndex,
): NonNullable<HeartbeatRequest['owned']> {
  return owned.flatMap(({ topic, partitions }) => {
    const found = topics.resolve(topic)
    return found === undefined ? [] : [{ topicId: found.id, partitions }]
  })
}

function refuseJoin(group: ConsumerGroup, event: Omit<JoinEvent, 'ticket'>, limits: ConsumerLimits): number {
  const { memberId, instanceId } = event
  const known = knownMember(group, memberId, instanceId)
  if (known === undefined && group.members.size >= limits.maxSize) return KafkaError.GROUP_MAX_SIZE_REACHED
  if (!supportsProtocols(group, event)) return KafkaError.INCONSISTENT_GROUP_PROTOCOL
  if (memberId === '') return instanceId === null && event.requiresKnownMemberId ? KafkaError.MEMBER_ID_REQUIRED : KafkaError.NONE
  if (instanceId === null) return KafkaError.NONE
  if (!group.staticMembers.has(instanceId)) return KafkaError.UNKNOWN_MEMBER_ID
  return known?.id === memberId ? KafkaError.NONE : KafkaError.FENCED_INSTANCE_ID
}

/** Members of the classic protocol must have a protocol in common, as in a classic group, to which this one may return. */
function supportsProtocols({ members }: ConsumerGroup, { protocolType, protocols }: Omit<JoinEvent, 'ticket'>): boolean {
  if (protocolType !== CONSUMER_PROTOCOL_TYPE) return false
  const common = new Set(protocols.map(({ name }) => name))
  for (const { subscription } of members.values()) {
    if (subscription.classic === null) continue
    const offered = new Set(subscription.classic.supportedProtocols.map(({ name }) => name))
    for (const name of common) if (!offered.has(name)) common.delete(name)
  }
  return common.size > 0
}

/** A member's protocols all have the same subscription; null for one that cannot be read. */
function readSubscription(protocols: readonly Protocol[]): ConsumerSubscription | null {
  try {
    return protocols[0] === undefined ? null : decodeSubscription(protocols[0].metadata)
  } catch {
    return null
  }
}

/** The protocol that stands for a member's others: what it is told that the group uses. */
function firstOf(protocols: readonly Protocol[]): Protocol {
  const [first] = protocols
  if (first === undefined) throw new Error('a member of the classic protocol offers no protocol')
  return first
}

function classicMember(
  group: ConsumerGroup,
  memberId: string,
  instanceId: string | null,
): { readonly member: ConsumerMember; readonly classic: ClassicSide } | number {
  const member = instanceId === null ? group.members.get(memberId) : staticMember(group, instanceId)
  if (member === undefined) return KafkaError.UNKNOWN_MEMBER_ID
  if (member.id !== memberId) return KafkaError.FENCED_INSTANCE_ID
  const { classic } = member.subscription
  return classic === null ? KafkaError.UNKNOWN_MEMBER_ID : { member, classic }
}

/** Another assignment has been made, or partitions are to be given up, or those that the member waits for are free. */
function mustRejoin(group: ConsumerGroup, { id, position }: ConsumerMember): boolean {
  if (position.epoch < group.assignmentEpoch || position.state === 'unrevoked') return true
  if (position.state !== 'unreleased') return false
  const held = (topicId: Uuid, partition: number): boolean => (ownerOf(group, topicId, partition) ?? id) !== id
  for (const [topicId, partitions] of group.target.get(id) ?? NO_PARTITIONS) {
    for (const partition of partitions) if (held(topicId, partition)) return false
  }
  return true
}

/** From now on the member has its rebalance timeout to join again. */
function callBack(group: ConsumerGroup, member: ConsumerMember, nowMs: number): void {
  if (member.joinDeadlineMs === Infinity) member.joinDeadlineMs = nowMs + member.subscription.rebalanceTimeoutMs
  watch(group, member)
}

function joined(member: ConsumerMember, protocol: Protocol): JoinReply {
  return {
    errorCode: KafkaError.NONE,
    generation: member.position.epoch,
    protocolType: CONSUMER_PROTOCOL_TYPE,
    protocol: protocol.name,
    leader: '',
    skipAssignment: false,
    memberId: member.id,
    members: [],
  }
}
