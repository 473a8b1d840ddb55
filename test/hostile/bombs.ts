/** Batches that are small on the wire and large when they are opened, in every codec; their checksums are right. */
import { ATTRIBUTES_AT, BATCH_HEADER_SIZE, BATCH_LENGTH_AT, BATCH_LENGTH_OVERHEAD, CRC_AT } from '../../protocol/records/batch.ts'
import { codecName, compress } from '../../protocol/records/compression.ts'
import { crc32c } from '../../protocol/records/crc32c.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'

export interface Bomb {
  readonly what: string
  readonly batch: Buffer
  /** Whether a broker takes it: an honest record that compresses well. */
  readonly honest: boolean
}

const MiB = 1024 * 1024
const codecs = [1, 2, 3, 4] as const
/** Codec → how much one part holds, and how many parts follow one another within a megabyte: members, frames or chunks may be strung together. */
const parts: Readonly<Record<(typeof codecs)[number], readonly [bytes: number, count: number]>> = { 1: [16 * MiB, 48], 2: [8 * MiB, 1], 3: [16 * MiB, 8], 4: [16 * MiB, 256] }

export function bombs(): readonly Bomb[] {
  const made: Bomb[] = []
  for (const codec of codecs) {
    const [bytes, count] = parts[codec]
    const name = codecName(codec)!
    const part = compress(codec, new Uint8Array(bytes))
    made.push({ what: `${name}: ${(bytes * count) / MiB} MiB of zeros`, batch: batchAround(codec, Buffer.concat(Array<Uint8Array>(count).fill(part))), honest: false })
    const record = Buffer.from(encodeBatch({ baseOffset: 0, records: [{ timestamp: Date.now(), key: null, value: new Uint8Array(8 * MiB) }] }))
    made.push({ what: `${name}: a record of 8 MiB`, batch: batchAround(codec, compress(codec, record.subarray(BATCH_HEADER_SIZE)), record), honest: true })
    // The records of a batch that are themselves a batch of that codec.
    made.push({ what: `${name}: compressed twice`, batch: batchAround(codec, compress(codec, part)), honest: false })
  }
  made.push({ what: 'snappy: a block that promises 4 GiB', batch: batchAround(2, Buffer.from('ffffffff0f00', 'hex')), honest: false })
  made.push({ what: 'snappy: a chunk that promises 2 GiB', batch: batchAround(2, Buffer.from('82534e415050590000000001000000017fffffff00', 'hex')), honest: false })
  made.push({ what: 'zstd: a frame that promises 2^63 bytes', batch: batchAround(4, Buffer.from('28b52ffde0ffffffffffffff7f010000', 'hex')), honest: false })
  made.push({ what: 'lz4: a frame that promises 2^63 bytes', batch: batchAround(3, Buffer.from('04224d186840ffffffffffffff7f0000000000', 'hex')), honest: false })
  return made
}

function batchAround(codec: number, content: Uint8Array, like?: Buffer): Buffer {
  const header = like ?? Buffer.from(encodeBatch({ baseOffset: 0, records: [{ timestamp: Date.now(), key: null, value: new Uint8Array(1) }] }))
  const batch = Buffer.concat([header.subarray(0, BATCH_HEADER_SIZE), content])
  batch.writeInt16BE(codec, ATTRIBUTES_AT)
  batch.writeInt32BE(batch.length - BATCH_LENGTH_OVERHEAD, BATCH_LENGTH_AT)
  batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT)
  return batch
}
