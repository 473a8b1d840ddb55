/**
 * Values of Parquet pages, in the encodings that the columns of a topic's table are usually in, straight into typed arrays: no number is
 * boxed and no value becomes an object. 64-bit integers are pairs of 32-bit words, low and high, as in an Arrow column (little endian).
 *
 * Every function throws RangeError on bytes that are not what they are said to be.
 *
 * Source: Parquet format, "Encodings" (RLE/bit-packing hybrid, DELTA_BINARY_PACKED).
 */

/** `count` values of the hybrid in `bytes[at, end)`, `width` bits each (0 to 31), to `out[to, to + count)`. */
export function readHybrid(
  bytes: Uint8Array, at: number, end: number, width: number, count: number, out: Uint8Array | Int32Array, to: number,
): void {
  if (width > 31) throw new RangeError(`a hybrid of ${width} bits`)
  const cursor = new Cursor(bytes, at, end)
  const valueBytes = (width + 7) >> 3
  let left = count
  while (left > 0) {
    const head = cursor.count()
    const run = Math.floor(head / 2)
    if (run === 0) throw new RangeError('an empty run')
    if (head % 2 === 1) {
      const values = Math.min(left, run * 8)
      const from = cursor.skip(run * width, Math.ceil((values * width) / 8))
      unpack(bytes, from, width, values, out, to)
      to += values
      left -= values
    } else {
      const values = Math.min(left, run)
      const from = cursor.skip(valueBytes, valueBytes)
      let value = 0
      for (let i = 0; i < valueBytes; i++) value |= bytes[from + i]! << (8 * i)
      out.fill(value, to, to + values)
      to += values
      left -= values
    }
  }
}

/** Whether the hybrid in `bytes[at, end)` begins with one run of at least `count` times `value`, which most levels of most pages are. */
export function isHybridRun(bytes: Uint8Array, at: number, end: number, width: number, count: number, value: number): boolean {
  const cursor = new Cursor(bytes, at, end)
  const head = cursor.count()
  if (head % 2 === 1 || head / 2 < count || width > 8) return false
  return bytes[cursor.skip(1, 1)] === value
}

/**
 * `count` integers in DELTA_BINARY_PACKED in `bytes[at, end)`, to `words` from value number `to` on: a word each, or two when `wide`. Returns
 * where they end.
 */
export function readDeltas(
  bytes: Uint8Array, at: number, end: number, count: number, wide: boolean, words: Int32Array, to: number,
): number {
  const cursor = new Cursor(bytes, at, end)
  const blockValues = cursor.count()
  const miniblocks = cursor.count()
  const total = cursor.count()
  const perMiniblock = blockValues / miniblocks
  if (total !== count) throw new RangeError(`${total} values where there should be ${count}`)
  if (!(perMiniblock >= 8) || perMiniblock % 8 !== 0 || miniblocks > 4096) throw new RangeError('damaged block sizes')
  cursor.zigzag()
  if (count === 0) return cursor.at
  let low = cursor.low
  let high = cursor.high
  const step = wide ? 2 : 1
  let target = to * step
  words[target] = low
  if (wide) words[target + 1] = high
  target += step
  let left = count - 1
  while (left > 0) {
    cursor.zigzag()
    const minLow = cursor.low >>> 0
    const minHigh = cursor.high
    const widthsAt = cursor.skip(miniblocks, miniblocks)
    for (let m = 0; m < miniblocks && left > 0; m++) {
      const width = bytes[widthsAt + m]!
      if (width > 64) throw new RangeError(`deltas of ${width} bits`)
      const values = Math.min(left, perMiniblock)
      // The last one may be cut off behind its last value.
      const from = cursor.skip((perMiniblock * width) / 8, Math.ceil((values * width) / 8))
      for (let i = 0, bit = 0; i < values; i++, bit += width) {
        let sum = (low >>> 0) + minLow
        high = (high + minHigh + (sum > 0xffffffff ? 1 : 0)) | 0
        low = sum | 0
        if (width > 0) {
          sum = (low >>> 0) + (bitsAt(bytes, from, bit, Math.min(width, 32)) >>> 0)
          high = (high + (sum > 0xffffffff ? 1 : 0) + (width > 32 ? bitsAt(bytes, from, bit + 32, width - 32) : 0)) | 0
          low = sum | 0
        }
        words[target] = low
        if (wide) words[target + 1] = high
        target += step
      }
      left -= values
    }
  }
  return cursor.at
}

function unpack(bytes: Uint8Array, from: number, width: number, count: number, out: Uint8Array | Int32Array, to: number): void {
  for (let i = 0, bit = 0; i < count; i++, bit += width) out[to + i] = bitsAt(bytes, from, bit, width)
}

/** `width` bits, 0 to 32, from bit number `bit` behind `from` on, least significant first. Bytes beyond the end are zeros. */
function bitsAt(bytes: Uint8Array, from: number, bit: number, width: number): number {
  if (width === 0) return 0
  const at = from + (bit >>> 3)
  const shift = bit & 7
  const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
  let value = word >>> shift
  if (shift + width > 32) value |= bytes[at + 4]! << (32 - shift)
  return width === 32 ? value | 0 : value & (2 ** width - 1)
}

/** A position in the bytes of values. */
class Cursor {
  readonly #bytes: Uint8Array
  readonly #end: number
  at: number
  /** Of the last `zigzag`. */
  low = 0
  high = 0

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes
    this.#end = Math.min(end, bytes.length)
    this.at = at
  }

  /** An unsigned varint below 2^32. */
  count(): number {
    let value = 0
    for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
      const byte = this.#byte()
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
    throw new RangeError('a count is too long')
  }

  /** A signed varint of 64 bits, to `low` and `high`. */
  zigzag(): void {
    let low = 0
    let high = 0
    for (let shift = 0; ; shift += 7) {
      if (shift > 63) throw new RangeError('an integer is too long')
      const byte = this.#byte()
      const bits = byte & 127
      if (shift < 32) low |= bits << shift
      if (shift === 28) high |= bits >> 4
      else if (shift > 28) high |= bits << (shift - 32)
      if (byte < 128) break
    }
    const sign = -(low & 1)
    this.low = ((low >>> 1) | (high << 31)) ^ sign
    this.high = (high >>> 1) ^ sign
  }

  /** Moves over `length` bytes, of which `needed` must be there; returns where they begin. */
  skip(length: number, needed: number): number {
    const from = this.at
    if (needed > this.#end - from) throw new RangeError('values are cut off')
    this.at = Math.min(this.#end, from + length)
    return from
  }

  #byte(): number {
    if (this.at >= this.#end) throw new RangeError('values are cut off')
    return this.#bytes[this.at++]!
  }
}
