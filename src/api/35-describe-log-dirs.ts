// DescribeLogDirs (35), v1–5 (KIP-113, KIP-827).
// The store is the one log directory. The size of a partition is what it has in its table plus what waits in the lanes to be flushed. The
// size of the volume is unknown (-1), as Kafka says where it cannot tell.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeLogDirs } from '../../protocol/messages/35-describe-log-dirs.ts'
import type { DescribeLogDirsRequest, DescribeLogDirsResponse } from '../../protocol/messages/35-describe-log-dirs.ts'
import type { TopicLogs } from '../../storage/engine/engine.ts'
import { StoreError } from '../../storage/objects/object-store.ts'
import type { Handler } from './handler.ts'

/** Tables that one request reads at once, where they were not read since the start. */
const TABLES_AT_ONCE = 16

export const describeLogDirs: Handler<DescribeLogDirsRequest, DescribeLogDirsResponse> = {
  api: DescribeLogDirs,
  versions: [1, 5],

  async handle(request, { broker }) {
    const asked = request.topics === null ? null : new Map(request.topics.map(({ topic, partitions }) => [topic, new Set(partitions)]))
    const topics = [...broker.engine.topics()].filter(({ name }) => asked === null || asked.has(name))
    const logDir = broker.storeLocation
    try {
      for (let at = 0; at < topics.length; at += TABLES_AT_ONCE) await Promise.all(topics.slice(at, at + TABLES_AT_ONCE).map(readTable))
    } catch (error) {
      if (error instanceof StoreError) return { results: [{ errorCode: KafkaError.KAFKA_STORAGE_ERROR, logDir, topics: [] }] }
      throw error
    }
    const results = topics.map((topic) => ({
      name: topic.name,
      partitions: topic.logs
        .filter(({ partition }) => asked === null || asked.get(topic.name)?.has(partition) === true)
        .map(({ partition, unflushedBytes }) => ({
          partitionIndex: partition,
          partitionSize: unflushedBytes + tableBytes(topic, partition),
          offsetLag: 0,
          isFutureKey: false,
        })),
    }))
    return { results: [{ logDir, topics: results.filter(({ partitions }) => partitions.length > 0) }] }
  },

  // Before v3 only a directory can have an error.
  onError: (_request, errorCode) => ({ errorCode, results: [{ errorCode, logDir: '', topics: [] }] }),
}

/** A topic without flushed records may have no table yet, and looking must not make one. */
async function readTable(topic: TopicLogs): Promise<void> {
  if (topic.logs.some(({ flushedOffset }) => flushedOffset > 0)) await topic.ensureTable()
}

function tableBytes({ table }: TopicLogs, partition: number): number {
  if (!table.isLoaded) return 0
  let bytes = 0
  for (const file of table.snapshot.files(partition)) bytes += file.bytes
  return bytes
}
