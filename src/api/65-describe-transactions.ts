// DescribeTransactions (65), v0 (KIP-664): what the coordinator knows of transactional ids, with the partitions of transactions that are open.
import { DescribeTransactions } from '../../protocol/messages/65-describe-transactions.ts'
import type { DescribeTransactionsRequest, DescribeTransactionsResponse } from '../../protocol/messages/65-describe-transactions.ts'
import type { Handler } from './handler.ts'

type Described = DescribeTransactionsResponse['transactionStates'][number]

export const describeTransactions: Handler<DescribeTransactionsRequest, DescribeTransactionsResponse> = {
  api: DescribeTransactions,
  versions: [0, 0],

  async handle({ transactionalIds }, { broker }) {
    return {
      transactionStates: await Promise.all(transactionalIds.map(async (transactionalId): Promise<Described> => {
        const found = await broker.transactions.describe(transactionalId)
        if (typeof found === 'number') return unknown(transactionalId, found)
        const { state, timeoutMs, startMs, producerId, producerEpoch, partitions } = found
        return {
          transactionalId,
          transactionState: state,
          transactionTimeoutMs: timeoutMs,
          transactionStartTimeMs: startMs,
          producerId,
          producerEpoch,
          topics: Array.from(partitions, ([topic, ids]) => ({ topic, partitions: [...ids] })),
        }
      })),
    }
  },

  onError: ({ transactionalIds }, errorCode) => ({ transactionStates: transactionalIds.map((id) => unknown(id, errorCode)) }),
}

function unknown(transactionalId: string, errorCode: number): Described {
  return {
    errorCode,
    transactionalId,
    transactionState: '',
    transactionTimeoutMs: 0,
    transactionStartTimeMs: 0,
    producerId: 0,
    producerEpoch: 0,
    topics: [],
  }
}
