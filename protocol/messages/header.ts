/**
 * Request and response headers (protocol guide, "The Messages"), and whole frames: the length, a header and a body.
 *
 * A request says its API and version in its first four bytes, and these decide how long its header is: from the first
 * flexible version of an API on, a section of tagged fields follows the client id (KIP-482). The client id itself never
 * became compact, so that a header can be read even where the version is not supported.
 */
import type { Api } from '../schema/api.ts'
import { ProtocolError } from '../wire/protocol-error.ts'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'

export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** Index of the first byte of the body in the bytes that were decoded. */
  readonly bodyOffset: number
}

/** First flexible version by API key, 0 to 92, as of Kafka 4.3; -1 for APIs that have none or are gone. */
const FLEXIBLE_SINCE: readonly number[] = [
  9, 12, 6, 9, -1, -1, -1, -1, 8, 6, 3, 6, 4, 4, 4, 5,
  3, -1, 3, 5, 4, 2, 2, 4, 3, 3, 3, 1, 3, 2, 2, 2,
  4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0, 0, -1,
  1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]

/** Version of the request header of any API that Kafka 4.3 knows, whether or not it is declared here; 1 for unknown keys. */
export function requestHeaderVersion(apiKey: number, apiVersion: number): 1 | 2 {
  const flexibleSince = FLEXIBLE_SINCE[apiKey] ?? -1
  return flexibleSince >= 0 && apiVersion >= flexibleSince ? 2 : 1
}

/**
 * Decodes the header of a request, given the frame without its length. Raises `ProtocolError` where the frame is too
 * short or its client id or tagged fields are malformed.
 */
export function decodeRequestHeader(
  frame: Uint8Array,
  headerVersionOf: (apiKey: number, apiVersion: number) => 1 | 2 = requestHeaderVersion,
): RequestHeader {
  const reader = new Reader(frame)
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  const clientIdLength = reader.stringLength()
  const clientId = clientIdLength < 0 ? null : reader.utf8(clientIdLength)
  if (headerVersionOf(apiKey, apiVersion) === 2) reader.skipTaggedFields()
  return { apiKey, apiVersion, correlationId, clientId, bodyOffset: reader.position }
}

/** A whole response as it goes to the socket: length, header and body. Payloads are among the chunks by reference. */
export function encodeResponseFrame<Input>(
  api: Api<unknown, never, unknown, Input>,
  version: number,
  correlationId: number,
  response: Input,
): Uint8Array[] {
  const writer = new Writer()
  writer.beginFrame()
  writer.int32(correlationId)
  if (api.responseHeaderVersion(version) === 1) writer.uvarint(0)
  api.writeResponse(writer, version, response)
  return writer.finish()
}

/** A whole request as it goes to the socket: length, header and body. */
export function encodeRequestFrame<Input>(
  api: Api<unknown, Input, unknown, never>,
  version: number,
  header: { readonly correlationId: number, readonly clientId: string | null },
  request: Input,
): Uint8Array[] {
  const writer = new Writer()
  writer.beginFrame()
  writer.int16(api.key)
  writer.int16(version)
  writer.int32(header.correlationId)
  if (header.clientId === null) writer.int16(-1)
  else writer.string(header.clientId)
  if (api.requestHeaderVersion(version) === 2) writer.uvarint(0)
  api.writeRequest(writer, version, request)
  return writer.finish()
}

/**
 * Decodes a whole response, given the frame without its length, for a request of this API and version. Raises
 * `ProtocolError` where it answers another correlation id than the expected one.
 */
export function decodeResponseFrame<Response>(
  api: Api<unknown, never, Response, never>,
  version: number,
  correlationId: number,
  frame: Uint8Array,
): Response {
  const reader = new Reader(frame)
  const answered = reader.int32()
  if (answered !== correlationId) throw new ProtocolError(`a response to ${answered} where ${correlationId} was expected`)
  if (api.responseHeaderVersion(version) === 1) reader.skipTaggedFields()
  return api.decodeResponse(version, frame.subarray(reader.position))
}
