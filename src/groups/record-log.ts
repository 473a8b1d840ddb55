/**
 * One partition of `__consumer_offsets` as the coordinator uses it: records in, told when they are durable (P1), and all of them read back
 * at the start. What is written within one turn of the event loop goes out as one record batch; the lane then puts the batches of all
 * partitions into one object.
 */
import { KafkaError } from '../../protocol/errors.ts'
import { attributes, isControl, iterateBatches, lastOffset } from '../../protocol/records/batch.ts'
import { BatchBuilder } from '../../protocol/records/encoder.ts'
import { RecordCursor } from '../../protocol/records/record.ts'
import type { Env, Timer } from '../../storage/env.ts'
import type { PartitionLog } from '../../storage/partition/types.ts'
import { assertNever } from '../../storage/types.ts'
import type { RecordBytes } from './records.ts'

/** Records that belong together: they become durable together, or the caller learns that they did not. */
export interface Write {
  readonly records: readonly RecordBytes[]
  /** The records are durable: the state in memory may follow. Called in the order of the log, even after a timeout. */
  readonly apply: () => void
  /** Once: 0 after `apply`, or the error code for those who wait. */
  readonly done: (errorCode: number) => void
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
  answered: boolean
  readonly dueMs: number
}

/** How often an unavailable store is asked again while loading, and how long to wait in between. */
const READ_TRIES_MAX = 20
const READ_RETRY_MS = 250
/** Bytes of a record besides key and value, at most. */
const RECORD_OVERHEAD_BYTES = 32

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
   * Reads records from `fromOffset` up to the high watermark, in order. The cursor is valid during the call only.
   *
   * @throws Error when the partition cannot be read (another leader, a store that stays away)
   */
  async read(fromOffset: number, visit: (cursor: RecordCursor) => void): Promise<void> {
    const { log, env, readBytesMax } = this.#options
    const cursor = new RecordCursor()
    let next = Math.max(fromOffset, log.logStartOffset)
    let tries = 0
    while (next < log.highWatermark) {
      const outcome = await log.read({ fromOffset: next, maxBytes: readBytesMax, atLeastOne: true, isolation: 'readUncommitted' })
      if (outcome.kind === 'unavailable' && ++tries < READ_TRIES_MAX) {
        await env.clock.sleep(READ_RETRY_MS)
        continue
      }
      if (outcome.kind === 'outOfRange' && next < log.logStartOffset) {
        next = log.logStartOffset
        continue
      }
      if (outcome.kind !== 'records') throw new Error(`offsets partition ${log.partition} cannot be read at ${next}: ${outcome.kind}`)
      tries = 0
      const before = next
      for (const chunk of outcome.chunks) {
        for (const { start } of iterateBatches(chunk)) {
          if (!isControl(attributes(chunk, start))) {
            cursor.reset(chunk, start)
            while (cursor.next()) {
              if (cursor.offset < next) continue
              visit(cursor)
              this.#appliedRecords++
            }
          }
          next = Math.max(next, lastOffset(chunk, start) + 1)
        }
      }
      // Nothing but a gap up to the high watermark is left.
      if (next === before) break
    }
    this.#appliedOffset = next
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
    for (const write of writes) {
      const pending: Pending = { write, batches: 0, batchesLeft: 0, answered: false, dueMs }
      this.#pending.add(pending)
      for (const { key, value } of write.records) {
        const bytes = key.length + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES
        if (builder.recordCount > 0 && builder.sizeSoFar + bytes > batchBytesMax) {
          batches.push({ batch: builder.finish(), members })
          members = []
          builder.reset({ baseOffset: 0 })
        }
        builder.append(builder.recordCount, wallMs, key, value)
        if (members.at(-1) !== pending) join(pending, members)
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
    const { log } = this.#options
    const outcome = log.append(batch, { origin: 'broker' })
    switch (outcome.kind) {
      case 'appended':
      case 'duplicate':
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
      case 'corrupt':
      case 'invalidRecord':
      case 'invalidTimestamp':
      case 'outOfOrderSequence':
      case 'staleProducerEpoch':
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
      pending.write.apply()
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
      if (answered) continue
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
      if (pending.dueMs > nowMs) return
      answer(pending, KafkaError.COORDINATOR_NOT_AVAILABLE)
    }
  }
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
