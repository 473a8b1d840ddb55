/** `compression.type` of a topic: batches of other codecs are compressed anew when they are appended, and stay the same records. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LOG_APPEND_TIME, computeCrc, readBatchHeader } from '../../../protocol/records/batch.ts'
import { codecName, codecNumber } from '../../../protocol/records/compression.ts'
import type { CodecName } from '../../../protocol/records/compression.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { TestHost, append, batchOf, openLog } from './support.ts'

const codecs: readonly CodecName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const texts = Array.from({ length: 20 }, (_, i) => `${i} `.repeat(20))

describe('a topic with a compression of its own', () => {
  for (const wanted of codecs) {
    it(`${wanted}: what producers send in any codec is kept in this one`, () => {
      for (const sent of codecs) {
        const host = new TestHost()
        const log = openLog(host, { compression: wanted })
        const batch = batchOf(texts, { codec: codecNumber(sent), producerId: 7, producerEpoch: 1, baseSequence: 0 })
        const expected = recordsOf(batch)
        assert.equal(append(log, batch).kind, 'appended')
        const { bytes } = host.submitted[0]!
        const header = readBatchHeader(bytes, 0)
        assert.equal(codecName(header.codec), wanted, `sent with ${sent}`)
        assert.equal(header.crc, computeCrc(bytes, 0))
        assert.deepEqual([header.producerId, header.producerEpoch, header.baseSequence, header.recordCount, header.batchLength], [7, 1, 0, 20, bytes.length - 12])
        assert.deepEqual(recordsOf(bytes), expected)
        assert.equal(host.submitted[0]!.attributes, header.attributes)
      }
    })
  }

  it('the same codec is the same bytes, and so is any with `producer`', () => {
    for (const compression of ['zstd', 'producer'] as const) {
      const host = new TestHost()
      const batch = batchOf(texts, { codec: codecNumber('zstd') })
      append(openLog(host, { compression }), batch)
      assert.equal(host.submitted[0]!.bytes, batch)
    }
  })

  it('the level of the topic counts', () => {
    const sizeAt = (compressionLevel: number): number => {
      const host = new TestHost()
      append(openLog(host, { compression: 'gzip', compressionLevel }), batchOf(Array.from({ length: 60 }, (_, i) => `${i * 7919} value number ${i} of sixty`)))
      return host.submitted[0]!.bytes.length
    }
    assert.ok(sizeAt(9) < sizeAt(1), `${sizeAt(9)} bytes at 9, ${sizeAt(1)} at 1`)
  })

  it('the time of the broker is in the batch as it is kept', () => {
    const host = new TestHost()
    append(openLog(host, { compression: 'lz4', timestampType: 'LogAppendTime' }), batchOf(['a', 'b']))
    const header = readBatchHeader(host.submitted[0]!.bytes, 0)
    assert.deepEqual([codecName(header.codec), header.timestampType, header.crc], ['lz4', LOG_APPEND_TIME, computeCrc(host.submitted[0]!.bytes, 0)])
  })

  it('a batch that outgrows the topic without its compression is refused, and nothing of it stays', () => {
    const host = new TestHost()
    const log = openLog(host, { compression: 'none' })
    const outcome = append(log, batchOf([' '.repeat(20_000)], { codec: codecNumber('gzip') }))
    assert.equal(outcome.kind, 'tooLarge')
    assert.deepEqual([log.logEndOffset, host.submitted.length], [0, 0])
  })
})
