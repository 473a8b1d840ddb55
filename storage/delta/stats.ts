/**
 * Per-file statistics (Delta PROTOCOL, "Per-file Statistics"): what is written for our files, and the little that is read
 * from anybody's. A file whose statistics are missing or make no sense is *unknown*, never empty: locating by offset must
 * not lose rows because of them.
 */

/** Offsets that a file holds. */
export type OffsetRange =
  | { readonly kind: 'known'; readonly first: number; readonly last: number }
  /** No row of the file has an offset: somebody appended rows, or the file is empty. */
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown' }

export interface ReadStats {
  readonly records: number | undefined
  /** Rows whose offset is null; undefined where the writer did not say. */
  readonly nullOffsets: number | undefined
  readonly range: OffsetRange
  /** Rows without a value (tombstones, in a compacted topic); undefined where the writer did not say. */
  readonly nullValues: number | undefined
  /** Lower bound of the timestamps, milliseconds since the epoch; undefined as for the upper one. */
  readonly minTimestampMs: number | undefined
  /** Upper bound of the timestamps, milliseconds since the epoch; undefined where the writer did not say (or no row has one). */
  readonly maxTimestampMs: number | undefined
}

export const noStats: ReadStats = {
  records: undefined, nullOffsets: undefined, range: { kind: 'unknown' }, nullValues: undefined, minTimestampMs: undefined, maxTimestampMs: undefined,
}

export interface DataFileStats {
  readonly numRecords: number
  readonly minOffset: number
  readonly maxOffset: number
  /** Milliseconds since the epoch; left out when no row has a timestamp. */
  readonly minTimestampMs?: number
  readonly maxTimestampMs?: number
  /** Rows without a timestamp (default 0). */
  readonly nullTimestamps?: number
  /** Rows without a value; left out where it is not known. */
  readonly nullValues?: number
}

/** The `stats` string of an add action of ours. */
export function encodeStats(stats: DataFileStats): string {
  const min: Record<string, unknown> = { offset: stats.minOffset }
  const max: Record<string, unknown> = { offset: stats.maxOffset }
  const minTimestamp = isoTimestamp(stats.minTimestampMs)
  const maxTimestamp = isoTimestamp(stats.maxTimestampMs)
  if (minTimestamp !== undefined && maxTimestamp !== undefined) {
    min['timestamp'] = minTimestamp
    max['timestamp'] = maxTimestamp
  }
  return JSON.stringify({
    numRecords: stats.numRecords,
    minValues: min,
    maxValues: max,
    nullCount: { offset: 0, timestamp: stats.nullTimestamps ?? 0, ...(stats.nullValues === undefined ? {} : { value: stats.nullValues }) },
  })
}

/** Reads a `stats` string; anything that is not as expected makes that part unknown. */
export function parseStats(stats: string | undefined): ReadStats {
  if (stats === undefined || stats === '') return noStats
  try {
    return statsFromValue(JSON.parse(stats))
  } catch {
    return noStats
  }
}

/** The same from the parsed document, which checkpoints of other writers carry as `stats_parsed`. */
export function statsFromValue(value: unknown): ReadStats {
  const records = count(field(value, 'numRecords'))
  const nullOffsets = count(field(field(value, 'nullCount'), 'offset'))
  const first = integer(field(field(value, 'minValues'), 'offset'))
  const last = integer(field(field(value, 'maxValues'), 'offset'))
  const nullValues = count(field(field(value, 'nullCount'), 'value'))
  const minTimestampMs = timestamp(field(field(value, 'minValues'), 'timestamp'))
  const maxTimestampMs = upperTimestamp(field(field(value, 'maxValues'), 'timestamp'))
  const rest = { records, nullOffsets, nullValues, minTimestampMs, maxTimestampMs }
  if (first !== undefined && last !== undefined && first <= last) {
    return { ...rest, range: { kind: 'known', first, last } }
  }
  if (records !== undefined && (records === 0 || nullOffsets === records)) return { ...rest, range: { kind: 'none' } }
  return { ...rest, range: { kind: 'unknown' } }
}

/** Statistics cut timestamps to milliseconds, so the true maximum may lie within the next one. */
function upperTimestamp(value: unknown): number | undefined {
  const ms = timestamp(value)
  return ms === undefined ? undefined : ms + 1
}

function timestamp(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined
  const ms = Date.parse(value)
  return Number.isNaN(ms) ? undefined : ms
}

/** ISO 8601 with milliseconds, or undefined outside of the four-digit years that readers understand. */
function isoTimestamp(ms: number | undefined): string | undefined {
  if (ms === undefined || !Number.isSafeInteger(ms)) return undefined
  const text = new Date(Math.max(Math.min(ms, 8.64e15), -8.64e15)).toISOString()
  return /^[0-9]/.test(text) ? text : undefined
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}

function integer(value: unknown): number | undefined {
  const n = typeof value === 'bigint' ? Number(value) : value
  return typeof n === 'number' && Number.isSafeInteger(n) ? n : undefined
}

function count(value: unknown): number | undefined {
  const n = integer(value)
  return n !== undefined && n >= 0 ? n : undefined
}
