/**
 * Transactions through crashes, take-overs and flushes of all sizes: each committed one is in exactly one version of the table, whole, in all
 * partitions that it wrote to; none that was aborted is ever there; and consumers of committed records see the same (P4).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attributes, isControl, iterateBatches, lastOffset, producerId as producerIdOf } from '../../../protocol/records/batch.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import type { TransactionMarker } from '../../../storage/partition/types.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { batchOf } from '../partition/support.ts'
import { TestBroker } from './support.ts'

const PARTITIONS = 3
const SEEDS = 40
const parquet = new InlineParquet()

type State = 'open' | 'ending' | 'committed' | 'aborted'

interface Transaction {
  readonly id: string
  readonly epoch: number
  /** Values by partition. */
  readonly rows: Map<number, string[]>
  state: State
  commits: boolean
}

/** What the coordinator and the client of one transactional id know together; it outlives brokers. */
class Producer {
  readonly id: number
  epoch = 0
  current: Transaction | null = null
  readonly all: Transaction[] = []
  readonly sequences = new Map<number, number>()
  /** Offsets that must be durable before a commit may begin. */
  lastWrites = new Map<number, number>()

  constructor(id: number) {
    this.id = id
  }
}

class Script {
  readonly #env: SimEnv
  readonly #store: MemoryStore
  readonly #producers = [new Producer(1), new Producer(2), new Producer(3)]
  readonly #plain: string[] = []
  readonly #flushBytes: number
  #broker!: TestBroker
  #topic = ''
  #made = 0
  /** What read committed consumers saw, by partition and offset. */
  readonly #seen = Array.from({ length: PARTITIONS }, () => new Map<number, string>())

  constructor(env: SimEnv, store: MemoryStore) {
    this.#env = env
    this.#store = store
    this.#flushBytes = env.oneIn(2) ? 1_000_000 : 100 + env.below(1000)
  }

  async run(): Promise<void> {
    const env = this.#env
    this.#broker = await this.#start()
    this.#topic = await this.#broker.createTopic('orders', PARTITIONS)
    for (let step = 0; step < 150; step++) {
      const producer = this.#producers[env.below(this.#producers.length)]!
      const what = env.below(20)
      if (what === 0) await this.#crash()
      else if (what < 3) await this.#writePlain()
      else if (what < 13) this.#write(producer)
      else if (what < 17) await this.#end(producer, !env.oneIn(3))
      else if (what < 19) await this.#consume(env.below(PARTITIONS))
      else await env.clock.sleep(env.below(300))
      if (env.oneIn(3)) await env.clock.sleep(env.below(40))
    }
    await this.#crash()
    for (const producer of this.#producers) await this.#end(producer, true)
    for (let p = 0; p < PARTITIONS; p++) await this.#broker.flushed(this.#topic, p)
    for (let p = 0; p < PARTITIONS; p++) await this.#consume(p, 0)
    await this.#checkTable()
    this.#checkSeen()
    // What a predecessor that did not know its end had flushed, and collected, is found to be in the table when it is looked for.
    assert.deepEqual(this.#broker.warnings.filter((message) => !message.includes('the flush is tried again')), [])
    await this.#broker.engine.close(10_000)
  }

  #start(): Promise<TestBroker> {
    const env = this.#env
    return TestBroker.start(env, this.#store, {
      flushIntervalMs: 10 + env.below(200),
      flushBytes: this.#flushBytes,
      options: {
        lane: { lingerMs: env.below(3), inflightMax: 1 + env.below(3), segmentBytesMax: env.oneIn(2) ? 1 : 5000, bufferBytesMax: 100_000 },
        checkpointIntervalMs: 20 + env.below(300),
        cacheBytes: env.oneIn(2) ? 0 : env.below(5000),
      },
    })
  }

  #log(partition: number): StoredPartitionLog {
    return this.#broker.log(this.#topic, partition)
  }

  #write(producer: Producer): void {
    const env = this.#env
    if (producer.current === null) {
      producer.current = { id: `t${this.#made++}`, epoch: producer.epoch, rows: new Map(), state: 'open', commits: false }
      producer.all.push(producer.current)
    }
    const { current } = producer
    const partition = env.below(PARTITIONS)
    const known = current.rows.get(partition) ?? []
    const values = Array.from({ length: 1 + env.below(3) }, (_, i) => `${current.id}/${partition}/${known.length + i}`)
    const baseSequence = producer.sequences.get(partition) ?? 0
    const batch = batchOf(values, { producerId: producer.id, producerEpoch: producer.epoch, baseSequence, transactional: true })
    const outcome = this.#log(partition).append(batch, { origin: 'client' })
    assert.equal(outcome.kind, 'appended')
    current.rows.set(partition, [...known, ...values])
    producer.sequences.set(partition, baseSequence + values.length)
    producer.lastWrites.set(partition, outcome.kind === 'appended' ? outcome.lastOffset : 0)
  }

  async #end(producer: Producer, commits: boolean): Promise<void> {
    const { current } = producer
    if (current === null || current.state !== 'open') return
    // A client commits what was acknowledged.
    if (commits) for (const [partition, offset] of producer.lastWrites) await this.#durable(partition, offset)
    current.commits = commits
    current.state = 'ending'
    await this.#mark(producer, current)
  }

  /** As a coordinator: markers in one turn, or one after the other, or again after a crash. */
  async #mark(producer: Producer, transaction: Transaction): Promise<void> {
    const env = this.#env
    const broker = this.#broker
    const ends: [number, number][] = []
    for (const partition of transaction.rows.keys()) {
      const marker: TransactionMarker = { producerId: producer.id, producerEpoch: producer.epoch, coordinatorEpoch: 1, committed: transaction.commits }
      const outcome = this.#log(partition).appendMarker(marker)
      assert.equal(outcome.kind, 'appended')
      if (outcome.kind === 'appended') ends.push([partition, outcome.lastOffset])
      if (env.oneIn(3)) await env.clock.sleep(env.below(60))
      // It crashes in the middle; whoever comes next finds it.
      if (env.oneIn(12)) await this.#crash()
      if (this.#broker !== broker) return
    }
    for (const [partition, offset] of ends) await this.#durable(partition, offset)
    transaction.state = transaction.commits ? 'committed' : 'aborted'
    producer.current = null
    producer.lastWrites.clear()
  }

  async #writePlain(): Promise<void> {
    const value = `plain${this.#made++}`
    if ((await this.#broker.produce(this.#topic, [value], this.#env.below(PARTITIONS))) === 'durable') this.#plain.push(value)
  }

  async #durable(partition: number, offset: number): Promise<void> {
    const outcome = await new Promise((resolve) => this.#log(partition).whenDurable(offset, resolve))
    assert.equal(outcome, 'durable')
  }

  /** Another process takes over, in the middle of whatever is going on; open transactions are aborted with a new epoch, those that were ending go on. */
  async #crash(): Promise<void> {
    this.#broker = await this.#start()
    for (const producer of this.#producers) {
      const { current } = producer
      if (current === null) continue
      // What was written may be lost, and its sequences with it.
      if (!current.commits) {
        producer.epoch++
        producer.sequences.clear()
        current.commits = false
        current.state = 'ending'
      }
      await this.#mark(producer, current)
    }
  }

  /** As a consumer of committed records, which leaves out what the answers say was aborted. */
  async #consume(partition: number, fromOffset = this.#env.below(this.#log(partition).highWatermark + 1)): Promise<void> {
    const seen = this.#seen[partition]!
    for (let next = fromOffset; ; ) {
      const log = this.#log(partition)
      const maxBytes = this.#env.oneIn(2) ? 1 : 10_000
      const outcome = await log.read({ fromOffset: next, maxBytes, atLeastOne: true, isolation: 'readCommitted' })
      if (outcome.kind !== 'records' || outcome.bytes === 0) return
      const aborted = [...(outcome.aborted ?? [])]
      const skipped = new Set<number>()
      for (const chunk of outcome.chunks) {
        for (const { start, end } of iterateBatches(chunk)) {
          const batch = chunk.subarray(start, end)
          while (aborted.length > 0 && aborted[0]!.firstOffset <= lastOffset(batch, 0)) skipped.add(aborted.shift()!.producerId)
          const records = recordsOf(batch)
          next = Math.max(next, lastOffset(batch, 0) + 1)
          if (isControl(attributes(batch, 0))) skipped.delete(producerIdOf(batch, 0))
          else if (!skipped.has(producerIdOf(batch, 0))) for (const { offset, value } of records) this.#note(seen, offset, text(value))
        }
      }
    }
  }

  #note(seen: Map<number, string>, offset: number, value: string): void {
    assert.equal(seen.get(offset) ?? value, value, `offset ${offset}`)
    seen.set(offset, value)
  }

  /** The table, version by version, from its log alone. */
  async #checkTable(): Promise<void> {
    const versionOf = new Map<string, number>()
    const location = 'topics/orders'
    let version = 0
    for (; ; version++) {
      const commit = await this.#store.get(`${location}/_delta_log/${String(version).padStart(20, '0')}.json`)
      if (commit === null) break
      for (const line of Buffer.from(commit).toString().trim().split('\n')) {
        const { add } = JSON.parse(line) as { add?: { path: string } }
        if (add === undefined) continue
        const file = (await this.#store.get(`${location}/${decodeURIComponent(add.path)}`))!
        const { batches } = await parquet.decode({ file, fromOffset: 0, maxBytes: Number.MAX_SAFE_INTEGER })
        for (const { value } of batches.flatMap(({ bytes }) => recordsOf(bytes))) {
          assert.ok(!versionOf.has(text(value)), `${text(value)} is in versions ${versionOf.get(text(value))} and ${version}`)
          versionOf.set(text(value), version)
        }
      }
    }
    assert.ok(version > 2)
    for (const transaction of this.#transactions()) {
      const values = [...transaction.rows.values()].flat()
      const versions = new Set(values.map((value) => versionOf.get(value)))
      assert.equal(versions.size, 1, `${transaction.id} is in versions ${[...versions].join()}`)
      assert.equal(versions.has(undefined), transaction.state === 'aborted', `${transaction.id}, ${transaction.state}`)
      for (const value of values) versionOf.delete(value)
    }
    for (const value of this.#plain) assert.ok(versionOf.delete(value), value)
    assert.deepEqual([...versionOf.keys()].filter((value) => !value.startsWith('plain')), [])
  }

  #checkSeen(): void {
    const seen = new Set(this.#seen.flatMap((partition) => [...partition.values()]))
    for (const { id, rows, state } of this.#transactions()) {
      for (const value of [...rows.values()].flat()) assert.equal(seen.has(value), state === 'committed', `${value} of ${id}, ${state}`)
    }
    for (const value of this.#plain) assert.ok(seen.has(value), value)
  }

  #transactions(): Transaction[] {
    const all = this.#producers.flatMap((producer) => producer.all)
    assert.ok(all.some(({ state }) => state === 'committed') && all.some(({ state }) => state === 'aborted'))
    assert.ok(all.every(({ state }) => state === 'committed' || state === 'aborted'))
    return all
  }
}

function text(value: Uint8Array | null): string {
  return Buffer.from(value ?? '').toString()
}

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`transactions, seed ${seed}`, () => {
    const env = new SimEnv(seed)
    return env.run(new Script(env, new MemoryStore({ clock: env.clock })).run())
  })
}
