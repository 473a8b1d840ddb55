/** Replays one run with its trace: `npx node test/simulation/replay.ts --mode random --seed 17 [--trace]`. */
import { parseArgs } from 'node:util'
import { runOne } from './runs.ts'
import type { Mode } from './runs.ts'

const { values } = parseArgs({
  options: { seed: { type: 'string' }, mode: { type: 'string', default: 'random' }, trace: { type: 'boolean', default: false } },
})
if (values.seed === undefined) throw new Error('--seed is missing')
const world = await runOne(values.mode as Mode, Number(values.seed), values.trace ? (line) => console.log(line) : undefined)
console.log(JSON.stringify({ hash: world.hash, virtualMs: Math.round(world.env.nowMs), steps: world.env.steps, ...world.counts }))
for (const violation of world.violations) console.error(violation)
process.exitCode = world.violations.length > 0 ? 1 : 0
