/**
 * Pages of the columns of a topic's table under construction: one growing buffer that serves page after page, and the encodings that our files
 * use. The counterpart of `encodings.ts`.
 *
 * Source: Parquet format, "Encodings" (RLE/bit-packing hybrid, DELTA_BINARY_PACKED).
 */

const blockValues = 128
const miniblocks = 4
const miniblockValues = blockValues / miniblocks

export class PageBuffer {
  #bytes = new Uint8Array(64 * 1024)
  #length = 0
  /** Differences of one block, low and high words. */
  readonly #low = new Int32Array(blockValues)
  readonly #high = new Int32Array(blockValues)

  clear(): void {
    this.#length = 0
  }

  get length(): number {
    return this.#length
  }

  /** What was written since `clear`; valid until the next change. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Levels of one value only. */
  levelRun(value: number, count: number): void {
    this.#withLength(() => {
      this.#varint(count * 2)
      this.#byte(value)
    })
  }

  /** Levels of one bit each, `count` of them from bit number `from` on, which is a multiple of 8. */
  levelBits(bits: Uint8Array, from: number, count: number): void {
    const groups = Math.ceil(count / 8)
    this.#withLength(() => {
      this.#varint(groups * 2 + 1)
      this.raw(bits.subarray(from / 8, from / 8 + groups))
    })
  }

  /** Levels of `width` bits each. */
  levels(levels: Uint8Array, width: number): void {
    const groups = Math.ceil(levels.length / 8)
    this.#withLength(() => {
      this.#varint(groups * 2 + 1)
      const at = this.#zeros(groups * width)
      for (let i = 0, bit = 0; i < levels.length; i++, bit += width) this.#putBits(at, bit, levels[i]!, width)
    })
  }

  /**
   * Integers in DELTA_BINARY_PACKED: values number [from, to) of `words`, two words each (low, high) when `wide`.
   */
  deltas(words: Int32Array, from: number, to: number, wide: boolean): void {
    const count = to - from
    this.#varint(blockValues)
    this.#varint(miniblocks)
    this.#varint(count)
    const step = wide ? 2 : 1
    let low = count === 0 ? 0 : words[from * step]!
    let high = count === 0 ? 0 : wide ? words[from * step + 1]! : low >> 31
    this.#zigzag(low, high)
    const lows = this.#low
    const highs = this.#high
    for (let first = from + 1; first < to; first += blockValues) {
      const values = Math.min(blockValues, to - first)
      let minLow = -1
      let minHigh = 0x7fffffff
      let isConstant = true
      for (let i = 0, at = first * step; i < values; i++, at += step) {
        const nextLow = words[at]!
        const nextHigh = wide ? words[at + 1]! : nextLow >> 31
        const differenceLow = (nextLow - low) | 0
        const differenceHigh = (nextHigh - high - (nextLow >>> 0 < low >>> 0 ? 1 : 0)) | 0
        low = nextLow
        high = nextHigh
        lows[i] = differenceLow
        highs[i] = differenceHigh
        if (i > 0 && (differenceLow !== minLow || differenceHigh !== minHigh)) isConstant = false
        if (differenceHigh < minHigh || (differenceHigh === minHigh && differenceLow >>> 0 < minLow >>> 0)) {
          minLow = differenceLow
          minHigh = differenceHigh
        }
      }
      this.#zigzag(minLow, minHigh)
      const widthsAt = this.#zeros(miniblocks)
      if (!isConstant) for (let m = 0; m * miniblockValues < values; m++) this.#miniblock(m * miniblockValues, values, minLow, minHigh, widthsAt + m)
    }
  }

  /** Differences [first, …) of the block above its least one, as many as a miniblock holds. */
  #miniblock(first: number, values: number, minLow: number, minHigh: number, widthAt: number): void {
    const lows = this.#low
    const highs = this.#high
    const last = Math.min(values, first + miniblockValues)
    let anyLow = 0
    let anyHigh = 0
    for (let i = first; i < last; i++) {
      const low = lows[i]!
      const above = (low - minLow) | 0
      const aboveHigh = (highs[i]! - minHigh - (low >>> 0 < minLow >>> 0 ? 1 : 0)) | 0
      lows[i] = above
      highs[i] = aboveHigh
      anyLow |= above
      anyHigh |= aboveHigh
    }
    const width = anyHigh === 0 ? 32 - Math.clz32(anyLow) : 64 - Math.clz32(anyHigh)
    this.#bytes[widthAt] = width
    if (width === 0) return
    const at = this.#zeros((miniblockValues / 8) * width)
    for (let i = first, bit = 0; i < last; i++, bit += width) {
      this.#putBits(at, bit, lows[i]!, Math.min(32, width))
      if (width > 32) this.#putBits(at, bit + 32, highs[i]!, width - 32)
    }
  }

  /** Least significant first; bits that are there already must be zero. */
  #putBits(from: number, bit: number, value: number, width: number): void {
    const bytes = this.#bytes
    let at = from + (bit >>> 3)
    const shift = bit & 7
    bytes[at]! |= value << shift
    for (let done = 8 - shift; done < width; done += 8) bytes[++at] = value >>> done
  }

  /** Four bytes with the length of what `write` writes go in front of it. */
  #withLength(write: () => void): void {
    const at = this.#zeros(4)
    write()
    const length = this.#length - at - 4
    for (let i = 0; i < 4; i++) this.#bytes[at + i] = length >>> (8 * i)
  }

  #zigzag(low: number, high: number): void {
    const sign = high >> 31
    let restLow = (low << 1) ^ sign
    let restHigh = ((high << 1) | (low >>> 31)) ^ sign
    while (restHigh !== 0 || restLow >>> 0 > 127) {
      this.#byte((restLow & 127) | 128)
      restLow = (restLow >>> 7) | (restHigh << 25)
      restHigh >>>= 7
    }
    this.#byte(restLow)
  }

  #varint(value: number): void {
    let rest = value
    while (rest > 127) {
      this.#byte((rest % 128) | 128)
      rest = Math.floor(rest / 128)
    }
    this.#byte(rest)
  }

  #byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#length++] = value
  }

  /** Where `count` zeros begin that were appended. */
  #zeros(count: number): number {
    this.#room(count)
    const at = this.#length
    this.#bytes.fill(0, at, at + count)
    this.#length += count
    return at
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
