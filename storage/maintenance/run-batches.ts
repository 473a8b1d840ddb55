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
  read: Promise<Map<FlushRun, Uint8Array[]>> | null
}

/** Batches that are read for one group of runs at once, and what each of them takes besides its bytes, about. */
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
      const bytes = run.bytes + run.batches.length * BATCH_OVERHEAD_BYTES
      if (group === null || group.bytes + bytes > GROUP_BYTES) group = { runs: [], bytes: 0, read: null }
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
    group.read ??= this.#read(group.runs)
    const read = await group.read
    const batches = read.get(run)!
    // Whoever has it decides how long it stays; the rest of the group may be there for seconds.
    read.delete(run)
    const held: BatchMemory[] = []
    const missing: number[] = []
    for (let i = 0; i < run.batches.length; i++) {
      if (batches[i] !== undefined) continue
      const bytes = run.batches.bytes(i)
      if (bytes === null) {
        missing.push(i)
        continue
      }
      run.batches.hold(i, held)
      batches[i] = bytes
    }
    try {
      // They left memory since the group was read.
      if (missing.length > 0) await this.#readInto(missing.map((i) => ({ run, i, batches })))
    } catch (error) {
      releaseAll(held)
      throw error
    }
    return { batches, held }
  }

  /** What is not in memory, of all runs. */
  async #read(runs: readonly FlushRun[]): Promise<Map<FlushRun, Uint8Array[]>> {
    const turns = new Turns(this.#clock)
    const read = new Map<FlushRun, Uint8Array[]>()
    const missing: Place[] = []
    for (const run of runs) {
      const batches: Uint8Array[] = []
      read.set(run, batches)
      for (let i = 0; i < run.batches.length; i++) if (!run.batches.isResident(i)) missing.push({ run, i, batches })
      if (turns.isOver) await turns.next()
    }
    if (missing.length > 0) await this.#readInto(missing)
    return read
  }

  async #readInto(places: readonly Place[]): Promise<void> {
    const read = await this.#readLane(places.map(({ run, i }) => run.batches.ref(i)))
    for (const [n, { i, batches }] of places.entries()) batches[i] = read[n]!
  }
}

/** Where a batch belongs. */
interface Place {
  readonly run: FlushRun
  readonly i: number
  readonly batches: Uint8Array[]
}
