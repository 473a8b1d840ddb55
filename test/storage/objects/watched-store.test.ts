import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { PutOutcome } from '../../../storage/objects/object-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { WatchedStore } from '../../../storage/objects/watched-store.ts'
import { bytes, describeObjectStore } from './contract.ts'

describeObjectStore('watched', async () => {
  const inner = new MemoryStore()
  const clock = { monotonic: () => 0 }
  return { store: new WatchedStore(inner, clock), other: new WatchedStore(inner, clock), close: async () => undefined }
})

/** A store whose answers the test gives, at times that the test sets. */
function setUp() {
  const inner = new MemoryStore()
  const answers: PromiseWithResolvers<Uint8Array | null>[] = []
  const world = { nowMs: 1000, answers }
  inner.get = () => {
    const answer = Promise.withResolvers<Uint8Array | null>()
    answers.push(answer)
    return answer.promise
  }
  return { inner, world, store: new WatchedStore(inner, { monotonic: () => world.nowMs }) }
}

test('silence begins when the store is asked, and ends with an answer', async () => {
  const { world, store } = setUp()
  assert.equal(store.silentMs, 0)
  const read = store.get('a')
  world.nowMs += 700
  assert.equal(store.silentMs, 700)
  world.answers[0]!.resolve(null)
  await read
  assert.equal(store.silentMs, 0)
  world.nowMs += 10_000
  assert.equal(store.silentMs, 0, 'nobody has asked')
})

test('errors are no answers: the silence goes on from the first request that failed', async () => {
  const { world, store } = setUp()
  for (let i = 0; i < 3; i++) {
    const read = store.get('a')
    world.nowMs += 100
    world.answers[i]!.reject(new StoreError('unavailable', 'gone'))
    await assert.rejects(read)
    world.nowMs += 1000
  }
  assert.equal(store.silentMs, 3300)
  await store.put('b', [bytes('x')])
  assert.equal(store.silentMs, 0)
})

test('one request that takes long says nothing while others are answered', async () => {
  const { world, store } = setUp()
  const slow = store.get('large')
  for (let i = 0; i < 10; i++) {
    world.nowMs += 900
    await store.head('small')
  }
  world.nowMs += 50
  assert.equal(store.silentMs, 50)
  world.answers[0]!.resolve(null)
  await slow
})

test('an unknown outcome is no answer', async () => {
  const { inner, world, store } = setUp()
  inner.putIfAbsent = async (): Promise<PutOutcome> => ({ kind: 'unknown', cause: new Error('lost') })
  await store.putIfAbsent('a', [bytes('x')])
  world.nowMs += 400
  assert.equal(store.silentMs, 400)
})
