import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { CreateOnceOutcome, CreateOnceRetry } from '../../../storage/log/create-once.ts'
import { createOnce } from '../../../storage/log/create-once.ts'
import type { FaultRule } from '../../../storage/objects/faulty-store.ts'
import { FaultyStore } from '../../../storage/objects/faulty-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { PutOutcome } from '../../../storage/objects/object-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { SimulatedEnv } from '../../support/env.ts'
import { bytes, text } from '../objects/contract.ts'

function create(store: MemoryStore | FaultyStore, env: SimulatedEnv, key: string, id: string, signal?: AbortSignal): Promise<CreateOnceOutcome> {
  const isMine = (there: Uint8Array): boolean => text(there)?.startsWith(`${id}|`) === true
  return createOnce(store, env, key, [bytes(`${id}|`), bytes(`body of ${id}`)], isMine, signal === undefined ? {} : { signal })
}

const chance = fc.constantFrom(0, 0.05, 0.3)
const faults: fc.Arbitrary<FaultRule> = fc.record({
  failBefore: chance,
  loseReply: chance,
  landLate: chance,
  delayMs: fc.constantFrom([0, 0] as const, [1, 30] as const, [1, 3000] as const),
  lateMs: fc.constantFrom([1, 50] as const, [10, 60_000] as const),
})

describe('create once', () => {
  it('has one winner, never a lost win, and never changes its mind, whatever the store does to replies', async () => {
    let tried = 0
    const property = fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 4 }), faults, async (seed, writers, rule) => {
      const env = new SimulatedEnv(seed)
      const shared = new MemoryStore()
      // Every writer is a process with a door of its own to the same objects.
      const stores = Array.from({ length: writers }, () => new FaultyStore(shared, env, [rule]))
      const outcomes = await env.run(
        Promise.all(
          stores.map(async (store, i) => {
            await env.clock.sleep(env.random() * 100)
            return create(store, env, 'log/1', `writer${i}`)
          }),
        ),
      )
      await env.run(Promise.all(stores.map((store) => store.landed())))
      const there = text(await shared.get('log/1'))
      const owner = Number(/^writer(\d+)\|/.exec(there ?? '')?.[1])
      for (const [i, outcome] of outcomes.entries()) {
        assert.equal(outcome.kind, i === owner ? 'created' : 'taken')
        if (outcome.kind === 'taken') assert.equal(text(outcome.winner), there)
      }
      tried += stores.reduce((sum, { counts }) => sum + counts.loseReply + counts.landLate, 0)
    })
    await fc.assert(property, { numRuns: 300 })
    assert.ok(tried > 50, `only ${tried} replies were lost`)
  })

  it('knows its own object again when the reply was lost', async () => {
    const env = new SimulatedEnv(1)
    const shared = new MemoryStore()
    const store = new FaultyStore(shared, env, [{ operations: ['putIfAbsent'], untilMs: 1, loseReply: 1 }])
    assert.deepEqual(await env.run(create(store, env, 'k', 'me')), { kind: 'created' })
    assert.equal(store.counts.loseReply, 1)
  })

  it('settles an unknown outcome by occupying the key, so that a late write finds it taken', async () => {
    const env = new SimulatedEnv(1)
    const shared = new MemoryStore()
    const slow = new FaultyStore(shared, env, [{ landLate: 1, lateMs: [1000, 1000], untilMs: 1 }])
    assert.deepEqual(await env.run(create(slow, env, 'k', 'me')), { kind: 'created' })
    assert.equal(text(await shared.get('k')), 'me|body of me')
    assert.ok(env.clock.monotonic() < 1000)
  })

  it('tries again when the object that took the key is gone when it is read', async () => {
    const env = new SimulatedEnv(1)
    let refusals = 3
    class Ghostly extends MemoryStore {
      override async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
        return refusals-- > 0 ? { kind: 'exists' } : super.putIfAbsent(key, body)
      }
    }
    assert.deepEqual(await env.run(create(new Ghostly(), env, 'k', 'me')), { kind: 'created' })
  })

  it('waits longer and longer up to a cap, and reports each wait', async () => {
    const env = new SimulatedEnv(5)
    const store = new FaultyStore(new MemoryStore(), env, [{ untilMs: 5000, failBefore: 1, error: 'throttled' }])
    const retries: CreateOnceRetry[] = []
    const options = { delayMs: 10, delayMaxMs: 500, onRetry: (retry: CreateOnceRetry) => retries.push(retry) }
    assert.deepEqual(await env.run(createOnce(store, env, 'k', [bytes('me')], () => true, options)), { kind: 'created' })
    assert.ok(env.clock.monotonic() >= 5000)
    for (const [i, retry] of retries.entries()) {
      const ceiling = Math.min(500, 10 * 2 ** i)
      assert.ok(retry.delayMs >= ceiling / 2 && retry.delayMs <= ceiling, `${retry.delayMs} of ${ceiling}`)
      assert.equal(retry.attempt, i + 1)
      assert.ok(retry.cause instanceof StoreError && retry.cause.kind === 'throttled')
    }
  })

  it('ends with aborted when the signal comes, also in the middle of a wait', async () => {
    const env = new SimulatedEnv(1)
    const store = new FaultyStore(new MemoryStore(), env, [{ failBefore: 1 }])
    const abort = new AbortController()
    env.clock.schedule(10_000, () => abort.abort())
    assert.deepEqual(await env.run(create(store, env, 'k', 'me', abort.signal)), { kind: 'aborted' })
    assert.equal(env.clock.monotonic(), 10_000)
  })

  it('throws what will not get better, and passes bugs through', async () => {
    const env = new SimulatedEnv(1)
    const denied = new FaultyStore(new MemoryStore(), env, [{ failBefore: 1, error: 'denied' }])
    await assert.rejects(env.run(create(denied, env, 'k', 'me')), (e) => e instanceof StoreError && e.kind === 'denied')
    const buggy = new MemoryStore({
      before: () => {
        throw new TypeError('bug')
      },
    })
    await assert.rejects(env.run(create(buggy, env, 'k', 'me')), TypeError)
  })

  it('reads no more of the winner than asked for', async () => {
    const store = new MemoryStore()
    await store.put('k', [bytes('head and a long tail')])
    const outcome = await createOnce(store, new SimulatedEnv(1), 'k', [bytes('x')], () => false, { winnerBytesMax: 4 })
    assert.equal(outcome.kind === 'taken' && text(outcome.winner), 'head')
  })
})
