/**
 * Bytes that are durable in lanes and not in their tables yet. They are bounded (P8): what flushing cannot keep up with would grow the lanes,
 * and with them the time of a recovery, for as long as the load lasts; and batches that left the cache meanwhile have to be read back to
 * be flushed, which slows flushing down further. Producers wait instead.
 *
 * A topic whose table cannot be written at all does not count: its records stay in the lanes until somebody has repaired the table
 * (docs/ARCHITECTURE.md), and the producers of other topics must not wait for that.
 */
import type { Uuid } from '../types.ts'

export class FlushBacklog {
  readonly #bytesMax: number
  readonly #bytesOf = new Map<Uuid, number>()
  readonly #stuck = new Set<Uuid>()
  /** Of all topics that are not stuck. */
  #bytes = 0
  #waiters: (() => void)[] = []
  readonly #hurry: () => void

  /** `hurry` is called when half of `bytesMax` is reached, and for each who has to wait: flushes that are due later should begin. */
  constructor(bytesMax: number, hurry: () => void = () => undefined) {
    this.#bytesMax = bytesMax
    this.#hurry = hurry
  }

  /** Of topics that are being flushed. */
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
    this.#bytesOf.set(topicId, (this.#bytesOf.get(topicId) ?? 0) + bytes)
    if (this.#stuck.has(topicId)) return
    const before = this.#bytes
    this.#bytes += bytes
    if (before < this.#bytesMax / 2 && this.#bytes >= this.#bytesMax / 2) this.#hurry()
  }

  remove(topicId: Uuid, bytes: number): void {
    const left = (this.#bytesOf.get(topicId) ?? 0) - bytes
    if (left > 0) this.#bytesOf.set(topicId, left)
    else this.#bytesOf.delete(topicId)
    if (!this.#stuck.has(topicId)) this.#bytes -= bytes
    this.#wake()
  }

  /** The last flush of the topic failed, or did not. */
  setStuck(topicId: Uuid, stuck: boolean): void {
    if (stuck === this.#stuck.has(topicId)) return
    const bytes = this.#bytesOf.get(topicId) ?? 0
    if (stuck) this.#stuck.add(topicId)
    else this.#stuck.delete(topicId)
    this.#bytes += stuck ? -bytes : bytes
    this.#wake()
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
