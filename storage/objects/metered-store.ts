/** Reports every operation of a store to a callback; what counts and where it goes is the caller's business. */
import type { Clock } from '../env.ts'
import { bodyBytes } from './keys.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome, StoreErrorKind, StoreOperation } from './object-store.ts'
import { StoreError } from './object-store.ts'

export interface StoreObservation {
  readonly operation: StoreOperation
  /** `ok`, `absent` (a read found nothing), the outcomes of putIfAbsent, the kind of a StoreError, or `error`. */
  readonly outcome: 'ok' | 'absent' | PutOutcome['kind'] | StoreErrorKind | 'error'
  readonly ms: number
  /** Payload bytes sent by a write or received by a read; 0 where there are none. */
  readonly bytes: number
}

export class MeteredStore implements ObjectStore {
  readonly description: string
  readonly #inner: ObjectStore
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #observe: (observation: StoreObservation) => void

  /** `observe` must not throw. */
  constructor(inner: ObjectStore, clock: Pick<Clock, 'monotonic'>, observe: (observation: StoreObservation) => void) {
    this.description = inner.description
    this.#inner = inner
    this.#clock = clock
    this.#observe = observe
  }

  async get(key: string): Promise<Uint8Array | null> {
    return this.#run('get', this.#inner.get(key), readOutcome, readBytes)
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    return this.#run('getRange', this.#inner.getRange(key, start, endExclusive), readOutcome, readBytes)
  }

  async head(key: string): Promise<ObjectMeta | null> {
    return this.#run('head', this.#inner.head(key), readOutcome, () => 0)
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    const bytes = bodyBytes(body)
    return this.#run('putIfAbsent', this.#inner.putIfAbsent(key, body), (outcome) => outcome.kind, () => bytes)
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    const bytes = bodyBytes(body)
    return this.#run('put', this.#inner.put(key, body), () => 'ok', () => bytes)
  }

  async list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return this.#run('list', this.#inner.list(prefix, options), () => 'ok', () => 0)
  }

  async delete(keys: readonly string[]): Promise<void> {
    return this.#run('delete', this.#inner.delete(keys), () => 'ok', () => 0)
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  async #run<T>(
    operation: StoreOperation,
    work: Promise<T>,
    outcomeOf: (result: T) => StoreObservation['outcome'],
    bytesOf: (result: T) => number,
  ): Promise<T> {
    const started = this.#clock.monotonic()
    try {
      const result = await work
      this.#observe({ operation, outcome: outcomeOf(result), ms: this.#clock.monotonic() - started, bytes: bytesOf(result) })
      return result
    } catch (error) {
      const outcome = error instanceof StoreError ? error.kind : 'error'
      this.#observe({ operation, outcome, ms: this.#clock.monotonic() - started, bytes: 0 })
      throw error
    }
  }
}

function readOutcome(result: unknown): 'ok' | 'absent' {
  return result === null ? 'absent' : 'ok'
}

function readBytes(result: Uint8Array | null): number {
  return result?.byteLength ?? 0
}
