/** The stores that brokers are measured on, each in a place of its own, and what the store itself can do. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { startMinio } from '../scripts/minio.ts'
import { realEnv } from '../src/real-env.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import { openStore } from '../storage/objects/open-store.ts'
import { startProxy } from './latency-proxy.ts'
import { scratchFolder } from './scratch.ts'
import type { Quantiles } from './stats.ts'
import { quantiles } from './stats.ts'

/** Median and 99th percentile of a request of MinIO behind the latency proxy, ms. */
const latencies = {
  's3-standard': { p50Ms: 60, p99Ms: 200 },
  's3-standard-slow': { p50Ms: 100, p99Ms: 195 },
  's3-express': { p50Ms: 8, p99Ms: 25 },
} as const
const latencySeed = 1
/** File system in memory, where minio-memory has its directory. */
const memoryFolder = '/dev/shm'

/** In the order in which they are measured and shown. */
export const storeNames = ['minio', 'minio-memory', 'dir', 's3-standard', 's3-standard-slow', 's3-express'] as const
export type StoreName = (typeof storeNames)[number]

export interface BenchStore {
  readonly name: StoreName
  /** A place for a broker that nobody else uses. */
  freshUrl(): string
  /** Environment of a process that uses the store. */
  readonly env: Readonly<Record<string, string>>
  /** Through the same adapter as the broker. */
  open(url: string): Promise<ObjectStore>
  close(): Promise<void>
}

export async function openBenchStore(name: StoreName): Promise<BenchStore> {
  const folder = await scratchFolder('store', name === 'minio-memory' ? memoryFolder : undefined)
  let count = 0
  if (name === 'dir') {
    return { name, env: {}, freshUrl: () => join(folder.path, `store-${++count}`), open: (url) => openStore(url, realEnv), close: () => folder.remove() }
  }
  const minio = await startMinio({ dir: folder.path })
  const proxy = name === 'minio' || name === 'minio-memory' ? null : await startProxy({ upstream: minio.endpoint, ...latencies[name], seed: latencySeed })
  const env = proxy === null ? minio.env : { ...minio.env, AWS_ENDPOINT_URL: proxy.endpoint }
  const { AWS_ENDPOINT_URL: endpoint, AWS_REGION: region, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env
  return {
    name,
    env,
    freshUrl: () => `s3://${minio.bucket}/bench-${++count}`,
    open: (url) => openStore(url, realEnv, { s3: { endpoint, region, credentials: { accessKeyId, secretAccessKey } } }),
    async close() {
      await proxy?.stop()
      await minio.stop()
      await folder.remove()
    },
  }
}

export interface StoreLimit {
  /** Conditional PUTs of 4 KiB, one after the other. */
  readonly putMs: Quantiles
  /** Conditional PUTs of 8 MiB, four at once. MB = 10^6 bytes. */
  readonly putMegabytesPerSecond: number
}

const smallBytes = 4096
const largeBytes = 8 * 1024 * 1024
const largeAtOnce = 4

export async function measureLimit(store: BenchStore, seconds: number): Promise<StoreLimit> {
  const objects = await store.open(store.freshUrl())
  try {
    await putLatencies(objects, 0.5)
    return { putMs: quantiles(await putLatencies(objects, seconds)), putMegabytesPerSecond: await putBandwidth(objects, seconds) }
  } finally {
    await objects.close()
  }
}

/** Milliseconds of conditional PUTs of 4 KiB, one after the other, for that many seconds. */
export async function putLatencies(objects: ObjectStore, seconds: number): Promise<number[]> {
  const body = randomBytes(smallBytes)
  const run = randomBytes(6).toString('hex')
  const ms: number[] = []
  const end = performance.now() + seconds * 1000
  for (let i = 0; performance.now() < end; i++) {
    const started = performance.now()
    const outcome = await objects.putIfAbsent(`limit/${run}/${i}`, [body])
    if (outcome.kind !== 'created') throw new Error(`a raw PUT was ${outcome.kind}`)
    ms.push(performance.now() - started)
  }
  return ms
}

async function putBandwidth(objects: ObjectStore, seconds: number): Promise<number> {
  const body = randomBytes(largeBytes)
  const run = randomBytes(6).toString('hex')
  const keys: string[] = []
  const started = performance.now()
  const lane = async (): Promise<void> => {
    while (performance.now() < started + seconds * 1000) {
      const key = `limit/${run}/${keys.length}`
      keys.push(key)
      await objects.putIfAbsent(key, [body])
    }
  }
  await Promise.all(Array.from({ length: largeAtOnce }, lane))
  const took = (performance.now() - started) / 1000
  const rate = (keys.length * largeBytes) / took / 1e6
  await objects.delete(keys)
  return rate
}
