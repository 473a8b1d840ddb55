/** The committed offsets of one group. Only durable offsets are in it. */
import type { CommittedOffset } from './records.ts'

export class OffsetTable {
  readonly #topics = new Map<string, Map<number, CommittedOffset>>()
  #size = 0

  /** How many partitions have an offset. */
  get size(): number {
    return this.#size
  }

  get(topic: string, partition: number): CommittedOffset | undefined {
    return this.#topics.get(topic)?.get(partition)
  }

  set(topic: string, partition: number, offset: CommittedOffset): void {
    let partitions = this.#topics.get(topic)
    if (partitions === undefined) this.#topics.set(topic, (partitions = new Map()))
    if (!partitions.has(partition)) this.#size++
    partitions.set(partition, offset)
  }

  delete(topic: string, partition: number): void {
    const partitions = this.#topics.get(topic)
    if (partitions?.delete(partition) !== true) return
    this.#size--
    if (partitions.size === 0) this.#topics.delete(topic)
  }

  topics(): Iterable<[topic: string, partitions: ReadonlyMap<number, CommittedOffset>]> {
    return this.#topics
  }
}
