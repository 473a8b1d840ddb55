// TxnOffsetCommit (28), v0–5.
// Offsets that count once their transaction commits. From v5 on they become part of it by this (KIP-890); before, AddOffsetsToTxn has to have said so.
// Where the transaction does not allow it, no partition is committed. From v3 on the member of the group is checked (KIP-447).
import { KafkaError } from '../../protocol/errors.ts'
import { TxnOffsetCommit } from '../../protocol/messages/28-txn-offset-commit.ts'
import type { TxnOffsetCommitRequest, TxnOffsetCommitResponse } from '../../protocol/messages/28-txn-offset-commit.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import { OFFSETS_TOPIC } from '../cluster/topic-names.ts'
import type { Handler, RequestContext } from './handler.ts'

const LOADING_SINCE = 2
const ABORTABLE_SINCE = 4
const ADDS_SINCE = 5

export const txnOffsetCommit: Handler<TxnOffsetCommitRequest, TxnOffsetCommitResponse> = {
  api: TxnOffsetCommit,
  versions: [0, 5],

  async handle(request, context) {
    const { broker, apiVersion } = context
    const refused = admit(request, context)
    if (refused !== KafkaError.NONE) return allFailed(request, known(refused, apiVersion))
    const topics = await broker.groups.commitTransactional({
      groupId: request.groupId,
      memberId: request.memberId,
      instanceId: request.groupInstanceId,
      generation: request.generationId,
      namesUnknownGroup: false,
      retentionMs: -1,
      topics: request.topics.map(({ name, partitions }) => ({ name, topicId: ZERO_UUID, partitions })),
      producerId: request.producerId,
      producerEpoch: request.producerEpoch,
    })
    return {
      topics: topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex, errorCode }) => ({ partitionIndex, errorCode: known(errorCode, apiVersion) })),
      })),
    }
  },

  onError: allFailed,
}

function admit({ transactionalId, producerId, producerEpoch, groupId }: TxnOffsetCommitRequest, { broker, apiVersion }: RequestContext): number {
  const adds = apiVersion >= ADDS_SINCE
  if (!adds && !broker.config['transaction.partition.verification.enable']) return KafkaError.NONE
  const partition = broker.groups.offsetsPartitionOf(groupId)
  return broker.transactions.admit({ transactionalId, producerId, producerEpoch, topic: OFFSETS_TOPIC, partition, adds })
}

/** The error code as clients of that version know it. */
function known(errorCode: number, apiVersion: number): number {
  switch (errorCode) {
    case KafkaError.PRODUCER_FENCED:
      return KafkaError.INVALID_PRODUCER_EPOCH
    case KafkaError.TRANSACTION_ABORTABLE:
      return apiVersion >= ABORTABLE_SINCE ? errorCode : KafkaError.INVALID_TXN_STATE
    case KafkaError.CONCURRENT_TRANSACTIONS:
      return apiVersion >= ADDS_SINCE ? errorCode : KafkaError.COORDINATOR_NOT_AVAILABLE
    case KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
      // Producers from before KAFKA-7296 fail for good on it.
      return apiVersion >= LOADING_SINCE ? errorCode : KafkaError.COORDINATOR_NOT_AVAILABLE
    default:
      return errorCode
  }
}

function allFailed({ topics }: TxnOffsetCommitRequest, errorCode: number): TxnOffsetCommitResponse {
  return {
    topics: topics.map(({ name, partitions }) => ({ name, partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })) })),
  }
}
