/** What the slow scenarios share: a MinIO of their own, brokers behind a toxic proxy, and the load that must survive. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startMinio } from '../../../scripts/minio.ts'
import type { RunningMinio } from '../../../scripts/minio.ts'
import { startTestBroker } from '../../support/broker.ts'
import type { TestBroker, TestBrokerOptions } from '../../support/broker.ts'
import { LedgerProducer, createTopic, verify } from '../support/ledger.ts'
import type { LedgerOptions } from '../support/ledger.ts'
import { ToxicProxy } from '../support/toxic-proxy.ts'

export interface Scenario {
  readonly name: string
  /** Throws what is wrong. */
  run(world: World): Promise<void>
}

export const quick: readonly string[] = [
  '--group-initial-rebalance-delay-ms', '0', '--table-flush-interval-ms', '200', '--lane-checkpoint-interval-ms', '500', '--offsets-topic-num-partitions', '4',
]

/** Everything that a scenario starts ends with it, whatever happens. */
export class World {
  readonly #cleanups: (() => Promise<unknown> | void)[] = []
  readonly #lines: string[] = []
  readonly full: boolean
  #minio: RunningMinio | null = null
  #minioDir: string | null = null
  #stores = 0

  constructor(full: boolean) {
    this.full = full
  }

  /** A measurement or a finding, printed with the result. */
  note(line: string): void {
    this.#lines.push(line)
  }

  get notes(): readonly string[] {
    return this.#lines
  }

  after(cleanup: () => Promise<unknown> | void): void {
    this.#cleanups.unshift(cleanup)
  }

  async end(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0)) await Promise.resolve(cleanup()).catch(() => undefined)
  }

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'bayou-robust-'))
    this.after(() => rm(folder, { recursive: true, force: true }))
    return folder
  }

  async minio(): Promise<RunningMinio> {
    if (this.#minio === null) {
      this.#minioDir ??= await this.folder()
      this.#minio = await startMinio({ dir: this.#minioDir })
      this.after(() => this.#minio?.stop())
    }
    return this.#minio
  }

  /** kill -9; resolves when it is gone. */
  async killMinio(): Promise<void> {
    const { pid } = await this.minio()
    process.kill(pid, 'SIGKILL')
    await this.#minio!.stop()
  }

  /** On the same port, with the same data. */
  async restartMinio(): Promise<void> {
    const port = Number(new URL(this.#minio!.endpoint).port)
    this.#minio = await startMinio({ dir: this.#minioDir!, port })
  }

  async proxy(): Promise<ToxicProxy> {
    const proxy = await ToxicProxy.start((await this.minio()).endpoint)
    this.after(() => proxy.close())
    return proxy
  }

  async s3Store(): Promise<string> {
    const { bucket } = await this.minio()
    return `s3://${bucket}/robust-${process.pid}-${++this.#stores}`
  }

  async broker(options: TestBrokerOptions & { readonly proxy?: ToxicProxy } = {}): Promise<TestBroker> {
    const minio = this.#minio
    const env = minio === null ? {} : { ...minio.env, ...(options.proxy === undefined ? {} : { AWS_ENDPOINT_URL: options.proxy.endpoint }) }
    const broker = await startTestBroker({ ...options, args: [...quick, ...(options.args ?? [])], env: { ...env, ...options.env } })
    this.after(() => broker.kill())
    return broker
  }

  /** Producers on all partitions of a new topic, already running. */
  async load(addresses: readonly string[] | (() => readonly string[]), topic: string, partitions: number, options: Partial<LedgerOptions> = {}): Promise<LedgerProducer[]> {
    const [first] = typeof addresses === 'function' ? addresses() : addresses
    await createTopic(first!, topic, partitions)
    const producers = Array.from({ length: partitions }, (_, partition) => new LedgerProducer(addresses, { ...options, topic, partition }).start())
    this.after(() => Promise.all(producers.map((producer) => producer.abandon())))
    return producers
  }
}

export async function stopAll(producers: readonly LedgerProducer[]): Promise<number> {
  await Promise.all(producers.map((producer) => producer.stop()))
  return producers.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0)
}

export async function verifyAll(address: string, producers: readonly LedgerProducer[], troubles = new Map<string, number>()): Promise<number> {
  const counts = await Promise.all(producers.map((producer) => verify(address, producer, { troubles })))
  return counts.reduce((sum, count) => sum + count, 0)
}

export function portOf(address: string): number {
  return Number(address.split(':').at(-1))
}

export function shown(troubles: ReadonlyMap<string, number>): string {
  return [...troubles].map(([name, count]) => `${name} ×${count}`).join(', ') || 'none'
}

/** Log lines of level warn and above, as text. */
export function complaints(broker: TestBroker): string[] {
  return broker.log.filter(({ level }) => level === 'warn' || level === 'error' || level === 'fatal').map(({ level, msg }) => `${String(level)}: ${String(msg)}`)
}
