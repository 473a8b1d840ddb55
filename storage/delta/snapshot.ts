/**
 * The state of a table at one version: the fold of its log (Delta PROTOCOL, "Action Reconciliation").
 *
 * A snapshot moves forward by one commit at a time at a cost that does not grow with the number of files. Whoever keeps a
 * file across an `await` must expect it to be gone from the table, and from the store some time later: look again then.
 *
 * Tombstones are not kept: they are needed by checkpoints and vacuum alone, which read the log for them.
 */
import type { AddFile, Commit, Metadata, Protocol, RemoveFile } from './actions.ts'
import { decodePath, fileKey, isAbsolutePath } from './actions.ts'
import { OffsetIndex } from './offset-index.ts'
import { parseStats } from './stats.ts'
import type { OffsetRange, ReadStats } from './stats.ts'

/** A live data file. Immutable. */
export interface TableFile {
  /** Identity inside the table. */
  readonly key: string
  /** As in the log, percent-encoded: what a remove action has to repeat. */
  readonly path: string
  /** Null for files outside any partition of the topic (appended by others without one). */
  readonly partition: number | null
  readonly partitionValue: string | null
  readonly bytes: number
  readonly modifiedMs: number
  readonly records: number | undefined
  /** Rows without an offset, where known: messages that others appended and nobody ingested yet. */
  readonly nullOffsets: number | undefined
  readonly range: OffsetRange
  /** Rows without a value, where known. */
  readonly nullValues: number | undefined
  /** Bounds of the timestamps, milliseconds since the epoch; undefined where they are not known. */
  readonly minTimestampMs: number | undefined
  readonly maxTimestampMs: number | undefined
  /** Of the range: -1 and -1 unless it is known. */
  readonly first: number
  readonly last: number
  readonly hasDeletionVector: boolean
  /** The table version whose commit added the file, as far as known (0 when it came from a checkpoint). */
  readonly addedAt: number
}

/** When the newest record of a file was made, Unix milliseconds. Records without timestamps are as old as their file. */
export function newestRecordMs(file: TableFile): number {
  const { maxTimestampMs } = file
  return maxTimestampMs === undefined || maxTimestampMs < 0 ? file.modifiedMs : maxTimestampMs
}

export interface FilesForOffset {
  /** Files whose range contains the offset; more than one where somebody else rewrote files. */
  readonly covering: readonly TableFile[]
  /** Files whose range nobody knows yet: read their footers and call `provideRange`. */
  readonly unknown: readonly TableFile[]
  /** Where to go on when no file covers the offset: the file with the next greater first offset. */
  readonly next: TableFile | undefined
}

/** What readers may do with a snapshot. */
export interface SnapshotView {
  readonly version: number
  readonly protocol: Protocol
  readonly metadata: Metadata
  readonly fileCount: number
  readonly bytes: number
  /**
   * The newest version that may have deleted, changed or inserted rows below the flushed offsets, as opposed to moving them or adding
   * behind them: what was read before it must be read again. For what a checkpoint says, the checkpoint's.
   */
  readonly rowsChangedAt: number
  /** Numbers of the partitions that have files, in no particular order. */
  partitions(): number[]
  txn(appId: string): number | undefined
  hasFile(path: string): boolean
  file(path: string): TableFile | undefined
  /** Files of a partition that hold offsets, by first offset, followed by those whose range is unknown. */
  files(partition: number): TableFile[]
  filesForOffset(partition: number, offset: number): FilesForOffset
  /** Files that hold `offset` or anything after it, by first offset: the read-ahead of a sequential reader. */
  filesFrom(partition: number, offset: number): Iterable<TableFile>
  /** Files of a partition whose rows all lack an offset. */
  appendsOf(partition: number): TableFile[]
  /** Files in no partition of the topic (partition null, empty, Hive's default, or no number). */
  strays(): TableFile[]
  /** Greatest offset that a file of the partition holds, -1 for none; `complete` is false while ranges are unknown. */
  greatestOffset(partition: number): { readonly offset: number; readonly complete: boolean }
}

interface PartitionFiles {
  readonly ranged: OffsetIndex<TableFile>
  readonly unknown: Map<string, TableFile>
  readonly appends: Map<string, TableFile>
}

export class Snapshot implements SnapshotView {
  readonly #files = new Map<string, TableFile>()
  readonly #partitions = new Map<number, PartitionFiles>()
  readonly #strays = new Map<string, TableFile>()
  readonly #txns = new Map<string, number>()
  #version = -1
  #protocol: Protocol | undefined
  #metadata: Metadata | undefined
  #bytes = 0
  #deletionVectors = 0
  #rowsChangedAt = -1

  get version(): number {
    return this.#version
  }

  get protocol(): Protocol {
    if (this.#protocol === undefined) throw new RangeError('the snapshot is empty')
    return this.#protocol
  }

  get metadata(): Metadata {
    if (this.#metadata === undefined) throw new RangeError('the snapshot is empty')
    return this.#metadata
  }

  /** Whether the log so far says what every table must say. */
  get isComplete(): boolean {
    return this.#protocol !== undefined && this.#metadata !== undefined
  }

  get fileCount(): number {
    return this.#files.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get rowsChangedAt(): number {
    return this.#rowsChangedAt
  }

  /** Live files with a deletion vector, whose rows cannot be told from deleted ones here. */
  get deletionVectorCount(): number {
    return this.#deletionVectors
  }

  /** Applies the commit of `version`, which must be the next one unless the snapshot is empty (then: a checkpoint's). */
  apply(version: number, commit: Commit): void {
    if (this.#version !== -1 && version !== this.#version + 1) {
      throw new RangeError(`version ${version} does not follow ${this.#version}`)
    }
    this.absorb(commit, version)
    this.#version = version
    if (changesRows(commit)) this.#rowsChangedAt = version
  }

  /** Adds actions of a checkpoint (in pieces) without moving the version. `addedAt`: see `TableFile`. */
  absorb(commit: Partial<Commit>, addedAt: number): void {
    if (commit.protocol !== undefined) this.#protocol = commit.protocol
    if (commit.metadata !== undefined) this.#metadata = commit.metadata
    for (const remove of commit.removes ?? []) this.#remove(remove)
    for (const add of commit.adds ?? []) this.#add(add, addedAt)
    for (const txn of commit.txns ?? []) this.#txns.set(txn.appId, txn.version)
  }

  /** Ends the reading of a checkpoint. */
  startAt(version: number): void {
    this.#version = version
    this.#rowsChangedAt = version
  }

  partitions(): number[] {
    return [...this.#partitions.keys()]
  }

  txn(appId: string): number | undefined {
    return this.#txns.get(appId)
  }

  get txns(): ReadonlyMap<string, number> {
    return this.#txns
  }

  hasFile(path: string): boolean {
    return this.#files.has(decodePath(path))
  }

  file(path: string): TableFile | undefined {
    return this.#files.get(decodePath(path))
  }

  allFiles(): Iterable<TableFile> {
    return this.#files.values()
  }

  files(partition: number): TableFile[] {
    const files = this.#partitions.get(partition)
    return files === undefined ? [] : [...files.ranged, ...files.unknown.values()]
  }

  filesForOffset(partition: number, offset: number): FilesForOffset {
    const files = this.#partitions.get(partition)
    if (files === undefined) return { covering: [], unknown: [], next: undefined }
    return {
      covering: files.ranged.covering(offset),
      unknown: [...files.unknown.values()],
      next: files.ranged.after(offset),
    }
  }

  *filesFrom(partition: number, offset: number): Generator<TableFile> {
    const files = this.#partitions.get(partition)
    if (files !== undefined) yield* files.ranged.from(offset)
  }

  appendsOf(partition: number): TableFile[] {
    return [...(this.#partitions.get(partition)?.appends.values() ?? [])]
  }

  strays(): TableFile[] {
    return [...this.#strays.values()]
  }

  greatestOffset(partition: number): { readonly offset: number; readonly complete: boolean } {
    const files = this.#partitions.get(partition)
    if (files === undefined) return { offset: -1, complete: true }
    return { offset: files.ranged.greatest, complete: files.unknown.size === 0 }
  }

  /** What the footer of a file without statistics says. Ignored when the file is gone. */
  provideRange(path: string, range: OffsetRange, known: { readonly records?: number; readonly nullOffsets?: number } = {}): void {
    const file = this.file(path)
    if (file === undefined || file.range.kind !== 'unknown' || range.kind === 'unknown') return
    this.#drop(file)
    this.#put({
      ...file,
      range,
      first: range.kind === 'known' ? range.first : -1,
      last: range.kind === 'known' ? range.last : -1,
      records: known.records ?? file.records,
      nullOffsets: known.nullOffsets ?? file.nullOffsets,
    })
  }

  #add(add: AddFile, addedAt: number): void {
    const file = tableFile(add, parseStats(add.stats), addedAt)
    const old = this.#files.get(file.key)
    if (old !== undefined) this.#drop(old)
    this.#put(file)
  }

  #remove(remove: RemoveFile): void {
    const file = this.#files.get(fileKey(remove))
    if (file !== undefined) this.#drop(file)
  }

  #put(file: TableFile): void {
    this.#files.set(file.key, file)
    this.#bytes += file.bytes
    if (file.hasDeletionVector) this.#deletionVectors++
    if (file.partition === null) {
      this.#strays.set(file.key, file)
      return
    }
    const partition = this.#partition(file.partition)
    if (file.range.kind === 'known') partition.ranged.add(file)
    else if (file.range.kind === 'none') partition.appends.set(file.key, file)
    else partition.unknown.set(file.key, file)
  }

  #drop(file: TableFile): void {
    this.#files.delete(file.key)
    this.#bytes -= file.bytes
    if (file.hasDeletionVector) this.#deletionVectors--
    if (file.partition === null) {
      this.#strays.delete(file.key)
      return
    }
    const partition = this.#partition(file.partition)
    if (file.range.kind === 'known') partition.ranged.remove(file)
    else if (file.range.kind === 'none') partition.appends.delete(file.key)
    else partition.unknown.delete(file.key)
    if (partition.ranged.size + partition.appends.size + partition.unknown.size === 0) this.#partitions.delete(file.partition)
  }

  #partition(partition: number): PartitionFiles {
    let files = this.#partitions.get(partition)
    if (files === undefined) {
      files = { ranged: new OffsetIndex(), unknown: new Map(), appends: new Map() }
      this.#partitions.set(partition, files)
    }
    return files
  }
}

/**
 * The key of a data file in the store, or null when the file is outside of the table's folder (shallow clones, absolute
 * paths), where nothing of ours looks.
 */
export function dataFileKey(location: string, file: { readonly path: string }): string | null {
  const path = decodePath(file.path)
  return isAbsolutePath(path) ? null : `${location}/${path}`
}

/** Our own commits add behind the flushed offset alone; rows without an offset are nobody's to read yet. */
function changesRows(commit: Commit): boolean {
  if (commit.removes.some((remove) => remove.dataChange)) return true
  if (typeof commit.commitInfo?.bayouCommitId === 'string') return false
  return commit.adds.some((add) => add.dataChange && parseStats(add.stats).range.kind !== 'none')
}

function tableFile(add: AddFile, stats: ReadStats, addedAt: number): TableFile {
  const partitionValue = add.partitionValues['partition'] ?? null
  const { range } = stats
  return {
    key: fileKey(add),
    path: add.path,
    partition: partitionNumber(partitionValue),
    partitionValue,
    bytes: add.size,
    modifiedMs: add.modificationTime,
    records: stats.records,
    nullOffsets: stats.nullOffsets,
    nullValues: stats.nullValues,
    minTimestampMs: stats.minTimestampMs,
    maxTimestampMs: stats.maxTimestampMs,
    range,
    first: range.kind === 'known' ? range.first : -1,
    last: range.kind === 'known' ? range.last : -1,
    hasDeletionVector: add.deletionVector !== undefined,
    addedAt,
  }
}

/** Null, the empty string (DuckDB's null) and Hive's default name are no partition of the topic. */
function partitionNumber(value: string | null): number | null {
  if (value === null || !/^\d{1,9}$/.test(value)) return null
  return Number(value)
}
