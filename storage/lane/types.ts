/**
 * Vocabulary of the write-ahead log (DESIGN §4). A lane belongs to one incarnation of a broker: segments 0, 1, 2, … each created once.
 * Segment n is committed when 0..n are durable; a fence ends a lane for ever.
 */
import type { Incarnation, LogVersion, Offset, Uuid } from '../types.ts'

export interface LaneId {
  readonly brokerId: number
  readonly incarnation: Incarnation
}

/** Where the bytes of one batch lie in a segment object. */
export interface LaneRef {
  readonly lane: LaneId
  readonly seq: LogVersion
  /** Bytes [start, end) of the segment object. */
  readonly start: number
  readonly end: number
}

/** One row of a segment's index: what recovery and ranged reads need to know of a batch without touching it. */
export interface LaneRow {
  readonly topicId: Uuid
  readonly partition: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly leaderEpoch: number
  /** Attributes of the batch header: codec, timestamp type, transactional, control. */
  readonly attributes: number
  readonly recordCount: number
  /** CRC-32C of the batch as an unsigned integer. */
  readonly crc: number
}

/** A batch on its way into the lane. The object is the caller's own; the lane calls exactly one of its two methods, in append order. */
export interface LaneEntry extends LaneRow {
  /** The batch verbatim, offsets and leader epoch already patched; must not change any more. */
  readonly bytes: Uint8Array
  /** The segment that holds it, and all before it, are on the store (P1). */
  durable(lane: LaneId, seq: LogVersion, start: number, end: number): void
  /** It will never be durable in this lane: a successor fenced it, or the lane was closed. */
  failed(reason: LaneFailure): void
}

export type LaneFailure = 'fenced' | 'closed'

/** State that must be durable in order with the batches but is no batch (e.g. transaction markers of the future, ingested foreign files). */
export interface LaneControl {
  readonly type: number
  readonly topicId: Uuid
  readonly partition: number
  readonly payload: Uint8Array
}

/** What becomes of a control row; exactly one of the two is called, in append order with the batches around it. */
export interface LaneControlCallbacks {
  durable(lane: LaneId, seq: LogVersion): void
  failed(reason: LaneFailure): void
}

export interface LaneOptions {
  /** How long an open segment waits for more when another PUT is in flight, milliseconds. With nothing in flight it is written at once. */
  readonly lingerMs: number
  /** PUTs at once. */
  readonly inflightMax: number
  /** A segment is sealed when its batches reach this size. */
  readonly segmentBytesMax: number
  /** Bytes accepted and not yet durable; beyond it `hasRoom` is false and producers wait. */
  readonly bufferBytesMax: number
}

/** Counters for metrics; a no-op where nobody looks. */
export interface LaneObserver {
  segmentWritten(bytes: number, batches: number, millis: number): void
  segmentRetried(cause: unknown): void
}

/** Where the lane says what an operator should know; already rate-limited. */
export type LaneLog = (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void
