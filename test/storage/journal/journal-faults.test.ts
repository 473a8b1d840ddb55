/** Several brokers and one journal on a store that loses replies: no change is lost, none is applied twice, and all agree. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Journal } from '../../../storage/journal/journal.ts'
import { FaultyStore } from '../../../storage/objects/faulty-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { RetryingStore } from '../../../storage/objects/retrying-store.ts'
import { SimulatedEnv } from '../../support/env.ts'

const rule = { failBefore: 0.1, loseReply: 0.15, landLate: 0.15, delayMs: [1, 100], lateMs: [1, 20_000] } as const

async function run(seed: number): Promise<void> {
  const env = new SimulatedEnv(seed)
  const shared = new MemoryStore({ clock: env.clock })
  const doors = [0, 1, 2].map(() => new FaultyStore(shared, env, [rule]))
  const incarnations: number[] = []
  const blocks: number[] = []
  let created = 0
  const broker = async (door: FaultyStore, id: number): Promise<void> => {
    const store = new RetryingStore(door, env, { attempts: 30 })
    const journal = await Journal.open(store, env, { snapshotEveryChanges: 4 })
    const started = await journal.append(() => [{ type: 'incarnation-started', brokerId: id, host: {} }])
    assert.ok(started.kind === 'appended')
    incarnations.push(started.version)
    const work = Array.from({ length: 5 }, async (_, i) => {
      await env.clock.sleep(env.random() * 500)
      const block = await journal.append((state) => {
        const from = state.nextProducerId
        return [{ type: 'producer-ids-allocated', from, to: from + 10, incarnation: started.version }]
      })
      assert.ok(block.kind === 'appended' && block.changes[0]?.type === 'producer-ids-allocated')
      blocks.push(block.changes[0].from)
      // Every broker creates the same five topics: one of them does it.
      const topic = { id: `${id}-${i}`, name: `t${i}`, partitions: 1, configs: {}, location: `topics/t${i}`, createdMs: 0, internal: false }
      const outcome = await journal.append<'exists'>((state) =>
        state.topicIdsByName.has(topic.name) ? { kind: 'refused', reason: 'exists' } : [{ type: 'topic-created', topic }],
      )
      if (outcome.kind === 'appended') {
        created++
        assert.equal(journal.state.topicIdsByName.get(topic.name), topic.id)
      }
    })
    await Promise.all(work)
    await journal.close()
  }
  await env.run(Promise.all(doors.map(broker)))
  await env.run(Promise.all(doors.map((door) => door.landed())))
  const final = (await Journal.open(shared, env)).state
  assert.equal(created, 5)
  assert.equal(final.topics.size, 5)
  assert.deepEqual(blocks.sort((a, b) => a - b), Array.from({ length: 15 }, (_, i) => i * 10))
  assert.deepEqual([...final.incarnations.keys()], incarnations.sort((a, b) => a - b))
  // The snapshots say the same as all entries from the beginning.
  await shared.delete((await shared.list('meta/snapshots/')).map((object) => object.key))
  assert.deepEqual((await Journal.open(shared, env)).state, final)
}

it('a change that is refused waits out a store that does not answer, as every other change does', async () => {
  const env = new SimulatedEnv(1)
  const door = new FaultyStore(new MemoryStore({ clock: env.clock }), env, [])
  const faulty = await env.run(Journal.open(door, env))
  door.rules = [{ failBefore: 0.9, delayMs: [1, 10] }]
  for (let i = 0; i < 20; i++) assert.deepEqual(await env.run(faulty.append(() => ({ kind: 'refused', reason: 'there' }))), { kind: 'refused', reason: 'there' })
  door.rules = [{ failBefore: 1, delayMs: [1, 1] }]
  const pending = faulty.append(() => ({ kind: 'refused', reason: 'there' }))
  const giveUp = new AbortController()
  const givenUp = faulty.append(() => ({ kind: 'refused', reason: 'there' }), { signal: giveUp.signal })
  await env.run(env.clock.sleep(5_000))
  giveUp.abort()
  assert.deepEqual(await env.run(givenUp), { kind: 'aborted' })
  await env.run(faulty.close())
  assert.deepEqual(await env.run(pending), { kind: 'aborted' })
})

for (let seed = 0; seed < 25; seed++) {
  it(`journal under faults, seed ${seed}`, async () => {
    try {
      await run(seed)
    } catch (error) {
      if (error instanceof StoreError) assert.fail(`${error.kind}: ${error.message}`)
      throw error
    }
  })
}
