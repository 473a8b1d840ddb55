/**
 * One life of a broker process: the real journal and storage engine on a store of its own that misbehaves, in a process that can be
 * killed or paused at any await point. Clients talk to it through requests that take time and answers that may never come.
 */
import { InlineCheckpointEngine } from '../../storage/delta/inline-checkpoint-engine.ts'
import { TableUpkeep } from '../../storage/delta/upkeep.ts'
import { StorageEngine } from '../../storage/engine/engine.ts'
import { SupersededError } from '../../storage/engine/recovery.ts'
import type { EngineObserver, EngineOptions, TopicLogs } from '../../storage/engine/engine.ts'
import type { TopicRecord } from '../../storage/journal/entries.ts'
import { Journal } from '../../storage/journal/journal.ts'
import { FaultyStore } from '../../storage/objects/faulty-store.ts'
import type { FaultRule } from '../../storage/objects/faulty-store.ts'
import { StoreError } from '../../storage/objects/object-store.ts'
import type { ObjectStore } from '../../storage/objects/object-store.ts'
import { RetryingStore } from '../../storage/objects/retrying-store.ts'
import type { StoredPartitionLog } from '../../storage/partition/log.ts'
import { TableReads } from '../../storage/partition/table-reads.ts'
import type { AppendOutcome, DurableOutcome, ReadOutcome, ReadRequest, TopicLogConfig } from '../../storage/partition/types.ts'
import { SimProcess } from './sim-env.ts'
import { SkewedStore } from './skewed-store.ts'
import type { Skew } from './skewed-store.ts'
import { simulatedConfig } from './topic-config.ts'
import type { World } from './world.ts'

export interface BrokerSettings {
  readonly engine: EngineOptions
  readonly topic: Pick<TopicLogConfig, 'flushBytes' | 'flushIntervalMs'>
  /** What the store is slow for. */
  readonly skew: Skew | null
  readonly coldCacheBytes: number
  /** Every so many commits a checkpoint of the table's log is written; 0 for never. */
  readonly tableCheckpointEvery: number
  readonly rebuiltCodec: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** Delay between a client and the broker, milliseconds; always the same, so that what a connection carries stays in order. */
  readonly networkMs: number
}

export type ProduceReply =
  | { readonly kind: 'acked'; readonly baseOffset: number }
  | { readonly kind: 'refused'; readonly outcome: AppendOutcome }
  | { readonly kind: 'failed'; readonly why: Exclude<DurableOutcome, 'durable'> | 'noTopic' | 'notServing' }

export type FetchReply = ReadOutcome | { readonly kind: 'noTopic' | 'notServing' }

const checkpoints = new InlineCheckpointEngine()

export class SimBroker {
  readonly name: string
  readonly process: SimProcess
  readonly door: FaultyStore
  readonly settings: BrokerSettings
  /** Settles when the start has worked or failed; never in a process that was killed during it. */
  readonly started: Promise<void>
  engine: StorageEngine | null = null
  journal: Journal | null = null
  fenced = false
  /** Its orderly stop came to an end. */
  closed = false
  failed: unknown = null
  /** Troubles that its operator would read about, for failing runs. */
  readonly log: string[] = []
  readonly #world: World
  readonly #upkeeps = new Map<string, TableUpkeep>()
  #commits = 0
  #closing = false

  constructor(world: World, name: string, settings: BrokerSettings, rules: readonly FaultRule[]) {
    this.#world = world
    this.name = name
    this.settings = settings
    this.process = new SimProcess(world.env)
    this.door = new FaultyStore(world.disk, world.env, rules)
    this.process.whenStopped((how) => {
      world.note(`${name} ${how} at ${this.process.steps}`)
      if (how === 'kill') this.door.crash()
    })
    this.started = this.#start().catch((error: unknown) => {
      this.failed = error
      this.process.kill()
      world.note(`${name} could not start: ${String(error)}`)
      // A store that misbehaves, and a successor that was faster, are reasons; nothing else is.
      if (!(error instanceof StoreError || error instanceof SupersededError)) world.fail(`${name} could not start: ${describe(error)}`)
    })
  }

  get serving(): boolean {
    return this.engine !== null && this.process.alive && !this.fenced && !this.#closing
  }

  kill(): void {
    this.process.kill()
  }

  /** An orderly stop; the process is gone afterwards. */
  async close(timeoutMs: number): Promise<void> {
    this.#closing = true
    await this.engine?.close(timeoutMs)
    this.closed = true
    this.process.kill()
  }

  async #start(): Promise<void> {
    const world = this.#world
    const { parquet } = world
    const env = this.process
    const { skew } = this.settings
    const door = skew === null ? this.door : new SkewedStore(this.door, world.env, skew)
    const store: ObjectStore = new RetryingStore(this.process.store(door), env, { attempts: 4, delayMs: 5, delayMaxMs: 50 })
    const journal = await Journal.open(store, env, { snapshotEveryChanges: 7 })
    this.journal = journal
    const { settings } = this
    this.engine = await StorageEngine.start(
      {
        env, store, journal, workers: parquet, checkpoints,
        coldReads: (tableOf) =>
          new TableReads({
            store, parquet, tableOf,
            options: { cacheBytes: settings.coldCacheBytes, compressionOf: () => settings.rebuiltCodec },
          }),
        configOf: (topic) => this.#configOf(topic),
        options: settings.engine,
        observer: this.#observer(store),
        onFenced: (reason) => {
          this.fenced = true
          world.note(`${this.name} fenced: ${reason}`)
          // The process of a fenced broker ends, but not at once.
          env.clock.schedule(world.env.below(400), () => this.process.kill())
        },
      },
      { host: this.name },
    )
    world.note(`${this.name} serves as incarnation ${this.engine.incarnation}`)
  }

  #configOf(topic: TopicRecord): TopicLogConfig {
    return { ...simulatedConfig(topic.configs), ...this.settings.topic }
  }

  async #maintain(store: ObjectStore, topic: TopicLogs): Promise<void> {
    const { tableCheckpointEvery } = this.settings
    if (tableCheckpointEvery === 0 || ++this.#commits % tableCheckpointEvery !== 0) return
    let upkeep = this.#upkeeps.get(topic.id)
    if (upkeep === undefined) {
      upkeep = new TableUpkeep(store, this.process, topic.table, checkpoints)
      this.#upkeeps.set(topic.id, upkeep)
    }
    try {
      const outcome = await upkeep.checkpoint()
      if (outcome.kind === 'disagrees' && !this.#isDeleted(topic)) this.#world.fail(`P7: the table of ${topic.name} in memory is not what its log says`)
    } catch (error) {
      if (!(error instanceof StoreError) && !this.#isDeleted(topic)) this.#world.fail(`the log of ${topic.name} could not be read: ${describe(error)}`)
    }
  }

  /** Also by somebody else, of which this broker may not know yet. */
  #isDeleted(topic: TopicLogs): boolean {
    return this.#world.disk.topics.get(topic.id)?.deleted !== false
  }

  #observer(store: ObjectStore): EngineObserver {
    const log = (text: string): void => {
      if (this.#world.tracing) this.log.push(`${Math.round(this.#world.env.nowMs)} ${this.name}: ${text}`)
      this.#world.trace(`${this.name}: ${text}`)
    }
    return {
      lane: { segmentWritten: () => undefined, segmentRetried: () => undefined },
      flush: {
        flushed: (name, { rows, version }) => {
          log(`flushed ${rows} rows of ${name} in version ${version}`)
          this.#world.count('flushes')
          const topic = [...(this.engine?.topics() ?? [])].find((candidate) => candidate.name === name)
          if (topic !== undefined && topic.table.isLoaded) void this.#maintain(store, topic)
        },
        trouble: (topic, message, cause) => {
          log(`${topic}: ${message} ${cause === undefined ? '' : describe(cause)}`)
          if (cause !== undefined && isBug(cause)) this.#world.fail(`${this.name}: ${topic}: ${message}: ${describe(cause)}`)
        },
        quarantined: (topic, partition, baseOffset, reason) => this.#world.fail(`P6: ${topic}/${partition}@${baseOffset} was set aside: ${reason}`),
      },
      maintenance: {
        done: (topic, job, fields) => {
          log(`${job} of ${topic} done ${JSON.stringify(fields)}`)
          this.#world.count(job)
        },
        failed: (topic, job, cause) => {
          log(`${job} of ${topic} failed: ${describe(cause)}`)
          if (isBug(cause)) this.#world.fail(`${this.name}: ${job} of ${topic}: ${describe(cause)}`)
        },
      },
      info: (message, fields) => log(`${message} ${JSON.stringify(fields)}`),
      warn: (message, fields) => {
        const cause = fields['err'] ?? fields['error'] ?? fields['cause']
        log(`${message} ${cause === undefined ? JSON.stringify(fields) : describe(cause)}`)
        if (message.includes('callback') || (cause !== undefined && isBug(cause))) this.#world.fail(`${this.name}: ${message}: ${describe(cause)}`)
      },
    }
  }

  // ---- requests ---------------------------------------------------------------------------------------------------------------

  /** Sends one batch; `reply` comes when the broker answers, which may be never. */
  produce(topicId: string, partition: number, batch: Uint8Array, onAnswer: (reply: ProduceReply) => void, reply: (reply: ProduceReply) => void): void {
    const answer = (result: ProduceReply): void => {
      // A process that is gone says nothing.
      if (!this.process.alive) return
      onAnswer(result)
      this.#deliver(() => reply(result))
    }
    this.#arrive(() => {
      if (!this.serving) return answer({ kind: 'failed', why: 'notServing' })
      const log = this.partition(topicId, partition)
      if (log === null) return answer({ kind: 'failed', why: 'noTopic' })
      const outcome = log.append(batch, { origin: 'client' })
      if (outcome.kind !== 'appended' && outcome.kind !== 'duplicate') return answer({ kind: 'refused', outcome })
      log.whenDurable(outcome.lastOffset, (result) => {
        answer(result === 'durable' ? { kind: 'acked', baseOffset: outcome.baseOffset } : { kind: 'failed', why: result })
      })
    })
  }

  fetch(topicId: string, partition: number, request: ReadRequest, reply: (reply: FetchReply) => void): void {
    const answer = (result: FetchReply): void => {
      if (this.process.alive) this.#deliver(() => reply(result))
    }
    this.#arrive(() => {
      if (!this.serving) return answer({ kind: 'notServing' })
      const log = this.partition(topicId, partition)
      if (log === null) return answer({ kind: 'noTopic' })
      const outcome = log.read(request)
      if (!(outcome instanceof Promise)) return answer(outcome)
      void outcome.then(answer, (error: unknown) => this.#world.fail(`a read threw: ${describe(error)}`))
    })
  }

  /** `done` is told where the log begins when the deletion is durable; never when it is not. */
  deleteRecords(topicId: string, partition: number, below: number, done: (logStart: number) => void): void {
    this.#arrive(() => {
      if (!this.serving) return
      void this.engine!.deleteRecords(topicId, partition, below).then((outcome) => {
        if (outcome.kind === 'deleted' && this.process.alive) done(outcome.logStartOffset)
      })
    })
  }

  /** Creates or deletes through the journal, as the broker's topics do. Resolves to whether it is known to have happened. */
  async change(propose: Parameters<Journal['append']>[0]): Promise<boolean> {
    if (!this.serving) return false
    const outcome = await this.journal!.append(propose)
    if (outcome.kind !== 'appended') return false
    this.engine!.syncTopics()
    return outcome.changes.length > 0
  }

  partition(topicId: string, partition: number): StoredPartitionLog | null {
    return this.engine?.partition(topicId, partition) ?? null
  }

  /** Bytes on their way to the broker wait in its socket while it is paused. */
  #arrive(task: () => void): void {
    this.#world.env.setTimer(this.settings.networkMs, () => this.process.step(task))
  }

  #deliver(task: () => void): void {
    this.#world.env.setTimer(this.settings.networkMs, task)
  }
}

/** Errors that no weather explains. */
function isBug(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : ` (${describe(error.cause)})`
  return `${error.stack?.includes('\n') === true ? error.stack : `${error.name}: ${error.message}`}${cause}`
}
