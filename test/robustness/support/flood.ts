/** Clients without manners: as many requests as the broker takes, and no mercy with its memory. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { once } from 'node:events'
import { encodeRequestFrame } from '../../../protocol/messages/header.ts'
import { Produce } from '../../../protocol/messages/00-produce.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'

export interface FloodOptions {
  readonly address: string
  readonly topic: string
  readonly partitions: number
  readonly acks: -1 | 0 | 1
  readonly valueBytes: number
  /** Requests without an answer at once; Infinity leaves it to TCP. */
  readonly inflight: number
  readonly timeoutMs?: number
}

/** One connection that produces without pause, in plain batches without idempotence. Connects again when it is cut off. */
export class Flood {
  readonly #options: FloodOptions
  readonly #frames: Buffer[]
  #socket: Socket | null = null
  #running = true
  #inflight = 0
  #received: Buffer = Buffer.alloc(0)
  sent = 0
  answered = 0
  /** Answers by their error code. */
  readonly codes = new Map<number, number>()
  disconnects = 0

  constructor(options: FloodOptions) {
    this.#options = options
    const { topic, partitions, acks, valueBytes, timeoutMs = 30_000 } = options
    this.#frames = Array.from({ length: partitions }, (_, index) => {
      const batch = encodeBatch({ baseOffset: 0, records: [{ timestamp: Date.now(), key: null, value: Buffer.alloc(valueBytes, 'x') }] })
      const request = { acks, timeoutMs, topicData: [{ name: topic, partitionData: [{ index, records: [batch] }] }] }
      return Buffer.concat(encodeRequestFrame(Produce, 7, { correlationId: 1, clientId: 'flood' }, request))
    })
  }

  async start(): Promise<this> {
    await this.#connect()
    return this
  }

  stop(): void {
    this.#running = false
    this.#socket?.destroy()
  }

  async #connect(): Promise<void> {
    const at = this.#options.address.lastIndexOf(':')
    const socket = connect(Number(this.#options.address.slice(at + 1)), this.#options.address.slice(0, at))
    this.#socket = socket
    this.#inflight = 0
    this.#received = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (!this.#running) return
      this.disconnects++
      setTimeout(() => void this.#connect().catch(() => undefined), 100)
    })
    await once(socket, 'connect')
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('drain', () => this.#push())
    this.#push()
  }

  #push(): void {
    const { acks, inflight } = this.#options
    while (this.#running && this.#socket?.writable === true && (acks === 0 || this.#inflight < inflight)) {
      this.sent++
      this.#inflight++
      if (!this.#socket.write(this.#frames[this.sent % this.#frames.length]!)) return
    }
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    while (this.#received.length >= 4 && this.#received.length >= 4 + this.#received.readInt32BE(0)) {
      const end = 4 + this.#received.readInt32BE(0)
      // Correlation id, one topic with its name, one partition: index, then the error code.
      const nameBytes = this.#received.readInt16BE(12)
      const code = this.#received.readInt16BE(14 + nameBytes + 4 + 4)
      this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
      this.answered++
      this.#inflight--
      this.#received = this.#received.subarray(end)
    }
    this.#push()
  }
}
