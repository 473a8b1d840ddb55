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
import { limits } from './limits.ts'
import { soak } from './soak.ts'
import { storeTrouble } from './store-trouble.ts'
import { takeOver } from './take-over.ts'

const scenarios: readonly Scenario[] = [...storeTrouble, ...overload, ...coldReads, ...disk, ...takeOver, ...limits, ...soak]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { full: { type: 'boolean', default: false }, list: { type: 'boolean', default: false }, keep: { type: 'boolean', default: false } },
})
const wanted = scenarios.filter(({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)))
if (values.list) {
  for (const { name } of wanted) console.log(name)
  process.exit(0)
}

let passed = 0
const failed: string[] = []
for (const scenario of wanted) {
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
  if (problem === null) passed++
  else {
    failed.push(scenario.name)
    console.log(problem.stack ?? problem.message)
  }
}
console.log(`${passed} passed, ${failed.length} failed`)
process.exit(failed.length === 0 ? 0 : 1)
