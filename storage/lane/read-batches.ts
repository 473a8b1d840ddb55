/** Batches out of lane objects by ranged GETs: the read path between the memory cache and the table (DESIGN §2). */
import { baseOffset, batchSize, BATCH_HEADER_SIZE, computeCrc, crc, magic, MAGIC_V2 } from '../../protocol/records/batch.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { laneSegmentKey } from '../paths.ts'
import type { LogVersion, Offset } from '../types.ts'
import { SegmentCorruptError } from './segment.ts'
import type { LaneId, LaneRef } from './types.ts'

const noBytes = new Uint8Array(0)

/** Where a batch lies, and what it must be. */
export interface BatchRef extends LaneRef {
  /** Compared with the batch where given: its own CRC does not cover the base offset. */
  readonly baseOffset?: Offset
}

/** The object is gone: its batches were flushed and it was collected, so they are in the table by now (or were never committed). */
export class LaneObjectMissingError extends Error {
  readonly key: string
  constructor(key: string) {
    super(`${key} is not there any more`)
    this.name = 'LaneObjectMissingError'
    this.key = key
  }
}

export interface ReadBatchesOptions {
  /** GETs at once; default 8. */
  readonly concurrency?: number
  /** Ranges of one object that are no further apart than this share a GET; default 64 KiB. */
  readonly gapBytesMax?: number
  /** A GET asks for no more than this, unless one batch is larger; default 8 MiB. */
  readonly spanBytesMax?: number
}

/**
 * The batches, in the order of `refs`. Each is checked: length, magic, CRC-32C, and base offset where the ref has it. Batches may share one
 * buffer, of which at least half is theirs.
 *
 * Throws LaneObjectMissingError, SegmentCorruptError and StoreErrors; never gives a part of what was asked for.
 */
export async function readBatches(
  store: ObjectStore, refs: readonly BatchRef[], options: ReadBatchesOptions = {},
): Promise<Uint8Array[]> {
  const { concurrency = 8, gapBytesMax = 64 * 1024, spanBytesMax = 8 * 1024 * 1024 } = options
  const spans = planSpans(refs, gapBytesMax, spanBytesMax)
  const batches = Array.from({ length: refs.length }, () => noBytes)
  let next = 0
  const work = async (): Promise<void> => {
    while (next < spans.length) await readSpan(store, refs, spans[next++]!, batches)
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, spans.length) }, work))
  return batches
}

/** One GET: bytes [start, end) of an object, and the positions in `refs` that it serves. */
interface Span {
  readonly key: string
  start: number
  end: number
  batchBytes: number
  readonly indexes: number[]
}

/** Which ranges share a GET. Refs usually come in the order of the log; where they do not, neighbours are still found. */
function planSpans(refs: readonly BatchRef[], gapBytesMax: number, spanBytesMax: number): Span[] {
  const byLane = new Map<LaneId, Map<LogVersion, Span>>()
  for (const [i, { lane, seq, start, end }] of refs.entries()) {
    let bySeq = byLane.get(lane)
    if (bySeq === undefined) byLane.set(lane, (bySeq = new Map<LogVersion, Span>()))
    const whole = bySeq.get(seq)
    if (whole === undefined) {
      bySeq.set(seq, { key: laneSegmentKey(lane.brokerId, lane.incarnation, seq), start, end, batchBytes: end - start, indexes: [i] })
      continue
    }
    whole.start = Math.min(whole.start, start)
    whole.end = Math.max(whole.end, end)
    whole.batchBytes += end - start
    whole.indexes.push(i)
  }
  const spans: Span[] = []
  for (const bySeq of byLane.values()) {
    for (const whole of bySeq.values()) {
      if (whole.end - whole.start <= Math.min(gapBytesMax, spanBytesMax)) spans.push(whole)
      else splitSpan(whole, refs, gapBytesMax, spanBytesMax, spans)
    }
  }
  return spans
}

/** Where a span has gaps that are too large, or is too large as a whole. */
function splitSpan({ key, indexes }: Span, refs: readonly BatchRef[], gapBytesMax: number, spanBytesMax: number, spans: Span[]): void {
  let span: Span | null = null
  for (const i of indexes.toSorted((a, b) => refs[a]!.start - refs[b]!.start)) {
    const { start, end } = refs[i]!
    if (span === null || start - span.end > gapBytesMax || end - span.start > spanBytesMax) {
      span = { key, start, end, batchBytes: 0, indexes: [] }
      spans.push(span)
    }
    span.end = Math.max(span.end, end)
    span.batchBytes += end - start
    span.indexes.push(i)
  }
}

async function readSpan(store: ObjectStore, refs: readonly BatchRef[], span: Span, batches: Uint8Array[]): Promise<void> {
  const bytes = await store.getRange(span.key, span.start, span.end)
  if (bytes === null) throw new LaneObjectMissingError(span.key)
  if (bytes.byteLength !== span.end - span.start) {
    throw new SegmentCorruptError(`${span.key}: bytes [${span.start}, ${span.end}) are only ${bytes.byteLength}`)
  }
  const isSparse = span.batchBytes * 2 < bytes.byteLength
  for (const i of span.indexes) {
    const ref = refs[i]!
    const batch = bytes.subarray(ref.start - span.start, ref.end - span.start)
    checkBatch(batch, ref, span.key)
    batches[i] = isSparse ? new Uint8Array(batch) : batch
  }
}

function checkBatch(batch: Uint8Array, ref: BatchRef, key: string): void {
  const isRight =
    batch.byteLength >= BATCH_HEADER_SIZE && batchSize(batch, 0) === batch.byteLength && magic(batch, 0) === MAGIC_V2 &&
    computeCrc(batch, 0) === crc(batch, 0) && (ref.baseOffset === undefined || ref.baseOffset === baseOffset(batch, 0))
  if (!isRight) throw new SegmentCorruptError(`${key}: bytes [${ref.start}, ${ref.end}) are not the batch that was written`)
}
