/**
 * LeaveGroup (key 13): leaves a classic consumer group.
 * v3 removes many members at once (KIP-345), v4 is flexible, v5 carries the reason (KIP-800).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, nullableString, string, struct } from '../schema/field.ts'

export const LeaveGroup = defineApi({
  key: 13,
  name: 'LeaveGroup',
  versions: [0, 5],
  flexible: 4,
  request: struct({
    groupId: string,
    memberId: string.until(2),
    members: array(struct({
      memberId: string,
      groupInstanceId: nullableString.default(null),
      reason: nullableString.since(5).default(null),
    })).since(3),
  }),
  response: struct({
    throttleTimeMs: int32.since(1).default(0),
    errorCode: int16.default(0),
    members: array(struct({
      memberId: string,
      groupInstanceId: nullableString,
      errorCode: int16.default(0),
    })).since(3),
  }),
})

export type LeaveGroupRequest = RequestOf<typeof LeaveGroup>
export type LeaveGroupResponse = ResponseOf<typeof LeaveGroup>
