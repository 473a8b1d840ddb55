/**
 * Which level of zstd the pages of a column chunk get. Bytes that hardly get smaller (random, encrypted, compressed before) cost the most, and for
 * them the fast levels give the same size in less than half of the time. Where the fast level is tried and gives more bytes, it is not used again.
 */

/** Levels below zero trade size for speed. */
const fastLevel = -5
/** A page that becomes smaller than this part of itself is worth its time. */
const worthwhileRatio = 0.4
/** How much larger pages of the fast level may be. */
const tolerance = 1.05

export class PageLevel {
  readonly #level: number
  #state: 'usual' | 'trying' | 'fast' | 'settled' = 'usual'
  #usualRatio = 0

  constructor(level: number) {
    this.#level = level
  }

  /** Of the next page. */
  get next(): number {
    return this.#state === 'trying' || this.#state === 'fast' ? Math.min(fastLevel, this.#level) : this.#level
  }

  /** What became of the page, in bytes. */
  wrote(plainBytes: number, compressedBytes: number): void {
    if (plainBytes === 0) return
    const ratio = compressedBytes / plainBytes
    if (this.#state === 'usual' && ratio > worthwhileRatio) {
      this.#usualRatio = ratio
      this.#state = 'trying'
    } else if (this.#state === 'trying') {
      this.#state = ratio > this.#usualRatio * tolerance ? 'settled' : 'fast'
    }
  }
}
