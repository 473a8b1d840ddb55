/**
 * From durable batches to rows of a table: one Delta commit per flush of a topic, with a `txn` action per partition (P4). A topic is looked
 * at only while it has something to flush; an idle one costs nothing.
 *
 *   run of batches → Parquet in a worker → PUT → commit (settled, rebased) → read back → the lanes may let go
 */
import type { AddFile } from '../delta/actions.ts'
import { encodePath } from '../delta/actions.ts'
import type { CommitOutcome, TableChange } from '../delta/change.ts'
import { flushAppId } from '../delta/table.ts'
import type { DeltaTable } from '../delta/table.ts'
import type { Env, Timer } from '../env.ts'
import { backoffMs } from '../log/create-once.ts'
import { bodyBytes } from '../objects/keys.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import type { EncodedFile } from '../parquet/encode.ts'
import type { ParquetCodec } from '../parquet/parquet-codec.ts'
import { release } from '../parquet/release.ts'
import { dataFilePath } from '../paths.ts'
import { LaneObjectMissingError } from '../lane/read-batches.ts'
import type { LaneRef } from '../lane/types.ts'
import { releaseAll } from '../partition/batch-memory.ts'
import type { FlushRun, StoredPartitionLog } from '../partition/log.ts'
import type { TopicLogConfig } from '../partition/types.ts'
import { Turns } from '../turns.ts'
import type { Offset } from '../types.ts'
import { assertNever } from '../types.ts'
import type { CommittedFile } from './committed-files.ts'
import { fileStats } from './file-stats.ts'
import { completeBelow, planFlush } from './flush-plan.ts'
import type { FlushPlan, PlannedRun } from './flush-plan.ts'
import { PacedPuts } from './paced-puts.ts'
import { RunBatches } from './run-batches.ts'
import type { RunBytes } from './run-batches.ts'
import { Slots } from './slots.ts'

/** A topic as the flusher sees it. */
export interface FlushableTopic {
  readonly id: string
  readonly name: string
  readonly config: TopicLogConfig
  readonly logs: readonly StoredPartitionLog[]
  readonly table: DeltaTable
  /** Creates the table if it is not there yet. Throws StoreError or DeltaError. */
  ensureTable(): Promise<void>
  readonly deleted: boolean
}

export interface FlusherDependencies {
  readonly env: Env
  readonly store: ObjectStore
  readonly workers: Pick<ParquetCodec, 'encode'>
  readonly readLane: (refs: readonly LaneRef[]) => Promise<readonly Uint8Array[]>
  readonly options: FlusherOptions
  readonly observer: FlushObserver
  /** After each commit of ours: maintenance looks whether a checkpoint or a compaction is due, and keeps an eye on the files. */
  readonly committed: (topic: FlushableTopic, files: readonly CommittedFile[]) => void
  /** After each flush: the bytes that it could not take, so that the table falls behind whatever producers do; Infinity where it failed. */
  readonly heldBack?: (topic: FlushableTopic, bytes: number) => void
}

export interface FlusherOptions {
  readonly parquetCompression: 'zstd' | 'snappy' | 'none'
  /** Topics that are flushed at once. */
  readonly topicsAtOnce: number
  /** How long a table that cannot be written rests before the next try. */
  readonly retryMs: number
}

export interface FlushObserver {
  flushed(topic: string, result: { readonly rows: number; readonly bytes: number; readonly millis: number; readonly version: number }): void
  trouble(topic: string, message: string, cause?: unknown): void
  /** A batch that nobody can decode was set aside and left out of the table. */
  quarantined(topic: string, partition: number, baseOffset: Offset, reason: string, key: string): void
}

/** Files of one flush in the making or on their way to the store at once; where there are many, they are on their way as the store has room for them. */
const FILES_AT_ONCE = 8
const FILES_AT_ONCE_OF_MANY = 16
/** Files in the making at once, over all topics: each takes working memory, and a few threads make them one after the other anyway. */
const ENCODES_AT_ONCE = 2
/** Commits of more files than that have many; those of fewer are made as promptly as can be. */
const PROMPT_FILES_MAX = 16
/** How long the first batch after a pause waits for company: enough for a burst to share a file, and at most this part of the flush interval. */
const GATHER_MS = 50
const GATHER_PART = 0.1
/** How far ahead of the interval a flush may be, if those before were behind: else each hiccup would put off for good what comes in a rhythm of its own. */
const AHEAD_MS = 250
/** Topics that wake up within a second and are flushed as soon as that. Of ten thousand, the others share the flush interval. */
const EARLY_PER_SECOND = 8
const REPLANS_MAX = 8
/** Batches of one commit, about: its files are held in memory whole. What is left follows in the next commit. */
const COMMIT_BYTES_MAX = 32 * 1024 * 1024
/** A commit of so many times as much, for a transaction that is larger, does not keep its files until it is through. */
const KEPT_COMMITS_MAX = 2
/** How often data files that vanish are written again before the flush is given up until the next try. */
const REWRITES_MAX = 3

interface TopicState {
  readonly topic: FlushableTopic
  timer: Timer | null
  dueAtMs: number
  running: Promise<void> | null
  /** The next flush is due an interval later: when the last one began, or up to {@link AHEAD_MS} before where it was late. */
  lastStartMs: number
  /** Bytes that became durable since a flush was begun: a sum over all partitions for every batch would cost too much. */
  bytesSinceStart: number
  /** The last flush failed. */
  resting: boolean
  /** Files of the commit after this one, written while this one is on its way. */
  ahead: WrittenAhead | null
}

/** Where the table's transaction of a partition stands; null where there is none yet. */
type Txns = ReadonlyMap<StoredPartitionLog, number | null>

interface WrittenAhead {
  readonly plan: FlushPlan
  /** Where the table's transactions will stand when it is their turn. */
  readonly txns: Txns
  readonly files: Promise<readonly WrittenFile[]>
}

export class Flusher {
  readonly #deps: FlusherDependencies
  readonly #states = new Map<string, TopicState>()
  readonly #slots: Slots
  readonly #encodes = new Slots(ENCODES_AT_ONCE)
  #closed = false
  readonly #abort = new AbortController()
  /** When the count of topics that woke up was begun. */
  #wakingSinceMs = -Infinity
  #woken = 0

  constructor(deps: FlusherDependencies) {
    this.#deps = deps
    this.#slots = new Slots(deps.options.topicsAtOnce)
  }

  /** To be called when a batch of so many bytes became durable: schedules a flush. Cheap when one is scheduled already. */
  touch(topic: FlushableTopic, bytes = 0): void {
    if (this.#closed) return
    const state = this.#stateOf(topic)
    state.bytesSinceStart += bytes
    const { flushIntervalMs, flushBytes } = topic.config
    const isMany = state.bytesSinceStart >= flushBytes
    if (state.timer !== null || state.running !== null) {
      if (isMany && state.running === null && !state.resting && state.dueAtMs > this.#now()) this.#arm(state, 0)
      return
    }
    if (isMany || flushableBytes(topic) >= flushBytes) this.#arm(state, 0)
    else {
      const restMs = state.lastStartMs + flushIntervalMs - this.#now()
      const gatherMs = Math.min(flushIntervalMs * GATHER_PART, GATHER_MS)
      this.#arm(state, restMs > gatherMs ? restMs : this.#wakeInMs(gatherMs, flushIntervalMs))
    }
  }

  /** How long the first batch after a pause waits. */
  #wakeInMs(gatherMs: number, flushIntervalMs: number): number {
    const now = this.#now()
    if (now - this.#wakingSinceMs >= 1000) {
      this.#wakingSinceMs = now
      this.#woken = 0
    }
    return this.#woken++ < EARLY_PER_SECOND ? gatherMs : gatherMs + this.#deps.env.random() * (flushIntervalMs - gatherMs)
  }

  /** The topic has another config: a flush that waits for longer than that says begins earlier. */
  reconfigured(topic: FlushableTopic): void {
    const state = this.#states.get(topic.id)
    if (state === undefined || state.timer === null || state.resting) return
    const waitMs = this.#nextFlushInMs(state)
    if (this.#now() + waitMs < state.dueAtMs) this.#arm(state, waitMs)
  }

  /** Flushes everything that is durable now, for an orderly stop. Resolves when done or when the signal aborts. */
  async drain(topics: Iterable<FlushableTopic>, signal: AbortSignal): Promise<void> {
    const { promise: over, resolve: stop } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      this.#abort.abort()
      stop()
    }
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    const drainTopic = async (topic: FlushableTopic): Promise<void> => {
      const state = this.#stateOf(topic)
      // What runs already may have been planned before the last batches came.
      await state.running
      while (!signal.aborted && !topic.deleted && flushableBytes(topic) > 0) {
        const before = flushableBytes(topic)
        await this.#run(state)
        if (flushableBytes(topic) >= before) return
      }
    }
    await Promise.race([Promise.all([...topics].map(drainTopic)), over])
    signal.removeEventListener('abort', onAbort)
  }

  /** Flushes that are scheduled begin now, but for those that rest after a failure. */
  hurry(): void {
    for (const state of this.#states.values()) if (state.timer !== null && !state.resting && state.dueAtMs > this.#now()) this.#arm(state, 0)
  }

  /** Resolves when nothing is written to the topic's table any more; the topic must say that it is deleted. */
  async forget(topicId: string): Promise<void> {
    const state = this.#states.get(topicId)
    state?.timer?.cancel()
    this.#states.delete(topicId)
    await state?.running
  }

  /** Starts nothing any more and waits for what runs. */
  async close(): Promise<void> {
    this.#closed = true
    this.#abort.abort()
    for (const state of this.#states.values()) state.timer?.cancel()
    await Promise.all(Array.from(this.#states.values(), async (state) => state.running))
    await Promise.allSettled(Array.from(this.#states.values(), async (state) => state.ahead?.files))
  }

  #stateOf(topic: FlushableTopic): TopicState {
    let state = this.#states.get(topic.id)
    if (state === undefined) {
      state = { topic, timer: null, dueAtMs: Infinity, running: null, lastStartMs: -Infinity, bytesSinceStart: 0, resting: false, ahead: null }
      this.#states.set(topic.id, state)
    }
    return state
  }

  /** How long what is not flushed waits for company, milliseconds. */
  #nextFlushInMs({ topic, ahead, lastStartMs }: TopicState): number {
    const { flushBytes, flushIntervalMs } = topic.config
    return ahead !== null || flushableBytes(topic) >= flushBytes ? 0 : Math.max(0, lastStartMs + flushIntervalMs - this.#now())
  }

  #now(): number {
    return this.#deps.env.clock.monotonic()
  }

  #arm(state: TopicState, delayMs: number): void {
    if (this.#closed) return
    state.timer?.cancel()
    state.dueAtMs = this.#now() + delayMs
    state.timer = this.#deps.env.clock.schedule(delayMs, () => {
      state.timer = null
      void this.#run(state)
    })
  }

  /** One flush of one topic at a time; what came meanwhile is scheduled afterwards. Never rejects. */
  async #run(state: TopicState): Promise<void> {
    if (state.running !== null) return state.running
    state.timer?.cancel()
    state.timer = null
    const { topic } = state
    const work = async (): Promise<void> => {
      await this.#slots.enter()
      state.lastStartMs = startForPace(state, this.#now())
      state.bytesSinceStart = 0
      let restMs = 0
      try {
        if (!topic.deleted && !this.#abort.signal.aborted) restMs = await this.#flush(state)
        // What an open transaction holds back is nothing that more flushing could help.
        this.#deps.heldBack?.(topic, restMs > 0 ? Infinity : unflushedBytes(topic) - flushableBytes(topic))
      } catch (error) {
        // A predecessor that does not know its end yet may have flushed these batches and collected their segment.
        if (error instanceof LaneObjectMissingError) await topic.table.poll().catch(() => undefined)
        if (!topic.deleted && !this.#abort.signal.aborted) {
          this.#deps.observer.trouble(topic.name, 'the table could not be flushed; its records stay in the lanes and the flush is tried again', error)
        }
        restMs = this.#deps.options.retryMs
        this.#deps.heldBack?.(topic, Infinity)
      } finally {
        this.#slots.leave()
        state.running = null
      }
      state.resting = restMs > 0
      if (topic.deleted || this.#closed || unflushedBytes(topic) === 0) return
      this.#arm(state, Math.max(restMs, this.#nextFlushInMs(state)))
    }
    state.running = work()
    return state.running
  }

  /** Gives how long to rest before the next try, 0 after a success. */
  async #flush(state: TopicState): Promise<number> {
    const { topic } = state
    await topic.ensureTable()
    const startedMs = this.#now()
    for (let attempt = 0; attempt < REPLANS_MAX; attempt++) {
      if (adoptFlushed(topic) !== null) {
        this.#deps.observer.trouble(topic.name, 'the table holds more than this process has written: another one has taken over')
        return this.#deps.options.retryMs
      }
      const ahead = await this.#takeAhead(state)
      const plan = ahead?.plan ?? planFlush(topic.logs, commitBytesMax(topic))
      // What cannot be flushed yet is looked at again, but not at once.
      if (plan.ends.size === 0) return unflushedBytes(topic) === 0 ? 0 : topic.config.flushIntervalMs
      // Looked at before files are written in vain, and read anew, since outsiders lift what they have imposed.
      if (topic.table.suspended !== null) {
        const { suspended } = await topic.table.poll()
        if (suspended !== null) {
          if (ahead !== null) await this.#discard(topic, ahead.files)
          return this.#suspended(topic, suspended)
        }
      }
      // As of when the plan was made: what others commit from then on must make it a conflict (P4).
      const txns = ahead?.txns ?? txnsOf(topic, plan)
      const writeAhead = (): void => this.#writeAhead(state, plan)
      if (ahead !== null) writeAhead()
      const files = ahead?.files ?? (await this.#write(topic, plan.runs, writeAhead))
      if (topic.deleted) return 0
      const change = changeOf(plan, txns, files, topic.id, this.#deps.env)
      const outcome = await this.#commit(topic, change)
      switch (outcome.kind) {
        case 'committed': {
          if (!(await this.#verify(topic, outcome.version, change, files))) continue
          await this.#markFlushed(topic, plan)
          const rows = files.reduce((sum, file) => sum + file.rows, 0)
          const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
          this.#deps.observer.flushed(topic.name, { rows, bytes, millis: this.#now() - startedMs, version: outcome.version })
          this.#deps.committed(topic, files.flatMap(({ path, encoded: { parquet } }) => (parquet === null ? [] : [{ path, parquet }])))
          return 0
        }
        case 'already-applied':
          await topic.table.poll()
          continue
        case 'conflict':
          // Nothing refers to the files, now or later.
          await this.#discard(topic, files)
          await topic.table.poll()
          continue
        case 'suspended':
          await this.#discard(topic, files)
          return this.#suspended(topic, outcome.reason)
        default:
          return assertNever(outcome)
      }
    }
    this.#deps.observer.trouble(topic.name, `the flush lost against other writers of the table ${REPLANS_MAX} times`)
    return this.#deps.options.retryMs
  }

  /** A topic of many partitions is not marked at once: clients would wait for it. */
  async #markFlushed(topic: FlushableTopic, { ends }: FlushPlan): Promise<void> {
    const turns = new Turns(this.#deps.env.clock)
    for (const _ of markInTable(topic, ends)) if (turns.isOver) await turns.next()
  }

  /** While much is waiting, the next files are written during the commit: the worker need not wait for the store, nor the store for it. */
  #writeAhead(state: TopicState, plan: FlushPlan): void {
    const { topic } = state
    if (state.ahead !== null || topic.deleted || this.#abort.signal.aborted) return
    const next = planFlush(topic.logs, commitBytesMax(topic), plan)
    if (next.bytes < commitBytesMax(topic) / 2) return
    const files = this.#write(topic, next.runs)
    // Whoever takes them hears of it; nobody may.
    files.catch(() => undefined)
    state.ahead = { plan: next, txns: txnsOf(topic, next, plan), files }
  }

  /** What was written ahead, if it is what a plan made now would begin with; else the files go. */
  async #takeAhead(state: TopicState): Promise<{ readonly plan: FlushPlan; readonly txns: Txns; readonly files: readonly WrittenFile[] } | null> {
    const { ahead, topic } = state
    if (ahead === null) return null
    state.ahead = null
    const files = await ahead.files
    const { plan, txns } = ahead
    const isCurrent = Array.from(plan.starts).every(([log, start]) => start === log.tableEnd) && Array.from(txns).every(([log, txn]) => txn === txnOf(topic, log))
    if (isCurrent) return { plan, txns, files }
    await this.#discard(topic, files)
    return null
  }

  /** Repeats the same change until its outcome is known: an unknown one may land later and must never be built a second time. */
  #commit(topic: FlushableTopic, change: TableChange): Promise<CommitOutcome> {
    return this.#insist(topic, 'the commit of a flush is not settled yet and is tried again', () => topic.table.commit(change))
  }

  /** Tries again while the store is in trouble; throws what else comes up, and what came last when the flusher stops. */
  async #insist<T>(topic: FlushableTopic, message: string, task: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await task()
      } catch (error) {
        if (!(error instanceof StoreError && error.retriable) || this.#abort.signal.aborted || topic.deleted) throw error
        this.#deps.observer.trouble(topic.name, message, error)
        await this.#deps.env.clock.sleep(backoffMs(this.#deps.env, attempt, 100, 10_000), this.#abort.signal)
      }
    }
  }

  #suspended(topic: FlushableTopic, reason: string): number {
    this.#deps.observer.trouble(topic.name, `flushing is suspended: ${reason}`)
    return this.#deps.options.retryMs
  }

  async #discard(topic: FlushableTopic, files: readonly WrittenFile[]): Promise<void> {
    await this.#deps.store.delete(files.map(({ path }) => `${topic.table.location}/${path}`))
  }

  /**
   * Before the lanes let go (DELTA-FACTS): another log store may have overwritten the commit, then the flush is built again on what is there
   * now; a VACUUM without retention may have taken files that were not committed yet, then they are written again.
   */
  async #verify(topic: FlushableTopic, version: number, change: TableChange, files: readonly WrittenFile[]): Promise<boolean> {
    const paths = change.adds.map(({ path }) => path)
    const verify = () => topic.table.verifyCommit(version, change.commitId, paths)
    for (let attempt = 1; ; attempt++) {
      const verified = await this.#insist(topic, 'the commit of a flush could not be read back and is read again', verify)
      switch (verified.kind) {
        case 'intact':
          return true
        case 'overwritten':
          this.#deps.observer.trouble(topic.name, `commit ${version} was overwritten by ${verified.by}; its records are committed again`)
          await topic.table.load()
          return false
        case 'files-missing': {
          const lost = verified.paths.join(', ')
          if (attempt > REWRITES_MAX) throw new Error(`somebody deletes data files of commit ${version} as often as they are written: ${lost}`)
          this.#deps.observer.trouble(topic.name, `data files of commit ${version} are gone from the store and are written again: ${lost}`)
          for (const file of files) {
            if (!verified.paths.includes(encodePath(file.path))) continue
            const body = file.encoded.parquet ?? (await this.#remake(file))
            await this.#insist(topic, 'a data file could not be written again yet', () => this.#deps.store.put(`${topic.table.location}/${file.path}`, body))
          }
          break
        }
        default:
          return assertNever(verified)
      }
    }
  }

  /** `encoded` is called when the worker is done with all of them. */
  async #write(topic: FlushableTopic, runs: readonly PlannedRun[], encoded?: () => void): Promise<WrittenFile[]> {
    const files: WrittenFile[] = []
    const queue = [...runs]
    const bytes = new RunBatches(runs.map(({ run }) => run), this.#deps.env.clock, this.#deps.readLane)
    const paced = runs.length > PROMPT_FILES_MAX ? new PacedPuts(this.#deps.env.clock, FILES_AT_ONCE_OF_MANY) : null
    const keeps = runs.reduce((sum, { run }) => sum + run.bytes, 0) <= KEPT_COMMITS_MAX * commitBytesMax(topic)
    let unencoded = runs.length
    const lane = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const file = await this.#writeRun(topic, next, bytes, paced, () => {
          if (--unencoded === 0) encoded?.()
        })
        if (file !== null) files.push(keeps ? file : givenBack(file))
      }
    }
    await Promise.all(Array.from({ length: Math.min(paced === null ? FILES_AT_ONCE : FILES_AT_ONCE_OF_MANY, runs.length) }, lane))
    return files
  }

  async #writeRun(topic: FlushableTopic, planned: PlannedRun, bytes: RunBatches, paced: PacedPuts | null, done: () => void): Promise<WrittenFile | null> {
    const { log, run } = planned
    const { encoded, runBytes } = await this.#encode(planned, bytes, paced === null)
    done()
    for (const bad of encoded.unreadable) await this.#quarantine(topic, log.partition, run, runBytes.batches, bad)
    releaseAll(runBytes.held)
    if (encoded.parquet === null || encoded.rows === 0) return null
    const path = dataFilePath(log.partition, run.fromOffset, this.#deps.env.uuid())
    const body = encoded.parquet
    const put = (): Promise<void> => this.#deps.store.put(`${topic.table.location}/${path}`, body)
    await (paced === null ? put() : paced.run(put))
    return { path, planned, bytes: bodyBytes(body), rows: encoded.rows, encoded }
  }

  async #encode({ log, run }: PlannedRun, bytes: RunBatches, prompt: boolean): Promise<{ readonly encoded: EncodedFile; readonly runBytes: RunBytes }> {
    await this.#encodes.enter()
    try {
      const runBytes = await bytes.of(run)
      const encoded = await this.#deps.workers.encode({
        partition: log.partition,
        batches: runBytes.batches,
        prompt,
        fromOffset: run.fromOffset,
        endOffset: run.endOffset,
        compression: this.#deps.options.parquetCompression,
      })
      return { encoded, runBytes }
    } finally {
      this.#encodes.leave()
    }
  }

  /** The same bytes again, of a file that was not kept. */
  async #remake({ planned, bytes, path }: WrittenFile): Promise<readonly Uint8Array[]> {
    const { encoded, runBytes } = await this.#encode(planned, new RunBatches([planned.run], this.#deps.env.clock, this.#deps.readLane), true)
    releaseAll(runBytes.held)
    if (encoded.parquet === null || bodyBytes(encoded.parquet) !== bytes) throw new Error(`${path} cannot be made again as it was`)
    return encoded.parquet
  }

  /** A batch whose checksum is right but whose inside is not: kept for people under `quarantine/`, left out of the table, never in the way. */
  async #quarantine(
    topic: FlushableTopic,
    partition: number,
    run: FlushRun,
    batches: readonly Uint8Array[],
    bad: { readonly baseOffset: Offset; readonly reason: string },
  ): Promise<void> {
    const key = `quarantine/${topic.id}/${partition}/${bad.baseOffset}`
    const bytes = batches[run.batches.indexOf(bad.baseOffset)]
    if (bytes !== undefined) await this.#deps.store.put(key, [bytes])
    this.#deps.observer.quarantined(topic.name, partition, bad.baseOffset, bad.reason, key)
  }
}

interface WrittenFile {
  readonly path: string
  readonly planned: PlannedRun
  readonly bytes: number
  readonly rows: number
  /** `parquet` is null where its memory was given back. */
  readonly encoded: EncodedFile
}

/** Its bytes are on the store, and can be made again as long as the lanes have the batches. */
function givenBack(file: WrittenFile): WrittenFile {
  for (const piece of file.encoded.parquet ?? []) release(piece)
  return { ...file, encoded: { ...file.encoded, parquet: null } }
}

/** One flush an interval on average, and never more than one ahead of that. */
function startForPace({ lastStartMs, topic }: TopicState, nowMs: number): number {
  const { flushIntervalMs } = topic.config
  return Math.min(nowMs, Math.max(lastStartMs + flushIntervalMs, nowMs - Math.min(AHEAD_MS, flushIntervalMs)))
}

function unflushedBytes(topic: FlushableTopic): number {
  let bytes = 0
  for (const log of topic.logs) bytes += log.unflushedBytes
  return bytes
}

/** As far as a flush could take them. */
function flushableBytes(topic: FlushableTopic): number {
  let bytes = 0
  for (const log of topic.logs) bytes += log.flushableBytes
  return bytes
}

/**
 * What the table says is flushed is flushed, whoever did it: after a conflict, and after a recovery. Gives a partition of which the table
 * holds more than is known here to be durable, null where all is well: a successor has flushed, or lanes were lost.
 */
export function adoptFlushed(topic: FlushableTopic): StoredPartitionLog | null {
  let ahead: StoredPartitionLog | null = null
  const ends = new Map<StoredPartitionLog, Offset>()
  for (const log of topic.logs) {
    const flushed = topic.table.flushedOffset(flushAppId(topic.id, log.partition), log.partition)
    // Statistics say what outsiders may have appended as well; only a transaction is our own word.
    if (flushed.kind === 'known' && flushed.source === 'txn' && flushed.offset > log.highWatermark) ahead = log
    else ends.set(log, flushed.kind === 'known' ? flushed.offset : flushed.atLeast)
  }
  for (const _ of markInTable(topic, ends)) continue
  return ahead
}

/** The table ends there: what that makes complete is flushed. */
function* markInTable(topic: FlushableTopic, ends: ReadonlyMap<StoredPartitionLog, Offset>): Generator<void, void> {
  const hasTransactions = topic.logs.some(({ endedTransactions }) => endedTransactions.length > 0)
  for (const log of hasTransactions ? topic.logs : ends.keys()) {
    const end = Math.max(ends.get(log) ?? 0, log.tableEnd)
    log.markFlushed(hasTransactions ? completeBelow(log, topic.logs, ends) : end, end)
    yield
  }
}

function commitBytesMax(topic: FlushableTopic): number {
  return Math.max(Math.min(topic.config.flushBytes, COMMIT_BYTES_MAX), 1)
}

function txnOf(topic: FlushableTopic, log: StoredPartitionLog): number | null {
  return topic.table.snapshot.txn(flushAppId(topic.id, log.partition)) ?? null
}

/** Of the partitions in which the table gets on; after `previous` has been carried out, where it says. */
function txnsOf(topic: FlushableTopic, { ends }: FlushPlan, previous: FlushPlan | null = null): Txns {
  return new Map(Array.from(ends.keys(), (log) => [log, previous?.ends.get(log) ?? txnOf(topic, log)]))
}

function changeOf({ ends }: FlushPlan, txns: Txns, files: readonly WrittenFile[], topicId: string, env: Env): TableChange {
  const nowMs = env.clock.now()
  const adds: AddFile[] = files.map((file) => ({
    path: encodePath(file.path),
    partitionValues: { partition: String(file.planned.log.partition) },
    size: file.bytes,
    modificationTime: nowMs,
    dataChange: true,
    stats: fileStats(file.encoded),
  }))
  return {
    commitId: env.uuid(),
    operation: 'STREAMING UPDATE',
    adds,
    removes: [],
    txns: Array.from(ends, ([log, to]) => ({ appId: flushAppId(topicId, log.partition), from: txns.get(log) ?? null, to })),
  }
}
