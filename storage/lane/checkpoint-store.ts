/**
 * Recovery state of a lane: an opaque body that says "everything below seq is applied" (DESIGN §4). Immutable objects, created once;
 * a damaged one is passed over in favour of the one before it. Format version 1, big-endian as in segment.ts:
 *
 *        0   8  magic            "BayouCKP"
 *        8  u2  format version   1
 *       10  u2  reserved         0
 *       12   4  broker id
 *       16   8  incarnation
 *       24   8  seq              the first segment that is not in it
 *       32  16  commit id
 *       48   8  created at       milliseconds since the epoch; for people only
 *       56   8  body length
 *       64      body
 *   last 4  u4  CRC-32C of everything before it
 *
 * A collector may delete only what is below the *older* of the two checkpoints that are kept; else falling back would find segments gone.
 */
import { crc32c } from '../../protocol/records/crc32c.ts'
import { readInt16, readInt32, readInt64, readUint32, writeInt16, writeInt32, writeInt64 } from '../../protocol/records/integers.ts'
import type { Env } from '../env.ts'
import { createOnce } from '../log/create-once.ts'
import type { CreateOnceOptions } from '../log/create-once.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'
import { laneCheckpointKey, laneCheckpointPrefix } from '../paths.ts'
import type { LogVersion } from '../types.ts'
import { checkpointBytesMax } from './limits.ts'
import { seqOf } from './listing.ts'
import type { LaneId } from './types.ts'

/** Checkpoints that `pruneCheckpoints` leaves. */
export const checkpointsKept = 2

const magic = Buffer.from('BayouCKP', 'latin1')
const formatVersion = 1
const headerBytes = 64
const commitIdAt = 32
const commitIdBytes = 16
const checksumBytes = 4
const page = 1000

export interface LaneCheckpoint {
  /** Segments from here on are not in it. */
  readonly seq: LogVersion
  readonly body: Uint8Array
}

export type WriteCheckpointOutcome =
  | 'written'
  /** There is one for this seq: written by this process before, and never replaced. The next one needs a higher seq. */
  | 'exists'
  | 'aborted'

/**
 * Makes the checkpoint durable. `seq` must be committed (`LaneWriter.committedSeq`) and the body must hold nothing that is not: a fence
 * may be found at `seq`, and then nothing later ever happened. Throws RangeError above 1 GiB, and StoreErrors that are not retriable.
 */
export async function writeCheckpoint(
  store: ObjectStore,
  env: Pick<Env, 'clock' | 'random' | 'uuid'>,
  lane: LaneId,
  seq: LogVersion,
  body: readonly Uint8Array[],
  options: CreateOnceOptions = {},
): Promise<WriteCheckpointOutcome> {
  const commitId = Buffer.from(env.uuid(), 'base64url')
  const chunks = encodeCheckpoint(lane, seq, commitId, env.clock.now(), body)
  const isMine = (bytes: Uint8Array): boolean => commitId.equals(bytes.subarray(commitIdAt, commitIdAt + commitIdBytes))
  const key = laneCheckpointKey(lane.brokerId, lane.incarnation, seq)
  const outcome = await createOnce(store, env, key, chunks, isMine, { ...options, winnerBytesMax: headerBytes })
  return outcome.kind === 'created' ? 'written' : outcome.kind === 'taken' ? 'exists' : 'aborted'
}

/**
 * The newest checkpoint that is whole; null when the lane has none. What is damaged is told to `onCorrupt` and skipped. Whoever recovers a
 * lane calls it after `fenceLane`, never before: the owner could write a newer one and delete what the older one needs.
 *
 * Throws StoreError `invalid` where all are damaged, since a lane that has one may hold acknowledged records, which to pass over would lose
 * them; and where one was written by a newer release.
 */
export async function newestCheckpoint(
  store: ObjectStore,
  lane: LaneId,
  onCorrupt?: (seq: LogVersion, reason: string) => void,
): Promise<LaneCheckpoint | null> {
  let damaged: string | null = null
  for (const seq of (await checkpointSeqs(store, lane)).toReversed()) {
    const key = laneCheckpointKey(lane.brokerId, lane.incarnation, seq)
    const bytes = await store.get(key)
    if (bytes === null) continue
    const result = decodeCheckpoint(bytes, lane, seq)
    if (typeof result !== 'string') return { seq, body: result }
    if (isOfNewerFormat(bytes)) throw new StoreError('invalid', `${key} has ${result}: use a newer release`)
    damaged ??= `${key} is damaged (${result}), and there is no other checkpoint of its lane: restore it from a copy`
    onCorrupt?.(seq, result)
  }
  if (damaged !== null) throw new StoreError('invalid', damaged)
  return null
}

/** Seqs of all checkpoint objects of the lane, whole or not, ascending. */
export async function checkpointSeqs(store: ObjectStore, lane: LaneId): Promise<LogVersion[]> {
  const prefix = laneCheckpointPrefix(lane.brokerId, lane.incarnation)
  const seqs: LogVersion[] = []
  let after: string | null = null
  for (;;) {
    const objects = await store.list(prefix, { limit: page, ...(after !== null && { after }) })
    for (const { key } of objects) {
      const seq = seqOf(key.slice(prefix.length))
      if (seq !== null) seqs.push(seq)
      after = key
    }
    if (objects.length < page) return seqs
  }
}

/**
 * Deletes all but the newest `keep` checkpoints; gives the seq of the oldest one left (null when none is), which is the bound below which
 * the collector may delete: recovery can then fall back to any checkpoint that is there.
 */
export async function pruneCheckpoints(store: ObjectStore, lane: LaneId, keep = checkpointsKept): Promise<LogVersion | null> {
  const seqs = await checkpointSeqs(store, lane)
  const old = seqs.slice(0, Math.max(0, seqs.length - keep))
  for (let i = 0; i < old.length; i += page) {
    await store.delete(old.slice(i, i + page).map((seq) => laneCheckpointKey(lane.brokerId, lane.incarnation, seq)))
  }
  return seqs[old.length] ?? null
}

function encodeCheckpoint(
  lane: LaneId, seq: LogVersion, commitId: Uint8Array, createdAtMs: number, body: readonly Uint8Array[],
): readonly Uint8Array[] {
  let bodyBytes = 0
  for (const chunk of body) bodyBytes += chunk.byteLength
  if (bodyBytes > checkpointBytesMax) throw new RangeError(`a checkpoint of ${bodyBytes} bytes`)
  const header = Buffer.alloc(headerBytes)
  header.set(magic, 0)
  writeInt16(header, 8, formatVersion)
  writeInt32(header, 12, lane.brokerId)
  writeInt64(header, 16, lane.incarnation)
  writeInt64(header, 24, seq)
  header.set(commitId, commitIdAt)
  writeInt64(header, 48, createdAtMs)
  writeInt64(header, 56, bodyBytes)
  let sum = crc32c(header)
  for (const chunk of body) sum = crc32c(chunk, sum)
  const trailer = Buffer.alloc(checksumBytes)
  writeInt32(trailer, 0, sum)
  return [header, ...body, trailer]
}

/** Whole, but not of ours: magic and checksum stay where they are in later formats. */
function isOfNewerFormat(bytes: Uint8Array): boolean {
  const end = bytes.byteLength - checksumBytes
  return end >= headerBytes && readInt16(bytes, 8) > formatVersion && crc32c(bytes.subarray(0, end)) === readUint32(bytes, end)
}

/** The body, or why there is none. */
function decodeCheckpoint(bytes: Uint8Array, lane: LaneId, seq: LogVersion): Uint8Array | string {
  const end = bytes.byteLength - checksumBytes
  if (end < headerBytes) return `${bytes.byteLength} bytes are too few`
  if (!magic.equals(bytes.subarray(0, magic.byteLength))) return 'no magic'
  if (readInt16(bytes, 8) !== formatVersion) return `format version ${readInt16(bytes, 8)}; known is ${formatVersion}`
  if (readInt64(bytes, 56) !== end - headerBytes) return `${end - headerBytes} bytes of body instead of ${readInt64(bytes, 56)}`
  if (crc32c(bytes.subarray(0, end)) !== readUint32(bytes, end)) return 'wrong checksum'
  if (readInt32(bytes, 12) !== lane.brokerId || readInt64(bytes, 16) !== lane.incarnation || readInt64(bytes, 24) !== seq) {
    return 'it belongs elsewhere'
  }
  return bytes.subarray(headerBytes, end)
}
