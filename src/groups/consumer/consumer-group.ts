/**
 * A consumer group (KIP-848) as a state machine: each function changes the group, which it owns, and returns the records that have to be
 * durable before the answer is given. It reads no clock and does no I/O.
 *
 *     heartbeat ─► subscription ─► group epoch ─► target assignment ─► this member's position ─► answer
 *
 * The behaviour is that of Apache Kafka 4.3's coordinator; where Kafka computes assignments at most once a second (KIP-1263), only large groups
 * wait here. Refused heartbeats change nothing.
 */
import { createHash } from 'node:crypto'
import { KafkaError } from '../../../protocol/errors.ts'
import type { Uuid } from '../../../storage/types.ts'
import type { TopicIndex } from '../ports.ts'
import type { RecordBytes } from '../records.ts'
import type { Now } from '../types.ts'
import { ASSIGNORS } from './assignors.ts'
import type { AssignableMember } from './assignors.ts'
import { assignorOf, ownerOf, removeMember, setPosition, setSubscription } from './membership.ts'
import { NOTHING_HELD, NO_PARTITIONS, ownsNoMore, partitionsOf, reconcile, sameHeld } from './reconcile.ts'
import { groupEpochRecord, memberRecord, positionRecord, regexRecord, targetEpochRecord, targetRecord } from './records.ts'
import type { TopicMatchers } from './topic-matchers.ts'
import { JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH } from './types.ts'
import type {
  ConsumerGroup,
  ConsumerLimits,
  ConsumerMember,
  HeartbeatOutcome,
  HeartbeatReply,
  HeartbeatRequest,
  Partitions,
  Position,
  Subscription,
} from './types.ts'

export interface ConsumerWorld {
  readonly now: Now
  readonly limits: ConsumerLimits
  readonly topics: TopicIndex
  readonly matchers: TopicMatchers
}

export interface Note {
  readonly text: string
  readonly memberId: string
}

interface Refusal {
  readonly errorCode: number
  readonly message: string
}

/** Computing the assignment of a group of this size takes milliseconds: members that arrive together are assigned together. */
const LARGE_GROUP_MEMBERS = 200
const LARGE_GROUP_INTERVAL_MS = 1_000

const NOWHERE: Position = { epoch: 0, previousEpoch: 0, state: 'stable', assigned: NOTHING_HELD, revoking: NOTHING_HELD }

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
  if (refusal !== null) return { reply: refused(refusal), records: [] }
  const { now, limits } = world
  const records: RecordBytes[] = []
  const { member, isNew } = takeMember(group, request, records)
  const before = member.position
  const resubscribed = subscribe(group, member, request, isNew, records)
  const changed = isNew || resubscribed
  // Who names topics gets those first, and what its expression matches with the next heartbeat, as clients know it from Kafka.
  const later = changed && member.subscription.topicNames.length > 0 ? member.subscription.topicRegex : null
  if (changed || group.topicsSeen !== world.topics.all()) refreshTopics(group, { changed, later }, world, records)
  assign(group, world, records)
  const position = reconcile({
    member,
    target: group.target.get(member.id) ?? NO_PARTITIONS,
    targetEpoch: group.assignmentEpoch,
    owned: request.owned,
    heldByOther: (topicId, partition) => (ownerOf(group, topicId, partition) ?? member.id) !== member.id,
  })
  if (position !== before || isNew) {
    setPosition(group, member, position)
    records.push(positionRecord(group.id, member.id, position))
    member.revocationDeadlineMs = position.state === 'unrevoked' ? now.monotonicMs + member.subscription.rebalanceTimeoutMs : Infinity
  }
  member.sessionDeadlineMs = now.monotonicMs + limits.sessionTimeoutMs
  group.wakeAtMs = Math.min(group.wakeAtMs, member.sessionDeadlineMs, member.revocationDeadlineMs)
  const told = request.memberEpoch === JOIN_EPOCH || isFull(request) || !sameHeld(before.assigned, position.assigned)
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
  }
}

/** A member says farewell: for good (-1), or for as long as its session lasts (-2, static members). */
export function leave(group: ConsumerGroup, request: HeartbeatRequest): HeartbeatOutcome {
  const { memberId, memberEpoch, instanceId } = request
  const known = instanceId === null ? memberId : group.staticMembers.get(instanceId)
  const member = known === undefined ? undefined : group.members.get(known)
  if (member === undefined) return { reply: refused(unknownMember(instanceId ?? memberId, group.id)), records: [] }
  if (member.id !== memberId) return { reply: refused(fencedInstance(instanceId ?? '', memberId)), records: [] }
  const records: RecordBytes[] = []
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
    dismiss(group, [member], records)
  }
  return { records, reply: { ...refused({ errorCode: KafkaError.NONE, message: '' }), errorMessage: null, memberId, memberEpoch } }
}

/** Removes members whose sessions have ended, or who did not give up their partitions in time. `group.wakeAtMs` is exact afterwards. */
export function expire(group: ConsumerGroup, now: Now): { readonly records: readonly RecordBytes[]; readonly notes: readonly Note[] } {
  const records: RecordBytes[] = []
  const notes: Note[] = []
  const expired: ConsumerMember[] = []
  group.wakeAtMs = Infinity
  for (const member of group.members.values()) {
    const gone = member.sessionDeadlineMs <= now.monotonicMs
    if (gone || member.revocationDeadlineMs <= now.monotonicMs) {
      expired.push(member)
      notes.push({ text: gone ? 'session ended' : 'member did not give up its partitions within the rebalance timeout', memberId: member.id })
    } else {
      group.wakeAtMs = Math.min(group.wakeAtMs, member.sessionDeadlineMs, member.revocationDeadlineMs)
    }
  }
  if (expired.length > 0) dismiss(group, expired, records)
  return { records, notes }
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
  return member.subscription.classic === null ? KafkaError.STALE_MEMBER_EPOCH : KafkaError.ILLEGAL_GENERATION
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
  const member = instanceId === null || namesake === undefined ? group.members.get(memberId) : namesake
  if (member === undefined && !joining) return unknownMember(instanceId ?? memberId, group.id)
  if (member === undefined && group.members.size >= limits.maxSize) {
    const message = `The consumer group has reached its maximum capacity of ${limits.maxSize} members.`
    return { errorCode: KafkaError.GROUP_MAX_SIZE_REACHED, message }
  }
  if (member !== undefined && member.id !== memberId) {
    if (!joining) return fencedInstance(instanceId ?? '', memberId)
    if (member.position.epoch !== STATIC_LEAVE_EPOCH) {
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

/** The member of an admitted heartbeat: known, new, or a static member back under another id. */
function takeMember(
  group: ConsumerGroup,
  { memberId, memberEpoch, instanceId }: HeartbeatRequest,
  records: RecordBytes[],
): { readonly member: ConsumerMember; readonly isNew: boolean } {
  const namesake = instanceId === null ? undefined : staticMember(group, instanceId)
  const known = namesake ?? group.members.get(memberId)
  if (known === undefined) {
    const subscription: Subscription = {
      instanceId,
      rackId: null,
      clientId: '',
      clientHost: '',
      topicNames: [],
      topicRegex: null,
      rebalanceTimeoutMs: -1,
      assignor: null,
      classic: null,
    }
    const member = { id: memberId, subscription, position: NOWHERE, sessionDeadlineMs: Infinity, revocationDeadlineMs: Infinity }
    group.members.set(memberId, member)
    return { member, isNew: true }
  }
  if (known.position.epoch !== STATIC_LEAVE_EPOCH) return { member: known, isNew: false }
  if (known.id === memberId) {
    if (memberEpoch === JOIN_EPOCH) setPosition(group, known, { ...known.position, epoch: 0, previousEpoch: 0 })
    return { member: known, isNew: false }
  }
  // The place of the predecessor, with its assignment, under a new id.
  const target = group.target.get(known.id)
  records.push(positionRecord(group.id, known.id, null), targetRecord(group.id, known.id, null), memberRecord(group.id, known.id, null))
  removeMember(group, known)
  const member: ConsumerMember = { ...known, id: memberId, position: NOWHERE }
  group.members.set(memberId, member)
  setSubscription(group, member, known.subscription)
  setPosition(group, member, { ...known.position, epoch: 0, previousEpoch: 0 })
  records.push(memberRecord(group.id, memberId, member.subscription))
  if (target !== undefined) {
    group.target.set(memberId, target)
    records.push(targetRecord(group.id, memberId, target))
  }
  records.push(positionRecord(group.id, memberId, member.position))
  return { member, isNew: false }
}

/** Takes over what a heartbeat says about the member. True when it subscribes to something else now. */
function subscribe(group: ConsumerGroup, member: ConsumerMember, request: HeartbeatRequest, isNew: boolean, records: RecordBytes[]): boolean {
  const was = member.subscription
  const names = request.topicNames === null ? was.topicNames : [...new Set(request.topicNames)].sort()
  const namesChanged = names !== was.topicNames && (names.length !== was.topicNames.length || names.some((name, i) => name !== was.topicNames[i]))
  const regex = request.topicRegex === null ? was.topicRegex : request.topicRegex === '' ? null : request.topicRegex
  const next: Subscription = {
    instanceId: request.instanceId ?? was.instanceId,
    rackId: request.rackId ?? was.rackId,
    clientId: request.clientId,
    clientHost: request.clientHost,
    topicNames: namesChanged ? names : was.topicNames,
    topicRegex: regex,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs === -1 ? was.rebalanceTimeoutMs : request.rebalanceTimeoutMs,
    assignor: request.assignor ?? was.assignor,
    classic: null,
  }
  const same =
    !namesChanged &&
    next.instanceId === was.instanceId &&
    next.rackId === was.rackId &&
    next.clientId === was.clientId &&
    next.clientHost === was.clientHost &&
    next.topicRegex === was.topicRegex &&
    next.rebalanceTimeoutMs === was.rebalanceTimeoutMs &&
    next.assignor === was.assignor &&
    was.classic === null
  if (!same || isNew) {
    setSubscription(group, member, next)
    records.push(memberRecord(group.id, member.id, next))
  }
  return namesChanged || next.topicRegex !== was.topicRegex
}

/**
 * Looks at the topics again, and raises the group epoch when that, or the change that the caller knows of, calls for another assignment.
 * The expression `later` is left to the next heartbeat if it is new to the group.
 */
function refreshTopics(
  group: ConsumerGroup,
  { changed, later }: { readonly changed: boolean; readonly later: string | null },
  { topics, matchers, now }: ConsumerWorld,
  records: RecordBytes[],
): void {
  const all = topics.all()
  const names = new Set<string>()
  const regexes = new Set<string>()
  for (const { subscription } of group.members.values()) {
    for (const name of subscription.topicNames) names.add(name)
    if (subscription.topicRegex !== null) regexes.add(subscription.topicRegex)
  }
  for (const regex of group.regexes.keys()) {
    if (regexes.has(regex)) continue
    group.regexes.delete(regex)
    records.push(regexRecord(group.id, regex, null))
  }
  for (const regex of regexes) {
    const known = group.regexes.get(regex)
    if (known === undefined && regex === later) continue
    const found = matchers.matching(regex, all)
    if (known === undefined || known.topics.length !== found.length || known.topics.some((name, i) => name !== found[i])) {
      const resolved = { topics: found, version: (known?.version ?? 0) + 1, resolvedAtMs: now.wallMs }
      group.regexes.set(regex, resolved)
      records.push(regexRecord(group.id, regex, resolved))
    }
    for (const name of found) names.add(name)
  }
  const hash = metadataHash(names, topics)
  group.topicsSeen = later === null || group.regexes.has(later) ? all : null
  if (!changed && hash === group.metadataHash) return
  group.metadataHash = hash
  group.epoch++
  records.push(groupEpochRecord(group))
}

/** Computes the target assignment if the group epoch has moved on. */
function assign(group: ConsumerGroup, { topics, limits, now }: ConsumerWorld, records: RecordBytes[]): void {
  if (group.assignmentEpoch >= group.epoch) return
  if (group.members.size > LARGE_GROUP_MEMBERS && now.monotonicMs < group.assignedAtMs + LARGE_GROUP_INTERVAL_MS) return
  group.assignedAtMs = now.monotonicMs
  const partitions = new Map<Uuid, number>()
  const shared = new Map<string, ReadonlySet<Uuid>>()
  const members: AssignableMember[] = []
  for (const { id, subscription } of group.members.values()) {
    // Most members subscribe to the same: they share one set, which also lets the assignor see it at once.
    const key = `${subscription.topicNames.join(',')}~${subscription.topicRegex ?? ''}`
    let topicIds = shared.get(key)
    if (topicIds === undefined) shared.set(key, (topicIds = topicIdsOf(group, subscription, topics, partitions)))
    members.push({ id, instanceId: subscription.instanceId, topicIds, current: group.target.get(id) ?? NO_PARTITIONS })
  }
  const assignor = ASSIGNORS.get(assignorOf(group, limits.assignors))
  if (assignor === undefined) throw new Error(`there is no assignor ${assignorOf(group, limits.assignors)}`)
  for (const [id, target] of assignor({ members, partitions })) {
    const was = group.target.get(id)
    if (was !== undefined && samePartitions(was, target)) continue
    group.target.set(id, target)
    records.push(targetRecord(group.id, id, target))
  }
  group.assignmentEpoch = group.epoch
  records.push(targetEpochRecord(group, now.wallMs))
}

function topicIdsOf(group: ConsumerGroup, { topicNames, topicRegex }: Subscription, topics: TopicIndex, partitions: Map<Uuid, number>): Set<Uuid> {
  const ids = new Set<Uuid>()
  const matched = topicRegex === null ? [] : (group.regexes.get(topicRegex)?.topics ?? [])
  for (const name of [...topicNames, ...matched]) {
    const topic = topics.resolve(name)
    if (topic === undefined) continue
    ids.add(topic.id)
    partitions.set(topic.id, topic.partitions)
  }
  return ids
}

/** Members are out, and their partitions free. The others get them with their next heartbeats. */
function dismiss(group: ConsumerGroup, members: readonly ConsumerMember[], records: RecordBytes[]): void {
  for (const member of members) {
    removeMember(group, member)
    records.push(positionRecord(group.id, member.id, null), targetRecord(group.id, member.id, null), memberRecord(group.id, member.id, null))
  }
  for (const regex of group.regexes.keys()) {
    if (Array.from(group.members.values()).some(({ subscription }) => subscription.topicRegex === regex)) continue
    group.regexes.delete(regex)
    records.push(regexRecord(group.id, regex, null))
  }
  group.epoch++
  records.push(groupEpochRecord(group))
}

/** Kafka detects joins, and repeats after errors, by the fields that are only set then. */
function isFull(request: HeartbeatRequest): boolean {
  return request.rebalanceTimeoutMs !== -1 && (request.topicNames !== null || request.topicRegex !== null) && request.owned !== null
}

/** Changes with every change of a subscribed topic that matters: it appears, goes, is created anew, or gets more partitions. */
function metadataHash(names: ReadonlySet<string>, topics: TopicIndex): number {
  const hash = createHash('sha256')
  let any = false
  for (const name of [...names].sort()) {
    const topic = topics.resolve(name)
    if (topic === undefined) continue
    any = true
    hash.update(`${name} ${topic.id} ${topic.partitions}\n`)
  }
  return any ? hash.digest().readUIntBE(0, 6) : 0
}

function staticMember(group: ConsumerGroup, instanceId: string): ConsumerMember | undefined {
  const memberId = group.staticMembers.get(instanceId)
  return memberId === undefined ? undefined : group.members.get(memberId)
}

function unknownMember(member: string, group: string): Refusal {
  return { errorCode: KafkaError.UNKNOWN_MEMBER_ID, message: `Member ${member} is not a member of group ${group}.` }
}

function fencedInstance(instanceId: string, memberId: string): Refusal {
  const message = `Static member ${memberId} with instance id ${instanceId} was fenced by another member.`
  return { errorCode: KafkaError.FENCED_INSTANCE_ID, message }
}

function samePartitions(a: Partitions, b: Partitions): boolean {
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others === undefined || others.length !== partitions.length || partitions.some((partition, i) => partition !== others[i])) return false
  }
  return true
}
