/**
 * A consumer group (KIP-848) as a state machine: each function changes the group, which it owns, and returns the records that have to be
 * durable before the answer is given. It reads no clock and does no I/O.
 *
 *     heartbeat ─► subscription ─► group epoch ─► target assignment ─► this member's position ─► answer
 *
 * The behaviour is that of Apache Kafka 4.3's coordinator; where Kafka computes assignments at most once a second (KIP-1263), only large groups
 * wait here. Refused heartbeats change nothing.
 */
import { KafkaError } from '../../../protocol/errors.ts'
import type { Uuid } from '../../../storage/types.ts'
import type { RecordBytes } from '../records.ts'
import type { Now } from '../types.ts'
import { dismiss, namesOf, staticMember, subscribe, takeMember } from './arrivals.ts'
import { setPosition, watch } from './membership.ts'
import { NOTHING_HELD, ownsNoMore, partitionsOf, sameHeld } from './reconcile.ts'
import { positionRecord } from './records.ts'
import { advance, assign, refreshTopics } from './targets.ts'
import { JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH } from './types.ts'
import type {
  ConsumerGroup,
  ConsumerLimits,
  ConsumerMember,
  ConsumerWorld,
  HeartbeatOutcome,
  HeartbeatReply,
  HeartbeatRequest,
  Subscription,
} from './types.ts'

/** Something worth a line in the log. */
export interface Note {
  readonly text: string
  readonly memberId?: string
  readonly reason?: string
}

interface Refusal {
  readonly errorCode: number
  readonly message: string
}

/** What is wrong with a heartbeat, whatever the group; null when nothing is. */
export function malformed(request: HeartbeatRequest, version: number, limits: ConsumerLimits): HeartbeatReply | null {
  const { memberId, memberEpoch, groupId, instanceId, rackId, assignor } = request
  if (memberId.trim() === '' && (version >= 1 || memberEpoch > 0 || memberEpoch === LEAVE_EPOCH)) return bad("MemberId can't be empty.")
  if (groupId.trim() === '') return bad("GroupId can't be empty.")
  if (instanceId !== null && instanceId.trim() === '') return bad("InstanceId can't be empty.")
  if (rackId !== null && rackId.trim() === '') return bad("RackId can't be empty.")
  if (memberEpoch === JOIN_EPOCH) {
    if (request.rebalanceTimeoutMs === -1) return bad('RebalanceTimeoutMs must be provided in first request.')
    if (request.owned === null || request.owned.length > 0) return bad('TopicPartitions must be empty when (re-)joining.')
    if (request.topicNames === null && request.topicRegex === null) {
      return bad('Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.')
    }
  } else if (memberEpoch === STATIC_LEAVE_EPOCH) {
    if (instanceId === null) return bad("InstanceId can't be null.")
  } else if (memberEpoch < STATIC_LEAVE_EPOCH) {
    return bad('MemberEpoch is invalid.')
  }
  if (assignor !== null && !limits.assignors.includes(assignor)) {
    const message = `ServerAssignor ${assignor} is not supported. Supported assignors: ${limits.assignors.join(', ')}.`
    return refused({ errorCode: KafkaError.UNSUPPORTED_ASSIGNOR, message })
  }
  return null
}

function bad(message: string): HeartbeatReply {
  return refused({ errorCode: KafkaError.INVALID_REQUEST, message })
}

/** A heartbeat that is not a farewell. */
export function heartbeat(group: ConsumerGroup, request: HeartbeatRequest, world: ConsumerWorld): HeartbeatOutcome {
  const refusal = refuse(group, request, world)
  if (refusal !== null) return { reply: refused(refusal), records: [], downgrades: false }
  const { now, limits } = world
  const { memberId, memberEpoch, instanceId, owned } = request
  const records: RecordBytes[] = []
  const { member, isNew } = takeMember(group, { memberId, instanceId, joins: memberEpoch === JOIN_EPOCH }, records)
  const resubscribed = subscribe(group, member, subscriptionOf(request, member.subscription), isNew, records)
  const changed = isNew || resubscribed
  // Who names topics gets those first, and what its expression matches with the next heartbeat, as clients know it from Kafka.
  const later = changed && member.subscription.topicNames.length > 0 ? member.subscription.topicRegex : null
  if (changed || group.topicsSeen !== world.topics.all()) refreshTopics(group, { changed, later }, world, records)
  assign(group, world, records)
  const before = advance(group, member, { owned, isNew }, records)
  const { position } = member
  if (position.state !== 'unrevoked') member.revocationDeadlineMs = Infinity
  else if (position !== before || member.revocationDeadlineMs === Infinity) {
    member.revocationDeadlineMs = now.monotonicMs + member.subscription.rebalanceTimeoutMs
  }
  member.sessionDeadlineMs = now.monotonicMs + limits.sessionTimeoutMs
  member.joinDeadlineMs = Infinity
  member.syncDeadlineMs = Infinity
  watch(group, member)
  const told = memberEpoch === JOIN_EPOCH || isFull(request) || !sameHeld(before.assigned, position.assigned)
  return {
    records,
    reply: {
      errorCode: KafkaError.NONE,
      errorMessage: null,
      memberId: member.id,
      memberEpoch: position.epoch,
      heartbeatIntervalMs: limits.heartbeatIntervalMs,
      assignment: told ? partitionsOf(position.assigned) : null,
    },
    downgrades: false,
  }
}

/** A member says farewell: for good (-1), or for as long as its session lasts (-2, static members). */
export function leave(group: ConsumerGroup, request: HeartbeatRequest, limits: ConsumerLimits): HeartbeatOutcome {
  const { memberId, memberEpoch, instanceId } = request
  const member = instanceId === null ? group.members.get(memberId) : staticMember(group, instanceId)
  if (member === undefined) return { reply: refused(unknownMember(instanceId ?? memberId, group.id)), records: [], downgrades: false }
  if (member.id !== memberId) return { reply: refused(fencedInstance(instanceId ?? '', memberId)), records: [], downgrades: false }
  const records: RecordBytes[] = []
  let downgrades = false
  if (memberEpoch === STATIC_LEAVE_EPOCH) {
    // Commits of the time before the restart count as those of the member that comes back.
    const assigned = new Map(
      Array.from(member.position.assigned, ([topicId, partitions]) => [topicId, new Map(Array.from(partitions.keys(), (p) => [p, 0]))]),
    )
    setPosition(group, member, {
      epoch: STATIC_LEAVE_EPOCH,
      previousEpoch: member.position.epoch,
      state: 'stable',
      assigned,
      revoking: NOTHING_HELD,
    })
    member.revocationDeadlineMs = Infinity
    records.push(positionRecord(group.id, member.id, member.position))
  } else {
    downgrades = dismiss(group, [member], limits, records)
  }
  return { records, downgrades, reply: { ...refused({ errorCode: KafkaError.NONE, message: '' }), errorMessage: null, memberId, memberEpoch } }
}

/** Removes members whose time is over. `group.wakeAtMs` is exact afterwards. */
export function expire(
  group: ConsumerGroup,
  now: Now,
  limits: ConsumerLimits,
): { readonly records: readonly RecordBytes[]; readonly notes: readonly Note[]; readonly downgrades: boolean } {
  const records: RecordBytes[] = []
  const notes: Note[] = []
  const expired: ConsumerMember[] = []
  group.wakeAtMs = Infinity
  for (const member of group.members.values()) {
    const why = overdue(member, now)
    if (why === null) {
      watch(group, member)
      continue
    }
    expired.push(member)
    notes.push({ text: why, memberId: member.id })
  }
  return { records, notes, downgrades: expired.length > 0 && dismiss(group, expired, limits, records) }
}

function overdue(member: ConsumerMember, { monotonicMs }: Now): string | null {
  if (member.sessionDeadlineMs <= monotonicMs) return 'session ended'
  if (member.revocationDeadlineMs <= monotonicMs) return 'member did not give up its partitions within the rebalance timeout'
  if (member.joinDeadlineMs <= monotonicMs) return 'member did not rejoin within the rebalance timeout'
  if (member.syncDeadlineMs <= monotonicMs) return 'member did not sync within the rebalance timeout'
  return null
}

/** Whether a commit with this member id and epoch may be taken: an error code (KIP-848, KIP-1251). */
export function admitConsumerCommit(
  group: ConsumerGroup,
  commit: { readonly memberId: string; readonly memberEpoch: number; readonly knowsEpochs: boolean },
  partitions: Iterable<{ readonly topicId: Uuid; readonly partition: number }>,
): number {
  if (commit.memberEpoch < 0 && group.members.size === 0) return KafkaError.NONE
  const member = group.members.get(commit.memberId)
  if (member === undefined) return KafkaError.UNKNOWN_MEMBER_ID
  const { position, subscription } = member
  const classic = subscription.classic !== null
  if (!classic && !commit.knowsEpochs) return KafkaError.UNSUPPORTED_VERSION
  if (commit.memberEpoch === position.epoch) return KafkaError.NONE
  const stale = classic ? KafkaError.ILLEGAL_GENERATION : KafkaError.STALE_MEMBER_EPOCH
  if (commit.memberEpoch > position.epoch) return stale
  // An older epoch will do for partitions that the member has held since then.
  for (const { topicId, partition } of partitions) {
    const since = position.assigned.get(topicId)?.get(partition) ?? position.revoking.get(topicId)?.get(partition)
    if (since === undefined || commit.memberEpoch < since) return stale
  }
  return KafkaError.NONE
}

/** Whether an OffsetFetch with this member id and epoch may be answered: an error code. */
export function admitConsumerFetch(group: ConsumerGroup, memberId: string | null, memberEpoch: number): number {
  if (memberId === null && memberEpoch < 0) return KafkaError.NONE
  const member = group.members.get(memberId ?? '')
  if (member === undefined) return KafkaError.UNKNOWN_MEMBER_ID
  if (member.position.epoch === memberEpoch) return KafkaError.NONE
  if (member.subscription.classic === null) return KafkaError.STALE_MEMBER_EPOCH
  // Members of a classic group need not say their generation here; some clients give their id without it. (Kafka refuses them.)
  return memberEpoch < 0 ? KafkaError.NONE : KafkaError.ILLEGAL_GENERATION
}

export function subscribesTo(group: ConsumerGroup, topic: string): boolean {
  for (const { subscription } of group.members.values()) {
    if (subscription.topicNames.includes(topic)) return true
  }
  for (const { topics } of group.regexes.values()) if (topics.includes(topic)) return true
  return false
}

export function refused({ errorCode, message }: Refusal): HeartbeatReply {
  return { errorCode, errorMessage: message, memberId: null, memberEpoch: 0, heartbeatIntervalMs: 0, assignment: null }
}

function refuse(group: ConsumerGroup, request: HeartbeatRequest, { limits, matchers }: ConsumerWorld): Refusal | null {
  const { memberId, memberEpoch, instanceId, topicRegex } = request
  const joining = memberEpoch === JOIN_EPOCH
  const namesake = instanceId === null ? undefined : staticMember(group, instanceId)
  const member = namesake ?? group.members.get(memberId)
  if (member === undefined && !joining) return unknownMember(instanceId ?? memberId, group.id)
  if (member === undefined && group.members.size >= limits.maxSize) {
    const message = `The consumer group has reached its maximum capacity of ${limits.maxSize} members.`
    return { errorCode: KafkaError.GROUP_MAX_SIZE_REACHED, message }
  }
  if (member !== undefined && member.id !== memberId) {
    if (!joining) return fencedInstance(instanceId ?? '', memberId)
    // A static member of the classic protocol has no way to say that it will be back: whoever joins takes its place.
    if (member.position.epoch !== STATIC_LEAVE_EPOCH && member.subscription.classic === null) {
      const message = `Static member ${memberId} with instance id ${instanceId} cannot join the group because the instance id is owned by member ${member.id}.`
      return { errorCode: KafkaError.UNRELEASED_INSTANCE_ID, message }
    }
  }
  if (member !== undefined && !joining && instanceId !== null && namesake === undefined) return unknownMember(instanceId, group.id)
  if (member !== undefined && !joining) {
    const { epoch, previousEpoch, assigned } = member.position
    const atPrevious = memberEpoch === previousEpoch && ownsNoMore(request.owned, assigned)
    if (memberEpoch > epoch || (memberEpoch < epoch && !atPrevious)) {
      const message = `The consumer group member has ${memberEpoch > epoch ? 'a greater' : 'a smaller'} member epoch (${memberEpoch}) than the one known by the group coordinator (${epoch}). The member must abandon all its partitions and rejoin.`
      return { errorCode: KafkaError.FENCED_MEMBER_EPOCH, message }
    }
  }
  const problem = topicRegex === null || topicRegex === '' ? null : matchers.problem(topicRegex)
  if (problem === null) return null
  const message = `SubscribedTopicRegex '${topicRegex}' is not a valid regular expression: ${problem}.`
  return { errorCode: KafkaError.INVALID_REGULAR_EXPRESSION, message }
}

/** What a heartbeat says about its member, where it says something. */
function subscriptionOf(request: HeartbeatRequest, was: Subscription): Subscription {
  const { topicRegex, rebalanceTimeoutMs } = request
  return {
    instanceId: request.instanceId ?? was.instanceId,
    rackId: request.rackId ?? was.rackId,
    clientId: request.clientId,
    clientHost: request.clientHost,
    topicNames: request.topicNames === null ? was.topicNames : namesOf(request.topicNames),
    topicRegex: topicRegex === null ? was.topicRegex : topicRegex === '' ? null : topicRegex,
    rebalanceTimeoutMs: rebalanceTimeoutMs === -1 ? was.rebalanceTimeoutMs : rebalanceTimeoutMs,
    assignor: request.assignor ?? was.assignor,
    classic: null,
  }
}

/** Kafka detects joins, and repeats after errors, by the fields that are only set then. */
function isFull(request: HeartbeatRequest): boolean {
  return request.rebalanceTimeoutMs !== -1 && (request.topicNames !== null || request.topicRegex !== null) && request.owned !== null
}

function unknownMember(member: string, group: string): Refusal {
  return { errorCode: KafkaError.UNKNOWN_MEMBER_ID, message: `Member ${member} is not a member of group ${group}.` }
}

function fencedInstance(instanceId: string, memberId: string): Refusal {
  const message = `Static member ${memberId} with instance id ${instanceId} was fenced by another member.`
  return { errorCode: KafkaError.FENCED_INSTANCE_ID, message }
}
