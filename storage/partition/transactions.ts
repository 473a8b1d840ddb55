/**
 * Transactions in the durable part of the partitions of one topic (KIP-98): which are open, and hold back the last stable offset, and how
 * those ended whose records somebody may still read as they were produced, or that are not in the table yet.
 *
 * The partitions of a topic share the lane, so everybody sees the records of all of them in one order. A producer has one transaction at a
 * time, whose markers come before the records of its next one. That is enough to know which transactions of different partitions are one:
 * the records of a producer up to its first marker, and all its markers up to its next record.
 */
import type { Offset } from '../types.ts'
import type { AbortedTransaction } from './types.ts'

/** One transaction in all partitions of the topic that it wrote to. */
export interface TopicTransaction {
  /** In the topic; for checkpoints. */
  readonly number: number
  readonly producerId: number
  /** Partitions in which it is open. */
  open: number
  /** A partition has its marker. */
  ending: boolean
  /** Where it has ended. */
  readonly parts: EndedTransaction[]
}

/** A transaction that has ended in one partition, as far as that partition goes. */
export interface EndedTransaction extends AbortedTransaction {
  readonly partition: number
  readonly committed: boolean
  readonly whole: TopicTransaction
}

interface OpenTransaction {
  readonly firstOffset: Offset
  readonly whole: TopicTransaction
}

/** What a checkpoint says of a partition. */
export interface TransactionsSnapshot {
  readonly open: ReadonlyArray<readonly [producerId: number, firstOffset: Offset, number: number]>
  readonly ended: ReadonlyArray<readonly [producerId: number, firstOffset: Offset, lastOffset: Offset, committed: 0 | 1, number: number]>
}

/** Whether all partitions that it wrote to have its marker. */
export function isComplete(transaction: TopicTransaction): boolean {
  return transaction.ending && transaction.open === 0
}

/** The transactions of a topic that have not ended everywhere. */
export class TopicTransactions {
  readonly #current = new Map<number, TopicTransaction>()
  #next = 0
  /** By number, while partitions are restored. */
  readonly #restored = new Map<number, TopicTransaction>()

  /** A partition has the first record of a transaction. */
  begin(producerId: number): TopicTransaction {
    this.#restored.clear()
    let transaction = this.#current.get(producerId)
    // After a marker it is another one, even where a partition still lacks its own: that happens only when the coordinator lost it.
    if (transaction === undefined || transaction.ending) {
      transaction = newTransaction(this.#next++, producerId)
      this.#current.set(producerId, transaction)
    }
    transaction.open++
    return transaction
  }

  /** A partition has its marker. */
  end(transaction: TopicTransaction, part: EndedTransaction): void {
    this.#restored.clear()
    transaction.open--
    transaction.ending = true
    transaction.parts.push(part)
    if (transaction.open === 0 && this.#current.get(transaction.producerId) === transaction) this.#current.delete(transaction.producerId)
  }

  /** As `begin`, of one that a checkpoint names. All are restored before anything else. */
  restoreOpen(number: number, producerId: number): TopicTransaction {
    const transaction = this.#restore(number, producerId)
    transaction.open++
    this.#current.set(producerId, transaction)
    return transaction
  }

  restoreEnded(number: number, part: Omit<EndedTransaction, 'whole'>): EndedTransaction {
    const whole = this.#restore(number, part.producerId)
    whole.ending = true
    const ended = { ...part, whole }
    whole.parts.push(ended)
    return ended
  }

  #restore(number: number, producerId: number): TopicTransaction {
    let transaction = this.#restored.get(number)
    if (transaction === undefined) {
      transaction = newTransaction(number, producerId)
      this.#restored.set(number, transaction)
      this.#next = Math.max(this.#next, number + 1)
    }
    return transaction
  }
}

/** The transactions in the durable part of one partition. */
export class PartitionTransactions {
  readonly #partition: number
  readonly #topic: TopicTransactions
  /** By producer, in the order of their first offsets. */
  readonly #open = new Map<number, OpenTransaction>()
  /** In the order of their markers. */
  #ended: EndedTransaction[] = []

  constructor(partition: number, topic: TopicTransactions) {
    this.#partition = partition
    this.#topic = topic
  }

  get isIdle(): boolean {
    return this.#open.size === 0 && this.#ended.length === 0
  }

  /** Where the first open transaction begins; null where none is open. */
  get firstOpenOffset(): Offset | null {
    for (const { firstOffset } of this.#open.values()) return firstOffset
    return null
  }

  /** Those that are not in the table yet, and the aborted ones whose records may be in memory, in the order of their markers. */
  get ended(): readonly EndedTransaction[] {
    return this.#ended
  }

  /** A transactional batch with records is durable. */
  written(producerId: number, baseOffset: Offset): void {
    if (!this.#open.has(producerId)) this.#open.set(producerId, { firstOffset: baseOffset, whole: this.#topic.begin(producerId) })
  }

  /** A marker is durable. */
  marked(producerId: number, offset: Offset, committed: boolean): void {
    const open = this.#open.get(producerId)
    if (open === undefined) return
    this.#open.delete(producerId)
    const { firstOffset, whole } = open
    const ended = { partition: this.#partition, producerId, firstOffset, lastOffset: offset, committed, whole }
    this.#ended.push(ended)
    this.#topic.end(whole, ended)
  }

  /** By first offset: aborted transactions of whose records some are in [fromOffset, endOffset). */
  aborted(fromOffset: Offset, endOffset: Offset): readonly EndedTransaction[] {
    const found = this.#ended.filter(({ committed, firstOffset, lastOffset }) => !committed && lastOffset >= fromOffset && firstOffset < endOffset)
    return found.sort((a, b) => a.firstOffset - b.firstOffset)
  }

  /** The table has everything below `flushed`, and memory nothing below `memoryStart`: what nobody can need any more is forgotten. */
  forget(flushed: Offset, memoryStart: Offset): void {
    const isNeeded = ({ committed, lastOffset }: EndedTransaction): boolean => lastOffset >= flushed || (!committed && lastOffset >= memoryStart)
    if (this.#ended.length > 0 && !this.#ended.every(isNeeded)) this.#ended = this.#ended.filter(isNeeded)
  }

  /** What a recovery has to know when everything below `flushed` is in the table. */
  snapshot(flushed: Offset): TransactionsSnapshot {
    return {
      open: Array.from(this.#open, ([producerId, { firstOffset, whole }]) => [producerId, firstOffset, whole.number]),
      ended: this.#ended
        .filter(({ lastOffset }) => lastOffset >= flushed)
        .map(({ producerId, firstOffset, lastOffset, committed, whole }) => [producerId, firstOffset, lastOffset, committed ? 1 : 0, whole.number]),
    }
  }

  restore({ open, ended }: TransactionsSnapshot): void {
    for (const [producerId, firstOffset, number] of open) this.#open.set(producerId, { firstOffset, whole: this.#topic.restoreOpen(number, producerId) })
    for (const [producerId, firstOffset, lastOffset, committed, number] of ended) {
      this.#ended.push(this.#topic.restoreEnded(number, { partition: this.#partition, producerId, firstOffset, lastOffset, committed: committed === 1 }))
    }
  }
}

function newTransaction(number: number, producerId: number): TopicTransaction {
  return { number, producerId, open: 0, ending: false, parts: [] }
}
