/**
 * Jobs that keep tables readable and small while they are written (DESIGN §5): small files merged (dataChange=false), compacted topics
 * reduced to the last value per key, checkpoints of the Delta log, clean-up of the log and of data files that nothing refers to. A table is
 * looked at after commits of ours only; one job runs at a time, so that maintenance never takes more than one worker from flushing.
 */
import type { CheckpointEngine } from '../delta/checkpoint-engine.ts'
import { compactionChange, mergedBytesMax, planCompaction } from '../delta/compaction.ts'
import { TableUpkeep } from '../delta/upkeep.ts'
import type { ParquetCodec } from '../parquet/parquet-codec.ts'
import type { SegmentConfig } from '../partition/types.ts'
import { compactByKey, isCleaningDue } from './key-compaction.ts'
import type { CompactedLog, CompactedTopic } from './key-compaction.ts'
import { deleteBelowLogStarts } from './log-start-deletion.ts'
import type { TrimmedTopic } from './log-start-deletion.ts'
import { commitFile, inputsOf, newestModifiedMs, writeFile } from './rewriting.ts'
import type { RewritingDependencies } from './rewriting.ts'

export interface MaintainedTopic extends TrimmedTopic, CompactedTopic {
  readonly logs: readonly CompactedLog[]
  readonly segment: SegmentConfig
  readonly fileDeleteDelayMs: number
}

export interface TableMaintenanceOptions {
  /** Merging of small files. */
  readonly compaction: boolean
  /** Memory for the keys of one pass of compaction by key; without it no topic is compacted. */
  readonly keyBytesMax?: number
  readonly parquetCompression: 'zstd' | 'snappy' | 'none'
  readonly logRetentionMs: number
  readonly deletedFileRetentionMs: number
}

export interface MaintenanceObserver {
  done(topic: string, job: string, fields: Readonly<Record<string, unknown>>): void
  failed(topic: string, job: string, cause: unknown): void
}

export interface TableMaintenanceDependencies extends RewritingDependencies {
  readonly parquet: Pick<ParquetCodec, 'mergeByOffset' | 'collectKeys' | 'countSuperseded' | 'mergeByKey'>
  readonly checkpoints: CheckpointEngine
  readonly options: TableMaintenanceOptions
  readonly observer: MaintenanceObserver
}

/** Commits of ours after which a table is looked at. */
const LOOK_EVERY_COMMITS = 16
const CLEAN_EVERY_MS = 10 * 60_000
/** Merges of one look at a table; what is left waits for the next one. */
const MERGES_PER_LOOK = 8
/** Below a minute `segment.ms` would leave a table of countless small files. */
const MERGED_SPAN_MS_MIN = 60_000

interface TableState {
  readonly topic: MaintainedTopic
  readonly upkeep: TableUpkeep
  commits: number
  queued: boolean
  cleanedAtMs: number
  /** Rows below a log start may be in the table. */
  trimDue: boolean
}

export class TableMaintenance {
  readonly #deps: TableMaintenanceDependencies
  readonly #states = new Map<string, TableState>()
  readonly #queue: TableState[] = []
  #running: Promise<void> | null = null
  #looking: { readonly topicId: string; readonly done: Promise<void> } | null = null
  #closed = false

  constructor(deps: TableMaintenanceDependencies) {
    this.#deps = deps
  }

  /** To be called after each of our commits. Cheap. */
  committed(topic: MaintainedTopic): void {
    if (this.#closed) return
    const state = this.#stateOf(topic)
    state.commits++
    if (state.trimDue || state.commits >= LOOK_EVERY_COMMITS || state.upkeep.checkpointDue) this.#enqueue(state)
  }

  /** A log start moved: rows below it leave the table, now where they are in it, else after the flushes that bring them. */
  trim(topic: MaintainedTopic): void {
    if (this.#closed || topic.deleted) return
    const state = this.#stateOf(topic)
    state.trimDue = true
    this.#enqueue(state)
  }

  /** Looks whether compaction by key is due; the table must have been read. Cheap. */
  clean(topic: MaintainedTopic): void {
    if (this.#closed || topic.deleted || this.#deps.options.keyBytesMax === undefined) return
    if (isCleaningDue(topic, this.#deps.env.clock.now())) this.#enqueue(this.#stateOf(topic))
  }

  #stateOf(topic: MaintainedTopic): TableState {
    let state = this.#states.get(topic.id)
    if (state === undefined) {
      const { store, env, checkpoints, options } = this.#deps
      const upkeep = new TableUpkeep(store, env, topic.table, checkpoints, {
        logRetentionMs: options.logRetentionMs,
        get deletedFileRetentionMs() {
          return Math.max(options.deletedFileRetentionMs, topic.fileDeleteDelayMs)
        },
        warn: (message, fields) => this.#deps.observer.failed(topic.name, message, fields),
      })
      state = { topic, upkeep, commits: 0, queued: false, cleanedAtMs: env.clock.monotonic(), trimDue: false }
      this.#states.set(topic.id, state)
    }
    return state
  }

  #enqueue(state: TableState): void {
    if (state.queued) return
    state.queued = true
    this.#queue.push(state)
    this.#running ??= this.#run()
  }

  /** Resolves when nothing is written to the topic's table any more; the topic must say that it is deleted. */
  async forget(topicId: string): Promise<void> {
    this.#states.delete(topicId)
    if (this.#looking?.topicId === topicId) await this.#looking.done
  }

  /** Starts nothing any more and waits for the job that runs. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #run(): Promise<void> {
    for (let state = this.#queue.shift(); state !== undefined; state = this.#queue.shift()) {
      state.queued = false
      state.commits = 0
      const done = this.#look(state)
      this.#looking = { topicId: state.topic.id, done }
      await done
      this.#looking = null
    }
    this.#running = null
  }

  async #look(state: TableState): Promise<void> {
    const { topic, upkeep } = state
    const { options, env } = this.#deps
    if (state.trimDue) {
      await this.#job(topic, 'deletion', async () => {
        // Rows that are still to be flushed come with a commit, which looks again.
        const more = topic.logs.some((log) => log.flushedOffset < log.logStartOffset)
        const done = await deleteBelowLogStarts(topic, this.#deps)
        state.trimDue = more
        return done
      })
    }
    const { keyBytesMax, parquetCompression } = options
    if (keyBytesMax !== undefined && topic.compaction !== undefined) {
      await this.#job(topic, 'compaction by key', async () => {
        const done = await compactByKey(topic, { ...this.#deps, options: { parquetCompression, keyBytesMax }, isClosed: () => this.#closed })
        return done === null ? null : { ...done }
      })
    }
    if (options.compaction) await this.#job(topic, 'compaction', () => this.#compact(topic))
    if (upkeep.checkpointDue) {
      await this.#job(topic, 'checkpoint', async () => {
        const outcome = await upkeep.checkpoint()
        return outcome.kind === 'written' ? { ...outcome } : null
      })
    }
    if (env.clock.monotonic() - state.cleanedAtMs < CLEAN_EVERY_MS) return
    state.cleanedAtMs = env.clock.monotonic()
    await this.#job(topic, 'log clean-up', async () => {
      const { deleted } = await upkeep.cleanLog()
      return deleted === 0 ? null : { deleted }
    })
    await this.#job(topic, 'vacuum', async () => {
      const { deleted } = await upkeep.vacuum()
      return deleted === 0 ? null : { deleted }
    })
  }

  /** Runs one job and reports it. Never rejects: what failed is tried again at the next look. */
  async #job(topic: MaintainedTopic, name: string, job: () => Promise<Readonly<Record<string, unknown>> | null>): Promise<void> {
    if (this.#closed || topic.deleted) return
    try {
      const done = await job()
      if (done !== null) this.#deps.observer.done(topic.name, name, done)
    } catch (error) {
      if (!topic.deleted && !this.#closed) this.#deps.observer.failed(topic.name, name, error)
    }
  }

  async #compact(topic: MaintainedTopic): Promise<Readonly<Record<string, unknown>> | null> {
    const { env, store, parquet, options } = this.#deps
    let files = 0
    let bytes = 0
    for (const partition of topic.table.snapshot.partitions()) {
      for (let merges = 0; merges < MERGES_PER_LOOK && !this.#closed && !topic.deleted; merges++) {
        const targetBytes = Math.min(topic.segment.bytes, mergedBytesMax)
        const plan = planCompaction(topic.table.snapshot, partition, { targetBytes, spanMs: Math.max(topic.segment.ms, MERGED_SPAN_MS_MIN) })
        if (plan === null) break
        const inputs = await inputsOf(topic.table, plan.files, store)
        const merged = await parquet.mergeByOffset({ files: inputs, compression: options.parquetCompression })
        const file = await writeFile(topic.table, partition, merged, newestModifiedMs(plan.files), this.#deps)
        if (file === null || !(await commitFile(topic, compactionChange(plan, [file.add], env.uuid(), env.clock.now()), file, this.#deps))) break
        files += plan.files.length
        bytes += plan.bytes
      }
    }
    return files === 0 ? null : { files, bytes }
  }
}
