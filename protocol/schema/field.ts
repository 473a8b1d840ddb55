/**
 * The declaration language of messages: a request or response is written once, with the versions in which each field
 * exists, as in Kafka's own message definitions (clients/src/main/resources/common/message/README.md there). TypeScript
 * types are inferred from it.
 *
 *     struct({ index: int32, topicId: uuid.since(13), logAppendTimeMs: int64.default(-1) })
 *
 * A decoded value always has every field: one that its version lacks has its default. To encode, fields that have a
 * default or that some version lacks may be left out; a value that a version cannot carry is dropped, and a null where
 * it cannot carry null becomes the empty value of the type, so that a handler never looks at versions to be encodable.
 */

/** The int64 value that stands for Long.MAX_VALUE. */
export const LONG_MAX = Number.MAX_SAFE_INTEGER
/** The UUID of zeroes, which means "none". */
export const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'

export type PrimitiveKind =
  | 'int8' | 'int16' | 'int32' | 'int64' | 'uint16' | 'uint32' | 'float64' | 'boolean' | 'uuid' | 'string' | 'bytes' | 'records'

export type FieldType =
  | { readonly kind: PrimitiveKind }
  | { readonly kind: 'array', readonly element: FieldSpec }
  | { readonly kind: 'struct', readonly fields: Readonly<Record<string, FieldSpec>> }

/** What a declaration says, for the compiler and for the conformance test. Version ranges are inclusive. */
export interface FieldSpec {
  readonly type: FieldType
  readonly since: number
  readonly until: number
  /** The first version that can carry null, or Infinity. */
  readonly nullableSince: number
  /** The tag, and the first version in which the field is a tagged one (KIP-482). */
  readonly tag: number | undefined
  readonly taggedSince: number
  /** Undefined where the type's own default (0, false, '', no elements, the defaults of its fields) applies. */
  readonly default: unknown
}

declare const shape: unique symbol

/**
 * A declared field, which is immutable: each method gives a new one. `Out` is what decoding gives, `In` what encoding
 * takes, `Optional` whether encoding may leave it out.
 */
export interface Field<Out, In, Optional extends boolean> {
  readonly spec: FieldSpec
  /** Exists only in types. */
  readonly [shape]?: { out: Out, in: In, optional: Optional }
  /** The field exists from this version on. */
  since(version: number): Field<Out, In, true>
  /** The field exists up to this version, inclusive. */
  until(version: number): Field<Out, In, true>
  /** The field can carry null from this version on. */
  nullableSince(version: number): Field<Out | null, In | null, Optional>
  /** The value of a field that is absent. */
  default(value: Out): Field<Out, In, true>
  /** The field is a tagged one from version `since` on, and exists from then on unless `since()` said earlier. */
  tagged(tag: number, since: number): Field<Out, In, true>
}

export type AnyField = Field<unknown, unknown, boolean>
export type Fields = Readonly<Record<string, AnyField>>

export type OutOf<F> = F extends Field<infer Out, unknown, boolean> ? Out : never
export type InOf<F> = F extends Field<unknown, infer In, boolean> ? In : never

type IsOptional<F> = F extends Field<unknown, unknown, infer Optional> ? Optional : never
type OptionalKeys<F> = { [K in keyof F]: IsOptional<F[K]> extends true ? K : never }[keyof F]

export type StructOut<F> = { readonly [K in keyof F]: OutOf<F[K]> }
export type StructIn<F> =
  & { [K in Exclude<keyof F, OptionalKeys<F>>]: InOf<F[K]> }
  & { [K in OptionalKeys<F>]?: InOf<F[K]> | undefined }

function field<Out, In, Optional extends boolean>(spec: FieldSpec): Field<Out, In, Optional> {
  return {
    spec,
    since: (version) => field({ ...spec, since: version }),
    until: (version) => field({ ...spec, until: version }),
    nullableSince: (version) => field({ ...spec, nullableSince: version }),
    default: (value) => field({ ...spec, default: value }),
    tagged: (tag, since) => field({ ...spec, tag, taggedSince: since, since: spec.since === 0 ? since : spec.since }),
  }
}

function always(type: FieldType): FieldSpec {
  return { type, since: 0, until: Infinity, nullableSince: Infinity, tag: undefined, taggedSince: Infinity, default: undefined }
}

function primitive<T>(kind: PrimitiveKind): Field<T, T, false> {
  return field(always({ kind }))
}

export const int8 = primitive<number>('int8')
export const int16 = primitive<number>('int16')
export const int32 = primitive<number>('int32')
/** A safe integer; beyond that range it saturates (see `Reader.int64`). */
export const int64 = primitive<number>('int64')
export const uint16 = primitive<number>('uint16')
export const uint32 = primitive<number>('uint32')
export const float64 = primitive<number>('float64')
export const boolean = primitive<boolean>('boolean')
/** 22 characters of base64url. */
export const uuid = primitive<string>('uuid')
export const string = primitive<string>('string')
export const nullableString = string.nullableSince(0)
/** Decoding gives a copy, so that a value that is kept does not keep its frame. */
export const bytes = primitive<Uint8Array>('bytes')
export const nullableBytes = bytes.nullableSince(0)
/**
 * Record batches. Decoding gives at most one chunk, a view on the frame; encoding sends the chunks one after the other
 * without copying them, so their owner must leave them unchanged until they are sent.
 */
export const records = primitive<readonly Uint8Array[]>('records').nullableSince(0).default(null)

export function struct<F extends Fields>(fields: F): Field<StructOut<F>, StructIn<F>, false> {
  const specs = Object.fromEntries(Object.entries(fields).map(([name, { spec }]) => [name, spec]))
  return field(always({ kind: 'struct', fields: specs }))
}

export function array<Out, In>(element: Field<Out, In, boolean>): Field<readonly Out[], readonly In[], false> {
  return field(always({ kind: 'array', element: element.spec }))
}

export function nullableArray<Out, In>(element: Field<Out, In, boolean>): Field<readonly Out[] | null, readonly In[] | null, false> {
  return array(element).nullableSince(0)
}

/** Whether the field exists in a version. */
export function existsIn(spec: FieldSpec, version: number): boolean {
  return version >= spec.since && version <= spec.until
}

/** Whether the field is written among the tagged fields in a version in which it exists. */
export function isTaggedIn(spec: FieldSpec, version: number): boolean {
  return spec.tag !== undefined && version >= spec.taggedSince
}

/** The value of an absent field. Arrays and objects are shared and frozen. */
export function defaultOf(spec: FieldSpec): unknown {
  return spec.default === undefined ? emptyOf(spec.type) : spec.default
}

const NO_ELEMENTS: readonly unknown[] = Object.freeze([])
const NO_BYTES = new Uint8Array(0)

/** The value of a type that says nothing: Kafka's implicit default. */
export function emptyOf(type: FieldType): unknown {
  switch (type.kind) {
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'uint16':
    case 'uint32':
    case 'float64': return 0
    case 'boolean': return false
    case 'uuid': return ZERO_UUID
    case 'string': return ''
    case 'bytes': return NO_BYTES
    case 'records':
    case 'array': return NO_ELEMENTS
    case 'struct': return Object.freeze(Object.fromEntries(Object.entries(type.fields).map(([name, spec]) => [name, defaultOf(spec)])))
    default: throw new TypeError(`unknown type: ${JSON.stringify(type satisfies never)}`)
  }
}
