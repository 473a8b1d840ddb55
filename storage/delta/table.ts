/**
 * One topic's Delta table: created once, followed commit by commit, and changed by put-if-absent of the next version.
 *
 * The Delta log is the truth about what is in the table; the snapshot here is a cache of it. Every version is settled by
 * occupying its key (`createOnce`), so a commit whose reply was lost is never applied twice (P4). Operations on one table
 * run one after the other.
 */
import type { Env } from '../env.ts'
import { createOnce } from '../log/create-once.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import { deltaCommitKey } from '../paths.ts'
import { assertNever } from '../types.ts'
import type { Commit, Metadata } from './actions.ts'
import { encodeCommit, parseCommit } from './actions.ts'
import { assertChange, commitOf, judge, suspensionOf } from './change.ts'
import type { CommitOutcome, TableChange } from './change.ts'
import type { CheckpointEngine } from './checkpoint-engine.ts'
import { DeltaError } from './errors.ts'
import { loadTable, readCommit } from './load.ts'
import type { LoadedTable } from './load.ts'
import { listLog } from './log-files.ts'
import { missingFiles } from './missing-files.ts'
import { engineInfo, guidOf, tableProtocol, topicIdProperty, topicMetadata } from './schema.ts'
import type { TableConfig } from './schema.ts'
import { Snapshot } from './snapshot.ts'
import type { SnapshotView } from './snapshot.ts'
import type { OffsetRange } from './stats.ts'

export interface TableOptions {
  readonly checkpoints: CheckpointEngine
  /** Told about what an operator should know; never about the ordinary. */
  readonly warn?: (message: string, fields: Readonly<Record<string, unknown>>) => void
  /** How often a change is rebased over other writers' commits before it is given up. Default 64. */
  readonly rebaseTriesMax?: number
  /** How long one commit waits for the store to answer, milliseconds. Default 30,000. */
  readonly commitTimeoutMs?: number
  /** A commit that took longer is settled by reading the tail of the log. Milliseconds, default 60,000. */
  readonly validityMs?: number
}

export interface KnownCheckpoint {
  readonly version: number
  /** Removed files that it still names. */
  readonly tombstones: number
}

export type CreateTableOutcome =
  | { readonly kind: 'created' }
  /** The table of this topic is there already. */
  | { readonly kind: 'exists' }
  /** Somebody else's table is at the location. */
  | { readonly kind: 'occupied'; readonly id: string }

/** A commit that Bayou did not write, as far as following it needs. */
export interface ForeignCommit {
  readonly version: number
  readonly operation: string
  readonly adds: number
  readonly removes: number
  /** Whether any row may have been added, deleted or changed, as opposed to moved. */
  readonly dataChange: boolean
  readonly metadataChanged: boolean
  readonly protocolChanged: boolean
}

export interface PollResult {
  readonly version: number
  /** Since the last poll, in order. */
  readonly foreign: readonly ForeignCommit[]
  /** True when more were seen than are kept or the table was loaded anew: look at the snapshot as if it were new. */
  readonly overlooked: boolean
  readonly suspended: string | null
}

export type VerifyOutcome =
  | { readonly kind: 'intact' }
  /** Another commit is where ours was, or none: whatever it held is not in the table. The table loads itself anew. */
  | { readonly kind: 'overwritten'; readonly by: string }
  /** The commit is there, but data files that it added are not in the store (an outsider's VACUUM without retention). */
  | { readonly kind: 'files-missing'; readonly paths: readonly string[] }

export type FlushedOffset =
  | { readonly kind: 'known'; readonly offset: number; readonly source: 'txn' | 'statistics' }
  /** There is no transaction, and these files may hold any offset: look into them and call `provideRange`. */
  | { readonly kind: 'unknown'; readonly atLeast: number; readonly files: readonly { readonly path: string }[] }

const txnRetentionProperty = 'delta.setTransactionRetentionDuration'
const foreignKeptMax = 1000
const ownIdsKeptMax = 1000
/** Commits that one poll reads at most. */
const pollCommitsMax = 1000

export class DeltaTable {
  readonly location: string
  readonly #store: ObjectStore
  readonly #env: Env
  readonly #options: TableOptions
  readonly #validityMs: number
  #snapshot: Snapshot | undefined
  /** What is in memory no longer is what the log says. */
  #stale = false
  /** Monotonic time at which the snapshot was known to be joined to the log. */
  #confirmedAt = 0
  #vacuums = 0
  /** Monotonic time at which nothing followed the snapshot's version. */
  #endSeenAt = -Infinity
  #catchingUp: Promise<void> | null = null
  #checkpoint: KnownCheckpoint = { version: -1, tombstones: 0 }
  #tail: Promise<unknown> = Promise.resolve()
  #foreign: ForeignCommit[] = []
  #overlooked = false
  /** Newest commits of Bayou in the log, by commit id. */
  readonly #ownIds = new Map<string, number>()

  constructor(store: ObjectStore, env: Env, location: string, options: TableOptions) {
    this.#store = store
    this.#env = env
    this.location = location
    this.#options = options
    this.#validityMs = options.validityMs ?? 60_000
  }

  /** The table as it was read last. @throws DeltaError `missing` before `create` or `load`. */
  get snapshot(): SnapshotView {
    return this.#loaded()
  }

  get isLoaded(): boolean {
    return this.#snapshot !== undefined
  }

  /** Why nothing can be written at the moment, or null. */
  get suspended(): string | null {
    return suspensionOf(this.#loaded())
  }

  /** Moves whenever somebody else's VACUUM may have begun or ended: files that are needed may have gone with those that are not. */
  get vacuums(): number {
    return this.#vacuums
  }

  /** The newest checkpoint that is known; version -1 for none. */
  get checkpoint(): KnownCheckpoint {
    return this.#checkpoint
  }

  /** A checkpoint was written (by `TableUpkeep`). */
  noteCheckpoint(checkpoint: KnownCheckpoint): void {
    if (checkpoint.version > this.#checkpoint.version) this.#checkpoint = checkpoint
  }

  /** Whatever is in memory is no longer trusted: the next operation loads the table anew. */
  invalidate(): void {
    this.#stale = true
  }

  /**
   * Writes version 0 unless the table is there. Safe to repeat, also after a lost reply and by several brokers at once.
   * @throws StoreError when the store cannot say; then call again.
   */
  create(config: TableConfig, commitId: string): Promise<CreateTableOutcome> {
    return this.#exclusive(async () => {
      // A look first: in a log that was cleaned, version 0 is free again.
      if (await this.#tryLoad()) return this.#compareIdentity(config.topicId)
      const nowMs = this.#env.clock.now()
      const commit: Commit = {
        commitInfo: {
          timestamp: nowMs,
          operation: 'CREATE TABLE',
          operationParameters: { isManaged: 'false', partitionBy: '["partition"]', properties: '{}' },
          isBlindAppend: true,
          engineInfo,
          bayouCommitId: commitId,
        },
        protocol: tableProtocol,
        metadata: topicMetadata(config, nowMs),
        adds: [],
        removes: [],
        txns: [],
        sidecars: [],
      }
      const written = await this.#write(0, commit, commitId)
      if (written.kind === 'created') {
        const snapshot = new Snapshot()
        snapshot.apply(0, commit)
        this.#adopt({ snapshot, checkpointVersion: -1, tombstones: 0, commitIds: new Map([[commitId, 0]]) })
        return { kind: 'created' }
      }
      await this.#load()
      return this.#compareIdentity(config.topicId)
    })
  }

  /**
   * Reads the table from the store, whatever is in memory.
   * @throws DeltaError `missing`, `corrupt`, `unsupported`; StoreError.
   */
  load(): Promise<SnapshotView> {
    return this.#exclusive(() => this.#load())
  }

  /** Reads the commits that came since, at most a thousand. Costs one GET when there is none. */
  poll(): Promise<PollResult> {
    return this.#exclusive(async () => {
      const snapshot = await this.#fresh()
      for (let n = 0; n < pollCommitsMax; n++) if ((await this.#advance(snapshot)) === null) break
      const result = {
        version: snapshot.version,
        foreign: this.#foreign,
        overlooked: this.#overlooked,
        suspended: suspensionOf(snapshot),
      }
      this.#foreign = []
      this.#overlooked = false
      return result
    })
  }

  /**
   * Reads the commits that came since, unless the end of the log was seen within `ageMaxMs`: what a reader calls, for whom others' changes
   * may be a little old. Costs nothing while commits of ours follow each other.
   * @throws StoreError, DeltaError as `load`
   */
  async catchUp(ageMaxMs: number): Promise<void> {
    if (!this.#stale && this.#env.clock.monotonic() - this.#endSeenAt <= ageMaxMs) return
    this.#catchingUp ??= this.#exclusive(async () => {
      const snapshot = await this.#fresh()
      for (let n = 0; n < pollCommitsMax; n++) if ((await this.#advance(snapshot)) === null) return
    }).finally(() => (this.#catchingUp = null))
    await this.#catchingUp
  }

  /**
   * Commits the change at the next free version, rebasing over other writers' commits as long as `judge` allows it.
   *
   * @throws StoreError when the store does not answer in time. The change may be in the table, now or later: call again
   *   with the same change until there is an outcome, and delete nothing that it refers to before.
   * @throws DeltaError `invalid` for a change that could never be committed.
   */
  commit(change: TableChange): Promise<CommitOutcome> {
    assertChange(change)
    return this.#exclusive(() => this.#commit(change))
  }

  /**
   * Reads our own commit back, and looks whether its files exist. To be called before anything is deleted because of the
   * commit: a log store without conditional writes may have overwritten it, and a careless VACUUM may have taken its files.
   */
  verifyCommit(version: number, commitId: string, paths: readonly string[]): Promise<VerifyOutcome> {
    return this.#exclusive(async () => {
      const key = deltaCommitKey(this.location, version)
      const commit = await readCommit(this.#store, this.location, version)
      if (commit?.commitInfo?.bayouCommitId !== commitId) {
        this.#stale = true
        const by = commit === null ? 'nobody' : (commit.commitInfo?.engineInfo ?? 'an unknown writer')
        this.#options.warn?.('a commit was overwritten by another writer', { key, commitId, by })
        return { kind: 'overwritten', by }
      }
      const missing = await missingFiles(this.#store, this.location, paths, this.#loaded().fileCount)
      if (missing.length === 0) return { kind: 'intact' }
      this.#options.warn?.('data files of a commit are gone from the store', { key, paths: missing })
      return { kind: 'files-missing', paths: missing }
    })
  }

  /**
   * The offset up to which the partition is in the table: the transaction where there is one, else what the files hold.
   * Outsiders can erase transactions, so the absence of one says nothing; compare with the lane's checkpoint as well.
   */
  flushedOffset(appId: string, partition: number): FlushedOffset {
    const snapshot = this.#loaded()
    const txn = snapshot.txn(appId)
    if (txn !== undefined) return { kind: 'known', offset: txn, source: 'txn' }
    const { offset, complete } = snapshot.greatestOffset(partition)
    if (complete) return { kind: 'known', offset: offset + 1, source: 'statistics' }
    return { kind: 'unknown', atLeast: offset + 1, files: snapshot.filesForOffset(partition, offset).unknown }
  }

  /** What somebody found out by looking into a file whose statistics are missing. Ignored when the file is gone. */
  provideRange(path: string, range: OffsetRange, known: { readonly records?: number; readonly nullOffsets?: number } = {}): void {
    this.#loaded().provideRange(path, range, known)
  }

  async #commit(change: TableChange): Promise<CommitOutcome> {
    const snapshot = await this.#fresh()
    const triesMax = this.#options.rebaseTriesMax ?? 64
    let winner: number | null = null
    for (let tries = 0; tries < triesMax; tries++) {
      const landed = this.#ownIds.get(change.commitId)
      if (landed !== undefined) return { kind: 'committed', version: landed }
      let verdict = judge(snapshot, change, winner)
      if (verdict.kind === 'suspended') {
        // Whatever suspended the table may have been taken back since.
        while ((await this.#advance(snapshot)) !== null);
        verdict = judge(snapshot, change, winner)
      }
      if (verdict.kind !== 'ready') return verdict
      const version = snapshot.version + 1
      const commit = commitOf(change, this.#env.clock.now())
      const written = await this.#write(version, commit, change.commitId)
      switch (written.kind) {
        case 'created':
          this.#accept(snapshot, version, commit)
          this.#endSeenAt = this.#confirmedAt
          return { kind: 'committed', version }
        case 'hole':
          // The log was cleaned up past this version while the write was on its way: it is in no history that readers see.
          return this.#commitAfterHole(change)
        case 'taken':
          this.#accept(snapshot, version, written.commit)
          winner = version
          break
        default:
          return assertNever(written)
      }
      // One winner at a time: whoever made the change impossible is the one to name.
      while (judge(snapshot, change, winner).kind === 'ready') {
        const next = await this.#advance(snapshot)
        if (next === null) break
        winner = next
      }
      if (tries >= 3) await this.#env.clock.sleep(this.#env.random() * Math.min(200, 5 * 2 ** (tries - 3)))
    }
    return { kind: 'conflict', winner, reason: 'contention', detail: `lost ${triesMax} versions in a row to other writers` }
  }

  async #commitAfterHole(change: TableChange): Promise<CommitOutcome> {
    this.#options.warn?.('a commit arrived after its part of the log was cleaned up', { location: this.location })
    const snapshot = await this.#load()
    const verdict = judge(snapshot, change, snapshot.version)
    if (verdict.kind !== 'ready') return verdict
    return { kind: 'conflict', winner: snapshot.version, reason: 'contention', detail: 'the log moved on while the commit was on its way' }
  }

  /** Occupies a version with the commit, or finds out who has it. */
  async #write(version: number, commit: Commit, commitId: string): Promise<Written> {
    const { clock } = this.#env
    const key = deltaCommitKey(this.location, version)
    const started = clock.monotonic()
    const abort = new AbortController()
    const timer = clock.schedule(this.#options.commitTimeoutMs ?? 30_000, () => abort.abort())
    try {
      const isMine = (bytes: Uint8Array) => parseCommit(bytes, key).commitInfo?.bayouCommitId === commitId
      const outcome = await createOnce(this.#store, this.#env, key, [encodeCommit(commit)], isMine, { signal: abort.signal })
      switch (outcome.kind) {
        case 'aborted':
          throw new StoreError('timeout', `${key}: the store did not say whether it was written`)
        case 'taken':
          return { kind: 'taken', commit: parseCommit(outcome.winner, key) }
        case 'created':
          if (clock.monotonic() - started <= this.#validityMs) return { kind: 'created' }
          return (await this.#isInHistory(version, commitId)) ? { kind: 'created' } : { kind: 'hole' }
        default:
          return assertNever(outcome)
      }
    } finally {
      timer.cancel()
    }
  }

  /** Whether a version that was written late is joined to what comes after it. */
  async #isInHistory(version: number, commitId: string): Promise<boolean> {
    const commit = await readCommit(this.#store, this.location, version)
    if (commit?.commitInfo?.bayouCommitId !== commitId) return false
    if (version > 0 && (await this.#store.head(deltaCommitKey(this.location, version - 1))) === null) return false
    const { commits, checkpoints } = await listLog(this.#store, this.location, version)
    const later = checkpoints.some((checkpoint) => checkpoint.version > version)
    return (!later && commits.length <= 1) || commits.includes(version + 1)
  }

  /** Applies the next version if there is one, and says which. */
  async #advance(snapshot: Snapshot): Promise<number | null> {
    const version = snapshot.version + 1
    const commit = await readCommit(this.#store, this.location, version)
    if (commit === null) {
      this.#endSeenAt = this.#env.clock.monotonic()
      return null
    }
    this.#accept(snapshot, version, commit)
    return version
  }

  #accept(snapshot: Snapshot, version: number, commit: Commit): void {
    snapshot.apply(version, commit)
    this.#confirmedAt = this.#env.clock.monotonic()
    if (commit.metadata !== undefined) this.#watch(commit.metadata)
    const id = commit.commitInfo?.bayouCommitId
    if (typeof id === 'string') {
      this.#ownIds.set(id, version)
      for (const oldest of this.#ownIds.keys()) {
        if (this.#ownIds.size <= ownIdsKeptMax) break
        this.#ownIds.delete(oldest)
      }
      return
    }
    if (commit.commitInfo?.operation?.startsWith('VACUUM') === true) this.#vacuums++
    if (this.#foreign.length >= foreignKeptMax) this.#overlooked = true
    else this.#foreign.push(foreignCommit(version, commit))
  }

  /**
   * The snapshot, joined to the log: a process that slept for long may find that the log was cleaned up past its version, and
   * must not write into the hole.
   */
  async #fresh(): Promise<Snapshot> {
    const snapshot = this.#snapshot
    if (snapshot === undefined || this.#stale) return this.#load()
    if (this.#env.clock.monotonic() - this.#confirmedAt > this.#validityMs) {
      if ((await this.#store.head(deltaCommitKey(this.location, snapshot.version))) === null) return this.#load()
      this.#confirmedAt = this.#env.clock.monotonic()
    }
    return snapshot
  }

  async #load(): Promise<Snapshot> {
    return this.#adopt(await loadTable(this.#store, this.#env.clock, this.location, this.#options.checkpoints))
  }

  #adopt(loaded: LoadedTable): Snapshot {
    if (this.#snapshot !== undefined) {
      this.#overlooked = true
      this.#vacuums++
    }
    this.#snapshot = loaded.snapshot
    this.#stale = false
    this.#watch(loaded.snapshot.metadata)
    this.#confirmedAt = this.#env.clock.monotonic()
    this.#endSeenAt = this.#confirmedAt
    this.#checkpoint = { version: loaded.checkpointVersion, tombstones: loaded.tombstones }
    this.#ownIds.clear()
    for (const [id, version] of loaded.commitIds) this.#ownIds.set(id, version)
    return loaded.snapshot
  }

  async #tryLoad(): Promise<boolean> {
    try {
      await this.#load()
      return true
    } catch (error) {
      if (error instanceof DeltaError && error.kind === 'missing') return false
      throw error
    }
  }

  /** Outsiders' checkpoints drop transactions under this property; the greatest offset in the files stands in for them then. */
  #watch(metadata: Metadata): void {
    const value = metadata.configuration[txnRetentionProperty]
    if (value !== undefined) this.#options.warn?.('other writers may erase transactions', { location: this.location, [txnRetentionProperty]: value })
  }

  #compareIdentity(topicId: string): CreateTableOutcome {
    const { metadata } = this.#loaded()
    const same = metadata.configuration[topicIdProperty] === topicId || metadata.id === guidOf(topicId)
    return same ? { kind: 'exists' } : { kind: 'occupied', id: metadata.id }
  }

  #loaded(): Snapshot {
    if (this.#snapshot === undefined) throw new DeltaError('missing', `${this.location} was not loaded`)
    return this.#snapshot
  }

  #exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task)
    this.#tail = result.catch(() => undefined)
    return result
  }
}

type Written =
  | { readonly kind: 'created' }
  | { readonly kind: 'taken'; readonly commit: Commit }
  /** Created where the log was cleaned up already. */
  | { readonly kind: 'hole' }

/** `txn.appId` of the flushes of a partition. */
export function flushAppId(topicId: string, partition: number): string {
  return `bayou/${topicId}/${partition}`
}

/** `txn.appId` of compaction by key: below the version of the transaction no two rows of the partition have one key. */
export function cleanAppId(topicId: string, partition: number): string {
  return `bayou/${topicId}/${partition}/compacted`
}

function foreignCommit(version: number, commit: Commit): ForeignCommit {
  return {
    version,
    operation: commit.commitInfo?.operation ?? 'unknown',
    adds: commit.adds.length,
    removes: commit.removes.length,
    dataChange: commit.adds.some((add) => add.dataChange) || commit.removes.some((remove) => remove.dataChange),
    metadataChanged: commit.metadata !== undefined,
    protocolChanged: commit.protocol !== undefined,
  }
}
