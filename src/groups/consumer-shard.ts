/**
 * The consumer groups of one partition of `__consumer_offsets`: hands requests of either protocol to the state machine, writes down what it
 * says before anybody is answered, and swaps the group where it changes its protocol. What could not be written never was: the group is then
 * again what its records say.
 */
import { KafkaError } from '../../protocol/errors.ts'
import { heartbeatClassic, joinClassic, lastToBeReplaced, leaveClassic, syncClassic } from './consumer/classic-members.ts'
import { dismiss } from './consumer/arrivals.ts'
import { expire, heartbeat, leave, refused } from './consumer/consumer-group.ts'
import type { Note } from './consumer/consumer-group.ts'
import { newConsumerGroup } from './consumer/membership.ts'
import { consumerGroupFrom, consumerTombstones } from './consumer/records.ts'
import type { TopicMatchers } from './consumer/topic-matchers.ts'
import { JOIN_EPOCH } from './consumer/types.ts'
import type { ConsumerGroup, ConsumerLimits, ConsumerWorld, HeartbeatReply, HeartbeatRequest } from './consumer/types.ts'
import { failedJoin, failedSync } from './group.ts'
import type { GroupEntry } from './group-entry.ts'
import { groupFromMetadata, newGroup } from './membership.ts'
import { consumerGroupRecords, downgraded, downgradedMetadata, upgraded } from './migration.ts'
import type { GroupLogger, TopicIndex } from './ports.ts'
import { groupRecord, isClassicGroupKey, recordKey } from './records.ts'
import type { RecordBytes } from './records.ts'
import type { Write } from './record-log.ts'
import type { GroupEvent, JoinEvent, LeavingMember, Now, SyncEvent } from './types.ts'

/** What consumer groups need from the shard that they are in. */
export interface ConsumerShardOptions {
  readonly log: GroupLogger
  readonly topics: TopicIndex
  readonly matchers: TopicMatchers
  /** They differ from group to group: some are configs of the group. */
  readonly limitsOf: (groupId: string) => ConsumerLimits
  readonly now: () => Now
  readonly closed: () => boolean
  readonly write: (entry: GroupEntry, records: readonly RecordBytes[], on: Pick<Write, 'apply' | 'done'>) => void
  /** Hands an event to the classic group and does what follows. */
  readonly dispatch: (entry: GroupEntry, event: GroupEvent) => void
  /** Sets the timer of the group and forgets the group where it is of no use. */
  readonly touched: (entry: GroupEntry) => void
}

export class ConsumerShard {
  readonly #options: ConsumerShardOptions

  constructor(options: ConsumerShardOptions) {
    this.#options = options
  }

  /** A heartbeat of the consumer protocol. A classic group that a member of the consumer protocol joins becomes a consumer group. */
  heartbeat(entry: GroupEntry, request: HeartbeatRequest, done: (reply: HeartbeatReply) => void): void {
    const world = this.#world(entry)
    const refuse = (errorCode: number, message: string): void => done(refused({ errorCode, message }))
    if (entry.consumerLost) return refuse(KafkaError.COORDINATOR_NOT_AVAILABLE, 'The group is being restored.')
    const group = entry.consumer ?? converted(entry, request, world)
    if (typeof group === 'string') return refuse(KafkaError.GROUP_ID_NOT_FOUND, group)
    const conversion = entry.consumer === null && group.members.size > 0 ? consumerGroupRecords(group, world.now.wallMs) : []
    const { reply, records, downgrades } = request.memberEpoch < JOIN_EPOCH ? leave(group, request, world.limits) : heartbeat(group, request, world)
    const replied = (errorCode: number): void => {
      if (errorCode === KafkaError.NONE) done(reply)
      else refuse(errorCode, 'The coordinator could not write the group down.')
    }
    if (entry.consumer === null) {
      if (reply.errorCode !== KafkaError.NONE) done(reply)
      else this.#upgrade(entry, group, [...conversion, ...records], replied)
    } else if (downgrades) {
      this.#downgrade(entry, records, replied)
    } else {
      this.#answer(entry, records, replied)
    }
    this.#options.touched(entry)
  }

  /**
   * A JoinGroup to a consumer group with members. False when the group has become a classic one by it, which is to deal with the JoinGroup:
   * the last member of the consumer protocol was static and has come back with the classic one.
   */
  join(entry: GroupEntry, group: ConsumerGroup, event: JoinEvent): boolean {
    const world = this.#world(entry)
    const replaced = lastToBeReplaced(group, event, world.limits)
    if (replaced !== null) {
      const records: RecordBytes[] = []
      if (dismiss(group, [replaced], world.limits, records)) this.#downgrade(entry, records, () => {})
      else this.#write(entry, records, () => {})
      return false
    }
    const { reply, records } = joinClassic(group, event, world)
    this.#answer(entry, records, (errorCode) => event.ticket(errorCode === KafkaError.NONE ? reply : failedJoin(event.memberId, errorCode)))
    this.#options.touched(entry)
    return true
  }

  sync(entry: GroupEntry, group: ConsumerGroup, event: SyncEvent): void {
    const reply = syncClassic(group, event, this.#world(entry))
    this.#answer(entry, [], (errorCode) => event.ticket(errorCode === KafkaError.NONE ? reply : failedSync(errorCode)))
    this.#options.touched(entry)
  }

  heartbeatClassic(
    entry: GroupEntry,
    group: ConsumerGroup,
    member: { readonly memberId: string; readonly instanceId: string | null; readonly generation: number },
  ): Promise<number> {
    const { reply, records } = heartbeatClassic(group, member, this.#world(entry))
    this.#options.touched(entry)
    return new Promise((done) => this.#answer(entry, records, (errorCode) => done(errorCode === KafkaError.NONE ? reply : errorCode)))
  }

  leave(entry: GroupEntry, group: ConsumerGroup, members: readonly LeavingMember[], done: (errorCodes: readonly number[]) => void): void {
    const { reply, records, downgrades } = leaveClassic(group, members, this.#world(entry).limits)
    for (const [i, { memberId, reason }] of members.entries()) {
      if (reply[i] === KafkaError.NONE) this.#note(group, { text: 'member left', memberId, reason: reason ?? 'not provided' })
    }
    const replied = (errorCode: number): void => done(errorCode === KafkaError.NONE ? reply : members.map(() => errorCode))
    if (downgrades) this.#downgrade(entry, records, replied)
    else this.#answer(entry, records, replied)
    this.#options.touched(entry)
  }

  /** Removes members whose time is over. */
  expire(entry: GroupEntry): void {
    const { consumer } = entry
    if (consumer === null) return
    const { now, limits } = this.#world(entry)
    const { records, notes, downgrades } = expire(consumer, now, limits)
    for (const note of notes) this.#note(consumer, note)
    if (downgrades) this.#downgrade(entry, records, () => {})
    else if (records.length > 0) this.#write(entry, records, () => {})
  }

  /** A consumer group without members makes way for a classic one and leaves it its offsets. */
  vacate(entry: GroupEntry, consumer: ConsumerGroup): void {
    entry.consumer = null
    entry.consumerLost = false
    this.#write(entry, consumerTombstones(consumer), () => {})
  }

  /**
   * The consumer group that these records of a group add up to; null when they are none.
   *
   * @throws ProtocolError for damaged records
   */
  load(groupId: string, records: Iterable<RecordBytes>): ConsumerGroup | null {
    const { now, limitsOf } = this.#options
    return consumerGroupFrom(groupId, records, now(), limitsOf(groupId))
  }

  /** To be called when a write that concerned a consumer group has ended. */
  settle(entry: GroupEntry, errorCode: number): void {
    const { closed, now, dispatch, touched } = this.#options
    // After a timeout the records may still arrive; after anything else they will not.
    if (errorCode !== KafkaError.NONE && errorCode !== KafkaError.COORDINATOR_NOT_AVAILABLE) entry.consumerLost = true
    if (!entry.consumerLost || entry.writes > 0 || closed()) return
    entry.consumerLost = false
    const { durable } = entry
    const { id } = entry.group
    dispatch(entry, { kind: 'unload', errorCode: KafkaError.COORDINATOR_NOT_AVAILABLE })
    entry.consumer = this.load(id, entry.consumerRecords.values())
    entry.group = entry.consumer === null && durable !== null ? groupFromMetadata(id, durable, now()) : newGroup(id, now().wallMs)
    entry.persisted = durable !== null
    touched(entry)
  }

  /** The classic group makes way, and leaves its offsets. Its members who wait for a rebalance are to join again. */
  #upgrade(entry: GroupEntry, consumer: ConsumerGroup, records: readonly RecordBytes[], done: (errorCode: number) => void): void {
    const tombstone = entry.persisted ? [groupRecord(entry.group.id, null)] : []
    if (entry.group.members.size > 0) this.#note(consumer, { text: 'upgraded from a classic group' })
    this.#options.dispatch(entry, { kind: 'unload', errorCode: KafkaError.REBALANCE_IN_PROGRESS })
    entry.group = newGroup(entry.group.id, this.#options.now().wallMs)
    entry.persisted = false
    entry.consumer = consumer
    this.#write(entry, [...tombstone, ...records], done)
  }

  /** The consumer group makes way, with all of its records; the members rebalance among themselves. */
  #downgrade(entry: GroupEntry, records: readonly RecordBytes[], done: (errorCode: number) => void): void {
    const consumer = entry.consumer as ConsumerGroup
    const group = downgraded(consumer, this.#world(entry))
    const value = downgradedMetadata(group)
    entry.consumer = null
    entry.group = group
    entry.persisted = true
    this.#note(consumer, { text: 'downgraded to a classic group' })
    this.#options.write(entry, [...records, ...consumerTombstones(consumer), groupRecord(group.id, value)], {
      apply: () => {
        entry.consumerRecords.clear()
        entry.durable = value
      },
      done: (errorCode) => this.#written(entry, errorCode, done),
    })
    this.#options.dispatch(entry, { kind: 'rebalance', why: 'the last member of the consumer protocol is gone' })
  }

  /** Whoever asks while a change is on its way sees it, and must not be told before it is durable. */
  #answer(entry: GroupEntry, records: readonly RecordBytes[], done: (errorCode: number) => void): void {
    if (records.length > 0 || entry.writes > 0) this.#write(entry, records, done)
    else done(KafkaError.NONE)
  }

  #write(entry: GroupEntry, records: readonly RecordBytes[], done: (errorCode: number) => void): void {
    this.#options.write(entry, records, {
      apply: () => {
        for (const record of records) fold(record, entry)
      },
      done: (errorCode) => this.#written(entry, errorCode, done),
    })
  }

  #written(entry: GroupEntry, errorCode: number, done: (errorCode: number) => void): void {
    this.settle(entry, errorCode)
    done(errorCode === KafkaError.INVALID_COMMIT_OFFSET_SIZE ? KafkaError.UNKNOWN_SERVER_ERROR : errorCode)
  }

  #world({ group }: GroupEntry): ConsumerWorld {
    const { now, limitsOf, topics, matchers } = this.#options
    return { now: now(), limits: limitsOf(group.id), topics, matchers }
  }

  #note(group: ConsumerGroup, { text, memberId, reason }: Note): void {
    const fields: Record<string, unknown> = { group: group.id, epoch: group.epoch, members: group.members.size }
    if (memberId !== undefined) fields['member'] = memberId
    if (reason !== undefined) fields['reason'] = reason
    this.#options.log.info(fields, `consumer group: ${text}`)
  }
}

/** The consumer group that a classic group becomes for a member of the consumer protocol; or why it does not. */
function converted({ group }: GroupEntry, { memberEpoch }: HeartbeatRequest, world: ConsumerWorld): ConsumerGroup | string {
  if (memberEpoch !== JOIN_EPOCH) return `Group ${group.id} is not a consumer group.`
  return group.phase === 'Empty' ? newConsumerGroup(group.id) : upgraded(group, world)
}

/** A durable record of a consumer group, or the tombstone of the classic group that it replaced. */
function fold(record: RecordBytes, entry: GroupEntry): void {
  if (isClassicGroupKey(record.key)) entry.durable = null
  else if (record.value === null) entry.consumerRecords.delete(recordKey(record.key))
  else entry.consumerRecords.set(recordKey(record.key), record)
}
