/**
 * Idempotent producers (KIP-98): each record once and in the order of its producer, whatever was sent again; none left out because it
 * was taken for a repetition. Records of plain producers: no more often than they were sent.
 */
import { identityOf } from '../records.ts'
import type { ReadBack } from '../read-back.ts'
import type { World } from '../world.ts'

export function checkIdempotent(world: World, { ledger, start, records }: ReadBack): void {
  const nextOf = new Map<string, number>()
  const copies = new Map<string, number>()
  for (const record of records) {
    const identity = identityOf(record)
    const sent = ledger.sent.get(identity)
    if (sent === undefined) continue
    if (sent.idempotent) {
      // What came before the start of the log is deleted.
      const next = nextOf.get(sent.producer) ?? (start === 0 && ledger.topic.compaction === null ? 0 : sent.index)
      if (ledger.topic.compaction === null ? sent.index !== next : sent.index < next) {
        world.fail(`idempotence: ${ledger.name}@${record.offset} is record ${sent.index} of ${sent.producer}, record ${next} is due`)
      }
      nextOf.set(sent.producer, sent.index + 1)
    } else {
      const count = (copies.get(identity) ?? 0) + 1
      copies.set(identity, count)
      if (count > sent.copies) world.fail(`P2: ${ledger.name}@${record.offset} is copy ${count} of a record that was sent ${sent.copies} times`)
    }
  }
}
