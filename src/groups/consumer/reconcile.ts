/**
 * The next position of a member on its way to the target assignment (KIP-848, "Reconciliation"). A member first gives up what it is not to
 * have, then gets what is free; so no partition ever has two owners, and nobody waits for the whole group.
 */
import { assertNever } from '../../../storage/types.ts'
import type { Uuid } from '../../../storage/types.ts'
import type { ConsumerMember, HeartbeatRequest, HeldPartitions, MemberState, Partitions, Position } from './types.ts'

export interface Reconciliation {
  readonly member: ConsumerMember
  readonly target: Partitions
  readonly targetEpoch: number
  readonly owned: HeartbeatRequest['owned']
  /** Whether another member holds the partition. */
  readonly heldByOther: (topicId: Uuid, partition: number) => boolean
}

export const NOTHING_HELD: HeldPartitions = new Map()
export const NO_PARTITIONS: Partitions = new Map()

/** The position after a heartbeat; the same object when nothing changes. */
export function reconcile(r: Reconciliation): Position {
  const { position } = r.member
  switch (position.state) {
    case 'stable':
      return position.epoch === r.targetEpoch ? position : next(r, position.epoch)
    case 'unrevoked':
      // The member acknowledges by saying what it owns, without them.
      return ownsAny(r.owned, position.revoking) ? position : next(r, position.epoch + 1)
    case 'unreleased':
      return next(r, position.epoch)
    default:
      return assertNever(position.state)
  }
}

function next(r: Reconciliation, epoch: number): Position {
  const { position } = r.member
  const assigned = new Map<Uuid, Map<number, number>>()
  const revoking = new Map<Uuid, Map<number, number>>()
  for (const [topicId, partitions] of position.assigned) {
    const wanted = new Set(r.target.get(topicId))
    for (const [partition, since] of partitions) hold(wanted.has(partition) ? assigned : revoking, topicId, partition, since)
  }
  if (revoking.size > 0 && ownsAny(r.owned, revoking)) return moved(position, epoch, 'unrevoked', assigned, revoking)
  let unreleased = false
  for (const [topicId, partitions] of r.target) {
    for (const partition of partitions) {
      if (assigned.get(topicId)?.has(partition) === true) continue
      if (r.heldByOther(topicId, partition)) unreleased = true
      else hold(assigned, topicId, partition, r.targetEpoch)
    }
  }
  return moved(position, r.targetEpoch, unreleased ? 'unreleased' : 'stable', assigned, NOTHING_HELD)
}

function moved(from: Position, epoch: number, state: MemberState, assigned: HeldPartitions, revoking: HeldPartitions): Position {
  const sameEpoch = epoch === from.epoch
  if (sameEpoch && state === from.state && sameHeld(assigned, from.assigned) && sameHeld(revoking, from.revoking)) return from
  return { epoch, previousEpoch: sameEpoch ? from.previousEpoch : from.epoch, state, assigned, revoking }
}

/** A member that does not say what it owns may own everything that it had. */
function ownsAny(owned: Reconciliation['owned'], held: HeldPartitions): boolean {
  if (owned === null) return true
  return owned.some(({ topicId, partitions }) => partitions.some((partition) => held.get(topicId)?.has(partition) === true))
}

function hold(held: Map<Uuid, Map<number, number>>, topicId: Uuid, partition: number, since: number): void {
  const partitions = held.get(topicId)
  if (partitions === undefined) held.set(topicId, new Map([[partition, since]]))
  else partitions.set(partition, since)
}

/** The same partitions, whenever they were assigned. */
export function sameHeld(a: HeldPartitions, b: HeldPartitions): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others === undefined || others.size !== partitions.size) return false
    for (const partition of partitions.keys()) if (!others.has(partition)) return false
  }
  return true
}

export function partitionsOf(held: HeldPartitions): Partitions {
  return new Map(Array.from(held, ([topicId, partitions]) => [topicId, [...partitions.keys()].sort((a, b) => a - b)]))
}

/** Whether all of what a member says it owns is among what it holds. */
export function ownsNoMore(owned: HeartbeatRequest['owned'], held: HeldPartitions): boolean {
  if (owned === null) return false
  return owned.every(({ topicId, partitions }) => partitions.every((partition) => held.get(topicId)?.has(partition) === true))
}
