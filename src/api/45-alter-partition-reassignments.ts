// AlterPartitionReassignments (45), v0–1 (KIP-455).
// A partition lives on the object store and is served by this broker: to assign it here changes nothing and succeeds, to assign it elsewhere
// is refused, and there is never a move that could be cancelled.
import { KafkaError } from '../../protocol/errors.ts'
import { AlterPartitionReassignments } from '../../protocol/messages/45-alter-partition-reassignments.ts'
import type {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from '../../protocol/messages/45-alter-partition-reassignments.ts'
import { assignmentProblem } from '../cluster/topics.ts'
import type { Handler } from './handler.ts'

export const alterPartitionReassignments: Handler<AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse> = {
  api: AlterPartitionReassignments,
  versions: [0, 1],

  handle(request, { broker }) {
    return {
      allowReplicationFactorChange: request.allowReplicationFactorChange,
      errorMessage: null,
      responses: request.topics.map(({ name, partitions }) => {
        const topic = broker.topics.byName(name)
        return {
          name,
          partitions: partitions.map(({ partitionIndex, replicas }) => {
            const refused = (errorCode: number, errorMessage: string) => ({ partitionIndex, errorCode, errorMessage })
            if (topic === null) return refused(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, `Unable to find a topic named ${name}.`)
            if (!(partitionIndex >= 0 && partitionIndex < topic.partitions)) {
              return refused(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, `Unable to find partition ${name}:${partitionIndex}.`)
            }
            if (replicas === null) return refused(KafkaError.NO_REASSIGNMENT_IN_PROGRESS, 'No partition reassignment is in progress.')
            const problem = assignmentProblem(new Map([[0, replicas]]), broker.node.id)
            return problem === null ? { partitionIndex, errorMessage: null } : refused(KafkaError.INVALID_REPLICA_ASSIGNMENT, problem)
          }),
        }
      }),
    }
  },

  onError: (_request, errorCode) => ({ errorCode, errorMessage: null, responses: [] }),
}
