import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { readColumn } from '../../../storage/parquet/column-reader.ts'
import { readDeltas, readHybrid } from '../../../storage/parquet/encodings.ts'
import { ParquetFormatError, excerpt, footerOf } from '../../../storage/parquet/footer.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { PageBuffer } from '../../../storage/parquet/page-buffer.ts'
import { readColumns } from '../../../storage/parquet/parquet-library.ts'
import { RowColumns } from '../../../storage/parquet/row-columns.ts'
import { copyRow, offsetAt, rowView } from '../../../storage/parquet/row-view.ts'
import type { RowView } from '../../../storage/parquet/row-view.ts'
import { topicColumns } from '../../../storage/parquet/topic-schema.ts'
import { plainBatches, utf8 } from './sample-records.ts'

const parquet = new InlineParquet()

test('integers of every distance are written and read back as differences', () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(0n, 1000n)), { maxLength: 400 }), (values) => {
    const words = new Int32Array(new BigInt64Array(values).buffer)
    const page = new PageBuffer()
    page.deltas(words, 0, values.length, true)
    const read = new Int32Array(words.length)
    assert.equal(readDeltas(page.bytes(), 0, page.length, values.length, true, read, 0), page.length)
    assert.deepEqual(read, words)
  }))
  fc.assert(fc.property(fc.array(fc.integer(), { maxLength: 400 }), (values) => {
    const page = new PageBuffer()
    page.deltas(Int32Array.from(values), 0, values.length, false)
    const read = new Int32Array(values.length)
    readDeltas(page.bytes(), 0, page.length, values.length, false, read, 0)
    assert.deepEqual([...read], values)
  }))
})

test('levels are written and read back', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 200 }), (values) => {
    const page = new PageBuffer()
    page.levels(Uint8Array.from(values), 3)
    const read = new Uint8Array(values.length)
    readHybrid(page.bytes(), 4, page.length, 3, values.length, read, 0)
    assert.deepEqual([...read], values)
  }))
})

const bytes = fc.option(fc.uint8Array({ maxLength: 40 }), { nil: null, freq: 3 })
const record = fc.record({
  timestamp: fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 2 ** 43 })),
  key: bytes,
  value: bytes,
  headers: fc.array(fc.record({ key: fc.string({ maxLength: 5 }), value: bytes }), { maxLength: 3 }),
})

test('the library and the reader of pages see the same rows in files of either writer', async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(record, { minLength: 1, maxLength: 60 }), fc.constantFrom('zstd', 'none', 'snappy'), fc.integer({ min: 1, max: 40 }),
    async (records, compression, rowGroupRows) => {
      const batch = encodeBatch({ baseOffset: 2 ** 33, records })
      const { parquet: encoded } = await parquet.encode({ partition: 0, batches: [batch], fromOffset: 0, endOffset: 2 ** 40, compression, rowGroupRows })
      // Of the library's snappy pages without their codec.
      const file = compression === 'snappy' ? await uncompressed(joinBody(encoded!)) : joinBody(encoded!)
      const footer = footerOf(file)
      for (const group of footer.rowGroups) {
        const bytesOf = (chunk: { start: number; end: number }): Uint8Array => file.subarray(chunk.start, chunk.end)
        const byLibrary: unknown[] = []
        readColumns(excerpt(footer, [group], topicColumns, bytesOf), { start: 0, count: group.rows }, (columns, rows) => {
          byLibrary.push(...rowsOf(rowView(columns, rows)))
        })
        const columns = new Map([...topicColumns].map((column) => {
          const view = readColumn(footer, group, column, bytesOf)
          assert.ok(view !== null, `${column} does not need the library`)
          return [column, view]
        }))
        assert.deepEqual(rowsOf(rowView(columns, group.rows)), byLibrary)
      }
    },
  ), { numRuns: 60 })
})

test('damaged pages are a ParquetFormatError or rows', async () => {
  const batches = [...plainBatches(3, 30), encodeBatch({ baseOffset: 90, records: [{ timestamp: 5, key: null, value: null, headers: [{ key: 'a', value: utf8('b') }] }] })]
  const encoded = await parquet.encode({ partition: 0, batches, fromOffset: 0, endOffset: 1e9, compression: 'none' })
  const file = joinBody(encoded.parquet!)
  const footer = footerOf(file)
  const [group] = footer.rowGroups
  fc.assert(fc.property(
    fc.constantFrom(...topicColumns), fc.array(fc.tuple(fc.nat(group!.end - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
    (column, changes) => {
      const damaged = file.slice()
      for (const [at, byte] of changes) damaged[Math.max(4, at)] = byte
      try {
        readColumn(footer, group!, column, (chunk) => damaged.subarray(chunk.start, chunk.end))
      } catch (error) {
        assert.ok(error instanceof ParquetFormatError, String(error))
      }
    },
  ), { numRuns: 2000 })
})

function rowsOf(view: RowView): unknown[] {
  // Through the copy that merges make, which looks at every field.
  const columns = new RowColumns()
  for (let row = 0; row < view.rows; row++) copyRow(view, row, offsetAt(view, row)!, columns)
  return [...columns.views()].map(([name, column]) => {
    const { rows } = columns
    if (column.kind === 'integer') return [name, [...column.words.subarray(0, rows * (column.wide ? 2 : 1))], bits(column.validity?.bits, rows)]
    if (column.kind === 'bytes') return [name, [...column.offsets.subarray(0, rows + 1)], [...column.bytes.subarray(0, column.offsets[rows])], bits(column.validity?.bits, rows)]
    const items = column.offsets[rows]!
    const fields = [...column.fields].map(([field, values]) => values.kind !== 'bytes' ? null
      : [field, [...values.offsets.subarray(0, items + 1)], [...values.bytes.subarray(0, values.offsets[items])], bits(values.validity?.bits, items)])
    return [name, [...column.offsets.subarray(0, rows + 1)], bits(column.validity?.bits, rows), fields]
  })
}

function bits(validity: Uint8Array | undefined, count: number): string {
  return Array.from({ length: count }, (_, i) => (validity === undefined ? 1 : (validity[i >> 3]! >> (i & 7)) & 1)).join('')
}

/** The file as the library writes it without compression. */
async function uncompressed(file: Uint8Array): Promise<Uint8Array> {
  return await parquet.encodeArrowTable(await parquet.decodeToArrow(file), { compression: 'none' })
}
