/**
 * The four codecs of record batches, in the framings that Kafka clients write, with a bound on the output. A bomb costs
 * no more memory than a small multiple of the bound: sizes that the input claims are checked before they are allocated.
 *
 * gzip: one or more members (RFC 1952). snappy: one raw block (librdkafka) or the framing of snappy-java. lz4: frames,
 * see lz4-frame.ts. zstd: one or more frames (RFC 8878, KIP-110).
 */
import { compressSync as snappyCompress, uncompressSync as snappyUncompress } from 'snappy'
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { CODEC_GZIP, CODEC_LZ4, CODEC_NONE, CODEC_SNAPPY, CODEC_ZSTD } from './batch.ts'
import { DecompressionError } from './errors.ts'
import { readInt32 } from './integers.ts'
import { compressLz4, decompressLz4, hasLz4FrameHeader } from './lz4-frame.ts'

export type CodecName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

const CODEC_NAMES: readonly CodecName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** The name of a codec number (as in the topic config `compression.type`), or null for a number that is none. */
export function codecName(codec: number): CodecName | null {
  return CODEC_NAMES[codec] ?? null
}

/** The number of a codec in a batch's attributes. */
export function codecNumber(name: CodecName): number {
  return CODEC_NAMES.indexOf(name)
}

/** Bound on the output for callers that have no better one: 64 times the largest batch Kafka takes by default. */
export const DECOMPRESSED_BYTES_MAX_DEFAULT = 64 * 1024 * 1024

const CHUNK_BYTES_MIN = 4096
const CHUNK_BYTES_MAX = 256 * 1024
// Node's zlib refuses an output limit of 0, which is what is left at the very end of a budget; hence the second check behind each call.

/**
 * The records behind a batch header, decompressed. Codec 0 gives back the input.
 *
 * The result may be a view on the input or on a larger buffer; it is the caller's to read, not to keep for long.
 *
 * @param codec number from the batch's attributes
 * @throws DecompressionError `too-large` beyond `maxBytes`, `unsupported` for an unknown codec, else `corrupt`
 */
export function decompress(codec: number, bytes: Uint8Array, limits: { readonly maxBytes: number }): Uint8Array {
  const { maxBytes } = limits
  switch (codec) {
    case CODEC_NONE:
      if (bytes.length > maxBytes) throw tooLarge('none', maxBytes)
      return bytes
    case CODEC_GZIP:
      return gunzip(bytes, maxBytes)
    case CODEC_SNAPPY:
      return hasSnappyJavaHeader(bytes) ? decompressSnappyJava(bytes, maxBytes) : decompressSnappyBlock(bytes, maxBytes)
    case CODEC_LZ4:
      return decompressLz4(bytes, maxBytes)
    case CODEC_ZSTD:
      return decompressZstd(bytes, maxBytes)
    default:
      throw new DecompressionError('unsupported', `codec ${codec} does not exist`)
  }
}

/**
 * Compresses records for a batch. Codec 0 gives back the input.
 *
 * @param options.level of gzip (1–9) or zstd (negative to 22); the library's default without it; ignored by snappy and lz4
 * @throws RangeError for an unknown codec or level: the caller chose it
 */
export function compress(codec: number, bytes: Uint8Array, options: { readonly level?: number } = {}): Uint8Array {
  const { level } = options
  switch (codec) {
    case CODEC_NONE:
      return bytes
    case CODEC_GZIP:
      return gzipSync(bytes, level === undefined ? {} : { level })
    case CODEC_SNAPPY:
      return compressSnappyJava(bytes)
    case CODEC_LZ4:
      return compressLz4(bytes)
    case CODEC_ZSTD: {
      const params = level === undefined ? {} : { params: { [constants.ZSTD_c_compressionLevel]: level } }
      // The known size makes the encoder claim no larger window than the content, which spares consumers the memory.
      return zstdCompressSync(bytes, { ...params, pledgedSrcSize: bytes.length })
    }
    default:
      throw new RangeError(`codec ${codec} does not exist`)
  }
}

/**
 * A cheap look at compressed bytes: do they start as the codec's framing does? True for codec 0, false for unknown ones.
 * It catches mislabelled batches; whether the rest decompresses only `decompress` can tell.
 */
export function startsLikeCodec(codec: number, bytes: Uint8Array): boolean {
  switch (codec) {
    case CODEC_NONE:
      return true
    case CODEC_GZIP:
      return bytes.length >= 18 && bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 8
    case CODEC_SNAPPY:
      return hasSnappyJavaHeader(bytes) || snappyBlockSize(bytes) >= 0
    case CODEC_LZ4:
      return hasLz4FrameHeader(bytes)
    case CODEC_ZSTD:
      return zstdFrameEnd(bytes, 0) !== -1
    default:
      return false
  }
}

// ── gzip ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function gunzip(bytes: Uint8Array, maxBytes: number): Uint8Array {
  // The last four bytes hold the size modulo 2^32. It is a hint for the size of the output's pieces, never trusted.
  const end = bytes.length
  const hint = end < 18 ? 0 : bytes[end - 4]! | (bytes[end - 3]! << 8) | (bytes[end - 2]! << 16) | (bytes[end - 1]! << 24)
  try {
    const content = gunzipSync(bytes, { maxOutputLength: Math.max(1, maxBytes), chunkSize: chunkSize(hint >>> 0) })
    if (content.length > maxBytes) throw tooLarge('gzip', maxBytes)
    return content
  } catch (error) {
    throw zlibFailure('gzip', maxBytes, error)
  }
}

// ── snappy ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** snappy-java: magic, version 1, compatible with version 1, then blocks with a big-endian length each. */
const SNAPPY_JAVA_HEADER = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1)
const SNAPPY_JAVA_MAGIC_BYTES = 8
const SNAPPY_JAVA_HEADER_BYTES = 16
/** The magic's first four bytes as a length: streams may be concatenated, header and all. */
const SNAPPY_JAVA_MAGIC_AS_LENGTH = readInt32(SNAPPY_JAVA_HEADER, 0)
/** Blocks per stream: far more than any client writes, and few enough that tiny ones do not stall the process. */
const SNAPPY_BLOCKS_MIN = 256
const SNAPPY_BYTES_PER_BLOCK_MIN = 128
/** A three-byte copy gives at most 64 bytes, so a claim beyond 22 times the input is a lie. */
const SNAPPY_EXPANSION_MAX = 22

function hasSnappyJavaHeader(bytes: Uint8Array): boolean {
  return bytes.length >= SNAPPY_JAVA_HEADER_BYTES && startsWith(bytes, 0, SNAPPY_JAVA_HEADER, SNAPPY_JAVA_MAGIC_BYTES)
}

/** Uncompressed size that a raw block claims, or -1 when the claim is malformed or impossible. */
function snappyBlockSize(bytes: Uint8Array): number {
  let size = 0
  for (let at = 0, scale = 1; at < 5 && at < bytes.length; at++, scale *= 128) {
    size += (bytes[at]! & 0x7f) * scale
    if (bytes[at]! < 0x80) return size > bytes.length * SNAPPY_EXPANSION_MAX ? -1 : size
  }
  return -1
}

function decompressSnappyBlock(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const size = snappyBlockSize(bytes)
  if (size === -1) throw corrupt('snappy', 'a block claims an impossible size')
  if (size > maxBytes) throw tooLarge('snappy', maxBytes)
  try {
    // A copied output is several times faster than an external buffer, which costs a finalizer.
    return snappyUncompress(bytes, { asBuffer: true, copyOutputData: true }) as Buffer
  } catch (error) {
    throw new DecompressionError('corrupt', 'snappy: a block does not decompress', { cause: error })
  }
}

function decompressSnappyJava(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const blocks: Uint8Array[] = []
  const blocksMax = SNAPPY_BLOCKS_MIN + bytes.length / SNAPPY_BYTES_PER_BLOCK_MIN
  let total = 0
  let at = SNAPPY_JAVA_HEADER_BYTES
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw corrupt('snappy', 'a block length is cut off')
    const length = readInt32(bytes, at)
    if (length === SNAPPY_JAVA_MAGIC_AS_LENGTH && startsWith(bytes, at, SNAPPY_JAVA_HEADER, SNAPPY_JAVA_MAGIC_BYTES)) {
      at += SNAPPY_JAVA_HEADER_BYTES
      if (at > bytes.length) throw corrupt('snappy', 'a stream header is cut off')
      continue
    }
    at += 4
    if (length < 0 || at + length > bytes.length) throw corrupt('snappy', 'a block is cut off')
    const block = decompressSnappyBlock(bytes.subarray(at, at + length), maxBytes - total)
    total += block.length
    if (blocks.push(block) > blocksMax) throw corrupt('snappy', 'there are too many tiny blocks')
    at += length
  }
  if (blocks.length === 0) throw corrupt('snappy', 'there is no block')
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks, total)
}

/** One block is enough: readers size their buffers by the block's own length fields. */
function compressSnappyJava(bytes: Uint8Array): Uint8Array {
  const block = snappyCompress(bytes, { copyOutputData: true })
  const length = Buffer.allocUnsafe(4)
  length.writeUInt32BE(block.length, 0)
  return Buffer.concat([SNAPPY_JAVA_HEADER, length, block])
}

// ── zstd ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Every frame costs a decoder of some 40 µs. Clients write one; a few concatenated ones are fine. */
const ZSTD_FRAMES_MIN = 16
const ZSTD_BYTES_PER_FRAME_MIN = 4096
const ZSTD_MAGIC = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)

/** Node decodes the first frame and ignores what follows, so frames are told apart here. */
function decompressZstd(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const contents: Uint8Array[] = []
  const framesMax = ZSTD_FRAMES_MIN + bytes.length / ZSTD_BYTES_PER_FRAME_MIN
  let total = 0
  for (let at = 0; at < bytes.length || at === 0; ) {
    const end = zstdFrameEnd(bytes, at)
    if (end === -1) throw corrupt('zstd', 'a frame is malformed or cut off')
    if (!isSkippable(bytes, at)) {
      const content = decompressZstdFrame(bytes.subarray(at, end), maxBytes - total)
      total += content.length
      if (contents.push(content) > framesMax) throw corrupt('zstd', 'there are too many tiny frames')
    }
    at = end
  }
  return contents.length === 1 ? contents[0]! : Buffer.concat(contents, total)
}

function decompressZstdFrame(frame: Uint8Array, maxBytes: number): Uint8Array {
  try {
    const content = zstdDecompressSync(frame, { maxOutputLength: Math.max(1, maxBytes), chunkSize: chunkSize(frame.length * 6) })
    if (content.length > maxBytes) throw tooLarge('zstd', maxBytes)
    return content
  } catch (error) {
    throw zlibFailure('zstd', maxBytes, error)
  }
}

/**
 * End of the frame at `at`, found by walking its block headers (RFC 8878, 3.1.1), or -1 when it is malformed or cut off.
 */
function zstdFrameEnd(bytes: Uint8Array, at: number): number {
  if (isSkippable(bytes, at)) {
    const size = bytes[at + 4]! + bytes[at + 5]! * 256 + bytes[at + 6]! * 65_536 + bytes[at + 7]! * 16_777_216
    return at + 8 + size <= bytes.length ? at + 8 + size : -1
  }
  if (at + 5 > bytes.length || !startsWith(bytes, at, ZSTD_MAGIC, 4)) return -1
  const descriptor = bytes[at + 4]!
  const singleSegment = (descriptor >>> 5) & 1
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 0b11]!
  const contentSizeBytes = [singleSegment, 2, 4, 8][descriptor >>> 6]!
  let position = at + 5 + (1 - singleSegment) + dictionaryIdBytes + contentSizeBytes
  for (let last = 0; last === 0; ) {
    if (position + 3 > bytes.length) return -1
    const header = bytes[position]! | (bytes[position + 1]! << 8) | (bytes[position + 2]! << 16)
    last = header & 1
    const type = (header >>> 1) & 0b11
    if (type === 3) return -1
    position += 3 + (type === 1 ? 1 : header >>> 3)
  }
  position += (descriptor & 0b100) === 0 ? 0 : 4
  return position <= bytes.length ? position : -1
}

function isSkippable(bytes: Uint8Array, at: number): boolean {
  return (
    at + 8 <= bytes.length && (bytes[at]! & 0xf0) === 0x50 && bytes[at + 1] === 0x2a && bytes[at + 2] === 0x4d && bytes[at + 3] === 0x18
  )
}

// ── shared ────────────────────────────────────────────────────────────────────────────────────────────────────────

function startsWith(bytes: Uint8Array, at: number, prefix: Uint8Array, length: number): boolean {
  for (let index = 0; index < length; index++) if (bytes[at + index] !== prefix[index]) return false
  return true
}

function chunkSize(expected: number): number {
  return Math.min(CHUNK_BYTES_MAX, Math.max(CHUNK_BYTES_MIN, expected))
}

function zlibFailure(codec: CodecName, maxBytes: number, error: unknown): DecompressionError {
  if (error instanceof DecompressionError) return error
  if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(codec, maxBytes)
  return new DecompressionError('corrupt', `${codec}: the data does not decompress`, { cause: error })
}

function corrupt(codec: CodecName, what: string): DecompressionError {
  return new DecompressionError('corrupt', `${codec}: ${what}`)
}

function tooLarge(codec: CodecName, maxBytes: number): DecompressionError {
  return new DecompressionError('too-large', `${codec}: the output exceeds ${maxBytes} bytes`)
}
