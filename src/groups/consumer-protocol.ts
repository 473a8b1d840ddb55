/**
 * What consumers put into the opaque bytes of the classic protocol: their subscriptions and the assignments that leaders make of them
 * (ConsumerProtocolSubscription and ConsumerProtocolAssignment of Kafka's message definitions, versions 0 to 3). Newer versions are read as
 * version 3, as Kafka promises that they can be.
 */
import { Buffer } from 'node:buffer'
import { compileDecoder } from '../../protocol/schema/decoder.ts'
import { compileEncoder } from '../../protocol/schema/encoder.ts'
import { array, int32, nullableBytes, nullableString, string, struct } from '../../protocol/schema/field.ts'
import type { AnyField, OutOf } from '../../protocol/schema/field.ts'
import { ProtocolError } from '../../protocol/wire/protocol-error.ts'
import { Reader } from '../../protocol/wire/reader.ts'
import { Writer } from '../../protocol/wire/writer.ts'
import { structOf } from './records.ts'

/** The protocol type of groups of consumers. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer'

const VERSION_MAX = 3
/** Subscriptions come from clients in frames that are bounded; this bounds what counts inside promise. */
const DECODE_BUDGET_BYTES = 64 * 1024 * 1024

const topicPartitions = array(struct({ topic: string, partitions: array(int32) }))

const topicsOnly = struct({ topics: array(string) })

const subscription = struct({
  topics: array(string),
  userData: nullableBytes,
  ownedPartitions: topicPartitions.since(1).default([]),
  /** Of the generation in which the partitions were owned. */
  generation: int32.since(2).default(-1),
  rackId: nullableString.since(3).default(null),
})

const assignment = struct({
  assignedPartitions: topicPartitions,
  userData: nullableBytes,
})

export type ConsumerSubscription = OutOf<typeof subscription>
export type ConsumerAssignment = OutOf<typeof assignment>
export type NamedPartitions = ConsumerAssignment['assignedPartitions']

const encodeAssigned = compileEncoder(structOf(assignment), 0, false)
const decodeTopicsOnly = decoder(topicsOnly)
export const decodeSubscription: (value: Uint8Array) => ConsumerSubscription = decoder(subscription)
export const decodeAssignment: (value: Uint8Array) => ConsumerAssignment = decoder(assignment)

/**
 * The topics of a subscription, also of one whose rest nobody could read.
 *
 * @throws ProtocolError for bytes that are no subscription
 */
export function subscribedTopics(value: Uint8Array): readonly string[] {
  return decodeTopicsOnly(value).topics
}

/** The version that a member's subscription is in, up to which it understands assignments. Unreadable ones count as 0. */
export function subscriptionVersion(value: Uint8Array): number {
  const version = value.length < 2 ? 0 : Buffer.from(value.buffer, value.byteOffset, 2).readInt16BE(0)
  return Math.min(Math.max(version, 0), VERSION_MAX)
}

/** All versions have the same bytes behind the version. */
export function encodeAssignment(version: number, assignedPartitions: NamedPartitions): Uint8Array {
  const writer = new Writer()
  writer.int16(version)
  encodeAssigned(writer, { assignedPartitions, userData: null })
  return Buffer.concat(writer.finish())
}

function decoder<F extends AnyField>(field: F): (value: Uint8Array) => OutOf<F> {
  const decoders = Array.from({ length: VERSION_MAX + 1 }, (_, version) => compileDecoder(structOf(field), version, false))
  return (value) => {
    const reader = new Reader(value, DECODE_BUDGET_BYTES)
    const version = reader.int16()
    if (version < 0) throw new ProtocolError(`version ${version} of the consumer protocol`)
    return decoders[Math.min(version, VERSION_MAX)]!(reader) as OutOf<F>
  }
}
