/**
 * Which segments still hold batches that are not in a table (P5). A segment may go when nothing in it is unflushed and a durable
 * checkpoint lies beyond it.
 */
import type { LaneId, LaneRef } from '../lane/types.ts'
import type { LogVersion } from '../types.ts'

export class LaneUsage {
  readonly #lanes = new Map<string, Usage>()
  /** Almost always the same lane: looked up by name where it is another. */
  #last: Usage | null = null

  retain(ref: LaneRef): void {
    const usage = this.#of(ref.lane)
    usage.unflushed.set(ref.seq, (usage.unflushed.get(ref.seq) ?? 0) + 1)
  }

  release(ref: LaneRef): void {
    const usage = this.#of(ref.lane)
    const count = usage.unflushed.get(ref.seq) ?? 0
    if (count <= 1) usage.unflushed.delete(ref.seq)
    else usage.unflushed.set(ref.seq, count - 1)
  }

  /** Segments of a lane that hold unflushed batches, as of now. */
  needed(lane: LaneId): ReadonlySet<LogVersion> {
    return new Set(this.#of(lane).unflushed.keys())
  }

  #of(lane: LaneId): Usage {
    if (this.#last?.lane === lane) return this.#last
    const name = `${lane.brokerId}/${lane.incarnation}`
    let usage = this.#lanes.get(name)
    if (usage === undefined) {
      usage = { lane, unflushed: new Map() }
      this.#lanes.set(name, usage)
    }
    if (usage.lane === lane) this.#last = usage
    return usage
  }
}

interface Usage {
  readonly lane: LaneId
  readonly unflushed: Map<LogVersion, number>
}
