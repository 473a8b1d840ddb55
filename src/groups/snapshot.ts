/**
 * The state of one partition of `__consumer_offsets` at an offset, so that a start reads what is alive and not what ever happened. A
 * snapshot is a hint: the log is the truth, and a snapshot that is missing, damaged or of another topic costs time only. It stays right
 * for ever, because the log below its offset never changes.
 *
 * Format: record batches v2, one after the other. The first has one record, key `bayou-groups`, whose value is JSON that says what the rest
 * belongs to; the others hold the records that would rebuild the state, in the format of `__consumer_offsets` itself.
 */
import { Buffer } from 'node:buffer'
import { z } from 'zod'
import { batchEnd, computeCrc, crc } from '../../protocol/records/batch.ts'
import { BatchBuilder, encodeBatch } from '../../protocol/records/encoder.ts'
import { RecordCursor } from '../../protocol/records/record.ts'
import type { RecordBytes } from './records.ts'

const KEY = 'bayou-groups'
const VERSION = 1
const BATCH_BYTES = 256 * 1024
/**
 * Older snapshots are not used: compaction removes tombstones a day after they were written, and a deletion whose tombstone is gone from the
 * log must not be undone by a snapshot from before it.
 */
const AGE_MAX_MS = 12 * 60 * 60 * 1000

const headerSchema = z.object({
  version: z.literal(VERSION),
  topicId: z.string(),
  partition: z.number().int(),
  /** The log goes on from here. The state may know a part of it already: it is a later one where offsets of transactions were pending. */
  nextOffset: z.number().int().nonnegative(),
  takenAtMs: z.number(),
  records: z.number().int().nonnegative(),
})

/** What a snapshot is of. */
export interface SnapshotPlace {
  readonly topicId: string
  readonly partition: number
  readonly nextOffset: number
  /** Wall clock. */
  readonly takenAtMs: number
}

/** Encodes record after record; `pause` is awaited now and then, so that a large state does not hold up the event loop. */
export async function encodeSnapshot(
  place: SnapshotPlace,
  records: Iterable<() => RecordBytes>,
  pause: () => Promise<void>,
): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = []
  const builder = new BatchBuilder({ baseOffset: 0 })
  let count = 0
  for (const record of records) {
    const { key, value } = record()
    builder.append(builder.recordCount, 0, key, value)
    count++
    if (builder.sizeSoFar < BATCH_BYTES) continue
    chunks.push(builder.finish())
    builder.reset({ baseOffset: 0 })
    await pause()
  }
  if (builder.recordCount > 0) chunks.push(builder.finish())
  const value = Buffer.from(JSON.stringify({ version: VERSION, ...place, records: count }))
  return [encodeBatch({ baseOffset: 0, records: [{ timestamp: 0, key: Buffer.from(KEY), value }] }), ...chunks]
}

/**
 * Visits the records of a snapshot and returns the offset to go on reading the log from; null, with nothing visited, when it is of no use:
 * damaged, too old, of another partition, or from beyond the end of the log.
 */
export function readSnapshot(
  bytes: Uint8Array,
  of: { readonly topicId: string; readonly partition: number; readonly highWatermark: number },
  nowMs: number,
  visit: (cursor: RecordCursor) => void,
): number | null {
  const header = soundHeader(bytes)
  if (header === null || header.topicId !== of.topicId || header.partition !== of.partition) return null
  if (header.nextOffset > of.highWatermark || Math.abs(nowMs - header.takenAtMs) > AGE_MAX_MS) return null
  const cursor = new RecordCursor()
  for (let at = batchEnd(bytes, 0); at < bytes.length; at = batchEnd(bytes, at)) {
    cursor.reset(bytes, at)
    while (cursor.next()) visit(cursor)
  }
  return header.nextOffset
}

/** The header of a snapshot whose checksums and number of records are right. */
function soundHeader(bytes: Uint8Array): z.infer<typeof headerSchema> | null {
  try {
    const cursor = new RecordCursor()
    let header: z.infer<typeof headerSchema> | null = null
    let records = 0
    for (let at = 0; at < bytes.length; ) {
      const end = batchEnd(bytes, at)
      if (end === -1 || crc(bytes, at) !== computeCrc(bytes, at)) return null
      cursor.reset(bytes, at)
      if (header === null) {
        if (!cursor.next() || Buffer.from(cursor.key() ?? []).toString() !== KEY) return null
        header = headerSchema.parse(JSON.parse(Buffer.from(cursor.value() ?? []).toString()))
      } else {
        while (cursor.next()) records++
      }
      at = end
    }
    return header?.records === records ? header : null
  } catch {
    return null
  }
}
