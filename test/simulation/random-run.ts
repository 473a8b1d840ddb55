/** A run in which the seed decides everything: settings, faults, load, crashes, pauses, take-overs. */
import type { FaultRule } from '../../storage/objects/faulty-store.ts'
import { downRule } from '../../storage/objects/faulty-store.ts'
import { Consumer, Deleter, Producer } from './clients.ts'
import { finale } from './finale.ts'
import type { TopicLedger } from './ledger.ts'
import type { BrokerSettings, SimBroker } from './sim-broker.ts'
import type { SimEnv } from './sim-env.ts'
import { skewOf } from './skewed-store.ts'
import { World } from './world.ts'

export async function randomRun(seed: number, onTrace?: (line: string) => void): Promise<World> {
  const world = new World(seed, onTrace)
  await world.env.run(new Script(world).run(), 3_600_000)
  return world
}

class Script {
  readonly #world: World
  readonly #env: SimEnv
  readonly #clients: { readonly done: Promise<void> }[] = []
  readonly #creations: Promise<unknown>[] = []
  readonly #base: FaultRule
  readonly #settings: BrokerSettings
  /** So many flushes that their files are merged. */
  readonly #isLong: boolean

  constructor(world: World) {
    this.#world = world
    this.#env = world.env
    this.#base = faults(world.env)
    this.#isLong = world.env.oneIn(12)
    this.#settings = settingsOf(world.env, this.#isLong)
  }

  async run(): Promise<void> {
    const env = this.#env
    await this.#replace()
    const topics = 1 + env.below(2)
    const creation = (async () => {
      for (let i = 0; i < topics; i++) await this.#topic(`topic${i}`)
      while (!this.#world.draining && env.oneIn(2)) {
        await env.clock.sleep(env.below(1500))
        const victim = this.#world.topics[env.below(this.#world.topics.length)]!
        if (!victim.deleteRequested && env.oneIn(2)) {
          await this.#world.deleteTopic(victim)
          if (env.oneIn(2)) await this.#topic(victim.record.name)
        }
      }
    })()
    const lives = 1 + env.below(5)
    for (let i = 0; i < lives; i++) {
      await env.clock.sleep(100 + env.below(env.oneIn(3) ? 300 : 1500))
      await this.#accident()
    }
    await env.clock.sleep(env.below(800))
    // Creation needs a broker that serves.
    while (this.#world.leader() === null) await this.#replace()
    const created = Promise.all([creation, ...this.#creations]).then(() => true)
    while (!(await Promise.race([created, env.clock.sleep(3000).then(() => false)]))) {
      if (this.#world.leader() === null || this.#world.leader()!.process.paused) await this.#replace()
    }
    await finale(this.#world, this.#clients, this.#settings)
  }

  async #accident(): Promise<void> {
    const env = this.#env
    const leader = this.#world.leader()
    const kind = leader === null ? 'replace' : (['kill', 'killAt', 'pause', 'pauseAt', 'takeOver', 'twins', 'close'] as const)[env.below(7)]!
    this.#world.count(kind)
    switch (kind) {
      case 'kill':
        leader!.kill()
        break
      case 'killAt':
        leader!.process.killAfter(env.below(300))
        await env.clock.sleep(env.below(400))
        break
      case 'pause':
        leader!.process.pause()
        this.#wakeLater(leader!)
        break
      case 'pauseAt':
        leader!.process.pauseAfter(env.below(300))
        await env.clock.sleep(env.below(400))
        this.#wakeLater(leader!)
        break
      case 'close':
        await Promise.race([leader!.close(50 + env.below(2000)), env.clock.sleep(5000)])
        break
      case 'twins':
        // Two that start at the same time: one of them may be the zombie before it has served.
        this.#start()
        await env.clock.sleep(env.below(60))
        break
      case 'takeOver':
      case 'replace':
        break
    }
    if (env.oneIn(4)) await env.clock.sleep(env.below(500))
    // Topics are created while one broker takes over from another.
    if (env.oneIn(4)) this.#creations.push(this.#topic(`topic${this.#creations.length + 10}`))
    await this.#replace()
  }

  /** A new broker, and another one where it does not live to serve. */
  async #replace(): Promise<void> {
    const env = this.#env
    for (let attempt = 1; ; attempt++) {
      const broker = this.#start()
      const fate = attempt > 3 ? 7 : env.below(8)
      if (fate === 0) broker.process.killAfter(env.below(120))
      if (fate === 1) {
        broker.process.pauseAfter(env.below(120))
        this.#wakeLater(broker)
      }
      const tired = env.clock.sleep(4000 * attempt).then(() => 'tired' as const)
      const state = await Promise.race([broker.started, tired])
      if (state !== 'tired' && broker.serving) return
      this.#world.count('starts that failed')
      if (env.oneIn(2)) broker.kill()
    }
  }

  #start(): SimBroker {
    const env = this.#env
    const rules = [this.#base]
    if (env.oneIn(3)) {
      const fromMs = env.nowMs + env.below(1500)
      rules.unshift(downRule(fromMs, fromMs + env.below(env.oneIn(4) ? 3000 : 400)))
    }
    return this.#world.startBroker(this.#settings, rules)
  }

  #wakeLater(broker: SimBroker): void {
    const asleep = this.#env.oneIn(2)
    this.#env.setTimer(this.#env.below(this.#env.oneIn(4) ? 20_000 : 1500), () => broker.process.resume(asleep))
  }

  async #topic(name: string): Promise<TopicLedger> {
    const env = this.#env
    const configs = { ...(env.oneIn(4) ? { 'message.timestamp.type': 'LogAppendTime' } : {}), ...(env.oneIn(3) ? compacted(env) : {}) }
    const topic = await this.#world.createTopic(name, 1 + env.below(3), configs)
    for (const ledger of topic.partitions) {
      for (let i = env.oneIn(3) ? 2 : 1; i > 0; i--) {
        const load = this.#isLong ? { batchesMax: 100, pauseMs: 30 } : { batchesMax: 5 + env.below(40), pauseMs: 5 + env.below(90) }
        const plan = { idempotent: !env.oneIn(3), ...load }
        this.#clients.push(new Producer(this.#world, ledger, plan))
      }
      this.#clients.push(new Consumer(this.#world, ledger, false))
      if (env.oneIn(3)) this.#clients.push(new Consumer(this.#world, ledger, true))
      if (env.oneIn(8)) this.#clients.push(new Deleter(this.#world, ledger))
    }
    return topic
  }
}

function compacted(env: SimEnv): Record<string, string> {
  return {
    'cleanup.policy': env.oneIn(3) ? 'compact,delete' : 'compact',
    'retention.ms': `${500 + env.below(5000)}`,
    'min.cleanable.dirty.ratio': `${env.oneIn(2) ? 0 : env.random() * 0.6}`,
    'delete.retention.ms': `${env.oneIn(4) ? 86_400_000 : env.below(2000)}`,
    'min.compaction.lag.ms': `${env.oneIn(3) ? env.below(1500) : 0}`,
    'max.compaction.lag.ms': `${env.oneIn(3) ? 1 + env.below(3000) : Number.MAX_SAFE_INTEGER}`,
  }
}

function settingsOf(env: SimEnv, isLong: boolean): BrokerSettings {
  return {
    engine: {
      nodeId: 1,
      lane: { lingerMs: env.below(12), inflightMax: 1 + env.below(5), segmentBytesMax: 500 + env.below(4000), bufferBytesMax: 100_000 },
      checkpointIntervalMs: 40 + env.below(400),
      retentionCheckIntervalMs: 200 + env.below(2000),
      cleanerBackoffMs: 50 + env.below(1000),
      journalPollMs: 150 + env.below(1500),
      cacheBytes: env.below(8000),
      producerExpirationMs: 86_400_000,
      flush: { parquetCompression: 'none', topicsAtOnce: 1 + env.below(3), retryMs: 50 + env.below(300) },
      maintenance: { compaction: isLong || env.oneIn(2), parquetCompression: 'none', logRetentionMs: 86_400_000, deletedFileRetentionMs: 86_400_000, keyBytesMax: env.oneIn(3) ? 60 + env.below(500) : 100_000 },
    },
    topic: { flushIntervalMs: isLong ? 15 : 20 + env.below(400), flushBytes: 300 + env.below(10_000) },
    skew: skewOf(env.below(12), 60),
    coldCacheBytes: env.oneIn(5) ? 0 : env.below(50_000),
    tableCheckpointEvery: env.oneIn(4) ? 2 + env.below(6) : 0,
    rebuiltCodec: env.oneIn(3) ? 'lz4' : 'none',
    networkMs: env.below(4),
  }
}

function faults(env: SimEnv): FaultRule {
  const isCalm = env.oneIn(4)
  const chance = (): number => (isCalm ? 0 : env.random() * 0.08)
  return {
    failBefore: chance(), loseReply: chance(), landLate: chance(), lateMs: [1, env.oneIn(3) ? 8000 : 500],
    delayMs: [0.1, env.oneIn(4) ? 120 : 1 + env.below(15)],
  }
}
