/**
 * The pace at which the files of a large commit go to the store: one every so many milliseconds, and as many at a time as that takes. A
 * store that answers after 70 ms gets several at once; one that shares a disk and a processor with the broker, and answers after 7 ms, gets
 * one after the other with a rest in between, since what clients wait for would wait behind more of them (docs/PERFORMANCE.md).
 */
import type { Clock } from '../env.ts'
import { Slots } from './slots.ts'

/** From the beginning of one file to that of the next, at least, milliseconds. */
const INTERVAL_MS = 15
/** Files at the beginning that go one at a time, which says how long one takes. */
const ALONE = 16

export class PacedPuts {
  readonly #clock: Clock
  readonly #max: number
  readonly #slots = new Slots(1)
  #nextMs = -Infinity
  #finished = 0
  #aloneMs = 0

  /** For one commit, of which at most `max` files are under way at once. */
  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  /** Runs `put` when its turn comes; gives and throws what it does. */
  async run<T>(put: () => Promise<T>): Promise<T> {
    await this.#slots.enter()
    try {
      const nowMs = this.#clock.monotonic()
      const startMs = Math.max(nowMs, this.#nextMs)
      this.#nextMs = startMs + INTERVAL_MS
      if (startMs > nowMs) await this.#clock.sleep(startMs - nowMs)
      const begunMs = this.#clock.monotonic()
      try {
        return await put()
      } finally {
        this.#took(this.#clock.monotonic() - begunMs)
      }
    } finally {
      this.#slots.leave()
    }
  }

  #took(millis: number): void {
    if (this.#finished === ALONE) return
    this.#finished++
    this.#aloneMs += millis / ALONE
    if (this.#finished < ALONE) return
    const limit = Math.min(this.#max, Math.max(1, Math.ceil(this.#aloneMs / INTERVAL_MS)))
    for (let more = 1; more < limit; more++) this.#slots.leave()
  }
}
