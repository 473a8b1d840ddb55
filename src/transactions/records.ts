/**
 * The records of `__transaction_state`, byte for byte as Apache Kafka writes them: the transactional id as the key, all that is known of it as the
 * value. A null value is a tombstone. Values of versions 0 and 1 can be read; written is 1, which is flexible and has the fields of KIP-890.
 *
 * Source: the message definitions TransactionLogKey and TransactionLogValue of Kafka's transaction coordinator.
 */
import { compileDecoder } from '../../protocol/schema/decoder.ts'
import { array, int16, int32, int64, int8, nullableArray, string, struct } from '../../protocol/schema/field.ts'
import type { OutOf } from '../../protocol/schema/field.ts'
import { ProtocolError } from '../../protocol/wire/protocol-error.ts'
import { Reader } from '../../protocol/wire/reader.ts'
import { DECODE_BUDGET_BYTES, keyDecoder, keyEncoder, structOf, valueEncoder } from '../groups/records.ts'
import type { RecordBytes } from '../groups/records.ts'
import { NONE, TRANSACTION_STATES } from './transaction.ts'
import type { Transaction } from './transaction.ts'

const KEY_VERSION = 0
const VALUE_VERSION = 1
const FLEXIBLE_SINCE = 1

const transactionKey = struct({ transactionalId: string })

const transactionValue = struct({
  producerId: int64,
  previousProducerId: int64.tagged(0, 1).default(NONE),
  nextProducerId: int64.tagged(1, 1).default(NONE),
  producerEpoch: int16,
  timeoutMs: int32,
  status: int8,
  partitions: nullableArray(struct({ topic: string, partitionIds: array(int32) })),
  updatedMs: int64,
  startMs: int64,
  clientVersion: int16.tagged(2, 1).default(0),
})

export interface TransactionRecord {
  readonly transactionalId: string
  /** Null: the id has expired. */
  readonly transaction: Transaction | null
}

const encodeKey = keyEncoder(transactionKey, KEY_VERSION)
const encodeValue = valueEncoder(transactionValue, FLEXIBLE_SINCE)
const decodeKey = keyDecoder(transactionKey)
const valueDecoders = Array.from({ length: VALUE_VERSION + 1 }, (_, version) =>
  compileDecoder(structOf(transactionValue), version, version >= FLEXIBLE_SINCE),
)

/** The state of a transactional id. */
export function transactionRecord(transaction: Transaction): RecordBytes {
  const { transactionalId, state, partitions, producerEpoch, timeoutMs, updatedMs, startMs, clientVersion } = transaction
  const { producerId, previousProducerId, nextProducerId } = transaction
  return {
    key: encodeKey({ transactionalId }),
    value: encodeValue(VALUE_VERSION, {
      producerId,
      previousProducerId,
      nextProducerId,
      producerEpoch,
      timeoutMs,
      status: TRANSACTION_STATES.indexOf(state),
      // As in Kafka: no list where no transaction has been.
      partitions: state === 'Empty' ? null : Array.from(partitions, ([topic, ids]) => ({ topic, partitionIds: [...ids] })),
      updatedMs,
      startMs,
      clientVersion,
    }),
  }
}

/** The deletion of a transactional id. */
export function expiryRecord(transactionalId: string): RecordBytes {
  return { key: encodeKey({ transactionalId }), value: null }
}

/**
 * What a record says; null for keys of other kinds.
 *
 * @throws ProtocolError for bytes that are damaged or of an unknown version
 */
export function decodeTransactionRecord(key: Uint8Array, value: Uint8Array | null): TransactionRecord | null {
  const reader = new Reader(key, DECODE_BUDGET_BYTES)
  if (reader.int16() !== KEY_VERSION) return null
  const { transactionalId } = decodeKey(reader)
  if (value === null) return { transactionalId, transaction: null }
  const fields = decodeValue(value)
  const state = TRANSACTION_STATES[fields.status]
  if (state === undefined) throw new ProtocolError(`a transaction of __transaction_state has status ${fields.status}`)
  const { producerId, previousProducerId, nextProducerId, producerEpoch, timeoutMs, updatedMs, startMs, clientVersion } = fields
  return {
    transactionalId,
    transaction: {
      transactionalId,
      producerId,
      previousProducerId,
      nextProducerId,
      producerEpoch,
      // Not in the record: a producer that did not see its last answer is fenced after a restart, as in Kafka.
      lastProducerEpoch: NONE,
      timeoutMs,
      state,
      partitions: new Map((fields.partitions ?? []).map(({ topic, partitionIds }) => [topic, new Set(partitionIds)])),
      startMs,
      updatedMs,
      clientVersion,
    },
  }
}

function decodeValue(value: Uint8Array): OutOf<typeof transactionValue> {
  const reader = new Reader(value, DECODE_BUDGET_BYTES)
  const version = reader.int16()
  const decode = valueDecoders[version]
  if (decode === undefined) throw new ProtocolError(`a value of __transaction_state has version ${version}`)
  return decode(reader) as OutOf<typeof transactionValue>
}
