/**
 * What the members of a consumer group are to have: the topics that they subscribe to, the target assignment over them, and the next step of
 * a member on its way there. The functions change the group and add the records that have to be written for it.
 */
import { createHash } from 'node:crypto'
import type { Uuid } from '../../../storage/types.ts'
import type { TopicIndex } from '../ports.ts'
import type { RecordBytes } from '../records.ts'
import { ASSIGNORS } from './assignors.ts'
import type { AssignableMember } from './assignors.ts'
import { assignorOf, ownerOf, setPosition } from './membership.ts'
import { NO_PARTITIONS, reconcile } from './reconcile.ts'
import { groupEpochRecord, positionRecord, regexRecord, targetEpochRecord, targetRecord } from './records.ts'
import type { ConsumerGroup, ConsumerMember, ConsumerWorld, HeartbeatRequest, Partitions, Position, Subscription } from './types.ts'

/** Computing the assignment of a group of this size takes milliseconds: members that arrive together are assigned together. */
const LARGE_GROUP_MEMBERS = 200
const LARGE_GROUP_INTERVAL_MS = 1_000

/**
 * Looks at the topics again, and raises the group epoch when that, or the change that the caller knows of, calls for another assignment.
 * The expression `later` is left to the next heartbeat if it is new to the group.
 */
export function refreshTopics(
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
  raiseEpoch(group, records)
}

/** Calls for another assignment. */
export function raiseEpoch(group: ConsumerGroup, records: RecordBytes[]): void {
  group.epoch++
  records.push(groupEpochRecord(group))
}

/** Computes the target assignment if the group epoch has moved on. */
export function assign(group: ConsumerGroup, { topics, limits, now }: ConsumerWorld, records: RecordBytes[]): void {
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

/** Brings a member as far as it can go towards its target. Returns where it was before. */
export function advance(
  group: ConsumerGroup,
  member: ConsumerMember,
  { owned, isNew }: { readonly owned: HeartbeatRequest['owned']; readonly isNew: boolean },
  records: RecordBytes[],
): Position {
  const before = member.position
  const position = reconcile({
    member,
    target: group.target.get(member.id) ?? NO_PARTITIONS,
    targetEpoch: group.assignmentEpoch,
    owned,
    heldByOther: (topicId, partition) => (ownerOf(group, topicId, partition) ?? member.id) !== member.id,
  })
  if (position === before && !isNew) return before
  setPosition(group, member, position)
  records.push(positionRecord(group.id, member.id, position))
  return before
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

function samePartitions(a: Partitions, b: Partitions): boolean {
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others === undefined || others.length !== partitions.length || partitions.some((partition, i) => partition !== others[i])) return false
  }
  return true
}
