/** What Kafka's Java client was last seen to understand, version by version: written by every-version.ts, read by scripts/generate-compatibility.ts. */
import { readFileSync } from 'node:fs'

export interface ApiResult {
  readonly key: number
  readonly name: string
  readonly first: number
  readonly last: number
  /** How many versions passed, of those from `first` to `last`. */
  readonly passed: number
  /** What was seen at the newest version. */
  readonly seen: string
}

export const resultsFile = new URL('every-version.json', import.meta.url)

export function recordedResults(): readonly ApiResult[] {
  return (JSON.parse(readFileSync(resultsFile, 'utf8')) as { readonly apis: readonly ApiResult[] }).apis
}
