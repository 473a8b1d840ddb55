import assert from 'node:assert/strict'
import { test } from 'node:test'
import { iterateBatches } from '../../../protocol/records/batch.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { encodePath } from '../../../storage/delta/actions.ts'
import type { AddFile } from '../../../storage/delta/actions.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { DeltaTable, flushAppId } from '../../../storage/delta/table.ts'
import { fileStats } from '../../../storage/maintenance/file-stats.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { TableReads } from '../../../storage/partition/table-reads.ts'
import type { PartitionLog } from '../../../storage/partition/types.ts'
import { dataFilePath } from '../../../storage/paths.ts'
import { SimulatedEnv } from '../../support/env.ts'
import { foreign, location, removeOf, topicId } from '../delta/support.ts'

/** A table of one partition in memory, its cold reads, and a hook into the look at files without statistics. */
class World {
  readonly env = new SimulatedEnv(1)
  readonly store = new MemoryStore({ clock: this.env.clock })
  readonly table = new DeltaTable(this.store, this.env, location, { checkpoints: new InlineCheckpointEngine() })
  readonly parquet = new InlineParquet()
  beforeRange: () => Promise<void> = async () => undefined
  readonly reads = new TableReads({
    store: this.store,
    parquet: {
      decode: (request) => this.parquet.decode(request),
      mergeByOffset: (request) => this.parquet.mergeByOffset(request),
      offsetRange: async (request) => {
        await this.beforeRange()
        return await this.parquet.offsetRange(request)
      },
    },
    tableOf: async () => this.table,
    options: { cacheBytes: 1 << 20, compressionOf: () => 'none' },
  })
  readonly log = { topicId, partition: 0, logStartOffset: 0, leaderEpoch: 1, epochOf: () => 1 } as unknown as PartitionLog
  next = 0

  async write(offsets: readonly number[], statistics = true): Promise<AddFile> {
    const records = offsets.map((offset) => ({ offset, timestamp: offset, key: null, value: Buffer.from(String(offset)) }))
    const batch = encodeBatch({ baseOffset: offsets[0]!, records })
    const written = await this.parquet.encode({ partition: 0, batches: [batch], fromOffset: 0, endOffset: 1e9, compression: 'none' })
    const path = dataFilePath(0, offsets[0]!, this.env.uuid())
    await this.store.put(`${location}/${path}`, [joinBody(written.parquet!)])
    const stats = statistics ? { stats: fileStats(written) } : {}
    return { path: encodePath(path), partitionValues: { partition: '0' }, size: joinBody(written.parquet!).length, modificationTime: 1, dataChange: true, ...stats }
  }

  /** A flush of the next `count` offsets. */
  async flush(count: number): Promise<AddFile> {
    const from = this.next
    this.next += count
    const add = await this.write(range(from, this.next))
    const txn = { appId: flushAppId(topicId, 0), from: from === 0 ? null : from, to: this.next }
    const outcome = await this.table.commit({ commitId: this.env.uuid(), operation: 'STREAMING UPDATE', adds: [add], removes: [], txns: [txn] })
    assert.equal(outcome.kind, 'committed')
    return add
  }

  /** Offsets that a consumer from offset 0 gets. */
  async offsets(): Promise<number[]> {
    const offsets: number[] = []
    for (let from = 0; from < this.next; ) {
      const batches = await this.reads.read(this.log, from, this.next, 1 << 20, [])
      if (batches.length === 0) break
      for (const batch of batches) for (const { start } of iterateBatches(batch)) for (const { offset } of recordsOf(batch, start)) if (offset >= from) offsets.push(offset)
      from = offsets.at(-1)! + 1
    }
    return offsets
  }
}

function range(from: number, end: number): number[] {
  return Array.from({ length: end - from }, (_, i) => from + i)
}

async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = new World()
  const work = async (): Promise<void> => {
    await world.table.create({ topicId }, world.env.uuid())
    await body(world)
  }
  await world.env.run(work())
}

test('rows that somebody deleted are no longer served, neither from the cache nor while nobody commits', () => inWorld(async (world) => {
  const [first] = [await world.flush(5), await world.flush(5)]
  assert.deepEqual(await world.offsets(), range(0, 10))
  const rest = await world.write([0, 1, 4])
  await foreign(world.store, 3, { adds: [rest], removes: [removeOf(first, true)] }, 'DELETE')
  await world.env.clock.sleep(1500)
  assert.deepEqual(await world.offsets(), [0, 1, 4, 5, 6, 7, 8, 9])
}))

test('a table that nobody else changes is asked once a second at most, and not at all while commits of ours follow each other', () => inWorld(async (world) => {
  await world.flush(5)
  let gets = 0
  const get = world.store.get.bind(world.store)
  world.store.get = async (key) => {
    if (key.includes('_delta_log')) gets++
    return await get(key)
  }
  for (let n = 0; n < 10; n++) await world.offsets()
  assert.equal(gets, 0)
  await world.env.clock.sleep(1500)
  for (let n = 0; n < 10; n++) await world.offsets()
  assert.equal(gets, 1)
}))

test('rows moved by others do not drop what is cached, whatever the order of the files', () => inWorld(async (world) => {
  const adds = [await world.flush(5), await world.flush(5)]
  assert.deepEqual(await world.offsets(), range(0, 10))
  const all = { ...(await world.write(range(0, 10))), dataChange: false }
  await foreign(world.store, 3, { adds: [all], removes: adds.map((add) => removeOf(add)) }, 'OPTIMIZE')
  await world.store.delete(adds.map((add) => `${location}/${add.path}`))
  await world.env.clock.sleep(1500)
  const cached = world.reads.cachedBytes
  assert.deepEqual(await world.offsets(), range(0, 10))
  assert.equal(world.reads.cachedBytes, cached)
  world.reads.forget(topicId)
  assert.deepEqual(await world.offsets(), range(0, 10))
}))

test('files without statistics that arrive while others are looked into are not taken for a gap', () => inWorld(async (world) => {
  const adds = [await world.flush(5), await world.flush(5)]
  const bare = { ...(await world.write(range(5, 10), false)), dataChange: false }
  await foreign(world.store, 3, { adds: [bare], removes: [removeOf(adds[1]!)] }, 'OPTIMIZE')
  await world.table.poll()
  world.beforeRange = async () => {
    world.beforeRange = async () => undefined
    const other = { ...(await world.write(range(0, 5), false)), dataChange: false }
    await foreign(world.store, 4, { adds: [other], removes: [removeOf(adds[0]!)] }, 'OPTIMIZE')
    await world.table.poll()
  }
  assert.deepEqual(await world.offsets(), range(0, 10))
}))
