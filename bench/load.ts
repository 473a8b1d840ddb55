/** The load: a small Go program on franz-go (bench/load), built once into the cache, `~/.cache/bayou` or $BAYOU_CACHE. */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readFile, readdir, rename } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Quantiles } from './stats.ts'

const run = promisify(execFile)
const sources = fileURLToPath(new URL('./load/', import.meta.url))

export type LoadMode = 'create' | 'latency' | 'produce' | 'blast' | 'consume' | 'scan' | 'bursts' | 'spread' | 'transact'

/** What the program prints; a mode fills in what it measures. */
export interface LoadResult {
  readonly loadCpuSeconds: number
  readonly records?: number
  readonly valueBytes?: number
  readonly seconds?: number
  readonly firstMs?: number
  readonly recordsPerSecond?: number
  readonly megabytesPerSecond?: number
  readonly latencyMs?: Quantiles
  readonly commitMs?: Quantiles
  readonly windows?: readonly (Quantiles & { readonly fromSeconds: number })[]
  readonly generatorLateMsMax?: number
}

/** Flags of bench/load/main.go. */
export type LoadFlags = Readonly<Record<string, string | number | boolean>>

/** Builds the program unless this version of it is there; gives its path. Throws an Error that says what is needed. */
export async function buildLoad(log: (line: string) => void): Promise<string> {
  const folder = join(process.env['BAYOU_CACHE'] ?? join(homedir(), '.cache', 'bayou'), 'bench-load')
  const target = join(folder, `load-${await fingerprint()}`)
  if (await access(target).then(() => true, () => false)) return target
  log('building the load program with `go build` (once)')
  await mkdir(folder, { recursive: true })
  const fresh = `${target}.${process.pid}`
  try {
    await run('go', ['build', '-o', fresh, '.'], { cwd: sources, maxBuffer: 16 * 1024 * 1024 })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`the bench drives brokers with a Go program: it needs Go 1.26 or later (https://go.dev/dl) and the Go module proxy: ${reason}`, {
      cause: error,
    })
  }
  await rename(fresh, target)
  return target
}

/** Runs one mode to its end. Rejects when it fails or exceeds `timeoutSeconds`. */
export async function runLoad(
  program: string,
  mode: LoadMode,
  flags: LoadFlags,
  timeoutSeconds = 120,
): Promise<LoadResult> {
  const args = [mode, ...Object.entries({ ...flags, timeout: timeoutSeconds }).flatMap(([name, value]) => [`-${name}=${value}`])]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const stopWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', stopWithUs)
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  process.removeListener('exit', stopWithUs)
  if (code !== 0) throw new Error(`load ${args.join(' ')}: ${errors.trim() || `exit code ${code}`}`)
  return JSON.parse(output) as LoadResult
}

async function fingerprint(): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(sources)).sort()) {
    if (/\.go$|^go\.(mod|sum)$/.test(name)) hash.update(await readFile(join(sources, name)))
  }
  return hash.digest('hex').slice(0, 12)
}
