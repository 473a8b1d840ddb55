/**
 * AddOffsetsToTxn (key 25): makes the offsets of a consumer group part of a transaction.
 * v2 tells fenced producers (KIP-588), v3 is flexible, v4 can say that a transaction is only good for being aborted
 * (KIP-890).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { int16, int32, int64, string, struct } from '../schema/field.ts'

export const AddOffsetsToTxn = defineApi({
  key: 25,
  name: 'AddOffsetsToTxn',
  versions: [0, 4],
  flexible: 3,
  request: struct({
    transactionalId: string,
    producerId: int64,
    producerEpoch: int16,
    groupId: string,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
  }),
})

export type AddOffsetsToTxnRequest = RequestOf<typeof AddOffsetsToTxn>
export type AddOffsetsToTxnResponse = ResponseOf<typeof AddOffsetsToTxn>
