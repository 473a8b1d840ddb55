/** The end of every run: the store heals, everybody comes to rest, a last broker takes over, and everything is compared with the ledger. */
import { checkDurable } from './checkers/durable.ts'
import { checkIdempotent } from './checkers/idempotent.ts'
import { checkLookups } from './checkers/lookups.ts'
import { checkOrdered } from './checkers/ordered.ts'
import { checkTable } from './checkers/table.ts'
import { checkTidy } from './checkers/tidy.ts'
import type { PartitionLedger, TopicLedger } from './ledger.ts'
import { readBack } from './read-back.ts'
import type { ReadBack } from './read-back.ts'
import type { BrokerSettings, SimBroker } from './sim-broker.ts'
import type { World } from './world.ts'

/** Longer than the second pass over a deleted topic's folder takes to come. */
const PURGED_MS = 65_000

export async function finale(world: World, clients: readonly { readonly done: Promise<void> }[], before: BrokerSettings): Promise<void> {
  const settings = { ...before, skew: null }
  for (const broker of world.brokers) {
    broker.door.rules = []
    broker.process.disarm()
    broker.process.resume(world.env.oneIn(2))
  }
  await Promise.all(world.brokers.map((broker) => broker.door.landed()))
  // A start that slept must not come after the last one.
  await world.until('every start came to an end', 60_000, () => world.brokers.every(({ process, engine }) => engine !== null || !process.alive))

  const last = await startLast(world, settings)
  if (last === null) return
  world.draining = true
  let settled = false
  void Promise.all(clients.map(({ done }) => done)).then(() => (settled = true))
  if (!(await world.until('clients came to an end', 60_000, () => settled))) return
  await world.until('earlier brokers noticed their end', 60_000, () => world.brokers.every((broker) => broker === last || !broker.serving))

  const topics = world.topics.filter((topic) => !topic.deleteRequested)
  await compare(world, last, topics, false)
  const logs = (): ReturnType<SimBroker['partition']>[] => topics.flatMap(({ record, partitions }) => partitions.map(({ partition }) => last.partition(record.id, partition)))
  const isFlushed = (): boolean => logs().every((log) => log !== null && log.flushedOffset === log.highWatermark && log.highWatermark === log.logEndOffset)
  if (!(await world.until('everything was flushed', 60_000, isFlushed))) return
  await compare(world, last, topics, true)

  await world.env.clock.sleep(Math.max(world.topics.length > topics.length ? PURGED_MS : 0, settings.engine.checkpointIntervalMs * 4))
  await checkTidy(world, last)
  if (world.env.oneIn(2)) await last.close(10_000)
  else last.kill()

  // Nothing of all this may stand in the way of another start, and everything comes from the tables now.
  const after = await startLast(world, settings)
  if (after === null) return
  await compare(world, after, topics, true)
  after.kill()
}

async function startLast(world: World, settings: BrokerSettings): Promise<SimBroker | null> {
  const broker = world.startBroker(settings, [])
  let started = false
  void broker.started.then(() => (started = true))
  if (!(await world.until('the last start', 60_000, () => started))) return null
  if (broker.engine !== null) return broker
  world.fail(`a start on a healthy store failed: ${String(broker.failed)}`)
  return null
}

async function compare(world: World, broker: SimBroker, topics: readonly TopicLedger[], complete: boolean): Promise<void> {
  for (const { partitions } of topics) {
    const readBacks: ReadBack[] = []
    for (const ledger of partitions) {
      const read = await readBack(world, broker, ledger)
      if (read === null) continue
      checkDurable(world, read)
      checkOrdered(world, read)
      checkIdempotent(world, read)
      await checkLookups(world, broker, read)
      checkEpochs(world, broker, ledger)
      readBacks.push(read)
    }
    if (readBacks.length === partitions.length) await checkTable(world, readBacks, complete)
  }
}

/** P3: no epoch ends before it begins, and the newest ends with the log. */
function checkEpochs(world: World, broker: SimBroker, ledger: PartitionLedger): void {
  const log = broker.partition(ledger.topic.record.id, ledger.partition)!
  let before = 0
  for (let epoch = 1; epoch <= log.leaderEpoch; epoch++) {
    const end = log.endOffsetForEpoch(epoch)
    if (end === null || end.endOffset < before) return world.fail(`P3: ${ledger.name}: epoch ${epoch} ends at ${end?.endOffset}, one before at ${before}`)
    before = end.endOffset
  }
  if (before !== log.logEndOffset) world.fail(`P3: ${ledger.name}: the newest epoch ends at ${before}, the log at ${log.logEndOffset}`)
}
