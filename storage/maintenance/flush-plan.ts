/**
 * What the next commit of a topic takes: of each partition what is stable from the end of the table on, as far as there is room. A transaction
 * that ends beyond that in one of its partitions is left out in all of them, however much of it comes before, and is made up for by the commit
 * that gets past its last marker. So each version has it whole or not at all (P4), and transactions that always overlap hold nobody back.
 *
 * It follows from the ends of the table alone what is in it: of records outside of transactions those below, of transactions those that ended
 * below in every partition that they wrote to. Nothing else has to be written down, and whoever recovers finds the same.
 */
import { isControl, isTransactional } from '../../protocol/records/batch.ts'
import type { BatchRun } from '../partition/batch-list.ts'
import type { FlushRun, StoredPartitionLog } from '../partition/log.ts'
import type { EndedTransaction, TopicTransaction } from '../partition/transactions.ts'
import { isComplete } from '../partition/transactions.ts'
import type { Offset } from '../types.ts'

/** A file to be. */
export interface PlannedRun {
  readonly log: StoredPartitionLog
  readonly run: FlushRun
}

export interface FlushPlan {
  /** A partition may have several, one after the other. */
  readonly runs: readonly PlannedRun[]
  /** How far the table gets, of the partitions in which it gets on. */
  readonly ends: ReadonlyMap<StoredPartitionLog, Offset>
  /** What was looked at to find that out: how far the table was. */
  readonly starts: ReadonlyMap<StoredPartitionLog, Offset>
  /** Of all runs. */
  readonly bytes: number
}

/** Where the table ends in a partition. */
type Ends = (partition: number) => Offset

const NOTHING: FlushPlan = { runs: [], ends: new Map(), starts: new Map(), bytes: 0 }

/**
 * `logs` are all partitions of a topic, by number. `previous` is a plan that will have been carried out before this one. Where nothing but parts of
 * transactions is within the room, there is more; where there is nothing to gain, nothing moves.
 */
export function planFlush(logs: readonly StoredPartitionLog[], bytesMax: number, previous: FlushPlan | null = null): FlushPlan {
  for (let room = bytesMax; ; room *= 2) {
    const plan = planWithin(room, logs, bytesMax, previous)
    if (plan.runs.length > 0 || logs.some((log) => completeBelow(log, logs, plan.ends) > log.flushedOffset)) return plan
    if (Array.from(plan.ends).every(([log, end]) => end === log.lastStableOffset)) return NOTHING
  }
}

function planWithin(bytes: number, logs: readonly StoredPartitionLog[], fileBytesMax: number, previous: FlushPlan | null): FlushPlan {
  const startOf = (log: StoredPartitionLog): Offset => previous?.ends.get(log) ?? log.tableEnd
  const next: PlannedRun[] = []
  const ends = new Map<StoredPartitionLog, Offset>()
  const waiting = logs.filter((log) => log.unflushedBytes > 0)
  let room = bytes
  for (const [i, log] of waiting.entries()) {
    // They share the room.
    const run = log.flushRun(Math.max(1, room / (waiting.length - i)), startOf(log))
    if (run === null) continue
    next.push({ log, run })
    ends.set(log, run.endOffset)
    room -= run.bytes
  }
  if (ends.size === 0 || !waiting.some((log) => log.endedTransactions.length > 0)) {
    const starts = new Map(next.map(({ log, run }) => [log, run.fromOffset]))
    return { runs: next, ends, starts, bytes: bytesOf(next) }
  }
  const starts = new Map(logs.map((log) => [log, startOf(log)]))
  const before: Ends = (partition) => starts.get(logs[partition]!)!
  const after: Ends = (partition) => ends.get(logs[partition]!) ?? before(partition)
  const runs = waiting.flatMap((log) => pieces(log, picked(log, before, after), fileBytesMax))
  return { runs, ends, starts, bytes: bytesOf(runs) }
}

/**
 * Up to where all is in the table, when it ends where `ends` says: the first offset of a committed transaction that it lacks, or its end. `ends` may
 * leave partitions out that do not move.
 */
export function completeBelow(log: StoredPartitionLog, logs: readonly StoredPartitionLog[], ends: ReadonlyMap<StoredPartitionLog, Offset>): Offset {
  const endOf: Ends = (partition) => Math.max(logs[partition]!.tableEnd, ends.get(logs[partition]!) ?? 0)
  // A successor may have flushed what this process does not know to have ended.
  let offset = Math.min(endOf(log.partition), log.lastStableOffset)
  const isIn = membership(endOf)
  for (const part of log.endedTransactions) if (part.committed && part.firstOffset < offset && !isIn(part.whole)) offset = part.firstOffset
  return offset
}

/** Batches that the table lacks when it ends where `before` says and has when it ends where `after` says; their places among all that are not flushed. */
function picked(log: StoredPartitionLog, before: Ends, after: Ends): { readonly all: BatchRun; readonly picks: number[] } {
  const all = log.unflushed(after(log.partition))
  const start = before(log.partition)
  const [wasIn, isIn] = [membership(before), membership(after)]
  const picks: number[] = []
  const ended = new EndedByProducer(log.endedTransactions)
  for (let i = 0; i < all.length; i++) {
    const attributes = all.attributes(i)
    if (isControl(attributes)) continue
    const part = isTransactional(attributes) ? ended.of(all.producerId(i), all.baseOffset(i)) : null
    const isPicked = part === null ? all.baseOffset(i) >= start : part.committed && isIn(part.whole) && !wasIn(part.whole)
    if (isPicked) picks.push(i)
  }
  return { all, picks }
}

/** Whether the table has a transaction, when it ends where `ends` says. */
function membership(ends: Ends): (transaction: TopicTransaction) => boolean {
  const known = new Map<TopicTransaction, boolean>()
  return (transaction) => {
    let isIn = known.get(transaction)
    if (isIn === undefined) {
      isIn = isComplete(transaction) && transaction.parts.every(({ partition, lastOffset }) => lastOffset < ends(partition))
      known.set(transaction, isIn)
    }
    return isIn
  }
}

/** Transactions of a partition, to be asked for in the order of its offsets. */
class EndedByProducer {
  readonly #parts = new Map<number, EndedTransaction[]>()

  /** In the order of their markers. */
  constructor(ended: readonly EndedTransaction[]) {
    for (const part of ended) {
      const known = this.#parts.get(part.producerId)
      if (known === undefined) this.#parts.set(part.producerId, [part])
      else known.push(part)
    }
  }

  /** The one that a batch of a producer is in. What is neither open nor ended has left memory, since it is flushed. */
  of(producerId: number, offset: Offset): EndedTransaction | null {
    const parts = this.#parts.get(producerId) ?? []
    while (parts[0] !== undefined && parts[0].lastOffset < offset) parts.shift()
    return parts[0] ?? null
  }
}

/** Runs of at most about `bytesMax`. */
function pieces(log: StoredPartitionLog, { all, picks }: { readonly all: BatchRun; readonly picks: readonly number[] }, bytesMax: number): PlannedRun[] {
  const runs: PlannedRun[] = []
  for (let from = 0, to = 0; from < picks.length; from = to) {
    let bytes = 0
    while (to < picks.length && (to === from || bytes + all.batchBytes(picks[to]!) <= bytesMax)) bytes += all.batchBytes(picks[to++]!)
    const fromOffset = all.baseOffset(picks[from]!)
    const endOffset = all.lastOffset(picks[to - 1]!) + 1
    runs.push({ log, run: { fromOffset, endOffset, batches: all.pick(picks.slice(from, to)), bytes } })
  }
  return runs
}

function bytesOf(runs: readonly PlannedRun[]): number {
  return runs.reduce((sum, { run }) => sum + run.bytes, 0)
}
