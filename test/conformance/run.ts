/**
 * Other people's client test suites against a broker of ours, with lists of what must pass that only grow.
 *
 *   node test/conformance/run.ts [--suites DIR] [--store URL] [--all | --turn N/M] SUITE…
 *
 * The suites live beside the repository (`../shared/suites` unless --suites names another place); where they are absent this says so and ends
 * well. SUITE.allow names the tests that must pass; `# slow` behind a name leaves it out unless --all is given; --turn 2/7 takes every seventh of
 * them, from the third on, so that a week of runs has them all. A name that passes and is
 * not on the list is printed: add it.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { removeStore, startTestBroker } from '../support/broker.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const repository = resolve(here, '../..')

/** Settings of the broker that a suite's baseline was taken with. */
const brokerArgs: Readonly<Record<string, readonly string[]>> = {
  kcat: ['--group-initial-rebalance-delay-ms', '0'],
  'apache-tools': ['--group-initial-rebalance-delay-ms', '0'],
  'kafka-python': ['--group-initial-rebalance-delay-ms', '0'],
  librdkafka: [],
  'librdkafka-consumer': [],
}

/** Suites that are another one, run differently. */
const variants: Readonly<Record<string, { readonly of: string; readonly env: Readonly<Record<string, string>> }>> = {
  // The consumers of the suite speak the protocol of KIP-848.
  'librdkafka-consumer': { of: 'librdkafka', env: { GROUP_PROTOCOL: 'consumer' } },
}

interface Result {
  readonly status: string
  readonly name: string
  readonly note: string
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    suites: { type: 'string', default: join(repository, '../shared/suites') },
    store: { type: 'string' },
    all: { type: 'boolean', default: false },
    turn: { type: 'string', default: '-1/1' },
  },
})

interface Turn {
  readonly number: number
  readonly of: number
}

const [, number = '', of = ''] = /^(-?\d+)\/(\d+)$/.exec(values.turn) ?? []
if (of === '') throw new Error(`--turn ${values.turn}: N/M`)
const turn: Turn = { number: Number(number), of: Number(of) }

let passed = 0
let failed = 0
let skipped = 0
for (const suite of positionals) {
  const command = join(values.suites, variants[suite]?.of ?? suite, 'run')
  if (!existsSync(command)) {
    console.log(`${suite}: not here (${command}); going on without it`)
    continue
  }
  await runSuite(suite, command)
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed === 0 ? 0 : 1

/** What must pass and does not at first runs once more, against a broker of its own, and is named as unsteady if it passes then. */
async function runSuite(suite: string, command: string): Promise<void> {
  const allowed = allowList(suite, values.all ? null : turn)
  if (allowed.length === 0) return
  const first = await attempt(suite, command, allowed, values.all)
  let lost = missing(allowed, first)
  passed += allowed.length - lost.length
  if (lost.length > 0) {
    const second = await attempt(suite, command, lost.map(({ name }) => name), false)
    const unsteady = lost.length
    lost = missing(lost.map(({ name }) => name), second)
    passed += unsteady - lost.length
    for (const { status, name } of second) if (status === 'PASS') console.log(`${suite}: unsteady: ${name} failed, then passed`)
  }
  failed += lost.length
  for (const { name, why } of lost) console.log(`${suite}: ${name} must pass: ${why}`)
  skipped += first.filter(({ status }) => status === 'SKIP').length
  const known = new Set(allowList(suite, null))
  for (const { status, name } of first) if (status === 'PASS' && !known.has(name)) console.log(`${suite}: ${name} passes and is not on the list`)
}

function missing(names: readonly string[], results: readonly Result[]): { name: string; why: string }[] {
  const byName = new Map(results.map((result) => [result.name, result]))
  return names.filter((name) => byName.get(name)?.status !== 'PASS').map((name) => {
    const result = byName.get(name)
    return { name, why: result === undefined ? 'it did not run' : `${result.status} ${result.note}` }
  })
}

/** Runs the suite against a broker of its own; `whole` takes all of its tests, else those names. */
async function attempt(suite: string, command: string, names: readonly string[], whole: boolean): Promise<Result[]> {
  const folder = await mkdtemp(join(tmpdir(), 'bayou-conformance-'))
  const results = join(folder, 'results.tsv')
  const broker = await startTestBroker({
    ...(values.store === undefined ? {} : { store: `${values.store.replace(/\/$/, '')}/${suite}-${Date.now()}` }),
    args: brokerArgs[suite] ?? [],
  })
  const only = whole ? [] : ['--only', `^(${names.map(literally).join('|')})$`]
  console.log(`${suite}: ${names.length} tests against ${broker.address}`)
  const env = { ...process.env, ...variants[suite]?.env, SUITE_RESULTS: results }
  await exited(spawn(command, [broker.address, ...only], { env, stdio: ['ignore', 'inherit', 'inherit'] }))
  const found = existsSync(results) ? parse(await readFile(results, 'utf8')) : []
  const code = await broker.stop()
  if (code !== 0) {
    failed++
    console.log(`${suite}: the broker ended with ${code}`)
  }
  await removeStore(broker.store)
  await rm(folder, { recursive: true, force: true })
  return found
}

/** Names that are not slow, and of those that are the ones whose turn it is; all of them where `slowTurn` is null. */
function allowList(suite: string, slowTurn: Turn | null): string[] {
  const file = join(here, `${suite}.allow`)
  if (!existsSync(file)) throw new Error(`${file} is missing`)
  let slow = 0
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => !/#\s*slow/.test(line) || slowTurn === null || slow++ % slowTurn.of === slowTurn.number)
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((name) => name !== '')
}

/** A name as an extended regular expression: parameters of a test stand in brackets. */
function literally(name: string): string {
  return name.replace(/[.[\](){}*+?^$|\\]/g, '\\$&')
}

function parse(text: string): Result[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [status = '', , name = '', note = ''] = line.split('\t')
      return { status, name, note }
    })
}

function exited(child: ReturnType<typeof spawn>): Promise<number | null> {
  return new Promise((done) => child.once('exit', (code) => done(code)))
}
