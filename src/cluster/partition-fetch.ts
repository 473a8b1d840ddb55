/**
 * One partition of a consumer's fetch: what is asked, what the client was told last, and the answer that is being put together. In a session
 * (KIP-227) it lives as long as that, so that a fetch of a thousand partitions of which one has moved makes nothing for the others.
 */
import { KafkaError } from '../../protocol/errors.ts'
import type { FetchResponse } from '../../protocol/messages/01-fetch.ts'
import { releaseAll } from '../../storage/partition/batch-memory.ts'
import type { BatchMemory } from '../../storage/partition/batch-memory.ts'
import type { AbortedTransaction, PartitionLog, ReadOutcome, ReadRequest, ReadSource } from '../../storage/partition/types.ts'

export type Isolation = ReadRequest['isolation']
export type PartitionResult = FetchResponse['responses'][number]['partitions'][number]

export interface AskedPartition {
  readonly partition: number
  readonly fetchOffset: number
  readonly partitionMaxBytes: number
  readonly currentLeaderEpoch: number
  readonly lastFetchedEpoch: number
}

const readErrors: Readonly<Record<Exclude<ReadOutcome['kind'], 'records'>, number>> = {
  outOfRange: KafkaError.OFFSET_OUT_OF_RANGE,
  unavailable: KafkaError.KAFKA_STORAGE_ERROR,
  notLeader: KafkaError.NOT_LEADER_OR_FOLLOWER,
  deleted: KafkaError.UNKNOWN_TOPIC_OR_PARTITION,
}

const NOTHING: readonly Uint8Array[] = []
const NOBODY: readonly BatchMemory[] = []
const NO_TRANSACTIONS: readonly AbortedTransaction[] = []

export class PartitionFetch {
  /** In its session. */
  readonly key: string
  readonly topicId: string
  readonly topic: string
  readonly partition: number
  #fetchOffset = -1
  #maxBytes = 0
  #currentLeaderEpoch = -1
  #lastFetchedEpoch = -1

  // What the client was told last; a difference makes the partition part of the next answer.
  #toldHighWatermark = -1
  #toldLastStable = -1
  #toldLogStart = -1
  /** An error is repeated until it is gone. */
  #hadError = true

  // The answer under way.
  #log: PartitionLog | null = null
  #isolation: Isolation = 'readUncommitted'
  #errorCode = 0
  #diverging: { epoch: number; endOffset: number } | null = null
  #chunks = NOTHING
  #held = NOBODY
  #bytes = 0
  #source: ReadSource = 'memory'
  #aborted = NO_TRANSACTIONS
  /** Moved since it was read. */
  #stale = false
  #moved: (() => void) | null = null
  readonly #onAdvance = (): void => {
    this.#stale = true
    this.#moved?.()
  }

  constructor(key: string, topicId: string, topic: string, asked: AskedPartition) {
    this.key = key
    this.topicId = topicId
    this.topic = topic
    this.partition = asked.partition
    this.ask(asked)
  }

  ask({ fetchOffset, partitionMaxBytes, currentLeaderEpoch, lastFetchedEpoch }: AskedPartition): void {
    this.#fetchOffset = fetchOffset
    this.#maxBytes = Math.max(0, partitionMaxBytes)
    this.#currentLeaderEpoch = currentLeaderEpoch
    this.#lastFetchedEpoch = lastFetchedEpoch
  }

  /** The next answer begins: `log` is the partition as of now, or the error says why there is none. */
  begin(log: PartitionLog | null, missing: number, isolation: Isolation): void {
    this.#log = log
    this.#isolation = isolation
    this.#diverging = null
    if (log === null) {
      this.#errorCode = missing
      return
    }
    this.#errorCode = epochProblem(log, this.#currentLeaderEpoch)
    if (this.#errorCode === 0 && this.#lastFetchedEpoch >= 0) this.#checkDivergence(log)
  }

  /** Bytes of the answer so far. */
  get bytes(): number {
    return this.#bytes
  }

  get source(): ReadSource {
    return this.#source
  }

  /** Has an error, or something else that is worth an answer by itself. */
  get finished(): boolean {
    return this.#errorCode !== 0 || this.#diverging !== null
  }

  /** Whether `read` would give nothing. */
  get isAtEnd(): boolean {
    return this.#log?.isAtEnd(this.#fetchOffset, this.#isolation) ?? true
  }

  /** Whether `read` would have to ask the store. */
  get isCold(): boolean {
    return this.#log !== null && !this.finished && this.#log.readsStore(this.#fetchOffset)
  }

  /** From now on `moved` is called when the log moves; what was read before is read again then. */
  watch(moved: () => void): void {
    this.#moved = moved
    this.#log?.onAdvance(this.#onAdvance)
  }

  unwatch(): void {
    this.#log?.offAdvance(this.#onAdvance)
    this.#moved = null
  }

  read(maxBytes: number, atLeastOne: boolean): ReadOutcome | Promise<ReadOutcome> | null {
    if (this.#log === null || this.finished) return null
    return this.#log.read({ fromOffset: this.#fetchOffset, maxBytes: Math.min(maxBytes, this.#maxBytes), atLeastOne, isolation: this.#isolation })
  }

  accept(outcome: ReadOutcome): void {
    if (outcome.kind !== 'records') {
      this.#errorCode = readErrors[outcome.kind]
      return
    }
    this.#chunks = outcome.chunks
    this.#held = outcome.held ?? NOBODY
    this.#aborted = outcome.aborted ?? NO_TRANSACTIONS
    this.#bytes = outcome.bytes
    this.#source = outcome.source
  }

  /** Drops what was read before the log moved. */
  forgetStale(): void {
    if (this.#stale) this.forget()
  }

  /** Drops what was read: it will be read again, or not be sent. */
  forget(): void {
    this.#stale = false
    releaseAll(this.#held)
    this.#clear()
  }

  /**
   * The answer, null where the client knows all of it; nothing is left of it here. Memory of the records is added to `held`, to be released
   * when they have been sent.
   */
  take(onlyNews: boolean, held: BatchMemory[]): PartitionResult | null {
    const log = this.#errorCode === 0 || this.#errorCode === KafkaError.OFFSET_OUT_OF_RANGE ? this.#log : null
    const highWatermark = log?.highWatermark ?? -1
    const lastStableOffset = log?.lastStableOffset ?? -1
    const logStartOffset = log?.logStartOffset ?? -1
    const { finished } = this
    const isNews =
      this.#bytes > 0 || finished || this.#hadError ||
      highWatermark !== this.#toldHighWatermark || lastStableOffset !== this.#toldLastStable || logStartOffset !== this.#toldLogStart
    if (onlyNews && !isNews) return null
    this.#toldHighWatermark = highWatermark
    this.#toldLastStable = lastStableOffset
    this.#toldLogStart = logStartOffset
    this.#hadError = finished
    const result: PartitionResult = {
      partitionIndex: this.partition,
      errorCode: this.#errorCode,
      highWatermark,
      lastStableOffset,
      logStartOffset,
      abortedTransactions: this.#isolation === 'readCommitted' && log !== null ? this.#aborted.map(({ producerId, firstOffset }) => ({ producerId, firstOffset })) : null,
      records: this.#chunks,
      ...(this.#diverging === null ? {} : { divergingEpoch: this.#diverging }),
    }
    for (const memory of this.#held) held.push(memory)
    this.#clear()
    return result
  }

  #clear(): void {
    this.#chunks = NOTHING
    this.#held = NOBODY
    this.#aborted = NO_TRANSACTIONS
    this.#bytes = 0
  }

  #checkDivergence(log: PartitionLog): void {
    const end = log.endOffsetForEpoch(this.#lastFetchedEpoch)
    if (end === null) this.#errorCode = KafkaError.OFFSET_OUT_OF_RANGE
    else if (end.leaderEpoch < this.#lastFetchedEpoch || end.endOffset < this.#fetchOffset) {
      this.#diverging = { epoch: end.leaderEpoch, endOffset: end.endOffset }
    }
  }
}

/** Error code for a client that knows another leader epoch (KIP-320); -1 claims nothing. */
export function epochProblem(log: PartitionLog, currentLeaderEpoch: number): number {
  if (currentLeaderEpoch < 0) return 0
  if (currentLeaderEpoch < log.leaderEpoch) return KafkaError.FENCED_LEADER_EPOCH
  return currentLeaderEpoch > log.leaderEpoch ? KafkaError.UNKNOWN_LEADER_EPOCH : 0
}
