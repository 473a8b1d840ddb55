/**
 * The log of one partition: judges and orders appends, knows what is durable and what is flushed, and serves reads from memory, then
 * from lane objects, then from the table (DESIGN §2). Everything below is offsets; Kafka's error codes are made in `src/api`.
 */
import { NO_TIMESTAMP, attributes, codecOf, crc, isControl, isTransactional, patchBatch, setLogAppendTime, setMaxTimestamp } from '../../protocol/records/batch.ts'
import type { BatchHeader } from '../../protocol/records/batch.ts'
import { DECOMPRESSED_BYTES_MAX_DEFAULT, codecNumber } from '../../protocol/records/compression.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import { recompress } from '../../protocol/records/recompress.ts'
import { validateProduceBatch } from '../../protocol/records/validate.ts'
import type { RefusedBatch, ValidBatch } from '../../protocol/records/validate.ts'
import type { Env } from '../env.ts'
import { LaneObjectMissingError } from '../lane/read-batches.ts'
import type { LaneId, LaneRef, LaneRow } from '../lane/types.ts'
import { timestampMsMax } from '../limits.ts'
import { assertNever } from '../types.ts'
import type { LogVersion, Offset, Uuid } from '../types.ts'
import { BatchList, RESIDENT_OVERHEAD_BYTES } from './batch-list.ts'
import type { BatchRun } from './batch-list.ts'
import { releaseAll } from './batch-memory.ts'
import type { BatchMemory } from './batch-memory.ts'
import type { CachedBatches, HotCache } from './hot-cache.ts'
import { LeaderEpochs } from './leader-epochs.ts'
import type { EpochStart } from './leader-epochs.ts'
import { PendingBatch } from './pending-batch.ts'
import type { BatchOwner } from './pending-batch.ts'
import { ProducerState } from './producer-state.ts'
import type { ActiveProducer, ProducerSnapshot } from './producer-state.ts'
import { findTimestamp, maxTimestampOf, positionsWhere } from './records-in-batch.ts'
import { PartitionTransactions, TopicTransactions } from './transactions.ts'
import type { EndedTransaction, TransactionsSnapshot } from './transactions.ts'
import type {
  AbortedTransaction,
  AppendOptions,
  AppendOutcome,
  DurableOutcome,
  EpochEnd,
  MarkerAppend,
  OffsetAndTimestamp,
  PartitionLog,
  ReadOutcome,
  ReadRequest,
  TopicLogConfig,
  TransactionMarker,
} from './types.ts'

/** The last offset of a batch is an int32 away from the first. */
const BATCH_OFFSETS_MAX = 0x7fff_ffff
/** Version 0, type 1 or 0; the value is version 0 and the coordinator epoch (KIP-98, "Control Records"). */
const COMMIT_MARKER_KEY = new Uint8Array([0, 0, 0, 1])
const ABORT_MARKER_KEY = new Uint8Array([0, 0, 0, 0])
/** As the base sequence of its row in the lane a marker has its type. */
const COMMIT_MARKER = 1
const ABORT_MARKER = 0

const LOG_APPEND_TIME_BIT = 1 << 3
/** How often a look-up by time starts again because batches were flushed and collected under it. */
const LOOK_UPS_MAX = 4

/** What a partition log needs from the storage engine around it. */
export interface PartitionHost {
  readonly env: Env
  readonly cache: HotCache
  /** Puts an accepted batch into the open segment of the lane. */
  submit(batch: PendingBatch): void
  /** Segment `seq` of the lane holds a batch of so many bytes. */
  batchDurable(log: StoredPartitionLog, bytes: number, lane: LaneId, seq: LogVersion): void
  /** The lane no longer has to keep such a batch: it is in the table, or its topic is gone. */
  batchReleased(log: StoredPartitionLog, bytes: number, lane: LaneId, seq: LogVersion): void
  readLane(refs: readonly LaneRef[]): Promise<readonly Uint8Array[]>
  readonly cold: ColdReads
}

/** Reads below the flushed offset, from the table. */
export interface ColdReads {
  /**
   * Batches from the first row at or after `fromOffset` and below `endOffset`; empty where there is none. Memory of theirs is added to `held`, to be
   * released. Throws when the store fails.
   */
  read(log: PartitionLog, fromOffset: Offset, endOffset: Offset, maxBytes: number, held: BatchMemory[]): Promise<readonly Uint8Array[]>
  offsetForTimestamp(log: PartitionLog, timestampMs: number): Promise<OffsetAndTimestamp | null>
  offsetOfMaxTimestamp(log: PartitionLog): Promise<OffsetAndTimestamp | null>
}

/** Everything of a partition that a recovery needs, as of the lane position of the checkpoint. */
export interface PartitionCheckpoint {
  readonly topicId: Uuid
  readonly partition: number
  readonly logStartOffset: Offset
  readonly nextOffset: Offset
  readonly flushedOffset: Offset
  readonly epochs: readonly EpochStart[]
  readonly producers: readonly ProducerSnapshot[]
  /** Null where there are none. */
  readonly transactions: TransactionsSnapshot | null
  readonly unflushed: Iterable<UnflushedBatch>
}

export interface UnflushedBatch extends LaneRow {
  readonly ref: LaneRef
}

/** Durable batches to flush, with offsets within [fromOffset, endOffset): all of them, or some that were picked. */
export interface FlushRun {
  readonly fromOffset: Offset
  readonly endOffset: Offset
  readonly batches: BatchRun
  readonly bytes: number
}

interface Waiter {
  readonly lastOffset: Offset
  readonly done: (outcome: DurableOutcome) => void
}

export class StoredPartitionLog implements PartitionLog, BatchOwner, CachedBatches {
  readonly topicId: Uuid
  readonly partition: number
  readonly leaderEpoch: number
  readonly #host: PartitionHost
  #config: TopicLogConfig
  #state: 'open' | 'notLeader' | 'deleted' = 'open'
  #logStart: Offset = 0
  #flushed: Offset = 0
  #tableEnd: Offset = 0
  #highWatermark: Offset = 0
  #logEnd: Offset = 0
  #maxTimestampDurable = -1
  readonly #epochs = new LeaderEpochs()
  /** Of everything accepted: judges appends. */
  readonly #producers = new ProducerState()
  /** Of everything durable: goes into checkpoints. */
  readonly #durableProducers = new ProducerState()
  /** Of everything accepted: where the open transaction of a producer begins. Null until somebody has one. */
  #openTransactions: Map<number, Offset> | null = null
  /** Of everything durable. Null until there is one. */
  #transactions: PartitionTransactions | null = null
  readonly #topicTransactions: TopicTransactions
  /** Batches that are unflushed or resident. */
  readonly #batches: BatchList
  #waiters: Waiter[] = []
  /** Most partitions have one, which comes and goes with each fetch: no collection is grown and shrunk for it. */
  #listener: (() => void) | null = null
  readonly #otherListeners = new Set<() => void>()
  #advanceScheduled = false
  #unflushedBytes = 0
  #oldestUnflushedMs: number | null = null

  /** `topicTransactions` is shared by the partitions of a topic. */
  constructor(host: PartitionHost, topicId: Uuid, partition: number, leaderEpoch: number, config: TopicLogConfig, topicTransactions = new TopicTransactions()) {
    this.#host = host
    this.topicId = topicId
    this.partition = partition
    this.#batches = new BatchList(topicId, partition)
    this.leaderEpoch = leaderEpoch
    this.#config = config
    this.#topicTransactions = topicTransactions
  }

  get logStartOffset(): Offset {
    return this.#logStart
  }
  get flushedOffset(): Offset {
    return this.#flushed
  }
  get highWatermark(): Offset {
    return this.#highWatermark
  }
  get lastStableOffset(): Offset {
    return this.#transactions?.firstOpenOffset ?? this.#highWatermark
  }
  get logEndOffset(): Offset {
    return this.#logEnd
  }
  get config(): TopicLogConfig {
    return this.#config
  }
  /**
   * The table has what is below it, but for transactions that have not ended below it in all partitions that they wrote to: of these it has nothing
   * (P4). Where there are none it is the flushed offset, else the first of them begins there.
   */
  get tableEnd(): Offset {
    return this.#tableEnd
  }
  /** Durable bytes that are not in the table yet, or that follow such. */
  get unflushedBytes(): number {
    return this.#unflushedBytes
  }
  /** Of these, what a flush could take: not what an open transaction holds back, nor what the table has. */
  get flushableBytes(): number {
    if (this.#transactions === null || this.#transactions.isIdle) return this.#unflushedBytes
    const batches = this.#batches
    let bytes = 0
    for (let number = batches.firstAtOrAfter(this.#tableEnd); number < batches.firstAtOrAfter(this.lastStableOffset); number++) bytes += batches.batchBytes(number)
    return bytes
  }
  /** Monotonic time at which the oldest unflushed batch became durable; null when all is flushed. */
  get oldestUnflushedMs(): number | null {
    return this.#oldestUnflushedMs
  }

  setConfig(config: TopicLogConfig): void {
    this.#config = config
  }

  activeProducers(): (ActiveProducer & { readonly transactionStart: Offset | null })[] {
    return this.#producers.active().map((producer) => ({ ...producer, transactionStart: this.openTransaction(producer.producerId) }))
  }

  openTransaction(producerId: number): Offset | null {
    return this.#openTransactions?.get(producerId) ?? null
  }

  #aborted(fromOffset: Offset, endOffset: Offset): readonly AbortedTransaction[] {
    return this.#transactions?.aborted(fromOffset, endOffset) ?? NO_TRANSACTIONS
  }

  /** Transactions that have ended here and are not in the table yet, in the order of their markers; beside them may be some that were aborted. */
  get endedTransactions(): readonly EndedTransaction[] {
    return this.#transactions?.ended ?? NO_TRANSACTIONS
  }

  // ---- append -----------------------------------------------------------------------------------------------------------------

  append(records: Uint8Array, options: AppendOptions): AppendOutcome {
    if (this.#state !== 'open') return { kind: this.#state }
    const config = this.#config
    const verdict = validateProduceBatch(records, options.origin === 'broker' ? { fromBroker: true } : { deep: true, maxBytes: config.maxMessageBytes })
    if (verdict.kind !== 'ok') return refusal(verdict)
    const { header } = verdict
    if (config.compaction !== undefined && !isControl(header.attributes) && verdict.hasNullKey !== false) {
      const refused = keylessRecords(records)
      if (refused !== null) return refused
    }
    const nowMs = this.#host.env.clock.now()
    if (config.timestampType === 'CreateTime' && options.origin === 'client') {
      const refused = untimelyRecords(records, verdict, config, nowMs)
      if (refused !== null) return refused
    }

    const baseOffset = this.#logEnd
    const lastOffset = baseOffset + header.lastOffsetDelta
    const transactional = isTransactional(header.attributes)
    if (header.producerId >= 0) {
      if (!transactional && this.openTransaction(header.producerId) !== null) {
        return { kind: 'invalidTransactionState', reason: `producer ${header.producerId} has a transaction open and sent a batch outside of it` }
      }
      const judged = this.#producers.check({ ...producerBatch(header), baseOffset, lastOffset })
      if (judged.kind === 'duplicate') {
        const logAppendTimeMs = this.#logAppendTimeOf(judged.baseOffset)
        return { kind: 'duplicate', baseOffset: judged.baseOffset, lastOffset: judged.lastOffset, logAppendTimeMs }
      }
      if (judged.kind !== 'next') return judged
    }

    let batch = records
    const codec = options.origin === 'broker' || config.compression === 'producer' ? codecOf(header.attributes) : codecNumber(config.compression)
    if (codec !== codecOf(header.attributes)) {
      const { compressionLevel: level } = config
      batch = recompress(records, codec, { maxBytes: DECOMPRESSED_BYTES_MAX_DEFAULT, ...(level === undefined ? {} : { level }) })
      if (batch.length > config.maxMessageBytes) {
        return { kind: 'tooLarge', reason: `the batch has ${batch.length} bytes with the topic's compression; the topic takes ${config.maxMessageBytes}` }
      }
    }

    let maxTimestamp = verdict.maxTimestamp
    let logAppendTimeMs = -1
    if (config.timestampType === 'LogAppendTime') {
      setLogAppendTime(batch, 0, nowMs)
      maxTimestamp = nowMs
      logAppendTimeMs = nowMs
    } else if (verdict.walked && verdict.maxTimestamp !== header.maxTimestamp) {
      // Some clients compute it wrongly, and lookups by timestamp rely on it.
      setMaxTimestamp(batch, 0, verdict.maxTimestamp)
    }
    patchBatch(batch, 0, { baseOffset, leaderEpoch: this.leaderEpoch })
    const row: LaneRow = {
      topicId: this.topicId,
      partition: this.partition,
      baseOffset,
      lastOffset,
      maxTimestamp,
      producerId: header.producerId,
      producerEpoch: header.producerEpoch,
      baseSequence: header.baseSequence,
      leaderEpoch: this.leaderEpoch,
      attributes: attributes(batch, 0),
      recordCount: header.recordCount,
      crc: crc(batch, 0),
    }
    if (header.producerId >= 0) this.#remember(row, nowMs)
    this.#accept(row, batch, batch === records ? (options.memory ?? null) : null)
    return { kind: 'appended', baseOffset, lastOffset, logAppendTimeMs }
  }

  appendMarker({ producerId, producerEpoch, coordinatorEpoch, committed, bumpsEpoch }: TransactionMarker): MarkerAppend {
    if (this.#state !== 'open') return { kind: this.#state }
    const known = this.#producers.epochsOf(producerId)
    const epochMin = known.producerEpoch + (bumpsEpoch === true && this.openTransaction(producerId) !== null ? 1 : 0)
    if (producerEpoch < epochMin) {
      return { kind: 'staleProducerEpoch', reason: `a marker of producer ${producerId} has epoch ${producerEpoch}, epoch ${known.producerEpoch} is current` }
    }
    if (coordinatorEpoch < known.coordinatorEpoch) {
      return { kind: 'staleCoordinatorEpoch', reason: `a marker comes from coordinator epoch ${coordinatorEpoch}, ${known.coordinatorEpoch} is current` }
    }
    const offset = this.#logEnd
    const nowMs = this.#host.env.clock.now()
    const { leaderEpoch } = this
    const batch = markerBatch({ offset, leaderEpoch, timestamp: nowMs, producerId, producerEpoch, coordinatorEpoch, committed })
    const row: LaneRow = {
      topicId: this.topicId,
      partition: this.partition,
      baseOffset: offset,
      lastOffset: offset,
      maxTimestamp: nowMs,
      producerId,
      producerEpoch,
      baseSequence: committed ? COMMIT_MARKER : ABORT_MARKER,
      leaderEpoch,
      attributes: attributes(batch, 0),
      recordCount: 1,
      crc: crc(batch, 0),
    }
    this.#remember(row, nowMs, coordinatorEpoch)
    this.#accept(row, batch, null)
    return { kind: 'appended', baseOffset: offset, lastOffset: offset, logAppendTimeMs: -1 }
  }

  /** A producer's batch or marker is accepted. */
  #remember(row: LaneRow, nowMs: number, coordinatorEpoch?: number): void {
    const { producerId, attributes: flags } = row
    if (isControl(flags)) {
      this.#producers.fence(producerId, row.producerEpoch, nowMs, coordinatorEpoch)
      this.#openTransactions?.delete(producerId)
      return
    }
    this.#producers.update(row, nowMs)
    if (isTransactional(flags) && this.openTransaction(producerId) === null) (this.#openTransactions ??= new Map()).set(producerId, row.baseOffset)
  }

  /** Takes a batch at the end of the log, on its way into the lane. */
  #accept(row: LaneRow, batch: Uint8Array, memory: BatchMemory | null): void {
    const number = this.#batches.push(row, batch, memory)
    this.#epochs.assign(this.leaderEpoch, row.baseOffset)
    this.#logEnd = row.lastOffset + 1
    this.#host.cache.add(this, number)
    this.#host.submit(new PendingBatch(this, number, row, batch))
  }

  /** Broker time that the batch at this offset was given; -1 where it kept its own, or left memory long ago. */
  #logAppendTimeOf(baseOffset: Offset): number {
    const batches = this.#batches
    const number = batches.firstAtOrAfter(baseOffset)
    if (number === batches.end || batches.baseOffset(number) !== baseOffset || (batches.attributes(number) & LOG_APPEND_TIME_BIT) === 0) return -1
    return batches.maxTimestamp(number)
  }

  whenDurable(lastOffset: Offset, done: (outcome: DurableOutcome) => void): void {
    if (lastOffset < this.#highWatermark) return done('durable')
    if (this.#state !== 'open') return done(this.#state)
    const waiters = this.#waiters
    let at = waiters.length
    while (at > 0 && waiters[at - 1]!.lastOffset > lastOffset) at--
    if (at === waiters.length) waiters.push({ lastOffset, done })
    else waiters.splice(at, 0, { lastOffset, done })
  }

  batchDurable(batch: PendingBatch, lane: LaneId, seq: LogVersion, start: number): void {
    this.#batches.setDurable(batch.number, lane, seq, start)
    // Never retained: the segment's count belongs to the batches of other topics.
    if (this.#state === 'deleted') return
    this.#highWatermark = batch.lastOffset + 1
    this.#unflushedBytes += batch.bytes.length
    this.#oldestUnflushedMs ??= this.#host.env.clock.monotonic()
    if (batch.maxTimestamp > this.#maxTimestampDurable) this.#maxTimestampDurable = batch.maxTimestamp
    if (batch.producerId >= 0) this.#follow(batch, this.#host.env.clock.now())
    this.#host.batchDurable(this, batch.bytes.length, lane, seq)
    this.#scheduleAdvance()
  }

  /** A producer's batch or marker is durable. */
  #follow(row: LaneRow, nowMs: number): void {
    if (isControl(row.attributes)) this.#durableProducers.fence(row.producerId, row.producerEpoch, nowMs)
    else this.#durableProducers.update(row, nowMs)
    if (!isTransactional(row.attributes)) return
    const transactions = (this.#transactions ??= new PartitionTransactions(this.partition, this.#topicTransactions))
    if (isControl(row.attributes)) transactions.marked(row.producerId, row.baseOffset, row.baseSequence === COMMIT_MARKER)
    else transactions.written(row.producerId, row.baseOffset)
  }

  batchFailed(): void {
    this.#close('notLeader')
  }

  /** Refuses appends and reads from now on; who waits is told at once. */
  close(): void {
    this.#close('notLeader')
  }

  /** The topic is gone: memory is freed and the lanes no longer keep its batches. */
  delete(): void {
    this.#close('deleted')
    // What is not durable the lane still has to write: its bytes go once that is done, when their turn in the cache comes.
    const durable = this.#batches.run(this.#batches.first, this.#batches.firstAtOrAfter(this.#highWatermark))
    const unflushed = this.#batches.firstAtOrAfter(this.#flushed) - this.#batches.first
    for (let i = 0; i < durable.length; i++) this.#forget(durable.number(i))
    this.#unflushedBytes = 0
    this.#oldestUnflushedMs = null
    this.#release(durable, unflushed)
  }

  #close(state: 'notLeader' | 'deleted'): void {
    if (this.#state !== 'open') return
    this.#state = state
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.done(waiter.lastOffset < this.#highWatermark ? 'durable' : state)
    this.#tellListeners()
  }

  /** Wakes waiters and listeners once per segment, not once per batch. */
  #scheduleAdvance(): void {
    if (this.#advanceScheduled) return
    this.#advanceScheduled = true
    queueMicrotask(() => {
      this.#advanceScheduled = false
      const waiters = this.#waiters
      let count = 0
      while (count < waiters.length && waiters[count]!.lastOffset < this.#highWatermark) count++
      if (count > 0) for (const waiter of waiters.splice(0, count)) waiter.done('durable')
      this.#tellListeners()
    })
  }

  #tellListeners(): void {
    this.#listener?.()
    for (const listener of this.#otherListeners) listener()
  }

  onAdvance(listener: () => void): void {
    if (this.#listener === null) this.#listener = listener
    else this.#otherListeners.add(listener)
  }

  offAdvance(listener: () => void): void {
    if (this.#listener === listener) this.#listener = null
    else this.#otherListeners.delete(listener)
  }

  // ---- read -------------------------------------------------------------------------------------------------------------------

  read(request: ReadRequest): ReadOutcome | Promise<ReadOutcome> {
    if (this.#state !== 'open') return { kind: this.#state }
    const { fromOffset } = request
    if (fromOffset < this.#logStart || fromOffset > this.#logEnd) return { kind: 'outOfRange' }
    const limit = request.isolation === 'readCommitted' ? this.lastStableOffset : this.#highWatermark
    if (fromOffset >= limit) return NOTHING
    if (fromOffset < this.#memoryStart && fromOffset < this.#flushed) return this.#readCold(request, limit)
    const batches = this.#batches
    const from = batches.firstAtOrAfter(fromOffset)
    if (from === batches.end || batches.lastOffset(from) >= limit) return NOTHING
    return batches.isResident(from) ? this.#readMemory(request, from, limit) : this.#readLane(request, from, limit)
  }

  /** Where what is known of batches begins; before it there is the table. */
  get #memoryStart(): Offset {
    const batches = this.#batches
    return batches.first < batches.end ? batches.baseOffset(batches.first) : this.#highWatermark
  }

  isAtEnd(fromOffset: Offset, isolation: ReadRequest['isolation']): boolean {
    if (this.#state !== 'open' || fromOffset < this.#logStart || fromOffset > this.#logEnd) return false
    return fromOffset >= (isolation === 'readCommitted' ? this.lastStableOffset : this.#highWatermark)
  }

  readsStore(fromOffset: Offset): boolean {
    if (this.#state !== 'open' || fromOffset < this.#logStart || fromOffset >= this.#highWatermark) return false
    if (fromOffset < this.#memoryStart && fromOffset < this.#flushed) return true
    const number = this.#batches.firstAtOrAfter(fromOffset)
    return number < this.#batches.end && !this.#batches.isResident(number)
  }

  #readMemory(request: ReadRequest, from: number, limit: Offset): ReadOutcome {
    const chunks: Uint8Array[] = []
    const held: BatchMemory[] = []
    const batches = this.#batches
    let bytes = 0
    let number = from
    for (; number < batches.end; number++) {
      if (!batches.isResident(number) || batches.lastOffset(number) >= limit) break
      const batchBytes = batches.batchBytes(number)
      if (bytes + batchBytes > request.maxBytes && !(chunks.length === 0 && request.atLeastOne)) break
      chunks.push(batches.bytes(number)!)
      batches.hold(number, held)
      bytes += batchBytes
    }
    return { kind: 'records', chunks, bytes, source: 'memory', held, aborted: this.#abortedOf(request, from, number) }
  }

  /** Of the batches numbered [from, end). To be asked in the turn in which they are looked up, since what nobody needs is forgotten. */
  #abortedOf({ isolation, fromOffset }: ReadRequest, from: number, end: number): readonly AbortedTransaction[] {
    if (this.#transactions === null || isolation === 'readUncommitted' || from === end) return NO_TRANSACTIONS
    // Not those whose marker comes before: readers would wait for it, and pass over what the producer writes after it.
    return this.#aborted(Math.max(fromOffset, this.#batches.baseOffset(from)), this.#batches.lastOffset(end - 1) + 1)
  }

  async #readLane(request: ReadRequest, from: number, limit: Offset): Promise<ReadOutcome> {
    const refs: LaneRef[] = []
    const batches = this.#batches
    const run = batches.run(from, batches.firstAtOrAfter(limit))
    let bytes = 0
    for (let i = 0; i < run.length && !run.isResident(i); i++) {
      if (bytes + run.batchBytes(i) > request.maxBytes && !(refs.length === 0 && request.atLeastOne)) break
      refs.push(run.ref(i))
      bytes += run.batchBytes(i)
    }
    if (refs.length === 0) return NOTHING
    const aborted = this.#abortedOf(request, from, from + refs.length)
    try {
      return { kind: 'records', chunks: await this.#host.readLane(refs), bytes, source: 'lane', aborted }
    } catch (error) {
      // The collector may have deleted the segment after a flush that happened meanwhile: the table has the records then.
      if (request.fromOffset < this.#flushed) return this.#readCold(request, limit)
      return { kind: 'unavailable', reason: messageOf(error) }
    }
  }

  async #readCold(request: ReadRequest, limit: Offset): Promise<ReadOutcome> {
    try {
      for (let from = request.fromOffset; from < limit; ) {
        const endOffset = Math.min(limit, this.#flushed)
        const held: BatchMemory[] = []
        const batches = await this.#host.cold.read(this, from, endOffset, request.maxBytes, held)
        if (this.#state !== 'open') {
          releaseAll(held)
          return { kind: this.#state }
        }
        if (batches.length > 0) return { ...limited(batches, request), held }
        // No row is left up to here: what follows is in memory, or has been flushed and dropped from it since.
        const next = this.#batches.firstAtOrAfter(endOffset)
        if (next < this.#batches.end && this.#batches.baseOffset(next) <= endOffset) {
          if (this.#batches.lastOffset(next) >= limit) return NOTHING
          if (this.#batches.isResident(next)) return this.#readMemory(request, next, limit)
          return await this.#readLane({ ...request, fromOffset: endOffset }, next, limit)
        }
        if (endOffset <= from) return NOTHING
        from = endOffset
      }
      // Somebody deleted every row up to the end of what is readable. Clients that read up to there must get past the gap.
      return limited([this.#gapBatch(request.fromOffset, limit)], request)
    } catch (error) {
      return { kind: 'unavailable', reason: messageOf(error) }
    }
  }

  /**
   * A batch that covers offsets [fromOffset, endOffset), as far as one can, and holds no message: a control record at its end, which every
   * client passes over. Compaction in Kafka leaves batches without records for such gaps, but some clients ask for those again and again.
   */
  #gapBatch(fromOffset: Offset, endOffset: Offset): Uint8Array {
    const offset = Math.min(endOffset - 1, fromOffset + BATCH_OFFSETS_MAX)
    // Readers pass over commit markers of no producer.
    const marker = { offset, timestamp: NO_TIMESTAMP, key: COMMIT_MARKER_KEY, value: markerValue(0) }
    return encodeBatch({ baseOffset: fromOffset, leaderEpoch: this.epochOf(offset), transactional: true, control: true, records: [marker] })
  }

  offsetForTimestamp(timestampMs: number): Promise<OffsetAndTimestamp | null> {
    return this.#lookUp(async (batches, hasOlder) => {
      const cold = hasOlder ? await this.#host.cold.offsetForTimestamp(this, timestampMs) : null
      if (cold !== null) return { ...cold, leaderEpoch: this.#epochs.epochOf(cold.offset) }
      for (let i = 0; i < batches.length; i++) {
        if (batches.maxTimestamp(i) < timestampMs || isControl(batches.attributes(i))) continue
        const found = findTimestamp(batches.bytes(i) ?? (await this.#laneBytes(batches, i)), timestampMs, this.#logStart)
        if (found !== null) return { ...found, leaderEpoch: batches.leaderEpoch(i) }
      }
      return null
    })
  }

  offsetOfMaxTimestamp(): Promise<OffsetAndTimestamp | null> {
    return this.#lookUp(async (batches, hasOlder) => {
      const cold = hasOlder ? await this.#host.cold.offsetOfMaxTimestamp(this) : null
      let best = -1
      let bestCut: OffsetAndTimestamp | null = null
      for (let i = 0; i < batches.length; i++) {
        if (isControl(batches.attributes(i))) continue
        // Its greatest timestamp may be that of a deleted record; one batch at most is cut.
        if (batches.baseOffset(i) < this.#logStart) {
          bestCut = { ...maxTimestampOf(batches.bytes(i) ?? (await this.#laneBytes(batches, i)), this.#logStart), leaderEpoch: batches.leaderEpoch(i) }
          continue
        }
        if (batches.maxTimestamp(i) > (best >= 0 ? batches.maxTimestamp(best) : (bestCut?.timestampMs ?? cold?.timestampMs ?? -2))) best = i
      }
      if (best >= 0) return { ...maxTimestampOf(batches.bytes(best) ?? (await this.#laneBytes(batches, best))), leaderEpoch: batches.leaderEpoch(best) }
      if (bestCut !== null && bestCut.offset >= 0 && bestCut.timestampMs > (cold?.timestampMs ?? -2)) return bestCut
      return cold === null ? null : { ...cold, leaderEpoch: this.#epochs.epochOf(cold.offset) }
    })
  }

  /**
   * Runs a search over the table (where `hasOlder`) and then the batches. The batches are taken before anything is awaited: what leaves
   * memory during the search is in the table only, perhaps in a version that was not searched. Where a batch turns out to be gone from
   * its lane as well, it has been flushed, and the search starts again.
   */
  async #lookUp<T>(search: (batches: BatchRun, hasOlder: boolean) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await search(this.#visibleBatches(), this.#memoryStart > this.#logStart && this.#flushed > this.#logStart)
      } catch (error) {
        if (!(error instanceof LaneObjectMissingError) || attempt >= LOOK_UPS_MAX) throw error
      }
    }
  }

  #visibleBatches(): BatchRun {
    return this.#batches.run(this.#batches.firstAtOrAfter(this.#logStart), this.#batches.firstAtOrAfter(this.#highWatermark))
  }

  /** Of a batch that is not in memory. What is, must be looked at in the same turn. */
  async #laneBytes(batches: BatchRun, i: number): Promise<Uint8Array> {
    const [bytes] = await this.#host.readLane([batches.ref(i)])
    return bytes!
  }

  endOffsetForEpoch(leaderEpoch: number): EpochEnd | null {
    return this.#epochs.endOffset(leaderEpoch, this.leaderEpoch, this.#logEnd)
  }

  epochOf(offset: Offset): number {
    return this.#epochs.epochOf(offset)
  }

  // ---- flush ------------------------------------------------------------------------------------------------------------------

  /** The next stable batches from the end of the table on, or those from `fromOffset` on, at least one where there is any, at most about `bytesMax`. */
  flushRun(bytesMax: number, fromOffset: Offset = this.#tableEnd): FlushRun | null {
    const batches = this.#batches
    const first = batches.firstAtOrAfter(fromOffset)
    const end = batches.firstAtOrAfter(this.lastStableOffset)
    if (first >= end) return null
    if (fromOffset === this.#flushed && this.#unflushedBytes <= bytesMax && this.lastStableOffset === this.#highWatermark) {
      // All of it: nothing has to be added up.
      return { fromOffset, endOffset: this.#highWatermark, batches: batches.run(first, end), bytes: this.#unflushedBytes }
    }
    let to = first
    let bytes = 0
    while (to < end && (to === first || bytes + batches.batchBytes(to) <= bytesMax)) bytes += batches.batchBytes(to++)
    return { fromOffset, endOffset: batches.lastOffset(to - 1) + 1, batches: batches.run(first, to), bytes }
  }

  /** Stable batches below `endOffset` that are not flushed. */
  unflushed(endOffset: Offset): BatchRun {
    const batches = this.#batches
    const from = batches.firstAtOrAfter(this.#flushed)
    return batches.run(from, Math.max(from, batches.firstAtOrAfter(Math.min(endOffset, this.lastStableOffset))))
  }

  /** Everything below `offset` is in the table, and up to `tableEnd` all but some transactions. Both only move forward. */
  markFlushed(offset: Offset, tableEnd: Offset = offset): void {
    this.#tableEnd = Math.max(this.#tableEnd, Math.min(tableEnd, this.#highWatermark))
    if (offset <= this.#flushed) return
    const batches = this.#batches
    const from = batches.firstAtOrAfter(this.#flushed)
    this.#flushed = Math.min(offset, this.#highWatermark)
    const next = batches.firstAtOrAfter(this.#flushed)
    const released = batches.run(from, next)
    for (let i = 0; i < released.length; i++) this.#unflushedBytes -= released.batchBytes(i)
    this.#oldestUnflushedMs = next < batches.end && batches.isDurable(next) ? this.#host.env.clock.monotonic() : null
    this.#dropHead()
    // Last, and from a run of their own: producers that waited for this append at once, and what they push out of the cache moves the list.
    this.#release(released, 0)
  }

  #release(batches: BatchRun, from: number): void {
    for (let i = from; i < batches.length; i++) this.#host.batchReleased(this, batches.batchBytes(i), batches.lane(i), batches.laneSeq(i))
  }

  /** Rows of the table below `below` were compacted: what memory has of them gives way, so that readers see the table. */
  forgetFlushed(below: Offset): void {
    const batches = this.#batches
    const end = batches.firstAtOrAfter(Math.min(below, this.#flushed))
    for (let number = batches.first; number < end; number++) this.#forget(number)
    this.#dropHead()
  }

  /** Out of its turn. */
  #forget(number: number): void {
    this.#host.cache.released(this.cachedBytes(number))
    this.#batches.evict(number)
  }

  // ---- CachedBatches ----------------------------------------------------------------------------------------------------------

  cachedBytes(number: number): number {
    return this.#batches.isResident(number) ? this.#batches.batchBytes(number) + RESIDENT_OVERHEAD_BYTES : 0
  }

  isEvictable(number: number): boolean {
    return this.#batches.isDurable(number)
  }

  /** What the table has too is forgotten with its bytes. */
  evict(number: number): void {
    this.#batches.evict(number)
    if (number === this.#batches.first) this.#dropHead()
  }

  /** Forgets batches at the front that are flushed and no longer in memory. */
  #dropHead(): void {
    const batches = this.#batches
    let number = batches.first
    while (number < batches.end && !batches.isResident(number) && batches.lastOffset(number) < this.#flushed) number++
    if (number > batches.first) batches.drop(number)
    this.#transactions?.forget(this.#flushed, this.#memoryStart)
  }

  expireProducers(beforeMs: number): void {
    this.#producers.expire(beforeMs)
    this.#durableProducers.expire(beforeMs)
  }

  /** Everything below `offset` is deleted, durably. Beyond the high watermark is a mistake of the caller. */
  moveLogStart(offset: Offset): void {
    if (offset > this.#highWatermark) throw new RangeError(`a log start of ${offset} beyond the high watermark ${this.#highWatermark}`)
    this.#logStart = Math.max(this.#logStart, offset)
  }

  // ---- recovery ---------------------------------------------------------------------------------------------------------------

  /** State as of everything durable; to be taken when the lane's committed position is known, in the same turn. Stays as it is. */
  checkpoint(): PartitionCheckpoint {
    // Durable batches do not change, so that it is enough to take them by reference.
    const unflushed = this.#batches.run(this.#batches.firstAtOrAfter(this.#flushed), this.#batches.firstAtOrAfter(this.#highWatermark))
    return {
      topicId: this.topicId,
      partition: this.partition,
      logStartOffset: this.#logStart,
      nextOffset: this.#highWatermark,
      flushedOffset: this.#flushed,
      epochs: this.#epochs.snapshot().filter(([, start]) => start < this.#highWatermark || start === 0),
      producers: this.#durableProducers.snapshot(),
      transactions: this.#transactions?.snapshot(this.#flushed) ?? null,
      unflushed,
    }
  }

  /** Takes over the state of a checkpoint; to be followed by `replay` of later rows. Only on a fresh log. */
  restore(state: PartitionCheckpoint): void {
    this.#logStart = state.logStartOffset
    this.#flushed = state.flushedOffset
    this.#tableEnd = state.flushedOffset
    this.#highWatermark = state.nextOffset
    this.#logEnd = state.nextOffset
    this.#epochs.restore(state.epochs)
    this.#producers.restore(state.producers)
    this.#durableProducers.restore(state.producers)
    if (state.transactions !== null) {
      this.#transactions = new PartitionTransactions(this.partition, this.#topicTransactions)
      this.#transactions.restore(state.transactions)
      this.#openTransactions = new Map(state.transactions.open.map(([producerId, firstOffset]) => [producerId, firstOffset]))
    }
    for (const batch of state.unflushed) this.#adopt(batch, batch.ref)
  }

  /** Applies one batch that recovery found in a lane; batches that are known already change nothing. */
  replay(row: LaneRow, ref: LaneRef, nowMs: number): void {
    if (row.lastOffset < this.#highWatermark) return
    if (row.baseOffset !== this.#highWatermark) {
      throw new Error(`partition ${this.partition} of topic ${this.topicId}: offset ${row.baseOffset} follows ${this.#highWatermark - 1} in the lane`)
    }
    this.#highWatermark = row.lastOffset + 1
    this.#logEnd = this.#highWatermark
    this.#epochs.assign(row.leaderEpoch, row.baseOffset)
    if (row.producerId >= 0) {
      this.#follow(row, nowMs)
      this.#remember(row, nowMs)
    }
    this.#adopt(row, ref)
  }

  #adopt(row: LaneRow, ref: LaneRef): void {
    const number = this.#batches.pushDurable(row, ref)
    const bytes = this.#batches.batchBytes(number)
    this.#unflushedBytes += bytes
    this.#oldestUnflushedMs ??= this.#host.env.clock.monotonic()
    this.#host.batchDurable(this, bytes, ref.lane, ref.seq)
  }
}

const NO_TRANSACTIONS: readonly never[] = []
const NOTHING: ReadOutcome = { kind: 'records', chunks: [], bytes: 0, source: 'memory' }

/** As many of the batches as the request takes. */
function limited(batches: readonly Uint8Array[], request: ReadRequest): Extract<ReadOutcome, { kind: 'records' }> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (const batch of batches) {
    if (bytes + batch.length > request.maxBytes && !(chunks.length === 0 && request.atLeastOne)) break
    chunks.push(batch)
    bytes += batch.length
  }
  return { kind: 'records', chunks, bytes, source: 'table' }
}

function producerBatch(header: BatchHeader): { producerId: number; producerEpoch: number; baseSequence: number; recordCount: number } {
  return {
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    recordCount: header.recordCount,
  }
}

/** The control batch that ends a transaction (KIP-98). */
function markerBatch(marker: TransactionMarker & { readonly offset: Offset; readonly leaderEpoch: number; readonly timestamp: number }): Uint8Array {
  const { offset, leaderEpoch, timestamp, producerId, producerEpoch, coordinatorEpoch, committed } = marker
  const record = { timestamp, key: committed ? COMMIT_MARKER_KEY : ABORT_MARKER_KEY, value: markerValue(coordinatorEpoch) }
  return encodeBatch({ baseOffset: offset, leaderEpoch, producerId, producerEpoch, transactional: true, control: true, records: [record] })
}

function markerValue(coordinatorEpoch: number): Uint8Array {
  const value = Buffer.alloc(6)
  value.writeInt32BE(coordinatorEpoch, 2)
  return value
}

/** Compacted topics take keyed records only. */
function keylessRecords(batch: Uint8Array): AppendOutcome | null {
  const records = positionsWhere(batch, ({ key }) => key === null)
  return records.length === 0 ? null : { kind: 'invalidRecord', reason: 'Compacted topic cannot accept message without key', records }
}

function refusal(refused: RefusedBatch): AppendOutcome {
  const { reason } = refused
  switch (refused.kind) {
    case 'corrupt':
      return { kind: 'corrupt', reason }
    case 'invalid':
    case 'unsupported-magic':
      return { kind: 'invalidRecord', reason }
    case 'invalid-timestamp':
      return { kind: 'invalidTimestamp', reason }
    case 'unsupported-codec':
      return { kind: 'unsupportedCodec', reason }
    case 'too-large':
      return { kind: 'tooLarge', reason }
    default:
      return assertNever(refused.kind)
  }
}

/** Timestamps that the topic does not take (`message.timestamp.before.max.ms`, `…after.max.ms`) or that its table could not hold. */
function untimelyRecords(batch: Uint8Array, { minTimestamp, maxTimestamp }: ValidBatch, config: TopicLogConfig, nowMs: number): AppendOutcome | null {
  const latest = Math.min(nowMs + config.timestampAfterMaxMs, timestampMsMax)
  const earliest = Math.max(nowMs - config.timestampBeforeMaxMs, -timestampMsMax)
  if (maxTimestamp <= latest && minTimestamp >= earliest) return null
  const records = positionsWhere(batch, ({ timestamp }) => timestamp !== NO_TIMESTAMP && (timestamp > latest || timestamp < earliest))
  if (records.length === 0) return null
  const reason = `The timestamps of the batch are from ${minTimestamp} to ${maxTimestamp}; they should be within [${earliest}, ${latest}]`
  return { kind: 'invalidTimestamp', reason, records }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
