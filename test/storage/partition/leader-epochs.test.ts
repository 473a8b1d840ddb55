/** OffsetForLeaderEpoch as Kafka answers it (KIP-101, KIP-320). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LeaderEpochs } from '../../../storage/partition/leader-epochs.ts'

function epochs(...starts: readonly (readonly [number, number])[]): LeaderEpochs {
  const history = new LeaderEpochs()
  for (const [epoch, start] of starts) history.assign(epoch, start)
  return history
}

test('an epoch ends where the next one begins, the newest one with the log', () => {
  const history = epochs([2, 0], [5, 10], [9, 30])
  assert.deepEqual(history.endOffset(2, 9, 44), { leaderEpoch: 2, endOffset: 10 })
  assert.deepEqual(history.endOffset(5, 9, 44), { leaderEpoch: 5, endOffset: 30 })
  assert.deepEqual(history.endOffset(9, 9, 44), { leaderEpoch: 9, endOffset: 44 })
})

test('an epoch between two is answered with the one before it', () => {
  assert.deepEqual(epochs([2, 0], [9, 30]).endOffset(7, 9, 44), { leaderEpoch: 2, endOffset: 30 })
})

test('an epoch before all is answered with where the first one begins, one of the future not at all', () => {
  const history = epochs([5, 10])
  assert.deepEqual(history.endOffset(3, 5, 44), { leaderEpoch: 3, endOffset: 10 })
  assert.equal(history.endOffset(6, 5, 44), null)
})

test('the current epoch ends with the log also before anything was written in it', () => {
  assert.deepEqual(epochs([5, 0]).endOffset(8, 8, 44), { leaderEpoch: 8, endOffset: 44 })
  assert.deepEqual(epochs([5, 0]).endOffset(7, 8, 44), { leaderEpoch: 5, endOffset: 44 })
  assert.deepEqual(new LeaderEpochs().endOffset(3, 8, 0), { leaderEpoch: 3, endOffset: 0 })
})

test('an epoch in which nothing was written leaves no trace, and none comes twice', () => {
  const history = epochs([2, 0], [5, 10], [6, 10], [6, 12], [4, 13])
  assert.deepEqual(history.snapshot(), [[2, 0], [6, 10]])
  const restored = new LeaderEpochs()
  restored.restore(history.snapshot())
  restored.assign(8, 20)
  assert.deepEqual([0, 9, 10, 19, 20].map((offset) => restored.epochOf(offset)), [2, 2, 6, 6, 8])
  assert.deepEqual(history.snapshot(), [[2, 0], [6, 10]], 'the copy is independent')
  assert.equal(new LeaderEpochs().epochOf(0), -1)
})
