/**
 * From the bytes of a request to the bytes of its answer: header, version check, decoding, the handler, encoding. Whatever happens here,
 * the exchange is settled exactly once and nothing is thrown (P9): an unexpected failure is logged and becomes an error code.
 */
import { KafkaError } from '../../protocol/errors.ts'
import { decodeRequestHeader, encodeResponseFrame } from '../../protocol/messages/header.ts'
import type { RequestHeader } from '../../protocol/messages/header.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import type { AnyApi } from '../../protocol/schema/api.ts'
import type { Clock } from '../../storage/env.ts'
import { StoreError } from '../../storage/objects/object-store.ts'
import type { RequestContext } from '../api/handler.ts'
import type { Broker } from '../broker.ts'
import type { Logger, RateLimiter } from '../logging.ts'
import type { Exchange } from './exchange.ts'
import { compileFirstError } from './response-errors.ts'
import type { FirstError } from './response-errors.ts'

/** What dispatch needs of a handler; every `Handler` of src/api is one. */
export interface RegisteredHandler {
  readonly api: AnyApi
  readonly versions: readonly [first: number, last: number]
  readonly oneAtATime?: boolean
  handle(request: unknown, context: RequestContext): unknown
  onError?(request: unknown, errorCode: number, context: RequestContext): unknown
}

/** Told of every answered request; see src/metrics. */
export interface RequestObserver {
  /** `errorCode` is the first that the answer carries, or 0. Bytes are those of the frames. */
  request(api: string, errorCode: number, seconds: number, requestBytes: number, responseBytes: number): void
}

/** Stands between dispatch and a handler: answers itself, or changes what `next` answers, or delays it. */
export type Interceptor = (request: unknown, context: RequestContext, next: () => unknown) => unknown

export interface DispatcherOptions {
  readonly handlers: readonly RegisteredHandler[]
  readonly broker: Broker
  readonly clock: Clock
  readonly log: Logger
  readonly logLimiter: RateLimiter
  readonly observer: RequestObserver
}

interface Entry {
  readonly handler: RegisteredHandler
  readonly firstError: FirstError
}

const apiVersionsKey = ApiVersions.key
const produceKey = Produce.key

export class Dispatcher {
  readonly broker: Broker
  readonly #options: DispatcherOptions
  readonly #entries: Entry[] = []
  readonly #interceptors = new Map<number, Interceptor>()

  constructor(options: DispatcherOptions) {
    this.broker = options.broker
    this.#options = options
    for (const handler of options.handlers) {
      const { key, name } = handler.api
      if (this.#entries[key] !== undefined) throw new Error(`two handlers for ${name}`)
      this.#entries[key] = { handler, firstError: compileFirstError(handler.api.response) }
    }
  }

  /** For tests: `interceptor` sees every request of this API until the function that is returned is called. */
  intercept(apiKey: number, interceptor: Interceptor): () => void {
    this.#interceptors.set(apiKey, interceptor)
    return () => {
      if (this.#interceptors.get(apiKey) === interceptor) this.#interceptors.delete(apiKey)
    }
  }

  /** Whether the request in this frame is of an API of which a connection has one at a time. */
  isOneAtATime(frame: Uint8Array): boolean {
    return this.#entries[(frame[0]! << 8) | frame[1]!]?.handler.oneAtATime === true
  }

  /** Settles the exchange, now or later. `startedMs` is on the monotonic clock. */
  dispatch(frame: Uint8Array, exchange: Exchange, startedMs: number): void {
    let header: RequestHeader
    try {
      header = decodeRequestHeader(frame)
    } catch (error) {
      return this.#refuse(exchange, 'malformed header', error)
    }
    const { apiKey, apiVersion, correlationId, clientId, bodyOffset } = header
    exchange.clientId = clientId
    exchange.apiVersion = apiVersion
    const entry = this.#entries[apiKey]
    if (entry === undefined) return this.#refuse(exchange, `unknown API key ${apiKey}`)
    const { handler } = entry
    const { api } = handler
    exchange.apiName = api.name
    if (apiKey === produceKey) exchange.ownMemory(frame)
    const call: Call = { exchange, entry, correlationId, startedMs, request: undefined }
    const [first, last] = handler.versions
    const supported = apiVersion >= first && apiVersion <= last
    if (!supported && apiKey === apiVersionsKey) return this.#downgrade(call)
    if (!supported && !(apiVersion >= api.versions[0] && apiVersion <= api.versions[1])) {
      return this.#refuse(exchange, `unsupported version ${apiVersion}`)
    }
    try {
      call.request = api.decodeRequest(apiVersion, frame.subarray(bodyOffset))
    } catch (error) {
      return this.#refuse(exchange, 'malformed body', error)
    }
    if (!supported) return this.#answerError(call, KafkaError.UNSUPPORTED_VERSION, `unsupported version ${apiVersion}`)
    this.#call(call)
  }

  #call(call: Call): void {
    const { handler } = call.entry
    let answer: unknown
    try {
      const interceptor = this.#interceptors.size === 0 ? undefined : this.#interceptors.get(handler.api.key)
      answer =
        interceptor === undefined
          ? handler.handle(call.request, call.exchange)
          : interceptor(call.request, call.exchange, () => handler.handle(call.request, call.exchange))
    } catch (error) {
      return this.#failed(call, error)
    }
    if (isPromise(answer)) {
      answer.then(
        value => this.#answer(call, value),
        error => this.#failed(call, error),
      )
    } else {
      this.#answer(call, answer)
    }
  }

  #answer(call: Call, response: unknown): void {
    const { exchange, entry, correlationId } = call
    if (response === null || response === undefined) {
      this.#observe(call, 0, 0)
      return exchange.finish(null)
    }
    let chunks: Uint8Array[]
    try {
      chunks = encode(entry.handler.api, exchange.apiVersion, correlationId, response)
    } catch (error) {
      return this.#failed(call, error)
    }
    this.#observe(call, entry.firstError(response), byteLength(chunks))
    exchange.finish(chunks)
  }

  /** A handler threw or gave what cannot be encoded: a bug of ours, or trouble below. */
  #failed(call: Call, error: unknown): void {
    if (call.exchange.signal.aborted) return this.#answerError(call, KafkaError.UNKNOWN_SERVER_ERROR, 'the connection is closing')
    const { exchange } = call
    const storeTrouble = error instanceof StoreError && error.retriable
    this.#complain(exchange, 'error', `${exchange.apiName} ${String(error)}`, { err: error }, 'a request failed unexpectedly')
    this.#answerError(call, storeTrouble ? KafkaError.KAFKA_STORAGE_ERROR : KafkaError.UNKNOWN_SERVER_ERROR, 'internal error')
  }

  /** The answer of the API that carries this code; where it has none, the connection closes after what came before. */
  #answerError(call: Call, errorCode: number, reason: string): void {
    const { exchange, entry, correlationId, request } = call
    let chunks: Uint8Array[] | null = null
    try {
      const response = entry.handler.onError?.(request, errorCode, exchange)
      if (response !== null && response !== undefined) {
        chunks = encode(entry.handler.api, exchange.apiVersion, correlationId, response)
      }
    } catch (error) {
      this.#complain(exchange, 'error', `${exchange.apiName} onError`, { err: error }, 'the error answer failed as well')
    }
    this.#observe(call, errorCode, chunks === null ? 0 : byteLength(chunks))
    if (chunks === null) exchange.abandon(reason)
    else exchange.finish(chunks)
  }

  /** KIP-511: a version that is not known is answered in version 0, with the range of this one API, so that the client can ask again. */
  #downgrade(call: Call): void {
    const { exchange, entry, correlationId } = call
    const [minVersion, maxVersion] = entry.handler.versions
    const apiKeys = [{ apiKey: apiVersionsKey, minVersion, maxVersion }]
    const chunks = encodeResponseFrame(ApiVersions, 0, correlationId, { errorCode: KafkaError.UNSUPPORTED_VERSION, apiKeys })
    this.#observe(call, KafkaError.UNSUPPORTED_VERSION, byteLength(chunks))
    exchange.finish(chunks)
  }

  /** What cannot be answered, because not even the shape of an answer is known: the connection closes, as Kafka's does. */
  #refuse(exchange: Exchange, reason: string, error?: unknown): void {
    const cause = error === undefined ? {} : { cause: error instanceof Error ? error.message : 'unknown' }
    const { apiName, apiVersion } = exchange
    const fields = { api: apiName, version: apiVersion, reason, ...cause }
    this.#complain(exchange, 'warn', `${reason} ${apiName}`, fields, 'a request that cannot be answered: closed')
    exchange.abandon(reason)
  }

  #complain(exchange: Exchange, level: 'warn' | 'error', kind: string, fields: object, message: string): void {
    const admitted = this.#options.logLimiter.admit(`${kind} ${exchange.clientHost}`)
    if (admitted === null) return
    const more = admitted.suppressed > 0 ? { suppressed: admitted.suppressed } : {}
    const { clientHost, clientId, connectionId } = exchange
    this.#options.log[level]({ client: clientHost, clientId, connection: connectionId, ...fields, ...more }, message)
  }

  #observe({ exchange, startedMs }: Call, errorCode: number, responseBytes: number): void {
    const seconds = (this.#options.clock.monotonic() - startedMs) / 1000
    this.#options.observer.request(exchange.apiName, errorCode, seconds, exchange.requestBytes, responseBytes)
  }
}

interface Call {
  readonly exchange: Exchange
  readonly entry: Entry
  readonly correlationId: number
  readonly startedMs: number
  request: unknown
}

function encode(api: AnyApi, version: number, correlationId: number, response: unknown): Uint8Array[] {
  return encodeResponseFrame(api, version, correlationId, response as never)
}

function byteLength(chunks: readonly Uint8Array[]): number {
  let bytes = 0
  for (const chunk of chunks) bytes += chunk.length
  return bytes
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
