/**
 * Data files that were committed a short time ago, with their bytes. A VACUUM without retention deletes what the version that it began with
 * does not refer to, and takes files that were committed since along with the rest. It says so in the log when it is done ("VACUUM END" of
 * delta-rs and Spark); then the files are looked at, and those that are gone are written again (P4, P7).
 *
 * Bounded in bytes and time: a VACUUM that deletes later than a minute after it began, or beside a crash of this process, still takes them.
 */
import type { DeltaTable } from '../delta/table.ts'
import type { Env, Timer } from '../env.ts'
import { bodyBytes } from '../objects/keys.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { release } from '../parquet/release.ts'

export interface CommittedFile {
  /** Relative to the table, as in the store and not as in the log. */
  readonly path: string
  /** Given away: its memory is free as soon as the file is not kept any more. */
  readonly parquet: readonly Uint8Array[]
}

export interface CommittedFilesDependencies {
  readonly env: Env
  readonly store: ObjectStore
  readonly trouble: (topic: string, message: string, cause?: unknown) => void
}

/** Bytes that are kept over all tables; what is larger than a quarter of it is looked at once and not kept. */
const BYTES_MAX = 32 * 1024 * 1024
const AGE_MAX_MS = 60_000
/** When a table without new commits of ours is looked at while files of it are kept; then after twice as long each time, up to the second figure. */
const LOOK_AFTER_MS = 5000
const LOOK_AFTER_MAX_MS = 20_000

interface TableState {
  readonly topic: string
  readonly table: DeltaTable
  readonly files: Set<KeptFile>
  vacuums: number
  timer: Timer | null
  /** Until the next look. */
  lookAfterMs: number
  looking: Promise<void> | null
}

interface KeptFile extends CommittedFile {
  readonly bytes: number
  readonly atMs: number
  /** It is being written again; where that fails, the garbage collector takes it. */
  inUse: boolean
}

export class CommittedFiles {
  readonly #deps: CommittedFilesDependencies
  readonly #states = new Map<string, TableState>()
  /** All files in the order of their commits. */
  readonly #order = new Map<KeptFile, TableState>()
  #bytes = 0
  #closed = false

  constructor(deps: CommittedFilesDependencies) {
    this.#deps = deps
  }

  get bytes(): number {
    return this.#bytes
  }

  /** To be called after each commit of ours that added files, with the table at that commit or later. */
  keep(topic: { readonly id: string; readonly name: string; readonly table: DeltaTable }, files: readonly CommittedFile[]): void {
    if (this.#closed) return
    let state = this.#states.get(topic.id)
    if (state === undefined) {
      state = { topic: topic.name, table: topic.table, files: new Set(), vacuums: topic.table.vacuums, timer: null, lookAfterMs: LOOK_AFTER_MS, looking: null }
      this.#states.set(topic.id, state)
    }
    state.lookAfterMs = LOOK_AFTER_MS
    const atMs = this.#deps.env.clock.monotonic()
    for (const { path, parquet } of files) {
      const bytes = bodyBytes(parquet)
      if (bytes > BYTES_MAX / 4) {
        for (const piece of parquet) release(piece)
        continue
      }
      const file = { path, parquet, bytes, atMs, inUse: false }
      state.files.add(file)
      this.#order.set(file, state)
      this.#bytes += bytes
    }
    for (const [oldest, owner] of this.#order) {
      if (this.#bytes <= BYTES_MAX && atMs - oldest.atMs <= AGE_MAX_MS) break
      this.#drop(oldest, owner)
    }
    if (state.vacuums !== topic.table.vacuums) void this.#look(state)
    this.#arm(topic.id, state)
  }

  /** `keep`, after a look at the files whatever their size: for those that nobody else has looked at since they were written. Throws StoreError. */
  async settle(topic: { readonly id: string; readonly name: string; readonly table: DeltaTable }, files: readonly CommittedFile[]): Promise<void> {
    for (const file of files) {
      const key = `${topic.table.location}/${file.path}`
      if ((await this.#deps.store.head(key)) !== null || !topic.table.snapshot.hasFile(file.path)) continue
      await this.#deps.store.put(key, file.parquet)
      this.#deps.trouble(topic.name, rewritten(file.path))
    }
    this.keep(topic, files)
  }

  /** Resolves when nothing is written to the topic's table any more. */
  async forget(topicId: string): Promise<void> {
    const state = this.#states.get(topicId)
    if (state === undefined) return
    this.#states.delete(topicId)
    state.timer?.cancel()
    for (const file of state.files) this.#drop(file, state)
    await state.looking
  }

  /** Looks at nothing any more and waits for what runs. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#states.keys()].map((id) => this.forget(id)))
  }

  #drop(file: KeptFile, state: TableState): void {
    if (!this.#order.delete(file)) return
    state.files.delete(file)
    this.#bytes -= file.bytes
    if (!file.inUse) for (const piece of file.parquet) release(piece)
  }

  #arm(topicId: string, state: TableState): void {
    if (state.timer !== null || this.#closed || this.#states.get(topicId) !== state) return
    state.timer = this.#deps.env.clock.schedule(state.lookAfterMs, () => {
      state.timer = null
      void this.#tick(topicId, state)
    })
    state.lookAfterMs = Math.min(state.lookAfterMs * 2, LOOK_AFTER_MAX_MS)
  }

  async #tick(topicId: string, state: TableState): Promise<void> {
    try {
      await state.table.catchUp(LOOK_AFTER_MS / 2)
    } catch (error) {
      this.#deps.trouble(state.topic, 'the table could not be looked at and is looked at again', error)
    }
    if (state.vacuums !== state.table.vacuums) {
      state.lookAfterMs = LOOK_AFTER_MS
      await this.#look(state)
    }
    const beforeMs = this.#deps.env.clock.monotonic() - AGE_MAX_MS
    for (const file of state.files) if (file.atMs < beforeMs) this.#drop(file, state)
    if (state.files.size > 0) this.#arm(topicId, state)
    else if (this.#states.get(topicId) === state) this.#states.delete(topicId)
  }

  /** Never rejects: what failed is tried at the next look. */
  #look(state: TableState): Promise<void> {
    state.looking ??= (async () => {
      const { vacuums } = state.table
      try {
        for (const file of state.files) if (state.table.snapshot.hasFile(file.path)) await this.#restore(state, file)
        state.vacuums = vacuums
      } catch (error) {
        this.#deps.trouble(state.topic, 'the files of a table could not be looked at after a VACUUM, and are looked at again', error)
      } finally {
        state.looking = null
      }
    })()
    return state.looking
  }

  async #restore(state: TableState, file: KeptFile): Promise<void> {
    const key = `${state.table.location}/${file.path}`
    if ((await this.#deps.store.head(key)) !== null || !state.files.has(file)) return
    file.inUse = true
    await this.#deps.store.put(key, file.parquet)
    file.inUse = false
    this.#deps.trouble(state.topic, rewritten(file.path))
  }
}

function rewritten(path: string): string {
  return `somebody's VACUUM without retention took a data file that the table needs; it was written again: ${path}`
}
