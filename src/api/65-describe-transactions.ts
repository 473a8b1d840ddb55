// DescribeTransactions (65), v0 (KIP-664).
// There are no transactions yet (InitProducerId refuses transactional ids), so every id is unknown.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeTransactions } from '../../protocol/messages/65-describe-transactions.ts'
import type { DescribeTransactionsRequest, DescribeTransactionsResponse } from '../../protocol/messages/65-describe-transactions.ts'
import type { Handler } from './handler.ts'

export const describeTransactions: Handler<DescribeTransactionsRequest, DescribeTransactionsResponse> = {
  api: DescribeTransactions,
  versions: [0, 0],

  handle(request) {
    return {
      transactionStates: request.transactionalIds.map((transactionalId) => ({
        errorCode: transactionalId === '' ? KafkaError.INVALID_REQUEST : KafkaError.TRANSACTIONAL_ID_NOT_FOUND,
        transactionalId,
        transactionState: '',
        transactionTimeoutMs: 0,
        transactionStartTimeMs: 0,
        producerId: 0,
        producerEpoch: 0,
        topics: [],
      })),
    }
  },
}
