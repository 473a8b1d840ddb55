/**
 * Memory for raw batches, shared by all partitions within one byte budget (P8). Batches leave in the order they came, but never before
 * they are durable: what is in flight is bounded by the lane's buffer, not by this budget.
 */
export interface CachedBatch {
  readonly sizeBytes: number
  /** False while the batch is not durable yet. */
  readonly evictable: boolean
  evict(): void
}

export class HotCache {
  readonly #bytesMax: number
  #queue: (CachedBatch | null)[] = []
  #head = 0
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  add(batch: CachedBatch): void {
    this.#queue.push(batch)
    this.#bytes += batch.sizeBytes
    this.trim()
  }

  /** Called when a batch left by itself (its topic was deleted). Its queue place stays until its turn comes. */
  released(bytes: number): void {
    this.#bytes -= bytes
  }

  /** Evicts from the oldest on until the budget holds or the oldest is not durable. */
  trim(): void {
    for (;;) {
      const oldest = this.#queue[this.#head]
      if (oldest === undefined || oldest === null) return
      // One that left by itself costs nothing but its place.
      if (oldest.sizeBytes > 0 && (this.#bytes <= this.#bytesMax || !oldest.evictable)) return
      this.#queue[this.#head] = null
      this.#head++
      if (oldest.sizeBytes > 0) {
        const bytes = oldest.sizeBytes
        oldest.evict()
        this.#bytes -= bytes
      }
      if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#head)
        this.#head = 0
      }
    }
  }
}
