import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JournalChange, TopicRecord } from '../../../storage/journal/entries.ts'
import { decodeEntry } from '../../../storage/journal/entries.ts'
import { Journal } from '../../../storage/journal/journal.ts'
import { applyEntry, collisionKey, decodeSnapshot, emptyJournalState, encodeSnapshot, freeLocation, topicByName } from '../../../storage/journal/state.ts'
import type { JournalProposal } from '../../../storage/journal/journal.ts'
import type { JournalState } from '../../../storage/journal/state.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { journalKey } from '../../../storage/paths.ts'
import { testEnv } from '../../support/env.ts'

function topic(name: string, id = `id-${name}`): TopicRecord {
  return { id, name, partitions: 3, configs: {}, location: `topics/${name}`, createdMs: 5, internal: false }
}

function createTopic(name: string): (state: JournalState) => JournalProposal<'exists'> {
  return (state) =>
    state.topicIdsByName.has(name) ? { kind: 'refused', reason: 'exists' } : [{ type: 'topic-created', topic: topic(name) }]
}

function fold(...changes: JournalChange[]): JournalState {
  return changes.reduce(
    (state, change, i) => applyEntry(state, i + 1, { v: 1, commitId: `c${i + 1}`, atMs: 1000 + i, changes: [change] }),
    emptyJournalState,
  )
}

function newer(error: unknown): boolean {
  return error instanceof StoreError && error.kind === 'unsupported'
}

describe('journal fold', () => {
  it('keeps topics, their configs and partitions', () => {
    const state = fold(
      { type: 'cluster-created', clusterId: 'C' },
      { type: 'topic-created', topic: topic('a') },
      { type: 'topic-configs-set', id: 'id-a', configs: { 'retention.ms': '1' } },
      { type: 'partitions-created', id: 'id-a', partitions: 7 },
    )
    assert.equal(state.clusterId, 'C')
    assert.equal(state.version, 4)
    assert.deepEqual(topicByName(state, 'a'), { ...topic('a'), partitions: 7, configs: { 'retention.ms': '1' } })
  })

  it('keeps the configs of groups and metrics subscriptions, apart and until there are none', () => {
    const set = (resource: 'group' | 'client-metrics', configs: Record<string, string>): JournalChange => ({ type: 'resource-configs-set', resource, name: 'a', configs })
    const state = fold(set('group', { x: '1' }), set('client-metrics', { y: '2' }), set('group', { x: '3' }))
    assert.deepEqual([...state.resources.values()], [
      { resource: 'group', name: 'a', configs: { x: '3' } },
      { resource: 'client-metrics', name: 'a', configs: { y: '2' } },
    ])
    assert.deepEqual(decodeSnapshot(encodeSnapshot(state)), state)
    const entry = { v: 1, commitId: 'x', atMs: 0, changes: [set('group', {})] } as const
    assert.deepEqual([...applyEntry(state, 4, decodeEntry(JSON.parse(JSON.stringify(entry)), 4)).resources.keys()], ['client-metrics/a'])
    assert.throws(() => decodeEntry({ ...entry, changes: [{ ...set('group', {}), resource: 'moon' }] }, 4), newer)
  })

  it('does not change the state that it began with', () => {
    const before = fold({ type: 'topic-created', topic: topic('a') })
    const copy = structuredClone(before)
    applyEntry(before, 2, {
      v: 1,
      commitId: 'x',
      atMs: 0,
      changes: [{ type: 'topic-deleted', id: 'id-a' }, { type: 'incarnation-started', brokerId: 1, host: {} }],
    })
    assert.deepEqual(before, copy)
  })

  it('never gives a location twice, not even after the data is gone', () => {
    const created = fold({ type: 'topic-created', topic: topic('a') })
    assert.equal(freeLocation(created, 'a', 'X'), 'topics/a.X')
    const deleted = applyEntry(created, 2, { v: 1, commitId: 'x', atMs: 0, changes: [{ type: 'topic-deleted', id: 'id-a' }] })
    assert.deepEqual([...deleted.deletedTopics.keys()], ['id-a'])
    assert.equal(topicByName(deleted, 'a'), null)
    const purged = applyEntry(deleted, 3, { v: 1, commitId: 'x', atMs: 0, changes: [{ type: 'topic-purged', id: 'id-a' }] })
    assert.equal(purged.deletedTopics.size, 0)
    assert.equal(freeLocation(purged, 'a', 'X'), 'topics/a.X')
    assert.equal(freeLocation(purged, 'b', 'X'), 'topics/b')
    assert.equal(freeLocation(decodeSnapshot(encodeSnapshot(purged)), 'a', 'X'), 'topics/a.X')
    const again = applyEntry(purged, 4, { v: 1, commitId: 'x', atMs: 0, changes: [{ type: 'topic-created', topic: topic('a', 'id2') }] })
    assert.equal(topicByName(again, 'a'), null, 'a second topic at the same location is void')
  })

  it('names an incarnation by the version of its entry and keeps it until it is retired', () => {
    const state = fold(
      { type: 'cluster-created', clusterId: 'C' },
      { type: 'incarnation-started', brokerId: 7, host: { pid: '1' } },
      { type: 'incarnation-started', brokerId: 7, host: { pid: '2' } },
      { type: 'incarnation-retired', incarnation: 2 },
    )
    assert.deepEqual([...state.incarnations.values()], [{ incarnation: 3, brokerId: 7, host: { pid: '2' }, startedMs: 1002 }])
  })

  it('ignores changes that do not fit', () => {
    const state = fold({ type: 'topic-created', topic: topic('a') }, { type: 'producer-ids-allocated', from: 0, to: 1000, incarnation: 1 })
    const misfits: JournalChange[] = [
      { type: 'topic-created', topic: topic('a', 'other') },
      { type: 'topic-created', topic: topic('b', 'id-a') },
      { type: 'topic-deleted', id: 'nobody' },
      { type: 'topic-purged', id: 'id-a' },
      { type: 'topic-configs-set', id: 'nobody', configs: {} },
      { type: 'partitions-created', id: 'id-a', partitions: 3 },
      { type: 'producer-ids-allocated', from: 999, to: 2000, incarnation: 1 },
      { type: 'incarnation-retired', incarnation: 99 },
    ]
    const after = applyEntry(state, 3, { v: 1, commitId: 'm', atMs: 0, changes: misfits })
    assert.deepEqual(after, { ...state, version: 3, commitId: 'm' })
  })

  it('comes back from a snapshot', () => {
    const state = fold(
      { type: 'cluster-created', clusterId: 'C' },
      { type: 'topic-created', topic: topic('a') },
      { type: 'topic-created', topic: topic('b') },
      { type: 'topic-deleted', id: 'id-b' },
      { type: 'incarnation-started', brokerId: 1, host: { host: 'h' } },
      { type: 'producer-ids-allocated', from: 0, to: 1000, incarnation: 5 },
    )
    assert.deepEqual(decodeSnapshot(encodeSnapshot(state)), state)
    assert.deepEqual(decodeSnapshot(encodeSnapshot(emptyJournalState)), emptyJournalState)
  })

  it('knows which name stands in the way of one that differs in dots and underscores only', () => {
    const state = fold({ type: 'topic-created', topic: topic('a.b') }, { type: 'topic-created', topic: topic('plain') })
    assert.equal(state.topicNamesByCollisionKey.get(collisionKey('a_b')), 'a.b')
    assert.equal(state.topicNamesByCollisionKey.get(collisionKey('plain')), 'plain')
    assert.deepEqual(decodeSnapshot(encodeSnapshot(state)), state)
    const later = applyEntry(state, 3, { v: 1, commitId: 'd', atMs: 0, changes: [{ type: 'topic-deleted', id: 'id-a.b' }] })
    assert.equal(later.topicNamesByCollisionKey.get(collisionKey('a_b')), undefined)
    assert.equal(state.topicNamesByCollisionKey.size, 2, 'the state before is as it was')
  })

  it('refuses entries of a newer release', () => {
    assert.throws(() => decodeEntry({ v: 2, commitId: 'c', atMs: 0, changes: [] }, 1), newer)
    assert.throws(() => decodeEntry({ v: 1, commitId: 'c', atMs: 0, changes: [{ type: 'shards-moved' }] }, 1), newer)
    assert.throws(() => decodeEntry({ v: 1, commitId: 'c', atMs: 0, changes: [{ type: 'topic-deleted' }] }, 1), /id is not a string/)
  })
})

describe('journal', () => {
  it('appends, and is read by another one', async () => {
    const store = new MemoryStore()
    const one = await Journal.open(store, testEnv())
    assert.deepEqual(await one.append(() => [{ type: 'cluster-created', clusterId: 'C' }]), {
      kind: 'appended',
      version: 1,
      changes: [{ type: 'cluster-created', clusterId: 'C' }],
    })
    assert.equal((await one.append(createTopic('a'))).kind, 'appended')
    assert.deepEqual(await one.append(createTopic('a')), { kind: 'refused', reason: 'exists' })
    const two = await Journal.open(store, testEnv())
    assert.deepEqual(two.state, one.state)
    await one.append(createTopic('b'))
    assert.equal(topicByName(two.state, 'b'), null)
    assert.equal(await two.poll(), 1)
    assert.equal(await two.poll(), 0)
    assert.deepEqual(two.state, one.state)
  })

  it('validates again after a conflict', async () => {
    const store = new MemoryStore()
    const one = await Journal.open(store, testEnv())
    const two = await Journal.open(store, testEnv())
    await one.append(createTopic('a'))
    const seen: number[] = []
    const outcome = await two.append<'exists'>((state) => {
      seen.push(state.version)
      return createTopic('a')(state)
    })
    assert.deepEqual(outcome, { kind: 'refused', reason: 'exists' })
    assert.deepEqual(seen.slice(0, 2), [0, 1])
    assert.equal(two.state.topics.size, 1)
  })

  it('does not refuse because of what has changed meanwhile', async () => {
    const store = new MemoryStore()
    const one = await Journal.open(store, testEnv())
    await one.append(createTopic('a'))
    const two = await Journal.open(store, testEnv())
    await one.append(() => [{ type: 'topic-deleted', id: 'id-a' }])
    const outcome = await two.append((state) =>
      state.topicIdsByName.has('a')
        ? { kind: 'refused', reason: 'exists' }
        : [{ type: 'topic-created', topic: { ...topic('a', 'new'), location: freeLocation(state, 'a', 'new') } }],
    )
    assert.equal(outcome.kind, 'appended')
    assert.equal(topicByName(two.state, 'a')?.location, 'topics/a.new')
  })

  it('gives concurrent writers of several brokers disjoint blocks, and everybody the same state', async () => {
    const store = new MemoryStore()
    const journals = await Promise.all(Array.from({ length: 4 }, () => Journal.open(store, testEnv())))
    const blocks: number[] = []
    await Promise.all(
      journals.flatMap((journal, j) =>
        Array.from({ length: 10 }, async () => {
          const outcome = await journal.append((state) => [
            { type: 'producer-ids-allocated', from: state.nextProducerId, to: state.nextProducerId + 1000, incarnation: j + 1 },
          ])
          assert.equal(outcome.kind, 'appended')
          const change = outcome.kind === 'appended' ? outcome.changes[0] : undefined
          assert.equal(change?.type, 'producer-ids-allocated')
          if (change?.type === 'producer-ids-allocated') blocks.push(change.from)
        }),
      ),
    )
    assert.deepEqual(blocks.sort((a, b) => a - b), Array.from({ length: 40 }, (_, i) => i * 1000))
    await Promise.all(journals.map((journal) => journal.poll()))
    for (const journal of journals) assert.deepEqual(journal.state, journals[0]?.state)
  })

  it('puts concurrent changes into few entries, but starts of incarnations into one each', async () => {
    const store = new MemoryStore()
    const journal = await Journal.open(store, testEnv())
    await Promise.all(Array.from({ length: 200 }, (_, i) => journal.append(createTopic(`t${i}`))))
    assert.equal(journal.state.topics.size, 200)
    assert.ok(journal.state.version <= 2, `${journal.state.version} entries`)
    const before = journal.state.version
    const starts = await Promise.all([1, 2, 3].map((brokerId) => journal.append(() => [{ type: 'incarnation-started', brokerId, host: {} }])))
    assert.deepEqual(starts.map((start) => (start.kind === 'appended' ? start.version : null)), [before + 1, before + 2, before + 3])
    assert.deepEqual([...journal.state.incarnations.values()].map((i) => [i.incarnation, i.brokerId]), [
      [before + 1, 1],
      [before + 2, 2],
      [before + 3, 3],
    ])
  })

  it('tells listeners of own and foreign entries in order', async () => {
    const store = new MemoryStore()
    const one = await Journal.open(store, testEnv())
    const two = await Journal.open(store, testEnv())
    const heard: string[] = []
    const stop = two.onChange((state, entry, version) => heard.push(`${version}:${entry.changes[0]?.type}:${state.topics.size}`))
    await one.append(createTopic('a'))
    await two.append(createTopic('b'))
    await one.append(createTopic('c'))
    await two.poll()
    stop()
    await two.append(createTopic('d'))
    assert.deepEqual(heard, ['1:topic-created:1', '2:topic-created:2', '3:topic-created:3'])
  })

  it('a builder that throws or does not fit fails its own caller only', async () => {
    const store = new MemoryStore()
    const journal = await Journal.open(store, testEnv())
    const results = await Promise.allSettled([
      journal.append(() => {
        throw new Error('mine')
      }),
      journal.append(() => [{ type: 'topic-deleted', id: 'nobody' }]),
      journal.append(createTopic('a')),
    ])
    assert.deepEqual(results.map((result) => result.status), ['rejected', 'rejected', 'fulfilled'])
    assert.equal(journal.state.topics.size, 1)
  })

  it('writes no change that a reader would refuse', async () => {
    const store = new MemoryStore()
    const journal = await Journal.open(store, testEnv())
    const broken = { ...topic('a'), createdMs: 1.5 }
    await assert.rejects(journal.append(() => [{ type: 'topic-created', topic: broken }]), /createdMs is not a count/)
    assert.equal(store.size, 0)
  })

  it('opens from the newest readable snapshot that belongs to it', async () => {
    const reads: string[] = []
    const store = new MemoryStore({ before: (operation, key) => void (operation === 'get' && reads.push(key)) })
    const journal = await Journal.open(store, testEnv(), { snapshotEveryChanges: 10 })
    for (let i = 0; i < 35; i++) await journal.append(createTopic(`t${i}`))
    await journal.close()
    const snapshots = await store.list('meta/snapshots/')
    assert.deepEqual(snapshots.map((object) => Number(object.key.slice(-25, -5))), [20, 30])

    reads.length = 0
    assert.deepEqual((await Journal.open(store, testEnv())).state, journal.state)
    assert.ok(!reads.includes(journalKey(29)), 'entries before the snapshot are not read')

    await store.put(snapshots[1]?.key as string, [Buffer.from('{"v":1,"torn')])
    assert.deepEqual((await Journal.open(store, testEnv())).state, journal.state)
    const alien = { ...journal.state, version: 20, commitId: 'another journal', topics: new Map() }
    await store.put(snapshots[0]?.key as string, [encodeSnapshot(alien)])
    assert.deepEqual((await Journal.open(store, testEnv())).state, journal.state)
  })

  it('answers aborted before and unknown after the entry was sent', async () => {
    const arrived = Promise.withResolvers<void>()
    const reply = Promise.withResolvers<void>()
    const store = new MemoryStore({
      before: (operation) => {
        if (operation !== 'putIfAbsent') return undefined
        arrived.resolve()
        return reply.promise
      },
    })
    const journal = await Journal.open(store, testEnv())
    const first = new AbortController()
    const second = new AbortController()
    const sent = journal.append(createTopic('a'), { signal: first.signal })
    await arrived.promise
    const queued = journal.append(createTopic('b'), { signal: second.signal })
    first.abort()
    second.abort()
    assert.deepEqual(await sent, { kind: 'unknown' })
    assert.deepEqual(await queued, { kind: 'aborted' })
    reply.resolve()
    await journal.close()
    assert.deepEqual([...journal.state.topicIdsByName.keys()], ['a'])
    assert.deepEqual(await journal.append(createTopic('c')), { kind: 'aborted' })
  })

  it('throws what is not retriable', async () => {
    const store = new MemoryStore({
      before: (operation) => {
        if (operation === 'putIfAbsent') throw new StoreError('denied', 'no')
      },
    })
    const journal = await Journal.open(store, testEnv())
    await assert.rejects(journal.append(createTopic('a')), (e) => e instanceof StoreError && e.kind === 'denied')
  })

  it('opens quickly with 10,000 topics', async () => {
    const store = new MemoryStore()
    const journal = await Journal.open(store, testEnv(), { snapshotEveryChanges: 5000 })
    for (let i = 0; i < 10_000; i += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, j) => journal.append(createTopic(`t${i + j}`))))
    }
    await journal.close()
    const started = performance.now()
    const opened = await Journal.open(store, testEnv())
    assert.ok(performance.now() - started < 2000)
    assert.equal(opened.state.topics.size, 10_000)
  })
})
