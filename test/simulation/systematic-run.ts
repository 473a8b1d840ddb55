/**
 * One small script, and an accident at the k-th await point of one broker: a timer that fires, a store call that begins (before its effect),
 * or its answer (after its effect). Run for k = 1, 2, … until the accident no longer comes, that is every await point of append → lane →
 * flush → commit → checkpoint → collect.
 */
import type { FaultRule } from '../../storage/objects/faulty-store.ts'
import { Consumer, Producer } from './clients.ts'
import { finale } from './finale.ts'
import type { BrokerSettings, SimBroker } from './sim-broker.ts'
import { skewOf } from './skewed-store.ts'
import { World } from './world.ts'

export const systematicModes = ['crash', 'pause', 'crashRecovering', 'pauseRecovering', 'twins', 'crashClosing'] as const
export type SystematicMode = (typeof systematicModes)[number]

/** The store answers after a moment and does what it is asked for; only accidents happen. */
const calm: FaultRule = { delayMs: [1, 1] }

const calmly: Omit<BrokerSettings, 'skew'> = {
  engine: {
    nodeId: 1,
    lane: { lingerMs: 2, inflightMax: 3, segmentBytesMax: 600, bufferBytesMax: 100_000 },
    checkpointIntervalMs: 45,
    cleanerBackoffMs: 70,
    journalPollMs: 100,
    cacheBytes: 500,
    producerExpirationMs: 86_400_000,
    flush: { parquetCompression: 'none', topicsAtOnce: 2, retryMs: 40 },
    maintenance: { compaction: true, parquetCompression: 'none', logRetentionMs: 86_400_000, deletedFileRetentionMs: 86_400_000, keyBytesMax: 100_000 },
  },
  topic: { flushIntervalMs: 60, flushBytes: 4000 },
  coldCacheBytes: 10_000,
  tableCheckpointEvery: 3,
  rebuiltCodec: 'none',
  networkMs: 0.5,
}

/** `counts.accidents` of the result is 0 when the script was over before the k-th await point. */
export async function systematicRun(mode: SystematicMode, k: number, onTrace?: (line: string) => void): Promise<World> {
  // Another seed for each k: whether what is under way at a crash has its effect is decided by it.
  const world = new World(k, onTrace)
  world.counts['accidents'] = 0
  await world.env.run(script(world, mode, k), 3_600_000)
  return world
}

async function script(world: World, mode: SystematicMode, k: number): Promise<void> {
  const { env } = world
  const settings = { ...calmly, skew: skewOf(k, 25) }
  let broker = await serve(world, settings)
  const topic = await world.createTopic('kept', 2, {})
  const passing = await world.createTopic('passing', 1, {})
  const keyed = await world.createTopic('keyed', 1, { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0', 'delete.retention.ms': '60' })
  const clients: { readonly done: Promise<void> }[] = []
  for (const ledger of [...topic.partitions, ...passing.partitions, ...keyed.partitions]) {
    clients.push(new Producer(world, ledger, { idempotent: true, batchesMax: 9, pauseMs: 24 }), new Consumer(world, ledger, false))
  }
  clients.push(new Producer(world, topic.partitions[0]!, { idempotent: false, batchesMax: 5, pauseMs: 40 }))
  const deletion = env.clock.sleep(120).then(() => world.deleteTopic(passing))

  let victim = broker
  if (mode === 'crashRecovering' || mode === 'pauseRecovering' || mode === 'crashClosing' || mode === 'twins') {
    // In peace everything would be flushed and collected; in the middle of the work, hardly anything.
    await env.clock.sleep(mode === 'twins' && k % 2 === 0 ? 700 : 110)
    if (mode === 'crashClosing') void broker.close(1000)
    else {
      broker.kill()
      victim = world.startBroker(settings, [calm])
    }
  }
  let struck = false
  victim.process.whenStopped(() => (struck ||= !victim.closed))
  if (mode === 'pause' || mode === 'pauseRecovering' || mode === 'twins') victim.process.pauseAfter(k)
  else victim.process.killAfter(k)
  for (let ms = 0; ms < 320 && victim.process.alive && !victim.process.paused; ms++) await env.clock.sleep(1)
  victim.process.disarm()
  if (struck && victim.process.paused && mode === 'twins') {
    // A third one starts, sleeps somewhere as well, and goes on after the second one has.
    const third = world.startBroker(settings, [calm])
    third.process.pauseAfter(env.below(130))
    await env.clock.sleep(250)
    third.process.disarm()
    victim.process.resume(env.oneIn(2))
    await env.clock.sleep(env.below(250))
    third.process.resume(env.oneIn(2))
    await env.clock.sleep(env.below(150))
  } else if (struck && victim.process.paused) {
    await env.clock.sleep(5)
    broker = await serve(world, settings)
    await env.clock.sleep(env.below(120))
    victim.process.resume(env.oneIn(2))
    await env.clock.sleep(env.below(120))
  } else {
    await env.clock.sleep(5)
    broker = await serve(world, settings)
    await env.clock.sleep(env.below(200))
  }
  if (struck) world.count('accidents')
  if (!broker.serving) await serve(world, settings)
  await deletion
  await finale(world, clients, settings)
}

async function serve(world: World, settings: BrokerSettings): Promise<SimBroker> {
  const broker = world.startBroker(settings, [calm])
  await broker.started
  return broker
}
