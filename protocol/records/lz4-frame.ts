/**
 * LZ4 frames (lz4_Frame_format.md 1.6.x) around a native block codec. The frame layer is ours because the library's
 * own frame reader cannot bound its output, and because its writer picks blocks of up to 4 MiB, for which Java clients
 * allocate as much per partition.
 *
 * Header checksums are verified. Block and content checksums are skipped: the batch's CRC covers the same bytes.
 */
import { compressSync, uncompressSync } from 'lz4-napi'
import { DecompressionError } from './errors.ts'

const FRAME_MAGIC = 0x184d2204
const SKIPPABLE_MAGIC = 0x184d2a50
const SKIPPABLE_MASK = 0xfffffff0
const WINDOW_BYTES = 65_536
const RAW_BLOCK_BIT = 0x80000000
/** A byte of compressed input adds at most 255 bytes of output, so no promise beyond that is worth an allocation. */
const EXPANSION_MAX = 255

/** Blocks per frame sequence: far more than any client writes, and few enough that tiny ones do not stall the process. */
const BLOCKS_MIN = 256
const BYTES_PER_BLOCK_MIN = 128

/** Version 01, independent blocks, at most 64 KiB each; the last byte is the checksum of the two before. As the Java client writes. */
const WRITTEN_HEADER = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82)
const WRITTEN_BLOCK_BYTES = 65_536

interface FrameHeader {
  /** Where the first block starts. */
  readonly end: number
  readonly blockBytesMax: number
  readonly linked: boolean
  readonly blockChecksum: boolean
  readonly contentChecksum: boolean
  /** Size of the content as declared, or -1. */
  readonly contentSize: number
}

/** Whether `bytes` start with a well-formed frame header; says nothing about what follows. */
export function hasLz4FrameHeader(bytes: Uint8Array): boolean {
  return typeof readFrameHeader(asBuffer(bytes), 0) !== 'string'
}

/**
 * The content of one or more concatenated frames, linked or independent blocks, with or without checksums and sizes.
 *
 * @throws DecompressionError
 */
export function decompressLz4(input: Uint8Array, maxBytes: number): Uint8Array {
  const bytes = asBuffer(input)
  const output = new Output(Math.min(maxBytes, bytes.length * 4), maxBytes, BLOCKS_MIN + Math.floor(bytes.length / BYTES_PER_BLOCK_MIN))
  let at = 0
  do {
    if (at + 8 <= bytes.length && (bytes.readUInt32LE(at) & SKIPPABLE_MASK) === SKIPPABLE_MAGIC) {
      at += 8 + bytes.readUInt32LE(at + 4)
      if (at > bytes.length) throw corrupt('a skippable frame is cut off')
      continue
    }
    const header = readFrameHeader(bytes, at)
    if (typeof header === 'string') throw corrupt(header)
    at = readBlocks(bytes, header, output)
  } while (at < bytes.length)
  return output.bytes()
}

/** One frame of independent 64 KiB blocks without checksums or sizes, which every Kafka client reads. */
export function compressLz4(input: Uint8Array): Uint8Array {
  const bytes = asBuffer(input)
  const pieces: Uint8Array[] = [WRITTEN_HEADER]
  for (let at = 0; at < bytes.length; at += WRITTEN_BLOCK_BYTES) {
    const raw = bytes.subarray(at, at + WRITTEN_BLOCK_BYTES)
    const packed = compressSync(raw)
    const packedLength = packed.length - 4
    if (packedLength < raw.length) {
      // The library puts the uncompressed size where the frame wants the compressed one.
      packed.writeUInt32LE(packedLength, 0)
      pieces.push(packed)
    } else {
      const size = Buffer.allocUnsafe(4)
      size.writeUInt32LE((raw.length | RAW_BLOCK_BIT) >>> 0, 0)
      pieces.push(size, raw)
    }
  }
  pieces.push(new Uint8Array(4))
  return Buffer.concat(pieces)
}

/** Appends the blocks of one frame to `output` and returns the position behind the frame. */
function readBlocks(bytes: Buffer, header: FrameHeader, output: Output): number {
  const frameStart = output.length
  let at = header.end
  for (;;) {
    if (at + 4 > bytes.length) throw corrupt('the end mark is missing')
    const field = bytes.readUInt32LE(at)
    at += 4
    if (field === 0) break
    const size = field & ~RAW_BLOCK_BIT
    if (size > header.blockBytesMax) throw corrupt(`a block of ${size} bytes is longer than the frame allows`)
    if (at + size > bytes.length) throw corrupt('a block is cut off')
    if ((field & RAW_BLOCK_BIT) !== 0) output.append(bytes.subarray(at, at + size))
    else readBlock(bytes, at, size, header, frameStart, output)
    at += size + (header.blockChecksum ? 4 : 0)
  }
  if (header.contentSize !== -1 && output.length - frameStart !== header.contentSize) {
    throw corrupt('the content has not its declared size')
  }
  at += header.contentChecksum ? 4 : 0
  if (at > bytes.length) throw corrupt('the content checksum is cut off')
  return at
}

function readBlock(bytes: Buffer, at: number, size: number, header: FrameHeader, frameStart: number, output: Output): void {
  // The library wants a size in front of the block; it is a capacity to it, and the bound on what it writes.
  const promised = Math.min(header.blockBytesMax, size * EXPANSION_MAX)
  const capacity = Math.min(promised, output.room())
  const prefixed = Buffer.allocUnsafe(size + 4)
  prefixed.writeUInt32LE(capacity, 0)
  prefixed.set(bytes.subarray(at, at + size), 4)
  const window = header.linked ? output.tail(frameStart) : undefined
  let block: Uint8Array
  try {
    block = uncompressSync(prefixed, window)
  } catch (error) {
    if (capacity < promised && error instanceof Error && error.message.includes('too small')) throw tooLarge(output.maxBytes)
    throw new DecompressionError('corrupt', 'lz4: a block does not decompress', { cause: error })
  }
  output.append(block)
}

/** The header of the frame at `at`, or what is wrong with it. */
function readFrameHeader(bytes: Buffer, at: number): FrameHeader | string {
  if (at + 7 > bytes.length || bytes.readUInt32LE(at) !== FRAME_MAGIC) return 'no frame header'
  const flags = bytes[at + 4]!
  const descriptor = bytes[at + 5]!
  if (flags >>> 6 !== 1) return 'unknown frame version'
  if ((flags & 0b11) !== 0) return 'a dictionary or a reserved flag is set'
  const sizeCode = (descriptor >>> 4) & 0b111
  if (sizeCode < 4 || (descriptor & 0b1000_1111) !== 0) return 'unknown block size'
  const hasContentSize = (flags & 0b1000) !== 0
  const checksumAt = at + (hasContentSize ? 14 : 6)
  if (checksumAt >= bytes.length) return 'the frame header is cut off'
  if (bytes[checksumAt] !== ((shortXxh32(bytes, at + 4, checksumAt) >>> 8) & 0xff)) return 'the header checksum is wrong'
  return {
    end: checksumAt + 1,
    blockBytesMax: 1 << (2 * sizeCode + 8),
    linked: (flags & 0b10_0000) === 0,
    blockChecksum: (flags & 0b1_0000) !== 0,
    contentChecksum: (flags & 0b100) !== 0,
    contentSize: hasContentSize ? bytes.readUInt32LE(at + 6) + bytes.readUInt32LE(at + 10) * 4_294_967_296 : -1,
  }
}

/** xxHash32 with seed 0 of fewer than 16 bytes, which is all that a frame header needs. */
function shortXxh32(bytes: Buffer, start: number, end: number): number {
  let hash = (0x165667b1 + (end - start)) | 0
  let at = start
  for (; at + 4 <= end; at += 4) {
    hash = (hash + Math.imul(bytes.readInt32LE(at), 0xc2b2ae3d)) | 0
    hash = Math.imul((hash << 17) | (hash >>> 15), 0x27d4eb2f)
  }
  for (; at < end; at++) {
    hash = (hash + Math.imul(bytes[at]!, 0x165667b1)) | 0
    hash = Math.imul((hash << 11) | (hash >>> 21), 0x9e3779b1)
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca77)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae3d)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** A contiguous buffer (linked blocks find their window in it) that grows by doubling and bounds both its bytes and its pieces. */
class Output {
  readonly maxBytes: number
  length = 0
  #blocksLeft: number
  #buffer: Buffer

  constructor(capacity: number, maxBytes: number, maxBlocks: number) {
    this.maxBytes = maxBytes
    this.#blocksLeft = maxBlocks
    this.#buffer = Buffer.allocUnsafeSlow(capacity)
  }

  room(): number {
    return this.maxBytes - this.length
  }

  /** The last 64 KiB written since `from`. */
  tail(from: number): Buffer {
    return this.#buffer.subarray(Math.max(from, this.length - WINDOW_BYTES), this.length)
  }

  append(piece: Uint8Array): void {
    if (--this.#blocksLeft < 0) throw corrupt('there are too many tiny blocks')
    const end = this.length + piece.length
    if (end > this.maxBytes) throw tooLarge(this.maxBytes)
    if (end > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.maxBytes, Math.max(end, this.#buffer.length * 2)))
      larger.set(this.#buffer.subarray(0, this.length))
      this.#buffer = larger
    }
    this.#buffer.set(piece, this.length)
    this.length = end
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function corrupt(what: string): DecompressionError {
  return new DecompressionError('corrupt', `lz4: ${what}`)
}

function tooLarge(maxBytes: number): DecompressionError {
  return new DecompressionError('too-large', `lz4: the output exceeds ${maxBytes} bytes`)
}
