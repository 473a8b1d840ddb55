/**
 * A classic consumer group as a state machine: `step(group, event, now)` changes the group, which it owns, and returns what is to be
 * done. It reads no clock and does no I/O, so every rule is tested in virtual time.
 *
 *            join                     everybody joined, or time is up           assignment durable
 *     Empty ──────► PreparingRebalance ──────────────────────► CompletingRebalance ──────► Stable
 *       ▲                 │   ▲                                        │                      │
 *       └─ nobody is left ┘   └──── a member joins, leaves, expires or changes ───────────────┘
 *
 * The behaviour is that of Apache Kafka 4's coordinator: KIP-62 (rebalance timeout), KIP-134 (initial delay), KIP-345 (static members),
 * KIP-389 (group.max.size), KIP-394 (member id required), KIP-559 (protocol in SyncGroup), KIP-800 (reasons), KIP-814 (skip assignment).
 * Where Kafka would leave a request without an answer (the same member sends a second one while the first waits), the first is told to
 * try again.
 */
import { assertNever } from '../../storage/types.ts'
import { KafkaError } from '../../protocol/errors.ts'
import {
  NO_BYTES,
  addMember,
  earliestDeadline,
  electJoinedLeader,
  everybodyJoined,
  extendSession,
  joinedMembers,
  memberFromJoin,
  metadataRecord,
  rebalanceTimeoutOf,
  removeMember,
  replaceMember,
  sameProtocols,
  selectProtocol,
  setJoin,
  supportsProtocols,
  transition,
  updateMember,
  validateMember,
  wakeBy,
} from './membership.ts'
import { subscribedTopicsOf } from './subscription.ts'
import type {
  Effect,
  Group,
  GroupEvent,
  GroupLimits,
  JoinEvent,
  JoinReply,
  LeavingMember,
  Member,
  Now,
  PersistPurpose,
  SyncEvent,
  SyncReply,
} from './types.ts'

/** What is passed along within one step. */
interface Step {
  readonly group: Group
  readonly now: Now
  readonly limits: GroupLimits
  readonly effects: Effect[]
}

/** Applies an event. The effects are to be performed in order; afterwards a tick is due at `group.wakeAtMs`. */
export function step(group: Group, event: GroupEvent, now: Now, limits: GroupLimits): Effect[] {
  const effects: Effect[] = []
  const s: Step = { group, now, limits, effects }
  switch (event.kind) {
    case 'join':
      join(s, event)
      break
    case 'sync':
      sync(s, event)
      break
    case 'leave':
      leave(s, event.members, event.done)
      break
    case 'rebalance':
      rebalance(s, event.why)
      break
    case 'tick':
      tick(s)
      break
    case 'persisted':
      persisted(s, event.purpose, event.errorCode)
      break
    case 'unload':
      unload(s, event.errorCode)
      break
    default:
      assertNever(event)
  }
  return effects
}

/** Heartbeat: an error code. Extends the session, and costs no more than that. */
export function heartbeat(group: Group, memberId: string, instanceId: string | null, generation: number, now: Now): number {
  if (group.phase === 'Dead') return KafkaError.COORDINATOR_NOT_AVAILABLE
  const invalid = validateMember(group, memberId, instanceId)
  if (invalid !== KafkaError.NONE) return invalid
  if (generation !== group.generation) return KafkaError.ILLEGAL_GENERATION
  extendSession(group, group.members.get(memberId) as Member, now)
  return group.phase === 'PreparingRebalance' ? KafkaError.REBALANCE_IN_PROGRESS : KafkaError.NONE
}

/** Whether this member, or somebody outside the group's membership, may commit offsets now: an error code. A member's commit counts as heartbeat. */
export function admitCommit(group: Group, memberId: string, instanceId: string | null, generation: number, now: Now): number {
  if (group.phase === 'Dead') return KafkaError.COORDINATOR_NOT_AVAILABLE
  if (generation < 0 && group.phase === 'Empty') return KafkaError.NONE
  if (generation < 0 && memberId === '' && instanceId === null) return KafkaError.UNKNOWN_MEMBER_ID
  const invalid = validateMember(group, memberId, instanceId)
  if (invalid !== KafkaError.NONE) return invalid
  if (generation !== group.generation) return KafkaError.ILLEGAL_GENERATION
  if (group.phase === 'CompletingRebalance') return KafkaError.REBALANCE_IN_PROGRESS
  extendSession(group, group.members.get(memberId) as Member, now)
  return KafkaError.NONE
}

/**
 * Whether offsets may be committed to the group in a transaction: an error code. The member is checked where one is named; a producer that
 * sends no more than offsets may commit to any group (KIP-447), also in the middle of a rebalance, and nobody's session is extended.
 */
export function admitTransactionalCommit(group: Group, memberId: string, instanceId: string | null, generation: number): number {
  if (group.phase === 'Dead') return KafkaError.COORDINATOR_NOT_AVAILABLE
  if (generation < 0 && (group.phase === 'Empty' || (memberId === '' && instanceId === null))) return KafkaError.NONE
  const invalid = validateMember(group, memberId, instanceId)
  if (invalid !== KafkaError.NONE) return invalid
  return generation === group.generation ? KafkaError.NONE : KafkaError.ILLEGAL_GENERATION
}

function join(s: Step, event: JoinEvent): void {
  const { group } = s
  if (group.phase === 'Dead') return replyJoinError(s, event, KafkaError.COORDINATOR_NOT_AVAILABLE)
  if (!hasRoomFor(s, event)) {
    removeAnswered(s, event.memberId, KafkaError.GROUP_MAX_SIZE_REACHED)
    replyJoinError(s, { ...event, memberId: '' }, KafkaError.GROUP_MAX_SIZE_REACHED)
    return completeIfEverybodyJoined(s)
  }
  if (!supportsProtocols(group, event.protocolType, event.protocols)) {
    return replyJoinError(s, event, KafkaError.INCONSISTENT_GROUP_PROTOCOL)
  }
  if (event.memberId === '') joinUnknown(s, event)
  else joinKnown(s, event)
}

function joinUnknown(s: Step, event: JoinEvent): void {
  const { group, now } = s
  const replaced = event.instanceId === null ? undefined : group.staticMembers.get(event.instanceId)
  if (replaced !== undefined) return rejoinStatic(s, event, replaced)
  if (event.instanceId !== null || !event.requiresKnownMemberId) return addAndRebalance(s, event, event.newMemberId)
  const forgetAtMs = now.monotonicMs + event.sessionTimeoutMs
  group.pendingMembers.set(event.newMemberId, forgetAtMs)
  wakeBy(group, forgetAtMs)
  replyJoinError(s, { ...event, memberId: event.newMemberId }, KafkaError.MEMBER_ID_REQUIRED)
}

function joinKnown(s: Step, event: JoinEvent): void {
  const { group } = s
  if (group.pendingMembers.has(event.memberId) && event.instanceId === null) return addAndRebalance(s, event, event.memberId)
  const invalid = validateMember(group, event.memberId, event.instanceId)
  if (invalid !== KafkaError.NONE) return replyJoinError(s, event, invalid)
  const member = group.members.get(event.memberId) as Member
  switch (group.phase) {
    case 'PreparingRebalance':
      return updateAndRebalance(s, event, member, `member ${member.id} joins`)
    case 'CompletingRebalance':
      // Probably the answer got lost: the same request gets the same answer.
      if (sameProtocols(member.protocols, event.protocols)) return replyJoined(s, event.ticket, member)
      return updateAndRebalance(s, event, member, `member ${member.id} changes its subscription`)
    case 'Stable':
      // The leader joins again when something changed that only it looks at, such as the number of partitions of a topic.
      if (group.leader === member.id) return updateAndRebalance(s, event, member, `leader ${member.id} joins again`)
      if (sameProtocols(member.protocols, event.protocols)) return replyJoined(s, event.ticket, member)
      return updateAndRebalance(s, event, member, `member ${member.id} changes its subscription`)
    case 'Empty':
    case 'Dead':
      return replyJoinError(s, event, KafkaError.UNKNOWN_MEMBER_ID)
  }
}

/**
 * During a rebalance the members that have rejoined are counted, because the last ones of a group that is over its limit are the ones to
 * go; otherwise all members (KIP-389).
 */
function hasRoomFor(s: Step, event: JoinEvent): boolean {
  const { group, limits } = s
  const replaced = event.memberId === '' && event.instanceId !== null ? group.staticMembers.get(event.instanceId) : undefined
  const member = group.members.get(replaced ?? event.memberId)
  switch (group.phase) {
    case 'PreparingRebalance':
      return Boolean(member?.join) || group.joinsWaiting < limits.maxSize
    case 'CompletingRebalance':
    case 'Stable':
      return member !== undefined || group.members.size < limits.maxSize
    case 'Empty':
    case 'Dead':
      return true
    default:
      return assertNever(group.phase)
  }
}

function addAndRebalance(s: Step, event: JoinEvent, memberId: string): void {
  const { group, now, limits } = s
  const member = memberFromJoin(memberId, event)
  if (group.members.size === 0) group.protocolType = event.protocolType
  if (group.phase === 'PreparingRebalance' && group.previousPhase === 'Empty') group.newMemberAdded = true
  member.join = event.ticket
  addMember(group, member)
  // A new member cannot send heartbeats before it has an id, and nobody tells when the connection of a waiting request breaks.
  member.deadlineMs = now.monotonicMs + limits.newMemberJoinTimeoutMs
  wakeBy(group, member.deadlineMs)
  rebalanceOrComplete(s, `member ${memberId} is new`, event.reason)
}

function updateAndRebalance(s: Step, event: JoinEvent, member: Member, why: string): void {
  takeJoin(s, event, member)
  rebalanceOrComplete(s, why, event.reason)
}

/** The member's new subscription, with its JoinGroup waiting. One that waits already is told to try again. */
function takeJoin(s: Step, event: JoinEvent, member: Member): void {
  answerJoin(s, member, failedJoin(member.id, KafkaError.REBALANCE_IN_PROGRESS))
  updateMember(s.group, member, event)
  setJoin(s.group, member, event.ticket)
}

/**
 * A static member is back after a restart, without its member id: it takes the place of its predecessor under a new id. If nothing
 * changes for the others, there is no rebalance, and the new id only has to be durable (KIP-345).
 */
function rejoinStatic(s: Step, event: JoinEvent, oldId: string): void {
  const { group, now } = s
  const old = group.members.get(oldId) as Member
  const previousLeader = group.leader ?? ''
  answerJoin(s, old, failedJoin(oldId, KafkaError.FENCED_INSTANCE_ID))
  answerSync(s, old, failedSync(KafkaError.FENCED_INSTANCE_ID))
  const member: Member = { ...old, id: event.newMemberId, clientId: event.clientId, clientHost: event.clientHost, isNew: false }
  replaceMember(group, oldId, member)
  takeJoin(s, event, member)
  extendSession(group, member, now)
  switch (group.phase) {
    case 'Stable':
      if (selectProtocol(group) !== group.protocol) {
        return rebalanceOrComplete(s, `static member ${event.instanceId} changes the protocol of the group`, event.reason)
      }
      return persist(s, {
        kind: 'staticMember',
        generation: group.generation,
        instanceId: event.instanceId as string,
        memberId: member.id,
        ticket: event.ticket,
        supportsSkippingAssignment: event.supportsSkippingAssignment,
        previousLeader,
        replaced: old,
      })
    case 'CompletingRebalance':
      // The leader may be computing an assignment for the old id.
      return prepareRebalance(s, `static member ${event.instanceId} is back`, event.reason)
    case 'PreparingRebalance':
    case 'Empty':
    case 'Dead':
      return completeIfEverybodyJoined(s)
  }
}

function rebalanceOrComplete(s: Step, why: string, reason: string | null): void {
  if (s.group.phase === 'PreparingRebalance') completeIfEverybodyJoined(s)
  else prepareRebalance(s, why, reason)
}

function completeIfEverybodyJoined(s: Step): void {
  const { group } = s
  // The first rebalance of a group lasts as long as its delay, however many have come.
  if (group.phase !== 'PreparingRebalance' || group.initialDelay !== null) return
  if (everybodyJoined(group)) completeJoin(s)
}

function prepareRebalance(s: Step, why: string, reason: string | null): void {
  const { group, now, limits } = s
  if (group.phase === 'CompletingRebalance') resetAssignments(s, KafkaError.REBALANCE_IN_PROGRESS)
  group.pendingSyncs.clear()
  group.syncDeadlineMs = Infinity
  const initial = group.phase === 'Empty'
  const timeoutMs = rebalanceTimeoutOf(group)
  transition(group, 'PreparingRebalance', now)
  s.effects.push({ kind: 'note', text: 'rebalance begins', reason: reason === null ? why : `${why}; client reason: ${reason}` })
  if (initial && limits.initialRebalanceDelayMs > 0) {
    const delayMs = limits.initialRebalanceDelayMs
    group.newMemberAdded = false
    group.initialDelay = { delayMs, remainingMs: Math.max(timeoutMs - delayMs, 0) }
    setJoinDeadline(s, delayMs)
  } else if (initial || everybodyJoined(group)) {
    completeJoin(s)
  } else {
    setJoinDeadline(s, timeoutMs)
  }
}

function joinDeadline(s: Step): void {
  const { group, limits } = s
  const initial = group.initialDelay
  if (initial !== null && group.newMemberAdded && initial.remainingMs !== 0) {
    group.newMemberAdded = false
    const delayMs = Math.min(limits.initialRebalanceDelayMs, initial.remainingMs)
    group.initialDelay = { delayMs, remainingMs: Math.max(initial.remainingMs - initial.delayMs, 0) }
    setJoinDeadline(s, delayMs)
    return
  }
  completeJoin(s)
}

/** The end of the join phase: dynamic members that did not come are out, the next generation begins. */
function completeJoin(s: Step): void {
  const { group, now } = s
  group.joinDeadlineMs = Infinity
  group.initialDelay = null
  for (const member of group.members.values()) {
    if (member.join !== null || member.instanceId !== null) continue
    removeAnswered(s, member.id, KafkaError.UNKNOWN_MEMBER_ID)
    s.effects.push({ kind: 'note', text: 'member did not rejoin within the rebalance timeout', memberId: member.id })
  }
  if (group.members.size > 0 && !electJoinedLeader(group)) {
    // Only static members are left and none of them has come: their sessions decide.
    setJoinDeadline(s, rebalanceTimeoutOf(group))
    return
  }
  group.generation++
  group.pendingSyncs.clear()
  if (group.members.size === 0) {
    group.protocol = null
    group.leader = null
    group.subscribedTopics = subscribedTopicsOf(group)
    transition(group, 'Empty', now)
    persist(s, { kind: 'empty' })
    return
  }
  group.protocol = selectProtocol(group)
  group.subscribedTopics = subscribedTopicsOf(group)
  transition(group, 'CompletingRebalance', now)
  for (const member of group.members.values()) {
    const ticket = member.join
    if (ticket !== null) {
      setJoin(group, member, null)
      replyJoined(s, ticket, member)
    }
    extendSession(group, member, now)
    member.isNew = false
    group.pendingSyncs.add(member.id)
  }
  group.syncDeadlineMs = now.monotonicMs + rebalanceTimeoutOf(group)
  wakeBy(group, group.syncDeadlineMs)
}

function sync(s: Step, event: SyncEvent): void {
  const { group } = s
  const errorCode = validateSync(group, event)
  if (errorCode !== KafkaError.NONE) {
    s.effects.push({ kind: 'syncReply', ticket: event.ticket, reply: failedSync(errorCode) })
    return
  }
  const member = group.members.get(event.memberId) as Member
  group.pendingSyncs.delete(member.id)
  if (group.pendingSyncs.size === 0) group.syncDeadlineMs = Infinity
  if (group.phase === 'Stable') {
    s.effects.push({ kind: 'syncReply', ticket: event.ticket, reply: assigned(group, member) })
    return
  }
  answerSync(s, member, failedSync(KafkaError.REBALANCE_IN_PROGRESS))
  member.sync = event.ticket
  if (group.leader === member.id) persist(s, { kind: 'assignment', generation: group.generation, assignments: event.assignments })
}

function validateSync(group: Group, event: SyncEvent): number {
  if (group.phase === 'Dead') return KafkaError.COORDINATOR_NOT_AVAILABLE
  if (group.phase === 'Empty') return KafkaError.UNKNOWN_MEMBER_ID
  const invalid = validateMember(group, event.memberId, event.instanceId)
  if (invalid !== KafkaError.NONE) return invalid
  if (event.generation !== group.generation) return KafkaError.ILLEGAL_GENERATION
  const otherType = event.protocolType !== null && event.protocolType !== group.protocolType
  const otherProtocol = event.protocol !== null && group.protocol !== null && event.protocol !== group.protocol
  if (otherType || otherProtocol) return KafkaError.INCONSISTENT_GROUP_PROTOCOL
  return group.phase === 'PreparingRebalance' ? KafkaError.REBALANCE_IN_PROGRESS : KafkaError.NONE
}

function leave(s: Step, members: readonly LeavingMember[], done: (errorCodes: readonly number[]) => void): void {
  const { group, effects } = s
  if (group.phase === 'Dead') {
    effects.push({ kind: 'leaveReply', done, errorCodes: members.map(() => KafkaError.COORDINATOR_NOT_AVAILABLE) })
    return
  }
  const errorCodes = members.map((member) => leaveOne(s, member))
  effects.push({ kind: 'leaveReply', done, errorCodes })
  if (!errorCodes.includes(KafkaError.NONE)) return
  if (group.phase === 'Stable' || group.phase === 'CompletingRebalance') prepareRebalance(s, 'members left', members[0]?.reason ?? null)
  else completeIfEverybodyJoined(s)
}

/** An administrator removes static members by instance id alone; everybody else names the member id. */
function leaveOne(s: Step, leaving: LeavingMember): number {
  const { group } = s
  let memberId = leaving.memberId
  if (memberId === '') {
    const current = leaving.instanceId === null ? undefined : group.staticMembers.get(leaving.instanceId)
    if (current === undefined) return KafkaError.UNKNOWN_MEMBER_ID
    memberId = current
  } else if (!group.pendingMembers.has(memberId)) {
    const invalid = validateMember(group, memberId, leaving.instanceId)
    if (invalid !== KafkaError.NONE) return invalid
  }
  removeAnswered(s, memberId, KafkaError.UNKNOWN_MEMBER_ID)
  s.effects.push({ kind: 'note', text: 'member left', memberId, reason: leaving.reason ?? 'not provided' })
  return KafkaError.NONE
}

function rebalance(s: Step, why: string): void {
  const { phase } = s.group
  if (phase === 'Stable' || phase === 'CompletingRebalance') prepareRebalance(s, why, null)
}

function tick(s: Step): void {
  const { group, now } = s
  if (group.phase === 'Dead') {
    group.wakeAtMs = Infinity
    return
  }
  let forgotten = false
  for (const [memberId, deadlineMs] of group.pendingMembers) {
    if (deadlineMs > now.monotonicMs) continue
    group.pendingMembers.delete(memberId)
    forgotten = true
    s.effects.push({ kind: 'note', text: 'member id was given and never used', memberId })
  }
  let expired = false
  for (const member of group.members.values()) {
    if (member.deadlineMs > now.monotonicMs) continue
    if (!member.isNew && (member.join !== null || member.sync !== null)) {
      // The waiting request stands for the heartbeat; its answer starts the session again.
      member.deadlineMs = Infinity
      continue
    }
    removeAnswered(s, member.id, KafkaError.UNKNOWN_MEMBER_ID)
    expired = true
    s.effects.push({ kind: 'note', text: 'session ended', memberId: member.id })
  }
  const settled = group.phase === 'Stable' || group.phase === 'CompletingRebalance'
  if (expired && settled) prepareRebalance(s, 'sessions ended', null)
  else if (expired || forgotten) completeIfEverybodyJoined(s)
  if (group.joinDeadlineMs <= now.monotonicMs) joinDeadline(s)
  if (group.syncDeadlineMs <= now.monotonicMs) expireSyncs(s)
  group.wakeAtMs = earliestDeadline(group)
}

function expireSyncs(s: Step): void {
  const { group } = s
  group.syncDeadlineMs = Infinity
  if (group.pendingSyncs.size === 0) return
  for (const memberId of group.pendingSyncs) {
    removeAnswered(s, memberId, KafkaError.UNKNOWN_MEMBER_ID)
    s.effects.push({ kind: 'note', text: 'member did not sync within the rebalance timeout', memberId })
  }
  prepareRebalance(s, 'members did not sync', null)
}

function persisted(s: Step, purpose: PersistPurpose, errorCode: number): void {
  switch (purpose.kind) {
    case 'empty':
      return
    case 'assignment':
      return assignmentPersisted(s, purpose.generation, purpose.assignments, errorCode)
    case 'staticMember':
      return staticMemberPersisted(s, purpose, errorCode)
    default:
      assertNever(purpose)
  }
}

function assignmentPersisted(s: Step, generation: number, assignments: ReadonlyMap<string, Uint8Array>, errorCode: number): void {
  const { group, now } = s
  // Meanwhile somebody may have joined or left: then the next generation is on its way and this one is void.
  if (group.phase !== 'CompletingRebalance' || group.generation !== generation) return
  if (errorCode !== KafkaError.NONE) {
    resetAssignments(s, errorCode)
    return prepareRebalance(s, `the assignment could not be stored (error ${errorCode})`, null)
  }
  transition(group, 'Stable', now)
  for (const member of group.members.values()) {
    member.assignment = assignments.get(member.id) ?? NO_BYTES
    if (member.sync === null) continue
    answerSync(s, member, assigned(group, member))
    extendSession(group, member, now)
  }
  s.effects.push({ kind: 'note', text: 'stable' })
}

function staticMemberPersisted(s: Step, purpose: PersistPurpose & { kind: 'staticMember' }, errorCode: number): void {
  const { group, now } = s
  const member = group.members.get(purpose.memberId)
  // Meanwhile the member may have been removed or replaced (then its request has been answered), or a rebalance answers it.
  if (member === undefined || member.join !== purpose.ticket) return
  if (group.phase !== 'Stable' || group.generation !== purpose.generation) return
  if (errorCode !== KafkaError.NONE) {
    answerJoin(s, member, failedJoin('', errorCode))
    const replaced: Member = { ...purpose.replaced, join: null, sync: null }
    replaceMember(group, member.id, replaced)
    extendSession(group, replaced, now)
    return
  }
  setJoin(group, member, null)
  const leads = group.leader === member.id
  const skip = purpose.supportsSkippingAssignment
  s.effects.push({
    kind: 'joinReply',
    ticket: purpose.ticket,
    reply: {
      ...joined(group, member),
      // Without KIP-814 the leader must not learn that it leads, or it would assign where nobody waits for it.
      leader: skip ? (group.leader ?? '') : purpose.previousLeader,
      skipAssignment: skip && leads,
      members: skip && leads ? joinedMembers(group) : [],
    },
  })
}

function unload(s: Step, errorCode: number): void {
  const { group, now } = s
  for (const member of group.members.values()) {
    answerJoin(s, member, failedJoin(member.id, errorCode))
    answerSync(s, member, failedSync(errorCode))
  }
  transition(group, 'Dead', now)
  group.wakeAtMs = Infinity
}

function persist(s: Step, purpose: PersistPurpose): void {
  const assignments = purpose.kind === 'assignment' ? purpose.assignments : undefined
  s.effects.push({ kind: 'persist', value: metadataRecord(s.group, assignments), purpose })
}

function setJoinDeadline(s: Step, afterMs: number): void {
  s.group.joinDeadlineMs = s.now.monotonicMs + afterMs
  wakeBy(s.group, s.group.joinDeadlineMs)
}

function resetAssignments(s: Step, errorCode: number): void {
  for (const member of s.group.members.values()) {
    member.assignment = NO_BYTES
    if (member.sync === null) continue
    answerSync(s, member, failedSync(errorCode))
    extendSession(s.group, member, s.now)
  }
}

/** Removes a member or pending member; what it waits for is answered with the error. */
function removeAnswered(s: Step, memberId: string, errorCode: number): void {
  const member = s.group.members.get(memberId)
  if (member !== undefined) {
    answerJoin(s, member, failedJoin('', errorCode))
    answerSync(s, member, failedSync(errorCode))
  }
  removeMember(s.group, memberId)
}

function answerJoin(s: Step, member: Member, reply: JoinReply): void {
  const ticket = member.join
  if (ticket === null) return
  if (s.group.members.get(member.id) === member) setJoin(s.group, member, null)
  else member.join = null
  s.effects.push({ kind: 'joinReply', ticket, reply })
}

function answerSync(s: Step, member: Member, reply: SyncReply): void {
  if (member.sync === null) return
  s.effects.push({ kind: 'syncReply', ticket: member.sync, reply })
  member.sync = null
}

function replyJoined(s: Step, ticket: JoinEvent['ticket'], member: Member): void {
  const reply = joined(s.group, member)
  const leads = s.group.leader === member.id && s.group.phase === 'CompletingRebalance'
  s.effects.push({ kind: 'joinReply', ticket, reply: leads ? { ...reply, members: joinedMembers(s.group) } : reply })
}

function replyJoinError(s: Step, event: JoinEvent, errorCode: number): void {
  s.effects.push({ kind: 'joinReply', ticket: event.ticket, reply: failedJoin(event.memberId, errorCode) })
}

function joined(group: Group, member: Member): JoinReply {
  return {
    errorCode: KafkaError.NONE,
    generation: group.generation,
    protocolType: group.protocolType,
    protocol: group.protocol,
    leader: group.leader ?? '',
    skipAssignment: false,
    memberId: member.id,
    members: [],
  }
}

function assigned(group: Group, member: Member): SyncReply {
  return { errorCode: KafkaError.NONE, protocolType: group.protocolType, protocol: group.protocol, assignment: member.assignment }
}

export function failedJoin(memberId: string, errorCode: number): JoinReply {
  return {
    errorCode,
    generation: -1,
    protocolType: null,
    protocol: null,
    leader: '',
    skipAssignment: false,
    memberId,
    members: [],
  }
}

export function failedSync(errorCode: number): SyncReply {
  return { errorCode, protocolType: null, protocol: null, assignment: NO_BYTES }
}
