/**
 * Bytes that other implementations wrote: record batches of the Java client 4.3.1 (golden/Golden.java) and compressed
 * frames of franz-go, lz4 and zstd (golden/frames.sh). Where the Java client's jars are at hand, it also reads what we write.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { lastOffset, readBatchHeader } from '../../../protocol/records/batch.ts'
import { decompress, startsLikeCodec } from '../../../protocol/records/compression.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import type { RecordHeader } from '../../../protocol/records/record.ts'
import { validateProduceBatch } from '../../../protocol/records/validate.ts'

interface GoldenBatch {
  readonly name: string
  readonly base64: string
  readonly baseOffset: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  readonly codec: number
  readonly timestampType: 0 | 1
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly transactional: boolean
  readonly control: boolean
  readonly count: number
  readonly records: readonly unknown[]
}

interface GoldenFrame {
  readonly name: string
  readonly codec: number
  readonly base64: string
}

const golden = join(import.meta.dirname, 'golden')
const batches = JSON.parse(readFileSync(join(golden, 'java.json'), 'utf8')) as GoldenBatch[]
const frames = JSON.parse(readFileSync(join(golden, 'frames.json'), 'utf8')) as GoldenFrame[]
const plainText = Buffer.from(Array.from({ length: 5000 }, (_, index) => `line ${index % 89} of the golden text\n`).join(''))

describe('batches of the Java client', () => {
  it('covers every codec', () => assert.deepEqual(new Set(batches.map((batch) => batch.codec)), new Set([0, 1, 2, 3, 4])))

  for (const expected of batches) {
    it(expected.name, () => {
      const bytes = fromBase64(expected.base64)
      assert.deepEqual(describeBatch(bytes), withoutSource(expected))
    })

    it(`${expected.name}: validated as sent`, () => {
      const outcome = validateProduceBatch(fromBase64(expected.base64), { deep: true, fromBroker: true, allowLogAppendTime: true })
      if (expected.name.includes('gaps') || expected.name === 'transactional') {
        assert.equal(outcome.kind, 'invalid')
      } else {
        assert.equal(outcome.kind, 'ok', outcome.kind === 'ok' ? '' : outcome.reason)
        assert.equal(outcome.maxTimestamp, expected.maxTimestamp)
      }
    })
  }

  it('uncompressed batches are reproduced byte for byte', () => {
    for (const expected of batches.filter((batch) => batch.codec === 0 && batch.timestampType === 0 && batch.name !== 'transactional')) {
      const bytes = fromBase64(expected.base64)
      assert.equal(Buffer.from(reencode(bytes, 0)).toString('hex'), Buffer.from(bytes).toString('hex'), expected.name)
    }
  })
})

describe('frames of franz-go and of the command line tools', () => {
  for (const frame of frames) {
    it(frame.name, () => {
      const bytes = fromBase64(frame.base64)
      assert.ok(startsLikeCodec(frame.codec, bytes))
      const content = decompress(frame.codec, bytes, { maxBytes: plainText.length })
      assert.ok(plainText.equals(content))
      const tooLarge = { name: 'DecompressionError', reason: 'too-large' }
      assert.throws(() => decompress(frame.codec, bytes, { maxBytes: plainText.length - 1 }), tooLarge)
    })
  }
})

const classpath = [
  'org/apache/kafka/kafka-clients/4.3.1/kafka-clients-4.3.1.jar',
  'at/yawk/lz4/lz4-java/1.10.2/lz4-java-1.10.2.jar',
  'org/xerial/snappy/snappy-java/1.1.10.7/snappy-java-1.1.10.7.jar',
  'com/github/luben/zstd-jni/1.5.6-10/zstd-jni-1.5.6-10.jar',
  'org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar',
].map((jar) => join(homedir(), '.m2/repository', jar))

const skip = classpath.every((jar) => existsSync(jar)) ? false : 'kafka-clients 4.3.1 is not in the Maven repository'

describe('the Java client', { skip }, () => {
  it('reads our batches with every codec', () => {
    const large = { timestamp: 1, key: Buffer.from('large'), value: plainText }
    const noise = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (Math.imul(index, 2_654_435_761) >>> 13) & 0xff))
    const ours = [0, 1, 2, 3, 4].flatMap((codec) => [
      ...batches.map((batch) => reencode(fromBase64(batch.base64), codec)),
      encodeBatch({ baseOffset: 7, codec, records: [large, { timestamp: 2, key: null, value: noise }, large] }),
    ])
    const input = ours.map((bytes) => Buffer.from(bytes).toString('base64')).join('\n')
    const output = execFileSync('java', ['-cp', classpath.join(':'), join(golden, 'Golden.java'), 'read'], {
      input,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore'],
      maxBuffer: 64 * 1024 * 1024,
    })
    const read = output.trim().split('\n').map((line) => JSON.parse(line) as unknown)
    assert.deepEqual(read, ours.map((bytes) => describeBatch(bytes)))
  })
})

function withoutSource(batch: GoldenBatch): Omit<GoldenBatch, 'name' | 'base64'> {
  const { name: _name, base64: _base64, ...rest } = batch
  return rest
}

/** The shape that Golden.java prints. */
function describeBatch(bytes: Uint8Array): Omit<GoldenBatch, 'name' | 'base64'> {
  const header = readBatchHeader(bytes, 0)
  return {
    baseOffset: header.baseOffset,
    lastOffset: lastOffset(bytes, 0),
    leaderEpoch: header.partitionLeaderEpoch,
    codec: header.codec,
    timestampType: header.timestampType,
    maxTimestamp: header.maxTimestamp,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    transactional: header.isTransactional,
    control: header.isControl,
    count: header.recordCount,
    records: recordsOf(bytes).map((record) => ({
      offset: record.offset,
      timestamp: record.timestamp,
      key: text(record.key),
      value: text(record.value),
      headers: record.headers.map((header: RecordHeader) => [text(Buffer.from(header.key)), text(header.value)]),
    })),
  }
}

function text(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null
  return bytes.length <= 256 ? Buffer.from(bytes).toString('hex') : `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** The same batch through our encoder. */
function reencode(bytes: Uint8Array, codec: number): Uint8Array {
  const header = readBatchHeader(bytes, 0)
  return encodeBatch({
    baseOffset: header.baseOffset,
    leaderEpoch: header.partitionLeaderEpoch,
    timestampType: header.timestampType,
    codec,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    transactional: header.isTransactional,
    control: header.isControl,
    records: recordsOf(bytes),
  })
}

function fromBase64(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}
