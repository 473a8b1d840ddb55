/** What jobs share that write data files again: how files are read, how a new one gets into the store, and the commit that puts it in their place. */
import type { AddFile, RemoveFile } from '../delta/actions.ts'
import { decodePath, encodePath } from '../delta/actions.ts'
import type { TableChange } from '../delta/change.ts'
import { dataFileKey } from '../delta/snapshot.ts'
import type { TableFile } from '../delta/snapshot.ts'
import type { DeltaTable } from '../delta/table.ts'
import type { Env } from '../env.ts'
import { bodyBytes } from '../objects/keys.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import type { ParquetInput } from '../parquet/byte-source.ts'
import type { WrittenFile } from '../parquet/topic-file-writer.ts'
import { dataFilePath } from '../paths.ts'
import type { CommittedFiles } from './committed-files.ts'
import { fileStats } from './file-stats.ts'

export interface RewritingDependencies {
  readonly env: Env
  readonly store: ObjectStore
  readonly committedFiles: CommittedFiles
}

export interface RewrittenTopic {
  readonly id: string
  readonly name: string
  readonly table: DeltaTable
}

/** A file in the store that no commit refers to yet. */
export interface NewFile {
  readonly add: AddFile
  readonly parquet: readonly Uint8Array[]
}

/** Bytes of files that are read whole, in one request each, and held until all of them have been written again. */
const WHOLE_FILES_BYTES_MAX = 8 * 1024 * 1024

/** Small files whole, the others a row group at a time. Rejects where a small file is gone; the reader of a large one does when it is read. */
export function inputsOf(table: DeltaTable, files: readonly TableFile[], store: ObjectStore): Promise<ParquetInput[]> {
  const wholeBytesMax = WHOLE_FILES_BYTES_MAX / files.length
  return Promise.all(
    files.map(async (file) => {
      const key = dataFileKey(table.location, file)
      if (key === null) throw new Error(`${file.path} lies outside of its table`)
      if (file.bytes > wholeBytesMax) {
        return { size: file.bytes, read: async (start: number, end: number) => found(key, await store.getRange(key, start, end)) }
      }
      return found(key, await store.get(key))
    }),
  )
}

/** Null where there are no rows. `modifiedMs`: how old the rows count as (retention, tombstones). Throws StoreError. */
export async function writeFile(
  table: DeltaTable, partition: number, written: WrittenFile, modifiedMs: number, { env, store }: Pick<RewritingDependencies, 'env' | 'store'>,
): Promise<NewFile | null> {
  const { parquet } = written
  if (parquet === null) return null
  const path = dataFilePath(partition, written.minOffset, env.uuid())
  await store.put(`${table.location}/${path}`, parquet)
  const add = {
    path: encodePath(path),
    partitionValues: { partition: String(partition) },
    size: bodyBytes(parquet),
    modificationTime: modifiedMs,
    dataChange: true,
    stats: fileStats(written),
  }
  return { add, parquet }
}

/** A change that lost against somebody else's is given up (false); its file is removed, for nothing refers to it. Throws StoreError. */
export async function commitFile(topic: RewrittenTopic, change: TableChange, file: NewFile | null, deps: RewritingDependencies): Promise<boolean> {
  const outcome = await topic.table.commit(change)
  if (outcome.kind === 'committed' || outcome.kind === 'already-applied') {
    // The files that it stands for stay in the store for days, but nothing refers to them any more: this one must be there.
    if (file !== null) await deps.committedFiles.settle(topic, [{ path: decodePath(file.add.path), parquet: file.parquet }])
    return true
  }
  const key = file === null ? null : dataFileKey(topic.table.location, file.add)
  if (key !== null) await deps.store.delete([key])
  return false
}

export function removalOf(file: TableFile, dataChange: boolean, nowMs: number): RemoveFile {
  return {
    path: file.path,
    dataChange,
    deletionTimestamp: nowMs,
    extendedFileMetadata: true,
    partitionValues: { partition: file.partitionValue },
    size: file.bytes,
  }
}

/** When the newest of the files was modified. */
export function newestModifiedMs(files: readonly TableFile[]): number {
  return files.reduce((newest, file) => Math.max(newest, file.modifiedMs), 0)
}

function found(key: string, bytes: Uint8Array | null): Uint8Array {
  if (bytes === null) throw new Error(`${key} is gone`)
  return bytes
}
