/** Rows under construction as an Arrow IPC stream, for the Parquet library to write where our own pages have no codec (`row-group-writer.ts`). */
import { Binary, Field, Int32, Int64, List, RecordBatch, RecordBatchStreamWriter, Schema, Struct, TimestampMicrosecond, Utf8, makeData } from 'apache-arrow'
import { ofKind } from './arrow-views.ts'
import type { ColumnView } from './arrow-views.ts'
import type { RowColumns } from './row-columns.ts'
import type { TopicColumn } from './topic-schema.ts'

const header = new Struct<{ key: Utf8; value: Binary }>([new Field('key', new Utf8(), true), new Field('value', new Binary(), true)])
const headers = new List(new Field('element', header, true))
const micros = new TimestampMicrosecond('UTC')

const schema = new Schema([
  new Field('offset', new Int64(), true),
  new Field('timestamp', micros, true),
  new Field('timestampType', new Int32(), true),
  new Field('key', new Binary(), true),
  new Field('value', new Binary(), true),
  new Field('headers', headers, true),
])

/** One record batch. */
export function rowsToIpc(rows: RowColumns): Uint8Array {
  const views = rows.views()
  const nulls = rows.nullCounts()
  const length = rows.rows
  const wide = (column: TopicColumn) => {
    const { words, validity } = ofKind(views, column, 'integer')
    return { length, nullCount: nulls[column], nullBitmap: validity?.bits, data: new BigInt64Array(words.buffer, 0, length) }
  }
  const bytes = (view: Extract<ColumnView, { kind: 'bytes' }>, nullCount: number) => {
    const valueOffsets = view.offsets.subarray(0, view.length + 1)
    return { length: view.length, nullCount, nullBitmap: view.validity?.bits, valueOffsets, data: view.bytes.subarray(0, valueOffsets[view.length]) }
  }
  const lists = ofKind(views, 'headers', 'list')
  const keys = ofKind(lists.fields, 'key', 'bytes')
  const values = ofKind(lists.fields, 'value', 'bytes')
  // Of header values alone it is not known how many are null.
  const unknown = -1
  const child = makeData({
    type: header, length: keys.length, nullCount: 0,
    children: [makeData({ type: new Utf8(), ...bytes(keys, 0) }), makeData({ type: new Binary(), ...bytes(values, unknown) })],
  })
  const columns = [
    makeData({ type: new Int64(), ...wide('offset') }),
    makeData({ type: micros, ...wide('timestamp') }),
    makeData({ type: new Int32(), length, nullCount: 0, data: ofKind(views, 'timestampType', 'integer').words.subarray(0, length) }),
    makeData({ type: new Binary(), ...bytes(ofKind(views, 'key', 'bytes'), nulls.key) }),
    makeData({ type: new Binary(), ...bytes(ofKind(views, 'value', 'bytes'), nulls.value) }),
    makeData({
      type: headers, length, nullCount: nulls.headers, nullBitmap: lists.validity?.bits, valueOffsets: lists.offsets.subarray(0, length + 1), child,
    }),
  ]
  const data = makeData({ type: new Struct(schema.fields), length, nullCount: 0, children: columns })
  return RecordBatchStreamWriter.writeAll([new RecordBatch(schema, data)]).toUint8Array(true)
}
