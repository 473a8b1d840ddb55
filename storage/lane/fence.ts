/**
 * Ends a lane for its owner (DESIGN §4, P3): a fence object at the first number that the owner has not written. The owner's next commit
 * needs exactly that number, so it can never commit again, whatever its clock or its network do. Segments beyond a fence do not exist.
 *
 * A free number may be the wrong one: the segment that was there may have been collected. Then the fence stops nobody, and to believe
 * in it would lose everything after it. So after a fence is in place, the lane is looked at again:
 * - the owner collects only below a durable checkpoint; a checkpoint above our fence means that ours is one of those;
 * - an earlier successor collects only after its fence is in place; a fence above ours means the same.
 * In both cases the walk goes on from there. It follows that **of several fences the highest is the fence**: to place one above the
 * right one, a walk would have to pass it, and it is never deleted. A wrong one stays where it is, for nothing.
 *
 * An owner with several PUTs in flight may be faster than the walk for ever. After some lost races a *wall* goes up well ahead, which no
 * owner can commit past. A walk that comes to a wall has found the end of the lane; what the owner got in behind it does not exist. The
 * fence goes to the first free number after the wall and says where the end is. Like a fence, a wall is never deleted.
 */
import type { Env } from '../env.ts'
import { createOnce } from '../log/create-once.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import { laneSegmentKey } from '../paths.ts'
import { assertNever } from '../types.ts'
import type { Incarnation, LogVersion } from '../types.ts'
import { checkpointSeqs } from './checkpoint-store.ts'
import { listSegments } from './listing.ts'
import { readSegmentHead } from './scan.ts'
import { encodeGuard, readSegmentIndex, SegmentCorruptError, wallBytes } from './segment.ts'
import type { GuardHead } from './segment.ts'
import type { LaneId } from './types.ts'

/** Lost races after which a wall is put up, and how far ahead: more than an owner ever has in flight. */
const lostRacesMax = 4
const wallDistance = 128

/**
 * Fences the lane. `fenceSeq` is where it ends: it consists of the segments below, for ever and for everybody (the fence itself stands there,
 * or behind a wall). A fence of somebody else is as good. `fromSeq` is a number that the lane is known to have reached; 0 is always right.
 *
 * Recovery of a lane: fence it, then read its newest checkpoint, then scan from the checkpoint's seq to `fenceSeq`. After a LaneGapError
 * (the owner or another successor collected meanwhile) look for a newer checkpoint, in this lane and in those of later incarnations.
 *
 * Waits for the store as long as it is gone; throws StoreErrors that are not retriable, SegmentCorruptError for a damaged fence, and a
 * StoreError when the signal ends it: a fence may or may not be there then.
 */
export async function fenceLane(
  store: ObjectStore,
  env: Pick<Env, 'clock' | 'random' | 'uuid'>,
  lane: LaneId,
  fromSeq: LogVersion,
  by: Incarnation,
  signal?: AbortSignal,
): Promise<{ readonly fenceSeq: LogVersion }> {
  const fencer: Fencer = { store, env, lane, by, signal }
  for (let from = fromSeq; ; ) {
    from = Math.max(from, await newestCheckpointSeq(store, lane))
    const tail = await readTail(store, lane, from)
    const fence = tail.fenceSeq === null ? await placeFence(fencer, tail) : await readFence(store, lane, tail.fenceSeq)
    const highest = tail.fenceSeq ?? (await readTail(store, lane, fence.seq)).fenceSeq
    const checkpointSeq = await newestCheckpointSeq(store, lane)
    if (highest === fence.seq && checkpointSeq <= fence.seq) return { fenceSeq: await endOf(store, lane, fence, checkpointSeq) }
    from = highest ?? fence.seq
  }
}

/**
 * Where the lane ends, of which `fence` is the fence. A wall below a checkpoint has stopped nobody (it landed late, where a segment had
 * been collected), so a fence that believed in it is corrected: the first wall after the checkpoint is the end, or the fence itself.
 */
async function endOf(store: ObjectStore, lane: LaneId, fence: GuardHead, checkpointSeq: LogVersion): Promise<LogVersion> {
  if (fence.endSeq >= checkpointSeq) return fence.endSeq
  const { walls } = await readTail(store, lane, checkpointSeq)
  return Math.min(walls[0] ?? fence.seq, fence.seq)
}

interface Fencer {
  readonly store: ObjectStore
  readonly env: Pick<Env, 'clock' | 'random' | 'uuid'>
  readonly lane: LaneId
  readonly by: Incarnation
  readonly signal: AbortSignal | undefined
}

/** What a listing says of the lane from some number on. */
interface Tail {
  /** The highest fence. */
  readonly fenceSeq: LogVersion | null
  readonly walls: readonly LogVersion[]
  /** The number after the objects that lie in a row. */
  readonly firstFree: LogVersion
}

async function readTail(store: ObjectStore, lane: LaneId, from: LogVersion): Promise<Tail> {
  let fenceSeq: LogVersion | null = null
  const walls: LogVersion[] = []
  let firstFree = from
  for await (const { seq, kind } of listSegments(store, lane, from)) {
    if (kind === 'fence') fenceSeq = seq
    if (kind === 'wall') walls.push(seq)
    if (seq === firstFree) firstFree++
  }
  return { fenceSeq, walls, firstFree }
}

/** From the first free number upwards, past what the owner still gets in, to the first that we or another successor get. */
async function placeFence(fencer: Fencer, tail: Tail): Promise<GuardHead> {
  let seq = tail.firstFree
  let endSeq = tail.walls.find((wall) => wall < tail.firstFree) ?? null
  let hasWall = tail.walls.some((wall) => wall >= tail.firstFree)
  for (let lost = 1; ; lost++, seq++) {
    const there = await occupy(fencer, 'fence', seq, endSeq ?? seq)
    if (there?.kind === 'fence') return there
    if (there?.kind === 'wall') endSeq ??= seq
    if (lost % lostRacesMax === 0 && !hasWall) hasWall = (await occupy(fencer, 'wall', seq + wallDistance, seq + wallDistance)) !== null
  }
}

/** Puts a guard at a free number; gives the guard that is there then, or null where there is a segment (or something unreadable). */
async function occupy(fencer: Fencer, kind: 'fence' | 'wall', seq: LogVersion, endSeq: LogVersion): Promise<GuardHead | null> {
  const { store, env, lane, by, signal } = fencer
  const ours: GuardHead = { kind, lane, seq, commitId: env.uuid(), createdAtMs: env.clock.now(), fencedBy: by, endSeq }
  const isOurs = (bytes: Uint8Array): boolean => guardOf(bytes)?.commitId === ours.commitId
  const key = laneSegmentKey(lane.brokerId, lane.incarnation, seq)
  const options = { winnerBytesMax: wallBytes, ...(signal && { signal }) }
  const outcome = await createOnce(store, env, key, [encodeGuard(ours)], isOurs, options)
  switch (outcome.kind) {
    case 'created':
      return ours
    case 'taken':
      return guardOf(outcome.winner)
    case 'aborted':
      throw new StoreError('unavailable', `fencing lane ${lane.brokerId}/${lane.incarnation} was given up`)
    default:
      return assertNever(outcome)
  }
}

function guardOf(bytes: Uint8Array): GuardHead | null {
  try {
    const head = readSegmentIndex(bytes)
    return head.kind === 'segment' ? null : head
  } catch (error) {
    if (error instanceof SegmentCorruptError) return null
    throw error
  }
}

async function readFence(store: ObjectStore, lane: LaneId, seq: LogVersion): Promise<GuardHead> {
  const head = await readSegmentHead(store, lane, seq)
  if (head === null || head.kind !== 'fence') throw new SegmentCorruptError(`the fence of lane ${lane.brokerId}/${lane.incarnation} at ${seq}`)
  return head
}

async function newestCheckpointSeq(store: ObjectStore, lane: LaneId): Promise<LogVersion> {
  return (await checkpointSeqs(store, lane)).at(-1) ?? 0
}
