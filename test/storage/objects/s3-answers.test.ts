/** What the S3 adapter makes of every answer a store can give, and of no answer; played by a server of our own. */
import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { after, before, beforeEach, describe, it } from 'node:test'
import { createHash } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import { createOnce } from '../../../storage/log/create-once.ts'
import type { ObjectStore, StoreErrorKind } from '../../../storage/objects/object-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { openS3Store } from '../../../storage/objects/s3-store.ts'
import { testEnv } from '../../support/env.ts'
import { bytes, text } from './contract.ts'

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

const credentials = { accessKeyId: 'AKID', secretAccessKey: 'secret', sessionToken: 'token/with+characters==' }
/** How far the clock of the adapter has been put forward. */
let aheadMs = 0
const realEnv = testEnv()
const env = { ...realEnv, clock: { ...realEnv.clock, monotonic: () => realEnv.clock.monotonic() + aheadMs } }
let answer: Answer
let requests: { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer }[] = []
const sockets = new Set<Socket>()
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
    answer(request, response, body)
  })
})
server.on('connection', (socket) => sockets.add(socket))

function status(code: number, s3Code = '', headers: Record<string, string> = {}): Answer {
  return (_, response) => {
    response.writeHead(code, headers)
    response.end(s3Code === '' ? '' : `<?xml version="1.0"?><Error><Code>${s3Code}</Code><Message>said so</Message></Error>`)
  }
}

const emptyList: Answer = (_, response) =>
  response.end('<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>')
const reset: Answer = (request) => request.socket.destroy()
const silence: Answer = () => undefined

describe('s3 answers', () => {
  let store: ObjectStore
  before(async () => {
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    answer = emptyList
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    store = await openS3Store('bucket', 'pre fix/', env, { endpoint, credentials, region: 'eu-central-1', deadlineMs: 300 })
  })
  after(async () => {
    await store.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  beforeEach(() => {
    requests = []
  })

  it('keeps the connection after every kind of request that succeeds', async () => {
    const before = sockets.size
    answer = (request, response) => {
      if (request.method === 'GET' && request.url?.includes('list-type=2')) emptyList(request, response, Buffer.alloc(0))
      else response.writeHead(200, { 'content-length': request.method === 'HEAD' ? 5 : 0 }).end()
    }
    for (let round = 0; round < 3; round++) {
      await store.head('a')
      await store.put('a', [bytes('x')])
      await store.putIfAbsent('a', [bytes('x')])
      await store.get('a')
      await store.list('')
    }
    assert.ok(sockets.size - before <= 2, `${sockets.size - before} new connections`)
  })

  it('sends one signed conditional PUT that the reference implementation signs the same', async () => {
    answer = status(200)
    assert.deepEqual(await store.putIfAbsent("a/b=1 (2)*'!ä+", [bytes('one '), bytes('two')]), { kind: 'created' })
    assert.equal(requests.length, 1)
    const [request] = requests
    assert.ok(request !== undefined)
    assert.equal(request.method, 'PUT')
    assert.equal(request.url, '/bucket/pre%20fix/a/b%3D1%20%282%29%2A%27%21%C3%A4%2B')
    assert.equal(request.body.toString(), 'one two')
    assert.equal(request.headers['if-none-match'], '*')
    assert.equal(request.headers['content-length'], '7')
    assert.equal(request.headers['x-amz-security-token'], credentials.sessionToken)
    const signed = /SignedHeaders=([^,]+),/.exec(request.headers.authorization ?? '')?.[1]?.split(';') ?? []
    const date = String(request.headers['x-amz-date'])
    const reference = await new SignatureV4({ service: 's3', region: 'eu-central-1', credentials, sha256: Sha256, uriEscapePath: false }).sign(
      {
        method: 'PUT',
        protocol: 'http:',
        hostname: '127.0.0.1',
        path: request.url,
        headers: Object.fromEntries(signed.map((name) => [name, String(request.headers[name])])),
      },
      { signingDate: new Date(date.replace(/(....)(..)(..T..)(..)(..Z)/, '$1-$2-$3:$4:$5')), signableHeaders: new Set(signed) },
    )
    assert.equal(request.headers.authorization, reference.headers['authorization'])
  })

  it('takes 412 for exists, and what cannot be known for unknown, without trying again', async () => {
    answer = status(412, 'PreconditionFailed')
    assert.deepEqual(await store.putIfAbsent('a', [bytes('x')]), { kind: 'exists' })
    const unknown: [Answer, StoreErrorKind][] = [
      [status(409, 'ConditionalRequestConflict'), 'unavailable'],
      [status(500, 'InternalError'), 'unavailable'],
      [status(503, 'SlowDown'), 'throttled'],
      [status(503, 'XMinioServerNotInitialized'), 'unavailable'],
      [status(507, 'XMinioStorageFull'), 'full'],
      [status(400, 'RequestTimeout'), 'timeout'],
      [status(403, 'ExpiredToken'), 'unavailable'],
      [reset, 'unavailable'],
      [silence, 'timeout'],
    ]
    for (const [given, kind] of unknown) {
      requests = []
      answer = given
      const outcome = await store.putIfAbsent('a', [bytes('x')])
      assert.ok(outcome.kind === 'unknown' && outcome.cause instanceof StoreError)
      assert.equal(outcome.cause.kind, kind)
      assert.equal(requests.length, 1)
    }
  })

  it('takes a refusal right after an accepted write for an accident, and a lasting one for what it is', async () => {
    // MinIO refuses a PUT that meets the removal of the folder it goes to.
    answer = status(200)
    await store.put('a', [bytes('x')])
    answer = status(403, 'AccessDenied')
    assert.equal((await store.putIfAbsent('a', [bytes('x')])).kind, 'unknown')
    await assert.rejects(store.put('a', [bytes('x')]), (e) => e instanceof StoreError && e.retriable)
    answer = status(404, 'NoSuchKey')
    assert.equal((await store.putIfAbsent('a', [bytes('x')])).kind, 'unknown')
    aheadMs += 60_000
    answer = status(403, 'AccessDenied')
    await assert.rejects(store.putIfAbsent('a', [bytes('x')]), (e) => e instanceof StoreError && e.kind === 'denied')
  })

  it('throws what trying again will not cure', async () => {
    aheadMs += 60_000
    const refusals: [Answer, StoreErrorKind, RegExp][] = [
      [status(403, 'AccessDenied'), 'denied', /AccessDenied said so/],
      [status(404, 'NoSuchBucket'), 'missing-bucket', /aws s3 mb s3:\/\/bucket/],
      [status(501, 'NotImplemented'), 'unsupported', /NotImplemented/],
      [status(400, 'InvalidArgument'), 'invalid', /InvalidArgument/],
      [status(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'us-west-2' }), 'invalid', /set AWS_REGION=us-west-2/],
    ]
    for (const [given, kind, message] of refusals) {
      answer = given
      const refused = (e: unknown): boolean => e instanceof StoreError && e.kind === kind && !e.retriable && message.test(e.message)
      await assert.rejects(store.putIfAbsent('a', [bytes('x')]), refused)
      await assert.rejects(store.put('a', [bytes('x')]), refused)
      await assert.rejects(store.get('a'), refused)
    }
  })

  it('throws retriable errors for reads and plain writes', async () => {
    for (const [given, kind] of [[status(503, 'SlowDown'), 'throttled'], [reset, 'unavailable'], [silence, 'timeout'], [status(500), 'unavailable']] as const) {
      answer = given
      const failed = (e: unknown): boolean => e instanceof StoreError && e.kind === kind && e.retriable
      await assert.rejects(store.put('a', [bytes('x')]), failed)
      await assert.rejects(store.getRange('a', 0, 5), failed)
      await assert.rejects(store.list('a'), failed, `list ${kind}`)
      await assert.rejects(store.delete(['a']), failed, `delete ${kind}`)
    }
  })

  it('reads absence from 404 and an empty rest from 416', async () => {
    answer = status(404, 'NoSuchKey')
    assert.equal(await store.get('a'), null)
    assert.equal(await store.getRange('a', 0, 5), null)
    answer = status(404)
    assert.equal(await store.head('a'), null)
    answer = status(416, 'InvalidRange')
    assert.equal((await store.getRange('a', 100, 200))?.byteLength, 0)
    answer = (_, response) => response.end('0123456789')
    assert.equal(text(await store.getRange('a', 2, 4)), '23', 'a store that ignores ranges')
    assert.equal(requests.at(-1)?.headers.range, 'bytes=2-3')
  })

  it('notices an answer that breaks off', async () => {
    answer = (request, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('only a part', () => request.socket.destroy())
    }
    await assert.rejects(store.get('a'), (e) => e instanceof StoreError && e.retriable)
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('a part, and then nothing')
    }
    await assert.rejects(store.get('a'), (e) => e instanceof StoreError && e.kind === 'timeout')
  })

  it('takes over the clock of the store when it is told that its own is wrong', async () => {
    const theirs = new Date(Date.now() + 3_600_000)
    answer = status(403, 'RequestTimeTooSkewed', { date: theirs.toUTCString() })
    assert.equal((await store.putIfAbsent('a', [bytes('x')])).kind, 'unknown')
    answer = status(200)
    await store.put('a', [bytes('x')])
    const sent = String(requests.at(-1)?.headers['x-amz-date'])
    assert.equal(sent.slice(0, 11), theirs.toISOString().replaceAll(/[-:]/g, '').slice(0, 11))
    answer = status(403, 'RequestTimeTooSkewed', { date: new Date().toUTCString() })
    await assert.rejects(store.put('a', [bytes('x')]), StoreError)
  })

  it('sends large bodies of many chunks as they are', async () => {
    answer = status(200)
    const chunks = Array.from({ length: 400 }, (_, i) => Buffer.alloc((i * 997) % 40_000, i))
    assert.deepEqual(await store.putIfAbsent('big', chunks), { kind: 'created' })
    assert.ok(requests[0]?.body.equals(Buffer.concat(chunks)))
  })

  it('settles a lost reply with create-once: one object, ours', async () => {
    const objects = new Map<string, Buffer>()
    let lost = 0
    answer = (request, response, body) => {
      const key = request.url ?? ''
      if (request.method === 'GET') return response.end(objects.get(key))
      const taken = objects.has(key)
      if (!taken) objects.set(key, body)
      if (lost++ < 1) return request.socket.destroy()
      response.writeHead(taken ? 412 : 200)
      return response.end()
    }
    const outcome = await createOnce(store, env, 'lane/1', [bytes('mine')], (there) => text(there) === 'mine', { delayMs: 1 })
    assert.deepEqual(outcome, { kind: 'created' })
    assert.deepEqual(requests.map((request) => request.method), ['PUT', 'PUT', 'GET'])
    assert.equal(objects.size, 1)
  })
})

/** The hash that the reference signer wants to be given. */
class Sha256 {
  readonly #hash = createHash('sha256')
  readonly #hmac: Uint8Array[] | null
  readonly #secret: Uint8Array | null
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? null : toBytes(secret)
    this.#hmac = secret === undefined ? null : []
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    if (this.#hmac === null) this.#hash.update(toBytes(data))
    else this.#hmac.push(toBytes(data))
  }
  async digest(): Promise<Uint8Array> {
    if (this.#hmac === null || this.#secret === null) return this.#hash.digest()
    const { createHmac } = await import('node:crypto')
    return createHmac('sha256', this.#secret).update(Buffer.concat(this.#hmac)).digest()
  }
  reset(): void {}
}

function toBytes(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
