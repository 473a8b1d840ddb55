/**
 * EndTxn (key 26): commits or aborts a transaction.
 * v2 tells fenced producers (KIP-588), v3 is flexible, v4 can say that a transaction is only good for being aborted, v5
 * gives the producer a new epoch with every transaction (KIP-890).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { boolean, int16, int32, int64, string, struct } from '../schema/field.ts'

export const EndTxn = defineApi({
  key: 26,
  name: 'EndTxn',
  versions: [0, 5],
  flexible: 3,
  request: struct({
    transactionalId: string,
    producerId: int64,
    producerEpoch: int16,
    committed: boolean,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    producerId: int64.since(5).default(-1),
    producerEpoch: int16.since(5).default(-1),
  }),
})

export type EndTxnRequest = RequestOf<typeof EndTxn>
export type EndTxnResponse = ResponseOf<typeof EndTxn>
