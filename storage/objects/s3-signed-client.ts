/**
 * The hot S3 requests: one object, one attempt, signed with AWS Signature Version 4 over undici. The SDK spends several times the CPU
 * on the same request (docs/adr), and its retries and stream wrappers are what a conditional write must not have.
 *
 * The payload is not part of the signature (`UNSIGNED-PAYLOAD`), so a body of many chunks goes out as it is.
 */
import { createHmac, createSecretKey, hash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createRequire } from 'node:module'
import type { Dispatcher, Pool } from 'undici'
import type { Clock, Timer } from '../env.ts'
import { bodyBytes, joinBody } from './keys.ts'

/** The pool alone: all of undici (fetch, web sockets, caches, mocks) takes 12 MB more, which a broker has no use for. */
const UndiciPool = createRequire(import.meta.url)('undici/lib/dispatcher/pool.js') as typeof Pool

export interface SignedClientOptions {
  /** `http://127.0.0.1:9000`, `https://bucket.s3.eu-central-1.amazonaws.com`. */
  readonly origin: string
  /** Before every key: `/bucket` in path style, empty with the bucket in the host. */
  readonly basePath: string
  readonly region: string
  /** Called for every request; caches and refreshes by itself. */
  readonly credentials: (options?: { forceRefresh: boolean }) => Promise<S3Credentials>
  readonly clock: Clock
  readonly connectionsMax: number
  /**
   * A request fails with {@link S3TimeoutError} when its answer has not begun by then, or when the answer has not ended that long after it
   * began; bodies get another second per MiB.
   */
  readonly deadlineMs: number
}

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export interface S3Request {
  readonly method: 'GET' | 'PUT' | 'HEAD'
  readonly key: string
  /** Names in lower case; `host`, `content-length` and `x-amz-*` are added. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: readonly Uint8Array[]
}

export interface S3Response {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Uint8Array
}

export class S3TimeoutError extends Error {
  override readonly name = 'S3TimeoutError'
}

/** Bodies up to this size are joined: one write of a small copy is cheaper than several writes. */
const joinBytesMax = 128 * 1024
/** In larger bodies, neighbours are joined until they have this size. */
const chunkBytesMin = 16 * 1024
/** Answers with a length up to this are received into one array. */
const answerBytesMax = 256 * 1024 * 1024

export class S3SignedClient {
  readonly #options: SignedClientOptions
  readonly #pool: Pool
  readonly #host: string
  #signingKey: { readonly scope: string; readonly secret: string; readonly key: KeyObject } | null = null
  /** How far the store's clock is ahead of ours. */
  #skewMs = 0
  #refresh = false

  constructor(options: SignedClientOptions) {
    this.#options = options
    this.#host = new URL(options.origin).host
    this.#pool = new UndiciPool(options.origin, {
      connections: options.connectionsMax,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: 10_000,
      // The deadline is ours: these would only add timers.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: options.deadlineMs },
    })
  }

  /** Sends one request once. Rejects with S3TimeoutError, what the credential provider throws, or undici's error for a broken connection. */
  async request(request: S3Request): Promise<S3Response> {
    const credentials = await this.#options.credentials(this.#refresh ? { forceRefresh: true } : undefined)
    this.#refresh = false
    const path = this.#options.basePath + encodeKey(request.key)
    const headers = this.#sign(request.method, path, credentials, request.headers ?? {})
    const bytes = bodyBytes(request.body ?? [])
    if (request.method === 'PUT') headers['content-length'] = String(bytes)
    const deadlineMs = this.#options.deadlineMs + bytes / 1024
    // Without `reset` undici ends the connection after every HEAD, for the sake of servers that answer it with a body.
    const options = { method: request.method, path, headers, body: bodyOf(request.body ?? [], bytes), reset: false }
    const response = await this.#dispatch(options, deadlineMs)
    if (response.status === 403) this.#learnFrom(response)
    return response
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  #dispatch(options: Dispatcher.DispatchOptions, deadlineMs: number): Promise<S3Response> {
    return new Promise((resolve, reject) => {
      let controller: Dispatcher.DispatchController | null = null
      let late: Error | null = null
      const limit = (ms: number): Timer =>
        this.#options.clock.schedule(ms, () => {
          late = new S3TimeoutError(`no answer within ${Math.round(ms)} ms`)
          // Without a controller the request waits for a connection; it is dropped when it gets one.
          controller?.abort(late)
          reject(late)
        })
      let timer = limit(deadlineMs)
      let status = 0
      let headers: S3Response['headers'] = {}
      let body: AnswerBody | null = null
      this.#pool.dispatch(options, {
        onRequestStart: (started) => {
          controller = started
          if (late !== null) started.abort(late)
        },
        onResponseStart: (_, statusCode, responseHeaders) => {
          status = statusCode
          headers = responseHeaders
          const length = options.method === 'HEAD' ? 0 : Number(responseHeaders['content-length'] ?? Number.NaN)
          body = new AnswerBody(length)
          timer.cancel()
          timer = limit(this.#options.deadlineMs + (length || 0) / 1024)
        },
        onResponseData: (_, chunk) => body?.add(chunk),
        onResponseEnd: () => {
          timer.cancel()
          resolve({ status, headers, body: body?.finish() ?? new Uint8Array(0) })
        },
        onResponseError: (_, error) => {
          timer.cancel()
          reject(error)
        },
      })
    })
  }

  #sign(
    method: string,
    path: string,
    credentials: S3Credentials,
    extra: Readonly<Record<string, string>>,
  ): Record<string, string> {
    const at = new Date(this.#options.clock.now() + this.#skewMs).toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
    const scope = `${at.slice(0, 8)}/${this.#options.region}/s3/aws4_request`
    const headers: Record<string, string> = {
      host: this.#host,
      ...extra,
      'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
      'x-amz-date': at,
      ...(credentials.sessionToken !== undefined && { 'x-amz-security-token': credentials.sessionToken }),
    }
    const names = Object.keys(headers).sort()
    const signed = names.join(';')
    const canonical = `${method}\n${path}\n\n${names.map((name) => `${name}:${headers[name]}\n`).join('')}\n${signed}\nUNSIGNED-PAYLOAD`
    const signature = createHmac('sha256', this.#keyFor(scope, credentials.secretAccessKey))
      .update(`AWS4-HMAC-SHA256\n${at}\n${scope}\n${hash('sha256', canonical)}`)
      .digest('hex')
    headers['authorization'] =
      `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`
    return headers
  }

  /** The key of a day, region and secret, as what each request can use without making it first. */
  #keyFor(scope: string, secret: string): KeyObject {
    if (this.#signingKey?.scope === scope && this.#signingKey.secret === secret) return this.#signingKey.key
    let bytes: Buffer = Buffer.from(`AWS4${secret}`)
    for (const part of scope.split('/')) bytes = createHmac('sha256', bytes).update(part).digest()
    const key = createSecretKey(bytes)
    this.#signingKey = { scope, secret, key }
    return key
  }

  /** A refusal because of our clock or an old token is cured for the next attempt. */
  #learnFrom(response: S3Response): void {
    const code = errorCodeOf(response)
    if (code === 'RequestTimeTooSkewed') {
      const theirs = Date.parse(String(response.headers['date']))
      if (Number.isFinite(theirs)) this.#skewMs = theirs - this.#options.clock.now()
    }
    if (code === 'ExpiredToken' || code === 'InvalidToken') this.#refresh = true
  }
}

/** The `<Code>` of S3's error document, or null. */
export function errorCodeOf(response: S3Response): string | null {
  return elementOf(response, 'Code')
}

/** The `<Message>` of S3's error document, or null. */
export function errorMessageOf(response: S3Response): string | null {
  return elementOf(response, 'Message')
}

function elementOf(response: S3Response, name: string): string | null {
  if (response.body.byteLength === 0 || response.body.byteLength > 65_536) return null
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(new TextDecoder().decode(response.body))?.[1] ?? null
}

/** A path as S3 signs it: everything but unreserved characters and slashes is percent-encoded, once. */
function encodeKey(key: string): string {
  return `/${encodeURIComponent(key).replaceAll('%2F', '/').replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}`
}

function bodyOf(body: readonly Uint8Array[], bytes: number): Exclude<Dispatcher.DispatchOptions['body'], undefined> {
  if (bytes === 0) return null
  if (body.length === 1) return body[0] as Uint8Array
  if (bytes <= joinBytesMax) return joinBody(body)
  // undici takes any iterable of arrays; its type names streams only.
  return mergedChunks(body) as unknown as Exclude<Dispatcher.DispatchOptions['body'], undefined>
}

/** Joins runs of small chunks; large chunks are passed as they are. */
function* mergedChunks(body: readonly Uint8Array[]): Generator<Uint8Array> {
  let small: Uint8Array[] = []
  let smallBytes = 0
  for (const chunk of body) {
    if (chunk.byteLength === 0) continue
    if (chunk.byteLength < chunkBytesMin) {
      small.push(chunk)
      smallBytes += chunk.byteLength
      if (smallBytes < joinBytesMax) continue
    }
    if (small.length > 0) yield small.length === 1 ? (small[0] as Uint8Array) : joinBody(small)
    small = []
    smallBytes = 0
    if (chunk.byteLength >= chunkBytesMin) yield chunk
  }
  if (small.length > 0) yield joinBody(small)
}

/** Collects an answer, in place where its length is known. */
class AnswerBody {
  readonly #whole: Uint8Array | null
  readonly #chunks: Uint8Array[] = []
  #filled = 0

  constructor(length: number) {
    this.#whole = length >= 0 && length <= answerBytesMax ? Buffer.allocUnsafeSlow(length) : null
  }

  add(chunk: Uint8Array): void {
    if (this.#whole === null) this.#chunks.push(chunk)
    else this.#whole.set(chunk, this.#filled)
    this.#filled += chunk.byteLength
  }

  finish(): Uint8Array {
    return this.#whole ?? joinBody(this.#chunks)
  }
}
