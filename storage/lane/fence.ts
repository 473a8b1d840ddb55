/**
 * Ends a lane for its owner (DESIGN §4, P3): a fence object at the first number that the owner has not written. The owner's next commit
 * needs exactly that number, so it can never commit again, whatever its clock or its network do. Segments beyond a fence do not exist.
 *
 * Two things can make a free number the wrong one:
 * - the owner collected the segment that was there. It does so only below a durable checkpoint, so after the fence is in place the
 *   checkpoints are listed again, and where one is above the fence, the walk starts again from it. The fence below stays, for nothing.
 * - the owner writes faster than this walk. After some lost races a second fence goes up well ahead, which the owner cannot pass;
 *   the walk then ends at it at the latest.
 */
import type { Env } from '../env.ts'
import { createOnce } from '../log/create-once.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import { laneSegmentKey } from '../paths.ts'
import type { Incarnation, LogVersion } from '../types.ts'
import { checkpointSeqs } from './checkpoint-store.ts'
import { listSegments } from './listing.ts'
import { encodeFence, fenceBytes, isFence } from './segment.ts'
import type { LaneId } from './types.ts'

/** Lost races after which a fence is put ahead, and how far ahead. */
const lostRacesMax = 8
const wallDistance = 64

/**
 * Fences the lane and gives the number of the fence: the lane consists of the segments below it, for ever and for everybody. A fence of
 * somebody else is as good. `fromSeq` is where the caller knows the lane to reach; 0 is always right. Afterwards read the newest
 * checkpoint, then scan from its seq up to the fence.
 *
 * Waits for the store as long as it is gone; throws StoreErrors that are not retriable, and one when the signal ends it: a fence may or
 * may not be there then.
 */
export async function fenceLane(
  store: ObjectStore,
  env: Pick<Env, 'clock' | 'random' | 'uuid'>,
  lane: LaneId,
  fromSeq: LogVersion,
  by: Incarnation,
  signal?: AbortSignal,
): Promise<{ readonly fenceSeq: LogVersion }> {
  let from = fromSeq
  for (;;) {
    from = Math.max(from, (await checkpointSeqs(store, lane)).at(-1) ?? 0)
    const fenceSeq = await placeFence(store, env, lane, from, by, signal)
    const checkpointSeq = (await checkpointSeqs(store, lane)).at(-1) ?? 0
    if (checkpointSeq <= fenceSeq) return { fenceSeq }
    from = checkpointSeq
  }
}

async function placeFence(
  store: ObjectStore, env: Pick<Env, 'clock' | 'random' | 'uuid'>, lane: LaneId, from: LogVersion, by: Incarnation,
  signal: AbortSignal | undefined,
): Promise<LogVersion> {
  const occupy = async (seq: LogVersion): Promise<'fence' | 'segment'> => {
    const commitId = env.uuid()
    const body = [encodeFence({ lane, seq, commitId, createdAtMs: env.clock.now(), fencedBy: by })]
    const key = laneSegmentKey(lane.brokerId, lane.incarnation, seq)
    const outcome = await createOnce(store, env, key, body, isFence, { winnerBytesMax: fenceBytes, ...(signal && { signal }) })
    if (outcome.kind === 'aborted') throw new StoreError('unavailable', `fencing lane ${lane.brokerId}/${lane.incarnation} was given up`)
    return outcome.kind === 'created' ? 'fence' : 'segment'
  }
  let seq = await firstUnlisted(store, lane, from)
  for (let lost = 1; (await occupy(seq)) === 'segment'; lost++) {
    seq++
    if (lost % lostRacesMax === 0) await occupy(seq + (wallDistance * lost) / lostRacesMax)
  }
  return seq
}

/** The number after the segments that lie in a row from `from` on; a fence among them is where the row ends. */
async function firstUnlisted(store: ObjectStore, lane: LaneId, from: LogVersion): Promise<LogVersion> {
  let seq = from
  for await (const object of listSegments(store, lane, from)) {
    if (object.seq !== seq || object.isFence) break
    seq++
  }
  return seq
}
