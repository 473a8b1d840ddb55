import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { DeltaTable, flushAppId } from '../../../storage/delta/table.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { deltaCommitKey } from '../../../storage/paths.ts'
import { testEnv } from '../../support/env.ts'
import { addOf, flush, foreign, location, removeOf, topicId } from './support.ts'

const checkpoints = new InlineCheckpointEngine()

function open(store: ObjectStore): DeltaTable {
  return new DeltaTable(store, testEnv(), location, { checkpoints })
}

async function created(store: ObjectStore): Promise<DeltaTable> {
  const table = open(store)
  assert.deepEqual(await table.create({ topicId, name: 'orders' }, 'create-1'), { kind: 'created' })
  return table
}

class ListCounter extends MemoryStore {
  lists = 0

  override list(...request: Parameters<MemoryStore['list']>): ReturnType<MemoryStore['list']> {
    this.lists++
    return super.list(...request)
  }
}

describe('a table', () => {
  test('is created once, and its identity is checked', async () => {
    const store = new MemoryStore()
    const [a, b] = [open(store), open(store)]
    const outcomes = await Promise.all([a.create({ topicId }, 'c1'), b.create({ topicId }, 'c2')])
    assert.deepEqual(outcomes.map((outcome) => outcome.kind).toSorted(), ['created', 'exists'])
    const other = await open(store).create({ topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' }, 'c3')
    assert.equal(other.kind, 'occupied')
    assert.equal(a.snapshot.version, 0)
    assert.deepEqual(a.snapshot.protocol, { minReaderVersion: 1, minWriterVersion: 2 })
    assert.equal(a.snapshot.metadata.configuration['bayou.topic.id'], topicId)
  })

  test('costs one list to create and one to open, whatever number of topics has none yet', async () => {
    const store = new ListCounter()
    const table = await created(store)
    assert.equal(store.lists, 1)
    for (let n = 0; n < 30; n++) await table.commit(flush(0, n * 10, n * 10 + 10, `f${n}`))
    store.lists = 0
    assert.equal((await open(store).load()).version, 30)
    assert.equal(store.lists, 1)
  })

  test('takes flushes, and a second broker sees them', async () => {
    const store = new MemoryStore()
    const table = await created(store)
    assert.deepEqual(await table.commit(flush(0, 0, 10, 'f1')), { kind: 'committed', version: 1 })
    assert.deepEqual(await table.commit(flush(0, 10, 25, 'f2')), { kind: 'committed', version: 2 })
    assert.deepEqual(table.flushedOffset(flushAppId(topicId, 0), 0), { kind: 'known', offset: 25, source: 'txn' })
    const other = open(store)
    const snapshot = await other.load()
    assert.equal(snapshot.version, 2)
    assert.deepEqual(snapshot.files(0), table.snapshot.files(0))
    assert.deepEqual(
      snapshot.filesForOffset(0, 12).covering.map((file) => [file.first, file.last]),
      [[10, 24]],
    )
  })

  test('gives each of two racing flushers of different partitions its version', async () => {
    const store = new MemoryStore()
    const a = await created(store)
    const b = open(store)
    await b.load()
    const outcomes = await Promise.all([a.commit(flush(0, 0, 5, 'a1')), b.commit(flush(1, 0, 5, 'b1'))])
    assert.deepEqual(outcomes.map((outcome) => outcome.kind), ['committed', 'committed'])
    const snapshot = await open(store).load()
    assert.equal(snapshot.version, 2)
    assert.equal(snapshot.fileCount, 2)
  })

  test('takes one of two racing flushes of the same partition (P4)', async () => {
    const store = new MemoryStore()
    const a = await created(store)
    const b = open(store)
    await b.load()
    const outcomes = await Promise.all([a.commit(flush(0, 0, 5, 'a1')), b.commit(flush(0, 0, 7, 'b1'))])
    const kinds = outcomes.map((outcome) => outcome.kind).toSorted()
    assert.ok(kinds.includes('committed'))
    assert.ok(kinds.includes('conflict') || kinds.includes('already-applied'), kinds.join())
    assert.equal((await open(store).load()).fileCount, 1)
  })

  test('says already-applied to a commit that is repeated by a broker that does not know', async () => {
    const store = new MemoryStore()
    const a = await created(store)
    const b = open(store)
    await b.load()
    const change = flush(0, 0, 5, 'a1')
    await a.commit(change)
    assert.deepEqual(await a.commit(change), { kind: 'committed', version: 1 })
    assert.deepEqual(await b.commit(change), { kind: 'committed', version: 1 })
    assert.deepEqual(await b.commit({ ...change, commitId: 'other' }), { kind: 'already-applied', version: null })
  })

  test('rebases over what others commit, and reports it to the next poll', async () => {
    const store = new MemoryStore()
    const table = await created(store)
    await table.commit(flush(0, 0, 5, 'a1'))
    const old = addOf(0, 0, 4, 'a1')
    await foreign(store, 2, { removes: [removeOf(old)], adds: [addOf(0, 0, 4, 'optimized', false)] }, 'OPTIMIZE')
    await foreign(store, 3, { adds: [{ ...addOf(0, 0, 0, 'appended'), stats: '{"numRecords":3,"nullCount":{"offset":3}}' }] })
    assert.deepEqual(await table.commit(flush(0, 5, 9, 'a2')), { kind: 'committed', version: 4 })
    const polled = await table.poll()
    assert.deepEqual(polled.foreign.map((commit) => [commit.version, commit.operation, commit.dataChange]), [
      [2, 'OPTIMIZE', false],
      [3, 'WRITE', true],
    ])
    assert.equal(table.snapshot.appendsOf(0).length, 1)
    assert.deepEqual(
      table.snapshot.files(0).map((file) => [file.first, file.last, file.addedAt]),
      [
        [0, 4, 2],
        [5, 8, 4],
      ],
    )
    assert.deepEqual((await table.poll()).foreign, [])
  })

  test('settles a commit whose reply was lost', async () => {
    let lose = false
    const store = new MemoryStore({
      after: (operation) => {
        if (operation !== 'putIfAbsent' || !lose) return
        lose = false
        throw new StoreError('timeout', 'the reply was lost')
      },
    })
    const table = await created(store)
    lose = true
    assert.deepEqual(await table.commit(flush(0, 0, 5, 'a1')), { kind: 'committed', version: 1 })
    assert.equal(table.snapshot.version, 1)
    assert.equal((await open(store).load()).version, 1)
  })

  test('conflicts when a file that it replaces was removed', async () => {
    const store = new MemoryStore()
    const table = await created(store)
    await table.commit(flush(0, 0, 5, 'a1'))
    const old = addOf(0, 0, 4, 'a1')
    await foreign(store, 2, { removes: [removeOf(old, true)] }, 'DELETE')
    const outcome = await table.commit({
      commitId: 'compact',
      operation: 'OPTIMIZE',
      adds: [addOf(0, 0, 4, 'merged', false)],
      removes: [removeOf(old)],
      txns: [],
    })
    assert.ok(outcome.kind === 'conflict' && outcome.reason === 'file-removed' && outcome.winner === 2, JSON.stringify(outcome))
    assert.equal((await open(store).load()).fileCount, 0)
  })

  test('is suspended by a feature that cannot be honoured, and writes nothing', async () => {
    const store = new MemoryStore()
    const table = await created(store)
    const metadata = table.snapshot.metadata
    await foreign(store, 1, {
      protocol: { minReaderVersion: 1, minWriterVersion: 3 },
      metadata: { ...metadata, configuration: { ...metadata.configuration, 'delta.constraints.c1': 'offset > 0' } },
    })
    const outcome = await table.commit(flush(0, 0, 5, 'a1'))
    assert.equal(outcome.kind, 'suspended')
    assert.equal(await store.get(deltaCommitKey(location, 2)), null)
    assert.match(table.suspended ?? '', /CHECK constraint/)
  })

  test('notices that a commit was overwritten, and forgets what it held', async () => {
    const store = new MemoryStore()
    const table = await created(store)
    const change = flush(0, 0, 5, 'a1')
    await table.commit(change)
    await store.put(change.adds[0] === undefined ? '' : `${location}/${change.adds[0].path}`, [Buffer.from('x')])
    const paths = change.adds.map((add) => add.path)
    assert.deepEqual(await table.verifyCommit(1, 'a1', paths), { kind: 'intact' })
    await store.delete([deltaCommitKey(location, 1)])
    await foreign(store, 1, { adds: [addOf(1, 0, 0, 'theirs')] })
    assert.deepEqual(await table.verifyCommit(1, 'a1', paths), { kind: 'overwritten', by: 'somebody/1' })
    assert.deepEqual(await table.commit(change), { kind: 'committed', version: 2 })
    assert.equal((await open(store).load()).fileCount, 2)
  })

  test('reports data files that are gone', async () => {
    const store = new MemoryStore()
    const table = await created(store)
    const change = flush(0, 0, 5, 'a1')
    await table.commit(change)
    const paths = change.adds.map((add) => add.path)
    assert.deepEqual(await table.verifyCommit(1, 'a1', paths), { kind: 'files-missing', paths })
  })
})
