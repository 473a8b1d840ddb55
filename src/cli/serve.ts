/**
 * `bayou serve`: opens the store, starts the broker, says when it is ready, and stops it on SIGTERM or SIGINT. What can go wrong for reasons
 * outside of this program is one line that says what to do.
 */
import type { Env } from '../../storage/env.ts'
import { SupersededError } from '../../storage/engine/recovery.ts'
import { LaneGapError } from '../../storage/lane/scan.ts'
import { SegmentCorruptError } from '../../storage/lane/segment.ts'
import { MeteredStore } from '../../storage/objects/metered-store.ts'
import { StoreError } from '../../storage/objects/object-store.ts'
import type { ObjectStore } from '../../storage/objects/object-store.ts'
import { openStore } from '../../storage/objects/open-store.ts'
import { probeStore } from '../../storage/objects/probe.ts'
import type { LoadedConfig } from '../config/load.ts'
import { formatAddress } from '../config/setting.ts'
import type { Address } from '../config/setting.ts'
import type { Config } from '../config/settings.ts'
import { collectAfterStart } from '../heap-flags.ts'
import type { Logger } from '../logging.ts'
import { createLogger } from '../logging.ts'
import { Metrics } from '../metrics/metrics.ts'
import { realEnv } from '../real-env.ts'
import { exitCodes } from './exit-codes.ts'
import { packageVersion } from './program.ts'

/** What `serve` needs of a broker. */
export interface RunningBroker {
  /** Where it listens, with real ports. */
  readonly addresses: { readonly kafka: Address; readonly advertised: Address; readonly http: Address | null }
  readonly nodeId: number
  readonly incarnation: number
  /** Resolves when the broker cannot go on: another one took over. Never rejects. */
  readonly fatal: Promise<Error>
  /** Answers what is in flight, writes the lane, flushes. Does not reject because of the store. */
  stop(): Promise<void>
}

export interface BrokerParts {
  readonly config: Config
  /** Where each setting came from; DescribeConfigs tells what was set from what is a default. */
  readonly origins: LoadedConfig['origins']
  readonly env: Env
  readonly log: Logger
  readonly store: ObjectStore
  readonly metrics: Metrics
}

export type StartBroker = (parts: BrokerParts) => Promise<RunningBroker>

/** Runs until the broker stops; gives the exit code. */
export async function serve(loaded: LoadedConfig, startBroker: StartBroker): Promise<number> {
  const { config, origins } = loaded
  const log = createLogger(config)
  watchForBugs(log)
  const given = Object.entries(origins).flatMap(([name, origin]) => (origin === 'default' ? [] : [name]))
  log.info({ version: packageVersion(), node: process.version, pid: process.pid, given }, 'starting')
  const signal = stopSignal(log)
  const started = await Promise.race([start(loaded, log, startBroker), signal])
  if (typeof started === 'string') {
    // Whatever the start has done so far, the next one recovers from.
    log.info({ signal: started }, 'stopped before it was ready')
    return exitCodes.ok
  }
  if (typeof started === 'number') return started
  const { broker, store } = started
  const { addresses, nodeId, incarnation } = broker
  collectAfterStart()
  log.info(
    {
      kafka: formatAddress(addresses.kafka),
      advertised: formatAddress(addresses.advertised),
      http: addresses.http === null ? 'off' : formatAddress(addresses.http),
      store: store.description,
      nodeId,
      incarnation,
    },
    'ready',
  )
  const end = await Promise.race([signal, broker.fatal])
  if (end instanceof Error) log.fatal({ reason: end.message }, 'cannot go on: stopping')
  else log.info({ signal: end }, 'stopping')
  const inTime = await stopWithin(broker, config['shutdown.timeout.ms'])
  await store.close().catch((error: unknown) => log.warn({ err: error }, 'closing the store failed'))
  if (!inTime) log.error({ setting: 'shutdown.timeout.ms' }, 'not everything was written in time; the next start recovers it')
  else log.info('stopped')
  if (end instanceof Error) return exitCodes.fenced
  return inTime ? exitCodes.ok : exitCodes.failed
}

/** The exit code when it is not possible; the log says why. */
async function start(
  { config, origins }: LoadedConfig,
  log: Logger,
  startBroker: StartBroker,
): Promise<{ readonly broker: RunningBroker; readonly store: ObjectStore } | number> {
  const metrics = new Metrics()
  let store: ObjectStore | null = null
  try {
    const s3 = { connectionsMax: config['store.connections.max'], deadlineMs: config['store.request.timeout.ms'] }
    store = new MeteredStore(await openStore(config.store, realEnv, { s3 }), realEnv.clock, metrics.storeOperation)
    await probeStore(store, realEnv)
    return { broker: await startBroker({ config, origins, env: realEnv, log, store, metrics }), store }
  } catch (error) {
    const known = explain(error, config)
    if (known === null) log.fatal({ err: error }, 'the start failed')
    else log.fatal(known)
    await store?.close().catch(() => {})
    return error instanceof SupersededError ? exitCodes.fenced : exitCodes.failed
  }
}

/** False when the time was not enough. */
async function stopWithin(broker: RunningBroker, ms: number): Promise<boolean> {
  const late = new AbortController()
  const done = broker.stop().then(() => true)
  const result = await Promise.race([done, realEnv.clock.sleep(ms, late.signal).then(() => false)])
  late.abort()
  return result
}

/** Ctrl-C under `npm start` arrives twice, from the terminal and from npm; that is no second wish. */
const repeatedSignalMs = 500

/** Resolves with the first signal; the second one exits at once. */
function stopSignal(log: Logger): Promise<string> {
  return new Promise(resolve => {
    let firstMs: number | null = null
    const handle = (signal: NodeJS.Signals, number: number): void => {
      process.on(signal, () => {
        const now = realEnv.clock.monotonic()
        if (firstMs === null) {
          firstMs = now
          resolve(signal)
        } else if (now - firstMs > repeatedSignalMs) {
          log.warn({ signal }, 'second signal: exiting at once')
          process.exit(128 + number)
        }
      })
    }
    handle('SIGTERM', 15)
    handle('SIGINT', 2)
  })
}

/** A rejection that nobody handled is a bug of one request and is logged; an exception out of nowhere leaves unknown state and ends the process. */
function watchForBugs(log: Logger): void {
  process.on('unhandledRejection', error => log.error({ err: error }, 'a bug: nobody handled this rejection'))
  process.on('uncaughtException', error => {
    log.fatal({ err: error }, 'a bug: nobody caught this error')
    process.exit(exitCodes.failed)
  })
}

/** A sentence for trouble that the operator can mend, with what to do; null for bugs, which deserve their stack. */
function explain(error: unknown, config: Config): string | null {
  if (error instanceof StoreError) {
    const remedies = config.store.startsWith('s3://') ? s3Remedies : directoryRemedies
    return `the store cannot be used: ${sentence(error.message)}${remedies[error.kind] ?? ''}`
  }
  if (error instanceof SupersededError) return `${error.message}; find the other one, or stop one of the two`
  if (error instanceof SegmentCorruptError || error instanceof LaneGapError) {
    const remedy = /format version/.test(error.message)
      ? 'Use the release that wrote it'
      : 'Objects under lanes/ were damaged, removed or taken from an older copy: restore them'
    return `the store cannot be used: ${sentence(error.message)}. ${remedy}`
  }
  const { code, syscall, address, port } = error as { code?: string; syscall?: string; address?: string; port?: number }
  if (syscall !== 'listen' && syscall !== 'getaddrinfo' && syscall !== 'bind') return null
  const where = `${address ?? config.listen.host}:${port ?? config.listen.port}`
  switch (code ?? '') {
    case 'EADDRINUSE':
      return `${where} is in use: stop the program that has it, or choose another address with --listen or --http (port 0 picks a free one)`
    case 'EACCES':
      return `no permission to listen on ${where}: choose a port above 1023 with --listen or --http`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${where} is no address of this machine: choose another with --listen or --http, and tell clients theirs with --advertise`
    default:
      return null
  }
}

/** In one line, and without its full stop. */
function sentence(message: string): string {
  return message.replaceAll(/\s+/g, ' ').replace(/[.\s]+$/, '')
}

const s3Remedies: Partial<Record<StoreError['kind'], string>> = {
  denied: '. Check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and what they may do in the bucket',
  unavailable: '. Check that it runs and that AWS_ENDPOINT_URL and AWS_REGION are right',
  timeout: '. Check that it runs and can be reached',
}

const directoryRemedies: Partial<Record<StoreError['kind'], string>> = {
  denied: '. Check the owner and the permissions of the directory',
  full: '. Free some space',
}
