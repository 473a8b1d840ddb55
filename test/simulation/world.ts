/** Everything of one run: the disk, the brokers one after the other, the clients, and what went wrong. */
import { crc32c } from '../../protocol/records/crc32c.ts'
import type { FaultRule } from '../../storage/objects/faulty-store.ts'
import { freeLocation } from '../../storage/journal/state.ts'
import { InlineParquet } from '../../storage/parquet/inline-parquet.ts'
import type { ParquetCodec } from '../../storage/parquet/parquet-codec.ts'
import { Disk } from './disk.ts'
import { TopicLedger } from './ledger.ts'
import { SimBroker } from './sim-broker.ts'
import type { BrokerSettings } from './sim-broker.ts'
import { SimEnv } from './sim-env.ts'
import { StandInParquet } from './stand-in-parquet.ts'

export type SimulatedParquet = Pick<ParquetCodec, 'encode' | 'decode' | 'offsetRange' | 'mergeByOffset' | 'collectKeys' | 'countSuperseded' | 'mergeByKey'>

/** One for all runs: their working memory is large, and they keep nothing between two calls. */
const realParquet = new InlineParquet()
const standIn = new StandInParquet()

export class World {
  readonly env: SimEnv
  readonly disk: Disk
  readonly brokers: SimBroker[] = []
  readonly topics: TopicLedger[] = []
  readonly violations: string[] = []
  readonly counts: Record<string, number> = {}
  /** Clients make nothing new and end when everything is settled. */
  draining = false
  readonly tracing: boolean
  readonly #onTrace: ((line: string) => void) | undefined
  #hash = 0
  #producerIds = 0

  readonly parquet: SimulatedParquet

  constructor(seed: number, onTrace?: (line: string) => void) {
    this.env = new SimEnv(seed)
    this.parquet = seed % 3 === 0 ? realParquet : standIn
    this.#onTrace = onTrace
    this.tracing = onTrace !== undefined
    this.disk = new Disk(this.env.clock, (what) => this.fail(what), (line) => this.note(line))
  }

  /** Equal for two runs that did the same in the same order at the same virtual time. */
  get hash(): number {
    return this.#hash
  }

  fail(what: string): void {
    this.note(`VIOLATION ${what}`)
    if (this.violations.length < 20) this.violations.push(`at ${Math.round(this.env.nowMs)} ms: ${what}`)
  }

  /** Part of the run's hash. */
  note(line: string): void {
    this.#hash = crc32c(Buffer.from(`${this.env.nowMs} ${line}\n`), this.#hash)
    this.trace(line)
  }

  trace(line: string): void {
    this.#onTrace?.(`${this.env.nowMs.toFixed(2).padStart(10)} ${line}`)
  }

  count(what: string, n = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + n
  }

  startBroker(settings: BrokerSettings, rules: readonly FaultRule[]): SimBroker {
    const broker = new SimBroker(this, `broker${this.brokers.length + 1}`, settings, rules)
    this.brokers.push(broker)
    this.count('brokers')
    return broker
  }

  /** Whom clients talk to: the newest broker that serves. */
  leader(): SimBroker | null {
    return this.brokers.findLast((broker) => broker.serving) ?? null
  }

  hasServedAfter(broker: SimBroker): boolean {
    return this.brokers.slice(this.brokers.indexOf(broker) + 1).some(({ engine }) => engine !== null)
  }

  nextProducerId(): number {
    return this.#producerIds++
  }

  /** Creates a topic with patience; its ledger is there before a client can use it. */
  async createTopic(name: string, partitions: number, configs: Readonly<Record<string, string>>): Promise<TopicLedger> {
    const id = this.env.uuid()
    while (!this.disk.topics.has(id)) {
      const leader = this.leader()
      const change = leader?.change((state) => {
        if (state.topics.has(id) || state.topicIdsByName.has(name)) return { kind: 'refused', reason: 'there' }
        const topic = { id, name, partitions, configs, location: freeLocation(state, name, id), createdMs: this.env.clock.now(), internal: false }
        return [{ type: 'topic-created', topic }]
      })
      await Promise.race([change, this.env.clock.sleep(200)])
      await this.env.clock.sleep(5)
    }
    const { location } = this.disk.topics.get(id)!
    const record = { id, name, partitions, configs, location, createdMs: this.env.clock.now(), internal: false }
    const ledger = new TopicLedger(record, (what) => this.fail(what))
    this.topics.push(ledger)
    return ledger
  }

  async deleteTopic(topic: TopicLedger): Promise<void> {
    const { id } = topic.record
    topic.deleteRequested = true
    this.count('topics deleted')
    while (this.disk.topics.get(id)?.deleted !== true) {
      const change = this.leader()?.change((state) => (state.topics.has(id) ? [{ type: 'topic-deleted', id }] : { kind: 'refused', reason: 'gone' }))
      await Promise.race([change, this.env.clock.sleep(200)])
      await this.env.clock.sleep(5)
    }
  }

  /** Waits until `test` says true; a violation after `limitMs`. */
  async until(what: string, limitMs: number, test: () => boolean): Promise<boolean> {
    const endMs = this.env.nowMs + limitMs
    while (!test()) {
      if (this.env.nowMs > endMs) {
        this.fail(`liveness: ${what} took more than ${limitMs} ms`)
        return false
      }
      await this.env.clock.sleep(20)
    }
    return true
  }
}
