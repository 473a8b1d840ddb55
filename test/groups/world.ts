/** A coordinator on offsets partitions in memory that survive its restarts. */
import { errorName } from '../../protocol/errors.ts'
import { GroupCoordinator } from '../../src/groups/coordinator.ts'
import type { CommitRequest, JoinRequest, SyncRequest, TransactionalCommitRequest } from '../../src/groups/coordinator.ts'
import type { GroupConfig } from '../../src/groups/ports.ts'
import { MemoryLog, VirtualEnv } from './support.ts'

export const ORDERS = 'ordersTopicIdAAAAAAAAA'
export const USERS = 'usersTopicIdAAAAAAAAAA'
export const ZERO = 'AAAAAAAAAAAAAAAAAAAAAA'

const CONFIG: GroupConfig = {
  'group.initial.rebalance.delay.ms': 3_000,
  'group.min.session.timeout.ms': 6_000,
  'group.max.session.timeout.ms': 1_800_000,
  'group.max.size': 10_000,
  'offsets.retention.minutes': 60,
  'offsets.retention.check.interval.ms': 60_000,
}

export class World {
  readonly env: VirtualEnv
  readonly logs: MemoryLog[]
  readonly topics = new Map([
    ['orders', { id: ORDERS, partitions: 8 }],
    ['users', { id: USERS, partitions: 1 }],
  ])
  readonly warnings: string[] = []
  config: GroupConfig
  /** Configs of groups, by `group config`. */
  readonly own = new Map<string, string>()
  exists = true
  /** Opening a partition waits for this. */
  opening: Promise<void> = Promise.resolve()
  openFails = false
  /** Snapshots by partition; null where there are to be none. */
  readonly snapshots: Map<number, Uint8Array> | null
  groups: GroupCoordinator
  #all: { readonly signature: string; readonly map: ReadonlyMap<string, { readonly name: string; readonly partitions: number }> } | null = null

  constructor(options: { partitions?: number; env?: VirtualEnv; config?: Partial<GroupConfig>; snapshots?: boolean } = {}) {
    this.env = options.env ?? new VirtualEnv()
    this.logs = Array.from({ length: options.partitions ?? 1 }, (_, partition) => new MemoryLog(partition))
    this.snapshots = options.snapshots === true ? new Map() : null
    this.config = { ...CONFIG, ...options.config }
    this.groups = this.#coordinator()
  }

  /** The process dies, with everything that was not durable, and a new one takes its place. */
  restart(): void {
    for (const log of this.logs) log.crash()
    this.groups = this.#coordinator()
  }

  join(groupId: string, options: Partial<JoinRequest> = {}): ReturnType<GroupCoordinator['join']> {
    return this.groups.join({
      groupId,
      memberId: '',
      instanceId: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from('x') }],
      requiresKnownMemberId: false,
      supportsSkippingAssignment: true,
      reason: null,
      ...options,
    })
  }

  sync(groupId: string, memberId: string, generation: number, options: Partial<SyncRequest> = {}): ReturnType<GroupCoordinator['sync']> {
    return this.groups.sync({
      groupId,
      memberId,
      instanceId: null,
      generation,
      protocolType: null,
      protocol: null,
      assignments: new Map(),
      ...options,
    })
  }

  /** A group of one member, stable. Returns its id. */
  async settle(groupId: string, options: Partial<JoinRequest> = {}): Promise<{ memberId: string; generation: number }> {
    const joining = this.join(groupId, options)
    await this.env.advance(3_000)
    const { memberId, generation } = await joining
    await this.sync(groupId, memberId, generation, {
      instanceId: options.instanceId ?? null,
      assignments: new Map([[memberId, Buffer.from('mine')]]),
    })
    return { memberId, generation }
  }

  /** Commits one offset; the error code of its partition. */
  async commit(groupId: string, offset: number, options: Partial<CommitRequest> & { partition?: number; topic?: string } = {}): Promise<number> {
    const { partition = 0, topic = 'orders', ...rest } = options
    const [reply] = await this.groups.commit({
      groupId,
      memberId: '',
      instanceId: null,
      generation: -1,
      namesUnknownGroup: true,
      retentionMs: -1,
      topics: [
        {
          name: topic,
          topicId: ZERO,
          partitions: [{ partitionIndex: partition, committedOffset: offset, committedLeaderEpoch: 3, committedMetadata: `m${offset}` }],
        },
      ],
      ...rest,
    })
    return reply?.partitions[0]?.errorCode ?? -999
  }

  /** Commits one offset in the transaction of a producer; the error code of its partition. */
  async commitTransactional(
    groupId: string,
    offset: number,
    producerId: number,
    options: Partial<TransactionalCommitRequest> & { partition?: number; topic?: string } = {},
  ): Promise<number> {
    const { partition = 0, topic = 'orders', ...rest } = options
    const [reply] = await this.groups.commitTransactional({
      groupId,
      producerId,
      producerEpoch: 0,
      memberId: '',
      instanceId: null,
      generation: -1,
      namesUnknownGroup: false,
      retentionMs: -1,
      topics: [
        {
          name: topic,
          topicId: ZERO,
          partitions: [{ partitionIndex: partition, committedOffset: offset, committedLeaderEpoch: 3, committedMetadata: `m${offset}` }],
        },
      ],
      ...rest,
    })
    return reply?.partitions[0]?.errorCode ?? -999
  }

  /** Ends the transaction of a producer in the partition of a group: an error code. */
  end(groupId: string, producerId: number, committed: boolean): Promise<number> {
    const marker = { producerId, producerEpoch: 0, coordinatorEpoch: 0, committed }
    return this.groups.endTransaction(this.groups.offsetsPartitionOf(groupId), marker)
  }

  /** What who asks for stable offsets is told: the offset, or the name of the error. */
  async stable(groupId: string, partition = 0, topic = 'orders'): Promise<number | string> {
    const { errorCode, topics } = await this.groups.fetch(groupId, [{ name: topic, topicId: ZERO, partitionIndexes: [partition] }], true)
    const reply = topics[0]?.partitions[0]
    if (errorCode !== 0 || reply === undefined) return errorName(errorCode)
    return reply.errorCode === 0 ? reply.committedOffset : errorName(reply.errorCode)
  }

  /** The committed offset, -1 without one. */
  async offset(groupId: string, partition = 0, topic = 'orders', requireStable = false): Promise<number> {
    const { topics } = await this.groups.fetch(groupId, [{ name: topic, topicId: ZERO, partitionIndexes: [partition] }], requireStable)
    return topics[0]?.partitions[0]?.committedOffset ?? -999
  }

  /** What the coordinator sees of the topics: another map whenever they have changed. */
  allTopics(): ReadonlyMap<string, { readonly name: string; readonly partitions: number }> {
    const signature = JSON.stringify([...this.topics])
    if (this.#all?.signature !== signature) {
      this.#all = { signature, map: new Map(Array.from(this.topics, ([name, { id, partitions }]) => [id, { name, partitions }])) }
    }
    return this.#all.map
  }

  #coordinator(): GroupCoordinator {
    const { logs, topics, env, config, snapshots } = this
    return new GroupCoordinator({
      env,
      config,
      log: { debug: () => {}, info: () => {}, warn: (_fields, message) => this.warnings.push(message) },
      offsetsPartitions: {
        count: logs.length,
        exists: () => this.exists,
        open: async (partition) => {
          await this.opening
          if (this.openFails) throw new Error('not now')
          return logs[partition] as MemoryLog
        },
      },
      topics: {
        resolve: (name) => topics.get(name),
        all: () => this.allTopics(),
        byId: (id) => {
          for (const [name, topic] of topics) if (topic.id === id) return { name, partitions: topic.partitions }
          return undefined
        },
      },
      ownConfig: (groupId, name) => this.own.get(`${groupId} ${name}`) ?? null,
      selfNode: () => ({ id: 1, host: 'localhost', port: 9092 }),
      defer: queueMicrotask,
      ...(snapshots && {
        snapshots: {
          load: async (_topicId: string, partition: number) => snapshots.get(partition) ?? null,
          save: async (_topicId: string, partition: number, body: readonly Uint8Array[]) => {
            snapshots.set(partition, Buffer.concat(body))
          },
        },
        snapshotLimits: { recordsMin: 20, intervalMs: 1_000 },
      }),
    })
  }
}
