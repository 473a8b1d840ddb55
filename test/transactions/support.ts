/** Partition logs that share one write-ahead lane, and a coordinator on them that survives its restarts. */
import { KafkaError } from '../../protocol/errors.ts'
import { attributes, batchEnd, isControl, isTransactional, lastOffset, patchBatch, producerEpoch, producerId } from '../../protocol/records/batch.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import { RecordCursor } from '../../protocol/records/record.ts'
import type { AppendOptions, AppendOutcome, DurableOutcome, PartitionLog, ReadOutcome, ReadRequest, TransactionMarker } from '../../storage/partition/types.ts'
import { TransactionCoordinator } from '../../src/transactions/coordinator.ts'
import type { TransactionConfig } from '../../src/transactions/ports.ts'
import { decodeTransactionRecord } from '../../src/transactions/records.ts'
import { VirtualEnv } from '../groups/support.ts'

/** What is durable is a prefix of all appends, over all logs. */
export class Lane {
  /** Nothing becomes durable until `release`. */
  hold = false
  readonly appended: LaneLog[] = []
  durable = 0
  /** What every append answers, where another broker has taken over. */
  fenced = false

  add(log: LaneLog): void {
    this.appended.push(log)
    if (!this.hold) this.release()
  }

  /** The first `count` appends are durable from now on. */
  release(count = this.appended.length): void {
    while (this.durable < count) this.appended[this.durable++]!.advance()
  }

  /** What is not durable is gone. */
  crash(logs: Iterable<LaneLog>): void {
    this.appended.length = this.durable
    for (const log of logs) log.crash()
    this.hold = false
  }
}

export class LaneLog implements PartitionLog {
  readonly topicId = 'topicIdAAAAAAAAAAAAAAA'
  readonly leaderEpoch = 1
  readonly logStartOffset = 0
  readonly flushedOffset = 0
  highWatermark = 0
  readonly batches: Uint8Array[] = []
  /** What the next read answers. */
  unreadable: ReadOutcome | null = null
  readonly partition: number
  readonly #lane: Lane
  #durable = 0
  #waiting: { readonly lastOffset: number; readonly done: (outcome: DurableOutcome) => void }[] = []

  constructor(lane: Lane, partition: number) {
    this.#lane = lane
    this.partition = partition
  }

  get logEndOffset(): number {
    const last = this.batches.at(-1)
    return last === undefined ? 0 : lastOffset(last, 0) + 1
  }

  get lastStableOffset(): number {
    return this.highWatermark
  }

  append(records: Uint8Array, _options?: AppendOptions): AppendOutcome {
    if (this.#lane.fenced) return { kind: 'notLeader' }
    if (batchEnd(records, 0) !== records.length) throw new Error('not exactly one batch')
    if (producerId(records, 0) !== -1 && producerEpoch(records, 0) < this.#epochOf(producerId(records, 0))) {
      return { kind: 'staleProducerEpoch', reason: 'old' }
    }
    const baseOffset = this.logEndOffset
    patchBatch(records, 0, { baseOffset, leaderEpoch: this.leaderEpoch })
    this.batches.push(records)
    const last = lastOffset(records, 0)
    this.#lane.add(this)
    return { kind: 'appended', baseOffset, lastOffset: last, logAppendTimeMs: -1 }
  }

  appendMarker({ producerId: id, producerEpoch: epoch, coordinatorEpoch, committed }: TransactionMarker): AppendOutcome {
    const value = Buffer.alloc(6)
    value.writeInt32BE(coordinatorEpoch, 2)
    const records = [{ timestamp: 0, key: Buffer.from([0, 0, 0, committed ? 1 : 0]), value }]
    return this.append(encodeBatch({ baseOffset: 0, producerId: id, producerEpoch: epoch, transactional: true, control: true, records }))
  }

  /** A batch of a producer within its transaction. */
  write(id: number, epoch: number): AppendOutcome {
    const records = [{ timestamp: 0, key: null, value: Buffer.from('x') }]
    return this.append(encodeBatch({ baseOffset: 0, producerId: id, producerEpoch: epoch, baseSequence: 0, transactional: true, records }))
  }

  openTransaction(id: number): number | null {
    let first: number | null = null
    for (const batch of this.batches) {
      const flags = attributes(batch, 0)
      if (producerId(batch, 0) !== id || !isTransactional(flags)) continue
      first = isControl(flags) ? null : (first ?? lastOffset(batch, 0))
    }
    return first
  }

  /** What became of each batch of data: `c` committed, `a` aborted, `o` open. Several markers after one batch: the first counts. */
  fates(): string {
    const fates: { readonly id: number; fate: string }[] = []
    for (const batch of this.batches) {
      const flags = attributes(batch, 0)
      const id = producerId(batch, 0)
      if (!isTransactional(flags)) continue
      if (isControl(flags)) for (const entry of fates) entry.fate = entry.id === id && entry.fate === 'o' ? this.#endOf(batch) : entry.fate
      else fates.push({ id, fate: 'o' })
    }
    return fates.map(({ fate }) => fate).join('')
  }

  abortedTransactions(): [] {
    return []
  }

  whenDurable(last: number, done: (outcome: DurableOutcome) => void): void {
    if (last < this.highWatermark) done('durable')
    else this.#waiting.push({ lastOffset: last, done })
  }

  /** The next batch is durable. */
  advance(): void {
    this.highWatermark = lastOffset(this.batches[this.#durable++]!, 0) + 1
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ lastOffset: last }) => last >= this.highWatermark)
    for (const { lastOffset: last, done } of waiting) if (last < this.highWatermark) done('durable')
  }

  crash(): void {
    this.batches.length = this.#durable
    this.#waiting = []
  }

  /** Another broker has taken over. */
  fence(): void {
    for (const { done } of this.#waiting.splice(0)) done('notLeader')
  }

  read({ fromOffset, maxBytes }: ReadRequest): ReadOutcome {
    if (this.unreadable !== null) {
      const outcome = this.unreadable
      this.unreadable = null
      return outcome
    }
    const chunks: Uint8Array[] = []
    let bytes = 0
    for (const batch of this.batches.slice(0, this.#durable)) {
      if (lastOffset(batch, 0) < fromOffset) continue
      if (chunks.length > 0 && bytes + batch.length > maxBytes) break
      chunks.push(batch)
      bytes += batch.length
    }
    return { kind: 'records', chunks, bytes, source: 'memory' }
  }

  readsStore(): boolean {
    return false
  }

  isAtEnd(): boolean {
    return false
  }

  offsetForTimestamp(): Promise<null> {
    return Promise.resolve(null)
  }

  offsetOfMaxTimestamp(): Promise<null> {
    return Promise.resolve(null)
  }

  epochOf(): number {
    return this.leaderEpoch
  }

  endOffsetForEpoch(): null {
    return null
  }

  onAdvance(): void {
    // Nobody waits here.
  }

  offAdvance(): void {
    // Nobody waits here.
  }

  #epochOf(id: number): number {
    return this.batches.reduce((epoch, batch) => (producerId(batch, 0) === id ? Math.max(epoch, producerEpoch(batch, 0)) : epoch), -1)
  }

  #endOf(batch: Uint8Array): string {
    const cursor = new RecordCursor()
    cursor.reset(batch, 0)
    return cursor.next() && cursor.key()?.[3] === 1 ? 'c' : 'a'
  }
}

const CONFIG: TransactionConfig = {
  'transaction.max.timeout.ms': 900_000,
  'transactional.id.expiration.ms': 604_800_000,
  'transaction.abort.timed.out.transaction.cleanup.interval.ms': 10_000,
  'transaction.remove.expired.transaction.cleanup.interval.ms': 3_600_000,
}

export const OFFSETS = '__consumer_offsets'

export class World {
  readonly env = new VirtualEnv()
  readonly lane = new Lane()
  readonly states: LaneLog[]
  /** Data partitions and those of group offsets. */
  readonly logs = new Map<string, LaneLog>()
  readonly warnings: string[] = []
  /** How transactions ended, for metrics. */
  readonly ends: string[] = []
  /** Partitions of group offsets are loaded at once. */
  offsetsLoaded = true
  /** What the group coordinator answers instead of taking markers. */
  offsetsError: number = KafkaError.NONE
  exists = true
  openFails = false
  /** Opening a partition waits for this. */
  opening: Promise<void> = Promise.resolve()
  nextId = 1000
  hasIds = true
  coordinatorEpoch = 1
  transactions: TransactionCoordinator

  constructor(options: { readonly partitions?: number } = {}) {
    this.states = Array.from({ length: options.partitions ?? 1 }, (_, partition) => new LaneLog(this.lane, partition))
    for (const name of ['orders/0', 'orders/1', 'users/0', `${OFFSETS}/3`]) this.logs.set(name, new LaneLog(this.lane, Number(name.split('/')[1])))
    this.transactions = this.#coordinator()
  }

  log(name: string): LaneLog {
    return this.logs.get(name)!
  }

  /** The process dies, with everything that was not durable, and a new one takes its place. */
  async restart(): Promise<void> {
    this.transactions.stop()
    this.lane.crash([...this.states, ...this.logs.values()])
    this.coordinatorEpoch++
    this.transactions = this.#coordinator()
    this.transactions.start()
    await this.env.advance(0)
  }

  /** Adds partitions, and writes one batch to each, as a producer that adds them itself would. */
  async write(transactionalId: string, producer: { readonly producerId: number; readonly producerEpoch: number }, names: readonly string[], clientVersion = 0): Promise<number> {
    const partitions = new Map<string, Set<number>>()
    for (const name of names) {
      const [topic, partition] = name.split('/') as [string, string]
      partitions.set(topic, (partitions.get(topic) ?? new Set()).add(Number(partition)))
    }
    const errorCode = await this.transactions.addPartitions(transactionalId, producer, partitions, clientVersion)
    if (errorCode === KafkaError.NONE) for (const name of names) this.log(name).write(producer.producerId, producer.producerEpoch)
    return errorCode
  }

  /** The states that the records of an id say, oldest first. */
  history(transactionalId: string): string[] {
    const states: string[] = []
    for (const { batches } of this.states) {
      for (const batch of batches) {
        const cursor = new RecordCursor()
        cursor.reset(batch, 0)
        while (cursor.next()) {
          const record = decodeTransactionRecord(cursor.key()!, cursor.value())
          if (record?.transactionalId === transactionalId) states.push(record.transaction?.state ?? 'gone')
        }
      }
    }
    return states
  }

  #coordinator(): TransactionCoordinator {
    const { env, states, logs } = this
    return new TransactionCoordinator({
      env,
      config: CONFIG,
      log: { debug: () => {}, info: () => {}, warn: (_fields, message) => this.warnings.push(message) },
      metrics: { ended: (how) => this.ends.push(how) },
      statePartitions: {
        count: states.length,
        exists: () => this.exists,
        open: async (partition) => {
          await this.opening
          if (this.openFails) throw new Error('not now')
          this.exists = true
          return states[partition]!
        },
      },
      targets: {
        partitionLog: (topic, partition) => logs.get(`${topic}/${partition}`) ?? null,
        offsetsLoaded: () => this.offsetsLoaded,
        endInOffsets: (partition, marker) => this.#endInOffsets(partition, marker),
      },
      nextProducerId: async () => (this.hasIds ? this.nextId++ : null),
      coordinatorEpoch: this.coordinatorEpoch,
    })
  }

  async #endInOffsets(partition: number, marker: TransactionMarker): Promise<number> {
    if (!this.offsetsLoaded) await this.env.clock.sleep(50)
    if (this.offsetsError !== KafkaError.NONE) return this.offsetsError
    const log = this.logs.get(`${OFFSETS}/${partition}`)!
    const outcome = log.appendMarker(marker)
    if (outcome.kind !== 'appended') return KafkaError.INVALID_PRODUCER_EPOCH
    return new Promise((resolve) => log.whenDurable(outcome.lastOffset, () => resolve(KafkaError.NONE)))
  }
}
