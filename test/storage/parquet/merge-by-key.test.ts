import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { KeyOffsets } from '../../../storage/parquet/key-offsets.ts'
import { plainFile, utf8 } from './sample-records.ts'

const parquet = new InlineParquet()
const all = { partition: 0, fromOffset: 0, endOffset: Number.MAX_SAFE_INTEGER, compression: 'zstd' } as const

type Keyed = readonly [key: string | null, value: string | null]

async function fileOf(baseOffset: number, records: readonly Keyed[]): Promise<Uint8Array> {
  const rows = records.map(([key, value]) => ({ timestamp: 1, key: key === null ? null : utf8(key), value: value === null ? null : utf8(value) }))
  return joinBody((await parquet.encode({ ...all, batches: [encodeBatch({ baseOffset, records: rows })] })).parquet!)
}

async function offsetsOf(file: Uint8Array | null): Promise<number[]> {
  return file === null ? [] : plainFile(await parquet.decode({ file, fromOffset: 0, maxBytes: 1e9 })).map(({ offset }) => offset)
}

describe('merging by key', () => {
  test('keeps the last row of each key, and drops rows without a key and tombstones whose time is over', async () => {
    const older = await fileOf(0, [['a', 'a1'], ['b', 'b1'], ['c', 'c1'], ['', 'empty key'], [null, 'no key']])
    const newer = await fileOf(10, [['b', null], ['c', null], ['a', 'a2'], ['d', 'd1'], ['d', '']])
    const files = [newer, older]
    const { memory: keys } = KeyOffsets.create(10, 1 << 20)
    assert.equal(await parquet.collectKeys({ files, keys, fromOffset: 0, endOffset: 15 }), 15)
    const merge = async (endOffset: number, dropTombstones: boolean) => {
      const merged = await parquet.mergeByKey({ files, compression: 'none', keys, endOffset, dropTombstones })
      assert.equal(merged.rows + merged.dropped, 10)
      return await offsetsOf(joinBody(merged.parquet!))
    }
    assert.deepEqual(await merge(15, false), [3, 10, 11, 12, 14])
    assert.deepEqual(await merge(15, true), [3, 12, 14])
    // Whatever is behind the end stays as it is.
    assert.deepEqual(await merge(11, true), [3, 11, 12, 13, 14])
    const counts = await Promise.all([older, newer].map((file) => parquet.countSuperseded({ file, keys, endOffset: 15, withTombstones: true })))
    assert.deepEqual(counts, [{ superseded: 4, tombstones: 0 }, { superseded: 1, tombstones: 2 }])
    assert.deepEqual(await parquet.countSuperseded({ file: older, keys, endOffset: 2, withTombstones: false }), { superseded: 2, tombstones: null })
  })

  test('nothing left is no file', async () => {
    const { memory: keys } = KeyOffsets.create(1, 1 << 20)
    const merged = await parquet.mergeByKey({ files: [await fileOf(0, [['a', null]])], compression: 'none', keys, endOffset: 1, dropTombstones: true })
    assert.deepEqual([merged.parquet, merged.rows, merged.dropped], [null, 0, 1])
  })

  test('a full map ends where the first key had no room, and what is below is right all the same', async () => {
    const records = Array.from({ length: 500 }, (_, i): Keyed => [`key ${i % 300}`, `${i}`])
    const file = await fileOf(0, records)
    const map = KeyOffsets.create(Infinity, 24 * 130)
    const end = await parquet.collectKeys({ files: [file], keys: map.memory, fromOffset: 0, endOffset: 500 })
    assert.equal(end, map.size)
    assert.ok(end >= 90 && end < 130, `${end} keys`)
    // The rest, in a second pass whose rows supersede those of the first.
    const next = KeyOffsets.create(Infinity, 1 << 20)
    assert.equal(await parquet.collectKeys({ files: [file], keys: next.memory, fromOffset: end, endOffset: 500 }), 500)
    const merged = await parquet.mergeByKey({ files: [file], compression: 'none', keys: next.memory, endOffset: 500, dropTombstones: false })
    assert.deepEqual(await offsetsOf(joinBody(merged.parquet!)), Array.from({ length: 300 }, (_, i) => i + 200))
  })

  test('any keys: the map says what a map of the language says', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 3 }), fc.nat())), (entries) => {
      const map = KeyOffsets.create(entries.length, 1 << 20)
      const model = new Map<string, number>()
      for (const [key, offset] of entries) {
        assert.ok(map.put(key, offset))
        const name = key.join()
        model.set(name, Math.max(model.get(name) ?? -1, offset))
      }
      assert.equal(map.size, model.size)
      for (const [key] of entries) assert.equal(map.get(key), model.get(key.join()))
      assert.equal(map.get(utf8('four')), -1)
    }))
  })
})
