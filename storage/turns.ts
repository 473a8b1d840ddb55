/** Work that would hold the event loop for long is done in turns: what is in between is other people's (requests, answers of the store). */
import type { Clock } from './env.ts'

/** How long a turn may take, milliseconds. */
const TURN_MS = 3

export class Turns {
  readonly #clock: Pick<Clock, 'monotonic' | 'schedule'>
  #startedMs: number

  constructor(clock: Pick<Clock, 'monotonic' | 'schedule'>) {
    this.#clock = clock
    this.#startedMs = clock.monotonic()
  }

  /** Whether `next` should be awaited before more is done. */
  get isOver(): boolean {
    return this.#clock.monotonic() - this.#startedMs >= TURN_MS
  }

  /** Resolves in the next turn of the event loop. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => void this.#clock.schedule(0, resolve))
    this.#startedMs = this.#clock.monotonic()
  }
}
