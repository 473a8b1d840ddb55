/**
 * Writes the primitive types of the Kafka protocol into a list of chunks. Payloads (record batches) become chunks of
 * their own and are never copied; everything else goes into small pieces of a shared slab, of which no byte is ever
 * used twice.
 */
import { Buffer } from 'node:buffer'
import { ProtocolError } from './protocol-error.ts'

const SLAB_BYTES = 64 * 1024
/** A piece that is shorter than this is not worth a chunk of its own: it is copied. */
const COPY_BYTES_MAX = 512
/** Strings up to this length are tried as ASCII, byte by byte, before the general encoder is asked. */
const ASCII_LENGTH_MAX = 48
const FRAME_BYTES_MAX = 0x7fff_ffff
const INT16_MAX = 0x7fff

const TWO_POW_32 = 0x1_0000_0000
const LONG_MAX_HIGH = 0x7fff_ffff
const LONG_MIN_HIGH = -0x8000_0000

const NO_BUFFER = Buffer.alloc(0)
/** Less than this left in a slab is not worth keeping it. */
const SLAB_REST_MIN = 256

/**
 * Slabs that no writer uses, each with the position of its first unused byte. Writers nest (a tagged field is written by
 * one of its own), so there can be more than one.
 */
const slabs: { readonly buffer: Buffer, readonly position: number }[] = []
const SLABS_MAX = 4

/**
 * Appends values; `finish` gives the chunks. A value that the protocol cannot carry (an int16 of 70000, a UUID of other
 * than 22 characters, a string that is too long for its length field) raises `ProtocolError`.
 */
export class Writer {
  readonly #chunks: Uint8Array[] = []
  #buffer: Buffer = NO_BUFFER
  #start = 0
  #position = 0
  #chunkBytes = 0
  #frameBuffer: Buffer | undefined
  #frameAt = 0

  /** Bytes written so far. */
  get length(): number {
    return this.#chunkBytes + this.#position - this.#start
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) throw outOfRange('int8', value)
    const at = this.#reserve(1)
    this.#buffer[at] = value
  }

  boolean(value: boolean): void {
    const at = this.#reserve(1)
    this.#buffer[at] = value ? 1 : 0
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) throw outOfRange('int16', value)
    this.#uint16At(this.#reserve(2), value)
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw outOfRange('uint16', value)
    this.#uint16At(this.#reserve(2), value)
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw outOfRange('int32', value)
    this.#int32At(this.#reserve(4), value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange('uint32', value)
    this.#int32At(this.#reserve(4), value)
  }

  /** The counterpart of `Reader.int64`: the ends of the safe range, and what lies beyond, stand for Long.MAX_VALUE and Long.MIN_VALUE. */
  int64(value: number): void {
    if (!Number.isInteger(value)) throw outOfRange('int64', value)
    const at = this.#reserve(8)
    if (value >= Number.MAX_SAFE_INTEGER) {
      this.#int32At(at, LONG_MAX_HIGH)
      this.#int32At(at + 4, -1)
    } else if (value <= Number.MIN_SAFE_INTEGER) {
      this.#int32At(at, LONG_MIN_HIGH)
      this.#int32At(at + 4, 0)
    } else {
      const high = Math.floor(value / TWO_POW_32)
      this.#int32At(at, high)
      this.#int32At(at + 4, value - high * TWO_POW_32)
    }
  }

  float64(value: number): void {
    const at = this.#reserve(8)
    this.#buffer.writeDoubleBE(value, at)
  }

  /** A UUID given as 22 characters of base64url. */
  uuid(value: string): void {
    const at = this.#reserve(16)
    if (value.length !== 22 || this.#buffer.write(value, at, 16, 'base64url') !== 16) throw new ProtocolError(`not a UUID: ${value}`)
  }

  /** An unsigned varint of at most 32 bits. */
  uvarint(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      this.#byte((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.#byte(rest)
  }

  /** STRING, with an int16 length. */
  string(value: string): void {
    const length = value.length
    if (length <= ASCII_LENGTH_MAX) {
      const at = this.#reserve(2 + length)
      if (this.#asciiAt(at + 2, value)) {
        this.#uint16At(at, length)
        return
      }
      this.#position = at
    }
    const bytes = Buffer.byteLength(value)
    if (bytes > INT16_MAX) throw new ProtocolError(`a string of ${bytes} bytes is too long for this version`)
    this.int16(bytes)
    this.#utf8(value, bytes)
  }

  /** COMPACT_STRING, with a varint of the length plus one. */
  compactString(value: string): void {
    const length = value.length
    if (length <= ASCII_LENGTH_MAX) {
      const at = this.#reserve(1 + length)
      if (this.#asciiAt(at + 1, value)) {
        this.#buffer[at] = length + 1
        return
      }
      this.#position = at
    }
    const bytes = Buffer.byteLength(value)
    this.uvarint(bytes + 1)
    this.#utf8(value, bytes)
  }

  /** Bytes without a length. A long piece becomes a chunk by reference: its owner must not change it until it is sent. */
  raw(bytes: Uint8Array): void {
    if (bytes.length <= COPY_BYTES_MAX) {
      const at = this.#reserve(bytes.length)
      this.#buffer.set(bytes, at)
      return
    }
    this.#flush()
    this.#chunks.push(bytes)
    this.#chunkBytes += bytes.length
  }

  /** Begins a frame: the four bytes of its length come first and are filled in by `finish`. Only for an empty writer. */
  beginFrame(): void {
    this.#frameAt = this.#reserve(4)
    this.#frameBuffer = this.#buffer
  }

  /** Everything written, in order. The writer is of no use afterwards. */
  finish(): Uint8Array[] {
    const length = this.length
    if (length > FRAME_BYTES_MAX) throw new ProtocolError(`a message of ${length} bytes does not fit into a frame`)
    const buffer = this.#buffer
    this.#flush()
    if (this.#frameBuffer !== undefined) this.#frameBuffer.writeInt32BE(length - 4, this.#frameAt)
    this.#buffer = NO_BUFFER
    if (slabs.length < SLABS_MAX && buffer.length - this.#position >= SLAB_REST_MIN) {
      slabs.push({ buffer, position: this.#position })
    }
    return this.#chunks
  }

  /** Makes room for `length` bytes and gives the index of the first. */
  #reserve(length: number): number {
    const at = this.#position
    if (length > this.#buffer.length - at) return this.#grow(length)
    this.#position = at + length
    return at
  }

  #grow(length: number): number {
    this.#flush()
    const slab = slabs.pop()
    if (slab !== undefined && length <= slab.buffer.length - slab.position) {
      this.#buffer = slab.buffer
      this.#start = slab.position
    } else {
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(length, SLAB_BYTES))
      this.#start = 0
    }
    this.#position = this.#start + length
    return this.#start
  }

  /** Turns what was written since the last chunk into a chunk. */
  #flush(): void {
    if (this.#position === this.#start) return
    this.#chunks.push(this.#buffer.subarray(this.#start, this.#position))
    this.#chunkBytes += this.#position - this.#start
    this.#start = this.#position
  }

  #byte(value: number): void {
    const at = this.#reserve(1)
    this.#buffer[at] = value
  }

  #asciiAt(at: number, value: string): boolean {
    const buffer = this.#buffer
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index)
      if (code > 0x7f) return false
      buffer[at + index] = code
    }
    return true
  }

  #utf8(value: string, bytes: number): void {
    const at = this.#reserve(bytes)
    this.#buffer.write(value, at, bytes, 'utf8')
  }

  #uint16At(at: number, value: number): void {
    const buffer = this.#buffer
    buffer[at] = value >>> 8
    buffer[at + 1] = value
  }

  #int32At(at: number, value: number): void {
    const buffer = this.#buffer
    buffer[at] = value >>> 24
    buffer[at + 1] = value >>> 16
    buffer[at + 2] = value >>> 8
    buffer[at + 3] = value
  }
}

function outOfRange(type: string, value: unknown): ProtocolError {
  return new ProtocolError(`not an ${type}: ${String(value)}`)
}
