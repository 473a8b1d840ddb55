/** P2: offsets without gap or repetition, and what a consumer has seen is still where it was. */
import { identityOf, shown } from '../records.ts'
import type { ReadBack } from '../read-back.ts'
import type { World } from '../world.ts'

export function checkOrdered(world: World, { ledger, start, records, end }: ReadBack): void {
  for (const [index, record] of records.entries()) {
    if (record.offset !== start + index) return world.fail(`P2: ${ledger.name}: record ${start + index} has offset ${record.offset}`)
  }
  for (const [offset, seen] of ledger.seen) {
    if (offset < start) continue
    const record = records[offset - start]
    if (record === undefined) world.fail(`P2: ${ledger.name}@${offset} was seen by a consumer and is gone; the log ends at ${end}`)
    else if (identityOf(record) !== seen.identity) {
      world.fail(`P2: ${ledger.name}@${offset} was seen as ${shown(seen.identity)} and is ${shown(identityOf(record))}`)
    }
  }
}
