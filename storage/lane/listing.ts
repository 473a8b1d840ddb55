/** Which objects a lane has. Needs no reading: seq is in the key, and size tells segments, fences and walls apart. */
import type { ObjectStore } from '../objects/object-store.ts'
import { digits20, lanePrefix } from '../paths.ts'
import type { LogVersion } from '../types.ts'
import { fenceBytes, wallBytes } from './segment.ts'
import type { LaneId } from './types.ts'

export interface ListedSegment {
  readonly seq: LogVersion
  readonly bytes: number
  /** By size. A segment that was damaged down to the size of a guard counts as one, so that it is never deleted. */
  readonly kind: 'segment' | 'fence' | 'wall'
}

const page = 1000

/** Segments and fences of the lane from `fromSeq` on, in order, listed page by page. Gaps are the caller's to notice. */
export async function* listSegments(store: ObjectStore, lane: LaneId, fromSeq: LogVersion): AsyncGenerator<ListedSegment> {
  const folder = lanePrefix(lane.brokerId, lane.incarnation)
  // Twenty digits of a safe integer begin with a zero, which keeps `checkpoints/` out.
  const prefix = `${folder}0`
  let after = fromSeq === 0 ? null : `${folder}${digits20(fromSeq - 1)}`
  for (;;) {
    const objects = await store.list(prefix, { limit: page, ...(after !== null && { after }) })
    for (const { key, bytes } of objects) {
      const seq = seqOf(key.slice(folder.length))
      if (seq !== null) yield { seq, bytes, kind: bytes === fenceBytes ? 'fence' : bytes === wallBytes ? 'wall' : 'segment' }
      after = key
    }
    if (objects.length < page) return
  }
}

/** The number that a name of 20 digits spells, or null. */
export function seqOf(name: string): LogVersion | null {
  if (!/^\d{20}$/.test(name)) return null
  const seq = Number(name)
  return Number.isSafeInteger(seq) ? seq : null
}
