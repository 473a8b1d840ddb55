import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { footerOf } from '../../../storage/parquet/footer.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { anyBatches, plainBatches, plainFile, plainRecords, utf8 } from './sample-records.ts'
import type { PlainRecord } from './sample-records.ts'

const parquet = new InlineParquet()
const all = { partition: 0, fromOffset: 0, endOffset: Number.MAX_SAFE_INTEGER }

test('P6: records come back equal, through any codec, row group size and read size', async () => {
  await fc.assert(fc.asyncProperty(
    anyBatches,
    fc.constantFrom('none', 'snappy', 'gzip', 'lz4', 'zstd'),
    fc.integer({ min: 1, max: 40 }),
    fc.constantFrom(1, 200, 100_000),
    fc.constantFrom('none', 'gzip', 'snappy', 'lz4', 'zstd'),
    async (batches, compression, rowGroupRows, maxBytes, codec) => {
      const expected = plainRecords(batches)
      const file = await parquet.encode({ ...all, batches, compression, rowGroupRows })
      assert.deepEqual(file.unreadable, [])
      assert.equal(file.rows, expected.length)
      assert.equal(file.minOffset, expected[0]!.offset)
      assert.equal(file.maxOffset, expected.at(-1)!.offset)
      const actual: PlainRecord[] = []
      for (let fromOffset = 0, done = false; !done; ) {
        const part = await parquet.decode({ file: joinBody(file.parquet!), fromOffset, maxBytes, compression: codec, batchBytesTarget: 300 })
        actual.push(...plainFile(part))
        done = part.done
        if (!done) fromOffset = part.batches.at(-1)!.lastOffset + 1
      }
      assert.deepEqual(actual, expected)
    },
  ), { numRuns: 60 })
})

test('a window of offsets is encoded and decoded, in the middle of batches', async () => {
  const batches = plainBatches(10, 10)
  const file = await parquet.encode({ partition: 0, batches, fromOffset: 15, endOffset: 42, compression: 'snappy', rowGroupRows: 10 })
  assert.deepEqual([file.rows, file.minOffset, file.maxOffset], [27, 15, 41])
  const part = await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 21, endOffset: 33, maxBytes: 1e6 })
  assert.deepEqual(plainFile(part), plainRecords(batches).slice(21, 33))
  assert.equal(part.done, true)
  const none = await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 42, maxBytes: 1e6 })
  assert.deepEqual(none, { batches: [], done: true })
})

test('a record of many megabytes comes back whole, even when the reader asked for one byte', async () => {
  const value = new Uint8Array(3_000_000).map((_, i) => (i * 7919) >> 5)
  const batches = [
    ...plainBatches(1, 3),
    encodeBatch({ baseOffset: 3, codec: 4, records: [{ timestamp: 5, key: null, value }] }),
    ...plainBatches(1, 3, 4),
  ]
  const file = await parquet.encode({ ...all, batches, compression: 'zstd', rowGroupBytes: 1_000_000 })
  assert.equal(footerOf(joinBody(file.parquet!)).rowGroups.length, 2)
  const part = await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 3, maxBytes: 1 })
  assert.equal(part.batches.length, 1)
  assert.equal(part.done, false)
  assert.deepEqual(plainFile(part), plainRecords([batches[1]!]))
  const rest = await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 4, maxBytes: 1e6 })
  assert.deepEqual(plainFile(rest), plainRecords([batches[2]!]))
})

test('reading stops at the bytes asked for and is done exactly at the end', async () => {
  const batches = plainBatches(20, 50)
  const file = await parquet.encode({ ...all, batches, compression: 'snappy' })
  const part = await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 0, maxBytes: 5000, batchBytesTarget: 1000 })
  const bytes = part.batches.reduce((sum, batch) => sum + batch.bytes.length, 0)
  assert.ok(bytes >= 5000 && bytes < 6100, `${bytes} bytes`)
  assert.equal(part.done, false)
  const whole = await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 0, maxBytes: 1e6 })
  const exact = whole.batches.reduce((sum, batch) => sum + batch.bytes.length, 0)
  assert.equal((await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 0, maxBytes: exact })).done, true)
})

test('offsets further apart than a batch can say become two batches', async () => {
  const batches = [plainBatches(1, 1, 5)[0]!, plainBatches(1, 1, 5_000_000_000)[0]!]
  const file = await parquet.encode({ ...all, batches, compression: 'none' })
  const part = await parquet.decode({ file: joinBody(file.parquet!), fromOffset: 0, maxBytes: 1e6 })
  assert.deepEqual(part.batches.map((batch) => batch.baseOffset), [5, 5_000_000_000])
  assert.deepEqual(plainFile(part), plainRecords(batches))
})

test('valid header keys are stored readably, others escaped', async () => {
  const headers = [
    { key: 'größe', value: null }, { key: new Uint8Array([0xc3, 0x28]), value: utf8('x') }, { key: '\uFFFDff', value: utf8('') },
  ]
  const batches = [encodeBatch({ baseOffset: 0, records: [{ timestamp: 0, key: null, value: null, headers }] })]
  const file = await parquet.encode({ ...all, batches, compression: 'none' })
  const raw = Buffer.from(joinBody(file.parquet!))
  assert.ok(raw.includes('größe'))
  assert.ok(raw.includes('\uFFFDc328'))
  assert.ok(raw.includes(`\uFFFD${Buffer.from('\uFFFDff').toString('hex')}`))
})
