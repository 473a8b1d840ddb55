/** A partition log on a host that does by hand what lane, cache and table do by themselves. */
import { CREATE_TIME, iterateBatches } from '../../../protocol/records/batch.ts'
import type { BatchToEncode, RecordToEncode } from '../../../protocol/records/encoder.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { LaneObjectMissingError } from '../../../storage/lane/read-batches.ts'
import type { LaneId, LaneRef } from '../../../storage/lane/types.ts'
import { HotCache } from '../../../storage/partition/hot-cache.ts'
import { StoredPartitionLog } from '../../../storage/partition/log.ts'
import type { ColdReads, PartitionHost } from '../../../storage/partition/log.ts'
import type { PendingBatch } from '../../../storage/partition/pending-batch.ts'
import type { DurableOutcome, OffsetAndTimestamp, PartitionLog, ReadOutcome, TopicLogConfig } from '../../../storage/partition/types.ts'
import { SimEnv, simEpochMs } from '../../simulation/sim-env.ts'
import { logConfig } from '../../support/log-config.ts'

export const topicId = 'AAAAAAAAAAAAAAAAAAAAAQ'
export const lane: LaneId = { brokerId: 1, incarnation: 3 }

export const config: TopicLogConfig = { ...logConfig, maxMessageBytes: 10_000, timestampAfterMaxMs: 3_600_000, flushIntervalMs: 1000 }

export function record(text: string, timestamp = simEpochMs): RecordToEncode {
  return { timestamp, key: Buffer.from(`key of ${text}`), value: Buffer.from(text) }
}

/** A batch with one record per text, as a producer sends it. */
export function batchOf(texts: readonly string[], options: Partial<BatchToEncode> = {}): Uint8Array {
  return encodeBatch({ baseOffset: 0, timestampType: CREATE_TIME, records: texts.map((text) => record(text)), ...options })
}

export function idempotent(producerId: number, baseSequence: number, count = 1, producerEpoch = 0): Uint8Array {
  const texts = Array.from({ length: count }, (_, i) => `${producerId}:${producerEpoch}:${baseSequence + i}`)
  return batchOf(texts, { producerId, producerEpoch, baseSequence })
}

/** What the host is told of a batch. */
export interface BatchInLane {
  readonly bytes: number
  readonly lane: LaneId
  readonly seq: number
}

/** Plays the lane: what is submitted becomes durable when the test says so, one segment per call of `settle`. */
export class TestHost implements PartitionHost {
  readonly env = new SimEnv(1)
  readonly cache: HotCache
  readonly cold = new TestTable()
  readonly submitted: PendingBatch[] = []
  readonly durable: BatchInLane[] = []
  readonly released: BatchInLane[] = []
  readonly segments = new Map<number, Uint8Array>()
  laneReads = 0
  #seq = 0

  constructor(cacheBytes = 1_000_000) {
    this.cache = new HotCache(cacheBytes)
  }

  submit(batch: PendingBatch): void {
    this.submitted.push(batch)
  }

  batchDurable(_log: StoredPartitionLog, bytes: number, of: LaneId, seq: number): void {
    this.durable.push({ bytes, lane: of, seq })
  }

  batchReleased(_log: StoredPartitionLog, bytes: number, of: LaneId, seq: number): void {
    this.released.push({ bytes, lane: of, seq })
  }

  async readLane(refs: readonly LaneRef[]): Promise<readonly Uint8Array[]> {
    this.laneReads++
    await Promise.resolve()
    return refs.map(({ seq, start, end }) => {
      const segment = this.segments.get(seq)
      if (segment === undefined) throw new LaneObjectMissingError(`segment ${seq}`)
      return segment.slice(start, end)
    })
  }

  /** The next `count` batches become durable together; all by default. Callbacks have run when it resolves. */
  async settle(count = this.submitted.length): Promise<void> {
    const batches = this.submitted.splice(0, count)
    const seq = this.#seq++
    this.segments.set(seq, Buffer.concat(batches.map(({ bytes }) => bytes)))
    let at = 0
    for (const batch of batches) {
      batch.durable(lane, seq, at)
      at += batch.bytes.length
    }
    await Promise.resolve()
    await Promise.resolve()
  }
}

/** Plays the table: batches by hand, and a hook for what happens during a read. */
export class TestTable implements ColdReads {
  batches: Uint8Array[] = []
  reads = 0
  duringRead: (() => void) | null = null

  async read(_log: PartitionLog, fromOffset: number, endOffset: number): Promise<readonly Uint8Array[]> {
    this.reads++
    const found = this.batches.filter((batch) => {
      const offsets = recordsOf(batch).map(({ offset }) => offset)
      return offsets.at(-1)! >= fromOffset && offsets[0]! < endOffset
    })
    await Promise.resolve()
    this.#disturb()
    return found
  }

  async offsetForTimestamp(_log: PartitionLog, timestampMs: number): Promise<OffsetAndTimestamp | null> {
    const found = this.batches.flatMap((batch) => recordsOf(batch)).find(({ timestamp }) => timestamp >= timestampMs)
    await Promise.resolve()
    this.#disturb()
    return found === undefined ? null : { offset: found.offset, timestampMs: found.timestamp, leaderEpoch: -1 }
  }

  async offsetOfMaxTimestamp(): Promise<OffsetAndTimestamp | null> {
    let best: OffsetAndTimestamp | null = null
    for (const { offset, timestamp } of this.batches.flatMap((batch) => recordsOf(batch))) {
      if (best === null || timestamp > best.timestampMs) best = { offset, timestampMs: timestamp, leaderEpoch: -1 }
    }
    await Promise.resolve()
    this.#disturb()
    return best
  }

  #disturb(): void {
    const disturb = this.duringRead
    this.duringRead = null
    disturb?.()
  }
}

export function openLog(host: TestHost, overrides: Partial<TopicLogConfig> = {}, leaderEpoch = 3): StoredPartitionLog {
  return new StoredPartitionLog(host, topicId, 0, leaderEpoch, { ...config, ...overrides })
}

export function append(log: StoredPartitionLog, batch: Uint8Array): ReturnType<StoredPartitionLog['append']> {
  return log.append(batch, { origin: 'client' })
}

export function read(log: StoredPartitionLog, fromOffset: number, maxBytes = 1_000_000, atLeastOne = true): ReadOutcome | Promise<ReadOutcome> {
  return log.read({ fromOffset, maxBytes, atLeastOne, isolation: 'readUncommitted' })
}

/** Offsets of all records of an answer; the kind of any other outcome. */
export function offsetsOf(outcome: ReadOutcome): number[] | string {
  if (outcome.kind !== 'records') return outcome.kind
  const offsets: number[] = []
  for (const chunk of outcome.chunks) {
    for (const { start, end } of iterateBatches(chunk)) offsets.push(...recordsOf(chunk.subarray(start, end)).map(({ offset }) => offset))
  }
  return offsets
}

/** Remembers what `whenDurable` said, in order. */
export class Durability {
  readonly said: [lastOffset: number, outcome: DurableOutcome][] = []

  wait(log: StoredPartitionLog, lastOffset: number): void {
    log.whenDurable(lastOffset, (outcome) => this.said.push([lastOffset, outcome]))
  }
}
