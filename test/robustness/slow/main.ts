/**
 * The hostile environment: `node test/robustness/slow/main.ts [--full] [--list] [part of a name …]`. One scenario after the other, each with
 * brokers, stores and clients of its own; prints what was measured, and at the end `N passed, N failed`.
 */
import { parseArgs } from 'node:util'
import { World } from './scenario.ts'
import type { Scenario } from './scenario.ts'
import { overload } from './overload.ts'
import { coldReads } from './cold-reads.ts'
import { disk } from './disk.ts'
import { hostile } from './hostile.ts'
import { limits } from './limits.ts'
import { soak } from './soak.ts'
import { storeTrouble } from './store-trouble.ts'
import { takeOver } from './take-over.ts'

const scenarios: readonly Scenario[] = [...storeTrouble, ...overload, ...coldReads, ...disk, ...takeOver, ...limits, ...hostile, ...soak]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { full: { type: 'boolean', default: false }, list: { type: 'boolean', default: false }, keep: { type: 'boolean', default: false } },
})
const wanted = scenarios.filter(({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)))
if (values.list) {
  for (const { name } of wanted) console.log(name)
  process.exit(0)
}

/** Runs it in a world of its own and prints how it ended. */
async function attempt(scenario: Scenario): Promise<boolean> {
  const world = new World(values.full)
  const startedMs = performance.now()
  let problem: Error | null = null
  try {
    await scenario.run(world)
  } catch (error) {
    problem = error instanceof Error ? error : new Error('thrown was no error', { cause: error })
  }
  if (problem !== null && values.keep) {
    console.log(problem.stack)
    await new Promise((done) => setTimeout(done, 3_600_000))
  }
  await world.end()
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.log(`${problem === null ? 'ok  ' : 'FAIL'} ${scenario.name} (${seconds} s)`)
  for (const line of world.notes) console.log(`       ${line}`)
  if (problem !== null) console.log(problem.stack ?? problem.message)
  return problem === null
}

const failed: Scenario[] = []
for (const scenario of wanted) if (!(await attempt(scenario))) failed.push(scenario)
// Real processes, real time: what failed gets a second chance when nothing else is behind, and is named as unsteady if it takes it.
const lost: string[] = []
for (const scenario of failed) {
  console.log(`once more: ${scenario.name}`)
  if (await attempt(scenario)) console.log(`unsteady: ${scenario.name} failed, then passed`)
  else lost.push(scenario.name)
}
console.log(`${wanted.length - lost.length} passed, ${lost.length} failed`)
process.exit(lost.length === 0 ? 0 : 1)
