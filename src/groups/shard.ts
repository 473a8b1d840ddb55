/**
 * The groups of one partition of `__consumer_offsets`: performs the effects of the state machine, keeps its timers, folds the log into
 * memory at the start, and writes down what must survive. State in memory follows the log: an offset is seen once it is durable (P1).
 */
import { KafkaError } from '../../protocol/errors.ts'
import type { RecordCursor } from '../../protocol/records/record.ts'
import { assertNever } from '../../storage/types.ts'
import type { Env } from '../../storage/env.ts'
import type { PartitionLog, TransactionMarker } from '../../storage/partition/types.ts'
import { admitConsumerCommit, refused } from './consumer/consumer-group.ts'
import { consumerTombstones } from './consumer/records.ts'
import type { TopicMatchers } from './consumer/topic-matchers.ts'
import { JOIN_EPOCH } from './consumer/types.ts'
import type { ConsumerGroup, ConsumerLimits, HeartbeatReply, HeartbeatRequest } from './consumer/types.ts'
import { ConsumerShard } from './consumer-shard.ts'
import { failedJoin, failedSync, heartbeat, step } from './group.ts'
import { hasConsumers, isFree, newEntry } from './group-entry.ts'
import type { GroupEntry } from './group-entry.ts'
import { LogState } from './log-state.ts'
import { groupFromMetadata, newGroup } from './membership.ts'
import { awaitsRebalance } from './migration.ts'
import { OffsetTable } from './offset-table.ts'
import { PendingOffsets } from './pending-offsets.ts'
import type { GroupLogger, GroupMetrics, GroupSnapshots, SnapshotLimits, TopicIndex } from './ports.ts'
import { groupRecord, offsetRecord } from './records.ts'
import type { CommittedOffset, RecordBytes } from './records.ts'
import { RecordLog } from './record-log.ts'
import type { Producer, Write } from './record-log.ts'
import { encodeSnapshot, readSnapshot } from './snapshot.ts'
import type { Effect, Group, GroupEvent, GroupLimits, GroupMetadata, JoinEvent, LeavingMember, Now, PersistPurpose, SyncEvent } from './types.ts'

/** Timers are capped, because very long ones overflow the runtime's; a tick that comes early finds nothing due. */
const TIMER_MAX_MS = 60 * 60 * 1000
const BATCH_BYTES_MAX = 512 * 1024
/** How often the log is read when it is flushed under the hands of who reads it. */
const LOADS_MAX = 5

export interface OffsetCommit {
  readonly topic: string
  readonly partition: number
  readonly value: CommittedOffset
}

export interface OffsetPlace {
  readonly topic: string
  readonly partition: number
}

export interface GroupShardOptions {
  readonly env: Env
  readonly log: GroupLogger
  readonly limits: GroupLimits
  /** They differ from group to group: some are configs of the group. */
  readonly consumerLimitsOf: (groupId: string) => ConsumerLimits
  readonly topics: TopicIndex
  readonly matchers: TopicMatchers
  readonly metrics: GroupMetrics
  readonly partitionLog: PartitionLog
  readonly snapshots: GroupSnapshots | null
  readonly snapshotLimits: SnapshotLimits
  readonly defer: (task: () => void) => void
  /** Nobody waits longer than this for a write to be durable. */
  readonly writeTimeoutMs: number
  readonly readBytesMax: number
  /** The partition has another leader now, or is gone: the shard is of no use any more. */
  readonly onLost: () => void
}

export class GroupShard {
  readonly #options: GroupShardOptions
  readonly #records: RecordLog
  readonly #groups = new Map<string, GroupEntry>()
  readonly #consumers: ConsumerShard
  #pending = new PendingOffsets()
  #closed = false
  #snapshotRunning = false
  #snapshotAtMs = -Infinity

  constructor(options: GroupShardOptions) {
    this.#options = options
    this.#records = new RecordLog({
      log: options.partitionLog,
      env: options.env,
      defer: options.defer,
      timeoutMs: options.writeTimeoutMs,
      batchBytesMax: BATCH_BYTES_MAX,
      readBytesMax: options.readBytesMax,
      onApplied: () => this.#considerSnapshot(),
      onLost: options.onLost,
    })
    this.#consumers = new ConsumerShard({
      log: options.log,
      topics: options.topics,
      matchers: options.matchers,
      limitsOf: options.consumerLimitsOf,
      now: () => this.now(),
      closed: () => this.#closed,
      write: (entry, records, on) => this.#write(entry, records, on),
      dispatch: (entry, event) => this.dispatch(entry, event),
      touched: (entry) => this.#touched(entry),
    })
  }

  now(): Now {
    const { clock } = this.#options.env
    return { monotonicMs: clock.monotonic(), wallMs: clock.now() }
  }

  get(groupId: string): GroupEntry | undefined {
    return this.#groups.get(groupId)
  }

  get groupCount(): number {
    return this.#groups.size
  }

  /** Offsets of transactions that are open. */
  get pending(): PendingOffsets {
    return this.#pending
  }

  entries(): Iterable<GroupEntry> {
    return this.#groups.values()
  }

  getOrCreate(groupId: string): GroupEntry {
    const entry = this.#groups.get(groupId)
    return entry ?? this.#add(newGroup(groupId, this.#options.env.clock.now()))
  }

  /** Applies an event to a classic group and does what follows from it. */
  dispatch(entry: GroupEntry, event: GroupEvent): void {
    const effects = step(entry.group, event, this.now(), this.#options.limits)
    for (const effect of effects) this.#perform(entry, effect)
    this.#touched(entry)
  }

  /** A JoinGroup, answered when the rebalance that it begins, or takes part in, is over. */
  join(groupId: string, event: JoinEvent): void {
    const known = this.#groups.get(groupId)
    // Only who has no member id creates a group: an id can only come from a group that exists.
    if (known === undefined && event.memberId !== '') return event.ticket(failedJoin(event.memberId, KafkaError.UNKNOWN_MEMBER_ID))
    if (known?.consumerLost === true) return event.ticket(failedJoin(event.memberId, KafkaError.COORDINATOR_NOT_AVAILABLE))
    const entry = known ?? this.getOrCreate(groupId)
    if (hasConsumers(entry.consumer) && this.#consumers.join(entry, entry.consumer, event)) return
    if (entry.consumer !== null && event.memberId === '') this.#consumers.vacate(entry, entry.consumer)
    this.dispatch(entry, event)
  }

  /** A SyncGroup, answered when the assignment of the generation is durable. */
  sync(groupId: string, event: SyncEvent): void {
    const entry = this.#groups.get(groupId)
    if (entry === undefined) return event.ticket(failedSync(KafkaError.UNKNOWN_MEMBER_ID))
    if (entry.consumerLost) return event.ticket(failedSync(KafkaError.COORDINATOR_NOT_AVAILABLE))
    if (hasConsumers(entry.consumer)) this.#consumers.sync(entry, entry.consumer, event)
    else this.dispatch(entry, event)
  }

  /** A Heartbeat of the classic protocol: an error code. */
  heartbeat(groupId: string, memberId: string, instanceId: string | null, generation: number): number | Promise<number> {
    const entry = this.#groups.get(groupId)
    if (entry === undefined) return KafkaError.UNKNOWN_MEMBER_ID
    if (entry.consumerLost) return KafkaError.COORDINATOR_NOT_AVAILABLE
    if (!hasConsumers(entry.consumer)) return heartbeat(entry.group, memberId, instanceId, generation, this.now())
    return this.#consumers.heartbeatClassic(entry, entry.consumer, { memberId, instanceId, generation })
  }

  /** A LeaveGroup: an error code for each member. */
  leave(groupId: string, members: readonly LeavingMember[], done: (errorCodes: readonly number[]) => void): void {
    const entry = this.#groups.get(groupId)
    if (entry === undefined) return done(members.map(() => KafkaError.UNKNOWN_MEMBER_ID))
    if (entry.consumerLost) return done(members.map(() => KafkaError.COORDINATOR_NOT_AVAILABLE))
    if (hasConsumers(entry.consumer)) this.#consumers.leave(entry, entry.consumer, members, done)
    else this.dispatch(entry, { kind: 'leave', members, done })
  }

  /** A heartbeat of the consumer protocol, of any epoch. Answers when what it changed is durable. */
  consumerHeartbeat(request: HeartbeatRequest, done: (reply: HeartbeatReply) => void): void {
    const existing = this.#groups.get(request.groupId)
    if (existing === undefined && request.memberEpoch !== JOIN_EPOCH) {
      return done(refused({ errorCode: KafkaError.GROUP_ID_NOT_FOUND, message: `Group ${request.groupId} not found.` }))
    }
    this.#consumers.heartbeat(existing ?? this.getOrCreate(request.groupId), request, done)
  }

  /** Whether these offsets may be committed to a consumer group: an error code. */
  admitConsumerCommit(group: ConsumerGroup, memberId: string, memberEpoch: number, knowsEpochs: boolean, commits: readonly OffsetCommit[]): number {
    const partitions = commits.map(({ partition, value }) => ({ topicId: value.topicId, partition }))
    return admitConsumerCommit(group, { memberId, memberEpoch, knowsEpochs }, partitions)
  }

  /** Writes offsets down; they are seen once they are durable. */
  commit(groupId: string, commits: readonly OffsetCommit[], done: (errorCode: number) => void): void {
    const records = commits.map(({ topic, partition, value }) => offsetRecord(groupId, topic, partition, value))
    this.#write(this.getOrCreate(groupId), records, {
      apply: (recordOffset) => {
        // After a timeout the group may have been forgotten before its records became durable.
        const { offsets } = this.getOrCreate(groupId)
        for (const { topic, partition, value } of commits) {
          offsets.set(topic, partition, value)
          this.#pending.overtake(groupId, topic, partition, recordOffset)
        }
        this.#options.metrics.offsetsCommitted?.(commits.length)
      },
      done,
    })
  }

  /** Writes offsets down that count once the transaction commits that the producer has open. */
  commitTransactional(groupId: string, producer: Producer, commits: readonly OffsetCommit[], done: (errorCode: number) => void): void {
    const records = commits.map(({ topic, partition, value }) => offsetRecord(groupId, topic, partition, value))
    const entry = this.getOrCreate(groupId)
    this.#write(entry, records, {
      producer,
      apply: (recordOffset) => {
        this.getOrCreate(groupId)
        for (const { topic, partition, value } of commits) {
          this.#pending.add(producer.producerId, { group: groupId, topic, partition, value, recordOffset })
        }
        this.#options.metrics.offsetsCommitted?.(commits.length)
      },
      done: (errorCode) => {
        if (errorCode !== KafkaError.NONE) this.#forgetIfUnused(entry)
        done(errorCode)
      },
    })
  }

  /** Ends a transaction: its offsets count, or are dropped, once the marker is durable. The marker is appended before this returns. */
  endTransaction(marker: TransactionMarker, done: (errorCode: number) => void): void {
    const { producerId, committed } = marker
    this.#records.end(marker, {
      apply: () => {
        const groups = this.#pending.end(producerId, committed, ({ group, topic, partition, value }) => {
          this.getOrCreate(group).offsets.set(topic, partition, value)
        })
        for (const groupId of groups) {
          const entry = this.#groups.get(groupId)
          if (entry !== undefined) this.#forgetIfUnused(entry)
        }
      },
      done,
    })
  }

  /** Deletes offsets, pending ones too, and the group if `withGroup` and nobody has joined by the time this is durable. */
  remove(entry: GroupEntry, places: readonly OffsetPlace[], withGroup: boolean, done: (errorCode: number) => void): void {
    const { id } = entry.group
    const records: RecordBytes[] = places.map(({ topic, partition }) => offsetRecord(id, topic, partition, null))
    const tombstone = withGroup && entry.persisted
    if (tombstone) records.push(groupRecord(id, null))
    const { consumer } = entry
    if (withGroup && consumer !== null) {
      records.push(...consumerTombstones(consumer))
      entry.consumer = null
    }
    const apply = (): void => {
      if (withGroup) entry.consumerRecords.clear()
      for (const { topic, partition } of places) {
        entry.offsets.delete(topic, partition)
        this.#pending.delete(id, topic, partition)
      }
      if (tombstone) entry.durable = null
      const unused = isFree(entry) && entry.consumer === null && entry.offsets.size === 0 && !this.#pending.hasGroup(id)
      if (withGroup && unused && entry.writes <= 1) this.#drop(entry)
    }
    if (withGroup) entry.persisted = false
    this.#write(entry, records, {
      apply,
      done: (errorCode) => {
        if (consumer !== null && withGroup) this.#consumers.settle(entry, errorCode)
        done(errorCode)
      },
    })
  }

  /** Calls back when every write so far is durable or has failed. */
  barrier(done: (errorCode: number) => void): void {
    this.#records.barrier(done)
  }

  /** Everybody who waits is sent to find the coordinator anew. Writes on their way are finished if the partition is still ours. */
  close(errorCode: number, stillOurs: boolean): void {
    if (this.#closed) return
    this.#closed = true
    if (stillOurs) this.#records.refuse()
    else this.#records.close()
    for (const entry of this.#groups.values()) {
      entry.timer?.cancel()
      entry.timer = null
      for (const effect of step(entry.group, { kind: 'unload', errorCode }, this.now(), this.#options.limits)) this.#perform(entry, effect)
    }
    this.#groups.clear()
  }

  /**
   * Folds the partition into memory. Members come back in the generation that was written down last, with fresh sessions.
   *
   * @throws Error when the partition cannot be read
   */
  async load(): Promise<void> {
    const { env, log, metrics } = this.#options
    const startedMs = env.clock.monotonic()
    const { offsets, metadata, consumers, pending, damaged } = await this.#read()
    if (damaged > 0) log.warn({ records: damaged }, 'records of __consumer_offsets could not be read')
    const now = this.now()
    for (const [groupId, value] of metadata) {
      if (value === null) continue
      const entry = this.#add(groupFromMetadata(groupId, value, now), offsets.get(groupId))
      entry.persisted = true
      entry.durable = value
    }
    for (const [groupId, records] of consumers) {
      if (records.size > 0) this.#restoreConsumer(groupId, records, offsets.get(groupId))
    }
    for (const [groupId, table] of offsets) {
      if (table.size > 0 && !this.#groups.has(groupId)) this.#add(newGroup(groupId, now.wallMs), table)
    }
    this.#pending = pending
    for (const groupId of pending.groups()) this.getOrCreate(groupId)
    for (const entry of this.#groups.values()) this.#resume(entry)
    metrics.partitionLoaded?.(env.clock.monotonic() - startedMs)
    this.#considerSnapshot()
  }

  /**
   * The state that the log adds up to. The table keeps no markers, so who reads while the log is flushed may find offsets of a transaction and
   * miss its end; they are read again, as what became of them.
   */
  async #read(): Promise<LogState> {
    const { partitionLog } = this.#options
    for (let loads = 0; loads < LOADS_MAX; loads++) {
      const state = new LogState()
      await this.#records.read(await this.#loadSnapshot((cursor) => state.record(cursor)), state)
      const open = Array.from(state.pending.producers(), ({ producerId, firstOffset }) => {
        const begin = partitionLog.openTransaction(producerId)
        return begin !== null && begin <= firstOffset
      })
      if (open.every(Boolean)) return state
    }
    throw new Error(`offsets partition ${partitionLog.partition} has offsets of transactions that are not open`)
  }

  /** Sets the timer of a group that was loaded. Rebalances that were due are begun. */
  #resume(entry: GroupEntry): void {
    const { durable, group } = entry
    this.#arm(entry)
    if (entry.consumer !== null || durable === null) return
    if (awaitsRebalance(durable)) this.dispatch(entry, { kind: 'rebalance', why: 'the group was on its way back to the classic protocol' })
    else if (group.members.size > this.#options.limits.maxSize) this.dispatch(entry, { kind: 'rebalance', why: 'the group is over its limit' })
  }

  /** The offset from which the log has to be read, with what is below it visited. */
  async #loadSnapshot(visit: (cursor: RecordCursor) => void): Promise<number> {
    const { env, partitionLog, snapshots, log } = this.#options
    if (snapshots === null) return 0
    const { topicId, partition } = partitionLog
    try {
      const bytes = await snapshots.load(topicId, partition)
      return (bytes && readSnapshot(bytes, partitionLog, env.clock.now(), visit)) ?? 0
    } catch (error) {
      log.warn({ partition, err: error }, 'a snapshot of groups could not be loaded; the log is read instead')
      return 0
    }
  }

  /**
   * Takes a snapshot when there is more log behind the last one than there is state, so that its cost is a share of the writing. Pending offsets
   * are not in it: the log is then read from where the first of them stands, and to read again what the snapshot has already changes nothing.
   */
  #considerSnapshot(): void {
    const { env, snapshots, snapshotLimits } = this.#options
    if (snapshots === null || this.#snapshotRunning || this.#closed) return
    const applied = this.#records.applied()
    if (applied === null || applied.records < snapshotLimits.recordsMin) return
    const nowMs = env.clock.monotonic()
    if (nowMs - this.#snapshotAtMs < snapshotLimits.intervalMs || applied.records < this.#liveRecords()) return
    this.#snapshotAtMs = nowMs
    this.#snapshotRunning = true
    this.#records.resetAppliedRecords()
    const nextOffset = Math.min(applied.nextOffset, this.#pending.firstOffset ?? Infinity)
    void this.#snapshot(snapshots, nextOffset).finally(() => (this.#snapshotRunning = false))
  }

  async #snapshot(snapshots: GroupSnapshots, nextOffset: number): Promise<void> {
    const { env, partitionLog, defer, log } = this.#options
    const { topicId, partition } = partitionLog
    const takenAtMs = env.clock.now()
    try {
      // The state is pinned here, by reference; encoding it takes its time.
      const records = this.#stateRecords()
      const pause = (): Promise<void> => new Promise((resolve) => defer(resolve))
      const body = await encodeSnapshot({ topicId, partition, nextOffset, takenAtMs }, records, pause)
      if (!this.#closed) await snapshots.save(topicId, partition, body)
    } catch (error) {
      log.warn({ partition, err: error }, 'a snapshot of groups could not be saved')
    }
  }

  #liveRecords(): number {
    let live = 0
    for (const { offsets, durable, consumerRecords } of this.#groups.values()) {
      live += offsets.size + consumerRecords.size + (durable === null ? 0 : 1)
    }
    return live
  }

  /** What would rebuild the durable state, to be encoded later. */
  #stateRecords(): (() => RecordBytes)[] {
    const records: (() => RecordBytes)[] = []
    for (const [groupId, { offsets, durable, consumerRecords }] of this.#groups) {
      if (durable !== null) records.push(() => groupRecord(groupId, durable))
      for (const record of consumerRecords.values()) records.push(() => record)
      for (const [topic, partitions] of offsets.topics()) {
        for (const [partition, value] of partitions) records.push(() => offsetRecord(groupId, topic, partition, value))
      }
    }
    return records
  }

  #add(group: Group, offsets: OffsetTable = new OffsetTable()): GroupEntry {
    const entry = newEntry(group, offsets)
    this.#groups.set(group.id, entry)
    return entry
  }

  #drop(entry: GroupEntry): void {
    if (this.#groups.get(entry.group.id) === entry) this.#groups.delete(entry.group.id)
    entry.timer?.cancel()
    entry.timer = null
    entry.group.phase = 'Dead'
  }

  /** A group that exists in memory alone and that nobody is in: such as what is left of a join that was refused. */
  #forgetIfUnused(entry: GroupEntry): void {
    if (entry.persisted || entry.consumer !== null || entry.consumerRecords.size > 0) return
    if (isFree(entry) && entry.writes === 0 && entry.offsets.size === 0 && !this.#pending.hasGroup(entry.group.id)) this.#drop(entry)
  }

  #write(entry: GroupEntry, records: readonly RecordBytes[], on: Omit<Write, 'records'>): void {
    entry.writes++
    this.#records.append({
      ...on,
      records,
      done: (errorCode) => {
        entry.writes--
        on.done(errorCode)
      },
    })
  }

  #restoreConsumer(groupId: string, records: Map<string, RecordBytes>, offsets: OffsetTable | undefined): void {
    try {
      const consumer = this.#consumers.load(groupId, records.values())
      const entry = this.#groups.get(groupId) ?? this.#add(newGroup(groupId, this.now().wallMs), offsets)
      for (const [key, record] of records) entry.consumerRecords.set(key, record)
      entry.consumer = consumer
    } catch (error) {
      this.#options.log.warn({ group: groupId, err: error }, 'a consumer group could not be restored; its members have to join again')
    }
  }

  #touched(entry: GroupEntry): void {
    this.#arm(entry)
    this.#forgetIfUnused(entry)
  }

  #perform(entry: GroupEntry, effect: Effect): void {
    switch (effect.kind) {
      case 'joinReply':
        return effect.ticket(effect.reply)
      case 'syncReply':
        return effect.ticket(effect.reply)
      case 'leaveReply':
        return effect.done(effect.errorCodes)
      case 'persist':
        return this.#persist(entry, effect.value, effect.purpose)
      case 'note':
        return this.#note(entry.group, effect)
      default:
        return assertNever(effect)
    }
  }

  #persist(entry: GroupEntry, value: GroupMetadata, purpose: PersistPurpose): void {
    entry.persisted = true
    this.#write(entry, [groupRecord(entry.group.id, value)], {
      apply: () => {
        entry.durable = value
      },
      done: (errorCode) => {
        // A group that is too large to be written down is not the fault of its offsets.
        const code = errorCode === KafkaError.INVALID_COMMIT_OFFSET_SIZE ? KafkaError.UNKNOWN_SERVER_ERROR : errorCode
        if (!this.#closed) this.dispatch(entry, { kind: 'persisted', purpose, errorCode: code })
      },
    })
  }

  #note(group: Group, note: Effect & { kind: 'note' }): void {
    const { log, metrics } = this.#options
    if (note.text === 'stable') metrics.rebalanceCompleted?.()
    const fields: Record<string, unknown> = { group: group.id, generation: group.generation, members: group.members.size }
    if (note.memberId !== undefined) fields['member'] = note.memberId
    if (note.reason !== undefined) fields['reason'] = note.reason
    log.info(fields, `group: ${note.text}`)
  }

  /** Makes sure that a tick comes when the group's next deadline is due. A deadline that moved later costs nothing here. */
  #arm(entry: GroupEntry): void {
    const wakeAtMs = Math.min(entry.group.wakeAtMs, entry.consumer?.wakeAtMs ?? Infinity)
    if (wakeAtMs >= entry.timerAtMs || this.#closed || entry.group.phase === 'Dead') return
    entry.timer?.cancel()
    const { clock } = this.#options.env
    const nowMs = clock.monotonic()
    const delayMs = Math.min(Math.max(Math.ceil(wakeAtMs - nowMs), 0), TIMER_MAX_MS)
    entry.timerAtMs = nowMs + delayMs
    entry.timer = clock.schedule(delayMs, () => {
      entry.timer = null
      entry.timerAtMs = Infinity
      this.#consumers.expire(entry)
      this.dispatch(entry, { kind: 'tick' })
    })
  }
}
