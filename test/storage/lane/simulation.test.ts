/** P1–P5 of the lane in a seeded world. `LANE_SEED=n` replays one run, `LANE_SEEDS=n` runs more. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './lane-model.ts'

const only = process.env['LANE_SEED']
const count = Number(process.env['LANE_SEEDS'] ?? 100)

test('brokers that follow each other lose nothing and never acknowledge twice', async () => {
  const sum: Record<string, number> = {}
  // Most errors of a run are simulated ones, and their stacks cost more than the rest of it.
  if (only === undefined) Error.stackTraceLimit = 0
  const seeds = only !== undefined ? [Number(only)] : Array.from({ length: count }, (_, i) => i + 1)
  for (const seed of seeds) {
    try {
      const seen = await simulate(seed)
      for (const [key, n] of Object.entries(seen)) sum[key] = (sum[key] ?? 0) + n
    } catch (error) {
      throw new Error(`replay: LANE_SEED=${seed} npx node --test test/storage/lane/simulation.test.ts`, { cause: error })
    }
  }
  if (only !== undefined) return
  // The runs have met what they are for.
  for (const what of ['gaps', 'fenced', 'collected', 'recoveries', 'walls']) assert((sum[what] ?? 0) > 0, `no run had ${what}`)
})
