/**
 * The vocabulary of consumer groups, those of the protocol of KIP-848: the coordinator computes the assignments, and members follow one
 * by one at their own pace. Three epochs say where everybody is:
 *
 *   group epoch       raised by everything that calls for another assignment (members, subscriptions, topics)
 *   assignment epoch  the group epoch that the target assignment was computed for
 *   member epoch      the assignment epoch that the member has arrived at
 *
 * Nothing here does I/O: `consumer-group.ts` is the state machine, `../shard.ts` writes down what it says.
 */
import type { Uuid } from '../../../storage/types.ts'
import type { TopicIndex } from '../ports.ts'
import type { RecordBytes } from '../records.ts'
import type { Now, Protocol } from '../types.ts'
import type { TopicMatchers } from './topic-matchers.ts'

/** Topic id → partitions, in ascending order. */
export type Partitions = ReadonlyMap<Uuid, readonly number[]>

/** Topic id → partition → the epoch in which the member got it (KIP-1251). */
export type HeldPartitions = ReadonlyMap<Uuid, ReadonlyMap<number, number>>

/**
 * `stable`: the member has what the assignment of its epoch gives it. `unrevoked`: it has been told to give partitions up and has not said
 * that it did; it stays in its epoch until then. `unreleased`: it waits for partitions that others still hold.
 */
export type MemberState = 'stable' | 'unrevoked' | 'unreleased'

/** Set for a member that speaks the classic protocol in a consumer group. */
export interface ClassicSide {
  readonly sessionTimeoutMs: number
  readonly supportedProtocols: readonly Protocol[]
}

/** Who a member is and what it wants: what goes into ConsumerGroupMemberMetadataValue. */
export interface Subscription {
  /** KIP-345: set for static members. */
  readonly instanceId: string | null
  readonly rackId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** Sorted, without repetition. */
  readonly topicNames: readonly string[]
  readonly topicRegex: string | null
  readonly rebalanceTimeoutMs: number
  /** The assignor that the member votes for. */
  readonly assignor: string | null
  readonly classic: ClassicSide | null
}

/** Where a member is: what goes into ConsumerGroupCurrentMemberAssignmentValue. */
export interface Position {
  readonly epoch: number
  readonly previousEpoch: number
  readonly state: MemberState
  readonly assigned: HeldPartitions
  /** What the member has been told to give up, and still holds. */
  readonly revoking: HeldPartitions
}

export interface ConsumerMember {
  readonly id: string
  subscription: Subscription
  position: Position
  /** Monotonic time at which the session ends. */
  sessionDeadlineMs: number
  /** Monotonic time until which partitions must have been given up; Infinity when there are none. */
  revocationDeadlineMs: number
  /** Of a member of the classic protocol: until when it must have joined again after it was told to; else Infinity. */
  joinDeadlineMs: number
  /** Of a member of the classic protocol: until when it must have fetched its assignment after it joined; else Infinity. */
  syncDeadlineMs: number
}

export interface ConsumerGroup {
  readonly id: string
  epoch: number
  /** Of the subscribed topics, as they were when `epoch` was raised last. */
  metadataHash: number
  assignmentEpoch: number
  /** Monotonic time of the last assignment. */
  assignedAtMs: number
  readonly members: Map<string, ConsumerMember>
  /** group.instance.id → member id. */
  readonly staticMembers: Map<string, string>
  /** Member id → what it is to have. */
  readonly target: Map<string, Partitions>
  /** Topic id → partition → the member that holds it, be it to give it up. */
  readonly owners: Map<Uuid, Map<number, string>>
  /** Subscribed regular expressions with the topics that they match. */
  readonly regexes: Map<string, ResolvedRegex>
  /** The topics when they were looked at last; null for never. */
  topicsSeen: ReturnType<TopicIndex['all']> | null
  /** No deadline of the group is earlier. */
  wakeAtMs: number
}

export interface ResolvedRegex {
  /** Sorted. */
  readonly topics: readonly string[]
  readonly version: number
  /** Wall clock. */
  readonly resolvedAtMs: number
}

export type ConsumerGroupState = 'Empty' | 'Assigning' | 'Reconciling' | 'Stable'

export interface ConsumerLimits {
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly maxSize: number
  /** The first one is the default. */
  readonly assignors: readonly string[]
  /** Whether a classic group becomes a consumer group when a member of the consumer protocol joins it. */
  readonly upgrade: boolean
  /** Whether a consumer group becomes a classic one when its last member of the consumer protocol is gone. */
  readonly downgrade: boolean
  /** Larger groups stay consumer groups. */
  readonly classicMaxSize: number
}

/** What is around a group at the moment of an event. */
export interface ConsumerWorld {
  readonly now: Now
  readonly limits: ConsumerLimits
  readonly topics: TopicIndex
  readonly matchers: TopicMatchers
}

export interface HeartbeatRequest {
  readonly groupId: string
  /** Chosen by the member, or by the coordinator where it is empty (v0). */
  readonly memberId: string
  /** 0 joins, -1 leaves, -2 leaves and will be back (static members). */
  readonly memberEpoch: number
  readonly instanceId: string | null
  readonly rackId: string | null
  /** -1: as before. */
  readonly rebalanceTimeoutMs: number
  readonly topicNames: readonly string[] | null
  readonly topicRegex: string | null
  readonly assignor: string | null
  /** What the member owns; null: as it said last. */
  readonly owned: readonly { readonly topicId: Uuid; readonly partitions: readonly number[] }[] | null
  readonly clientId: string
  readonly clientHost: string
}

export interface HeartbeatReply {
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly memberId: string | null
  readonly memberEpoch: number
  readonly heartbeatIntervalMs: number
  /** Null when nothing changed. */
  readonly assignment: Partitions | null
}

export interface HeartbeatOutcome {
  readonly reply: HeartbeatReply
  /** To be durable before the reply is given. */
  readonly records: readonly RecordBytes[]
  /** The last member of the consumer protocol is gone: the group is to become a classic one. */
  readonly downgrades: boolean
}

export const JOIN_EPOCH = 0
export const LEAVE_EPOCH = -1
export const STATIC_LEAVE_EPOCH = -2
