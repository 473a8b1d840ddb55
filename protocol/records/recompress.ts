/** A record batch with another codec, for topics that ask for one (`compression.type`). Records are neither decoded nor moved: only their compression changes. */
import { BATCH_HEADER_SIZE, readBatchHeader, writeBatchHeader } from './batch.ts'
import { compress, decompress } from './compression.ts'

/**
 * A new batch, the header of which differs in codec, length and CRC. `codec` is a number of the batch's attributes, `level` one of gzip or zstd.
 *
 * @throws DecompressionError for records that cannot be read, or that are larger than `maxBytes` without compression
 */
export function recompress(batch: Uint8Array, codec: number, options: { readonly maxBytes: number; readonly level?: number }): Uint8Array {
  const header = readBatchHeader(batch, 0)
  const records = compress(codec, decompress(header.codec, batch.subarray(BATCH_HEADER_SIZE), options), options)
  const recompressed = new Uint8Array(BATCH_HEADER_SIZE + records.length)
  recompressed.set(records, BATCH_HEADER_SIZE)
  writeBatchHeader(recompressed, 0, recompressed.length, { ...header, attributes: header.attributes - header.codec + codec })
  return recompressed
}
