/** A broker under measurement: Bayou, or a peer that gives the same. */
import { startTestBroker } from '../test/support/broker.ts'
import type { BenchStore } from './stores.ts'

/** Who is measured. */
export type Subject = 'bayou' | 'kafka' | 'nisshi' | 'delta-queue'
/** Those that speak the Kafka protocol. */
export type BrokerSubject = Exclude<Subject, 'delta-queue'>

export interface Target {
  readonly subject: BrokerSubject
  /** host:port of the Kafka listener. */
  readonly address: string
  readonly pid: number
  /** Where it keeps its data; `start({ url })` on it brings the broker back. */
  readonly store: string
  /** The newest Kafka whose requests it understands, where that is not the newest there is. */
  readonly kafkaVersion?: string
  /** Counters and gauges by name, summed over labels, and by `name{label="value"}`; nothing for a peer. */
  metrics(): Promise<Readonly<Record<string, number>>>
  readonly stop: () => Promise<void>
  /** SIGKILL: nothing is said goodbye to. */
  readonly kill: () => Promise<void>
}

export interface TargetOptions {
  /** Flags of Bayou; a peer runs with its defaults. */
  readonly args?: readonly string[]
  /** Where Bayou leaves CPU profiles. */
  readonly profileDir?: string
  /** Instead of a fresh place in the store. */
  readonly url?: string
}

/** Behind a far store, or beside others, a start takes longer than in a test. */
const readyMs = 120_000

/** A broker on a place of its own in the store. */
export type StartBroker = (store: BenchStore, options?: TargetOptions) => Promise<Target>

export async function startBayou(store: BenchStore, options: TargetOptions = {}): Promise<Target> {
  const url = options.url ?? store.freshUrl()
  const profile = options.profileDir === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${options.profileDir}` }
  const broker = await startTestBroker({ store: url, args: ['--log-level', 'info', ...(options.args ?? [])], env: { ...store.env, ...profile }, readyMs })
  return {
    subject: 'bayou',
    address: broker.address,
    pid: broker.process.pid ?? 0,
    store: url,
    async metrics() {
      const response = await fetch(`${broker.http}/metrics`, { signal: AbortSignal.timeout(30_000) })
      return parseMetrics(await response.text())
    },
    async stop() {
      const code = await broker.stop()
      const warnings = broker.log.filter((line) => typeof line['level'] === 'string' && ['warn', 'error', 'fatal'].includes(line['level']))
      for (const line of warnings.slice(0, 5)) console.error(`broker: ${JSON.stringify(line)}`)
      if (code !== 0) throw new Error(`the broker ended with ${code}`)
    },
    kill: () => broker.kill(),
  }
}

function parseMetrics(text: string): Record<string, number> {
  const values: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:]+)(\{[^}]*\})? (\S+)$/.exec(line)
    if (match === null) continue
    const [, name, labels, value] = match
    values[name!] = (values[name!] ?? 0) + Number(value)
    if (labels !== undefined) values[`${name}${labels}`] = Number(value)
  }
  return values
}
