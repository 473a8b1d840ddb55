/**
 * AddPartitionsToTxn (key 24): makes partitions part of a transaction.
 * v2 tells fenced producers (KIP-588), v3 is flexible. Clients use no version beyond that. From v4 on it is what brokers
 * ask each other: about many transactions at once, and whether partitions are part of one without adding them; v5 can
 * say that a transaction is only good for being aborted (KIP-890).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int64, string, struct } from '../schema/field.ts'

const topics = array(struct({
  name: string,
  partitions: array(int32),
}))

const topicResults = array(struct({
  name: string,
  resultsByPartition: array(struct({
    partitionIndex: int32,
    partitionErrorCode: int16.default(0),
  })),
}))

export const AddPartitionsToTxn = defineApi({
  key: 24,
  name: 'AddPartitionsToTxn',
  versions: [0, 5],
  flexible: 3,
  request: struct({
    transactions: array(struct({
      transactionalId: string,
      producerId: int64,
      producerEpoch: int16,
      verifyOnly: boolean.default(false),
      topics,
    })).since(4),
    v3AndBelowTransactionalId: string.until(3),
    v3AndBelowProducerId: int64.until(3),
    v3AndBelowProducerEpoch: int16.until(3),
    v3AndBelowTopics: topics.until(3),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.since(4).default(0),
    resultsByTransaction: array(struct({
      transactionalId: string,
      topicResults,
    })).since(4),
    resultsByTopicV3AndBelow: topicResults.until(3),
  }),
})

export type AddPartitionsToTxnRequest = RequestOf<typeof AddPartitionsToTxn>
export type AddPartitionsToTxnResponse = ResponseOf<typeof AddPartitionsToTxn>
