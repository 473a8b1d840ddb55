import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { joinBody } from '../../../storage/objects/keys.ts'
import { ParquetFormatError, excerpt, footerOf, join } from '../../../storage/parquet/footer.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import {
  numberField, patched, readThriftStruct, structField, structList, thriftType, writeThriftStruct,
} from '../../../storage/parquet/thrift-compact.ts'
import type { ThriftStruct } from '../../../storage/parquet/thrift-compact.ts'
import { plainBatches, plainFile, plainRecords } from './sample-records.ts'

const parquet = new InlineParquet()
const batches = plainBatches(20, 10)

async function sample(rowGroupRows: number, compression: 'zstd' | 'snappy' = 'zstd'): Promise<Uint8Array> {
  const options = { partition: 0, fromOffset: 0, endOffset: 1e9, compression, rowGroupRows } as const
  return joinBody((await parquet.encode({ ...options, batches })).parquet!)
}

test('thrift structs are written back as they were read', () => {
  const struct: ThriftStruct = new Map([
    [1, { type: thriftType.i32, value: -5 }],
    [2, { type: thriftType.true, value: true }],
    [3, { type: thriftType.false, value: false }],
    [20, { type: thriftType.i64, value: 2 ** 53 - 1 }],
    [21, { type: thriftType.i64, value: -(2n ** 63n) }],
    [22, { type: thriftType.binary, value: new Uint8Array([1, 2, 3]) }],
    [300, { type: thriftType.list, value: { elementType: thriftType.i64, items: Array.from({ length: 40 }, (_, i) => i * 1e9 - 2e10) } }],
    [301, { type: thriftType.list, value: { elementType: thriftType.true, items: [true, false] } }],
    [302, { type: thriftType.map, value: { keyType: thriftType.i32, valueType: thriftType.double, entries: [[1, 1.5]] } }],
    [303, { type: thriftType.struct, value: new Map([[1, { type: thriftType.byte, value: -7 }]]) }],
  ])
  assert.deepEqual(readThriftStruct(writeThriftStruct(struct)), struct)
  assert.deepEqual(patched(struct, { 1: null, 2: { type: thriftType.i32, value: 9 } }).get(2), { type: thriftType.i32, value: 9 })
  assert.throws(() => readThriftStruct(writeThriftStruct(struct).subarray(0, 50)), RangeError)
})

test('an excerpt of row groups and columns is a file of its own', async () => {
  const file = await sample(30)
  const footer = footerOf(file)
  const some = excerpt(footer, [footer.rowGroups[4]!, footer.rowGroups[1]!], new Set(['offset', 'headers']),
    (chunk) => file.subarray(chunk.start, chunk.end))
  assert.deepEqual(footerOf(some).columns, ['offset', 'headers'])
  const read = await parquet.decode({ file: some, fromOffset: 0, maxBytes: 1e6 })
  const expected = plainRecords(batches).filter(({ offset }) => (offset >= 30 && offset < 60) || (offset >= 120 && offset < 150))
  assert.deepEqual(plainFile(read), expected.map((record) => ({ ...record, timestamp: -1, key: null, value: null })))
})

test('joined files keep rows, statistics and page indexes', async () => {
  // The Parquet library writes these, and only it writes page indexes.
  const parts = await Promise.all([0, 1].map(() => sample(1000, 'snappy')))
  const joined = join(parts, 0)
  const footer = footerOf(joined)
  assert.equal(footer.rows, 400)
  footer.rowGroups.forEach((group, i) => {
    const original = footerOf(parts[i]!).rowGroups[0]!
    assert.deepEqual(group.offsets, original.offsets)
    group.chunks.forEach((chunk, c) => {
      const dataAt = numberField(structField(chunk.struct, 3)!, 9)!
      const indexAt = numberField(chunk.struct, 4)!
      const index = readThriftStruct(joined.subarray(indexAt, indexAt + numberField(chunk.struct, 5)!))
      assert.equal(numberField(structList(index, 1)[0]!, 1), dataAt, 'the page index points at the first data page')
      const before = original.chunks[c]!
      assert.deepEqual(joined.subarray(chunk.start, chunk.end), parts[i]!.subarray(before.start, before.end))
    })
  })
})

test('what is no Parquet file is a ParquetFormatError', async () => {
  const file = await sample(1000)
  const cut = [file.subarray(0, file.length - 1), file.subarray(file.length - 12), file.subarray(300)]
  for (const bad of [new Uint8Array(), new Uint8Array(100), ...cut]) {
    await assert.rejects(parquet.decode({ file: bad, fromOffset: 0, maxBytes: 1e6 }), ParquetFormatError)
  }
})

test('damaged files give errors or rows, and leave the library usable', async () => {
  const file = await sample(50)
  await fc.assert(fc.asyncProperty(
    fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
    async (changes) => {
      const damaged = file.slice()
      for (const [at, value] of changes) damaged[at] = value
      try {
        await parquet.decode({ file: damaged, fromOffset: 0, maxBytes: 1e6 })
      } catch (error) {
        assert.ok(error instanceof Error)
      }
    },
  ), { numRuns: 60 })
  assert.deepEqual(plainFile(await parquet.decode({ file, fromOffset: 0, maxBytes: 1e6 })), plainRecords(batches))
})
