/** What the group coordinator needs from the rest of the broker; the composition root provides it. */
import type { Env } from '../../storage/env.ts'
import type { PartitionLog } from '../../storage/partition/types.ts'
import type { Uuid } from '../../storage/types.ts'

/** Settings by their names in the configuration; those of Kafka's that may be missing have Kafka's default. */
export interface GroupConfig {
  readonly 'group.initial.rebalance.delay.ms': number
  readonly 'group.min.session.timeout.ms': number
  readonly 'group.max.session.timeout.ms': number
  readonly 'group.max.size': number
  readonly 'group.consumer.session.timeout.ms'?: number
  readonly 'group.consumer.heartbeat.interval.ms'?: number
  readonly 'group.consumer.max.size'?: number
  readonly 'group.consumer.assignors'?: readonly string[]
  readonly 'group.consumer.migration.policy'?: 'bidirectional' | 'upgrade' | 'downgrade' | 'disabled'
  readonly 'offsets.retention.minutes': number
  readonly 'offsets.retention.check.interval.ms'?: number
  readonly 'offset.metadata.max.bytes'?: number
  readonly 'offsets.commit.timeout.ms'?: number
  readonly 'offsets.load.buffer.size'?: number
}

/** `__consumer_offsets`. */
export interface OffsetsPartitions {
  /** Fixed when the topic is created; before that what it will be. */
  readonly count: number
  /** Whether the topic exists: if not, there are no groups, and looking for some need not create it. */
  exists(): boolean
  /** The log of a partition that this broker leads; creates the topic on first use. Rejects when it cannot be had now. */
  open(partition: number): Promise<PartitionLog>
}

/** Where snapshots of the partitions are kept. What is saved may be lost, and an older one may come back. */
export interface GroupSnapshots {
  load(topicId: Uuid, partition: number): Promise<Uint8Array | null>
  save(topicId: Uuid, partition: number, body: readonly Uint8Array[]): Promise<void>
}

export interface SnapshotLimits {
  /** A snapshot is worth taking when this many records have been applied since the last one, and as many as there are to write. */
  readonly recordsMin: number
  readonly intervalMs: number
}

export interface TopicIndex {
  resolve(name: string): { readonly id: Uuid; readonly partitions: number } | undefined
  byId(id: Uuid): { readonly name: string; readonly partitions: number } | undefined
  /** All topics by their ids. Another object whenever a topic has changed, and only then. */
  all(): ReadonlyMap<Uuid, { readonly name: string; readonly partitions: number }>
}

/** The part of pino that groups use. */
export interface GroupLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Counters for those who want them; all are optional to implement. */
export interface GroupMetrics {
  rebalanceCompleted?(): void
  offsetsCommitted?(count: number): void
  offsetsExpired?(count: number): void
  partitionLoaded?(ms: number): void
}

export interface GroupCoordinatorOptions {
  readonly env: Env
  readonly log: GroupLogger
  readonly config: GroupConfig
  readonly offsetsPartitions: OffsetsPartitions
  readonly topics: TopicIndex
  /** A group's own value of a config; null where it has none. */
  readonly ownConfig?: (groupId: string, name: 'consumer.session.timeout.ms' | 'consumer.heartbeat.interval.ms') => string | null
  /** Where clients find the coordinator: this broker's advertised address. */
  readonly selfNode: () => { readonly id: number; readonly host: string; readonly port: number }
  readonly metrics?: GroupMetrics
  /** Without it, a start reads the whole of `__consumer_offsets`. */
  readonly snapshots?: GroupSnapshots
  readonly snapshotLimits?: SnapshotLimits
  /** Runs a task at the end of this turn of the event loop; `setImmediate` without it. */
  readonly defer?: (task: () => void) => void
}
