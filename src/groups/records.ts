/**
 * The records of `__consumer_offsets`, byte for byte as Apache Kafka writes them: an int16 that names the kind of the key (1 a committed
 * offset, 2 a classic group; those of consumer groups are in `consumer/records.ts`), or the version of the value, then the fields. A null
 * value is a tombstone. Values of all versions (0 to 4) can be read; written are those that Kafka 4.3 writes (offsets 4, or 1 with an expiry
 * of their own; groups 3).
 *
 * Source: the message definitions OffsetCommitKey, OffsetCommitValue, GroupMetadataKey and GroupMetadataValue of Kafka's group coordinator;
 * flexible versions are KIP-915.
 */
import { compileDecoder } from '../../protocol/schema/decoder.ts'
import type { Decode } from '../../protocol/schema/decoder.ts'
import { compileEncoder } from '../../protocol/schema/encoder.ts'
import type { Encode } from '../../protocol/schema/encoder.ts'
import { ZERO_UUID, array, bytes, int32, int64, nullableString, string, struct, uuid } from '../../protocol/schema/field.ts'
import type { AnyField, InOf, OutOf } from '../../protocol/schema/field.ts'
import { ProtocolError } from '../../protocol/wire/protocol-error.ts'
import { Reader } from '../../protocol/wire/reader.ts'
import { Writer } from '../../protocol/wire/writer.ts'
import type { GroupMetadata } from './types.ts'

const OFFSET_COMMIT_KEYS = [0, 1] as const
const OFFSET_COMMIT_KEY = 1
const GROUP_METADATA_KEY = 2
/** The keys of all of them begin with the group. */
const CONSUMER_GROUP_KEYS: ReadonlySet<number> = new Set([3, 4, 5, 6, 7, 8, 16])
const VALUE_VERSION_MAX = 4
const FLEXIBLE_SINCE = 4
const OFFSET_COMMIT_VERSION = 4
/** The only version with an expiry per offset, which clients set through OffsetCommit v2 to v4. */
const OFFSET_COMMIT_VERSION_WITH_EXPIRY = 1
const GROUP_METADATA_VERSION = 3
/** Values come from our own log, so the bound is only against damage. */
export const DECODE_BUDGET_BYTES = 1 << 30

const offsetCommitKey = struct({ group: string, topic: string, partition: int32 })
const groupMetadataKey = struct({ group: string })

const offsetCommitValue = struct({
  offset: int64,
  leaderEpoch: int32.since(3).default(-1),
  metadata: string,
  commitTimestampMs: int64,
  expireTimestampMs: int64.since(1).until(1).default(-1),
  topicId: uuid.tagged(0, 4).default(ZERO_UUID),
})

const groupMetadataValue = struct({
  protocolType: string,
  generation: int32,
  protocol: nullableString,
  leader: nullableString,
  phaseChangedAtMs: int64.since(2).default(-1),
  members: array(struct({
    memberId: string,
    instanceId: nullableString.since(3).default(null),
    clientId: string,
    clientHost: string,
    rebalanceTimeoutMs: int32.since(1).default(-1),
    sessionTimeoutMs: int32,
    subscription: bytes,
    assignment: bytes,
  })),
})

/** A committed offset as it is stored. `leaderEpoch` and `expireTimestampMs` are -1 when unknown, `topicId` the zero UUID. */
export type CommittedOffset = OutOf<typeof offsetCommitValue>

export interface RecordBytes {
  readonly key: Uint8Array
  /** Null deletes. */
  readonly value: Uint8Array | null
}

export type GroupRecord =
  | { readonly kind: 'offset'; readonly group: string; readonly topic: string; readonly partition: number; readonly value: CommittedOffset | null }
  | { readonly kind: 'group'; readonly group: string; readonly value: GroupMetadata | null }
  /** One of the records of a consumer group; `consumer/records.ts` reads them together. */
  | { readonly kind: 'consumer'; readonly group: string }

/** A committed offset, or its deletion. */
export function offsetRecord(group: string, topic: string, partition: number, value: CommittedOffset | null): RecordBytes {
  const key = encodeOffsetKey({ group, topic, partition })
  if (value === null) return { key, value }
  const version = value.expireTimestampMs === -1 ? OFFSET_COMMIT_VERSION : OFFSET_COMMIT_VERSION_WITH_EXPIRY
  return { key, value: encodeOffsetValue(version, value) }
}

/** The state of a group, or its deletion. */
export function groupRecord(group: string, value: GroupMetadata | null): RecordBytes {
  const key = encodeGroupKey({ group })
  return { key, value: value === null ? null : encodeGroupValue(GROUP_METADATA_VERSION, value) }
}

/**
 * The record of these bytes; null for kinds that this broker does not use (those of share and streams groups).
 *
 * @throws ProtocolError for bytes that are damaged or of an unknown version
 */
export function decodeGroupRecord(key: Uint8Array, value: Uint8Array | null): GroupRecord | null {
  const keyReader = new Reader(key, DECODE_BUDGET_BYTES)
  const kind = keyReader.int16()
  if (kind === OFFSET_COMMIT_KEYS[0] || kind === OFFSET_COMMIT_KEYS[1]) {
    const { group, topic, partition } = decodeOffsetKey(keyReader)
    return { kind: 'offset', group, topic, partition, value: value === null ? null : decodeOffsetValue(value) }
  }
  if (CONSUMER_GROUP_KEYS.has(kind)) return { kind: 'consumer', group: decodeGroupKey(keyReader).group }
  if (kind !== GROUP_METADATA_KEY) return null
  const { group } = decodeGroupKey(keyReader)
  return { kind: 'group', group, value: value === null ? null : decodeGroupValue(value) }
}

/** Whether a key is that of a classic group. */
export function isClassicGroupKey(key: Uint8Array): boolean {
  return key[0] === 0 && key[1] === GROUP_METADATA_KEY
}

/** A key as it can be looked up. */
export function recordKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}

/**
 * The partition of `__consumer_offsets` that a group belongs to: Java's `String.hashCode` without its sign, modulo the number of partitions,
 * which is fixed when the topic is created.
 */
export function partitionOfGroup(group: string, partitions: number): number {
  let hash = 0
  for (let i = 0; i < group.length; i++) hash = (Math.imul(31, hash) + group.charCodeAt(i)) | 0
  // Kafka's Utils.abs makes the one number without a counterpart 0.
  return hash === -0x8000_0000 ? 0 : Math.abs(hash) % partitions
}

const encodeOffsetKey = keyEncoder(offsetCommitKey, OFFSET_COMMIT_KEY)
const encodeGroupKey = keyEncoder(groupMetadataKey, GROUP_METADATA_KEY)
const encodeOffsetValue = valueEncoder(offsetCommitValue)
const encodeGroupValue = valueEncoder(groupMetadataValue)
const decodeOffsetKey = keyDecoder(offsetCommitKey)
const decodeGroupKey = keyDecoder(groupMetadataKey)
const decodeOffsetValue = valueDecoder(offsetCommitValue)
const decodeGroupValue = valueDecoder(groupMetadataValue)

/** Encoders and decoders of keys and values, for the records of all kinds of groups. */
export function keyEncoder<F extends AnyField>(field: F, kind: number): (key: InOf<F>) => Uint8Array {
  const encode = compileEncoder(structOf(field), 0, false)
  return (key) => encoded(kind, encode, key)
}

export function keyDecoder<F extends AnyField>(field: F): (reader: Reader) => OutOf<F> {
  const decode = compileDecoder(structOf(field), 0, false)
  return (reader) => decode(reader) as OutOf<F>
}

export function valueEncoder<F extends AnyField>(field: F, flexibleSince = FLEXIBLE_SINCE): (version: number, value: InOf<F>) => Uint8Array {
  const encoders: Encode[] = []
  return (version, value) => {
    const encode = (encoders[version] ??= compileEncoder(structOf(field), version, version >= flexibleSince))
    return encoded(version, encode, value)
  }
}

export function valueDecoder<F extends AnyField>(
  field: F,
  flexibleSince = FLEXIBLE_SINCE,
  versionMax = VALUE_VERSION_MAX,
): (value: Uint8Array) => OutOf<F> {
  const decoders: Decode[] = []
  return (value) => {
    const reader = new Reader(value, DECODE_BUDGET_BYTES)
    const version = reader.int16()
    if (version < 0 || version > versionMax) throw new ProtocolError(`a value of __consumer_offsets has version ${version}`)
    const decode = (decoders[version] ??= compileDecoder(structOf(field), version, version >= flexibleSince))
    return decode(reader) as OutOf<F>
  }
}

function encoded(version: number, encode: Encode, value: unknown): Uint8Array {
  const writer = new Writer()
  writer.int16(version)
  encode(writer, value)
  const chunks = writer.finish()
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks)
}

/** The struct that a declaration is. */
export function structOf(field: AnyField): Parameters<typeof compileEncoder>[0] {
  const { type } = field.spec
  if (type.kind !== 'struct') throw new TypeError('only structs are records')
  return type
}
