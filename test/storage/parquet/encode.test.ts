import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BATCH_HEADER_SIZE, BASE_TIMESTAMP_AT, CODEC_ZSTD } from '../../../protocol/records/batch.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { footerOf } from '../../../storage/parquet/footer.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { plainBatches, plainFile, plainRecords, utf8 } from './sample-records.ts'

const parquet = new InlineParquet()
const all = { partition: 3, fromOffset: 0, endOffset: Number.MAX_SAFE_INTEGER, compression: 'snappy' } as const
const record = (timestamp: number, text: string) => ({ timestamp, key: utf8(text), value: utf8(text) })

async function recordsIn(file: Uint8Array) {
  return plainFile(await parquet.decode({ file, fromOffset: 0, maxBytes: 1e9 }))
}

test('control batches are no rows', async () => {
  const transactional = { producerId: 77, producerEpoch: 0, baseSequence: 0, transactional: true }
  const batches = [
    encodeBatch({ baseOffset: 1, ...transactional, records: [record(1, 'in a transaction')] }),
    encodeBatch({ baseOffset: 2, ...transactional, control: true, records: [record(1, 'marker')] }),
    encodeBatch({ baseOffset: 4, producerId: 77, records: [record(1, 'not transactional')] }),
  ]
  const file = await parquet.encode({ ...all, batches })
  assert.deepEqual((await recordsIn(joinBody(file.parquet!))).map((row) => row.offset), [1, 4])
})

test('no rows is no file', async () => {
  const file = await parquet.encode({ ...all, batches: plainBatches(1, 5), fromOffset: 5 })
  assert.deepEqual([file.parquet, file.rows, file.minOffset, file.maxOffset, file.minTimestampMicros], [null, 0, -1, -1, null])
})

test('statistics for the Delta log: ranges and null counts', async () => {
  const records = [
    { timestamp: -1, key: null, value: utf8('a'), headers: [{ key: 'h', value: null }] },
    { timestamp: 1_700_000_000_001, key: utf8(''), value: null },
    { timestamp: 1_600_000_000_000, key: utf8('k'), value: utf8(''), headers: [] },
  ]
  const batches = [encodeBatch({ baseOffset: 10, records })]
  const { parquet: bytes, unreadable, ...file } = await parquet.encode({ ...all, batches })
  assert.deepEqual(file, {
    rows: 3,
    minOffset: 10,
    maxOffset: 12,
    minTimestampMicros: 1_600_000_000_000_000,
    maxTimestampMicros: 1_700_000_000_001_000,
    nullCounts: { offset: 0, timestamp: 1, timestampType: 0, key: 1, value: 1, headers: 2 },
  })
  assert.deepEqual(unreadable, [])
  assert.equal(footerOf(joinBody(bytes!)).rows, 3)
})

test('row groups carry the statistics of offset by which readers prune', async () => {
  const file = await parquet.encode({ ...all, batches: plainBatches(10, 10), rowGroupRows: 30 })
  const groups = footerOf(joinBody(file.parquet!)).rowGroups
  assert.deepEqual(groups.map((group) => group.offsets), [
    { min: 0, max: 29, nulls: 0 }, { min: 30, max: 59, nulls: 0 }, { min: 60, max: 89, nulls: 0 }, { min: 90, max: 99, nulls: 0 },
  ])
})

test('a row group ends at its bytes', async () => {
  const file = await parquet.encode({ ...all, batches: plainBatches(10, 10), rowGroupBytes: 500 })
  assert.ok(footerOf(joinBody(file.parquet!)).rowGroups.length >= 3)
})

test('damaged batches are left out whole and reported; the others are in the file', async () => {
  const good = plainBatches(5, 4)
  const compressed = encodeBatch({ baseOffset: 4, codec: CODEC_ZSTD, records: Array.from({ length: 4 }, (_, i) => record(i, `x${i}`)) })
  compressed.fill(0x55, BATCH_HEADER_SIZE + 4)
  // The last record of the batch claims a key that goes beyond it: the three before it must not become rows.
  const cutOff = good[2]!.slice()
  cutOff.fill(0x7f, cutOff.length - 12)
  const farFuture = encodeBatch({ baseOffset: 12, records: Array.from({ length: 4 }, (_, i) => record(i, 'f')) })
  farFuture[BASE_TIMESTAMP_AT] = 0x7f
  const batches = [good[0]!, compressed, cutOff, farFuture, good[4]!]
  const file = await parquet.encode({ ...all, batches })
  assert.deepEqual(await recordsIn(joinBody(file.parquet!)), plainRecords([good[0]!, good[4]!]))
  assert.equal(file.rows, 8)
  assert.deepEqual(file.nullCounts, { offset: 0, timestamp: 0, timestampType: 0, key: 0, value: 0, headers: 8 })
  assert.deepEqual(file.unreadable.map(({ baseOffset, lastOffset }) => [baseOffset, lastOffset]), [[4, 7], [8, 11], [12, 15]])
  assert.match(file.unreadable[2]!.reason, /timestamp/)
})

test('a batch that decompresses to more than allowed is unreadable, not a failure', async () => {
  const bomb = encodeBatch({ baseOffset: 0, codec: CODEC_ZSTD, records: [{ timestamp: 0, key: null, value: new Uint8Array(5_000_000) }] })
  const file = await parquet.encode({ ...all, batches: [bomb, plainBatches(1, 1, 1)[0]!], batchBytesMax: 1_000_000 })
  assert.equal(file.rows, 1)
  assert.equal(file.unreadable.length, 1)
})

test('bytes that are too short for a batch are unreadable', async () => {
  const file = await parquet.encode({ ...all, batches: [new Uint8Array(10)] })
  assert.equal(file.parquet, null)
  assert.deepEqual(file.unreadable.map(({ baseOffset }) => baseOffset), [-1])
})
