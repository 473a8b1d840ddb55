/**
 * Rows below the log start leave the table (DeleteRecords, retention): whole files, and of a file across the log start the rows below it. One
 * commit for all partitions of a topic, with dataChange=true: other readers of the table are meant to see the rows go.
 */
import { decodePath } from '../delta/actions.ts'
import type { TableChange } from '../delta/change.ts'
import { isMergeable } from '../delta/compaction.ts'
import { dataFileKey } from '../delta/snapshot.ts'
import type { TableFile } from '../delta/snapshot.ts'
import type { DeltaTable } from '../delta/table.ts'
import type { Env } from '../env.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import type { ParquetInput } from '../parquet/byte-source.ts'
import { NotMergeableError } from '../parquet/parquet-codec.ts'
import type { ParquetCodec } from '../parquet/parquet-codec.ts'
import type { Offset } from '../types.ts'
import { removalOf, writeFile } from './rewriting.ts'
import type { NewFile } from './rewriting.ts'

export interface TrimmedTopic {
  readonly table: DeltaTable
  readonly deleted: boolean
  readonly logs: readonly { readonly partition: number; readonly logStartOffset: Offset; readonly flushedOffset: Offset }[]
  /** Reads the table unless it was read before. Throws StoreError or DeltaError. */
  ensureTable(): Promise<void>
}

export interface DeletionDependencies {
  readonly env: Env
  readonly store: ObjectStore
  readonly parquet: Pick<ParquetCodec, 'mergeByOffset'>
  readonly options: { readonly parquetCompression: 'zstd' | 'snappy' | 'none' }
}

/** What was done, or null when there was nothing to do. Rejects when the table changed meanwhile or the store failed: then call again. */
export async function deleteBelowLogStarts(
  topic: TrimmedTopic,
  deps: DeletionDependencies,
): Promise<{ readonly files: number; readonly rewritten: number } | null> {
  if (!topic.logs.some((log) => log.logStartOffset > 0 && log.flushedOffset > 0)) return null
  await topic.ensureTable()
  const { table } = topic
  const removed: TableFile[] = []
  const rewritten: NewFile[] = []
  for (const { partition, logStartOffset } of topic.logs) {
    if (logStartOffset === 0) continue
    for (const file of table.snapshot.files(partition)) {
      // Rows without an offset are messages that nobody has read yet.
      if (file.range.kind !== 'known' || file.first >= logStartOffset || (file.nullOffsets ?? 0) > 0) continue
      if (file.last < logStartOffset) {
        removed.push(file)
        continue
      }
      if (!isMergeable(file) || topic.deleted) continue
      try {
        const rest = await rewrite(table, file, partition, logStartOffset, deps)
        if (rest !== null) rewritten.push(rest)
        removed.push(file)
      } catch (error) {
        // It has columns of somebody else: its rows stay until all of them are below the log start.
        if (!(error instanceof NotMergeableError)) throw error
      }
    }
  }
  if (removed.length === 0) return null
  await commit(table, removed, rewritten, deps)
  return { files: removed.length, rewritten: rewritten.length }
}

/** The rows of a file from an offset on, as a new file that no commit refers to yet; null when there are none. */
async function rewrite(table: DeltaTable, file: TableFile, partition: number, fromOffset: Offset, deps: DeletionDependencies): Promise<NewFile | null> {
  const { store, parquet, options } = deps
  const kept = await parquet.mergeByOffset({ files: [inputOf(table, file, store)], compression: options.parquetCompression, fromOffset })
  return await writeFile(table, partition, kept, file.modifiedMs, deps)
}

async function commit(table: DeltaTable, removed: readonly TableFile[], rewritten: readonly NewFile[], { env, store }: DeletionDependencies): Promise<void> {
  const nowMs = env.clock.now()
  const keyOf = ({ add }: NewFile): string => `${table.location}/${decodePath(add.path)}`
  const change: TableChange = {
    commitId: env.uuid(),
    operation: 'DELETE',
    operationParameters: { predicate: '["below the log start"]' },
    adds: rewritten.map(({ add }) => add),
    removes: removed.map((file) => removalOf(file, true, nowMs)),
    txns: [],
  }
  const outcome = await table.commit(change)
  if (outcome.kind !== 'committed' && outcome.kind !== 'already-applied') {
    if (rewritten.length > 0) await store.delete(rewritten.map(keyOf))
    throw new Error(outcome.kind === 'suspended' ? outcome.reason : outcome.detail)
  }
  // A careless VACUUM may have taken files that nothing referred to before the commit.
  for (const file of rewritten) if ((await store.head(keyOf(file))) === null) await store.put(keyOf(file), file.parquet)
}

function inputOf(table: DeltaTable, file: TableFile, store: ObjectStore): ParquetInput {
  const key = dataFileKey(table.location, file)
  if (key === null) throw new NotMergeableError(`${file.path} lies outside of its table`)
  const read = async (start: number, end: number): Promise<Uint8Array> => {
    const bytes = await store.getRange(key, start, end)
    if (bytes === null) throw new Error(`${key} is gone`)
    return bytes
  }
  return { size: file.bytes, read }
}
