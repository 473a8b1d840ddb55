/**
 * MinIO for development and tests: `npm run minio [-- --port 9000 --dir DIR --build-only]`.
 *
 * No binary is published, so the first run builds one with Go (about four minutes) into the cache, `~/.cache/bayou` or $BAYOU_CACHE.
 * The server listens on 127.0.0.1 alone and has the bucket `bayou`.
 */
import type { ChildProcess } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import type { Clock } from '../storage/env.ts'
import { S3SignedClient } from '../storage/objects/s3-signed-client.ts'

const run = promisify(execFile)
const user = 'bayou'
const password = 'bayou-secret'
const bucket = 'bayou'
const startMsMax = 30_000

export interface MinioOptions {
  /** Default: a free one. */
  readonly port?: number
  /** Where the data is kept. Default: `minio/data` in the cache. */
  readonly dir?: string
}

export interface RunningMinio {
  readonly endpoint: string
  readonly bucket: string
  readonly pid: number
  /** What the SDK and the broker need in their environment. */
  readonly env: Readonly<Record<'AWS_ENDPOINT_URL' | 'AWS_REGION' | 'AWS_ACCESS_KEY_ID' | 'AWS_SECRET_ACCESS_KEY', string>>
  stop(): Promise<void>
}

/** Path of a MinIO binary that is there already, or null. */
export function findMinio(): string | null {
  const candidates = [join(cacheFolder(), 'minio'), join(process.env['GOPATH'] ?? join(homedir(), 'go'), 'bin', 'minio')]
  return candidates.find(isExecutable) ?? null
}

/** Builds MinIO unless it is there; gives its path. */
export async function buildMinio(log: (line: string) => void = () => undefined): Promise<string> {
  const target = join(cacheFolder(), 'minio')
  if (isExecutable(target)) return target
  await mkdir(cacheFolder(), { recursive: true })
  const installed = findMinio()
  if (installed !== null) {
    // Copied aside and renamed: another process may be doing the same.
    const copy = `${target}.${process.pid}`
    await copyFile(installed, copy)
    await rename(copy, target)
    return target
  }
  log('building MinIO with `go install github.com/minio/minio@latest`; this takes some minutes, once')
  const bin = join(cacheFolder(), `build-${process.pid}`)
  try {
    await run('go', ['install', 'github.com/minio/minio@latest'], { env: { ...process.env, GOBIN: bin }, maxBuffer: 64 * 1024 * 1024 })
    await rename(join(bin, 'minio'), target)
  } catch (error) {
    throw new Error(`MinIO could not be built; it needs Go (https://go.dev/dl): ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  } finally {
    await rm(bin, { recursive: true, force: true })
  }
  return target
}

/** Starts MinIO (building it when needed) and waits until it serves and the bucket is there. */
export async function startMinio(options: MinioOptions = {}): Promise<RunningMinio> {
  const binary = await buildMinio()
  // Also for a given one: on a taken port the new server would end, and the old one would answer for it.
  const port = await freePort(options.port)
  const dir = options.dir ?? join(cacheFolder(), 'data')
  await mkdir(dir, { recursive: true })
  const address = `127.0.0.1:${port}`
  const child = spawn(binary, ['server', '--quiet', '--address', address, '--console-address', `127.0.0.1:${await freePort()}`, dir], {
    env: { ...process.env, MINIO_ROOT_USER: user, MINIO_ROOT_PASSWORD: password, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-4000))
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const stopWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', stopWithUs)
  const stop = async (): Promise<void> => {
    process.removeListener('exit', stopWithUs)
    await ended(child)
  }
  const endpoint = `http://${address}`
  try {
    await waitForBucket(endpoint, child, () => output)
  } catch (error) {
    await stop()
    throw error
  }
  const env = {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: user,
    AWS_SECRET_ACCESS_KEY: password,
  }
  return { endpoint, bucket, pid: child.pid ?? 0, env, stop }
}

async function waitForBucket(endpoint: string, child: ChildProcess, output: () => string): Promise<void> {
  const client = new S3SignedClient({
    origin: endpoint,
    basePath: '',
    region: 'us-east-1',
    credentials: async () => ({ accessKeyId: user, secretAccessKey: password }),
    clock,
    connectionsMax: 1,
    deadlineMs: 5000,
  })
  try {
    const deadline = performance.now() + startMsMax
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`MinIO ended at once:\n${output()}`)
      // 200: created; 409: it was there. A server that is still starting answers 503 or refuses the connection.
      const response = await client.request({ method: 'PUT', key: bucket }).catch(() => null)
      if (response?.status === 200 || response?.status === 409) return
      if (performance.now() > deadline) throw new Error(`MinIO did not get ready (last status ${response?.status}):\n${output()}`)
      await clock.sleep(50)
    }
  } finally {
    await client.close()
  }
}

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
  schedule: (ms, task) => {
    const timer = setTimeout(task, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), 5000)
  await exit
  clearTimeout(force)
}

/** `wanted`, or one that is free at this moment. Rejects when the wanted one is taken. */
export async function freePort(wanted = 0): Promise<number> {
  const server = createServer()
  await new Promise<void>((done, fail) => {
    server.once('error', (cause) => fail(new Error(`port ${wanted} is not free: ${cause.message}`, { cause })))
    server.listen(wanted, '127.0.0.1', done)
  })
  const address = server.address()
  await new Promise((done) => server.close(done))
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

function cacheFolder(): string {
  return join(process.env['BAYOU_CACHE'] ?? join(homedir(), '.cache', 'bayou'), 'minio')
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '9000' }, dir: { type: 'string' }, 'build-only': { type: 'boolean', default: false } },
  })
  const binary = await buildMinio((line) => console.error(line))
  if (values['build-only']) return console.log(binary)
  const minio = await startMinio({ port: Number(values.port), ...(values.dir !== undefined && { dir: values.dir }) })
  for (const [name, value] of Object.entries(minio.env)) console.log(`export ${name}=${value}`)
  console.log(`# npm start -- --store s3://${minio.bucket}/dev`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void minio.stop().then(() => process.exit(0)))
}

if (import.meta.main) {
  try {
    await main()
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error))
    process.exitCode = 1
  }
}
