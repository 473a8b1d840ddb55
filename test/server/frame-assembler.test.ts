import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { FrameAssembler, FrameLengthError } from '../../src/server/frame-assembler.ts'

function framed(body: Uint8Array): Buffer {
  const frame = Buffer.alloc(4 + body.length)
  frame.writeInt32BE(body.length)
  frame.set(body, 4)
  return frame
}

test('frames come out whole, in order and exactly sized, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 8, maxLength: 20_000 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 10 }),
      (bodies, cuts) => {
        const stream = Buffer.concat(bodies.map(framed))
        const assembler = new FrameAssembler(1 << 20)
        const out: Buffer[] = []
        let accepted = 0
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = cuts[turn % cuts.length]!
          const chunk = Buffer.from(stream.subarray(at, at + size))
          at += chunk.length
          assembler.push(chunk)
          for (let frame = assembler.next(); frame !== null; frame = assembler.next()) {
            out.push(frame)
            accepted += frame.length + 4
          }
          assert.equal(assembler.pendingBytes, at - accepted)
        }
        assert.deepEqual(out.map(frame => [...frame]), bodies.map(body => [...body]))
      },
    ),
    { numRuns: 60 },
  )
})

test('frames are the same when their bytes are read to where they belong', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 8, maxLength: 200_000 }), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 10 }),
      (bodies, cuts) => {
        const stream = Buffer.concat(bodies.map(framed))
        const scratch = Buffer.alloc(6000)
        const assembler = new FrameAssembler(1 << 20)
        const out: Buffer[] = []
        let direct = 0
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const space = assembler.space()
          const room = (space ?? scratch).length
          const bytes = stream.copy(space ?? scratch, 0, at, at + Math.min(cuts[turn % cuts.length]!, room))
          at += bytes
          if (space === null) assembler.push(scratch.subarray(0, bytes), true)
          else {
            assembler.written(bytes)
            direct += bytes
          }
          // As a connection that takes one request at a time: what is left must survive the next use of the scratch.
          const first = assembler.next()
          if (first !== null) out.push(first)
          assembler.keep()
          scratch.fill(0xee)
          for (let frame = assembler.next(); frame !== null; frame = assembler.next()) out.push(frame)
        }
        assert.equal(assembler.pendingBytes, 0)
        assert.deepEqual(out.map(frame => [...frame]), bodies.map(body => [...body]))
        if (bodies.some(body => body.length > 20_000)) assert.ok(direct > 0)
      },
    ),
    { numRuns: 40 },
  )
})

test('a shared chunk that is just one frame is copied', () => {
  const chunk = Buffer.from(new Uint8Array(framed(Buffer.alloc(5000, 1))).buffer)
  const assembler = new FrameAssembler(1 << 20)
  assembler.push(chunk, true)
  assert.notEqual(assembler.next()!.buffer, chunk.buffer)
})

test('a produce frame does not keep alive the chunk that it came in', () => {
  const small = Buffer.alloc(100)
  const chunk = Buffer.concat([framed(small), Buffer.alloc(60_000)])
  const assembler = new FrameAssembler(1 << 20)
  assembler.push(chunk)
  const frame = assembler.next()!
  assert.equal(frame.length, 100)
  assert.equal(frame.buffer.byteLength, 100)
})

test('a chunk that is just one frame is handed on without a copy', () => {
  const chunk = Buffer.from(new Uint8Array(framed(Buffer.alloc(5000, 1))).buffer)
  const assembler = new FrameAssembler(1 << 20)
  assembler.push(chunk)
  assert.equal(assembler.next()!.buffer, chunk.buffer)
})

test('the promise of a length allocates nothing', () => {
  const before = process.memoryUsage().arrayBuffers
  const assemblers = Array.from({ length: 1000 }, () => {
    const assembler = new FrameAssembler(0x7fff_ffff)
    assembler.push(Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 3]))
    assert.equal(assembler.next(), null)
    return assembler
  })
  const grown = process.memoryUsage().arrayBuffers - before
  assert.ok(grown < assemblers.length * 20_000, `${grown} bytes for ${assemblers.length} promises of 2 GiB`)
})

test('lengths that cannot be are refused', () => {
  for (const length of [-1, -0x8000_0000, 0, 3, 7, 1025, 0x7fff_ffff]) {
    const assembler = new FrameAssembler(1024)
    const chunk = Buffer.alloc(4)
    chunk.writeInt32BE(length)
    assembler.push(chunk)
    assert.throws(() => assembler.next(), FrameLengthError, String(length))
  }
})
