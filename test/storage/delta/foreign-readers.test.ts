import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import type { RecordToEncode } from '../../../protocol/records/encoder.ts'
import type { AddFile } from '../../../storage/delta/actions.ts'
import { compactionChange, planCompaction } from '../../../storage/delta/compaction.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { DeltaTable, flushAppId } from '../../../storage/delta/table.ts'
import { TableUpkeep } from '../../../storage/delta/upkeep.ts'
import { fileStats } from '../../../storage/maintenance/file-stats.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { openStore } from '../../../storage/objects/open-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { WrittenFile } from '../../../storage/parquet/topic-file-writer.ts'
import { bodyBytes } from '../../../storage/objects/keys.ts'
import { dataFilePath, deltaCommitKey } from '../../../storage/paths.ts'
import { DeltaReader, engines, noDeltaReaders } from '../../support/delta-reader.ts'
import { testEnv } from '../../support/env.ts'
import { location, topicId } from './support.ts'

/** One topic's table on a directory, with a flusher that writes real files, and what every version should hold. */
class Topic {
  readonly env = testEnv()
  readonly parquet = new InlineParquet()
  readonly engine = new InlineCheckpointEngine()
  readonly store: ObjectStore
  readonly table: DeltaTable
  readonly upkeep: TableUpkeep
  /** Rows by partition and version. */
  readonly expected: Map<number, number>[] = []
  readonly #next = new Map<number, number>()

  constructor(store: ObjectStore) {
    this.store = store
    this.table = new DeltaTable(store, this.env, location, { checkpoints: this.engine })
    this.upkeep = new TableUpkeep(store, this.env, this.table, this.engine)
  }

  async flush(partitions: readonly number[], count: number): Promise<number> {
    const changes = await Promise.all(
      partitions.map(async (partition) => {
        const from = this.#next.get(partition) ?? 0
        const records = Array.from({ length: count }, (_, i) => recordOf(partition, from + i))
        const batch = encodeBatch({ baseOffset: from, records })
        const written = await this.parquet.encode({
          partition, batches: [batch], fromOffset: from, endOffset: from + count, compression: 'zstd',
        })
        this.#next.set(partition, from + count)
        return {
          add: await this.put(partition, from, written, true),
          txn: { appId: flushAppId(topicId, partition), from: from === 0 ? null : from, to: from + count },
        }
      }),
    )
    const outcome = await this.table.commit({
      commitId: this.env.uuid(),
      operation: 'STREAMING UPDATE',
      adds: changes.map(({ add }) => add),
      removes: [],
      txns: changes.map(({ txn }) => txn),
    })
    assert.ok(outcome.kind === 'committed', JSON.stringify(outcome))
    return outcome.version
  }

  async put(partition: number, from: number, written: WrittenFile, dataChange: boolean): Promise<AddFile> {
    assert.ok(written.parquet !== null)
    const path = dataFilePath(partition, from, this.env.uuid())
    await this.store.put(`${location}/${path}`, written.parquet)
    return {
      path, partitionValues: { partition: String(partition) }, size: bodyBytes(written.parquet),
      modificationTime: Math.trunc(this.env.clock.now()), dataChange, stats: fileStats(written),
    }
  }

  async compact(partition: number, filesMin: number): Promise<number> {
    const plan = planCompaction(this.table.snapshot, partition, { filesMin, growth: 2 })
    assert.ok(plan !== null)
    const files = await Promise.all(plan.files.map((file) => this.store.get(`${location}/${file.path}`)))
    const written = await this.parquet.mergeByOffset({ files: files.filter((file) => file !== null), compression: 'zstd' })
    const output = await this.put(partition, plan.first, written, false)
    const outcome = await this.table.commit(compactionChange(plan, [output], this.env.uuid(), this.env.clock.now()))
    assert.ok(outcome.kind === 'committed', JSON.stringify(outcome))
    return outcome.version
  }

  next(partition: number): number {
    return this.#next.get(partition) ?? 0
  }
}

function recordOf(partition: number, offset: number): RecordToEncode {
  return {
    timestamp: 1_700_000_000_000 + offset * 1000 + partition,
    key: offset % 3 === 0 ? null : Buffer.from(`key-${offset}`),
    value: offset % 5 === 0 ? null : Buffer.from(`value ${offset} of ${partition}`),
    headers: offset % 2 === 0 ? [] : [{ key: 'a', value: Buffer.from('1') }, { key: 'a', value: null }],
  }
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('base64')
}

/** On a directory, and on S3 where BAYOU_TEST_S3 names a bucket (`npm run minio` prints the environment). */
const s3 = process.env['BAYOU_TEST_S3']
const places = s3 === undefined ? ['a directory'] : ['a directory', 'S3']

for (const place of places) describe(`delta-rs and DuckDB agree on what Bayou writes to ${place}`, { skip: noDeltaReaders }, () => {
  let root = ''
  let path = ''
  let topic: Topic
  let reader: DeltaReader

  before(async () => {
    const env = testEnv()
    root = place === 'S3' && s3 !== undefined ? `${s3.replace(/\/+$/, '')}/readers-${env.uuid()}` : await mkdtemp(join(tmpdir(), 'bayou-delta-'))
    path = `${root}/${location}`
    topic = new Topic(await openStore(root, env))
    reader = new DeltaReader()
    await topic.table.create({ topicId, name: 'orders' }, topic.env.uuid())
  })

  after(async () => {
    await reader.close()
    const keys = (await topic.store.list('')).map((file) => file.key)
    await topic.store.delete(keys)
    await topic.store.close()
    if (place !== 'S3') await rm(root, { recursive: true, force: true })
  })

  /** Every offset below the next one exactly once, in both engines, at a version or now. */
  async function agree(expected: Readonly<Record<number, number>>, version?: number): Promise<void> {
    for (const engine of engines) {
      const summary = await reader.summary(engine, path, version)
      const wanted = Object.entries(expected).map(([partition, count]) => [partition, { count, distinct: count, min: 0, max: count - 1 }])
      assert.deepEqual(summary.partitions, Object.fromEntries(wanted), `${engine} at ${version ?? 'the end'}`)
    }
  }

  const history: Record<number, number>[] = [{}]

  test('at every version, before and after checkpoints, and with the commits before a checkpoint gone', async () => {
    for (let n = 0; n < 6; n++) {
      const version = await topic.flush(n % 2 === 0 ? [0, 1] : [0], 10)
      history[version] = { 0: topic.next(0), ...(topic.next(1) > 0 ? { 1: topic.next(1) } : {}) }
      await agree(history[version])
      if (n === 1 || n === 3) assert.equal((await topic.upkeep.checkpoint()).kind, 'written')
    }
    for (const [version, expected] of history.entries()) await agree(expected, version)
    await topic.store.delete([0, 1, 2, 3].map((version) => deltaCommitKey(location, version)))
    for (const [version, expected] of history.entries()) if (version >= 4) await agree(expected, version)
    for (const partition of [0, 1]) {
      const app = flushAppId(topicId, partition)
      assert.equal(await reader.ask({ op: 'txn', table: path, app }), topic.next(partition))
    }
  })

  test('row by row', async () => {
    for (const engine of engines) {
      const rows = await reader.rows(engine, path)
      assert.equal(rows.length, topic.next(0) + topic.next(1))
      for (const row of rows) {
        assert.ok(row.partition !== null && row.offset !== null)
        const record = recordOf(row.partition, row.offset)
        const headers = record.headers?.map((header) => [header.key, base64(header.value)]) ?? []
        assert.deepEqual(
          [row.timestamp, row.key, row.value, row.headers],
          [record.timestamp, base64(record.key), base64(record.value), headers.length === 0 ? null : headers],
          engine,
        )
      }
    }
  })

  test('after a merge of ours, before and after the checkpoint that carries its tombstones', async () => {
    const files = topic.table.snapshot.files(0).length
    const version = await topic.compact(0, 4)
    assert.ok(topic.table.snapshot.files(0).length < files)
    const expected = { 0: topic.next(0), 1: topic.next(1) }
    await agree(expected)
    await agree(expected, version - 1)
    await topic.upkeep.checkpoint()
    assert.ok(topic.table.checkpoint.tombstones > 0)
    await agree(expected)
  })

  test('when others optimize, append, delete, vacuum and checkpoint in between', async () => {
    const table = topic.table
    for (let n = 0; n < 3; n++) await topic.flush([0, 1], 10)
    await reader.ask({ op: 'optimize', table: path })
    await topic.flush([0, 1], 10)
    await agree({ 0: topic.next(0), 1: topic.next(1) })
    const polled = await table.poll()
    assert.deepEqual(polled.foreign.map((commit) => [commit.operation, commit.dataChange]), [['OPTIMIZE', false]])
    // Cold reads find every offset wherever its row went.
    for (const partition of [0, 1]) {
      for (let offset = 0; offset < topic.next(partition); offset++) {
        assert.equal(table.snapshot.filesForOffset(partition, offset).covering.length, 1, `${partition}/${offset}`)
      }
    }

    await reader.ask({ op: 'append', engine: 'deltalake', table: path, partition: 0, values: ['x', 'y'] })
    await reader.ask({ op: 'append', engine: 'deltalake', table: path, partition: null, values: ['z'] })
    // DuckDB inserts on local file systems only.
    const inserter = place === 'S3' ? 'deltalake' : 'duckdb'
    await reader.ask({ op: 'append', engine: inserter, table: path, partition: 1, values: ['d'] })
    await table.poll()
    assert.deepEqual(table.snapshot.appendsOf(0).map((file) => [file.records, file.nullOffsets]), [[2, 2]])
    assert.equal(table.snapshot.appendsOf(1).length, 1)
    assert.deepEqual(table.snapshot.strays().map((file) => file.records), [1])
    await topic.flush([0, 1], 10)
    for (const engine of engines) {
      assert.equal(await reader.ask({ op: 'count', engine, table: path, where: '"offset" is null' }), 4, engine)
    }

    await reader.ask({ op: 'delete', table: path, where: '"offset" is null' })
    await reader.ask({ op: 'vacuum', table: path })
    await reader.ask({ op: 'checkpoint', table: path })
    await topic.flush([0, 1], 10)
    await agree({ 0: topic.next(0), 1: topic.next(1) })
    assert.equal(table.snapshot.appendsOf(0).length + table.snapshot.appendsOf(1).length + table.snapshot.strays().length, 0)

    // What was followed commit by commit is what their checkpoint and the rest of the log say.
    const again = new DeltaTable(topic.store, topic.env, location, { checkpoints: topic.engine })
    await again.load()
    assert.equal(again.snapshot.version, table.snapshot.version)
    for (const partition of [0, 1]) {
      const names = (t: DeltaTable) => t.snapshot.files(partition).map((file) => [file.path, file.first, file.last, file.bytes, file.records])
      assert.deepEqual(names(again), names(table))
      assert.deepEqual(again.flushedOffset(flushAppId(topicId, partition), partition), { kind: 'known', offset: topic.next(partition), source: 'txn' })
    }
    assert.equal((await new TableUpkeep(topic.store, topic.env, again, topic.engine).checkpoint()).kind, 'written')
    await agree({ 0: topic.next(0), 1: topic.next(1) })
  })

  test('RESTORE brings rows back, and the next flush goes on where the transaction stands', async () => {
    const restored = topic.table.snapshot.version - 1
    const before = [topic.next(0), topic.next(1)]
    await reader.ask({ op: 'restore', table: path, version: restored })
    await topic.flush([0, 1], 10)
    for (const engine of engines) {
      const { partitions } = await reader.summary(engine, path)
      for (const partition of [0, 1]) {
        const expected = { count: topic.next(partition) - 10, distinct: topic.next(partition) - 10, min: 0, max: topic.next(partition) - 1 }
        assert.deepEqual(partitions[partition], expected, engine)
        assert.equal(topic.next(partition), (before[partition] ?? 0) + 10)
      }
    }
  })

  test('a constraint that somebody adds suspends flushing', async () => {
    await reader.ask({ op: 'properties', table: path, properties: { 'delta.appendOnly': 'true' } })
    await topic.flush([0], 10)
    await reader.ask({ op: 'properties', table: path, properties: { 'delta.enableDeletionVectors': 'true' } }).catch(() => undefined)
    await reader.ask({ op: 'constraint', table: path, name: 'positive', expression: 'offset >= 0' })
    await assert.rejects(topic.flush([0], 10), /suspended/)
    assert.match((await topic.table.poll()).suspended ?? '', /not supported/)
  })
})
