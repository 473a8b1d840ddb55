/**
 * OffsetForLeaderEpoch (key 23): where a leader epoch ended, so that a client finds out whether its log was truncated (KIP-320).
 * v3 adds the replica, v4 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, string, struct } from '../schema/field.ts'

export const OffsetForLeaderEpoch = defineApi({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  versions: [2, 4],
  flexible: 4,
  request: struct({
    replicaId: int32.since(3).default(-2),
    topics: array(struct({
      topic: string,
      partitions: array(struct({
        partition: int32,
        currentLeaderEpoch: int32.default(-1),
        leaderEpoch: int32,
      })),
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    topics: array(struct({
      topic: string,
      partitions: array(struct({
        errorCode: int16.default(0),
        partition: int32,
        leaderEpoch: int32.default(-1),
        endOffset: int64.default(-1),
      })),
    })),
  }),
})

export type OffsetForLeaderEpochRequest = RequestOf<typeof OffsetForLeaderEpoch>
export type OffsetForLeaderEpochResponse = ResponseOf<typeof OffsetForLeaderEpoch>
