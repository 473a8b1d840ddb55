/**
 * Checkpoints as files (Delta PROTOCOL, "Checkpoints", "Checkpoint Schema"): Parquet rows to actions, and the state of a log
 * to Parquet rows. Synchronous and heavy: runs in `checkpoint-worker.ts`.
 *
 * A checkpoint is built from the checkpoint before it and the commits in between, not from a snapshot in memory: so it keeps
 * tombstones, statistics and tags that nobody holds in memory, and says what the log says.
 */
import { Field, MapRow, RecordBatch, Schema, Struct, StructRow, Table, Vector, makeData, tableFromIPC, tableToIPC } from 'apache-arrow'
import type { AddFile, Commit, Metadata, Protocol, RemoveFile, Txn } from './actions.ts'
import { CommitBuilder, decodePath, fileKey } from './actions.ts'
import { BoolColumn, Int32Column, Int64Column, ListColumn, MapColumn, StructColumn, Utf8Column } from './arrow-columns.ts'
import { DeltaError } from './errors.ts'

/** What a log says up to some version. */
export class LogState {
  protocol: Protocol | undefined
  metadata: Metadata | undefined
  readonly adds = new Map<string, AddFile>()
  readonly removes = new Map<string, RemoveFile>()
  readonly txns = new Map<string, Txn>()

  apply(commit: Partial<Commit>): void {
    if (commit.protocol !== undefined) this.protocol = commit.protocol
    if (commit.metadata !== undefined) this.metadata = commit.metadata
    for (const remove of commit.removes ?? []) {
      const key = fileKey(remove)
      this.adds.delete(key)
      this.removes.set(key, remove)
    }
    for (const add of commit.adds ?? []) {
      const key = fileKey(add)
      this.removes.delete(key)
      this.adds.set(key, add)
    }
    for (const txn of commit.txns ?? []) this.txns.set(txn.appId, txn)
  }

  /**
   * Decoded paths of tombstones that are older than `beforeMs`, at most `limit`, without files that are live under the same
   * path (with another deletion vector); and when the oldest of the other tombstones was made, null for none.
   */
  expired(beforeMs: number, limit: number): { readonly paths: string[]; readonly oldestKeptMs: number | null } {
    const live = new Set<string>()
    for (const add of this.adds.values()) live.add(decodePath(add.path))
    const paths: string[] = []
    let oldestKeptMs = Infinity
    for (const remove of this.removes.values()) {
      const removedMs = remove.deletionTimestamp ?? 0
      if (removedMs >= beforeMs || paths.length === limit) oldestKeptMs = Math.min(oldestKeptMs, removedMs)
      else if (!live.has(decodePath(remove.path))) paths.push(decodePath(remove.path))
    }
    return { paths, oldestKeptMs: oldestKeptMs === Infinity ? null : oldestKeptMs }
  }

  /** Of the decoded paths, those that are neither live nor removed at or after `removedSinceMs`. */
  unreferenced(paths: readonly string[], removedSinceMs: number): string[] {
    const referenced = new Set<string>()
    for (const add of this.adds.values()) referenced.add(decodePath(add.path))
    for (const remove of this.removes.values()) {
      if ((remove.deletionTimestamp ?? 0) >= removedSinceMs) referenced.add(decodePath(remove.path))
    }
    return paths.filter((path) => !referenced.has(path))
  }
}

/** The actions of one Parquet part as the JSON objects of commit lines, from an Arrow IPC stream. */
export function* checkpointLines(ipc: Uint8Array): Generator<Record<string, unknown>> {
  for (const batch of tableFromIPC(ipc).batches) {
    const readers = batch.schema.fields.flatMap((field) => {
      const column = batch.getChild(field.name)
      return column === null || !(field.name in requiredField) ? [] : [{ kind: field.name, read: structReader(column) }]
    })
    for (let row = 0; row < batch.numRows; row++) {
      for (const { kind, read } of readers) {
        const value = read(row)
        if (value !== null) yield { [kind]: value }
      }
    }
  }
}

/** The action kinds that are read, each with a field that is never null where the action is there. */
const requiredField: Readonly<Record<string, string>> = {
  add: 'path',
  remove: 'path',
  txn: 'appId',
  metaData: 'id',
  protocol: 'minReaderVersion',
  sidecar: 'path',
}

function structReader(column: Vector): (row: number) => Record<string, unknown> | null {
  const type = column.type as Struct
  const children = type.children
    .filter((field) => !field.name.endsWith('_parsed'))
    .map((field) => ({ name: field.name, values: column.getChild(field.name) as Vector }))
  const statsParsed = type.children.some((field) => field.name === 'stats_parsed') ? column.getChild('stats_parsed') : null
  return (row) => {
    if (!column.isValid(row)) return null
    const value: Record<string, unknown> = {}
    for (const child of children) {
      const item = plain(child.values.get(row))
      if (item !== null) value[child.name] = item
    }
    // Writers may keep statistics as columns only (delta.checkpoint.writeStatsAsJson=false).
    if (value['stats'] === undefined && statsParsed !== null) {
      const stats = plain(statsParsed.get(row))
      if (stats !== null) value['stats'] = JSON.stringify(stats)
    }
    return value
  }
}

/** Arrow values as JSON has them. Integers beyond 2^53 lose precision, as they do in JSON. */
function plain(value: unknown): unknown {
  if (value === null || value === undefined) return null
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object') return value
  if (value instanceof Vector) return Array.from(value, plain)
  if (value instanceof MapRow || value instanceof StructRow) {
    const object: Record<string, unknown> = {}
    for (const [key, item] of value as Iterable<[string, unknown]>) object[key] = plain(item)
    return object
  }
  return null
}

/** The actions of a part, or of some rows of it. @throws DeltaError `corrupt` */
export function checkpointCommit(ipc: Uint8Array, where: string): Commit {
  const builder = new CommitBuilder(where)
  for (const line of checkpointLines(ipc)) builder.accept(line)
  return builder.commit
}

/** Top-level columns that are read. */
export const checkpointColumns: ReadonlySet<string> = new Set(Object.keys(requiredField))

/**
 * The rows of a classic checkpoint, as Arrow IPC streams of one schema with at most `chunkActions` rows each. Tombstones older than
 * `removedSinceMs` are left out. In a checkpoint no action changes data; protocol versions are INT32; statistics stay the
 * JSON strings that they are; transactions keep `lastUpdated` only where somebody else wrote it.
 * @throws DeltaError `corrupt` when the log has no protocol or no metadata.
 */
export function* checkpointChunks(state: LogState, removedSinceMs: number, chunkActions: number): Generator<Uint8Array> {
  if (state.protocol === undefined || state.metadata === undefined) throw new DeltaError('corrupt', 'the log has no protocol or no metadata')
  let rows = new CheckpointRows()
  for (const [kind, value] of actionsOf(state, state.protocol, state.metadata, removedSinceMs)) {
    rows.append(kind, value)
    if (rows.count < chunkActions) continue
    yield rows.finish()
    rows = new CheckpointRows()
  }
  if (rows.count > 0) yield rows.finish()
}

function* actionsOf(state: LogState, protocol: Protocol, metadata: Metadata, removedSinceMs: number): Generator<[ActionKind, object]> {
  yield ['protocol', protocol]
  yield ['metaData', metadata]
  for (const txn of state.txns.values()) yield ['txn', txn]
  for (const remove of state.removes.values()) {
    if ((remove.deletionTimestamp ?? 0) >= removedSinceMs) yield ['remove', { ...remove, dataChange: false }]
  }
  for (const add of state.adds.values()) yield ['add', { ...add, dataChange: false }]
}

type ActionKind = 'protocol' | 'metaData' | 'txn' | 'remove' | 'add'

/** One column per kind of action, of which each row has one. */
class CheckpointRows {
  count = 0
  readonly #columns: Readonly<Record<ActionKind, StructColumn>> = {
    protocol: new StructColumn({
      minReaderVersion: new Int32Column(), minWriterVersion: new Int32Column(), readerFeatures: new ListColumn(), writerFeatures: new ListColumn(),
    }),
    metaData: new StructColumn({
      id: new Utf8Column(), name: new Utf8Column(), description: new Utf8Column(),
      format: new StructColumn({ provider: new Utf8Column(), options: new MapColumn() }),
      schemaString: new Utf8Column(), partitionColumns: new ListColumn(), configuration: new MapColumn(), createdTime: new Int64Column(),
    }),
    txn: new StructColumn({ appId: new Utf8Column(), version: new Int64Column(), lastUpdated: new Int64Column() }),
    remove: new StructColumn({
      path: new Utf8Column(), deletionTimestamp: new Int64Column(), dataChange: new BoolColumn(), extendedFileMetadata: new BoolColumn(),
      partitionValues: new MapColumn(), size: new Int64Column(),
    }),
    add: new StructColumn({
      path: new Utf8Column(), partitionValues: new MapColumn(), size: new Int64Column(), modificationTime: new Int64Column(),
      dataChange: new BoolColumn(), stats: new Utf8Column(), tags: new MapColumn(),
    }),
  }

  append(kind: ActionKind, value: object): void {
    const column = this.#columns[kind]
    if (column.length < this.count) column.nulls(this.count - column.length)
    column.append(value)
    this.count++
  }

  /** As an Arrow IPC stream. */
  finish(): Uint8Array {
    const columns = Object.values(this.#columns)
    for (const column of columns) column.nulls(this.count - column.length)
    const type = new Struct(Object.entries(this.#columns).map(([kind, column]) => new Field(kind, column.type, true)))
    const children = columns.map((column) => column.finish())
    const batch = new RecordBatch(new Schema(type.children), makeData({ type, length: this.count, nullCount: 0, children }))
    return tableToIPC(new Table(batch), 'stream')
  }
}
