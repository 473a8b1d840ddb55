// ListTransactions (66), v0–2 (KIP-664, KIP-994).
// There are no transactions yet (InitProducerId refuses transactional ids), so the list is empty; state filters are checked all the same.
import { ListTransactions } from '../../protocol/messages/66-list-transactions.ts'
import type { ListTransactionsRequest, ListTransactionsResponse } from '../../protocol/messages/66-list-transactions.ts'
import type { Handler } from './handler.ts'

const STATES: ReadonlySet<string> = new Set([
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
])

export const listTransactions: Handler<ListTransactionsRequest, ListTransactionsResponse> = {
  api: ListTransactions,
  versions: [0, 2],

  handle(request) {
    return { unknownStateFilters: request.stateFilters.filter((state) => !STATES.has(state)), transactionStates: [] }
  },

  onError: (_request, errorCode) => ({ errorCode, unknownStateFilters: [], transactionStates: [] }),
}
