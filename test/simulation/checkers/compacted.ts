/**
 * Compaction by key: of each key the newest record stays, whatever happened. A row leaves the table only when a later row of its key is in it, or when it is
 * a tombstone that has stayed for its time and below which nothing of its key is left; records below the log start go too. What readers passed over
 * had left the table by then. Together: whoever reads from the beginning ends with the newest value of every key.
 */
import type { DecodedRecord } from '../../../protocol/records/record.ts'
import type { PartitionLedger } from '../ledger.ts'
import type { ReadBack } from '../read-back.ts'
import { identityOf, shown } from '../records.ts'
import { simEpochMs } from '../sim-env.ts'
import type { World } from '../world.ts'

interface Row {
  readonly record: DecodedRecord
  readonly key: string
  /** Of the commit, milliseconds of the wall clock. */
  readonly flushedAtMs: number
  removedAtMs: number
}

/** All rows that a partition ever had, version by version of its table. */
export class CompactedRows {
  readonly all = new Map<number, Row>()
  readonly #world: World
  readonly #ledger: PartitionLedger
  /** By key, in the order of their offsets. */
  readonly #byKey = new Map<string, Row[]>()
  #cleanedOffset = 0

  constructor(world: World, ledger: PartitionLedger) {
    this.#world = world
    this.#ledger = ledger
  }

  flushed(record: DecodedRecord, flushedAtMs: number): void {
    const { name } = this.#ledger
    const key = Buffer.from(record.key ?? '').toString('latin1')
    if (record.key === null) this.#world.fail(`compaction: ${name}@${record.offset} has no key`)
    const row: Row = { record, key, flushedAtMs, removedAtMs: Infinity }
    this.all.set(record.offset, row)
    const rows = this.#byKey.get(key)
    if (rows === undefined) this.#byKey.set(key, [row])
    else rows.push(row)
    const identity = identityOf(record)
    for (const known of [this.#ledger.acked.get(record.offset), this.#ledger.seen.get(record.offset)]) {
      if (known !== undefined && known.identity !== identity) this.#world.fail(`P6: ${name}@${record.offset} is ${shown(known.identity)} and ${shown(identity)} in the table`)
    }
  }

  /** A commit without these rows. @param writtenAtMs by offset: when the file was written that held the row */
  removed(where: string, writtenAtMs: ReadonlyMap<number, number>, atMs: number): void {
    const { name } = this.#ledger
    for (const offset of writtenAtMs.keys()) this.all.get(offset)!.removedAtMs = atMs
    for (const [offset, fileMs] of writtenAtMs) {
      const row = this.all.get(offset)!
      this.#world.count('compacted rows')
      if (this.mayBeDeleted(row, atMs) || this.successorOf(row, atMs) !== undefined) continue
      const fail = (why: string): void => this.#world.fail(`compaction: ${where}: ${name}@${offset}, the newest of its key, is gone: ${why}`)
      if (row.record.value !== null) {
        fail('it is no tombstone')
        continue
      }
      this.#world.count('tombstones dropped')
      if (offset >= this.#cleanedOffset) fail(`it is not below ${this.#cleanedOffset}, up to where the table was clean`)
      if (atMs - fileMs < this.#ledger.topic.compaction!.deleteRetentionMs) fail(`a tombstone, after ${atMs - fileMs} ms`)
      const older = this.#byKey.get(row.key)!.find((other) => other.record.offset < offset && this.#isLeft(other, atMs))
      if (older !== undefined) fail(`a tombstone, and ${older.record.offset} is left`)
    }
  }

  /** What is below the log start may still wait for its deletion. */
  #isLeft(row: Row, atMs: number): boolean {
    return row.removedAtMs === Infinity && !this.mayBeDeleted(row, atMs)
  }

  /** A commit says that keys are distinct below an offset. */
  cleaned(where: string, offset: number, atMs: number): void {
    this.#cleanedOffset = offset
    for (const rows of this.#byKey.values()) {
      const left = rows.filter((row) => row.record.offset < offset && this.#isLeft(row, atMs))
      if (left.length > 1) this.#world.fail(`compaction: ${where}: ${this.#ledger.name} is clean below ${offset}, and ${left.map((row) => row.record.offset).join()} have one key`)
    }
  }

  /** A later row of the key that was in the table at a time. */
  successorOf(row: Row, atMs: number): Row | undefined {
    return this.#byKey.get(row.key)!.findLast((other) => other.record.offset > row.record.offset && other.flushedAtMs <= atMs)
  }

  /** Whether DeleteRecords or retention may have taken it by then. Retention looks at whole files, which are as old as the newest record that is left in them. */
  mayBeDeleted({ record }: Row, atMs: number): boolean {
    const { mayBeginAt, topic } = this.#ledger
    return record.offset < mayBeginAt || record.timestamp < atMs - topic.retentionMs
  }
}

export function checkCompacted(world: World, { ledger, start, at, end }: ReadBack, rows: CompactedRows): void {
  const nowMs = simEpochMs + world.env.nowMs
  for (const [offset, row] of rows.all) {
    if (at.has(offset) || rows.mayBeDeleted(row, nowMs) || rows.successorOf(row, nowMs) !== undefined) continue
    if (offset < start) world.fail(`compaction: ${ledger.name} begins at ${start}, and nobody deleted ${offset}`)
    else if (row.removedAtMs === Infinity) world.fail(`compaction: ${ledger.name}@${offset} is in the table and not served`)
  }
  for (const [offset, atMs] of ledger.passedOver) {
    const row = rows.all.get(offset)
    if (row === undefined) world.fail(`P1: ${ledger.name}@${offset} was passed over and never in the table; the log ends at ${end}`)
    else if (!(row.removedAtMs <= atMs || rows.mayBeDeleted(row, atMs))) world.fail(`compaction: ${ledger.name}@${offset} was passed over while it was in the table`)
  }
  for (const [what, known] of [['acknowledged', ledger.acked], ['seen', ledger.seen]] as const) {
    for (const [offset, { identity }] of known) {
      if (offset >= start && !at.has(offset) && !rows.all.has(offset)) world.fail(`P1: ${ledger.name}@${offset} was ${what} as ${shown(identity)} and is lost; the log ends at ${end}`)
    }
  }
}
