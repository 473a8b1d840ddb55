/**
 * Objects in a bucket of S3 or of anything that speaks its protocol. The only file that imports the SDK, which finds credentials,
 * region and endpoint, lists and deletes; single objects go through the thin client of `s3-signed-client.ts`.
 *
 * One call is one attempt: nothing here retries (DESIGN §3). What a conditional PUT means is read from the status: 200 created, 412 exists;
 * 409, timeouts, broken connections and 5xx are `unknown`, because the write may have happened or may still happen.
 */
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import { DeleteObjectsCommand, HeadBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import type { Clock, Env } from '../env.ts'
import { assertKey, assertPrefix, assertRange } from './keys.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome, StoreErrorKind } from './object-store.ts'
import { StoreError } from './object-store.ts'
import type { S3Credentials, S3Request, S3Response } from './s3-signed-client.ts'
import { S3SignedClient, S3TimeoutError, errorCodeOf, errorMessageOf } from './s3-signed-client.ts'

export interface S3Options {
  /** Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile, then AWS. Path-style addressing wherever it is not AWS. */
  readonly endpoint?: string
  /** Default: AWS_REGION, the profile, then us-east-1. */
  readonly region?: string
  /** Default: the SDK's provider chain (variables, profile, SSO, web identity, container and instance metadata). */
  readonly credentials?: S3Credentials
  /** Connections to the store at most. Default 64. */
  readonly connectionsMax?: number
  /** Deadline of one attempt, in ms; bodies get another second per MiB. Default 10,000. */
  readonly deadlineMs?: number
}

/** S3's own limits. */
const deleteBatch = 1000
const listPage = 1000
const deletesInFlight = 4
/** For so long after an accepted write, a refused one may be an accident. */
const trustAfterWriteMs = 60_000

/**
 * Opens a bucket and looks into it once. `prefix` is empty or ends in a slash.
 * Throws StoreError: `missing-bucket` (the message says how to create it), `denied`, `invalid` (wrong region or endpoint), `unavailable`.
 */
export async function openS3Store(bucket: string, prefix: string, env: Pick<Env, 'clock'>, options: S3Options = {}): Promise<ObjectStore> {
  const { client, target, region } = await connect(bucket, options)
  const store = new S3Store(bucket, prefix, env.clock, client, target, region, options)
  try {
    await store.list('', { limit: 1 })
  } catch (error) {
    await store.close()
    if (!(error instanceof StoreError) || error.kind === 'missing-bucket') throw error
    throw new StoreError(error.kind, `${store.description}: ${error.message.replace(/^list : /, '')}`, { cause: error })
  }
  return store
}

class S3Store implements ObjectStore {
  readonly description: string
  readonly #bucket: string
  readonly #prefix: string
  readonly #clock: Clock
  readonly #sdk: S3Client
  readonly #signed: S3SignedClient
  readonly #deadlineMs: number
  /** When the store last took a write, monotonic. */
  #writtenAtMs = -Infinity

  constructor(bucket: string, prefix: string, clock: Clock, sdk: S3Client, target: Target, region: string, options: S3Options) {
    this.description = `s3://${bucket}/${prefix} at ${target.origin} (${region})`
    this.#bucket = bucket
    this.#prefix = prefix
    this.#clock = clock
    this.#sdk = sdk
    this.#deadlineMs = options.deadlineMs ?? 10_000
    this.#signed = new S3SignedClient({
      ...target,
      region,
      credentials: (refresh) => sdk.config.credentials(refresh),
      clock,
      connectionsMax: options.connectionsMax ?? 64,
      deadlineMs: this.#deadlineMs,
    })
  }

  async get(key: string): Promise<Uint8Array | null> {
    assertKey(key)
    const response = await this.#send({ method: 'GET', key })
    if (response.status === 200) return response.body
    return this.#absent(response, `get ${key}`)
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    assertKey(key)
    assertRange(start, endExclusive)
    if (start === endExclusive) return (await this.head(key)) === null ? null : new Uint8Array(0)
    const headers = { range: `bytes=${start}-${endExclusive - 1}` }
    const response = await this.#send({ method: 'GET', key, headers })
    // 416: the object ends before the range begins. 200: the store ignores ranges of empty objects, or all of them.
    if (response.status === 206) return response.body
    if (response.status === 416) return new Uint8Array(0)
    if (response.status === 200) return response.body.subarray(start, endExclusive)
    return this.#absent(response, `read ${key}`)
  }

  async head(key: string): Promise<ObjectMeta | null> {
    assertKey(key)
    const response = await this.#send({ method: 'HEAD', key })
    if (response.status !== 200) return this.#absent(response, `head ${key}`)
    const { headers } = response
    return { key, bytes: Number(headers['content-length'] ?? 0), modifiedMs: Date.parse(String(headers['last-modified'])) }
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    assertKey(key)
    let response: S3Response
    try {
      response = await this.#send({ method: 'PUT', key, headers: { 'if-none-match': '*' }, body })
    } catch (error) {
      if (error instanceof StoreError && error.retriable) return { kind: 'unknown', cause: error }
      throw error
    }
    if (response.status === 200) {
      this.#writtenAtMs = this.#clock.monotonic()
      return { kind: 'created' }
    }
    if (response.status === 412) return { kind: 'exists' }
    const error = this.#writeErrorOf(response, `create ${key}`)
    if (error.retriable) return { kind: 'unknown', cause: error }
    throw error
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    assertKey(key)
    const response = await this.#send({ method: 'PUT', key, body })
    if (response.status !== 200) throw this.#writeErrorOf(response, `put ${key}`)
    this.#writtenAtMs = this.#clock.monotonic()
  }

  async list(prefix: string, options: ListOptions = {}): Promise<readonly ObjectMeta[]> {
    assertPrefix(prefix)
    const limit = options.limit ?? listPage
    const found: ObjectMeta[] = []
    let token: string | undefined
    while (found.length < limit) {
      const page = await this.#command(`list ${prefix}`, (signal) =>
        this.#sdk.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            MaxKeys: Math.min(listPage, limit - found.length),
            ...(token !== undefined && { ContinuationToken: token }),
            ...(token === undefined && options.after !== undefined && { StartAfter: this.#prefix + options.after }),
          }),
          { abortSignal: signal },
        ),
      )
      for (const object of page.Contents ?? []) {
        const key = (object.Key ?? '').slice(this.#prefix.length)
        found.push({ key, bytes: object.Size ?? 0, modifiedMs: object.LastModified?.getTime() ?? 0 })
      }
      token = page.NextContinuationToken
      if (page.IsTruncated !== true || token === undefined) break
    }
    return found
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) assertKey(key)
    const batches: string[][] = []
    for (let i = 0; i < keys.length; i += deleteBatch) batches.push(keys.slice(i, i + deleteBatch))
    for (let i = 0; i < batches.length; i += deletesInFlight) {
      await Promise.all(batches.slice(i, i + deletesInFlight).map((batch) => this.#deleteBatch(batch)))
    }
  }

  async close(): Promise<void> {
    this.#sdk.destroy()
    await this.#signed.close()
  }

  async #deleteBatch(keys: readonly string[]): Promise<void> {
    const doing = `delete ${keys.length} objects, the first ${keys[0]}`
    const objects = keys.map((key) => ({ Key: this.#prefix + key }))
    const result = await this.#command(doing, (signal) =>
      this.#sdk.send(new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects: objects, Quiet: true } }), { abortSignal: signal }),
    )
    const failed = result.Errors?.find((error) => error.Code !== 'NoSuchKey')
    if (failed !== undefined) {
      throw this.#error(failed.Code ?? '', 500, `${doing}: ${failed.Key} ${failed.Message ?? ''}`)
    }
  }

  async #send(request: S3Request): Promise<S3Response> {
    try {
      return await this.#signed.request({ ...request, key: this.#prefix + request.key })
    } catch (error) {
      throw connectionError(error, `${request.method} ${request.key}`)
    }
  }

  async #command<T>(doing: string, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController()
    const timer = this.#clock.schedule(this.#deadlineMs, () => abort.abort())
    try {
      return await send(abort.signal)
    } catch (error) {
      if (abort.signal.aborted) throw new StoreError('timeout', `${doing}: no answer within ${this.#deadlineMs} ms`, { cause: error })
      const status = sdkStatusOf(error)
      if (status === null) throw connectionError(error, doing)
      const { name, message } = error instanceof Error ? error : { name: '', message: '' }
      throw this.#error(name, status, `${doing}: status ${status} ${message || name}`, error)
    } finally {
      timer.cancel()
    }
  }

  /** null where there is no such object; throws for every other answer. */
  #absent(response: S3Response, doing: string): null {
    if (response.status === 404 && errorCodeOf(response) !== 'NoSuchBucket') return null
    throw this.#errorOf(response, doing)
  }

  /**
   * MinIO answers 403 AccessDenied, once in many thousands, to a PUT that meets the deletion of the last other object below the same
   * prefix (it removes the folder between the two steps of the write); AWS does while a change of policy spreads. So a refusal by a
   * store that has just taken a write, and a 404 for what is to be created, are trouble that may pass; a refusal that lasts is `denied`.
   */
  #writeErrorOf(response: S3Response, doing: string): StoreError {
    const error = this.#errorOf(response, doing)
    const trusted = this.#clock.monotonic() - this.#writtenAtMs < trustAfterWriteMs
    if ((response.status === 403 && error.kind === 'denied' && trusted) || (response.status === 404 && error.kind === 'invalid')) {
      return new StoreError('unavailable', error.message, { cause: error })
    }
    return error
  }

  #errorOf(response: S3Response, doing: string): StoreError {
    const code = errorCodeOf(response) ?? ''
    const message = `${doing}: status ${response.status} ${code} ${errorMessageOf(response) ?? ''}`.trim()
    const region = response.headers['x-amz-bucket-region']
    const elsewhere = response.status >= 300 && response.status < 400 && typeof region === 'string'
    return this.#error(code, response.status, elsewhere ? `${message} (the bucket is in ${region}: set AWS_REGION=${region})` : message)
  }

  #error(code: string, status: number, message: string, cause?: unknown): StoreError {
    if (code === 'NoSuchBucket') {
      const create = `create it with \`aws s3 mb s3://${this.#bucket}\` (MinIO: \`mc mb <alias>/${this.#bucket}\`)`
      return new StoreError('missing-bucket', `there is no bucket ${this.#bucket} at ${this.description}; ${create}`, { cause })
    }
    return new StoreError(kindOf(code, status), message, { cause })
  }
}

/** By S3's error code, then by status. */
function kindOf(code: string, status: number): StoreErrorKind {
  const byCode = kindByCode[code]
  if (byCode !== undefined) return byCode
  if (status === 429) return 'throttled'
  if (status === 507) return 'full'
  if (status === 501) return 'unsupported'
  if (status === 401 || status === 403) return 'denied'
  if (status === 408) return 'timeout'
  // 409 is a conflict between writers (S3: try again), not a verdict.
  if (status >= 500 || status === 409) return 'unavailable'
  return 'invalid'
}

const kindByCode: Readonly<Record<string, StoreErrorKind>> = {
  SlowDown: 'throttled',
  SlowDownRead: 'throttled',
  SlowDownWrite: 'throttled',
  TooManyRequests: 'throttled',
  RequestLimitExceeded: 'throttled',
  XMinioStorageFull: 'full',
  XMinioAdminBucketQuotaExceeded: 'full',
  QuotaExceeded: 'full',
  RequestTimeout: 'timeout',
  // The client has taken the store's clock or new credentials: the next attempt is signed with them.
  RequestTimeTooSkewed: 'unavailable',
  ExpiredToken: 'unavailable',
  InvalidToken: 'unavailable',
}

function connectionError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error
  const message = `${doing}: ${error instanceof Error ? error.message || error.name : String(error)}`
  if (error instanceof S3TimeoutError) return new StoreError('timeout', message, { cause: error })
  return new StoreError('unavailable', message, { cause: error })
}

function sdkStatusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null
  const metadata: unknown = error.$metadata
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return null
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : null
}

interface Target {
  readonly origin: string
  readonly basePath: string
}

/** A client for the bucket, and where the SDK would send its requests: it knows endpoints, partitions and profiles, we do not. */
async function connect(bucket: string, options: S3Options): Promise<{ client: S3Client; target: Target; region: string }> {
  const config: S3ClientConfig = {
    // Nothing is retried behind our back, and no checksum turns a body into a stream with a trailer.
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    ...(options.credentials !== undefined && { credentials: credentialsOf(options.credentials) }),
    region: options.region ?? (await regionOf()),
  }
  try {
    const client = new S3Client(config)
    const target = await targetOf(client, bucket)
    if (/(^|\.)amazonaws\.com(\.cn)?$/.test(new URL(target.origin).hostname)) return { client, target, region: await client.config.region() }
    client.destroy()
    const pathStyle = new S3Client({ ...config, forcePathStyle: true })
    return { client: pathStyle, target: await targetOf(pathStyle, bucket), region: await pathStyle.config.region() }
  } catch (error) {
    if (error instanceof TypeError) throw new StoreError('invalid', `the endpoint of the store is not a URL: ${error.message}`, { cause: error })
    // Later, in a broker that runs, the same error is `unavailable`: metadata services fail for moments.
    if (error instanceof Error && error.name === 'CredentialsProviderError') {
      const hint = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile'
      throw new StoreError('denied', `no credentials for the store (${hint}): ${error.message}`, { cause: error })
    }
    throw connectionError(error, `open s3://${bucket}`)
  }
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: S3Credentials): NonNullable<S3ClientConfig['credentials']> {
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) }
}

async function regionOf(): Promise<string> {
  const client = new S3Client({})
  try {
    return await client.config.region()
  } catch {
    return 'us-east-1'
  } finally {
    client.destroy()
  }
}

/** Lets the SDK build a request for the bucket and takes its address; nothing is sent. */
async function targetOf(client: S3Client, bucket: string): Promise<Target> {
  let target: Target | null = null
  const command = new HeadBucketCommand({ Bucket: bucket })
  command.middlewareStack.add(
    () => async (args) => {
      const request = args.request as { protocol: string; hostname: string; port?: number; path: string }
      const port = request.port === undefined ? '' : `:${request.port}`
      target = { origin: `${request.protocol}//${request.hostname}${port}`, basePath: request.path.replace(/\/+$/, '') }
      return { response: {}, output: { $metadata: {} } }
    },
    { step: 'build', priority: 'low', name: 'takeAddress' },
  )
  await client.send(command)
  if (target === null) throw new StoreError('invalid', `no endpoint for s3://${bucket}`)
  return target
}
