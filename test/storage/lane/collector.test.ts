import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { LaneCollector, planCollection } from '../../../storage/lane/collector.ts'
import { encodeGuard } from '../../../storage/lane/segment.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { laneSegmentKey } from '../../../storage/paths.ts'
import { lane, topicB } from './support.ts'

const key = (seq: number): string => laneSegmentKey(lane.brokerId, lane.incarnation, seq)
const nothing = (): boolean => false

class DeletingStore extends MemoryStore {
  readonly deletes: number[][] = []
  lists = 0
  failing = false

  override async delete(keys: readonly string[]): Promise<void> {
    if (this.failing) throw new StoreError('unavailable', 'no')
    this.deletes.push(keys.map((at) => Number(at.slice(-20))))
    await super.delete(keys)
  }

  override async list(...args: Parameters<MemoryStore['list']>): ReturnType<MemoryStore['list']> {
    this.lists++
    return super.list(...args)
  }

  async left(): Promise<number[]> {
    return (await super.list('lanes/', { limit: 10_000 })).map(({ key: at }) => Number(at.slice(-20)))
  }
}

async function filled(seqs: Iterable<number>): Promise<DeletingStore> {
  const store = new DeletingStore()
  for (const seq of seqs) await store.put(key(seq), [Buffer.alloc(200)])
  return store
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}

test('a plan deletes what is below the bound and not needed, and what is beyond the fence', () => {
  const needed = new Set([2, 5])
  assert.deepEqual(planCollection(range(0, 8), { belowSeq: 6, isNeeded: (seq) => needed.has(seq) }), { deleted: [0, 1, 3, 4], held: [2, 5, 6, 7] })
  assert.deepEqual(planCollection([3, 4, 5, 6], { belowSeq: 4, isNeeded: nothing }, 5), { deleted: [3, 6], held: [4] })
})

test('no plan deletes a fence or anything that is needed (P5)', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(50)), fc.nat(50), fc.nat(50), fc.uniqueArray(fc.nat(50)), (seqs, belowSeq, fenceSeq, needed) => {
      const { deleted, held } = planCollection(seqs, { belowSeq, isNeeded: (seq) => needed.includes(seq) }, fenceSeq)
      assert(!deleted.includes(fenceSeq))
      for (const seq of deleted) assert(seq > fenceSeq || (seq < belowSeq && !needed.includes(seq)))
      assert.deepEqual([...deleted, ...held, fenceSeq].filter((seq) => seqs.includes(seq)).length, seqs.length)
    }),
  )
})

test('a live lane is never listed, and a run costs what is new or held', async () => {
  const store = await filled(range(0, 20))
  const collector = new LaneCollector({ store, lane, of: { kind: 'live', firstSeq: 0 } })
  assert.equal(await collector.collect({ belowSeq: 10, isNeeded: (seq) => seq === 4 }), 9)
  assert.equal(collector.heldCount, 1)
  const looked: number[] = []
  await collector.collect({
    belowSeq: 12,
    isNeeded: (seq) => {
      looked.push(seq)
      return false
    },
  })
  assert.deepEqual(looked, [4, 10, 11])
  assert.deepEqual(store.deletes, [[0, 1, 2, 3, 5, 6, 7, 8, 9], [4, 10, 11]])
  assert.equal(await collector.collect({ belowSeq: 12, isNeeded: nothing }), 0)
  assert.deepEqual([store.lists, collector.isFinished], [0, false])
  assert.deepEqual(await store.left(), range(12, 20))
})

test('a bound that moves back deletes nothing', async () => {
  const store = await filled(range(0, 9))
  const collector = new LaneCollector({ store, lane, of: { kind: 'live', firstSeq: 0 } })
  await collector.collect({ belowSeq: 5, isNeeded: (seq) => seq === 3 })
  assert.equal(await collector.collect({ belowSeq: 2, isNeeded: nothing }), 0)
  assert.equal(await collector.collect({ belowSeq: 6, isNeeded: nothing }), 2)
})

test('a dead lane is listed once and keeps its fences and walls for ever', async () => {
  const store = await filled([...range(3, 10), 11, 14])
  const guard = { lane, commitId: topicB, createdAtMs: 0, fencedBy: 43 }
  await store.put(key(1), [encodeGuard({ ...guard, kind: 'fence', seq: 1, endSeq: 1 })])
  await store.put(key(10), [encodeGuard({ ...guard, kind: 'wall', seq: 10, endSeq: 10 })])
  await store.put(key(12), [encodeGuard({ ...guard, kind: 'fence', seq: 12, endSeq: 10 })])
  await store.put(`lanes/7/42/checkpoints/${'5'.padStart(20, '0')}`, [Buffer.alloc(1)])
  const collector = new LaneCollector({ store, lane, of: { kind: 'dead', fenceSeq: 10 } })
  assert.equal(collector.isFinished, false)
  assert.equal(await collector.collect({ belowSeq: 10, isNeeded: (seq) => seq === 6 }), 8)
  assert.deepEqual([await store.left(), collector.isFinished], [[1, 6, 10, 12, 5], false])
  assert.equal(await collector.collect({ belowSeq: 10, isNeeded: nothing }), 1)
  assert.deepEqual([await store.left(), collector.isFinished, store.lists], [[1, 10, 12, 5], true, 1])
})

test('deletes come in bounded batches, and what failed is tried again', async () => {
  const store = await filled(range(0, 1200))
  const collector = new LaneCollector({ store, lane, of: { kind: 'live', firstSeq: 0 } })
  store.failing = true
  await assert.rejects(collector.collect({ belowSeq: 1200, isNeeded: nothing }), StoreError)
  store.failing = false
  assert.equal(await collector.collect({ belowSeq: 1200, isNeeded: nothing }), 1200)
  assert.deepEqual(store.deletes.map((seqs) => seqs.length), [500, 500, 200])
  assert.deepEqual(await store.left(), [])
})

test('a signal stops between batches without forgetting the rest', async () => {
  const store = await filled(range(0, 1200))
  const collector = new LaneCollector({ store, lane, of: { kind: 'live', firstSeq: 0 } })
  const stop = new AbortController()
  const remove = store.delete.bind(store)
  store.delete = async (keys) => {
    await remove(keys)
    stop.abort()
  }
  assert.equal(await collector.collect({ belowSeq: 1200, isNeeded: nothing }, stop.signal), 500)
  assert.equal(collector.heldCount, 700)
  assert.equal(await collector.collect({ belowSeq: 1200, isNeeded: nothing }), 700)
})
