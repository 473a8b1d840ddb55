// AddPartitionsToTxn (24), v0–5.
// Makes partitions part of a transaction, all or none: where one does not exist, the others hear OPERATION_NOT_ATTEMPTED. Versions 4 and 5 are
// those of brokers, for many transactions at once; with `verifyOnly` they ask and change nothing (KIP-890). Internal topics are not for clients.
import { KafkaError } from '../../protocol/errors.ts'
import { AddPartitionsToTxn } from '../../protocol/messages/24-add-partitions-to-txn.ts'
import type { AddPartitionsToTxnRequest, AddPartitionsToTxnResponse } from '../../protocol/messages/24-add-partitions-to-txn.ts'
import type { Broker } from '../broker.ts'
import { isInternalTopic } from '../cluster/topic-names.ts'
import { EPOCH_BUMP_VERSION } from '../transactions/transaction.ts'
import type { Partitions } from '../transactions/transaction.ts'
import type { Handler, RequestContext } from './handler.ts'
import { knownSince } from './producer-fenced.ts'

type Asked = AddPartitionsToTxnRequest['transactions'][number]
type TopicResult = NonNullable<AddPartitionsToTxnResponse['resultsByTopicV3AndBelow']>[number]

const BATCHED_SINCE = 4
const FENCED_SINCE = 2

export const addPartitionsToTxn: Handler<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse> = {
  api: AddPartitionsToTxn,
  versions: [0, 5],

  async handle(request, context) {
    if (context.apiVersion < BATCHED_SINCE) {
      return { resultsByTransaction: [], resultsByTopicV3AndBelow: await one(onlyOf(request), context) }
    }
    const resultsByTransaction = await Promise.all(
      request.transactions.map(async (asked) => ({ transactionalId: asked.transactionalId, topicResults: await one(asked, context) })),
    )
    return { resultsByTransaction, resultsByTopicV3AndBelow: [] }
  },

  onError(request, errorCode, { apiVersion }) {
    if (apiVersion >= BATCHED_SINCE) return { errorCode, resultsByTransaction: [], resultsByTopicV3AndBelow: [] }
    return { resultsByTransaction: [], resultsByTopicV3AndBelow: results(onlyOf(request), () => errorCode) }
  },
}

async function one(asked: Asked, { broker, apiVersion }: RequestContext): Promise<readonly TopicResult[]> {
  const fromClient = apiVersion < BATCHED_SINCE
  const problem = (topic: string, partition: number): number => problemOf(broker, topic, partition, fromClient)
  if (asked.topics.some(({ name, partitions }) => partitions.some((partition) => problem(name, partition) !== KafkaError.NONE))) {
    return results(asked, (topic, partition) => problem(topic, partition) || KafkaError.OPERATION_NOT_ATTEMPTED)
  }
  if (asked.verifyOnly) {
    return Promise.all(asked.topics.map(async ({ name, partitions }) => {
      const errorCodes = await broker.transactions.verify(asked.transactionalId, asked, name, partitions)
      return { name, resultsByPartition: partitions.map((partitionIndex, i) => ({ partitionIndex, partitionErrorCode: errorCodes[i] ?? KafkaError.NONE })) }
    }))
  }
  const clientVersion = fromClient ? 0 : EPOCH_BUMP_VERSION
  const errorCode = await broker.transactions.addPartitions(asked.transactionalId, asked, partitionsOf(asked), clientVersion)
  return results(asked, () => knownSince(FENCED_SINCE, apiVersion, errorCode))
}

function problemOf(broker: Broker, topic: string, partition: number, fromClient: boolean): number {
  if (fromClient && isInternalTopic(topic)) return KafkaError.TOPIC_AUTHORIZATION_FAILED
  const found = broker.topics.byName(topic)
  return found !== null && partition >= 0 && partition < found.partitions ? KafkaError.NONE : KafkaError.UNKNOWN_TOPIC_OR_PARTITION
}

function onlyOf(request: AddPartitionsToTxnRequest): Asked {
  return {
    transactionalId: request.v3AndBelowTransactionalId,
    producerId: request.v3AndBelowProducerId,
    producerEpoch: request.v3AndBelowProducerEpoch,
    verifyOnly: false,
    topics: request.v3AndBelowTopics,
  }
}

function partitionsOf({ topics }: Asked): Partitions {
  const all = new Map<string, Set<number>>()
  for (const { name, partitions } of topics) {
    const known = all.get(name)
    if (known === undefined) all.set(name, new Set(partitions))
    else for (const partition of partitions) known.add(partition)
  }
  return all
}

function results({ topics }: Asked, errorOf: (topic: string, partition: number) => number): readonly TopicResult[] {
  return topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map((partitionIndex) => ({ partitionIndex, partitionErrorCode: errorOf(name, partitionIndex) })),
  }))
}
