/**
 * Jobs that keep tables readable and small while they are written (DESIGN §5): small files merged (dataChange=false), compacted topics
 * reduced to the last value per key, checkpoints of the Delta log, clean-up of the log and of data files that nothing refers to. A table is
 * looked at after commits of ours only; one job runs at a time, so that maintenance never takes more than one worker from flushing.
 */
import type { AddFile } from '../delta/actions.ts'
import { decodePath, encodePath } from '../delta/actions.ts'
import type { CheckpointEngine } from '../delta/checkpoint-engine.ts'
import type { TableChange } from '../delta/change.ts'
import { compactionChange, planCompaction } from '../delta/compaction.ts'
import type { CompactionPlan } from '../delta/compaction.ts'
import { dataFileKey } from '../delta/snapshot.ts'
import type { TableFile } from '../delta/snapshot.ts'
import type { DeltaTable } from '../delta/table.ts'
import { TableUpkeep } from '../delta/upkeep.ts'
import type { Env } from '../env.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import type { ParquetInput } from '../parquet/byte-source.ts'
import type { ParquetCodec } from '../parquet/parquet-codec.ts'
import type { WrittenFile } from '../parquet/topic-file-writer.ts'
import { dataFilePath } from '../paths.ts'
import type { CommittedFiles } from './committed-files.ts'
import { fileStats } from './file-stats.ts'
import { deleteBelowLogStarts } from './log-start-deletion.ts'
import type { TrimmedTopic } from './log-start-deletion.ts'

export interface MaintainedTopic extends TrimmedTopic {
  readonly id: string
  readonly name: string
  /** Reduced to the last value per key. */
  readonly compactByKey: boolean
}

export interface TableMaintenanceOptions {
  readonly compaction: boolean
  readonly parquetCompression: 'zstd' | 'snappy' | 'none'
  readonly logRetentionMs: number
  readonly deletedFileRetentionMs: number
}

export interface MaintenanceObserver {
  done(topic: string, job: string, fields: Readonly<Record<string, unknown>>): void
  failed(topic: string, job: string, cause: unknown): void
}

export interface TableMaintenanceDependencies {
  readonly env: Env
  readonly store: ObjectStore
  readonly parquet: Pick<ParquetCodec, 'mergeByOffset' | 'mergeByKey'>
  readonly checkpoints: CheckpointEngine
  readonly options: TableMaintenanceOptions
  readonly observer: MaintenanceObserver
  readonly committedFiles: CommittedFiles
}

/** Commits of ours after which a table is looked at. */
const LOOK_EVERY_COMMITS = 16
const CLEAN_EVERY_MS = 10 * 60_000
/** Merges of one look at a table; what is left waits for the next one. */
const MERGES_PER_LOOK = 8
/** Compaction by key: files of a partition that make it worth while, if they hold as much as the largest one, and in any case. */
const KEY_FILES_MIN = 16
const KEY_FILES_MAX = 128
/** As Kafka's delete.retention.ms: consumers that are this far behind may miss a deletion. */
const TOMBSTONE_RETENTION_MS = 24 * 60 * 60_000
/** Files below it are read whole for a merge. */
const WHOLE_FILE_BYTES_MAX = 8 * 1024 * 1024

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

  #stateOf(topic: MaintainedTopic): TableState {
    let state = this.#states.get(topic.id)
    if (state === undefined) {
      const { store, env, checkpoints, options } = this.#deps
      const upkeep = new TableUpkeep(store, env, topic.table, checkpoints, {
        logRetentionMs: options.logRetentionMs,
        deletedFileRetentionMs: options.deletedFileRetentionMs,
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
    if (options.compaction) await this.#job(topic, 'compaction', () => (topic.compactByKey ? this.#compactByKey(topic) : this.#compact(topic)))
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
    const { env, parquet, options } = this.#deps
    let files = 0
    let bytes = 0
    for (const partition of topic.table.snapshot.partitions()) {
      for (let merges = 0; merges < MERGES_PER_LOOK && !this.#closed && !topic.deleted; merges++) {
        const plan = planCompaction(topic.table.snapshot, partition)
        if (plan === null) break
        const inputs = await this.#inputs(topic.table, plan.files)
        const merged = await parquet.mergeByOffset({ files: inputs, compression: options.parquetCompression })
        const add = await this.#write(topic.table, plan, merged)
        if (add === null || !(await this.#commit(topic, compactionChange(plan, [add], env.uuid(), env.clock.now()), add, merged))) break
        files += plan.files.length
        bytes += plan.bytes
      }
    }
    return files === 0 ? null : { files, bytes }
  }

  async #compactByKey(topic: MaintainedTopic): Promise<Readonly<Record<string, unknown>> | null> {
    const { env, parquet, options } = this.#deps
    let files = 0
    for (const partition of topic.table.snapshot.partitions()) {
      const plan = planKeyCompaction(topic.table.snapshot.files(partition), partition)
      if (plan === null || this.#closed || topic.deleted) continue
      const nowMs = env.clock.now()
      const merged = await parquet.mergeByKey({
        files: await this.#inputs(topic.table, plan.files),
        compression: options.parquetCompression,
        dropTombstonesBeforeMs: nowMs - TOMBSTONE_RETENTION_MS,
      })
      const add = await this.#write(topic.table, plan, merged)
      const change: TableChange = {
        commitId: env.uuid(),
        operation: 'DELETE',
        operationParameters: { predicate: '["superseded by a later record of the same key"]' },
        adds: add === null ? [] : [add],
        removes: plan.files.map((file) => ({
          path: file.path,
          dataChange: true,
          deletionTimestamp: nowMs,
          extendedFileMetadata: true,
          partitionValues: { partition: file.partitionValue },
          size: file.bytes,
        })),
        txns: [],
      }
      if (await this.#commit(topic, change, add, merged)) files += plan.files.length
    }
    return files === 0 ? null : { files }
  }

  #inputs(table: DeltaTable, files: readonly TableFile[]): Promise<ParquetInput[]> {
    return Promise.all(
      files.map(async (file) => {
        const key = dataFileKey(table.location, file)
        if (key === null) throw new Error(`${file.path} lies outside of its table`)
        if (file.bytes > WHOLE_FILE_BYTES_MAX) {
          return { size: file.bytes, read: async (start: number, end: number) => found(key, await this.#deps.store.getRange(key, start, end)) }
        }
        return found(key, await this.#deps.store.get(key))
      }),
    )
  }

  async #write(table: DeltaTable, plan: CompactionPlan, merged: WrittenFile): Promise<AddFile | null> {
    if (merged.parquet === null) return null
    const { env, store } = this.#deps
    const path = dataFilePath(plan.partition, merged.minOffset, env.uuid())
    await store.put(`${table.location}/${path}`, [merged.parquet])
    return {
      path: encodePath(path),
      partitionValues: { partition: String(plan.partition) },
      size: merged.parquet.length,
      modificationTime: env.clock.now(),
      dataChange: true,
      stats: fileStats(merged),
    }
  }

  /** A merge that lost against somebody else's change is given up; its file is removed, for nothing refers to it. */
  async #commit(topic: MaintainedTopic, change: TableChange, add: AddFile | null, merged: WrittenFile): Promise<boolean> {
    const outcome = await topic.table.commit(change)
    if (outcome.kind === 'committed' || outcome.kind === 'already-applied') {
      // The files that were merged stay in the store for days, but nothing refers to them any more: this one must be there.
      if (add !== null && merged.parquet !== null) await this.#deps.committedFiles.settle(topic, [{ path: decodePath(add.path), parquet: merged.parquet }])
      return true
    }
    const key = add === null ? null : dataFileKey(topic.table.location, add)
    if (key !== null) await this.#deps.store.delete([key])
    return false
  }
}

function found(key: string, bytes: Uint8Array | null): Uint8Array {
  if (bytes === null) throw new Error(`${key} is gone`)
  return bytes
}

/** All files of the partition when the newer ones weigh as much as the largest one; merging fewer could bring deleted keys back. */
function planKeyCompaction(files: readonly TableFile[], partition: number): CompactionPlan | null {
  if (files.length < KEY_FILES_MIN || files.some((file) => file.range.kind !== 'known' || (file.nullOffsets ?? 0) > 0)) return null
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const largest = Math.max(...files.map((file) => file.bytes))
  if (files.length < KEY_FILES_MAX && bytes - largest < largest) return null
  return { partition, files, bytes, records: undefined, first: files[0]!.first, last: files.at(-1)!.last }
}
