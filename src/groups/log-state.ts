/** What the records of one partition of `__consumer_offsets` add up to, read in the order of the log. */
import { NO_PRODUCER_ID } from '../../protocol/records/batch.ts'
import type { RecordCursor } from '../../protocol/records/record.ts'
import { OffsetTable } from './offset-table.ts'
import { PendingOffsets } from './pending-offsets.ts'
import type { LogVisitor } from './record-log.ts'
import { decodeGroupRecord, recordKey } from './records.ts'
import type { GroupRecord, RecordBytes } from './records.ts'
import type { GroupMetadata } from './types.ts'

export class LogState implements LogVisitor {
  readonly offsets = new Map<string, OffsetTable>()
  /** Classic groups; null for one that was deleted. */
  readonly metadata = new Map<string, GroupMetadata | null>()
  /** The records of consumer groups by their keys. */
  readonly consumers = new Map<string, Map<string, RecordBytes>>()
  readonly pending = new PendingOffsets()
  /** How many records could not be read: one of them must not keep all groups of the partition from coming back. */
  damaged = 0

  record(cursor: RecordCursor, producerId: number = NO_PRODUCER_ID): void {
    try {
      this.#fold(cursor, producerId)
    } catch {
      this.damaged++
    }
  }

  transactionEnded(producerId: number, committed: boolean): void {
    this.pending.end(producerId, committed, ({ group, topic, partition, value }) => this.#tableOf(group).set(topic, partition, value))
  }

  #fold(cursor: RecordCursor, producerId: number): void {
    const key = cursor.key()
    if (key === null) return
    const value = cursor.value()
    const record = decodeGroupRecord(key, value)
    if (record === null) return
    if (record.kind === 'offset') return this.#foldOffset(record, producerId, cursor.offset)
    if (record.kind === 'group') {
      this.metadata.set(record.group, record.value)
      return
    }
    let records = this.consumers.get(record.group)
    if (records === undefined) this.consumers.set(record.group, (records = new Map()))
    if (value === null) records.delete(recordKey(key))
    else records.set(recordKey(key), { key: Uint8Array.from(key), value: Uint8Array.from(value) })
  }

  #foldOffset({ group, topic, partition, value }: GroupRecord & { kind: 'offset' }, producerId: number, recordOffset: number): void {
    if (value === null) {
      this.#tableOf(group).delete(topic, partition)
      this.pending.delete(group, topic, partition)
    } else if (producerId !== NO_PRODUCER_ID) {
      this.pending.add(producerId, { group, topic, partition, value, recordOffset })
    } else {
      this.#tableOf(group).set(topic, partition, value)
      this.pending.overtake(group, topic, partition, recordOffset)
    }
  }

  #tableOf(group: string): OffsetTable {
    let table = this.offsets.get(group)
    if (table === undefined) this.offsets.set(group, (table = new OffsetTable()))
    return table
  }
}
