/** Whole frames, as they go over a connection. Headers that Java wrote are among the golden vectors. */
import { deepEqual, equal, throws } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { suite, test } from 'node:test'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import {
  decodeRequestHeader, decodeResponseFrame, encodeRequestFrame, encodeResponseFrame,
} from '../../protocol/messages/header.ts'
import { ProtocolError } from '../../protocol/wire/protocol-error.ts'
import { hex } from './declared-apis.ts'

function withoutLength(chunks: Uint8Array[]): Buffer {
  const frame = Buffer.concat(chunks)
  equal(frame.readInt32BE(0), frame.length - 4)
  return frame.subarray(4)
}

suite('frames', () => {
  test('a request is read back in every version', () => {
    for (let version = 0; version <= 13; version++) {
      const frame = withoutLength(encodeRequestFrame(Metadata, version, { correlationId: -5, clientId: 'c' }, { topics: [{ name: 'x' }] }))
      const header = decodeRequestHeader(frame)
      deepEqual({ ...header, bodyOffset: 0 }, { apiKey: 3, apiVersion: version, correlationId: -5, clientId: 'c', bodyOffset: 0 })
      equal(Metadata.decodeRequest(version, frame.subarray(header.bodyOffset)).topics?.[0]?.name, 'x')
    }
  })

  test('a response is read back in every version, and only by the request that it answers', () => {
    for (let version = 0; version <= 13; version++) {
      const frame = withoutLength(encodeResponseFrame(Metadata, version, 9, { brokers: [{ nodeId: 1, host: 'h', port: 2 }], topics: [] }))
      equal(decodeResponseFrame(Metadata, version, 9, frame).brokers[0]?.host, 'h')
      throws(() => decodeResponseFrame(Metadata, version, 8, frame), ProtocolError)
    }
  })

  test('ApiVersions answers with the header of version 0 in all versions', () => {
    for (let version = 0; version <= 4; version++) {
      const frame = withoutLength(encodeResponseFrame(ApiVersions, version, 9, { errorCode: 35, apiKeys: [] }))
      equal(frame.readInt16BE(4), 35)
    }
  })

  test('a header can be read for a version and an API that nobody knows', () => {
    const header = decodeRequestHeader(hex('0012', '0063', '00000001', '0001', '61', '00', 'ffff'))
    deepEqual(header, { apiKey: 18, apiVersion: 99, correlationId: 1, clientId: 'a', bodyOffset: 12 })
    equal(decodeRequestHeader(hex('7fff', '0000', '00000001', 'ffff')).clientId, null)
  })

  test('a header that ends early is a protocol error', () => {
    const frame = hex('0012', '0003', '00000001', '0001', '61', '00')
    for (let length = 0; length < frame.length; length++) throws(() => decodeRequestHeader(frame.subarray(0, length)), ProtocolError)
  })
})
