/**
 * Tries again what may be tried again: everything but `putIfAbsent`, which is passed through once (DESIGN §3: no hidden retries of what
 * carries a condition).
 */
import type { Env } from '../env.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome } from './object-store.ts'
import { StoreError } from './object-store.ts'

export interface RetryOptions {
  /** Tries in all. Default 4. */
  readonly attempts?: number
  /** Before the second try, doubled each time, with jitter. Default 50 ms. */
  readonly delayMs?: number
  /** Default 2,000 ms. */
  readonly delayMaxMs?: number
}

export class RetryingStore implements ObjectStore {
  readonly description: string
  readonly #inner: ObjectStore
  readonly #env: Pick<Env, 'clock' | 'random'>
  readonly #options: Required<RetryOptions>

  constructor(inner: ObjectStore, env: Pick<Env, 'clock' | 'random'>, options: RetryOptions = {}) {
    this.description = inner.description
    this.#inner = inner
    this.#env = env
    this.#options = { attempts: 4, delayMs: 50, delayMaxMs: 2000, ...options }
  }

  async get(key: string): Promise<Uint8Array | null> {
    return this.#retry(() => this.#inner.get(key))
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    return this.#retry(() => this.#inner.getRange(key, start, endExclusive))
  }

  async head(key: string): Promise<ObjectMeta | null> {
    return this.#retry(() => this.#inner.head(key))
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    return this.#inner.putIfAbsent(key, body)
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    return this.#retry(() => this.#inner.put(key, body))
  }

  async list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return this.#retry(() => this.#inner.list(prefix, options))
  }

  async delete(keys: readonly string[]): Promise<void> {
    return this.#retry(() => this.#inner.delete(keys))
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  async #retry<T>(operation: () => Promise<T>): Promise<T> {
    const { attempts, delayMs, delayMaxMs } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        return await operation()
      } catch (error) {
        if (!(error instanceof StoreError) || !error.retriable || attempt >= attempts) throw error
        const ceiling = Math.min(delayMaxMs, delayMs * 2 ** (attempt - 1))
        await this.#env.clock.sleep(ceiling * (0.5 + this.#env.random() / 2))
      }
    }
  }
}
