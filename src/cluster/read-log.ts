/** Reading a partition of an internal topic from an offset to its end, as a coordinator does that loads it. */
import { iterateBatches, lastOffset } from '../../protocol/records/batch.ts'
import type { Clock } from '../../storage/env.ts'
import type { PartitionLog } from '../../storage/partition/types.ts'
import type { Offset } from '../../storage/types.ts'

/** How often an unavailable store is asked again, and how long to wait in between. */
const READ_TRIES_MAX = 20
const READ_RETRY_MS = 250

/**
 * Visits the batches from `fromOffset` up to the high watermark, in order. `visit` gets the batch at `start` of `chunk`, which is valid during the
 * call only; records of it below `from` are not asked for. Gives the offset up to which everything was read.
 *
 * @throws Error when the partition cannot be read (another leader, a store that stays away)
 */
export async function readLog(
  log: PartitionLog,
  clock: Clock,
  fromOffset: Offset,
  bytesMax: number,
  visit: (chunk: Uint8Array, start: number, from: Offset) => void,
): Promise<Offset> {
  let next = Math.max(fromOffset, log.logStartOffset)
  let tries = 0
  while (next < log.highWatermark) {
    const outcome = await log.read({ fromOffset: next, maxBytes: bytesMax, atLeastOne: true, isolation: 'readUncommitted' })
    if (outcome.kind === 'unavailable' && ++tries < READ_TRIES_MAX) {
      await clock.sleep(READ_RETRY_MS)
      continue
    }
    if (outcome.kind === 'outOfRange' && next < log.logStartOffset) {
      next = log.logStartOffset
      continue
    }
    if (outcome.kind !== 'records') throw new Error(`partition ${log.partition} cannot be read at ${next}: ${outcome.kind}`)
    tries = 0
    const before = next
    for (const chunk of outcome.chunks) {
      for (const { start } of iterateBatches(chunk)) {
        visit(chunk, start, next)
        next = Math.max(next, lastOffset(chunk, start) + 1)
      }
    }
    // Nothing but a gap up to the high watermark is left.
    if (next === before) break
  }
  return next
}
