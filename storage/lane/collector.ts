/**
 * Deletes lane objects that nobody needs any more (P5). The rules:
 * - a segment goes when no recovery can need it (it is below a durable checkpoint that recovery will not fall behind) and no batch in it
 *   waits for its table;
 * - what lies beyond a fence does not exist for anybody and goes;
 * - a fence never goes, and neither does a wall, so that a writer which slept through all of this still runs into it.
 *
 * What was deleted is remembered, so a run costs what is new and what is still held back, never a listing of the lane.
 */
import type { ObjectStore } from '../objects/object-store.ts'
import { laneSegmentKey } from '../paths.ts'
import type { LogVersion } from '../types.ts'
import { listSegments } from './listing.ts'
import type { LaneId } from './types.ts'

/** Keys of one delete call. */
const deleteBatch = 500

export interface CollectionRequest {
  /**
   * No recovery needs a segment below it: the seq of the oldest checkpoint that is kept (`pruneCheckpoints` gives it). For a dead lane whose
   * state has been taken over durably: the fence's seq.
   */
  readonly belowSeq: LogVersion
  /** Whether a batch of this segment is not yet in its table, or a read of it is under way that has no other place to go. */
  readonly isNeeded: (seq: LogVersion) => boolean
}

export interface Collection {
  readonly deleted: readonly LogVersion[]
  readonly held: readonly LogVersion[]
}

/** Which of the segments `candidates` may go. Pure. Fences and walls must not be among the candidates; `fenceSeq` itself is left out. */
export function planCollection(
  candidates: readonly LogVersion[], request: CollectionRequest, fenceSeq: LogVersion = Infinity,
): Collection {
  const deleted: LogVersion[] = []
  const held: LogVersion[] = []
  for (const seq of candidates) {
    if (seq === fenceSeq) continue
    if (seq > fenceSeq || (seq < request.belowSeq && !request.isNeeded(seq))) deleted.push(seq)
    else held.push(seq)
  }
  return { deleted, held }
}

export interface LaneCollectorConfig {
  readonly store: ObjectStore
  readonly lane: LaneId
  /** A live lane (its writer is in this process): `firstSeq` of the writer. A dead one: what `fenceLane` gave. */
  readonly of: { readonly kind: 'live'; readonly firstSeq: LogVersion } | { readonly kind: 'dead'; readonly fenceSeq: LogVersion }
}

/** Remembers one lane. One `collect` at a time. */
export class LaneCollector {
  readonly #store: ObjectStore
  readonly #lane: LaneId
  readonly #fenceSeq: LogVersion
  /** Segments that exist and may go one day, below `#seenTo`. */
  #held: LogVersion[] = []
  /** All below it are in `#held` or deleted; null before a dead lane was listed. */
  #seenTo: LogVersion | null
  #running = false

  constructor(config: LaneCollectorConfig) {
    this.#store = config.store
    this.#lane = config.lane
    this.#fenceSeq = config.of.kind === 'dead' ? config.of.fenceSeq : Infinity
    this.#seenTo = config.of.kind === 'live' ? config.of.firstSeq : null
  }

  /** Segments that were looked at and are held back. */
  get heldCount(): number {
    return this.#held.length
  }

  /** Of a dead lane: nothing but fences and walls is left, there will never be anything to do. */
  get isFinished(): boolean {
    return this.#fenceSeq !== Infinity && this.#seenTo !== null && this.#held.length === 0
  }

  /**
   * Deletes what may go, in batches; gives how many. Throws StoreErrors: what was not deleted is tried again by the next call.
   */
  async collect(request: CollectionRequest, signal?: AbortSignal): Promise<number> {
    if (this.#running) throw new Error('a collection of this lane is running')
    this.#running = true
    try {
      const { deleted, held } = planCollection(await this.#candidates(request), request, this.#fenceSeq)
      for (let i = 0; i < deleted.length; i += deleteBatch) {
        if (signal?.aborted === true) return i
        const seqs = deleted.slice(i, i + deleteBatch)
        await this.#store.delete(seqs.map((seq) => laneSegmentKey(this.#lane.brokerId, this.#lane.incarnation, seq)))
        // Only now: what a failed call leaves stays in the books.
        this.#held = [...deleted.slice(i + deleteBatch), ...held]
      }
      return deleted.length
    } finally {
      this.#running = false
    }
  }

  async #candidates(request: CollectionRequest): Promise<readonly LogVersion[]> {
    if (this.#seenTo === null) {
      const found: LogVersion[] = []
      for await (const { seq, kind } of listSegments(this.#store, this.#lane, 0)) if (kind === 'segment') found.push(seq)
      this.#held = found
      this.#seenTo = Infinity
    }
    for (; this.#seenTo < request.belowSeq; this.#seenTo++) this.#held.push(this.#seenTo)
    return this.#held
  }
}
