/**
 * A request as the pieces that its bytes consist of, each with what it means: a length, a count, a content, tagged fields. Put together they are
 * what the encoder of protocol/schema writes; taken apart they can be damaged where it hurts.
 */
import { existsIn, isTaggedIn } from '../../protocol/schema/field.ts'
import type { FieldSpec, FieldType } from '../../protocol/schema/field.ts'
import { Writer } from '../../protocol/wire/writer.ts'
import type { UntypedApi } from '../protocol/declared-apis.ts'

/** How a length or count is written; a compact one is written as one more than it is. */
export type Form = 'int8' | 'int16' | 'int32' | 'compact' | 'uvarint'

export type Piece =
  | { readonly kind: 'fixed' | 'content'; readonly bytes: Buffer }
  /** `counts` for arrays and tagged fields, lengths for all else; -1 is null. */
  | { readonly kind: 'length' | 'count' | 'presence'; readonly form: Form; readonly value: number; readonly bytes: Buffer }

type Struct = Extract<FieldType, { kind: 'struct' }>

/** The pieces of a request's header and body. */
export function piecesOf(api: UntypedApi, version: number, correlationId: number, request: unknown): Piece[] {
  const flexible = version >= api.flexibleSince
  const clientId = Buffer.from('hostile')
  const header: Piece[] = [
    fixed(writer => writer.int16(api.key)),
    fixed(writer => writer.int16(version)),
    fixed(writer => writer.int32(correlationId)),
    sized('length', 'int16', clientId.length),
    { kind: 'content', bytes: clientId },
  ]
  if (flexible) header.push(sized('count', 'uvarint', 0))
  return [...header, ...structPieces(api.request.type as Struct, version, flexible, request)]
}

/** The bytes of a length, whatever it says. */
export function lengthBytes(form: Form, value: number): Buffer {
  switch (form) {
    case 'int8': return bytesOf(writer => writer.int8((value << 24) >> 24))
    case 'int16': return bytesOf(writer => writer.int16((value << 16) >> 16))
    case 'int32': return bytesOf(writer => writer.int32(value | 0))
    case 'compact': return bytesOf(writer => writer.uvarint((value + 1) >>> 0))
    case 'uvarint': return bytesOf(writer => writer.uvarint(value >>> 0))
    default: throw new TypeError(`unknown form: ${String(form satisfies never)}`)
  }
}

export function sized(kind: 'length' | 'count' | 'presence', form: Form, value: number): Piece {
  return { kind, form, value, bytes: lengthBytes(form, value) }
}

function structPieces(type: Struct, version: number, flexible: boolean, value: unknown): Piece[] {
  const given = value as Readonly<Record<string, unknown>>
  const pieces: Piece[] = []
  const tagged: [number, FieldSpec, unknown][] = []
  for (const [name, spec] of Object.entries(type.fields)) {
    if (!existsIn(spec, version)) continue
    if (isTaggedIn(spec, version)) {
      if (given[name] !== undefined) tagged.push([spec.tag!, spec, given[name]])
    } else {
      pieces.push(...fieldPieces(spec, version, flexible, given[name]))
    }
  }
  if (!flexible) return pieces
  pieces.push(sized('count', 'uvarint', tagged.length))
  for (const [tag, spec, content] of tagged.toSorted(([a], [b]) => a - b)) {
    const inner = fieldPieces(spec, version, flexible, content)
    pieces.push(fixed(writer => writer.uvarint(tag)), sized('length', 'uvarint', inner.reduce((sum, { bytes }) => sum + bytes.length, 0)), ...inner)
  }
  return pieces
}

function fieldPieces(spec: FieldSpec, version: number, flexible: boolean, value: unknown): Piece[] {
  const { type } = spec
  if (type.kind === 'struct' && version >= spec.nullableSince) {
    return value === null ? [sized('presence', 'int8', -1)] : [sized('presence', 'int8', 1), ...structPieces(type, version, flexible, value)]
  }
  switch (type.kind) {
    case 'int8': return [fixed(writer => writer.int8(value as number))]
    case 'int16': return [fixed(writer => writer.int16(value as number))]
    case 'int32': return [fixed(writer => writer.int32(value as number))]
    case 'int64': return [fixed(writer => writer.int64(value as number))]
    case 'uint16': return [fixed(writer => writer.uint16(value as number))]
    case 'uint32': return [fixed(writer => writer.uint32(value as number))]
    case 'float64': return [fixed(writer => writer.float64(value as number))]
    case 'boolean': return [fixed(writer => writer.boolean(value as boolean))]
    case 'uuid': return [fixed(writer => writer.uuid(value as string))]
    case 'string': return contentPieces(flexible ? 'compact' : 'int16', value === null ? null : Buffer.from(value as string))
    case 'bytes': return contentPieces(flexible ? 'compact' : 'int32', value === null ? null : Buffer.from(value as Uint8Array))
    case 'records': return contentPieces(flexible ? 'compact' : 'int32', value === null ? null : Buffer.concat(value as Uint8Array[]))
    case 'struct': return structPieces(type, version, flexible, value)
    case 'array': {
      const form = flexible ? 'compact' : 'int32'
      if (value === null) return [sized('count', form, -1)]
      const elements = value as readonly unknown[]
      return [sized('count', form, elements.length), ...elements.flatMap(element => fieldPieces(type.element, version, flexible, element))]
    }
    default: throw new TypeError(`unknown type: ${JSON.stringify(type satisfies never)}`)
  }
}

function contentPieces(form: Form, content: Buffer | null): Piece[] {
  if (content === null) return [sized('length', form, -1)]
  return [sized('length', form, content.length), { kind: 'content', bytes: content }]
}

function fixed(write: (writer: Writer) => void): Piece {
  return { kind: 'fixed', bytes: bytesOf(write) }
}

function bytesOf(write: (writer: Writer) => void): Buffer {
  const writer = new Writer()
  write(writer)
  return Buffer.concat(writer.finish())
}
