/** Who is in a consumer group and who holds what: bookkeeping; what follows from a change is decided in `consumer-group.ts`. */
import type { Uuid } from '../../../storage/types.ts'
import type { ConsumerGroup, ConsumerGroupState, ConsumerMember, Position, Subscription } from './types.ts'

/** A group that nobody has joined yet. */
export function newConsumerGroup(id: string): ConsumerGroup {
  return {
    id,
    epoch: 0,
    metadataHash: 0,
    assignmentEpoch: 0,
    assignedAtMs: -Infinity,
    members: new Map(),
    staticMembers: new Map(),
    target: new Map(),
    owners: new Map(),
    regexes: new Map(),
    topicsSeen: null,
    wakeAtMs: Infinity,
  }
}

export function setSubscription(group: ConsumerGroup, member: ConsumerMember, subscription: Subscription): void {
  member.subscription = subscription
  if (subscription.instanceId !== null) group.staticMembers.set(subscription.instanceId, member.id)
}

export function setPosition(group: ConsumerGroup, member: ConsumerMember, position: Position): void {
  disown(group, member.id, member.position)
  member.position = position
  own(group, member.id, position)
}

/** Forgets a member, its target and what it holds. */
export function removeMember(group: ConsumerGroup, member: ConsumerMember): void {
  const { instanceId } = member.subscription
  disown(group, member.id, member.position)
  group.members.delete(member.id)
  group.target.delete(member.id)
  if (instanceId !== null && group.staticMembers.get(instanceId) === member.id) group.staticMembers.delete(instanceId)
}

/** Writes down that a member holds the partitions of a position. */
export function own(group: ConsumerGroup, memberId: string, { assigned, revoking }: Position): void {
  for (const held of [assigned, revoking]) {
    for (const [topicId, partitions] of held) {
      let owners = group.owners.get(topicId)
      if (owners === undefined) group.owners.set(topicId, (owners = new Map()))
      for (const partition of partitions.keys()) owners.set(partition, memberId)
    }
  }
}

function disown(group: ConsumerGroup, memberId: string, { assigned, revoking }: Position): void {
  for (const held of [assigned, revoking]) {
    for (const [topicId, partitions] of held) {
      const owners = group.owners.get(topicId)
      if (owners === undefined) continue
      for (const partition of partitions.keys()) if (owners.get(partition) === memberId) owners.delete(partition)
      if (owners.size === 0) group.owners.delete(topicId)
    }
  }
}

export function ownerOf(group: ConsumerGroup, topicId: Uuid, partition: number): string | undefined {
  return group.owners.get(topicId)?.get(partition)
}

/** The earliest of a member's deadlines. */
export function deadlineOf({ sessionDeadlineMs, revocationDeadlineMs, joinDeadlineMs, syncDeadlineMs }: ConsumerMember): number {
  return Math.min(sessionDeadlineMs, revocationDeadlineMs, joinDeadlineMs, syncDeadlineMs)
}

/** A tick is due when the earliest deadline of the member is over, at the latest. */
export function watch(group: ConsumerGroup, member: ConsumerMember): void {
  group.wakeAtMs = Math.min(group.wakeAtMs, deadlineOf(member))
}

export function stateOfGroup(group: ConsumerGroup): ConsumerGroupState {
  if (group.members.size === 0) return 'Empty'
  if (group.epoch > group.assignmentEpoch) return 'Assigning'
  for (const { position } of group.members.values()) {
    if (position.state !== 'stable' || position.epoch !== group.assignmentEpoch) return 'Reconciling'
  }
  return 'Stable'
}

/** The assignor with the most votes; the default without any. */
export function assignorOf(group: ConsumerGroup, assignors: readonly string[]): string {
  const votes = new Map<string, number>()
  for (const { subscription } of group.members.values()) {
    if (subscription.assignor !== null) votes.set(subscription.assignor, (votes.get(subscription.assignor) ?? 0) + 1)
  }
  let winner = assignors[0] as string
  for (const [name, count] of votes) if (assignors.includes(name) && count > (votes.get(winner) ?? 0)) winner = name
  return winner
}
