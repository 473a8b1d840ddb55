/**
 * What a start reads (DESIGN §4): the lanes of earlier incarnations are fenced, oldest first; the newest one that has a checkpoint gives the
 * state, and its later segments what came after. An incarnation without a checkpoint never acknowledged anything: the first checkpoint of a
 * lane is durable before its first segment.
 */
import type { Env } from '../env.ts'
import type { JournalState } from '../journal/state.ts'
import { newestCheckpoint } from '../lane/checkpoint-store.ts'
import type { LaneCheckpoint } from '../lane/checkpoint-store.ts'
import { LaneCollector } from '../lane/collector.ts'
import { fenceLane } from '../lane/fence.ts'
import { LaneGapError, scanSegments } from '../lane/scan.ts'
import type { LaneId, LaneRef, LaneRow } from '../lane/types.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import type { PartitionCheckpoint } from '../partition/log.ts'
import type { LogVersion } from '../types.ts'
import { decodeCheckpoint } from './checkpoint-codec.ts'

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
  readonly segments: number
}

export interface RecoveredBatch {
  readonly row: LaneRow
  readonly ref: LaneRef
}

const GAP_TRIES_MAX = 5

/** Throws StoreErrors that are not retriable, and LaneGapError or SegmentCorruptError where a lane was damaged from outside. */
export async function recover(store: ObjectStore, env: Env, state: JournalState, own: LaneId): Promise<Recovered> {
  const lanes: RecoveredLane[] = []
  for (const { incarnation, brokerId } of state.incarnations.values()) {
    if (incarnation >= own.incarnation) continue
    const lane = { brokerId, incarnation }
    const { fenceSeq } = await fenceLane(store, env, lane, 0, own.incarnation)
    lanes.push({ lane, fenceSeq, collector: new LaneCollector({ store, lane, of: { kind: 'dead', fenceSeq } }) })
  }
  for (const { lane, fenceSeq } of lanes.toReversed()) {
    const found = await readLaneState(store, lane, fenceSeq)
    if (found !== null) return { lanes, ...found }
  }
  return { lanes, partitions: [], batches: [], segments: 0 }
}

async function readLaneState(store: ObjectStore, lane: LaneId, fenceSeq: LogVersion): Promise<Omit<Recovered, 'lanes'> | null> {
  let checkpoint: LaneCheckpoint | null = null
  for (let attempt = 1; ; attempt++) {
    checkpoint = await newestCheckpoint(store, lane)
    if (checkpoint === null) return null
    try {
      const { batches, segments } = await readTail(store, lane, checkpoint.seq, fenceSeq)
      return { partitions: decodeCheckpoint(checkpoint.body), batches, segments }
    } catch (error) {
      // The owner, not yet aware of its end, may have written a newer checkpoint and collected what lies below it.
      if (!(error instanceof LaneGapError) || attempt >= GAP_TRIES_MAX) throw error
      const newer = await newestCheckpoint(store, lane)
      if (newer === null || newer.seq <= checkpoint.seq) throw error
    }
  }
}

async function readTail(
  store: ObjectStore,
  lane: LaneId,
  fromSeq: LogVersion,
  fenceSeq: LogVersion,
): Promise<{ batches: RecoveredBatch[]; segments: number }> {
  const batches: RecoveredBatch[] = []
  let segments = 0
  for await (const segment of scanSegments(store, lane, fromSeq, { toSeq: fenceSeq, concurrency: 32 })) {
    if (segment.kind !== 'segment') break
    segments++
    for (const row of segment.rows) batches.push({ row, ref: { lane, seq: segment.seq, start: row.start, end: row.end } })
  }
  return { batches, segments }
}
