/** A server with handlers of the test's own, and a client that speaks bytes. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { decodeResponseFrame, encodeRequestFrame } from '../../protocol/messages/header.ts'
import { defineApi } from '../../protocol/schema/api.ts'
import { bytes, int16, int32, struct } from '../../protocol/schema/field.ts'
import type { Clock } from '../../storage/env.ts'
import type { RequestContext } from '../../src/api/handler.ts'
import type { Broker } from '../../src/broker.ts'
import { RateLimiter, silentLogger } from '../../src/logging.ts'
import type { Logger } from '../../src/logging.ts'
import { realEnv } from '../../src/real-env.ts'
import { Dispatcher } from '../../src/server/dispatch.ts'
import type { RegisteredHandler } from '../../src/server/dispatch.ts'
import { KafkaServer } from '../../src/server/server.ts'
import type { ServerLimits } from '../../src/server/server.ts'

/** An API of the tests: `id` says which request it is, `payload` makes it long. */
export const Echo = defineApi({
  key: 500,
  name: 'Echo',
  versions: [0, 2],
  flexible: 99,
  request: struct({ id: int32, payload: bytes }),
  response: struct({ errorCode: int16.default(0), id: int32, payload: bytes }),
})

export interface EchoRequest {
  readonly id: number
  readonly payload: Uint8Array
}

export interface EchoResponse extends EchoRequest {
  readonly errorCode?: number
}

type EchoAnswer = EchoResponse | null | Promise<EchoResponse | null>

export function echoHandler(
  handle: (request: EchoRequest, context: RequestContext) => EchoAnswer = request => request,
): RegisteredHandler {
  return {
    api: Echo,
    versions: [0, 1],
    handle: (request, context) => handle(request as EchoRequest, context),
    onError: (request, errorCode) => ({ errorCode, id: (request as EchoRequest).id, payload: Buffer.alloc(0) }),
  }
}

export const apiVersionsHandler: RegisteredHandler = {
  api: ApiVersions,
  versions: [0, 4],
  handle: (_request, context) => ({ apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }], context: context.apiVersion }),
}

export interface Observed {
  readonly requests: { api: string; errorCode: number; requestBytes: number; responseBytes: number }[]
  opened: number
  closed: number
  readonly refused: string[]
}

export interface TestServer {
  readonly server: KafkaServer
  readonly dispatcher: Dispatcher
  readonly port: number
  readonly observed: Observed
}

const roomy: ServerLimits = {
  frameBytesMax: 1024 * 1024,
  inflightMax: 64,
  idleMs: 60_000,
  connectionsMax: 5000,
  connectionsPerIpMax: 5000,
  budgetBytes: 16 * 1024 * 1024,
}

/** Started on a free port, stopped after the test. */
export async function startTestServer(
  t: TestContext,
  handlers: readonly RegisteredHandler[],
  limits: Partial<ServerLimits> = {},
  log: Logger = silentLogger(),
  clock: Clock = realEnv.clock,
): Promise<TestServer> {
  const observed: Observed = { requests: [], opened: 0, closed: 0, refused: [] }
  const logLimiter = new RateLimiter(clock)
  const dispatcher = new Dispatcher({
    handlers: [apiVersionsHandler, ...handlers],
    broker: {} as Broker,
    clock,
    log,
    logLimiter,
    observer: { request: (api, errorCode, _, requestBytes, responseBytes) => observed.requests.push({ api, errorCode, requestBytes, responseBytes }) },
  })
  const server = new KafkaServer({
    limits: { ...roomy, ...limits },
    dispatcher,
    clock,
    log,
    logLimiter,
    observer: {
      connectionOpened: () => observed.opened++,
      connectionClosed: () => observed.closed++,
      connectionRefused: reason => observed.refused.push(reason),
    },
  })
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  t.after(() => server.stop(0))
  return { server, dispatcher, port, observed }
}

/** A logger that keeps its lines. */
export function recordingLogger(): { log: Logger; lines: { fields: Record<string, unknown>; message: string }[] } {
  const lines: { fields: Record<string, unknown>; message: string }[] = []
  const log = silentLogger()
  const record = (fields: Record<string, unknown>, message: string): void => void lines.push({ fields, message })
  log.warn = record as Logger['warn']
  log.error = record as Logger['error']
  return { log, lines }
}

export function echoFrame(id: number, payload: Uint8Array = Buffer.alloc(0), version = 0): Buffer {
  return Buffer.concat(encodeRequestFrame(Echo, version, { correlationId: id, clientId: 'test' }, { id, payload }))
}

/** A raw connection: what is written goes out as it is, frames that come back are gathered. */
export class RawClient {
  readonly socket: Socket
  readonly frames: Buffer[] = []
  ended = false
  closed = false
  #received = Buffer.alloc(0)
  #wake: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', chunk => {
      this.#received = Buffer.concat([this.#received, chunk])
      while (this.#received.length >= 4 && this.#received.length >= 4 + this.#received.readInt32BE(0)) {
        const end = 4 + this.#received.readInt32BE(0)
        this.frames.push(this.#received.subarray(4, end))
        this.#received = this.#received.subarray(end)
      }
      this.#changed()
    })
    socket.on('end', () => {
      this.ended = true
      this.#changed()
    })
    socket.on('close', () => {
      this.closed = true
      this.#changed()
    })
    socket.on('error', () => {})
  }

  static async connect(port: number, t?: TestContext, options: { allowHalfOpen?: boolean } = {}): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, ...options })
    const client = new RawClient(socket)
    t?.after(() => socket.destroy())
    await once(socket, 'connect')
    return client
  }

  write(data: Uint8Array): void {
    this.socket.write(data)
  }

  /** Resolves when `count` frames in total have arrived; rejects when the connection ends before. */
  async receive(count: number): Promise<readonly Buffer[]> {
    await this.until(() => this.frames.length >= count || this.closed)
    if (this.frames.length < count) throw new Error(`closed after ${this.frames.length} of ${count} answers`)
    return this.frames
  }

  /** Resolves when the server has closed. */
  async receiveEnd(): Promise<void> {
    await this.until(() => this.ended || this.closed)
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>(resolve => this.#wake.push(resolve))
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

export function correlationId(frame: Buffer): number {
  return frame.readInt32BE(0)
}

export function decodeEcho(frame: Buffer, id: number): EchoResponse {
  return decodeResponseFrame(Echo, 0, id, frame)
}

/** The real clock with timers that run so many times faster. */
export function hurriedClock(times: number): Clock {
  return { ...realEnv.clock, schedule: (ms, task) => realEnv.clock.schedule(ms / times, task) }
}

/** A promise with its own switch. */
export function gate<T = void>(): { promise: Promise<T>; open(value: T): void } {
  const { promise, resolve } = Promise.withResolvers<T>()
  return { promise, open: resolve }
}

export async function eventually(condition: () => boolean, what: string, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
