/**
 * Idempotent producers (KIP-98): per producer id the epoch and the last five batches, so that a retry gets its original offset and a
 * gap is refused. Two instances exist per partition: one of everything accepted, which judges appends, and one of everything durable,
 * which goes into checkpoints (a sequence that never became durable must not be remembered after a crash).
 *
 * Producers age by the broker's clock, never by record timestamps: a producer that replays old data keeps its protection.
 */
import type { Offset } from '../types.ts'

/** Kafka's ProducerStateEntry.NUM_BATCHES_TO_RETAIN: also the most requests a producer may have in flight with idempotence. */
const BATCHES_REMEMBERED = 5
const SEQUENCE_MAX = 0x7fffffff
const NO_SEQUENCE = -1

export interface ProducerBatch {
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly recordCount: number
}

interface RememberedBatch {
  readonly baseSequence: number
  readonly lastSequence: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
}

interface ProducerEntry {
  epoch: number
  batches: RememberedBatch[]
  lastSeenMs: number
  /** Of the coordinator that ended its last transaction; -1 where none did, or that was before the last start. */
  coordinatorEpoch: number
}

export type SequenceVerdict =
  | { readonly kind: 'next' }
  | { readonly kind: 'duplicate'; readonly baseOffset: Offset; readonly lastOffset: Offset }
  | { readonly kind: 'outOfOrderSequence' | 'staleProducerEpoch'; readonly reason: string }

/** [producer id, epoch, last seen ms, [[base sequence, last sequence, base offset, last offset], …]] */
export type ProducerSnapshot = readonly [number, number, number, ReadonlyArray<readonly [number, number, number, number]>]

export interface ActiveProducer {
  readonly producerId: number
  readonly producerEpoch: number
  readonly lastSequence: number
  readonly lastSeenMs: number
  readonly coordinatorEpoch: number
}

export function lastSequenceOf(baseSequence: number, recordCount: number): number {
  const last = baseSequence + recordCount - 1
  return last > SEQUENCE_MAX ? last - SEQUENCE_MAX - 1 : last
}

function nextSequence(sequence: number): number {
  return sequence === SEQUENCE_MAX ? 0 : sequence + 1
}

export class ProducerState {
  readonly #producers = new Map<number, ProducerEntry>()

  get size(): number {
    return this.#producers.size
  }

  /** -1 where there are none. */
  epochsOf(producerId: number): { readonly producerEpoch: number; readonly coordinatorEpoch: number } {
    const known = this.#producers.get(producerId)
    return { producerEpoch: known?.epoch ?? -1, coordinatorEpoch: known?.coordinatorEpoch ?? -1 }
  }

  /** Judges a batch that carries a producer id, without remembering it. One of a coordinator has no sequence, and only its epoch is judged. */
  check(batch: ProducerBatch): SequenceVerdict {
    const known = this.#producers.get(batch.producerId)
    const { baseSequence, producerEpoch } = batch
    if (known === undefined) return { kind: 'next' }
    if (producerEpoch < known.epoch) {
      return {
        kind: 'staleProducerEpoch',
        reason: `producer ${batch.producerId} uses epoch ${producerEpoch}, epoch ${known.epoch} is current`,
      }
    }
    if (baseSequence === NO_SEQUENCE) return { kind: 'next' }
    if (producerEpoch > known.epoch) {
      if (baseSequence === 0) return { kind: 'next' }
      return {
        kind: 'outOfOrderSequence',
        reason: `producer ${batch.producerId} begins epoch ${producerEpoch} with sequence ${baseSequence} instead of 0`,
      }
    }
    const lastSequence = lastSequenceOf(baseSequence, batch.recordCount)
    for (const remembered of known.batches) {
      if (remembered.baseSequence === baseSequence && remembered.lastSequence === lastSequence) {
        return { kind: 'duplicate', baseOffset: remembered.baseOffset, lastOffset: remembered.lastOffset }
      }
    }
    const newest = known.batches.at(-1)
    const next = newest === undefined ? 0 : nextSequence(newest.lastSequence)
    if (baseSequence === next) return { kind: 'next' }
    // Also where the sequence is older than what is remembered: that it was ever written is not known. A producer without state may begin
    // with any sequence, so an earlier one may be a batch that was refused before (KIP-360), and to call it a duplicate would lose it.
    return {
      kind: 'outOfOrderSequence',
      reason: `producer ${batch.producerId} sent sequence ${baseSequence}, expected ${next}`,
    }
  }

  /** Remembers an accepted batch. */
  update(batch: ProducerBatch, nowMs: number): void {
    let known = this.#producers.get(batch.producerId)
    if (known === undefined || known.epoch !== batch.producerEpoch) {
      known = { epoch: batch.producerEpoch, batches: [], lastSeenMs: nowMs, coordinatorEpoch: known?.coordinatorEpoch ?? -1 }
      this.#producers.set(batch.producerId, known)
    }
    known.lastSeenMs = nowMs
    if (batch.baseSequence === NO_SEQUENCE) return
    known.batches.push({
      baseSequence: batch.baseSequence,
      lastSequence: lastSequenceOf(batch.baseSequence, batch.recordCount),
      baseOffset: batch.baseOffset,
      lastOffset: batch.lastOffset,
    })
    if (known.batches.length > BATCHES_REMEMBERED) known.batches.shift()
  }

  /** A marker with that epoch: older ones are refused from now on, and a newer one begins its sequences anew. */
  fence(producerId: number, producerEpoch: number, nowMs: number, coordinatorEpoch = -1): void {
    const known = this.#producers.get(producerId)
    const batches = known?.epoch === producerEpoch ? known.batches : []
    this.#producers.set(producerId, { epoch: producerEpoch, batches, lastSeenMs: nowMs, coordinatorEpoch })
  }

  /** Forgets producers that were not seen since `beforeMs` (producer.id.expiration.ms). */
  expire(beforeMs: number): void {
    for (const [id, entry] of this.#producers) if (entry.lastSeenMs < beforeMs) this.#producers.delete(id)
  }

  active(): ActiveProducer[] {
    return [...this.#producers].map(([producerId, entry]) => ({
      producerId,
      producerEpoch: entry.epoch,
      lastSequence: entry.batches.at(-1)?.lastSequence ?? -1,
      lastSeenMs: entry.lastSeenMs,
      coordinatorEpoch: entry.coordinatorEpoch,
    }))
  }

  snapshot(): ProducerSnapshot[] {
    return [...this.#producers].map(([id, entry]) => [
      id,
      entry.epoch,
      entry.lastSeenMs,
      entry.batches.map((b) => [b.baseSequence, b.lastSequence, b.baseOffset, b.lastOffset] as const),
    ])
  }

  restore(snapshot: readonly ProducerSnapshot[]): void {
    for (const [id, epoch, lastSeenMs, batches] of snapshot) {
      this.#producers.set(id, {
        epoch,
        lastSeenMs,
        coordinatorEpoch: -1,
        batches: batches.map(([baseSequence, lastSequence, baseOffset, lastOffset]) => ({
          baseSequence,
          lastSequence,
          baseOffset,
          lastOffset,
        })),
      })
    }
  }
}
