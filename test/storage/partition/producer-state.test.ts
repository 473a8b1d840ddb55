/** The rules of idempotent producers (KIP-98, KIP-360), one by one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ProducerState, lastSequenceOf } from '../../../storage/partition/producer-state.ts'
import type { ProducerBatch } from '../../../storage/partition/producer-state.ts'

const sequenceMax = 0x7fffffff

function batch(baseSequence: number, recordCount = 1, producerEpoch = 0, baseOffset = baseSequence): ProducerBatch {
  return { producerId: 7, producerEpoch, baseSequence, recordCount, baseOffset, lastOffset: baseOffset + recordCount - 1 }
}

function stateWith(...batches: readonly ProducerBatch[]): ProducerState {
  const state = new ProducerState()
  for (const one of batches) {
    assert.equal(state.check(one).kind, 'next')
    state.update(one, 1000)
  }
  return state
}

describe('producer state', () => {
  it('lets a producer that is not known begin anywhere', () => {
    assert.equal(new ProducerState().check(batch(41)).kind, 'next')
  })

  it('takes the next sequence and refuses gaps', () => {
    const state = stateWith(batch(0, 3))
    assert.equal(state.check(batch(3)).kind, 'next')
    assert.equal(state.check(batch(4)).kind, 'outOfOrderSequence')
  })

  it('knows the last five batches again, with their offsets', () => {
    const state = stateWith(...[0, 2, 4, 6, 8, 10].map((sequence) => batch(sequence, 2, 0, 100 + sequence)))
    for (const sequence of [2, 4, 6, 8, 10]) {
      assert.deepEqual(state.check(batch(sequence, 2)), { kind: 'duplicate', baseOffset: 100 + sequence, lastOffset: 101 + sequence })
    }
    assert.equal(state.check(batch(12)).kind, 'next')
  })

  it('never calls a batch a duplicate that it does not know for certain', () => {
    const state = stateWith(...[0, 2, 4, 6, 8, 10].map((sequence) => batch(sequence, 2)))
    assert.equal(state.check(batch(0, 2)).kind, 'outOfOrderSequence', 'too old to be remembered')
    assert.equal(state.check(batch(10, 1)).kind, 'outOfOrderSequence', 'a part of one')
    assert.equal(state.check(batch(11, 2)).kind, 'outOfOrderSequence', 'overlapping')
    // The first batch was refused, the second one accepted because nothing was known: the first one is new.
    assert.equal(stateWith(batch(3)).check(batch(0, 3)).kind, 'outOfOrderSequence')
  })

  it('begins a new epoch with sequence 0 and fences the old one', () => {
    const state = stateWith(batch(0), batch(1))
    assert.equal(state.check(batch(2, 1, 1)).kind, 'outOfOrderSequence')
    assert.equal(state.check(batch(0, 1, 1)).kind, 'next')
    state.update(batch(0, 1, 1), 1000)
    assert.equal(state.check(batch(2, 1, 0)).kind, 'staleProducerEpoch')
    assert.equal(state.check(batch(1, 1, 1)).kind, 'next')
    assert.equal(state.check(batch(0, 1, 1)).kind, 'duplicate')
  })

  it('wraps around after the greatest sequence', () => {
    assert.equal(lastSequenceOf(sequenceMax, 1), sequenceMax)
    assert.equal(lastSequenceOf(sequenceMax, 3), 1)
    const state = stateWith(batch(sequenceMax - 1, 3))
    assert.equal(state.check(batch(1)).kind, 'next')
    assert.equal(state.check(batch(0)).kind, 'outOfOrderSequence')
    assert.equal(state.check(batch(sequenceMax - 1, 3)).kind, 'duplicate')
    assert.equal(stateWith(batch(sequenceMax)).check(batch(0)).kind, 'next')
  })

  it('forgets by the time of the broker', () => {
    const state = stateWith(batch(0))
    state.update({ ...batch(0), producerId: 8 }, 2000)
    state.expire(1500)
    assert.deepEqual(state.active().map(({ producerId }) => producerId), [8])
    assert.equal(state.check(batch(5)).kind, 'next')
  })

  it('survives a snapshot', () => {
    const state = stateWith(...[0, 1, 2, 3, 4, 5].map((sequence) => batch(sequence)))
    const restored = new ProducerState()
    restored.restore(JSON.parse(JSON.stringify(state.snapshot())) as ReturnType<ProducerState['snapshot']>)
    assert.deepEqual(restored.snapshot(), state.snapshot())
    assert.equal(restored.check(batch(5)).kind, 'duplicate')
    assert.equal(restored.check(batch(6)).kind, 'next')
    assert.equal(restored.size, 1)
    restored.update(batch(6), 3000)
    assert.equal(state.check(batch(6)).kind, 'next', 'the copy is independent')
  })
})
