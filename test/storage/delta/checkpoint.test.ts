import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { AddFile } from '../../../storage/delta/actions.ts'
import { ThreadedCheckpointEngine } from '../../../storage/delta/checkpoint-engine.ts'
import { LogState, checkpointChunks, checkpointCommit } from '../../../storage/delta/checkpoint-file.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { checkpointKey, lastCheckpointKey } from '../../../storage/delta/log-files.ts'
import { tableProtocol, topicMetadata } from '../../../storage/delta/schema.ts'
import type { Snapshot, TableFile } from '../../../storage/delta/snapshot.ts'
import { DeltaTable, flushAppId } from '../../../storage/delta/table.ts'
import { TableUpkeep, checkpointEvery } from '../../../storage/delta/upkeep.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { deltaCommitKey } from '../../../storage/paths.ts'
import { realClock, testEnv } from '../../support/env.ts'
import { addOf, flush, foreign, location, removeOf, topicId } from './support.ts'

const inline = new InlineCheckpointEngine()
const day = 86_400_000

/** A wall clock that tests move. */
function movableEnv(startMs: number) {
  const env = testEnv()
  const time = { nowMs: startMs }
  return { time, env: { ...env, clock: { ...realClock, now: () => time.nowMs } } }
}

async function tableWith(store: ObjectStore, env = testEnv()): Promise<{ table: DeltaTable; upkeep: TableUpkeep }> {
  const table = new DeltaTable(store, env, location, { checkpoints: inline })
  await table.create({ topicId, name: 'orders' }, 'create-1')
  return { table, upkeep: new TableUpkeep(store, env, table, inline) }
}

async function reloaded(store: ObjectStore): Promise<DeltaTable> {
  const table = new DeltaTable(store, testEnv(), location, { checkpoints: inline })
  await table.load()
  return table
}

/** Everything a reader sees, without how it was learnt. */
function contents(table: DeltaTable) {
  const snapshot = table.snapshot as Snapshot
  const files = [...snapshot.allFiles()].map((file): TableFile => ({ ...file, addedAt: 0 }))
  return {
    version: snapshot.version,
    protocol: snapshot.protocol,
    metadata: snapshot.metadata,
    bytes: snapshot.bytes,
    txns: Object.fromEntries(snapshot.txns),
    files: files.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
  }
}

describe('checkpoint files', () => {
  test('keep every action, field by field', () => {
    const state = new LogState()
    const metadata = topicMetadata({ topicId, name: 'naïve ☃', properties: { 'delta.logRetentionDuration': 'interval 1 days' } }, 5)
    const add: AddFile = { ...addOf(3, 0, 9), dataChange: false, tags: { a: 'b' }, path: 'partition=3/with%20space.parquet' }
    const stray: AddFile = { path: 'x.parquet', partitionValues: { partition: null }, size: 1, modificationTime: 2, dataChange: false }
    const gone = { ...removeOf(addOf(1, 0, 4, 'gone')), deletionTimestamp: 100 }
    const forgotten = { ...removeOf(addOf(1, 5, 6, 'forgotten')), deletionTimestamp: 99 }
    state.apply({
      protocol: { minReaderVersion: 3, minWriterVersion: 7, readerFeatures: ['v2Checkpoint'], writerFeatures: ['v2Checkpoint', 'appendOnly'] },
      metadata,
      adds: [add, stray],
      removes: [gone, forgotten],
      txns: [{ appId: 'a', version: 7 }, { appId: 'b', version: 8, lastUpdated: 9 }],
    })
    const chunks = [...checkpointChunks(state, 100, 3)]
    assert.equal(chunks.length, 3)
    const commits = chunks.map((ipc) => checkpointCommit(ipc, 'test'))
    const read = { ...commits[0], adds: commits.flatMap((c) => c.adds), removes: commits.flatMap((c) => c.removes), txns: commits.flatMap((c) => c.txns) }
    assert.deepEqual(read.adds, [add, stray])
    assert.deepEqual(read.removes, [gone])
    assert.deepEqual(read.metadata, metadata)
    assert.deepEqual(read.protocol, state.protocol)
    assert.deepEqual(read.txns, [...state.txns.values()])
  })

  test('survive Parquet, in a thread as inline', async () => {
    const engine = new ThreadedCheckpointEngine(realClock)
    after(() => engine.close())
    const text = JSON.stringify({ add: addOf(0, 0, 9) })
    const head = `${JSON.stringify({ protocol: tableProtocol })}\n${JSON.stringify({ metaData: topicMetadata({ topicId }, 1) })}\n`
    const log = { parts: [], commits: [Buffer.from(head + text)] }
    const built = await engine.run({ kind: 'build', log, removedSinceMs: 0 })
    assert.ok(built.kind === 'built')
    assert.equal(built.adds, 1)
    const inThread = await engine.run({ kind: 'read', parquet: built.parquet })
    assert.deepEqual(inThread, await inline.run({ kind: 'read', parquet: built.parquet }))
    assert.ok(inThread.kind === 'read' && inThread.removes === 0)
    await assert.rejects(engine.run({ kind: 'read', parquet: built.parquet.slice(0, 100) }), /./)
    assert.equal((await engine.run({ kind: 'read', parquet: built.parquet })).kind, 'read')
  })
})

describe('checkpoints of a table', () => {
  test('make the next load equal, with ten thousand files', async () => {
    const store = new MemoryStore()
    const { table, upkeep } = await tableWith(store)
    for (let n = 0; n < 100; n++) {
      const adds = Array.from({ length: 100 }, (_, i) => addOf(i, n * 10, n * 10 + 9, `f${n}`))
      const txns = adds.map((_, i) => ({ appId: flushAppId(topicId, i), from: n === 0 ? null : n * 10, to: n * 10 + 10 }))
      await table.commit({ commitId: `c${n}`, operation: 'STREAMING UPDATE', adds, removes: [], txns })
    }
    const outcome = await upkeep.checkpoint()
    assert.ok(outcome.kind === 'written' && outcome.version === 100 && outcome.actions === 10_000 + 100 + 2, JSON.stringify(outcome))
    assert.deepEqual(await upkeep.checkpoint(), { kind: 'current' })
    const before = contents(table)
    // Nothing but the checkpoint is left: the load cannot have used the commits.
    await store.delete(Array.from({ length: 101 }, (_, version) => deltaCommitKey(location, version)))
    const after = await reloaded(store)
    assert.deepEqual(contents(after), before)
    assert.equal(after.checkpoint.version, 100)
    assert.deepEqual(await after.commit(flush(0, 1000, 1001, 'next')), { kind: 'committed', version: 101 })
  })

  test('follow one another, keep tombstones, and drop them once their files are gone', async () => {
    const store = new MemoryStore()
    const { env, time } = movableEnv(1_700_000_000_000)
    const { table, upkeep } = await tableWith(store, env)
    const first = addOf(0, 0, 4, 'f1')
    await store.put(`${location}/${first.path}`, [Buffer.from('x')])
    await table.commit(flush(0, 0, 5, 'f1'))
    await upkeep.checkpoint()
    await table.commit({ commitId: 'm', operation: 'OPTIMIZE', adds: [addOf(0, 0, 4, 'm', false)], removes: [removeOf(first)], txns: [] })
    await upkeep.checkpoint()
    assert.equal(table.checkpoint.tombstones, 1)
    assert.deepEqual(await upkeep.vacuum(), { deleted: 0, more: false })
    time.nowMs += 8 * day
    assert.deepEqual(await upkeep.vacuum(), { deleted: 1, more: false })
    assert.equal(await store.get(`${location}/${first.path}`), null)
    await table.commit(flush(0, 5, 6, 'f2'))
    assert.equal((await upkeep.checkpoint()).kind, 'written')
    assert.equal(table.checkpoint.tombstones, 0)
    assert.deepEqual(contents(await reloaded(store)), contents(table))
  })

  test('are found without a hint, with a garbage hint, and past a torn one', async () => {
    const store = new MemoryStore()
    const { table, upkeep } = await tableWith(store)
    await table.commit(flush(0, 0, 5, 'f1'))
    await upkeep.checkpoint()
    await table.commit(flush(0, 5, 10, 'f2'))
    await upkeep.checkpoint()
    await table.commit(flush(0, 10, 15, 'f3'))
    const expected = contents(table)
    const hints = ['', 'garbage', '{"version":99}', '{"version":-1}', 'null', '{"version":1}', '{"version":2,"parts":7}']
    for (const hint of hints) {
      await store.put(lastCheckpointKey(location), [Buffer.from(hint)])
      const again = await reloaded(store)
      assert.deepEqual(contents(again), expected, `hint ${hint}`)
      assert.equal(again.checkpoint.version, 2, `hint ${hint}`)
    }
    await store.delete([lastCheckpointKey(location)])
    await store.delete([deltaCommitKey(location, 0)])
    await store.put(`${location}/_delta_log/00000000000000000001.crc`, [Buffer.from('{}')])
    await store.put(`${location}/_delta_log/00000000000000000001.00000000000000000002.compacted.json`, [Buffer.from('{}')])
    assert.deepEqual(contents(await reloaded(store)), expected)
    const newest = await store.get(checkpointKey(location, 2))
    assert.ok(newest !== null)
    await store.put(checkpointKey(location, 2), [newest.subarray(0, newest.length - 10)])
    const past = await reloaded(store)
    assert.equal(past.checkpoint.version, 1)
    assert.deepEqual(contents(past), expected)
  })

  test('refuse a log with a gap, and a log without a beginning', async () => {
    const store = new MemoryStore()
    const { table } = await tableWith(store)
    for (let n = 0; n < 3; n++) await table.commit(flush(0, n, n + 1, `f${n}`))
    await store.delete([deltaCommitKey(location, 2)])
    await assert.rejects(reloaded(store), { name: 'DeltaError', kind: 'corrupt' })
    await store.delete([deltaCommitKey(location, 0)])
    await assert.rejects(reloaded(store), { name: 'DeltaError', kind: 'corrupt' })
    await assert.rejects(new DeltaTable(new MemoryStore(), testEnv(), location, { checkpoints: inline }).load(), { kind: 'missing' })
  })

  test('are not written over a log that says something else than memory', async () => {
    const store = new MemoryStore()
    const { table, upkeep } = await tableWith(store)
    await table.commit(flush(0, 0, 5, 'f1'))
    await store.delete([deltaCommitKey(location, 1)])
    await foreign(store, 1, {})
    assert.deepEqual(await upkeep.checkpoint(), { kind: 'disagrees' })
    assert.equal(await store.get(checkpointKey(location, 1)), null)
    assert.deepEqual(await table.commit(flush(0, 0, 5, 'f1')), { kind: 'committed', version: 2 })
    assert.equal((await upkeep.checkpoint()).kind, 'written')
  })

  test('leave the log before the retention to be cleaned, and the rest readable', async () => {
    const { env, time } = movableEnv(1_700_000_000_000)
    const store = new MemoryStore({ clock: env.clock })
    const { table, upkeep } = await tableWith(store, env)
    for (let n = 0; n < 10; n++) {
      await table.commit(flush(0, n, n + 1, `f${n}`))
      if (n % 3 === 2) await upkeep.checkpoint()
      time.nowMs += 5 * day
    }
    assert.equal(table.checkpoint.version, 9)
    // Version n+1 was written on day 5n; it is day 50, so those before day 20 (versions 1…4) are old, and 3 has a checkpoint.
    assert.deepEqual(await upkeep.cleanLog(), { deleted: 3, more: false })
    assert.equal(await store.get(deltaCommitKey(location, 2)), null)
    assert.notEqual(await store.get(deltaCommitKey(location, 3)), null)
    assert.deepEqual(await upkeep.cleanLog(), { deleted: 0, more: false })
    assert.deepEqual(contents(await reloaded(store)), contents(table))
    assert.equal((await new DeltaTable(store, env, location, { checkpoints: inline }).create({ topicId }, 'again')).kind, 'exists')
  })

  test('orphans are deleted once they are old, and nothing else', async () => {
    const { env, time } = movableEnv(1_700_000_000_000)
    const store = new MemoryStore({ clock: env.clock })
    const { table, upkeep } = await tableWith(store, env)
    const [live, merged, orphan] = [addOf(0, 0, 4, 'f1'), addOf(0, 5, 9, 'f2'), addOf(0, 10, 14, 'lost')]
    for (const add of [live, merged, orphan]) await store.put(`${location}/${add.path}`, [Buffer.from('x')])
    await table.commit(flush(0, 0, 5, 'f1'))
    await table.commit(flush(0, 5, 10, 'f2'))
    assert.deepEqual(await upkeep.vacuumOrphans(), { deleted: 0, after: null })
    time.nowMs += 8 * day
    const young = addOf(0, 15, 19, 'young')
    await store.put(`${location}/${young.path}`, [Buffer.from('x')])
    await table.commit({
      commitId: 'd', operation: 'DELETE', adds: [], removes: [{ ...removeOf(merged, true), deletionTimestamp: time.nowMs }], txns: [],
    })
    assert.deepEqual(await upkeep.vacuumOrphans(), { deleted: 1, after: null })
    const left = (await store.list(`${location}/partition`)).map((file) => file.key)
    assert.deepEqual(left, [live, merged, young].map((add) => `${location}/${add.path}`))
  })

  test('come at intervals that grow with the table', () => {
    assert.deepEqual([0, 2000, 10_000, 10_000_000].map(checkpointEvery), [100, 100, 500, 5000])
  })
})
