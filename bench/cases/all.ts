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
 * those on request. An empty one stands for nothing. Null: all but those on request. Throws, with the list of names, where a pattern names nothing.
 */
export function chooseCases(pattern: string | null): readonly Case[] {
  const usual = cases.filter((one) => one.onRequest !== true)
  if (pattern === null) return usual
  const none = (what: string): Error => new Error(`--case ${what}: none of ${cases.map(({ name }) => name).join(', ')}`)
  const patterns = alternatives(pattern)
  if (patterns.length === 0) throw none(`'${pattern}'`)
  const named = new Set(
    patterns.flatMap((one) => {
      const whole = cases.filter(({ name }) => new RegExp(`^(?:${one})$`).test(name))
      const chosen = whole.length > 0 ? whole : usual.filter(({ name }) => new RegExp(`^(?:${one})`).test(name))
      if (chosen.length === 0) throw none(one)
      return chosen
    }),
  )
  return cases.filter((one) => named.has(one))
}

/** A bar within parentheses divides nothing. */
function alternatives(pattern: string): readonly string[] {
  return pattern.includes('(') ? [pattern] : pattern.split('|').filter((one) => one !== '')
}
