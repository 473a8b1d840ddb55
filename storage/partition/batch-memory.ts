/**
 * Memory in which a client's batches came, given back the moment that nobody needs it. Left to the garbage collector, it would be most of what
 * that is called for: the heap is small, and it would be marked again for every forty megabytes that are produced (docs/PERFORMANCE.md).
 *
 * Each holder releases it once. One that cannot say when it is done never does: then the collector takes the memory, later, when nothing refers
 * to it any more. A view on memory that was given back is empty.
 */
export class BatchMemory {
  readonly buffer: ArrayBuffer
  #holders = 1

  /** Held by whoever makes it. Nothing but what is held through it may be a view on `buffer`. */
  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer
  }

  hold(): void {
    this.#holders++
  }

  release(): void {
    if (--this.#holders === 0) this.buffer.transfer(0)
  }
}

export function releaseAll(memories: readonly BatchMemory[]): void {
  for (const memory of memories) memory.release()
}
