/**
 * The storage engine of one broker process: the partition logs of all topics, the lane that they share, the flusher that turns them into
 * tables, and the loops around them. It owns recovery (DESIGN §4): a start takes the next incarnation, fences the lanes before it, reads
 * the newest checkpoint and what came after, and writes a checkpoint of its own before it serves.
 */
import { atOnce } from '../at-once.ts'
import { DeltaTable } from '../delta/table.ts'
import type { CheckpointEngine } from '../delta/checkpoint-engine.ts'
import type { Env } from '../env.ts'
import type { Journal } from '../journal/journal.ts'
import type { TopicRecord } from '../journal/entries.ts'
import { checkpointSeqs, checkpointsKept, writeCheckpoint } from '../lane/checkpoint-store.ts'
import { LaneCollector } from '../lane/collector.ts'
import { LaneWriter } from '../lane/lane-writer.ts'
import { readBatches } from '../lane/read-batches.ts'
import type { LaneId, LaneObserver, LaneOptions, LaneRef } from '../lane/types.ts'
import { CommittedFiles } from '../maintenance/committed-files.ts'
import { Flusher, adoptFlushed } from '../maintenance/flusher.ts'
import { TableMaintenance } from '../maintenance/table-maintenance.ts'
import type { MaintainedTopic, MaintenanceObserver, TableMaintenanceOptions } from '../maintenance/table-maintenance.ts'
import type { FlushObserver, FlushableTopic, FlusherOptions } from '../maintenance/flusher.ts'
import { retainedFrom } from '../maintenance/retention.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import type { ParquetCodec } from '../parquet/parquet-codec.ts'
import { HotCache } from '../partition/hot-cache.ts'
import { StoredPartitionLog } from '../partition/log.ts'
import type { ColdReads, PartitionCheckpoint, PartitionHost } from '../partition/log.ts'
import type { PendingBatch } from '../partition/pending-batch.ts'
import { TopicTransactions } from '../partition/transactions.ts'
import type { CompactionConfig, PartitionLog, SegmentConfig, TopicLogConfig } from '../partition/types.ts'
import { laneCheckpointKey } from '../paths.ts'
import { Turns } from '../turns.ts'
import type { Incarnation, LogVersion, Offset, Uuid } from '../types.ts'
import { AppendGate } from './append-gate.ts'
import { encodeCheckpoint, encodePartition } from './checkpoint-codec.ts'
import { FlushBacklog } from './flush-backlog.ts'
import { LaneUsage } from './lane-usage.ts'
import { logStartControl } from './control-rows.ts'
import { SupersededError, recover, successorOf } from './recovery.ts'
import type { RecoveredLane } from './recovery.ts'
import { purgeTopic } from './purge.ts'

/** Control row that says nothing. */
const CONTROL_NOTHING = 0
const NO_TOPIC = 'AAAAAAAAAAAAAAAAAAAAAA'
/** So much of the cache may be batches that are not flushed yet: what was evicted has to be read back to be flushed. */
const backlogOfCache = 3 / 4
const backlogBytesMin = 64 * 1024 * 1024
/** Dead lanes that are collected at once, and tables that a start reads at once. */
const LANES_AT_ONCE = 8
const TABLES_AT_ONCE = 16

/** A checkpoint that took long, since many batches wait to be flushed, is followed by as many times as long without one. */
const CHECKPOINT_RESTS = 20
const CHECKPOINT_REST_MAX_MS = 30_000

/** Segments that hold unflushed batches, as of one state. */
interface NeededSegments {
  readonly own: ReadonlySet<LogVersion>
  readonly old: readonly { readonly old: RecoveredLane; readonly needed: ReadonlySet<LogVersion> }[]
}

export interface EngineOptions {
  readonly nodeId: number
  readonly lane: LaneOptions
  readonly checkpointIntervalMs: number
  readonly journalPollMs: number
  readonly cacheBytes: number
  /** Bytes durable and not yet in tables, beyond which producers wait. Default: three quarters of the cache, at least 64 MiB. */
  readonly backlogBytesMax?: number
  readonly producerExpirationMs: number
  /** How often old records are looked for; without it nothing is deleted by age or size. */
  readonly retentionCheckIntervalMs?: number
  /** How often compacted topics are looked at for what is dirty; without it, only after some commits. */
  readonly cleanerBackoffMs?: number
  readonly flush: FlusherOptions
  readonly maintenance: TableMaintenanceOptions
}

export interface EngineObserver {
  readonly lane: LaneObserver
  readonly flush: FlushObserver
  readonly maintenance: MaintenanceObserver
  info(message: string, fields: Readonly<Record<string, unknown>>): void
  warn(message: string, fields: Readonly<Record<string, unknown>>): void
}

export interface EngineDependencies {
  readonly env: Env
  readonly store: ObjectStore
  readonly journal: Journal
  readonly workers: Pick<ParquetCodec, 'encode' | 'mergeByOffset' | 'collectKeys' | 'countSuperseded' | 'mergeByKey'>
  readonly checkpoints: CheckpointEngine
  /** Made for this engine, which tells it where tables are. */
  readonly coldReads: (tableOf: (topicId: Uuid) => Promise<DeltaTable | null>) => ColdReads
  readonly configOf: (topic: TopicRecord) => TopicLogConfig
  readonly options: EngineOptions
  readonly observer: EngineObserver
  /** Called once when another process took over: nothing is acknowledged any more. */
  readonly onFenced: (reason: string) => void
}

export type DeleteRecordsOutcome =
  /** Durable. `logStartOffset` is where the log begins now, which may be after what was asked for. */
  | { readonly kind: 'deleted'; readonly logStartOffset: Offset }
  | { readonly kind: 'outOfRange' }
  /** This process no longer leads the partition, or there is none. */
  | { readonly kind: 'notLeader' }

/** A topic with its partition logs. */
export class TopicLogs implements FlushableTopic, MaintainedTopic {
  readonly record: TopicRecord
  readonly table: DeltaTable
  readonly logs: StoredPartitionLog[] = []
  readonly transactions = new TopicTransactions()
  config: TopicLogConfig
  deleted = false
  /** What `config` and the number of logs come from. */
  syncedRecord: TopicRecord | null = null
  syncedResources: unknown = null
  #creating: Promise<void> | null = null
  readonly #env: Env

  constructor(env: Env, record: TopicRecord, config: TopicLogConfig, table: DeltaTable) {
    this.#env = env
    this.record = record
    this.config = config
    this.table = table
  }

  get id(): Uuid {
    return this.record.id
  }
  get name(): string {
    return this.record.name
  }
  get compaction(): CompactionConfig | undefined {
    return this.config.compaction
  }
  get fileDeleteDelayMs(): number {
    return this.config.fileDeleteDelayMs
  }
  get segment(): SegmentConfig {
    return this.config.segment
  }

  async ensureTable(): Promise<void> {
    if (this.table.isLoaded) return
    this.#creating ??= this.#create().finally(() => (this.#creating = null))
    await this.#creating
  }

  async #create(): Promise<void> {
    const outcome = await this.table.create({ topicId: this.id, name: this.name }, this.#env.uuid())
    if (outcome.kind === 'occupied') {
      throw new Error(`${this.table.location} holds another table (id ${outcome.id}); move it away, Bayou does not write to it`)
    }
  }
}

export class StorageEngine implements PartitionHost {
  readonly env: Env
  readonly cache: HotCache
  readonly cold: ColdReads
  readonly lane: LaneId
  /** Producers wait here while the lane is full. */
  readonly appends: AppendGate
  readonly #deps: EngineDependencies
  readonly #topics = new Map<Uuid, TopicLogs>()
  readonly #usage = new LaneUsage()
  readonly #backlog: FlushBacklog
  readonly #flusher: Flusher
  readonly #maintenance: TableMaintenance
  readonly #committedFiles: CommittedFiles
  #writer!: LaneWriter
  #collector!: LaneCollector
  /** Lanes of earlier incarnations that still hold unflushed batches or uncollected segments. */
  #oldLanes: RecoveredLane[] = []
  /** What a checkpoint says of a partition that has not changed since: encoded, or still to be. */
  readonly #partitionLines = new Map<PartitionLog, PartitionCheckpoint | readonly Uint8Array[]>()
  /** Checkpoints of this lane that are in the store, ascending. */
  readonly #checkpointSeqs: LogVersion[] = []
  /** Journal version of which the topics here are. */
  #syncedVersion: LogVersion = 0
  #dirty = false
  #fenced = false
  /** From the end of recovery to the beginning of the stop: durable batches set off flushes. */
  #flushing = false
  /** After a start, and when a collection did not get through: there is something to collect though nothing has changed. */
  #collectionDue = false
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[] = []
  #checkpointing: Promise<void> = Promise.resolve()
  readonly #purging = new Set<Uuid>()
  /** Of topics that were deleted here: resolves when nothing is written to their tables any more. */
  readonly #leaving = new Map<Uuid, Promise<unknown>>()

  private constructor(deps: EngineDependencies, incarnation: Incarnation) {
    this.#deps = deps
    this.env = deps.env
    this.lane = { brokerId: deps.options.nodeId, incarnation }
    this.cache = new HotCache(deps.options.cacheBytes)
    const backlogBytesMax = deps.options.backlogBytesMax ?? Math.max(backlogBytesMin, deps.options.cacheBytes * backlogOfCache)
    this.#backlog = new FlushBacklog(backlogBytesMax, () => this.#flusher.hurry())
    this.appends = new AppendGate(deps.env.clock, this)
    this.cold = deps.coldReads((topicId) => this.#tableOf(topicId))
    this.#committedFiles = new CommittedFiles({ env: deps.env, store: deps.store, trouble: (...args) => deps.observer.flush.trouble(...args) })
    this.#maintenance = new TableMaintenance({
      env: deps.env,
      store: deps.store,
      parquet: deps.workers,
      checkpoints: deps.checkpoints,
      options: deps.options.maintenance,
      observer: deps.observer.maintenance,
      committedFiles: this.#committedFiles,
    })
    this.#flusher = new Flusher({
      env: deps.env,
      store: deps.store,
      workers: deps.workers,
      readLane: (refs) => this.readLane(refs),
      options: deps.options.flush,
      observer: deps.observer.flush,
      heldBack: (topic, bytes) => this.#backlog.setHeldBack(topic.id, bytes),
      committed: (topic, files) => {
        this.#dirty = true
        this.#committedFiles.keep(topic, files)
        const logs = this.#topics.get(topic.id)
        if (logs !== undefined) this.#maintenance.committed(logs)
      },
    })
  }

  /** Takes over the store. Resolves when everything that was acknowledged before can be served. Throws StoreError. */
  static async start(deps: EngineDependencies, host: Readonly<Record<string, string>>): Promise<StorageEngine> {
    const outcome = await deps.journal.append((state) => [
      ...(state.clusterId === null ? [{ type: 'cluster-created' as const, clusterId: deps.env.uuid() }] : []),
      { type: 'incarnation-started', brokerId: deps.options.nodeId, host },
    ])
    if (outcome.kind !== 'appended') throw new Error(`the broker could not register in the journal: ${outcome.kind}`)
    const engine = new StorageEngine(deps, outcome.version)
    await engine.#recover()
    engine.#startLoops()
    return engine
  }

  get incarnation(): Incarnation {
    return this.lane.incarnation
  }
  get isFenced(): boolean {
    return this.#fenced
  }
  get clusterId(): Uuid {
    return this.#deps.journal.state.clusterId ?? ''
  }
  /** Bytes accepted and not yet durable. */
  get pendingBytes(): number {
    return this.#writer.pendingBytes
  }
  /** False while too much is accepted and not durable, or durable and not in the tables (P8). */
  get hasRoom(): boolean {
    return this.#writer.hasRoom && this.#backlog.hasRoom
  }
  /** Bytes durable and not yet in tables, of all topics whose tables can be written. */
  get backlogBytes(): number {
    return this.#backlog.bytes
  }
  /** How long the oldest write to the lane has been under way, milliseconds. */
  get oldestInflightMs(): number {
    return this.#writer.oldestInflightMs
  }

  /** Calls back once there is room again, or the lane is over; `appends` queues for it. */
  whenRoom(callback: () => void): void {
    if (this.#writer.state !== 'open') return callback()
    this.#backlog.whenRoom(() => {
      this.#writer.whenRoom(callback)
    })
  }

  topics(): Iterable<TopicLogs> {
    return this.#topics.values()
  }

  topic(id: Uuid): TopicLogs | null {
    return this.#topics.get(id) ?? null
  }

  partition(topicId: Uuid, partition: number): StoredPartitionLog | null {
    return this.#topics.get(topicId)?.logs[partition] ?? null
  }

  /**
   * Deletes what a partition holds below an offset (at most its high watermark, for which null stands): consumers no longer see it when this
   * resolves, its rows leave the table soon after.
   */
  async deleteRecords(topicId: Uuid, partition: number, below: Offset | null): Promise<DeleteRecordsOutcome> {
    const log = this.partition(topicId, partition)
    if (log === null || this.#fenced) return { kind: 'notLeader' }
    const offset = below ?? log.highWatermark
    if (offset < 0 || offset > log.highWatermark) return { kind: 'outOfRange' }
    if (offset <= log.logStartOffset) return { kind: 'deleted', logStartOffset: log.logStartOffset }
    return await new Promise((resolve) => {
      const callbacks = {
        durable: () => {
          log.moveLogStart(offset)
          this.#changed(log)
          const topic = this.#topics.get(topicId)
          if (topic !== undefined) this.#maintenance.trim(topic)
          resolve({ kind: 'deleted', logStartOffset: log.logStartOffset })
        },
        failed: () => resolve({ kind: 'notLeader' }),
      }
      if (!this.#writer.appendControl(logStartControl({ topicId, partition, offset }), callbacks)) resolve({ kind: 'notLeader' })
    })
  }

  /** Brings the partition logs in line with the journal: opens what was created, closes and purges what was deleted. */
  syncTopics(): void {
    const { version, topics, deletedTopics } = this.#deps.journal.state
    if (version === this.#syncedVersion) return
    this.#syncedVersion = version
    for (const record of topics.values()) this.#openTopic(record)
    for (const [id, logs] of this.#topics) if (!topics.has(id)) this.#dropTopic(logs)
    for (const record of deletedTopics.values()) this.#purge(record)
  }

  // ---- PartitionHost ----------------------------------------------------------------------------------------------------------

  submit(batch: PendingBatch): void {
    if (!this.#writer.append(batch)) queueMicrotask(() => batch.failed('fenced'))
  }

  batchDurable(log: StoredPartitionLog, bytes: number, lane: LaneId, seq: LogVersion): void {
    this.#usage.retain(lane, seq)
    this.#backlog.add(log.topicId, bytes)
    this.#changed(log)
    const topic = this.#topics.get(log.topicId)
    if (topic !== undefined && this.#flushing) this.#flusher.touch(topic, bytes)
    this.cache.trim()
  }

  batchReleased(log: StoredPartitionLog, bytes: number, lane: LaneId, seq: LogVersion): void {
    this.#usage.release(lane, seq)
    this.#backlog.remove(log.topicId, bytes)
    this.#changed(log)
  }

  async readLane(refs: readonly LaneRef[]): Promise<readonly Uint8Array[]> {
    return await readBatches(this.#deps.store, refs)
  }

  // ---- start and recovery -----------------------------------------------------------------------------------------------------

  async #recover(): Promise<void> {
    const { store, env, journal, observer } = this.#deps
    const startedMs = env.clock.monotonic()
    const recovered = await recover(store, env, journal, this.lane)
    this.#oldLanes = [...recovered.lanes]
    for (const record of journal.state.topics.values()) this.#openTopic(record)
    for (const state of recovered.partitions) this.partition(state.topicId, state.partition)?.restore(state)
    const nowMs = env.clock.now()
    for (const { row, ref } of recovered.batches) this.partition(row.topicId, row.partition)?.replay(row, ref, nowMs)
    for (const { topicId, partition, offset } of recovered.logStarts) this.partition(topicId, partition)?.moveLogStart(offset)
    await this.#adoptTables()
    this.#writer = new LaneWriter({
      store,
      env,
      lane: this.lane,
      firstSeq: 0,
      options: this.#deps.options.lane,
      observer: observer.lane,
      log: (level, message, fields) => (level === 'info' ? observer.info(message, fields) : observer.warn(message, fields)),
      onFenced: () => this.#onFenced('another broker process took over the lane'),
    })
    this.#collector = new LaneCollector({ store, lane: this.lane, of: { kind: 'live', firstSeq: 0 } })
    // Nothing may be acknowledged in this lane before its first checkpoint is durable: recovery looks at the newest lane that has one.
    await this.#checkpoint()
    this.#collectionDue = true
    for (const record of journal.state.deletedTopics.values()) this.#purge(record)
    this.#flushing = true
    for (const topic of this.#topics.values()) if (topic.logs.some((log) => log.unflushedBytes > 0)) this.#flusher.touch(topic)
    observer.info('recovered', {
      incarnation: this.incarnation,
      topics: this.#topics.size,
      lanes: recovered.lanes.length,
      segments: recovered.segments,
      batches: recovered.batches.length,
      millis: Math.round(env.clock.monotonic() - startedMs),
    })
  }

  /** The tables say what is flushed; only those of partitions with unflushed batches are asked. */
  async #adoptTables(): Promise<void> {
    const unflushed = [...this.#topics.values()].filter((topic) => topic.logs.some((log) => log.unflushedBytes > 0))
    await atOnce(TABLES_AT_ONCE, unflushed, async (topic) => {
      try {
        await topic.ensureTable()
      } catch (error) {
        this.#deps.observer.warn('the table of a topic could not be read at start; its records are served from the lanes', {
          topic: topic.name,
          err: error,
        })
        return
      }
      const ahead = adoptFlushed(topic)
      if (ahead === null) return
      await this.#deps.journal.poll()
      const successor = successorOf(this.#deps.journal, this.incarnation)
      throw successor === null ? new Error(lanesLost(topic, ahead)) : new SupersededError(this.incarnation, successor)
    })
  }

  #openTopic(record: TopicRecord): void {
    let topic = this.#topics.get(record.id)
    const { resources } = this.#deps.journal.state
    // With ten thousand topics, each of which is looked at whenever one changes, this is what a change costs.
    if (topic?.syncedRecord === record && topic.syncedResources === resources) return
    const config = this.#deps.configOf(record)
    if (topic === undefined) {
      const table = new DeltaTable(this.#deps.store, this.env, record.location, {
        checkpoints: this.#deps.checkpoints,
        warn: (message, fields) => this.#deps.observer.warn(message, { topic: record.name, ...fields }),
      })
      topic = new TopicLogs(this.env, record, config, table)
      this.#topics.set(record.id, topic)
    }
    topic.syncedRecord = record
    topic.syncedResources = resources
    topic.config = config
    for (const log of topic.logs) log.setConfig(config)
    this.#flusher.reconfigured(topic)
    while (topic.logs.length < record.partitions) {
      topic.logs.push(new StoredPartitionLog(this, record.id, topic.logs.length, this.incarnation, config, topic.transactions))
    }
  }

  #dropTopic(topic: TopicLogs): void {
    topic.deleted = true
    this.#topics.delete(topic.id)
    this.#leaving.set(topic.id, Promise.all([this.#flusher, this.#maintenance, this.#committedFiles].map((writer) => writer.forget(topic.id))))
    for (const log of topic.logs) {
      log.delete()
      this.#partitionLines.delete(log)
    }
    this.#dirty = true
  }

  #purge(record: TopicRecord): void {
    if (this.#purging.has(record.id) || this.#fenced) return
    this.#purging.add(record.id)
    const { store, env, journal, observer } = this.#deps
    this.#loops.push(
      // What still writes to the table here would leave files behind the removal.
      Promise.resolve(this.#leaving.get(record.id))
        .then(() => purgeTopic(store, env, record.location, this.#stop.signal))
        .then(async (done) => {
          this.#leaving.delete(record.id)
          if (done) await journal.append((state) => (state.deletedTopics.has(record.id) ? [{ type: 'topic-purged', id: record.id }] : []))
        })
        .catch((error: unknown) => observer.warn('the data of a deleted topic could not be removed; the next start tries again', { topic: record.name, err: error })),
    )
  }

  async #tableOf(topicId: Uuid): Promise<DeltaTable | null> {
    const topic = this.#topics.get(topicId)
    if (topic === undefined) return null
    await topic.ensureTable()
    return topic.table
  }

  // ---- loops ------------------------------------------------------------------------------------------------------------------

  #startLoops(): void {
    const { options, observer } = this.#deps
    const { clock } = this.env
    const every = async (ms: number, task: () => Promise<void>, restAfter = (_tookMs: number) => 0): Promise<void> => {
      let restMs = ms
      while (!this.#stop.signal.aborted) {
        await clock.sleep(restMs, this.#stop.signal)
        if (this.#stop.signal.aborted) return
        const startedMs = clock.monotonic()
        try {
          await task()
        } catch (error) {
          observer.warn('a background task failed and will be tried again', { err: error })
        }
        restMs = Math.max(ms, restAfter(clock.monotonic() - startedMs))
      }
    }
    this.#loops.push(
      every(options.checkpointIntervalMs, () => this.checkpoint(), (tookMs) => Math.min(CHECKPOINT_RESTS * tookMs, CHECKPOINT_REST_MAX_MS)),
      every(options.journalPollMs, () => this.#pollJournal()),
    )
    const { retentionCheckIntervalMs, cleanerBackoffMs } = options
    if (retentionCheckIntervalMs !== undefined) this.#loops.push(every(retentionCheckIntervalMs, () => this.#retain()))
    if (cleanerBackoffMs !== undefined) this.#loops.push(every(cleanerBackoffMs, () => this.#clean()))
  }

  /** Learns of topics that others created or deleted, and of successors even when nothing is written. */
  async #pollJournal(): Promise<void> {
    await this.#deps.journal.poll()
    const successor = successorOf(this.#deps.journal, this.incarnation)
    if (successor !== null) this.#onFenced(`incarnation ${successor} took over`)
    else this.syncTopics()
  }

  /** Deletes what topics no longer keep, and sees to it that rows deleted before have left the tables. */
  async #retain(): Promise<void> {
    for (const topic of Array.from(this.#topics.values())) {
      if (this.#stop.signal.aborted) return
      try {
        await this.#retainTopic(topic)
      } catch (error) {
        this.#deps.observer.warn('old records of a topic could not be deleted; the next check tries again', { topic: topic.name, err: error })
      }
    }
  }

  async #retainTopic(topic: TopicLogs): Promise<void> {
    const { retention } = topic.config
    const limited = retention !== undefined && (retention.ms >= 0 || retention.bytes >= 0)
    if (topic.deleted || !topic.logs.some((log) => log.flushedOffset > 0 && (limited || log.logStartOffset > 0))) return
    await topic.ensureTable()
    if (retention !== undefined && limited) {
      const expiredBeforeMs = retention.ms < 0 ? null : this.env.clock.now() - retention.ms
      const bytesMax = retention.bytes < 0 ? null : retention.bytes
      for (const log of topic.logs) {
        const { logStartOffset, flushedOffset, unflushedBytes } = log
        const files = topic.table.snapshot.files(log.partition)
        const start = retainedFrom({ files, logStartOffset, flushedOffset, unflushedBytes }, { expiredBeforeMs, bytesMax })
        if (start === null) continue
        await this.deleteRecords(topic.id, log.partition, start)
        this.#deps.observer.info('old records deleted', { topic: topic.name, partition: log.partition, from: logStartOffset, below: start })
      }
    }
    if (!topic.deleted) this.#maintenance.trim(topic)
  }

  /** Compacts by key what has become dirty, also where nothing was committed since. */
  async #clean(): Promise<void> {
    for (const topic of Array.from(this.#topics.values())) {
      if (this.#stop.signal.aborted) return
      if (topic.compaction === undefined || topic.deleted || !topic.logs.some((log) => log.flushedOffset > 0)) continue
      try {
        await topic.ensureTable()
        this.#maintenance.clean(topic)
      } catch (error) {
        this.#deps.observer.warn('the table of a compacted topic could not be read; the next check tries again', { topic: topic.name, err: error })
      }
    }
  }

  #onFenced(reason: string): void {
    if (this.#fenced) return
    this.#fenced = true
    this.#stop.abort()
    this.#writer.abandon()
    this.#backlog.release()
    for (const topic of this.#topics.values()) for (const log of topic.logs) log.close()
    void this.#flusher.close()
    void this.#maintenance.close()
    void this.#committedFiles.close()
    this.#deps.onFenced(reason)
  }

  #changed(log: PartitionLog): void {
    this.#dirty = true
    this.#partitionLines.delete(log)
  }

  /** Writes the recovery state if anything changed, then lets go of segments that no recovery needs (P5). */
  async checkpoint(): Promise<void> {
    if (!this.#dirty && !this.#collectionDue) return
    this.#checkpointing = this.#checkpointing.catch(() => undefined).then(() => this.#checkpointAndCollect())
    await this.#checkpointing
  }

  async #checkpointAndCollect(): Promise<void> {
    if (this.#fenced) return
    // Where nothing has changed, the newest checkpoint says what is needed now.
    const needed = this.#dirty ? await this.#checkpoint() : this.#neededSegments()
    if (needed === null) return
    this.#collectionDue = true
    await this.#collect(needed)
    this.#collectionDue = false
  }

  /** Gives what is needed beside the checkpoint, as of its state; null when the lane was fenced. */
  async #checkpoint(): Promise<NeededSegments | null> {
    const { store, env, options } = this.#deps
    if (this.#checkpointSeqs.at(-1) === this.#writer.committedSeq) await this.#advanceLane()
    if (this.#fenced) return null
    // Until all of it is taken nothing may be awaited: the state must be that of one lane position.
    const seq = this.#writer.committedSeq
    this.#dirty = false
    const partitions: [PartitionLog, PartitionCheckpoint | readonly Uint8Array[]][] = []
    const expiredMs = env.clock.now() - options.producerExpirationMs
    for (const topic of this.#topics.values()) {
      for (const log of topic.logs) {
        if (log.logEndOffset === 0 && log.highWatermark === 0) continue
        log.expireProducers(expiredMs)
        let line = this.#partitionLines.get(log)
        if (line === undefined) {
          line = log.checkpoint()
          this.#partitionLines.set(log, line)
        }
        partitions.push([log, line])
      }
    }
    const needed = this.#neededSegments()
    try {
      const body = encodeCheckpoint(partitions.length, await this.#encode(partitions))
      const written = await writeCheckpoint(store, env, this.lane, seq, body, { signal: this.#stop.signal })
      if (written !== 'written') throw new Error(`the checkpoint of the lane was not written: ${written}`)
    } catch (error) {
      this.#dirty = true
      throw error
    }
    this.#checkpointSeqs.push(seq)
    return needed
  }

  /** A little at a time: with thousands of partitions, or much that is not flushed, it takes longer than clients should wait. */
  async #encode(partitions: readonly (readonly [PartitionLog, PartitionCheckpoint | readonly Uint8Array[]])[]): Promise<Uint8Array[]> {
    const turns = new Turns(this.#deps.env.clock)
    const lines: Uint8Array[] = []
    for (const [log, state] of partitions) {
      if (!('topicId' in state)) {
        for (const piece of state) lines.push(piece)
        continue
      }
      const line: Uint8Array[] = []
      for (const piece of encodePartition(state)) {
        line.push(piece)
        if (turns.isOver) await turns.next()
      }
      if (this.#partitionLines.get(log) === state) this.#partitionLines.set(log, line)
      for (const piece of line) lines.push(piece)
    }
    return lines
  }

  #neededSegments(): NeededSegments {
    return { own: this.#usage.needed(this.lane), old: this.#oldLanes.map((old) => ({ old, needed: this.#usage.needed(old.lane) })) }
  }

  /** A checkpoint is never replaced: where only flushing made progress, an empty control row takes the lane one step on. */
  #advanceLane(): Promise<void> {
    return new Promise((resolve) => {
      const nothing = { type: CONTROL_NOTHING, topicId: NO_TOPIC, partition: -1, payload: new Uint8Array(0) }
      if (!this.#writer.appendControl(nothing, { durable: () => resolve(), failed: () => resolve() })) resolve()
    })
  }

  /** Segments below the oldest checkpoint that is kept and without unflushed batches go; lanes with nothing left are retired. */
  async #collect(needed: NeededSegments): Promise<void> {
    const { store, journal } = this.#deps
    const { brokerId, incarnation } = this.lane
    const old = this.#checkpointSeqs.slice(0, -checkpointsKept)
    if (old.length > 0) await store.delete(old.map((seq) => laneCheckpointKey(brokerId, incarnation, seq)))
    this.#checkpointSeqs.splice(0, old.length)
    await this.#collector.collect({ belowSeq: this.#checkpointSeqs[0]!, isNeeded: (seq) => needed.own.has(seq) })
    const finished: RecoveredLane[] = []
    await atOnce(LANES_AT_ONCE, needed.old, async ({ old: dead, needed: still }) => {
      await dead.collector.collect({ belowSeq: dead.fenceSeq, isNeeded: (seq) => still.has(seq) })
      if (still.size > 0 || !dead.collector.isFinished) return
      await this.#dropCheckpoints(dead.lane)
      finished.push(dead)
    })
    if (finished.length === 0) return
    await journal.append((state) =>
      finished
        .filter(({ lane }) => state.incarnations.has(lane.incarnation))
        .map(({ lane }) => ({ type: 'incarnation-retired' as const, incarnation: lane.incarnation })),
    )
    this.#oldLanes = this.#oldLanes.filter((other) => !finished.includes(other))
  }

  async #dropCheckpoints(lane: LaneId): Promise<void> {
    const seqs = await checkpointSeqs(this.#deps.store, lane)
    if (seqs.length > 0) await this.#deps.store.delete(seqs.map((seq) => laneCheckpointKey(lane.brokerId, lane.incarnation, seq)))
  }

  /**
   * An orderly stop: everything accepted becomes durable, tables are flushed as far as the bound allows, a last checkpoint is written.
   * @param timeoutMs bound of the whole
   */
  async close(timeoutMs: number): Promise<void> {
    this.#flushing = false
    const bound = new AbortController()
    const timer = this.env.clock.schedule(timeoutMs, () => bound.abort())
    const over = aborted(bound.signal)
    try {
      if (!this.#fenced) {
        await Promise.race([this.#writer.flush(), over])
        await this.#flusher.drain(this.#topics.values(), bound.signal)
        if (!bound.signal.aborted) await Promise.race([this.checkpoint().catch(() => undefined), over])
        await Promise.race([this.#writer.close(), over])
      }
    } finally {
      this.#stop.abort()
      this.#writer.abandon()
      this.#backlog.release()
      for (const topic of this.#topics.values()) for (const log of topic.logs) log.close()
      await Promise.race([Promise.all([this.#flusher.close(), this.#maintenance.close(), this.#committedFiles.close(), ...this.#loops]), over])
      timer.cancel()
    }
  }
}

/** Offsets would be given a second time (P2): better not to start. */
function lanesLost(topic: TopicLogs, log: StoredPartitionLog): string {
  return (
    `the table of ${topic.name} holds more of partition ${log.partition} than the lanes, which end at offset ${log.highWatermark}: ` +
    'objects under lanes/ were lost or restored from an older copy'
  )
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
