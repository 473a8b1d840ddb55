/**
 * One API of the protocol: its key, its versions, and the codec of its requests and responses. A decoder or encoder is
 * compiled when its version is used for the first time and kept.
 */
import { ProtocolError } from '../wire/protocol-error.ts'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import { compileDecoder, type Decode } from './decoder.ts'
import { compileEncoder, type Encode } from './encoder.ts'
import type { Field, FieldSpec, InOf, OutOf } from './field.ts'

/** The response header of this API has no tagged fields in any version: its reader does not know yet what the broker speaks (KIP-511). */
const API_VERSIONS_KEY = 18

export interface DecodeOptions {
  /** Bound of the estimated heap bytes of the decoded value; `defaultBudgetBytes` of the frame where absent. */
  readonly budgetBytes?: number
}

/**
 * `Request` and `Response` are decoded values, in which every field is present; `RequestInput` and `ResponseInput` are
 * what is encoded, in which fields with a default may be missing. All four codecs raise `ProtocolError` for a version
 * outside `versions`, for bytes that do not follow the protocol and for values that it cannot carry.
 */
export interface Api<Request, RequestInput, Response, ResponseInput> {
  readonly key: number
  readonly name: string
  /** The versions that the codec knows, inclusive. What a server advertises is its own decision. */
  readonly versions: readonly [min: number, max: number]
  /** The first version with compact types and tagged fields (KIP-482). */
  readonly flexibleSince: number
  readonly request: FieldSpec
  readonly response: FieldSpec
  /** Decodes the body that follows the request header. Bytes behind the body are ignored, as Kafka does. */
  decodeRequest(version: number, body: Uint8Array, options?: DecodeOptions): Request
  encodeRequest(version: number, request: RequestInput): Uint8Array[]
  decodeResponse(version: number, body: Uint8Array, options?: DecodeOptions): Response
  encodeResponse(version: number, response: ResponseInput): Uint8Array[]
  /** Appends the body of a request or response to a writer. */
  writeRequest(writer: Writer, version: number, request: RequestInput): void
  writeResponse(writer: Writer, version: number, response: ResponseInput): void
  requestHeaderVersion(version: number): 1 | 2
  responseHeaderVersion(version: number): 0 | 1
}

export type AnyApi = Api<unknown, never, unknown, never>

/** A decoded request: what a handler is given. */
export type RequestOf<A> = A extends Api<infer Request, never, unknown, never> ? Request : never
/** A response to encode: what a handler gives. Fields that equal their default may be left out. */
export type ResponseOf<A> = A extends Api<unknown, never, unknown, infer Input> ? Input : never
/** A request to encode, as a client gives it. */
export type RequestInputOf<A> = A extends Api<unknown, infer Input, unknown, never> ? Input : never
/** A decoded response, as a client is given it. */
export type DecodedResponseOf<A> = A extends Api<unknown, never, infer Response, never> ? Response : never

export interface ApiDeclaration<Request, Response> {
  readonly key: number
  readonly name: string
  readonly versions: readonly [min: number, max: number]
  readonly flexible: number
  readonly request: Request
  readonly response: Response
}

type AnyStruct = Field<object, object, false>

export function defineApi<Q extends AnyStruct, S extends AnyStruct>(
  declaration: ApiDeclaration<Q, S>,
): Api<OutOf<Q>, InOf<Q>, OutOf<S>, InOf<S>> {
  const { key, name, versions, flexible } = declaration
  const request = new Codec(`${name} request`, declaration.request.spec, versions, flexible)
  const response = new Codec(`${name} response`, declaration.response.spec, versions, flexible)
  return {
    key,
    name,
    versions,
    flexibleSince: flexible,
    request: declaration.request.spec,
    response: declaration.response.spec,
    decodeRequest: (version, body, options) => request.decode(version, body, options) as OutOf<Q>,
    encodeRequest: (version, value) => request.encode(version, value),
    decodeResponse: (version, body, options) => response.decode(version, body, options) as OutOf<S>,
    encodeResponse: (version, value) => response.encode(version, value),
    writeRequest: (writer, version, value) => request.write(writer, version, value),
    writeResponse: (writer, version, value) => response.write(writer, version, value),
    requestHeaderVersion: (version) => (version >= flexible ? 2 : 1),
    responseHeaderVersion: (version) => (version >= flexible && key !== API_VERSIONS_KEY ? 1 : 0),
  }
}

/** The compiled versions of one struct. */
class Codec {
  readonly #name: string
  readonly #type: Extract<FieldSpec['type'], { kind: 'struct' }>
  readonly #versions: readonly [number, number]
  readonly #flexible: number
  readonly #decoders: Decode[] = []
  readonly #encoders: Encode[] = []

  constructor(name: string, spec: FieldSpec, versions: readonly [number, number], flexible: number) {
    if (spec.type.kind !== 'struct') throw new TypeError(`${name} is not a struct`)
    this.#name = name
    this.#type = spec.type
    this.#versions = versions
    this.#flexible = flexible
  }

  decode(version: number, body: Uint8Array, options?: DecodeOptions): unknown {
    const decode = (this.#decoders[version] ??= compileDecoder(this.#type, this.#check(version), version >= this.#flexible))
    return decode(new Reader(body, options?.budgetBytes))
  }

  encode(version: number, value: unknown): Uint8Array[] {
    const writer = new Writer()
    this.write(writer, version, value)
    return writer.finish()
  }

  write(writer: Writer, version: number, value: unknown): void {
    const encode = (this.#encoders[version] ??= compileEncoder(this.#type, this.#check(version), version >= this.#flexible))
    encode(writer, value)
  }

  #check(version: number): number {
    const [min, max] = this.#versions
    if (!Number.isInteger(version) || version < min || version > max) throw new ProtocolError(`${this.#name} has no version ${version}`)
    return version
  }
}
