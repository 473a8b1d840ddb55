/** Reader and writer: the primitive types at their edges, chunks by reference, slabs that are never written twice. */
import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { ProtocolError } from '../../protocol/wire/protocol-error.ts'
import { defaultBudgetBytes, Reader } from '../../protocol/wire/reader.ts'
import { Writer } from '../../protocol/wire/writer.ts'
import { hex } from './declared-apis.ts'

function written(write: (writer: Writer) => void): Buffer {
  const writer = new Writer()
  write(writer)
  const length = writer.length
  const bytes = Buffer.concat(writer.finish())
  equal(bytes.length, length)
  return bytes
}

suite('primitive types', () => {
  test('int64 as Java writes it, saturating at the ends of the safe integers', () => {
    const cases: [number, bigint][] = [
      [0, 0n], [1, 1n], [-1, -1n], [4294967295, 4294967295n], [4294967296, 4294967296n],
      [-4294967296, -4294967296n], [-4294967297, -4294967297n],
      [Number.MAX_SAFE_INTEGER - 1, 2n ** 53n - 2n], [Number.MIN_SAFE_INTEGER + 1, -(2n ** 53n) + 2n],
      [Number.MAX_SAFE_INTEGER, 2n ** 63n - 1n], [Number.MIN_SAFE_INTEGER, -(2n ** 63n)],
    ]
    for (const [value, long] of cases) {
      const expected = Buffer.alloc(8)
      expected.writeBigInt64BE(long)
      deepEqual(written((writer) => writer.int64(value)), expected)
      equal(new Reader(expected).int64(), value)
    }
    for (const [long, value] of [[2n ** 53n, 2 ** 53 - 1], [-(2n ** 53n), -(2 ** 53) + 1], [-(2n ** 53n) - 1n, -(2 ** 53) + 1]] as const) {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64BE(long)
      equal(new Reader(bytes).int64(), value)
    }
    equal(written((writer) => writer.int64(2 ** 63)).toString('hex'), '7fffffffffffffff')
  })

  test('the other numbers', () => {
    const shorts = fc.integer({ min: -0x8000, max: 0x7fff })
    fc.assert(fc.property(fc.maxSafeInteger(), fc.integer(), shorts, fc.double(), (long, int, short, double) => {
      const bytes = written((writer) => {
        writer.int64(long)
        writer.int32(int)
        writer.uint32(int >>> 0)
        writer.int16(short)
        writer.uint16(short & 0xffff)
        writer.int8(short >> 8)
        writer.float64(double)
        writer.boolean(int > 0)
        writer.uvarint(int >>> 0)
      })
      const reader = new Reader(bytes)
      const read = [
        reader.int64(), reader.int32(), reader.uint32(), reader.int16(), reader.uint16(), reader.int8(), reader.float64(), reader.boolean(),
        reader.uvarint(),
      ]
      deepEqual(read, [long, int, int >>> 0, short, short & 0xffff, short >> 8, double, int > 0, int >>> 0])
      equal(reader.remaining, 0)
    }))
  })

  test('varints of more than 32 bits are malformed', () => {
    for (const [encoded, value] of [['00', 0], ['7f', 127], ['8001', 128], ['ffffffff0f', 0xffffffff], ['8000', 0]] as const) {
      equal(new Reader(hex(encoded)).uvarint(), value)
    }
    for (const encoded of ['ffffffff10', 'ffffffff1f', 'ffffffffff', 'ffffffffff01', '808080808000', '80', '']) {
      throws(() => new Reader(hex(encoded)).uvarint(), ProtocolError, encoded)
    }
  })

  test('strings of any length, in UTF-8', () => {
    const lengths = [0, 1, 47, 48, 49, 126, 127, 128, 300, 16383, 16384]
    for (const text of ['a', 'é', '☃', '𝄞'].flatMap((unit) => lengths.map((length) => unit.repeat(length)))) {
      const compact = new Reader(written((writer) => writer.compactString(text)))
      equal(compact.utf8(compact.compactLength()), text)
      if (Buffer.byteLength(text) > 0x7fff) {
        throws(() => written((writer) => writer.string(text)), ProtocolError)
      } else {
        const plain = new Reader(written((writer) => writer.string(text)))
        equal(plain.utf8(plain.stringLength()), text)
      }
    }
    const huge = 'x'.repeat(200_000)
    equal(written((writer) => writer.compactString(huge)).length, 200_003)
  })

  test('a string that is not UTF-8 is read with replacement characters', () => {
    equal(new Reader(hex('61ff62')).utf8(3), 'a\ufffdb')
    equal(written((writer) => writer.string('\ud800')).toString('hex'), '0003efbfbd')
  })

  test('values that a type cannot carry are refused', () => {
    const bad: ((writer: Writer) => void)[] = [
      (writer) => writer.int8(128), (writer) => writer.int16(0x8000), (writer) => writer.int32(2 ** 31),
      (writer) => writer.uint16(-1), (writer) => writer.uint32(-1), (writer) => writer.int64(1.5),
      (writer) => writer.int64(Number.NaN), (writer) => writer.int32(Number.NaN),
      (writer) => writer.uuid('short'), (writer) => writer.uuid('!'.repeat(22)),
    ]
    for (const write of bad) throws(() => written(write), ProtocolError)
  })

  test('a copy stands alone, a view does not', () => {
    const frame = hex('0102030405')
    const reader = new Reader(frame)
    const copy = reader.copy(2)
    const view = reader.view(2)
    frame.fill(0)
    deepEqual([...copy], [1, 2])
    equal(copy.buffer.byteLength, 2)
    deepEqual([...view], [0, 0])
    equal(view.buffer, frame.buffer)
  })
})

suite('chunks', () => {
  test('a long payload is referenced, a short one copied', () => {
    const long = Buffer.alloc(10_000, 1)
    const short = Buffer.alloc(10, 2)
    const writer = new Writer()
    writer.beginFrame()
    writer.int32(7)
    writer.raw(long)
    writer.raw(short)
    writer.int8(3)
    const chunks = writer.finish()
    equal(chunks.length, 3)
    equal(chunks[1], long)
    const bytes = Buffer.concat(chunks)
    equal(bytes.readInt32BE(0), bytes.length - 4)
    equal(bytes.subarray(-11).toString('hex'), `${'02'.repeat(10)}03`)
  })

  test('messages stay as they were written, whatever is written later', () => {
    const part = fc.oneof(fc.string({ maxLength: 100 }), fc.integer({ min: 0, max: 2000 }), fc.constant(70_000))
    fc.assert(fc.property(fc.array(fc.array(part, { maxLength: 20 }), { maxLength: 20 }), (messages) => {
      const results = messages.map((parts) => {
        const mine = new Writer()
        const expected = new Writer()
        mine.beginFrame()
        for (const value of parts) {
          for (const writer of [mine, expected]) {
            if (typeof value === 'string') writer.compactString(value)
            else writer.raw(Buffer.alloc(value, value))
          }
        }
        return { chunks: mine.finish(), expected: Buffer.concat(expected.finish()) }
      })
      for (const { chunks, expected } of results) {
        const bytes = Buffer.concat(chunks)
        equal(bytes.readInt32BE(0), expected.length)
        ok(bytes.subarray(4).equals(expected))
      }
    }), { numRuns: 50 })
  })

  test('small messages share a slab', () => {
    const messages = Array.from({ length: 50 }, (_, index) => {
      const writer = new Writer()
      writer.int32(index)
      return writer.finish()
    })
    ok(new Set(messages.map(([chunk]) => chunk?.buffer)).size <= 2)
  })
})

suite('limits', () => {
  test('reads beyond the end are protocol errors', () => {
    const reads: ((reader: Reader) => unknown)[] = [
      (reader) => reader.int8(), (reader) => reader.int16(), (reader) => reader.int32(), (reader) => reader.int64(),
      (reader) => reader.float64(), (reader) => reader.uuid(), (reader) => reader.boolean(), (reader) => reader.utf8(1),
      (reader) => reader.view(1), (reader) => reader.copy(1),
      (reader) => reader.skip(0xffff_ffff), (reader) => reader.skipTaggedFields(),
    ]
    for (const read of reads) throws(() => read(new Reader(Buffer.alloc(0))), ProtocolError)
    throws(() => new Reader(hex('fffe')).stringLength(), ProtocolError)
    throws(() => new Reader(hex('80000000')).length(), ProtocolError)
  })

  test('a view of a larger buffer ends where the view ends', () => {
    const frame = hex('010203').subarray(1, 2)
    const reader = new Reader(new Uint8Array(frame.buffer, frame.byteOffset, 1))
    equal(reader.int8(), 2)
    throws(() => reader.int8(), ProtocolError)
  })

  test('the budget is spent before anything is allocated', () => {
    const reader = new Reader(Buffer.alloc(1000), 500)
    reader.checkCount(10, 1, 40)
    throws(() => reader.checkCount(10, 1, 40), ProtocolError)
    throws(() => new Reader(Buffer.alloc(1000), 500).copy(400), ProtocolError)
    ok(defaultBudgetBytes(100 * 1024 * 1024) <= 64 * 1024 * 1024)
  })
})
