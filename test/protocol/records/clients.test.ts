/** Batches exchanged with the two JavaScript clients that the project tests with, as they are installed. */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { describe, it } from 'node:test'
import { NumericMap, Reader, createRecordsBatch, readRecordsBatch } from '@platformatic/kafka'
import { readBatchHeader } from '../../../protocol/records/batch.ts'
import { codecName } from '../../../protocol/records/compression.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { validateProduceBatch } from '../../../protocol/records/validate.ts'

const T0 = 1_700_000_000_000
const records = [
  { timestamp: T0, key: bytes('k0'), value: bytes('v0'), headers: [{ key: 'a', value: bytes('1') }, { key: 'b', value: bytes('') }] },
  { timestamp: T0 + 5, key: null, value: bytes('x'.repeat(100_000)), headers: [] },
  { timestamp: T0 + 7, key: bytes(''), value: null, headers: [] },
]

describe('@platformatic/kafka', () => {
  for (let codec = 0; codec <= 4; codec++) {
    const name = codecName(codec)!
    it(`writes what we read: ${name}`, () => {
      const written = createRecordsBatch(
        records.map((record) => ({
          topic: 't',
          timestamp: BigInt(record.timestamp),
          ...(record.key === null ? {} : { key: Buffer.from(record.key) }),
          // Null values are sent by the client and missing in its types.
          value: (record.value === null ? null : Buffer.from(record.value)) as Buffer,
          headers: new Map(record.headers.map((header) => [Buffer.from(header.key), Buffer.from(header.value)])),
        })),
        { compression: name, producerId: 12n, producerEpoch: 3, partitionLeaderEpoch: 0, sequences: new NumericMap() },
      )
      checkForeign(new Uint8Array(written.buffer), codec, 12)
    })

    it(`reads what we write: ${name}`, () => {
      const read = readRecordsBatch(Reader.from(Buffer.from(encodeBatch({ baseOffset: 40, leaderEpoch: 2, codec, records }))))
      assert.equal(read.firstOffset, 40n)
      assert.deepEqual(
        read.records.map((record) => ({
          timestamp: Number(read.firstTimestamp + record.timestampDelta),
          key: record.key === null ? null : new Uint8Array(record.key),
          value: record.value === null ? null : new Uint8Array(record.value),
          headers: record.headers.map(([key, value]) => ({ key: key!.toString(), value: new Uint8Array(value!) })),
        })),
        records,
      )
    })
  }
})

/** The parts of kafkajs that encode and decode batches; it has no types for them. */
interface KafkaJsEncoder {
  readonly buffer: Buffer
}
interface KafkaJsRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Record<string, Buffer>
}
const require = createRequire(import.meta.url)
const kafkaJsRecord = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => KafkaJsEncoder
const { RecordBatch: kafkaJsBatch } = require('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch: (batch: object) => Promise<KafkaJsEncoder>
}
const KafkaJsDecoder = require('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => object
const decodeKafkaJsBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (
  decoder: object,
) => Promise<{ records: KafkaJsRecord[] }>

describe('kafkajs', () => {
  for (const codec of [0, 1]) {
    it(`writes what we read: ${codecName(codec)}`, async () => {
      const written = await kafkaJsBatch({
        compression: codec,
        firstTimestamp: T0,
        maxTimestamp: T0 + 7,
        lastOffsetDelta: 2,
        records: records.map((record, offsetDelta) =>
          kafkaJsRecord({
            offsetDelta,
            timestampDelta: record.timestamp - T0,
            key: record.key && Buffer.from(record.key),
            value: record.value && Buffer.from(record.value),
            headers: Object.fromEntries(record.headers.map((header) => [header.key, Buffer.from(header.value)])),
          }),
        ),
      })
      checkForeign(new Uint8Array(written.buffer), codec, -1)
    })

    it(`reads what we write: ${codecName(codec)}`, async () => {
      const written = Buffer.from(encodeBatch({ baseOffset: 40, leaderEpoch: 2, codec, records }))
      const read = await decodeKafkaJsBatch(new KafkaJsDecoder(written))
      assert.deepEqual(
        read.records.map((record) => ({
          timestamp: Number(record.timestamp),
          key: record.key === null ? null : new Uint8Array(record.key),
          value: record.value === null ? null : new Uint8Array(record.value),
          headers: Object.entries(record.headers).map(([key, value]) => ({ key, value: new Uint8Array(value) })),
        })),
        records,
      )
      assert.deepEqual(read.records.map((record) => record.offset), ['40', '41', '42'])
    })
  }
})

function checkForeign(batch: Uint8Array, codec: number, producerId: number): void {
  const outcome = validateProduceBatch(batch, { deep: true })
  assert.equal(outcome.kind, 'ok', outcome.kind === 'ok' ? '' : outcome.reason)
  const header = readBatchHeader(batch, 0)
  assert.deepEqual([header.codec, header.producerId, header.recordCount, header.maxTimestamp], [codec, producerId, 3, T0 + 7])
  assert.deepEqual(recordsOf(batch), records.map((record, offset) => ({ offset, ...record })))
}

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}
