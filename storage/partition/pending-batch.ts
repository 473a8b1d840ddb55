/** A batch on its way into the lane, from its append until it is durable. One object per batch, never per record. */
import type { LaneEntry, LaneFailure, LaneId, LaneRow } from '../lane/types.ts'
import type { LogVersion, Offset, Uuid } from '../types.ts'

export interface BatchOwner {
  /** Its segment is durable, in which it begins at byte `start`. */
  batchDurable(batch: PendingBatch, lane: LaneId, seq: LogVersion, start: number): void
  batchFailed(batch: PendingBatch, reason: LaneFailure): void
}

export class PendingBatch implements LaneEntry {
  /** Among the batches of its partition. */
  readonly number: number
  readonly bytes: Uint8Array
  readonly topicId: Uuid
  readonly partition: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly leaderEpoch: number
  readonly attributes: number
  readonly recordCount: number
  readonly crc: number
  readonly #owner: BatchOwner

  constructor(owner: BatchOwner, number: number, row: LaneRow, bytes: Uint8Array) {
    this.#owner = owner
    this.number = number
    this.bytes = bytes
    this.topicId = row.topicId
    this.partition = row.partition
    this.baseOffset = row.baseOffset
    this.lastOffset = row.lastOffset
    this.maxTimestamp = row.maxTimestamp
    this.producerId = row.producerId
    this.producerEpoch = row.producerEpoch
    this.baseSequence = row.baseSequence
    this.leaderEpoch = row.leaderEpoch
    this.attributes = row.attributes
    this.recordCount = row.recordCount
    this.crc = row.crc
  }

  durable(lane: LaneId, seq: LogVersion, start: number): void {
    this.#owner.batchDurable(this, lane, seq, start)
  }

  failed(reason: LaneFailure): void {
    this.#owner.batchFailed(this, reason)
  }
}
