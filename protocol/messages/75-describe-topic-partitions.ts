/**
 * DescribeTopicPartitions (key 75): the partitions of topics, page by page (KIP-966).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, nullableArray, nullableString, string, struct, uuid } from '../schema/field.ts'
import { OPERATIONS_NOT_REQUESTED } from './authorized-operations.ts'

export const DescribeTopicPartitions = defineApi({
  key: 75,
  name: 'DescribeTopicPartitions',
  versions: [0, 0],
  flexible: 0,
  request: struct({
    topics: array(struct({
      name: string,
    })),
    responsePartitionLimit: int32.default(2000),
    cursor: struct({
      topicName: string,
      partitionIndex: int32,
    }).nullableSince(0).default(null),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    topics: array(struct({
      errorCode: int16.default(0),
      name: nullableString,
      topicId: uuid,
      isInternal: boolean.default(false),
      partitions: array(struct({
        errorCode: int16.default(0),
        partitionIndex: int32,
        leaderId: int32,
        leaderEpoch: int32.default(-1),
        replicaNodes: array(int32),
        isrNodes: array(int32),
        eligibleLeaderReplicas: nullableArray(int32).default(null),
        lastKnownElr: nullableArray(int32).default(null),
        offlineReplicas: array(int32),
      })),
      topicAuthorizedOperations: int32.default(OPERATIONS_NOT_REQUESTED),
    })),
    nextCursor: struct({
      topicName: string,
      partitionIndex: int32,
    }).nullableSince(0).default(null),
  }),
})

export type DescribeTopicPartitionsRequest = RequestOf<typeof DescribeTopicPartitions>
export type DescribeTopicPartitionsResponse = ResponseOf<typeof DescribeTopicPartitions>
