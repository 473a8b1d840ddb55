/** P1: whatever a broker has acknowledged is there, at the offset that it said. */
import { identityOf, shown } from '../records.ts'
import type { ReadBack } from '../read-back.ts'
import type { World } from '../world.ts'

export function checkDurable(world: World, { ledger, records }: ReadBack): void {
  for (const [offset, { identity, by }] of ledger.acked) {
    const record = records[offset]
    if (record === undefined) world.fail(`P1: ${ledger.name}@${offset} was acknowledged by ${by} and is lost; the log ends at ${records.length}`)
    else if (identityOf(record) !== identity) {
      world.fail(`P1: ${ledger.name}@${offset} was acknowledged by ${by} as ${shown(identity)} and is ${shown(identityOf(record))}`)
    }
  }
}
