/** What producers are told that have been fenced, by the version in which they ask (KIP-588). */
import { KafkaError } from '../../protocol/errors.ts'

/** The error code as clients of that version know it: PRODUCER_FENCED came with version `since`, and was INVALID_PRODUCER_EPOCH before. */
export function knownSince(since: number, apiVersion: number, errorCode: number): number {
  return errorCode === KafkaError.PRODUCER_FENCED && apiVersion < since ? KafkaError.INVALID_PRODUCER_EPOCH : errorCode
}
