// ListTransactions (66), v0–2 (KIP-664, KIP-994, KIP-1152).
// There are no transactions yet (InitProducerId refuses transactional ids), so the list is empty; filters are checked all the same.
import { KafkaError } from '../../protocol/errors.ts'
import { ListTransactions } from '../../protocol/messages/66-list-transactions.ts'
import type { ListTransactionsRequest, ListTransactionsResponse } from '../../protocol/messages/66-list-transactions.ts'
import { compileRe2 } from '../groups/re2.ts'
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

/** Longer ones are refused: an honest one names ids, and to compile one takes memory in proportion. */
const PATTERN_LENGTH_MAX = 8 * 1024

export const listTransactions: Handler<ListTransactionsRequest, ListTransactionsResponse> = {
  api: ListTransactions,
  versions: [0, 2],

  handle(request) {
    if (!isPattern(request.transactionalIdPattern)) return { errorCode: KafkaError.INVALID_REGULAR_EXPRESSION, unknownStateFilters: [], transactionStates: [] }
    return { unknownStateFilters: request.stateFilters.filter((state) => !STATES.has(state)), transactionStates: [] }
  },

  onError: (_request, errorCode) => ({ errorCode, unknownStateFilters: [], transactionStates: [] }),
}

/** Whether ids can be matched with it: null and the empty text match all. */
function isPattern(text: string | null): boolean {
  if (text === null || text.length > PATTERN_LENGTH_MAX) return text === null
  try {
    compileRe2(text)
    return true
  } catch {
    return false
  }
}
