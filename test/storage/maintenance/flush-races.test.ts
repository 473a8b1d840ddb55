/** The flusher alone, in virtual time: when it flushes, and what it does when others write to the same table meanwhile (P4). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { computeCrc, CRC_AT } from '../../../protocol/records/batch.ts'
import { writeInt32 } from '../../../protocol/records/integers.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { DeltaTable, flushAppId } from '../../../storage/delta/table.ts'
import { Flusher } from '../../../storage/maintenance/flusher.ts'
import type { FlushableTopic, FlusherDependencies } from '../../../storage/maintenance/flusher.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import type { StoreOperation } from '../../../storage/objects/object-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import { location, topicId } from '../delta/support.ts'
import { TestHost, append, batchOf, config, openLog } from '../partition/support.ts'

class World {
  readonly host = new TestHost()
  readonly env = this.host.env
  gate: (operation: StoreOperation, key: string) => Promise<void> | void = () => undefined
  afterGate: (operation: StoreOperation, key: string) => Promise<void> | void = () => undefined
  readonly store = new MemoryStore({
    clock: this.env.clock,
    before: (operation, key) => this.gate(operation, key),
    after: (operation, key) => this.afterGate(operation, key),
  })
  readonly parquet = new InlineParquet()
  duringEncode: (() => Promise<void>) | null = null
  readonly logs: StoredPartitionLog[] = [openLog(this.host)]
  readonly table = this.openTable()
  readonly troubles: string[] = []
  readonly quarantined: string[] = []
  readonly commits: { readonly rows: number; readonly atMs: number }[] = []
  readonly topic: FlushableTopic & { deleted: boolean } = {
    id: topicId, name: 'orders', config: { ...config, flushIntervalMs: 1000, flushBytes: 100_000 }, logs: this.logs, table: this.table, deleted: false,
    ensureTable: async () => {
      if (!this.table.isLoaded) await this.table.create({ topicId }, this.env.uuid())
    },
  }
  readonly flusher = this.openFlusher(this.logs, this.topic)

  openTable(): DeltaTable {
    return new DeltaTable(this.store, this.env, location, { checkpoints: new InlineCheckpointEngine(), commitTimeoutMs: 200 })
  }

  openFlusher(logs: readonly StoredPartitionLog[], topic: FlushableTopic): Flusher {
    const dependencies: FlusherDependencies = {
      env: this.env,
      store: this.store,
      workers: {
        encode: async (request) => {
          const disturb = this.duringEncode
          this.duringEncode = null
          await disturb?.()
          return await this.parquet.encode(request)
        },
      },
      readLane: (refs) => this.host.readLane(refs),
      options: { parquetCompression: 'none', topicsAtOnce: 1, retryMs: 300 },
      observer: {
        flushed: (_topic, { rows }) => this.commits.push({ rows, atMs: this.env.nowMs }),
        trouble: (_topic, message) => this.troubles.push(message),
        quarantined: (_topic, partition, baseOffset, _reason, key) => this.quarantined.push(`${partition}@${baseOffset} ${key}`),
      },
      committed: () => assert.ok(logs.length > 0 && topic.table.isLoaded),
    }
    return new Flusher(dependencies)
  }

  /** Makes one batch per text durable and tells the flusher. */
  async produce(texts: readonly string[]): Promise<void> {
    for (const text of texts) assert.equal(append(this.logs[0]!, batchOf([text])).kind, 'appended')
    await this.host.settle()
    this.flusher.touch(this.topic)
  }

  async flushed(): Promise<void> {
    while (this.logs.some((log) => log.unflushedBytes > 0)) await this.env.clock.sleep(5)
  }

  /** First and last offset of each file, by the table as the store has it. */
  async files(): Promise<[number, number][]> {
    const table = this.openTable()
    await table.load()
    return [...table.snapshot.filesFrom(0, 0)].map(({ first, last }) => [first, last])
  }
}

function inWorld(name: string, body: (world: World) => Promise<void>): void {
  test(name, () => {
    const world = new World()
    return world.env.run(body(world))
  })
}

inWorld('a burst shares a file, what comes later waits for its interval, and many bytes do not wait', async (world) => {
  await world.produce(['a'])
  await world.env.clock.sleep(10)
  await world.produce(['b', 'c'])
  await world.flushed()
  assert.deepEqual(world.commits.map(({ rows }) => rows), [3])
  assert.ok(world.commits[0]!.atMs < 100)
  await world.produce(['d'])
  await world.flushed()
  assert.ok(world.commits[1]!.atMs >= 800 && world.commits[1]!.atMs < 1100, 'a pause lets it be a quarter of a second ahead')
  await world.produce(['e'])
  await world.flushed()
  assert.ok(world.commits[2]!.atMs >= world.commits[1]!.atMs + 990)
  await world.produce(Array.from({ length: 20 }, () => 'x'.repeat(4000)))
  await world.env.clock.sleep(20)
  assert.ok(world.commits.length >= 4, 'table.flush.bytes')
  await world.flushed()
  assert.equal(world.table.snapshot.txn(flushAppId(topicId, 0)), 25)
  await world.env.clock.sleep(100_000)
  const { length } = world.commits
  await world.env.clock.sleep(100_000)
  assert.equal(world.commits.length, length, 'an idle topic costs nothing')
})

inWorld('what comes once in each interval is flushed soon, also after hiccups of the store', async (world) => {
  const waitsMs: number[] = []
  for (let n = 0; n < 40; n++) {
    const atMs = n * 1000
    await world.env.clock.sleep(atMs - world.env.nowMs)
    if (n === 10 || n === 11) world.duringEncode = () => world.env.clock.sleep(1150)
    await world.produce([String(n)])
    await world.env.clock.sleep(900)
    waitsMs.push((world.commits.at(-1)?.atMs ?? Infinity) - atMs)
  }
  await world.flushed()
  assert.equal(world.commits.reduce((sum, { rows }) => sum + rows, 0), 40)
  for (const [n, waitMs] of waitsMs.entries()) if (n < 10 || n > 14) assert.ok(waitMs < 150, `${n}: ${waitsMs.join(' ')}`)
  assert.ok(world.commits.length <= 41)
})

inWorld('of a thousand topics that wake up at once a few are flushed soon and the others share the interval', async (world) => {
  const begunMs = new Map<string, number>()
  const topics = Array.from({ length: 1000 }, (_, n): FlushableTopic => {
    const id = String(n)
    const ensureTable = async (): Promise<void> => {
      begunMs.set(id, begunMs.get(id) ?? world.env.nowMs)
      throw new Error('this is when the flush begins, and enough')
    }
    return { ...world.topic, id, logs: [openLog(world.host)], ensureTable }
  })
  for (const { logs: [log] } of topics) append(log!, batchOf(['a']))
  await world.host.settle()
  for (const topic of topics) world.flusher.touch(topic)
  await world.env.clock.sleep(1000)
  const begun = [...begunMs.values()]
  assert.equal(begun.length, 1000)
  const early = begun.filter((atMs) => atMs <= 55).length
  assert.ok(early >= 8 && early <= 32, `${early} at once`)
  for (let from = 50; from < 1000; from += 95) {
    const share = begun.filter((atMs) => atMs > from && atMs <= from + 95).length
    assert.ok(share >= 60 && share <= 140, `${share} from ${from} ms on`)
  }
})

inWorld('rows of a predecessor that commits during a flush are not written a second time', async (world) => {
  await world.produce(['a', 'b'])
  await world.env.clock.sleep(0)
  // The predecessor has the same two batches; and somebody reads the table, so that its commit is known before ours is built.
  world.duringEncode = async () => {
    const other = world.openTable()
    await other.load()
    const encoded = await world.parquet.encode({
      partition: 0, batches: Array.from({ length: 2 }, (_, i) => world.logs[0]!.flushRun(1_000_000)!.batches.bytes(i)!), fromOffset: 0, endOffset: 2, compression: 'none',
    })
    await world.store.put(`${location}/partition=0/theirs.parquet`, [joinBody(encoded.parquet!)])
    const outcome = await other.commit({
      commitId: 'theirs', operation: 'STREAMING UPDATE', removes: [], txns: [{ appId: flushAppId(topicId, 0), from: null, to: 1 }],
      adds: [{
        path: 'partition=0/theirs.parquet', partitionValues: { partition: '0' }, size: joinBody(encoded.parquet!).length, modificationTime: 1, dataChange: true,
        stats: JSON.stringify({ numRecords: 1, minValues: { offset: 0 }, maxValues: { offset: 0 }, nullCount: { offset: 0 } }),
      }],
    })
    assert.equal(outcome.kind, 'committed')
    await world.table.poll()
  }
  await world.flushed()
  assert.deepEqual(await world.files(), [[0, 0], [1, 1]])
  assert.equal(world.table.snapshot.txn(flushAppId(topicId, 0)), 2)
})

inWorld('a commit whose reply is lost is settled, and its rows are there once', async (world) => {
  let lost = 0
  world.afterGate = (operation, key) => {
    if (operation === 'putIfAbsent' && key.endsWith('1.json') && lost++ < 2) throw new StoreError('timeout', 'lost')
  }
  await world.produce(['a', 'b'])
  await world.flushed()
  assert.deepEqual(await world.files(), [[0, 1]])
  assert.equal(world.table.snapshot.version, 1)
})

inWorld('nothing is released before the commit was read back, however long that takes', async (world) => {
  let failures = 0
  let committed = false
  world.afterGate = (operation, key) => {
    if (operation === 'putIfAbsent' && key.endsWith('1.json')) committed = true
  }
  world.gate = (operation, key) => {
    if (committed && operation === 'get' && key.endsWith('1.json') && failures++ < 4) throw new StoreError('unavailable', 'no')
  }
  await world.produce(['a'])
  while (failures < 3) await world.env.clock.sleep(1)
  assert.equal(world.logs[0]!.flushedOffset, 0)
  assert.equal(world.host.released.length, 0)
  await world.flushed()
  assert.equal(world.host.released.length, 1)
  assert.ok(world.troubles.some((message) => message.includes('read back')), world.troubles.join())
})

inWorld('a batch that nobody can decode is set aside, and does not hold up the others', async (world) => {
  const [log] = world.logs
  append(log!, batchOf(['a']))
  // Past the checks of an append, as a version with weaker ones would have let it.
  assert.equal(append(log!, batchOf(['b'], { codec: 1 })).kind, 'appended')
  const { bytes } = world.host.submitted[1]!
  bytes.fill(0, 75)
  writeInt32(bytes, CRC_AT, computeCrc(bytes, 0))
  append(log!, batchOf(['c']))
  await world.host.settle()
  world.flusher.touch(world.topic)
  await world.flushed()
  assert.deepEqual(world.quarantined, [`0@1 quarantine/${topicId}/0/1`])
  assert.deepEqual(await world.store.get(`quarantine/${topicId}/0/1`), new Uint8Array(bytes))
  assert.equal(log!.flushedOffset, 3)
  assert.equal(world.commits[0]!.rows, 2)
})

inWorld('batches whose segment is gone are found in the table of whoever flushed them', async (world) => {
  const small = new TestHost(0)
  const log = openLog(small)
  world.logs[0] = log
  append(log, batchOf(['a']))
  await small.settle()
  small.cache.trim()
  await world.topic.ensureTable()
  const other = world.openTable()
  await other.load()
  await other.commit({ commitId: 'theirs', operation: 'STREAMING UPDATE', adds: [], removes: [], txns: [{ appId: flushAppId(topicId, 0), from: null, to: 1 }] })
  // The lane of `world.host` has no such segment.
  world.flusher.touch(world.topic)
  await world.flushed()
  assert.equal(log.flushedOffset, 1)
  assert.deepEqual(await world.files(), [])
})

inWorld('a table that holds more than was ever written here is not touched', async (world) => {
  await world.topic.ensureTable()
  await world.table.commit({ commitId: 'theirs', operation: 'STREAMING UPDATE', adds: [], removes: [], txns: [{ appId: flushAppId(topicId, 0), from: null, to: 50 }] })
  await world.produce(['a'])
  await world.env.clock.sleep(5000)
  assert.equal(world.logs[0]!.flushedOffset, 0)
  assert.equal(world.table.snapshot.version, 1)
  assert.ok(world.troubles.some((message) => message.includes('taken over')))
})

inWorld('a deleted topic is not flushed any more', async (world) => {
  await world.produce(['a'])
  world.duringEncode = async () => {
    world.topic.deleted = true
  }
  await world.env.clock.sleep(5000)
  assert.deepEqual(world.commits, [])
  assert.equal(world.table.snapshot.version, 0)
})

inWorld('a drain flushes what no flush was planned for, in as many commits as it takes', async (world) => {
  for (let i = 0; i < 30; i++) append(world.logs[0]!, batchOf(['x'.repeat(4000)]))
  await world.host.settle()
  await world.flusher.drain([world.topic], new AbortController().signal)
  assert.equal(world.logs[0]!.flushedOffset, 30)
  assert.ok(world.commits.length >= 3)
})

inWorld('a drain ends with its signal, also while a commit hangs', async (world) => {
  await world.topic.ensureTable()
  world.gate = (operation, key) => (operation === 'putIfAbsent' && key.endsWith('1.json') ? new Promise(() => undefined) : undefined)
  append(world.logs[0]!, batchOf(['a']))
  await world.host.settle()
  const end = new AbortController()
  world.env.clock.schedule(500, () => end.abort())
  await world.flusher.drain([world.topic], end.signal)
  assert.equal(world.env.nowMs, 500)
  assert.equal(world.logs[0]!.flushedOffset, 0)
})
