/** Properties of encoder and decoder together: what goes in comes out (P6), and mutated bytes do no harm. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import * as at from '../../../protocol/records/batch.ts'
import { BatchBuilder, encodeBatch } from '../../../protocol/records/encoder.ts'
import { DecompressionError, RecordFormatError } from '../../../protocol/records/errors.ts'
import { writeInt32 } from '../../../protocol/records/integers.ts'
import { RecordCursor, decodeRecords, recordsOf, textOrBytes } from '../../../protocol/records/record.ts'
import type { DecodedRecord } from '../../../protocol/records/record.ts'
import { validateProduceBatch } from '../../../protocol/records/validate.ts'

const T0 = 1_700_000_000_000

const bytesOrNull = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: null })
const headerKey = fc.oneof(
  fc.constantFrom('', 'a', 'trace-id', '\u{feff}bom', 'ключ'),
  fc.string(),
  fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => textOrBytes(bytes)),
  fc.constantFrom(Uint8Array.of(0xff), Uint8Array.of(0xc3, 0x28), Uint8Array.of(0xed, 0xa0, 0x80)),
)
const record = fc.record({
  gap: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 1000 })),
  timestamp: fc.oneof(fc.integer({ min: T0 - 100_000, max: T0 + 100_000 }), fc.constantFrom(-1, 0, 2 ** 51, -(2 ** 51))),
  key: bytesOrNull,
  value: bytesOrNull,
  headers: fc.array(fc.record({ key: headerKey, value: bytesOrNull }, { noNullPrototype: true }), { maxLength: 4 }),
})
const batch = fc.record({
  codec: fc.integer({ min: 0, max: 4 }),
  baseOffset: fc.constantFrom(0, 1, 2 ** 31, 2 ** 40),
  records: fc.array(record, { minLength: 1, maxLength: 30 }),
})

function withOffsets(baseOffset: number, records: readonly (Omit<DecodedRecord, 'offset'> & { readonly gap: number })[]): DecodedRecord[] {
  let next = baseOffset
  return records.map(({ gap, ...rest }) => {
    const offset = next + gap
    next = offset + 1
    return { offset, ...rest }
  })
}

describe('round trip', () => {
  it('keeps offsets, timestamps, nulls, empties and headers, with every codec', () => {
    fc.assert(
      fc.property(batch, ({ codec, baseOffset, records }) => {
        const expected = withOffsets(baseOffset, records)
        const bytes = encodeBatch({ baseOffset, codec, records: expected })
        assert.deepEqual(recordsOf(bytes), expected)
        const header = at.readBatchHeader(bytes, 0)
        assert.equal(header.maxTimestamp, Math.max(...expected.map((entry) => entry.timestamp)))
        assert.equal(at.lastOffset(bytes, 0), expected.at(-1)!.offset)
        assert.equal(header.crc, at.computeCrc(bytes, 0))
        assert.equal(at.batchSize(bytes, 0), bytes.length)
        const dense = expected.every((entry, index) => entry.offset === baseOffset + index)
        assert.equal(validateProduceBatch(bytes, { deep: true }).kind, dense ? 'ok' : 'invalid')
      }),
      { numRuns: 150 },
    )
  })

  it('one builder makes many batches, and each is its own', () => {
    const builder = new BatchBuilder({ baseOffset: 0 })
    const made: { bytes: Uint8Array; expected: DecodedRecord[] }[] = []
    fc.assert(
      fc.property(batch, ({ codec, baseOffset, records }) => {
        const expected = withOffsets(baseOffset, records)
        builder.reset({ baseOffset, codec })
        for (const entry of expected) builder.append(entry.offset - baseOffset, entry.timestamp, entry.key, entry.value, entry.headers)
        made.push({ bytes: builder.finish(), expected })
      }),
      { numRuns: 50 },
    )
    for (const { bytes, expected } of made) assert.deepEqual(recordsOf(bytes), expected)
  })

  it('large values of many megabytes', () => {
    const value = new Uint8Array(5_000_000).map((_, index) => index >> 8)
    for (let codec = 0; codec <= 4; codec++) {
      const records = [{ timestamp: 1, key: null, value }, { timestamp: 2, key: value, value: null }]
      const bytes = encodeBatch({ baseOffset: 0, codec, records })
      const read = recordsOf(bytes)
      assert.ok(Buffer.from(read[0]!.value!).equals(value))
      assert.ok(Buffer.from(read[1]!.key!).equals(value))
      if (codec > 0) assert.throws(() => recordsOf(bytes, 0, { maxBytes: 1_000_000 }), { name: 'DecompressionError', reason: 'too-large' })
    }
  })
})

describe('the builder', () => {
  it('refuses offsets that do not ascend or do not fit', () => {
    const builder = new BatchBuilder({ baseOffset: 0 })
    builder.append(5, 0, null, null)
    for (const delta of [5, 4, -1, 2 ** 31, Number.NaN]) assert.throws(() => builder.append(delta, 0, null, null), RangeError)
  })

  it('refuses two timestamps in a log-append batch', () => {
    const builder = new BatchBuilder({ baseOffset: 0, timestampType: at.LOG_APPEND_TIME })
    builder.append(0, T0, null, null)
    builder.append(1, T0, null, null)
    assert.throws(() => builder.append(2, T0 + 1, null, null), RangeError)
    assert.deepEqual(recordsOf(builder.finish()).map((entry) => entry.timestamp), [T0, T0])
  })

  it('takes ranges, tells its size, and covers offsets behind its last record', () => {
    const source = Buffer.from('..key..value..')
    const builder = new BatchBuilder({ baseOffset: 10 })
    assert.equal(builder.sizeSoFar, at.BATCH_HEADER_SIZE)
    builder.addHeaderRange(source, 2, 5, null, 0, 0)
    builder.appendRange(0, T0, source, 2, 5, source, 7, 12)
    builder.appendRange(1, T0, null, 0, 0, source, 7, 7)
    assert.equal(builder.recordCount, 2)
    const size = builder.sizeSoFar
    const bytes = builder.finish(9)
    assert.equal(bytes.length, size)
    assert.equal(bytes.buffer.byteLength, size)
    assert.equal(at.lastOffset(bytes, 0), 19)
    assert.deepEqual(recordsOf(bytes), [
      { offset: 10, timestamp: T0, key: plain('key'), value: plain('value'), headers: [{ key: 'key', value: null }] },
      { offset: 11, timestamp: T0, key: null, value: plain(''), headers: [] },
    ])
    assert.throws(() => builder.finish(0), RangeError)
  })

  it('makes an empty batch that keeps a range of offsets', () => {
    const bytes = encodeBatch({ baseOffset: 10, records: [], lastOffsetDelta: 4 })
    assert.equal(at.lastOffset(bytes, 0), 14)
    assert.deepEqual(recordsOf(bytes), [])
  })
})

describe('the cursor', () => {
  const records = Array.from({ length: 5 }, (_, index) => ({ timestamp: T0, key: null, value: Buffer.from(`${index}`) }))

  it('stops when the visitor says so', () => {
    const seen: number[] = []
    decodeRecords(encodeBatch({ baseOffset: 3, records }), {}, (cursor) => {
      seen.push(cursor.offset)
      return seen.length < 2
    })
    assert.deepEqual(seen, [3, 4])
  })

  it('walks headers again after a rewind, and goes on with the next record', () => {
    const headers = [{ key: 'a', value: Buffer.from('1') }, { key: 'b', value: null }]
    const cursor = new RecordCursor()
    cursor.reset(encodeBatch({ baseOffset: 0, records: [{ timestamp: 0, key: null, value: null, headers }, ...records] }))
    assert.ok(cursor.next())
    assert.ok(cursor.nextHeader())
    assert.equal(cursor.headers().length, 2)
    assert.equal(cursor.nextHeader(), false)
    cursor.rewindHeaders()
    assert.ok(cursor.nextHeader())
    assert.ok(cursor.next())
    assert.equal(cursor.nextHeader(), false)
    assert.equal(cursor.remaining, 4)
    assert.equal(Buffer.from(cursor.value()!).toString(), '0')
  })

  it('refuses what is no complete batch of format 2', () => {
    const bytes = encodeBatch({ baseOffset: 0, records })
    assert.throws(() => recordsOf(bytes.subarray(0, bytes.length - 1)), RecordFormatError)
    assert.throws(() => recordsOf(new Uint8Array(0)), RecordFormatError)
    const old = bytes.slice()
    old[at.MAGIC_AT] = 1
    assert.throws(() => recordsOf(old), RecordFormatError)
  })
})

describe('mutated batches', () => {
  for (let codec = 0; codec <= 4; codec++) {
    it(`with a right checksum and wrong content, codec ${codec}: an outcome, and nothing beyond the bound`, () => {
      const original = encodeBatch({
        baseOffset: 0,
        codec,
        records: Array.from({ length: 20 }, (_, index) => ({
          timestamp: T0 + index,
          key: Buffer.from(`key-${index}`),
          value: Buffer.from(`value ${index * 31}`),
          headers: [{ key: 'h', value: Buffer.from(`${index}`) }],
        })),
      })
      const random = numbers(codec + 1)
      const outcomes = new Map<string, number>()
      for (let round = 0; round < 1500; round++) {
        const bytes = original.slice()
        const from = round % 3 === 0 ? at.ATTRIBUTES_AT : at.BATCH_HEADER_SIZE
        for (let changes = 1 + (random.next().value % 4); changes > 0; changes--) {
          bytes[from + (random.next().value % (bytes.length - from))] = random.next().value & 0xff
        }
        writeInt32(bytes, at.CRC_AT, at.computeCrc(bytes, 0))
        const outcome = validateProduceBatch(bytes, { deep: true, decompressedBytesMax: 100_000 })
        outcomes.set(outcome.kind, (outcomes.get(outcome.kind) ?? 0) + 1)
        try {
          const read = recordsOf(bytes, 0, { maxBytes: 100_000 })
          assert.ok(read.length <= 100_000)
          if (outcome.kind === 'ok') assert.equal(read.length, outcome.header.recordCount)
        } catch (error) {
          assert.ok(error instanceof RecordFormatError || error instanceof DecompressionError, String(error))
          assert.notEqual(outcome.kind, 'ok')
        }
      }
      assert.ok((outcomes.get('invalid') ?? 0) + (outcomes.get('corrupt') ?? 0) > 100)
    })
  }
})

function plain(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}

/** Deterministic, so that a failure can be repeated. */
function* numbers(seed: number): Generator<number, never, void> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    yield state >>> 8
  }
}
