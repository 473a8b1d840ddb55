// EndTxn (26), v0–5.
// Answers when the end is durable in every partition of the transaction, so what was committed can be read by then. From v5 on every end gives the
// producer a new epoch, at times a new id (KIP-890), and a retry gets the answer of the first time.
import { EndTxn } from '../../protocol/messages/26-end-txn.ts'
import type { EndTxnRequest, EndTxnResponse } from '../../protocol/messages/26-end-txn.ts'
import { EPOCH_BUMP_VERSION } from '../transactions/transaction.ts'
import type { Handler } from './handler.ts'
import { knownSince } from './producer-fenced.ts'

const FENCED_SINCE = 2
const EPOCH_BUMP_SINCE = 5

export const endTxn: Handler<EndTxnRequest, EndTxnResponse> = {
  api: EndTxn,
  versions: [0, 5],

  async handle({ transactionalId, producerId, producerEpoch, committed }, { broker, apiVersion }) {
    const clientVersion = apiVersion >= EPOCH_BUMP_SINCE ? EPOCH_BUMP_VERSION : 0
    const reply = await broker.transactions.end({ transactionalId, producerId, producerEpoch, committed, clientVersion })
    return { errorCode: knownSince(FENCED_SINCE, apiVersion, reply.errorCode), producerId: reply.producerId, producerEpoch: reply.producerEpoch }
  },

  onError: (_request, errorCode) => ({ errorCode }),
}
