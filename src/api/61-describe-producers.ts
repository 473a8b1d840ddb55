// DescribeProducers (61), v0 (KIP-664).
// The idempotent producers that a partition remembers. The last timestamp is the broker's time of their last batch, by which they age. The
// coordinator epoch is that of the last marker since the broker started, else -1.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeProducers } from '../../protocol/messages/61-describe-producers.ts'
import type { DescribeProducersRequest, DescribeProducersResponse } from '../../protocol/messages/61-describe-producers.ts'
import { topicNameProblem } from '../cluster/topic-names.ts'
import type { Handler } from './handler.ts'

type PartitionResult = DescribeProducersResponse['topics'][number]['partitions'][number]

export const describeProducers: Handler<DescribeProducersRequest, DescribeProducersResponse> = {
  api: DescribeProducers,
  versions: [0, 0],

  handle(request, { broker }) {
    return {
      topics: request.topics.map(({ name, partitionIndexes }) => {
        const badName = topicNameProblem(name)
        const topic = broker.topics.byName(name)
        return {
          name,
          partitions: partitionIndexes.map((partitionIndex): PartitionResult => {
            const refused = (errorCode: number, errorMessage: string | null): PartitionResult => ({ partitionIndex, errorCode, errorMessage, activeProducers: [] })
            if (badName !== null) return refused(KafkaError.INVALID_TOPIC_EXCEPTION, badName)
            const log = topic === null ? null : broker.engine.partition(topic.id, partitionIndex)
            if (log === null) return refused(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, null)
            if (broker.engine.isFenced) return refused(KafkaError.NOT_LEADER_OR_FOLLOWER, null)
            return {
              partitionIndex,
              activeProducers: log.activeProducers().map(({ producerId, producerEpoch, lastSequence, lastSeenMs, coordinatorEpoch, transactionStart }) => ({
                producerId,
                producerEpoch,
                lastSequence,
                lastTimestamp: lastSeenMs,
                coordinatorEpoch,
                currentTxnStartOffset: transactionStart ?? -1,
              })),
            }
          }),
        }
      }),
    }
  },
}
