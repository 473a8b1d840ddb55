/**
 * The world below `src/`: clock, randomness and ids come in as arguments, so that a whole broker can run in one
 * process under a seed and every failing run can be replayed. The real one is `src/real-env.ts`, the simulated
 * one `test/simulation/`.
 */
export interface Env {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  random(): number
  /** 16 random bytes as Kafka prints them: base64url without padding, 22 characters, never starting with `-`. */
  uuid(): string
}

export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump; never used to measure. */
  now(): number
  /** Milliseconds since an arbitrary moment; only goes up. */
  monotonic(): number
  /** Resolves after `ms`, or early when the signal aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /**
   * Calls `task` once after `ms` unless cancelled. Does not keep the process alive. With `ms` <= 0 it runs at the end of this turn of the
   * event loop (setImmediate, not a timer of a millisecond): the lane collects what one poll of the sockets brought, and then writes.
   */
  schedule(ms: number, task: () => void): Timer
}

export interface Timer {
  cancel(): void
}
