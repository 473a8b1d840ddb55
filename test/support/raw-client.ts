/**
 * A client that speaks the protocol and nothing more, for tests: every version of every API, requests that no library would send, bytes
 * that are no request at all. Nothing is retried, nothing is hidden.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { decodeResponseFrame, encodeRequestFrame } from '../../protocol/messages/header.ts'
import type { Api } from '../../protocol/schema/api.ts'

/** What a request needs of an API declaration. */
export type AskedApi<Input, Response> = Api<unknown, Input, Response, never>

const ANSWER_MS = 15_000

export interface RawClientOptions {
  readonly clientId?: string | null
  /** How long an answer may take; 15 s where absent. */
  readonly answerMs?: number
}

export class RawClient {
  readonly #socket: Socket
  readonly #clientId: string | null
  readonly #answerMs: number
  /** Answers that came before somebody asked for them. */
  readonly #frames: Uint8Array[] = []
  readonly #waiting: { resolve(frame: Uint8Array): void; reject(error: Error): void }[] = []
  #received: Buffer = Buffer.alloc(0)
  #correlationId = 0
  #ended: Error | null = null

  private constructor(socket: Socket, options: RawClientOptions) {
    this.#socket = socket
    this.#clientId = options.clientId === undefined ? 'raw' : options.clientId
    this.#answerMs = options.answerMs ?? ANSWER_MS
    socket.setNoDelay(true)
    socket.on('data', (data) => this.#receive(data))
    socket.on('error', () => this.#end())
    socket.on('close', () => this.#end())
  }

  /** @param address `host:port` */
  static async connect(address: string, options: RawClientOptions = {}): Promise<RawClient> {
    const at = address.lastIndexOf(':')
    const socket = connect(Number(address.slice(at + 1)), address.slice(0, at))
    await once(socket, 'connect')
    return new RawClient(socket, options)
  }

  /** Sends a request and gives its decoded answer. Calls may overlap: answers come in the order of the requests. */
  async send<Input, Response>(api: AskedApi<Input, Response>, version: number, request: Input): Promise<Response> {
    const correlationId = this.post(api, version, request)
    return decodeResponseFrame(api, version, correlationId, await this.frame(`${api.name} v${version}`))
  }

  /** Sends a request and expects nothing: acks=0, or an answer that `frame` shall give. Gives the correlation id. */
  post<Input, Response>(api: AskedApi<Input, Response>, version: number, request: Input): number {
    const correlationId = ++this.#correlationId
    this.write(Buffer.concat(encodeRequestFrame(api, version, { correlationId, clientId: this.#clientId }, request)))
    return correlationId
  }

  /** Bytes as they are. */
  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** `body` with its length in front. */
  writeFrame(body: Uint8Array): void {
    const length = Buffer.alloc(4)
    length.writeInt32BE(body.length)
    this.write(Buffer.concat([length, body]))
  }

  /** The next answer without its length. Rejects when the connection ends first. */
  async frame(what = 'an answer'): Promise<Uint8Array> {
    const waiting = Promise.withResolvers<Uint8Array>()
    const arrived = this.#frames.shift()
    if (arrived !== undefined) return arrived
    if (this.#ended !== null) throw new Error(`${what}: ${this.#ended.message}`)
    this.#waiting.push(waiting)
    const timer = setTimeout(() => waiting.reject(new Error(`${what}: no answer within ${this.#answerMs} ms`)), this.#answerMs)
    try {
      return await waiting.promise
    } finally {
      clearTimeout(timer)
    }
  }

  /** Resolves when the other side closes. Rejects when it answers instead, or does neither in time. */
  async closed(): Promise<void> {
    if (this.#ended === null) {
      const answer = await this.frame('a close').catch(() => null)
      if (answer !== null) throw new Error(`answered with ${answer.length} bytes where a close was expected: ${Buffer.from(answer).toString('hex', 0, 64)}`)
    }
    if (this.#frames.length > 0) throw new Error(`${this.#frames.length} answers before the close`)
    if (this.#ended === null) throw new Error('the connection is still open')
  }

  /** Takes nothing from the network any more, until `resume`. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  get isOpen(): boolean {
    return this.#ended === null
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(data: Buffer): void {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data])
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0)
      if (this.#received.length < end) return
      const frame = this.#received.subarray(4, end)
      this.#received = this.#received.subarray(end)
      const waiting = this.#waiting.shift()
      if (waiting === undefined) this.#frames.push(frame)
      else waiting.resolve(frame)
    }
  }

  #end(): void {
    this.#ended ??= new Error('the connection was closed')
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#ended)
  }
}
