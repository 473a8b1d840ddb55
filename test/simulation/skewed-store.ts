/**
 * A store that is slow for one kind of objects. Where every call takes about as long as every other, some orders of events never come; a slow
 * checkpoint beside quick segments, or a slow commit beside quick reads, brings them about.
 */
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome } from '../../storage/objects/object-store.ts'
import type { SimEnv } from './sim-env.ts'

export interface Skew {
  readonly keys: RegExp
  readonly ms: number
}

const kinds = [/\/checkpoints\//, /\/_delta_log\/\d+\.json$/, /\.parquet$/, /^meta\/journal\//, /^lanes\/\d+\/\d+\/\d+$/]

/** The n-th kind, over and over; for every sixth n none. */
export function skewOf(n: number, ms: number): Skew | null {
  const keys = kinds[n % (kinds.length + 1)]
  return keys === undefined ? null : { keys, ms }
}

export class SkewedStore implements ObjectStore {
  readonly description: string
  readonly #inner: ObjectStore
  readonly #env: SimEnv
  readonly #skew: Skew

  constructor(inner: ObjectStore, env: SimEnv, skew: Skew) {
    this.description = inner.description
    this.#inner = inner
    this.#env = env
    this.#skew = skew
  }

  get(key: string): Promise<Uint8Array | null> {
    return this.#after(key, () => this.#inner.get(key))
  }

  getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    return this.#after(key, () => this.#inner.getRange(key, start, endExclusive))
  }

  head(key: string): Promise<ObjectMeta | null> {
    return this.#after(key, () => this.#inner.head(key))
  }

  putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    return this.#after(key, () => this.#inner.putIfAbsent(key, body))
  }

  put(key: string, body: readonly Uint8Array[]): Promise<void> {
    return this.#after(key, () => this.#inner.put(key, body))
  }

  list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return this.#inner.list(prefix, options)
  }

  delete(keys: readonly string[]): Promise<void> {
    return this.#after(keys[0] ?? '', () => this.#inner.delete(keys))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #after<T>(key: string, call: () => Promise<T>): Promise<T> {
    if (this.#skew.keys.test(key)) await this.#env.clock.sleep(this.#env.random() * this.#skew.ms)
    return await call()
  }
}
