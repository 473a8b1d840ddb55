/** P1: whatever a broker has acknowledged is there, at the offset that it said; a deletion too, and nothing beyond it is gone. */
import { identityOf, shown } from '../records.ts'
import type { ReadBack } from '../read-back.ts'
import type { World } from '../world.ts'

export function checkDurable(world: World, { ledger, start, at, end }: ReadBack): void {
  const { compaction, retentionMs } = ledger.topic
  if (start < ledger.beginsAt) world.fail(`P1: ${ledger.name} begins at ${start}, below ${ledger.beginsAt} everything was deleted`)
  if (start > ledger.mayBeginAt && retentionMs === Infinity) world.fail(`P1: ${ledger.name} begins at ${start}, nobody deleted more than what is below ${ledger.mayBeginAt}`)
  for (const [offset, { identity, by }] of ledger.acked) {
    if (offset < start) continue
    const record = at.get(offset)
    // What compaction took is looked at with the table.
    if (record === undefined && compaction !== null) continue
    if (record === undefined) world.fail(`P1: ${ledger.name}@${offset} was acknowledged by ${by} and is lost; the log ends at ${end}`)
    else if (identityOf(record) !== identity) {
      world.fail(`P1: ${ledger.name}@${offset} was acknowledged by ${by} as ${shown(identity)} and is ${shown(identityOf(record))}`)
    }
  }
}
