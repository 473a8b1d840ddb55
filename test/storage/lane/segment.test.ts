import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { crc32c } from '../../../protocol/records/crc32c.ts'
import { writeInt32 } from '../../../protocol/records/integers.ts'
import {
  commitIdOf, encodeGuard, encodeSegment, fenceBytes, readSegmentIndex, SegmentCorruptError, segmentHeadBytes, segmentHeaderBytes, wallBytes,
} from '../../../storage/lane/segment.ts'
import type { GuardHead, SegmentContent, SegmentIndex } from '../../../storage/lane/segment.ts'
import { lane, TestEntry, topicA, topicB } from './support.ts'

const commitId = 'EBESExQVFhcYGRobHB0eHw'
const fence: GuardHead = { kind: 'fence', lane, seq: 9, commitId, createdAtMs: 1_700_000_000_456, fencedBy: 43, endSeq: 8 }

function content(): SegmentContent {
  return {
    lane,
    seq: 3,
    commitId,
    createdAtMs: 1_700_000_000_456,
    entries: [new TestEntry(1000, { topicId: topicB, partition: 2, records: 3, payloadBytes: 3 }), new TestEntry(5, { payloadBytes: 0 })],
    controls: [{ type: 7, topicId: topicA, partition: 1, payload: Buffer.from('hi'), rowsBefore: 1 }],
  }
}

function bytesOf(segment: SegmentContent): Buffer {
  return Buffer.concat(encodeSegment(segment).chunks)
}

/** Makes the checksum right again, so that what is behind it is tested. */
function resealed(bytes: Buffer): Buffer {
  const end = bytes.readUInt32BE(72) - 4
  if (end < 0 || end + 4 > bytes.byteLength) return bytes
  writeInt32(bytes, end, crc32c(bytes.subarray(0, end)))
  return bytes
}

test('the bytes of a segment never change', () => {
  const golden = [
    // magic, version 1, kind 1, flags; broker 7
    '4261796f7557414c', '0001', '01', '00', '00000007',
    // incarnation 42, seq 3, commit id
    '000000000000002a', '0000000000000003', '101112131415161718191a1b1c1d1e1f',
    // fenced by and end seq: none; created at
    'ffffffffffffffff', 'ffffffffffffffff', '0000018bcfe569c8',
    // head 282, object 407; 2 topics, 2 batches, 1 control of 22 bytes
    '0000011a', '00000197', '00000002', '00000002', '00000001', '00000016',
    // topic table
    'fefdfe00000000000000000000000002', '00000000000000000000000000000001',
  ]
  const bytes = bytesOf(content())
  assert.equal(bytes.subarray(0, 128).toString('hex'), golden.join(''))
  // Row of the first batch, after header and topics: topic 0, partition 2, offsets 1000 to 1002, …
  assert.equal(
    bytes.subarray(128, 192).toString('hex'),
    ['00000000', '00000002', '00000000000003e8', '00000000000003ea', '0000018bcfe5687b', 'ffffffffffffffff', 'ffff', '0000', 'ffffffff',
      '00000005', '00000003', content().entries[0]!.crc.toString(16).padStart(8, '0'), '00000040'].join(''),
  )
  assert.equal(bytes.subarray(256, 278).toString('hex'), ['00000007', '00000001', '00000001', '00000001', '00000002', '6869'].join(''))
  assert.equal(bytes.byteLength, 407)
  assert.equal(crc32c(bytes), 2_483_659_648, 'the whole')
})

test('the bytes of a fence and a wall never change', () => {
  const bytes = Buffer.from(encodeGuard(fence))
  assert.equal(
    bytes.toString('hex'),
    ['4261796f7557414c', '0001', '02', '00', '00000007', '000000000000002a', '0000000000000009', '101112131415161718191a1b1c1d1e1f',
      '000000000000002b', '0000000000000008', '0000018bcfe569c8', '00000064', '00000064', '00000000', '00000000', '00000000', '00000000',
      crc32c(bytes.subarray(0, 96)).toString(16).padStart(8, '0')].join(''),
  )
  assert.equal(bytes.byteLength, fenceBytes)
  assert.deepEqual(readSegmentIndex(bytes), fence)
  const wall: GuardHead = { ...fence, kind: 'wall', endSeq: 9 }
  assert.equal(encodeGuard(wall).byteLength, wallBytes)
  assert.deepEqual(readSegmentIndex(encodeGuard(wall)), wall)
})

test('what is written is read, from the head alone', () => {
  const segment = content()
  const { chunks, bounds, objectBytes } = encodeSegment(segment)
  const bytes = Buffer.concat(chunks)
  assert.equal(objectBytes, bytes.byteLength)
  const headBytes = segmentHeadBytes(bytes.subarray(0, segmentHeaderBytes))
  const index = readSegmentIndex(bytes.subarray(0, headBytes), { lane, seq: 3 })
  assert(index.kind === 'segment')
  assert.equal(index.rows.length, 2)
  for (const [i, row] of index.rows.entries()) {
    const { start, end, ...rest } = row
    const { topicId, partition, baseOffset, lastOffset, maxTimestamp, producerId, producerEpoch, baseSequence } = segment.entries[i]!
    const { leaderEpoch, attributes, recordCount, crc } = segment.entries[i]!
    assert.deepEqual(rest, {
      topicId, partition, baseOffset, lastOffset, maxTimestamp, producerId, producerEpoch, baseSequence, leaderEpoch, attributes, recordCount, crc,
    })
    assert.deepEqual([start, end], [bounds[i], bounds[i + 1]])
    assert.deepEqual(bytes.subarray(start, end), Buffer.from(segment.entries[i]!.bytes))
  }
  assert.deepEqual(index.controls, [{ type: 7, topicId: topicA, partition: 1, payload: new Uint8Array(Buffer.from('hi')), rowsBefore: 1 }])
  assert.equal(commitIdOf(bytes.subarray(0, segmentHeaderBytes)), commitId)
})

test('batches are not copied', () => {
  const segment = content()
  assert.equal(encodeSegment(segment).chunks[1], segment.entries[0]!.bytes)
})

test('any content survives', () => {
  const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('base64url'))
  const int64 = fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER })
  const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
  const int16 = fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 })
  const row = fc.record({
    topicId: fc.constantFrom(topicA, topicB), partition: int32, baseOffset: fc.integer({ min: 0, max: 2 ** 52 }), delta: fc.nat(),
    maxTimestamp: int64, producerId: int64, producerEpoch: int16, attributes: int16, baseSequence: int32, leaderEpoch: int32,
    recordCount: int32, crc: fc.integer({ min: 0, max: 2 ** 32 - 1 }), bytes: fc.uint8Array({ maxLength: 30 }),
  })
  const control = fc.record({ type: fc.nat(), topicId: uuid, partition: int32, payload: fc.uint8Array({ maxLength: 9 }), before: fc.nat(8) })
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 8 }), fc.array(control, { maxLength: 4 }), uuid, (rows, controls, id) => {
      const segment: SegmentContent = {
        lane, seq: 2 ** 40 + 1, commitId: id, createdAtMs: 5,
        entries: rows.map(({ delta, ...rest }) => ({ ...rest, lastOffset: rest.baseOffset + delta })),
        controls: controls
          .map(({ before, ...rest }) => ({ ...rest, payload: new Uint8Array(rest.payload), rowsBefore: Math.min(before, rows.length) }))
          .toSorted((a, b) => a.rowsBefore - b.rowsBefore),
      }
      const bytes = bytesOf(segment)
      const index = readSegmentIndex(bytes)
      assert(index.kind === 'segment')
      assert.deepEqual(index.controls, segment.controls)
      const read = index.rows.map(({ start, end, ...rest }) => ({ ...rest, bytes: new Uint8Array(bytes.subarray(start, end)) }))
      assert.deepEqual(read, segment.entries.map((entry) => ({ ...entry, bytes: new Uint8Array(entry.bytes) })))
      assert.deepEqual([index.seq, index.commitId], [2 ** 40 + 1, id])
    }),
  )
})

test('a changed, missing or added byte of the head is noticed', () => {
  for (const bytes of [bytesOf(content()), Buffer.from(encodeGuard(fence))]) {
    const headBytes = bytes.readUInt32BE(72)
    for (let at = 0; at < headBytes; at++) {
      for (const bit of [1, 0x80]) {
        const changed = Buffer.from(bytes)
        changed[at]! ^= bit
        assert.throws(() => readSegmentIndex(changed), SegmentCorruptError, `byte ${at}`)
      }
      assert.throws(() => readSegmentIndex(bytes.subarray(0, at)), SegmentCorruptError, `cut at ${at}`)
    }
  }
})

test('sizes from a hostile header are refused before anything is allocated', () => {
  for (const at of [72, 76, 80, 84, 88, 92]) {
    for (const value of [0, 1, 0x7fff_ffff, 0xffff_ffff, 0x0100_0000]) {
      const bytes = bytesOf(content())
      if (bytes.readUInt32BE(at) === value) continue
      bytes.writeUInt32BE(value, at)
      // The size of the object is believed so far: nothing is allocated by it.
      if (at !== 76) assert.throws(() => segmentHeadBytes(bytes), SegmentCorruptError, `${value} at ${at}`)
      assert.throws(() => readSegmentIndex(bytes), SegmentCorruptError)
      assert.throws(() => readSegmentIndex(resealed(bytes)), SegmentCorruptError)
    }
  }
})

function change(write: (bytes: Buffer) => void): () => SegmentIndex {
  const bytes = bytesOf(content())
  write(bytes)
  return () => readSegmentIndex(resealed(bytes))
}

test('a checksum that is right does not excuse an impossible index', () => {
  assert.doesNotThrow(change(() => undefined))
  const wrong: Readonly<Record<string, (bytes: Buffer) => void>> = {
    'a topic beyond the table': (bytes) => bytes.writeUInt32BE(2, 128),
    'a negative offset': (bytes) => bytes.writeInt32BE(-1, 136),
    'an offset beyond 2^53': (bytes) => bytes.writeInt32BE(0x7fff_ffff, 144),
    'a last offset before the first': (bytes) => bytes.writeInt32BE(7, 148),
    'a batch longer than the object': (bytes) => bytes.writeUInt32BE(0xffff_ffff, 188),
    'a control row of no topic': (bytes) => bytes.writeUInt32BE(9, 260),
    'a control row after more batches than there are': (bytes) => bytes.writeUInt32BE(3, 268),
    'a payload longer than its space': (bytes) => bytes.writeUInt32BE(3, 272),
    'a payload shorter than its space': (bytes) => bytes.writeUInt32BE(1, 272),
  }
  for (const [what, write] of Object.entries(wrong)) assert.throws(change(write), SegmentCorruptError, what)
})

test('random bytes are corrupt and nothing worse', () => {
  const start = bytesOf(content()).subarray(0, 12)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
      assert.throws(() => readSegmentIndex(Buffer.concat([start, tail])), SegmentCorruptError)
      assert.throws(() => readSegmentIndex(tail), SegmentCorruptError)
    }),
  )
})

test('a segment at the place of another is refused', () => {
  const bytes = bytesOf(content())
  for (const expected of [
    { lane, seq: 4 },
    { lane: { ...lane, incarnation: 41 }, seq: 3 },
    { lane: { ...lane, brokerId: 8 }, seq: 3 },
  ]) {
    assert.throws(() => readSegmentIndex(bytes, expected), /not \d+ of/)
  }
})

test('the encoder refuses what the format cannot hold', () => {
  assert.throws(() => encodeSegment({ ...content(), entries: [], controls: [] }), RangeError)
  assert.throws(() => encodeSegment({ ...content(), commitId: 'short' }), RangeError)
  const entry = { ...content().entries[0]!, topicId: 'no uuid of 22 letters!' }
  assert.throws(() => encodeSegment({ ...content(), entries: [entry] }), RangeError)
})
