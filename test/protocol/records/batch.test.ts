/** The header view: fields, in-place changes, iteration over several batches, and the checksum's known values. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  CODEC_GZIP,
  CODEC_NONE,
  CREATE_TIME,
  LOG_APPEND_TIME,
  baseOffset,
  baseSequence,
  baseTimestamp,
  batchEnd,
  batchLength,
  batchSize,
  computeCrc,
  crc,
  iterateBatches,
  lastOffset,
  maxTimestamp,
  partitionLeaderEpoch,
  patchBatch,
  producerEpoch,
  producerId,
  readBatchHeader,
  recordCount,
  setLogAppendTime,
  setMaxTimestamp,
} from '../../../protocol/records/batch.ts'
import { crc32c, crc32cRange } from '../../../protocol/records/crc32c.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { readInt64, sizeOfVarint, sizeOfVarlong, writeInt64, writeVarint, writeVarlong } from '../../../protocol/records/integers.ts'
import { recordsOf } from '../../../protocol/records/record.ts'

const T0 = 1_700_000_000_000

function sample(codec: number = CODEC_NONE): Uint8Array {
  return encodeBatch({
    baseOffset: 9_007_199_254_740_000,
    leaderEpoch: 77,
    codec,
    producerId: 4_294_967_297,
    producerEpoch: 32_767,
    baseSequence: 2_147_483_647,
    transactional: true,
    records: [
      { timestamp: T0, key: null, value: Buffer.from('a') },
      { timestamp: T0 + 10, key: null, value: Buffer.from('b') },
      { timestamp: T0 - 10, key: null, value: Buffer.from('c') },
    ],
  })
}

/** The batch in the middle of a larger buffer. */
function embedded(batch: Uint8Array, at: number): Uint8Array {
  const bytes = new Uint8Array(at + batch.length + 5).fill(0xee)
  bytes.set(batch, at)
  return bytes
}

describe('record batch header', () => {
  it('reads every field at any position', () => {
    const batch = sample(CODEC_GZIP)
    const bytes = embedded(batch, 13)
    assert.deepEqual(readBatchHeader(bytes, 13), {
      baseOffset: 9_007_199_254_740_000,
      batchLength: batch.length - 12,
      partitionLeaderEpoch: 77,
      magic: 2,
      crc: crc32c(batch.subarray(21)),
      attributes: 0x11,
      codec: CODEC_GZIP,
      timestampType: CREATE_TIME,
      isTransactional: true,
      isControl: false,
      lastOffsetDelta: 2,
      baseTimestamp: T0,
      maxTimestamp: T0 + 10,
      producerId: 4_294_967_297,
      producerEpoch: 32_767,
      baseSequence: 2_147_483_647,
      recordCount: 3,
    })
    assert.equal(batchLength(bytes, 13), batch.length - 12)
    assert.equal(batchSize(bytes, 13), batch.length)
    assert.equal(baseTimestamp(bytes, 13), T0)
    assert.equal(producerId(bytes, 13), 4_294_967_297)
    assert.equal(producerEpoch(bytes, 13), 32_767)
    assert.equal(baseSequence(bytes, 13), 2_147_483_647)
    assert.equal(recordCount(bytes, 13), 3)
  })

  it('an absent producer is -1 in all three fields', () => {
    const header = readBatchHeader(encodeBatch({ baseOffset: 0, records: [{ timestamp: -1, key: null, value: null }] }), 0)
    assert.deepEqual([header.producerId, header.producerEpoch, header.baseSequence, header.partitionLeaderEpoch], [-1, -1, -1, -1])
    assert.deepEqual([header.baseTimestamp, header.maxTimestamp], [-1, -1])
  })

  it('a patch changes offset and epoch and leaves the checksum right', () => {
    const bytes = embedded(sample(), 3)
    const before = crc(bytes, 3)
    patchBatch(bytes, 3, { baseOffset: 8_589_934_592, leaderEpoch: 5 })
    assert.equal(baseOffset(bytes, 3), 8_589_934_592)
    assert.equal(lastOffset(bytes, 3), 8_589_934_594)
    assert.equal(partitionLeaderEpoch(bytes, 3), 5)
    assert.equal(crc(bytes, 3), before)
    assert.equal(computeCrc(bytes, 3), before)
    assert.deepEqual(recordsOf(bytes.subarray(3)).map((record) => record.offset), [8_589_934_592, 8_589_934_593, 8_589_934_594])
  })

  it('log append time becomes the timestamp of every record', () => {
    const bytes = embedded(sample(), 3)
    setLogAppendTime(bytes, 3, T0 + 1_000_000)
    const header = readBatchHeader(bytes, 3)
    assert.equal(header.timestampType, LOG_APPEND_TIME)
    assert.equal(header.isTransactional, true)
    assert.equal(header.baseTimestamp, T0)
    assert.equal(header.crc, computeCrc(bytes, 3))
    assert.deepEqual(recordsOf(bytes, 3).map((record) => record.timestamp), [T0 + 1_000_000, T0 + 1_000_000, T0 + 1_000_000])
  })

  it('a corrected max timestamp leaves the records as they were', () => {
    const bytes = sample()
    setMaxTimestamp(bytes, 0, T0 + 11)
    assert.equal(maxTimestamp(bytes, 0), T0 + 11)
    assert.equal(crc(bytes, 0), computeCrc(bytes, 0))
    assert.deepEqual(recordsOf(bytes).map((record) => record.timestamp), [T0, T0 + 10, T0 - 10])
  })
})

describe('iteration over batches', () => {
  const one = sample()
  const two = sample(CODEC_GZIP)
  const both = Buffer.concat([one, two])

  it('gives the range of each', () => {
    assert.deepEqual([...iterateBatches(both)], [
      { start: 0, end: one.length },
      { start: one.length, end: both.length },
    ])
    assert.deepEqual([...iterateBatches(both, one.length)], [{ start: one.length, end: both.length }])
  })

  it('leaves out an incomplete one at the end, wherever it is cut', () => {
    for (let length = one.length; length < both.length; length++) {
      assert.deepEqual([...iterateBatches(both.subarray(0, length))], [{ start: 0, end: one.length }])
    }
    assert.deepEqual([...iterateBatches(new Uint8Array(0))], [])
  })

  it('refuses a length that no batch can have', () => {
    for (const length of [-1, 0, 48, -2_147_483_648]) {
      const bytes = new Uint8Array(both)
      new DataView(bytes.buffer).setInt32(one.length + 8, length)
      assert.throws(() => batchEnd(bytes, one.length), { name: 'RecordFormatError' })
    }
  })
})

describe('crc32c', () => {
  it('has the known values of RFC 3720', () => {
    assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa)
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e)
  })

  it('works on slices and in pieces', () => {
    const bytes = Buffer.from('xx123456789yy')
    assert.equal(crc32c(bytes.subarray(2, 11)), 0xe3069283)
    assert.equal(crc32cRange(bytes, 2, 11), 0xe3069283)
    assert.equal(crc32c(bytes.subarray(6, 11), crc32c(bytes.subarray(2, 6))), 0xe3069283)
  })
})

describe('integers', () => {
  it('int64 is exact over the safe range', () => {
    const bytes = new Uint8Array(8)
    for (const value of [0, 1, -1, 255, -256, 2 ** 31, -(2 ** 31), 2 ** 32, -(2 ** 32), 2 ** 32 - 1, 2 ** 53 - 1, 1 - 2 ** 53]) {
      writeInt64(bytes, 0, value)
      assert.equal(new DataView(bytes.buffer).getBigInt64(0), BigInt(value))
      assert.equal(readInt64(bytes, 0), value)
    }
  })

  it('varints have the size that was announced and the bytes of the specification', () => {
    const bytes = new Uint8Array(16)
    for (const [value, hex] of [
      [0, '00'], [-1, '01'], [1, '02'], [63, '7e'], [-64, '7f'], [64, '8001'], [-65, '8101'], [8191, 'fe7f'], [8192, '808001'],
      [2_147_483_647, 'feffffff0f'], [-2_147_483_648, 'ffffffff0f'],
    ] as const) {
      const end = writeVarint(bytes, 0, value)
      assert.equal(Buffer.from(bytes.subarray(0, end)).toString('hex'), hex)
      assert.equal(sizeOfVarint(value), end)
      assert.equal(writeVarlong(bytes, 0, value), end)
      assert.equal(sizeOfVarlong(value), end)
    }
    for (const [value, hex] of [
      [2_147_483_648, '8080808010'], [-2_147_483_649, '8180808010'], [17_179_869_183, 'feffffff7f'], [17_179_869_184, '808080808001'],
      [2 ** 52, '8080808080808010'],
    ] as const) {
      const end = writeVarlong(bytes, 0, value)
      assert.equal(Buffer.from(bytes.subarray(0, end)).toString('hex'), hex)
      assert.equal(sizeOfVarlong(value), end)
    }
  })
})
