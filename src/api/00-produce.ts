// Produce (0), v3–13.
// One record batch per partition, appended and answered when it is durable (acks 1 and -1 are the same: the object store replicates).
// acks=0 sends nothing; an error closes the connection, as in Kafka. Versions 0–2 are advertised for librdkafka's sake and refused
// (KAFKA-18659). v13 names topics by id. Batches are checked to the last record, compressed ones too: what consumers or the table could not
// read is never acknowledged. For the first batch of a transaction in a partition the transaction coordinator is asked, at once (KIP-890): from v12 on
// the partition becomes part of the transaction by it, before that the batch is refused where the partition is not. Not done: NodeEndpoints
// (KIP-951; there is one broker).
import { KafkaError } from '../../protocol/errors.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import type { ProduceRequest, ProduceResponse } from '../../protocol/messages/00-produce.ts'
import { BATCH_HEADER_SIZE, CODEC_ZSTD, attributes, codecOf, isTransactional, producerEpoch, producerId } from '../../protocol/records/batch.ts'
import type { TopicRecord } from '../../storage/journal/entries.ts'
import type { AppendOutcome, DurableOutcome, PartitionLog } from '../../storage/partition/types.ts'
import { assertNever } from '../../storage/types.ts'
import { isInternalTopic } from '../cluster/topic-names.ts'
import type { Handler, RequestContext } from './handler.ts'

type TopicResult = ProduceResponse['responses'][number]
type PartitionResult = TopicResult['partitionResponses'][number]

/** First version whose clients understand zstd (KIP-110). */
const ZSTD_SINCE = 7
const TOPIC_IDS_SINCE = 13
/** First versions of KIP-890: clients that can be told to abort, and clients that leave it to the broker to add partitions. */
const ABORTABLE_SINCE = 11
const ADDS_SINCE = 12
/** An answer is not to be many times the request: a batch may hold a hundred thousand records that are all at fault. */
const RECORD_ERRORS_MAX = 1000

export const produce: Handler<ProduceRequest, ProduceResponse> = {
  api: Produce,
  versions: [3, 13],

  handle(request, context) {
    if (request.acks !== 0 && request.acks !== 1 && request.acks !== -1) {
      return allFailed(request, KafkaError.INVALID_REQUIRED_ACKS, context, 'acks must be 0, 1 or -1')
    }
    // Nobody but the owner of a transactional id may write for it, and no id is nobody's.
    if (request.transactionalId === null && hasTransactionalBatch(request)) {
      return allFailed(request, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, context, null)
    }
    const timeoutMs = Math.max(request.timeoutMs, 0)
    return context.broker.engine.appends.isOpen ? respond(request, context, timeoutMs) : waitForRoom(request, context, timeoutMs)
  },

  onError(request, errorCode, context) {
    return allFailed(request, errorCode, context, null)
  },
}

/** Overload slows producers down (P8): nothing is appended until the lane has room, or the producer would give up. */
function waitForRoom(request: ProduceRequest, context: RequestContext, timeoutMs: number): Promise<ProduceResponse | null> {
  const { engine, env } = context.broker
  const startedMs = env.clock.monotonic()
  return new Promise((resolve, reject) => {
    engine.appends.wait(timeoutMs, context.signal, (admitted) => {
      try {
        const leftMs = Math.max(0, timeoutMs - (env.clock.monotonic() - startedMs))
        const late = KafkaError.REQUEST_TIMED_OUT
        resolve(admitted ? respond(request, context, leftMs) : allFailed(request, late, context, 'the broker waits for its object store'))
      } catch (error) {
        reject(error)
      }
    })
  })
}

/** Appends, and waits at most `timeoutMs` for what was appended to become durable. */
function respond(request: ProduceRequest, context: RequestContext, timeoutMs: number): ProduceResponse | null | Promise<ProduceResponse | null> {
  let failed = false
  let pending = 0
  if (request.transactionalId !== null && context.apiVersion >= ADDS_SINCE) addTogether(request.transactionalId, request, context)
  const waits: { readonly log: PartitionLog; readonly lastOffset: number; readonly result: PartitionResult }[] = []
  const responses = request.topicData.map((topic): TopicResult => {
    const found = topicOf(topic, context)
    return {
      name: topic.name,
      topicId: topic.topicId,
      partitionResponses: topic.partitionData.map((partition): PartitionResult => {
        const result: PartitionResult = { index: partition.index, baseOffset: -1 }
        const log = found === null ? null : context.broker.topics.partition(found.id, partition.index)
        if (found === null || log === null) {
          const unknownId = found === null && context.apiVersion >= TOPIC_IDS_SINCE
          fail(result, unknownId ? KafkaError.UNKNOWN_TOPIC_ID : KafkaError.UNKNOWN_TOPIC_OR_PARTITION, null)
        } else if (isInternalTopic(found.name) && context.clientId !== '__admin_client') {
          fail(result, KafkaError.INVALID_TOPIC_EXCEPTION, `clients may not write to ${found.name}`)
        } else {
          const batch = oneBatch(partition.records)
          if (batch === null) fail(result, KafkaError.INVALID_RECORD, 'a produce request holds one record batch per partition')
          else if (context.apiVersion < ZSTD_SINCE && codecOf(attributesOf(batch)) === CODEC_ZSTD) {
            fail(result, KafkaError.UNSUPPORTED_COMPRESSION_TYPE, 'zstd needs Produce version 7 or later')
          } else if (isTransactional(attributesOf(batch)) && !admitted(request, found.name, partition.index, log, batch, result, context)) {
            // `result` says why.
          } else {
            const outcome = log.append(batch, { origin: 'client', memory: context.memory })
            if (outcome.kind === 'appended') {
              context.broker.metrics.produced(found.name, batch.length, outcome.lastOffset - outcome.baseOffset + 1)
            }
            if (outcome.kind === 'appended' || outcome.kind === 'duplicate') {
              result.baseOffset = outcome.baseOffset
              result.logAppendTimeMs = outcome.logAppendTimeMs
              result.logStartOffset = log.logStartOffset
              waits.push({ log, lastOffset: outcome.lastOffset, result })
              pending++
            } else {
              fail(result, errorOf(outcome), 'reason' in outcome ? outcome.reason : null)
              if ('records' in outcome && outcome.records !== undefined) {
                // KIP-467: which records of the batch are at fault.
                const batchIndexErrorMessage = outcome.reason
                result.recordErrors = outcome.records.slice(0, RECORD_ERRORS_MAX).map((batchIndex) => ({ batchIndex, batchIndexErrorMessage }))
              }
            }
          }
        }
        if (result.errorCode !== undefined) failed = true
        return result
      }),
    }
  })
  if (request.acks === 0) {
    if (failed) context.closeConnection()
    return null
  }
  const response: ProduceResponse = { responses }
  if (pending === 0) return response
  return new Promise((resolve) => {
    const timer = context.broker.env.clock.schedule(timeoutMs, () => {
      for (const { log, lastOffset, result } of waits) {
        if (lastOffset >= log.highWatermark) fail(result, KafkaError.REQUEST_TIMED_OUT, 'the object store did not answer in time; the records may become durable later')
      }
      pending = -1
      resolve(response)
    })
    for (const { log, lastOffset, result } of waits) {
      log.whenDurable(lastOffset, (outcome) => {
        if (pending < 0) return
        if (outcome !== 'durable') fail(result, durableError(outcome), null)
        if (--pending === 0) {
          timer.cancel()
          resolve(response)
        }
      })
    }
  })
}

type Topic = ProduceRequest['topicData'][number]

function topicOf(topic: Topic, { broker, apiVersion }: RequestContext): TopicRecord | null {
  return apiVersion >= TOPIC_IDS_SINCE ? broker.topics.byId(topic.topicId) : broker.topics.byName(topic.name)
}

/** Whether a batch may be written within its transaction; if not, the result of its partition says why. */
function admitted(
  request: ProduceRequest,
  topic: string,
  partition: number,
  log: PartitionLog,
  batch: Uint8Array,
  result: PartitionResult,
  { broker, apiVersion }: RequestContext,
): boolean {
  const id = producerId(batch, 0)
  // Whether the epoch is the right one, the log sees itself.
  if (log.openTransaction(id) !== null) return true
  const adds = apiVersion >= ADDS_SINCE
  if (!adds && !broker.config['transaction.partition.verification.enable']) return true
  const { transactionalId } = request
  // `handle` refuses those without an id.
  if (transactionalId === null) return false
  const errorCode = broker.transactions.admit({ transactionalId, producerId: id, producerEpoch: producerEpoch(batch, 0), topic, partition, adds })
  if (errorCode === KafkaError.NONE) return true
  fail(result, known(errorCode, apiVersion), 'the partition could not be made part of the transaction, or is not part of it')
  return false
}

/** New partitions of a transaction with one record, where there are several. Each is asked for by itself all the same, and then known. */
function addTogether(transactionalId: string, request: ProduceRequest, context: RequestContext): void {
  const added = new Map<string, Set<number>>()
  let first: Uint8Array | null = null
  let count = 0
  for (const topic of request.topicData) {
    const found = topicOf(topic, context)
    if (found === null || isInternalTopic(found.name)) continue
    for (const { index, records } of topic.partitionData) {
      const batch = records?.[0]
      if (batch === undefined || !isTransactional(attributesOf(batch))) continue
      const log = context.broker.topics.partition(found.id, index)
      if (log === null || log.openTransaction(producerId(batch, 0)) !== null) continue
      first ??= batch
      count++
      const known = added.get(found.name)
      if (known === undefined) added.set(found.name, new Set([index]))
      else known.add(index)
    }
  }
  if (first === null || count < 2) return
  context.broker.transactions.admitAll(transactionalId, { producerId: producerId(first, 0), producerEpoch: producerEpoch(first, 0) }, added)
}

/** What the transaction coordinator says, as producers of that version know it. */
function known(errorCode: number, apiVersion: number): number {
  switch (errorCode) {
    case KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
    case KafkaError.COORDINATOR_NOT_AVAILABLE:
    case KafkaError.NOT_COORDINATOR:
      // Producers know of no coordinator here; this they try again.
      return KafkaError.NOT_ENOUGH_REPLICAS
    case KafkaError.CONCURRENT_TRANSACTIONS:
      return apiVersion >= ADDS_SINCE ? errorCode : KafkaError.NOT_ENOUGH_REPLICAS
    case KafkaError.TRANSACTION_ABORTABLE:
      return apiVersion >= ABORTABLE_SINCE ? errorCode : KafkaError.INVALID_TXN_STATE
    case KafkaError.PRODUCER_FENCED:
      return KafkaError.INVALID_PRODUCER_EPOCH
    default:
      return errorCode
  }
}

function oneBatch(records: readonly Uint8Array[] | null): Uint8Array | null {
  if (records === null || records.length === 0) return null
  return records.length === 1 ? records[0]! : Buffer.concat(records)
}

/** Of a batch that is not validated yet; 0 where it is too short to have any. */
function attributesOf(batch: Uint8Array): number {
  return batch.length >= BATCH_HEADER_SIZE ? attributes(batch, 0) : 0
}

function hasTransactionalBatch(request: ProduceRequest): boolean {
  return request.topicData.some(({ partitionData }) =>
    partitionData.some(({ records }) => records !== null && records.length > 0 && isTransactional(attributesOf(records[0]!))),
  )
}

function fail(result: PartitionResult, errorCode: number, message: string | null): void {
  result.errorCode = errorCode
  result.baseOffset = -1
  result.logAppendTimeMs = -1
  result.logStartOffset = -1
  result.errorMessage = message
}

function allFailed(request: ProduceRequest, errorCode: number, context: RequestContext, message: string | null): ProduceResponse | null {
  if (request.acks === 0) {
    context.closeConnection()
    return null
  }
  return {
    responses: request.topicData.map((topic) => ({
      name: topic.name,
      topicId: topic.topicId,
      partitionResponses: topic.partitionData.map(({ index }) => ({ index, errorCode, baseOffset: -1, errorMessage: message })),
    })),
  }
}

function errorOf(outcome: AppendOutcome): number {
  switch (outcome.kind) {
    case 'appended':
    case 'duplicate':
      return KafkaError.NONE
    case 'outOfOrderSequence':
      return KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
    case 'staleProducerEpoch':
      return KafkaError.INVALID_PRODUCER_EPOCH
    case 'invalidTransactionState':
      return KafkaError.INVALID_TXN_STATE
    case 'corrupt':
      return KafkaError.CORRUPT_MESSAGE
    case 'invalidRecord':
      return KafkaError.INVALID_RECORD
    case 'invalidTimestamp':
      return KafkaError.INVALID_TIMESTAMP
    case 'tooLarge':
      return KafkaError.MESSAGE_TOO_LARGE
    case 'unsupportedCodec':
      return KafkaError.UNSUPPORTED_COMPRESSION_TYPE
    case 'notLeader':
      return KafkaError.NOT_LEADER_OR_FOLLOWER
    case 'deleted':
      return KafkaError.UNKNOWN_TOPIC_OR_PARTITION
    default:
      return assertNever(outcome)
  }
}

function durableError(outcome: Exclude<DurableOutcome, 'durable'>): number {
  switch (outcome) {
    case 'notLeader':
      return KafkaError.NOT_LEADER_OR_FOLLOWER
    case 'deleted':
      return KafkaError.UNKNOWN_TOPIC_OR_PARTITION
    default:
      return assertNever(outcome)
  }
}
