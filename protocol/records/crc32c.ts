/**
 * CRC-32C (Castagnoli), the checksum of record batches (Kafka protocol guide, "Record Batch") and of lane segments.
 * The native library reads a view in place: a slice of a larger buffer costs no copy.
 */
import { crc32c as native } from '@node-rs/crc32'

/**
 * Checksum of `bytes` as an unsigned 32-bit number.
 *
 * @param seed the checksum of what precedes `bytes`, so that a sum can be taken over several pieces
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return native(bytes, seed)
}

/** Checksum of `bytes[start, end)`, unsigned. */
export function crc32cRange(bytes: Uint8Array, start: number, end: number): number {
  return native(bytes.subarray(start, end), 0)
}
