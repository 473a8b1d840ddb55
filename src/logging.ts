/** Structured logs (pino): JSON lines on stdout, readable text on a terminal. */
import { createRequire } from 'node:module'
import { pino } from 'pino'
import type { default as Pretty } from 'pino-pretty'
import type { Clock } from '../storage/env.ts'
import type { Config } from './config/settings.ts'

export type Logger = pino.Logger

/** Fields are the first argument, the sentence is the second: `log.info({topic}, 'topic created')`. Errors go under `err`. */
export function createLogger(config: Pick<Config, 'log.level' | 'log.format'>): Logger {
  const format = config['log.format']
  const options: pino.LoggerOptions = {
    level: config['log.level'],
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
    // Layers below name what went wrong in their own words; without a serializer an Error is logged as {}.
    serializers: { err: pino.stdSerializers.err, cause: pino.stdSerializers.err, error: pino.stdSerializers.err },
  }
  // Synchronous, so that the last lines before an exit are not lost; the broker logs little.
  if (format === 'pretty' || (format === 'auto' && process.stdout.isTTY)) {
    // Loaded where there is a terminal: elsewhere its modules would only take memory.
    const pretty = createRequire(import.meta.url)('pino-pretty') as typeof Pretty
    return pino(options, pretty({ sync: true, colorize: process.stdout.isTTY, translateTime: 'SYS:HH:MM:ss.l' }))
  }
  return pino(options, pino.destination({ fd: 1, sync: true }))
}

/** For tests and benchmarks. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' })
}

/**
 * Lets one line per key through in each interval and counts the others, so that a client which does the same wrong thing ten thousand
 * times a second is a line, not a full disk. At most `keysMax` keys are remembered; the oldest is forgotten first.
 */
export class RateLimiter {
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #keysMax: number
  readonly #keys = new Map<string, { sinceMs: number; suppressed: number }>()

  constructor(clock: Clock, intervalMs = 10_000, keysMax = 1000) {
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#keysMax = keysMax
  }

  /** Null: say nothing now. Otherwise how many lines of this key were left out since the last one. */
  admit(key: string): { readonly suppressed: number } | null {
    const now = this.#clock.monotonic()
    const known = this.#keys.get(key)
    if (known !== undefined && now - known.sinceMs < this.#intervalMs) {
      known.suppressed++
      return null
    }
    this.#keys.delete(key)
    this.#keys.set(key, { sinceMs: now, suppressed: 0 })
    if (this.#keys.size > this.#keysMax) this.#keys.delete(this.#keys.keys().next().value!)
    return { suppressed: known?.suppressed ?? 0 }
  }
}
