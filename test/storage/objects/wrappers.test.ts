/** The stores that wrap a store: faulty, metered, retrying; and the door that opens them. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { FaultyStore, downRule } from '../../../storage/objects/faulty-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { StoreObservation } from '../../../storage/objects/metered-store.ts'
import { MeteredStore } from '../../../storage/objects/metered-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { openStore } from '../../../storage/objects/open-store.ts'
import { RetryingStore } from '../../../storage/objects/retrying-store.ts'
import { SimulatedEnv, realClock, testEnv } from '../../support/env.ts'
import { bytes, describeObjectStore, text } from './contract.ts'

describeObjectStore('memory behind all wrappers, without faults', async () => {
  const env = testEnv(1n)
  const inner = new MemoryStore({ clock: env.clock })
  const store = new RetryingStore(new MeteredStore(new FaultyStore(inner, env), realClock, () => undefined), env)
  return { store, other: inner, close: () => store.close() }
})

async function transcript(seed: number): Promise<string> {
  const env = new SimulatedEnv(seed)
  const store = new FaultyStore(new MemoryStore(), env, [{ failBefore: 0.2, loseReply: 0.2, landLate: 0.2, delayMs: [1, 50] }])
  const lines: string[] = []
  const work = Array.from({ length: 30 }, async (_, i) => {
    const outcome = await store.putIfAbsent(`k${i % 7}`, [bytes(`${i}`)]).catch((error: unknown) => ({ kind: String(error) }))
    lines.push(`${env.clock.monotonic()} ${i} ${outcome.kind}`)
  })
  await env.run(Promise.all(work).then(() => store.landed()))
  return lines.join('\n')
}

describe('faulty store', () => {
  it('loses replies after the effect', async () => {
    const env = new SimulatedEnv(1)
    const inner = new MemoryStore()
    const store = new FaultyStore(inner, env, [{ loseReply: 1 }])
    assert.equal((await store.putIfAbsent('a', [bytes('1')])).kind, 'unknown')
    assert.equal((await store.putIfAbsent('a', [bytes('2')])).kind, 'unknown')
    assert.equal(text(await inner.get('a')), '1')
    await assert.rejects(store.put('b', [bytes('1')]), StoreError)
    assert.equal(text(await inner.get('b')), '1')
    await assert.rejects(store.get('a'), StoreError)
    assert.equal(store.counts.loseReply, 4)
  })

  it('fails before the effect', async () => {
    const inner = new MemoryStore()
    const store = new FaultyStore(inner, new SimulatedEnv(1), [{ failBefore: 1, error: 'throttled' }])
    await assert.rejects(store.putIfAbsent('a', [bytes('1')]), (e) => e instanceof StoreError && e.kind === 'throttled')
    assert.equal(inner.size, 0)
  })

  it('lands a write late, behind one that came after it, and finds the key taken', async () => {
    const env = new SimulatedEnv(1)
    const inner = new MemoryStore()
    const store = new FaultyStore(inner, env, [{ landLate: 1, lateMs: [50, 50] }])
    assert.equal((await store.putIfAbsent('a', [bytes('late')])).kind, 'unknown')
    assert.equal((await store.putIfAbsent('b', [bytes('late')])).kind, 'unknown')
    assert.equal(await inner.get('a'), null)
    await inner.putIfAbsent('a', [bytes('first')])
    await env.run(store.landed())
    assert.equal(text(await inner.get('a')), 'first')
    assert.equal(text(await inner.get('b')), 'late')
  })

  it('follows the first rule that fits by operation, prefix and time', async () => {
    const env = new SimulatedEnv(1)
    const store = new FaultyStore(new MemoryStore(), env, [
      { prefix: 'safe/' },
      { ...downRule(100, 200), prefix: 'x/' },
      { operations: ['delete'], failBefore: 1 },
    ])
    await store.put('x/a', [bytes('1')])
    await env.run(env.clock.sleep(150))
    await store.put('safe/a', [bytes('1')])
    await store.put('y', [bytes('1')])
    await assert.rejects(store.put('x/a', [bytes('1')]), StoreError)
    await assert.rejects(store.delete(['y']), StoreError)
    await env.run(env.clock.sleep(60))
    await store.put('x/a', [bytes('1')])
    store.rules = []
    await store.delete(['y'])
  })

  it('is the same for the same seed', async () => {
    assert.equal(await transcript(7), await transcript(7))
    assert.notEqual(await transcript(7), await transcript(8))
  })

  it('answers nothing after a crash', async () => {
    const env = new SimulatedEnv(3)
    const inner = new MemoryStore()
    const store = new FaultyStore(inner, env, [{ delayMs: [10, 10] }])
    const answers: string[] = []
    void store.put('a', [bytes('1')]).then(() => answers.push('put'))
    void env.clock.sleep(5).then(() => store.crash())
    await env.run(env.clock.sleep(1000))
    void store.get('a').then(() => answers.push('get'))
    await env.run(env.clock.sleep(1000))
    assert.deepEqual(answers, [])
  })
})

describe('metered store', () => {
  it('reports operation, outcome and bytes', async () => {
    const seen: StoreObservation[] = []
    const inner = new FaultyStore(new MemoryStore(), new SimulatedEnv(1), [{ prefix: 'bad', failBefore: 1, error: 'denied' }])
    const store = new MeteredStore(inner, realClock, (observation) => seen.push(observation))
    await store.putIfAbsent('a', [bytes('12'), bytes('345')])
    await store.putIfAbsent('a', [bytes('1')])
    await store.get('a')
    await store.getRange('a', 1, 3)
    await store.get('b')
    await store.head('b')
    await store.list('')
    await store.delete(['a'])
    await assert.rejects(store.put('bad', [bytes('1')]))
    assert.deepEqual(
      seen.map(({ operation, outcome, bytes }) => `${operation} ${outcome} ${bytes}`),
      [
        'putIfAbsent created 5',
        'putIfAbsent exists 1',
        'get ok 5',
        'getRange ok 2',
        'get absent 0',
        'head absent 0',
        'list ok 0',
        'delete ok 0',
        'put denied 0',
      ],
    )
    assert.ok(seen.every(({ ms }) => ms >= 0))
  })
})

describe('retrying store', () => {
  it('tries reads and plain writes again, a bounded number of times, and conditional writes never', async () => {
    const env = new SimulatedEnv(1)
    let failures = 2
    let calls = 0
    const inner = new MemoryStore({
      before: () => {
        calls++
        if (failures-- > 0) throw new StoreError('unavailable', 'no')
      },
    })
    const store = new RetryingStore(inner, env, { attempts: 3 })
    await env.run(store.put('a', [bytes('1')]))
    assert.equal(calls, 3)
    failures = 99
    calls = 0
    await assert.rejects(env.run(store.get('a')), StoreError)
    assert.equal(calls, 3)
    calls = 0
    await assert.rejects(store.putIfAbsent('b', [bytes('1')]), StoreError)
    assert.equal(calls, 1)
  })

  it('does not repeat what cannot get better', async () => {
    let calls = 0
    const inner = new MemoryStore({
      before: () => {
        calls++
        throw new StoreError('denied', 'no')
      },
    })
    await assert.rejects(new RetryingStore(inner, new SimulatedEnv(1)).get('a'), StoreError)
    assert.equal(calls, 1)
  })
})

describe('open store', () => {
  it('opens directories by path and by file URL, and memory', async () => {
    const root = await mkdtemp(join(tmpdir(), 'bayou-open-'))
    try {
      const folder = join(root, 'with space', 'below')
      const byPath = await openStore(folder, testEnv())
      await byPath.put('a', [bytes('1')])
      const byUrl = await openStore(pathToFileURL(folder).href, testEnv())
      assert.equal(text(await byUrl.get('a')), '1')
      assert.equal(byUrl.description, `directory ${folder}`)
      const memory = await openStore('memory:', testEnv())
      assert.equal(await memory.get('a'), null)
    } finally {
      await rm(root, { recursive: true })
    }
  })

  it('refuses other addresses', async () => {
    for (const url of ['', 'http://x/y', 'gs://b/p', 's3://', 'file://host/x']) {
      await assert.rejects(openStore(url, testEnv()), (e) => e instanceof StoreError && e.kind === 'invalid', url)
    }
  })
})
