/**
 * P4 and P7: the Delta table read without any code of ours that writes it. The log is folded from its JSON lines, and every file is decoded.
 * A version that moves the transaction of a partition on adds exactly the rows that this promises; one that does not adds no new row, and takes
 * none away but those of deleted records, and in a compacted topic those that need not stay (compacted.ts). At the end each committed record from the
 * start of the log on is there once.
 */
import { recordsOf } from '../../../protocol/records/record.ts'
import type { DecodedRecord } from '../../../protocol/records/record.ts'
import type { ReadBack } from '../read-back.ts'
import { identityOf, shown } from '../records.ts'
import type { World } from '../world.ts'
import { CompactedRows, checkCompacted } from './compacted.ts'

interface Add {
  readonly path: string
  readonly modificationTime: number
  readonly size: number
  readonly partitionValues: Readonly<Record<string, string>>
  readonly dataChange: boolean
  readonly stats: string
}

interface Action {
  readonly commitInfo?: { readonly timestamp: number }
  readonly txn?: { readonly appId: string; readonly version: number }
  readonly add?: Add
  readonly remove?: { readonly path: string; readonly dataChange: boolean }
}

/** `readBacks` are all partitions of one topic; `complete` when everything should be in the table. */
export async function checkTable(world: World, readBacks: readonly ReadBack[], complete: boolean): Promise<void> {
  const topic = readBacks[0]!.ledger.topic.record
  const prefix = `${topic.location}/_delta_log/`
  const table = new Table(world, topic.location, readBacks)
  let version = 0
  for (const { key } of await world.disk.memory.list(prefix, { limit: 1_000_000 })) {
    const name = /(\d{20})\.json$/.exec(key)
    if (name === null) continue
    if (Number(name[1]) !== version) return world.fail(`P7: ${topic.name} has version ${name[1]} where ${version} is due`)
    const lines = Buffer.from((await world.disk.memory.get(key))!).toString().split('\n').filter((line) => line !== '')
    await table.apply(`${topic.name} version ${version}`, lines.map((line) => JSON.parse(line) as Action))
    version++
  }
  for (const readBack of readBacks) {
    table.checkEnd(readBack, complete)
    const rows = table.compacted.get(readBack.ledger.partition)
    if (rows !== undefined) checkCompacted(world, readBack, rows)
  }
}

class Table {
  readonly #world: World
  readonly #location: string
  readonly #readBacks: readonly ReadBack[]
  readonly #live = new Map<string, Add>()
  /** Per partition: where its transaction stands. */
  readonly #ends = new Map<number, number>()
  /** Per partition of a compacted topic: what was ever flushed. */
  readonly compacted = new Map<number, CompactedRows>()

  constructor(world: World, location: string, readBacks: readonly ReadBack[]) {
    this.#world = world
    this.#location = location
    this.#readBacks = readBacks
    for (const { ledger } of readBacks) if (ledger.topic.compaction !== null) this.compacted.set(ledger.partition, new CompactedRows(world, ledger))
  }

  async apply(where: string, actions: readonly Action[]): Promise<void> {
    const world = this.#world
    const added = new Map<number, DecodedRecord[]>()
    /** Offsets of rows, and when their files were written. */
    const removed = new Map<number, Map<number, number>>()
    const timestamp = actions.find(({ commitInfo }) => commitInfo !== undefined)!.commitInfo!.timestamp
    let mayDelete = false
    for (const { add, remove } of actions) {
      if (remove !== undefined) {
        const file = this.#live.get(remove.path)
        if (file === undefined) {
          world.fail(`P7: ${where} removes ${remove.path}, which is not live`)
          continue
        }
        this.#live.delete(remove.path)
        mayDelete ||= remove.dataChange
        const offsets = removed.get(partitionOf(file)) ?? new Map<number, number>()
        removed.set(partitionOf(file), offsets)
        for (const { offset } of await rowsOf(world, this.#location, where, file)) offsets.set(offset, file.modificationTime)
      }
      if (add === undefined) continue
      if (this.#live.has(add.path)) world.fail(`P4: ${where} adds ${add.path} again`)
      this.#live.set(add.path, add)
      added.set(partitionOf(add), [...(added.get(partitionOf(add)) ?? []), ...(await rowsOf(world, this.#location, where, add))])
    }
    const cleaned: [number, number][] = []
    for (const { txn } of actions) {
      if (txn === undefined) continue
      const [, partition = '', job] = /^bayou\/[^/]+\/(\d+)(?:\/(\w+))?$/.exec(txn.appId) ?? []
      if (job === 'compacted') {
        cleaned.push([Number(partition), txn.version])
        continue
      }
      this.#flushed(where, Number(partition), txn.version, added.get(Number(partition)) ?? [], timestamp)
      added.delete(Number(partition))
    }
    for (const [partition, rows] of added) this.#moved(where, partition, rows, removed.get(partition) ?? new Map<number, number>())
    for (const [partition, offsets] of removed) this.#deleted(where, partition, offsets, mayDelete, timestamp)
    for (const [partition, offset] of cleaned) this.compacted.get(partition)?.cleaned(where, offset, timestamp)
  }

  /** The rows that a transaction promises, and no others. */
  #flushed(where: string, partition: number, to: number, rows: readonly DecodedRecord[], timestamp: number): void {
    const from = this.#ends.get(partition) ?? 0
    this.#ends.set(partition, to)
    const world = this.#world
    const readBack = this.#of(partition)
    const { name } = readBack.ledger
    if (rows.length !== to - from) world.fail(`P4: ${where}: ${rows.length} rows take ${name} from ${from} to ${to}`)
    const sorted = rows.toSorted((a, b) => a.offset - b.offset)
    for (const [i, row] of sorted.entries()) {
      if (row.offset !== from + i) return world.fail(`P4: ${where}: ${name} has a row ${row.offset} where ${from + i} is due`)
      this.#compare(where, row, readBack)
      this.compacted.get(partition)?.flushed(row, timestamp)
    }
  }

  /** Rows that were written anew must have been there before. */
  #moved(where: string, partition: number, rows: readonly DecodedRecord[], removed: Map<number, number>): void {
    const readBack = this.#of(partition)
    for (const row of rows) {
      if (!removed.delete(row.offset)) return this.#world.fail(`P4: ${where} adds row ${row.offset} of ${readBack.ledger.name} without a transaction`)
      this.#compare(where, row, readBack)
    }
  }

  /** What is left of the removed rows is deleted. */
  #deleted(where: string, partition: number, offsets: ReadonlyMap<number, number>, mayDelete: boolean, timestamp: number): void {
    const { ledger } = this.#of(partition)
    const compacted = this.compacted.get(partition)
    if (mayDelete && compacted !== undefined) return compacted.removed(where, offsets, timestamp)
    for (const offset of offsets.keys()) {
      if (!mayDelete) return this.#world.fail(`P7: ${where} moves rows of ${ledger.name}, and row ${offset} is gone`)
      if (offset >= ledger.mayBeginAt) return this.#world.fail(`P4: ${where}: row ${offset} of ${ledger.name} is gone, which nobody deleted`)
    }
  }

  #compare(where: string, row: DecodedRecord, { ledger, at, end }: ReadBack): void {
    if (row.offset >= end) return this.#world.fail(`P4: ${where}: ${ledger.name}@${row.offset} is in the table and was never committed`)
    const record = at.get(row.offset)
    if (record === undefined) return
    if (identityOf(row) !== identityOf(record)) {
      this.#world.fail(`P6: ${where}: ${ledger.name}@${row.offset} is ${shown(identityOf(record))} in the log and ${shown(identityOf(row))} in the table`)
    }
    if (row.timestamp !== record.timestamp) {
      this.#world.fail(`P6: ${where}: ${ledger.name}@${row.offset} has timestamp ${row.timestamp} instead of ${record.timestamp}`)
    }
  }

  checkEnd({ ledger, start, at, end }: ReadBack, complete: boolean): void {
    const flushed = this.#ends.get(ledger.partition) ?? 0
    if (flushed > end || (complete && flushed !== end)) this.#world.fail(`P4: the table of ${ledger.name} ends at ${flushed}, the log at ${end}`)
    const counts = new Map<number, number>()
    for (const add of this.#live.values()) {
      if (partitionOf(add) !== ledger.partition) continue
      for (const { offset } of known.get(this.#world)!.get(`${this.#location}/${add.path}`)!) counts.set(offset, (counts.get(offset) ?? 0) + 1)
    }
    for (const [offset, count] of counts) {
      if (count > 1 || (offset >= start && !at.has(offset))) return this.#world.fail(`P4: the table has ${count} rows of ${ledger.name}@${offset}, which is ${at.has(offset) ? '' : 'not '}served`)
    }
    for (let offset = start; offset < flushed && ledger.topic.compaction === null; offset++) {
      if (counts.get(offset) !== 1) return this.#world.fail(`P4: the table has ${counts.get(offset) ?? 0} rows of ${ledger.name}@${offset}`)
    }
  }

  #of(partition: number): ReadBack {
    return this.#readBacks.find(({ ledger }) => ledger.partition === partition)!
  }
}

function partitionOf(add: Add): number {
  return Number(add.partitionValues['partition'])
}

/** Rows of files that were looked at before, by key: a file never changes. */
const known = new WeakMap<World, Map<string, readonly DecodedRecord[]>>()

async function rowsOf(world: World, location: string, where: string, add: Add): Promise<readonly DecodedRecord[]> {
  const files = known.get(world) ?? new Map<string, readonly DecodedRecord[]>()
  known.set(world, files)
  const key = `${location}/${add.path}`
  let records = files.get(key)
  if (records === undefined) {
    records = await decodeRows(world, location, where, add)
    files.set(key, records)
  }
  return records
}

async function decodeRows(world: World, location: string, where: string, add: Add): Promise<DecodedRecord[]> {
  const file = await world.disk.memory.get(`${location}/${decodeURIComponent(add.path)}`)
  if (file === null) {
    world.fail(`P7: ${where}: ${add.path} is gone`)
    return []
  }
  if (file.byteLength !== add.size) world.fail(`P7: ${where}: ${add.path} has ${file.byteLength} bytes instead of ${add.size}`)
  const { batches } = await world.parquet.decode({ file, fromOffset: 0, maxBytes: Number.MAX_SAFE_INTEGER })
  const records = batches.flatMap(({ bytes }) => recordsOf(bytes))
  const stats = JSON.parse(add.stats) as { numRecords: number; minValues: { offset: number }; maxValues: { offset: number } }
  const offsets = records.map(({ offset }) => offset)
  if (stats.numRecords !== records.length || stats.minValues.offset !== Math.min(...offsets) || stats.maxValues.offset !== Math.max(...offsets)) {
    world.fail(`P7: ${where}: the statistics of ${add.path} are wrong: ${add.stats}`)
  }
  return records
}
