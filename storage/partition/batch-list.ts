/**
 * The batches of one partition from their append until they are in the table and out of memory: accepted → durable (they know their place
 * in a lane) → flushed → evicted. They stand in columns: a partition whose producers send one record at a time has thousands of batches
 * waiting to be flushed, and as objects they would be marked by every full collection, which clients feel (docs/PERFORMANCE.md).
 *
 * A batch is known by its number in the list, counted from 0 and never used again.
 */
import type { LaneId, LaneRef, LaneRow } from '../lane/types.ts'
import type { LogVersion, Offset, Uuid } from '../types.ts'
import { BatchMemory } from './batch-memory.ts'

/**
 * What a batch takes besides its bytes, about: its row, its place in the cache, and the memory that it came in. Batches of one record are smaller than
 * that, and a budget that did not count it would hold many times its size.
 */
export const RESIDENT_OVERHEAD_BYTES = 512

/** A row is 11 numbers of 8 bytes: six of them doubles, the other five hold ten integers of 32 bits. */
const ROW = 11
const INTS = 2 * ROW
const BASE_OFFSET = 0
const LAST_OFFSET = 1
const MAX_TIMESTAMP = 2
const PRODUCER_ID = 3
const LANE_SEQ = 4
const LANE_START = 5
const PRODUCER_EPOCH = 12
const BASE_SEQUENCE = 13
const LEADER_EPOCH = 14
const ATTRIBUTES = 15
const RECORD_COUNT = 16
const CRC = 17
/** Number of the lane in the list's own table; -1 while the batch is not durable. */
const LANE = 18
const BYTES = 19
/** Where the bytes lie in their memory. */
const AT = 20

const NO_LANE = -1
const ROWS_MIN = 4
/** So many rows that are no longer needed are kept at the most before those after them move. */
const IDLE_ROWS_MAX = 64

/** What bytes lie in: managed, or left to the garbage collector. */
type Memory = BatchMemory | ArrayBufferLike

/** Rows of some batches. Of a durable batch nothing changes any more. */
class Rows {
  readonly doubles: Float64Array
  readonly ints: Int32Array

  constructor(capacity: number) {
    this.doubles = new Float64Array(capacity * ROW)
    this.ints = new Int32Array(this.doubles.buffer)
  }

  get capacity(): number {
    return this.doubles.length / ROW
  }
}

const NO_ROWS = new Rows(0)

export class BatchList {
  readonly topicId: Uuid
  readonly partition: number
  #rows = NO_ROWS
  /** Memory of what is resident, by row; null where it was evicted. */
  #memories: (Memory | null)[] = []
  /** Only ever appended to. One in almost all cases, another for what a predecessor left. */
  readonly #lanes: LaneId[] = []
  /** Number of the batch in the first row; of the first that is kept; and of the next to come. */
  #origin = 0
  #first = 0
  #end = 0

  constructor(topicId: Uuid, partition: number) {
    this.topicId = topicId
    this.partition = partition
  }

  /** Number of the oldest batch that is kept. */
  get first(): number {
    return this.#first
  }
  /** One after the number of the newest batch. */
  get end(): number {
    return this.#end
  }

  /** Takes a batch at the end; gives its number. `memory`, which `bytes` is a view on, is held while they are resident; null where the collector has it. */
  push(row: LaneRow, bytes: Uint8Array, memory: BatchMemory | null): number {
    if (memory !== null && memory.buffer !== bytes.buffer) throw new RangeError('a batch outside of the memory that it is said to lie in')
    const at = this.#append(row, bytes.length)
    this.#rows.ints[at * INTS + AT] = bytes.byteOffset
    memory?.hold()
    this.#memories.push(memory ?? bytes.buffer)
    return this.#end++
  }

  /** Takes a durable batch whose bytes are in its lane only. */
  pushDurable(row: LaneRow, ref: LaneRef): number {
    this.#append(row, ref.end - ref.start)
    this.#memories.push(null)
    const number = this.#end++
    this.setDurable(number, ref.lane, ref.seq, ref.start)
    return number
  }

  setDurable(number: number, lane: LaneId, seq: LogVersion, start: number): void {
    const at = number - this.#origin
    const { doubles, ints } = this.#rows
    doubles[at * ROW + LANE_SEQ] = seq
    doubles[at * ROW + LANE_START] = start
    ints[at * INTS + LANE] = this.#laneNumber(lane)
  }

  baseOffset(number: number): Offset {
    return this.#rows.doubles[(number - this.#origin) * ROW + BASE_OFFSET]!
  }
  lastOffset(number: number): Offset {
    return this.#rows.doubles[(number - this.#origin) * ROW + LAST_OFFSET]!
  }
  maxTimestamp(number: number): number {
    return this.#rows.doubles[(number - this.#origin) * ROW + MAX_TIMESTAMP]!
  }
  attributes(number: number): number {
    return this.#rows.ints[(number - this.#origin) * INTS + ATTRIBUTES]!
  }
  /** Bytes of the batch, resident or not. */
  batchBytes(number: number): number {
    return this.#rows.ints[(number - this.#origin) * INTS + BYTES]! >>> 0
  }
  isDurable(number: number): boolean {
    return this.#rows.ints[(number - this.#origin) * INTS + LANE] !== NO_LANE
  }
  isResident(number: number): boolean {
    return number >= this.#first && this.#memories[number - this.#origin] !== null
  }

  /** Number of the first batch whose last offset is at or after `offset`; `end` when there is none. */
  firstAtOrAfter(offset: Offset): number {
    let low = this.#first
    let high = this.#end
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.lastOffset(middle) < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** A view on the bytes, which is empty once their memory is given back; null where they are not in memory. */
  bytes(number: number): Uint8Array | null {
    const memory = number >= this.#first ? this.#memories[number - this.#origin] : null
    if (memory === null || memory === undefined) return null
    const at = (number - this.#origin) * INTS
    const buffer = memory instanceof BatchMemory ? memory.buffer : memory
    return new Uint8Array(buffer, this.#rows.ints[at + AT]! >>> 0, this.#rows.ints[at + BYTES]! >>> 0)
  }

  /** For whoever uses the bytes beyond this turn of the event loop: held for them, and to be released. */
  hold(number: number, held: BatchMemory[]): void {
    const memory = this.#memories[number - this.#origin]
    if (!(memory instanceof BatchMemory)) return
    memory.hold()
    held.push(memory)
  }

  /** Lets go of the bytes. */
  evict(number: number): void {
    const at = number - this.#origin
    const memory = this.#memories[at]
    if (memory instanceof BatchMemory) memory.release()
    this.#memories[at] = null
  }

  /** Forgets the batches before `number`, none of which is resident. */
  drop(number: number): void {
    this.#first = number
    const idle = this.#first - this.#origin
    if (this.#first === this.#end) {
      if (idle > 0) this.#move(0)
    } else if (idle > IDLE_ROWS_MAX && idle * 2 > this.#end - this.#origin) this.#move(capacityFor(this.#end - this.#first))
  }

  /** Batches [from, to) as they are now. All of them must be durable. */
  run(from: number, to: number): BatchRun {
    return new BatchRun(this, this.#rows, this.#lanes, from - this.#origin, from, to - from)
  }

  #append(row: LaneRow, bytes: number): number {
    const at = this.#end - this.#origin
    if (at === this.#rows.capacity) {
      this.#move(capacityFor(this.#end - this.#first + 1))
      return this.#append(row, bytes)
    }
    const { doubles, ints } = this.#rows
    const d = at * ROW
    doubles[d + BASE_OFFSET] = row.baseOffset
    doubles[d + LAST_OFFSET] = row.lastOffset
    doubles[d + MAX_TIMESTAMP] = row.maxTimestamp
    doubles[d + PRODUCER_ID] = row.producerId
    const i = at * INTS
    ints[i + PRODUCER_EPOCH] = row.producerEpoch
    ints[i + BASE_SEQUENCE] = row.baseSequence
    ints[i + LEADER_EPOCH] = row.leaderEpoch
    ints[i + ATTRIBUTES] = row.attributes
    ints[i + RECORD_COUNT] = row.recordCount
    ints[i + CRC] = row.crc
    ints[i + LANE] = NO_LANE
    ints[i + BYTES] = bytes
    return at
  }

  /** Takes what is kept into rows of its own; runs that were taken before keep the old ones. */
  #move(capacity: number): void {
    const idle = this.#first - this.#origin
    const rows = capacity === 0 ? NO_ROWS : new Rows(capacity)
    rows.doubles.set(this.#rows.doubles.subarray(idle * ROW, (this.#end - this.#origin) * ROW))
    this.#rows = rows
    this.#memories = this.#memories.slice(idle)
    this.#origin = this.#first
  }

  #laneNumber(lane: LaneId): number {
    const lanes = this.#lanes
    const last = lanes.length - 1
    if (last >= 0 && lanes[last] === lane) return last
    const known = lanes.findIndex(({ brokerId, incarnation }) => brokerId === lane.brokerId && incarnation === lane.incarnation)
    return known >= 0 ? known : lanes.push(lane) - 1
  }
}

/** With room for half as many more, so that a list of constant length does not move with each batch. */
function capacityFor(count: number): number {
  let capacity = ROWS_MIN
  while (capacity < count * 1.5) capacity *= 2
  return capacity
}

/** Durable batches one after the other, as they were when the run was taken: it outlives what the list forgets meanwhile. */
export class BatchRun {
  readonly length: number
  readonly #list: BatchList
  readonly #rows: Rows
  readonly #lanes: readonly LaneId[]
  readonly #row: number
  readonly #number: number
  /** Where some were picked: which. */
  readonly #picks: readonly number[] | null

  /** `row` and `number` of the first of `length` batches, or of those of which `picks` are meant. */
  constructor(list: BatchList, rows: Rows, lanes: readonly LaneId[], row: number, number: number, length: number, picks: readonly number[] | null = null) {
    this.#list = list
    this.#rows = rows
    this.#lanes = lanes
    this.#row = row
    this.#number = number
    this.#picks = picks
    this.length = picks?.length ?? length
  }

  /** Some of them, ascending; not of a run that was picked itself. */
  pick(picks: readonly number[]): BatchRun {
    return new BatchRun(this.#list, this.#rows, this.#lanes, this.#row, this.#number, this.length, picks)
  }

  #place(i: number): number {
    return this.#picks === null ? i : this.#picks[i]!
  }

  baseOffset(i: number): Offset {
    return this.#rows.doubles[(this.#row + this.#place(i)) * ROW + BASE_OFFSET]!
  }
  maxTimestamp(i: number): number {
    return this.#rows.doubles[(this.#row + this.#place(i)) * ROW + MAX_TIMESTAMP]!
  }
  lastOffset(i: number): Offset {
    return this.#rows.doubles[(this.#row + this.#place(i)) * ROW + LAST_OFFSET]!
  }
  producerId(i: number): number {
    return this.#rows.doubles[(this.#row + this.#place(i)) * ROW + PRODUCER_ID]!
  }
  leaderEpoch(i: number): number {
    return this.#rows.ints[(this.#row + this.#place(i)) * INTS + LEADER_EPOCH]!
  }
  attributes(i: number): number {
    return this.#rows.ints[(this.#row + this.#place(i)) * INTS + ATTRIBUTES]!
  }
  batchBytes(i: number): number {
    return this.#rows.ints[(this.#row + this.#place(i)) * INTS + BYTES]! >>> 0
  }
  lane(i: number): LaneId {
    return this.#lanes[this.#rows.ints[(this.#row + this.#place(i)) * INTS + LANE]!]!
  }
  laneSeq(i: number): LogVersion {
    return this.#rows.doubles[(this.#row + this.#place(i)) * ROW + LANE_SEQ]!
  }

  ref(i: number): LaneRef {
    const start = this.#rows.doubles[(this.#row + this.#place(i)) * ROW + LANE_START]!
    return { lane: this.lane(i), seq: this.laneSeq(i), start, end: start + this.batchBytes(i) }
  }

  /** In the list. */
  number(i: number): number {
    return this.#number + this.#place(i)
  }

  isResident(i: number): boolean {
    return this.#list.isResident(this.#number + this.#place(i))
  }

  /** As long as they are in memory; else null. */
  bytes(i: number): Uint8Array | null {
    return this.#list.bytes(this.#number + this.#place(i))
  }

  /** See `BatchList.hold`. */
  hold(i: number, held: BatchMemory[]): void {
    this.#list.hold(this.#number + this.#place(i), held)
  }

  /** Of the batch that begins at `baseOffset`; -1 when there is none. */
  indexOf(baseOffset: Offset): number {
    for (let i = 0; i < this.length; i++) if (this.baseOffset(i) === baseOffset) return i
    return -1
  }

  /** All that a recovery has to know of them. */
  *[Symbol.iterator](): Generator<LaneRow & { readonly ref: LaneRef }, void> {
    const { topicId, partition } = this.#list
    const { doubles, ints } = this.#rows
    for (let n = 0; n < this.length; n++) {
      const d = (this.#row + this.#place(n)) * ROW
      const i = (this.#row + this.#place(n)) * INTS
      yield {
        topicId,
        partition,
        baseOffset: doubles[d + BASE_OFFSET]!,
        lastOffset: doubles[d + LAST_OFFSET]!,
        maxTimestamp: doubles[d + MAX_TIMESTAMP]!,
        producerId: doubles[d + PRODUCER_ID]!,
        producerEpoch: ints[i + PRODUCER_EPOCH]!,
        baseSequence: ints[i + BASE_SEQUENCE]!,
        leaderEpoch: ints[i + LEADER_EPOCH]!,
        attributes: ints[i + ATTRIBUTES]!,
        recordCount: ints[i + RECORD_COUNT]!,
        crc: ints[i + CRC]! >>> 0,
        ref: this.ref(n),
      }
    }
  }
}
