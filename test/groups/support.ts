/** Virtual time, an offsets partition in memory, and members that talk to the coordinator. */
import { setImmediate as turn } from 'node:timers/promises'
import { attributes, baseOffset, batchEnd, isControl, isTransactional, lastOffset, patchBatch, producerId, recordCount } from '../../protocol/records/batch.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import { seededRandom } from '../support/env.ts'
import type { Env, Timer } from '../../storage/env.ts'
import type {
  AbortedTransaction,
  AppendOutcome,
  DurableOutcome,
  PartitionLog,
  ReadOutcome,
  ReadRequest,
  TransactionMarker,
} from '../../storage/partition/types.ts'

interface Scheduled {
  readonly atMs: number
  readonly seq: number
  readonly task: () => void
  cancelled: boolean
}

/** A clock that only moves when told to. Timers run in order; after each one, promises get their turn. */
export class VirtualEnv implements Env {
  #nowMs = 0
  #seq = 0
  #random: () => number
  /** A binary heap; cancelled timers stay until they come up. */
  readonly #timers: Scheduled[] = []
  #live = 0
  readonly #wallStartMs = 1_700_000_000_000

  constructor(random: () => number = seededRandom(1)) {
    this.#random = random
  }

  readonly clock = {
    now: (): number => this.#wallStartMs + this.#nowMs,
    monotonic: (): number => this.#nowMs,
    sleep: (ms: number): Promise<void> => new Promise((resolve) => this.clock.schedule(ms, resolve)),
    schedule: (ms: number, task: () => void): Timer => {
      const timer: Scheduled = { atMs: this.#nowMs + ms, seq: this.#seq++, task, cancelled: false }
      this.#push(timer)
      return {
        cancel: () => {
          if (!timer.cancelled) this.#live--
          timer.cancelled = true
        },
      }
    },
  }

  random(): number {
    return this.#random()
  }

  uuid(): string {
    const bytes = Buffer.from(Array.from({ length: 16 }, () => Math.floor(this.#random() * 256)))
    return bytes.toString('base64url').replace(/^-/, 'A')
  }

  get timers(): number {
    return this.#live
  }

  /** Lets `ms` pass, running what becomes due on the way. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await turn()
    for (let next = this.#timers[0]; next !== undefined && next.atMs <= endMs; next = this.#timers[0]) {
      this.#pop()
      if (next.cancelled) continue
      next.cancelled = true
      this.#live--
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.task()
      await turn()
    }
    this.#nowMs = endMs
    await turn()
  }

  #push(timer: Scheduled): void {
    const heap = this.#timers
    this.#live++
    let at = heap.length
    for (let up = (at - 1) >> 1; at > 0 && before(timer, heap[up]!); up = (at - 1) >> 1) {
      heap[at] = heap[up]!
      at = up
    }
    heap[at] = timer
  }

  /** Takes the earliest one off. */
  #pop(): void {
    const heap = this.#timers
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (let down = 1; down < heap.length; down = 2 * at + 1) {
      if (down + 1 < heap.length && before(heap[down + 1]!, heap[down]!)) down++
      if (before(last, heap[down]!)) break
      heap[at] = heap[down]!
      at = down
    }
    heap[at] = last
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq)
}

/** A partition log in memory. Durable at once, unless `hold` is set: then when `release` is called. */
export class MemoryLog implements PartitionLog {
  readonly topicId = 'consumerOffsetsTopicI'
  readonly partition: number
  readonly leaderEpoch = 1
  logStartOffset = 0
  flushedOffset = 0
  highWatermark = 0
  logEndOffset = 0
  hold = false
  /** What the next append answers instead of taking the batch. */
  refuse: AppendOutcome | null = null
  /** What the next read answers. */
  unreadable: ReadOutcome | null = null
  /** Called before the next read only. */
  beforeRead: (() => void) | null = null
  readonly batches: Uint8Array[] = []
  readonly readsStore = (): boolean => false
  /** How many batches were read. */
  batchesRead = 0
  readonly #waiting: { readonly lastOffset: number; readonly done: (outcome: DurableOutcome) => void }[] = []

  constructor(partition: number) {
    this.partition = partition
  }

  get lastStableOffset(): number {
    return Math.min(this.highWatermark, ...this.#transactions(this.highWatermark).open.values())
  }

  append(records: Uint8Array): AppendOutcome {
    if (this.refuse !== null) return this.refuse
    if (batchEnd(records, 0) !== records.length) throw new Error('not exactly one batch')
    patchBatch(records, 0, { baseOffset: this.logEndOffset, leaderEpoch: this.leaderEpoch })
    const baseOffset = this.logEndOffset
    const last = lastOffset(records, 0)
    this.batches.push(records)
    this.logEndOffset = last + 1
    if (!this.hold) this.release()
    return { kind: 'appended', baseOffset, lastOffset: last, logAppendTimeMs: -1 }
  }

  appendMarker({ producerId: producer, producerEpoch, coordinatorEpoch, committed }: TransactionMarker): AppendOutcome {
    const value = Buffer.alloc(6)
    value.writeInt32BE(coordinatorEpoch, 2)
    const records = [{ timestamp: 0, key: Buffer.from([0, 0, 0, committed ? 1 : 0]), value }]
    return this.append(encodeBatch({ baseOffset: 0, producerId: producer, producerEpoch, transactional: true, control: true, records }))
  }

  openTransaction(producer: number): number | null {
    return this.#transactions(this.logEndOffset).open.get(producer) ?? null
  }

  /** What is below the last stable offset goes into the table: committed records alone, which say nothing of transactions. */
  flush(): void {
    const end = this.lastStableOffset
    const { aborted } = this.#transactions(this.highWatermark)
    const rows = this.batches.flatMap((batch) => {
      const base = baseOffset(batch, 0)
      const flags = attributes(batch, 0)
      if (base >= end || !isTransactional(flags)) return [batch]
      const dropped = aborted.some((of) => of.producerId === producerId(batch, 0) && of.firstOffset <= base && base <= of.lastOffset)
      return isControl(flags) || dropped ? [] : [encodeBatch({ baseOffset: base, leaderEpoch: this.leaderEpoch, records: recordsOf(batch) })]
    })
    this.batches.splice(0, this.batches.length, ...rows)
    this.flushedOffset = end
  }

  whenDurable(last: number, done: (outcome: DurableOutcome) => void): void {
    if (last < this.highWatermark) done('durable')
    else this.#waiting.push({ lastOffset: last, done })
  }

  /** What has been accepted below this offset becomes durable; everything without it. */
  release(below = this.logEndOffset): void {
    this.highWatermark = below
    const durable = this.#waiting.findIndex(({ lastOffset: last }) => last >= below)
    for (const { done } of this.#waiting.splice(0, durable === -1 ? Infinity : durable)) done('durable')
  }

  /** Another broker has taken over: what is not durable is lost. */
  fence(): void {
    this.refuse = { kind: 'notLeader' }
    this.#truncate()
    for (const { done } of this.#waiting.splice(0)) done('notLeader')
  }

  /** A crash: what was not durable is gone, and the log can be used by a new process. */
  crash(): void {
    this.#truncate()
    this.#waiting.length = 0
    this.refuse = null
  }

  get records(): number {
    return this.batches.reduce((sum, batch) => sum + recordCount(batch, 0), 0)
  }

  read({ fromOffset, maxBytes }: ReadRequest): ReadOutcome {
    const { beforeRead } = this
    this.beforeRead = null
    beforeRead?.()
    if (this.unreadable !== null) {
      const outcome = this.unreadable
      this.unreadable = null
      return outcome
    }
    const chunks: Uint8Array[] = []
    let bytes = 0
    for (const batch of this.batches) {
      const last = lastOffset(batch, 0)
      if (last < fromOffset || last >= this.highWatermark) continue
      if (chunks.length > 0 && bytes + batch.length > maxBytes) break
      chunks.push(batch)
      this.batchesRead++
      bytes += batch.length
    }
    return { kind: 'records', chunks, bytes, source: 'memory' }
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

  isAtEnd(): boolean {
    return false
  }

  onAdvance(): void {
    // Nobody waits here.
  }

  offAdvance(): void {
    // Nobody waits here.
  }

  /** Of the log up to an offset: which transactions are open, and since where; and those that were aborted. */
  #transactions(below: number): { open: Map<number, number>; aborted: AbortedTransaction[] } {
    const open = new Map<number, number>()
    const aborted: AbortedTransaction[] = []
    for (const batch of this.batches) {
      const flags = attributes(batch, 0)
      const offset = baseOffset(batch, 0)
      if (!isTransactional(flags) || offset >= below) continue
      const producer = producerId(batch, 0)
      const firstOffset = open.get(producer)
      if (!isControl(flags)) open.set(producer, firstOffset ?? offset)
      else if (recordsOf(batch)[0]?.key?.[3] === 0 && firstOffset !== undefined) aborted.push({ producerId: producer, firstOffset, lastOffset: offset })
      if (isControl(flags)) open.delete(producer)
    }
    return { open, aborted }
  }

  #truncate(): void {
    while (this.batches.length > 0 && lastOffset(this.batches.at(-1) as Uint8Array, 0) >= this.highWatermark) this.batches.pop()
    this.logEndOffset = this.highWatermark
  }
}
