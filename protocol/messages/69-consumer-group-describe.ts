/**
 * ConsumerGroupDescribe (key 69): state, epochs and members of groups of the consumer protocol (KIP-848). v1 tells members of the consumer
 * protocol from those that still use the classic one (KIP-1099).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int8, nullableString, string, struct, uuid } from '../schema/field.ts'
import { OPERATIONS_NOT_REQUESTED } from './authorized-operations.ts'

const assignment = struct({
  topicPartitions: array(struct({
    topicId: uuid,
    topicName: string,
    partitions: array(int32),
  })),
})

export const ConsumerGroupDescribe = defineApi({
  key: 69,
  name: 'ConsumerGroupDescribe',
  versions: [0, 1],
  flexible: 0,
  request: struct({
    groupIds: array(string),
    includeAuthorizedOperations: boolean,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    groups: array(struct({
      errorCode: int16.default(0),
      errorMessage: nullableString.default(null),
      groupId: string,
      groupState: string,
      groupEpoch: int32,
      assignmentEpoch: int32,
      assignorName: string,
      members: array(struct({
        memberId: string,
        instanceId: nullableString.default(null),
        rackId: nullableString.default(null),
        memberEpoch: int32,
        clientId: string,
        clientHost: string,
        subscribedTopicNames: array(string),
        subscribedTopicRegex: nullableString.default(null),
        assignment,
        targetAssignment: assignment,
        memberType: int8.since(1).default(-1),
      })),
      authorizedOperations: int32.default(OPERATIONS_NOT_REQUESTED),
    })),
  }),
})

export type ConsumerGroupDescribeRequest = RequestOf<typeof ConsumerGroupDescribe>
export type ConsumerGroupDescribeResponse = ResponseOf<typeof ConsumerGroupDescribe>
