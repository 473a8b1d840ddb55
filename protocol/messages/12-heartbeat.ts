/**
 * Heartbeat (key 12): keeps a member of a classic consumer group alive.
 * v3 adds static membership (KIP-345), v4 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { int16, int32, nullableString, string, struct } from '../schema/field.ts'

export const Heartbeat = defineApi({
  key: 12,
  name: 'Heartbeat',
  versions: [0, 4],
  flexible: 4,
  request: struct({
    groupId: string,
    generationId: int32,
    memberId: string,
    groupInstanceId: nullableString.since(3).default(null),
  }),
  response: struct({
    throttleTimeMs: int32.since(1).default(0),
    errorCode: int16.default(0),
  }),
})

export type HeartbeatRequest = RequestOf<typeof Heartbeat>
export type HeartbeatResponse = ResponseOf<typeof Heartbeat>
