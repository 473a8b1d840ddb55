/** Records, batches and files for the tests of Parquet. */
import * as fc from 'fast-check'
import { CREATE_TIME, LOG_APPEND_TIME, timestampTypeOf, attributes } from '../../../protocol/records/batch.ts'
import type { TimestampType } from '../../../protocol/records/batch.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { RecordCursor } from '../../../protocol/records/record.ts'
import type { DecodedFile } from '../../../storage/parquet/decode.ts'

/** A record as P6 compares it: bytes as hexadecimal, null apart from empty. */
export interface PlainRecord {
  readonly offset: number
  readonly timestamp: number
  readonly timestampType: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly { readonly key: string; readonly value: string | null }[]
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const hexOrNull = (bytes: Uint8Array | null): string | null => (bytes === null ? null : hex(bytes))

export function plainRecords(batches: Iterable<Uint8Array>): PlainRecord[] {
  const records: PlainRecord[] = []
  const cursor = new RecordCursor()
  for (const batch of batches) {
    cursor.reset(batch, 0, { maxBytes: 2 ** 30 })
    while (cursor.next()) {
      const headers: { key: string; value: string | null }[] = []
      while (cursor.nextHeader()) {
        headers.push({
          key: hex(cursor.bytes.subarray(cursor.headerKeyStart, cursor.headerKeyEnd)),
          value: cursor.headerValueStart < 0 ? null : hex(cursor.bytes.subarray(cursor.headerValueStart, cursor.headerValueEnd)),
        })
      }
      records.push({
        offset: cursor.offset,
        timestamp: cursor.timestamp,
        timestampType: timestampTypeOf(attributes(batch, 0)),
        key: hexOrNull(cursor.key()),
        value: hexOrNull(cursor.value()),
        headers,
      })
    }
  }
  return records
}

export function plainFile(file: DecodedFile): PlainRecord[] {
  return plainRecords(file.batches.map((batch) => batch.bytes))
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** `count` batches of `perBatch` plain records from `baseOffset` on. */
export function plainBatches(count: number, perBatch: number, baseOffset = 0): Uint8Array[] {
  return Array.from({ length: count }, (_, b) => {
    const base = baseOffset + b * perBatch
    const records = Array.from({ length: perBatch }, (_, i) => ({
      timestamp: 1_700_000_000_000 + base + i, key: utf8(`key-${(base + i) % 7}`), value: utf8(`value-${base + i}`),
    }))
    return encodeBatch({ baseOffset: base, records })
  })
}

const bytes = (maxLength: number) => fc.uint8Array({ maxLength })
const nullableBytes = (maxLength: number) => fc.option(bytes(maxLength), { freq: 4 })

/** Header keys: text, bytes that are no UTF-8, and what looks like an escaped key. */
const headerKey = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }).map(utf8) },
  { weight: 2, arbitrary: bytes(6) },
  { weight: 1, arbitrary: fc.constantFrom('\uFFFD', '\uFFFDff', '\uFFFDefbfbd', '\uFFFDFF', '\uFFFDf', '\uFFFD6162').map(utf8) },
)

const timestamp = fc.oneof(
  fc.constant(-1),
  fc.integer({ min: 1_600_000_000_000, max: 1_800_000_000_000 }),
  fc.constantFrom(0, -2, -1001, 253_402_300_799_999, 9_007_199_254_740, 9_007_199_254_741, 2 ** 51, -(2 ** 50)),
)

const record = fc.record({
  gap: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 1000 })),
  timestamp,
  key: nullableBytes(20),
  value: nullableBytes(60),
  headers: fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    fc.array(fc.record({ key: headerKey, value: nullableBytes(10) }), { maxLength: 4 }),
  ),
})

const batch = fc.record({
  gap: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3_000_000_000 })),
  codec: fc.integer({ min: 0, max: 4 }),
  timestampType: fc.constantFrom<TimestampType>(CREATE_TIME, LOG_APPEND_TIME),
  appendTime: timestamp,
  records: fc.array(record, { minLength: 1, maxLength: 12 }),
})

/** Batches with everything that P6 has to keep, ascending with gaps. */
export const anyBatches: fc.Arbitrary<Uint8Array[]> = fc
  .tuple(fc.constantFrom(0, 1, 2 ** 31 - 3, 2 ** 40), fc.array(batch, { minLength: 1, maxLength: 6 }))
  .map(([start, batches]) => {
    let next = start
    return batches.map(({ gap, codec, timestampType, appendTime, records }) => {
      const baseOffset = next + gap
      let offset = baseOffset
      const withOffsets = records.map((item) => {
        offset += item.gap
        const time = timestampType === LOG_APPEND_TIME ? appendTime : item.timestamp
        return { offset: offset++, timestamp: time, key: item.key, value: item.value, headers: item.headers }
      })
      next = offset
      return encodeBatch({ baseOffset, codec, timestampType, records: withOffsets })
    })
  })
