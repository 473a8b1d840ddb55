// ListTransactions (66), v0–2 (KIP-664): the transactional ids that the coordinator knows, by state, producer id, how long the transaction has been open
// (KIP-994), and a pattern of ids (KIP-1152).
import { KafkaError } from '../../protocol/errors.ts'
import { ListTransactions } from '../../protocol/messages/66-list-transactions.ts'
import type { ListTransactionsRequest, ListTransactionsResponse } from '../../protocol/messages/66-list-transactions.ts'
import { compileRe2 } from '../groups/re2.ts'
import { TRANSACTION_STATES } from '../transactions/transaction.ts'
import type { Handler } from './handler.ts'

const STATES: ReadonlySet<string> = new Set(TRANSACTION_STATES)

/** Longer ones are refused: an honest one names ids, and to compile one takes memory in proportion. */
const PATTERN_LENGTH_MAX = 8 * 1024

export const listTransactions: Handler<ListTransactionsRequest, ListTransactionsResponse> = {
  api: ListTransactions,
  versions: [0, 2],

  async handle(request, { broker }) {
    const matches = matcher(request.transactionalIdPattern)
    if (matches === null) return failed(KafkaError.INVALID_REGULAR_EXPRESSION)
    const { errorCode, transactions } = await broker.transactions.list()
    if (errorCode !== KafkaError.NONE) return failed(errorCode)
    const states = new Set(request.stateFilters)
    const producerIds = new Set(request.producerIdFilters)
    const nowMs = broker.env.clock.now()
    return {
      unknownStateFilters: request.stateFilters.filter((state) => !STATES.has(state)),
      transactionStates: transactions
        .filter(({ state, producerId, startMs, transactionalId }) =>
          (states.size === 0 || states.has(state)) &&
          (producerIds.size === 0 || producerIds.has(producerId)) &&
          (request.durationFilter < 0 || nowMs - startMs > request.durationFilter) &&
          matches(transactionalId))
        .map(({ transactionalId, producerId, state }) => ({ transactionalId, producerId, transactionState: state })),
    }
  },

  onError: (_request, errorCode) => failed(errorCode),
}

/** Whether an id matches; null where the pattern is none. Null and the empty text match all. */
function matcher(text: string | null): ((id: string) => boolean) | null {
  if (text === null || text === '') return () => true
  if (text.length > PATTERN_LENGTH_MAX) return null
  try {
    const pattern = compileRe2(text)
    return (id) => pattern.testExact(id)
  } catch {
    return null
  }
}

function failed(errorCode: number): ListTransactionsResponse {
  return { errorCode, unknownStateFilters: [], transactionStates: [] }
}
