/** What the transaction coordinator needs from the rest of the broker; the composition root provides it. */
import type { Env } from '../../storage/env.ts'
import type { PartitionLog, TransactionMarker } from '../../storage/partition/types.ts'

/** Settings by their names in the configuration. */
export interface TransactionConfig {
  readonly 'transaction.max.timeout.ms': number
  readonly 'transactional.id.expiration.ms': number
  readonly 'transaction.abort.timed.out.transaction.cleanup.interval.ms': number
  readonly 'transaction.remove.expired.transaction.cleanup.interval.ms': number
}

/** `__transaction_state`. */
export interface StatePartitions {
  /** Fixed when the topic is created; before that what it will be. */
  readonly count: number
  /** Whether the topic exists: if not, there are no transactional ids, and looking for one need not create it. */
  exists(): boolean
  /** The log of a partition that this broker leads; creates the topic on first use. Rejects when it cannot be had now. */
  open(partition: number): Promise<PartitionLog>
}

/** Where transactions write. */
export interface MarkerTargets {
  /** The log of a partition, by the name that the topic has now; null where it is gone. */
  partitionLog(topic: string, partition: number): PartitionLog | null
  /** Whether that partition of `__consumer_offsets` is loaded: the marker is then in the lane when `endInOffsets` returns. */
  offsetsLoaded(partition: number): boolean
  /** Ends a transaction in a partition of `__consumer_offsets`, after loading it: an error code, once that is durable. */
  endInOffsets(partition: number, marker: TransactionMarker): Promise<number>
}

/** The part of pino that transactions use. */
export interface TransactionLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** How transactions end: by their producer, because a new one of the same id came, or because they took too long. */
export type TransactionEnd = 'committed' | 'aborted' | 'fenced' | 'timed-out'

/** Counters for those who want them. */
export interface TransactionMetrics {
  /** Decided; that is durable soon after. */
  ended(how: TransactionEnd): void
}

export interface TransactionCoordinatorOptions {
  readonly env: Env
  readonly log: TransactionLogger
  readonly config: TransactionConfig
  readonly statePartitions: StatePartitions
  readonly targets: MarkerTargets
  readonly metrics?: TransactionMetrics
  /** A fresh producer id; null while none can be had. */
  readonly nextProducerId: () => Promise<number | null>
  /** Goes up with every broker that takes over: what markers carry, so that those of an earlier one can be told. */
  readonly coordinatorEpoch: number
}
