/**
 * Bytes that are durable in lanes and not in their tables yet. They are bounded (P8): what flushing cannot keep up with would grow the lanes,
 * and with them the time of a recovery, for as long as the load lasts; and batches that left the cache meanwhile have to be read back to
 * be flushed, which slows flushing down further. Producers wait instead.
 *
 * What no flush could take does not count, and nobody must wait for it: the records of a topic whose table cannot be written at all, which stay
 * in the lanes until somebody has repaired the table (docs/ARCHITECTURE.md), and what an open transaction holds back in its partitions.
 */
import type { Uuid } from '../types.ts'

export class FlushBacklog {
  readonly #bytesMax: number
  readonly #bytesOf = new Map<Uuid, number>()
  /** Of these, what is held back, as of the last flush. */
  readonly #heldBackOf = new Map<Uuid, number>()
  /** Of all topics, without that. */
  #bytes = 0
  #waiters: (() => void)[] = []
  readonly #hurry: () => void

  /** `hurry` is called when half of `bytesMax` is reached, and for each who has to wait: flushes that are due later should begin. */
  constructor(bytesMax: number, hurry: () => void = () => undefined) {
    this.#bytesMax = bytesMax
    this.#hurry = hurry
  }

  /** What flushes could take. */
  get bytes(): number {
    return this.#bytes
  }

  get hasRoom(): boolean {
    return this.#bytes < this.#bytesMax
  }

  /** Calls back once there is room; at once where there is. First come, first served. */
  whenRoom(callback: () => void): void {
    this.#waiters.push(callback)
    this.#wake()
    if (this.#waiters.length > 0) this.#hurry()
  }

  add(topicId: Uuid, bytes: number): void {
    const before = this.#bytes
    this.#set(topicId, (this.#bytesOf.get(topicId) ?? 0) + bytes)
    if (before < this.#bytesMax / 2 && this.#bytes >= this.#bytesMax / 2) this.#hurry()
  }

  remove(topicId: Uuid, bytes: number): void {
    this.#set(topicId, (this.#bytesOf.get(topicId) ?? 0) - bytes)
    this.#wake()
  }

  /** After a flush of the topic: so many bytes could not be taken; Infinity where it failed. */
  setHeldBack(topicId: Uuid, bytes: number): void {
    const before = this.#heldBackOf.get(topicId) ?? 0
    if (bytes === before) return
    if (bytes > 0) this.#heldBackOf.set(topicId, bytes)
    else this.#heldBackOf.delete(topicId)
    const all = this.#bytesOf.get(topicId) ?? 0
    this.#bytes += Math.max(0, all - bytes) - Math.max(0, all - before)
    this.#wake()
  }

  #set(topicId: Uuid, bytes: number): void {
    const heldBack = this.#heldBackOf.get(topicId) ?? 0
    this.#bytes += Math.max(0, bytes - heldBack) - Math.max(0, (this.#bytesOf.get(topicId) ?? 0) - heldBack)
    if (bytes > 0) this.#bytesOf.set(topicId, bytes)
    else this.#bytesOf.delete(topicId)
  }

  /** The lane is over: nobody has to wait any more. */
  release(): void {
    for (const callback of this.#waiters.splice(0)) callback()
  }

  #wake(): void {
    while (this.hasRoom) {
      const callback = this.#waiters.shift()
      if (callback === undefined) return
      callback()
    }
  }
}
