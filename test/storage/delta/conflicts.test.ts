/** What others may commit between the building of a change and its commit, and what becomes of the change then. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Commit } from '../../../storage/delta/actions.ts'
import type { TableChange } from '../../../storage/delta/change.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { DeltaTable, flushAppId } from '../../../storage/delta/table.ts'
import { TableUpkeep } from '../../../storage/delta/upkeep.ts'
import type { Env } from '../../../storage/env.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { deltaCommitKey } from '../../../storage/paths.ts'
import { realClock, testEnv } from '../../support/env.ts'
import { addOf, flush, foreign, location, removeOf, topicId } from './support.ts'

const checkpoints = new InlineCheckpointEngine()
const old = addOf(0, 0, 4, 'f1')
const merge: TableChange = {
  commitId: 'merge', operation: 'OPTIMIZE', adds: [addOf(0, 0, 4, 'merged', false)], removes: [removeOf(old)], txns: [],
}
const ingest: TableChange = { ...flush(0, 5, 9, 'ingest'), removes: [removeOf(old, true)] }

/** A table at version 1, with offsets 0 to 4 of partition 0 in one file. */
async function flushedTable(store: ObjectStore = new MemoryStore(), env: Env = testEnv()) {
  const warnings: string[] = []
  const options = { checkpoints, commitTimeoutMs: 200, warn: (message: string) => warnings.push(message) }
  const table = new DeltaTable(store, env, location, options)
  await table.create({ topicId }, 'create')
  await table.commit(flush(0, 0, 5, 'f1'))
  return { store, env, table, warnings, open: () => new DeltaTable(store, env, location, options) }
}

function property(table: DeltaTable, name: string, value: string): Partial<Commit> {
  const { metadata } = table.snapshot
  return { metadata: { ...metadata, configuration: { ...metadata.configuration, [name]: value } } }
}

describe('a change that meets somebody else’s commit', () => {
  const appended = { ...addOf(0, 0, 0, 'strange'), stats: '{"numRecords":1,"nullCount":{"offset":1}}' }
  type Outcome = 'committed' | 'txn-moved' | 'file-removed' | 'suspended' | 'already-applied'
  const matrix: readonly [string, (table: DeltaTable) => Partial<Commit>, flush: Outcome, merge: Outcome, ingest: Outcome][] = [
    ['append', () => ({ adds: [appended] }), 'committed', 'committed', 'committed'],
    ['append to another partition', () => ({ adds: [addOf(7, 0, 9, 'other')] }), 'committed', 'committed', 'committed'],
    ['OPTIMIZE', () => ({ adds: [addOf(0, 0, 4, 'opt', false)], removes: [removeOf(old)] }), 'committed', 'file-removed', 'file-removed'],
    ['DELETE of everything', () => ({ removes: [removeOf(old, true)] }), 'committed', 'file-removed', 'file-removed'],
    ['overwrite', () => ({ adds: [appended], removes: [removeOf(old, true)] }), 'committed', 'file-removed', 'file-removed'],
    [
      'RESTORE, which repeats protocol and metadata',
      (table) => ({ protocol: table.snapshot.protocol, metadata: table.snapshot.metadata, adds: [addOf(0, 0, 4, 'f1')] }),
      'committed', 'committed', 'committed',
    ],
    ['RESTORE to the empty table', () => ({ removes: [removeOf(old, true)] }), 'committed', 'file-removed', 'file-removed'],
    ['VACUUM', () => ({}), 'committed', 'committed', 'committed'],
    ['a harmless property', (table) => property(table, 'delta.logRetentionDuration', 'interval 1 days'), 'committed', 'committed', 'committed'],
    ['append-only', (table) => property(table, 'delta.appendOnly', 'true'), 'committed', 'committed', 'suspended'],
    ['a constraint', (table) => property(table, 'delta.constraints.c', 'offset > 3'), 'suspended', 'suspended', 'suspended'],
    ['another writer version with nothing in use', () => ({ protocol: { minReaderVersion: 1, minWriterVersion: 4 } }), 'committed', 'committed', 'committed'],
    ['a reader version that is unknown', () => ({ protocol: { minReaderVersion: 9, minWriterVersion: 9 } }), 'suspended', 'suspended', 'suspended'],
    ['a lost column', (table) => ({
      metadata: { ...table.snapshot.metadata, schemaString: table.snapshot.metadata.schemaString.replace('"offset"', '"gone"') },
    }), 'suspended', 'suspended', 'suspended'],
    ['a deletion vector', () => ({
      removes: [removeOf(old)], adds: [{ ...old, deletionVector: { storageType: 'u', pathOrInlineDv: 'x' } }],
    }), 'suspended', 'file-removed', 'file-removed'],
    ['another flush of less', () => ({ adds: [addOf(0, 5, 6, 'x')], txns: [{ appId: flushAppId(topicId, 0), version: 7 }] }), 'txn-moved', 'committed', 'txn-moved'],
    ['another flush of more', () => ({ adds: [addOf(0, 5, 20, 'x')], txns: [{ appId: flushAppId(topicId, 0), version: 21 }] }), 'already-applied', 'committed', 'already-applied'],
    ['a transaction of somebody else', () => ({ txns: [{ appId: 'spark', version: 21 }] }), 'committed', 'committed', 'committed'],
  ]

  for (const [name, commit, ...expected] of matrix) {
    test(name, async () => {
      for (const [index, change] of [flush(0, 5, 9, 'next'), merge, ingest].entries()) {
        const { store, table, open } = await flushedTable()
        await foreign(store, 2, commit(table), name)
        const outcome = await table.commit(change)
        assert.equal(outcome.kind === 'conflict' ? outcome.reason : outcome.kind, expected[index], `${change.commitId}: ${JSON.stringify(outcome)}`)
        if (outcome.kind === 'conflict') assert.equal(outcome.winner, 2)
        const written = (await store.get(deltaCommitKey(location, 3))) !== null
        assert.equal(written, outcome.kind === 'committed', 'only what is committed is written')
        const again = open()
        await again.load()
        assert.deepEqual(again.snapshot.files(0), [...table.snapshot.files(0)].map((file) => ({ ...file })))
        assert.equal(again.suspended, table.suspended)
      }
    })
  }

  test('goes on once a suspension is taken back', async () => {
    const { store, table } = await flushedTable()
    const { metadata } = table.snapshot
    await foreign(store, 2, property(table, 'delta.constraints.c', 'offset > 3'))
    assert.equal((await table.commit(flush(0, 5, 9, 'next'))).kind, 'suspended')
    await foreign(store, 3, { metadata })
    assert.deepEqual(await table.commit(flush(0, 5, 9, 'next')), { kind: 'committed', version: 4 })
  })

  test('names the commit that made it impossible among many', async () => {
    const { store, table } = await flushedTable()
    for (let version = 2; version < 12; version++) {
      await foreign(store, version, version === 7 ? { removes: [removeOf(old, true)] } : { adds: [addOf(1, version, version, `x${version}`)] })
    }
    const outcome = await table.commit(merge)
    assert.ok(outcome.kind === 'conflict' && outcome.reason === 'file-removed' && outcome.winner === 7, JSON.stringify(outcome))
    assert.deepEqual(await table.commit(flush(0, 5, 9, 'next')), { kind: 'committed', version: 12 })
  })

  test('is given up after a bounded number of lost versions', async () => {
    let racing = false
    const store = new MemoryStore({
      before: async (operation, key) => {
        if (!racing || operation !== 'putIfAbsent') return
        racing = false
        await foreign(store, Number(key.slice(-25, -5)), {})
        racing = true
      },
    })
    const table = new DeltaTable(store, testEnv(), location, { checkpoints, rebaseTriesMax: 5 })
    await table.create({ topicId }, 'create')
    racing = true
    const outcome = await table.commit(flush(0, 0, 5, 'f1'))
    assert.ok(outcome.kind === 'conflict' && outcome.reason === 'contention', JSON.stringify(outcome))
    assert.equal((await store.list(`${location}/_delta_log/`)).length, 6)
  })

  test('that no table could take is refused', async () => {
    const { table } = await flushedTable()
    const bad: TableChange[] = [
      { ...merge, adds: [], removes: [] },
      { ...flush(0, 5, 9, 'x'), txns: [{ appId: 'a', from: 9, to: 9 }] },
      { ...flush(0, 5, 9, 'x'), txns: [{ appId: 'a', from: 1, to: 2 }, { appId: 'a', from: 1, to: 2 }] },
      { ...merge, adds: [{ ...old, size: 0 }] },
      { ...merge, adds: [{ ...old, modificationTime: 1.5 }] },
      { ...merge, adds: [{ ...addOf(0, 0, 4, 'm'), partitionValues: {} }] },
      { ...merge, adds: [old] },
    ]
    for (const change of bad) await assert.rejects(async () => table.commit(change), { name: 'DeltaError', kind: 'invalid' })
  })
})

describe('a commit whose outcome is slow to come', () => {
  test('throws while the store does not answer, and is settled by calling again', async () => {
    let down: 'no' | 'lost' | 'all' = 'no'
    const store = new MemoryStore({
      before: () => {
        if (down === 'all') throw new StoreError('unavailable', 'down')
      },
      after: (operation) => {
        if (down === 'lost' && operation === 'putIfAbsent') down = 'all'
        if (down === 'all') throw new StoreError('timeout', 'the reply was lost')
      },
    })
    const { table } = await flushedTable(store)
    const change = flush(0, 5, 9, 'f2')
    down = 'lost'
    await assert.rejects(table.commit(change), { name: 'StoreError' })
    assert.equal(table.snapshot.version, 1)
    down = 'no'
    assert.deepEqual(await table.commit(change), { kind: 'committed', version: 2 })
    assert.deepEqual(await table.commit(change), { kind: 'committed', version: 2 })
    assert.equal(await store.get(deltaCommitKey(location, 3)), null)
  })

  test('is looked up in the log when it took longer than it is valid', async () => {
    const time = { offsetMs: 0 }
    const env = { ...testEnv(), clock: { ...realClock, monotonic: () => performance.now() + time.offsetMs } }
    let slow = false
    const store = new MemoryStore({
      after: (operation) => {
        if (slow && operation === 'putIfAbsent') time.offsetMs += 120_000
      },
    })
    const { table } = await flushedTable(store, env)
    slow = true
    assert.deepEqual(await table.commit(flush(0, 5, 9, 'f2')), { kind: 'committed', version: 2 })
  })

  test('does not count when it fell into a part of the log that was cleaned up meanwhile', async () => {
    const time = { offsetMs: 0 }
    const env = { ...testEnv(), clock: { ...realClock, monotonic: () => performance.now() + time.offsetMs } }
    let act: (() => Promise<void>) | null = null
    const store = new MemoryStore({
      before: async (operation) => {
        const now = act
        if (operation !== 'putIfAbsent' || now === null) return
        act = null
        await now()
      },
    })
    const { table, open, warnings } = await flushedTable(store, env)
    const other = open()
    await other.load()
    act = async () => {
      // While the write is on its way for a month, others go on, write a checkpoint and clean the log up to it.
      for (let n = 0; n < 3; n++) await other.commit(flush(1, n, n + 1, `other${n}`))
      await new TableUpkeep(store, env, other, checkpoints).checkpoint()
      await store.delete([0, 1, 2, 3].map((version) => deltaCommitKey(location, version)))
      time.offsetMs += 86_400_000 * 31
    }
    const change = flush(0, 5, 9, 'late')
    const outcome = await table.commit(change)
    assert.ok(outcome.kind === 'conflict' && outcome.reason === 'contention', JSON.stringify(outcome))
    assert.match(warnings.join(), /cleaned up/)
    assert.deepEqual(await table.commit(change), { kind: 'committed', version: 5 })
  })

  test('a process that slept past a clean-up loads the table anew before it writes', async () => {
    const time = { offsetMs: 0 }
    const env = { ...testEnv(), clock: { ...realClock, monotonic: () => performance.now() + time.offsetMs } }
    const { store, table, open } = await flushedTable(new MemoryStore(), env)
    const other = open()
    await other.load()
    for (let n = 0; n < 3; n++) await other.commit(flush(1, n, n + 1, `other${n}`))
    await new TableUpkeep(store, env, other, checkpoints).checkpoint()
    await store.delete([0, 1, 2, 3].map((version) => deltaCommitKey(location, version)))
    time.offsetMs += 86_400_000 * 31
    assert.deepEqual(await table.commit(flush(0, 5, 9, 'late')), { kind: 'committed', version: 5 })
    assert.equal(await store.get(deltaCommitKey(location, 2)), null)
  })
})

describe('when outsiders erase transactions', () => {
  test('the files say what was flushed, and a flush goes on from there', async () => {
    const { store, table, open, env } = await flushedTable()
    await foreign(store, 2, {
      metadata: { ...table.snapshot.metadata, configuration: { 'bayou.topic.id': topicId, 'delta.setTransactionRetentionDuration': 'interval 1 days' } },
    })
    await table.poll()
    await new TableUpkeep(store, env, table, checkpoints).checkpoint()
    // Their checkpoint has no transactions, and the log before it is gone.
    const key = `${location}/_delta_log/00000000000000000002.checkpoint.parquet`
    const log = { parts: [], commits: await Promise.all([0, 1, 2].map(async (v) => withoutTxn((await store.get(deltaCommitKey(location, v))) as Uint8Array))) }
    const built = await checkpoints.run({ kind: 'build', log, removedSinceMs: 0 })
    assert.ok(built.kind === 'built')
    await store.put(key, [built.parquet])
    await store.delete([0, 1, 2].map((version) => deltaCommitKey(location, version)))

    const again = open()
    await again.load()
    const appId = flushAppId(topicId, 0)
    assert.deepEqual(again.flushedOffset(appId, 0), { kind: 'known', offset: 5, source: 'statistics' })
    // A change that was built on the transaction must be built anew; one that was built on its absence is taken.
    const stale = await again.commit(flush(0, 5, 9, 'stale'))
    assert.ok(stale.kind === 'conflict' && stale.reason === 'txn-moved', JSON.stringify(stale))
    const change = { ...flush(0, 5, 9, 'next'), txns: [{ appId, from: null, to: 9 }] }
    assert.deepEqual(await again.commit(change), { kind: 'committed', version: 3 })
    assert.deepEqual(again.flushedOffset(appId, 0), { kind: 'known', offset: 9, source: 'txn' })
  })

  test('and statistics are missing too, nothing is guessed', async () => {
    const { store, table } = await flushedTable()
    const { stats, ...bare } = addOf(1, 50, 59, 'bare')
    assert.ok(stats !== undefined)
    await foreign(store, 2, { adds: [bare, addOf(1, 10, 19, 'known')] })
    await table.poll()
    const appId = flushAppId(topicId, 1)
    const flushed = table.flushedOffset(appId, 1)
    assert.ok(flushed.kind === 'unknown' && flushed.atLeast === 20 && flushed.files[0]?.path === bare.path, JSON.stringify(flushed))
    table.provideRange(bare.path, { kind: 'known', first: 50, last: 59 })
    assert.deepEqual(table.flushedOffset(appId, 1), { kind: 'known', offset: 60, source: 'statistics' })
  })
})

function withoutTxn(commit: Uint8Array): Uint8Array {
  return Buffer.from(Buffer.from(commit).toString().split('\n').filter((line) => !line.startsWith('{"txn"')).join('\n'))
}
