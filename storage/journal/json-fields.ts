/** Checked access to parsed JSON that somebody else may have written. Every failure is a StoreError 'invalid' that names the field. */
import { StoreError } from '../objects/object-store.ts'

export interface JsonFields {
  has(name: string): boolean
  string(name: string): string
  /** A safe integer that is not negative. */
  count(name: string): number
  boolean(name: string): boolean
  /** An object whose values are all strings. */
  strings(name: string): Readonly<Record<string, string>>
  object(name: string): JsonFields
  list<T>(name: string, item: (fields: JsonFields) => T): readonly T[]
  stringList(name: string): readonly string[]
  optionalString(name: string): string | null
}

/** `where` is what error messages begin with. */
export function jsonFields(value: unknown, where: string): JsonFields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new StoreError('invalid', `${where} is not an object`)
  const at = (name: string): unknown => (Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined)
  const wrong = (name: string, wanted: string): StoreError => new StoreError('invalid', `${where}: ${name} is not ${wanted}`)
  const fields: JsonFields = {
    has: (name) => at(name) !== undefined,
    string: (name) => {
      const field = at(name)
      if (typeof field !== 'string') throw wrong(name, 'a string')
      return field
    },
    count: (name) => {
      const field = at(name)
      if (typeof field !== 'number' || !Number.isSafeInteger(field) || field < 0) throw wrong(name, 'a count')
      return field
    },
    boolean: (name) => {
      const field = at(name)
      if (typeof field !== 'boolean') throw wrong(name, 'a boolean')
      return field
    },
    strings: (name) => {
      const field = at(name)
      if (typeof field !== 'object' || field === null || Array.isArray(field)) throw wrong(name, 'an object')
      const entries = Object.entries(field)
      if (entries.some(([, v]) => typeof v !== 'string')) throw wrong(name, 'an object of strings')
      return Object.fromEntries(entries)
    },
    object: (name) => jsonFields(at(name), `${where}: ${name}`),
    list: (name, item) => {
      const field = at(name)
      if (!Array.isArray(field)) throw wrong(name, 'a list')
      return field.map((v, i) => item(jsonFields(v, `${where}: ${name}[${i}]`)))
    },
    stringList: (name) => {
      const field = at(name)
      if (!Array.isArray(field) || field.some((v) => typeof v !== 'string')) throw wrong(name, 'a list of strings')
      return field as string[]
    },
    optionalString: (name) => {
      const field = at(name)
      return field === undefined || field === null ? null : fields.string(name)
    },
  }
  return fields
}
