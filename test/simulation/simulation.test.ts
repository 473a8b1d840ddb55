/** P1–P6 and idempotence of whole brokers under a seed: crashes, pauses, take-overs, a store that loses replies. `main.ts` runs more seeds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replayCommand, runOne } from './runs.ts'
import type { Mode } from './runs.ts'

// Most errors of a run are simulated ones, and their stacks cost more than the rest of it.
Error.stackTraceLimit = 0

async function runSeeds(mode: Mode, seeds: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let seed = 1; seed <= seeds; seed++) {
    const world = await runOne(mode, seed)
    assert.deepEqual(world.violations, [], replayCommand(mode, seed))
    for (const [what, n] of Object.entries(world.counts)) counts[what] = (counts[what] ?? 0) + n
  }
  return counts
}

test('brokers that crash, sleep and replace each other keep every promise', async () => {
  const counts = await runSeeds('random', 60)
  // The runs have met what they are for.
  for (const what of ['batches acknowledged', 'flushes', 'kill', 'killAt', 'pause', 'pauseAt', 'twins', 'takeOver', 'close', 'topics deleted', 'request timeouts']) {
    assert((counts[what] ?? 0) > 0, `no run had ${what}`)
  }
})

test('a seed gives the same run twice', async () => {
  const [one, two] = [await runOne('random', 5), await runOne('random', 5)]
  assert.equal(one.hash, two.hash)
  assert.deepEqual(one.counts, two.counts)
  assert.notEqual(one.hash, (await runOne('random', 6)).hash)
})
