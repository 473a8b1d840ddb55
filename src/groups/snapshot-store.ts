/** Snapshots of offsets partitions as objects: one for each partition, overwritten, a hint (see `snapshot.ts`). */
import type { ObjectStore } from '../../storage/objects/object-store.ts'
import { groupSnapshotKey } from '../../storage/paths.ts'
import type { GroupSnapshots } from './ports.ts'

export function snapshotsIn(store: ObjectStore): GroupSnapshots {
  return {
    load: (topicId, partition) => store.get(groupSnapshotKey(topicId, partition)),
    save: (topicId, partition, body) => store.put(groupSnapshotKey(topicId, partition), body),
  }
}
