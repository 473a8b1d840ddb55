import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { AddFile } from '../../../storage/delta/actions.ts'
import { compactionChange, planCompaction } from '../../../storage/delta/compaction.ts'
import type { CompactionOptions } from '../../../storage/delta/compaction.ts'
import { tableProtocol, topicMetadata } from '../../../storage/delta/schema.ts'
import { Snapshot } from '../../../storage/delta/snapshot.ts'
import { addOf, topicId } from './support.ts'

/** A table in memory that is flushed and compacted without files. */
class Model {
  readonly snapshot = new Snapshot()
  version = 0
  written = 0
  flushed = 0
  next = 0
  mostFiles = 0

  constructor() {
    this.snapshot.apply(0, { protocol: tableProtocol, metadata: topicMetadata({ topicId }, 1), adds: [], removes: [], txns: [], sidecars: [] })
  }

  flush(bytes: number): void {
    this.flushed += bytes
    this.written += bytes
    this.apply([{ ...addOf(0, this.next, this.next + 9, `f${this.version}`), size: bytes }], [])
    this.next += 10
  }

  compact(): boolean {
    const plan = planCompaction(this.snapshot, 0)
    if (plan === null) return false
    this.written += plan.bytes
    const output = { ...addOf(0, plan.first, plan.last, `m${this.version}`), size: plan.bytes }
    const { adds, removes } = compactionChange(plan, [output], 'id', 1)
    assert.ok((plan.files.length >= 32 || plan.bytes >= 32 * 1024 * 1024) && plan.bytes <= 64 * 1024 * 1024)
    this.snapshot.apply(++this.version, { adds, removes, txns: [], sidecars: [] })
    return true
  }

  apply(adds: AddFile[], txns: []): void {
    this.snapshot.apply(++this.version, { adds, removes: [], txns, sidecars: [] })
    this.mostFiles = Math.max(this.mostFiles, this.snapshot.fileCount)
  }

  /** Whole, in order and without overlap. */
  check(): void {
    let next = 0
    for (const file of this.snapshot.files(0)) {
      assert.equal(file.first, next)
      next = file.last + 1
    }
    assert.equal(next, this.next)
  }
}

/** The plan for forty equal neighbours, some of them changed. */
function run(change: (add: AddFile, n: number) => AddFile, options?: CompactionOptions) {
  const model = new Model()
  model.apply(Array.from({ length: 40 }, (_, n) => change(addOf(0, n * 10, n * 10 + 9, `f${n}`), n)), [])
  return planCompaction(model.snapshot, 0, options)
}

describe('compaction', () => {
  test('keeps a table with ten commits a second healthy for hours, at a bounded cost', () => {
    const model = new Model()
    for (let n = 1; n <= 36_000; n++) {
      model.flush(20_000)
      if (n % 10 === 0) while (model.compact());
    }
    model.check()
    assert.ok(model.mostFiles < 100, `${model.mostFiles} files`)
    const amplification = model.written / model.flushed
    assert.ok(amplification < 4, `each byte was written ${amplification} times`)
  })

  test('rewrites each byte a bounded number of times, whatever the sizes are', () => {
    const size = fc.oneof(fc.integer({ min: 500, max: 5_000 }), fc.integer({ min: 500, max: 40_000_000 }))
    fc.assert(
      fc.property(fc.array(size, { minLength: 300, maxLength: 1500 }), (sizes) => {
        const model = new Model()
        for (const [n, bytes] of sizes.entries()) {
          model.flush(bytes)
          if (n % 7 === 0) while (model.compact());
        }
        model.check()
        // A byte's file grows eightfold with every rewriting, from 500 bytes to 128 MiB.
        assert.ok(model.written <= model.flushed * (1 + Math.ceil(Math.log(128 * 1024 * 1024 / 500) / Math.log(8))))
      }),
      { numRuns: 10 },
    )
  })

  test('leaves alone what it must not merge', () => {
    assert.equal(run((add) => add)?.files.length, 40)
    assert.equal(run((add) => ({ ...add, path: `partition=0/part-${add.path.slice(13)}` })), null, 'files of others')
    assert.equal(run((add, n) => (n === 20 ? { ...add, deletionVector: { storageType: 'u', pathOrInlineDv: 'x' } } : add)), null, 'deletion vectors')
    assert.equal(run((add, n) => (n === 20 ? { ...addOf(0, 0, 399, 'wide') } : add)), null, 'files that overlap')
    assert.equal(run((add, n) => (n === 20 ? { ...add, size: 70 * 1024 * 1024 } : add)), null, 'files that are large enough')
    assert.equal(run((add, n) => (n === 20 ? { ...add, size: 1024 * 1024 } : add)), null, 'one that is much larger than its neighbours')
    const unknown = run((add, n) => (n === 20 ? { ...add, stats: '{}' } : add))
    assert.equal(unknown?.files.length, 39, 'a file whose offsets nobody knows')
  })

  test('a merged file spans no more time and takes no more bytes than it may', () => {
    const everySecond = (add: AddFile, n: number): AddFile => ({ ...add, modificationTime: 1_700_000_000_000 + n * 1000 })
    const offsets = (options: CompactionOptions): unknown => {
      const plan = run(everySecond, { filesMin: 8, ...options })
      return plan === null ? null : [plan.files.length, plan.first]
    }
    assert.deepEqual(offsets({ spanMs: 39_000 }), [40, 0])
    assert.deepEqual(offsets({ spanMs: 10_000 }), [11, 0])
    assert.equal(offsets({ spanMs: 6_000 }), null, 'too few for a file that is larger by enough')
    assert.deepEqual(offsets({ targetBytes: 20_000 }), [19, 0])
    // One that is newer than all before it goes last of its run or first of the next; nothing behind it expires before it does.
    const ahead = run((add, n) => ({ ...add, modificationTime: n === 12 ? 9e12 : add.modificationTime }), { filesMin: 8, spanMs: 1000 })
    assert.deepEqual([ahead?.files.length, ahead?.first], [12, 0])
  })

  test('records out of order of time keep no files from being merged', () => {
    const scattered = run((add, n) => ({ ...add, modificationTime: n % 2 === 0 ? 1_700_000_000_000 : 5 + n * 1e9 }), { spanMs: 1000 })
    assert.deepEqual([scattered?.files.length, scattered?.first], [40, 0])
  })

  test('never commits a merge that lost or gained rows', () => {
    const model = new Model()
    for (let n = 0; n < 40; n++) model.flush(1000)
    const plan = planCompaction(model.snapshot, 0)
    assert.ok(plan !== null)
    assert.equal(plan.records, 400)
    assert.throws(() => compactionChange(plan, [addOf(0, 0, 398, 'm')], 'id', 1), { kind: 'invalid' })
    const change = compactionChange(plan, [addOf(0, 0, 399, 'm')], 'id', 7)
    assert.ok(change.adds.every((add) => !add.dataChange) && change.removes.every((remove) => !remove.dataChange && remove.deletionTimestamp === 7))
    assert.deepEqual(change.removes[0]?.partitionValues, { partition: '0' })
  })
})
