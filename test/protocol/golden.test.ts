/** Our codecs against bytes that Kafka's own Java classes wrote (golden/README.md says how). */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { errorName, isRetriable, KafkaError } from '../../protocol/errors.ts'
import { decodeRequestHeader, requestHeaderVersion } from '../../protocol/messages/header.ts'
import { defaultOf, type FieldSpec } from '../../protocol/schema/field.ts'
import { codecsOf, DECLARED_APIS, versionsOf } from './declared-apis.ts'

interface Vector {
  readonly type: 'request' | 'response'
  readonly version: number
  readonly header: number
  readonly hex: string
  readonly value: unknown
}

interface GoldenApi {
  readonly key: number
  readonly vectors: readonly Vector[]
}

interface GoldenHeaders {
  readonly vectors: readonly { readonly hex: string, readonly value: object }[]
  readonly requestHeaderVersions: readonly (readonly [key: number, version: number, headerVersion: number])[]
}

type GoldenErrors = readonly (readonly [code: number, name: string, retriable: boolean])[]

function readGolden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`golden/${name}.json`, import.meta.url), 'utf8'))
}

/** Turns the hex strings of a golden value into what the codec has for byte strings and records. */
function fromGolden({ type }: FieldSpec, value: unknown): unknown {
  if (value === null) return null
  if (type.kind === 'bytes') return Uint8Array.from(Buffer.from(value as string, 'hex'))
  if (type.kind === 'records') return value === '' ? [] : [Buffer.from(value as string, 'hex')]
  if (type.kind === 'array') return (value as unknown[]).map((element) => fromGolden(type.element, element))
  if (type.kind !== 'struct') return value
  return Object.fromEntries(Object.entries(value as object).map(([name, field]) => {
    const declared = type.fields[name]
    ok(declared !== undefined, `the field ${name} is not declared`)
    return [name, fromGolden(declared, field)]
  }))
}

/** Leaves out every field that equals its default. */
function withoutDefaults({ type }: FieldSpec, value: unknown): unknown {
  if (value === null) return null
  if (type.kind === 'array') return (value as unknown[]).map((element) => withoutDefaults(type.element, element))
  if (type.kind !== 'struct') return value
  return Object.fromEntries(Object.entries(value as object).flatMap(([name, field]: [string, unknown]) => {
    const declared = type.fields[name]
    ok(declared !== undefined)
    return isDeepStrictEqual(field, defaultOf(declared)) ? [] : [[name, withoutDefaults(declared, field)]]
  }))
}

suite('golden vectors', () => {
  for (const { file, api } of DECLARED_APIS) {
    test(file, () => {
      const golden = readGolden(file) as GoldenApi
      equal(api.key, golden.key)
      for (const { type, spec, decode, encode } of codecsOf(api)) {
        const vectors = golden.vectors.filter((vector) => vector.type === type)
        deepEqual([...new Set(vectors.map(({ version }) => version))], versionsOf(api))
        for (const { version, header, hex, value } of vectors) {
          const what = `${api.name} ${type} v${version}`
          const expected = fromGolden(spec, value)
          deepEqual(decode(version, Buffer.from(hex, 'hex')), expected, `${what} is decoded`)
          equal(Buffer.concat(encode(version, expected)).toString('hex'), hex, `${what} is encoded`)
          const short = Buffer.concat(encode(version, withoutDefaults(spec, expected)))
          equal(short.toString('hex'), hex, `${what} is encoded without its defaults`)
          equal(type === 'request' ? api.requestHeaderVersion(version) : api.responseHeaderVersion(version), header, `header of ${what}`)
        }
      }
    })
  }

  test('request headers', () => {
    const golden = readGolden('headers') as GoldenHeaders
    for (const { hex, value } of golden.vectors) {
      const frame = Buffer.from(`${hex}0102`, 'hex')
      deepEqual(decodeRequestHeader(frame), { ...value, bodyOffset: frame.length - 2 })
    }
    ok(golden.requestHeaderVersions.length > 200)
    for (const [key, version, headerVersion] of golden.requestHeaderVersions) {
      equal(requestHeaderVersion(key, version), headerVersion, `API ${key} v${version}`)
    }
  })

  test('error codes', () => {
    const golden = readGolden('errors') as GoldenErrors
    deepEqual(Object.fromEntries(golden.map(([code, name]) => [name, code])), KafkaError)
    for (const [code, name, retriable] of golden) {
      equal(errorName(code), name)
      equal(isRetriable(code), retriable, name)
    }
    equal(errorName(9999), 'UNKNOWN(9999)')
  })
})
