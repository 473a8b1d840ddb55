/**
 * Members come and go: whoever speaks, in either protocol, becomes or is a member, and whoever left or fell silent is out. The functions
 * change the group and add the records that have to be written for it.
 */
import type { RecordBytes } from '../records.ts'
import { sameProtocols } from '../membership.ts'
import { removeMember, setPosition, setSubscription } from './membership.ts'
import { NOTHING_HELD } from './reconcile.ts'
import { memberRecord, positionRecord, regexRecord, targetRecord } from './records.ts'
import { raiseEpoch } from './targets.ts'
import { STATIC_LEAVE_EPOCH } from './types.ts'
import type { ConsumerGroup, ConsumerLimits, ConsumerMember, Position, Subscription } from './types.ts'

const NOWHERE: Position = { epoch: 0, previousEpoch: 0, state: 'stable', assigned: NOTHING_HELD, revoking: NOTHING_HELD }

/** The member that has this id, or, for a static one, this place in the group. */
export function knownMember(group: ConsumerGroup, memberId: string, instanceId: string | null): ConsumerMember | undefined {
  const namesake = instanceId === null ? undefined : staticMember(group, instanceId)
  return namesake ?? group.members.get(memberId)
}

export function staticMember(group: ConsumerGroup, instanceId: string): ConsumerMember | undefined {
  const memberId = group.staticMembers.get(instanceId)
  return memberId === undefined ? undefined : group.members.get(memberId)
}

/** The member of a request that was admitted: known, new, or a static member back under another id. */
export function takeMember(
  group: ConsumerGroup,
  { memberId, instanceId, joins }: { readonly memberId: string; readonly instanceId: string | null; readonly joins: boolean },
  records: RecordBytes[],
): { readonly member: ConsumerMember; readonly isNew: boolean } {
  const known = knownMember(group, memberId, instanceId)
  if (known === undefined) {
    const member = newMember(memberId, instanceId)
    group.members.set(memberId, member)
    return { member, isNew: true }
  }
  if (known.id === memberId) {
    if (joins && known.position.epoch === STATIC_LEAVE_EPOCH) setPosition(group, known, { ...known.position, epoch: 0, previousEpoch: 0 })
    return { member: known, isNew: false }
  }
  // The place of the predecessor, with its assignment, under a new id.
  const target = group.target.get(known.id)
  records.push(...forget(group, known))
  const member: ConsumerMember = { ...newMember(memberId, instanceId), position: NOWHERE }
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

/** Takes over what a member says about itself. True when it subscribes to something else now. */
export function subscribe(group: ConsumerGroup, member: ConsumerMember, next: Subscription, isNew: boolean, records: RecordBytes[]): boolean {
  const was = member.subscription
  if (isNew || !sameSubscription(was, next)) {
    setSubscription(group, member, next)
    records.push(memberRecord(group.id, member.id, next))
  }
  return !sameNames(was.topicNames, next.topicNames) || next.topicRegex !== was.topicRegex
}

/**
 * Members are out, and their partitions free; the others get them with their next heartbeats. True when nobody is left who speaks the
 * consumer protocol, so that the group is to become a classic one (KIP-848, "Online downgrade"): its epoch stays then, and is the generation
 * in which the others are.
 */
export function dismiss(group: ConsumerGroup, members: readonly ConsumerMember[], limits: ConsumerLimits, records: RecordBytes[]): boolean {
  for (const member of members) records.push(...forget(group, member))
  for (const regex of group.regexes.keys()) {
    if (Array.from(group.members.values()).some(({ subscription }) => subscription.topicRegex === regex)) continue
    group.regexes.delete(regex)
    records.push(regexRecord(group.id, regex, null))
  }
  if (members.some(({ subscription }) => subscription.classic === null) && mayBecomeClassic(group, limits)) return true
  raiseEpoch(group, records)
  return false
}

function mayBecomeClassic({ members }: ConsumerGroup, { downgrade, classicMaxSize }: ConsumerLimits): boolean {
  if (!downgrade || members.size === 0 || members.size > classicMaxSize) return false
  for (const { subscription } of members.values()) if (subscription.classic === null) return false
  return true
}

/** Returns the tombstones of a member that is no more. */
function forget(group: ConsumerGroup, member: ConsumerMember): RecordBytes[] {
  removeMember(group, member)
  return [positionRecord(group.id, member.id, null), targetRecord(group.id, member.id, null), memberRecord(group.id, member.id, null)]
}

function newMember(id: string, instanceId: string | null): ConsumerMember {
  return {
    id,
    subscription: {
      instanceId,
      rackId: null,
      clientId: '',
      clientHost: '',
      topicNames: [],
      topicRegex: null,
      rebalanceTimeoutMs: -1,
      assignor: null,
      classic: null,
    },
    position: NOWHERE,
    sessionDeadlineMs: Infinity,
    revocationDeadlineMs: Infinity,
    joinDeadlineMs: Infinity,
    syncDeadlineMs: Infinity,
  }
}

function sameSubscription(a: Subscription, b: Subscription): boolean {
  if (a.instanceId !== b.instanceId || a.rackId !== b.rackId || a.clientId !== b.clientId || a.clientHost !== b.clientHost) return false
  if (a.topicRegex !== b.topicRegex || a.rebalanceTimeoutMs !== b.rebalanceTimeoutMs || a.assignor !== b.assignor) return false
  if (!sameNames(a.topicNames, b.topicNames)) return false
  if (a.classic === null || b.classic === null) return a.classic === b.classic
  return a.classic.sessionTimeoutMs === b.classic.sessionTimeoutMs && sameProtocols(a.classic.supportedProtocols, b.classic.supportedProtocols)
}

/** Names are sorted, without repetition. */
function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((name, i) => name === b[i]))
}

export function namesOf(topics: readonly string[]): string[] {
  return [...new Set(topics)].sort()
}
