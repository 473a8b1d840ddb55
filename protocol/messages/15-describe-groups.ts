/**
 * DescribeGroups (key 15): state, protocol and members of classic groups.
 * v3 adds authorised operations (KIP-430), v4 static membership (KIP-345), v5 is flexible, v6 answers
 * GROUP_ID_NOT_FOUND with a message (KIP-1043).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, bytes, int16, int32, nullableString, string, struct } from '../schema/field.ts'
import { OPERATIONS_NOT_REQUESTED } from './authorized-operations.ts'

export const DescribeGroups = defineApi({
  key: 15,
  name: 'DescribeGroups',
  versions: [0, 6],
  flexible: 5,
  request: struct({
    groups: array(string),
    includeAuthorizedOperations: boolean.since(3),
  }),
  response: struct({
    throttleTimeMs: int32.since(1).default(0),
    groups: array(struct({
      errorCode: int16.default(0),
      errorMessage: nullableString.since(6).default(null),
      groupId: string,
      groupState: string,
      protocolType: string,
      protocolData: string,
      members: array(struct({
        memberId: string,
        groupInstanceId: nullableString.since(4).default(null),
        clientId: string,
        clientHost: string,
        memberMetadata: bytes,
        memberAssignment: bytes,
      })),
      authorizedOperations: int32.since(3).default(OPERATIONS_NOT_REQUESTED),
    })),
  }),
})

export type DescribeGroupsRequest = RequestOf<typeof DescribeGroups>
export type DescribeGroupsResponse = ResponseOf<typeof DescribeGroups>
