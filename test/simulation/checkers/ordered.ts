/** P2: offsets without gap (unless the topic is compacted) or repetition, and what a consumer has seen is still where it was. */
import { identityOf, shown } from '../records.ts'
import type { ReadBack } from '../read-back.ts'
import type { World } from '../world.ts'

export function checkOrdered(world: World, { ledger, start, records, at, end }: ReadBack): void {
  const { compaction } = ledger.topic
  for (const [index, record] of records.entries()) {
    if (compaction === null && record.offset !== start + index) return world.fail(`P2: ${ledger.name}: record ${start + index} has offset ${record.offset}`)
    if (index > 0 && record.offset <= records[index - 1]!.offset) return world.fail(`P2: ${ledger.name}: offset ${record.offset} follows ${records[index - 1]!.offset}`)
  }
  for (const [offset, seen] of ledger.seen) {
    if (offset < start) continue
    const record = at.get(offset)
    if (record === undefined && compaction !== null) continue
    if (record === undefined) world.fail(`P2: ${ledger.name}@${offset} was seen by a consumer and is gone; the log ends at ${end}`)
    else if (identityOf(record) !== seen.identity) {
      world.fail(`P2: ${ledger.name}@${offset} was seen as ${shown(seen.identity)} and is ${shown(identityOf(record))}`)
    }
  }
}
