import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { AddFile } from '../../../storage/delta/actions.ts'
import { OffsetIndex } from '../../../storage/delta/offset-index.ts'
import { tableProtocol, topicMetadata } from '../../../storage/delta/schema.ts'
import { Snapshot, dataFileKey } from '../../../storage/delta/snapshot.ts'
import { addOf, location, removeOf, topicId } from './support.ts'

const empty = { adds: [], removes: [], txns: [], sidecars: [] }
const genesis = { ...empty, protocol: tableProtocol, metadata: topicMetadata({ topicId }, 1) }

function snapshotOf(...adds: AddFile[]): Snapshot {
  const snapshot = new Snapshot()
  snapshot.apply(0, genesis)
  snapshot.apply(1, { ...empty, adds })
  return snapshot
}

const withStats = (partition: string | null, stats: string | undefined, path: string): AddFile => ({
  path,
  partitionValues: { partition },
  size: 10,
  modificationTime: 1,
  dataChange: true,
  ...(stats === undefined ? {} : { stats }),
})

describe('the index by offset', () => {
  test('answers as a plain list does, whatever ranges overlap', () => {
    const entry = fc.record({ first: fc.integer({ min: 0, max: 400 }), length: fc.integer({ min: 0, max: 60 }), remove: fc.boolean() })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 700 }), fc.integer({ min: -1, max: 470 }), (entries, offset) => {
        const index = new OffsetIndex<{ key: string; first: number; last: number }>()
        let plain: { key: string; first: number; last: number }[] = []
        for (const [n, { first, length, remove }] of entries.entries()) {
          const added = { key: `k${n}`, first, last: first + length }
          index.add(added)
          plain.push(added)
          if (remove) {
            const victim = plain[(n * 7919) % plain.length]
            assert.ok(victim !== undefined && index.remove(victim))
            assert.ok(!index.remove(victim))
            plain = plain.filter((candidate) => candidate !== victim)
          }
        }
        plain.sort((a, b) => a.first - b.first || (a.key < b.key ? -1 : 1))
        assert.deepEqual([...index], plain)
        assert.equal(index.size, plain.length)
        assert.deepEqual(index.covering(offset), plain.filter((file) => file.first <= offset && file.last >= offset))
        assert.deepEqual([...index.from(offset)], plain.filter((file) => file.last >= offset))
        assert.equal(index.after(offset)?.first, plain.find((file) => file.first > offset)?.first)
        assert.equal(index.greatest, plain.reduce((greatest, file) => Math.max(greatest, file.last), -1))
      }),
      { numRuns: 60 },
    )
  })

  test('takes a day of commits in order in little time, and finds each', () => {
    const index = new OffsetIndex<{ key: string; first: number; last: number }>()
    for (let n = 0; n < 100_000; n++) index.add({ key: `k${n}`, first: n * 10, last: n * 10 + 9 })
    assert.deepEqual(index.covering(543_215), [{ key: 'k54321', first: 543_210, last: 543_219 }])
    for (let n = 0; n < 100_000; n += 2) assert.ok(index.remove({ key: `k${n}`, first: n * 10, last: n * 10 + 9 }))
    assert.deepEqual(index.covering(5), [])
    assert.equal(index.after(5)?.first, 10)
    assert.equal(index.size, 50_000)
  })
})

describe('a snapshot', () => {
  test('replays commits in order only', () => {
    const snapshot = snapshotOf(addOf(0, 0, 9))
    assert.throws(() => snapshot.apply(3, empty), /does not follow/)
    snapshot.apply(2, { ...empty, removes: [removeOf(addOf(0, 0, 9))], adds: [addOf(0, 0, 9, 'merged')] })
    assert.deepEqual(snapshot.files(0).map((file) => file.path), [addOf(0, 0, 9, 'merged').path])
    assert.equal(snapshot.bytes, addOf(0, 0, 9).size)
  })

  test('keeps files without a partition, without offsets and with unknown offsets apart', () => {
    const none = '{"numRecords":3,"nullCount":{"offset":3}}'
    const snapshot = snapshotOf(
      addOf(0, 0, 9),
      withStats('0', none, 'partition=0/appended.parquet'),
      withStats('0', undefined, 'partition=0/unknown.parquet'),
      withStats(null, none, 'partition=__HIVE_DEFAULT_PARTITION__/a.parquet'),
      withStats('', none, 'partition=/b.parquet'),
      withStats('__HIVE_DEFAULT_PARTITION__', none, 'c.parquet'),
    )
    assert.equal(snapshot.strays().length, 3)
    assert.equal(snapshot.appendsOf(0).length, 1)
    assert.deepEqual(snapshot.greatestOffset(0), { offset: 9, complete: false })
    const { covering, unknown, next } = snapshot.filesForOffset(0, 100)
    assert.deepEqual([covering, unknown.map((file) => file.path), next], [[], ['partition=0/unknown.parquet'], undefined])

    snapshot.provideRange('partition=0/unknown.parquet', { kind: 'known', first: 100, last: 120 }, { records: 21 })
    assert.deepEqual(snapshot.greatestOffset(0), { offset: 120, complete: true })
    assert.equal(snapshot.filesForOffset(0, 100).covering[0]?.records, 21)
    assert.equal(snapshot.filesForOffset(0, 50).next?.first, 100)
    assert.equal(snapshot.fileCount, 6)
  })

  test('knows a path by what it decodes to', () => {
    const snapshot = snapshotOf(withStats('0', undefined, 'partition=0/a%20b.parquet'))
    assert.ok(snapshot.hasFile('partition=0/a b.parquet'))
    snapshot.apply(2, { ...empty, removes: [{ path: 'partition=0/a b.parquet', dataChange: true }] })
    assert.equal(snapshot.fileCount, 0)
    assert.equal(dataFileKey(location, { path: 'x/a%20b.parquet' }), `${location}/x/a b.parquet`)
    assert.equal(dataFileKey(location, { path: 's3://bucket/x.parquet' }), null)
    assert.equal(dataFileKey(location, { path: 'partition=0/100%.parquet' }), `${location}/partition=0/100%.parquet`)
  })

  test('replaces a file that is added again, and removes the one with the same deletion vector', () => {
    const deletionVector = { storageType: 'u', pathOrInlineDv: 'abc', offset: 1 }
    const plain = addOf(0, 0, 9)
    const snapshot = snapshotOf(plain, { ...plain, size: 5 })
    assert.deepEqual([snapshot.fileCount, snapshot.bytes], [1, 5])
    snapshot.apply(2, { ...empty, removes: [removeOf(plain)], adds: [{ ...plain, deletionVector }] })
    assert.deepEqual([snapshot.fileCount, snapshot.deletionVectorCount], [1, 1])
    snapshot.apply(3, { ...empty, removes: [removeOf(plain)] })
    assert.equal(snapshot.fileCount, 1)
    snapshot.apply(4, { ...empty, removes: [{ ...removeOf(plain), deletionVector }] })
    assert.deepEqual([snapshot.fileCount, snapshot.deletionVectorCount, snapshot.partitions()], [0, 0, []])
  })
})
