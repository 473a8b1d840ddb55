/** Small helpers of the Delta tests: changes of a topic's flusher, and commits as other writers make them. */
import type { AddFile, Commit, RemoveFile } from '../../../storage/delta/actions.ts'
import { encodeCommit } from '../../../storage/delta/actions.ts'
import type { TableChange } from '../../../storage/delta/change.ts'
import { encodeStats } from '../../../storage/delta/stats.ts'
import { flushAppId } from '../../../storage/delta/table.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { dataFilePath, deltaCommitKey } from '../../../storage/paths.ts'

export const topicId = 'q83vEjRWeJCrze8SNFZ4kA'
export const location = 'topics/orders'

export function addOf(partition: number, first: number, last: number, uuid = 'aaaaaaaaaaaaaaaaaaaaaa', dataChange = true): AddFile {
  return {
    path: dataFilePath(partition, first, uuid),
    partitionValues: { partition: String(partition) },
    size: 1000 + (last - first),
    modificationTime: 1_700_000_000_000,
    dataChange,
    stats: encodeStats({ numRecords: last - first + 1, minOffset: first, maxOffset: last }),
  }
}

export function removeOf(add: AddFile, dataChange = false): RemoveFile {
  return {
    path: add.path,
    dataChange,
    deletionTimestamp: 1_700_000_000_000,
    extendedFileMetadata: true,
    partitionValues: add.partitionValues,
    size: add.size,
  }
}

/** The change of a flush of [from, to) of one partition. */
export function flush(partition: number, from: number, to: number, commitId: string): TableChange {
  return {
    commitId,
    operation: 'STREAMING UPDATE',
    adds: [addOf(partition, from, to - 1, commitId)],
    removes: [],
    txns: [{ appId: flushAppId(topicId, partition), from: from === 0 ? null : from, to }],
  }
}

/** Writes a commit as a stranger would, without our commit id. */
export async function foreign(store: ObjectStore, version: number, commit: Partial<Commit>, operation = 'WRITE'): Promise<void> {
  const body = encodeCommit({ commitInfo: { timestamp: 1, operation, engineInfo: 'somebody/1' }, ...commit })
  const outcome = await store.putIfAbsent(deltaCommitKey(location, version), [body])
  if (outcome.kind !== 'created') throw new Error(`version ${version} is taken`)
}
