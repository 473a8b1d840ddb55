/** Worlds for tests: the real clock with seeded randomness, and a simulated one in which waiting costs no time. */
import { performance } from 'node:perf_hooks'
import type { Clock, Env, Timer } from '../../storage/env.ts'

/** Real time; randomness and ids from the seed, so two environments with one seed in one store would collide: give each its own. */
export function testEnv(seed = process.hrtime.bigint()): Env {
  const random = seededRandom(Number(BigInt.asUintN(32, seed)))
  return { clock: realClock, random, uuid: seededUuid(random) }
}

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((done) => {
      if (signal?.aborted === true) return done()
      const end = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', end)
        done()
      }
      const timer = setTimeout(end, ms)
      signal?.addEventListener('abort', end, { once: true })
    }),
  schedule: (ms, task) => {
    const timer = setTimeout(task, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Mulberry32: uniform in [0, 1), the same sequence for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function seededUuid(random: () => number): () => string {
  return () => {
    for (;;) {
      const id = Buffer.from(Array.from({ length: 16 }, () => Math.floor(random() * 256))).toString('base64url')
      if (!id.startsWith('-')) return id
    }
  }
}

/**
 * A world under a seed. Time stands still while anything can run and then jumps to the next timer, so a run over hours of
 * simulated time takes milliseconds and is the same each time. Only what awaits promises and this clock may run in it (no sockets, no files).
 */
export class SimulatedEnv implements Env {
  readonly random: () => number
  readonly uuid: () => string
  readonly clock: Clock
  #nowMs = 0
  #order = 0
  readonly #timers = new Set<{ readonly atMs: number; readonly order: number; readonly task: () => void }>()

  constructor(seed: number) {
    this.random = seededRandom(seed)
    this.uuid = seededUuid(this.random)
    this.clock = {
      now: () => Math.floor(1_700_000_000_000 + this.#nowMs),
      monotonic: () => this.#nowMs,
      sleep: (ms, signal) =>
        new Promise((done) => {
          if (signal?.aborted === true) return done()
          const end = (): void => {
            timer.cancel()
            signal?.removeEventListener('abort', end)
            done()
          }
          const timer = this.#add(ms, end)
          signal?.addEventListener('abort', end, { once: true })
        }),
      schedule: (ms, task) => this.#add(ms, task),
    }
  }

  /** Runs until `work` settles. Rejects when it waits for something that no timer will bring. */
  async run<T>(work: Promise<T>): Promise<T> {
    let settled = false
    const watched = work.finally(() => (settled = true))
    watched.catch(() => undefined)
    for (;;) {
      await new Promise((done) => setImmediate(done))
      if (settled) return watched
      const next = this.#next()
      if (next === null) throw new Error('deadlock: the work waits and no timer is left')
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.task()
    }
  }

  #add(ms: number, task: () => void): Timer {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, task }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  #next(): { readonly atMs: number; readonly order: number; readonly task: () => void } | null {
    let first: { readonly atMs: number; readonly order: number; readonly task: () => void } | null = null
    for (const timer of this.#timers) {
      if (first === null || timer.atMs < first.atMs || (timer.atMs === first.atMs && timer.order < first.order)) first = timer
    }
    return first
  }
}
