import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../storage/env.ts'
import { RateLimiter } from '../../src/logging.ts'
import { realEnv } from '../../src/real-env.ts'

test('one line per key and interval, and the next one says how many were left out', () => {
  let now = 0
  const clock: Clock = { ...realEnv.clock, monotonic: () => now }
  const limiter = new RateLimiter(clock, 1000)
  assert.deepEqual(limiter.admit('a'), { suppressed: 0 })
  for (let i = 0; i < 5; i++) assert.equal(limiter.admit('a'), null)
  assert.deepEqual(limiter.admit('b'), { suppressed: 0 }, 'keys are independent')
  now = 1000
  assert.deepEqual(limiter.admit('a'), { suppressed: 5 })
  assert.equal(limiter.admit('a'), null)
})

test('the number of remembered keys is bounded', () => {
  const clock: Clock = { ...realEnv.clock, monotonic: () => 0 }
  const limiter = new RateLimiter(clock, 1000, 2)
  for (const key of ['a', 'b', 'c']) limiter.admit(key)
  assert.equal(limiter.admit('c'), null)
  assert.deepEqual(limiter.admit('a'), { suppressed: 0 }, 'the oldest was forgotten')
})

test('the real clock sleeps, wakes early and cancels', async () => {
  const { clock } = realEnv
  const started = clock.monotonic()
  await clock.sleep(20)
  assert.ok(clock.monotonic() - started >= 19)
  const stop = new AbortController()
  const sleeping = clock.sleep(60_000, stop.signal)
  stop.abort()
  await sleeping
  await clock.sleep(60_000, stop.signal)
  let called = 0
  clock.schedule(5, () => called++).cancel()
  clock.schedule(0, () => called++).cancel()
  await clock.sleep(20)
  assert.equal(called, 0)
})

test('ids are 22 characters that no command line takes for an option', () => {
  const ids = Array.from({ length: 500 }, () => realEnv.uuid())
  assert.ok(ids.every(id => /^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/.test(id)))
  assert.equal(new Set(ids).size, ids.length)
})
