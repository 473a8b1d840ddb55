/** The partitions of an internal topic that its coordinator has in memory: each is loaded when somebody asks for it first. */
import { KafkaError } from '../../protocol/errors.ts'
import type { Clock } from '../../storage/env.ts'

/** How long a request waits for a partition to be loaded before the client is told to try again. */
const LOAD_WAIT_MS = 2_000

interface Slot<S> {
  shard: S | null
  /** Settles with the shard, or with an error code; never rejects. */
  readonly loading: Promise<S | number>
}

export class Shards<S extends object> {
  readonly #clock: Clock
  readonly #open: (partition: number) => Promise<S | number>
  readonly #slots = new Map<number, Slot<S>>()
  #stopped = false

  /** `open` loads a partition: its shard or an error code; it must not reject. What it gives after `stop` nobody will ask for. */
  constructor(clock: Clock, open: (partition: number) => Promise<S | number>) {
    this.#clock = clock
    this.#open = open
  }

  get isStopped(): boolean {
    return this.#stopped
  }

  /** Those that are loaded. */
  *[Symbol.iterator](): Generator<S, void> {
    for (const { shard } of this.#slots.values()) if (shard !== null) yield shard
  }

  isLoaded(partition: number): boolean {
    return (this.#slots.get(partition)?.shard ?? null) !== null
  }

  /** The loaded shard at once, else after loading, which is waited for within a bound; or an error code. */
  at(partition: number): S | Promise<S | number> {
    if (this.#stopped) return Promise.resolve(KafkaError.NOT_COORDINATOR)
    const { shard, loading } = this.#slot(partition)
    if (shard !== null) return shard
    return new Promise((resolve) => {
      const timer = this.#clock.schedule(LOAD_WAIT_MS, () => resolve(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))
      void loading.then((result) => {
        timer.cancel()
        resolve(result)
      })
    })
  }

  /** For those who cannot wait: the shard, or an error code; loading has begun then. */
  now(partition: number): S | number {
    return this.#stopped ? KafkaError.NOT_COORDINATOR : (this.#slot(partition).shard ?? KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
  }

  /** For those who wait as long as it takes. */
  async whenLoaded(partition: number): Promise<S | number> {
    return this.#stopped ? KafkaError.NOT_COORDINATOR : this.#slot(partition).loading
  }

  /** The partition is led by somebody else, or gone: it is loaded anew when it is asked for again. Gives its shard. */
  drop(partition: number): S | null {
    const shard = this.#slots.get(partition)?.shard ?? null
    this.#slots.delete(partition)
    return shard
  }

  /** Refuses everything from now on. Gives those that are loaded. */
  stop(): S[] {
    this.#stopped = true
    const loaded = [...this]
    this.#slots.clear()
    return loaded
  }

  #slot(partition: number): Slot<S> {
    const known = this.#slots.get(partition)
    if (known !== undefined) return known
    const slot: Slot<S> = { shard: null, loading: this.#open(partition) }
    this.#slots.set(partition, slot)
    void slot.loading.then((result) => {
      if (this.#slots.get(partition) !== slot) return
      if (typeof result === 'number') this.#slots.delete(partition)
      else slot.shard = result
    })
    return slot
  }
}
