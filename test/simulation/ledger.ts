/** What the outside world knows: what was sent, what was acknowledged, and what consumers have seen. Checkers compare everything with it. */
import type { RecordToEncode } from '../../protocol/records/encoder.ts'
import type { DecodedRecord } from '../../protocol/records/record.ts'
import type { TopicRecord } from '../../storage/journal/entries.ts'
import type { CompactionConfig } from '../../storage/partition/types.ts'
import { identityOf, shown } from './records.ts'
import { simulatedConfig } from './topic-config.ts'

export interface Sent {
  readonly producer: string
  /** Number of the record among those of its producer in this partition. */
  readonly index: number
  readonly timestamp: number
  readonly idempotent: boolean
  /** How often it was handed to a broker as a new batch (an idempotent retry is the same batch). */
  copies: number
}

interface Seen {
  readonly identity: string
  readonly timestamp: number
}

export class PartitionLedger {
  readonly topic: TopicLedger
  readonly partition: number
  readonly sent = new Map<string, Sent>()
  readonly acked = new Map<number, { readonly identity: string; readonly by: string }>()
  readonly seen = new Map<number, Seen>()
  /** Offsets that readers passed over in a compacted topic, and when they did so first, milliseconds of the wall clock. */
  readonly passedOver = new Map<number, number>()
  /** Consumers have seen records up to here. */
  seenEnd = 0
  /** Records below may be gone: somebody asked for their deletion. */
  mayBeginAt = 0
  /** Records below are gone: a broker said so. */
  beginsAt = 0
  readonly #fail: (what: string) => void

  constructor(topic: TopicLedger, partition: number, fail: (what: string) => void) {
    this.topic = topic
    this.partition = partition
    this.#fail = fail
  }

  get name(): string {
    return `${this.topic.record.name}/${this.partition}`
  }

  noteSent(producer: string, index: number, record: RecordToEncode, idempotent: boolean): void {
    const identity = identityOf(record)
    const known = this.sent.get(identity)
    if (known === undefined) this.sent.set(identity, { producer, index, timestamp: record.timestamp, idempotent, copies: 1 })
    else known.copies++
  }

  /** A broker has answered that these records are durable from `baseOffset` on. */
  noteAcked(baseOffset: number, records: readonly RecordToEncode[], by: string): void {
    for (const [i, record] of records.entries()) {
      const offset = baseOffset + i
      const identity = identityOf(record)
      const before = this.acked.get(offset)
      if (before !== undefined && before.identity !== identity) {
        this.#fail(`P3: ${this.name}@${offset} was acknowledged as ${shown(before.identity)} by ${before.by} and as ${shown(identity)} by ${by}`)
      }
      const seen = this.seen.get(offset)
      if (seen !== undefined && seen.identity !== identity) {
        this.#fail(`P2: ${this.name}@${offset} was seen as ${shown(seen.identity)} and acknowledged as ${shown(identity)} by ${by}`)
      }
      this.acked.set(offset, { identity, by })
    }
  }

  /** A consumer got this record. */
  noteSeen(record: DecodedRecord, where: string): void {
    const identity = identityOf(record)
    const { offset, timestamp } = record
    this.seenEnd = Math.max(this.seenEnd, offset + 1)
    const before = this.seen.get(offset)
    if (before !== undefined) {
      if (before.identity !== identity) this.#fail(`P2: ${this.name}@${offset} was ${shown(before.identity)} and is ${shown(identity)} ${where}`)
      if (before.timestamp !== timestamp) this.#fail(`P6: ${this.name}@${offset} had timestamp ${before.timestamp} and has ${timestamp} ${where}`)
      return
    }
    const sent = this.sent.get(identity)
    if (sent === undefined) return this.#fail(`P6: ${this.name}@${offset} is ${shown(identity)} ${where}, which nobody sent`)
    if (!this.topic.logAppendTime && sent.timestamp !== timestamp) {
      this.#fail(`P6: ${this.name}@${offset} was sent with timestamp ${sent.timestamp} and has ${timestamp} ${where}`)
    }
    const acked = this.acked.get(offset)
    if (acked !== undefined && acked.identity !== identity) {
      this.#fail(`P2: ${this.name}@${offset} was acknowledged as ${shown(acked.identity)} and is ${shown(identity)} ${where}`)
    }
    this.seen.set(offset, { identity, timestamp })
  }
}

export class TopicLedger {
  readonly record: TopicRecord
  readonly partitions: readonly PartitionLedger[]
  readonly logAppendTime: boolean
  /** Null where offsets have no gaps. */
  readonly compaction: CompactionConfig | null
  /** Age at which records may be gone, milliseconds; Infinity where none goes by its age. */
  readonly retentionMs: number
  /** Somebody asked for it; whether it has happened is in the journal. */
  deleteRequested = false

  constructor(record: TopicRecord, fail: (what: string) => void) {
    this.record = record
    const { compaction, retention, timestampType } = simulatedConfig(record.configs)
    this.logAppendTime = timestampType === 'LogAppendTime'
    this.compaction = compaction ?? null
    this.retentionMs = retention?.ms ?? Infinity
    this.partitions = Array.from({ length: record.partitions }, (_, partition) => new PartitionLedger(this, partition, fail))
  }
}
