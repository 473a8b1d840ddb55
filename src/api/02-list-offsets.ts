// ListOffsets (2), v1–11.
// Latest (-1), earliest (-2), maximum timestamp (-3, v7+, KIP-734), earliest local (-4, v8+: the same as earliest), latest tiered (-5, v9+)
// and earliest pending upload (-6, v11+): -1 without tiering; or the first record, in log order, at or after a timestamp. Read-committed
// consumers see the last stable offset as the latest, and find no record beyond it. A partition that is asked for twice is an INVALID_REQUEST.
import { KafkaError } from '../../protocol/errors.ts'
import { ListOffsets } from '../../protocol/messages/02-list-offsets.ts'
import type { ListOffsetsRequest, ListOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import type { OffsetAndTimestamp, PartitionLog } from '../../storage/partition/types.ts'
import { epochProblem } from '../cluster/partition-fetch.ts'
import type { Handler, RequestContext } from './handler.ts'

type AskedPartition = ListOffsetsRequest['topics'][number]['partitions'][number]
type PartitionResult = ListOffsetsResponse['topics'][number]['partitions'][number]

const LATEST = -1
const EARLIEST = -2
const MAX_TIMESTAMP = -3
const EARLIEST_LOCAL = -4
const LATEST_TIERED = -5
const EARLIEST_PENDING_UPLOAD = -6
const READ_COMMITTED = 1

/** First request version in which a special timestamp exists. */
const SINCE: Readonly<Record<number, number>> = {
  [LATEST]: 1,
  [EARLIEST]: 1,
  [MAX_TIMESTAMP]: 7,
  [EARLIEST_LOCAL]: 8,
  [LATEST_TIERED]: 9,
  [EARLIEST_PENDING_UPLOAD]: 11,
}

export const listOffsets: Handler<ListOffsetsRequest, ListOffsetsResponse> = {
  api: ListOffsets,
  versions: [1, 11],

  async handle(request, context) {
    const counts = new Map<string, number>()
    for (const { name, partitions } of request.topics) {
      for (const { partitionIndex } of partitions) counts.set(`${partitionIndex}/${name}`, (counts.get(`${partitionIndex}/${name}`) ?? 0) + 1)
    }
    const topics = await Promise.all(
      request.topics.map(async ({ name, partitions }) => {
        const topic = context.broker.topics.byName(name)
        return {
          name,
          partitions: await Promise.all(
            partitions.map(async (asked) => {
              const { partitionIndex } = asked
              if ((counts.get(`${partitionIndex}/${name}`) ?? 0) > 1) return { partitionIndex, errorCode: KafkaError.INVALID_REQUEST }
              const log = topic === null ? null : context.broker.topics.partition(topic.id, partitionIndex)
              return answer(asked, log, request.isolationLevel === READ_COMMITTED, context)
            }),
          ),
        }
      }),
    )
    return { topics }
  },

  onError: (request, errorCode) => ({
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
    })),
  }),
}

async function answer(asked: AskedPartition, log: PartitionLog | null, readCommitted: boolean, context: RequestContext): Promise<PartitionResult> {
  const { partitionIndex, timestamp } = asked
  if (log === null) return { partitionIndex, errorCode: KafkaError.UNKNOWN_TOPIC_OR_PARTITION }
  const epoch = epochProblem(log, asked.currentLeaderEpoch)
  if (epoch !== 0) return { partitionIndex, errorCode: epoch }
  if (timestamp < 0 && !(context.apiVersion >= (SINCE[timestamp] ?? Infinity))) return { partitionIndex, errorCode: KafkaError.UNSUPPORTED_VERSION }
  const { leaderEpoch } = log
  switch (timestamp) {
    case LATEST:
      return { partitionIndex, offset: readCommitted ? log.lastStableOffset : log.highWatermark, leaderEpoch }
    case EARLIEST:
    case EARLIEST_LOCAL:
      return { partitionIndex, offset: log.logStartOffset, leaderEpoch }
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
      return { partitionIndex, offset: -1, leaderEpoch: -1 }
    default: {
      try {
        const found = timestamp === MAX_TIMESTAMP ? await log.offsetOfMaxTimestamp() : await log.offsetForTimestamp(timestamp)
        return foundAt(partitionIndex, found !== null && readCommitted && found.offset >= log.lastStableOffset ? null : found)
      } catch (error) {
        context.broker.log.warn({ err: error, topicId: log.topicId, partition: partitionIndex }, 'an offset could not be looked up; the client tries again')
        return { partitionIndex, errorCode: KafkaError.KAFKA_STORAGE_ERROR }
      }
    }
  }
}

function foundAt(partitionIndex: number, found: OffsetAndTimestamp | null): PartitionResult {
  if (found === null) return { partitionIndex }
  return { partitionIndex, offset: found.offset, timestamp: found.timestampMs, leaderEpoch: found.leaderEpoch }
}
