/**
 * One client. Requests are started as they arrive and answered in order, so that a produce which waits for its PUT does not hold up
 * the next one. Reading stops while too many requests are in flight, while the client does not take its answers, and while the
 * memory budget of all connections is used up (P8).
 */
import { setMaxListeners } from 'node:events'
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../storage/env.ts'
import type { Logger, RateLimiter } from '../logging.ts'
import { untakenBytes, withDirectReads } from './direct-reads.ts'
import type { Dispatcher } from './dispatch.ts'
import { Exchange } from './exchange.ts'
import type { ExchangeOwner } from './exchange.ts'
import { FrameAssembler, FrameLengthError } from './frame-assembler.ts'
import type { BudgetMember, MemoryBudget } from './memory-budget.ts'
import { explainPrefix } from './not-kafka.ts'

/** What one connection may do; see the settings of the same names. */
export interface ConnectionLimits {
  readonly frameBytesMax: number
  readonly inflightMax: number
  readonly idleMs: number
}

export interface ConnectionDeps {
  readonly limits: ConnectionLimits
  readonly dispatcher: Dispatcher
  readonly budget: MemoryBudget
  readonly clock: Clock
  readonly log: Logger
  readonly logLimiter: RateLimiter
  closed(connection: Connection, reason: string): void
}

/** Unsent answers beyond which no more requests are read. */
const unsentBytesMax = 1024 * 1024
/** One write to the socket: what a consumer asks for at once goes out in one, without a turn of ours between its pieces. */
const writeBytesMax = 8 * 1024 * 1024
const writeChunksMax = 512
/** How long a connection that ends waits for its client to take the last answer and to close. */
const lingerMs = 2000
/** Where connections read what is no rest of a large frame; each empties it before the next one reads. */
const scratch = Buffer.allocUnsafeSlow(64 * 1024)
/** The reason of every signal; one for all, because an error with a stack per connection would cost more than it tells. */
const connectionOver = new Error('the connection is closed or closing')

export class Connection implements ExchangeOwner, BudgetMember {
  readonly ip: string
  readonly clientHost: string
  readonly connectionId: string
  readonly clientSoftware = { name: '', version: '' }
  readonly #socket: Socket
  readonly #deps: ConnectionDeps
  readonly #frames: FrameAssembler
  /** Requests without an answer on its way, oldest first. */
  readonly #pipeline: Exchange[] = []
  /** Those of them that are to be worked on one at a time and are not yet, with their frames, oldest first. */
  readonly #held: { readonly exchange: Exchange; readonly frame: Buffer; readonly startedMs: number }[] = []
  /** One that is worked on. */
  #oneAtATime: Exchange | null = null
  /** Answers that the socket has not been given, in order, from `#unsentAt` on. */
  #unsent: Uint8Array[] = []
  #unsentAt = 0
  #unsentBytes = 0
  /** Bytes that were queued and that were sent since the connection was opened, and who wants to know when so many were. */
  #queuedTotal = 0
  #sentTotal = 0
  #awaitingSent: { readonly total: number; readonly callback: () => void }[] = []
  #writing = false
  #sendScheduled = false
  #parsing = false
  #paused = false
  /** `open`; `ending`: no more requests, what is in flight is answered; `lingering`: all is sent, the client may close; `closed`. */
  #state: 'open' | 'ending' | 'lingering' | 'closed' = 'open'
  #closeReason = ''
  /** A request of the pipeline will end the connection: nothing behind it is looked at. */
  #over = false
  #overdraftSpent = false
  #waitingForBudget = false
  #heldBytes = 0
  #movedBytes = 0
  /** Of the write that is under way. */
  #writingBytes = 0
  #overdraftAnswered = false
  #activeMs: number
  #aborter: AbortController | null = null
  #lingerTimer: Timer | null = null

  constructor(socket: Socket, ip: string, id: number, deps: ConnectionDeps) {
    this.ip = ip
    this.#deps = deps
    this.#frames = new FrameAssembler(deps.limits.frameBytesMax)
    const direct = withDirectReads(socket, {
      space: () => this.#frames.space() ?? scratch,
      received: (bytes, space) => this.#receivedInto(bytes, space),
    })
    this.#socket = direct ?? socket
    this.clientHost = `/${ip.replace(/^::ffff:/, '')}`
    this.connectionId = `${this.#socket.localAddress}:${this.#socket.localPort}-${ip}:${this.#socket.remotePort}-${id}`
    this.#activeMs = deps.clock.monotonic()
    deps.budget.join(this)
    this.#socket.setNoDelay(true)
    this.#socket.setKeepAlive(true, 60_000)
    if (direct === null) socket.on('data', chunk => this.#received(chunk))
    this.#socket.on('end', () => this.end('closed by the client'))
    this.#socket.on('error', error => this.destroy(error.message))
    this.#socket.on('close', () => this.destroy('closed by the client'))
    this.#socket.resume()
  }

  get signal(): AbortSignal {
    if (this.#aborter === null) {
      this.#aborter = new AbortController()
      setMaxListeners(0, this.#aborter.signal)
      if (this.#state !== 'open') this.#aborter.abort(connectionOver)
    }
    return this.#aborter.signal
  }

  get unfinishedBytes(): number {
    return this.#frames.pendingBytes
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  get movedBytes(): number {
    return this.#movedBytes + this.#writingBytes - untakenBytes(this.#socket, this.#writingBytes)
  }

  get waitsForClient(): boolean {
    return this.#unsentBytes > 0 || this.#writing || (!this.#paused && this.#frames.pendingBytes > 0)
  }

  /** Nothing asked and nothing owed for longer than `idleMs`, or a request or answer that does not get on. */
  isIdle(nowMs: number): boolean {
    return this.#pipeline.length === 0 && nowMs - this.#activeMs > this.#deps.limits.idleMs
  }

  /** No more requests are taken; waiting handlers are told by the signal; the answers in flight are sent, then the connection closes. */
  end(reason: string): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.#closeReason ||= reason
    this.#forgetFrames()
    this.#waitingForBudget = false
    this.#deps.budget.withdraw(this, this.#overdraftSpent)
    this.#aborter?.abort(connectionOver)
    // Their handlers see by the signal that there is nothing to wait for.
    for (const { exchange, frame, startedMs } of this.#held.splice(0)) this.#deps.dispatcher.dispatch(frame, exchange, startedMs)
    // What still arrives is read and dropped: unread bytes would turn the close into a reset, and the client might lose its last answers.
    this.#resumeSocket()
    this.#endWhenSent()
  }

  /** Closes at once. Answers that are still worked on go nowhere. */
  destroy(reason: string): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#lingerTimer?.cancel()
    this.#deps.budget.leave(this)
    this.#forgetFrames()
    this.#dropHeld()
    this.#dropAnswered()
    const unsent = this.#unsentBytes
    this.#unsent = []
    this.#unsentAt = 0
    this.#unsentBytes = 0
    this.#awaitingSent = []
    this.#release(unsent)
    this.#aborter?.abort(connectionOver)
    this.#socket.destroy()
    this.#deps.closed(this, this.#closeReason || reason)
  }

  evict(): void {
    this.#complain('evicted', { held: this.#heldBytes }, 'memory for requests is short and this client hardly moves what is held for it: closed')
    this.destroy('too slow while memory is short')
  }

  budgetAvailable(): void {
    this.#waitingForBudget = false
    this.#proceed()
  }

  answered(exchange: Exchange): void {
    if (exchange === this.#oneAtATime) this.#oneAtATime = null
    if (this.#state === 'closed' || exchange.dropped) {
      this.#release(exchange.requestBytes)
      return
    }
    // From now on it takes memory, also where it waits for the answers before it.
    for (const chunk of exchange.answer ?? []) exchange.answerBytes += chunk.length
    this.#acquire(exchange.answerBytes)
    for (let next = this.#pipeline[0]; next?.answer !== undefined; next = this.#pipeline[0]) {
      this.#pipeline.shift()
      this.#queue(next)
      if (!next.closing) continue
      // Requests behind one that ends the connection get no answer.
      this.#dropHeld()
      this.#dropAnswered()
      for (const behind of this.#pipeline.splice(0)) behind.dropped = true
      if (this.#state === 'open') this.end(next.closeReason || 'asked by the handler')
      else this.#endWhenSent()
      return
    }
    this.#scheduleSend()
    if (this.#state === 'ending') this.#endWhenSent()
    else if (!this.#parsing) this.#proceed()
  }

  #received(chunk: Buffer): void {
    this.#movedBytes += chunk.length
    if (this.#state !== 'open' || this.#over) return
    this.#acquire(chunk.length)
    this.#frames.push(chunk)
    this.#proceed()
  }

  /** As `#received`, for bytes that were read into `scratch` or into the frame in progress. */
  #receivedInto(bytes: number, space: Uint8Array): void {
    this.#movedBytes += bytes
    if (this.#state !== 'open') return
    this.#acquire(bytes)
    if (space === scratch) this.#frames.push(scratch.subarray(0, bytes), true)
    else this.#frames.written(bytes)
    this.#proceed()
    this.#frames.keep()
  }

  /** Starts the requests that are there, as far as the limits allow, and reads on or stops reading. */
  #proceed(): void {
    if (this.#state !== 'open' || this.#parsing || this.#waitingForBudget) return
    this.#parsing = true
    this.#startHeld()
    try {
      while (this.#state === 'open' && !this.#over && this.#mayStart()) {
        const frame = this.#frames.next()
        if (frame === null) break
        this.#start(frame)
      }
    } catch (error) {
      this.#broken(error)
    }
    this.#parsing = false
    if (this.#unsentBytes > 0) this.send()
    else this.#returnOverdraft()
    if (this.#state !== 'open') return
    if (this.#over) this.#forgetFrames()
    if (this.#over || this.#mayStart()) {
      this.#resumeSocket()
      return
    }
    if (!this.#paused) {
      this.#paused = true
      this.#socket.pause()
    }
    if (!this.#budgetAllows()) {
      this.#waitingForBudget = true
      this.#deps.budget.wait(this)
    }
  }

  #mayStart(): boolean {
    return this.#pipeline.length < this.#deps.limits.inflightMax && this.#unsentBytes < unsentBytesMax && this.#budgetAllows()
  }

  #budgetAllows(): boolean {
    const { budget } = this.#deps
    return !budget.exhausted || (budget.hasOverdraft(this) && !this.#overdraftSpent)
  }

  #start(frame: Buffer): void {
    const { dispatcher, budget, clock } = this.#deps
    this.#activeMs = clock.monotonic()
    const exchange = new Exchange(this, dispatcher.broker, frame.length + 4)
    if (budget.hasOverdraft(this)) {
      exchange.overdraft = true
      this.#overdraftSpent = true
    }
    this.#pipeline.push(exchange)
    if (dispatcher.isOneAtATime(frame)) {
      exchange.oneAtATime = true
      if (this.#oneAtATime !== null || this.#held.length > 0) {
        this.#held.push({ exchange, frame, startedMs: this.#activeMs })
        return
      }
      this.#oneAtATime = exchange
    }
    dispatcher.dispatch(frame, exchange, this.#activeMs)
    if (exchange.closing) this.#over = true
  }

  /** The next of those that are worked on one at a time, once the answer of the one before is nearly sent. */
  #startHeld(): void {
    while (this.#held.length > 0 && this.#oneAtATime === null && this.#unsentBytes < unsentBytesMax && this.#budgetAllows()) {
      const { exchange, frame, startedMs } = this.#held.shift()!
      this.#oneAtATime = exchange
      this.#deps.dispatcher.dispatch(frame, exchange, startedMs)
    }
  }

  /** The stream cannot be cut into frames any more: what came before is answered, then the connection closes. */
  #broken(error: unknown): void {
    const exchange = new Exchange(this, this.#deps.dispatcher.broker, 0)
    this.#pipeline.push(exchange)
    this.#over = true
    if (!(error instanceof FrameLengthError)) {
      this.#deps.log.error({ err: error, client: this.clientHost }, 'reading a connection failed')
      exchange.abandon('internal error')
      return
    }
    const explanation = explainPrefix(error.prefix)
    this.#complain(explanation?.kind ?? 'frame-length', { cause: error.message }, explanation?.message ?? 'not a request of the Kafka protocol: closed')
    exchange.abandon(explanation?.kind ?? 'bad frame length')
  }

  #complain(kind: string, fields: object, message: string): void {
    const admitted = this.#deps.logLimiter.admit(`${kind} ${this.clientHost}`)
    if (admitted === null) return
    const more = admitted.suppressed > 0 ? { suppressed: admitted.suppressed } : {}
    this.#deps.log.warn({ client: this.clientHost, connection: this.connectionId, ...fields, ...more }, message)
  }

  /** Hands the answer over to the socket's queue; the memory of the request is free. */
  #queue(exchange: Exchange): void {
    const { answer } = exchange
    if (answer !== null && answer !== undefined) {
      for (const chunk of answer) {
        if (chunk.length === 0) continue
        this.#unsent.push(chunk)
      }
    }
    this.#unsentBytes += exchange.answerBytes
    this.#queuedTotal += exchange.answerBytes
    if (exchange.sent !== null) this.#awaitingSent.push({ total: this.#queuedTotal, callback: exchange.sent })
    if (exchange.overdraft) this.#overdraftAnswered = true
    this.#release(exchange.requestBytes)
  }

  /** Requests that nobody will work on. */
  #dropHeld(): void {
    for (const { exchange } of this.#held.splice(0)) this.#release(exchange.requestBytes)
  }

  /** Requests that have an answer which will not be sent. Those without one give their memory back when they have it. */
  #dropAnswered(): void {
    const answered = this.#pipeline.filter(exchange => exchange.answer !== undefined)
    if (answered.length === 0) return
    const waiting = this.#pipeline.filter(exchange => exchange.answer === undefined)
    this.#pipeline.splice(0, this.#pipeline.length, ...waiting)
    for (const exchange of answered) this.#release(exchange.requestBytes + exchange.answerBytes)
  }

  #forgetFrames(): void {
    const bytes = this.#frames.pendingBytes
    this.#frames.clear()
    this.#release(bytes)
  }

  /** Answers of one turn of the loop go out together. */
  #scheduleSend(): void {
    if (this.#sendScheduled || this.#writing || this.#parsing) return
    if (this.#unsentBytes === 0) {
      this.#returnOverdraft()
      return
    }
    this.#sendScheduled = true
    process.nextTick(sendNow, this)
  }

  /** For `sendNow` alone. */
  send(): void {
    this.#sendScheduled = false
    if (this.#state === 'closed' || this.#writing || this.#unsentBytes === 0) return
    const chunks = this.#takeUnsent()
    let bytes = 0
    for (const chunk of chunks) bytes += chunk.length
    this.#writing = true
    this.#writingBytes = bytes
    // After an error the socket closes; what it had been given counts as never sent.
    const done = (error?: Error | null): void => {
      if (error === undefined || error === null) this.#sent(bytes)
    }
    const last = chunks.length - 1
    if (last === 0) {
      this.#socket.write(chunks[0]!, done)
      return
    }
    this.#socket.cork()
    for (let i = 0; i < last; i++) this.#socket.write(chunks[i]!)
    this.#socket.write(chunks[last]!, done)
    this.#socket.uncork()
  }

  /** The next piece of the answers; `#unsentBytes` counts it until it is sent. */
  #takeUnsent(): readonly Uint8Array[] {
    const taken: Uint8Array[] = []
    let room = writeBytesMax
    while (this.#unsentAt < this.#unsent.length && taken.length < writeChunksMax) {
      const chunk = this.#unsent[this.#unsentAt]!
      if (chunk.length > room) {
        if (taken.length > 0 && room < writeBytesMax / 2) break
        taken.push(chunk.subarray(0, room))
        this.#unsent[this.#unsentAt] = chunk.subarray(room)
        break
      }
      taken.push(chunk)
      this.#unsentAt++
      room -= chunk.length
      if (room === 0) break
    }
    if (this.#unsentAt === this.#unsent.length) {
      this.#unsent = []
      this.#unsentAt = 0
    }
    return taken
  }

  #sent(bytes: number): void {
    this.#writing = false
    this.#writingBytes = 0
    if (this.#state === 'closed') return
    this.#movedBytes += bytes
    this.#activeMs = this.#deps.clock.monotonic()
    this.#unsentBytes -= bytes
    this.#sentTotal += bytes
    while (this.#awaitingSent.length > 0 && this.#awaitingSent[0]!.total <= this.#sentTotal) this.#awaitingSent.shift()!.callback()
    this.#release(bytes)
    if (this.#unsentBytes === 0) this.#returnOverdraft()
    else this.send()
    if (this.#state === 'ending') this.#endWhenSent()
    else if (this.#paused) this.#proceed()
  }

  #returnOverdraft(): void {
    if (!this.#overdraftAnswered) return
    this.#overdraftAnswered = false
    this.#overdraftSpent = false
    this.#deps.budget.returnOverdraft(this)
  }

  #endWhenSent(): void {
    if (this.#state !== 'ending' || this.#pipeline.length > 0) return
    if (this.#unsentBytes > 0) {
      this.#scheduleSend()
      return
    }
    this.#state = 'lingering'
    this.#socket.end()
    this.#lingerTimer = this.#deps.clock.schedule(lingerMs, () => this.destroy(this.#closeReason))
  }

  #resumeSocket(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
  }

  #acquire(bytes: number): void {
    this.#heldBytes += bytes
    this.#deps.budget.acquire(bytes)
  }

  #release(bytes: number): void {
    if (bytes === 0) return
    this.#heldBytes -= bytes
    this.#deps.budget.release(bytes)
  }
}

function sendNow(connection: Connection): void {
  connection.send()
}
