/**
 * SyncGroup (key 14): the leader hands out the assignment of a generation, the others wait for it.
 * v3 adds static membership (KIP-345), v4 is flexible, v5 names the protocol (KIP-559).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, bytes, int16, int32, nullableString, string, struct } from '../schema/field.ts'

export const SyncGroup = defineApi({
  key: 14,
  name: 'SyncGroup',
  versions: [0, 5],
  flexible: 4,
  request: struct({
    groupId: string,
    generationId: int32,
    memberId: string,
    groupInstanceId: nullableString.since(3).default(null),
    protocolType: nullableString.since(5).default(null),
    protocolName: nullableString.since(5).default(null),
    assignments: array(struct({
      memberId: string,
      assignment: bytes,
    })),
  }),
  response: struct({
    throttleTimeMs: int32.since(1).default(0),
    errorCode: int16.default(0),
    protocolType: nullableString.since(5).default(null),
    protocolName: nullableString.since(5).default(null),
    assignment: bytes,
  }),
})

export type SyncGroupRequest = RequestOf<typeof SyncGroup>
export type SyncGroupResponse = ResponseOf<typeof SyncGroup>
