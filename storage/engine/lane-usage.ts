/**
 * Which segments still hold batches that are not in a table (P5). A segment may go when nothing in it is unflushed and a durable
 * checkpoint lies beyond it.
 */
import type { LaneId, LaneRef } from '../lane/types.ts'
import type { LogVersion } from '../types.ts'

export class LaneUsage {
  readonly #lanes = new Map<string, { lane: LaneId; unflushed: Map<LogVersion, number> }>()

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

  #of(lane: LaneId): { lane: LaneId; unflushed: Map<LogVersion, number> } {
    const name = `${lane.brokerId}/${lane.incarnation}`
    let usage = this.#lanes.get(name)
    if (usage === undefined) {
      usage = { lane, unflushed: new Map() }
      this.#lanes.set(name, usage)
    }
    return usage
  }
}
