/** Files of a large commit, on stores with and without room to spare. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PacedPuts } from '../../../storage/maintenance/paced-puts.ts'
import { SimEnv } from '../../simulation/sim-env.ts'

/** Puts so many files, 20 at hand at any time; gives how many were on their way at once, for each of them, and the time it took. */
async function putAll(files: number, millisOf: (running: number, random: () => number) => number): Promise<{ running: number[]; tookMs: number }> {
  const env = new SimEnv(7)
  const work = async (): Promise<{ running: number[]; tookMs: number }> => {
    const puts = new PacedPuts(env.clock, 16)
    const running: number[] = []
    let now = 0
    let left = files
    const lane = async (): Promise<void> => {
      while (left-- > 0) {
        await puts.run(async () => {
          running.push(++now)
          await env.clock.sleep(millisOf(now, () => env.random()))
          now--
        })
      }
    }
    const startedMs = env.clock.monotonic()
    await Promise.all(Array.from({ length: 20 }, lane))
    return { running, tookMs: env.clock.monotonic() - startedMs }
  }
  return await env.run(work())
}

test('a store that takes several in the time of one gets as many as allowed', async () => {
  const { running, tookMs } = await putAll(1000, (_, random) => 40 + 40 * random())
  assert.equal(running[0], 1)
  assert.equal(Math.max(...running), 16)
  assert.ok(tookMs < 12_000, `${tookMs} ms, where one after the other takes 60 s`)
})

test('one on which each makes the others slower gets them one at a time, but for a look now and then', async () => {
  const { running } = await putAll(1000, (now) => 10 * now)
  const alone = running.filter((count) => count === 1).length
  assert.ok(alone > 750, `${alone} of 1,000 alone`)
  assert.ok(Math.max(...running) <= 2)
})

test('one that has room for four settles there', async () => {
  const { running } = await putAll(2000, (now) => (now <= 4 ? 10 : 10 + 10 * (now - 4)))
  const late = running.slice(1000)
  assert.ok(Math.max(...late) <= 5)
  assert.ok(late.filter((count) => count >= 3).length > 800)
})

test('a failure is told and frees its place', async () => {
  const puts = new PacedPuts(new SimEnv(1).clock, 16)
  await assert.rejects(puts.run(() => Promise.reject(new Error('full'))), /full/)
  assert.equal(await puts.run(async () => await Promise.resolve('next')), 'next')
  assert.equal(puts.limit, 1)
})
