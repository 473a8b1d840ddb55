import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FlushBacklog } from '../../../storage/engine/flush-backlog.ts'

const A = 'AAAAAAAAAAAAAAAAAAAAAA'
const B = 'BBBBBBBBBBBBBBBBBBBBBB'

test('waiters are called in their order as flushes make room', () => {
  const backlog = new FlushBacklog(100)
  const called: number[] = []
  backlog.whenRoom(() => called.push(0))
  backlog.add(A, 60)
  backlog.add(B, 60)
  assert.equal(backlog.hasRoom, false)
  for (const n of [1, 2, 3]) {
    backlog.whenRoom(() => {
      called.push(n)
      backlog.add(A, 30)
    })
  }
  assert.deepEqual(called, [0])
  backlog.remove(A, 60)
  assert.deepEqual(called, [0, 1, 2], 'each one closes the door behind itself when it fills the room')
  backlog.remove(B, 60)
  assert.deepEqual(called, [0, 1, 2, 3])
  assert.equal(backlog.bytes, 90)
})

test('a topic that cannot be flushed holds up nobody, and counts again when it can', () => {
  const backlog = new FlushBacklog(100)
  let called = 0
  backlog.add(A, 150)
  backlog.whenRoom(() => called++)
  backlog.setHeldBack(A, Infinity)
  assert.equal(called, 1)
  backlog.add(A, 50)
  backlog.add(B, 10)
  assert.equal(backlog.bytes, 10)
  backlog.remove(A, 20)
  assert.equal(backlog.bytes, 10)
  backlog.setHeldBack(A, Infinity)
  backlog.setHeldBack(A, 0)
  assert.equal(backlog.bytes, 190)
  assert.equal(backlog.hasRoom, false)
})

test('what an open transaction holds back counts for nobody, and what comes after that does', () => {
  const backlog = new FlushBacklog(100)
  let called = 0
  backlog.add(A, 150)
  backlog.whenRoom(() => called++)
  backlog.setHeldBack(A, 120)
  assert.deepEqual([backlog.bytes, called], [30, 1])
  backlog.add(A, 40)
  assert.equal(backlog.bytes, 70)
  backlog.setHeldBack(A, 160)
  assert.equal(backlog.bytes, 30)
  backlog.remove(A, 170)
  assert.equal(backlog.bytes, 0, 'the transaction has ended and was flushed')
  backlog.setHeldBack(A, 0)
  assert.equal(backlog.bytes, 20)
})

test('nobody waits for a lane that is over', () => {
  const backlog = new FlushBacklog(1)
  let called = 0
  backlog.add(A, 5)
  backlog.whenRoom(() => called++)
  backlog.release()
  assert.equal(called, 1)
})

test('half full, flushes hurry; and for everybody who waits', () => {
  let hurried = 0
  const backlog = new FlushBacklog(100, () => hurried++)
  backlog.add(A, 49)
  assert.equal(hurried, 0)
  backlog.add(A, 1)
  backlog.add(A, 49)
  assert.equal(hurried, 1)
  backlog.add(A, 1)
  backlog.whenRoom(() => undefined)
  assert.equal(hurried, 2)
})
