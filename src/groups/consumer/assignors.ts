/**
 * The server-side assignors of KIP-848: pure functions from subscriptions to a target assignment.
 *
 * `range` gives each member neighbouring partitions of every topic, the same numbers in topics with as many partitions, so that what is
 * keyed alike meets in one member. `uniform` spreads all partitions evenly and moves as few as that allows.
 */
import type { Uuid } from '../../../storage/types.ts'
import type { Partitions } from './types.ts'

export interface AssignableMember {
  readonly id: string
  readonly instanceId: string | null
  /** Those of its topics that exist. */
  readonly topicIds: ReadonlySet<Uuid>
  /** Its target so far. */
  readonly current: Partitions
}

export interface Assignment {
  readonly members: readonly AssignableMember[]
  /** Number of partitions of every subscribed topic. */
  readonly partitions: ReadonlyMap<Uuid, number>
}

export type Assignor = (assignment: Assignment) => Map<string, Partitions>

export const ASSIGNORS: ReadonlyMap<string, Assignor> = new Map([
  ['uniform', assignUniformly],
  ['range', assignRanges],
])

export function assignRanges({ members, partitions }: Assignment): Map<string, Partitions> {
  const ordered = [...members].sort(byPermanence)
  const plan = new Plan(members)
  for (const [topicId, count] of partitions) {
    const subscribers = ordered.filter(({ topicIds }) => topicIds.has(topicId))
    const each = Math.floor(count / subscribers.length)
    const extra = count % subscribers.length
    let next = 0
    for (const [i, { id }] of subscribers.entries()) {
      const end = next + each + (i < extra ? 1 : 0)
      for (; next < end; next++) plan.give(id, topicId, next)
    }
  }
  return plan.result()
}

export function assignUniformly(assignment: Assignment): Map<string, Partitions> {
  const { members } = assignment
  const first = members[0]
  const alike = first === undefined || members.every(({ topicIds }) => topicIds === first.topicIds || sameSet(topicIds, first.topicIds))
  return alike ? assignToEqualMembers(assignment) : assignToUnequalMembers(assignment)
}

/** Everybody keeps what it has up to its share; the rest goes to those below theirs. */
function assignToEqualMembers({ members, partitions }: Assignment): Map<string, Partitions> {
  const plan = new Plan(members)
  if (members.length === 0) return plan.result()
  const free = new FreePartitions(partitions)
  const share = Math.floor(free.size / members.length)
  let extras = free.size % members.length
  const quotas = new Map<string, number>()
  // Those who hold more than the even share first: an extra partition that stays where it is need not move.
  for (const { id, current } of [...members].sort((a, b) => held(b) - held(a) || byPermanence(a, b))) {
    const keeps = currentOf(current, free)
    const quota = keeps.length > share && extras > 0 ? share + 1 : share
    if (quota > share) extras--
    quotas.set(id, quota)
    for (const [topicId, partition] of keeps.slice(0, quota)) {
      plan.give(id, topicId, partition)
      free.take(topicId, partition)
    }
  }
  const rest = free.left()
  let next = 0
  const takeUpTo = (id: string, quota: number): void => {
    while (plan.count(id) < quota && next < rest.length) {
      const [topicId, partition] = rest[next++]!
      plan.give(id, topicId, partition)
    }
  }
  const ordered = [...members].sort(byPermanence)
  for (const { id } of ordered) takeUpTo(id, quotas.get(id)!)
  for (const { id } of ordered) {
    if (extras === 0) break
    if (plan.count(id) > share) continue
    takeUpTo(id, share + 1)
    extras--
  }
  return plan.result()
}

/** Each partition goes to its subscriber with the fewest, topics with few subscribers first; then partitions move while that evens things out. */
function assignToUnequalMembers({ members, partitions }: Assignment): Map<string, Partitions> {
  const plan = new Plan(members)
  const ordered = [...members].sort(byPermanence)
  const subscribers = new Map<Uuid, string[]>()
  for (const topicId of partitions.keys()) subscribers.set(topicId, [])
  for (const { id, topicIds } of ordered) for (const topicId of topicIds) subscribers.get(topicId)?.push(id)
  const owners = new Map<Uuid, (string | undefined)[]>()
  for (const [topicId, count] of partitions) owners.set(topicId, Array.from({ length: count }, () => undefined))
  for (const { id, current, topicIds } of ordered) {
    for (const [topicId, numbers] of current) {
      const owner = owners.get(topicId)
      if (owner === undefined || !topicIds.has(topicId)) continue
      for (const partition of numbers) {
        if (partition >= owner.length || owner[partition] !== undefined) continue
        owner[partition] = id
        plan.give(id, topicId, partition)
      }
    }
  }
  const topics = [...partitions.keys()].sort((a, b) => subscribers.get(a)!.length - subscribers.get(b)!.length || (a < b ? -1 : 1))
  for (const topicId of topics) {
    const owner = owners.get(topicId)!
    const candidates = subscribers.get(topicId)!
    for (let partition = 0; partition < owner.length && candidates.length > 0; partition++) {
      if (owner[partition] !== undefined) continue
      const least = leastOf(candidates, plan)
      owner[partition] = least
      plan.give(least, topicId, partition)
    }
  }
  // Every move makes the spread smaller, so this ends; the bound is against a mistake in that thought.
  for (let round = 0, again = true; again && round < members.length + topics.length; round++) {
    again = false
    for (const topicId of topics) {
      const owner = owners.get(topicId)!
      const candidates = subscribers.get(topicId)!
      for (let partition = 0; partition < owner.length && candidates.length > 1; partition++) {
        const from = owner[partition]!
        const least = leastOf(candidates, plan)
        if (plan.count(from) <= plan.count(least) + 1) continue
        plan.takeAway(from, topicId, partition)
        plan.give(least, topicId, partition)
        owner[partition] = least
        again = true
      }
    }
  }
  return plan.result()
}

function leastOf(candidates: readonly string[], plan: Plan): string {
  let least = candidates[0]!
  for (const id of candidates) if (plan.count(id) < plan.count(least)) least = id
  return least
}

/** Static members come first and in the order of their instance ids: restarts of others change nothing for them. */
function byPermanence(a: AssignableMember, b: AssignableMember): number {
  if (a.instanceId !== null && b.instanceId !== null) return a.instanceId < b.instanceId ? -1 : 1
  if (a.instanceId !== null) return -1
  if (b.instanceId !== null) return 1
  return a.id < b.id ? -1 : 1
}

function held({ current }: AssignableMember): number {
  let count = 0
  for (const partitions of current.values()) count += partitions.length
  return count
}

function currentOf(current: Partitions, free: FreePartitions): [Uuid, number][] {
  const keeps: [Uuid, number][] = []
  for (const [topicId, partitions] of current) {
    for (const partition of partitions) if (free.has(topicId, partition)) keeps.push([topicId, partition])
  }
  return keeps
}

function sameSet(a: ReadonlySet<Uuid>, b: ReadonlySet<Uuid>): boolean {
  if (a.size !== b.size) return false
  for (const element of a) if (!b.has(element)) return false
  return true
}

class Plan {
  readonly #given = new Map<string, Map<Uuid, Set<number>>>()
  readonly #counts = new Map<string, number>()

  constructor(members: readonly AssignableMember[]) {
    for (const { id } of members) {
      this.#given.set(id, new Map())
      this.#counts.set(id, 0)
    }
  }

  count(id: string): number {
    return this.#counts.get(id)!
  }

  give(id: string, topicId: Uuid, partition: number): void {
    const topics = this.#given.get(id)!
    const partitions = topics.get(topicId)
    if (partitions === undefined) topics.set(topicId, new Set([partition]))
    else partitions.add(partition)
    this.#counts.set(id, this.count(id) + 1)
  }

  takeAway(id: string, topicId: Uuid, partition: number): void {
    const topics = this.#given.get(id)!
    const partitions = topics.get(topicId)!
    partitions.delete(partition)
    if (partitions.size === 0) topics.delete(topicId)
    this.#counts.set(id, this.count(id) - 1)
  }

  result(): Map<string, Partitions> {
    return new Map(
      Array.from(this.#given, ([id, topics]) => [
        id,
        new Map(Array.from(topics, ([topicId, partitions]) => [topicId, [...partitions].sort((a, b) => a - b)])),
      ]),
    )
  }
}

class FreePartitions {
  readonly #free = new Map<Uuid, Set<number>>()
  #size = 0

  constructor(partitions: ReadonlyMap<Uuid, number>) {
    for (const [topicId, count] of partitions) {
      this.#free.set(topicId, new Set(Array.from({ length: count }, (_, partition) => partition)))
      this.#size += count
    }
  }

  get size(): number {
    return this.#size
  }

  has(topicId: Uuid, partition: number): boolean {
    return this.#free.get(topicId)?.has(partition) === true
  }

  take(topicId: Uuid, partition: number): void {
    if (this.#free.get(topicId)?.delete(partition) === true) this.#size--
  }

  left(): [Uuid, number][] {
    return Array.from(this.#free, ([topicId, partitions]) => Array.from(partitions, (partition): [Uuid, number] => [topicId, partition])).flat()
  }
}
