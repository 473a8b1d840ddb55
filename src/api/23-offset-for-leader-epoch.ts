// OffsetForLeaderEpoch (23), v2–4 (KIP-320).
// Where the largest epoch at or below the asked one ends, so that a consumer notices a log that is not the one it read. -1/-1 when unknown.
import { KafkaError } from '../../protocol/errors.ts'
import { OffsetForLeaderEpoch } from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import type { OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse } from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import { epochProblem } from '../cluster/partition-fetch.ts'
import type { Handler } from './handler.ts'

export const offsetForLeaderEpoch: Handler<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse> = {
  api: OffsetForLeaderEpoch,
  versions: [2, 4],

  handle(request, context) {
    return {
      topics: request.topics.map(({ topic: name, partitions }) => {
        const topic = context.broker.topics.byName(name)
        return {
          topic: name,
          partitions: partitions.map((asked) => {
            const { partition } = asked
            const log = topic === null ? null : context.broker.topics.partition(topic.id, partition)
            if (log === null) return { partition, errorCode: KafkaError.UNKNOWN_TOPIC_OR_PARTITION }
            const errorCode = epochProblem(log, asked.currentLeaderEpoch)
            if (errorCode !== 0) return { partition, errorCode }
            const end = log.endOffsetForEpoch(asked.leaderEpoch)
            return end === null ? { partition } : { partition, leaderEpoch: end.leaderEpoch, endOffset: end.endOffset }
          }),
        }
      }),
    }
  },

  onError: (request, errorCode) => ({
    topics: request.topics.map(({ topic, partitions }) => ({ topic, partitions: partitions.map(({ partition }) => ({ partition, errorCode })) })),
  }),
}
