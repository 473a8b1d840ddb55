/**
 * Memory for raw batches, shared by all partitions within one byte budget (P8). Batches leave in the order they came, but never before
 * they are durable: what is in flight is bounded by the lane's buffer, not by this budget.
 */

/** The batches of one partition, known by their numbers. */
export interface CachedBatches {
  /** Memory that a batch takes, about; 0 when its bytes are gone. */
  cachedBytes(number: number): number
  /** False while the batch is not durable yet. */
  isEvictable(number: number): boolean
  evict(number: number): void
}

export class HotCache {
  readonly #bytesMax: number
  /** The queue: whose batch, and which. */
  #owners: CachedBatches[] = []
  #numbers: number[] = []
  #head = 0
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  add(owner: CachedBatches, number: number): void {
    this.#owners.push(owner)
    this.#numbers.push(number)
    this.#bytes += owner.cachedBytes(number)
    this.trim()
  }

  /** Called when a batch left by itself (its topic was deleted). Its queue place stays until its turn comes. */
  released(bytes: number): void {
    this.#bytes -= bytes
  }

  /** Evicts from the oldest on until the budget holds or the oldest is not durable. */
  trim(): void {
    while (this.#head < this.#owners.length) {
      const owner = this.#owners[this.#head]!
      const number = this.#numbers[this.#head]!
      const bytes = owner.cachedBytes(number)
      // One that left by itself costs nothing but its place.
      if (bytes > 0 && (this.#bytes <= this.#bytesMax || !owner.isEvictable(number))) return
      this.#head++
      if (bytes > 0) {
        this.#bytes -= bytes
        owner.evict(number)
      }
      if (this.#head > 1024 && this.#head * 2 > this.#owners.length) {
        this.#owners = this.#owners.slice(this.#head)
        this.#numbers = this.#numbers.slice(this.#head)
        this.#head = 0
      }
    }
  }
}
