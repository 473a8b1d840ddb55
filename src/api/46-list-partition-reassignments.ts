// ListPartitionReassignments (46), v0 (KIP-455).
// Always empty: partitions are on the object store, and which broker serves one changes in a single step.
import { ListPartitionReassignments } from '../../protocol/messages/46-list-partition-reassignments.ts'
import type {
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from '../../protocol/messages/46-list-partition-reassignments.ts'
import type { Handler } from './handler.ts'

export const listPartitionReassignments: Handler<ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse> = {
  api: ListPartitionReassignments,
  versions: [0, 0],

  handle: () => ({ errorMessage: null, topics: [] }),

  onError: (_request, errorCode) => ({ errorCode, errorMessage: null, topics: [] }),
}
