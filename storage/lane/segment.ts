/**
 * The object that carries acknowledged batches (DESIGN §4; P1), and the fence that ends a lane (P3). Format version 1; integers are
 * big-endian and signed unless a `u` says otherwise; a UUID is its 16 bytes.
 *
 *     header, 96 bytes
 *        0   8  magic            "BayouWAL"
 *        8  u2  format version   1
 *       10  u1  kind             1 segment, 2 fence, 3 wall
 *       11  u1  flags            0
 *       12   4  broker id        the lane: whose …
 *       16   8  incarnation      … and which life of it
 *       24   8  seq              number of the segment in its lane
 *       32  16  commit id        random; tells whose write an object is after a lost reply
 *       48   8  fenced by        incarnation of the successor in a fence or wall, -1 in a segment
 *       56   8  end seq          in a fence: the lane consists of the segments below it; in a wall its own seq; in a segment -1
 *       64   8  created at       wall clock of the writer, milliseconds since the epoch; for people only
 *       72  u4  head bytes       header + index: the first batch starts here
 *       76  u4  object bytes     the whole object
 *       80  u4  topics           T
 *       84  u4  batches          B
 *       88  u4  controls         C
 *       92  u4  control bytes    all control rows together
 *     index
 *           16 * T  topic table: topic ids, in the order of their first use by batches, then by control rows
 *           64 * B  one row per batch, in the order of appending
 *                     0  u4  topic (index into the table)     4   4  partition
 *                     8   8  base offset                     16   8  last offset
 *                    24   8  max timestamp                   32   8  producer id
 *                    40   2  producer epoch                  42   2  attributes of the batch header
 *                    44   4  base sequence                   48   4  leader epoch
 *                    52   4  record count                    56  u4  CRC-32C of the batch, as in its header
 *                    60  u4  length: batches lie one after the other, so the lengths before it give the position
 *           C control rows, in the order of appending
 *                     0  u4  type                             4  u4  topic (index into the table)
 *                     8   4  partition                       12  u4  number of batches appended before it in this segment
 *                    16  u4  payload length                  20      payload
 *       last 4  u4  CRC-32C of everything before it
 *     batches, verbatim. They are covered by their own CRC, and what that leaves out (base offset, length, leader epoch) by their row.
 *
 * Header and index come first and carry their own checksum, so that recovery reads one range per segment and no batch.
 * A fence has no index rows: 100 bytes. A wall is what a successor puts in the way of an owner that is faster than it (fence.ts): one
 * topic, the zero UUID, and no rows: 116 bytes. A segment has at least one batch or control row, so it is longer than either: a listing
 * tells the three apart by size.
 */
import { crc32c } from '../../protocol/records/crc32c.ts'
import {
  readInt16, readInt32, readInt64, readUint32, writeInt16, writeInt32, writeInt64,
} from '../../protocol/records/integers.ts'
import type { Incarnation, LogVersion, Uuid } from '../types.ts'
import {
  segmentControlBytesMax, segmentControlsMax, segmentHeadBytesMax, segmentObjectBytesMax, segmentRowsMax,
} from './limits.ts'
import type { LaneControl, LaneId, LaneRow } from './types.ts'

export const segmentHeaderBytes = 96
export const segmentRowBytes = 64
export const segmentControlRowBytes = 20
const topicBytes = 16
const checksumBytes = 4
/** Size of every fence object, and of nothing else. */
export const fenceBytes = segmentHeaderBytes + checksumBytes
/** Size of every wall object, and of nothing else. */
export const wallBytes = fenceBytes + topicBytes

const magic = Buffer.from('BayouWAL', 'latin1')
const formatVersion = 1
const kindSegment = 1
const kindFence = 2
const kindWall = 3
const none = -1

/** The object is not what was written: damaged, foreign, cut short, or of a format that this version does not know. */
export class SegmentCorruptError extends Error {
  constructor(reason: string, options?: { cause?: unknown }) {
    super(`lane segment: ${reason}`, options)
    this.name = 'SegmentCorruptError'
  }
}

/** A control row and its place among the batches of its segment. */
export interface PlacedControl extends LaneControl {
  /** Batches of this segment that were appended before it. */
  readonly rowsBefore: number
}

/** A row and where its batch lies: bytes [start, end) of the object. */
export interface SegmentRow extends LaneRow {
  readonly start: number
  readonly end: number
}

export interface SegmentHead {
  readonly kind: 'segment'
  readonly lane: LaneId
  readonly seq: LogVersion
  readonly commitId: Uuid
  readonly createdAtMs: number
  readonly objectBytes: number
  readonly rows: readonly SegmentRow[]
  readonly controls: readonly PlacedControl[]
}

/** What a successor puts into a lane. */
export interface GuardHead {
  readonly kind: 'fence' | 'wall'
  readonly lane: LaneId
  readonly seq: LogVersion
  readonly commitId: Uuid
  readonly createdAtMs: number
  /** Incarnation of the successor. */
  readonly fencedBy: Incarnation
  /** The lane consists of the segments below it: `seq`, unless the fence stands behind a wall. */
  readonly endSeq: LogVersion
}

export type SegmentIndex = SegmentHead | GuardHead

export interface SegmentContent {
  readonly lane: LaneId
  readonly seq: LogVersion
  readonly commitId: Uuid
  readonly createdAtMs: number
  readonly entries: readonly (LaneRow & { readonly bytes: Uint8Array })[]
  /** Ordered by `rowsBefore`. */
  readonly controls: readonly PlacedControl[]
}

export interface EncodedSegment {
  /** Header with index, then the batches themselves (not copies). */
  readonly chunks: readonly Uint8Array[]
  /** One more than there are batches: batch i is bytes [bounds[i], bounds[i + 1]) of the object. */
  readonly bounds: Uint32Array
  readonly objectBytes: number
}

/** Bytes that a control row takes in the index. */
export function controlRowBytes(control: LaneControl): number {
  return segmentControlRowBytes + control.payload.byteLength
}

/** Builds the object without copying a batch. The caller keeps within limits.ts; beyond them it throws RangeError. */
export function encodeSegment(content: SegmentContent): EncodedSegment {
  const { entries, controls } = content
  const topics = new Map<Uuid, number>()
  const topicOf = new Uint32Array(entries.length)
  for (let i = 0; i < entries.length; i++) {
    const { topicId } = entries[i]!
    let topic = topics.get(topicId)
    if (topic === undefined) topics.set(topicId, (topic = topics.size))
    topicOf[i] = topic
  }
  let controlBytes = 0
  for (const control of controls) {
    if (!topics.has(control.topicId)) topics.set(control.topicId, topics.size)
    controlBytes += controlRowBytes(control)
  }
  const headBytes = headBytesOf(topics.size, entries.length, controlBytes)
  const head = Buffer.allocUnsafeSlow(headBytes)
  const chunks: Uint8Array[] = [head]
  const bounds = new Uint32Array(entries.length + 1)

  let at = segmentHeaderBytes
  for (const topicId of topics.keys()) at = writeUuid(head, at, topicId)
  let position = headBytes
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    bounds[i] = position
    position += entry.bytes.byteLength
    writeRow(head, at, entry, topicOf[i]!)
    at += segmentRowBytes
    chunks.push(entry.bytes)
  }
  if (position > segmentObjectBytesMax) throw new RangeError(`a segment of ${position} bytes`)
  bounds[entries.length] = position
  for (const control of controls) at = writeControl(head, at, control, topics.get(control.topicId)!)

  writeHeader(head, {
    ...content, kind: kindSegment, fencedBy: none, endSeq: none, headBytes, objectBytes: position,
    topics: topics.size, rows: entries.length, controls: controls.length, controlBytes,
  })
  sealHead(head)
  return { chunks, bounds, objectBytes: position }
}

/** A fence or wall as an object. */
export function encodeGuard(guard: GuardHead): Uint8Array {
  const topics = guard.kind === 'wall' ? 1 : 0
  const bytes = fenceBytes + topics * topicBytes
  const head = Buffer.alloc(bytes)
  const kind = guard.kind === 'wall' ? kindWall : kindFence
  writeHeader(head, { ...guard, kind, headBytes: bytes, objectBytes: bytes, topics, rows: 0, controls: 0, controlBytes: 0 })
  sealHead(head)
  return head
}

/** The commit id of an object of which at least the header is given; null where these bytes are no segment or fence. */
export function commitIdOf(bytes: Uint8Array): Uuid | null {
  return bytes.byteLength < segmentHeaderBytes || !hasMagic(bytes) ? null : readUuid(bytes, 32)
}

/**
 * How many bytes from the start of the object `readSegmentIndex` needs. Takes at least the first 96 bytes; throws SegmentCorruptError
 * where they are no header. The checksum has not been looked at, so the answer is bounded (16 MiB) but not yet to be believed.
 */
export function segmentHeadBytes(bytes: Uint8Array): number {
  return readHeader(bytes).headBytes
}

/**
 * Header and index from the first bytes of an object; it may be given whole. With `expected`, what lies at that place of that lane
 * must say so itself. Throws SegmentCorruptError for everything that an encoder of this format cannot have written.
 */
export function readSegmentIndex(bytes: Uint8Array, expected?: { readonly lane: LaneId; readonly seq: LogVersion }): SegmentIndex {
  const header = readHeader(bytes)
  const { headBytes, lane, seq, commitId, createdAtMs, fencedBy, endSeq } = header
  if (bytes.byteLength < headBytes) throw new SegmentCorruptError(`cut short: ${bytes.byteLength} of ${headBytes} bytes of the index`)
  if (crc32c(bytes.subarray(0, headBytes - checksumBytes)) !== readUint32(bytes, headBytes - checksumBytes)) {
    throw new SegmentCorruptError('checksum of the index is wrong')
  }
  if (expected !== undefined) checkPlace(header, expected)
  if (header.kind !== kindSegment) {
    return { kind: header.kind === kindFence ? 'fence' : 'wall', lane, seq, commitId, createdAtMs, fencedBy, endSeq }
  }

  const topics: Uuid[] = []
  let at = segmentHeaderBytes
  for (let i = 0; i < header.topics; i++, at += topicBytes) topics.push(readUuid(bytes, at))
  const rows: SegmentRow[] = []
  let position = headBytes
  for (let i = 0; i < header.rows; i++, at += segmentRowBytes) {
    const row = readRow(bytes, at, topics, position)
    position = row.end
    rows.push(row)
  }
  if (position !== header.objectBytes) throw new SegmentCorruptError(`batches end at ${position}, the object at ${header.objectBytes}`)
  const controls = readControls(bytes, at, header, topics)
  return { kind: 'segment', lane, seq, commitId, createdAtMs, objectBytes: header.objectBytes, rows, controls }
}

interface Header {
  readonly kind: number
  readonly lane: LaneId
  readonly seq: LogVersion
  readonly commitId: Uuid
  readonly fencedBy: Incarnation
  readonly endSeq: LogVersion
  readonly createdAtMs: number
  readonly headBytes: number
  readonly objectBytes: number
  readonly topics: number
  readonly rows: number
  readonly controls: number
  readonly controlBytes: number
}

function headBytesOf(topics: number, rows: number, controlBytes: number): number {
  return segmentHeaderBytes + topics * topicBytes + rows * segmentRowBytes + controlBytes + checksumBytes
}

function writeHeader(head: Buffer, header: Header): void {
  const { rows, controls, controlBytes, headBytes } = header
  if (rows > segmentRowsMax || controls > segmentControlsMax || controlBytes > segmentControlBytesMax || headBytes > segmentHeadBytesMax) {
    throw new RangeError(`a segment index of ${rows} batches, ${controls} controls, ${headBytes} bytes`)
  }
  if (header.kind === kindSegment && rows + controls === 0) throw new RangeError('a segment with nothing in it')
  head.set(magic, 0)
  writeInt16(head, 8, formatVersion)
  head[10] = header.kind
  head[11] = 0
  writeInt32(head, 12, header.lane.brokerId)
  writeInt64(head, 16, header.lane.incarnation)
  writeInt64(head, 24, header.seq)
  writeUuid(head, 32, header.commitId)
  writeInt64(head, 48, header.fencedBy)
  writeInt64(head, 56, header.endSeq)
  writeInt64(head, 64, header.createdAtMs)
  writeInt32(head, 72, headBytes)
  writeInt32(head, 76, header.objectBytes)
  writeInt32(head, 80, header.topics)
  writeInt32(head, 84, rows)
  writeInt32(head, 88, controls)
  writeInt32(head, 92, controlBytes)
}

function sealHead(head: Buffer): void {
  const end = head.byteLength - checksumBytes
  writeInt32(head, end, crc32c(head.subarray(0, end)))
}

function readHeader(bytes: Uint8Array): Header {
  if (bytes.byteLength < segmentHeaderBytes) throw new SegmentCorruptError(`${bytes.byteLength} bytes are too few for a header`)
  if (!hasMagic(bytes)) throw new SegmentCorruptError('no magic')
  const version = readInt16(bytes, 8) & 0xffff
  if (version !== formatVersion) throw new SegmentCorruptError(`format version ${version}; known is ${formatVersion}`)
  const kind = bytes[10]!
  if (kind < kindSegment || kind > kindWall || bytes[11] !== 0) {
    throw new SegmentCorruptError(`kind ${kind} with flags ${bytes[11]}`)
  }
  const header: Header = {
    kind,
    lane: { brokerId: readInt32(bytes, 12), incarnation: readSafe(bytes, 16, 'incarnation') },
    seq: readSafe(bytes, 24, 'seq'),
    commitId: readUuid(bytes, 32),
    fencedBy: readSafe(bytes, 48, 'fenced by'),
    endSeq: readSafe(bytes, 56, 'end seq'),
    createdAtMs: readSafe(bytes, 64, 'created at'),
    headBytes: readUint32(bytes, 72),
    objectBytes: readUint32(bytes, 76),
    topics: readUint32(bytes, 80),
    rows: readUint32(bytes, 84),
    controls: readUint32(bytes, 88),
    controlBytes: readUint32(bytes, 92),
  }
  checkHeader(header)
  return header
}

/** The sizes must be possible before anything is allocated or read because of them. */
function checkHeader(header: Header): void {
  const { kind, topics, rows, controls, controlBytes, headBytes, objectBytes } = header
  const possible =
    rows <= segmentRowsMax && controls <= segmentControlsMax && controlBytes <= segmentControlBytesMax &&
    controlBytes >= controls * segmentControlRowBytes && (controls > 0 || controlBytes === 0) &&
    topics <= (kind === kindWall ? 1 : rows + controls) && headBytes === headBytesOf(topics, rows, controlBytes) &&
    (kind === kindSegment
      ? rows + controls > 0 && objectBytes >= headBytes && headBytes <= segmentHeadBytesMax
      : rows + controls + controlBytes === 0 && objectBytes === (kind === kindFence ? fenceBytes : wallBytes) && headBytes === objectBytes)
  if (!possible) {
    throw new SegmentCorruptError(
      `impossible sizes: ${topics} topics, ${rows} batches, ${controls} controls (${controlBytes} bytes), head ${headBytes}, object ${objectBytes}`,
    )
  }
}

function checkPlace(header: Header, expected: { readonly lane: LaneId; readonly seq: LogVersion }): void {
  const { brokerId, incarnation } = header.lane
  if (brokerId === expected.lane.brokerId && incarnation === expected.lane.incarnation && header.seq === expected.seq) return
  throw new SegmentCorruptError(
    `it is number ${header.seq} of lane ${brokerId}/${incarnation}, ` +
      `not ${expected.seq} of ${expected.lane.brokerId}/${expected.lane.incarnation}`,
  )
}

function writeRow(head: Buffer, at: number, entry: LaneRow & { readonly bytes: Uint8Array }, topic: number): void {
  writeInt32(head, at, topic)
  writeInt32(head, at + 4, entry.partition)
  writeInt64(head, at + 8, entry.baseOffset)
  writeInt64(head, at + 16, entry.lastOffset)
  writeInt64(head, at + 24, entry.maxTimestamp)
  writeInt64(head, at + 32, entry.producerId)
  writeInt16(head, at + 40, entry.producerEpoch)
  writeInt16(head, at + 42, entry.attributes)
  writeInt32(head, at + 44, entry.baseSequence)
  writeInt32(head, at + 48, entry.leaderEpoch)
  writeInt32(head, at + 52, entry.recordCount)
  writeInt32(head, at + 56, entry.crc)
  writeInt32(head, at + 60, entry.bytes.byteLength)
}

function readRow(bytes: Uint8Array, at: number, topics: readonly Uuid[], start: number): SegmentRow {
  const topicId = topics[readUint32(bytes, at)]
  const baseOffset = readSafe(bytes, at + 8, 'base offset')
  const lastOffset = readSafe(bytes, at + 16, 'last offset')
  if (topicId === undefined || baseOffset < 0 || lastOffset < baseOffset) throw new SegmentCorruptError('impossible row of the index')
  return {
    topicId,
    partition: readInt32(bytes, at + 4),
    baseOffset,
    lastOffset,
    maxTimestamp: readInt64(bytes, at + 24),
    producerId: readInt64(bytes, at + 32),
    producerEpoch: readInt16(bytes, at + 40),
    attributes: readInt16(bytes, at + 42),
    baseSequence: readInt32(bytes, at + 44),
    leaderEpoch: readInt32(bytes, at + 48),
    recordCount: readInt32(bytes, at + 52),
    crc: readUint32(bytes, at + 56),
    start,
    end: start + readUint32(bytes, at + 60),
  }
}

function writeControl(head: Buffer, at: number, control: PlacedControl, topic: number): number {
  writeInt32(head, at, control.type)
  writeInt32(head, at + 4, topic)
  writeInt32(head, at + 8, control.partition)
  writeInt32(head, at + 12, control.rowsBefore)
  writeInt32(head, at + 16, control.payload.byteLength)
  head.set(control.payload, at + segmentControlRowBytes)
  return at + controlRowBytes(control)
}

function readControls(bytes: Uint8Array, from: number, header: Header, topics: readonly Uuid[]): readonly PlacedControl[] {
  const controls: PlacedControl[] = []
  const limit = from + header.controlBytes
  let at = from
  let before = 0
  for (let i = 0; i < header.controls; i++) {
    if (limit - at < segmentControlRowBytes) throw new SegmentCorruptError('control rows are longer than their space')
    const topicId = topics[readUint32(bytes, at + 4)]
    const rowsBefore = readUint32(bytes, at + 12)
    const end = at + segmentControlRowBytes + readUint32(bytes, at + 16)
    if (topicId === undefined || rowsBefore < before || rowsBefore > header.rows || end > limit) {
      throw new SegmentCorruptError('impossible control row')
    }
    // A copy: the few bytes of a payload must not keep the whole object in memory.
    const payload = new Uint8Array(bytes.subarray(at + segmentControlRowBytes, end))
    controls.push({ type: readUint32(bytes, at), topicId, partition: readInt32(bytes, at + 8), rowsBefore, payload })
    before = rowsBefore
    at = end
  }
  if (at !== limit) throw new SegmentCorruptError('control rows are shorter than their space')
  return controls
}

function hasMagic(bytes: Uint8Array): boolean {
  for (let i = 0; i < magic.byteLength; i++) if (bytes[i] !== magic[i]) return false
  return true
}

function readSafe(bytes: Uint8Array, at: number, what: string): number {
  const value = readInt64(bytes, at)
  if (!Number.isSafeInteger(value)) throw new SegmentCorruptError(`${what} is beyond 2^53`)
  return value
}

function writeUuid(head: Buffer, at: number, uuid: Uuid): number {
  const written = uuid.length === 22 ? head.write(uuid, at, topicBytes, 'base64url') : 0
  if (written !== topicBytes) throw new RangeError(`not a UUID of 22 characters: ${JSON.stringify(uuid)}`)
  return at + topicBytes
}

function readUuid(bytes: Uint8Array, at: number): Uuid {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, topicBytes).toString('base64url')
}
