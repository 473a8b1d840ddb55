/** The flusher on a real engine, when outsiders do to the table what DELTA-FACTS has seen them do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { StorageEngine } from '../../../storage/engine/engine.ts'
import { Journal } from '../../../storage/journal/journal.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { ParquetCodec } from '../../../storage/parquet/parquet-codec.ts'
import { BatchMemory } from '../../../storage/partition/batch-memory.ts'
import { TableReads } from '../../../storage/partition/table-reads.ts'
import { realEnv } from '../../../src/real-env.ts'
import { eventually } from '../../support/broker.ts'
import { logConfig } from '../../support/log-config.ts'

const parquet = new InlineParquet()
const TOPIC = 'dGVzdC10b3BpYy1pZC0wMA'
const location = 'topics/t'

interface Settings {
  readonly workers?: ParquetCodec
  readonly cacheBytes?: number
  readonly flushBytes?: number
}

async function startEngine(store: ObjectStore, troubles: string[] = [], { workers = parquet, cacheBytes = 0, flushBytes = logConfig.flushBytes }: Settings = {}): Promise<StorageEngine> {
  const journal = await Journal.open(store, realEnv)
  const engine = await StorageEngine.start(
    {
      env: realEnv,
      store,
      journal,
      workers,
      checkpoints: new InlineCheckpointEngine(),
      coldReads: (tableOf) => new TableReads({ store, parquet, tableOf, options: { cacheBytes: 1 << 20, compressionOf: () => 'none' } }),
      configOf: () => ({ ...logConfig, flushBytes }),
      options: {
        nodeId: 0,
        lane: { lingerMs: 0, inflightMax: 2, segmentBytesMax: 1 << 20, bufferBytesMax: 1 << 22 },
        checkpointIntervalMs: 20,
        journalPollMs: 1000,
        cacheBytes,
        producerExpirationMs: 1e9,
        flush: { parquetCompression: 'none', topicsAtOnce: 2, retryMs: 10 },
        maintenance: { compaction: false, parquetCompression: 'none', logRetentionMs: 1e9, deletedFileRetentionMs: 1e9 },
      },
      observer: {
        lane: { segmentWritten: () => undefined, segmentRetried: () => undefined },
        flush: { flushed: () => undefined, trouble: (_topic, message) => void troubles.push(message), quarantined: () => undefined },
        maintenance: { done: () => undefined, failed: () => undefined },
        info: () => undefined,
        warn: (message) => void troubles.push(message),
      },
      onFenced: () => undefined,
    },
    {},
  )
  if (!journal.state.topics.has(TOPIC)) {
    const topic = { id: TOPIC, name: 't', partitions: 1, configs: {}, location, createdMs: 0, internal: false }
    await journal.append(() => [{ type: 'topic-created', topic }])
    engine.syncTopics()
  }
  return engine
}

/** Gives the memory that the batch came in. */
function produce(engine: StorageEngine, values: readonly string[]): ArrayBuffer {
  const records = values.map((value) => ({ timestamp: 1, key: null, value: Buffer.from(value) }))
  const frame = new Uint8Array(encodeBatch({ baseOffset: 0, timestampType: 0, codec: 0, records }))
  const memory = new BatchMemory(frame.buffer)
  const outcome = engine.partition(TOPIC, 0)!.append(frame, { origin: 'client', memory })
  assert.equal(outcome.kind, 'appended')
  memory.release()
  return frame.buffer
}

/** A store in which somebody deletes the first `count` data files as soon as they are written. */
function withVacuum(inner: MemoryStore, count: number): ObjectStore {
  let left = count
  return new Proxy(inner, {
    get(target, name) {
      if (name === 'put') {
        return async (key: string, body: readonly Uint8Array[]): Promise<void> => {
          await target.put(key, body)
          if (key.endsWith('.parquet') && left > 0) {
            left--
            await target.delete([key])
          }
        }
      }
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

test('data files that a careless VACUUM took before their commit are written again before the lanes let go', async () => {
  const store = new MemoryStore({ clock: realEnv.clock })
  const troubles: string[] = []
  const engine = await startEngine(withVacuum(store, 2), troubles)
  produce(engine, ['a', 'b'])
  const log = engine.partition(TOPIC, 0)!
  await eventually('the flush', () => log.flushedOffset === 2)
  const files = (await store.list(`${location}/partition=0/`)).map(({ key }) => key)
  assert.equal(files.length, 1)
  assert.ok(troubles.some((message) => message.includes('are gone from the store and are written again')), troubles.join('\n'))
  const { batches } = await parquet.decode({ file: (await store.get(files[0]!))!, fromOffset: 0, maxBytes: 1 << 20 })
  assert.equal(batches.at(-1)?.lastOffset, 1)
  await engine.close(1000)
})

test('a transaction that is larger than a commit is one, in several files that are not kept and can be made again', async () => {
  const store = new MemoryStore({ clock: realEnv.clock })
  const troubles: string[] = []
  const engine = await startEngine(withVacuum(store, 2), troubles, { flushBytes: 1000 })
  try {
    const log = engine.partition(TOPIC, 0)!
    const values = Array.from({ length: 12 }, (_, i) => `${i}`.padEnd(400, 'x'))
    for (const [baseSequence, value] of values.entries()) {
      const records = [{ timestamp: 1, key: null, value: Buffer.from(value) }]
      assert.equal(log.append(encodeBatch({ baseOffset: 0, producerId: 1, producerEpoch: 0, baseSequence, transactional: true, records }), { origin: 'client' }).kind, 'appended')
    }
    assert.equal(log.appendMarker({ producerId: 1, producerEpoch: 0, coordinatorEpoch: 0, committed: true }).kind, 'appended')
    await eventually('the flush', () => log.flushedOffset === values.length + 1)
    assert.ok(troubles.some((message) => message.includes('are gone from the store and are written again')), troubles.join('\n'))
    const commits = (await store.list(`${location}/_delta_log/`)).map(({ key }) => key)
    assert.equal(commits.length, 2, 'the one that creates the table, and one more')
    const files = (await store.list(`${location}/partition=0/`)).map(({ key }) => key)
    assert.ok(files.length > 4, String(files.length))
    const found: string[] = []
    for (const file of files) {
      const { batches } = await parquet.decode({ file: (await store.get(file))!, fromOffset: 0, maxBytes: 1 << 20 })
      found.push(...batches.flatMap(({ bytes }) => recordsOf(bytes)).map(({ value }) => Buffer.from(value!).toString()))
    }
    assert.deepEqual(found.sort(), values.toSorted())
  } finally {
    await engine.close(1000)
  }
})

test('a table with a feature that is not supported gets no data files until it is lifted, and nothing is lost', async () => {
  const store = new MemoryStore({ clock: realEnv.clock })
  const troubles: string[] = []
  const engine = await startEngine(store, troubles)
  const log = engine.partition(TOPIC, 0)!
  produce(engine, ['a'])
  await eventually('the first flush', () => log.flushedOffset === 1)
  const newest = async (): Promise<number> => (await store.list(`${location}/_delta_log/`)).length
  const commit = async (action: object): Promise<void> => {
    const key = `${location}/_delta_log/${String(await newest()).padStart(20, '0')}.json`
    assert.equal((await store.putIfAbsent(key, [Buffer.from(`${JSON.stringify(action)}\n`)])).kind, 'created')
  }
  await commit({ protocol: { minReaderVersion: 1, minWriterVersion: 3 } })
  const metadata = engine.topic(TOPIC)!.table.snapshot.metadata
  await commit({ metaData: { ...metadata, configuration: { ...metadata.configuration, 'delta.constraints.positive': 'offset >= 0' } } })
  produce(engine, ['b'])
  await eventually('the suspension', () => troubles.some((message) => message.includes('suspended')))
  // A few more tries must leave nothing behind.
  const tries = troubles.length + 3
  await eventually('more tries', () => troubles.length >= tries)
  assert.equal((await store.list(`${location}/partition=0/`)).length, 1)
  assert.equal(log.flushedOffset, 1)
  assert.equal(log.highWatermark, 2)
  await commit({ metaData: metadata })
  await eventually('the flush after the constraint was dropped', () => log.flushedOffset === 2)
  assert.equal((await store.list(`${location}/partition=0/`)).length, 2)
  await engine.close(1000)
})

test('batches that are being encoded stay, whatever the cache lets go of meanwhile; then their memory goes back', async () => {
  const store = new MemoryStore({ clock: realEnv.clock })
  const begun = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const slow: ParquetCodec = Object.assign(new InlineParquet(), {
    async encode(request: Parameters<ParquetCodec['encode']>[0]) {
      begun.resolve()
      await gate.promise
      return await parquet.encode(request)
    },
  })
  const engine = await startEngine(store, [], { workers: slow, cacheBytes: 1500 })
  const log = engine.partition(TOPIC, 0)!
  const memory = produce(engine, ['a', 'b'])
  await begun.promise
  for (const value of ['c', 'd', 'e', 'f']) {
    produce(engine, [value])
    const end = log.logEndOffset
    await eventually(`${value} is durable`, () => log.highWatermark === end)
  }
  assert.ok(log.readsStore(0), 'it has left the cache')
  assert.equal(memory.detached, false)
  gate.resolve()
  await eventually('the flush', () => log.flushedOffset === 6)
  assert.equal(memory.detached, true)
  const [file] = await store.list(`${location}/partition=0/`)
  const { batches } = await parquet.decode({ file: (await store.get(file!.key))!, fromOffset: 0, maxBytes: 1 << 20 })
  assert.deepEqual(batches.flatMap(({ bytes }) => recordsOf(bytes)).map(({ value }) => Buffer.from(value!).toString()).slice(0, 2), ['a', 'b'])
  await engine.close(1000)
})
