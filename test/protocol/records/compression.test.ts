/** Codecs: bounds on the output, damaged input, and the framings that foreign clients send. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync as snappyBlock } from 'snappy'
import { CODEC_GZIP, CODEC_LZ4, CODEC_NONE, CODEC_SNAPPY, CODEC_ZSTD } from '../../../protocol/records/batch.ts'
import { codecName, codecNumber, compress, decompress, startsLikeCodec } from '../../../protocol/records/compression.ts'
import { DecompressionError } from '../../../protocol/records/errors.ts'

const CODECS = [CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD]
const noise = Uint8Array.from({ length: 200_000 }, (_, index) => (Math.imul(index, 2_654_435_761) >>> 13) & 0xff)
const text = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `${index},${(index * 7919) % 1000};`).join(''))

for (const codec of CODECS) {
  describe(codecName(codec) ?? '', () => {
    for (const [name, content] of Object.entries({ text, noise, 'a byte': Buffer.from('x'), zeros: new Uint8Array(1_000_000) })) {
      it(`gives back ${name}, up to exactly the bound`, () => {
        const packed = compress(codec, content)
        assert.ok(startsLikeCodec(codec, packed))
        assert.ok(Buffer.from(content).equals(decompress(codec, packed, { maxBytes: content.length })))
        const tooLarge = { name: 'DecompressionError', reason: 'too-large' }
        assert.throws(() => decompress(codec, packed, { maxBytes: content.length - 1 }), tooLarge)
      })
    }

    it('reads a slice in the middle of a larger buffer', () => {
      const packed = compress(codec, text)
      const bytes = new Uint8Array(packed.length + 30).fill(0xaa)
      bytes.set(packed, 17)
      assert.ok(text.equals(decompress(codec, bytes.subarray(17, 17 + packed.length), { maxBytes: text.length })))
    })

    it('every cut is noticed', () => {
      const packed = compress(codec, text.subarray(0, 500))
      for (let length = 0; length < packed.length; length++) {
        assert.throws(() => decompress(codec, packed.subarray(0, length), { maxBytes: 1000 }), DecompressionError, `${length} bytes`)
      }
    })

    it('a bomb costs memory by its bound, not by its promise', () => {
      const bomb = compress(codec, new Uint8Array(64_000_000))
      const before = process.memoryUsage.rss()
      for (let round = 0; round < 5; round++) {
        assert.throws(() => decompress(codec, bomb, { maxBytes: 100_000 }), { name: 'DecompressionError', reason: 'too-large' })
      }
      assert.ok(process.memoryUsage.rss() - before < 32_000_000)
    })

    it('flipped bits give an error or other bytes within the bound, never anything else', () => {
      const content = text.subarray(0, 3000)
      const packed = compress(codec, content)
      for (let bit = 0; bit < Math.min(packed.length * 8, 2400); bit++) {
        const bytes = packed.slice()
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        try {
          assert.ok(decompress(codec, bytes, { maxBytes: 10_000 }).length <= 10_000)
        } catch (error) {
          assert.ok(error instanceof DecompressionError, String(error))
        }
      }
    })
  })
}

describe('codecs by name and number', () => {
  it('go both ways', () => {
    for (const codec of [CODEC_NONE, ...CODECS]) assert.equal(codecNumber(codecName(codec)!), codec)
    assert.equal(codecName(5), null)
    assert.equal(codecName(-1), null)
  })

  it('an unknown one is refused', () => {
    assert.throws(() => decompress(5, noise, { maxBytes: 10 }), { name: 'DecompressionError', reason: 'unsupported' })
    assert.throws(() => compress(5, noise), RangeError)
    assert.equal(startsLikeCodec(5, noise), false)
  })

  it('levels reach gzip and zstd', () => {
    assert.ok(compress(CODEC_GZIP, text, { level: 9 }).length < compress(CODEC_GZIP, text, { level: 1 }).length)
    assert.ok(compress(CODEC_ZSTD, text, { level: 19 }).length < compress(CODEC_ZSTD, text, { level: 1 }).length)
  })

  it('uncompressed bytes come back as they are, within the bound', () => {
    assert.equal(decompress(CODEC_NONE, noise, { maxBytes: noise.length }), noise)
    assert.throws(() => decompress(CODEC_NONE, noise, { maxBytes: 10 }), { reason: 'too-large' })
  })
})

describe('snappy framings', () => {
  const header = Buffer.from('82534e41505059000000000100000001', 'hex')

  it('a raw block, as librdkafka and franz-go send it', () => {
    const block = snappyBlock(text)
    assert.ok(startsLikeCodec(CODEC_SNAPPY, block))
    assert.ok(text.equals(decompress(CODEC_SNAPPY, block, { maxBytes: text.length })))
  })

  it('blocks of 32 KiB, as snappy-java sends them, and concatenated streams', () => {
    const chunks: Buffer[] = []
    for (let at = 0; at < text.length; at += 32_768) chunks.push(chunk(text.subarray(at, at + 32_768)))
    const stream = Buffer.concat([header, ...chunks])
    assert.ok(text.equals(decompress(CODEC_SNAPPY, stream, { maxBytes: text.length })))
    const twice = decompress(CODEC_SNAPPY, Buffer.concat([stream, stream]), { maxBytes: 2 * text.length })
    assert.ok(Buffer.concat([text, text]).equals(twice))
    const less = { maxBytes: 2 * text.length - 1 }
    assert.throws(() => decompress(CODEC_SNAPPY, Buffer.concat([stream, stream]), less), { reason: 'too-large' })
  })

  it('a claim that the input cannot fill is refused before anything is allocated', () => {
    assert.throws(() => decompress(CODEC_SNAPPY, Buffer.from('ffffffff0f00', 'hex'), { maxBytes: 2 ** 31 }), { reason: 'corrupt' })
    assert.equal(startsLikeCodec(CODEC_SNAPPY, Buffer.from('ffffffff0f00', 'hex')), false)
  })

  it('lengths that are negative or beyond the input are refused', () => {
    for (const length of ['ffffffff', '7fffffff', '000000']) {
      const bytes = Buffer.concat([header, Buffer.from(length, 'hex')])
      assert.throws(() => decompress(CODEC_SNAPPY, bytes, { maxBytes: 1000 }), { reason: 'corrupt' })
    }
  })
})

describe('lz4 frames', () => {
  it('are exchanged with another implementation', () => {
    for (const content of [text, Buffer.from(noise), Buffer.from('x')]) {
      assert.ok(content.equals(decompressFrameSync(Buffer.from(compress(CODEC_LZ4, content)))))
      for (const options of [{}, { contentChecksum: true }, { blockChecksums: true }]) {
        assert.ok(content.equals(decompress(CODEC_LZ4, compressFrameSync(content, options), { maxBytes: content.length })))
      }
    }
  })

  it('refuse a wrong header checksum, version, reserved flag, dictionary or block size', () => {
    const frame = Buffer.from(compress(CODEC_LZ4, text))
    for (const [position, value] of [[6, 0x83], [4, 0x20], [4, 0x62], [4, 0x61], [5, 0x30], [5, 0xc0], [0, 0x05]] as const) {
      const bytes = Buffer.from(frame)
      bytes[position] = value
      assert.throws(() => decompress(CODEC_LZ4, bytes, { maxBytes: text.length }), { reason: 'corrupt' })
      assert.equal(startsLikeCodec(CODEC_LZ4, bytes), false)
    }
  })

})

describe('a megabyte of tiny pieces', () => {
  const tiny = [
    ['lz4', CODEC_LZ4, '04224d18604082', '020000001041'],
    ['lz4 with large promises', CODEC_LZ4, '04224d18607073', '020000001041'],
    ['snappy', CODEC_SNAPPY, '82534e41505059000000000100000001', '00000003010061'],
    ['zstd', CODEC_ZSTD, '28b52ffd2000010000', '28b52ffd2000010000'],
  ] as const
  for (const [name, codec, head, piece] of tiny) {
    it(`is refused early: ${name}`, () => {
      const pieces = Buffer.alloc(1_000_000 - (1_000_000 % (piece.length / 2)), piece, 'hex')
      const before = process.memoryUsage.rss()
      assert.throws(() => decompress(codec, Buffer.concat([Buffer.from(head, 'hex'), pieces]), { maxBytes: 50_000_000 }), {
        reason: 'corrupt',
        message: /too many tiny/,
      })
      assert.ok(process.memoryUsage.rss() - before < 64_000_000)
    })
  }
})

/** A block as snappy-java frames it. */
function chunk(content: Uint8Array): Buffer {
  const block = snappyBlock(content)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(block.length)
  return Buffer.concat([length, block])
}
