/**
 * `npm run bench -- [run] [flags]` measures; `npm run bench -- report FILE…` writes docs/PERFORMANCE.md from what it left.
 *
 * First the limit of the store in this run, then every case on a broker of its own, Bayou and its peers one after the other; a table on
 * stdout, everything else in the JSON.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { cases, chooseCases } from './cases/all.ts'
import { buildLoad } from './load.ts'
import { deltaPython } from './peers/delta-queue.ts'
import { kafkaClassPath } from './peers/kafka-jars.ts'
import { kafkaStarter } from './peers/kafka.ts'
import { nisshiStarter } from './peers/nisshi.ts'
import { writeReport } from './report.ts'
import type { Report, Result } from './results.ts'
import { runStore } from './runner.ts'
import type { Equipment } from './runner.ts'
import type { StoreLimit, StoreName } from './stores.ts'
import { storeNames } from './stores.ts'
import { startBayou } from './target.ts'
import type { Subject } from './target.ts'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: 'string' },
    case: { type: 'string' },
    peers: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    repeat: { type: 'string' },
    seconds: { type: 'string' },
    json: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const tell = (line: string): void => console.error(line)
const peerNames: readonly Subject[] = ['kafka', 'nisshi', 'delta-queue']

async function main(): Promise<void> {
  if (options.help) return usage()
  const [command = 'run', ...files] = positionals
  if (command === 'report') return await writeReport(files)
  if (command !== 'run') throw new Error(`${command}: run or report`)
  await run()
}

async function run(): Promise<void> {
  const startedAt = performance.now()
  const stores = chooseStores()
  const chosen = chooseCases(options.case ?? null)
  const equipment = await equip(new Set(chosen.flatMap(({ needs }) => needs ?? [])))
  const machine = { cpu: cpus()[0]?.model ?? '', cores: cpus().length, memoryGb: Math.round(totalmem() / 1e9), kernel: release(), loadAverage: loadavg() }
  const limits: Partial<Record<StoreName, StoreLimit>> = {}
  const results: Result[] = []
  const report = { startedAt: new Date().toISOString(), quick: options.quick, machine, node: process.version, limits, results }
  const save = async (): Promise<void> => {
    if (options.json !== undefined) await writeJson(options.json, { ...report, seconds: (performance.now() - startedAt) / 1000 })
  }
  console.log(`${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB, load ${machine.loadAverage.map((n) => n.toFixed(1)).join(' ')}, Node ${report.node}`)
  const runOptions = {
    quick: options.quick,
    repeats: Number(options.repeat ?? (options.quick ? 1 : 3)),
    seconds: options.seconds === undefined ? null : Number(options.seconds),
    profileDir: options.profile ?? null,
  }
  for (const name of stores) {
    // Without --store a case runs where the published tables have it.
    const here = options.store === undefined ? chosen.filter((one) => one.stores.includes(name)) : chosen
    if (here.length === 0) continue
    limits[name] = await runStore(name, here, equipment, runOptions, [...results], async (result) => {
      results.push(result)
      await save()
    })
    await save()
  }
  const failed = results.filter(({ error, subject }) => error !== undefined && subject === 'bayou')
  for (const { name, store, error } of failed) tell(`${name} on ${store}: ${error ?? ''}`)
  if (failed.length > 0) process.exitCode = 1
}

/** What was asked for and is there; what is not is told and left out. */
async function equip(needs: ReadonlySet<string>): Promise<Equipment> {
  const peers = options.peers.split(',').filter((name) => name !== '')
  const unknown = peers.filter((name) => !(peerNames as readonly string[]).includes(name))
  if (unknown.length > 0) throw new Error(`--peers ${unknown.join(',')}: ${peerNames.join(', ')}`)
  const program = await buildLoad(tell)
  const kafka = peers.includes('kafka')
  const classPath = kafka || needs.has('kafka-tools') ? await orSkip('Apache Kafka and its tools', () => kafkaClassPath(tell)) : null
  const queue = peers.includes('delta-queue')
  const python = queue || needs.has('python') ? await orSkip('delta-rs as a queue and as a reader', deltaPython) : null
  const nisshi = peers.includes('nisshi') ? await orSkip('Nisshi', async () => nisshiBinary()) : null
  return {
    program, classPath, python, queue: queue && python !== null,
    starters: {
      bayou: startBayou,
      ...(kafka && classPath !== null && { kafka: kafkaStarter(classPath) }),
      ...(nisshi !== null && { nisshi: nisshiStarter(nisshi) }),
    },
  }
}

function nisshiBinary(): string {
  const binary = process.env['NISSHI_BIN']
  if (binary === undefined || binary === '') throw new Error('NISSHI_BIN names no binary')
  return binary
}

async function orSkip<T>(what: string, make: () => Promise<T>): Promise<T | null> {
  try {
    return await make()
  } catch (error) {
    tell(`left out, ${what}: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

function chooseStores(): readonly StoreName[] {
  const wanted = options.store === undefined ? storeNames : options.store === 'both' ? ['dir', 'minio'] : options.store.split(',')
  const unknown = wanted.filter((name) => !(storeNames as readonly string[]).includes(name))
  if (unknown.length > 0) throw new Error(`--store ${unknown.join(',')}: ${storeNames.join(', ')}, or both for dir and minio`)
  return wanted as StoreName[]
}

async function writeJson(file: string, report: Report): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`)
}

function usage(): void {
  console.log(`npm run bench -- [flags]
  --quick          short cases, one repeat: no figures to quote
  --case REGEX     cases whose name begins so
  --store NAMES    ${storeNames.join(', ')} or both (dir and minio); default: each case where the published tables have it
  --peers NAMES    ${peerNames.join(', ')}, beside Bayou; NISSHI_BIN names the binary of Nisshi
  --repeat N       default 3
  --seconds S      how long a case loads the broker
  --json FILE      everything, for the report
  --profile DIR    CPU profiles of Bayou
npm run bench -- report FILE…    writes docs/PERFORMANCE.md and docs/performance/ from JSON files of runs
`)
  for (const one of cases) console.log(`${one.name.padEnd(22)} ${one.about}${one.onRequest === true ? ' (only when asked for)' : ''}`)
}

// An end by signal is an end all the same: brokers, stores and folders go with the process, and a second signal does not cut that short.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
