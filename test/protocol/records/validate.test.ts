/** One test per way in which a produced batch can be wrong, and what is left alone. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as at from '../../../protocol/records/batch.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import type { BatchToEncode, RecordToEncode } from '../../../protocol/records/encoder.ts'
import { writeInt16, writeInt32, writeInt64, writeVarint } from '../../../protocol/records/integers.ts'
import { validateProduceBatch } from '../../../protocol/records/validate.ts'
import type { ValidateOptions } from '../../../protocol/records/validate.ts'

const T0 = 1_700_000_000_000
const CODECS = [at.CODEC_NONE, at.CODEC_GZIP, at.CODEC_SNAPPY, at.CODEC_LZ4, at.CODEC_ZSTD]

const RECORDS: readonly RecordToEncode[] = [
  { timestamp: T0, key: Buffer.from('k'), value: Buffer.from('v') },
  { timestamp: T0 + 500, key: Buffer.from('k'), value: null, headers: [{ key: 'h', value: null }] },
  { timestamp: T0 - 500, key: Buffer.from(''), value: Buffer.from('x'.repeat(200)) },
]

function sample(overrides: Partial<BatchToEncode> = {}): Uint8Array {
  return encodeBatch({ baseOffset: 0, records: RECORDS, ...overrides })
}

/** A sample whose bytes were changed and whose checksum fits again. */
function forged(change: (bytes: Uint8Array) => void, overrides: Partial<BatchToEncode> = {}): Uint8Array {
  const bytes = sample(overrides)
  change(bytes)
  writeInt32(bytes, at.CRC_AT, at.computeCrc(bytes, 0))
  return bytes
}

function kindOf(bytes: Uint8Array, options?: ValidateOptions): string {
  return validateProduceBatch(bytes, options).kind
}

/** An uncompressed batch around hand-made records. */
function around(records: readonly number[], count: number): Uint8Array {
  const template = sample({ records: [{ timestamp: T0, key: null, value: null }] })
  const bytes = new Uint8Array(at.BATCH_HEADER_SIZE + records.length)
  bytes.set(template.subarray(0, at.BATCH_HEADER_SIZE))
  bytes.set(records, at.BATCH_HEADER_SIZE)
  writeInt32(bytes, at.BATCH_LENGTH_AT, bytes.length - at.BATCH_LENGTH_OVERHEAD)
  writeInt32(bytes, at.RECORD_COUNT_AT, count)
  writeInt32(bytes, at.LAST_OFFSET_DELTA_AT, count - 1)
  writeInt32(bytes, at.CRC_AT, at.computeCrc(bytes, 0))
  return bytes
}

describe('a sound batch', () => {
  for (const codec of CODECS) {
    it(`passes with codec ${codec}, and tells the timestamps that were seen`, () => {
      const deep = validateProduceBatch(sample({ codec }), { deep: true })
      assert.ok(deep.kind === 'ok')
      assert.deepEqual([deep.walked, deep.minTimestamp, deep.maxTimestamp, deep.hasNullKey], [true, T0 - 500, T0 + 500, false])
      const shallow = validateProduceBatch(sample({ codec }))
      assert.ok(shallow.kind === 'ok')
      assert.equal(shallow.walked, codec === 0)
      assert.equal(shallow.maxTimestamp, T0 + 500)
      assert.equal(shallow.header.recordCount, 3)
    })
  }

  it('may be a slice of a larger buffer', () => {
    const batch = sample()
    const bytes = Buffer.concat([Buffer.alloc(7), batch, Buffer.alloc(9)])
    assert.equal(kindOf(bytes.subarray(7, 7 + batch.length)), 'ok')
  })

  it('may have a wrong max timestamp: the right one is in the outcome', () => {
    const outcome = validateProduceBatch(forged((bytes) => writeInt64(bytes, at.MAX_TIMESTAMP_AT, T0 + 9_999)))
    assert.ok(outcome.kind === 'ok')
    assert.equal(outcome.header.maxTimestamp, T0 + 9_999)
    assert.equal(outcome.maxTimestamp, T0 + 500)
  })

  it('reports a missing key', () => {
    const outcome = validateProduceBatch(sample({ records: [...RECORDS, { timestamp: T0, key: null, value: null }] }))
    assert.ok(outcome.kind === 'ok' && outcome.hasNullKey === true)
  })

  it('may be sent without timestamps, and with a producer epoch and sequence but no producer, as kafkajs does', () => {
    assert.equal(kindOf(sample({ records: [{ timestamp: -1, key: null, value: null }] })), 'ok')
    assert.equal(kindOf(sample({ producerId: -1, producerEpoch: 0, baseSequence: 0 })), 'ok')
  })
})

describe('damage', () => {
  it('every flipped bit that the checksum covers is noticed', () => {
    for (const codec of CODECS) {
      const batch = sample({ codec })
      for (let bit = at.CRC_AT * 8; bit < batch.length * 8; bit += 3) {
        const bytes = batch.slice()
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        assert.equal(kindOf(bytes), 'corrupt')
      }
    }
  })

  it('lengths that are too small or absurd', () => {
    for (const length of [-2_147_483_648, -1, 0, 13, 48, 2_147_483_647]) {
      assert.equal(kindOf(forgedLength(length)), 'corrupt', `length ${length}`)
    }
  })

  it('a magic beyond 2', () => {
    for (const magic of [3, 127, 255]) assert.equal(kindOf(forged((bytes) => (bytes[at.MAGIC_AT] = magic))), 'corrupt')
  })

  it('compressed records that are something else', () => {
    for (const codec of CODECS.slice(1)) {
      const bytes = forged((bytes) => bytes.fill(0xff, at.BATCH_HEADER_SIZE), { codec })
      assert.equal(kindOf(bytes), 'corrupt', `codec ${codec}`)
    }
  })

  it('compressed records that are cut in the middle, when looked at in depth', () => {
    const records = Array.from({ length: 300 }, (_, index) => ({ timestamp: T0, key: null, value: Buffer.from(`${index * index}`) }))
    for (const codec of CODECS.slice(1)) {
      const whole = sample({ codec, records })
      const bytes = whole.slice(0, Math.floor(whole.length / 2))
      writeInt32(bytes, at.BATCH_LENGTH_AT, bytes.length - at.BATCH_LENGTH_OVERHEAD)
      writeInt32(bytes, at.CRC_AT, at.computeCrc(bytes, 0))
      assert.equal(kindOf(bytes, { deep: true }), 'corrupt', `codec ${codec}`)
    }
  })
})

describe('a batch that a producer may not send', () => {
  it('nothing at all, or less than a header up to the magic', () => {
    for (const length of [0, 1, 16]) assert.equal(kindOf(sample().subarray(0, length)), 'invalid')
  })

  it('one that claims slightly more than was sent', () => {
    for (const cut of [1, 10, 40]) {
      const batch = sample()
      assert.equal(kindOf(batch.subarray(0, batch.length - cut)), 'invalid')
    }
  })

  it('two batches, or bytes behind the batch', () => {
    assert.equal(kindOf(Buffer.concat([sample(), sample()])), 'invalid')
    assert.equal(kindOf(Buffer.concat([sample(), Buffer.from([0])])), 'invalid')
  })

  it('message formats 0 and 1', () => {
    for (const magic of [0, 1]) assert.equal(kindOf(forged((bytes) => (bytes[at.MAGIC_AT] = magic))), 'unsupported-magic')
  })

  it('a size above the limit; exactly the limit passes', () => {
    const batch = sample()
    assert.equal(kindOf(batch, { maxBytes: batch.length }), 'ok')
    assert.equal(kindOf(batch, { maxBytes: batch.length - 1 }), 'too-large')
  })

  it('records beyond the limit when decompressed', () => {
    const batch = sample({ codec: at.CODEC_ZSTD, records: [{ timestamp: T0, key: null, value: new Uint8Array(1_000_000) }] })
    assert.ok(batch.length < 200)
    assert.equal(kindOf(batch, { deep: true }), 'ok')
    assert.equal(kindOf(batch, { deep: true, decompressedBytesMax: 900_000 }), 'too-large')
  })

  it('counts that are zero, negative, or do not fit the offsets', () => {
    for (const count of [0, -1, 2, 4, 2_147_483_647]) {
      assert.equal(kindOf(forged((bytes) => writeInt32(bytes, at.RECORD_COUNT_AT, count))), 'invalid', `count ${count}`)
    }
    for (const delta of [-1, 0, 1, 3, 2_147_483_647]) {
      assert.equal(kindOf(forged((bytes) => writeInt32(bytes, at.LAST_OFFSET_DELTA_AT, delta))), 'invalid', `last offset delta ${delta}`)
    }
  })

  it('counts that agree with each other and not with the records', () => {
    for (const codec of CODECS) {
      for (const count of [1, 2, 4, 1_000_000]) {
        const bytes = forged((bytes) => {
          writeInt32(bytes, at.RECORD_COUNT_AT, count)
          writeInt32(bytes, at.LAST_OFFSET_DELTA_AT, count - 1)
        }, { codec })
        assert.equal(kindOf(bytes, { deep: true }), 'invalid', `codec ${codec}, count ${count}`)
      }
    }
  })

  it('control batches, unless the broker itself writes them', () => {
    const marker = sample({ control: true })
    assert.equal(kindOf(marker), 'invalid')
    assert.equal(kindOf(marker, { fromBroker: true }), 'ok')
  })

  it('offsets with gaps', () => {
    const records = [{ offset: 0, timestamp: T0, key: null, value: null }, { offset: 2, timestamp: T0, key: null, value: null }]
    const bytes = sample({ records })
    assert.equal(kindOf(bytes), 'invalid')
    writeInt32(bytes, at.LAST_OFFSET_DELTA_AT, 1)
    writeInt32(bytes, at.CRC_AT, at.computeCrc(bytes, 0))
    assert.equal(kindOf(bytes), 'invalid')
  })

  it('a producer id without epoch or sequence, a transaction without producer id', () => {
    assert.equal(kindOf(sample({ producerId: 5, producerEpoch: 0, baseSequence: 0 })), 'ok')
    assert.equal(kindOf(sample({ producerId: 5, producerEpoch: 0, baseSequence: -1 })), 'invalid')
    assert.equal(kindOf(sample({ producerId: 5, producerEpoch: -1, baseSequence: 0 })), 'invalid')
    assert.equal(kindOf(sample({ producerId: -2, producerEpoch: 0, baseSequence: 0 })), 'invalid')
    assert.equal(kindOf(sample({ transactional: true })), 'invalid')
    assert.equal(kindOf(sample({ transactional: true, producerId: 5, producerEpoch: 0, baseSequence: 0 })), 'ok')
    assert.equal(kindOf(forged((bytes) => bytes.fill(0x7f, at.PRODUCER_ID_AT, at.PRODUCER_ID_AT + 8))), 'invalid')
  })

  it('codecs that do not exist', () => {
    for (const codec of [5, 6, 7]) {
      assert.equal(kindOf(forged((bytes) => writeInt16(bytes, at.ATTRIBUTES_AT, codec))), 'unsupported-codec')
    }
  })

  it('the timestamp type LogAppendTime, and times that no clock shows', () => {
    const stamped = sample()
    at.setLogAppendTime(stamped, 0, T0)
    assert.equal(kindOf(stamped), 'invalid-timestamp')
    const allowed = validateProduceBatch(stamped, { allowLogAppendTime: true })
    assert.ok(allowed.kind === 'ok' && allowed.minTimestamp === T0 && allowed.maxTimestamp === T0)
    for (const field of [at.BASE_TIMESTAMP_AT, at.MAX_TIMESTAMP_AT]) {
      assert.equal(kindOf(forged((bytes) => bytes.fill(0x7f, field, field + 8))), 'invalid-timestamp')
    }
    const delta = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
    assert.equal(kindOf(around([(5 + delta.length) * 2, 0, ...delta, 0, 1, 1, 0], 1)), 'invalid-timestamp')
  })
})

describe('records that do not fit', () => {
  // length, attributes, timestamp delta, offset delta, key length, value length, header count
  const cases: Record<string, readonly number[]> = {
    'a record length beyond the batch': [14, 0, 0, 0, 1, 1, 0],
    'a negative record length': [1, 0, 0, 0, 1, 1, 0],
    'a record too short for its fields': [10, 0, 0, 0, 1, 1],
    'a key beyond the record': [12, 0, 0, 0, 4, 1, 0],
    'a key length below -1': [12, 0, 0, 0, 3, 1, 0],
    'a value beyond the record': [12, 0, 0, 0, 1, 4, 0],
    'a value length below -1': [12, 0, 0, 0, 1, 3, 0],
    'a header count beyond the record': [12, 0, 0, 0, 1, 1, 2],
    'a negative header count': [12, 0, 0, 0, 1, 1, 1],
    'a null header key': [16, 0, 0, 0, 1, 1, 2, 1, 1],
    'a header key beyond the record': [16, 0, 0, 0, 1, 1, 2, 4, 1],
    'a header value beyond the record': [16, 0, 0, 0, 1, 1, 2, 0, 2],
    'a header value length below -1': [16, 0, 0, 0, 1, 1, 2, 0, 3],
    'bytes behind the headers': [14, 0, 0, 0, 1, 1, 0, 0],
    'bytes behind the last record': [12, 0, 0, 0, 1, 1, 0, 0],
    'an overlong varint': [24, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 1, 1, 0, 0],
    'an overlong varlong': [34, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0, 0],
    'a wrong offset delta': [12, 0, 0, 2, 1, 1, 0],
    'a length of 2^31-1': [0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0],
    'a key length of 2^31-1': [20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0],
    'a header count of 2^31-1': [20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f],
    'a varint that runs out of the batch': [12, 0, 0, 0, 1, 1, 0x80],
  }

  it('the template itself passes', () => assert.equal(kindOf(around([12, 0, 0, 0, 1, 1, 0], 1)), 'ok'))

  for (const [name, records] of Object.entries(cases)) {
    it(name, () => {
      const outcome = validateProduceBatch(around(records, 1))
      assert.equal(outcome.kind, 'invalid')
    })
  }

  it('a padded varint is unusual and sound', () => {
    assert.equal(kindOf(around([0x8e, 0x00, 0, 0, 0x80, 0x00, 1, 1, 0], 1)), 'ok')
  })

  it('a million promised headers cost no time', () => {
    const count = new Uint8Array(5)
    const size = writeVarint(count, 0, 1_000_000)
    assert.equal(kindOf(around([(5 + size) * 2, 0, 0, 0, 1, 1, ...count.subarray(0, size)], 1)), 'invalid')
  })
})

function forgedLength(length: number): Uint8Array {
  const bytes = sample()
  writeInt32(bytes, at.BATCH_LENGTH_AT, length)
  return bytes
}
