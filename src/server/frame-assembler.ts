/**
 * Cuts a stream of bytes into the frames of the protocol: four bytes of length, then that many bytes (protocol guide, "Protocol
 * Primitive Types"). Nothing is allocated on the promise of a length: the buffer of a frame grows as its bytes arrive.
 *
 * A frame that is handed out owns its memory and is as large as its buffer, or nearly: record batches stay in caches as views on it, and a batch of a
 * hundred bytes must not keep the 64 KiB alive that it arrived in.
 */
import { Buffer } from 'node:buffer'

/** The first four bytes of a frame announce what cannot be. The stream is of no use any more. */
export class FrameLengthError extends Error {
  override readonly name = 'FrameLengthError'
  /** The four bytes, which tell TLS and HTTP from garbage. */
  readonly prefix: number
  constructor(prefix: number, bytesMax: number) {
    super(`a frame of ${prefix} bytes; allowed are ${frameBytesMin} to ${bytesMax}`)
    this.prefix = prefix
  }
}

/** API key, version and correlation id: no request is shorter. */
const frameBytesMin = 8
/** Room for a frame of which only the beginning is there. */
const firstBytesMin = 4096
/**
 * How many times what has arrived the next buffer holds, up to 1 MiB: from one read of 64 KiB it is a step to the usual largest batch, so that
 * copying adds little. Beyond that it is doubled. Memory that is not written to costs the process nothing yet, but V8 counts it, and with
 * hundreds of megabytes that are only announced it would see no reason to collect those that are done with.
 */
const growth = 16
const bigStepBytesMax = 1024 * 1024
/** A chunk with no more than this around a frame is handed out as it is. */
export const slackBytesMax = 64
/** The end of a frame is read together with what follows it when less than this is missing. */
const spaceBytesMin = 4096

export class FrameAssembler {
  readonly #bytesMax: number
  #chunk: Buffer | null = null
  #chunkIsShared = false
  #position = 0
  /** Bytes of the length that have arrived, and their value so far. */
  #lengthBytes = 0
  #length = 0
  /** The frame in progress: its buffer (null while none of it is there), and how many bytes it has. */
  #frame: Buffer | null = null
  #received = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Bytes that were pushed and are not part of a frame that was handed out. */
  get pendingBytes(): number {
    return this.#lengthBytes + this.#received + this.unreadBytes
  }

  /** Bytes of the last chunk that were not looked at. */
  get unreadBytes(): number {
    return this.#chunk === null ? 0 : this.#chunk.length - this.#position
  }

  /** Adds what arrived. Only when `next` has given null. The memory of a shared chunk is somebody else's again once `keep` was called. */
  push(chunk: Buffer, shared = false): void {
    this.#chunk = chunk
    this.#chunkIsShared = shared
    this.#position = 0
  }

  /** Copies what is left of a shared chunk. */
  keep(): void {
    if (this.#chunk === null || !this.#chunkIsShared) return
    this.#chunk = Buffer.from(this.#chunk.subarray(this.#position))
    this.#chunkIsShared = false
    this.#position = 0
  }

  /**
   * The rest of the frame in progress, for the next bytes of the stream to be written there, or null where they are better pushed. Only when
   * `next` has given null.
   */
  space(): Buffer | null {
    const frame = this.#frame
    if (this.#chunk !== null || frame === null || this.#length - this.#received < spaceBytesMin) return null
    return this.#received < frame.length ? frame.subarray(this.#received) : this.#grow(this.#received + 1).subarray(this.#received)
  }

  /** The first `bytes` of what `space` gave were written. */
  written(bytes: number): void {
    this.#received += bytes
  }

  /** The next whole frame without its length, or null when more bytes are needed. Throws FrameLengthError. */
  next(): Buffer | null {
    const chunk = this.#chunk
    if (chunk === null) return this.#frame !== null && this.#received === this.#length ? this.#frameDone() : null
    if (this.#lengthBytes < 4 && !this.#readLength(chunk)) return this.#exhausted()
    const size = this.#length
    const available = chunk.length - this.#position
    if (this.#frame === null && available >= size) return this.#whole(chunk, size)
    return this.#part(chunk, size, available)
  }

  /** Forgets everything, for a connection that is closing. */
  clear(): void {
    this.#exhausted()
    this.#frameDone()
  }

  #readLength(chunk: Buffer): boolean {
    if (this.#lengthBytes === 0 && chunk.length - this.#position >= 4) {
      this.#length = chunk.readInt32BE(this.#position)
      this.#position += 4
      this.#lengthBytes = 4
    } else {
      while (this.#lengthBytes < 4) {
        if (this.#position === chunk.length) return false
        this.#length = (this.#length << 8) | chunk[this.#position++]!
        this.#lengthBytes++
      }
    }
    if (this.#length < frameBytesMin || this.#length > this.#bytesMax) throw new FrameLengthError(this.#length, this.#bytesMax)
    return true
  }

  #whole(chunk: Buffer, size: number): Buffer {
    const start = this.#position
    const end = start + size
    this.#position = end
    const owned = !this.#chunkIsShared && end === chunk.length && chunk.buffer.byteLength - size <= slackBytesMax
    let frame: Buffer
    if (owned) {
      frame = chunk.subarray(start, end)
    } else {
      frame = allocate(size, chunk[start]! | chunk[start + 1]!)
      chunk.copy(frame, 0, start, end)
    }
    if (end === chunk.length) this.#exhausted()
    this.#frameDone()
    return frame
  }

  #part(chunk: Buffer, size: number, available: number): Buffer | null {
    const taken = Math.min(available, size - this.#received)
    const needed = this.#received + taken
    const frame = this.#frame === null || needed > this.#frame.length ? this.#grow(needed) : this.#frame
    chunk.copy(frame, this.#received, this.#position, this.#position + taken)
    this.#received = needed
    this.#position += taken
    if (this.#position === chunk.length) this.#exhausted()
    return needed < size ? null : this.#frameDone()
  }

  #grow(needed: number): Buffer {
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#length, Math.max(firstBytesMin, Math.min(needed * growth, bigStepBytesMax), needed * 2)))
    if (this.#frame !== null) this.#frame.copy(grown, 0, 0, this.#received)
    this.#frame = grown
    return grown
  }

  #exhausted(): null {
    this.#chunk = null
    this.#position = 0
    return null
  }

  #frameDone(): Buffer | null {
    const frame = this.#frame
    this.#frame = null
    this.#received = 0
    this.#lengthBytes = 0
    this.#length = 0
    return frame
  }
}

/** `key` is zero for Produce, the one request whose bytes outlive it; the others may share a slab. */
function allocate(size: number, key: number): Buffer {
  return key === 0 ? Buffer.allocUnsafeSlow(size) : Buffer.allocUnsafe(size)
}
