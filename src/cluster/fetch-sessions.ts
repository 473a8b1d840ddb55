/**
 * Incremental fetch sessions (KIP-227): the partitions of a consumer's fetch are remembered here, a request carries only what changed and
 * an answer only what has news. Bounded by `max.incremental.fetch.session.cache.slots`.
 */
import type { Env } from '../../storage/env.ts'
import type { PartitionFetch } from './partition-fetch.ts'

export interface FetchSession {
  readonly id: number
  readonly usesTopicIds: boolean
  readonly partitions: Map<string, PartitionFetch>
  epoch: number
  lastUsedMs: number
  /** A fetch of it is being answered. */
  busy: boolean
}

/** A session that was used this recently is not pushed out by another one (min.incremental.fetch.session.eviction.ms). */
const EVICTION_MS = 120_000
const INT32_MAX = 0x7fff_ffff

export class FetchSessions {
  readonly #env: Env
  readonly #slotsMax: number
  /** In order of last use, the oldest first. */
  readonly #sessions = new Map<number, FetchSession>()

  constructor(env: Env, slotsMax: number) {
    this.#env = env
    this.#slotsMax = slotsMax
  }

  get size(): number {
    return this.#sessions.size
  }

  /** A new session, or null when there is no slot to be had: the client then gets full answers. */
  create(usesTopicIds: boolean, partitions: Map<string, PartitionFetch>): FetchSession | null {
    const nowMs = this.#env.clock.monotonic()
    if (this.#sessions.size >= this.#slotsMax) {
      const oldest = this.#sessions.values().next().value
      if (oldest === undefined || nowMs - oldest.lastUsedMs < EVICTION_MS) return null
      this.#sessions.delete(oldest.id)
    }
    let id = 0
    while (id === 0 || this.#sessions.has(id)) id = 1 + Math.floor(this.#env.random() * (INT32_MAX - 1))
    const session: FetchSession = { id, usesTopicIds, partitions, epoch: 1, lastUsedMs: nowMs, busy: false }
    this.#sessions.set(id, session)
    return session
  }

  get(id: number): FetchSession | null {
    const session = this.#sessions.get(id)
    if (session === undefined) return null
    this.#sessions.delete(id)
    session.lastUsedMs = this.#env.clock.monotonic()
    this.#sessions.set(id, session)
    return session
  }

  remove(id: number): void {
    this.#sessions.delete(id)
  }
}

/** Epochs go 1, 2, … and wrap to 1; 0 and -1 have meanings of their own. */
export function nextSessionEpoch(epoch: number): number {
  return epoch === INT32_MAX ? 1 : epoch + 1
}

export function sessionKey(topic: string, partition: number): string {
  return `${partition}/${topic}`
}
