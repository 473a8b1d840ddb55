/** Objects in memory, with the exact semantics of the port. For tests, simulation and `--store memory:`. */
import type { Clock } from '../env.ts'
import { assertKey, assertPrefix, assertRange, compareKeys, joinBody } from './keys.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome, StoreOperation } from './object-store.ts'

export interface MemoryStoreOptions {
  /** Source of `modifiedMs`; without it every object has age 0. */
  readonly clock?: Pick<Clock, 'now'>
  /** Runs before an operation has its effect; may wait or throw. `key` is the prefix of a list, the first key of a delete. */
  readonly before?: (operation: StoreOperation, key: string) => Promise<void> | void
  /** Runs after the effect and before the answer; what it throws is what the caller sees. */
  readonly after?: (operation: StoreOperation, key: string) => Promise<void> | void
}

interface StoredObject {
  readonly bytes: Uint8Array
  readonly modifiedMs: number
}

export class MemoryStore implements ObjectStore {
  readonly description = 'memory'
  readonly #objects = new Map<string, StoredObject>()
  readonly #options: MemoryStoreOptions
  /** Keys in order, rebuilt by the first list after a change of the key set. */
  #ordered: string[] | null = null

  constructor(options: MemoryStoreOptions = {}) {
    this.#options = options
  }

  async get(key: string): Promise<Uint8Array | null> {
    assertKey(key)
    return this.#run('get', key, () => this.#objects.get(key)?.bytes.slice() ?? null)
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    assertKey(key)
    assertRange(start, endExclusive)
    return this.#run('getRange', key, () => this.#objects.get(key)?.bytes.slice(start, endExclusive) ?? null)
  }

  async head(key: string): Promise<ObjectMeta | null> {
    assertKey(key)
    return this.#run('head', key, () => this.#meta(key))
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    assertKey(key)
    const bytes = joinBody(body)
    return this.#run('putIfAbsent', key, (): PutOutcome => {
      if (this.#objects.has(key)) return { kind: 'exists' }
      this.#set(key, bytes)
      return { kind: 'created' }
    })
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    assertKey(key)
    const bytes = joinBody(body)
    return this.#run('put', key, () => this.#set(key, bytes))
  }

  async list(prefix: string, options: ListOptions = {}): Promise<readonly ObjectMeta[]> {
    assertPrefix(prefix)
    return this.#run('list', prefix, () => {
      const limit = options.limit ?? 1000
      const after = options.after ?? ''
      const found: ObjectMeta[] = []
      const keys = this.#keys()
      for (let i = firstIndex(keys, prefix, after); i < keys.length && found.length < limit; i++) {
        const key = keys[i] as string
        if (!key.startsWith(prefix)) break
        found.push(this.#meta(key) as ObjectMeta)
      }
      return found
    })
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) assertKey(key)
    return this.#run('delete', keys[0] ?? '', () => {
      for (const key of keys) if (this.#objects.delete(key)) this.#ordered = null
    })
  }

  async close(): Promise<void> {}

  /** Number of objects; for tests. */
  get size(): number {
    return this.#objects.size
  }

  async #run<T>(operation: StoreOperation, key: string, effect: () => T): Promise<T> {
    await this.#options.before?.(operation, key)
    const result = effect()
    await this.#options.after?.(operation, key)
    return result
  }

  #set(key: string, bytes: Uint8Array): void {
    if (!this.#objects.has(key)) this.#ordered = null
    this.#objects.set(key, { bytes, modifiedMs: this.#options.clock?.now() ?? 0 })
  }

  #meta(key: string): ObjectMeta | null {
    const object = this.#objects.get(key)
    return object === undefined ? null : { key, bytes: object.bytes.byteLength, modifiedMs: object.modifiedMs }
  }

  #keys(): readonly string[] {
    this.#ordered ??= [...this.#objects.keys()].toSorted(compareKeys)
    return this.#ordered
  }
}

/** Index of the first key that is not before the prefix and sorts after `after`. */
function firstIndex(keys: readonly string[], prefix: string, after: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const key = keys[middle] as string
    if (compareKeys(key, prefix) < 0 || (after !== '' && compareKeys(key, after) <= 0)) low = middle + 1
    else high = middle
  }
  return low
}
