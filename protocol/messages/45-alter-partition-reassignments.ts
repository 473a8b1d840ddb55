/**
 * AlterPartitionReassignments (key 45): begins or cancels moves of partitions to other brokers (KIP-455).
 * All versions are flexible. v1 can forbid changes of the replication factor (KIP-860).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, nullableArray, nullableString, string, struct } from '../schema/field.ts'

export const AlterPartitionReassignments = defineApi({
  key: 45,
  name: 'AlterPartitionReassignments',
  versions: [0, 1],
  flexible: 0,
  request: struct({
    timeoutMs: int32.default(60000),
    allowReplicationFactorChange: boolean.since(1).default(true),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        replicas: nullableArray(int32).default(null),
      })),
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    allowReplicationFactorChange: boolean.since(1).default(true),
    errorCode: int16.default(0),
    errorMessage: nullableString,
    responses: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
        errorMessage: nullableString,
      })),
    })),
  }),
})

export type AlterPartitionReassignmentsRequest = RequestOf<typeof AlterPartitionReassignments>
export type AlterPartitionReassignmentsResponse = ResponseOf<typeof AlterPartitionReassignments>
