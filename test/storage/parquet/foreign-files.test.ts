/** Files as other writers leave them: any order, any codec, missing and additional columns, other types. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Binary, Field, Int32, Int64, LargeBinary, LargeUtf8, List, Schema, Struct, Table, TimestampMillisecond, TimestampNanosecond,
  Utf8, makeData, makeVector, tableToIPC, vectorFromArray,
} from 'apache-arrow'
import type { DataType, Vector } from 'apache-arrow'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import type { ParquetCompression } from '../../../storage/parquet/parquet-library.ts'
import { plainFile } from './sample-records.ts'

const parquet = new InlineParquet()

type Columns = Record<string, [DataType, readonly unknown[]]>

type Options = { compression?: ParquetCompression; rowGroupRows?: number }

async function foreignFile(columns: Columns, options: Options = {}): Promise<Uint8Array> {
  const schema = new Schema(Object.entries(columns).map(([name, [type]]) => new Field(name, type, true)))
  const vectors: Record<string, Vector> = {}
  for (const [name, [type, values]] of Object.entries(columns)) vectors[name] = vectorFromArray(values as unknown[], type)
  return await parquet.encodeArrowTable(tableToIPC(new Table(schema, vectors), 'stream'), options)
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const hex = (text: string): string => Buffer.from(text).toString('hex')
const offsets = (values: readonly (number | null)[]): Columns => ({
  offset: [new Int64(), values.map((value) => (value === null ? null : BigInt(value)))],
  value: [new Binary(), values.map((value) => bytes(`v${value}`))],
})

async function decodeAll(file: Uint8Array, maxBytes = 1e6, fromOffset = 0) {
  const rows: ReturnType<typeof plainFile> = []
  for (let from = fromOffset, done = false; !done; ) {
    const part = await parquet.decode({ file, fromOffset: from, maxBytes, batchBytesTarget: 200 })
    rows.push(...plainFile(part))
    done = part.done
    if (!done) from = part.batches.at(-1)!.lastOffset + 1
  }
  return rows
}

test('rows come in the order of their offsets, whatever the order of the file and of its row groups', async () => {
  // Newest first, as a foreign OPTIMIZE leaves them, with row groups that cut through the old files.
  const values = [...range(600, 1000), ...range(300, 600), ...range(0, 300)]
  for (const rowGroupRows of [1000, 350, 7]) {
    const file = await foreignFile(offsets(values), { rowGroupRows })
    for (const maxBytes of [9000, 1e6]) {
      const rows = await decodeAll(file, maxBytes)
      assert.deepEqual(rows.map((row) => row.offset), range(0, 1000))
      assert.ok(rows.every((row) => row.value === hex(`v${row.offset}`)))
    }
    assert.deepEqual((await decodeAll(file, 6000, 555)).map((row) => row.offset), range(555, 1000))
    assert.deepEqual((await decodeAll(file, 1, 990)).map((row) => row.offset), range(990, 1000))
  }
})

test('a shuffled file is read in order', async () => {
  const values = range(0, 1000).map((i) => (i * 787) % 1000)
  const rows = await decodeAll(await foreignFile(offsets(values), { rowGroupRows: 300 }), 2000)
  assert.deepEqual(rows.map((row) => row.offset), range(0, 1000))
  assert.ok(rows.every((row) => row.value === hex(`v${row.offset}`)))
})

test('rows without an offset are no messages; a repeated offset counts once', async () => {
  const file = await foreignFile(offsets([5, null, 3, 5, null, 4, 3]), { rowGroupRows: 2 })
  assert.deepEqual((await decodeAll(file)).map((row) => row.offset), [3, 4, 5])
  assert.deepEqual(await parquet.offsetRange({ file }), { rows: 7, rowsWithoutOffset: 2, minOffset: 3, maxOffset: 5 })
  const none = await foreignFile(offsets([null, null]))
  assert.deepEqual(await parquet.decode({ file: none, fromOffset: 0, maxBytes: 100 }), { batches: [], done: true })
  assert.deepEqual(await parquet.offsetRange({ file: none }), { rows: 2, rowsWithoutOffset: 2, minOffset: -1, maxOffset: -1 })
})

test('a file without an offset column holds no messages', async () => {
  const file = await foreignFile({ value: [new Binary(), [bytes('a')]] })
  assert.deepEqual(await parquet.decode({ file, fromOffset: 0, maxBytes: 100 }), { batches: [], done: true })
  assert.deepEqual(await parquet.offsetRange({ file }), { rows: 1, rowsWithoutOffset: 1, minOffset: -1, maxOffset: -1 })
})

test('missing columns are null, additional ones are ignored', async () => {
  const file = await foreignFile({
    extra: [new Struct([new Field('deep', new List(new Field('item', new Utf8(), true)), true)]), [{ deep: ['x'] }, null]],
    partition: [new Int32(), [9, 9]],
    offset: [new Int64(), [1n, 2n]],
    price: [new Int32(), [1, null]],
  })
  const empty = { timestamp: -1, timestampType: 0, key: null, value: null, headers: [] }
  assert.deepEqual(await decodeAll(file), [{ offset: 1, ...empty }, { offset: 2, ...empty }])
})

test('columns of the topic in other types: STRING for BINARY, large ones, narrow integers', async () => {
  const header = new Struct([new Field('value', new LargeBinary(), true), new Field('key', new Utf8(), true)])
  const headers = new List(new Field('item', header, true))
  const file = await foreignFile({
    offset: [new Int32(), [1, 2]],
    timestampType: [new Int64(), [1n, null]],
    key: [new Utf8(), ['kä', null]],
    value: [new LargeUtf8(), ['v1', '']],
    headers: [headers, [[{ key: 'a', value: bytes('1') }, { key: 'a', value: null }], []]],
  })
  assert.deepEqual(await decodeAll(file), [
    {
      offset: 1, timestamp: -1, timestampType: 1, key: hex('kä'), value: hex('v1'),
      headers: [{ key: hex('a'), value: hex('1') }, { key: hex('a'), value: null }],
    },
    { offset: 2, timestamp: -1, timestampType: 0, key: null, value: '', headers: [] },
  ])
})

test('timestamps of every unit become milliseconds, rounded down', async () => {
  const millis = [1_704_067_200_000n, 1_704_067_200_001n, -5n]
  for (const [type, perMs] of [[new TimestampMillisecond('UTC'), 1n], [new TimestampNanosecond('UTC'), 1_000_000n]] as const) {
    const data = BigInt64Array.from([...millis.map((ms) => ms * perMs), -5n * perMs - 1n])
    const timestamps = makeVector(makeData({ type, length: 4, nullCount: 0, data }))
    const schema = new Schema([new Field('offset', new Int64(), true), new Field('timestamp', type, true)])
    const table = new Table(schema, { offset: vectorFromArray([0n, 1n, 2n, 3n], new Int64()), timestamp: timestamps })
    const file = await parquet.encodeArrowTable(tableToIPC(table, 'stream'))
    assert.deepEqual((await decodeAll(file)).map((row) => row.timestamp), [...millis.map(Number), -6], String(type))
  }
})

test('every Parquet codec is read', async () => {
  for (const compression of ['none', 'snappy', 'gzip', 'lz4', 'zstd'] as const) {
    const file = await foreignFile(offsets(range(0, 500)), { compression, rowGroupRows: 200 })
    assert.equal((await decodeAll(file)).length, 500, compression)
  }
})

test('strings that look like escaped header keys and are not stand for themselves', async () => {
  const header = new Struct([new Field('key', new Utf8(), true), new Field('value', new Binary(), true)])
  const headers = new List(new Field('element', header, true))
  const keys = ['\uFFFD', '\uFFFD61', '\uFFFDFF', '\uFFFDf', '\uFFFDff']
  const file = await foreignFile({
    offset: [new Int64(), [0n]],
    headers: [headers, [[...keys.map((key) => ({ key, value: null })), { key: null, value: null }]]],
  })
  const [row] = await decodeAll(file)
  assert.deepEqual(row!.headers.map((header) => header.key), [hex('\uFFFD'), hex('\uFFFD61'), hex('\uFFFDFF'), hex('\uFFFDf'), 'ff', ''])
})

test('a column of a type that makes no sense is an error, not garbage', async () => {
  const file = await foreignFile({ offset: [new Utf8(), ['one']] })
  await assert.rejects(parquet.decode({ file, fromOffset: 0, maxBytes: 100 }), { name: 'UnsupportedColumnError' })
})

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}
