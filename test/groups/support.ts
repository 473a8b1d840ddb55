/** Virtual time, an offsets partition in memory, and members that talk to the coordinator. */
import { setImmediate as turn } from 'node:timers/promises'
import { batchEnd, lastOffset, patchBatch, recordCount } from '../../protocol/records/batch.ts'
import { seededRandom } from '../support/env.ts'
import type { Env, Timer } from '../../storage/env.ts'
import type { AppendOutcome, DurableOutcome, PartitionLog, ReadOutcome, ReadRequest } from '../../storage/partition/types.ts'

interface Scheduled {
  readonly atMs: number
  readonly seq: number
  readonly task: () => void
}

/** A clock that only moves when told to. Timers run in order; after each one, promises get their turn. */
export class VirtualEnv implements Env {
  #nowMs = 0
  #seq = 0
  #random: () => number
  readonly #timers = new Set<Scheduled>()
  readonly #wallStartMs = 1_700_000_000_000

  constructor(random: () => number = seededRandom(1)) {
    this.#random = random
  }

  readonly clock = {
    now: (): number => this.#wallStartMs + this.#nowMs,
    monotonic: (): number => this.#nowMs,
    sleep: (ms: number): Promise<void> => new Promise((resolve) => this.clock.schedule(ms, resolve)),
    schedule: (ms: number, task: () => void): Timer => {
      const timer = { atMs: this.#nowMs + ms, seq: this.#seq++, task }
      this.#timers.add(timer)
      return { cancel: () => this.#timers.delete(timer) }
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
    return this.#timers.size
  }

  /** Lets `ms` pass, running what becomes due on the way. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await turn()
    for (;;) {
      let next: Scheduled | null = null
      for (const timer of this.#timers) {
        if (timer.atMs > endMs) continue
        if (next === null || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.seq < next.seq)) next = timer
      }
      if (next === null) break
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.task()
      await turn()
    }
    this.#nowMs = endMs
    await turn()
  }
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
  readonly batches: Uint8Array[] = []
  readonly #waiting: { readonly lastOffset: number; readonly done: (outcome: DurableOutcome) => void }[] = []

  constructor(partition: number) {
    this.partition = partition
  }

  get lastStableOffset(): number {
    return this.highWatermark
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

  whenDurable(last: number, done: (outcome: DurableOutcome) => void): void {
    if (last < this.highWatermark) done('durable')
    else this.#waiting.push({ lastOffset: last, done })
  }

  /** Everything accepted so far becomes durable. */
  release(): void {
    this.highWatermark = this.logEndOffset
    for (const { done } of this.#waiting.splice(0)) done('durable')
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
      bytes += batch.length
    }
    return { kind: 'records', chunks, bytes }
  }

  offsetForTimestamp(): Promise<null> {
    return Promise.resolve(null)
  }

  offsetOfMaxTimestamp(): Promise<null> {
    return Promise.resolve(null)
  }

  endOffsetForEpoch(): null {
    return null
  }

  onAdvance(): () => void {
    return () => {}
  }

  #truncate(): void {
    while (this.batches.length > 0 && lastOffset(this.batches.at(-1) as Uint8Array, 0) >= this.highWatermark) this.batches.pop()
    this.logEndOffset = this.highWatermark
  }
}
