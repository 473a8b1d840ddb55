/**
 * ListOffsets (key 2): the offset of a partition for a timestamp, or for one of the special timestamps below zero.
 * v2 adds the isolation level, v4 leader epochs (KIP-320), v6 is flexible, v7 the offset of the largest timestamp (-3,
 * KIP-734), v8 the first local offset (-4, KIP-405), v9 the last tiered one (-5, KIP-1005), v10 a timeout (KIP-1075),
 * v11 the earliest offset that waits for upload (-6, KIP-1023).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, int8, string, struct } from '../schema/field.ts'

export const ListOffsets = defineApi({
  key: 2,
  name: 'ListOffsets',
  versions: [1, 11],
  flexible: 6,
  request: struct({
    replicaId: int32,
    isolationLevel: int8.since(2),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        currentLeaderEpoch: int32.since(4).default(-1),
        timestamp: int64,
      })),
    })),
    timeoutMs: int32.since(10),
  }),
  response: struct({
    throttleTimeMs: int32.since(2).default(0),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
        timestamp: int64.default(-1),
        offset: int64.default(-1),
        leaderEpoch: int32.since(4).default(-1),
      })),
    })),
  }),
})

export type ListOffsetsRequest = RequestOf<typeof ListOffsets>
export type ListOffsetsResponse = ResponseOf<typeof ListOffsets>
