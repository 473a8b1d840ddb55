/** Producer ids (KIP-98), given out from blocks that the journal allocates: none is ever given twice, whatever crashes. */
import type { Journal } from '../../storage/journal/journal.ts'
import type { Incarnation } from '../../storage/types.ts'

/** As in Kafka (ProducerIdsBlock): ids lost by a restart are cheap. */
const BLOCK = 1000

export class ProducerIds {
  readonly #journal: Journal
  readonly #incarnation: Incarnation
  #next = 0
  #end = 0
  #allocating: Promise<boolean> | null = null

  constructor(journal: Journal, incarnation: Incarnation) {
    this.#journal = journal
    this.#incarnation = incarnation
  }

  /** A fresh id, or null while none can be had (the broker stops or the store is gone). */
  async next(): Promise<number | null> {
    while (this.#next >= this.#end) {
      this.#allocating ??= this.#allocate().finally(() => (this.#allocating = null))
      if (!(await this.#allocating)) return null
    }
    return this.#next++
  }

  async #allocate(): Promise<boolean> {
    const outcome = await this.#journal.append((state) => [
      { type: 'producer-ids-allocated', from: state.nextProducerId, to: state.nextProducerId + BLOCK, incarnation: this.#incarnation },
    ])
    if (outcome.kind !== 'appended') return false
    for (const change of outcome.changes) {
      if (change.type !== 'producer-ids-allocated') continue
      this.#next = change.from
      this.#end = change.to
    }
    return true
  }
}
