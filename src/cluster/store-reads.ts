/**
 * Fetches that may read from the store at once. What each of them reads is in memory before it is in any account: without a bound, a
 * thousand consumers that begin at offset 0 would each hold their megabytes (P8). First come, first served.
 */
export class StoreReads {
  #free: number
  #queue: { readonly enter: (leave: () => void) => void; readonly signal: AbortSignal }[] = []

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** Resolves when it is the caller's turn, with the function that ends it; null when the signal came first. */
  async enter(signal: AbortSignal): Promise<(() => void) | null> {
    if (signal.aborted) return null
    if (this.#free > 0) {
      this.#free--
      return this.#leaver()
    }
    return new Promise((resolve) => {
      const entry = {
        signal,
        enter: (leave: () => void) => {
          signal.removeEventListener('abort', giveUp)
          resolve(leave)
        },
      }
      const giveUp = (): void => {
        this.#queue = this.#queue.filter((other) => other !== entry)
        resolve(null)
      }
      signal.addEventListener('abort', giveUp, { once: true })
      this.#queue.push(entry)
    })
  }

  #leaver(): () => void {
    let left = false
    return () => {
      if (left) return
      left = true
      const next = this.#queue.shift()
      if (next === undefined) this.#free++
      else next.enter(this.#leaver())
    }
  }
}
