/** Cold reads over files of every kind: gaps, overlaps, files that vanish, budgets, and look-ups by timestamp. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lastOffset } from '../../../protocol/records/batch.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { encodePath } from '../../../storage/delta/actions.ts'
import type { AddFile } from '../../../storage/delta/actions.ts'
import type { TableChange } from '../../../storage/delta/change.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { DeltaTable } from '../../../storage/delta/table.ts'
import { fileStats } from '../../../storage/maintenance/file-stats.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { releaseAll } from '../../../storage/partition/batch-memory.ts'
import type { BatchMemory } from '../../../storage/partition/batch-memory.ts'
import { TableReads } from '../../../storage/partition/table-reads.ts'
import type { PartitionLog } from '../../../storage/partition/types.ts'
import { dataFilePath } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { location, removeOf, topicId } from '../delta/support.ts'

interface Row {
  readonly offset: number
  readonly timestamp: number
}

const at = (...offsets: readonly number[]): Row[] => offsets.map((offset) => ({ offset, timestamp: 1000 + offset }))
const upTo = (from: number, end: number): Row[] => at(...Array.from({ length: end - from }, (_, i) => from + i))

class World {
  readonly env = new SimEnv(1)
  readonly fileGets: string[] = []
  readonly store = new MemoryStore({
    clock: this.env.clock,
    before: (operation, key) => void (operation === 'get' && key.endsWith('.parquet') && this.fileGets.push(key)),
  })
  readonly parquet = new InlineParquet()
  readonly table = this.open()
  readonly log = { topicId, partition: 0, logStartOffset: 0, leaderEpoch: 9, epochOf: () => 9 } as unknown as PartitionLog

  open(): DeltaTable {
    return new DeltaTable(this.store, this.env, location, { checkpoints: new InlineCheckpointEngine() })
  }

  reads(cacheBytes = 1 << 20, table: DeltaTable | null = this.table): TableReads {
    return new TableReads({ store: this.store, parquet: this.parquet, tableOf: async () => table, options: { cacheBytes, compressionOf: () => 'none' } })
  }

  async write(rows: readonly Row[], partition = 0): Promise<AddFile> {
    const sorted = rows.toSorted((a, b) => a.offset - b.offset)
    const records = sorted.map(({ offset, timestamp }) => ({ offset, timestamp, key: null, value: Buffer.from(`value ${offset}`) }))
    const batch = encodeBatch({ baseOffset: sorted[0]!.offset, records })
    const written = await this.parquet.encode({ partition, batches: [batch], fromOffset: 0, endOffset: 1e9, compression: 'none' })
    const path = dataFilePath(partition, sorted[0]!.offset, this.env.uuid())
    await this.store.put(`${location}/${path}`, [joinBody(written.parquet!)])
    return {
      path: encodePath(path), partitionValues: { partition: String(partition) }, size: joinBody(written.parquet!).length, modificationTime: 1, dataChange: true,
      stats: fileStats(written),
    }
  }

  async commit(adds: readonly AddFile[], removes: readonly AddFile[] = [], table = this.table): Promise<void> {
    const change: TableChange = {
      commitId: this.env.uuid(), operation: 'WRITE', adds, removes: removes.map((add) => removeOf(add)), txns: [],
    }
    assert.equal((await table.commit(change)).kind, 'committed')
  }
}

function inWorld(name: string, body: (world: World) => Promise<void>): void {
  test(name, () => {
    const world = new World()
    const prepared = world.table.create({ topicId }, world.env.uuid())
    return world.env.run(prepared.then(() => body(world)))
  })
}

/** Offsets that a consumer gets from one read after the other, and how many reads it took. */
async function consume(reads: TableReads, world: World, from: number, end: number, maxBytes = 1 << 20): Promise<{ offsets: number[]; reads: number }> {
  const offsets: number[] = []
  let count = 0
  for (let next = from; next < end; ) {
    const held: BatchMemory[] = []
    const batches = await reads.read(world.log, next, end, maxBytes, held)
    count++
    if (batches.length === 0) break
    for (const batch of batches) offsets.push(...recordsOf(batch).map(({ offset }) => offset).filter((offset) => offset >= next))
    next = lastOffset(batches.at(-1)!, 0) + 1
    releaseAll(held)
  }
  return { offsets, reads: count }
}

const offsetsOf = (rows: readonly Row[]): number[] => rows.map(({ offset }) => offset)

inWorld('files are read in order and from the middle, up to the end that was asked for', async (world) => {
  await world.commit([await world.write(upTo(0, 10)), await world.write(upTo(10, 15))])
  await world.commit([await world.write(upTo(15, 20)), await world.write(upTo(0, 5), 1)])
  assert.deepEqual((await consume(world.reads(), world, 0, 20)).offsets, offsetsOf(upTo(0, 20)))
  assert.deepEqual((await consume(world.reads(), world, 7, 18)).offsets, offsetsOf(upTo(7, 18)))
  assert.deepEqual((await consume(world.reads(0), world, 12, 13)).offsets, [12])
})

inWorld('gaps come back as gaps, inside of files, between them and at the end', async (world) => {
  await world.commit([await world.write(at(1, 2, 5, 9)), await world.write(at(20, 30))])
  assert.deepEqual((await consume(world.reads(), world, 0, 100)).offsets, [1, 2, 5, 9, 20, 30])
  assert.deepEqual((await consume(world.reads(), world, 6, 100)).offsets, [9, 20, 30])
  assert.deepEqual((await consume(world.reads(), world, 10, 20)).offsets, [])
  assert.deepEqual((await consume(world.reads(), world, 31, 100)).offsets, [])
  assert.deepEqual((await consume(world.reads(), world, 6, 30)).offsets, [9, 20])
})

inWorld('files that others rewrote may overlap in any way, and each offset comes once', async (world) => {
  await world.commit([await world.write(at(0, 3, 6, 9)), await world.write(at(1, 4, 7)), await world.write(at(2, 5, 8)), await world.write(upTo(10, 12))])
  const everything = offsetsOf(upTo(0, 12))
  assert.deepEqual((await consume(world.reads(), world, 0, 12)).offsets, everything)
  assert.deepEqual((await consume(world.reads(0), world, 0, 12, 1)).offsets, everything)
  for (let from = 0; from < 12; from++) assert.deepEqual((await consume(world.reads(), world, from, 12)).offsets, everything.slice(from))
  // One file inside the range of another.
  await world.commit([await world.write(at(20, 29)), await world.write(upTo(21, 29))])
  assert.deepEqual((await consume(world.reads(), world, 12, 100)).offsets, offsetsOf(upTo(20, 30)))
})

inWorld('rows are found where somebody moved them when their file vanishes', async (world) => {
  const old = [await world.write(upTo(0, 5)), await world.write(upTo(5, 10))]
  await world.commit(old)
  const other = world.open()
  await other.load()
  await world.commit([{ ...(await world.write(upTo(0, 10))), dataChange: false }], old, other)
  await world.store.delete(old.map(({ path }) => `${location}/${path}`))
  assert.deepEqual((await consume(world.reads(), world, 0, 10)).offsets, offsetsOf(upTo(0, 10)))
})

inWorld('a file that vanished for good is an error, no gap and no hang', async (world) => {
  const files = [await world.write(upTo(0, 5)), await world.write(upTo(5, 10))]
  await world.commit(files)
  await world.store.delete([`${location}/${files[0]!.path}`])
  await assert.rejects(world.reads().read(world.log, 0, 10, 1 << 20, []), /is gone/)
  await assert.rejects(world.reads().offsetForTimestamp(world.log, 0), /is gone/)
})

inWorld('a chunk is read once, and who asks meanwhile waits for the same', async (world) => {
  await world.commit([await world.write(upTo(0, 5)), await world.write(upTo(5, 10))])
  const reads = world.reads()
  const [one, two] = await Promise.all([reads.read(world.log, 0, 10, 1 << 20, []), reads.read(world.log, 0, 10, 1 << 20, [])])
  assert.deepEqual(one, two)
  await reads.read(world.log, 7, 10, 1 << 20, [])
  assert.equal(world.fileGets.length, 2)
  assert.ok(reads.cachedBytes > 0)
  reads.forget(topicId)
  assert.equal(reads.cachedBytes, 0)
  await reads.read(world.log, 0, 10, 1 << 20, [])
  assert.equal(world.fileGets.length, 4)
})

inWorld('the cache keeps to its budget, and a budget of nothing serves all the same', async (world) => {
  for (let i = 0; i < 10; i++) await world.commit([await world.write(upTo(10 * i, 10 * i + 10))])
  for (const budget of [0, 500]) {
    const reads = world.reads(budget)
    assert.deepEqual((await consume(reads, world, 0, 100)).offsets, offsetsOf(upTo(0, 100)))
    assert.ok(reads.cachedBytes <= budget)
  }
})

inWorld('memory goes back when neither the cache nor an answer needs it, and not before', async (world) => {
  for (let i = 0; i < 3; i++) await world.commit([await world.write(upTo(10 * i, 10 * i + 10))])
  for (const budget of [0, 1 << 20]) {
    const reads = world.reads(budget)
    const answers = await Promise.all([0, 0, 5].map(async (from) => {
      const held: BatchMemory[] = []
      return { held, batches: await reads.read(world.log, from, 30, 1 << 20, held) }
    }))
    reads.forget(topicId)
    for (const { batches, held } of answers) {
      assert.deepEqual(batches.flatMap((batch) => recordsOf(batch)).at(-1)!.offset, 29, 'an answer on its way to a client')
      releaseAll(held)
    }
    for (const { batches } of answers) assert.deepEqual(batches.map(({ length }) => length), batches.map(() => 0))
  }
})

inWorld('a topic without a table has no rows', async (world) => {
  const reads = world.reads(0, null)
  assert.deepEqual(await reads.read(world.log, 0, 10, 100, []), [])
  assert.equal(await reads.offsetForTimestamp(world.log, 0), null)
  assert.equal(await reads.offsetOfMaxTimestamp(world.log), null)
})

inWorld('the first record at or after a time is the one with the least offset, also where files overlap', async (world) => {
  const rows = (...pairs: readonly (readonly [number, number])[]): Row[] => pairs.map(([offset, timestamp]) => ({ offset, timestamp }))
  await world.commit([await world.write(rows([0, 10], [6, 50], [9, 50])), await world.write(rows([1, 20], [3, 60], [4, 10])), await world.write(rows([12, 5]))])
  const reads = world.reads()
  const found = async (timestampMs: number): Promise<number | undefined> => (await reads.offsetForTimestamp(world.log, timestampMs))?.offset
  assert.deepEqual([await found(0), await found(11), await found(21), await found(51), await found(61)], [0, 1, 3, 3, undefined])
  assert.deepEqual(await reads.offsetOfMaxTimestamp(world.log), { offset: 3, timestampMs: 60, leaderEpoch: 9 })
  assert.equal((await world.reads().offsetForTimestamp({ ...world.log, logStartOffset: 4 }, 0))?.offset, 4)
})

inWorld('files that cannot hold a time are not opened to look for it', async (world) => {
  for (let i = 0; i < 5; i++) await world.commit([await world.write(upTo(10 * i, 10 * i + 10))])
  const reads = world.reads()
  assert.equal((await reads.offsetForTimestamp(world.log, 1035))?.offset, 35)
  assert.equal(world.fileGets.length, 1)
  assert.equal((await reads.offsetOfMaxTimestamp(world.log))?.offset, 49)
  assert.equal(world.fileGets.length, 2)
})
