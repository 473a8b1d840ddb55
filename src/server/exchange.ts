/** One request on its way to its answer: the place in the order of its connection, and the context that the handler sees. */
import { BatchMemory } from '../../storage/partition/batch-memory.ts'
import type { RequestContext } from '../api/handler.ts'
import type { Broker } from '../broker.ts'
import { slackBytesMax } from './frame-assembler.ts'

/** Frames below this are not worth the counting. */
const memoryBytesMin = 16 * 1024

/** What an exchange needs of its connection. */
export interface ExchangeOwner {
  readonly clientHost: string
  readonly connectionId: string
  readonly clientSoftware: { name: string; version: string }
  readonly signal: AbortSignal
  /** The exchange has its answer; it is sent when those before it are. */
  answered(exchange: Exchange): void
}

export class Exchange implements RequestContext {
  readonly #owner: ExchangeOwner
  readonly broker: Broker
  /** Bytes of the frame and its length. */
  readonly requestBytes: number
  apiVersion = -1
  apiName = 'unknown'
  clientId: string | null = null
  /** Undefined until the answer is there; null when nothing is sent. */
  answer: readonly Uint8Array[] | null | undefined = undefined
  /** What of the answer is in the memory budget, from when it is there until it is sent. */
  answerBytes = 0
  memory: BatchMemory | null = null
  /** To be called when the answer has left; null where nobody asked. */
  sent: (() => void) | null = null
  /** One of an API of which the connection works on one request at a time. */
  oneAtATime = false
  /** The connection ends after this answer. */
  closing = false
  /** Why it ends, for the log; empty when the handler asked for it. */
  closeReason = ''
  /** Its frame was received with the overdraft of the memory budget, which goes back when the answer is sent. */
  overdraft = false
  /** The connection ended before its turn; the answer goes nowhere. */
  dropped = false

  constructor(owner: ExchangeOwner, broker: Broker, requestBytes: number) {
    this.#owner = owner
    this.broker = broker
    this.requestBytes = requestBytes
  }

  get clientHost(): string {
    return this.#owner.clientHost
  }

  get connectionId(): string {
    return this.#owner.connectionId
  }

  get clientSoftware(): { name: string; version: string } {
    return this.#owner.clientSoftware
  }

  get signal(): AbortSignal {
    return this.#owner.signal
  }

  closeConnection(): void {
    this.closing = true
  }

  whenSent(callback: () => void): void {
    this.sent = callback
  }

  /** `frame` holds record batches: its memory, where it has one of its own, goes back when nobody needs them any more. */
  ownMemory(frame: Uint8Array): void {
    const { buffer } = frame
    if (frame.length < memoryBytesMin || !(buffer instanceof ArrayBuffer) || buffer.byteLength - frame.length > slackBytesMax) return
    this.memory = new BatchMemory(buffer)
  }

  /** Settles the exchange. A second answer is ignored: the first is on its way. */
  finish(answer: readonly Uint8Array[] | null): void {
    if (this.answer !== undefined) return
    this.answer = answer
    this.memory?.release()
    this.memory = null
    this.#owner.answered(this)
  }

  /** Nothing sensible can be said: what came before is answered, then the connection ends. */
  abandon(reason: string): void {
    this.closing = true
    this.closeReason = reason
    this.finish(null)
  }
}
