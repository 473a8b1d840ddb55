/** Compaction by key of a table: which rows leave, when, at what cost, and what others' commits and crashes make of it (P4, P7, P8). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { iterateBatches } from '../../../protocol/records/batch.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { encodePath } from '../../../storage/delta/actions.ts'
import type { AddFile } from '../../../storage/delta/actions.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import type { TableFile } from '../../../storage/delta/snapshot.ts'
import { DeltaTable, cleanAppId, flushAppId } from '../../../storage/delta/table.ts'
import { planCleaning } from '../../../storage/maintenance/cleanable.ts'
import type { CompactedPartition } from '../../../storage/maintenance/cleanable.ts'
import { CommittedFiles } from '../../../storage/maintenance/committed-files.ts'
import { fileStats } from '../../../storage/maintenance/file-stats.ts'
import { compactByKey, isCleaningDue } from '../../../storage/maintenance/key-compaction.ts'
import type { CompactedTopic, KeyCompactionResult } from '../../../storage/maintenance/key-compaction.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { CompactionConfig } from '../../../storage/partition/types.ts'
import { dataFilePath } from '../../../storage/paths.ts'
import { SimulatedEnv } from '../../support/env.ts'
import { foreign, location, removeOf, topicId } from '../delta/support.ts'

const eager: CompactionConfig = { minDirtyRatio: 0, deleteRetentionMs: Number.MAX_SAFE_INTEGER, minLagMs: 0, maxLagMs: Number.MAX_SAFE_INTEGER }
const hour = 3_600_000

interface Row {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
}

/** A table of one partition in memory, with a ledger of what was flushed. */
class World {
  readonly env = new SimulatedEnv(1)
  readonly store = new MemoryStore({ clock: this.env.clock })
  readonly parquet = new InlineParquet()
  table = this.#open(this.store)
  compaction = eager
  keyBytesMax = 1 << 20
  flushed = 0
  /** What readers of memory were told to forget. */
  forgotten = 0
  readonly ledger: Row[] = []
  /** Runs before a file is written again. */
  beforeMerge: () => Promise<void> = async () => undefined

  #open(store: ObjectStore): DeltaTable {
    return new DeltaTable(store, this.env, location, { checkpoints: new InlineCheckpointEngine() })
  }

  async write(rows: readonly Row[]): Promise<AddFile> {
    const batches = rows.map(({ offset, key, value }) => encodeBatch({
      baseOffset: offset,
      records: [{ timestamp: this.env.clock.now(), key: key === null ? null : Buffer.from(key), value: value === null ? null : Buffer.from(value) }],
    }))
    const written = await this.parquet.encode({ partition: 0, batches, fromOffset: 0, endOffset: 1e9, compression: 'none' })
    const path = dataFilePath(0, rows[0]!.offset, this.env.uuid())
    await this.store.put(`${location}/${path}`, [joinBody(written.parquet!)])
    return {
      path: encodePath(path), partitionValues: { partition: '0' }, size: joinBody(written.parquet!).length, modificationTime: this.env.clock.now(), dataChange: true,
      stats: fileStats(written),
    }
  }

  /** A flush of these keys; a key with an exclamation mark is deleted. */
  async flush(...keys: readonly string[]): Promise<AddFile> {
    const from = this.flushed
    const rows = keys.map((key, i) => ({ offset: from + i, key: key.replace('!', ''), value: key.endsWith('!') ? null : `${key} at ${from + i}` }))
    this.ledger.push(...rows)
    this.flushed += rows.length
    const add = await this.write(rows)
    const txn = { appId: flushAppId(topicId, 0), from: from === 0 ? null : from, to: this.flushed }
    const outcome = await this.table.commit({ commitId: this.env.uuid(), operation: 'STREAMING UPDATE', adds: [add], removes: [], txns: [txn] })
    assert.equal(outcome.kind, 'committed')
    return add
  }

  topic(): CompactedTopic {
    const log = { partition: 0, logStartOffset: 0, flushedOffset: this.flushed, forgetFlushed: (below: number) => (this.forgotten = below) }
    return { id: topicId, name: 'orders', table: this.table, deleted: false, compaction: this.compaction, logs: [log] }
  }

  clean(store: ObjectStore = this.store): Promise<KeyCompactionResult | null> {
    const { env, parquet } = this
    return compactByKey(this.topic(), {
      env,
      store,
      parquet: {
        collectKeys: (request) => parquet.collectKeys(request),
        countSuperseded: (request) => parquet.countSuperseded(request),
        mergeByKey: async (request) => {
          await this.beforeMerge()
          return await parquet.mergeByKey(request)
        },
      },
      options: { parquetCompression: 'none', keyBytesMax: this.keyBytesMax },
      committedFiles: new CommittedFiles({ env, store, trouble: () => undefined }),
      isClosed: () => false,
    })
  }

  /** Another process: the table as the store has it, written through `store`. */
  async reopen(store: ObjectStore = this.store): Promise<void> {
    this.table = this.#open(store)
    await this.table.load()
  }

  paths(): string[] {
    return this.table.snapshot.files(0).map(({ path }) => path)
  }

  /** Rows of the table by offset; fails where one is there twice. */
  async rows(): Promise<Row[]> {
    const rows: Row[] = []
    for (const path of this.paths()) {
      const { batches } = await this.parquet.decode({ file: (await this.store.get(`${location}/${decodeURIComponent(path)}`))!, fromOffset: 0, maxBytes: 1 << 30 })
      for (const { bytes } of batches) {
        for (const { start } of iterateBatches(bytes)) {
          for (const { offset, key, value } of recordsOf(bytes, start)) rows.push({ offset, key: textOf(key), value: textOf(value) })
        }
      }
    }
    assert.equal(new Set(rows.map(({ offset }) => offset)).size, rows.length, 'a row is there twice')
    return rows.toSorted((a, b) => a.offset - b.offset)
  }

  async offsets(): Promise<number[]> {
    return (await this.rows()).map(({ offset }) => offset)
  }

  /** The last row of each key. */
  newest(): Row[] {
    return [...new Map(this.ledger.map((row) => [row.key, row])).values()].toSorted((a, b) => a.offset - b.offset)
  }

  cleanedOffset(): number {
    return this.table.snapshot.txn(cleanAppId(topicId, 0)) ?? 0
  }
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString()
}

async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = new World()
  const work = async (): Promise<void> => {
    await world.table.create({ topicId }, world.env.uuid())
    await body(world)
  }
  await world.env.run(work())
}

function keys(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `key ${from + i}`)
}

describe('a pass of compaction by key', () => {
  test('the last row of each key stays as it is, at its offset, and the others are gone', () => inWorld(async (world) => {
    await world.flush('a', 'b', 'a', 'c')
    await world.flush('b', 'd!', 'a')
    assert.deepEqual(await world.clean(), { files: 2, rowsDropped: 3 })
    assert.deepEqual(await world.rows(), world.newest())
    assert.deepEqual([world.cleanedOffset(), world.forgotten], [7, 7])
    assert.equal(isCleaningDue(world.topic(), world.env.clock.now()), false)
  }))

  test('only files with superseded rows are written again', () => inWorld(async (world) => {
    const untouched = await world.flush(...keys(100))
    const touched = await world.flush('x', 'y', 'z')
    await world.clean()
    assert.deepEqual(world.paths(), [untouched.path, touched.path], 'all keys were new')
    assert.equal(world.cleanedOffset(), 103)
    const newest = await world.flush('y')
    assert.deepEqual(await world.clean(), { files: 1, rowsDropped: 1 })
    assert.deepEqual([world.paths()[0], world.paths()[2]], [untouched.path, newest.path])
    assert.deepEqual(await world.rows(), world.newest())
  }))

  test('small files are fetched once in a pass', () => inWorld(async (world) => {
    for (let n = 0; n < 5; n++) await world.flush('a', `key ${n}`)
    const fetched: string[] = []
    const get = world.store.get.bind(world.store)
    world.store.get = async (key) => {
      if (key.endsWith('.parquet')) fetched.push(key)
      return await get(key)
    }
    await world.clean()
    assert.equal(fetched.length, 5)
    assert.equal(new Set(fetched).size, 5)
    assert.deepEqual(await world.rows(), world.newest())
  }))

  test('readers of the table see that rows are deleted: dataChange, and a version that counts for caches', () => inWorld(async (world) => {
    await world.flush('a', 'a')
    await world.clean()
    assert.equal(world.table.snapshot.rowsChangedAt, world.table.snapshot.version)
  }))

  test('rows without a key, from before the topic was compacted, leave', () => inWorld(async (world) => {
    await world.flush('a')
    const add = await world.write([{ offset: 1, key: null, value: 'x' }, { offset: 2, key: 'b', value: 'y' }])
    const txn = { appId: flushAppId(topicId, 0), from: 1, to: 3 }
    await world.table.commit({ commitId: world.env.uuid(), operation: 'STREAMING UPDATE', adds: [add], removes: [], txns: [txn] })
    world.flushed = 3
    await world.clean()
    assert.deepEqual(await world.offsets(), [0, 2])
  }))

  test('keys that do not fit into memory at once take several passes', () => inWorld(async (world) => {
    world.keyBytesMax = 4096
    for (let round = 0; round < 3; round++) for (let at = 0; at < 400; at += 50) await world.flush(...keys(50, at))
    let passes = 0
    for (; isCleaningDue(world.topic(), world.env.clock.now()); passes++) {
      const before = world.cleanedOffset()
      await world.clean()
      assert.ok(world.cleanedOffset() > before)
      const rows = await world.rows()
      for (const row of world.newest()) assert.ok(rows.some(({ offset }) => offset === row.offset))
    }
    assert.ok(passes > 5, `${passes} passes`)
    assert.deepEqual(await world.rows(), world.newest())
  }))

  test('a table that outsiders forbid to delete from is left alone, without reading it again and again', () => inWorld(async (world) => {
    await world.flush('a', 'a')
    await foreign(world.store, 2, { metadata: { ...world.table.snapshot.metadata, configuration: { ...world.table.snapshot.metadata.configuration, 'delta.appendOnly': 'true' } } }, 'SET TBLPROPERTIES')
    await world.reopen()
    assert.equal(isCleaningDue(world.topic(), world.env.clock.now()), false)
    assert.equal(await world.clean(), null)
    assert.deepEqual(await world.offsets(), [0, 1])
  }))
})

describe('tombstones', () => {
  test('leave when they have been clean for delete.retention.ms, though nothing else happens, and not before', () => inWorld(async (world) => {
    world.compaction = { ...eager, deleteRetentionMs: hour }
    await world.flush('a', 'b', 'a!')
    // The time begins when the rows before it are gone, not when it was written.
    await world.env.clock.sleep(2 * hour)
    await world.clean()
    assert.deepEqual(await world.offsets(), [1, 2])
    await world.env.clock.sleep(hour - 1)
    assert.equal(isCleaningDue(world.topic(), world.env.clock.now()), false)
    await world.env.clock.sleep(1)
    assert.deepEqual(await world.clean(), { files: 1, rowsDropped: 1 })
    assert.deepEqual(await world.offsets(), [1])
    assert.equal(isCleaningDue(world.topic(), world.env.clock.now()), false)
  }))

  test('leave in time though their file is written again for other keys all the while', () => inWorld(async (world) => {
    world.compaction = { ...eager, deleteRetentionMs: hour }
    await world.flush('a', 'a!', ...keys(20))
    await world.clean()
    for (let i = 0; i < 12; i++) {
      assert.ok((await world.offsets()).includes(1))
      await world.env.clock.sleep(hour / 12)
      await world.flush(`key ${i}`)
      await world.clean()
    }
    assert.ok(!(await world.offsets()).includes(1))
    assert.deepEqual(await world.rows(), world.newest().filter(({ value }) => value !== null))
  }))

  test('with nothing to supersede begin their time in a commit that changes no data', () => inWorld(async (world) => {
    world.compaction = { ...eager, deleteRetentionMs: hour }
    await world.flush('a!', 'b')
    const before = world.table.snapshot.rowsChangedAt
    await world.clean()
    assert.equal(world.table.snapshot.rowsChangedAt, before)
    await world.env.clock.sleep(hour)
    await world.clean()
    assert.deepEqual(await world.offsets(), [1])
  }))

  test('stay while rows of a file that is not ours to write again may need them', () => inWorld(async (world) => {
    world.compaction = { ...eager, deleteRetentionMs: 0 }
    const { table } = world
    const rows = await world.write([{ offset: 0, key: 'a', value: 'old' }])
    const withAppends = { ...rows, stats: JSON.stringify({ numRecords: 2, minValues: { offset: 0 }, maxValues: { offset: 0 }, nullCount: { offset: 1, value: 0 } }) }
    const txn = { appId: flushAppId(topicId, 0), from: null, to: 1 }
    await table.commit({ commitId: world.env.uuid(), operation: 'STREAMING UPDATE', adds: [withAppends], removes: [], txns: [txn] })
    world.flushed = 1
    await world.flush('a!')
    for (let i = 0; i < 3; i++) {
      await world.env.clock.sleep(1)
      await world.flush('b')
      await world.clean()
    }
    assert.deepEqual(await world.offsets(), [0, 1, 4])
  }))
})

describe('others at the same time', () => {
  test('an OPTIMIZE of the same files wins, and the next pass works on what it left', () => inWorld(async (world) => {
    const first = await world.flush('a', 'b', 'a')
    const second = await world.flush('b', 'c')
    world.beforeMerge = async () => {
      world.beforeMerge = async () => undefined
      const merged = await world.write(world.ledger)
      await foreign(world.store, 3, { adds: [{ ...merged, dataChange: false }], removes: [first, second].map((add) => removeOf(add)) }, 'OPTIMIZE')
    }
    assert.equal(await world.clean(), null)
    assert.deepEqual(await world.offsets(), [0, 1, 2, 3, 4])
    assert.equal(world.cleanedOffset(), 0)
    assert.deepEqual(await world.clean(), { files: 1, rowsDropped: 2 })
    assert.deepEqual(await world.rows(), world.newest())
    // What lost is not left behind.
    const live = new Set(world.paths())
    const stored = (await world.store.list(`${location}/partition=0/`)).map(({ key }) => key.slice(location.length + 1))
    assert.deepEqual(stored.filter((path) => !live.has(path)).length, 3, 'the two that were merged and the merge')
  }))

  test('rows that somebody deletes meanwhile stay deleted', () => inWorld(async (world) => {
    const first = await world.flush('a', 'b', 'a', 'c')
    world.beforeMerge = async () => {
      world.beforeMerge = async () => undefined
      const rest = await world.write(world.ledger.filter(({ key }) => key !== 'c'))
      await foreign(world.store, 2, { adds: [rest], removes: [removeOf(first, true)] }, 'DELETE')
    }
    assert.equal(await world.clean(), null)
    await world.clean()
    assert.deepEqual(await world.offsets(), [1, 2])
  }))

  test('appends do not disturb it', () => inWorld(async (world) => {
    await world.flush('a', 'a')
    world.beforeMerge = async () => {
      world.beforeMerge = async () => undefined
      const add = await world.write([{ offset: 0, key: 'new', value: 'message' }])
      await foreign(world.store, 2, { adds: [{ ...add, stats: '{"numRecords":1,"nullCount":{"offset":1}}' }] })
    }
    assert.deepEqual(await world.clean(), { files: 1, rowsDropped: 1 })
    assert.deepEqual(await world.offsets(), [1])
  }))

  test('a process that was replaced does not move the transaction a second time', () => inWorld(async (world) => {
    await world.flush('a', 'a', 'b')
    const old = world.table
    await world.reopen()
    await world.clean()
    await world.flush('b')
    world.table = old
    assert.equal(await world.clean(), null)
    await world.reopen()
    assert.equal(world.cleanedOffset(), 3)
    assert.deepEqual(await world.offsets(), [1, 2, 3])
  }))
})

test('whatever write is the last before the process dies, the newest row of each key is there once, and the next process finishes (P4)', async () => {
  for (let survives = 0; ; survives++) {
    let died = false
    await inWorld(async (world) => {
      await world.flush('a', 'b', 'a', 'c!', 'd')
      await world.flush(...keys(5))
      await world.clean()
      await world.flush('b', 'key 2', 'c')
      await world.flush('a')
      let writes = 0
      const dying = dyingStore(world.store, () => writes++ >= survives)
      await world.reopen(dying)
      try {
        await world.clean(dying)
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        died = true
      }
      await world.reopen()
      const rows = await world.rows()
      for (const row of world.newest()) assert.deepEqual(rows.find(({ offset }) => offset === row.offset), row, `after ${survives} writes`)
      await world.clean()
      assert.deepEqual(await world.rows(), world.newest(), `after ${survives} writes and another pass`)
    })
    if (!died) {
      assert.ok(survives >= 4, `${survives} writes`)
      return
    }
  }
})

/** Fails writes and deletions, for good, once `isDead` says so. */
function dyingStore(store: MemoryStore, isDead: () => boolean): ObjectStore {
  let dead = false
  const gate = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => async (...args: A): Promise<R> => {
    dead ||= isDead()
    if (dead) throw new StoreError('denied', 'the process is dead')
    return await call(...args)
  }
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      const call = member.bind(target) as (...args: unknown[]) => Promise<unknown>
      return name === 'put' || name === 'putIfAbsent' || name === 'delete' ? gate(call) : call
    },
  })
}

describe('when a pass is due', () => {
  const file = (first: number, last: number, more: Partial<TableFile> = {}): TableFile => ({
    key: `f${first}`, path: `f${first}`, partition: 0, partitionValue: '0', bytes: 100 * (last - first + 1), modifiedMs: first, records: last - first + 1, nullOffsets: 0,
    nullValues: 0, minTimestampMs: first, maxTimestampMs: last, range: { kind: 'known', first, last }, first, last, hasDeletionVector: false, addedAt: 0, ...more,
  })
  const config: CompactionConfig = { ...eager, minDirtyRatio: 0.5, deleteRetentionMs: 1000 }
  const files = [file(0, 9), file(10, 19), file(20, 24)]
  const plan = (partition: Partial<CompactedPartition>, more: Partial<CompactionConfig> = {}, nowMs = 100): [number, number, number] | null => {
    const found = planCleaning({ files, cleanedOffset: 0, logStartOffset: 0, flushedOffset: 25, ...partition }, { ...config, ...more }, nowMs)
    return found === null ? null : [found.fromOffset, found.endOffset, found.files.length]
  }

  test('the dirty share is above min.cleanable.dirty.ratio', () => {
    assert.deepEqual(plan({}), [0, 25, 3])
    assert.equal(plan({ cleanedOffset: 20 }), null)
    assert.deepEqual(plan({ cleanedOffset: 10 }), [10, 25, 3])
    assert.deepEqual(plan({ cleanedOffset: 20 }, { minDirtyRatio: 0.1 }), [20, 25, 3])
    assert.equal(plan({ cleanedOffset: 25 }, { minDirtyRatio: 0 }), null)
    assert.equal(plan({}, { minDirtyRatio: 1 }), null)
    // Half of the file in the middle is clean.
    assert.deepEqual(plan({ cleanedOffset: 15 }, { minDirtyRatio: 0.39 }), [15, 25, 3])
    assert.equal(plan({ cleanedOffset: 15 }, { minDirtyRatio: 0.41 }), null)
  })

  test('records are older than max.compaction.lag.ms, whatever the ratio', () => {
    assert.equal(plan({ cleanedOffset: 20 }, { maxLagMs: 80 }), null)
    assert.deepEqual(plan({ cleanedOffset: 20 }, { maxLagMs: 79 }), [20, 25, 3])
    assert.equal(plan({ cleanedOffset: 25 }, { maxLagMs: 1 }), null)
    // Without timestamps, as old as the file.
    const bare = [file(0, 9), file(10, 19, { minTimestampMs: undefined, modifiedMs: 90 })]
    assert.equal(plan({ files: bare, cleanedOffset: 10, flushedOffset: 20 }, { maxLagMs: 10 }), null)
    assert.deepEqual(plan({ files: bare, cleanedOffset: 10, flushedOffset: 20 }, { maxLagMs: 9 }), [10, 20, 2])
  })

  test('records younger than min.compaction.lag.ms are left for later, and what follows them', () => {
    assert.deepEqual(plan({}, { minLagMs: 80 }), [0, 20, 2])
    assert.equal(plan({ cleanedOffset: 20 }, { minLagMs: 80, minDirtyRatio: 0 }), null)
    assert.equal(plan({}, { minLagMs: 1000 }), null)
    const disordered = [file(0, 9), file(10, 19, { maxTimestampMs: 99 }), file(20, 24)]
    assert.deepEqual(plan({ files: disordered }, { minLagMs: 50 }), [0, 10, 1])
  })

  test('tombstones are old enough, which concerns clean files alone', () => {
    const withTombstones = [file(0, 9, { nullValues: 1, modifiedMs: 0 }), file(10, 19), file(20, 24, { nullValues: 1, modifiedMs: 0 })]
    assert.equal(plan({ files: withTombstones, cleanedOffset: 20 }, {}, 999), null)
    assert.deepEqual(plan({ files: withTombstones, cleanedOffset: 20 }, {}, 1000), [20, 20, 2])
    assert.equal(plan({ files, cleanedOffset: 20 }, {}, 1000), null)
  })

  test('deleted rows count for nothing, unflushed ones are not there, and files of which nobody knows the rows stop it', () => {
    assert.deepEqual(plan({ logStartOffset: 10 }), [10, 25, 3])
    assert.deepEqual(plan({ flushedOffset: 20 }), [0, 20, 2])
    assert.equal(plan({ files: [...files, file(-1, -1, { range: { kind: 'unknown' } })] }), null)
  })
})
