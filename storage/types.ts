/**
 * The integers of the storage layer. Kafka's int64 offsets are safe integers inside (bigint stays in the codec);
 * aliases name what a number means without costing a conversion at every arithmetic step.
 */

/** A Kafka offset. */
export type Offset = number
/** A Delta commit number. */
export type TableVersion = number
/** An entry number of a put-if-absent log (journal version, lane sequence). */
export type LogVersion = number
/** Journal version that a broker process won when it started. */
export type Incarnation = number
/** A Kafka UUID: 22 characters of base64url, as Kafka's tools print it. */
export type Uuid = string

export interface TopicPartition {
  readonly topicId: Uuid
  readonly partition: number
}

/** Makes a switch exhaustive: a new kind that is not handled is a type error. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`)
}
