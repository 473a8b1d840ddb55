/** The connections of the broker: accepts them within the limits, closes idle ones, and stops in an orderly way. */
import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../storage/env.ts'
import type { Config } from '../config/settings.ts'
import type { Address } from '../config/setting.ts'
import type { Logger, RateLimiter } from '../logging.ts'
import { Connection } from './connection.ts'
import type { ConnectionDeps, ConnectionLimits } from './connection.ts'
import type { Dispatcher } from './dispatch.ts'
import { Listener } from './listener.ts'
import { MemoryBudget } from './memory-budget.ts'

export interface ServerLimits extends ConnectionLimits {
  readonly connectionsMax: number
  readonly connectionsPerIpMax: number
  readonly budgetBytes: number
}

/** Told of connections as they come and go; see src/metrics. */
export interface ConnectionObserver {
  connectionOpened(): void
  connectionClosed(): void
  /** `reason` is one of few words, fit for a label. */
  connectionRefused(reason: 'limit' | 'limit per address'): void
}

export interface KafkaServerOptions {
  readonly limits: ServerLimits
  readonly dispatcher: Dispatcher
  readonly clock: Clock
  readonly log: Logger
  readonly logLimiter: RateLimiter
  readonly observer: ConnectionObserver
}

const idleSweepMsMax = 10_000

export function serverLimits(config: Config): ServerLimits {
  return {
    frameBytesMax: config['socket.request.max.bytes'],
    inflightMax: config['connection.inflight.max'],
    idleMs: config['connections.max.idle.ms'],
    connectionsMax: config['max.connections'],
    connectionsPerIpMax: config['max.connections.per.ip'],
    budgetBytes: config['queued.max.request.bytes'],
  }
}

export class KafkaServer {
  readonly budget: MemoryBudget
  readonly #options: KafkaServerOptions
  readonly #connections = new Set<Connection>()
  readonly #perIp = new Map<string, number>()
  readonly #deps: ConnectionDeps
  readonly #listeners: Listener[] = []
  #nextId = 0
  #sweeper: Timer | null = null
  #onEmpty: (() => void) | null = null
  #stopping = false

  constructor(options: KafkaServerOptions) {
    this.#options = options
    const { limits, dispatcher, clock, log, logLimiter } = options
    this.budget = new MemoryBudget(limits.budgetBytes, clock)
    this.#deps = { limits, dispatcher, budget: this.budget, clock, log, logLimiter, closed: (...args) => this.#closed(...args) }
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Serves the clients of a listener, which may be one of several; the server closes it when it stops. */
  serve(listener: Listener): void {
    const { log, logLimiter } = this.#options
    this.#listeners.push(listener)
    if (this.#sweeper === null) this.#scheduleSweep()
    listener.serve(
      socket => this.#accept(socket),
      error => {
        if (logLimiter.admit('accept') !== null) log.error({ err: error }, 'accepting connections failed')
      },
    )
  }

  /** Binds and serves; gives the address with the real port. Rejects with the system's error (EADDRINUSE, EACCES, ENOTFOUND …). */
  async listen(address: Address): Promise<Address> {
    const listener = await Listener.bind(address)
    this.serve(listener)
    return listener.address
  }

  /**
   * Accepts no more connections and reads no more requests, tells waiting handlers through their signals, and sends the answers that are in
   * flight. What is not done after `graceMs` is cut off.
   */
  async stop(graceMs: number): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    this.#sweeper?.cancel()
    for (const listener of this.#listeners) listener.close()
    for (const connection of this.#connections) connection.end('the broker stops')
    if (this.#connections.size === 0) return
    await new Promise<void>(resolve => {
      const timer = this.#options.clock.schedule(graceMs, () => {
        for (const connection of this.#connections) connection.destroy('the broker stops')
      })
      this.#onEmpty = () => {
        timer.cancel()
        resolve()
      }
    })
  }

  #accept(socket: Socket): void {
    const { limits, log, logLimiter, observer } = this.#options
    const ip = socket.remoteAddress
    // Gone before it was accepted.
    if (ip === undefined || this.#stopping) {
      socket.destroy()
      return
    }
    const fromIp = this.#perIp.get(ip) ?? 0
    const refused =
      this.#connections.size >= limits.connectionsMax ? 'limit' : fromIp >= limits.connectionsPerIpMax ? 'limit per address' : null
    if (refused !== null) {
      observer.connectionRefused(refused)
      const setting = refused === 'limit' ? 'max.connections' : 'max.connections.per.ip'
      const admitted = logLimiter.admit(`${refused} ${ip}`)
      if (admitted !== null) log.warn({ client: `/${ip}`, setting, ...admitted }, 'too many connections: refused')
      socket.on('error', () => socket.destroy())
      socket.destroy()
      return
    }
    this.#perIp.set(ip, fromIp + 1)
    observer.connectionOpened()
    const connection = new Connection(socket, ip, this.#nextId++, this.#deps)
    this.#connections.add(connection)
    log.debug({ connection: connection.connectionId }, 'connection opened')
  }

  #closed(connection: Connection, reason: string): void {
    if (!this.#connections.delete(connection)) return
    const left = (this.#perIp.get(connection.ip) ?? 1) - 1
    if (left === 0) this.#perIp.delete(connection.ip)
    else this.#perIp.set(connection.ip, left)
    this.#options.observer.connectionClosed()
    this.#options.log.debug({ connection: connection.connectionId, reason }, 'connection closed')
    if (this.#connections.size === 0) this.#onEmpty?.()
  }

  #scheduleSweep(): void {
    const { clock, limits } = this.#options
    this.#sweeper = clock.schedule(Math.min(idleSweepMsMax, limits.idleMs / 4), () => {
      const now = clock.monotonic()
      for (const connection of this.#connections) {
        if (connection.isIdle(now)) connection.destroy('idle')
      }
      if (!this.#stopping) this.#scheduleSweep()
    })
  }
}
