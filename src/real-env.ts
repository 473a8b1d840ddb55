/** The real clock, randomness and ids: the only place in `src/` and below that reads them. */
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Clock, Env, Timer } from '../storage/env.ts'

/** setTimeout turns longer delays into 1 ms. */
const delayMsMax = 2_147_483_647

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (signal?.aborted === true) return resolve()
      const finish = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', finish)
        resolve()
      }
      const timer = setTimeout(finish, Math.min(Math.max(ms, 0), delayMsMax))
      signal?.addEventListener('abort', finish, { once: true })
    })
  },
  schedule(ms: number, task: () => void): Timer {
    // setTimeout would wait a whole millisecond; "at once" means at the end of this turn of the event loop.
    if (ms <= 0) {
      const immediate = setImmediate(task)
      return { cancel: () => clearImmediate(immediate) }
    }
    const timer = setTimeout(task, Math.min(Math.max(ms, 0), delayMsMax)).unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

export const realEnv: Env = {
  clock,
  random: Math.random,
  uuid(): string {
    // Kafka, too, throws away ids that a command line would take for an option.
    for (;;) {
      const id = randomBytes(16).toString('base64url')
      if (!id.startsWith('-')) return id
    }
  },
}
