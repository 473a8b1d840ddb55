/**
 * FindCoordinator (key 10): which broker coordinates a group, a transactional id or a share group.
 * v1 adds the type of the key, v3 is flexible, v4 asks for many keys at once (KIP-699), v6 allows share groups
 * (KIP-932).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'

export const FindCoordinator = defineApi({
  key: 10,
  name: 'FindCoordinator',
  versions: [0, 6],
  flexible: 3,
  request: struct({
    key: string.until(3),
    keyType: int8.since(1).default(0),
    coordinatorKeys: array(string).since(4),
  }),
  response: struct({
    throttleTimeMs: int32.since(1).default(0),
    errorCode: int16.until(3).default(0),
    errorMessage: nullableString.since(1).until(3),
    nodeId: int32.until(3),
    host: string.until(3),
    port: int32.until(3),
    coordinators: array(struct({
      key: string,
      nodeId: int32,
      host: string,
      port: int32,
      errorCode: int16.default(0),
      errorMessage: nullableString,
    })).since(4),
  }),
})

export type FindCoordinatorRequest = RequestOf<typeof FindCoordinator>
export type FindCoordinatorResponse = ResponseOf<typeof FindCoordinator>
