/**
 * How many files of a large commit are on their way to the store at once. A store with room to spare takes several in the time of one; one
 * that shares a disk and a processor with the broker takes that much longer for each, and what clients wait for waits behind them.
 *
 * Files go one at a time at first, which says how long one takes, then one more at a time as long as that makes them hardly slower.
 */
import type { Clock } from '../env.ts'

/** Files over which times are averaged: those of a store in the cloud spread widely. */
const WINDOW = 32
/** How much longer than alone a file may take on average. */
const SLOWER_MAX = 1.2
/** After a step that made them slower the next one waits for twice as many windows as the last time, up to this. */
const PATIENCE_MAX = 32

export class PacedPuts {
  readonly #clock: Clock
  readonly #max: number
  readonly #waiting: (() => void)[] = []
  #limit = 1
  #running = 0
  /** Average of a file that is alone, milliseconds. */
  #aloneMs = Infinity
  /** Of the window under way. */
  #count = 0
  #sumMs = 0
  /** Windows before the next step, and how many that were after the last step back. */
  #rest = 0
  #patience = 1

  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  /** So many may run now. */
  get limit(): number {
    return this.#limit
  }

  /** Runs `put` when its turn comes; gives and throws what it does. */
  async run<T>(put: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    const startedMs = this.#clock.monotonic()
    try {
      return await put()
    } finally {
      this.#took(this.#clock.monotonic() - startedMs)
      this.#leave()
    }
  }

  /** Hands the place on, and opens others or closes this one where the limit has moved. */
  #leave(): void {
    this.#running--
    while (this.#running < this.#limit && this.#waiting.length > 0) {
      this.#running++
      this.#waiting.shift()!()
    }
  }

  #took(millis: number): void {
    this.#count++
    this.#sumMs += millis
    if (this.#count < WINDOW) return
    const averageMs = this.#sumMs / this.#count
    this.#count = 0
    this.#sumMs = 0
    if (this.#limit === 1) this.#aloneMs = averageMs
    else if (averageMs > this.#aloneMs * SLOWER_MAX) {
      this.#limit--
      this.#patience = Math.min(PATIENCE_MAX, this.#patience * 2)
      this.#rest = this.#patience
      return
    }
    if (this.#rest > 0) this.#rest--
    else if (this.#limit < this.#max) this.#limit++
  }
}
