/**
 * `npm run bench [-- --store dir|minio|both --quick --case REGEX --repeat N --seconds S --json FILE --profile DIR]`.
 *
 * First the limit of the store in this run, then every case on a broker of its own; a table on stdout, everything else in the JSON.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Case, CaseContext, Numbers } from './cases.ts'
import { cases, median, round } from './cases.ts'
import { buildLoad } from './load.ts'
import { measureLimit, openBenchStore } from './stores.ts'
import type { BenchStore, StoreLimit, StoreName } from './stores.ts'
import { startBayou } from './target.ts'
import type { Target } from './target.ts'

interface CaseReport {
  readonly store: StoreName
  readonly name: string
  readonly about: string
  /** Medians over the repeats. */
  readonly numbers: Numbers
  readonly repeats: readonly Numbers[]
}

interface Report {
  readonly startedAt: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryGb: number; readonly loadAverage: readonly number[] }
  readonly node: string
  readonly limits: Partial<Record<StoreName, StoreLimit>>
  readonly cases: CaseReport[]
}

const { values: options } = parseArgs({
  options: {
    store: { type: 'string', default: 'both' },
    case: { type: 'string' },
    quick: { type: 'boolean', default: false },
    repeat: { type: 'string' },
    seconds: { type: 'string' },
    json: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

async function main(): Promise<void> {
  if (options.help) return usage()
  const stores: StoreName[] = options.store === 'both' ? ['dir', 'minio'] : options.store === 'minio' || options.store === 'dir' ? [options.store] : []
  if (stores.length === 0) throw new Error(`--store ${options.store}: dir, minio or both`)
  const chosen = chooseCases()
  const program = await buildLoad((line) => console.error(line))
  const report: Report = {
    startedAt: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? '', cores: cpus().length, memoryGb: Math.round(totalmem() / 1e9), loadAverage: loadavg() },
    node: process.version,
    limits: {},
    cases: [],
  }
  const { machine } = report
  console.log(`${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB, load ${machine.loadAverage.map((n) => n.toFixed(1)).join(' ')}, Node ${report.node}`)
  for (const name of stores) {
    const store = await openBenchStore(name)
    const scratch = await mkdtemp(join(tmpdir(), 'bayou-bench-load-'))
    try {
      await measureStore(report, store, chosen, program, scratch)
    } finally {
      await store.close()
      await rm(scratch, { recursive: true, force: true })
    }
    if (options.json !== undefined) await save(options.json, report)
  }
}

async function measureStore(report: Report, store: BenchStore, chosen: readonly Case[], program: string, scratch: string): Promise<void> {
  const limit = await measureLimit(store, options.quick ? 2 : 4)
  report.limits[store.name] = limit
  const { putMs } = limit
  console.log(`\nstore ${store.name}: raw conditional PUT of 4 KiB p50 ${round(putMs.p50)} ms, p99 ${round(putMs.p99)} ms; ` +
    `8 MiB × 4 at once ${round(limit.putMegabytesPerSecond)} MB/s\n`)
  console.log('| case | result | RSS peak, MB | CPU s (main) | PUTs | written per byte | spread |\n|---|---|--:|--:|--:|--:|---|')
  for (const one of chosen) {
    const repeats: Numbers[] = []
    const times = Number(options.repeat ?? (options.quick ? 1 : 3))
    for (let i = 0; i < times; i++) repeats.push(await runCase(one, store, limit, program, scratch))
    const numbers = medians(repeats)
    report.cases.push({ store: store.name, name: one.name, about: one.about, numbers, repeats })
    const keys = repeats.map((repeat) => repeat[one.key] ?? Number.NaN)
    const spread = times === 1 ? '' : `${one.key} ${round(Math.min(...keys))} … ${round(Math.max(...keys))}`
    console.log(
      `| ${one.name} | ${one.render(numbers)} | ${round(numbers['rssPeakMb'])} | ${round(numbers['cpuSeconds'])} (${round(numbers['mainSeconds'])}) | ` +
        `${round(numbers['puts'])} | ${round(numbers['bytesWrittenPerByte'])} | ${spread} |`,
    )
  }
}

/** Brokers that a case left behind when it failed are ended. */
async function runCase(one: Case, store: BenchStore, limit: StoreLimit, program: string, scratch: string): Promise<Numbers> {
  const running = new Set<Target>()
  const context: CaseContext = {
    store,
    limit,
    program,
    quick: options.quick,
    seconds: options.seconds === undefined ? null : Number(options.seconds),
    scratch,
    async start(targetOptions) {
      const target = await startBayou(store, { ...targetOptions, ...(options.profile !== undefined && { profileDir: options.profile }) })
      const tracked: Target = {
        ...target,
        async stop() {
          running.delete(tracked)
          await target.stop()
        },
      }
      running.add(tracked)
      return tracked
    },
  }
  try {
    return await one.run(context)
  } finally {
    for (const target of running) await target.stop().catch((error: unknown) => console.error(String(error)))
  }
}

function chooseCases(): readonly Case[] {
  const pattern = options.case === undefined ? null : new RegExp(`^(?:${options.case})`)
  const chosen = cases.filter((one) => (pattern === null ? one.onRequest !== true : pattern.test(one.name)))
  if (chosen.length === 0) throw new Error(`--case ${options.case}: none of ${cases.map(({ name }) => name).join(', ')}`)
  return chosen
}

function medians(repeats: readonly Numbers[]): Numbers {
  const names = new Set(repeats.flatMap((repeat) => Object.keys(repeat)))
  return Object.fromEntries([...names].map((name) => [name, median(repeats.map((repeat) => repeat[name] ?? Number.NaN))]))
}

async function save(file: string, report: Report): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`)
}

function usage(): void {
  console.log('npm run bench -- [--store dir|minio|both] [--quick] [--case REGEX] [--repeat N] [--seconds S] [--json FILE] [--profile DIR]\n')
  for (const one of cases) console.log(`${one.name.padEnd(20)} ${one.about}${one.onRequest === true ? ' (only when asked for)' : ''}`)
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
