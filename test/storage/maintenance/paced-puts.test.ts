/** Files of a large commit, on quick stores and slow ones. */
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

test('a store that takes its time gets as many at once as keep the pace', async () => {
  const { running, tookMs } = await putAll(1000, (_, random) => 40 + 60 * random())
  assert.ok(running.slice(0, 16).every((count) => count === 1), 'at first one at a time')
  const most = Math.max(...running)
  assert.ok(most >= 4 && most <= 6, `${most} at once`)
  assert.ok(tookMs > 15_000 && tookMs < 19_000, `${tookMs} ms, where one after the other takes 70 s`)
})

test('a quick one gets them one after the other, at that pace', async () => {
  const { running, tookMs } = await putAll(1000, () => 7)
  assert.equal(Math.max(...running), 1)
  assert.ok(tookMs >= 14_985 && tookMs < 15_500, `${tookMs} ms`)
})

test('a very slow one gets no more than allowed', async () => {
  const { running } = await putAll(300, () => 1000)
  assert.equal(Math.max(...running), 16)
})

test('a failure is told and frees its place', async () => {
  const env = new SimEnv(1)
  const puts = new PacedPuts(env.clock, 1)
  const work = async (): Promise<string> => {
    await assert.rejects(puts.run(() => Promise.reject(new Error('full'))), /full/)
    return await puts.run(() => Promise.resolve('next'))
  }
  assert.equal(await env.run(work()), 'next')
})
