/** Topics while the object store does not answer: clients are told in time, and what was asked for is settled later. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorName } from '../../protocol/errors.ts'
import { defaultConfig } from '../../src/config/settings.ts'
import { ResourceConfigs } from '../../src/cluster/resource-configs.ts'
import { Topics } from '../../src/cluster/topics.ts'
import type { TopicOutcome } from '../../src/cluster/topics.ts'
import { silentLogger } from '../../src/logging.ts'
import type { StorageEngine } from '../../storage/engine/engine.ts'
import { Journal } from '../../storage/journal/journal.ts'
import { MemoryStore } from '../../storage/objects/memory-store.ts'
import { StoreError } from '../../storage/objects/object-store.ts'
import { SimulatedEnv } from '../support/env.ts'

/** Topics over a store that can go away. */
async function world(): Promise<{ env: SimulatedEnv; topics: Topics; resources: ResourceConfigs; store: { gone: boolean } }> {
  const env = new SimulatedEnv(1)
  const state = { gone: false }
  const store = new MemoryStore({
    before() {
      if (state.gone) throw new StoreError('unavailable', 'gone')
    },
  })
  const journal = await Journal.open(store, env)
  const engine = { syncTopics: () => undefined, partition: () => null } as unknown as StorageEngine
  const topics = new Topics({ journal, engine, config: defaultConfig(), env, log: silentLogger() })
  return { env, topics, resources: new ResourceConfigs({ journal, clock: env.clock, config: defaultConfig(), origins: {} }), store: state }
}

function said(outcome: TopicOutcome): string {
  return outcome.kind === 'ok' ? 'ok' : `${errorName(outcome.code)}: ${outcome.message}`
}

const spec = { partitions: 1, replicationFactor: -1, configs: new Map() }
const UNKNOWN = 'REQUEST_TIMED_OUT: The object store did not answer in time; the change may be in force or come into force later.'

test('every change is answered in time, and not before a store had the time that it needs', async () => {
  const { env, topics, store } = await world()
  await env.run(topics.create({ name: 'there', ...spec }))
  const id = topics.byName('there')!.id
  store.gone = true
  const changes: readonly (readonly [what: string, atMostMs: number, change: () => Promise<TopicOutcome>])[] = [
    ['create', 30_000, () => topics.create({ name: 'new', ...spec }, { timeoutMs: 30_000 })],
    ['create without a timeout', 10_000, () => topics.create({ name: 'new-too', ...spec }, { timeoutMs: 0 })],
    ['auto-create', 10_000, () => topics.autoCreate('auto')],
    ['add partitions', 10_000, () => topics.addPartitions('there', 3, null, { validateOnly: false, timeoutMs: 1 })],
    ['configs', 10_000, () => topics.alterConfigs('there', () => ({ 'retention.ms': '5' }), { validateOnly: false })],
    ['delete', 20_000, () => topics.delete(id, { timeoutMs: 20_000 })],
  ]
  for (const [what, atMostMs, change] of changes) {
    const startedMs = env.clock.monotonic()
    const outcome = await env.run(change())
    assert.match(said(outcome), /^REQUEST_TIMED_OUT: The object store did not answer in time/, what)
    assert.equal(env.clock.monotonic() - startedMs, atMostMs, what)
  }
})

test('configs of other resources as well', async () => {
  const { env, resources, store } = await world()
  store.gone = true
  const outcome = await env.run(resources.alter('group', 'g', () => ({ 'consumer.session.timeout.ms': '50000' }), { validateOnly: false }))
  assert.equal(outcome.kind === 'error' && errorName(outcome.code), 'REQUEST_TIMED_OUT')
  assert.equal(env.clock.monotonic(), 10_000)
})

test('what was given up is settled when the store is back: the answer said that this may happen', async () => {
  const { env, topics, store } = await world()
  store.gone = true
  assert.equal(said(await env.run(topics.create({ name: 'late', ...spec }, { timeoutMs: 1 }))), UNKNOWN)
  assert.equal(topics.byName('late'), null)
  store.gone = false
  assert.equal(said(await env.run(topics.create({ name: 'next', ...spec }))), 'ok')
  assert.notEqual(topics.byName('late'), null)
  assert.equal(said(await env.run(topics.create({ name: 'late', ...spec }))), "TOPIC_ALREADY_EXISTS: Topic 'late' already exists.")
})

test('who waits in the queue behind an unsettled change has changed nothing when it gives up', async () => {
  const { env, topics, store } = await world()
  store.gone = true
  const first = topics.create({ name: 'first', ...spec }, { timeoutMs: 60_000 })
  await env.run(env.clock.sleep(1000))
  const second = await env.run(topics.create({ name: 'second', ...spec }, { timeoutMs: 1 }))
  assert.equal(said(second), 'REQUEST_TIMED_OUT: The object store did not answer in time; nothing was changed.')
  store.gone = false
  assert.equal(said(await env.run(first)), 'ok')
  assert.equal(topics.byName('second'), null)
})
