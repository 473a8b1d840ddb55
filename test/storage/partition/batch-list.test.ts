/** The columns in which the batches of a partition stand. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LaneRow } from '../../../storage/lane/types.ts'
import { BatchList } from '../../../storage/partition/batch-list.ts'
import { BatchMemory } from '../../../storage/partition/batch-memory.ts'
import { lane, topicId } from './support.ts'

/** A batch of two offsets with numbers of its own in every column, at the ends of what they hold for some. */
function rowOf(n: number): LaneRow {
  return {
    topicId, partition: 7, baseOffset: 2 * n + 2 ** 40, lastOffset: 2 * n + 1 + 2 ** 40, maxTimestamp: 1_700_000_000_000 + n, producerId: 2 ** 45 + n,
    producerEpoch: n % 2 === 0 ? -1 : 0x7fff, baseSequence: n % 3 === 0 ? 0x7fff_ffff : -1, leaderEpoch: n, attributes: n % 2 === 0 ? 0 : 0x18, recordCount: 2,
    crc: 0xffff_ffff - n,
  }
}

function filled(count: number): BatchList {
  const list = new BatchList(topicId, 7)
  for (let n = 0; n < count; n++) {
    const frame = new Uint8Array(64).fill(n % 251)
    assert.equal(list.push(rowOf(n), frame.subarray(n % 8, 60), null), n)
    list.setDurable(n, lane, 10 + n, 0xfff0_0000 + n)
  }
  return list
}

describe('the list of batches', () => {
  it('gives back every number as it was put in, however often it grew and forgot', () => {
    const list = new BatchList(topicId, 7)
    for (let n = 0; n < 5000; n++) {
      const frame = new Uint8Array(64).fill(n % 251)
      list.push(rowOf(n), frame.subarray(n % 8, 60), null)
      list.setDurable(n, lane, 10 + n, 0xfff0_0000 + n)
      if (n >= 300) {
        list.evict(n - 300)
        list.drop(n - 299)
      }
    }
    assert.deepEqual([list.first, list.end], [4700, 5000])
    let n = 4700
    for (const { ref, ...row } of list.run(4700, 5000)) {
      assert.deepEqual(row, rowOf(n))
      const start = 0xfff0_0000 + n
      assert.deepEqual(ref, { lane, seq: 10 + n, start, end: start + 60 - (n % 8) })
      assert.deepEqual(list.bytes(n), new Uint8Array(60 - (n % 8)).fill(n % 251))
      n++
    }
    assert.equal(n, 5000)
    assert.equal(list.bytes(4699), null)
    assert.equal(list.isResident(4699), false)
  })

  it('finds the batch of an offset', () => {
    const list = filled(100)
    for (let n = 0; n < 10; n++) list.evict(n)
    list.drop(10)
    assert.equal(list.firstAtOrAfter(0), 10)
    assert.equal(list.firstAtOrAfter(2 ** 40 + 60), 30)
    assert.equal(list.firstAtOrAfter(2 ** 40 + 61), 30)
    assert.equal(list.firstAtOrAfter(2 ** 40 + 200), 100)
    assert.equal(list.run(20, 40).indexOf(2 ** 40 + 60), 10)
    assert.equal(list.run(20, 40).indexOf(2 ** 40 + 61), -1)
  })

  it('leaves a run what it was taken of, when the list forgets it and takes others', () => {
    const list = filled(200)
    const run = list.run(50, 150)
    const expected = [...run]
    for (let n = 0; n < 200; n++) list.evict(n)
    list.drop(200)
    for (let n = 200; n < 600; n++) list.push(rowOf(n), new Uint8Array(8), null)
    assert.deepEqual([...run], expected)
    assert.equal(run.bytes(0), null)
    assert.equal(run.number(0), 50)
  })

  it('knows the lane of each batch', () => {
    const list = new BatchList(topicId, 7)
    const lanes = [{ brokerId: 1, incarnation: 1 }, { brokerId: 1, incarnation: 2 }, { brokerId: 1, incarnation: 1 }]
    for (const [n, of] of lanes.entries()) list.pushDurable(rowOf(n), { lane: of, seq: n, start: 100, end: 150 })
    const run = list.run(0, 3)
    assert.deepEqual([0, 1, 2].map((i) => run.lane(i)), lanes)
    assert.deepEqual([0, 1, 2].map((i) => [run.laneSeq(i), run.batchBytes(i), run.bytes(i)]), [[0, 50, null], [1, 50, null], [2, 50, null]])
  })

  it('holds memory while a batch is resident, and for whoever asks', () => {
    const list = new BatchList(topicId, 7)
    const frame = new Uint8Array(32)
    const memory = new BatchMemory(frame.buffer)
    const number = list.push(rowOf(0), frame.subarray(8), memory)
    assert.equal(list.isDurable(number), false)
    memory.release()
    const held: BatchMemory[] = []
    list.hold(number, held)
    list.evict(number)
    list.evict(number)
    assert.equal(frame.length, 32)
    held[0]!.release()
    assert.equal(frame.length, 0, 'given back')
  })

  it('takes no batch for a part of memory that it is not in', () => {
    const list = new BatchList(topicId, 7)
    assert.throws(() => list.push(rowOf(0), new Uint8Array(32), new BatchMemory(new ArrayBuffer(32))), /outside of the memory/)
    assert.equal(list.end, 0)
  })
})
