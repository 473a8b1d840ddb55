/** Valid requests of every API and version, out of the declarations: fields that exist in the version, with values that mean something to a broker. */
import * as fc from 'fast-check'
import { ATTRIBUTES_AT, BATCH_HEADER_SIZE, BATCH_LENGTH_AT, BATCH_LENGTH_OVERHEAD, CRC_AT, RECORD_COUNT_AT } from '../../protocol/records/batch.ts'
import { compress } from '../../protocol/records/compression.ts'
import { crc32c } from '../../protocol/records/crc32c.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import { existsIn, isTaggedIn, ZERO_UUID } from '../../protocol/schema/field.ts'
import type { FieldSpec } from '../../protocol/schema/field.ts'
import { DECLARED_APIS, versionsOf } from '../protocol/declared-apis.ts'
import type { UntypedApi } from '../protocol/declared-apis.ts'

/** Names that the broker under attack knows. */
export interface Vocabulary {
  readonly topics: readonly string[]
  readonly topicIds: readonly string[]
}

export interface ValidRequest {
  readonly api: UntypedApi
  readonly version: number
  readonly request: unknown
}

export function validRequests(vocabulary: Vocabulary): fc.Arbitrary<ValidRequest> {
  const pairs = DECLARED_APIS.flatMap(({ api }) => versionsOf(api).map(version => ({ api, version })))
  return fc.oneof(...pairs.map(({ api, version }) => valueOf(api.request, '', version, vocabulary).map(request => ({ api, version, request }))))
}

const wild = { int8: 7, int16: 15, int32: 31 } as const
const words = ['', 'range', 'uniform', 'consumer', 'classic', 'Stable', 'retention.ms', 'cleanup.policy', 'max.message.bytes', 'metrics', '1000', '-1', 'compact', '0', '*', 'é', 'a b']

function valueOf(spec: FieldSpec, name: string, version: number, vocabulary: Vocabulary): fc.Arbitrary<unknown> {
  const value = presentValueOf(spec, name, version, vocabulary)
  return version >= spec.nullableSince ? fc.oneof({ weight: 4, arbitrary: value }, fc.constant(null)) : value
}

function presentValueOf({ type }: FieldSpec, name: string, version: number, vocabulary: Vocabulary): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case 'int8':
    case 'int16':
    case 'int32': return integerOf(name, wild[type.kind])
    case 'int64': return fc.oneof(fc.constantFrom(-3, -2, -1, 0, 1, 2), fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER))
    case 'uint16': return fc.constantFrom(0, 1, 65_535)
    case 'uint32': return fc.constantFrom(0, 1, 0xffff_ffff)
    case 'float64': return fc.constantFrom(0, -1, 0.5, 1e300, Infinity, NaN)
    case 'boolean': return fc.boolean()
    case 'uuid': return fc.constantFrom(ZERO_UUID, 'AAAAAAAAAAAAAAAAAAAAZg', ...vocabulary.topicIds)
    case 'string': return textOf(name, vocabulary)
    case 'bytes': return fc.uint8Array({ maxLength: 40 })
    case 'records': return records.map(bytes => [bytes])
    case 'array': return fc.array(valueOf(type.element, name, version, vocabulary), { maxLength: 3, size: 'max' })
    case 'struct': {
      const fields = Object.entries(type.fields).filter(([, field]) => existsIn(field, version))
      const required = fields.filter(([, field]) => !isTaggedIn(field, version)).map(([key]) => key)
      return fc.record(Object.fromEntries(fields.map(([key, field]) => [key, valueOf(field, key, version, vocabulary)])), { requiredKeys: required })
    }
    default: throw new TypeError(`unknown type: ${JSON.stringify(type satisfies never)}`)
  }
}

/** Waits are short, or nobody would be served; what else there is comes small or at the edges of its type. */
function integerOf(name: string, bits: number): fc.Arbitrary<number> {
  if (name === 'sessionTimeoutMs') return fc.constantFrom(0, 6000, 10_000)
  if (/timeout|wait/i.test(name)) return fc.constantFrom(0, 1, 10)
  if (/sessionEpoch|acks/i.test(name)) return fc.constantFrom(-1, 0, 1)
  return fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 1, 2, 3) }, fc.constantFrom(-1, -2, 2 ** bits - 1, -(2 ** bits)))
}

function textOf(name: string, { topics }: Vocabulary): fc.Arbitrary<string> {
  const anything = fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary', maxLength: 8 }))
  if (/topic|^name$|resource/i.test(name)) return fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...topics) }, anything)
  if (/transactionalId/i.test(name)) return fc.oneof({ weight: 3, arbitrary: fc.constantFrom('transaction-1', 'transaction-2') }, anything)
  if (/group/i.test(name)) return fc.oneof({ weight: 3, arbitrary: fc.constantFrom('group-1', 'group-2', 'group-3') }, anything)
  return anything
}

// ---- batches ------------------------------------------------------------------------------------------------------------------------

/** Where a batch is damaged, and with what; its checksum is made right again unless that shall be wrong too. */
interface Damage {
  readonly codec: number
  readonly values: readonly (Uint8Array | null)[]
  /** Bytes of the records, before they are compressed. */
  readonly payload: readonly (readonly [at: number, byte: number])[]
  /** Bytes of the header. */
  readonly header: readonly (readonly [at: number, byte: number])[]
  readonly count: number | null
  readonly batchLength: number | null
  readonly cut: number
  readonly checksum: boolean
}

const some = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, arbitrary)
const bytesAt = fc.array(fc.tuple(fc.nat(200), fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff)), { maxLength: 3 })
const lengths = fc.constantFrom(-(2 ** 31), -1, 0, 1, 48, 49, 50, 1_000_000, 2 ** 31 - 1)

const batch: fc.Arbitrary<Buffer> = fc.record<Damage>({
  codec: fc.nat(4),
  values: fc.array(fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 30 })), { minLength: 1, maxLength: 3 }),
  payload: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, bytesAt),
  header: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, bytesAt),
  count: some(lengths),
  batchLength: some(lengths),
  cut: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.nat(100)),
  checksum: fc.oneof({ weight: 8, arbitrary: fc.constant(true) }, fc.constant(false)),
}).map(damagedBatch)

/** None, one or two batches. */
const records: fc.Arbitrary<Buffer> = fc.oneof({ weight: 8, arbitrary: batch }, fc.constant(Buffer.alloc(0)), fc.tuple(batch, batch).map(both => Buffer.concat(both)))

function damagedBatch({ codec, values, payload, header, count, batchLength, cut, checksum }: Damage): Buffer {
  const plain = Buffer.from(encodeBatch({ baseOffset: 0, records: values.map(value => ({ timestamp: 1_700_000_000_000, key: null, value, headers: [{ key: 'h', value }] })) }))
  const content = plain.subarray(BATCH_HEADER_SIZE)
  for (const [at, byte] of payload) content[at % content.length] = byte
  const made = Buffer.concat([plain.subarray(0, BATCH_HEADER_SIZE), compress(codec, content)])
  made.writeInt16BE(codec, ATTRIBUTES_AT)
  made.writeInt32BE(batchLength ?? made.length - BATCH_LENGTH_OVERHEAD, BATCH_LENGTH_AT)
  if (count !== null) made.writeInt32BE(count, RECORD_COUNT_AT)
  for (const [at, byte] of header) made[at % BATCH_HEADER_SIZE] = byte
  if (checksum) made.writeUInt32BE(crc32c(made.subarray(ATTRIBUTES_AT)), CRC_AT)
  return made.subarray(0, Math.max(0, made.length - cut))
}
