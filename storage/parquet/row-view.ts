/**
 * Rows of a table file, whoever wrote it, behind one typed shape: columns may be missing (an older schema), have other integer
 * widths or timestamp units, or hold STRING where BINARY is meant.
 */
import { UnsupportedColumnError, isValid } from './arrow-views.ts'
import type { BytesView, ColumnView, IntegerView, ListView } from './arrow-views.ts'
import type { RowColumns } from './row-columns.ts'
import type { TopicColumn } from './topic-schema.ts'

const two32 = 4_294_967_296

/** Columns of some rows; null where the file has no such column. */
export interface RowView {
  readonly rows: number
  readonly offset: IntegerView | null
  readonly timestamp: IntegerView | null
  readonly timestampType: IntegerView | null
  readonly key: BytesView | null
  readonly value: BytesView | null
  readonly headers: ListView | null
  readonly headerKey: BytesView | null
  readonly headerValue: BytesView | null
}

/** Throws UnsupportedColumnError when a column has a type that its meaning does not allow. */
export function rowView(columns: ReadonlyMap<string, ColumnView>, rows: number): RowView {
  const headers = ofKind(columns, 'headers', 'list')
  const fields = headers?.fields ?? new Map<string, ColumnView>()
  return {
    rows,
    offset: ofKind(columns, 'offset', 'integer'),
    timestamp: ofKind(columns, 'timestamp', 'integer'),
    timestampType: ofKind(columns, 'timestampType', 'integer'),
    key: ofKind(columns, 'key', 'bytes'),
    value: ofKind(columns, 'value', 'bytes'),
    headers,
    headerKey: ofKind(fields, 'key', 'bytes'),
    headerValue: ofKind(fields, 'value', 'bytes'),
  }
}

/** Rows [start, start + count) of a view. */
export function spanView(view: RowView, { start, count }: { readonly start: number; readonly count: number }): RowView {
  if (start === 0 && count === view.rows) return view
  const validity = (column: ColumnView) => column.validity === null ? null : { bits: column.validity.bits, from: column.validity.from + start }
  const integer = (column: IntegerView | null): IntegerView | null => column === null ? null
    : { ...column, length: count, validity: validity(column), words: column.words.subarray(column.wide ? start * 2 : start) }
  const ranges = <T extends BytesView | ListView>(column: T | null): T | null => column === null ? null
    : { ...column, length: count, validity: validity(column), offsets: column.offsets.subarray(start, start + count + 1) }
  return {
    ...view,
    rows: count,
    offset: integer(view.offset), timestamp: integer(view.timestamp), timestampType: integer(view.timestampType),
    key: ranges(view.key), value: ranges(view.value), headers: ranges(view.headers),
  }
}

function ofKind<K extends ColumnView['kind']>(
  columns: ReadonlyMap<string, ColumnView>, name: TopicColumn, kind: K,
): Extract<ColumnView, { kind: K }> | null {
  const column = columns.get(name)
  if (column === undefined) return null
  if (column.kind !== kind) throw new UnsupportedColumnError(name, column.kind)
  return column as Extract<ColumnView, { kind: K }>
}

/** Offset of a row, or null for a row that somebody else appended and that has none yet. */
export function offsetAt(view: RowView, row: number): number | null {
  const column = view.offset
  if (column === null || !isValid(column.validity, row)) return null
  return column.wide ? column.words[row * 2 + 1]! * two32 + (column.words[row * 2]! >>> 0) : column.words[row]!
}

/** Kafka timestamp: milliseconds, rounded down; -1 where the row has none. */
export function timestampMsAt(view: RowView, row: number): number {
  const column = view.timestamp
  if (column === null || !isValid(column.validity, row)) return -1
  if (!column.wide) return column.words[row]!
  const low = column.words[row * 2]! >>> 0
  const high = column.words[row * 2 + 1]!
  const ticksPerMs = (column.ticksPerSecond ?? 1e6) / 1000
  if (ticksPerMs <= 1) return (high * two32 + low) / ticksPerMs
  // Division in two steps, each of which is exact in doubles.
  const quotient = Math.floor(high / ticksPerMs)
  return quotient * two32 + Math.floor(((high - quotient * ticksPerMs) * two32 + low) / ticksPerMs)
}

/** 0 create time, 1 log append time; whatever else a row says counts as create time. */
export function timestampTypeAt(view: RowView, row: number): 0 | 1 {
  const column = view.timestampType
  if (column === null || !isValid(column.validity, row)) return 0
  return column.words[column.wide ? row * 2 : row] === 1 ? 1 : 0
}

/** Length of a value, -1 for null. */
export function lengthAt(column: BytesView | null, row: number): number {
  if (column === null || !isValid(column.validity, row)) return -1
  return column.offsets[row + 1]! - column.offsets[row]!
}

/** Appends a row, with its timestamp in microseconds and its headers as they are stored. */
export function copyRow(view: RowView, row: number, offset: number, to: RowColumns): void {
  const { timestamp, key, value, headers, headerKey, headerValue } = view
  if (timestamp === null || !isValid(timestamp.validity, row)) to.start(offset, -1, timestampTypeAt(view, row))
  else if (timestamp.ticksPerSecond === 1e6 && timestamp.wide) {
    to.startMicros(offset, timestamp.words[row * 2]!, timestamp.words[row * 2 + 1]!, timestampTypeAt(view, row))
  } else to.start(offset, timestampMsAt(view, row), timestampTypeAt(view, row))
  to.key(key?.bytes ?? nothing, key?.offsets[row] ?? 0, lengthAt(key, row))
  to.value(value?.bytes ?? nothing, value?.offsets[row] ?? 0, lengthAt(value, row))
  if (headers === null || !isValid(headers.validity, row)) {
    to.end()
    return
  }
  for (let i = headers.offsets[row]!; i < headers.offsets[row + 1]!; i++) {
    to.storedHeader(
      headerKey?.bytes ?? nothing, headerKey?.offsets[i] ?? 0, lengthAt(headerKey, i),
      headerValue?.bytes ?? nothing, headerValue?.offsets[i] ?? 0, lengthAt(headerValue, i),
    )
  }
  to.end(true)
}

const nothing = new Uint8Array(0)
