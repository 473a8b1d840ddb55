/**
 * A gap-free numbered log of small JSON objects, of which exactly one writer can create each number (DESIGN §3). The journal is
 * one; the Delta log and the lanes are the same thing with formats of their own.
 */
import type { Env } from '../env.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import type { LogVersion } from '../types.ts'
import { assertNever } from '../types.ts'
import type { CreateOnceOptions } from './create-once.ts'
import { createOnce } from './create-once.ts'

/** What every entry carries: a random id, by which a writer knows its own entry again. */
export interface LogEntry {
  readonly commitId: string
}

export type LogAppendOutcome<E> =
  | { readonly kind: 'won' }
  | { readonly kind: 'lost'; readonly winner: E }
  /** The signal came first: the entry may be in the log, now or later. */
  | { readonly kind: 'aborted' }

export interface PutIfAbsentLogOptions<E extends LogEntry> {
  /** Start of all keys, e.g. `meta/journal/`. */
  readonly prefix: string
  readonly keyOf: (version: LogVersion) => string
  /** Number of the first entry. */
  readonly firstVersion: LogVersion
  /** Checks a parsed entry; throws for what it does not understand. */
  readonly decode: (value: unknown, version: LogVersion) => E
}

/** Entries read at once. */
const readsInFlight = 16
const listPage = 1000

export class PutIfAbsentLog<E extends LogEntry> {
  readonly #store: ObjectStore
  readonly #env: Pick<Env, 'clock' | 'random'>
  readonly #options: PutIfAbsentLogOptions<E>

  constructor(store: ObjectStore, env: Pick<Env, 'clock' | 'random'>, options: PutIfAbsentLogOptions<E>) {
    this.#store = store
    this.#env = env
    this.#options = options
  }

  /**
   * Tries to become entry `version`. The caller has read every entry before it, which is what keeps the log gap-free.
   * Throws StoreErrors that are not retriable; the entry may be in the log then.
   */
  async append(version: LogVersion, entry: E, options?: CreateOnceOptions): Promise<LogAppendOutcome<E>> {
    const body = [new TextEncoder().encode(JSON.stringify(entry))]
    const isMine = (bytes: Uint8Array): boolean => commitIdOf(bytes) === entry.commitId
    const outcome = await createOnce(this.#store, this.#env, this.#options.keyOf(version), body, isMine, options)
    switch (outcome.kind) {
      case 'created':
        return { kind: 'won' }
      case 'taken':
        return { kind: 'lost', winner: this.#decode(outcome.winner, version) }
      case 'aborted':
        return outcome
      default:
        return assertNever(outcome)
    }
  }

  /** Entry `version`, or null when it is not there yet. */
  async read(version: LogVersion): Promise<E | null> {
    const bytes = await this.#store.get(this.#options.keyOf(version))
    return bytes === null ? null : this.#decode(bytes, version)
  }

  /** Entries after `version` one by one, read as they come: cheap when there are few, one request when there are none. */
  async *entriesAfter(version: LogVersion): AsyncGenerator<{ readonly version: LogVersion; readonly entry: E }> {
    let at = version
    let ahead = 1
    for (;;) {
      const versions = Array.from({ length: ahead }, (_, i) => at + 1 + i)
      const entries = await Promise.all(versions.map((v) => this.read(v)))
      for (const entry of entries) {
        if (entry === null) return
        at++
        yield { version: at, entry }
      }
      ahead = Math.min(readsInFlight, ahead * 2)
    }
  }

  /** Number of the newest entry, or `hint` when nothing is after it. `hint` is an entry that is known to exist, or firstVersion − 1. */
  async newest(hint: LogVersion): Promise<LogVersion> {
    let newest = hint
    let after = hint < this.#options.firstVersion ? null : this.#options.keyOf(hint)
    for (;;) {
      const page = await this.#store.list(this.#options.prefix, { limit: listPage, ...(after !== null && { after }) })
      // A gap-free log has its entries in a row; what is not named like the next one is not ours.
      for (const object of page) {
        if (object.key === this.#options.keyOf(newest + 1)) newest++
        after = object.key
      }
      if (page.length < listPage) return newest
    }
  }

  #decode(bytes: Uint8Array, version: LogVersion): E {
    const key = this.#options.keyOf(version)
    let value: unknown
    try {
      value = JSON.parse(new TextDecoder().decode(bytes))
    } catch (cause) {
      throw new StoreError('invalid', `${key} is not JSON: it was damaged, restore it from a copy`, { cause })
    }
    return this.#options.decode(value, version)
  }
}

function commitIdOf(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return typeof value === 'object' && value !== null && 'commitId' in value ? value.commitId : undefined
  } catch {
    return undefined
  }
}
