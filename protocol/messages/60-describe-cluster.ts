/**
 * DescribeCluster (key 60): cluster id, controller and brokers (KIP-700).
 * All versions are flexible. v1 asks brokers or controllers (KIP-919), v2 includes fenced brokers (KIP-1073).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'
import { OPERATIONS_NOT_REQUESTED } from './authorized-operations.ts'

export const DescribeCluster = defineApi({
  key: 60,
  name: 'DescribeCluster',
  versions: [0, 2],
  flexible: 0,
  request: struct({
    includeClusterAuthorizedOperations: boolean,
    endpointType: int8.since(1).default(1),
    includeFencedBrokers: boolean.since(2),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    errorMessage: nullableString.default(null),
    endpointType: int8.since(1).default(1),
    clusterId: string,
    controllerId: int32.default(-1),
    brokers: array(struct({
      brokerId: int32,
      host: string,
      port: int32,
      rack: nullableString.default(null),
      isFenced: boolean.since(2),
    })),
    clusterAuthorizedOperations: int32.default(OPERATIONS_NOT_REQUESTED),
  }),
})

export type DescribeClusterRequest = RequestOf<typeof DescribeCluster>
export type DescribeClusterResponse = ResponseOf<typeof DescribeCluster>
