/**
 * Knows whether the store answers. An answer is any outcome that only a working store gives, also "it is not there" and "it exists
 * already"; trouble is an error, an unknown outcome, or a request that waits.
 */
import type { Clock } from '../env.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome } from './object-store.ts'

export class WatchedStore implements ObjectStore {
  readonly description: string
  readonly #inner: ObjectStore
  readonly #clock: Pick<Clock, 'monotonic'>
  /** When the requests that run began, in that order. */
  readonly #running = new Set<{ readonly sinceMs: number }>()
  #answeredMs = -Infinity
  /** Begin of the first request after the last answer that has failed; Infinity when there is none. */
  #failedSinceMs = Infinity

  constructor(inner: ObjectStore, clock: Pick<Clock, 'monotonic'>) {
    this.description = inner.description
    this.#inner = inner
    this.#clock = clock
  }

  /** For how long the store has been asked in vain, milliseconds; 0 when its last word was an answer and nothing waits since then. */
  get silentMs(): number {
    let sinceMs = this.#failedSinceMs
    for (const request of this.#running) {
      // Only the oldest counts, from the last answer on: others may wait behind a large one.
      sinceMs = Math.min(sinceMs, Math.max(request.sinceMs, this.#answeredMs))
      break
    }
    return sinceMs === Infinity ? 0 : Math.max(0, this.#clock.monotonic() - sinceMs)
  }

  async get(key: string): Promise<Uint8Array | null> {
    return this.#watch(this.#inner.get(key))
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    return this.#watch(this.#inner.getRange(key, start, endExclusive))
  }

  async head(key: string): Promise<ObjectMeta | null> {
    return this.#watch(this.#inner.head(key))
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    return this.#watch(this.#inner.putIfAbsent(key, body), (outcome) => outcome.kind !== 'unknown')
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    return this.#watch(this.#inner.put(key, body))
  }

  async list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return this.#watch(this.#inner.list(prefix, options))
  }

  async delete(keys: readonly string[]): Promise<void> {
    return this.#watch(this.#inner.delete(keys))
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  async #watch<T>(work: Promise<T>, isAnswer: (result: T) => boolean = () => true): Promise<T> {
    const request = { sinceMs: this.#clock.monotonic() }
    this.#running.add(request)
    let answered = false
    try {
      const result = await work
      answered = isAnswer(result)
      return result
    } finally {
      this.#running.delete(request)
      if (answered) {
        this.#answeredMs = this.#clock.monotonic()
        this.#failedSinceMs = Infinity
      } else this.#failedSinceMs = Math.min(this.#failedSinceMs, Math.max(request.sinceMs, this.#answeredMs))
    }
  }
}
