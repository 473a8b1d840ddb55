/**
 * ListTransactions (key 66): the transactions that a coordinator knows (KIP-664).
 * v1 filters by duration (KIP-994), v2 by a pattern of ids (KIP-1152).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, nullableString, string, struct } from '../schema/field.ts'

export const ListTransactions = defineApi({
  key: 66,
  name: 'ListTransactions',
  versions: [0, 2],
  flexible: 0,
  request: struct({
    stateFilters: array(string),
    producerIdFilters: array(int64),
    durationFilter: int64.since(1).default(-1),
    transactionalIdPattern: nullableString.since(2).default(null),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    unknownStateFilters: array(string),
    transactionStates: array(struct({
      transactionalId: string,
      producerId: int64,
      transactionState: string,
    })),
  }),
})

export type ListTransactionsRequest = RequestOf<typeof ListTransactions>
export type ListTransactionsResponse = ResponseOf<typeof ListTransactions>
