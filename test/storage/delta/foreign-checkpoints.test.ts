/** Checkpoints in the shapes that other writers give them, and logs of any length. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Field, Int32, Int64, Struct, Table, Utf8, tableToIPC, vectorFromArray } from 'apache-arrow'
import { encodeCommit, parseCommit } from '../../../storage/delta/actions.ts'
import type { Commit } from '../../../storage/delta/actions.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { findTail } from '../../../storage/delta/log-files.ts'
import { tableProtocol, topicMetadata } from '../../../storage/delta/schema.ts'
import { DeltaTable } from '../../../storage/delta/table.ts'
import { TableUpkeep } from '../../../storage/delta/upkeep.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { writeTable } from '../../../storage/parquet/parquet-library.ts'
import { deltaCommitKey, digits20 } from '../../../storage/paths.ts'
import { testEnv } from '../../support/env.ts'
import { addOf, flush, location, topicId } from './support.ts'

const engine = new InlineCheckpointEngine()
const log = `${location}/_delta_log`
const head = { protocol: tableProtocol, metadata: topicMetadata({ topicId }, 1) }
const adds = Array.from({ length: 6 }, (_, n) => addOf(0, n * 10, n * 10 + 9, `f${n}`, false))

/** Checkpoint rows of some actions. Protocol and metadata are put in to build it and stay where `commit` has them. */
async function parquetOf(commit: Partial<Commit>): Promise<Uint8Array> {
  const built = await engine.run({ kind: 'build', log: { parts: [], commits: [encodeCommit({ ...head, ...commit })] }, removedSinceMs: 0 })
  assert.ok(built.kind === 'built')
  return built.parquet
}

async function load(store: MemoryStore): Promise<DeltaTable> {
  const table = new DeltaTable(store, testEnv(), location, { checkpoints: engine })
  await table.load()
  return table
}

const paths = (table: DeltaTable) => table.snapshot.files(0).map((file) => file.path)

describe('checkpoints of other writers', () => {
  test('in several parts, as long as every part is there', async () => {
    const store = new MemoryStore()
    const part = (n: number) => `${log}/${digits20(10)}.checkpoint.${String(n).padStart(10, '0')}.0000000003.parquet`
    for (let n = 1; n <= 3; n++) await store.put(part(n), [await parquetOf({ adds: adds.slice(n * 2 - 2, n * 2) })])
    await store.put(deltaCommitKey(location, 10), [encodeCommit({ adds: [] })])
    await store.put(deltaCommitKey(location, 11), [encodeCommit({ adds: [addOf(0, 60, 69, 'later')] })])
    const table = await load(store)
    assert.deepEqual(paths(table), [...adds, addOf(0, 60, 69, 'later')].map((add) => add.path))
    assert.equal((await new TableUpkeep(store, testEnv(), table, engine).checkpoint()).kind, 'written')
    assert.deepEqual(paths(await load(store)), paths(table))
    await store.delete([part(2), `${log}/${digits20(11)}.checkpoint.parquet`, `${log}/_last_checkpoint`])
    await assert.rejects(load(store), { kind: 'corrupt' })
  })

  for (const format of ['json', 'parquet'] as const) {
    test(`of the second kind, in ${format} with sidecars`, async () => {
      const store = new MemoryStore()
      const unique = '80a083e8-7026-4e79-81be-64bd76c43a11'
      await store.put(`${log}/_sidecars/one.parquet`, [await parquetOf({ adds: adds.slice(0, 3) })])
      await store.put(`${log}/_sidecars/two%20.parquet`.replace('%20', ' '), [await parquetOf({ adds: adds.slice(3) })])
      const sidecars = ['one.parquet', 'two%20.parquet'].map((path) => ({ sidecar: { path, sizeInBytes: 1, modificationTime: 1 } }))
      const lines = sidecars.map((line) => JSON.stringify(line)).join('\n')
      const bytes = format === 'json' ? Buffer.from(`${Buffer.from(encodeCommit(head)).toString()}{"checkpointMetadata":{"version":10}}\n${lines}\n`) : sidecarParquet()
      await store.put(`${log}/${digits20(10)}.checkpoint.${unique}.${format}`, [bytes])
      await store.put(`${log}/_last_checkpoint`, [Buffer.from(JSON.stringify({ version: 10, size: 9, v2Checkpoint: { path: 'x' } }))])
      const table = await load(store)
      assert.deepEqual(paths(table), adds.map((add) => add.path))
      const next = await table.commit({ ...flush(0, 60, 70, 'next'), txns: [] })
      assert.ok(next.kind === 'committed', JSON.stringify(next))
      assert.equal((await new TableUpkeep(store, testEnv(), table, engine).checkpoint()).kind, 'written')
      assert.deepEqual(paths(await load(store)), paths(table))
    })
  }

  test('with statistics as columns only', async () => {
    const values = new Struct([new Field('offset', new Int64(), true)])
    const stats = new Struct([
      new Field('numRecords', new Int64(), true), new Field('minValues', values, true), new Field('maxValues', values, true),
      new Field('nullCount', values, true),
    ])
    const type = new Struct([new Field('path', new Utf8(), true), new Field('size', new Int64(), true), new Field('stats_parsed', stats, true)])
    const rows = [{
      path: 'x.parquet', size: 5n,
      stats_parsed: { numRecords: 3n, minValues: { offset: 4n }, maxValues: { offset: 8n }, nullCount: { offset: 0n } },
    }]
    const ipc = tableToIPC(new Table({ add: vectorFromArray(rows, type) }), 'stream')
    const read = await engine.run({ kind: 'read', parquet: writeTable(ipc, 'snappy', 100) })
    assert.ok(read.kind === 'read' && read.pieces[0] !== undefined)
    const [add] = parseCommit(read.pieces[0], 'test').adds
    assert.deepEqual(JSON.parse(add?.stats ?? ''), { numRecords: 3, minValues: { offset: 4 }, maxValues: { offset: 8 }, nullCount: { offset: 0 } })
  })
})

/** The top of a v2 checkpoint that names its sidecars in Parquet, and nothing else. */
function sidecarParquet(): Uint8Array {
  const type = new Struct([new Field('path', new Utf8(), true), new Field('sizeInBytes', new Int64(), true)])
  const protocol = new Struct([new Field('minReaderVersion', new Int32(), true), new Field('minWriterVersion', new Int32(), true)])
  const format = new Struct([new Field('provider', new Utf8(), true)])
  const metadata = new Struct([new Field('id', new Utf8(), true), new Field('schemaString', new Utf8(), true), new Field('format', format, true)])
  const { id, schemaString } = head.metadata
  const table = new Table({
    sidecar: vectorFromArray([{ path: 'one.parquet', sizeInBytes: 1n }, { path: 'two%20.parquet', sizeInBytes: 1n }, null, null], type),
    protocol: vectorFromArray([null, null, { minReaderVersion: 1, minWriterVersion: 2 }, null], protocol),
    metaData: vectorFromArray([null, null, null, { id, schemaString, format: { provider: 'parquet' } }], metadata),
  })
  return writeTable(tableToIPC(table, 'stream'), 'snappy', 100)
}

describe('the tail of a log', () => {
  test('is found in few lists, however long it is', async () => {
    let lists = 0
    const store = new MemoryStore({
      before: (operation) => {
        if (operation === 'list') lists++
      },
    })
    assert.equal(await findTail(store, location), -1)
    await store.put(`${log}/_last_checkpoint`, [Buffer.from('x')])
    assert.equal(await findTail(store, location), -1)
    for (const tail of [0, 1, 2, 1023, 1024, 1025, 5000]) {
      for (let version = Math.max(0, tail - 30); version <= tail; version++) await store.put(deltaCommitKey(location, version), [Buffer.from('x')])
      lists = 0
      assert.equal(await findTail(store, location), tail)
      assert.ok(lists < 40, `${lists} lists for ${tail}`)
    }
    const far = 40_000_000
    await store.put(deltaCommitKey(location, far), [Buffer.from('x')])
    lists = 0
    assert.equal(await findTail(store, location), far)
    assert.ok(lists < 60, `${lists} lists`)
  })

  test('is loaded without a hint from a checkpoint far behind it', async () => {
    const store = new MemoryStore()
    const table = new DeltaTable(store, testEnv(), location, { checkpoints: engine })
    await table.create({ topicId }, 'create')
    await table.commit(flush(0, 0, 1, 'f0'))
    await new TableUpkeep(store, testEnv(), table, engine).checkpoint()
    for (let n = 1; n < 2500; n++) await table.commit(flush(0, n, n + 1, `f${n}`))
    await store.delete([`${log}/_last_checkpoint`, deltaCommitKey(location, 0)])
    const again = await load(store)
    assert.equal(again.snapshot.version, 2500)
    assert.equal(again.checkpoint.version, 1)
    assert.equal(again.snapshot.fileCount, 2500)
  })
})
