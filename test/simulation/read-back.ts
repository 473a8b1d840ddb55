/** Everything that a broker serves of a partition, for the checkers. */
import type { DecodedRecord } from '../../protocol/records/record.ts'
import { fetchFrom, takeRecords } from './clients.ts'
import type { PartitionLedger } from './ledger.ts'
import type { SimBroker } from './sim-broker.ts'
import type { World } from './world.ts'

export interface ReadBack {
  readonly ledger: PartitionLedger
  /** Where the log begins. */
  readonly start: number
  /** In order; without gaps unless the topic is compacted. */
  readonly records: readonly DecodedRecord[]
  /** The same by offset. */
  readonly at: ReadonlyMap<number, DecodedRecord>
  readonly end: number
}

/** Reads all of the partition from its start on; null (and a violation) when the broker does not serve all of it. */
export async function readBack(world: World, broker: SimBroker, ledger: PartitionLedger): Promise<ReadBack | null> {
  const log = broker.partition(ledger.topic.record.id, ledger.partition)
  if (log === null) {
    world.fail(`P1: ${ledger.name} is not there at ${broker.name}`)
    return null
  }
  const records: DecodedRecord[] = []
  let start = log.logStartOffset
  const endOffset = log.highWatermark
  let next = start
  for (let tries = 0; next < endOffset; ) {
    const maxBytes = world.env.oneIn(4) ? 1 + world.env.below(5000) : 1_000_000
    const reply = await fetchFrom(world, broker, ledger, next, maxBytes)
    if (reply?.kind === 'records' && reply.bytes > 0) {
      const taken = takeRecords(world, ledger, next, reply, broker.name)
      for (const record of taken.records) records.push(record)
      const before = next
      next = taken.next
      if (next > before) continue
    }
    // Retention goes on.
    if (reply?.kind === 'outOfRange' && log.logStartOffset > next) {
      start = next = log.logStartOffset
      records.length = 0
      continue
    }
    if (++tries > 20) {
      world.fail(`P1: ${ledger.name}@${next} of ${endOffset} cannot be read at ${broker.name}: ${JSON.stringify(reply)}`)
      return null
    }
    await world.env.clock.sleep(50)
  }
  return { ledger, start, records, at: new Map(records.map((record) => [record.offset, record])), end: endOffset }
}
