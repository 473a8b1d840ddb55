/** What one setting is, and the kinds of values that settings have. The declarations are in `settings.ts`. */
import { z } from 'zod'

export interface Setting<T> {
  /** Takes what a flag, a variable or YAML gives (text, number, boolean) and gives the value, or fails. */
  readonly schema: z.ZodType<T>
  readonly default: T
  /** One line of help. */
  readonly doc: string
  /** What may be written, as it ends the sentence "allowed is …". */
  readonly allowed: string
  /** The type that DescribeConfigs reports. */
  readonly type: SettingType
  /** The value as a person would write it; the inverse of parsing. */
  format(value: T): string
  /** Has Kafka's name and meaning, so that DescribeConfigs lists it as a broker config. */
  readonly kafka?: true
  /** Shown as `***`. */
  readonly secret?: true
}

export type SettingType = 'boolean' | 'string' | 'int' | 'long' | 'double' | 'list'

/** Where a service listens or is reached. */
export interface Address {
  readonly host: string
  readonly port: number
}

const int32Max = 2_147_483_647

/** A whole number. `max` is inclusive. */
export function integer(fallback: number, min: number, max: number, doc: string): Setting<number> {
  return {
    schema: wholeNumber.pipe(z.int().min(min).max(max)),
    default: fallback,
    doc,
    allowed: max === int32Max || max === Number.MAX_SAFE_INTEGER ? `an integer from ${min}` : `an integer from ${min} to ${max}`,
    type: max <= int32Max ? 'int' : 'long',
    format: String,
  }
}

/**
 * A Kafka `long` whose largest value means "no limit". Kafka's 2^63-1, which no JavaScript number holds, is read as
 * Number.MAX_SAFE_INTEGER and printed as Kafka prints it.
 */
export function long(fallback: number, min: number, doc: string): Setting<number> {
  return {
    schema: wholeNumber.transform(n => Math.min(n, Number.MAX_SAFE_INTEGER)).pipe(z.int().min(min)),
    default: fallback,
    doc,
    allowed: `an integer from ${min}`,
    type: 'long',
    format: value => (value === Number.MAX_SAFE_INTEGER ? '9223372036854775807' : String(value)),
  }
}

/** A share, from 0 to 1. */
export function ratio(fallback: number, doc: string): Setting<number> {
  const number = z.union([z.number(), z.string().regex(/^(\d+\.?\d*|\.\d+)$/).transform(Number)])
  return { schema: number.pipe(z.number().min(0).max(1)), default: fallback, doc, allowed: 'a number from 0 to 1', type: 'double', format: String }
}

/** `true` or `false`, as text or as YAML has it. */
export function flag(fallback: boolean, doc: string): Setting<boolean> {
  return {
    schema: z.union([z.boolean(), z.literal('true').transform(() => true), z.literal('false').transform(() => false)]),
    default: fallback,
    doc,
    allowed: 'true or false',
    type: 'boolean',
    format: String,
  }
}

export function oneOf<const T extends string>(fallback: NoInfer<T>, values: readonly T[], doc: string): Setting<T> {
  return { schema: z.enum(values), default: fallback, doc, allowed: `one of ${values.join(', ')}`, type: 'string', format: String }
}

/** Some of these values, separated by commas or as a YAML list; at least one, each once. */
export function someOf<const T extends string>(fallback: readonly NoInfer<T>[], values: readonly T[], doc: string): Setting<readonly T[]> {
  const items = z.union([z.array(z.string()), z.string().transform((value) => value.split(',').map((item) => item.trim()))])
  const distinct = z.array(z.enum(values)).nonempty().refine((list) => new Set(list).size === list.length)
  return {
    schema: items.pipe(distinct),
    default: fallback,
    doc,
    allowed: `a list of ${values.join(', ')}`,
    type: 'list',
    format: (list) => list.join(','),
  }
}

export function text(fallback: string, pattern: RegExp, allowed: string, doc: string): Setting<string> {
  return { schema: z.string().regex(pattern), default: fallback, doc, allowed, type: 'string', format: String }
}

/** `host:port`, with an IPv6 address in brackets. */
export function address(fallback: string, doc: string): Setting<Address> {
  return {
    schema: addressText,
    default: addressText.parse(fallback),
    doc,
    allowed: 'host:port (an IPv6 address in brackets; port 0 picks a free one)',
    type: 'string',
    format: formatAddress,
  }
}

/** An address, or `word`, which stands for null. */
export function optionalAddress(fallback: string, word: string, doc: string): Setting<Address | null> {
  const schema = z.union([z.literal(word).transform(() => null), addressText])
  return {
    schema,
    default: schema.parse(fallback),
    doc,
    allowed: `host:port or ${word}`,
    type: 'string',
    format: value => (value === null ? word : formatAddress(value)),
  }
}

/** Marks settings that carry Kafka's names. */
export function kafka<T>(setting: Setting<T>): Setting<T> {
  return { ...setting, kafka: true }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

const wholeNumber = z.union([
  z.number(),
  z
    .string()
    .regex(/^[+-]?\d+$/)
    .transform(Number),
])

const addressText = z.string().transform((value, context): Address => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(value)
  const port = Number(match?.[3])
  if (!match || port > 65_535) {
    context.addIssue({ code: 'custom', message: 'not host:port' })
    return z.NEVER
  }
  return { host: (match[1] ?? match[2])!, port }
})
