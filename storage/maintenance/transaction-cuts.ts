/**
 * Where a flush may cut the partitions of a topic, so that each committed transaction is in one version of the table: with all its records, in
 * all the partitions that it wrote to, or not at all (P4).
 */
import type { StoredPartitionLog } from '../partition/log.ts'
import type { EndedTransaction } from '../partition/transactions.ts'
import { isComplete } from '../partition/transactions.ts'
import type { Offset } from '../types.ts'

/**
 * Moves the ends of runs back until no committed transaction is cut. `ends` has, for each partition whose log is among `logs`, the offset that
 * a flush would reach: for those with nothing to flush, what has been flushed. Whoever has no transactions keeps its end.
 */
export function cutBetweenTransactions(logs: readonly StoredPartitionLog[], ends: Map<number, Offset>): void {
  const waiting = logs.filter((log) => log.endedTransactions.length > 0)
  for (let moved = true; moved; ) {
    moved = false
    for (const { partition, endedTransactions } of waiting) {
      for (const part of endedTransactions) {
        const end = ends.get(partition) ?? 0
        if (!part.committed || part.firstOffset >= end || isWhole(part, ends)) continue
        ends.set(partition, part.firstOffset)
        moved = true
      }
    }
  }
}

/** Whether a flush up to these ends has all of the transaction that this is a part of. */
function isWhole({ whole }: EndedTransaction, ends: ReadonlyMap<number, Offset>): boolean {
  return isComplete(whole) && whole.parts.every(({ partition, lastOffset }) => lastOffset < (ends.get(partition) ?? 0))
}
