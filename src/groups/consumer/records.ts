/**
 * The records of consumer groups in `__consumer_offsets`, byte for byte as Apache Kafka 4.3 writes them. A group is many records, one for
 * each thing that changes by itself: the group's epoch (key 3), each member's subscription (5), the epoch of the target assignment (6),
 * each member's target (7) and position (8), each regular expression (16). Kind 4 was written by Kafka before 4.1 and says nothing now.
 *
 * Source: the message definitions ConsumerGroup*Key and ConsumerGroup*Value of Kafka's group coordinator.
 */
import { array, bytes, int32, int64, int8, nullableArray, nullableString, string, struct, uuid } from '../../../protocol/schema/field.ts'
import { Reader } from '../../../protocol/wire/reader.ts'
import type { Uuid } from '../../../storage/types.ts'
import { DECODE_BUDGET_BYTES, keyDecoder, keyEncoder, valueDecoder, valueEncoder } from '../records.ts'
import type { RecordBytes } from '../records.ts'
import type { Now } from '../types.ts'
import { newConsumerGroup, own, setSubscription, watch } from './membership.ts'
import { NOTHING_HELD } from './reconcile.ts'
import type { ConsumerGroup, ConsumerLimits, ConsumerMember, HeldPartitions, MemberState, Partitions, Position, ResolvedRegex, Subscription } from './types.ts'

const GROUP = 3
const MEMBER = 5
const TARGET_EPOCH = 6
const TARGET = 7
const POSITION = 8
const REGEX = 16

/** MemberState of Kafka's coordinator. */
const STATE_CODES: Readonly<Record<MemberState, number>> = { stable: 0, unrevoked: 1, unreleased: 2 }

const groupKey = struct({ group: string })
const memberKey = struct({ group: string, memberId: string })

const groupValue = struct({
  epoch: int32,
  metadataHash: int64.tagged(0, 0).default(0),
})

const memberValue = struct({
  instanceId: nullableString,
  rackId: nullableString,
  clientId: string,
  clientHost: string,
  topicNames: array(string),
  topicRegex: nullableString,
  rebalanceTimeoutMs: int32,
  assignor: nullableString,
  classic: struct({
    sessionTimeoutMs: int32,
    supportedProtocols: array(struct({ name: string, metadata: bytes })),
  }).nullableSince(0).tagged(0, 0).default(null),
})

const targetEpochValue = struct({
  assignmentEpoch: int32,
  assignmentTimestampMs: int64.tagged(0, 0).default(0),
})

const targetValue = struct({
  topicPartitions: array(struct({ topicId: uuid, partitions: array(int32) })),
})

const heldPartitions = array(struct({
  topicId: uuid,
  partitions: array(int32),
  assignmentEpochs: nullableArray(int32).tagged(0, 0).default(null),
}))

const positionValue = struct({
  memberEpoch: int32,
  previousMemberEpoch: int32,
  state: int8,
  assignedPartitions: heldPartitions,
  partitionsPendingRevocation: heldPartitions,
})

const regexValue = struct({
  topics: array(string),
  version: int64,
  timestampMs: int64,
})

const encodeGroupKey = keyEncoder(groupKey, GROUP)
const encodeMemberKey = keyEncoder(memberKey, MEMBER)
const encodeTargetEpochKey = keyEncoder(groupKey, TARGET_EPOCH)
const encodeTargetKey = keyEncoder(memberKey, TARGET)
const encodePositionKey = keyEncoder(memberKey, POSITION)
const encodeRegexKey = keyEncoder(memberKey, REGEX)
const decodeMemberKey = keyDecoder(memberKey)

const encodeGroup = valueEncoder(groupValue, 0)
const encodeMember = valueEncoder(memberValue, 0)
const encodeTargetEpoch = valueEncoder(targetEpochValue, 0)
const encodeTarget = valueEncoder(targetValue, 0)
const encodePosition = valueEncoder(positionValue, 0)
const encodeRegex = valueEncoder(regexValue, 0)
const decodeGroup = valueDecoder(groupValue, 0, 0)
const decodeMember = valueDecoder(memberValue, 0, 0)
const decodeTargetEpoch = valueDecoder(targetEpochValue, 0, 0)
const decodeTarget = valueDecoder(targetValue, 0, 0)
const decodePosition = valueDecoder(positionValue, 0, 0)
const decodeRegex = valueDecoder(regexValue, 0, 0)

export function groupEpochRecord({ id, epoch, metadataHash }: ConsumerGroup): RecordBytes {
  return { key: encodeGroupKey({ group: id }), value: encodeGroup(0, { epoch, metadataHash }) }
}

/** The subscription of a member; null deletes it. */
export function memberRecord(group: string, memberId: string, value: Subscription | null): RecordBytes {
  return { key: encodeMemberKey({ group, memberId }), value: value && encodeMember(0, value) }
}

export function targetEpochRecord({ id, assignmentEpoch }: ConsumerGroup, wallMs: number): RecordBytes {
  return { key: encodeTargetEpochKey({ group: id }), value: encodeTargetEpoch(0, { assignmentEpoch, assignmentTimestampMs: wallMs }) }
}

export function targetRecord(group: string, memberId: string, value: Partitions | null): RecordBytes {
  const topicPartitions = value && Array.from(value, ([topicId, partitions]) => ({ topicId, partitions }))
  return { key: encodeTargetKey({ group, memberId }), value: topicPartitions && encodeTarget(0, { topicPartitions }) }
}

export function positionRecord(group: string, memberId: string, value: Position | null): RecordBytes {
  const key = encodePositionKey({ group, memberId })
  if (value === null) return { key, value }
  return {
    key,
    value: encodePosition(0, {
      memberEpoch: value.epoch,
      previousMemberEpoch: value.previousEpoch,
      state: STATE_CODES[value.state],
      assignedPartitions: heldOut(value.assigned),
      partitionsPendingRevocation: heldOut(value.revoking),
    }),
  }
}

export function regexRecord(group: string, regex: string, value: ResolvedRegex | null): RecordBytes {
  return {
    key: encodeRegexKey({ group, memberId: regex }),
    value: value && encodeRegex(0, { topics: value.topics, version: value.version, timestampMs: value.resolvedAtMs }),
  }
}

/** Deletes everything that is written down about a group. */
export function consumerTombstones(group: ConsumerGroup): RecordBytes[] {
  const records: RecordBytes[] = []
  for (const memberId of group.members.keys()) records.push(positionRecord(group.id, memberId, null))
  for (const memberId of group.target.keys()) records.push(targetRecord(group.id, memberId, null))
  records.push({ key: encodeTargetEpochKey({ group: group.id }), value: null })
  for (const memberId of group.members.keys()) records.push(memberRecord(group.id, memberId, null))
  for (const regex of group.regexes.keys()) records.push(regexRecord(group.id, regex, null))
  records.push({ key: encodeGroupKey({ group: group.id }), value: null })
  return records
}

/**
 * The group that its records add up to, with sessions that begin now; null when there is no group record among them.
 *
 * @throws ProtocolError for damaged records
 */
export function consumerGroupFrom(id: string, records: Iterable<RecordBytes>, now: Now, limits: ConsumerLimits): ConsumerGroup | null {
  const group = newConsumerGroup(id)
  let exists = false
  const subscriptions = new Map<string, Subscription>()
  const positions = new Map<string, Position>()
  for (const { key, value } of records) {
    if (value === null) continue
    const reader = new Reader(key, DECODE_BUDGET_BYTES)
    switch (reader.int16()) {
      case GROUP: {
        const { epoch, metadataHash } = decodeGroup(value)
        exists = true
        group.epoch = epoch
        group.metadataHash = metadataHash
        break
      }
      case TARGET_EPOCH:
        group.assignmentEpoch = decodeTargetEpoch(value).assignmentEpoch
        break
      case MEMBER:
        subscriptions.set(decodeMemberKey(reader).memberId, decodeMember(value))
        break
      case TARGET: {
        const { topicPartitions } = decodeTarget(value)
        group.target.set(decodeMemberKey(reader).memberId, new Map(topicPartitions.map(({ topicId, partitions }) => [topicId, partitions])))
        break
      }
      case POSITION: {
        const saved = decodePosition(value)
        positions.set(decodeMemberKey(reader).memberId, {
          epoch: saved.memberEpoch,
          previousEpoch: saved.previousMemberEpoch,
          state: stateOf(saved.state),
          assigned: heldIn(saved.assignedPartitions),
          revoking: heldIn(saved.partitionsPendingRevocation),
        })
        break
      }
      case REGEX: {
        const { topics, version, timestampMs } = decodeRegex(value)
        group.regexes.set(decodeMemberKey(reader).memberId, { topics, version, resolvedAtMs: timestampMs })
        break
      }
      default:
    }
  }
  if (!exists) return null
  for (const [memberId, subscription] of subscriptions) {
    const position = positions.get(memberId) ?? { epoch: 0, previousEpoch: 0, state: 'stable', assigned: NOTHING_HELD, revoking: NOTHING_HELD }
    const member: ConsumerMember = {
      id: memberId,
      subscription,
      position,
      sessionDeadlineMs: now.monotonicMs + (subscription.classic?.sessionTimeoutMs ?? limits.sessionTimeoutMs),
      revocationDeadlineMs:
        position.state === 'unrevoked' && subscription.classic === null ? now.monotonicMs + subscription.rebalanceTimeoutMs : Infinity,
      joinDeadlineMs: Infinity,
      syncDeadlineMs: Infinity,
    }
    group.members.set(memberId, member)
    setSubscription(group, member, subscription)
    own(group, memberId, position)
    watch(group, member)
  }
  for (const memberId of group.target.keys()) if (!group.members.has(memberId)) group.target.delete(memberId)
  return group
}

function heldOut(held: HeldPartitions): { topicId: Uuid; partitions: number[]; assignmentEpochs: number[] }[] {
  return Array.from(held, ([topicId, partitions]) => {
    const sorted = [...partitions].sort(([a], [b]) => a - b)
    return { topicId, partitions: sorted.map(([partition]) => partition), assignmentEpochs: sorted.map(([, epoch]) => epoch) }
  })
}

function heldIn(
  saved: readonly { readonly topicId: Uuid; readonly partitions: readonly number[]; readonly assignmentEpochs: readonly number[] | null }[],
): HeldPartitions {
  return new Map(
    saved.map(({ topicId, partitions, assignmentEpochs }) => [
      topicId,
      // Without epochs (Kafka before 4.3) every commit counts as of the partition's time.
      new Map(partitions.map((partition, i) => [partition, assignmentEpochs?.[i] ?? 0])),
    ]),
  )
}

function stateOf(code: number): MemberState {
  if (code === STATE_CODES.unrevoked) return 'unrevoked'
  return code === STATE_CODES.unreleased ? 'unreleased' : 'stable'
}
