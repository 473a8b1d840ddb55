/**
 * Which segments still hold batches that are not in a table (P5). A segment may go when nothing in it is unflushed and a durable
 * checkpoint lies beyond it.
 */
import type { LaneId } from '../lane/types.ts'
import type { LogVersion } from '../types.ts'

export class LaneUsage {
  readonly #lanes = new Map<string, Usage>()
  /** Almost always the same lane: looked up by name where it is another. */
  #last: Usage | null = null

  /** One more batch of segment `seq`. */
  retain(lane: LaneId, seq: LogVersion): void {
    const { unflushed } = this.#of(lane)
    unflushed.set(seq, (unflushed.get(seq) ?? 0) + 1)
  }

  release(lane: LaneId, seq: LogVersion): void {
    const { unflushed } = this.#of(lane)
    const count = unflushed.get(seq) ?? 0
    if (count <= 1) unflushed.delete(seq)
    else unflushed.set(seq, count - 1)
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
