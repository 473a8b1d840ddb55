/**
 * JoinGroup (key 11): joins a classic consumer group and waits for the others.
 * v1 adds the rebalance timeout, v4 requires member ids that the coordinator gave (KIP-394), v5 static membership
 * (KIP-345), v6 is flexible, v7 tells the protocol type (KIP-559), v8 carries the reason (KIP-800), v9 lets a leader
 * skip the assignment (KIP-814).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, bytes, int16, int32, nullableString, string, struct } from '../schema/field.ts'

export const JoinGroup = defineApi({
  key: 11,
  name: 'JoinGroup',
  versions: [0, 9],
  flexible: 6,
  request: struct({
    groupId: string,
    sessionTimeoutMs: int32,
    rebalanceTimeoutMs: int32.since(1).default(-1),
    memberId: string,
    groupInstanceId: nullableString.since(5).default(null),
    protocolType: string,
    protocols: array(struct({
      name: string,
      metadata: bytes,
    })),
    reason: nullableString.since(8).default(null),
  }),
  response: struct({
    throttleTimeMs: int32.since(2).default(0),
    errorCode: int16.default(0),
    generationId: int32.default(-1),
    protocolType: nullableString.since(7).default(null),
    protocolName: string.nullableSince(7),
    leader: string,
    skipAssignment: boolean.since(9).default(false),
    memberId: string,
    members: array(struct({
      memberId: string,
      groupInstanceId: nullableString.since(5).default(null),
      metadata: bytes,
    })),
  }),
})

export type JoinGroupRequest = RequestOf<typeof JoinGroup>
export type JoinGroupResponse = ResponseOf<typeof JoinGroup>
