// DescribeTopicPartitions (75), v0 (KIP-966).
// Topics in the order of their names, page by page: at most `responsePartitionLimit` partitions (2,000 at the most), then a cursor. A
// cursor must name a topic of the request.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeTopicPartitions } from '../../protocol/messages/75-describe-topic-partitions.ts'
import type { DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse } from '../../protocol/messages/75-describe-topic-partitions.ts'
import { topicNameProblem } from '../cluster/topic-names.ts'
import { topicOperations } from './authorized-operations.ts'
import type { Handler } from './handler.ts'

type TopicResult = DescribeTopicPartitionsResponse['topics'][number]

const PARTITIONS_MAX = 2000
const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'

export const describeTopicPartitions: Handler<DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse> = {
  api: DescribeTopicPartitions,
  versions: [0, 0],

  handle(request, context) {
    const { topics: index, node } = context.broker
    const asked = request.topics.length === 0 ? [...index.all()].map(({ name }) => name) : request.topics.map(({ name }) => name)
    const { cursor } = request
    if (cursor !== null && (cursor.partitionIndex < 0 || (request.topics.length > 0 && !asked.includes(cursor.topicName)))) {
      return { topics: request.topics.map(({ name }) => ({ errorCode: KafkaError.INVALID_REQUEST, name, topicId: ZERO_UUID, partitions: [] })) }
    }
    const names = [...new Set(asked)].filter((name) => cursor === null || name >= cursor.topicName).toSorted()
    let room = Math.max(1, Math.min(request.responsePartitionLimit, PARTITIONS_MAX))
    const topics: TopicResult[] = []
    for (const name of names) {
      const from = cursor !== null && cursor.topicName === name ? cursor.partitionIndex : 0
      if (room === 0) return { topics, nextCursor: { topicName: name, partitionIndex: from } }
      const topic = index.byName(name)
      if (topic === null) {
        const errorCode = topicNameProblem(name) === null ? KafkaError.UNKNOWN_TOPIC_OR_PARTITION : KafkaError.INVALID_TOPIC_EXCEPTION
        topics.push({ errorCode, name, topicId: ZERO_UUID, partitions: [] })
        continue
      }
      const end = Math.min(topic.partitions, from + room)
      topics.push({
        name,
        topicId: topic.id,
        isInternal: topic.internal,
        partitions: Array.from({ length: Math.max(0, end - from) }, (_, offset) => ({
          partitionIndex: from + offset,
          leaderId: node.id,
          leaderEpoch: index.partition(topic.id, from + offset)?.leaderEpoch ?? -1,
          replicaNodes: [node.id],
          isrNodes: [node.id],
          eligibleLeaderReplicas: [],
          lastKnownElr: [],
          offlineReplicas: [],
        })),
        topicAuthorizedOperations: topicOperations,
      })
      room -= Math.max(0, end - from)
      if (end < topic.partitions) return { topics, nextCursor: { topicName: name, partitionIndex: end } }
    }
    return { topics }
  },

  onError: (request, errorCode) => ({ topics: request.topics.map(({ name }) => ({ errorCode, name, topicId: ZERO_UUID, partitions: [] })) }),
}
