/**
 * One batch of a partition from its append until it is in the table and out of memory: accepted → durable (knows its place in a lane) →
 * flushed → evicted. One object per batch, never per record.
 */
import type { LaneEntry, LaneFailure, LaneId, LaneRef, LaneRow } from '../lane/types.ts'
import type { BatchMemory } from './batch-memory.ts'
import type { CachedBatch } from './hot-cache.ts'
import type { LogVersion, Offset, Uuid } from '../types.ts'

const NOT_RESIDENT = new Uint8Array(0)
/**
 * What a batch takes besides its bytes: its entry, its place in a lane, the view of its frame, and the memory under it. Batches of one record are
 * smaller than that, and a budget that did not count it would hold many times its size.
 */
export const RESIDENT_OVERHEAD_BYTES = 1024

export interface BatchOwner {
  batchDurable(entry: BatchEntry): void
  batchFailed(entry: BatchEntry, reason: LaneFailure): void
  /** Its bytes are no longer in memory. */
  batchEvicted(entry: BatchEntry): void
}

export class BatchEntry implements LaneEntry, CachedBatch {
  readonly topicId: Uuid
  readonly partition: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly leaderEpoch: number
  readonly attributes: number
  readonly recordCount: number
  readonly crc: number
  /** Bytes of the batch, resident or not. */
  readonly batchBytes: number
  bytes: Uint8Array
  ref: LaneRef | null
  /** Of `bytes`, held while they are resident; null where the garbage collector has it. */
  #memory: BatchMemory | null
  readonly #owner: BatchOwner

  constructor(owner: BatchOwner, row: LaneRow, bytes: Uint8Array | null, ref: LaneRef | null, memory?: BatchMemory | null) {
    this.#owner = owner
    memory?.hold()
    this.#memory = memory ?? null
    this.topicId = row.topicId
    this.partition = row.partition
    this.baseOffset = row.baseOffset
    this.lastOffset = row.lastOffset
    this.maxTimestamp = row.maxTimestamp
    this.producerId = row.producerId
    this.producerEpoch = row.producerEpoch
    this.baseSequence = row.baseSequence
    this.leaderEpoch = row.leaderEpoch
    this.attributes = row.attributes
    this.recordCount = row.recordCount
    this.crc = row.crc
    this.batchBytes = bytes !== null ? bytes.length : ref !== null ? ref.end - ref.start : 0
    this.bytes = bytes ?? NOT_RESIDENT
    this.ref = ref
  }

  get resident(): boolean {
    return this.bytes !== NOT_RESIDENT
  }

  /** Memory that it takes, about; 0 when its bytes are gone. */
  get sizeBytes(): number {
    return this.resident ? this.bytes.length + RESIDENT_OVERHEAD_BYTES : 0
  }

  get evictable(): boolean {
    return this.ref !== null || this.bytes === NOT_RESIDENT
  }

  /** For whoever uses the bytes beyond this turn of the event loop: held for them, and to be released. */
  holdMemory(held: BatchMemory[]): void {
    if (this.#memory === null) return
    this.#memory.hold()
    held.push(this.#memory)
  }

  evict(): void {
    this.bytes = NOT_RESIDENT
    this.#memory?.release()
    this.#memory = null
    this.#owner.batchEvicted(this)
  }

  durable(lane: LaneId, seq: LogVersion, start: number, end: number): void {
    this.ref = { lane, seq, start, end }
    this.#owner.batchDurable(this)
  }

  failed(reason: LaneFailure): void {
    this.#owner.batchFailed(this, reason)
  }
}
