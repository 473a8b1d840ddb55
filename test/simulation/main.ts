/**
 * Many runs: `node test/simulation/main.ts [--mode random] [--seeds 5000] [--from 1] [--step 1] [--seconds 300] [--bail]`; without a mode all of them, one after
 * the other. `--seeds` bounds the random ones, and no run begins after `--seconds` (a slow machine then tries fewer); the systematic ones go through all await points of their script. Prints each run that fails
 * with the command that replays it, then a summary; the exit code is 1 when one failed.
 */
import { parseArgs } from 'node:util'
import { isSystematic, modes, replayCommand, runOne } from './runs.ts'
import type { Mode } from './runs.ts'

const failuresShownMax = 20
/** No script is as long. */
const awaitPointsMax = 5000

const { values } = parseArgs({
  options: {
    mode: { type: 'string' },
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    step: { type: 'string', default: '1' },
    seconds: { type: 'string', default: 'Infinity' },
    bail: { type: 'boolean', default: false },
  },
})
// Most errors of a run are simulated ones, and their stacks cost more than the rest of it.
Error.stackTraceLimit = 0

let passed = 0
let failed = 0
const counts: Record<string, number> = {}
const startedMs = Date.now()
for (const mode of values.mode === undefined ? modes : [values.mode as Mode]) {
  const from = Number(values.from)
  // A script may be a little longer for one seed than for the next.
  let misses = 0
  const end = isSystematic(mode) ? awaitPointsMax : from + Number(values.seeds)
  for (let seed = from; seed < end; seed += Number(values.step)) {
    if (Date.now() - startedMs > Number(values.seconds) * 1000) break
    const world = await runOne(mode, seed)
    if (world.counts['accidents'] === 0) {
      if (++misses < 3) continue
      console.log(`${mode}: ${seed} await points`)
      break
    }
    misses = 0
    for (const [what, n] of Object.entries(world.counts)) counts[what] = (counts[what] ?? 0) + n
    if (world.violations.length === 0) {
      passed++
      continue
    }
    if (++failed > failuresShownMax) continue
    console.log(`FAILED ${replayCommand(mode, seed)}`)
    for (const violation of world.violations.slice(0, 3)) console.log(`  ${violation.slice(0, 600)}`)
    if (values.bail) break
  }
}
const seconds = (Date.now() - startedMs) / 1000
console.log(Object.entries(counts).map(([what, n]) => `${what}: ${n}`).join(', '))
console.log(`${passed + failed} seeds in ${seconds.toFixed(1)} s, ${((passed + failed) / seconds).toFixed(1)} seeds/s`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
