/**
 * Turns a declaration into the decoder of one version: a closure per field that knows its wire type, so that nothing of
 * the declaration is looked at while messages are read.
 */
import type { Reader } from '../wire/reader.ts'
import { ProtocolError } from '../wire/protocol-error.ts'
import { defaultOf, existsIn, isTaggedIn, type FieldSpec, type FieldType, type PrimitiveKind } from './field.ts'

export type Decode = (reader: Reader) => unknown

type StructType = Extract<FieldType, { kind: 'struct' }>
type ArrayType = Extract<FieldType, { kind: 'array' }>

/** Estimated heap bytes of an object without fields, and of each field or array element. */
const OBJECT_COST = 32
const SLOT_COST = 8

/** The least bytes that a value of a primitive type takes on the wire; the length fields of the others depend on flexibility. */
const FIXED_BYTES: Partial<Record<PrimitiveKind, number>> = {
  int8: 1, int16: 2, int32: 4, int64: 8, uint16: 2, uint32: 4, float64: 8, boolean: 1, uuid: 16,
}

/** The decoder of a struct in a version. `flexible` selects compact types and tagged fields (KIP-482). */
export function compileDecoder(type: StructType, version: number, flexible: boolean): Decode {
  const template: Record<string, unknown> = {}
  const names: string[] = []
  const decoders: Decode[] = []
  const tagged = new Map<number, { name: string, decode: Decode }>()
  for (const [name, spec] of Object.entries(type.fields)) {
    template[name] = defaultOf(spec)
    if (!existsIn(spec, version)) continue
    const decode = compileField(name, spec, version, flexible)
    if (spec.tag !== undefined && isTaggedIn(spec, version)) {
      tagged.set(spec.tag, { name, decode })
    } else {
      names.push(name)
      decoders.push(decode)
    }
  }

  const decodePlain = (reader: Reader): Record<string, unknown> => {
    const value = { ...template }
    for (let index = 0; index < decoders.length; index++) value[names[index] as string] = (decoders[index] as Decode)(reader)
    return value
  }
  if (!flexible) return decodePlain
  if (tagged.size === 0) {
    return (reader) => {
      const value = decodePlain(reader)
      reader.skipTaggedFields()
      return value
    }
  }
  return (reader) => {
    const value = decodePlain(reader)
    for (let count = reader.uvarint(); count > 0; count--) {
      const known = tagged.get(reader.uvarint())
      const length = reader.uvarint()
      if (known === undefined) {
        reader.skip(length)
        continue
      }
      const end = reader.position + length
      value[known.name] = known.decode(reader)
      if (reader.position !== end) throw new ProtocolError(`the tagged field ${known.name} is not as long as it says`)
    }
    return value
  }
}

function compileField(name: string, spec: FieldSpec, version: number, flexible: boolean): Decode {
  const { type } = spec
  const nullable = version >= spec.nullableSince
  const nothing = (): null => {
    if (!nullable) throw new ProtocolError(`${name} must not be null in version ${version}`)
    return null
  }
  switch (type.kind) {
    case 'int8': return (reader) => reader.int8()
    case 'int16': return (reader) => reader.int16()
    case 'int32': return (reader) => reader.int32()
    case 'int64': return (reader) => reader.int64()
    case 'uint16': return (reader) => reader.uint16()
    case 'uint32': return (reader) => reader.uint32()
    case 'float64': return (reader) => reader.float64()
    case 'boolean': return (reader) => reader.boolean()
    case 'uuid': return (reader) => reader.uuid()
    case 'string': return (reader) => {
      const length = flexible ? reader.compactLength() : reader.stringLength()
      return length < 0 ? nothing() : reader.utf8(length)
    }
    case 'bytes': return (reader) => {
      const length = flexible ? reader.compactLength() : reader.length()
      return length < 0 ? nothing() : reader.copy(length)
    }
    case 'records': return (reader) => {
      const length = flexible ? reader.compactLength() : reader.length()
      if (length < 0) return nothing()
      return length === 0 ? [] : [reader.view(length)]
    }
    case 'array': return compileArray(type, version, flexible, nothing)
    case 'struct': {
      const decode = compileDecoder(type, version, flexible)
      const cost = costOf(spec)
      return spec.nullableSince === Infinity
        ? decode
        : (reader) => {
            if (nullable && reader.int8() < 0) return null
            reader.charge(cost)
            return decode(reader)
          }
    }
    default: throw new TypeError(`unknown type: ${JSON.stringify(type satisfies never)}`)
  }
}

function compileArray(type: ArrayType, version: number, flexible: boolean, nothing: () => null): Decode {
  const decode = compileField('an element', type.element, version, flexible)
  const elementBytesMin = Math.max(1, wireBytesMin(type.element, version, flexible))
  const elementCost = costOf(type.element)
  return (reader) => {
    const count = flexible ? reader.compactLength() : reader.length()
    if (count < 0) return nothing()
    reader.checkCount(count, elementBytesMin, elementCost)
    const values: unknown[] = []
    for (let index = 0; index < count; index++) values.push(decode(reader))
    return values
  }
}

function wireBytesMin(spec: FieldSpec, version: number, flexible: boolean): number {
  const { type } = spec
  if (type.kind === 'struct') {
    if (version >= spec.nullableSince) return 1
    let sum = flexible ? 1 : 0
    for (const field of Object.values(type.fields)) {
      if (existsIn(field, version) && !isTaggedIn(field, version)) sum += wireBytesMin(field, version, flexible)
    }
    return sum
  }
  if (type.kind === 'array') return flexible ? 1 : 4
  return FIXED_BYTES[type.kind] ?? (flexible ? 1 : type.kind === 'string' ? 2 : 4)
}

/** Estimated heap bytes of a value with its slot; strings, arrays and byte strings inside are charged when they are read. */
function costOf(spec: FieldSpec): number {
  const { type } = spec
  if (type.kind !== 'struct') return SLOT_COST
  return OBJECT_COST + SLOT_COST + Object.values(type.fields).reduce((sum, field) => sum + costOf(field), 0)
}
