/**
 * P7: other people's programs change a table while it is written and read. Flushing goes on over their commits, or stops with a clear word;
 * nothing is lost or doubled, and who reads from offset 0 with nothing in memory gets what is in the table.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openStore } from '../../storage/objects/open-store.ts'
import { deltaCommitKey } from '../../storage/paths.ts'
import { eventually, freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { DeltaReader, engines, noDeltaReaders } from '../support/delta-reader.ts'
import { seededRandom, testEnv } from '../support/env.ts'
import {
  TopicClient, Watcher, Workload, assertConsumersSeeTable, assertTableHolds, assertTopicHolds, busy, flushed, plain, records, topicState,
} from './support.ts'
import type { Ledger, TopicState } from './support.ts'

/** Nothing stays in memory: every read is one of a lane or of the table. */
const cold = [...busy, '--cache-bytes', '0']
const PARTITIONS = 2

describe('other writers of a table', { skip: noDeltaReaders }, () => {
  let store = ''
  let broker: TestBroker
  let reader: DeltaReader
  /** Topics whose tables hold exactly their ledgers in the end. */
  const whole = new Map<string, Ledger>()

  before(async () => {
    store = await freshStore()
    reader = new DeltaReader()
    broker = await startTestBroker({ store, args: cold })
  })
  after(async () => {
    await reader.close()
    await broker.kill()
    await removeStore(store)
  })

  interface Scene {
    readonly table: string
    readonly workload: Workload
    readonly version: () => Promise<number>
    /** So many more records, and all that is known then is in the table. */
    readonly goOn: (count?: number) => Promise<TopicState>
  }

  async function scene(topic: string, seed: number, configs: Readonly<Record<string, string>> = {}): Promise<Scene> {
    const client = await TopicClient.connect(broker)
    await client.create(topic, PARTITIONS, configs)
    client.close()
    const workload = new Workload(broker, topic, PARTITIONS, { seed })
    const goOn = async (count = 60): Promise<TopicState> => {
      await workload.progress(count)
      return await flushed(broker, topic)
    }
    const table = (await goOn(30)).table.location
    return { table, workload, goOn, version: async () => (await topicState(broker, topic)).table.version! }
  }

  async function assertAll(topic: string, ledger: Ledger, others = 0): Promise<void> {
    const { table } = await flushed(broker, topic)
    await assertTableHolds(reader, table.location, ledger, others)
    await assertTopicHolds(broker, topic, ledger)
    whole.set(topic, ledger)
  }

  test('OPTIMIZE, Z-ORDER and VACUUM without retention, beside consumers', async () => {
    const { table, workload, goOn } = await scene('optimized', 1)
    const watcher = new Watcher(broker, 'optimized', workload.ledger)
    for (let round = 0; round < 3; round++) {
      await goOn()
      await reader.ask({ op: 'optimize', table })
      await goOn()
      await reader.ask({ op: 'zorder', table, columns: round === 0 ? ['timestamp'] : ['key', 'value'] })
      await reader.ask({ op: 'vacuum', table })
      await goOn()
      if (round === 1) await reader.ask({ op: 'checkpoint', table })
    }
    assert.ok((await watcher.stop()) > 0)
    await assertAll('optimized', await workload.stop())
  })

  test('VACUUM of everything that no version refers to, files on their way into one included', async () => {
    const { table, workload, goOn } = await scene('vacuumed', 2)
    const watcher = new Watcher(broker, 'vacuumed', workload.ledger)
    for (let round = 0; round < 6; round++) {
      await reader.ask({ op: 'vacuum', table, full: true })
      await goOn()
    }
    await watcher.stop()
    await assertAll('vacuumed', await workload.stop())
  })

  test('rows without an offset are left alone, also when they share a file with ours', async () => {
    const { table, workload, goOn } = await scene('appended', 3)
    const watcher = new Watcher(broker, 'appended', workload.ledger)
    await reader.ask({ op: 'append', engine: 'deltalake', table, partition: 0, values: ['a', 'b'] })
    await reader.ask({ op: 'append', engine: 'deltalake', table, partition: null, values: ['c'] })
    // DuckDB inserts on local file systems only.
    if (!store.startsWith('s3://')) await duckdbAppend(table)
    else await reader.ask({ op: 'append', engine: 'deltalake', table, partition: 1, values: ['d'] })
    await goOn()
    await reader.ask({ op: 'optimize', table })
    await goOn()
    await watcher.stop()
    await assertAll('appended', await workload.stop(), 4)
  })

  /** DuckDB does not try again when a version was taken meanwhile. */
  async function duckdbAppend(table: string): Promise<void> {
    await eventually('DuckDB appends', () =>
      reader.ask({ op: 'append', engine: 'duckdb', table, partition: 1, values: ['d'] }).then(() => true, () => false))
  }

  test('deleted rows are gone for consumers, while records go on and when all is quiet', async () => {
    const { table, workload, goOn } = await scene('deleted', 4)
    const client = await TopicClient.connect(broker)
    await goOn(100)
    const before = (await client.consume('deleted', 0)).records.length
    assert.ok(before > 20)
    await reader.ask({ op: 'delete', table, where: 'partition = 0 and "offset" >= 3 and "offset" < 9' })
    await goOn()
    const ledger = await workload.stop()
    const expected = (await assertConsumersSeeTable(broker, reader, 'deleted'))[0]!
    assert.deepEqual(expected.slice(0, 6), [0, 1, 2, 9, 10, 11])
    // Nothing is produced any more, so no commit of ours tells the broker.
    await reader.ask({ op: 'delete', table, where: 'partition = 1 and "offset" < 5' })
    await eventually('consumers no longer see the rows', async () => (await client.consume('deleted', 1)).records[0]?.offset === 5)
    await assertConsumersSeeTable(broker, reader, 'deleted')
    // From the middle of the gap, and by time.
    assert.equal((await client.consume('deleted', 0, 4)).records[0]!.offset, 9)
    assert.deepEqual((await client.consume('deleted', 0, 4)).records, ledger.records(0).slice(9))
    // At the end of the log: who reads up to the end gets there.
    const end = ledger.records(1).at(-1)!.offset + 1
    await reader.ask({ op: 'delete', table, where: `partition = 1 and "offset" >= ${end - 5}` })
    await eventually('the end is gone as well', async () => (await client.consume('deleted', 1)).records.at(-1)?.offset === end - 6)
    assert.deepEqual((await client.consume('deleted', 1, end - 2)).records, [])
    client.close()
    for (let offset = end - 5; offset < end; offset++) ledger.partitions[1]!.delete(offset)
    for (let offset = 3; offset < 9; offset++) ledger.partitions[0]!.delete(offset)
    for (let offset = 0; offset < 5; offset++) ledger.partitions[1]!.delete(offset)
    await assertAll('deleted', ledger)
  })

  test('updated rows come with their new value at the same offset', async () => {
    const { table, workload, goOn } = await scene('updated', 5)
    await goOn()
    await reader.ask({ op: 'update', table, set: { key: `arrow_cast('changed', 'Binary')` }, where: 'partition = 0 and "offset" = 2' })
    await goOn()
    const ledger = await workload.stop()
    const changed = ledger.partitions[0]!.get(2)!
    ledger.partitions[0]!.set(2, { ...changed, key: Buffer.from('changed').toString('base64') })
    await assertAll('updated', ledger)
  })

  test('RESTORE to an older version: the rows since are gone, what comes next follows', async () => {
    // A commit a second: on a slow machine delta-rs would lose against ten of them a hundred times.
    const { workload, table, goOn, version } = await scene('restored', 6, { 'bayou.table.flush.interval.ms': '1000' })
    await goOn(100)
    const old = await version()
    await goOn(100)
    await restore(reader, table, old)
    await goOn(100)
    const ledger = await workload.stop()
    const { partitions } = await reader.summary('deltalake', table, old)
    const offsets = await assertConsumersSeeTable(broker, reader, 'restored')
    for (const [partition, seen] of offsets.entries()) {
      const kept = partitions[String(partition)]!.max
      assert.equal(seen.filter((offset) => offset <= kept).length, kept + 1)
      assert.equal(seen.at(-1), ledger.records(partition).at(-1)!.offset)
      assert.ok(seen.length < ledger.records(partition).length)
      for (const offset of ledger.records(partition).map((record) => record.offset)) if (!seen.includes(offset)) ledger.partitions[partition]!.delete(offset)
    }
    await assertAll('restored', ledger)
  })

  test('properties: append-only, log retention, files without statistics', async () => {
    const { workload, table, goOn } = await scene('properties', 7)
    const watcher = new Watcher(broker, 'properties', workload.ledger)
    await reader.ask({ op: 'properties', table, properties: { 'delta.appendOnly': 'true', 'delta.logRetentionDuration': 'interval 0 seconds' } })
    await goOn()
    // Takes the commits before it away.
    await reader.ask({ op: 'checkpoint', table })
    await reader.ask({ op: 'properties', table, properties: { 'delta.dataSkippingNumIndexedCols': '0' } })
    await goOn()
    await reader.ask({ op: 'optimize', table })
    await goOn()
    await reader.ask({ op: 'optimize', table })
    await reader.ask({ op: 'vacuum', table })
    await goOn()
    await watcher.stop()
    await assertAll('properties', await workload.stop())
  })

  test('what is not supported suspends flushing with a clear word, and it goes on when that is taken back', async () => {
    const { workload, table, goOn } = await scene('suspended', 8)
    const env = testEnv()
    const objects = await openStore(store, env)
    const location = table.slice(table.indexOf('topics/'))
    const watcher = new Watcher(broker, 'suspended', workload.ledger)

    /** Commits metaData and protocol as another writer would. */
    const alter = async (configuration: Readonly<Record<string, string>>, protocol: object): Promise<void> => {
      for (let version = 0; ; version++) {
        const key = deltaCommitKey(location, version)
        if ((await objects.get(key)) !== null) continue
        const first = Buffer.from((await objects.get(deltaCommitKey(location, 0)))!).toString()
        const metaData = first.split('\n').map((line) => JSON.parse(line || '{}') as { metaData?: { configuration: object } }).find((action) => action.metaData)!.metaData!
        const actions = [
          { commitInfo: { timestamp: Date.now(), operation: 'SET TBLPROPERTIES', engineInfo: 'somebody' } },
          { protocol },
          { metaData: { ...metaData, configuration: { ...metaData.configuration, ...configuration } } },
        ]
        const outcome = await objects.putIfAbsent(key, [Buffer.from(actions.map((action) => `${JSON.stringify(action)}\n`).join(''))])
        if (outcome.kind === 'created') return
      }
    }
    const usual = { minReaderVersion: 1, minWriterVersion: 2 }
    const obstacles: { name: RegExp; put: () => Promise<unknown>; take: () => Promise<unknown> }[] = [
      {
        name: /CHECK constraint/,
        put: () => reader.ask({ op: 'constraint', table, name: 'positive', expression: '"offset" >= 0' }),
        take: () => reader.ask({ op: 'unconstrain', table, name: 'positive' }),
      },
      {
        name: /column mapping/,
        put: () => alter({ 'delta.columnMapping.mode': 'name' }, { minReaderVersion: 2, minWriterVersion: 5 }),
        take: () => alter({}, { minReaderVersion: 2, minWriterVersion: 5 }),
      },
      {
        name: /deletionVectors/,
        put: () => alter(
          { 'delta.enableDeletionVectors': 'true' },
          { minReaderVersion: 3, minWriterVersion: 7, readerFeatures: ['deletionVectors'], writerFeatures: ['deletionVectors', 'appendOnly', 'invariants'] },
        ),
        take: () => alter({}, usual),
      },
    ]
    for (const { name, put, take } of obstacles) {
      await goOn()
      await put()
      const line = await eventually(`a line about ${name}`, () => broker.log.find(({ msg, topic }) => topic === 'suspended' && name.test(String(msg))))
      assert.match(String(line['msg']), /^flushing is suspended: /)
      const { partitions } = await topicState(broker, 'suspended')
      await workload.progress(60)
      const state = await topicState(broker, 'suspended')
      assert.deepEqual(state.partitions.map(({ flushedOffset }) => flushedOffset), partitions.map(({ flushedOffset }) => flushedOffset))
      assert.ok(state.table.unflushedRecords > 0)
      await take()
      await goOn()
    }
    assert.ok((await watcher.stop()) > 0)
    await objects.close()
    await assertAll('suspended', await workload.stop())
  })

  test('a broker that is killed while flushing is suspended keeps the records in its lanes', async () => {
    const { workload, table, goOn } = await scene('held', 9)
    await goOn()
    await reader.ask({ op: 'constraint', table, name: 'positive', expression: '"offset" >= 0' })
    await workload.progress(100)
    const ledger = await workload.stop()
    assert.ok((await topicState(broker, 'held')).table.unflushedRecords > 0)
    await broker.kill()
    broker = await startTestBroker({ store, args: cold })
    await assertTopicHolds(broker, 'held', ledger)
    const client = await TopicClient.connect(broker)
    const sent = records(seededRandom(1), 5, 'later')
    const first = await client.produce('held', 0, sent)
    for (const [index, record] of sent.entries()) ledger.partitions[0]!.set(first + index, plain(record, first + index))
    client.close()
    assert.ok((await topicState(broker, 'held')).table.unflushedRecords > 0)
    await reader.ask({ op: 'unconstrain', table, name: 'positive' })
    await assertAll('held', ledger)
  })

  test('after a restart consumers get from all these tables what is in them', async () => {
    assert.equal(await broker.stop(), 0)
    broker = await startTestBroker({ store, args: busy })
    for (const [topic, ledger] of whole) await assertTopicHolds(broker, topic, ledger)
    for (const engine of engines) {
      for (const [topic, ledger] of whole) {
        const { location } = (await topicState(broker, topic)).table
        assert.equal(await reader.ask({ op: 'count', engine, table: location, where: '"offset" is not null' }), ledger.count, `${engine}: ${topic}`)
      }
    }
  })
})

/** delta-rs tries a RESTORE once: while the broker commits it may lose, and its user would try again. */
async function restore(reader: DeltaReader, table: string, version: number): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await reader.ask({ op: 'restore', table, version })
      return
    } catch (error) {
      if (tries === 50 || !String(error).includes('Failed to commit transaction')) throw error
    }
  }
}
