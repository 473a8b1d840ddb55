// DeleteRecords (21), v0–2 (KIP-107).
// Moves the start of a partition's log; -1 stands for the high watermark. Durable when it is answered, and consumers no longer see the
// records; their rows leave the table soon after. Topics whose cleanup policy lacks delete refuse it, internal topics too.
import { KafkaError } from '../../protocol/errors.ts'
import { DeleteRecords } from '../../protocol/messages/21-delete-records.ts'
import type { DeleteRecordsRequest, DeleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import type { DeleteRecordsOutcome } from '../../storage/engine/engine.ts'
import { assertNever } from '../../storage/types.ts'
import type { Broker } from '../broker.ts'
import type { Handler } from './handler.ts'

type PartitionResult = DeleteRecordsResponse['topics'][number]['partitions'][number]

const HIGH_WATERMARK = -1
const NO_LOW_WATERMARK = -1
/** On Kafka the timeout bounds the wait for followers and not the write of the leader, so some clients ask for none at all. */
const TIMEOUT_MIN_MS = 10_000

export const deleteRecords: Handler<DeleteRecordsRequest, DeleteRecordsResponse> = {
  api: DeleteRecords,
  versions: [0, 2],

  async handle(request, { broker }) {
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const timer = broker.env.clock.schedule(Math.max(TIMEOUT_MIN_MS, request.timeoutMs), () => resolve('late'))
    const topics = await Promise.all(
      request.topics.map(async ({ name, partitions }) => ({
        name,
        partitions: await Promise.all(
          partitions.map(async ({ partitionIndex, offset }): Promise<PartitionResult> => {
            const outcome = await Promise.race([remove(broker, name, partitionIndex, offset), late])
            if (typeof outcome === 'object') return { partitionIndex, lowWatermark: outcome.logStartOffset }
            return { partitionIndex, lowWatermark: NO_LOW_WATERMARK, errorCode: outcome === 'late' ? KafkaError.REQUEST_TIMED_OUT : outcome }
          }),
        ),
      })),
    )
    timer.cancel()
    return { topics }
  },

  onError: (request, errorCode) => ({
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, lowWatermark: NO_LOW_WATERMARK, errorCode })),
    })),
  }),
}

/** An error code, or where the log begins now. */
async function remove({ topics, engine }: Broker, name: string, partition: number, offset: number): Promise<number | { logStartOffset: number }> {
  const topic = topics.byName(name)
  if (topic === null || engine.partition(topic.id, partition) === null) return KafkaError.UNKNOWN_TOPIC_OR_PARTITION
  if (topic.internal) return KafkaError.INVALID_TOPIC_EXCEPTION
  if (engine.topic(topic.id)?.config.retention === undefined) return KafkaError.POLICY_VIOLATION
  const outcome: DeleteRecordsOutcome = await engine.deleteRecords(topic.id, partition, offset === HIGH_WATERMARK ? null : offset)
  switch (outcome.kind) {
    case 'deleted':
      return outcome
    case 'outOfRange':
      return KafkaError.OFFSET_OUT_OF_RANGE
    case 'notLeader':
      return KafkaError.NOT_LEADER_OR_FOLLOWER
    default:
      return assertNever(outcome)
  }
}
