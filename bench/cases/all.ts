/** All cases, in the order in which they run. */
import { apacheCases } from './apache.ts'
import { burstCases } from './bursts.ts'
import type { Case } from './case.ts'
import { consumeCases } from './consume.ts'
import { freshnessCases } from './freshness.ts'
import { latencyCases } from './latency.ts'
import { produceCases } from './produce.ts'
import { scaleCases } from './scale.ts'
import { upkeepCases } from './upkeep.ts'

export const cases: readonly Case[] = [
  ...latencyCases, ...produceCases, ...consumeCases, ...burstCases, ...freshnessCases, ...scaleCases, ...apacheCases, ...upkeepCases,
]

/**
 * The cases that one of the patterns (divided by `|`) names whole; a pattern that names none whole stands for all that begin so, without
 * those on request. Null: all but those on request. Throws when nothing is named.
 */
export function chooseCases(pattern: string | null): readonly Case[] {
  const usual = cases.filter((one) => one.onRequest !== true)
  if (pattern === null) return usual
  const named = new Set(
    alternatives(pattern).flatMap((one) => {
      const whole = cases.filter(({ name }) => new RegExp(`^(?:${one})$`).test(name))
      return whole.length > 0 ? whole : usual.filter(({ name }) => new RegExp(`^(?:${one})`).test(name))
    }),
  )
  if (named.size === 0) throw new Error(`--case ${pattern}: none of ${cases.map(({ name }) => name).join(', ')}`)
  return cases.filter((one) => named.has(one))
}

/** A bar within parentheses divides nothing. */
function alternatives(pattern: string): readonly string[] {
  return pattern.includes('(') ? [pattern] : pattern.split('|')
}
