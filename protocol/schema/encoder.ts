/**
 * Turns a declaration into the encoder of one version: a closure per field that knows its wire type and its default.
 */
import { Writer } from '../wire/writer.ts'
import { ProtocolError } from '../wire/protocol-error.ts'
import { defaultOf, emptyOf, existsIn, isTaggedIn, type FieldSpec, type FieldType } from './field.ts'

export type Encode = (writer: Writer, value: unknown) => void

type StructType = Extract<FieldType, { kind: 'struct' }>
type ArrayType = Extract<FieldType, { kind: 'array' }>
type Record_ = Readonly<Record<string, unknown>>

interface FieldEncoder {
  readonly name: string
  readonly fallback: unknown
  readonly encode: Encode
}

interface TaggedEncoder extends FieldEncoder {
  readonly tag: number
  readonly isDefault: (value: unknown) => boolean
}

/** The encoder of a struct in a version. `flexible` selects compact types and tagged fields (KIP-482). */
export function compileEncoder(type: StructType, version: number, flexible: boolean): Encode {
  const plain: FieldEncoder[] = []
  const tagged: TaggedEncoder[] = []
  for (const [name, spec] of Object.entries(type.fields)) {
    if (!existsIn(spec, version)) continue
    const field = { name, fallback: defaultOf(spec), encode: compileField(spec, version, flexible) }
    if (spec.tag !== undefined && isTaggedIn(spec, version)) tagged.push({ ...field, tag: spec.tag, isDefault: defaultTest(spec) })
    else plain.push(field)
  }
  tagged.sort((a, b) => a.tag - b.tag)

  return (writer, value) => {
    for (let index = 0; index < plain.length; index++) {
      const field = plain[index] as FieldEncoder
      const given = (value as Record_)[field.name]
      field.encode(writer, given === undefined ? field.fallback : given)
    }
    if (flexible) encodeTagged(writer, value as Record_, tagged)
  }
}

/** Tagged fields are sent only where they differ from their defaults, in the order of their tags. */
function encodeTagged(writer: Writer, value: Record_, tagged: readonly TaggedEncoder[]): void {
  let sent: TaggedEncoder[] | undefined
  for (const field of tagged) {
    const given = value[field.name]
    if (given !== undefined && !field.isDefault(given)) (sent ??= []).push(field)
  }
  writer.uvarint(sent?.length ?? 0)
  for (const field of sent ?? []) {
    const content = new Writer()
    field.encode(content, value[field.name])
    const length = content.length
    writer.uvarint(field.tag)
    writer.uvarint(length)
    for (const chunk of content.finish()) writer.raw(chunk)
  }
}

function compileField(spec: FieldSpec, version: number, flexible: boolean): Encode {
  const encode = compileType(spec.type, version, flexible)
  if (spec.nullableSince === Infinity) return encode
  const isStruct = spec.type.kind === 'struct'
  if (version < spec.nullableSince) {
    const empty = emptyOf(spec.type)
    return (writer, value) => encode(writer, value === null ? empty : value)
  }
  const encodeNull = nullEncoder(spec.type, flexible)
  if (!isStruct) return (writer, value) => (value === null ? encodeNull(writer) : encode(writer, value))
  return (writer, value) => {
    if (value === null) return encodeNull(writer)
    writer.int8(1)
    encode(writer, value)
  }
}

function nullEncoder(type: FieldType, flexible: boolean): (writer: Writer) => void {
  if (type.kind === 'struct') return (writer) => writer.int8(-1)
  if (flexible) return (writer) => writer.uvarint(0)
  return type.kind === 'string' ? (writer) => writer.int16(-1) : (writer) => writer.int32(-1)
}

function compileType(type: FieldType, version: number, flexible: boolean): Encode {
  switch (type.kind) {
    case 'int8': return (writer, value) => writer.int8(value as number)
    case 'int16': return (writer, value) => writer.int16(value as number)
    case 'int32': return (writer, value) => writer.int32(value as number)
    case 'int64': return (writer, value) => writer.int64(value as number)
    case 'uint16': return (writer, value) => writer.uint16(value as number)
    case 'uint32': return (writer, value) => writer.uint32(value as number)
    case 'float64': return (writer, value) => writer.float64(value as number)
    case 'boolean': return (writer, value) => writer.boolean(value as boolean)
    case 'uuid': return (writer, value) => writer.uuid(value as string)
    case 'string': return flexible
      ? (writer, value) => writer.compactString(value as string)
      : (writer, value) => writer.string(value as string)
    case 'bytes': return (writer, value) => {
      encodeLength(writer, (value as Uint8Array).length, flexible)
      writer.raw(value as Uint8Array)
    }
    case 'records': return (writer, value) => {
      const chunks = value as readonly Uint8Array[]
      let length = 0
      for (const chunk of chunks) length += chunk.length
      encodeLength(writer, length, flexible)
      for (const chunk of chunks) writer.raw(chunk)
    }
    case 'array': return compileArray(type, version, flexible)
    case 'struct': return compileEncoder(type, version, flexible)
    default: throw new TypeError(`unknown type: ${JSON.stringify(type satisfies never)}`)
  }
}

function compileArray(type: ArrayType, version: number, flexible: boolean): Encode {
  const encode = compileField(type.element, version, flexible)
  return (writer, value) => {
    const values = value as readonly unknown[]
    encodeLength(writer, values.length, flexible)
    for (let index = 0; index < values.length; index++) encode(writer, values[index])
  }
}

function encodeLength(writer: Writer, length: number, flexible: boolean): void {
  if (length > 0x7fff_fffe) throw new ProtocolError(`a length of ${length} cannot be sent`)
  if (flexible) writer.uvarint(length + 1)
  else writer.int32(length)
}

/** Whether a value of a tagged field equals its default, for the types that tagged fields have. */
function defaultTest(spec: FieldSpec): (value: unknown) => boolean {
  const fallback = defaultOf(spec)
  const { type } = spec
  if (type.kind === 'array' || type.kind === 'bytes' || type.kind === 'records') {
    if (fallback === null) return (value) => value === null
    return (value) => value !== null && (value as { readonly length: number }).length === 0
  }
  if (type.kind !== 'struct' || fallback === null) return (value) => value === fallback
  const fields = Object.entries(type.fields).map(([name, field]) => ({ name, isDefault: defaultTest(field) }))
  return (value) => value !== null && fields.every(({ name, isDefault }) => {
    const given = (value as Record_)[name]
    return given === undefined || isDefault(given)
  })
}
