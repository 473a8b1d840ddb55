/**
 * Reads the primitive types of the Kafka protocol (protocol guide, "Protocol Primitive Types") from one frame. Every
 * read is checked against the end of the frame, and everything that makes objects is charged to an allocation budget
 * first, because a small frame can announce arrays whose elements cost far more memory than bytes on the wire.
 */
import { Buffer } from 'node:buffer'
import { ProtocolError } from './protocol-error.ts'

/** The default budget: a floor, a multiple of the length of the frame, and a limit, in bytes. */
const BUDGET_FLOOR_BYTES = 1024 * 1024
const BUDGET_PER_FRAME_BYTE = 16
const BUDGET_BYTES_MAX = 64 * 1024 * 1024
/** Estimated heap bytes of an empty string, a view on the frame, an empty byte string of its own, and an empty array. */
const STRING_COST = 24
const VIEW_COST = 128
const COPY_COST = 200
const ARRAY_COST = 32

const TWO_POW_32 = 0x1_0000_0000
/** Upper halves from which an int64 is no longer a safe integer. */
const SAFE_HIGH = 0x20_0000

/**
 * The allocation budget of a frame of `frameBytes` bytes when the caller sets none: 1 MiB and sixteen times the frame,
 * at most 64 MiB. Record batches cost next to nothing, because they are views.
 */
export function defaultBudgetBytes(frameBytes: number): number {
  return Math.min(BUDGET_FLOOR_BYTES + BUDGET_PER_FRAME_BYTE * frameBytes, BUDGET_BYTES_MAX)
}

/**
 * A cursor over one frame. All methods raise `ProtocolError`, and nothing else, for bytes that end early, are
 * malformed, or would cost more memory than the budget allows.
 */
export class Reader {
  readonly #bytes: Buffer
  readonly #end: number
  #position = 0
  #budget: number

  /** `budgetBytes` bounds the estimated heap bytes of everything decoded; views on the frame count as small constants. */
  constructor(bytes: Uint8Array, budgetBytes: number = defaultBudgetBytes(bytes.length)) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#end = bytes.length
    this.#budget = budgetBytes
  }

  /** Bytes consumed so far. */
  get position(): number {
    return this.#position
  }

  /** Bytes left. */
  get remaining(): number {
    return this.#end - this.#position
  }

  /** Takes `bytes` of estimated heap from the budget. */
  charge(bytes: number): void {
    this.#budget -= bytes
    if (this.#budget < 0) throw new ProtocolError('the request would cost more memory than its budget')
  }

  /** Steps over `length` bytes. */
  skip(length: number): void {
    this.#take(length)
  }

  int8(): number {
    return ((this.#bytes[this.#take(1)] as number) << 24) >> 24
  }

  /** Any byte but zero is true, as in the Java client. */
  boolean(): boolean {
    return this.#bytes[this.#take(1)] !== 0
  }

  int16(): number {
    return (this.uint16() << 16) >> 16
  }

  uint16(): number {
    const at = this.#take(2)
    const bytes = this.#bytes
    return ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
  }

  int32(): number {
    return this.#int32At(this.#take(4))
  }

  uint32(): number {
    return this.#int32At(this.#take(4)) >>> 0
  }

  /** An int64 as a safe integer; beyond that range it saturates, so Long.MAX_VALUE reads as `Number.MAX_SAFE_INTEGER`. */
  int64(): number {
    const at = this.#take(8)
    const high = this.#int32At(at)
    if (high >= SAFE_HIGH) return Number.MAX_SAFE_INTEGER
    if (high < -SAFE_HIGH) return Number.MIN_SAFE_INTEGER
    const value = high * TWO_POW_32 + (this.#int32At(at + 4) >>> 0)
    return value < Number.MIN_SAFE_INTEGER ? Number.MIN_SAFE_INTEGER : value
  }

  float64(): number {
    return this.#bytes.readDoubleBE(this.#take(8))
  }

  /** A UUID as 22 characters of base64url. */
  uuid(): string {
    const at = this.#take(16)
    this.charge(STRING_COST + 22)
    return this.#bytes.toString('base64url', at, at + 16)
  }

  /** An unsigned varint of at most 32 bits (five bytes). */
  uvarint(): number {
    const first = this.#bytes[this.#take(1)] as number
    if (first < 0x80) return first
    let value = first & 0x7f
    for (let shift = 7; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#take(1)] as number
      if (shift === 28 && byte > 0x0f) break
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
    throw new ProtocolError('a varint is longer than 32 bits')
  }

  /** Length of a STRING or NULLABLE_STRING; -1 is null. */
  stringLength(): number {
    return this.#length(this.int16())
  }

  /** Length of BYTES, RECORDS or an ARRAY of the inflexible versions; -1 is null. */
  length(): number {
    return this.#length(this.int32())
  }

  /** Length of any COMPACT_ type; -1 is null. */
  compactLength(): number {
    return this.uvarint() - 1
  }

  /** `length` bytes of UTF-8. What is not UTF-8 becomes U+FFFD and is no error: Kafka answers such requests too. */
  utf8(length: number): string {
    if (length === 0) return ''
    const at = this.#take(length)
    this.charge(STRING_COST + length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  /** A copy of `length` bytes, which does not keep the frame alive. */
  copy(length: number): Uint8Array {
    const at = this.#take(length)
    this.charge(COPY_COST + length)
    const copy = new Uint8Array(length)
    copy.set(this.#bytes.subarray(at, at + length))
    return copy
  }

  /** A view of `length` bytes on the frame. */
  view(length: number): Uint8Array {
    const at = this.#take(length)
    this.charge(VIEW_COST)
    return this.#bytes.subarray(at, at + length)
  }

  /**
   * Checks the count of an array before anything is allocated for it: the elements must fit into the bytes left and
   * into the budget. `elementBytesMin` is the least that an element takes on the wire, `elementCost` the estimated heap
   * bytes of one.
   */
  checkCount(count: number, elementBytesMin: number, elementCost: number): void {
    if (count * elementBytesMin > this.remaining) throw new ProtocolError(`an array of ${count} elements does not fit into its frame`)
    this.charge(ARRAY_COST + count * elementCost)
  }

  /** Steps over a section of tagged fields of which none is known (KIP-482). */
  skipTaggedFields(): void {
    for (let count = this.uvarint(); count > 0; count--) {
      this.uvarint()
      this.skip(this.uvarint())
    }
  }

  #length(length: number): number {
    if (length < -1) throw new ProtocolError(`a length is negative: ${length}`)
    return length
  }

  #take(length: number): number {
    const at = this.#position
    if (length > this.#end - at) throw new ProtocolError(`the frame ends ${length - this.#end + at} bytes early`)
    this.#position = at + length
    return at
  }

  #int32At(at: number): number {
    const bytes = this.#bytes
    return (
      ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
    )
  }
}
