import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FaultyStore } from '../../../storage/objects/faulty-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { ListOptions, ObjectMeta, PutOutcome } from '../../../storage/objects/object-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { probeStore } from '../../../storage/objects/probe.ts'
import { SimulatedEnv } from '../../support/env.ts'

class IgnoresConditions extends MemoryStore {
  override async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    await this.put(key, body)
    return { kind: 'created' }
  }
}

/** Looks first and writes then, as a gateway without locks does. */
class LooksFirst extends MemoryStore {
  override async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    if ((await this.head(key)) !== null) return { kind: 'exists' }
    await this.put(key, body)
    return { kind: 'created' }
  }
}

class ReadsOld extends MemoryStore {
  readonly #first = new Map<string, Uint8Array | null>()
  override async get(key: string): Promise<Uint8Array | null> {
    if (!this.#first.has(key)) this.#first.set(key, await super.get(key))
    return this.#first.get(key) ?? null
  }
}

class ListsLate extends MemoryStore {
  override async list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return (await super.list(prefix, options)).slice(1)
  }
}

describe('probe', () => {
  const broken: readonly [string, MemoryStore, RegExp][] = [
    ['ignores conditions', new IgnoresConditions(), /32 of 32 concurrent writers create the same key/],
    ['is not atomic', new LooksFirst(), /concurrent writers create the same key/],
    ['reads what is old', new ReadsOld(), /read after an overwrite/],
    ['lists late', new ListsLate(), /does not list/],
  ]
  for (const [what, store, message] of broken) {
    it(`refuses a store that ${what}, and cleans up`, async () => {
      await assert.rejects(probeStore(store, new SimulatedEnv(1)), (error) => {
        assert.ok(error instanceof StoreError && error.kind === 'unsupported')
        assert.match(error.message, message)
        return true
      })
      assert.equal(store.size, 0)
    })
  }

  it('accepts a correct store and cleans up', async () => {
    const store = new MemoryStore()
    await probeStore(store, new SimulatedEnv(1))
    assert.equal(store.size, 0)
  })

  it('accepts a correct store that sometimes does not know', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const env = new SimulatedEnv(seed)
      const inner = new MemoryStore()
      const store = new FaultyStore(inner, env, [{ operations: ['putIfAbsent'], loseReply: 0.3, delayMs: [1, 20] }])
      await env.run(probeStore(store, env))
      assert.equal(inner.size, 0)
    }
  })
})
