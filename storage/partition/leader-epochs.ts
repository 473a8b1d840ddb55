/** History of leader epochs of a partition (KIP-101, KIP-320): at which offset each epoch began. */
import type { Offset } from '../types.ts'
import type { EpochEnd } from './types.ts'

export type EpochStart = readonly [epoch: number, startOffset: Offset]

export class LeaderEpochs {
  #starts: EpochStart[] = []

  /** Notes that records from `startOffset` on carry `epoch`; older or known epochs change nothing. */
  assign(epoch: number, startOffset: Offset): void {
    const last = this.#starts.at(-1)
    if (last !== undefined && last[0] >= epoch) return
    if (last !== undefined && last[1] === startOffset) this.#starts.pop()
    this.#starts.push([epoch, startOffset])
  }

  /** The largest epoch at or below `epoch` and where it ends; `logEnd` ends the newest one. Null when the history does not reach back. */
  endOffset(epoch: number, currentEpoch: number, logEnd: Offset): EpochEnd | null {
    if (epoch > currentEpoch) return null
    if (epoch === currentEpoch) return { leaderEpoch: epoch, endOffset: logEnd }
    for (let i = this.#starts.length - 1; i >= 0; i--) {
      const [candidate] = this.#starts[i]!
      if (candidate <= epoch) return { leaderEpoch: candidate, endOffset: this.#starts[i + 1]?.[1] ?? logEnd }
    }
    const first = this.#starts[0]
    return first === undefined ? { leaderEpoch: epoch, endOffset: logEnd } : { leaderEpoch: epoch, endOffset: first[1] }
  }

  epochOf(offset: Offset): number {
    for (let i = this.#starts.length - 1; i >= 0; i--) if (this.#starts[i]![1] <= offset) return this.#starts[i]![0]
    return this.#starts[0]?.[0] ?? -1
  }

  snapshot(): readonly EpochStart[] {
    return this.#starts
  }

  restore(starts: readonly EpochStart[]): void {
    this.#starts = starts.map(([epoch, start]) => [epoch, start] as const)
  }
}
