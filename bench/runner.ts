/** Runs cases, subject by subject, so that what is compared was measured minutes apart; what fails is told and the next one runs. */
import type { Case, CaseContext } from './cases/case.ts'
import type { Result } from './results.ts'
import { subjectNames } from './results.ts'
import type { Numbers } from './stats.ts'
import { round, spreads } from './stats.ts'
import type { BenchStore, StoreLimit, StoreName } from './stores.ts'
import { measureLimit, openBenchStore } from './stores.ts'
import type { BrokerSubject, StartBroker, Subject, Target } from './target.ts'
import { figure, oneLine } from './tables.ts'

/** Who is there and with what. */
export interface Equipment {
  readonly program: string
  /** How brokers of the subjects are started; a subject that is absent here is not there. */
  readonly starters: Readonly<Partial<Record<BrokerSubject, StartBroker>>>
  readonly queue: boolean
  readonly classPath: string | null
  readonly python: string | null
}

export interface RunOptions {
  readonly quick: boolean
  readonly repeats: number
  readonly seconds: number | null
  readonly profileDir: string | null
}

/** Cases of one store. Calls `keep` after each result, so that a run that is cut short leaves what it has. */
export async function runStore(
  name: StoreName,
  chosen: readonly Case[],
  equipment: Equipment,
  options: RunOptions,
  earlier: readonly Result[],
  keep: (result: Result) => Promise<void>,
): Promise<StoreLimit> {
  const store = await openBenchStore(name)
  try {
    const limit = await measureLimit(store, options.quick ? 2 : 4)
    console.log(
      `\nstore ${name}: raw conditional PUT of 4 KiB p50 ${round(limit.putMs.p50)} ms, p99 ${round(limit.putMs.p99)} ms; 8 MiB × 4 at once ${round(limit.putMegabytesPerSecond)} MB/s\n`,
    )
    console.log('| case | subject | result | peak memory, MB | CPU s (main) | PUTs | written per byte |\n|---|---|---|--:|--:|--:|--:|')
    for (const one of chosen) {
      for (const subject of one.subjects) {
        if (!isThere(subject, one, store, equipment)) continue
        const known = subject === 'kafka' ? earlier.find((result) => result.name === one.name && result.subject === subject && result.error === undefined) : undefined
        // Kafka keeps its data on its own disk: whatever the store, its figures are the same.
        const result = known === undefined ? await measure(one, subject, { store, limit }, equipment, options) : { ...known, store: name }
        if (known === undefined) print(result)
        await keep(result)
      }
    }
    return limit
  } finally {
    await store.close()
  }
}

function isThere(subject: Subject, one: Case, store: BenchStore, { starters, queue, classPath, python }: Equipment): boolean {
  if (one.needs === 'kafka-tools' && classPath === null) return false
  if (one.needs === 'python' && python === null) return false
  // Not behind the latency proxy: its reader asks for each version with a request after the other, and its figures are those of the delays.
  if (subject === 'delta-queue') return queue && (store.name === 'dir' || store.name === 'minio' || store.name === 'minio-memory')
  return starters[subject] !== undefined && (subject !== 'nisshi' || store.name !== 'dir')
}

interface Place {
  readonly store: BenchStore
  readonly limit: StoreLimit
}

async function measure(one: Case, subject: Subject, place: Place, equipment: Equipment, options: RunOptions): Promise<Result> {
  const repeats: Numbers[] = []
  let failure: string | null = null
  for (let i = 0; i < options.repeats && failure === null; i++) {
    try {
      repeats.push(await runOnce(one, subject, place, equipment, options))
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
    }
  }
  const { name, theme, about, columns } = one
  return { store: place.store.name, subject, name, theme, about, columns, repeats, spreads: spreads(repeats), ...(failure !== null && { error: failure }) }
}

/** Brokers that a case left behind when it failed are ended. */
async function runOnce(one: Case, subject: Subject, place: Place, equipment: Equipment, options: RunOptions): Promise<Numbers> {
  const running = new Set<Target>()
  const context: CaseContext = {
    subject,
    ...place,
    program: equipment.program,
    quick: options.quick,
    seconds: options.seconds,
    kafkaTools: () => needed(equipment.classPath, "Apache Kafka's tools"),
    python: () => needed(equipment.python, 'a Python with delta-rs'),
    async start(targetOptions) {
      const start = subject === 'delta-queue' ? undefined : equipment.starters[subject]
      if (start === undefined) throw new Error(`${subjectNames[subject]} is no broker that could be started`)
      const target = await start(place.store, { ...targetOptions, ...(options.profileDir !== null && { profileDir: options.profileDir }) })
      const forget = (how: () => Promise<void>) => async (): Promise<void> => {
        running.delete(tracked)
        await how()
      }
      const tracked: Target = { ...target, stop: forget(target.stop), kill: forget(target.kill) }
      running.add(tracked)
      return tracked
    },
  }
  try {
    return await one.run(context)
  } finally {
    for (const target of running) await target.kill().catch((error: unknown) => console.error(String(error)))
  }
}

function needed(value: string | null, what: string): string {
  if (value === null) throw new Error(`${what} is not there`)
  return value
}

function print(result: Result): void {
  const { spreads: of } = result
  console.log(
    `| ${result.name} | ${subjectNames[result.subject]} | ${oneLine(result)} | ${figure(of['rssPeakMb'])} | ${round(of['cpuSeconds']?.median)} (${round(of['mainSeconds']?.median)}) | ` +
      `${round(of['puts']?.median)} | ${round(of['bytesWrittenPerByte']?.median)} |`,
  )
}
