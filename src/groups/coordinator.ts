/**
 * The group coordinator of this broker: finds the shard of a group, loading it on first use, checks what does not depend on the state of
 * the group, and answers in the terms of the protocol. It knows no API versions; the handlers in `src/api/` translate.
 */
import { Buffer } from 'node:buffer'
import { KafkaError, errorMessage } from '../../protocol/errors.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import type { Timer } from '../../storage/env.ts'
import type { TransactionMarker } from '../../storage/partition/types.ts'
import type { Uuid } from '../../storage/types.ts'
import { Shards } from '../cluster/shards.ts'
import { admitConsumerFetch, malformed, refused, subscribesTo } from './consumer/consumer-group.ts'
import { ASSIGNORS } from './consumer/assignors.ts'
import { assignorOf, stateOfGroup } from './consumer/membership.ts'
import { partitionsOf } from './consumer/reconcile.ts'
import { TopicMatchers } from './consumer/topic-matchers.ts'
import type { ConsumerLimits, HeartbeatReply, HeartbeatRequest, Partitions } from './consumer/types.ts'
import { CONSUMER_PROTOCOL_TYPE } from './consumer-protocol.ts'
import { expiredOf } from './expiry.ts'
import type { GroupEntry } from './group-entry.ts'
import { admitCommit, admitTransactionalCommit, failedJoin, failedSync } from './group.ts'
import { NO_BYTES, metadataOf } from './membership.ts'
import type { PendingOffsets } from './pending-offsets.ts'
import type { GroupCoordinatorOptions, SnapshotLimits } from './ports.ts'
import type { Producer } from './record-log.ts'
import { partitionOfGroup } from './records.ts'
import type { CommittedOffset } from './records.ts'
import { GroupShard } from './shard.ts'
import type { OffsetCommit } from './shard.ts'
import { subscribedTopicsOf } from './subscription.ts'
import type { GroupLimits, JoinEvent, JoinReply, LeavingMember, SyncEvent, SyncReply } from './types.ts'

/** Kafka's constant: the JoinGroup of a new member is given up after this time. */
const NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000
const SNAPSHOT_LIMITS: SnapshotLimits = { recordsMin: 2_000, intervalMs: 15_000 }
/** Ids that clients chose go into member ids only in part: a member id must fit its length field. */
const ID_PREFIX_LENGTH_MAX = 255
const CLASSIC_TYPE = 'classic'
const CONSUMER_TYPE = 'consumer'

export type JoinRequest = Omit<JoinEvent, 'kind' | 'ticket' | 'newMemberId'> & { readonly groupId: string }
export type SyncRequest = Omit<SyncEvent, 'kind' | 'ticket'> & { readonly groupId: string }

export interface CommitRequest {
  readonly groupId: string
  readonly memberId: string
  readonly instanceId: string | null
  /** -1 for those who commit without being members. */
  readonly generation: number
  /** OffsetCommit v9 and later: tell an unknown group from an old generation, and know the epochs of members. */
  readonly namesUnknownGroup: boolean
  /** Of OffsetCommit v2 to v4; -1 leaves it to the broker. */
  readonly retentionMs: number
  readonly topics: readonly CommitTopic[]
}

/** `namesUnknownGroup` says nothing here. */
export type TransactionalCommitRequest = CommitRequest & Producer

export interface CommitTopic {
  /** Either the name or, from v10 on, the id; the other one is empty or the zero UUID. */
  readonly name: string
  readonly topicId: Uuid
  readonly partitions: readonly {
    readonly partitionIndex: number
    readonly committedOffset: number
    readonly committedLeaderEpoch: number
    readonly committedMetadata: string | null
  }[]
}

export interface CommitTopicReply {
  readonly name: string
  readonly topicId: Uuid
  readonly partitions: readonly { readonly partitionIndex: number; readonly errorCode: number }[]
}

export interface FetchTopic {
  readonly name: string
  readonly topicId: Uuid
  readonly partitionIndexes: readonly number[]
}

export interface FetchReply {
  readonly errorCode: number
  readonly topics: readonly FetchTopicReply[]
}

export interface FetchTopicReply {
  readonly name: string
  readonly topicId: Uuid
  readonly partitions: readonly FetchPartitionReply[]
}

export interface FetchPartitionReply {
  readonly partitionIndex: number
  /** -1 when nothing is committed. */
  readonly committedOffset: number
  readonly committedLeaderEpoch: number
  readonly metadata: string
  readonly errorCode: number
}

export interface DescribedGroup {
  readonly errorCode: number
  /** `Dead` for a group that does not exist. */
  readonly state: string
  readonly protocolType: string
  /** The assignor, in a stable group; else empty. */
  readonly protocol: string
  readonly members: readonly {
    readonly memberId: string
    readonly instanceId: string | null
    readonly clientId: string
    readonly clientHost: string
    readonly metadata: Uint8Array
    readonly assignment: Uint8Array
  }[]
}

/** A group of the consumer protocol; everything but the error is empty where there is none. */
export interface DescribedConsumerGroup {
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly state: string
  readonly epoch: number
  readonly assignmentEpoch: number
  readonly assignor: string
  readonly members: readonly {
    readonly memberId: string
    readonly instanceId: string | null
    readonly rackId: string | null
    readonly epoch: number
    readonly clientId: string
    readonly clientHost: string
    readonly topicNames: readonly string[]
    readonly topicRegex: string | null
    readonly assigned: readonly DescribedPartitions[]
    readonly target: readonly DescribedPartitions[]
    /** Speaks the classic protocol. */
    readonly classic: boolean
  }[]
}

/** Partitions of a topic that exists. */
export interface DescribedPartitions {
  readonly topicId: Uuid
  readonly topicName: string
  readonly partitions: readonly number[]
}

export interface ListedGroup {
  readonly groupId: string
  readonly protocolType: string
  readonly state: string
  readonly type: string
}

export class GroupCoordinator {
  readonly #options: GroupCoordinatorOptions
  readonly #limits: GroupLimits
  readonly #consumerLimits: ConsumerLimits
  readonly #matchers = new TopicMatchers()
  readonly #shards: Shards<GroupShard>
  #sweepTimer: Timer | null = null
  #sweepNext = 0

  constructor(options: GroupCoordinatorOptions) {
    this.#options = options
    this.#shards = new Shards(options.env.clock, (partition) => this.#openShard(partition))
    this.#limits = {
      initialRebalanceDelayMs: options.config['group.initial.rebalance.delay.ms'],
      maxSize: options.config['group.max.size'],
      newMemberJoinTimeoutMs: NEW_MEMBER_JOIN_TIMEOUT_MS,
    }
    const policy = options.config['group.consumer.migration.policy'] ?? 'bidirectional'
    this.#consumerLimits = {
      sessionTimeoutMs: options.config['group.consumer.session.timeout.ms'] ?? 45_000,
      heartbeatIntervalMs: options.config['group.consumer.heartbeat.interval.ms'] ?? 5_000,
      maxSize: options.config['group.consumer.max.size'] ?? 2_147_483_647,
      assignors: options.config['group.consumer.assignors'] ?? [...ASSIGNORS.keys()],
      upgrade: policy === 'bidirectional' || policy === 'upgrade',
      downgrade: policy === 'bidirectional' || policy === 'downgrade',
      classicMaxSize: this.#limits.maxSize,
    }
  }

  /** Begins the periodic sweep for expired offsets. Partitions that nobody asked for are loaded by it, one by one. */
  start(): void {
    this.#scheduleSweep()
  }

  /** Sends everybody who waits for a rebalance away with NOT_COORDINATOR and refuses everything from now on; commits on their way are answered. */
  stop(): void {
    if (this.#shards.isStopped) return
    this.#sweepTimer?.cancel()
    for (const shard of this.#shards.stop()) shard.close(KafkaError.NOT_COORDINATOR, true)
  }

  /** Groups of the partitions that are loaded. */
  get groupCount(): number {
    let count = 0
    for (const shard of this.#shards) count += shard.groupCount
    return count
  }

  /** Where the coordinator of a group is: this broker. */
  selfNode(): { readonly id: number; readonly host: string; readonly port: number } {
    return this.#options.selfNode()
  }

  /** Answers when the rebalance that the join begins, or takes part in, is over. */
  async join(request: JoinRequest): Promise<JoinReply> {
    const { config } = this.#options
    if (request.groupId === '') return failedJoin(request.memberId, KafkaError.INVALID_GROUP_ID)
    const { sessionTimeoutMs } = request
    if (sessionTimeoutMs < config['group.min.session.timeout.ms'] || sessionTimeoutMs > config['group.max.session.timeout.ms']) {
      return failedJoin(request.memberId, KafkaError.INVALID_SESSION_TIMEOUT)
    }
    const shard = await this.#shardOf(request.groupId)
    if (typeof shard === 'number') return failedJoin(request.memberId, shard)
    const newMemberId = this.#newMemberId(request)
    return new Promise((resolve) => shard.join(request.groupId, { ...request, kind: 'join', ticket: resolve, newMemberId }))
  }

  /** Answers when the assignment of the generation is durable. */
  async sync(request: SyncRequest): Promise<SyncReply> {
    if (request.groupId === '') return failedSync(KafkaError.INVALID_GROUP_ID)
    const shard = await this.#shardOf(request.groupId)
    if (typeof shard === 'number') {
      // The generation of a group that is loading cannot be judged: the member is to join again.
      return failedSync(shard === KafkaError.COORDINATOR_LOAD_IN_PROGRESS ? KafkaError.REBALANCE_IN_PROGRESS : shard)
    }
    return new Promise((resolve) => shard.sync(request.groupId, { ...request, kind: 'sync', ticket: resolve }))
  }

  /** An error code. While the group is being loaded every heartbeat is fine. */
  async heartbeat(groupId: string, memberId: string, instanceId: string | null, generation: number): Promise<number> {
    if (groupId === '') return KafkaError.INVALID_GROUP_ID
    const shard = await this.#shardOf(groupId)
    if (typeof shard === 'number') return shard === KafkaError.COORDINATOR_LOAD_IN_PROGRESS ? KafkaError.NONE : shard
    return shard.heartbeat(groupId, memberId, instanceId, generation)
  }

  /** A heartbeat of the consumer protocol (KIP-848); `version` is that of the API. Answers when what it changed is durable. */
  async consumerHeartbeat(request: HeartbeatRequest, version: number): Promise<HeartbeatReply> {
    const bad = malformed(request, version, this.#consumerLimits)
    if (bad !== null) return bad
    const shard = await this.#shardOf(request.groupId)
    if (typeof shard === 'number') return refused({ errorCode: shard, message: errorMessage(shard) })
    const memberId = request.memberId === '' ? this.#options.env.uuid() : request.memberId
    return new Promise((done) => shard.consumerHeartbeat({ ...request, memberId }, done))
  }

  /** An error code for the request, and one for each member. */
  async leave(groupId: string, members: readonly LeavingMember[]): Promise<{ errorCode: number; errorCodes: readonly number[] }> {
    if (groupId === '') return { errorCode: KafkaError.INVALID_GROUP_ID, errorCodes: [] }
    const shard = await this.#shardOf(groupId)
    if (typeof shard === 'number') return { errorCode: shard, errorCodes: [] }
    const errorCodes = await new Promise<readonly number[]>((done) => shard.leave(groupId, members, done))
    return { errorCode: KafkaError.NONE, errorCodes }
  }

  /** Answers when the offsets are durable. Partitions that do not exist are refused one by one; the rest share one fate. */
  commit(request: CommitRequest): Promise<CommitTopicReply[]> {
    return this.#commit(request, (commits) => this.#commitTo(request, commits))
  }

  /**
   * TxnOffsetCommit: offsets that count once their transaction commits, and that nobody sees before. The caller has asked the transaction
   * coordinator. Where the partition is loaded, they are in the queue of the log when this returns.
   */
  commitTransactional(request: TransactionalCommitRequest): Promise<CommitTopicReply[]> {
    return this.#commit(request, async (commits) => {
      return request.groupId === '' ? KafkaError.INVALID_GROUP_ID : this.#commitTransactionalTo(request, commits)
    })
  }

  /**
   * Appends the marker of a transaction behind everything written to that partition of `__consumer_offsets`; in this turn where the partition
   * is loaded. Answers when it is durable, with the pending offsets taken over or dropped. An error code: with COORDINATOR_LOAD_IN_PROGRESS,
   * COORDINATOR_NOT_AVAILABLE and INVALID_PRODUCER_EPOCH there is no marker in the log.
   */
  endTransaction(partition: number, marker: TransactionMarker): Promise<number> {
    return this.#on(partition, (shard) => new Promise((done) => shard.endTransaction(marker, done)))
  }

  /** The partition of `__consumer_offsets` that a group's offsets go to. */
  offsetsPartitionOf(groupId: string): number {
    return partitionOfGroup(groupId, this.#options.offsetsPartitions.count)
  }

  /** Whether a partition of `__consumer_offsets` is loaded: markers are then appended at once. */
  isLoaded(partition: number): boolean {
    return this.#shards.isLoaded(partition)
  }

  /** `write` answers with an error code; it gets the offsets of partitions that exist. */
  async #commit(request: CommitRequest, write: (commits: readonly OffsetCommit[]) => Promise<number>): Promise<CommitTopicReply[]> {
    const nowMs = this.#options.env.clock.now()
    const maxMetadata = this.#options.config['offset.metadata.max.bytes'] ?? 4096
    const expireTimestampMs = request.retentionMs === -1 ? -1 : nowMs + request.retentionMs
    const commits: OffsetCommit[] = []
    let known = 0
    const verdicts = request.topics.map((topic) => {
      const found = this.#resolve(topic)
      const unknown = topic.name === '' ? KafkaError.UNKNOWN_TOPIC_ID : KafkaError.UNKNOWN_TOPIC_OR_PARTITION
      return topic.partitions.map((partition): number => {
        if (found === undefined) return unknown
        if (!(partition.partitionIndex >= 0 && partition.partitionIndex < found.partitions)) return KafkaError.UNKNOWN_TOPIC_OR_PARTITION
        known++
        const metadata = partition.committedMetadata ?? ''
        if (metadata.length > maxMetadata) return KafkaError.OFFSET_METADATA_TOO_LARGE
        const value: CommittedOffset = {
          offset: partition.committedOffset,
          leaderEpoch: partition.committedLeaderEpoch,
          metadata,
          commitTimestampMs: nowMs,
          expireTimestampMs,
          topicId: found.id,
        }
        commits.push({ topic: found.name, partition: partition.partitionIndex, value })
        return KafkaError.NONE
      })
    })
    // Who names no partition that exists never gets to the group.
    const errorCode = known === 0 ? KafkaError.NONE : await write(commits)
    const { NONE, OFFSET_METADATA_TOO_LARGE } = KafkaError
    const valid = (code: number): boolean => code === NONE || code === OFFSET_METADATA_TOO_LARGE
    return request.topics.map((topic, i) => ({
      name: topic.name,
      topicId: topic.topicId,
      partitions: topic.partitions.map(({ partitionIndex }, j) => {
        const verdict = verdicts[i]?.[j] ?? KafkaError.UNKNOWN_SERVER_ERROR
        return { partitionIndex, errorCode: errorCode !== NONE && valid(verdict) ? errorCode : verdict }
      }),
    }))
  }

  /**
   * Committed offsets: of these partitions, or of all where `topics` is null. A group that does not exist has none, which is no error.
   * `requireStable` waits for commits that are on their way, and gives UNSTABLE_OFFSET_COMMIT for partitions that open transactions have
   * offsets for (KIP-447). Members of the consumer protocol say who they are, and are refused
   * with an epoch that is not theirs.
   */
  async fetch(
    groupId: string,
    topics: readonly FetchTopic[] | null,
    requireStable: boolean,
    member: { readonly memberId: string | null; readonly memberEpoch: number } = { memberId: null, memberEpoch: -1 },
  ): Promise<FetchReply> {
    if (!this.#options.offsetsPartitions.exists()) {
      return { errorCode: KafkaError.NONE, topics: topics === null ? [] : this.#someOffsets(undefined, topics, null) }
    }
    const shard = await this.#shardOf(groupId)
    if (typeof shard === 'number') return { errorCode: shard, topics: [] }
    if (requireStable) {
      const errorCode = await new Promise<number>((done) => shard.barrier(done))
      // Old consumers know no other error that makes them look for the coordinator again.
      if (errorCode !== KafkaError.NONE) return { errorCode: KafkaError.NOT_COORDINATOR, topics: [] }
    }
    const entry = shard.get(groupId)
    const consumer = entry?.consumer ?? null
    const refusal = consumer === null ? KafkaError.NONE : admitConsumerFetch(consumer, member.memberId, member.memberEpoch)
    if (refusal !== KafkaError.NONE) return { errorCode: refusal, topics: [] }
    const pending = requireStable ? shard.pending : null
    return { errorCode: KafkaError.NONE, topics: topics === null ? this.#allOffsets(entry, pending) : this.#someOffsets(entry, topics, pending) }
  }

  async describe(groupId: string): Promise<DescribedGroup> {
    const dead = { state: 'Dead', protocolType: '', protocol: '', members: [] }
    if (!this.#options.offsetsPartitions.exists()) return { ...dead, errorCode: KafkaError.GROUP_ID_NOT_FOUND }
    const shard = await this.#shardOf(groupId)
    if (typeof shard === 'number') return { ...dead, state: '', errorCode: shard }
    const entry = shard.get(groupId)
    if (entry === undefined || entry.consumer !== null) return { ...dead, errorCode: KafkaError.GROUP_ID_NOT_FOUND }
    const { phase, protocolType, protocol, members } = entry.group
    const stable = phase === 'Stable'
    return {
      errorCode: KafkaError.NONE,
      state: phase,
      protocolType: protocolType ?? '',
      protocol: stable ? (protocol ?? '') : '',
      members: Array.from(members.values(), (member) => ({
        memberId: member.id,
        instanceId: member.instanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        metadata: stable ? metadataOf(member, protocol) : NO_BYTES,
        assignment: member.assignment,
      })),
    }
  }

  /** Describes a group of the consumer protocol. */
  async describeConsumer(groupId: string): Promise<DescribedConsumerGroup> {
    const nothing = { errorMessage: null, state: '', epoch: 0, assignmentEpoch: 0, assignor: '', members: [] }
    const notFound = (message: string): DescribedConsumerGroup => ({ ...nothing, errorCode: KafkaError.GROUP_ID_NOT_FOUND, errorMessage: message })
    if (groupId === '') return { ...nothing, errorCode: KafkaError.INVALID_GROUP_ID }
    if (!this.#options.offsetsPartitions.exists()) return notFound(`Group ${groupId} not found.`)
    const shard = await this.#shardOf(groupId)
    if (typeof shard === 'number') return { ...nothing, errorCode: shard }
    const entry = shard.get(groupId)
    if (entry === undefined) return notFound(`Group ${groupId} not found.`)
    if (entry.consumer === null) return notFound(`Group ${groupId} is not a consumer group.`)
    const group = entry.consumer
    return {
      errorCode: KafkaError.NONE,
      errorMessage: null,
      state: stateOfGroup(group),
      epoch: group.epoch,
      assignmentEpoch: group.assignmentEpoch,
      assignor: assignorOf(group, this.#consumerLimits.assignors),
      members: Array.from(group.members.values(), ({ id, subscription, position }) => ({
        memberId: id,
        instanceId: subscription.instanceId,
        rackId: subscription.rackId,
        epoch: position.epoch,
        clientId: subscription.clientId,
        clientHost: subscription.clientHost,
        topicNames: subscription.topicNames,
        topicRegex: subscription.topicRegex,
        assigned: this.#named(partitionsOf(position.assigned)),
        target: this.#named(group.target.get(id) ?? new Map()),
        classic: subscription.classic !== null,
      })),
    }
  }

  /** Groups whose state and type are among those asked for, in any case; empty lists ask for all. */
  async list(states: readonly string[], types: readonly string[]): Promise<{ errorCode: number; groups: ListedGroup[] }> {
    const groups: ListedGroup[] = []
    if (!this.#options.offsetsPartitions.exists()) return { errorCode: KafkaError.NONE, groups }
    const wanted = new Set(states.map((state) => state.trim().toLowerCase()))
    const wantedTypes = new Set(types.map((type) => type.trim().toLowerCase()))
    const partitions = Array.from({ length: this.#options.offsetsPartitions.count }, (_, partition) => partition)
    const shards = await Promise.all(partitions.map(async (partition) => this.#shards.at(partition)))
    for (const shard of shards) {
      if (shard === KafkaError.NOT_COORDINATOR) continue
      if (typeof shard === 'number') return { errorCode: shard, groups: [] }
      for (const entry of shard.entries()) {
        const listed = listedOf(entry)
        if (wanted.size > 0 && !wanted.has(listed.state.toLowerCase())) continue
        if (wantedTypes.size > 0 && !wantedTypes.has(listed.type)) continue
        groups.push(listed)
      }
    }
    return { errorCode: KafkaError.NONE, groups }
  }

  /** Deletes a group without members, with its offsets, also those of open transactions. Returns an error code. */
  async delete(groupId: string): Promise<number> {
    if (!this.#options.offsetsPartitions.exists()) return KafkaError.GROUP_ID_NOT_FOUND
    const shard = await this.#shardOf(groupId)
    if (typeof shard === 'number') return shard
    const entry = shard.get(groupId)
    if (entry === undefined || entry.group.phase === 'Dead') return KafkaError.GROUP_ID_NOT_FOUND
    if (entry.group.phase !== 'Empty' || (entry.consumer?.members.size ?? 0) > 0) return KafkaError.NON_EMPTY_GROUP
    const places = Array.from(entry.offsets.topics(), ([topic, partitions]) =>
      Array.from(partitions.keys(), (partition) => ({ topic, partition })),
    ).flat()
    for (const place of shard.pending.places(groupId)) {
      if (entry.offsets.get(place.topic, place.partition) === undefined) places.push(place)
    }
    return new Promise((done) => shard.remove(entry, places, true, done))
  }

  /**
   * Forgets committed offsets (KIP-496). Those of topics that a live consumer group subscribes to stay; offsets that do not exist are no
   * error. The answer has an error code for the request, and one for each partition of topics that exist.
   */
  async deleteOffsets(
    groupId: string,
    topics: readonly { readonly name: string; readonly partitionIndexes: readonly number[] }[],
  ): Promise<{ errorCode: number; topics: { name: string; partitions: { partitionIndex: number; errorCode: number }[] }[] }> {
    if (!this.#options.offsetsPartitions.exists()) return { errorCode: KafkaError.GROUP_ID_NOT_FOUND, topics: [] }
    const shard = await this.#shardOf(groupId)
    if (typeof shard === 'number') return { errorCode: shard, topics: [] }
    const entry = shard.get(groupId)
    if (entry === undefined || entry.group.phase === 'Dead') return { errorCode: KafkaError.GROUP_ID_NOT_FOUND, topics: [] }
    const { group, consumer } = entry
    const live = group.phase !== 'Empty'
    if (live && group.protocolType !== CONSUMER_PROTOCOL_TYPE) return { errorCode: KafkaError.NON_EMPTY_GROUP, topics: [] }
    // Unreadable subscriptions may name any topic.
    const named = live ? subscribedTopicsOf(group) : new Set<string>()
    const subscribed = (topic: string): boolean => named === null || named.has(topic) || (consumer !== null && subscribesTo(consumer, topic))
    const places: { topic: string; partition: number }[] = []
    const results = topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partitionIndex) => {
        const partitions = this.#options.topics.resolve(name)?.partitions ?? 0
        if (!(partitionIndex >= 0 && partitionIndex < partitions)) return { partitionIndex, errorCode: KafkaError.UNKNOWN_TOPIC_OR_PARTITION }
        if (subscribed(name)) return { partitionIndex, errorCode: KafkaError.GROUP_SUBSCRIBED_TO_TOPIC }
        const committed = entry.offsets.get(name, partitionIndex) !== undefined
        if (committed || shard.pending.has(groupId, name, partitionIndex)) places.push({ topic: name, partition: partitionIndex })
        return { partitionIndex, errorCode: KafkaError.NONE }
      }),
    }))
    if (places.length === 0) return { errorCode: KafkaError.NONE, topics: results }
    const errorCode = await new Promise<number>((done) => shard.remove(entry, places, false, done))
    return { errorCode, topics: errorCode === KafkaError.NONE ? results : [] }
  }

  #commitTo(request: CommitRequest, commits: readonly OffsetCommit[]): Promise<number> {
    return this.#on(this.offsetsPartitionOf(request.groupId), async (shard) => {
      const refused = admit(shard, request, commits)
      if (refused !== KafkaError.NONE || commits.length === 0) return refused
      return new Promise<number>((done) => shard.commit(request.groupId, commits, done))
    })
  }

  #commitTransactionalTo(request: TransactionalCommitRequest, commits: readonly OffsetCommit[]): Promise<number> {
    const { groupId, producerId, producerEpoch } = request
    return this.#on(this.offsetsPartitionOf(groupId), async (shard) => {
      const refused = admitTransactional(shard, request, commits)
      if (refused !== KafkaError.NONE || commits.length === 0) return refused
      return new Promise<number>((done) => shard.commitTransactional(groupId, { producerId, producerEpoch }, commits, done))
    })
  }

  /** `pending`: whose partitions have no offset that is sure. */
  #someOffsets(entry: GroupEntry | undefined, topics: readonly FetchTopic[], pending: PendingOffsets | null): FetchTopicReply[] {
    return topics.map((topic) => {
      const found = this.#resolve(topic)
      const byId = topic.name === ''
      const errorCode = byId && found === undefined ? KafkaError.UNKNOWN_TOPIC_ID : KafkaError.NONE
      return {
        name: topic.name,
        topicId: topic.topicId,
        partitions: topic.partitionIndexes.map((partitionIndex) => {
          const name = found?.name ?? topic.name
          if (entry !== undefined && pending?.has(entry.group.id, name, partitionIndex) === true) return unstable(partitionIndex)
          const offset = entry?.offsets.get(name, partitionIndex)
          const current = offset !== undefined && errorCode === KafkaError.NONE && belongsTo(offset, found?.id)
          return current ? fetched(partitionIndex, offset) : { ...nothingFetched(partitionIndex), errorCode }
        }),
      }
    })
  }

  /** Topics that are gone have no name to be described by. */
  #named(partitions: Partitions): DescribedPartitions[] {
    return Array.from(partitions, ([topicId, numbers]) => {
      const topic = this.#options.topics.byId(topicId)
      return topic === undefined ? [] : [{ topicId, topicName: topic.name, partitions: numbers }]
    }).flat()
  }

  #allOffsets(entry: GroupEntry | undefined, pending: PendingOffsets | null): FetchTopicReply[] {
    const replies: FetchTopicReply[] = []
    if (entry === undefined) return replies
    const { id } = entry.group
    for (const [name, partitions] of entry.offsets.topics()) {
      const topicId = this.#options.topics.resolve(name)?.id
      const current = Array.from(partitions).filter(([, offset]) => belongsTo(offset, topicId))
      if (current.length === 0) continue
      const reply = current.map(([index, offset]) => (pending?.has(id, name, index) === true ? unstable(index) : fetched(index, offset)))
      replies.push({ name, topicId: topicId ?? ZERO_UUID, partitions: reply })
    }
    return replies
  }

  #resolve(topic: { readonly name: string; readonly topicId: Uuid }): { name: string; id: Uuid; partitions: number } | undefined {
    const { topics } = this.#options
    if (topic.name !== '') {
      const found = topics.resolve(topic.name)
      return found && { name: topic.name, id: found.id, partitions: found.partitions }
    }
    const found = topics.byId(topic.topicId)
    return found && { name: found.name, id: topic.topicId, partitions: found.partitions }
  }

  /** The limits of a consumer group, with what is configured for it alone. */
  #consumerLimitsOf(groupId: string): ConsumerLimits {
    const { ownConfig } = this.#options
    const sessionTimeoutMs = ownConfig?.(groupId, 'consumer.session.timeout.ms') ?? null
    const heartbeatIntervalMs = ownConfig?.(groupId, 'consumer.heartbeat.interval.ms') ?? null
    if (sessionTimeoutMs === null && heartbeatIntervalMs === null) return this.#consumerLimits
    return {
      ...this.#consumerLimits,
      ...(sessionTimeoutMs !== null && { sessionTimeoutMs: Number(sessionTimeoutMs) }),
      ...(heartbeatIntervalMs !== null && { heartbeatIntervalMs: Number(heartbeatIntervalMs) }),
    }
  }

  #newMemberId({ clientId, instanceId }: JoinRequest): string {
    const hex = Buffer.from(this.#options.env.uuid(), 'base64url').toString('hex')
    const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    return `${(instanceId ?? clientId).slice(0, ID_PREFIX_LENGTH_MAX)}-${uuid}`
  }

  #shardOf(groupId: string): GroupShard | Promise<GroupShard | number> {
    return this.#shards.at(this.offsetsPartitionOf(groupId))
  }

  /** Runs a task on a partition: before this returns where the partition is loaded, else after loading. The answer is an error code. */
  async #on(partition: number, task: (shard: GroupShard) => Promise<number>): Promise<number> {
    const shard = this.#shards.at(partition)
    if (shard instanceof GroupShard) return task(shard)
    const loaded = await shard
    return typeof loaded === 'number' ? loaded : task(loaded)
  }

  async #openShard(partition: number): Promise<GroupShard | number> {
    const { env, log, config, metrics, offsetsPartitions, snapshots, snapshotLimits, defer } = this.#options
    try {
      const shard = new GroupShard({
        env,
        log,
        limits: this.#limits,
        consumerLimitsOf: (groupId) => this.#consumerLimitsOf(groupId),
        topics: this.#options.topics,
        matchers: this.#matchers,
        metrics: metrics ?? {},
        partitionLog: await offsetsPartitions.open(partition),
        snapshots: snapshots ?? null,
        snapshotLimits: snapshotLimits ?? SNAPSHOT_LIMITS,
        defer: defer ?? setImmediate,
        writeTimeoutMs: config['offsets.commit.timeout.ms'] ?? 5_000,
        readBytesMax: config['offsets.load.buffer.size'] ?? 5 * 1024 * 1024,
        onLost: () => this.#lose(partition),
      })
      await shard.load()
      if (!this.#shards.isStopped) return shard
      shard.close(KafkaError.NOT_COORDINATOR, true)
      return KafkaError.NOT_COORDINATOR
    } catch (error) {
      log.warn({ partition, err: error }, 'a partition of __consumer_offsets could not be loaded')
      return KafkaError.COORDINATOR_NOT_AVAILABLE
    }
  }

  /** The partition is led by somebody else now: clients are to find the new coordinator. */
  #lose(partition: number): void {
    const shard = this.#shards.drop(partition)
    this.#options.log.warn({ partition }, 'a partition of __consumer_offsets is no longer ours')
    shard?.close(KafkaError.NOT_COORDINATOR, false)
  }

  /** One partition after the other, so that all have had their turn within the interval. */
  #scheduleSweep(): void {
    if (this.#shards.isStopped) return
    const { env, config, offsetsPartitions } = this.#options
    const intervalMs = (config['offsets.retention.check.interval.ms'] ?? 600_000) / offsetsPartitions.count
    this.#sweepTimer = env.clock.schedule(Math.max(1, Math.round(intervalMs)), () => {
      const partition = this.#sweepNext % offsetsPartitions.count
      this.#sweepNext = partition + 1
      void this.#sweep(partition).finally(() => this.#scheduleSweep())
    })
  }

  async #sweep(partition: number): Promise<void> {
    const { config, env, topics, metrics, offsetsPartitions } = this.#options
    if (!offsetsPartitions.exists()) return
    const shard = await this.#shards.at(partition)
    if (typeof shard === 'number') return
    const retentionMs = config['offsets.retention.minutes'] * 60_000
    const nowMs = env.clock.now()
    for (const entry of Array.from(shard.entries())) {
      const { places, group } = expiredOf(entry, shard.pending, topics, retentionMs, nowMs)
      if (places.length === 0 && !group) continue
      metrics?.offsetsExpired?.(places.length)
      await new Promise<number>((done) => shard.remove(entry, places, group, done))
    }
  }
}

/** What DescribeGroups v6 says about a group that does not exist. */
export function unknownGroupMessage(groupId: string): string {
  return `Group ${groupId} not found: ${errorMessage(KafkaError.GROUP_ID_NOT_FOUND)}.`
}

/** Whether these offsets may be committed: an error code. */
function admit(shard: GroupShard, request: CommitRequest, commits: readonly OffsetCommit[]): number {
  const { groupId, memberId, instanceId, generation, namesUnknownGroup } = request
  const entry = shard.get(groupId)
  if (entry === undefined) {
    if (generation < 0) return KafkaError.NONE
    return namesUnknownGroup ? KafkaError.GROUP_ID_NOT_FOUND : KafkaError.ILLEGAL_GENERATION
  }
  if (entry.consumer === null) return admitCommit(entry.group, memberId, instanceId, generation, shard.now())
  return shard.admitConsumerCommit(entry.consumer, memberId, generation, namesUnknownGroup, commits)
}

/** Whether these offsets may be committed in a transaction: an error code. */
function admitTransactional(shard: GroupShard, request: TransactionalCommitRequest, commits: readonly OffsetCommit[]): number {
  const { groupId, memberId, instanceId, generation } = request
  const entry = shard.get(groupId)
  if (entry === undefined) return generation < 0 ? KafkaError.NONE : KafkaError.ILLEGAL_GENERATION
  if (entry.consumer === null) return admitTransactionalCommit(entry.group, memberId, instanceId, generation)
  if (generation === -1 && memberId === '' && instanceId === null) return KafkaError.NONE
  const refused = shard.admitConsumerCommit(entry.consumer, memberId, generation, true, commits)
  // Clients of this API know no epochs.
  return refused === KafkaError.STALE_MEMBER_EPOCH ? KafkaError.ILLEGAL_GENERATION : refused
}

function listedOf({ group, consumer }: GroupEntry): ListedGroup {
  if (consumer === null) return { groupId: group.id, protocolType: group.protocolType ?? '', state: group.phase, type: CLASSIC_TYPE }
  return { groupId: group.id, protocolType: CONSUMER_PROTOCOL_TYPE, state: stateOfGroup(consumer), type: CONSUMER_TYPE }
}

/** Offsets of a topic that was deleted and created anew belong to the old one. */
function belongsTo(offset: CommittedOffset, topicId: Uuid | undefined): boolean {
  return offset.topicId === ZERO_UUID || offset.topicId === topicId
}

function fetched(partitionIndex: number, offset: CommittedOffset): FetchPartitionReply {
  return {
    partitionIndex,
    committedOffset: offset.offset,
    committedLeaderEpoch: offset.leaderEpoch,
    metadata: offset.metadata,
    errorCode: KafkaError.NONE,
  }
}

/** KIP-447: the client is to ask again when the transaction has ended. */
function unstable(partitionIndex: number): FetchPartitionReply {
  return { ...nothingFetched(partitionIndex), errorCode: KafkaError.UNSTABLE_OFFSET_COMMIT }
}

function nothingFetched(partitionIndex: number): FetchPartitionReply {
  return { partitionIndex, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: KafkaError.NONE }
}
