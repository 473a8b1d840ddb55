/**
 * What a start reads (DESIGN §4): the lanes of earlier incarnations are fenced, all of them; the newest one that has a checkpoint gives the
 * state, and its later segments what came after. An incarnation without a checkpoint never acknowledged anything: the first checkpoint of a
 * lane is durable before its first segment.
 *
 * Others may be at work on the same lanes. Owners that do not know their end yet go on writing checkpoints and collecting, and so do earlier
 * successors that were fenced before they served; whoever collects has a durable checkpoint first. So what was read counts only when no
 * lane after the one that it came from has got a checkpoint meanwhile, and only when the journal, read last, knows of no later incarnation.
 */
import { atOnce } from '../at-once.ts'
import type { Env } from '../env.ts'
import type { Journal } from '../journal/journal.ts'
import { backoffMs } from '../log/create-once.ts'
import { newestCheckpoint } from '../lane/checkpoint-store.ts'
import { LaneCollector } from '../lane/collector.ts'
import { fenceLane } from '../lane/fence.ts'
import { LaneGapError, scanSegments } from '../lane/scan.ts'
import type { LaneId, LaneRef, LaneRow } from '../lane/types.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import type { PartitionCheckpoint } from '../partition/log.ts'
import type { Incarnation, LogVersion } from '../types.ts'
import { decodeCheckpoint } from './checkpoint-codec.ts'
import { readControl } from './control-rows.ts'
import type { LogStart } from './control-rows.ts'

/** A lane that will never grow again. */
export interface RecoveredLane {
  readonly lane: LaneId
  readonly fenceSeq: LogVersion
  readonly collector: LaneCollector
}

export interface Recovered {
  readonly lanes: readonly RecoveredLane[]
  readonly partitions: readonly PartitionCheckpoint[]
  /** Batches after the checkpoint, in lane order. */
  readonly batches: readonly RecoveredBatch[]
  /** Deletions after the checkpoint, to be applied after the batches: they begin logs at offsets that these reach. */
  readonly logStarts: readonly LogStart[]
  readonly segments: number
}

export interface RecoveredBatch {
  readonly row: LaneRow
  readonly ref: LaneRef
}

/** A later incarnation has registered: it has taken over or is about to, and what is in the lanes is its business now. */
export class SupersededError extends Error {
  constructor(own: Incarnation, successor: Incarnation) {
    super(`another broker process (incarnation ${successor}) took over the store while this one (incarnation ${own}) was starting`)
    this.name = 'SupersededError'
  }
}

/** Each try is one more step of somebody who does not know his end yet; they are few. */
const TRIES_MAX = 12
const FENCES_AT_ONCE = 16

/**
 * Leaves the journal at a state that knows every topic of which a batch is in the lanes: what was created before a lane was fenced.
 * Throws StoreErrors that are not retriable, SupersededError, and LaneGapError or SegmentCorruptError where a lane was damaged from outside.
 */
export async function recover(store: ObjectStore, env: Env, journal: Journal, own: LaneId): Promise<Recovered> {
  const before = [...journal.state.incarnations.values()].filter(({ incarnation }) => incarnation < own.incarnation)
  const lanes: RecoveredLane[] = []
  // Processes that crash at every start leave a lane each: the next start must not wait for one after the other.
  await atOnce(FENCES_AT_ONCE, [...before.entries()], async ([at, { incarnation, brokerId }]) => {
    const lane = { brokerId, incarnation }
    const { fenceSeq } = await fenceLane(store, env, lane, 0, own.incarnation)
    lanes[at] = { lane, fenceSeq, collector: new LaneCollector({ store, lane, of: { kind: 'dead', fenceSeq } }) }
  })
  for (let attempt = 1; ; attempt++) {
    const found = await readState(store, lanes)
    await journal.poll()
    const successor = successorOf(journal, own.incarnation)
    if (successor !== null) throw new SupersededError(own.incarnation, successor)
    if (!(found instanceof LaneGapError)) {
      if (found !== null) return { lanes, ...found }
    } else if (attempt >= TRIES_MAX) throw found
    await env.clock.sleep(backoffMs(env, attempt, 5, 500))
  }
}

/** An incarnation after `own`, or null. */
export function successorOf(journal: Journal, own: Incarnation): Incarnation | null {
  for (const incarnation of journal.state.incarnations.keys()) if (incarnation > own) return incarnation
  return null
}

/** Null when somebody was faster and the lanes must be looked at again. */
async function readState(store: ObjectStore, lanes: readonly RecoveredLane[]): Promise<Omit<Recovered, 'lanes'> | LaneGapError | null> {
  for (let at = lanes.length - 1; at >= 0; at--) {
    const { lane, fenceSeq } = lanes[at]!
    const checkpoint = await newestCheckpoint(store, lane)
    if (checkpoint === null) continue
    try {
      const tail = await readTail(store, lane, checkpoint.seq, fenceSeq)
      if (await hasCheckpoint(store, lanes.slice(at + 1))) return null
      return { partitions: decodeCheckpoint(checkpoint.body), ...tail }
    } catch (error) {
      if (error instanceof LaneGapError) return error
      throw error
    }
  }
  return (await hasCheckpoint(store, lanes)) ? null : { partitions: [], batches: [], logStarts: [], segments: 0 }
}

async function hasCheckpoint(store: ObjectStore, lanes: readonly RecoveredLane[]): Promise<boolean> {
  for (const { lane } of lanes) if ((await newestCheckpoint(store, lane)) !== null) return true
  return false
}

async function readTail(
  store: ObjectStore,
  lane: LaneId,
  fromSeq: LogVersion,
  fenceSeq: LogVersion,
): Promise<Pick<Recovered, 'batches' | 'logStarts' | 'segments'>> {
  const batches: RecoveredBatch[] = []
  const logStarts: LogStart[] = []
  let segments = 0
  for await (const segment of scanSegments(store, lane, fromSeq, { toSeq: fenceSeq, concurrency: 32 })) {
    if (segment.kind !== 'segment') break
    segments++
    for (const row of segment.rows) batches.push({ row, ref: { lane, seq: segment.seq, start: row.start, end: row.end } })
    for (const row of segment.controls) {
      const control = readControl(row)
      if (control !== null) logStarts.push(control)
    }
  }
  return { batches, logStarts, segments }
}
