/** Finds the error in an answer, for metrics: the fields called `errorCode`, wherever the declaration has them. */
import type { FieldSpec } from '../../protocol/schema/field.ts'

/** Gives the first error code of a response that is not zero, or zero. */
export type FirstError = (response: unknown) => number

/** Compiled once per API, so that an answer with thousands of partitions is walked only along arrays that can hold errors. */
export function compileFirstError(spec: FieldSpec): FirstError {
  return compile(spec) ?? noError
}

function compile({ type }: FieldSpec): FirstError | null {
  if (type.kind === 'array') return compileArray(type.element)
  if (type.kind !== 'struct') return null
  const own = 'errorCode' in type.fields
  const inner = Object.entries(type.fields).flatMap(([name, field]) => {
    const find = compile(field)
    return find === null ? [] : [{ name, find }]
  })
  if (!own && inner.length === 0) return null
  return response => {
    if (response === null || response === undefined) return 0
    const struct = response as Readonly<Record<string, unknown>>
    if (own && typeof struct['errorCode'] === 'number' && struct['errorCode'] !== 0) return struct['errorCode']
    for (const { name, find } of inner) {
      const code = find(struct[name])
      if (code !== 0) return code
    }
    return 0
  }
}

function compileArray(element: FieldSpec): FirstError | null {
  const find = compile(element)
  if (find === null) return null
  return response => {
    if (!Array.isArray(response)) return 0
    for (const value of response) {
      const code = find(value)
      if (code !== 0) return code
    }
    return 0
  }
}

function noError(): number {
  return 0
}
