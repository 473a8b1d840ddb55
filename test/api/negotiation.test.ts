/** What a connection finds out first, and what it may send: ApiVersions, frames, every API in every advertised version. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { decodeResponseFrame, encodeRequestFrame } from '../../protocol/messages/header.ts'
import { registry } from '../../src/api/registry.ts'
import type { RawClient } from '../support/raw-client.ts'
import { batchOf, createTopic, freshName, isError, onlyHere, plainRequest, produceRequest, useBroker } from './support.ts'

const subject = useBroker()
const software = { clientSoftwareName: 'test', clientSoftwareVersion: '1' }

describe('ApiVersions', () => {
  test('advertises the registry and nothing else, in every version', onlyHere, async () => {
    const expected = registry.map(({ api, versions: [first, last] }) => [api.key, api.name === 'Produce' ? 0 : first, last])
    for (let version = 0; version <= 4; version++) {
      const { errorCode, apiKeys } = await subject.client.send(ApiVersions, version, software)
      isError(errorCode, 'NONE')
      assert.deepEqual(apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, minVersion, maxVersion]), expected)
    }
  })

  test('a version beyond ours is answered in v0 with UNSUPPORTED_VERSION and key 18 alone (KIP-511)', async () => {
    for (const version of [5, 99, 0x7fff]) {
      const client = await subject.connect()
      client.writeFrame(Buffer.concat([header(18, version, 77), Buffer.from('0001020304', 'hex')]))
      const answer = decodeResponseFrame(ApiVersions, 0, 77, await client.frame())
      isError(answer.errorCode, 'UNSUPPORTED_VERSION')
      assert.deepEqual(answer.apiKeys, [{ apiKey: 18, minVersion: 0, maxVersion: 4 }])
      isError((await client.send(ApiVersions, 4, software)).errorCode, 'NONE')
      client.close()
    }
  })

  test('a client software name or version that is not allowed is INVALID_REQUEST, and the connection lives on', async () => {
    const client = await subject.connect()
    for (const bad of [{ clientSoftwareName: '' }, { clientSoftwareName: '-x' }, { clientSoftwareName: 'a b' }, { clientSoftwareVersion: '' }, { clientSoftwareVersion: '1.' }]) {
      const { errorCode, apiKeys } = await client.send(ApiVersions, 3, { ...software, ...bad })
      isError(errorCode, 'INVALID_REQUEST', JSON.stringify(bad))
      assert.deepEqual(apiKeys, [])
    }
    isError((await client.send(ApiVersions, 3, { clientSoftwareName: 'a.b-c', clientSoftwareVersion: '2.15.1-rc.1' })).errorCode, 'NONE')
  })

  test('the name is not looked at before v3, where there is none', async () => {
    for (const version of [0, 1, 2]) isError((await subject.client.send(ApiVersions, version, { clientSoftwareName: '', clientSoftwareVersion: '' })).errorCode, 'NONE')
  })
})

describe('frames', () => {
  const closing: readonly [what: string, body: Buffer][] = [
    ['an unknown API key', header(9999, 0, 1)],
    ['a negative API key', header(-1, 0, 1)],
    ['an API that only controllers serve', header(52, 0, 1)],
    ['a version of Metadata that does not exist', Buffer.concat([header(3, 99, 1), Buffer.alloc(20)])],
    ['a negative version', Buffer.concat([header(3, -1, 1), Buffer.alloc(20)])],
    ['Produce v2, though v0 to v2 are advertised (KAFKA-18659)', Buffer.concat([header(0, 2, 1), Buffer.from('ffff000003e800000000', 'hex')])],
    ['a body that ends early', Buffer.concat([header(3, 1, 1), Buffer.from('000000', 'hex')])],
    ['more array elements than bytes', Buffer.concat([header(3, 1, 1), Buffer.from('7fffffff', 'hex')])],
    ['three bytes', Buffer.from('000300', 'hex')],
  ]
  for (const [what, body] of closing) {
    test(`${what} closes the connection`, async () => {
      const client = await subject.connect()
      client.writeFrame(body)
      await client.closed()
    })
  }

  test('what came before the close is answered', async () => {
    const client = await subject.connect()
    const answer = client.send(ApiVersions, 0, software)
    client.writeFrame(header(9999, 0, 2))
    isError((await answer).errorCode, 'NONE')
    await client.closed()
  })

  test('bytes behind a complete request are ignored', async () => {
    const client = await subject.connect()
    client.writeFrame(Buffer.concat([header(3, 1, 5), Buffer.from('00000000', 'hex'), Buffer.from('garbage')]))
    const { topics } = decodeResponseFrame(Metadata, 1, 5, await client.frame())
    assert.deepEqual(topics, [])
  })

  test('a topic name that is not UTF-8 is answered', async () => {
    const client = await subject.connect()
    client.writeFrame(Buffer.concat([header(3, 1, 5), Buffer.from('00000001', 'hex'), Buffer.from('0002c328', 'hex')]))
    const { topics } = decodeResponseFrame(Metadata, 1, 5, await client.frame())
    isError(topics[0]?.errorCode, 'INVALID_TOPIC_EXCEPTION')
  })

  test('a null client id is a client id', async () => {
    const client = await subject.connect(null)
    isError((await client.send(ApiVersions, 4, software)).errorCode, 'NONE')
    assert.equal((await client.send(Metadata, 12, { topics: [] })).topics.length, 0)
  })

  test('requests are answered in their order, whatever each one waits for', async () => {
    const topic = await createTopic(subject.client)
    const client = await subject.connect()
    const order: string[] = []
    const done = (what: string) => () => order.push(what)
    await Promise.all([
      client.send(Produce, 9, produceRequest(topic, batchOf(['a']))).then(done('produce')),
      client.send(Metadata, 9, { topics: [] }).then(done('metadata')),
      client.send(Produce, 9, produceRequest(topic, batchOf(['b']))).then(done('produce')),
      client.send(ApiVersions, 0, software).then(done('versions')),
    ])
    assert.deepEqual(order, ['produce', 'metadata', 'produce', 'versions'])
  })

  test('requests that arrive byte by byte, or many in one packet, are the same requests', async () => {
    const client = await subject.connect()
    for (const byte of frame(1)) client.write(Buffer.of(byte))
    decodeResponseFrame(Metadata, 9, 1, await client.frame())
    client.write(Buffer.concat([2, 3, 4, 5].map(frame)))
    for (const id of [2, 3, 4, 5]) decodeResponseFrame(Metadata, 9, id, await client.frame())
  })
})

describe('every advertised API answers in every advertised version', onlyHere, () => {
  for (const { api, versions: [first, last] } of registry) {
    test(`${api.name} v${first} to v${last}`, async () => {
      for (let version = first; version <= last; version++) {
        for (const elements of [0, 1]) {
          const client = await subject.connect()
          const request = { ...(plainRequest(api.request, version, elements) as object), ...needed[api.key] }
          await client.send(api, version, request as never)
          await stillServed(client)
          client.close()
        }
      }
    })
  }
})

function frame(correlationId: number): Buffer {
  return Buffer.concat(encodeRequestFrame(Metadata, 9, { correlationId, clientId: 'x' }, { topics: [] }))
}

/** Fields without which zeroes are no request that gets an answer. */
const needed: Readonly<Record<number, object>> = { 0: { acks: 1 } }

async function stillServed(client: RawClient): Promise<void> {
  const name = freshName('absent')
  const { topics } = await client.send(Metadata, 4, { topics: [{ name }], allowAutoTopicCreation: false })
  isError(topics[0]?.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
}

/** A request header without tagged fields, from a client called `x`. */
function header(apiKey: number, apiVersion: number, correlationId: number): Buffer {
  const bytes = Buffer.alloc(11)
  bytes.writeInt16BE(apiKey, 0)
  bytes.writeInt16BE(apiVersion, 2)
  bytes.writeInt32BE(correlationId, 4)
  bytes.writeInt16BE(1, 8)
  bytes.write('x', 10)
  return bytes
}
