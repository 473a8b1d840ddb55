/**
 * One partition of `__consumer_offsets` as the coordinator uses it: records in, told when they are durable (P1), and all of them read back
 * at the start. What is written within one turn of the event loop goes out as one record batch, and what belongs to a transaction as one for
 * each run of records of the same producer; the lane then puts the batches of all partitions into one object.
 */
import { KafkaError } from '../../protocol/errors.ts'
import { NO_PRODUCER_ID, attributes, isControl, isTransactional, producerId } from '../../protocol/records/batch.ts'
import { BatchBuilder } from '../../protocol/records/encoder.ts'
import type { BatchOptions } from '../../protocol/records/encoder.ts'
import { RecordCursor } from '../../protocol/records/record.ts'
import type { Env, Timer } from '../../storage/env.ts'
import type { MarkerAppend, PartitionLog, TransactionMarker } from '../../storage/partition/types.ts'
import { assertNever } from '../../storage/types.ts'
import { readLog } from '../cluster/read-log.ts'
import type { RecordBytes } from './records.ts'

/** Records that belong together: they become durable together, or the caller learns that they did not. */
export interface Write {
  readonly records: readonly RecordBytes[]
  /** In whose transaction the records are; without it they are in none. */
  readonly producer?: Producer
  /**
   * The records are durable: the state in memory may follow. Called in the order of the log, even after a timeout. `offset` is where the first
   * batch begins that has some of them: none of them is below, and no other producer's is between.
   */
  readonly apply: (offset: number) => void
  /** Once: 0 after `apply`, or the error code for those who wait. */
  readonly done: (errorCode: number) => void
}

export interface Producer {
  readonly producerId: number
  readonly producerEpoch: number
}

/** Who gets to see the log while it is read. */
export interface LogVisitor {
  /** `producerId` is that of the transaction that the record is in, -1 where it is in none. The cursor is valid during the call only. */
  record(cursor: RecordCursor, producerId: number): void
  /** A marker: the transaction that the producer had open. */
  transactionEnded(producerId: number, committed: boolean): void
}

export interface RecordLogOptions {
  readonly log: PartitionLog
  readonly env: Env
  /** Runs a task at the end of this turn of the event loop. */
  readonly defer: (task: () => void) => void
  /** Nobody waits longer than this for durability. Kafka: offsets.commit.timeout.ms. */
  readonly timeoutMs: number
  /** Batches are closed at this size. */
  readonly batchBytesMax: number
  readonly readBytesMax: number
  /** The state in memory has followed the log a little further. */
  readonly onApplied: () => void
  /** The partition has another leader now, or is gone. */
  readonly onLost: () => void
}

/** How far the state in memory has followed the log. */
export interface Applied {
  /** Everything below is in memory, and nothing above. */
  readonly nextOffset: number
  /** How many records were applied, or read, since the last snapshot. */
  readonly records: number
}

/** One write on its way: answered once, applied once its last batch is durable. */
interface Pending {
  readonly write: Write
  batches: number
  batchesLeft: number
  /** Where its first batch begins, once that was accepted. */
  offset: number
  answered: boolean
  /** Infinity for those who wait as long as it takes. */
  readonly dueMs: number
}

/** Bytes of a record besides key and value, at most. */
const RECORD_OVERHEAD_BYTES = 32
/** Types of control records (KIP-98); there are others, which have nothing to do with transactions. */
const ABORT_MARKER = 0
const COMMIT_MARKER = 1

export class RecordLog {
  readonly #options: RecordLogOptions
  readonly #builder = new BatchBuilder({ baseOffset: 0 })
  #queue: Write[] = []
  /** Writes that are not durable yet, oldest first; those at the front may be done. */
  readonly #pending = new Set<Pending>()
  #timer: Timer | null = null
  #refusing = false
  #lost = false
  #appliedOffset = 0
  #appliedRecords = 0
  /** Writes of which some batches are durable and others are not: until they are whole, memory is behind the log. */
  #split = 0

  constructor(options: RecordLogOptions) {
    this.#options = options
  }

  /** True while a write waits for durability. */
  get busy(): boolean {
    return this.#queue.length > 0 || this.#pending.size > 0
  }

  append(write: Write): void {
    if (this.#lost || this.#refusing) {
      write.done(KafkaError.NOT_COORDINATOR)
      return
    }
    if (this.#queue.push(write) === 1) this.#options.defer(() => this.#flush())
  }

  /**
   * Ends a transaction behind everything written so far: the marker is appended before this returns. Who waits for it is told once it is
   * durable, however long that takes, because a marker that was not heard of is not known to be missing.
   */
  end(marker: TransactionMarker, on: Pick<Write, 'apply' | 'done'>): void {
    if (this.#queue.length > 0) this.#flush()
    if (this.#lost || this.#refusing) return on.done(KafkaError.NOT_COORDINATOR)
    const pending = newPending({ records: [], ...on }, Infinity)
    const members: Pending[] = []
    join(pending, members)
    this.#pending.add(pending)
    this.#follow(this.#options.log.appendMarker(marker), members)
  }

  /** Calls back when everything written so far has been applied or has failed. */
  barrier(done: (errorCode: number) => void): void {
    if (this.busy) this.append({ records: [], apply: () => {}, done })
    else done(KafkaError.NONE)
  }

  /** Where a snapshot of the state in memory would stand; null while a write is durable in part only. */
  applied(): Applied | null {
    return this.#split > 0 || this.#lost ? null : { nextOffset: this.#appliedOffset, records: this.#appliedRecords }
  }

  /** The next count of applied records starts here: a snapshot is being taken. */
  resetAppliedRecords(): void {
    this.#appliedRecords = 0
  }

  /** Refuses everything from now on; what is on its way is finished. */
  refuse(): void {
    this.#refusing = true
  }

  /** Refuses everything from now on, and fails what waits. */
  close(): void {
    this.#lost = true
    this.#timer?.cancel()
    this.#timer = null
    const queue = this.#queue
    this.#queue = []
    for (const write of queue) write.done(KafkaError.NOT_COORDINATOR)
    for (const pending of this.#pending) answer(pending, KafkaError.NOT_COORDINATOR)
    this.#pending.clear()
  }

  /**
   * Reads records and markers from `fromOffset` up to the high watermark, in order.
   *
   * @throws Error when the partition cannot be read (another leader, a store that stays away)
   */
  async read(fromOffset: number, visitor: LogVisitor): Promise<void> {
    const { log, env, readBytesMax } = this.#options
    this.#appliedRecords = 0
    const cursor = new RecordCursor()
    this.#appliedOffset = await readLog(log, env.clock, fromOffset, readBytesMax, (chunk, start, from) => {
      const flags = attributes(chunk, start)
      const producer = isTransactional(flags) || isControl(flags) ? producerId(chunk, start) : NO_PRODUCER_ID
      cursor.reset(chunk, start)
      while (cursor.next()) {
        if (cursor.offset < from) continue
        if (isControl(flags)) visitMarker(cursor, producer, visitor)
        else visitor.record(cursor, producer)
        this.#appliedRecords++
      }
    })
  }

  #flush(): void {
    const writes = this.#queue
    this.#queue = []
    const { env, batchBytesMax } = this.#options
    const dueMs = env.clock.monotonic() + this.#options.timeoutMs
    const wallMs = env.clock.now()
    const batches: { batch: Uint8Array; members: Pending[] }[] = []
    let members: Pending[] = []
    const builder = this.#builder
    builder.reset({ baseOffset: 0 })
    let producer: Producer | undefined
    for (const write of writes) {
      const pending = newPending(write, dueMs)
      this.#pending.add(pending)
      for (const { key, value } of write.records) {
        const bytes = key.length + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES
        const begun = builder.recordCount > 0
        if (!begun || !sameProducer(producer, write.producer) || builder.sizeSoFar + bytes > batchBytesMax) {
          if (begun) {
            batches.push({ batch: builder.finish(), members })
            members = []
          }
          producer = write.producer
          builder.reset(batchOptions(producer))
        }
        if (members.at(-1) !== pending) join(pending, members)
        builder.append(builder.recordCount, wallMs, key, value)
      }
      // A barrier is part of whatever is sent last.
      if (write.records.length === 0) join(pending, members)
    }
    for (const { batch, members: complete } of batches) this.#send(batch, complete)
    if (builder.recordCount > 0) this.#send(builder.finish(), members)
    else this.#sendNothing(members)
    this.#watch()
  }

  #send(batch: Uint8Array, members: readonly Pending[]): void {
    if (this.#lost) return
    this.#follow(this.#options.log.append(batch, { origin: 'broker' }), members)
  }

  #follow(outcome: MarkerAppend, members: readonly Pending[]): void {
    const { log } = this.#options
    switch (outcome.kind) {
      case 'appended':
      case 'duplicate':
        for (const pending of members) if (pending.offset === -1) pending.offset = outcome.baseOffset
        log.whenDurable(outcome.lastOffset, (durable) => {
          if (durable !== 'durable') return this.#lose()
          this.#appliedOffset = outcome.lastOffset + 1
          this.#appliedRecords += outcome.lastOffset - outcome.baseOffset + 1
          this.#settle(members)
          this.#options.onApplied()
        })
        return
      case 'notLeader':
      case 'deleted':
        this.#lose()
        return
      case 'tooLarge':
        for (const pending of members) this.#fail(pending, KafkaError.INVALID_COMMIT_OFFSET_SIZE)
        return
      case 'staleProducerEpoch':
        for (const pending of members) this.#fail(pending, KafkaError.INVALID_PRODUCER_EPOCH)
        return
      case 'staleCoordinatorEpoch':
        for (const pending of members) this.#fail(pending, KafkaError.TRANSACTION_COORDINATOR_FENCED)
        return
      case 'invalidTransactionState':
        for (const pending of members) this.#fail(pending, KafkaError.INVALID_TXN_STATE)
        return
      case 'corrupt':
      case 'invalidRecord':
      case 'invalidTimestamp':
      case 'outOfOrderSequence':
      case 'unsupportedCodec':
        for (const pending of members) this.#fail(pending, KafkaError.UNKNOWN_SERVER_ERROR)
        return
      default:
        assertNever(outcome)
    }
  }

  /** Barriers alone: they wait for what was accepted before them. */
  #sendNothing(members: readonly Pending[]): void {
    if (members.length === 0) return
    const { log } = this.#options
    if (log.highWatermark >= log.logEndOffset) {
      this.#settle(members)
      return
    }
    log.whenDurable(log.logEndOffset - 1, (durable) => {
      if (durable === 'durable') this.#settle(members)
      else this.#lose()
    })
  }

  #settle(members: readonly Pending[]): void {
    if (this.#lost) return
    for (const pending of members) {
      if (!this.#pending.has(pending)) continue
      pending.batchesLeft--
      if (pending.batchesLeft > 0) {
        if (pending.batchesLeft === pending.batches - 1) this.#split++
        continue
      }
      if (pending.batches > 1) this.#split--
      this.#pending.delete(pending)
      pending.write.apply(pending.offset)
      answer(pending, KafkaError.NONE)
    }
  }

  #fail(pending: Pending, errorCode: number): void {
    if (!this.#pending.delete(pending)) return
    if (pending.batchesLeft < pending.batches) this.#split--
    answer(pending, errorCode)
  }

  #lose(): void {
    if (this.#lost) return
    this.close()
    this.#options.onLost()
  }

  /** Answers those who have waited too long; their records may still become durable, and are then applied. */
  #watch(): void {
    if (this.#timer !== null || this.#lost) return
    const { clock } = this.#options.env
    for (const { answered, dueMs } of this.#pending) {
      if (answered || dueMs === Infinity) continue
      this.#timer = clock.schedule(Math.max(1, Math.ceil(dueMs - clock.monotonic())), () => {
        this.#timer = null
        this.#timeOut(clock.monotonic())
        this.#watch()
      })
      return
    }
  }

  #timeOut(nowMs: number): void {
    for (const pending of this.#pending) {
      if (pending.dueMs === Infinity) continue
      if (pending.dueMs > nowMs) return
      answer(pending, KafkaError.COORDINATOR_NOT_AVAILABLE)
    }
  }
}

function newPending(write: Write, dueMs: number): Pending {
  return { write, batches: 0, batchesLeft: 0, offset: -1, answered: false, dueMs }
}

function join(pending: Pending, members: Pending[]): void {
  members.push(pending)
  pending.batches++
  pending.batchesLeft++
}

function answer(pending: Pending, errorCode: number): void {
  if (pending.answered) return
  pending.answered = true
  pending.write.done(errorCode)
}

function sameProducer(a: Producer | undefined, b: Producer | undefined): boolean {
  return a?.producerId === b?.producerId && a?.producerEpoch === b?.producerEpoch
}

/** Transactional batches of the coordinator have no sequence: nobody sends them twice. */
function batchOptions(producer: Producer | undefined): BatchOptions {
  if (producer === undefined) return { baseOffset: 0 }
  return { baseOffset: 0, producerId: producer.producerId, producerEpoch: producer.producerEpoch, transactional: true }
}

/** The key of a control record is two int16: a version, then the type. */
function visitMarker(cursor: RecordCursor, producer: number, visitor: LogVisitor): void {
  const key = cursor.key()
  if (key === null || key.length < 4 || producer === NO_PRODUCER_ID) return
  const type = (key[2]! << 8) | key[3]!
  if (type === COMMIT_MARKER || type === ABORT_MARKER) visitor.transactionEnded(producer, type === COMMIT_MARKER)
}
