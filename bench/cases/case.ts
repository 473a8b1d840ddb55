/** What a case of the bench is. A case starts its own broker on a fresh place in the store, so that CPU, memory and requests are its own. */
import type { Numbers } from '../stats.ts'
import type { BenchStore, StoreLimit, StoreName } from '../stores.ts'
import type { Subject, Target, TargetOptions } from '../target.ts'

export type Theme = 'Latency' | 'Produce' | 'Consume' | 'Bursts and smooth load' | 'Table freshness' | 'Scale' | "Apache Kafka's own tools" | 'Recovery and upkeep'

/** A number that is shown, in tables and plots. */
export interface Column {
  /** Its name in the numbers. */
  readonly key: string
  readonly title: string
  readonly unit: string
  readonly better: 'lower' | 'higher'
}

export interface CaseContext {
  readonly subject: Subject
  readonly store: BenchStore
  readonly limit: StoreLimit
  /** The load program. */
  readonly program: string
  readonly quick: boolean
  /** Overrides how long a case loads the broker. */
  readonly seconds: number | null
  /** A broker of the subject. Not for delta-queue, which is none. */
  start(options?: TargetOptions): Promise<Target>
  /** Class path of Apache Kafka's tools. Throws when they are not there. */
  kafkaTools(): string
  /** A Python with delta-rs. Throws when it is not there. */
  python(): string
}

export interface Case {
  readonly name: string
  readonly theme: Theme
  readonly about: string
  /** Left out unless it is asked for by its name. */
  readonly onRequest?: boolean
  /** For whom it makes sense; Bayou is always one of them. */
  readonly subjects: readonly Subject[]
  /** Where the published run has it. */
  readonly stores: readonly StoreName[]
  /** What of the subject it needs beside the load program. */
  readonly needs?: 'kafka-tools' | 'python'
  /** The first one is the figure of the case, whose spread over repeats is shown as it runs. */
  readonly columns: readonly [Column, ...Column[]]
  run(context: CaseContext): Promise<Numbers>
}

/** What the targets ask of MinIO. */
export const minios: readonly StoreName[] = ['minio', 'minio-memory']

export const p50: Column = { key: 'p50Ms', title: 'p50', unit: 'ms', better: 'lower' }
export const p99: Column = { key: 'p99Ms', title: 'p99', unit: 'ms', better: 'lower' }
export const recordRate: Column = { key: 'recordsPerSecond', title: 'rate', unit: 'records/s', better: 'higher' }
export const bandwidth: Column = { key: 'megabytesPerSecond', title: 'bandwidth', unit: 'MB/s', better: 'higher' }
export const cores: Column = { key: 'cpuCores', title: 'CPU of the broker', unit: 'cores', better: 'lower' }
export const cpuPerGb: Column = { key: 'cpuSecondsPerGb', title: 'CPU of the broker', unit: 's/GB', better: 'lower' }
export const mainPerGb: Column = { key: 'mainSecondsPerGb', title: 'its main thread', unit: 's/GB', better: 'lower' }
export const putRate: Column = { key: 'putsPerSecond', title: 'PUTs', unit: '1/s', better: 'lower' }
export const lanePutRate: Column = { key: 'lanePutsPerSecond', title: 'PUTs of the lane', unit: '1/s', better: 'lower' }

export const bayouAlone: readonly Subject[] = ['bayou']
export const withKafka: readonly Subject[] = ['bayou', 'kafka']
export const brokers: readonly Subject[] = ['bayou', 'kafka', 'nisshi']
export const everybody: readonly Subject[] = ['bayou', 'kafka', 'nisshi', 'delta-queue']
