/** What the protocol tests share: all APIs that protocol/messages declares, found by their files, so that no test forgets one. */
import { Buffer } from 'node:buffer'
import { readdirSync } from 'node:fs'
import type { Api } from '../../protocol/schema/api.ts'

/** An API whose values are not known to the type checker. */
export type UntypedApi = Api<unknown, unknown, unknown, unknown>

const MESSAGES = new URL('../../protocol/messages/', import.meta.url)

export interface DeclaredApi {
  /** File name without its ending, such as `00-produce`. */
  readonly file: string
  readonly api: UntypedApi
}

export const DECLARED_APIS: readonly DeclaredApi[] = await Promise.all(
  readdirSync(MESSAGES).filter((name) => /^\d\d-.*\.ts$/.test(name)).sort().map(async (name) => {
    const exported = Object.values((await import(new URL(name, MESSAGES).href)) as Record<string, unknown>)
    const api = exported.find((value): value is UntypedApi => typeof value === 'object' && value !== null && 'decodeRequest' in value)
    if (api === undefined) throw new Error(`${name} declares no API`)
    return { file: name.slice(0, -'.ts'.length), api }
  }),
)

/** The four codecs of an API as pairs, so that tests can treat requests and responses alike. */
export function codecsOf(api: UntypedApi): readonly Codec[] {
  return [
    {
      type: 'request',
      spec: api.request,
      decode: (...given) => api.decodeRequest(...given),
      encode: (...given) => api.encodeRequest(...given),
    },
    {
      type: 'response',
      spec: api.response,
      decode: (...given) => api.decodeResponse(...given),
      encode: (...given) => api.encodeResponse(...given),
    },
  ]
}

export interface Codec {
  readonly type: 'request' | 'response'
  readonly spec: UntypedApi['request']
  readonly decode: UntypedApi['decodeRequest']
  readonly encode: UntypedApi['encodeRequest']
}

export function versionsOf(api: UntypedApi): readonly number[] {
  const [min, max] = api.versions
  return Array.from({ length: max - min + 1 }, (_, index) => min + index)
}

/** Bytes given in hex, in as many parts as make them readable. */
export function hex(...parts: readonly string[]): Buffer {
  return Buffer.from(parts.join(''), 'hex')
}
