import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { LogEntry } from '../../../storage/log/put-if-absent-log.ts'
import { PutIfAbsentLog } from '../../../storage/log/put-if-absent-log.ts'
import { FaultyStore } from '../../../storage/objects/faulty-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { digits20 } from '../../../storage/paths.ts'
import { SimulatedEnv } from '../../support/env.ts'
import { bytes } from '../objects/contract.ts'

interface Note extends LogEntry {
  readonly text: string
}

function decode(value: unknown, version: number): Note {
  if (typeof value === 'object' && value !== null && 'commitId' in value && 'text' in value) return value as Note
  throw new StoreError('invalid', `entry ${version} is no note`)
}

function openLog(store: ObjectStore, env: SimulatedEnv): PutIfAbsentLog<Note> {
  return new PutIfAbsentLog(store, env, { prefix: 'log/', keyOf: (version) => `log/${digits20(version)}.json`, firstVersion: 0, decode })
}

async function after(log: PutIfAbsentLog<Note>, version: number): Promise<string[]> {
  const found: string[] = []
  for await (const { version: at, entry } of log.entriesAfter(version)) found.push(`${at}:${entry.text}`)
  return found
}

describe('put-if-absent log', () => {
  it('gives each number to one writer and the winner to the others', async () => {
    const env = new SimulatedEnv(1)
    const log = openLog(new MemoryStore(), env)
    assert.deepEqual(await log.append(0, { commitId: 'a', text: 'one' }), { kind: 'won' })
    assert.deepEqual(await log.append(0, { commitId: 'b', text: 'two' }), { kind: 'lost', winner: { commitId: 'a', text: 'one' } })
    assert.deepEqual(await log.append(0, { commitId: 'a', text: 'one' }), { kind: 'won' }, 'the same entry again')
    assert.deepEqual(await log.read(0), { commitId: 'a', text: 'one' })
    assert.equal(await log.read(1), null)
  })

  it('follows the tail and finds the newest entry from any hint', async () => {
    const env = new SimulatedEnv(1)
    const store = new MemoryStore()
    const log = openLog(store, env)
    assert.equal(await log.newest(-1), -1)
    for (let i = 0; i < 1205; i++) await log.append(i, { commitId: `${i}`, text: `t${i}` })
    await store.put('log/_hint', [bytes('{}')])
    await store.put('log/00000000000000000500.json.tmp', [bytes('{}')])
    for (const hint of [-1, 0, 999, 1000, 1203, 1204]) assert.equal(await log.newest(hint), 1204)
    assert.deepEqual(await after(log, 1200), ['1201:t1201', '1202:t1202', '1203:t1203', '1204:t1204'])
    assert.equal((await after(log, -1)).length, 1205)
    assert.deepEqual(await after(log, 1204), [])
  })

  it('refuses to guess at an entry that it cannot read', async () => {
    const store = new MemoryStore()
    const log = openLog(store, new SimulatedEnv(1))
    await store.put(`log/${digits20(0)}.json`, [bytes('{"torn')])
    await assert.rejects(log.read(0), (e) => e instanceof StoreError && e.kind === 'invalid')
    await assert.rejects(log.append(0, { commitId: 'a', text: '' }), (e) => e instanceof StoreError && e.kind === 'invalid')
  })

  it('keeps every won entry, once, in one order for all, when several writers append through a store that loses replies', async () => {
    const property = fc.asyncProperty(fc.nat(), async (seed) => {
      const env = new SimulatedEnv(seed)
      const shared = new MemoryStore()
      const rule = { failBefore: 0.1, loseReply: 0.15, landLate: 0.15, delayMs: [1, 50], lateMs: [1, 5000] } as const
      const stores = [0, 1, 2].map(() => new FaultyStore(shared, env, [rule]))
      const won: string[] = []
      await env.run(
        Promise.all(
          stores.map(async (store, writer) => {
            const log = openLog(store, env)
            let next = 0
            for (let i = 0; i < 6; i++) {
              const entry = { commitId: env.uuid(), text: `${writer}-${i}` }
              for (;;) {
                const outcome = await log.append(next, entry)
                if (outcome.kind === 'won') won.push(`${next}:${entry.text}`)
                next++
                if (outcome.kind === 'won') break
              }
            }
          }),
        ),
      )
      await env.run(Promise.all(stores.map((store) => store.landed())))
      const all = await after(openLog(shared, env), -1)
      assert.equal(all.length, 18)
      assert.deepEqual([...won].sort(), [...all].sort())
      assert.equal(shared.size, 18)
    })
    await fc.assert(property, { numRuns: 60 })
  })
})
