// ElectLeaders (43), v0–2 (KIP-183, KIP-460).
// Every partition has the one leader that it can have, so no election is ever needed. The answer to a request for all partitions names every
// topic and no partition, as on Kafka, which leaves out the partitions without need, and only those.
import { KafkaError } from '../../protocol/errors.ts'
import { ElectLeaders } from '../../protocol/messages/43-elect-leaders.ts'
import type { ElectLeadersRequest, ElectLeadersResponse } from '../../protocol/messages/43-elect-leaders.ts'
import type { Handler } from './handler.ts'

/** 0: the preferred replica; 1: any replica, even one that lacks records. */
const UNCLEAN = 1

export const electLeaders: Handler<ElectLeadersRequest, ElectLeadersResponse> = {
  api: ElectLeaders,
  versions: [0, 2],

  handle(request, { broker }) {
    const { electionType, topicPartitions } = request
    if (electionType < 0 || electionType > UNCLEAN) return refusedWhole(request, KafkaError.INVALID_REQUEST, `Unknown election type ${electionType}`)
    if (topicPartitions === null) return { replicaElectionResults: Array.from(broker.topics.all(), ({ name }) => ({ topic: name, partitionResult: [] })) }
    return {
      replicaElectionResults: topicPartitions.map(({ topic: name, partitions }) => {
        const topic = broker.topics.byName(name)
        return {
          topic: name,
          partitionResult: partitions.map((partitionId) => {
            const refused = (errorCode: number, errorMessage: string) => ({ partitionId, errorCode, errorMessage })
            if (topic === null) return refused(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, `No such topic as ${name}`)
            if (!(partitionId >= 0 && partitionId < topic.partitions)) {
              return refused(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, `No such partition as ${name}-${partitionId}`)
            }
            return refused(KafkaError.ELECTION_NOT_NEEDED, 'Leader election not needed for topic partition.')
          }),
        }
      }),
    }
  },

  onError: (request, errorCode) => refusedWhole(request, errorCode, null),
}

/** One error for the request and for each partition that it names. */
function refusedWhole({ topicPartitions }: ElectLeadersRequest, errorCode: number, errorMessage: string | null) {
  return {
    errorCode,
    replicaElectionResults: (topicPartitions ?? []).map(({ topic, partitions }) => ({
      topic,
      partitionResult: partitions.map((partitionId) => ({ partitionId, errorCode, errorMessage })),
    })),
  }
}
