/**
 * Who is in a group: members, their votes, the leader, sessions. Pure bookkeeping on a `Group`; what follows from a change
 * (rebalances, answers) is decided in `group.ts`.
 */
import { KafkaError } from '../../protocol/errors.ts'
import { subscribedTopicsOf } from './subscription.ts'
import type { Group, GroupMetadata, JoinEvent, JoinedMember, Member, Now, Phase, Protocol } from './types.ts'

export const NO_BYTES = new Uint8Array(0)

/** A group that nobody has joined yet. */
export function newGroup(id: string, wallMs: number): Group {
  return {
    id,
    phase: 'Empty',
    previousPhase: 'Dead',
    phaseChangedAtMs: wallMs,
    generation: 0,
    protocolType: null,
    protocol: null,
    leader: null,
    members: new Map(),
    staticMembers: new Map(),
    pendingMembers: new Map(),
    pendingSyncs: new Set(),
    protocolVotes: new Map(),
    joinsWaiting: 0,
    newMemberAdded: false,
    joinDeadlineMs: Infinity,
    initialDelay: null,
    syncDeadlineMs: Infinity,
    wakeAtMs: Infinity,
    subscribedTopics: null,
  }
}

/** A group as it was last written down: the same generation, with every session starting afresh. */
export function groupFromMetadata(id: string, value: GroupMetadata, now: Now): Group {
  const group = newGroup(id, value.phaseChangedAtMs)
  group.phase = value.members.length === 0 ? 'Empty' : 'Stable'
  group.generation = value.generation
  group.protocolType = value.protocolType === '' ? null : value.protocolType
  group.protocol = value.protocol
  group.leader = value.leader
  for (const saved of value.members) {
    settle(group, {
      id: saved.memberId,
      instanceId: saved.instanceId,
      clientId: saved.clientId,
      clientHost: saved.clientHost,
      sessionTimeoutMs: saved.sessionTimeoutMs,
      rebalanceTimeoutMs: saved.rebalanceTimeoutMs === -1 ? saved.sessionTimeoutMs : saved.rebalanceTimeoutMs,
      protocols: value.protocol === null ? [] : [{ name: value.protocol, metadata: saved.subscription }],
      assignment: saved.assignment,
    }, now)
  }
  if (group.leader !== null && !group.members.has(group.leader)) group.leader = group.members.keys().next().value ?? null
  group.subscribedTopics = subscribedTopicsOf(group)
  return group
}

/** What is known of a member that takes part in no rebalance. */
export type SettledMember = Omit<Member, 'isNew' | 'join' | 'sync' | 'deadlineMs'>

/** Adds a member that is known from records: it has its assignment, and its session starts afresh. */
export function settle(group: Group, known: SettledMember, now: Now): void {
  const member: Member = { ...known, isNew: false, join: null, sync: null, deadlineMs: Infinity }
  addMember(group, member)
  extendSession(group, member, now)
}

export function memberFromJoin(id: string, event: JoinEvent): Member {
  return {
    id,
    instanceId: event.instanceId,
    clientId: event.clientId,
    clientHost: event.clientHost,
    sessionTimeoutMs: event.sessionTimeoutMs,
    rebalanceTimeoutMs: event.rebalanceTimeoutMs,
    protocols: event.protocols,
    assignment: NO_BYTES,
    isNew: true,
    join: null,
    sync: null,
    deadlineMs: Infinity,
  }
}

/** The first member leads. The caller has checked that the member's protocols fit the group. */
export function addMember(group: Group, member: Member): void {
  group.members.set(member.id, member)
  if (member.instanceId !== null) group.staticMembers.set(member.instanceId, member.id)
  group.leader ??= member.id
  group.pendingMembers.delete(member.id)
  if (member.join !== null) group.joinsWaiting++
  countVotes(group, member.protocols, 1)
}

/** Forgets a member or pending member. Whoever waits on its tickets must have been answered. */
export function removeMember(group: Group, memberId: string): void {
  group.pendingMembers.delete(memberId)
  group.pendingSyncs.delete(memberId)
  const member = group.members.get(memberId)
  if (member === undefined) return
  group.members.delete(memberId)
  countVotes(group, member.protocols, -1)
  if (member.join !== null) group.joinsWaiting--
  if (member.instanceId !== null && group.staticMembers.get(member.instanceId) === memberId) {
    group.staticMembers.delete(member.instanceId)
  }
  if (group.leader === memberId) group.leader = group.members.keys().next().value ?? null
}

/** Puts a member in another's place, keeping the leadership and the place in the order of arrival (which decides over ties). */
export function replaceMember(group: Group, oldId: string, member: Member): void {
  const rest: Member[] = []
  let seen = false
  for (const other of group.members.values()) {
    if (other.id === oldId) seen = true
    else if (seen) rest.push(other)
  }
  const wasLeader = group.leader === oldId
  const pendingSync = group.pendingSyncs.has(oldId)
  removeMember(group, oldId)
  for (const other of rest) group.members.delete(other.id)
  addMember(group, member)
  for (const other of rest) group.members.set(other.id, other)
  if (wasLeader) group.leader = member.id
  if (pendingSync) group.pendingSyncs.add(member.id)
}

/** Takes over what a JoinGroup of a known member says. */
export function updateMember(
  group: Group,
  member: Member,
  update: { readonly protocols: readonly Protocol[]; readonly sessionTimeoutMs: number; readonly rebalanceTimeoutMs: number },
): void {
  countVotes(group, member.protocols, -1)
  member.protocols = update.protocols
  countVotes(group, member.protocols, 1)
  member.sessionTimeoutMs = update.sessionTimeoutMs
  member.rebalanceTimeoutMs = update.rebalanceTimeoutMs
}

/** Sets or clears the JoinGroup that waits. The caller has answered the one before. */
export function setJoin(group: Group, member: Member, ticket: Member['join']): void {
  if (member.join === null && ticket !== null) group.joinsWaiting++
  else if (member.join !== null && ticket === null) group.joinsWaiting--
  member.join = ticket
}

/** Whether this is a member, and under its instance's current id (KIP-345). Returns an error code, 0 for a member. */
export function validateMember(group: Group, memberId: string, instanceId: string | null): number {
  if (instanceId !== null) {
    const current = group.staticMembers.get(instanceId)
    if (current === undefined) return KafkaError.UNKNOWN_MEMBER_ID
    if (current !== memberId) return KafkaError.FENCED_INSTANCE_ID
  }
  return group.members.has(memberId) ? KafkaError.NONE : KafkaError.UNKNOWN_MEMBER_ID
}

/** Whether a member with these protocols can be in the group: same type, and at least one protocol that every member has. */
export function supportsProtocols(group: Group, protocolType: string, protocols: readonly Protocol[]): boolean {
  if (group.phase === 'Empty') return protocolType !== '' && protocols.length > 0
  if (group.protocolType !== protocolType) return false
  return protocols.some(({ name }) => group.protocolVotes.get(name) === group.members.size)
}

/** Each member votes for the first of its protocols that all members have; the most votes win. */
export function selectProtocol(group: Group): string {
  const votes = new Map<string, number>()
  let winner: string | null = null
  for (const member of group.members.values()) {
    const choice = member.protocols.find(({ name }) => group.protocolVotes.get(name) === group.members.size)
    if (choice === undefined) throw new Error(`member ${member.id} of group ${group.id} has no protocol in common with the others`)
    votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
    winner ??= choice.name
  }
  if (winner === null) throw new Error(`group ${group.id} has no members to vote`)
  for (const [name, count] of votes) if (count > (votes.get(winner) as number)) winner = name
  return winner
}

/** Lets somebody who rejoined lead if the leader has not; false when nobody rejoined. */
export function electJoinedLeader(group: Group): boolean {
  if (group.leader === null) return false
  if (group.members.get(group.leader)?.join) return true
  for (const member of group.members.values()) {
    if (member.join === null) continue
    group.leader = member.id
    return true
  }
  return false
}

export function everybodyJoined(group: Group): boolean {
  return group.members.size === group.joinsWaiting && group.pendingMembers.size === 0
}

/** The longest of the members' rebalance timeouts. */
export function rebalanceTimeoutOf(group: Group): number {
  let max = 0
  for (const { rebalanceTimeoutMs } of group.members.values()) if (rebalanceTimeoutMs > max) max = rebalanceTimeoutMs
  return max
}

export function metadataOf(member: Member, protocol: string | null): Uint8Array {
  return member.protocols.find(({ name }) => name === protocol)?.metadata ?? NO_BYTES
}

/** What the leader needs to compute an assignment. */
export function joinedMembers(group: Group): JoinedMember[] {
  return Array.from(group.members.values(), (member) => ({
    memberId: member.id,
    instanceId: member.instanceId,
    metadata: metadataOf(member, group.protocol),
  }))
}

/** Whether a JoinGroup repeats what is known of the member: same protocols, same bytes, same order. */
export function sameProtocols(known: readonly Protocol[], protocols: readonly Protocol[]): boolean {
  if (known.length !== protocols.length) return false
  return known.every((mine, i) => {
    const theirs = protocols[i] as Protocol
    return mine.name === theirs.name && Buffer.compare(mine.metadata, theirs.metadata) === 0
  })
}

/** The group as it goes into `__consumer_offsets`, with these assignments instead of the current ones where given. */
export function metadataRecord(group: Group, assignments?: ReadonlyMap<string, Uint8Array>): GroupMetadata {
  return {
    protocolType: group.protocolType ?? '',
    generation: group.generation,
    protocol: group.protocol,
    leader: group.leader,
    phaseChangedAtMs: group.phaseChangedAtMs,
    members: Array.from(group.members.values(), (member) => ({
      memberId: member.id,
      instanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      sessionTimeoutMs: member.sessionTimeoutMs,
      subscription: metadataOf(member, group.protocol),
      assignment: assignments === undefined ? member.assignment : (assignments.get(member.id) ?? NO_BYTES),
    })),
  }
}

export function transition(group: Group, phase: Phase, now: Now): void {
  group.previousPhase = group.phase
  group.phase = phase
  group.phaseChangedAtMs = now.wallMs
}

/** A sign of life: the session lasts another session timeout from now. */
export function extendSession(group: Group, member: Member, now: Now): void {
  member.deadlineMs = now.monotonicMs + member.sessionTimeoutMs
  wakeBy(group, member.deadlineMs)
}

/** Makes sure that a tick comes at `atMs` or before. */
export function wakeBy(group: Group, atMs: number): void {
  if (atMs < group.wakeAtMs) group.wakeAtMs = atMs
}

/** The earliest deadline, exactly. Costs a pass over the members, which is why it is only taken after a tick. */
export function earliestDeadline(group: Group): number {
  let earliest = Math.min(group.joinDeadlineMs, group.syncDeadlineMs)
  for (const { deadlineMs } of group.members.values()) if (deadlineMs < earliest) earliest = deadlineMs
  for (const deadlineMs of group.pendingMembers.values()) if (deadlineMs < earliest) earliest = deadlineMs
  return earliest
}

function countVotes(group: Group, protocols: readonly Protocol[], step: 1 | -1): void {
  // A client may name a protocol twice; it has one vote for it.
  const names = new Set(protocols.map(({ name }) => name))
  for (const name of names) {
    const count = (group.protocolVotes.get(name) ?? 0) + step
    if (count === 0) group.protocolVotes.delete(name)
    else group.protocolVotes.set(name, count)
  }
}
