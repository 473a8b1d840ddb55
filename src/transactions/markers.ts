/** The end of a transaction in one partition: a control batch behind what the transaction wrote there. */
import { KafkaError } from '../../protocol/errors.ts'
import type { PartitionLog, TransactionMarker } from '../../storage/partition/types.ts'
import type { Offset } from '../../storage/types.ts'
import { OFFSETS_TOPIC } from '../cluster/topic-names.ts'
import type { MarkerTargets } from './ports.ts'

export type MarkerOutcome =
  /** It is in the lane. */
  | { readonly kind: 'appended'; readonly log: PartitionLog; readonly lastOffset: Offset }
  /** Group offsets: an error code once it is durable. `appended`: it is in the lane already. */
  | { readonly kind: 'handedOver'; readonly appended: boolean; readonly done: Promise<number> }
  /** There is nothing to end here. */
  | { readonly kind: 'needless'; readonly errorCode: number; readonly reason: string }
  /** This broker does not lead any more. */
  | { readonly kind: 'lost' }

export function writeMarker(targets: MarkerTargets, topic: string, partition: number, marker: TransactionMarker): MarkerOutcome {
  const log = targets.partitionLog(topic, partition)
  if (log === null) return needless(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 'the partition is gone')
  if (topic === OFFSETS_TOPIC) {
    const appended = targets.offsetsLoaded(partition)
    return { kind: 'handedOver', appended, done: targets.endInOffsets(partition, marker) }
  }
  const outcome = log.appendMarker(marker)
  switch (outcome.kind) {
    case 'appended':
    case 'duplicate':
      return { kind: 'appended', log, lastOffset: outcome.lastOffset }
    case 'staleProducerEpoch':
      return needless(KafkaError.INVALID_PRODUCER_EPOCH, outcome.reason)
    case 'staleCoordinatorEpoch':
      return needless(KafkaError.TRANSACTION_COORDINATOR_FENCED, outcome.reason)
    case 'deleted':
      return needless(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 'the topic was deleted')
    case 'notLeader':
      return { kind: 'lost' }
    case 'corrupt':
    case 'invalidRecord':
    case 'invalidTimestamp':
    case 'invalidTransactionState':
    case 'outOfOrderSequence':
    case 'tooLarge':
    case 'unsupportedCodec':
      return needless(KafkaError.UNKNOWN_SERVER_ERROR, outcome.reason)
  }
}

/** The error code of a marker that was asked for by itself, once it is durable. */
export async function durableMarker(outcome: MarkerOutcome): Promise<number> {
  switch (outcome.kind) {
    case 'appended': {
      const { log, lastOffset } = outcome
      const durable = await new Promise<string>((resolve) => log.whenDurable(lastOffset, resolve))
      return durable === 'durable' ? KafkaError.NONE : KafkaError.NOT_LEADER_OR_FOLLOWER
    }
    case 'handedOver': {
      const errorCode = await outcome.done
      // Who asks for markers waits for leaders, not for coordinators.
      return isTransient(errorCode) ? KafkaError.NOT_LEADER_OR_FOLLOWER : errorCode
    }
    case 'needless':
      return outcome.errorCode
    case 'lost':
      return KafkaError.NOT_LEADER_OR_FOLLOWER
  }
}

/** Whether the group coordinator may take the marker when it is asked again. */
export function isTransient(errorCode: number): boolean {
  switch (errorCode) {
    case KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
    case KafkaError.COORDINATOR_NOT_AVAILABLE:
    case KafkaError.NOT_COORDINATOR:
    case KafkaError.NOT_LEADER_OR_FOLLOWER:
    case KafkaError.REQUEST_TIMED_OUT:
      return true
    default:
      return false
  }
}

function needless(errorCode: number, reason: string): MarkerOutcome {
  return { kind: 'needless', errorCode, reason }
}
