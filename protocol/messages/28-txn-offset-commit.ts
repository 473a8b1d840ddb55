/**
 * TxnOffsetCommit (key 28): commits the offsets of a consumer group as part of a transaction.
 * v2 adds leader epochs (KIP-320), v3 is flexible and names the member, so that zombies of a group are fenced (KIP-447),
 * v4 can say that a transaction is only good for being aborted, v5 adds the group to the transaction, without
 * AddOffsetsToTxn (KIP-890).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, nullableString, string, struct } from '../schema/field.ts'

export const TxnOffsetCommit = defineApi({
  key: 28,
  name: 'TxnOffsetCommit',
  versions: [0, 5],
  flexible: 3,
  request: struct({
    transactionalId: string,
    groupId: string,
    producerId: int64,
    producerEpoch: int16,
    generationId: int32.since(3).default(-1),
    memberId: string.since(3).default(''),
    groupInstanceId: nullableString.since(3).default(null),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        committedOffset: int64,
        committedLeaderEpoch: int32.since(2).default(-1),
        committedMetadata: nullableString,
      })),
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
      })),
    })),
  }),
})

export type TxnOffsetCommitRequest = RequestOf<typeof TxnOffsetCommit>
export type TxnOffsetCommitResponse = ResponseOf<typeof TxnOffsetCommit>
