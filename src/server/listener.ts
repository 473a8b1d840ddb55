/**
 * A bound port. It is bound before the broker recovers, so that a port in use stops the start before anything is taken over; clients that
 * connect meanwhile wait until there is somebody to serve them.
 */
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Address } from '../config/setting.ts'

/** Connections that the kernel may hold until they are accepted. */
const backlog = 4096
/** Connections that wait here while nobody serves; more are closed. */
const waitingMax = 1000

export class Listener {
  /** With the real port. */
  readonly address: Address
  readonly #server: Server
  readonly #waiting = new Set<Socket>()
  #serve: ((socket: Socket) => void) | null = null

  private constructor(server: Server, address: Address) {
    this.#server = server
    this.address = address
    server.on('connection', (socket: Socket) => this.#accept(socket))
  }

  /** Rejects with the system's error (EADDRINUSE, EACCES, ENOTFOUND …). */
  static bind({ host, port }: Address): Promise<Listener> {
    return new Promise((resolve, reject) => {
      // Sockets arrive paused: nothing is read before somebody serves them.
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
      server.once('error', reject)
      server.listen({ host, port, backlog }, () => {
        server.off('error', reject)
        resolve(new Listener(server, { host, port: (server.address() as AddressInfo).port }))
      })
    })
  }

  /** Gives `serve` the sockets that wait and all that come; `failed` hears of errors of accepting (no file descriptors left). */
  serve(serve: (socket: Socket) => void, failed: (error: Error) => void): void {
    this.#serve = serve
    this.#server.on('error', failed)
    for (const socket of this.#waiting) {
      socket.removeAllListeners('error')
      serve(socket)
    }
    this.#waiting.clear()
  }

  /** Accepts no more. Connections that are served stay. */
  close(): void {
    this.#server.close()
    for (const socket of this.#waiting) socket.destroy()
    this.#waiting.clear()
  }

  #accept(socket: Socket): void {
    if (this.#serve !== null) return this.#serve(socket)
    if (this.#waiting.size >= waitingMax) {
      socket.destroy()
      return
    }
    this.#waiting.add(socket)
    socket.on('error', () => {
      this.#waiting.delete(socket)
      socket.destroy()
    })
  }
}
