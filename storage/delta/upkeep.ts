/**
 * What keeps a table readable and small over months: checkpoints of its log, clean-up of the log behind them, and the
 * deletion of data files that nothing refers to any more. Runs beside commits, in bounded pieces, whenever its owner calls.
 */
import type { Env } from '../env.ts'
import { createOnce } from '../log/create-once.ts'
import type { ObjectMeta, ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import { isAbsolutePath } from './actions.ts'
import { readCheckpointPart } from './checkpoint-engine.ts'
import type { CheckpointEngine } from './checkpoint-engine.ts'
import { DeltaError } from './errors.ts'
import { readHint, readLogBytes } from './load.ts'
import type { LogFile } from './log-files.ts'
import { checkpointKey, completeCheckpoints, lastCheckpointKey, listLogFiles } from './log-files.ts'
import { durationProperty } from './schema.ts'
import type { DeltaTable } from './table.ts'

export interface UpkeepOptions {
  /** Where the table property `delta.logRetentionDuration` is absent. Default 30 days. */
  readonly logRetentionMs?: number
  /** Where `delta.deletedFileRetentionDuration` is absent. Default 7 days. */
  readonly deletedFileRetentionMs?: number
  readonly warn?: (message: string, fields: Readonly<Record<string, unknown>>) => void
}

export type CheckpointOutcome =
  | { readonly kind: 'written'; readonly version: number; readonly actions: number; readonly bytes: number }
  /** There is a checkpoint of the current version already. */
  | { readonly kind: 'current' }
  /** The table uses something that a checkpoint of ours would lose. */
  | { readonly kind: 'suspended'; readonly reason: string }
  /** The log does not say what the table in memory says: nothing was written, and the table loads itself anew. */
  | { readonly kind: 'disagrees' }

export interface CleanedUp {
  readonly deleted: number
  /** Whether another call would find more. */
  readonly more: boolean
}

const minute = 60_000
const day = 86_400_000
/** Least retentions, whatever the table's properties say: far more than any write can be late (DESIGN §3). */
const logRetentionMinMs = 60 * minute
const fileRetentionMinMs = 10 * minute
const orphanRetentionMinMs = day
const checkpointEveryMin = 100
const checkpointEveryMax = 5000
/** Commits that one build folds; a longer log is done in steps. */
const buildCommitsMax = 10_000
const deleteBatch = 1000
const cleanPagesMax = 20

/** Commits between checkpoints: their cost per commit stays the same while the table grows. `rows`: files and tombstones. */
export function checkpointEvery(rows: number): number {
  return Math.min(checkpointEveryMax, Math.max(checkpointEveryMin, Math.ceil(rows / 20)))
}

export class TableUpkeep {
  readonly #store: ObjectStore
  readonly #env: Env
  readonly #table: DeltaTable
  readonly #engine: CheckpointEngine
  readonly #options: UpkeepOptions
  /** Files of tombstones before this moment are gone from the store, so the tombstones may go. */
  #vacuumedBeforeMs = 0
  /** No tombstone is older, as far as the last vacuum saw: before that one expires there is nothing to do. */
  #oldestTombstoneMs = 0
  #tail: Promise<unknown> = Promise.resolve()

  constructor(store: ObjectStore, env: Env, table: DeltaTable, engine: CheckpointEngine, options: UpkeepOptions = {}) {
    this.#store = store
    this.#env = env
    this.#table = table
    this.#engine = engine
    this.#options = options
  }

  /** Whether enough commits have come since the newest checkpoint that is known. */
  get checkpointDue(): boolean {
    const table = this.#table
    if (!table.isLoaded) return false
    const { version, fileCount } = table.snapshot
    return version - table.checkpoint.version >= checkpointEvery(fileCount + table.checkpoint.tombstones)
  }

  /**
   * Writes a classic checkpoint of the current version, then `_last_checkpoint`. Commits go on meanwhile.
   * @throws DeltaError `corrupt` when the log cannot be read, StoreError.
   */
  checkpoint(): Promise<CheckpointOutcome> {
    return this.#oneByOne(() => this.#checkpoint())
  }

  /**
   * Deletes commits and checkpoints before the newest checkpoint that is older than the log's retention, oldest first, so
   * that every version within the retention can still be read. At most twenty pages of a thousand names per call.
   */
  cleanLog(): Promise<CleanedUp> {
    return this.#oneByOne(() => this.#cleanLog())
  }

  /**
   * Deletes data files that were removed from the table longer ago than the retention, at most `filesMax`. Files that are
   * gone already are no error. Costs nothing while no tombstone can be old enough.
   */
  vacuum(filesMax = 10_000): Promise<CleanedUp> {
    return this.#oneByOne(async () => {
      const { version, metadata } = this.#table.snapshot
      const nowMs = this.#env.clock.now()
      const retentionMs = this.#fileRetentionMs()
      const beforeMs = nowMs - retentionMs
      if (Math.max(this.#oldestTombstoneMs, metadata.createdTime ?? 0) >= beforeMs) return { deleted: 0, more: false }
      const log = await this.#readLog(version)
      const answer = await this.#engine.run({ kind: 'expired', log, removedBeforeMs: beforeMs, limit: filesMax })
      if (answer.kind !== 'expired') throw unexpected(answer.kind)
      await this.#deleteFiles(answer.paths)
      this.#oldestTombstoneMs = answer.oldestKeptMs ?? nowMs
      const more = answer.paths.length === filesMax
      if (!more) this.#vacuumedBeforeMs = beforeMs
      return { deleted: answer.paths.length, more }
    })
  }

  /**
   * Deletes files in the table's folder that no version within the retention refers to: what a crash between the writing of
   * a file and its commit left behind. `after`: where the last call ended; `null` in the answer means the end was reached.
   */
  vacuumOrphans(after: string | null = null, filesMax = 10_000): Promise<{ readonly deleted: number; readonly after: string | null }> {
    return this.#oneByOne(async () => {
      const table = this.#table
      const prefix = `${table.location}/`
      const retentionMs = Math.max(this.#fileRetentionMs(), orphanRetentionMinMs)
      const beforeMs = this.#env.clock.now() - retentionMs
      const candidates: string[] = []
      // Behind the log, whose names sort before those of partitions.
      let cursor: string | null = after ?? `${prefix}_delta_log0`
      while (cursor !== null && candidates.length < filesMax) {
        const page: readonly ObjectMeta[] = await this.#store.list(prefix, { after: cursor, limit: deleteBatch })
        for (const { key, modifiedMs } of page) {
          const path = key.slice(prefix.length)
          if (modifiedMs < beforeMs && isDataPath(path) && !table.snapshot.hasFile(path)) candidates.push(path)
        }
        cursor = page.length < deleteBatch ? null : (page.at(-1)?.key ?? null)
      }
      if (candidates.length === 0) return { deleted: 0, after: cursor }
      const log = await this.#readLog(table.snapshot.version)
      const answer = await this.#engine.run({ kind: 'unreferenced', log, paths: candidates, removedSinceMs: beforeMs })
      if (answer.kind !== 'unreferenced') throw unexpected(answer.kind)
      await this.#deleteFiles(answer.paths)
      return { deleted: answer.paths.length, after: cursor }
    })
  }

  async #checkpoint(): Promise<CheckpointOutcome> {
    const table = this.#table
    const reason = table.suspended
    if (reason !== null) return { kind: 'suspended', reason }
    // One synchronous look: commits move the snapshot while the checkpoint is built.
    const { version, fileCount, bytes } = table.snapshot
    if (version <= table.checkpoint.version) return { kind: 'current' }
    const removedSinceMs = Math.min(this.#env.clock.now() - this.#fileRetentionMs(), this.#vacuumedBeforeMs)
    for (;;) {
      const target = Math.min(version, table.checkpoint.version + buildCommitsMax)
      const log = await this.#readLog(target)
      const built = await this.#engine.run({ kind: 'build', log, removedSinceMs })
      if (built.kind !== 'built') throw unexpected(built.kind)
      if (target === version && (built.adds !== fileCount || built.addBytes !== bytes)) {
        this.#options.warn?.('the log says something else than the table in memory', {
          location: table.location, version, files: fileCount, bytes, filesInLog: built.adds, bytesInLog: built.addBytes,
        })
        table.invalidate()
        return { kind: 'disagrees' }
      }
      await this.#writeCheckpoint(target, built.parquet)
      await this.#writeHint(target, built)
      table.noteCheckpoint({ version: target, tombstones: built.removes })
      if (target === version) return { kind: 'written', version, actions: built.actions, bytes: built.parquet.byteLength }
    }
  }

  async #writeCheckpoint(version: number, parquet: Uint8Array): Promise<void> {
    const key = checkpointKey(this.#table.location, version)
    const abort = new AbortController()
    const timer = this.#env.clock.schedule(5 * minute, () => abort.abort())
    try {
      const outcome = await createOnce(this.#store, this.#env, key, [parquet], () => false, { signal: abort.signal, winnerBytesMax: 1 })
      if (outcome.kind === 'aborted') throw new StoreError('timeout', `${key}: the store did not say whether it was written`)
      if (outcome.kind === 'created') return
    } finally {
      timer.cancel()
    }
    // Somebody else's checkpoint of this version, or our own after a lost reply. A torn one makes the table unreadable.
    const there = await this.#store.get(key)
    try {
      if (there !== null) await readCheckpointPart(this.#engine, there, key)
      else throw new DeltaError('corrupt', `${key} is gone`)
    } catch (error) {
      if (!(error instanceof DeltaError)) throw error
      this.#options.warn?.('a checkpoint of another writer cannot be read and is replaced', { key, error: error.message })
      await this.#store.put(key, [parquet])
    }
  }

  /** The hint never goes back: other writers make checkpoints too. */
  async #writeHint(version: number, built: { readonly actions: number; readonly adds: number; readonly parquet: Uint8Array }): Promise<void> {
    const hint = await readHint(this.#store, this.#table.location)
    if (hint !== null && hint > version && hint <= this.#table.snapshot.version) return
    const body = { version, size: built.actions, sizeInBytes: built.parquet.byteLength, numOfAddFiles: built.adds }
    await this.#store.put(lastCheckpointKey(this.#table.location), [new TextEncoder().encode(JSON.stringify(body))])
  }

  async #cleanLog(): Promise<CleanedUp> {
    const table = this.#table
    const { metadata } = table.snapshot
    if (metadata.configuration['delta.enableExpiredLogCleanup']?.toLowerCase() === 'false') return { deleted: 0, more: false }
    const retentionMs = durationProperty(metadata, 'delta.logRetentionDuration') ?? this.#options.logRetentionMs ?? 30 * day
    const beforeMs = this.#env.clock.now() - Math.max(retentionMs, logRetentionMinMs)
    const hint = await readHint(this.#store, table.location)
    // A hint to a missing checkpoint is fatal for readers once the log is cleaned.
    const newest = Math.min(table.checkpoint.version, hint ?? table.checkpoint.version)
    const old: LogFile[] = []
    let pages = 0
    let ended = newest < 1
    for await (const page of ended ? [] : listLogFiles(this.#store, table.location, 0)) {
      for (const file of page) {
        ended ||= file.version > newest || file.modifiedMs >= beforeMs
        if (!ended) old.push(file)
      }
      if (ended || ++pages === cleanPagesMax) break
    }
    const keep = completeCheckpoints(old).at(-1)
    if (keep === undefined) return { deleted: 0, more: false }
    const keys = old.filter((file) => file.version < keep.version).map((file) => file.key)
    for (let at = 0; at < keys.length; at += deleteBatch) await this.#store.delete(keys.slice(at, at + deleteBatch))
    return { deleted: keys.length, more: !ended && pages === cleanPagesMax }
  }

  async #readLog(version: number) {
    try {
      return await readLogBytes(this.#store, this.#table.location, this.#table.checkpoint.version, version, this.#engine)
    } catch (error) {
      // Somebody cleaned up or replaced what the table was loaded from.
      if (error instanceof DeltaError) this.#table.invalidate()
      throw error
    }
  }

  async #deleteFiles(paths: readonly string[]): Promise<void> {
    const keys = paths.filter(isDataPath).map((path) => `${this.#table.location}/${path}`)
    for (let at = 0; at < keys.length; at += deleteBatch) await this.#store.delete(keys.slice(at, at + deleteBatch))
  }

  #fileRetentionMs(): number {
    const property = durationProperty(this.#table.snapshot.metadata, 'delta.deletedFileRetentionDuration')
    return Math.max(property ?? this.#options.deletedFileRetentionMs ?? 7 * day, fileRetentionMinMs)
  }

  #oneByOne<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task)
    this.#tail = result.catch(() => undefined)
    return result
  }
}

/** Whether a decoded path is that of a data file inside the table: nothing hidden, nothing of the log, nothing outside. */
function isDataPath(path: string): boolean {
  return !isAbsolutePath(path) && path.split('/').every((name) => name !== '' && !name.startsWith('.') && !name.startsWith('_'))
}

function unexpected(kind: string): DeltaError {
  return new DeltaError('corrupt', `unexpected answer: ${kind}`)
}
