/** A storage engine in a simulated world, with a hand on every store call of each broker. */
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { StorageEngine } from '../../../storage/engine/engine.ts'
import type { EngineOptions } from '../../../storage/engine/engine.ts'
import { Journal } from '../../../storage/journal/journal.ts'
import { freeLocation } from '../../../storage/journal/state.ts'
import type { StoreOperation } from '../../../storage/objects/object-store.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome } from '../../../storage/objects/object-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import { TableReads } from '../../../storage/partition/table-reads.ts'
import type { SimEnv } from '../../simulation/sim-env.ts'
import { config, batchOf } from '../partition/support.ts'

export const engineOptions: EngineOptions = {
  nodeId: 1,
  lane: { lingerMs: 1, inflightMax: 2, segmentBytesMax: 10_000, bufferBytesMax: 100_000 },
  checkpointIntervalMs: 1_000_000,
  journalPollMs: 1_000_000,
  cacheBytes: 100_000,
  producerExpirationMs: 86_400_000,
  flush: { parquetCompression: 'none', topicsAtOnce: 2, retryMs: 100 },
  maintenance: { compaction: false, parquetCompression: 'none', logRetentionMs: 86_400_000, deletedFileRetentionMs: 86_400_000 },
}

/** Called before each operation; what it throws is what the broker sees, and the operation waits for it. */
export type Gate = (operation: StoreOperation, key: string) => Promise<void> | void

export class TestBroker {
  readonly engine: StorageEngine
  readonly journal: Journal
  readonly fenced: string[]
  readonly warnings: string[]

  private constructor(engine: StorageEngine, journal: Journal, fenced: string[], warnings: string[]) {
    this.engine = engine
    this.journal = journal
    this.fenced = fenced
    this.warnings = warnings
  }

  static async start(
    env: SimEnv, inner: ObjectStore, settings: { readonly gate?: Gate; readonly options?: Partial<EngineOptions>; readonly flushIntervalMs?: number; readonly flushBytes?: number } = {},
  ): Promise<TestBroker> {
    const store = new GatedStore(inner, settings.gate ?? (() => undefined))
    const journal = await Journal.open(store, env)
    const parquet = new InlineParquet()
    const fenced: string[] = []
    const warnings: string[] = []
    const warn = (message: string): void => void warnings.push(message)
    const engine = await StorageEngine.start(
      {
        env, store, journal, workers: parquet, checkpoints: new InlineCheckpointEngine(),
        coldReads: (tableOf) => new TableReads({ store, parquet, tableOf, options: { cacheBytes: 10_000, compressionOf: () => 'none' } }),
        configOf: () => ({ ...config, flushIntervalMs: settings.flushIntervalMs ?? 100, flushBytes: settings.flushBytes ?? config.flushBytes }),
        options: { ...engineOptions, ...settings.options },
        observer: {
          lane: { segmentWritten: () => undefined, segmentRetried: () => undefined },
          flush: { flushed: () => undefined, trouble: (_topic, message) => warn(message), quarantined: () => warn('quarantined') },
          maintenance: { done: () => undefined, failed: (_topic, job) => warn(job) },
          info: () => undefined,
          warn,
        },
        onFenced: (reason) => fenced.push(reason),
      },
      { host: 'test' },
    )
    return new TestBroker(engine, journal, fenced, warnings)
  }

  async createTopic(name: string, partitions = 1): Promise<string> {
    const id = this.engine.env.uuid()
    await this.journal.append((state) => [
      { type: 'topic-created', topic: { id, name, partitions, configs: {}, location: freeLocation(state, name, id), createdMs: 0, internal: false } },
    ])
    this.engine.syncTopics()
    return id
  }

  async deleteTopic(id: string): Promise<void> {
    await this.journal.append(() => [{ type: 'topic-deleted', id }])
    this.engine.syncTopics()
  }

  log(topicId: string, partition = 0): StoredPartitionLog {
    const log = this.engine.partition(topicId, partition)
    if (log === null) throw new Error(`there is no partition ${partition} of ${topicId}`)
    return log
  }

  /** Appends one batch per text; resolves to what became of the last one. */
  async produce(topicId: string, texts: readonly string[], partition = 0): Promise<string> {
    const log = this.log(topicId, partition)
    let lastOffset = -1
    for (const text of texts) {
      const outcome = log.append(batchOf([text]), { origin: 'client' })
      if (outcome.kind !== 'appended') return outcome.kind
      lastOffset = outcome.lastOffset
    }
    return await new Promise((resolve) => log.whenDurable(lastOffset, resolve))
  }

  async flushed(topicId: string, partition = 0): Promise<void> {
    const log = this.log(topicId, partition)
    while (log.flushedOffset < log.highWatermark) await this.engine.env.clock.sleep(10)
  }
}

/** Keys of everything under a prefix. */
export async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  return (await store.list(prefix)).map(({ key }) => key)
}

/** Something that one side waits for and the other one opens. */
export class Door {
  readonly #opened = Promise.withResolvers<void>()
  readonly #reached = Promise.withResolvers<void>()

  /** Resolves when somebody waits at it. */
  get reached(): Promise<void> {
    return this.#reached.promise
  }

  pass(): Promise<void> {
    this.#reached.resolve()
    return this.#opened.promise
  }

  open(): void {
    this.#opened.resolve()
  }
}

class GatedStore implements ObjectStore {
  readonly description = 'gated'
  readonly #inner: ObjectStore
  readonly #gate: Gate

  constructor(inner: ObjectStore, gate: Gate) {
    this.#inner = inner
    this.#gate = gate
  }

  async get(key: string): Promise<Uint8Array | null> {
    await this.#gate('get', key)
    return this.#inner.get(key)
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    await this.#gate('getRange', key)
    return this.#inner.getRange(key, start, endExclusive)
  }

  async head(key: string): Promise<ObjectMeta | null> {
    await this.#gate('head', key)
    return this.#inner.head(key)
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    await this.#gate('putIfAbsent', key)
    return this.#inner.putIfAbsent(key, body)
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    await this.#gate('put', key)
    return this.#inner.put(key, body)
  }

  async list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    await this.#gate('list', prefix)
    return this.#inner.list(prefix, options)
  }

  async delete(keys: readonly string[]): Promise<void> {
    await this.#gate('delete', keys[0] ?? '')
    return this.#inner.delete(keys)
  }

  async close(): Promise<void> {}
}
