/** What the broker sees of a partition: outcomes as values, offsets as integers, no Kafka error codes. */
import type { Offset } from '../types.ts'
import type { BatchMemory } from './batch-memory.ts'

/** The settings of a topic that its partition logs act on. Shared by the partitions of a topic and replaced as a whole. */
export interface TopicLogConfig {
  readonly maxMessageBytes: number
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  readonly timestampBeforeMaxMs: number
  readonly timestampAfterMaxMs: number
  /** `producer` keeps what clients sent; cold reads then rebuild with zstd-free `none`. */
  /** Codec of all batches; those of producers are left as they are with `producer`. */
  readonly compression: 'producer' | 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** Of gzip or zstd, the library's own without it. */
  readonly compressionLevel?: number
  /** Latest value per key: records without key are refused. Absent where the cleanup policy lacks `compact`. */
  readonly compaction?: CompactionConfig
  /** Absent where the cleanup policy lacks `delete`: nothing is removed by age or size, nor on request. */
  readonly retention?: { /** -1: for ever. */ readonly ms: number; /** Of each partition; -1: no limit. */ readonly bytes: number }
  readonly flushIntervalMs: number
  readonly flushBytes: number
  readonly segment: SegmentConfig
  /** How long a data file stays at least once it has left the table. */
  readonly fileDeleteDelayMs: number
}

/** What a merged data file holds at most: it is what retention removes at once, as Kafka does segments. */
export interface SegmentConfig {
  readonly bytes: number
  /** How much later than the first the last of the files that went into it would have expired. */
  readonly ms: number
}

/** When rows give way to later ones of the same key. */
export interface CompactionConfig {
  /** Share of dirty bytes in the table above which it is compacted. */
  readonly minDirtyRatio: number
  /** How long tombstones stay at least once the records that they delete are gone. */
  readonly deleteRetentionMs: number
  /** Records that are younger are not compacted. */
  readonly minLagMs: number
  /** Records that are older are compacted whatever the ratio. */
  readonly maxLagMs: number
}

export interface AppendOptions {
  readonly origin: 'client' | 'broker'
  /** Of `records`, where it is to be given back when the batch has left the cache. */
  readonly memory?: BatchMemory | null
}

export type AppendOutcome =
  | {
      readonly kind: 'appended' | 'duplicate'
      readonly baseOffset: Offset
      readonly lastOffset: Offset
      /** Broker time given to the batch on LogAppendTime topics, else -1. */
      readonly logAppendTimeMs: number
    }
  /** Not the next sequence, and not one of the five batches that are remembered. */
  | { readonly kind: 'outOfOrderSequence'; readonly reason: string }
  | { readonly kind: 'staleProducerEpoch'; readonly reason: string }
  /** A batch outside of the transaction that its producer has open. */
  | { readonly kind: 'invalidTransactionState'; readonly reason: string }
  | { readonly kind: 'corrupt'; readonly reason: string }
  /** `records`: positions in the batch of the records that are at fault, where single ones are. */
  | { readonly kind: 'invalidRecord'; readonly reason: string; readonly records?: readonly number[] }
  | { readonly kind: 'invalidTimestamp'; readonly reason: string; readonly records?: readonly number[] }
  | { readonly kind: 'tooLarge'; readonly reason: string }
  | { readonly kind: 'unsupportedCodec'; readonly reason: string }
  /** This process no longer leads the partition (fenced, closing) or the topic is gone. */
  | { readonly kind: 'notLeader' | 'deleted' }

/** How a transaction ends in a partition: what its control record says (KIP-98). */
export interface TransactionMarker {
  readonly producerId: number
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly committed: boolean
  /** The producer gets another epoch with every end (KIP-890): a marker whose epoch is not above that of what it would end is late. */
  readonly bumpsEpoch?: boolean
}

export type MarkerAppend =
  | AppendOutcome
  /** A later coordinator has ended a transaction of the producer. */
  | { readonly kind: 'staleCoordinatorEpoch'; readonly reason: string }

/** A transaction whose records consumers that read committed ones pass over (Fetch, AbortedTransactions). */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: Offset
  /** Of its marker. */
  readonly lastOffset: Offset
}

export type DurableOutcome = 'durable' | 'notLeader' | 'deleted'

export interface ReadRequest {
  readonly fromOffset: Offset
  /** Upper bound of the answer; the first batch is returned whole even where it alone is larger, if `atLeastOne`. */
  readonly maxBytes: number
  readonly atLeastOne: boolean
  readonly isolation: 'readUncommitted' | 'readCommitted'
}

export type ReadSource = 'memory' | 'lane' | 'table'

export type ReadOutcome =
  /**
   * `source`: the slowest place that the records came from. `held`: memory of the chunks; to be released when they are no longer needed, if ever.
   * `aborted`: where committed records were asked for, the transactions whose records among these do not count, by first offset.
   */
  | {
      readonly kind: 'records'
      readonly chunks: readonly Uint8Array[]
      readonly bytes: number
      readonly source: ReadSource
      readonly held?: readonly BatchMemory[]
      readonly aborted?: readonly AbortedTransaction[]
    }
  | { readonly kind: 'outOfRange' }
  /** The store is slow or broken: the client should try again. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'notLeader' | 'deleted' }

export interface OffsetAndTimestamp {
  readonly offset: Offset
  readonly timestampMs: number
  readonly leaderEpoch: number
}

export interface EpochEnd {
  readonly leaderEpoch: number
  readonly endOffset: Offset
}

/**
 *     [ logStart .. flushed ][ flushed .. highWatermark ][ highWatermark .. logEnd )
 *        in the Delta table     durable in lanes            accepted, not yet durable
 *
 * The last stable offset is where the first open transaction begins, or the high watermark: flushed <= lastStableOffset <= highWatermark.
 * logStart and flushed <= highWatermark <= logEnd, and each only moves forward. A read never crosses highWatermark. The log start runs ahead
 * of the flush where records are deleted on request before they are in the table; usually it is far behind.
 */
export interface PartitionLog {
  readonly topicId: string
  readonly partition: number
  readonly logStartOffset: Offset
  readonly flushedOffset: Offset
  readonly highWatermark: Offset
  readonly lastStableOffset: Offset
  readonly logEndOffset: Offset
  readonly leaderEpoch: number
  /**
   * Validates one record batch, gives it offsets and puts it into the lane. `records` is patched in place and kept: the caller must
   * not touch it afterwards. Synchronous, so that the order of calls is the order of offsets (P2).
   */
  append(records: Uint8Array, options: AppendOptions): AppendOutcome
  /**
   * Ends the transaction that a producer has open here, with a control batch; where none is open, the marker is appended all the same and fences
   * older epochs of the producer. `staleProducerEpoch` where a newer epoch is known.
   */
  appendMarker(marker: TransactionMarker): MarkerAppend
  /** Where the transaction began that this producer has open, as of everything accepted; null where it has none. */
  openTransaction(producerId: number): Offset | null
  /** Calls back once everything up to and including `lastOffset` is durable, in offset order (P1). May call at once. */
  whenDurable(lastOffset: Offset, done: (outcome: DurableOutcome) => void): void
  /** Synchronous where the records are in memory. */
  read(request: ReadRequest): ReadOutcome | Promise<ReadOutcome>
  /** Whether a read from here gives no records and no error, as things are now. */
  isAtEnd(fromOffset: Offset, isolation: ReadRequest['isolation']): boolean
  /** Whether a read from here would have to ask the store, as things are now. */
  readsStore(fromOffset: Offset): boolean
  /** The first record whose timestamp is at or after the target, in log order; null when there is none. */
  offsetForTimestamp(timestampMs: number): Promise<OffsetAndTimestamp | null>
  /** The record with the greatest timestamp; null on an empty partition. */
  offsetOfMaxTimestamp(): Promise<OffsetAndTimestamp | null>
  /** Of the largest epoch <= `leaderEpoch`: its end offset; null when unknown (OffsetForLeaderEpoch, KIP-320). */
  endOffsetForEpoch(leaderEpoch: number): EpochEnd | null
  /** Leader epoch under which the record at `offset` was written, -1 when the history does not say. */
  epochOf(offset: Offset): number
  /** Calls `listener` whenever the high watermark, the last stable offset or the state of the log changes. It must not throw. */
  onAdvance(listener: () => void): void
  /** Ends that. */
  offAdvance(listener: () => void): void
}
