/**
 * OffsetFetch (key 9): the committed offsets of consumer groups.
 * Up to v7 a request asks for one group, from v8 on for many (KIP-709). Null topics ask for all, from v2 on. v5 adds
 * leader epochs (KIP-320), v6 is flexible, v7 asks for stable offsets only (KIP-447), v9 is for the consumer protocol
 * (KIP-848), v10 names topics by id (KIP-516).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int64, nullableArray, nullableString, string, struct, uuid } from '../schema/field.ts'

export const OffsetFetch = defineApi({
  key: 9,
  name: 'OffsetFetch',
  versions: [1, 10],
  flexible: 6,
  request: struct({
    groupId: string.until(7),
    topics: array(struct({
      name: string,
      partitionIndexes: array(int32),
    })).nullableSince(2).until(7),
    groups: array(struct({
      groupId: string,
      memberId: nullableString.since(9).default(null),
      memberEpoch: int32.since(9).default(-1),
      topics: nullableArray(struct({
        name: string.until(9),
        topicId: uuid.since(10),
        partitionIndexes: array(int32),
      })),
    })).since(8),
    requireStable: boolean.since(7).default(false),
  }),
  response: struct({
    throttleTimeMs: int32.since(3).default(0),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        committedOffset: int64,
        committedLeaderEpoch: int32.since(5).default(-1),
        metadata: nullableString,
        errorCode: int16.default(0),
      })),
    })).until(7),
    errorCode: int16.since(2).until(7).default(0),
    groups: array(struct({
      groupId: string,
      topics: array(struct({
        name: string.until(9),
        topicId: uuid.since(10),
        partitions: array(struct({
          partitionIndex: int32,
          committedOffset: int64,
          committedLeaderEpoch: int32.default(-1),
          metadata: nullableString,
          errorCode: int16.default(0),
        })),
      })),
      errorCode: int16.default(0),
    })).since(8),
  }),
})

export type OffsetFetchRequest = RequestOf<typeof OffsetFetch>
export type OffsetFetchResponse = ResponseOf<typeof OffsetFetch>
