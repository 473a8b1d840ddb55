/**
 * Where appends wait while the lane is full (P8). First come, first served, over all connections: whoever comes while others wait, waits
 * behind them, so that the requests of one connection keep their order (an idempotent producer would otherwise be told that its batches are
 * out of order). Each one is let in when it is its turn and there is room, appends in the same turn of the event loop, and may by that
 * close the gate again for the next; nobody is woken only to find that others were faster.
 */
import type { Clock, Timer } from '../env.ts'

/** The part of the lane that the gate looks at; see `LaneWriter`. */
export interface GatedLane {
  readonly hasRoom: boolean
  /** Calls back once there is room, or the lane is over; at once where that is so already. */
  whenRoom(callback: () => void): void
}

interface Waiter {
  /** Null once it has been called. */
  enter: ((admitted: boolean) => void) | null
  readonly timer: Timer
  readonly signal: AbortSignal
  readonly onAbort: () => void
}

/** Places of waiters that gave up, beyond which the queue is cleared of them. */
const leftMax = 1024

export class AppendGate {
  readonly #clock: Pick<Clock, 'schedule'>
  readonly #lane: GatedLane
  /** In the order of arrival from `#head` on, with those who gave up in between. A Set would step over all who left before at each look. */
  #queue: Waiter[] = []
  #head = 0
  #waiting = 0
  /** The lane has been asked to call and has not called yet. */
  #asked = false
  #serving = false

  constructor(clock: Pick<Clock, 'schedule'>, lane: GatedLane) {
    this.#clock = clock
    this.#lane = lane
  }

  /** Nobody waits and there is room: the caller need not call `wait`. */
  get isOpen(): boolean {
    return this.#waiting === 0 && this.#lane.hasRoom
  }

  get waiting(): number {
    return this.#waiting
  }

  /**
   * Calls `enter` exactly once: with true when it may append (it must do so within the call; where the lane is over, the append says so), with
   * false when `timeoutMs` are over or the signal came before its turn. May call at once. What `enter` throws is thrown at whoever made
   * the room, so it had better not.
   */
  wait(timeoutMs: number, signal: AbortSignal, enter: (admitted: boolean) => void): void {
    if (signal.aborted) return enter(false)
    const giveUp = (): void => this.#settle(waiter, false)
    const waiter: Waiter = { enter, signal, onAbort: giveUp, timer: this.#clock.schedule(Math.max(timeoutMs, 0), giveUp) }
    signal.addEventListener('abort', giveUp, { once: true })
    this.#queue.push(waiter)
    this.#waiting++
    this.#serve()
  }

  #serve(): void {
    if (this.#serving) return
    this.#serving = true
    while (!this.#asked && this.#waiting > 0) {
      this.#asked = true
      this.#lane.whenRoom(() => {
        this.#asked = false
        this.#serve()
      })
      if (this.#asked) break
      while (this.#queue[this.#head]!.enter === null) this.#head++
      this.#settle(this.#queue[this.#head++]!, true)
    }
    this.#serving = false
  }

  #settle(waiter: Waiter, admitted: boolean): void {
    const { enter } = waiter
    waiter.enter = null
    waiter.timer.cancel()
    waiter.signal.removeEventListener('abort', waiter.onAbort)
    this.#waiting--
    if (this.#queue.length > 2 * this.#waiting + leftMax) {
      this.#queue = this.#queue.slice(this.#head).filter((other) => other.enter !== null)
      this.#head = 0
    }
    enter!(admitted)
  }
}
