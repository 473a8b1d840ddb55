/**
 * Offsets of transactions that are open (KIP-98, KIP-447): nobody sees them until the marker says whether they count. They are those of one
 * partition of `__consumer_offsets`, as far as it is durable.
 *
 * As in Kafka the later record of a place wins, whatever the order of the markers: what is committed behind a pending offset overtakes it. So
 * the result is that of the log without its markers, which is what the table keeps.
 */
import type { CommittedOffset } from './records.ts'
import type { OffsetPlace } from './shard.ts'

export interface PendingOffset extends OffsetPlace {
  readonly group: string
  readonly value: CommittedOffset
  /** Where its record stands in the log; or an earlier one that was written with it, by the same producer. */
  readonly recordOffset: number
  /** A later record of the place counts already: this one will not, however its transaction ends. */
  overtaken: boolean
}

interface Transaction {
  readonly firstOffset: number
  readonly offsets: Set<PendingOffset>
}

/** The pending offsets of one partition that a group reads, by the ids of their producers. */
type Place = Map<number, PendingOffset>

export class PendingOffsets {
  /** In the order of their first records. */
  readonly #transactions = new Map<number, Transaction>()
  readonly #groups = new Map<string, Map<string, Map<number, Place>>>()

  /** Where the first record stands of the transactions that have offsets here; null where there are none. */
  get firstOffset(): number | null {
    for (const { firstOffset } of this.#transactions.values()) return firstOffset
    return null
  }

  /** Who has offsets here, and since where in the log. */
  *producers(): Generator<{ readonly producerId: number; readonly firstOffset: number }> {
    for (const [producerId, { firstOffset }] of this.#transactions) yield { producerId, firstOffset }
  }

  has(group: string, topic: string, partition: number): boolean {
    return this.#groups.get(group)?.get(topic)?.has(partition) === true
  }

  hasGroup(group: string): boolean {
    return this.#groups.has(group)
  }

  groups(): Iterable<string> {
    return this.#groups.keys()
  }

  /** The partitions for which a group has pending offsets. */
  places(group: string): OffsetPlace[] {
    const places: OffsetPlace[] = []
    for (const [topic, partitions] of this.#groups.get(group) ?? []) {
      for (const partition of partitions.keys()) places.push({ topic, partition })
    }
    return places
  }

  /** To be called in the order of the log. */
  add(producerId: number, offset: Omit<PendingOffset, 'overtaken'>): void {
    let transaction = this.#transactions.get(producerId)
    if (transaction === undefined) this.#transactions.set(producerId, (transaction = { firstOffset: offset.recordOffset, offsets: new Set() }))
    const place = this.#placeOf(offset)
    const earlier = place.get(producerId)
    if (earlier !== undefined) transaction.offsets.delete(earlier)
    const pending: PendingOffset = { ...offset, overtaken: false }
    place.set(producerId, pending)
    transaction.offsets.add(pending)
  }

  /** The transaction has ended: hands over what counts from now on. Returns the groups that had offsets in it. */
  end(producerId: number, committed: boolean, take: (offset: PendingOffset) => void): ReadonlySet<string> {
    const groups = new Set<string>()
    const transaction = this.#transactions.get(producerId)
    if (transaction === undefined) return groups
    this.#transactions.delete(producerId)
    for (const offset of transaction.offsets) {
      groups.add(offset.group)
      this.#remove(producerId, offset)
      if (!committed || offset.overtaken) continue
      this.overtake(offset.group, offset.topic, offset.partition, offset.recordOffset)
      take(offset)
    }
    return groups
  }

  /** The offset of this place counts whose record stands there: earlier ones have lost. */
  overtake(group: string, topic: string, partition: number, recordOffset: number): void {
    for (const pending of this.#groups.get(group)?.get(topic)?.get(partition)?.values() ?? []) {
      if (pending.recordOffset < recordOffset) pending.overtaken = true
    }
  }

  /** The offset of this place was deleted, with all that were to take its place. */
  delete(group: string, topic: string, partition: number): void {
    for (const [producerId, pending] of this.#groups.get(group)?.get(topic)?.get(partition) ?? []) {
      this.#remove(producerId, pending)
      this.#transactions.get(producerId)?.offsets.delete(pending)
    }
  }

  #placeOf({ group, topic, partition }: Omit<PendingOffset, 'overtaken'>): Place {
    let topics = this.#groups.get(group)
    if (topics === undefined) this.#groups.set(group, (topics = new Map()))
    let partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, (partitions = new Map()))
    let place = partitions.get(partition)
    if (place === undefined) partitions.set(partition, (place = new Map()))
    return place
  }

  #remove(producerId: number, { group, topic, partition }: PendingOffset): void {
    const topics = this.#groups.get(group)
    const partitions = topics?.get(topic)
    const place = partitions?.get(partition)
    if (topics === undefined || partitions === undefined || place === undefined) return
    place.delete(producerId)
    if (place.size === 0) partitions.delete(partition)
    if (partitions.size === 0) topics.delete(topic)
    if (topics.size === 0) this.#groups.delete(group)
  }
}
