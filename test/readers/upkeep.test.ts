/** What the broker itself does to its tables: compaction, checkpoints of their logs, removal. Readers see the same rows before and after. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { OffsetCommit } from '../../protocol/messages/08-offset-commit.ts'
import { OffsetFetch } from '../../protocol/messages/09-offset-fetch.ts'
import { openStore } from '../../storage/objects/open-store.ts'
import type { ObjectStore } from '../../storage/objects/object-store.ts'
import { checkpointKey, lastCheckpointKey } from '../../storage/delta/log-files.ts'
import { eventually, freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { DeltaReader, engines, noDeltaReaders } from '../support/delta-reader.ts'
import { seededRandom, testEnv } from '../support/env.ts'
import { Ledger, TopicClient, Workload, assertTableHolds, assertTopicHolds, busy, flushed, records, topicState } from './support.ts'

const hectic = [...busy, '--table-flush-interval-ms', '20']
const PARTITIONS = 2

/** As `--store` names it, without the broker. */
async function listed(objects: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for (let after = ''; ; ) {
    const page = await objects.list(prefix, after === '' ? {} : { after })
    keys.push(...page.map(({ key }) => key))
    if (page.length < 1000) return keys
    after = page.at(-1)!.key
  }
}

/** Gives the error code. */
async function commit(client: TopicClient, groupId: string, committedOffset: number): Promise<number> {
  const { topics } = await client.raw.send(OffsetCommit, 8, {
    groupId,
    memberId: '',
    topics: [{ name: 'work', topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partitions: [{ partitionIndex: 0, committedOffset, committedMetadata: `at ${committedOffset}` }] }],
  })
  return topics[0]!.partitions[0]!.errorCode
}

describe('upkeep of tables', { skip: noDeltaReaders }, () => {
  let store = ''
  let broker: TestBroker
  let reader: DeltaReader
  let objects: ObjectStore

  before(async () => {
    store = await freshStore()
    reader = new DeltaReader()
    broker = await startTestBroker({ store, args: hectic })
    objects = await openStore(store, testEnv())
  })
  after(async () => {
    await reader.close()
    await objects.close()
    await broker.kill()
    await removeStore(store)
  })

  async function create(topic: string, partitions: number): Promise<void> {
    const client = await TopicClient.connect(broker)
    await client.create(topic, partitions)
    client.close()
  }

  async function versionReached(topic: string, version: number): Promise<void> {
    await eventually(`version ${version} of ${topic}`, async () => ((await topicState(broker, topic)).table.version ?? 0) >= version, 60_000)
  }

  async function hint(location: string): Promise<{ version: number; size: number; numOfAddFiles: number }> {
    return JSON.parse(Buffer.from((await objects.get(lastCheckpointKey(location)))!).toString()) as { version: number; size: number; numOfAddFiles: number }
  }

  test('compaction and checkpoints change no version that readers see, and keep the table small', async () => {
    await create('long', PARTITIONS)
    const workload = new Workload(broker, 'long', PARTITIONS, { pauseMs: 5 })
    await versionReached('long', 150)
    let ledger = await workload.stop()
    const { table } = await flushed(broker, 'long')
    const location = table.location.slice(table.location.indexOf('topics/'))
    await assertTableHolds(reader, table.location, ledger)

    const history = await reader.ask<{ version: number; operation: string }[]>({ op: 'history', table: table.location })
    const merges = history.filter(({ operation }) => operation === 'OPTIMIZE').map(({ version }) => version)
    assert.ok(merges.length > 0, 'nothing was compacted')
    const { version: checkpoint } = await hint(location)
    // Upkeep has gone on since.
    const latest = (await topicState(broker, 'long')).table.version!
    // The first hundred versions are 0 to 99.
    assert.ok(checkpoint >= 99 && checkpoint <= latest, `a checkpoint of version ${checkpoint}, at version ${latest}`)
    assert.ok((await objects.head(checkpointKey(location, checkpoint))) !== null)
    const files = await reader.ask<string[]>({ op: 'files', table: table.location })
    assert.ok(files.length < 48 * PARTITIONS, `${files.length} live files at version ${table.version}`)

    // Time travel: around merges and the checkpoint, and far back. Each version holds a prefix of each partition, and more than the one before.
    const versions = [...new Set([1, 20, ...merges.slice(0, 3).flatMap((version) => [version - 1, version, version + 1]), checkpoint - 1, checkpoint, checkpoint + 1, table.version!])]
    let previous = 0
    for (const version of versions.filter((version) => version <= latest).toSorted((a, b) => a - b)) {
      const [one, other] = await Promise.all(engines.map((engine) => reader.summary(engine, table.location, version)))
      assert.deepEqual(one!.partitions, other!.partitions, `version ${version}`)
      for (const { count, distinct, min, max } of Object.values(one!.partitions)) assert.deepEqual({ count, distinct, min }, { count: max + 1, distinct: max + 1, min: 0 })
      assert.ok(one!.count >= previous, `version ${version}`)
      previous = one!.count
    }
    for (const version of merges.slice(0, 3)) {
      const [before, merged] = await Promise.all([version - 1, version].map((at) => reader.summary('duckdb', table.location, at)))
      assert.deepEqual(merged!.partitions, before!.partitions)
    }

    // A new process finds the table by its checkpoint and goes on with it.
    assert.equal(await broker.stop(), 0)
    broker = await startTestBroker({ store, args: hectic })
    await assertTopicHolds(broker, 'long', ledger)
    const more = new Workload(broker, 'long', PARTITIONS, { pauseMs: 5, seed: 2, ledger })
    await more.progress(200)
    ledger = await more.stop()
    await flushed(broker, 'long')
    await assertTableHolds(reader, table.location, ledger)
    await assertTopicHolds(broker, 'long', ledger)
    for (const engine of engines) assert.equal((await reader.summary(engine, table.location, checkpoint)).version, checkpoint)
  })

  test('a topic that is created again has a table of its own, from offset 0, and nothing of the old one is left', async () => {
    await create('again', PARTITIONS)
    const old = new Workload(broker, 'again', PARTITIONS, { seed: 3 })
    await old.progress(100)
    const { table: before } = await flushed(broker, 'again')
    const client = await TopicClient.connect(broker)
    await client.delete('again')
    // A producer that does not know it yet is refused, and what it had under way leaves no trace.
    await assert.rejects(old.progress(1_000_000))
    await create('again', 1)
    const ledger = new Ledger(1)
    const random = seededRandom(4)
    const sent = records(random, 30, 'new')
    const first = await client.produce('again', 0, sent)
    assert.equal(first, 0)
    ledger.note(0, first, sent)
    const { table } = await flushed(broker, 'again')
    assert.notEqual(table.location, before.location)
    await assertTableHolds(reader, table.location, ledger)
    await assertTopicHolds(broker, 'again', ledger)
    await eventually('the old table is gone', async () => (await listed(objects, `${before.location.slice(before.location.indexOf('topics/'))}/`)).length === 0)
    await assert.rejects(reader.summary('deltalake', before.location))

    // Deleted and killed at once: the next start finishes the removal.
    await client.delete('again')
    client.close()
    await broker.kill()
    broker = await startTestBroker({ store, args: hectic })
    await eventually('the second table is gone', async () => (await listed(objects, `${table.location.slice(table.location.indexOf('topics/'))}/`)).length === 0)
    assert.equal((await fetch(`${broker.http}/v1/topics/again`)).status, 404)
    await create('again', 1)
    const third = await TopicClient.connect(broker)
    assert.deepEqual((await third.consume('again', 0)).records, [])
    assert.equal(await third.produce('again', 0, sent), 0)
    third.close()
  })

  test('ten thousand commits of offsets leave a small table, and the group goes on after a restart', async () => {
    await create('work', 1)
    const groups = ['billing', 'audit', 'search']
    const committed = async (groupId: string): Promise<number> => {
      const client = await TopicClient.connect(broker)
      const answer = await eventually(`the offset of ${groupId}`, async () => {
        const { groups: [group] } = await client.raw.send(OffsetFetch, 8, {
          topics: [],
          groups: [{ groupId, topics: [{ name: 'work', topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partitionIndexes: [0] }] }],
        })
        return group!.errorCode === 0 ? { offset: group!.topics[0]!.partitions[0]!.committedOffset } : null
      })
      client.close()
      return answer.offset
    }
    const clients = await Promise.all(groups.map(() => TopicClient.connect(broker)))
    for (const [index, group] of groups.entries()) await eventually('the coordinator', async () => (await commit(clients[index]!, group, 0)) === 0)
    const each = Math.ceil(10_000 / groups.length)
    await Promise.all(groups.map(async (group, index) => {
      for (let from = 1; from <= each; from += 20) {
        const codes = await Promise.all(Array.from({ length: Math.min(20, each - from + 1) }, (_, n) => commit(clients[index]!, group, from + n)))
        assert.ok(codes.every((code) => code === 0))
      }
    }))
    for (const client of clients) client.close()
    const { table } = await flushed(broker, '__consumer_offsets')
    const rows = await eventually('the table of offsets is compacted', async () => {
      const count = await reader.ask<number>({ op: 'count', engine: 'deltalake', table: table.location })
      return count < 5000 ? { count } : null
    })
    const files = await reader.ask<string[]>({ op: 'files', table: table.location })
    assert.ok(files.length < 100, `${files.length} files with ${rows.count} rows`)
    // Compaction goes on, so that both look at one version.
    const { version } = (await topicState(broker, '__consumer_offsets')).table
    const counts = await Promise.all(engines.map((engine) => reader.ask<number>({ op: 'count', engine, table: table.location, version })))
    assert.ok(counts.every((count) => count === counts[0] && count >= groups.length && count <= rows.count), `${counts.join(' and ')} rows`)
    for (const group of groups) assert.equal(await committed(group), each)

    await broker.kill()
    broker = await startTestBroker({ store, args: hectic })
    for (const group of groups) assert.equal(await committed(group), each)
    const client = await TopicClient.connect(broker)
    await eventually('the coordinator after the restart', async () => (await commit(client, 'billing', each + 1)) === 0)
    client.close()
    assert.equal(await broker.stop(), 0)
    broker = await startTestBroker({ store, args: hectic })
    assert.equal(await committed('billing'), each + 1)
    assert.equal(await committed('audit'), each)
  })
})
