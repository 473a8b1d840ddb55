/** P6 and P7: at every version, while it is written, two foreign readers see the same valid table, and its rows are what was produced. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { DeltaReader, engines, noDeltaReaders } from '../support/delta-reader.ts'
import type { TableSummary } from '../support/delta-reader.ts'
import { Ledger, TopicClient, Workload, assertTableHolds, assertTopicHolds, busy, flushed, records, topicState } from './support.ts'
import { seededRandom } from '../support/env.ts'

const PARTITIONS = 4
const VERSIONS = 40

describe('every version of a table while it is written', { skip: noDeltaReaders }, () => {
  let store = ''
  let broker: TestBroker
  let reader: DeltaReader
  let ledger = new Ledger(0)
  const stamped = new Ledger(1)
  let table = ''

  before(async () => {
    store = await freshStore()
    reader = new DeltaReader()
    broker = await startTestBroker({ store, args: busy })
    const client = await TopicClient.connect(broker)
    await client.create('events', PARTITIONS)
    await client.create('stamped', 1, { 'message.timestamp.type': 'LogAppendTime' })
    client.close()
  })
  after(async () => {
    await reader.close()
    assert.equal(await broker.stop(), 0)
    await removeStore(store)
  })

  test('both engines agree; offsets have no gap and none is there twice; counts only grow', async () => {
    const workload = new Workload(broker, 'events', PARTITIONS)
    await workload.progress(20)
    table = (await flushed(broker, 'events')).table.location
    let previous: TableSummary['partitions'] = {}
    for (let version = 0; version <= VERSIONS; version++) {
      // The next version is on its way: the producer does not rest.
      for (let known = -1; known < version; ) known = (await topicState(broker, 'events')).table.version ?? -1
      const [one, other] = await Promise.all(engines.map((engine) => reader.summary(engine, table, version)))
      assert.deepEqual(one!.partitions, other!.partitions, `version ${version}`)
      for (const [partition, { count, distinct, min, max }] of Object.entries(one!.partitions)) {
        assert.deepEqual({ count, distinct, min }, { count: max + 1, distinct: max + 1, min: 0 }, `version ${version}, partition ${partition}`)
      }
      for (const [partition, { count }] of Object.entries(previous)) assert.ok(one!.partitions[partition]!.count >= count, `version ${version}`)
      previous = one!.partitions
    }
    ledger = await workload.stop()
    const state = await flushed(broker, 'events')
    for (const { partition, flushedOffset } of state.partitions) assert.equal(flushedOffset, ledger.records(partition).length)
  })

  test('rows are what was produced, and so is what Kafka consumers get from memory', async () => {
    await assertTableHolds(reader, table, ledger)
    await assertTopicHolds(broker, 'events', ledger)
  })

  test('the time of the broker is in the table as well', async () => {
    const client = await TopicClient.connect(broker)
    const random = seededRandom(7)
    for (let n = 0; n < 5; n++) await client.produce('stamped', 0, records(random, 10, `stamped-${n}`))
    const { records: read } = await client.consume('stamped', 0)
    client.close()
    assert.equal(read.length, 50)
    assert.ok(read.every(({ timestamp, timestampType }) => timestampType === 1 && Math.abs(timestamp! - Date.now()) < 60_000))
    for (const record of read) stamped.partitions[0]!.set(record.offset, record)
    await assertTableHolds(reader, (await flushed(broker, 'stamped')).table.location, stamped)
  })

  test('a broker with nothing in memory gives every record from the table, equal in every part', async () => {
    assert.equal(await broker.stop(), 0)
    broker = await startTestBroker({ store, args: busy })
    await assertTopicHolds(broker, 'events', ledger)
    await assertTopicHolds(broker, 'stamped', stamped)
    // From the middle, and in small answers.
    const client = await TopicClient.connect(broker)
    for (const [partition] of ledger.partitions.entries()) {
      const all = ledger.records(partition)
      const from = all.length >> 1
      const { records: read } = await client.consume('events', partition, from, 700)
      assert.deepEqual(read, all.slice(from))
    }
    client.close()
    await assertTableHolds(reader, table, ledger)
  })
})
