/**
 * The bytes of what a commit flushes. Batches that left memory are read back for many partitions together: a segment of a lane holds batches
 * of all of them, and read for each partition by itself it would be asked for once per partition.
 */
import type { Clock } from '../env.ts'
import type { LaneRef } from '../lane/types.ts'
import { releaseAll } from '../partition/batch-memory.ts'
import type { BatchMemory } from '../partition/batch-memory.ts'
import type { FlushRun } from '../partition/log.ts'
import { Turns } from '../turns.ts'

/** Batches of a run, in order; what is `held` has to be released. */
export interface RunBytes {
  readonly batches: Uint8Array[]
  readonly held: BatchMemory[]
}

interface Group {
  readonly runs: FlushRun[]
  bytes: number
  loaded: Promise<Map<FlushRun, RunBytes>> | null
}

/** Batches that are held at once for one group of runs, and what each of them takes besides its bytes, about. */
const GROUP_BYTES = 16 * 1024 * 1024
const BATCH_OVERHEAD_BYTES = 128

export class RunBatches {
  readonly #clock: Clock
  readonly #readLane: (refs: readonly LaneRef[]) => Promise<readonly Uint8Array[]>
  readonly #groups = new Map<FlushRun, Group>()

  /** `runs` in the order in which they will be asked for, about. */
  constructor(runs: readonly FlushRun[], clock: Clock, readLane: (refs: readonly LaneRef[]) => Promise<readonly Uint8Array[]>) {
    this.#clock = clock
    this.#readLane = readLane
    let group: Group | null = null
    for (const run of runs) {
      const bytes = run.bytes + run.entries.length * BATCH_OVERHEAD_BYTES
      if (group === null || group.bytes + bytes > GROUP_BYTES) group = { runs: [], bytes: 0, loaded: null }
      group.runs.push(run)
      group.bytes += bytes
      this.#groups.set(run, group)
    }
  }

  /** To be called once per run. Throws what reading the lanes throws. */
  async of(run: FlushRun): Promise<RunBytes> {
    const group = this.#groups.get(run)
    if (group === undefined) throw new Error('a run is asked for twice, or is none of these')
    this.#groups.delete(run)
    group.loaded ??= this.#load(group.runs)
    const loaded = await group.loaded
    const bytes = loaded.get(run)!
    // Whoever has it decides how long it stays; the rest of the group may be there for seconds.
    loaded.delete(run)
    return bytes
  }

  async #load(runs: readonly FlushRun[]): Promise<Map<FlushRun, RunBytes>> {
    const turns = new Turns(this.#clock)
    const loaded = new Map<FlushRun, RunBytes>()
    const refs: LaneRef[] = []
    const places: { readonly batches: Uint8Array[]; readonly at: number }[] = []
    for (const run of runs) {
      const bytes: RunBytes = { batches: [], held: [] }
      for (const [at, entry] of run.entries.entries()) {
        if (entry.resident) {
          entry.holdMemory(bytes.held)
          bytes.batches[at] = entry.bytes
        } else {
          refs.push(entry.ref!)
          places.push({ batches: bytes.batches, at })
        }
      }
      loaded.set(run, bytes)
      if (turns.isOver) await turns.next()
    }
    if (refs.length === 0) return loaded
    try {
      const read = await this.#readLane(refs)
      for (const [i, { batches, at }] of places.entries()) batches[at] = read[i]!
    } catch (error) {
      for (const { held } of loaded.values()) releaseAll(held)
      throw error
    }
    return loaded
  }
}
