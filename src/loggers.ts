/**
 * The broker's loggers by name, whose levels can be changed while it runs (BROKER_LOGGER resources). All write to the same place; those of a
 * part of the broker follow the root logger until they get a level of their own.
 */
import type { Logger } from './logging.ts'

const ROOT = 'root'
/** Parts of the broker that can be listened to by themselves. */
const PARTS = ['groups', 'server', 'storage', 'transactions'] as const
type Part = (typeof PARTS)[number]

/** Kafka's names of levels, most severe first. */
export const LEVEL_NAMES = ['FATAL', 'ERROR', 'WARN', 'INFO', 'DEBUG', 'TRACE'] as const

/** The logger's name of a level, given in any case; null for what is none. */
export function levelNamed(name: string): string | null {
  const known: readonly string[] = LEVEL_NAMES
  return known.includes(name.toUpperCase()) ? name.toLowerCase() : null
}

export class Loggers {
  readonly #root: Logger
  readonly #parts: ReadonlyMap<string, Logger>
  /** Parts with a level of their own. */
  readonly #own = new Set<string>()

  constructor(root: Logger) {
    this.#root = root
    this.#parts = new Map(PARTS.map((part) => [part, root.child({})]))
  }

  of(part: Part): Logger {
    return this.#parts.get(part) ?? this.#root
  }

  has(name: string): boolean {
    return this.isRoot(name) || this.#parts.has(name)
  }

  /** Kafka before 4.0 wrote it in capitals. */
  isRoot(name: string): boolean {
    return name.toLowerCase() === ROOT
  }

  /** Every logger with the level that it has, under Kafka's name. */
  levels(): { readonly name: string; readonly level: string }[] {
    return [[ROOT, this.#root] as const, ...this.#parts].map(([name, { level }]) => ({ name, level: level === 'silent' ? 'OFF' : level.toUpperCase() }))
  }

  /** Null takes a part's own level away. */
  setLevel(name: string, level: string | null): void {
    if (this.isRoot(name)) {
      if (level !== null) this.#root.level = level
    } else if (level === null) {
      this.#own.delete(name)
    } else {
      this.#own.add(name)
      this.#parts.get(name)!.level = level
    }
    for (const [part, logger] of this.#parts) if (!this.#own.has(part)) logger.level = this.#root.level
  }
}
