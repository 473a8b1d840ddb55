/** A TCP proxy between a client and a broker that loses answers: the broker has done what it was asked, and the client does not know. */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

export class Proxy {
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #target = 0
  #losing: number | null = null
  /** How many connections ended because their answer was to be lost. */
  lost = 0

  private constructor() {
    this.#server = createServer((client) => this.#serve(client))
  }

  static async start(): Promise<Proxy> {
    const proxy = new Proxy()
    await new Promise<void>((done) => proxy.#server.listen(0, '127.0.0.1', done))
    return proxy
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** @param address of the broker, `host:port` */
  forwardTo(address: string): void {
    this.#target = Number(address.split(':').at(-1))
  }

  /** The next request with this API key reaches the broker; its answer does not reach the client, whose connection is reset. */
  loseAnswerTo(apiKey: number): void {
    this.#losing = apiKey
  }

  /** Resets every connection. */
  reset(): void {
    for (const [client, upstream] of this.#pairs) {
      client.resetAndDestroy()
      upstream.destroy()
    }
  }

  async close(): Promise<void> {
    this.reset()
    await new Promise((done) => this.#server.close(done))
  }

  #serve(client: Socket): void {
    const upstream = connect(this.#target, '127.0.0.1')
    const pair = [client, upstream] as const
    this.#pairs.add(pair)
    let losing = false
    let pending = Buffer.alloc(0)
    client.on('data', (chunk) => {
      upstream.write(chunk)
      // Frames: a length, then the API key.
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 6) {
        if (pending.readInt16BE(4) === this.#losing) {
          this.#losing = null
          losing = true
        }
        const end = 4 + pending.readInt32BE(0)
        if (pending.length < end) break
        pending = pending.subarray(end)
      }
    })
    upstream.on('data', (chunk) => {
      if (!losing) return void client.write(chunk)
      this.lost++
      client.resetAndDestroy()
      upstream.destroy()
    })
    const end = (): void => {
      this.#pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of pair) socket.on('error', end).on('close', end)
  }
}
