/**
 * The transactional ids of one partition of `__transaction_state`. What is in memory is the state of everything accepted: the lane keeps the order of
 * appends over all partitions, so a crash leaves a prefix of what happened here, and never an effect without its cause.
 *
 * A transaction ends in one turn of the event loop: the record that says how (Prepare…), a marker in each of its partitions, the record that says
 * that this is done (Complete…). Whoever finds a Prepare… without its Complete… writes the markers again: a marker that ends nothing does no harm.
 */
import { KafkaError } from '../../protocol/errors.ts'
import type { RecordCursor } from '../../protocol/records/record.ts'
import type { Env, Timer } from '../../storage/env.ts'
import type { PartitionLog } from '../../storage/partition/types.ts'
import type { Offset } from '../../storage/types.ts'
import { isTransient, writeMarker } from './markers.ts'
import type { MarkerTargets, TransactionEnd, TransactionLogger, TransactionMetrics } from './ports.ts'
import { decodeTransactionRecord, expiryRecord, transactionRecord } from './records.ts'
import { TransactionLog } from './transaction-log.ts'
import { completed, decideAdd, decideEnd, decideInit, fence, isPrepared, mayExpire, verify } from './transaction.ts'
import type { Decision, EndRequest, InitRequest, Partitions, Producer, Transaction } from './transaction.ts'

/** How long a client waits for the object store before it is told to ask again; Kafka's request.timeout.ms is 30 s. */
const WRITE_TIMEOUT_MS = 25_000
/** How long to wait before a marker is written again that group offsets could not take. */
const MARKER_RETRY_MS = 500
/** Tombstones in one batch. */
const EXPIRED_PER_BATCH = 1000

export interface ShardOptions {
  readonly env: Env
  readonly log: TransactionLogger
  readonly partitionLog: PartitionLog
  readonly targets: MarkerTargets
  readonly metrics: TransactionMetrics | null
  readonly coordinatorEpoch: number
  readonly nextProducerId: () => Promise<number | null>
  /** The partition has another leader now, or is gone. */
  readonly onLost: () => void
}

export interface ProducerReply {
  readonly errorCode: number
  /** -1 where there is an error. */
  readonly producerId: number
  readonly producerEpoch: number
}

interface Entry {
  transaction: Transaction
  /** Of the newest record of the id. */
  lastOffset: Offset
  /** The id is being initialised, or its transaction ended, and that is not durable: others are to ask again. */
  busy: boolean
}

export class TransactionShard {
  readonly #options: ShardOptions
  readonly #log: TransactionLog
  readonly #entries = new Map<string, Entry>()
  #closed = false

  constructor(options: ShardOptions) {
    this.#options = options
    this.#log = new TransactionLog(options.partitionLog, options.env)
  }

  /** Reads the partition, and finishes what an earlier coordinator began to end, if it is still `wanted`. */
  async load(wanted: () => boolean): Promise<void> {
    await this.#log.read((cursor) => this.#fold(cursor))
    if (!wanted()) return this.close()
    for (const entry of this.#entries.values()) {
      if (!isPrepared(entry.transaction)) continue
      this.#options.log.debug({ transactionalId: entry.transaction.transactionalId }, 'the end of a transaction is resumed')
      this.#finish(entry, entry.transaction.state === 'PrepareCommit' ? 'committed' : 'aborted', () => {})
    }
  }

  /** Refuses everything from now on. */
  close(): void {
    this.#closed = true
  }

  get openCount(): number {
    let count = 0
    for (const { transaction } of this.#entries.values()) if (transaction.state === 'Ongoing') count++
    return count
  }

  transactions(): Transaction[] {
    return Array.from(this.#entries.values(), ({ transaction }) => transaction)
  }

  get(transactionalId: string): Transaction | null {
    return this.#entries.get(transactionalId)?.transaction ?? null
  }

  async init(request: InitRequest): Promise<ProducerReply> {
    return this.#decided((freshId) => {
      const entry = this.#entries.get(request.transactionalId)
      const decision = decideInit(entry?.transaction ?? null, request, entry?.busy === true, this.#nowMs(), freshId)
      return { entry, decision }
    }, (entry, { state }) => {
      // Its open transaction was aborted: with the next request the producer gets an epoch above that.
      if (state === 'PrepareAbort') return failed(KafkaError.CONCURRENT_TRANSACTIONS)
      return replyOf(entry)
    }, 'fenced')
  }

  end(request: EndRequest): Promise<ProducerReply> {
    return this.#decided((freshId) => {
      const entry = this.#entries.get(request.transactionalId)
      const decision = decideEnd(entry?.transaction ?? null, request, entry?.busy === true, this.#nowMs(), freshId)
      return { entry, decision }
    }, replyOf, request.committed ? 'committed' : 'aborted')
  }

  /** Makes partitions part of a transaction, and begins it where it has not begun. An error code, once that is durable. */
  add(transactionalId: string, producer: Producer, partitions: Partitions, clientVersion: number): Promise<number> {
    const errorCode = this.admit(transactionalId, producer, partitions, clientVersion)
    const entry = this.#entries.get(transactionalId)
    if (errorCode !== KafkaError.NONE || entry === undefined) return Promise.resolve(errorCode)
    return new Promise((resolve) => this.#answer(entry.lastOffset, resolve))
  }

  /** As `add`, at once: for those who append behind it, and answer when that is durable. */
  admit(transactionalId: string, producer: Producer, partitions: Partitions, clientVersion: number): number {
    if (this.#closed) return KafkaError.NOT_COORDINATOR
    const entry = this.#entries.get(transactionalId)
    const decision = decideAdd(entry?.transaction ?? null, producer, partitions, clientVersion, entry?.busy === true, this.#nowMs())
    switch (decision.kind) {
      case 'refuse':
        return decision.errorCode
      case 'done':
        return KafkaError.NONE
      case 'become':
        return entry === undefined ? KafkaError.UNKNOWN_SERVER_ERROR : this.#write(entry, decision.next)
      case 'needsProducerId':
        return KafkaError.UNKNOWN_SERVER_ERROR
    }
  }

  /** Whether a partition is part of the transaction. An error code. */
  verify(transactionalId: string, producer: Producer, topic: string, partition: number): number {
    return verify(this.get(transactionalId), producer, topic, partition)
  }

  /** Aborts transactions that have been open for longer than their producers asked for. */
  abortTimedOut(): void {
    const nowMs = this.#nowMs()
    for (const entry of this.#entries.values()) {
      const { transactionalId, state, startMs, timeoutMs, producerId, producerEpoch } = entry.transaction
      if (this.#closed || entry.busy || state !== 'Ongoing' || startMs + timeoutMs >= nowMs) continue
      const decision = fence(entry.transaction, nowMs)
      if (decision.kind !== 'become' || this.#write(entry, decision.next) !== KafkaError.NONE) continue
      this.#options.log.info({ transactionalId, producerId, producerEpoch, timeoutMs }, 'a transaction was open for too long and is aborted')
      this.#finish(entry, 'timed-out', () => {})
    }
  }

  /** Forgets ids that nobody has used for a time. */
  removeExpired(expirationMs: number): void {
    const untilMs = this.#nowMs() - expirationMs
    const expired = Array.from(this.#entries.values()).filter(({ transaction, busy }) => !busy && mayExpire(transaction) && transaction.updatedMs <= untilMs)
    for (let i = 0; i < expired.length && !this.#closed; i += EXPIRED_PER_BATCH) {
      const ids = expired.slice(i, i + EXPIRED_PER_BATCH).map(({ transaction }) => transaction.transactionalId)
      if (this.#append(ids.map(expiryRecord)) === null) return
      for (const id of ids) this.#entries.delete(id)
      this.#options.log.debug({ transactionalIds: ids.length }, 'transactional ids have expired')
    }
  }

  /** Decides, with a fresh producer id where one is needed, writes, and answers when it is durable. `how` a transaction ends where that is the decision. */
  async #decided(
    decide: (freshId: number | null) => { readonly entry: Entry | undefined; readonly decision: Decision },
    reply: (entry: Entry, next: Transaction) => ProducerReply,
    how: TransactionEnd,
  ): Promise<ProducerReply> {
    let freshId: number | null = null
    for (;;) {
      if (this.#closed) return failed(KafkaError.NOT_COORDINATOR)
      const { entry, decision } = decide(freshId)
      switch (decision.kind) {
        case 'refuse':
          return failed(decision.errorCode)
        case 'done':
          return entry === undefined ? failed(KafkaError.UNKNOWN_SERVER_ERROR) : replyOf(entry)
        case 'become':
          return new Promise((resolve) => this.#become(entry, decision.next, reply, how, resolve))
        case 'needsProducerId':
          freshId = await this.#freshId()
          if (freshId === null) return failed(KafkaError.COORDINATOR_NOT_AVAILABLE)
      }
    }
  }

  /** Null where none comes in time. */
  #freshId(): Promise<number | null> {
    const { env, nextProducerId } = this.#options
    return new Promise((resolve, reject) => {
      const timer = env.clock.schedule(WRITE_TIMEOUT_MS, () => resolve(null))
      nextProducerId().then(resolve, reject).finally(() => timer.cancel())
    })
  }

  #become(
    known: Entry | undefined,
    next: Transaction,
    reply: (entry: Entry, next: Transaction) => ProducerReply,
    how: TransactionEnd,
    resolve: (reply: ProducerReply) => void,
  ): void {
    const entry = known ?? { transaction: next, lastOffset: -1, busy: false }
    const errorCode = this.#write(entry, next)
    if (errorCode !== KafkaError.NONE) return resolve(failed(errorCode))
    if (known === undefined) this.#entries.set(next.transactionalId, entry)
    const answer = (code: number): void => resolve(code === KafkaError.NONE ? reply(entry, next) : failed(code))
    if (isPrepared(next)) this.#finish(entry, how, answer)
    else this.#settle(entry, answer)
  }

  /** Writes the markers and the end of a transaction whose Prepare… is in the log. `done` hears when all of it is durable. */
  #finish(entry: Entry, how: TransactionEnd, done: (errorCode: number) => void): void {
    const { targets, coordinatorEpoch, log, metrics } = this.#options
    const { transactionalId, producerId, producerEpoch, state, partitions } = entry.transaction
    const marker = { producerId, producerEpoch, coordinatorEpoch, committed: state === 'PrepareCommit' }
    const waits: { readonly partition: number; readonly errorCode: Promise<number> }[] = []
    entry.busy = true
    // A producer that ends what it has not begun only asks for its next epoch.
    if (partitions.size > 0) metrics?.ended(how)
    for (const [topic, ids] of partitions) {
      for (const partition of ids) {
        const outcome = writeMarker(targets, topic, partition, marker)
        switch (outcome.kind) {
          case 'appended':
            break
          case 'handedOver':
            if (!outcome.appended) waits.push({ partition, errorCode: outcome.done })
            break
          case 'needless':
            log.debug({ transactionalId, topic, partition, reason: outcome.reason }, 'a transaction has nothing to end in a partition')
            break
          case 'lost':
            this.#lose()
            return done(KafkaError.NOT_COORDINATOR)
        }
      }
    }
    if (waits.length === 0) return this.#complete(entry, done)
    // Their partition of group offsets is being loaded: that all markers are written may be said only when they are.
    void Promise.all(waits.map(({ partition, errorCode }) => this.#untilEnded(partition, marker, errorCode))).then(() => {
      if (this.#closed) done(KafkaError.NOT_COORDINATOR)
      else this.#complete(entry, done)
    })
  }

  async #untilEnded(partition: number, marker: Parameters<MarkerTargets['endInOffsets']>[1], first: Promise<number>): Promise<void> {
    const { env, targets } = this.#options
    for (let errorCode = await first; isTransient(errorCode) && !this.#closed; errorCode = await targets.endInOffsets(partition, marker)) {
      await env.clock.sleep(MARKER_RETRY_MS)
    }
  }

  #complete(entry: Entry, done: (errorCode: number) => void): void {
    const errorCode = this.#write(entry, completed(entry.transaction, this.#nowMs()))
    if (errorCode === KafkaError.NONE) return this.#settle(entry, done)
    entry.busy = false
    done(errorCode)
  }

  /** The id is busy until its newest record is durable. */
  #settle(entry: Entry, done: (errorCode: number) => void): void {
    entry.busy = true
    this.#log.whenDurable(entry.lastOffset, (durable) => {
      entry.busy = false
      if (!durable) this.#lose()
    })
    this.#answer(entry.lastOffset, done)
  }

  /** Tells an error code when the record at `offset` is durable, or the client should ask again. */
  #answer(offset: Offset, done: (errorCode: number) => void): void {
    let timer: Timer | null = null
    let open = true
    const once = (errorCode: number): void => {
      if (!open) return
      open = false
      timer?.cancel()
      done(errorCode)
    }
    this.#log.whenDurable(offset, (durable) => once(durable ? KafkaError.NONE : KafkaError.NOT_COORDINATOR))
    if (open) timer = this.#options.env.clock.schedule(WRITE_TIMEOUT_MS, () => once(KafkaError.COORDINATOR_NOT_AVAILABLE))
  }

  /** An error code; where it is none, the record is in the lane and in memory. */
  #write(entry: Entry, next: Transaction): number {
    if (this.#closed) return KafkaError.NOT_COORDINATOR
    const lastOffset = this.#append([transactionRecord(next)])
    if (lastOffset === null) return this.#closed ? KafkaError.NOT_COORDINATOR : KafkaError.UNKNOWN_SERVER_ERROR
    entry.transaction = next
    entry.lastOffset = lastOffset
    return KafkaError.NONE
  }

  #append(records: Parameters<TransactionLog['append']>[0]): Offset | null {
    const outcome = this.#log.append(records)
    switch (outcome.kind) {
      case 'appended':
        return outcome.lastOffset
      case 'lost':
        this.#lose()
        return null
      case 'refused':
        this.#options.log.warn({ partition: this.#log.partition, reason: outcome.reason }, 'a record of __transaction_state was refused')
        return null
    }
  }

  #lose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#options.onLost()
  }

  #fold(cursor: RecordCursor): void {
    const key = cursor.key()
    if (key === null) return
    const record = decodeTransactionRecord(key, cursor.value())
    if (record === null) return
    const { transactionalId, transaction } = record
    if (transaction === null) this.#entries.delete(transactionalId)
    else this.#entries.set(transactionalId, { transaction, lastOffset: cursor.offset, busy: false })
  }

  #nowMs(): number {
    return this.#options.env.clock.now()
  }
}

function replyOf({ transaction: { producerId, producerEpoch } }: Entry): ProducerReply {
  return { errorCode: KafkaError.NONE, producerId, producerEpoch }
}

function failed(errorCode: number): ProducerReply {
  return { errorCode, producerId: -1, producerEpoch: -1 }
}
