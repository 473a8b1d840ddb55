/**
 * OffsetCommit (key 8): commits the offsets of a consumer group.
 * v2 to v4 carry a retention time, v6 leader epochs (KIP-320), v7 static membership (KIP-345), v8 is flexible, v9 is
 * for the consumer protocol (KIP-848), v10 names topics by id (KIP-516).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, nullableString, string, struct, uuid } from '../schema/field.ts'

export const OffsetCommit = defineApi({
  key: 8,
  name: 'OffsetCommit',
  versions: [2, 10],
  flexible: 8,
  request: struct({
    groupId: string,
    generationIdOrMemberEpoch: int32.default(-1),
    memberId: string,
    groupInstanceId: nullableString.since(7).default(null),
    retentionTimeMs: int64.until(4).default(-1),
    topics: array(struct({
      name: string.until(9),
      topicId: uuid.since(10),
      partitions: array(struct({
        partitionIndex: int32,
        committedOffset: int64,
        committedLeaderEpoch: int32.since(6).default(-1),
        committedMetadata: nullableString,
      })),
    })),
  }),
  response: struct({
    throttleTimeMs: int32.since(3).default(0),
    topics: array(struct({
      name: string.until(9),
      topicId: uuid.since(10),
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
      })),
    })),
  }),
})

export type OffsetCommitRequest = RequestOf<typeof OffsetCommit>
export type OffsetCommitResponse = ResponseOf<typeof OffsetCommit>
