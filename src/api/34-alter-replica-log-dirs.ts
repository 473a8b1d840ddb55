// AlterReplicaLogDirs (34), v1–2 (KIP-113).
// There is one log directory, the store, and every replica is in it: to move one there changes nothing, and any other directory is unknown.
import { KafkaError } from '../../protocol/errors.ts'
import { AlterReplicaLogDirs } from '../../protocol/messages/34-alter-replica-log-dirs.ts'
import type { AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse } from '../../protocol/messages/34-alter-replica-log-dirs.ts'
import type { Handler } from './handler.ts'

export const alterReplicaLogDirs: Handler<AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse> = {
  api: AlterReplicaLogDirs,
  versions: [1, 2],

  handle(request, { broker }) {
    const byTopic = new Map<string, { partitionIndex: number; errorCode: number }[]>()
    for (const { path, topics } of request.dirs) {
      for (const { name, partitions } of topics) {
        const results = byTopic.get(name) ?? []
        byTopic.set(name, results)
        const known = broker.topics.byName(name)?.partitions ?? 0
        for (const partitionIndex of partitions) {
          const exists = partitionIndex >= 0 && partitionIndex < known
          const errorCode = path !== broker.storeLocation ? KafkaError.LOG_DIR_NOT_FOUND : exists ? KafkaError.NONE : KafkaError.UNKNOWN_TOPIC_OR_PARTITION
          results.push({ partitionIndex, errorCode })
        }
      }
    }
    return { results: [...byTopic].map(([topicName, partitions]) => ({ topicName, partitions })) }
  },
}
