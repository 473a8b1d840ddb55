/**
 * Our declarations against Kafka's own message definitions, field by field and version by version. Needs the kafka-clients jar, which
 * scripts/fetch-kafka-clients.sh brings; the golden vectors need no jar and check the same codecs by their bytes.
 */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { suite, test } from 'node:test'
import { requestHeaderVersion } from '../../protocol/messages/header.ts'
import { defaultOf, existsIn, isTaggedIn, ZERO_UUID, type FieldSpec } from '../../protocol/schema/field.ts'
import { codecsOf, DECLARED_APIS, versionsOf } from './declared-apis.ts'
import { findKafkaJar, KAFKA_VERSION, readKafkaMessages, type KafkaField, type KafkaMessage } from './kafka-jar.ts'

/** One field as a version sees it, in a form that both sides can be brought to. */
interface Seen {
  readonly name: string
  readonly type: string
  readonly nullable: boolean
  readonly tag: number | null
  readonly default: unknown
  readonly fields: readonly Seen[] | null
}

type Range = readonly [first: number, last: number]

function rangeOf(text: string | undefined): Range {
  if (text === undefined || text === 'none') return [Infinity, -Infinity]
  const match = /^(\d+)(\+|-(\d+))?$/.exec(text)
  ok(match !== null, `a version range: ${text}`)
  const first = Number(match[1])
  if (match[2] === undefined) return [first, first]
  return [first, match[3] === undefined ? Infinity : Number(match[3])]
}

function contains([first, last]: Range, version: number): boolean {
  return version >= first && version <= last
}

function camelCase(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1)
}

const KINDS: Readonly<Record<string, string>> = { bool: 'boolean' }

function fieldsOf(message: KafkaMessage, field: KafkaField): readonly KafkaField[] | undefined {
  if (field.fields !== undefined) return field.fields
  const name = field.type.replace('[]', '')
  return message.commonStructs?.find((struct) => struct.name === name)?.fields
}

function kafkaDefault(message: KafkaMessage, field: KafkaField): unknown {
  const given = field.default === undefined ? undefined : String(field.default)
  if (given === 'null') return null
  if (field.type.startsWith('[]')) return []
  switch (field.type) {
    case 'bool': return given === 'true'
    case 'string': return given ?? ''
    case 'uuid': return ZERO_UUID
    case 'bytes': return new Uint8Array(0)
    case 'records': return null
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'uint16':
    case 'uint32':
    case 'float64': return Math.min(Number(given ?? 0), Number.MAX_SAFE_INTEGER)
    default: {
      const inner = fieldsOf(message, field) ?? []
      return Object.fromEntries(inner.map((member) => [camelCase(member.name), kafkaDefault(message, member)]))
    }
  }
}

function kafkaFields(message: KafkaMessage, fields: readonly KafkaField[], version: number): Seen[] {
  return fields.filter((field) => contains(rangeOf(field.versions), version)).map((field) => {
    const inner = fieldsOf(message, field)
    const element = field.type.replace('[]', '')
    const kind = inner === undefined ? (KINDS[element] ?? element) : 'struct'
    return {
      name: camelCase(field.name),
      type: field.type.startsWith('[]') ? `[]${kind}` : kind,
      nullable: contains(rangeOf(field.nullableVersions), version),
      tag: contains(rangeOf(field.taggedVersions), version) ? (field.tag ?? null) : null,
      default: kafkaDefault(message, field),
      fields: inner === undefined ? null : kafkaFields(message, inner, version),
    }
  })
}

function ourFields(spec: FieldSpec, version: number): Seen[] {
  if (spec.type.kind !== 'struct') throw new Error('not a struct')
  return Object.entries(spec.type.fields).filter(([, field]) => existsIn(field, version)).map(([name, field]) => {
    const element = field.type.kind === 'array' ? field.type.element : field
    return {
      name,
      type: field.type.kind === 'array' ? `[]${element.type.kind}` : field.type.kind,
      nullable: version >= field.nullableSince,
      tag: isTaggedIn(field, version) ? (field.tag ?? null) : null,
      default: defaultOf(field),
      fields: element.type.kind === 'struct' ? ourFields(element, version) : null,
    }
  })
}

const jar = findKafkaJar()
const skip = jar === undefined ? `no kafka-clients ${KAFKA_VERSION} jar here: scripts/fetch-kafka-clients.sh brings it` : false

suite(`Kafka's message definitions`, { skip }, () => {
  const messages: ReadonlyMap<string, KafkaMessage> = jar === undefined ? new Map() : readKafkaMessages(jar)

  for (const { file, api } of DECLARED_APIS) {
    test(file, () => {
      for (const { type, spec } of codecsOf(api)) {
        const message = messages.get(`${api.name}${type === 'request' ? 'Request' : 'Response'}`)
        ok(message !== undefined, `Kafka defines ${api.name}`)
        equal(api.key, message.apiKey)
        deepEqual(api.versions, rangeOf(message.validVersions))
        equal(api.flexibleSince, rangeOf(message.flexibleVersions)[0])
        for (const version of versionsOf(api)) {
          deepEqual(ourFields(spec, version), kafkaFields(message, message.fields, version), `${message.name} v${version}`)
        }
      }
    })
  }

  test('header versions of all requests', () => {
    for (const message of messages.values()) {
      const [first, last] = rangeOf(message.validVersions)
      for (let version = first; version <= last; version++) {
        const expected = contains(rangeOf(message.flexibleVersions), version) ? 2 : 1
        equal(requestHeaderVersion(message.apiKey, version), expected, `${message.name} v${version}`)
      }
    }
  })
})
