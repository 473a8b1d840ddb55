/**
 * An HTTP proxy between a broker and its object store, and everything that goes wrong on such a way. It knows requests, so that a reply can be
 * lost after its effect, which is the fault that conditional writes have to survive.
 */
import { Agent, createServer, request as httpRequest } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Transform } from 'node:stream'
import type { TransformCallback } from 'node:stream'

export interface Toxics {
  /** Added to each request before it goes on, milliseconds. */
  latencyMs: readonly [least: number, most: number]
  /** Of requests and answers together; Infinity is no limit. */
  bytesPerSecond: number
  /** Part of the requests, 0 to 1, that are done by the store, and whose connection is then reset without an answer. */
  lostReplies: number
  /** Part of the requests that are cut off in the middle of their body. */
  cutRequests: number
  /** Part of the answers that are cut off in the middle of their body. */
  cutAnswers: number
  /** Part of the requests that are answered with 503 SlowDown. */
  slowDown: number
  /** Requests are taken and never answered; they do not reach the store. */
  blackhole: boolean
  /** Connections are reset as they come, and those that are there are reset. */
  refuse: boolean
}

const healthy: Toxics = {
  latencyMs: [0, 0],
  bytesPerSecond: Infinity,
  lostReplies: 0,
  cutRequests: 0,
  cutAnswers: 0,
  slowDown: 0,
  blackhole: false,
  refuse: false,
}

/** Which requests suffer; all of them where absent. */
export type Victims = (method: string, path: string) => boolean

const slowDownBody = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'

export class ToxicProxy {
  readonly counts = { requests: 0, puts: 0, gets: 0, lists: 0, deletes: 0, harmed: 0 }
  /** Called for every request as it arrives. */
  onRequest: (method: string, path: string) => void = () => undefined
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 })
  readonly #target: URL
  readonly #sockets = new Set<Socket>()
  readonly #held = new Set<ServerResponse>()
  #toxics: Toxics = healthy
  #victims: Victims = () => true
  #freeAtMs = 0

  private constructor(target: URL) {
    this.#target = target
    this.#server = createServer((incoming, answer) => void this.#serve(incoming, answer).catch(() => answer.destroy()))
    this.#server.on('connection', (socket) => {
      if (this.#toxics.refuse) return socket.resetAndDestroy()
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.keepAliveTimeout = 60_000
    this.#server.requestTimeout = 0
  }

  /** @param target `http://127.0.0.1:9000` */
  static async start(target: string): Promise<ToxicProxy> {
    const proxy = new ToxicProxy(new URL(target))
    await new Promise<void>((done) => proxy.#server.listen(0, '127.0.0.1', done))
    return proxy
  }

  /** What the broker has for AWS_ENDPOINT_URL. */
  get endpoint(): string {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : ''
  }

  /** Replaces all toxics; what is not named is healthy. Requests that a blackhole holds are reset when it ends. */
  set(toxics: Partial<Toxics>, victims: Victims = () => true): void {
    this.#toxics = { ...healthy, ...toxics }
    this.#victims = victims
    if (this.#toxics.refuse) for (const socket of this.#sockets) socket.resetAndDestroy()
    if (this.#toxics.blackhole) return
    for (const held of this.#held) held.socket?.resetAndDestroy()
    this.#held.clear()
  }

  heal(): void {
    this.set({})
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#agent.destroy()
    await new Promise((done) => this.#server.close(done))
  }

  async #serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const method = incoming.method ?? ''
    const path = incoming.url ?? ''
    this.#count(method, path)
    this.onRequest(method, path)
    const toxics = this.#victims(method, path) ? this.#toxics : healthy
    const hit = (part: number): boolean => part > 0 && Math.random() < part
    const harm = (): void => void this.counts.harmed++
    const [least, most] = toxics.latencyMs
    if (most > 0) await sleep(least + Math.random() * (most - least))
    if (toxics.blackhole || this.#toxics.refuse) {
      harm()
      this.#held.add(answer)
      answer.once('close', () => this.#held.delete(answer))
      return
    }
    if (hit(toxics.slowDown)) {
      harm()
      incoming.resume()
      await ended(incoming)
      answer.writeHead(503, { 'content-type': 'application/xml', 'content-length': slowDownBody.length }).end(slowDownBody)
      return
    }
    if (hit(toxics.cutRequests)) {
      harm()
      incoming.socket.resetAndDestroy()
      return
    }
    const { headers } = incoming
    const onward = httpRequest({
      agent: this.#agent, host: this.#target.hostname, port: this.#target.port, method, path, headers, setHost: false,
    })
    onward.setNoDelay(true)
    const failed = (): void => void answer.socket?.resetAndDestroy()
    onward.on('error', failed)
    incoming.on('error', () => onward.destroy())
    answer.on('close', () => {
      if (!answer.writableFinished) onward.destroy()
    })
    onward.on('response', (response) => {
      if (hit(toxics.lostReplies)) {
        harm()
        response.resume()
        response.once('end', failed)
        return
      }
      answer.writeHead(response.statusCode ?? 500, response.headers)
      if (hit(toxics.cutAnswers)) {
        harm()
        response.once('data', (chunk: Buffer) => {
          answer.write(chunk.subarray(0, chunk.length >> 1), () => failed())
          response.destroy()
        })
        response.once('end', failed)
        return
      }
      response.on('error', failed)
      throttled(this, response, toxics).pipe(answer)
    })
    throttled(this, incoming, toxics).pipe(onward)
  }

  /** When a piece of this size may go on, under the limit that all requests share; milliseconds from now. */
  delayFor(bytes: number, bytesPerSecond: number): number {
    const now = performance.now()
    this.#freeAtMs = Math.max(this.#freeAtMs, now) + (bytes * 1000) / bytesPerSecond
    return this.#freeAtMs - now
  }

  #count(method: string, path: string): void {
    const { counts } = this
    counts.requests++
    if (method === 'PUT') counts.puts++
    else if (method === 'POST' && path.includes('delete')) counts.deletes++
    else if (method === 'GET' && path.includes('list-type')) counts.lists++
    else if (method === 'GET') counts.gets++
  }
}

function throttled(proxy: ToxicProxy, source: IncomingMessage, { bytesPerSecond }: Toxics): NodeJS.ReadableStream {
  if (bytesPerSecond === Infinity) return source
  const slow = new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      setTimeout(() => done(null, chunk), proxy.delayFor(chunk.length, bytesPerSecond))
    },
  })
  source.on('error', () => slow.destroy())
  return source.pipe(slow)
}

function ended(stream: IncomingMessage): Promise<void> {
  return new Promise((done) => stream.once('close', () => done()).once('end', () => done()))
}

export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}
