/** Several brokers that each believe the store to be theirs: at most one acknowledges (P3), and clients lose nothing and get nothing twice. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { eventually, startTestBroker } from '../../support/broker.ts'
import type { TestBroker } from '../../support/broker.ts'
import { LedgerProducer, createTopic } from '../support/ledger.ts'
import { sleep } from '../support/toxic-proxy.ts'
import { complaints, quick, stopAll, verifyAll } from './scenario.ts'
import type { Scenario, World } from './scenario.ts'

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    return server
  }))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}

/** Starts a broker again and again, as a supervisor would that knows no exit codes. */
class Supervisor {
  readonly codes = new Map<string, number>()
  readonly #world: World
  readonly #store: string
  readonly #port: number
  readonly #env: Readonly<Record<string, string>>
  readonly #restMs: number
  #running = true
  #broker: TestBroker | null = null
  #done: Promise<void> = Promise.resolve()
  starts = 0
  /** On its way up: it may still take over. */
  isStarting = false

  constructor(world: World, store: string, port: number, env: Readonly<Record<string, string>>, restMs: number) {
    this.#world = world
    this.#store = store
    this.#port = port
    this.#env = env
    this.#restMs = restMs
  }

  start(): this {
    this.#done = this.#run()
    this.#world.after(async () => {
      this.#running = false
      // One that is only starting is killed when it is there.
      const done = this.#done.then(() => true)
      while (!(await Promise.race([done, sleep(200).then(() => false)]))) await this.#broker?.kill()
    })
    return this
  }

  /** Lets the broker that runs live on, and starts no other. */
  retire(): TestBroker | null {
    this.#running = false
    return this.#broker
  }

  async #run(): Promise<void> {
    while (this.#running) {
      this.starts++
      let code: string
      this.isStarting = true
      try {
        this.#broker = await startTestBroker({ store: this.#store, port: this.#port, args: quick, env: this.#env })
        this.isStarting = false
        code = String(await this.#broker.exited)
      } catch (error) {
        code = /ended with (\w+)/.exec(error instanceof Error ? error.message : '')?.[1] ?? 'failed'
        code = `${code} at start`
      }
      this.#broker = null
      this.isStarting = false
      this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
      await sleep(this.#restMs * (0.5 + Math.random()))
    }
  }
}

export const takeOver: readonly Scenario[] = [
  {
    name: 'take-over: a second broker while the first is under load',
    async run(world) {
      await world.minio()
      const store = await world.s3Store()
      const first = await world.broker({ store })
      const addresses = [first.address]
      const producers = await world.load(() => addresses, 'moved', 4)
      await eventually('the load runs', () => producers.every(({ acknowledged }) => acknowledged.length > 50))
      const begunMs = performance.now()
      const second = await world.broker({ store })
      addresses.push(second.address)
      assert.equal(await first.exited, 3)
      const before = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('the load goes on', () => producers.every(({ acknowledged }, i) => acknowledged.length > before[i]! + 50), 20_000)
      world.note(`the first one was gone ${Math.round(performance.now() - begunMs)} ms after the second began to start`)
      world.note(`the first one said: ${[...new Set(complaints(first))].join(' | ')}`)
      await stopAll(producers)
      world.note(producers[0]!.summary())
      await verifyAll(second.address, producers)
      assert.equal(await second.stop(), 0)
    },
  },
  {
    name: 'take-over: five supervisors take the store from each other',
    async run(world) {
      const minio = await world.minio()
      const store = await world.s3Store()
      const ports = await freePorts(5)
      const addresses = ports.map((port) => `127.0.0.1:${port}`)
      const supervisors = ports.map((port) => new Supervisor(world, store, port, minio.env, 3000))
      supervisors[0]!.start()
      await eventually('the first is up', () => createTopic(addresses[0]!, 'contested', 2).then(() => true, () => false))
      const producers = [0, 1].map((partition) => new LedgerProducer(addresses, { topic: 'contested', partition }).start())
      world.after(() => Promise.all(producers.map((producer) => producer.abandon())))
      await eventually('the load runs', () => producers.every(({ acknowledged }) => acknowledged.length > 5))
      for (const supervisor of supervisors.slice(1)) supervisor.start()
      await sleep(world.full ? 60_000 : 20_000)
      for (const supervisor of supervisors) supervisor.retire()
      // Whoever registered last stays; the others find out.
      const winner = await eventually('one is left', async () => {
        const alive = supervisors.map((supervisor) => supervisor.retire()).filter((broker) => broker !== null)
        return alive.length === 1 && !supervisors.some(({ isStarting }) => isStarting) ? alive[0]! : null
      }, 40_000)
      const codes = new Map<string, number>()
      for (const supervisor of supervisors) for (const [code, count] of supervisor.codes) codes.set(code, (codes.get(code) ?? 0) + count)
      world.note(`${supervisors.reduce((sum, { starts }) => sum + starts, 0)} starts; exits ${JSON.stringify([...codes])}`)
      world.note(`the one at ${winner.address} said: ${[...new Set(complaints(winner))].join(' | ')}`)
      const before = producers.map(({ acknowledged }) => acknowledged.length)
      try {
        await eventually('the load goes on', () => producers.every(({ acknowledged }, i) => acknowledged.length > before[i]! + 20), 40_000)
      } finally {
        for (const producer of producers) world.note(producer.summary())
      }
      const batches = await stopAll(producers)
      world.note(`${batches} batches acknowledged`)
      await verifyAll(winner.address, producers)
      for (const code of codes.keys()) assert.ok(code === '3' || code === '3 at start', `an exit with ${code}`)
      assert.equal(await winner.stop(), 0)
    },
  },
  {
    name: 'take-over: a broker that slept through its replacement refuses and exits with 3',
    async run(world) {
      await world.minio()
      const store = await world.s3Store()
      const zombie = await world.broker({ store })
      const addresses = [zombie.address]
      const producers = await world.load(() => addresses, 'slept', 2, { pauseMs: 2, timeoutMs: 2000 })
      await eventually('the load runs', () => producers.every(({ acknowledged }) => acknowledged.length > 50))
      process.kill(zombie.process.pid!, 'SIGSTOP')
      const successor = await world.broker({ store, args: ['--table-flush-interval-ms', '100', '--lane-checkpoint-interval-ms', '200'] })
      addresses.push(successor.address)
      const other = new LedgerProducer([successor.address], { topic: 'after', partition: 0 })
      await createTopic(successor.address, 'after', 1)
      other.start()
      world.after(() => other.abandon())
      // Long enough that the lane of the sleeper is flushed, collected, and its journal entry retired.
      await sleep(10_000)
      const wokenMs = performance.now()
      process.kill(zombie.process.pid!, 'SIGCONT')
      assert.equal(await zombie.exited, 3)
      world.note(`the sleeper was gone ${Math.round(performance.now() - wokenMs)} ms after it woke up`)
      assert.ok(complaints(zombie).some((line) => line.includes('fenced')))
      await eventually('the load has moved', () => producers.every(({ troubles }) => troubles.size > 0), 30_000)
      const before = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('the load goes on', () => producers.every(({ acknowledged }, i) => acknowledged.length > before[i]! + 20), 40_000)
      await stopAll([...producers, other])
      world.note(producers[0]!.summary())
      await verifyAll(successor.address, [...producers, other])
      assert.equal(await successor.stop(), 0)
      const cold = await world.broker({ store })
      await verifyAll(cold.address, [...producers, other])
      assert.equal(await cold.stop(), 0)
    },
  },
]
