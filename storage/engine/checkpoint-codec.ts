/**
 * Bytes of the recovery state (docs/FORMATS.md, "Lane checkpoint"): one line of JSON for the whole, then one line per partition. Rows of
 * unflushed batches are arrays, their lanes numbers into the header's table, so that a large backlog stays compact. Lines of partitions
 * that did not change since the last checkpoint are reused as bytes.
 */
import type { PartitionCheckpoint, UnflushedBatch } from '../partition/log.ts'
import type { LaneId } from '../lane/types.ts'
import type { ProducerSnapshot } from '../partition/producer-state.ts'
import type { EpochStart } from '../partition/leader-epochs.ts'
import type { TransactionsSnapshot } from '../partition/transactions.ts'

const FORMAT = 2
/** Without transactions. */
const FORMAT_BEFORE = 1
const ROWS_PER_PIECE = 1000

type UnflushedRow = readonly [
  baseOffset: number,
  lastOffset: number,
  maxTimestamp: number,
  producerId: number,
  producerEpoch: number,
  baseSequence: number,
  leaderEpoch: number,
  attributes: number,
  recordCount: number,
  crc: number,
  brokerId: number,
  incarnation: number,
  seq: number,
  start: number,
  end: number,
]

interface PartitionLine {
  readonly t: string
  readonly p: number
  readonly start: number
  readonly next: number
  readonly flushed: number
  readonly epochs: readonly EpochStart[]
  readonly producers: readonly ProducerSnapshot[]
  /** Absent where there are none. */
  readonly txns?: TransactionsSnapshot
  readonly batches: readonly UnflushedRow[]
}

export class CheckpointFormatError extends Error {}

/** The line of a partition, in pieces of which none takes long to make, however many batches are waiting to be flushed. */
export function* encodePartition(state: PartitionCheckpoint): Generator<Uint8Array, void> {
  const line: PartitionLine = {
    t: state.topicId,
    p: state.partition,
    start: state.logStartOffset,
    next: state.nextOffset,
    flushed: state.flushedOffset,
    epochs: state.epochs,
    producers: state.producers,
    ...(state.transactions === null ? {} : { txns: state.transactions }),
    batches: [],
  }
  // Without the brackets and the brace that end it.
  let text = JSON.stringify(line).slice(0, -2)
  let rows: UnflushedRow[] = []
  for (const batch of state.unflushed) {
    if (rows.length === ROWS_PER_PIECE) {
      yield Buffer.from(`${text}${JSON.stringify(rows).slice(1, -1)}`)
      rows = []
      text = ','
    }
    rows.push(rowOf(batch))
  }
  yield Buffer.from(`${text}${JSON.stringify(rows).slice(1, -1)}]}\n`)
}

function rowOf(batch: UnflushedBatch): UnflushedRow {
  const { ref } = batch
  return [
    batch.baseOffset,
    batch.lastOffset,
    batch.maxTimestamp,
    batch.producerId,
    batch.producerEpoch,
    batch.baseSequence,
    batch.leaderEpoch,
    batch.attributes,
    batch.recordCount,
    batch.crc,
    ref.lane.brokerId,
    ref.lane.incarnation,
    ref.seq,
    ref.start,
    ref.end,
  ]
}

/** `lines` has the pieces of so many partitions, one after the other. */
export function encodeCheckpoint(partitions: number, lines: readonly Uint8Array[]): Uint8Array[] {
  return [Buffer.from(JSON.stringify({ format: FORMAT, partitions }) + '\n'), ...lines]
}

export function decodeCheckpoint(body: Uint8Array): PartitionCheckpoint[] {
  const lines = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString().split('\n')
  const header = JSON.parse(lines[0] ?? '') as { format?: unknown; partitions?: unknown }
  if (header.format !== FORMAT && header.format !== FORMAT_BEFORE) {
    throw new CheckpointFormatError(`the lane checkpoint has format ${String(header.format)}, this version reads formats up to ${FORMAT}`)
  }
  const partitions = lines.slice(1).filter((line) => line !== '')
  if (partitions.length !== header.partitions) throw new CheckpointFormatError('the lane checkpoint lacks partitions')
  return partitions.map(decodePartition)
}

function decodePartition(text: string): PartitionCheckpoint {
  const line = JSON.parse(text) as PartitionLine
  const lanes = new Map<string, LaneId>()
  return {
    topicId: line.t,
    partition: line.p,
    logStartOffset: line.start,
    nextOffset: line.next,
    flushedOffset: line.flushed,
    epochs: line.epochs,
    producers: line.producers,
    transactions: line.txns ?? null,
    unflushed: line.batches.map((row) => decodeRow(line, row, lanes)),
  }
}

function decodeRow(line: PartitionLine, row: UnflushedRow, lanes: Map<string, LaneId>): UnflushedBatch {
  const laneName = `${row[10]}/${row[11]}`
  let lane = lanes.get(laneName)
  if (lane === undefined) {
    lane = { brokerId: row[10], incarnation: row[11] }
    lanes.set(laneName, lane)
  }
  return {
    topicId: line.t,
    partition: line.p,
    baseOffset: row[0],
    lastOffset: row[1],
    maxTimestamp: row[2],
    producerId: row[3],
    producerEpoch: row[4],
    baseSequence: row[5],
    leaderEpoch: row[6],
    attributes: row[7],
    recordCount: row[8],
    crc: row[9],
    ref: { lane, seq: row[12], start: row[13], end: row[14] },
  }
}
