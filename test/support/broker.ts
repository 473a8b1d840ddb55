/** A real broker in a child process, for tests, examples and benches: started with free ports, killed or stopped by its own id. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../bin/bayou.js', import.meta.url))
const READY_MS = 30_000

export interface TestBroker {
  /** `host:port` for Kafka clients. */
  readonly address: string
  /** `http://host:port`. */
  readonly http: string
  readonly store: string
  readonly process: ChildProcess
  /** Log lines so far. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
  /** SIGTERM; gives the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL: nothing is said goodbye to. */
  kill(): Promise<void>
  /** Resolves with the exit code when the process ends by itself. */
  readonly exited: Promise<number | null>
}

export interface TestBrokerOptions {
  /** A path or an s3:// URL; a fresh folder under the system's temporary one where absent. */
  readonly store?: string
  /** Port of the Kafka listener; free where absent. Clients that survive a restart need the same one again. */
  readonly port?: number
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** How long it may take until it serves. Default: 30 s. */
  readonly readyMs?: number
}

export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const store = options.store ?? (await freshStore())
  const args = [main, 'serve', '--listen', `127.0.0.1:${options.port ?? 0}`, '--http', '127.0.0.1:0', '--store', store, '--log-format', 'json']
  const child = spawn(process.execPath, [...args, ...(options.args ?? [])], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const log: Record<string, unknown>[] = []
  const ready = Promise.withResolvers<Record<string, unknown>>()
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  // Whoever started it may end before it is ready.
  const endWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', endWithUs)
  void exited.then(() => process.removeListener('exit', endWithUs))
  createInterface({ input: child.stdout }).on('line', (line) => {
    const entry = JSON.parse(line) as Record<string, unknown>
    log.push(entry)
    if (entry['msg'] === 'ready') ready.resolve(entry)
  })
  void exited.then((code) => ready.reject(new Error(`the broker ended with ${code}: ${JSON.stringify(log.at(-1))}`)))
  const timer = setTimeout(() => ready.reject(new Error('the broker was not ready in time')), options.readyMs ?? READY_MS)
  let line: Record<string, unknown>
  try {
    line = await ready.promise
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    clearTimeout(timer)
  }
  return {
    address: String(line['kafka']),
    http: `http://${String(line['http'])}`,
    store,
    process: child,
    log,
    exited,
    async stop() {
      child.kill('SIGTERM')
      return await exited
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Where tests keep their data: a folder of its own, or a prefix of its own in the bucket that BAYOU_TEST_S3 names. */
export async function freshStore(): Promise<string> {
  const bucket = process.env['BAYOU_TEST_S3']
  if (bucket !== undefined && bucket !== '') return `${bucket.replace(/\/$/, '')}/test-${process.pid}-${Math.random().toString(36).slice(2)}`
  return await mkdtemp(join(tmpdir(), 'bayou-test-'))
}

export async function removeStore(store: string): Promise<void> {
  if (!store.startsWith('s3://')) await rm(store, { recursive: true, force: true })
}

/** Waits until `check` gives something truthy. */
export async function eventually<T>(what: string, check: () => T | Promise<T>, ms = 30_000): Promise<NonNullable<T>> {
  const end = performance.now() + ms
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== null && value !== false) return value
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
