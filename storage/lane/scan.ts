/** Reads the headers and indexes of a lane in order, a ranged GET or two per segment and no batch: what recovery needs (DESIGN §4). */
import type { ObjectStore } from '../objects/object-store.ts'
import { laneSegmentKey } from '../paths.ts'
import type { LogVersion } from '../types.ts'
import { segmentProbeBytes } from './limits.ts'
import { readSegmentIndex, SegmentCorruptError, segmentHeadBytes } from './segment.ts'
import type { SegmentIndex } from './segment.ts'
import type { LaneId } from './types.ts'

/**
 * A segment is not there that must be: the lane was damaged, or its owner, not yet aware of the fence, wrote a checkpoint and collected
 * what is below it. Read the newest checkpoint again: where it is above the one in hand, start again from it; else data is lost.
 */
export class LaneGapError extends Error {
  readonly seq: LogVersion
  constructor(lane: LaneId, seq: LogVersion, toSeq: LogVersion) {
    super(`segment ${seq} of lane ${lane.brokerId}/${lane.incarnation} is missing; the lane ends at ${toSeq}`)
    this.name = 'LaneGapError'
    this.seq = seq
  }
}

export interface ScanOptions {
  /** Where `fenceLane` says that the lane ends: a missing segment below it is a LaneGapError. */
  readonly toSeq?: LogVersion
  /** GETs at once; default 16. */
  readonly concurrency?: number
}

/**
 * Segments from `fromSeq` on, in order. With `toSeq`, exactly those below it. Without it, the scan ends at the first number that is
 * missing or holds a fence or wall (its last value); neither is final then (fence.ts), so recovery always gives `toSeq`.
 *
 * Throws SegmentCorruptError, LaneGapError and StoreErrors.
 */
export async function* scanSegments(
  store: ObjectStore, lane: LaneId, fromSeq: LogVersion, options: ScanOptions = {},
): AsyncGenerator<SegmentIndex> {
  const { toSeq = Infinity, concurrency = 16 } = options
  const ahead: Promise<SegmentIndex | null>[] = []
  let asked = fromSeq
  let width = toSeq === Infinity ? 1 : concurrency
  for (let seq = fromSeq; seq < toSeq; seq++) {
    for (; ahead.length < width && asked < toSeq; asked++) {
      const read = readSegmentHead(store, lane, asked)
      // Its failure is seen when its turn comes, if it comes.
      read.catch(() => undefined)
      ahead.push(read)
    }
    const index = await ahead.shift()!
    // A guard below the end was put where a collected segment had been.
    if (toSeq !== Infinity && index?.kind !== 'segment') throw new LaneGapError(lane, seq, toSeq)
    if (index === null) return
    yield index
    if (index.kind !== 'segment') return
    width = Math.min(concurrency, width * 2)
  }
}

/** Header and index of one segment, fence or wall; null when it is not there. Throws SegmentCorruptError. */
export async function readSegmentHead(store: ObjectStore, lane: LaneId, seq: LogVersion): Promise<SegmentIndex | null> {
  const key = laneSegmentKey(lane.brokerId, lane.incarnation, seq)
  try {
    let bytes = await store.getRange(key, 0, segmentProbeBytes)
    if (bytes === null) return null
    const isWhole = bytes.byteLength < segmentProbeBytes
    const headBytes = segmentHeadBytes(bytes)
    if (headBytes > bytes.byteLength && !isWhole) {
      const rest = await store.getRange(key, bytes.byteLength, headBytes)
      bytes = Buffer.concat(rest === null ? [bytes] : [bytes, rest])
    }
    const index = readSegmentIndex(bytes, { lane, seq })
    if (isWhole && index.kind === 'segment' && index.objectBytes !== bytes.byteLength) {
      throw new SegmentCorruptError(`${bytes.byteLength} bytes instead of ${index.objectBytes}`)
    }
    return index
  } catch (error) {
    if (error instanceof SegmentCorruptError) throw new SegmentCorruptError(`${key}: ${error.message}`, { cause: error })
    throw error
  }
}
