/** ListOffsets over all tiers: the first record at or after a time, and the record with the greatest timestamp. */
import type { ReadBack } from '../read-back.ts'
import type { SimBroker } from '../sim-broker.ts'
import { simEpochMs } from '../sim-env.ts'
import type { World } from '../world.ts'

export async function checkLookups(world: World, broker: SimBroker, readBack: ReadBack): Promise<void> {
  const { ledger, records } = readBack
  const log = broker.partition(ledger.topic.record.id, ledger.partition)
  if (log === null) return
  if (ledger.topic.compaction !== null) return await checkCompactedLookups(world, broker, readBack)
  const { env } = world
  const some = records[env.below(Math.max(1, records.length))]
  for (const target of [0, Math.floor(simEpochMs + env.random() * env.nowMs), some?.timestamp ?? 5, simEpochMs * 2]) {
    const found = await log.offsetForTimestamp(target)
    const expected = records.find(({ timestamp }) => timestamp >= target)
    if (found?.offset !== expected?.offset || found?.timestampMs !== expected?.timestamp) {
      world.fail(`lookup: ${ledger.name} at ${target}: offset ${found?.offset} instead of ${expected?.offset} at ${broker.name}`)
    }
  }
  const greatest = await log.offsetOfMaxTimestamp()
  let expected = records[0]
  for (const record of records) if (record.timestamp > expected!.timestamp) expected = record
  if (greatest?.offset !== expected?.offset) {
    world.fail(`lookup: ${ledger.name}: the greatest timestamp is at ${greatest?.offset} instead of ${expected?.offset} at ${broker.name}`)
  }
}

/** Records may leave between the reading and the look-up; what is found is one that was read. */
async function checkCompactedLookups(world: World, broker: SimBroker, { ledger, start, records, at }: ReadBack): Promise<void> {
  const log = broker.partition(ledger.topic.record.id, ledger.partition)!
  const { env } = world
  for (const target of [0, Math.floor(simEpochMs + env.random() * env.nowMs), records.at(-1)?.timestamp ?? 5]) {
    const found = await log.offsetForTimestamp(target)
    const first = records.find(({ timestamp }) => timestamp >= target)
    if (found === null) {
      // The newest record of the log stays, unless it is a tombstone.
      const last = records.at(-1)
      if (last !== undefined && last.value !== null && last.timestamp >= target && log.logStartOffset === start) world.fail(`lookup: ${ledger.name} at ${target}: nothing at ${broker.name}`)
    } else if (at.get(found.offset)?.timestamp !== found.timestampMs || found.timestampMs < target || found.offset < first!.offset) {
      world.fail(`lookup: ${ledger.name} at ${target}: offset ${found.offset} with ${found.timestampMs}, the first was ${first?.offset} at ${broker.name}`)
    }
  }
}
