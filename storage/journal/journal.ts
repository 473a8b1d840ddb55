/**
 * The journal: cluster metadata as a put-if-absent log (DESIGN §6). There is no controller. A change is validated against the newest
 * state and appended as the next version; when somebody else was first, their entry is read and the change is validated again.
 * Changes that are asked for while an append is under way go into one entry together.
 */
import type { Env } from '../env.ts'
import { backoffMs } from '../log/create-once.ts'
import type { CreateOnceOptions } from '../log/create-once.ts'
import { PutIfAbsentLog } from '../log/put-if-absent-log.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import { journalKey, journalPrefix, journalSnapshotKey, journalSnapshotPrefix } from '../paths.ts'
import type { LogVersion } from '../types.ts'
import { assertNever } from '../types.ts'
import type { JournalChange, JournalEntry } from './entries.ts'
import { decodeChange, decodeEntry, journalFormat } from './entries.ts'
import type { JournalState } from './state.ts'
import { JournalFold, applyEntry, decodeSnapshot, emptyJournalState, encodeSnapshot, firstJournalVersion } from './state.ts'

export interface JournalOptions {
  /** A snapshot is written after this many changes. Default 500. */
  readonly snapshotEveryChanges?: number
  readonly createOnce?: Omit<CreateOnceOptions, 'signal' | 'winnerBytesMax'>
}

/** What a builder answers: changes to append, none when there is nothing to do, or why not. */
export type JournalProposal<R> = readonly JournalChange[] | JournalRefusal<R>

export interface JournalRefusal<R> {
  readonly kind: 'refused'
  readonly reason: R
}

export type JournalAppendOutcome<R> =
  /** Durable, and in `state`. `version` is the entry that holds the changes (the newest one when there were none). */
  | { readonly kind: 'appended'; readonly version: LogVersion; readonly changes: readonly JournalChange[] }
  /** The builder refused, against a state that was the newest at some moment during the call. */
  | JournalRefusal<R>
  /** The signal came before anything was written. */
  | { readonly kind: 'aborted' }
  /** The signal came while the entry was on its way: it may be in the journal, now or later. */
  | { readonly kind: 'unknown' }

export type JournalListener = (state: JournalState, entry: JournalEntry, version: LogVersion) => void

/** Changes in one entry at most; what is more waits for the next one. */
const changesMax = 1000
/** Snapshots that are kept. */
const snapshotsKept = 2

interface Pending {
  readonly build: (state: JournalState) => JournalProposal<unknown>
  readonly resolve: (outcome: JournalAppendOutcome<unknown>) => void
  readonly reject: (error: unknown) => void
  stage: 'queued' | 'sent' | 'done'
}

export class Journal {
  readonly #store: ObjectStore
  readonly #env: Env
  readonly #options: JournalOptions
  readonly #log: PutIfAbsentLog<JournalEntry>
  readonly #listeners = new Set<JournalListener>()
  readonly #closing = new AbortController()
  #state: JournalState
  #queue: Pending[] = []
  #pump: Promise<void> | null = null
  #polling: Promise<number> | null = null
  #changesSinceSnapshot = 0
  #snapshot: Promise<void> | null = null

  private constructor(store: ObjectStore, env: Env, options: JournalOptions, state: JournalState) {
    this.#store = store
    this.#env = env
    this.#options = options
    this.#state = state
    this.#log = new PutIfAbsentLog(store, env, {
      prefix: journalPrefix,
      keyOf: journalKey,
      firstVersion: firstJournalVersion,
      decode: decodeEntry,
    })
  }

  /** Reads the newest usable snapshot and every entry after it. An empty store gives an empty journal. Throws StoreError. */
  static async open(store: ObjectStore, env: Env, options: JournalOptions = {}): Promise<Journal> {
    const journal = new Journal(store, env, options, emptyJournalState)
    const fold = new JournalFold(await newestSnapshot(store))
    for await (const { version, entry } of journal.#log.entriesAfter(fold.state.version)) {
      fold.entry(version, entry)
      journal.#changesSinceSnapshot += entry.changes.length
    }
    journal.#state = fold.seal()
    return journal
  }

  /** Everything that has been read so far. Immutable. */
  get state(): JournalState {
    return this.#state
  }

  /** Called after each entry is folded in, in order, for own and foreign entries. Must not throw. Returns what ends it. */
  onChange(listener: JournalListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Appends what `build` proposes for the newest state. `build` must be pure: it runs again after every conflict, and its argument
   * is valid during the call only. Throws StoreErrors that are not retriable (the change may be in the journal then); waits out the others.
   */
  async append<R = never>(
    build: (state: JournalState) => JournalProposal<R>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<JournalAppendOutcome<R>> {
    const { signal } = options
    if (signal?.aborted === true || this.#closing.signal.aborted) return { kind: 'aborted' }
    const { promise, resolve, reject } = Promise.withResolvers<JournalAppendOutcome<unknown>>()
    const pending: Pending = { build, resolve, reject, stage: 'queued' }
    const onAbort = (): void => abandon(pending)
    signal?.addEventListener('abort', onAbort)
    this.#queue.push(pending)
    this.#pump ??= this.#run()
    try {
      return (await promise) as JournalAppendOutcome<R>
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Reads what others have appended; gives the number of entries. One GET when there is nothing new. Throws StoreError. */
  async poll(): Promise<number> {
    this.#polling ??= this.#poll().finally(() => (this.#polling = null))
    return this.#polling
  }

  /** Ends pending appends as `aborted` or `unknown`, and waits for what is on its way. */
  async close(): Promise<void> {
    this.#closing.abort()
    for (const pending of this.#queue.splice(0)) abandon(pending)
    await this.#pump
    await this.#snapshot
  }

  /** As `poll`, but waits out a store that does not answer, as long as somebody of the batch waits and the journal is open. */
  async #pollFor(batch: readonly Pending[]): Promise<number> {
    const { delayMs = 10, delayMaxMs = 2000 } = this.#options.createOnce ?? {}
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.poll()
      } catch (error) {
        if (!(error instanceof StoreError) || !error.retriable) throw error
        await this.#env.clock.sleep(backoffMs(this.#env, attempt, delayMs, delayMaxMs), this.#closing.signal)
      }
      if (this.#closing.signal.aborted) for (const pending of batch) abandon(pending)
      if (batch.every(({ stage }) => stage === 'done')) return 0
    }
  }

  async #poll(): Promise<number> {
    let count = 0
    for await (const { version, entry } of this.#log.entriesAfter(this.#state.version)) {
      if (this.#applied(version, entry)) count++
    }
    return count
  }

  async #run(): Promise<void> {
    // Appends of the same turn share the first entry.
    await Promise.resolve()
    while (this.#queue.length > 0) await this.#commit(this.#queue.splice(0, changesMax))
    this.#pump = null
  }

  /** Brings a batch into the journal: builds, appends, and builds again while others are faster. */
  async #commit(batch: Pending[]): Promise<void> {
    try {
      for (;;) {
        const proposed = this.#propose(batch)
        if (proposed.changes.length === 0) {
          // A refusal may rest on what has long changed.
          if (proposed.answers.size > 0 && (await this.#pollFor(batch)) > 0) continue
          return settle(proposed.answers)
        }
        for (const pending of proposed.answers.keys()) pending.stage = 'sent'
        const version = this.#state.version + 1
        const entry: JournalEntry = { v: journalFormat, commitId: this.#env.uuid(), atMs: this.#wallMs(), changes: proposed.changes }
        const outcome = await this.#log.append(version, entry, { ...this.#options.createOnce, signal: this.#closing.signal })
        switch (outcome.kind) {
          case 'won':
            this.#applied(version, entry)
            settle(proposed.answers)
            return this.#maybeSnapshot()
          case 'lost':
            this.#applied(version, outcome.winner)
            for (const pending of batch) if (pending.stage === 'sent') pending.stage = 'queued'
            break
          case 'aborted':
            for (const pending of batch) abandon(pending)
            return
          default:
            return assertNever(outcome)
        }
      }
    } catch (error) {
      for (const pending of batch) finish(pending, () => pending.reject(error))
    }
  }

  /**
   * Runs the builders one after another, each on the state that the changes before it leave. A change that does not fit because of those
   * before it (two starts of an incarnation) goes back to the queue with everything after it, for an entry of its own.
   */
  #propose(batch: Pending[]): { changes: JournalChange[]; answers: Map<Pending, JournalAppendOutcome<unknown>> } {
    const version = this.#state.version + 1
    const atMs = this.#wallMs()
    const fold = new JournalFold(this.#state)
    const changes: JournalChange[] = []
    const answers = new Map<Pending, JournalAppendOutcome<unknown>>()
    for (const [i, pending] of batch.entries()) {
      if (pending.stage === 'done') continue
      const proposal = proposalOf(pending, fold.state, version)
      if (proposal === null) continue
      if ('kind' in proposal) {
        answers.set(pending, proposal)
        continue
      }
      const misfit = proposal.find((change) => !fold.change(version, atMs, change))
      if (misfit !== undefined) {
        if (changes.length > 0) this.#queue.unshift(...batch.splice(i))
        else finish(pending, () => pending.reject(new Error(`the change does not fit the journal: ${JSON.stringify(misfit)}`)))
        return this.#propose(batch)
      }
      changes.push(...proposal)
      answers.set(pending, { kind: 'appended', version: proposal.length > 0 ? version : this.#state.version, changes: proposal })
    }
    return { changes, answers }
  }

  /** Folds the entry in, unless a poll and an append have both read it and the other was first. */
  #applied(version: LogVersion, entry: JournalEntry): boolean {
    if (version <= this.#state.version) return false
    this.#state = applyEntry(this.#state, version, entry)
    this.#changesSinceSnapshot += entry.changes.length
    for (const listener of this.#listeners) listener(this.#state, entry, version)
    return true
  }

  #wallMs(): number {
    return Math.max(0, Math.floor(this.#env.clock.now()))
  }

  #maybeSnapshot(): void {
    if (this.#changesSinceSnapshot < (this.#options.snapshotEveryChanges ?? 500) || this.#snapshot !== null) return
    this.#changesSinceSnapshot = 0
    // A hint: when it cannot be written, the next one will.
    this.#snapshot = writeSnapshot(this.#store, this.#state)
      .catch(() => undefined)
      .finally(() => (this.#snapshot = null))
  }
}

/**
 * What the builder says; null when it throws, which is its caller's answer. Changes are read back as a reader would read them: an
 * entry that cannot be read would stop every broker for good.
 */
function proposalOf(pending: Pending, state: JournalState, version: LogVersion): JournalProposal<unknown> | null {
  try {
    const proposal = pending.build(state)
    return 'kind' in proposal ? proposal : proposal.map((change) => decodeChange(change, version))
  } catch (error) {
    finish(pending, () => pending.reject(error))
    return null
  }
}

function abandon(pending: Pending): void {
  finish(pending, (stage) => pending.resolve({ kind: stage === 'sent' ? 'unknown' : 'aborted' }))
}

function settle(answers: ReadonlyMap<Pending, JournalAppendOutcome<unknown>>): void {
  for (const [pending, outcome] of answers) finish(pending, () => pending.resolve(outcome))
}

function finish(pending: Pending, answer: (stage: Pending['stage']) => void): void {
  const { stage } = pending
  if (stage === 'done') return
  pending.stage = 'done'
  answer(stage)
}

/** The newest snapshot that can be read and that belongs to this journal; the empty state when there is none. */
async function newestSnapshot(store: ObjectStore): Promise<JournalState> {
  const snapshots = await store.list(journalSnapshotPrefix)
  for (const { key } of snapshots.toReversed()) {
    const bytes = await store.get(key)
    if (bytes === null) continue
    const state = readable(bytes)
    if (state === null) continue
    const entry = await store.get(journalKey(state.version))
    if (entry !== null && readableCommitId(entry, state.version) === state.commitId) return state
  }
  return emptyJournalState
}

function readable(bytes: Uint8Array): JournalState | null {
  try {
    return decodeSnapshot(bytes)
  } catch {
    return null
  }
}

function readableCommitId(bytes: Uint8Array, version: LogVersion): string | null {
  try {
    return decodeEntry(JSON.parse(new TextDecoder().decode(bytes)), version).commitId
  } catch (error) {
    if (error instanceof StoreError || error instanceof SyntaxError) return null
    throw error
  }
}

async function writeSnapshot(store: ObjectStore, state: JournalState): Promise<void> {
  await store.put(journalSnapshotKey(state.version), [encodeSnapshot(state)])
  const snapshots = await store.list(journalSnapshotPrefix)
  await store.delete(snapshots.slice(0, -snapshotsKept).map((object) => object.key))
}
