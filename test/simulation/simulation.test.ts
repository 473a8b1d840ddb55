/** P1–P6 and idempotence of whole brokers under a seed: crashes, pauses, take-overs, a store that loses replies. `main.ts` runs more of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replayCommand, runOne } from './runs.ts'
import { systematicModes } from './systematic-run.ts'

// Most errors of a run are simulated ones, and their stacks cost more than the rest of it.
Error.stackTraceLimit = 0

test('brokers that crash, sleep and replace each other keep every promise', async () => {
  const counts: Record<string, number> = {}
  for (let seed = 1; seed <= 16; seed++) {
    const world = await runOne('random', seed)
    assert.deepEqual(world.violations, [], replayCommand('random', seed))
    for (const [what, n] of Object.entries(world.counts)) counts[what] = (counts[what] ?? 0) + n
  }
  // The runs have met what they are for.
  const met = ['batches acknowledged', 'flushes', 'kill', 'killAt', 'pause', 'pauseAt', 'twins', 'takeOver', 'close', 'topics deleted', 'request timeouts']
  for (const what of met) assert((counts[what] ?? 0) > 0, `no run had ${what}`)
})

for (const mode of systematicModes) {
  test(`an accident at any await point of one broker breaks no promise: ${mode}`, async () => {
    // `main.ts` goes through all of them; here every so many, wherever they fall.
    const stride = mode === 'crashClosing' ? 5 : 43
    let runs = 0
    for (let k = 3; ; k += stride) {
      const world = await runOne(mode, k)
      assert.deepEqual(world.violations, [], replayCommand(mode, k))
      if (world.counts['accidents'] === 0) break
      runs++
    }
    assert(runs >= 3, `only ${runs} await points`)
  })
}

test('a seed gives the same run twice', async () => {
  const [one, two] = [await runOne('random', 5), await runOne('random', 5)]
  assert.equal(one.hash, two.hash)
  assert.deepEqual(one.counts, two.counts)
  assert.notEqual(one.hash, (await runOne('random', 6)).hash)
})
