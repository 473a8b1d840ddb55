/**
 * A Delta table used as a queue through delta-rs: a process that appends every 100 ms, and one that asks for new versions and reads them.
 * The reader alone measures how fresh Bayou's tables are. Both are Python, in the environment that test/support/delta-python.sh makes.
 */
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { createInterface } from 'node:readline'
import { spawn } from 'node:child_process'
import { UsageSampler } from '../process-usage.ts'
import type { Usage } from '../process-usage.ts'
import type { BenchStore } from '../stores.ts'
import { runToEnd } from './processes.ts'

const script = (name: string): string => fileURLToPath(new URL(`./delta-queue/${name}`, import.meta.url))
const environment = fileURLToPath(new URL('../../test/support/delta-python.sh', import.meta.url))

/** What the reader had. Milliseconds from the moment a row was due. */
export interface Ages {
  readonly rows: number
  readonly versions: number
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface QueueLoad {
  readonly rate: number
  readonly burst: number
  readonly seconds: number
  readonly warmup: number
}

/** Path of a Python with deltalake: BAYOU_PYTHON, or the environment that is made on first use. Rejects with what is missing. */
export async function deltaPython(): Promise<string> {
  const named = process.env['BAYOU_PYTHON']
  if (named !== undefined && named !== '') return named
  return (await runToEnd(environment, [], { timeoutMs: 10 * 60_000 })).trim()
}

/** A reader of the table, ready to look for it. `result` waits until it has read that many rows, or nothing came for a while. */
export async function startTableReader(python: string, store: BenchStore, table: string, records: number, warmup: number): Promise<{ result(): Promise<Ages> }> {
  const reader = await startScript(python, 'queue_reader.py', store, { table, records, warmup })
  return { result: async () => JSON.parse(await reader.result) as Ages }
}

/** Writer and reader of a fresh table; the usage is that of the writer. */
export async function runDeltaQueue(python: string, store: BenchStore, load: QueueLoad): Promise<{ readonly ages: Ages; readonly used: Usage; readonly commits: number; readonly seconds: number }> {
  const { rate, burst, seconds, warmup } = load
  const table = `${store.freshUrl()}/queue-${randomBytes(4).toString('hex')}`
  const records = Math.max(1, Math.trunc((seconds * rate) / burst)) * burst
  const reader = await startTableReader(python, store, table, records, warmup)
  const writer = await startScript(python, 'queue_writer.py', store, { table, rate, burst, seconds })
  const usage = await UsageSampler.start(writer.pid)
  const written = JSON.parse(await writer.result) as { commits: number; seconds: number }
  return { ages: await reader.result(), used: await usage.stop(), ...written }
}

async function startScript(python: string, name: string, store: BenchStore, flags: Readonly<Record<string, string | number>>): Promise<{ pid: number; result: Promise<string> }> {
  const args = Object.entries({ ...flags, storage: JSON.stringify(storageOptions(store)) }).map(([flag, value]) => `--${flag}=${value}`)
  const child = spawn(python, [script(name), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const stopWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', stopWithUs)
  const lines = createInterface({ input: child.stdout })
  const ready = Promise.withResolvers<void>()
  let last = ''
  let errors = ''
  lines.on('line', (line) => {
    if (line === 'ready') ready.resolve()
    last = line
  })
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-2000)))
  const result = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      process.removeListener('exit', stopWithUs)
      if (code === 0) resolve(last)
      else reject(new Error(`${name} ended with ${code}: ${errors}`))
    })
  })
  // Whoever asks for the result later learns of the failure then.
  result.catch(() => undefined)
  await Promise.race([ready.promise, result])
  return { pid: child.pid ?? 0, result }
}

/** Of delta-rs: the endpoint of the store, and conditional PUTs for its commits. */
function storageOptions(store: BenchStore): Readonly<Record<string, string>> {
  if (store.name === 'dir') return {}
  return { ...store.env, AWS_ALLOW_HTTP: 'true', AWS_VIRTUAL_HOSTED_STYLE_REQUEST: 'false', aws_conditional_put: 'etag' }
}
