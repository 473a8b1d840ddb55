/**
 * P4 and P7: the Delta table read without any code of ours that writes it. The log is folded from its JSON lines, and every file is decoded.
 * At every version the rows of a partition are the records of offsets [0, txn), each once; at the last one nothing is missing.
 */
import { recordsOf } from '../../../protocol/records/record.ts'
import type { DecodedRecord } from '../../../protocol/records/record.ts'
import type { ReadBack } from '../read-back.ts'
import { identityOf, shown } from '../records.ts'
import type { World } from '../world.ts'

interface Add {
  readonly path: string
  readonly size: number
  readonly partitionValues: Readonly<Record<string, string>>
  readonly dataChange: boolean
  readonly stats: string
}

interface Action {
  readonly txn?: { readonly appId: string; readonly version: number }
  readonly add?: Add
  readonly remove?: { readonly path: string; readonly dataChange: boolean }
}

/** `readBacks` are all partitions of one topic; `complete` when everything should be in the table. */
export async function checkTable(world: World, readBacks: readonly ReadBack[], complete: boolean): Promise<void> {
  const topic = readBacks[0]!.ledger.topic.record
  const prefix = `${topic.location}/_delta_log/`
  const end = new Map<number, number>()
  const live = new Map<string, number>()
  let version = 0
  for (const { key } of await world.disk.memory.list(prefix, { limit: 1_000_000 })) {
    const name = /(\d{20})\.json$/.exec(key)
    if (name === null) continue
    if (Number(name[1]) !== version) return world.fail(`P7: ${topic.name} has version ${name[1]} where ${version} is due`)
    const actions = Buffer.from((await world.disk.memory.get(key))!).toString().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Action)
    await applyVersion(world, topic.location, `${topic.name} version ${version}`, actions, end, live, readBacks)
    version++
  }
  for (const { ledger, records } of readBacks) {
    const flushed = end.get(ledger.partition) ?? 0
    if (flushed > records.length) world.fail(`P4: the table of ${ledger.name} ends at ${flushed}, the log at ${records.length}`)
    if (complete && flushed !== records.length) world.fail(`P4: the table of ${ledger.name} ends at ${flushed}, not at ${records.length}`)
  }
}

async function applyVersion(
  world: World, location: string, where: string, actions: readonly Action[],
  end: Map<number, number>, live: Map<string, number>, readBacks: readonly ReadBack[],
): Promise<void> {
  const rows = new Map<number, DecodedRecord[]>()
  let moved = 0
  for (const { add, remove } of actions) {
    if (remove !== undefined) {
      const records = live.get(remove.path)
      if (records === undefined) world.fail(`P7: ${where} removes ${remove.path}, which is not live`)
      live.delete(remove.path)
      moved -= records ?? 0
    }
    if (add === undefined) continue
    const partition = Number(add.partitionValues['partition'])
    const records = await rowsOf(world, location, where, add)
    if (live.has(add.path)) world.fail(`P4: ${where} adds ${add.path} again`)
    live.set(add.path, records.length)
    if (add.dataChange) rows.set(partition, [...(rows.get(partition) ?? []), ...records])
    else moved += records.length
  }
  if (moved !== 0) world.fail(`P7: ${where} moves files, and the number of rows changes by ${moved}`)
  for (const { txn } of actions) {
    if (txn === undefined) continue
    const partition = Number(txn.appId.split('/').at(-1))
    const from = end.get(partition) ?? 0
    const added = rows.get(partition) ?? []
    rows.delete(partition)
    compareRows(world, where, from, txn.version, added, readBacks.find(({ ledger }) => ledger.partition === partition)!)
    end.set(partition, txn.version)
  }
  if (rows.size > 0) world.fail(`P4: ${where} adds rows of partition ${[...rows.keys()].join()} without a transaction`)
}

function compareRows(world: World, where: string, from: number, to: number, added: readonly DecodedRecord[], { ledger, records }: ReadBack): void {
  if (added.length !== to - from) world.fail(`P4: ${where}: ${added.length} rows take ${ledger.name} from ${from} to ${to}`)
  const sorted = added.toSorted((a, b) => a.offset - b.offset)
  for (const [i, row] of sorted.entries()) {
    if (row.offset !== from + i) return world.fail(`P4: ${where}: ${ledger.name} has a row ${row.offset} where ${from + i} is due`)
    const record = records[row.offset]
    if (record === undefined) return world.fail(`P4: ${where}: ${ledger.name}@${row.offset} is in the table and was never committed`)
    if (identityOf(row) !== identityOf(record)) {
      world.fail(`P6: ${where}: ${ledger.name}@${row.offset} is ${shown(identityOf(record))} in the log and ${shown(identityOf(row))} in the table`)
    }
    if (row.timestamp !== record.timestamp) world.fail(`P6: ${where}: ${ledger.name}@${row.offset} has timestamp ${row.timestamp} instead of ${record.timestamp}`)
  }
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
