/**
 * A store that is far away: a reverse proxy in front of MinIO that holds every request back by a time drawn from a log-normal
 * distribution under a seed. The bytes pass unchanged (the signature covers the Host header, which MinIO takes as it comes).
 *
 * The delay is a minimum: MinIO's own time runs within it, so that what a client sees is the distribution and not the sum of both.
 */
import { spawn } from 'node:child_process'
import { Agent, createServer, request } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { seededRandom } from '../test/support/env.ts'
import { logNormal } from './stats.ts'

export interface ProxyOptions {
  /** `http://host:port`. */
  readonly upstream: string
  /** Median and 99th percentile of a request, ms. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly seed: number
}

export interface RunningProxy {
  readonly endpoint: string
  stop(): Promise<void>
}

/** Listens on 127.0.0.1 and a free port. */
export async function serveProxy(options: ProxyOptions): Promise<RunningProxy> {
  const upstream = new URL(options.upstream)
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const delayMs = logNormal(seededRandom(options.seed), options.p50Ms, options.p99Ms)
  const server = createServer((incoming, outgoing) => forward(incoming, outgoing, upstream, agent, delayMs()))
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return { endpoint: `http://127.0.0.1:${portOf(server)}`, stop: () => close(server, agent) }
}

/** The same in a process of its own, so that it shares no event loop with what measures. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...flags], { stdio: ['ignore', 'pipe', 'inherit'] })
  const stopWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', stopWithUs)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const endpoint = await Promise.race([
    new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve)),
    exited.then(() => Promise.reject(new Error('the latency proxy ended at once'))),
  ])
  return {
    endpoint,
    async stop() {
      process.removeListener('exit', stopWithUs)
      child.kill('SIGTERM')
      await exited
    },
  }
}

function forward(incoming: IncomingMessage, outgoing: ServerResponse, upstream: URL, agent: Agent, delayMs: number): void {
  const due = performance.now() + delayMs
  const fail = (error: Error): void => void outgoing.destroy(error)
  const inner = request(
    { host: upstream.hostname, port: upstream.port, method: incoming.method, path: incoming.url, headers: incoming.rawHeaders, agent, setHost: false },
    (answer) => {
      answer.once('error', fail)
      setTimeout(() => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
        answer.pipe(outgoing)
      }, Math.max(0, due - performance.now()))
    },
  )
  inner.once('error', fail)
  // A client that hung up is not answered; what it sent may be stored all the same, as at a real store.
  incoming.once('error', (error) => inner.destroy(error))
  incoming.pipe(inner)
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return address.port
}

async function close(server: Server, agent: Agent): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  agent.destroy()
  await closed
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { upstream: { type: 'string' }, p50Ms: { type: 'string' }, p99Ms: { type: 'string' }, seed: { type: 'string', default: '1' } },
  })
  const proxy = await serveProxy({
    upstream: values.upstream ?? '', p50Ms: Number(values.p50Ms), p99Ms: Number(values.p99Ms), seed: Number(values.seed),
  })
  console.log(proxy.endpoint)
  process.once('SIGTERM', () => void proxy.stop())
}
