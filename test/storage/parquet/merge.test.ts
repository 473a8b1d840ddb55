import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  Binary, Field, Int64, Schema, Table, TimestampMicrosecond, makeData, makeVector, tableFromIPC, tableToIPC, vectorFromArray,
} from 'apache-arrow'
import type { Vector } from 'apache-arrow'
import * as fc from 'fast-check'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { footerOf } from '../../../storage/parquet/footer.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { KeyOffsets } from '../../../storage/parquet/key-offsets.ts'
import { NotMergeableError } from '../../../storage/parquet/parquet-codec.ts'
import { anyBatches, plainBatches, plainFile, plainRecords, utf8 } from './sample-records.ts'

const parquet = new InlineParquet()
const all = { partition: 0, fromOffset: 0, endOffset: Number.MAX_SAFE_INTEGER, compression: 'snappy' } as const

async function rowsOf(file: Uint8Array) {
  return plainFile(await parquet.decode({ file, fromOffset: 0, maxBytes: 1e9 }))
}

test('merging by offset keeps every row as it is, sorted', async () => {
  await fc.assert(fc.asyncProperty(anyBatches, fc.integer({ min: 1, max: 3 }), async (batches, perFile) => {
    const files: Uint8Array[] = []
    for (let i = 0; i < batches.length; i += perFile) {
      files.unshift(joinBody((await parquet.encode({ ...all, batches: batches.slice(i, i + perFile) })).parquet!))
    }
    const merged = await parquet.mergeByOffset({ files, compression: 'zstd', rowGroupRows: 10 })
    const expected = plainRecords(batches)
    assert.deepEqual(await rowsOf(joinBody(merged.parquet!)), expected)
    const { parquet: _, unreadable: __, ...statistics } = await parquet.encode({ ...all, batches })
    assert.deepEqual({ ...merged, parquet: null }, { ...statistics, parquet: null })
  }), { numRuns: 20 })
})

test('interleaved files are merged into sorted row groups of bounded size', async () => {
  const batches = plainBatches(40, 10)
  const files = [0, 1, 2].map((rest) => batches.filter((_, i) => i % 3 === rest))
  const encoded = await Promise.all(files.map(async (some) => joinBody((await parquet.encode({ ...all, batches: some })).parquet!)))
  const merged = await parquet.mergeByOffset({ files: encoded, compression: 'snappy', rowGroupRows: 100 })
  assert.deepEqual(await rowsOf(joinBody(merged.parquet!)), plainRecords(batches))
  const groups = footerOf(joinBody(merged.parquet!)).rowGroups
  assert.ok(groups.length >= 4 && groups.every((group) => group.rows <= 125), groups.map((group) => group.rows).join(' '))
  groups.forEach((group, i) => assert.equal(group.offsets!.min, i === 0 ? 0 : groups[i - 1]!.offsets!.max + 1))
})

test('a large merged file takes no more memory than its bytes', async () => {
  const values = randomBytes(1024 * 1024)
  const batch = (baseOffset: number) => encodeBatch({ baseOffset, records: Array.from({ length: 1024 }, (_, i) => ({ timestamp: 1, key: null, value: values.subarray(i * 1024, (i + 1) * 1024) })) })
  const files = await Promise.all([0, 1, 2].map(async (n) => {
    const batches = Array.from({ length: 6 }, (_, i) => batch((n * 6 + i) * 1024))
    return joinBody((await parquet.encode({ ...all, compression: 'zstd', batches })).parquet!)
  }))
  const { parquet: pieces, rows } = await parquet.mergeByOffset({ files, compression: 'zstd' })
  assert.equal(rows, 18 * 1024)
  // Two row groups of 8 MiB and what is left, not a piece for each page of 1 MiB.
  assert.ok(pieces!.length <= 6, `${pieces!.length} pieces`)
  for (const piece of pieces!) if (piece.length > 64 * 1024) assert.equal(piece.buffer.byteLength, piece.length)
})

test('overlapping files are read as if they were one, without being merged first', async () => {
  const batches = plainBatches(30, 10)
  const files = [0, 1, 2].map((rest) => batches.filter((_, i) => i % 3 === rest))
  const file = await Promise.all(files.map(async (some) => joinBody((await parquet.encode({ ...all, batches: some, rowGroupRows: 50 })).parquet!)))
  const part = await parquet.decode({ file, fromOffset: 55, endOffset: 205, maxBytes: 1e6 })
  assert.deepEqual(plainFile(part), plainRecords(batches).slice(55, 205))
  assert.deepEqual(await parquet.decode({ file: [], fromOffset: 0, maxBytes: 1 }), { batches: [], done: true })
})

test('microseconds that somebody else wrote survive a merge', async () => {
  const schema = new Schema([new Field('offset', new Int64(), true), new Field('timestamp', new TimestampMicrosecond('UTC'), true)])
  const micros = [1_700_000_000_123_456n, -7n]
  const columns: Record<string, Vector> = {
    offset: vectorFromArray([0n, 1n], new Int64()),
    timestamp: makeVector(makeData({ type: new TimestampMicrosecond('UTC'), length: 2, nullCount: 0, data: BigInt64Array.from(micros) })),
  }
  const file = await parquet.encodeArrowTable(tableToIPC(new Table(schema, columns), 'stream'))
  const merged = await parquet.mergeByOffset({ files: [file], compression: 'snappy' })
  const table = tableFromIPC(await parquet.decodeToArrow(joinBody(merged.parquet!)))
  const { values } = table.getChild('timestamp')!.data[0]!
  assert.deepEqual([values[0], values[1]], micros)
})

test('files that would lose rows or columns are not merged', async () => {
  const table = (columns: Record<string, Vector>) => {
    const schema = new Schema(Object.entries(columns).map(([name, vector]) => new Field(name, vector.type, true)))
    return parquet.encodeArrowTable(tableToIPC(new Table(schema, columns), 'stream'))
  }
  const withoutOffset = await table({ offset: vectorFromArray([1n, null], new Int64()) })
  await assert.rejects(parquet.mergeByOffset({ files: [withoutOffset], compression: 'none' }), NotMergeableError)
  const extra = await table({ offset: vectorFromArray([1n], new Int64()), price: vectorFromArray([utf8('x')], new Binary()) })
  const { memory: keys } = KeyOffsets.create(10, 1 << 20)
  await assert.rejects(parquet.mergeByKey({ files: [extra], compression: 'none', keys, endOffset: 10, dropTombstones: false }), NotMergeableError)
  assert.equal(await parquet.countSuperseded({ file: extra, keys, endOffset: 10, withTombstones: false }), null)
})
