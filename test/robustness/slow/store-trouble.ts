/** An object store that is slow, lossy, overloaded, gone, and back again. Producers and consumers live through it, and nothing is lost. */
import assert from 'node:assert/strict'
import { Kafka, logLevel } from 'kafkajs'
import { eventually } from '../../support/broker.ts'
import type { TestBroker } from '../../support/broker.ts'
import { MemoryWatch, mib, readiness } from '../support/process-watch.ts'
import { sleep } from '../support/toxic-proxy.ts'
import type { ToxicProxy } from '../support/toxic-proxy.ts'
import { portOf, shown, stopAll, verifyAll } from './scenario.ts'
import type { Scenario, World } from './scenario.ts'

interface Trouble {
  readonly name: string
  /** Makes trouble and ends it. */
  apply(proxy: ToxicProxy, world: World, broker: TestBroker): Promise<void>
  readonly args?: readonly string[]
}

/** A consumer group of kafkajs that reads on while there is trouble: it must see every offset of every partition, in order. */
class WitnessConsumer {
  readonly #next = new Map<number, number>()
  readonly #consumer
  readonly #topic: string
  seen = 0
  skipped: string | null = null

  constructor(broker: TestBroker, topic: string) {
    this.#topic = topic
    const kafka = new Kafka({ clientId: 'witness', brokers: [broker.address], logLevel: logLevel.NOTHING, retry: { retries: 1000, maxRetryTime: 1000 } })
    this.#consumer = kafka.consumer({ groupId: `witness-${topic}`, sessionTimeout: 60_000, heartbeatInterval: 3000 })
  }

  async start(): Promise<void> {
    await this.#consumer.connect()
    await this.#consumer.subscribe({ topic: this.#topic, fromBeginning: true })
    await this.#consumer.run({
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch }) => {
        for (const { offset } of batch.messages) {
          const at = Number(offset)
          const expected = this.#next.get(batch.partition) ?? 0
          // Given again after a rebalance: at least once is what a group promises.
          if (at < expected) continue
          if (at > expected) this.skipped ??= `${batch.partition}: ${at} after ${expected - 1}`
          this.#next.set(batch.partition, at + 1)
          this.seen++
        }
      },
    })
  }

  async finish(total: number): Promise<void> {
    await eventually(`the group has seen ${total} records, not ${this.seen}`, () => this.seen >= total, 60_000)
    assert.equal(this.skipped, null)
    await this.#consumer.disconnect()
  }
}

function scenario(trouble: Trouble): Scenario {
  const { args = [] } = trouble
  return {
    name: `store trouble: ${trouble.name}`,
    async run(world) {
      const proxy = await world.proxy()
      const store = await world.s3Store()
      const broker = await world.broker({ store, proxy, args })
      const topic = 'trouble'
      const producers = await world.load([broker.address], topic, 4, { pauseMs: 5 })
      const witness = new WitnessConsumer(broker, topic)
      await witness.start()
      await eventually('the load runs', () => producers.every(({ acknowledged }) => acknowledged.length > 5))
      const memory = new MemoryWatch(broker.process.pid!)
      await trouble.apply(proxy, world, broker)
      proxy.heal()
      const before = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('everybody goes on', () => producers.every(({ acknowledged }, i) => acknowledged.length > before[i]! + 3), 60_000)
      await eventually('ready again', async () => (await readiness(broker.http)) === 200, 10_000)
      const batches = await stopAll(producers)
      const troubles = new Map<string, number>()
      const total = await verifyAll(broker.address, producers, troubles)
      await witness.finish(total)
      world.note(`${batches} batches acknowledged; worst ${Math.round(Math.max(...producers.map(({ worstMs }) => worstMs)))} ms; ` +
        `${proxy.counts.harmed} of ${proxy.counts.requests} requests harmed; memory at most ${mib(memory.stop())}`)
      for (const producer of producers.slice(0, 1)) world.note(`producer 0: ${producer.summary()}`)
      assert.equal(await broker.stop(), 0, 'exit code')
      // Without anything in memory: what the tables and lanes say.
      const again = await world.broker({ store, proxy, port: portOf(broker.address), args })
      assert.equal(await verifyAll(again.address, producers, troubles), total)
      if (troubles.size > 0) world.note(`reads survived: ${shown(troubles)}`)
      assert.equal(await again.stop(), 0, 'exit code of the second run')
    },
  }
}

const laneAndTables = (method: string, path: string): boolean => method === 'PUT' && !path.includes('/probe/')

export const storeTrouble: readonly Scenario[] = [
  scenario({
    name: 'every request takes 60–200 ms more',
    async apply(proxy) {
      proxy.set({ latencyMs: [60, 200] })
      await sleep(6000)
    },
  }),
  scenario({
    name: 'bandwidth of 1 MB/s',
    async apply(proxy) {
      proxy.set({ bytesPerSecond: 1_000_000 })
      await sleep(6000)
    },
  }),
  scenario({
    name: 'a fifth of the replies to writes is lost after the effect',
    async apply(proxy) {
      proxy.set({ lostReplies: 0.2, cutRequests: 0.05 }, laneAndTables)
      await sleep(8000)
    },
  }),
  scenario({
    name: 'answers are cut off in the middle, requests fail',
    async apply(proxy) {
      proxy.set({ cutAnswers: 0.1, cutRequests: 0.05, lostReplies: 0.05 })
      await sleep(8000)
    },
  }),
  scenario({
    name: 'half of the requests are told to slow down',
    async apply(proxy) {
      proxy.set({ slowDown: 0.5 })
      await sleep(8000)
    },
  }),
  scenario({
    name: 'a blackhole of 12 s',
    args: ['--store-request-timeout-ms', '4000'],
    async apply(proxy, world, broker) {
      proxy.set({ blackhole: true })
      const began = performance.now()
      await eventually('unready', async () => (await readiness(broker.http)) === 503, 11_000)
      world.note(`unready after ${Math.round(performance.now() - began)} ms`)
      await sleep(Math.max(0, 12_000 - (performance.now() - began)))
    },
  }),
  scenario({
    name: 'connections are refused for 8 s',
    async apply(proxy, world, broker) {
      proxy.set({ refuse: true })
      const began = performance.now()
      await eventually('unready', async () => (await readiness(broker.http)) === 503, 11_000)
      world.note(`unready after ${Math.round(performance.now() - began)} ms`)
      await sleep(Math.max(0, 8000 - (performance.now() - began)))
    },
  }),
  scenario({
    name: 'MinIO is killed with -9 and started again, twice',
    async apply(_proxy, world) {
      for (let round = 0; round < 2; round++) {
        await world.killMinio()
        await sleep(1500)
        await world.restartMinio()
        await sleep(2500)
      }
    },
  }),
]
