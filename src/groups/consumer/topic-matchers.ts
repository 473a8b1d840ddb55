/**
 * Regular expressions over topic names, in the syntax of RE2 (KIP-848). The engine takes time linear in the name, whatever the pattern;
 * JavaScript's own would let one client stall the broker. What a pattern says about a name is remembered, so that a new topic costs each
 * pattern one match.
 */
import { compileRe2 } from '../re2.ts'
import type { TopicIndex } from '../ports.ts'

/** Longer patterns are refused: they would cost more memory than any subscription is worth. */
const PATTERN_LENGTH_MAX = 8 * 1024
/** Patterns that are remembered; the one that was not used for the longest time makes room. */
const PATTERNS_MAX = 1_000

interface Matcher {
  readonly matches: (name: string) => boolean
  /** The topics for which `found` is right. */
  topics: ReturnType<TopicIndex['all']> | null
  found: readonly string[]
  readonly verdicts: Map<string, boolean>
}

export class TopicMatchers {
  readonly #matchers = new Map<string, Matcher>()

  /** Why a pattern cannot be used; null when it can. */
  problem(pattern: string): string | null {
    try {
      this.#matcher(pattern)
      return null
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  /** The names of the topics that the whole pattern matches, sorted. None for a pattern that cannot be used. */
  matching(pattern: string, topics: ReturnType<TopicIndex['all']>): readonly string[] {
    if (this.problem(pattern) !== null) return []
    const matcher = this.#matcher(pattern)
    if (matcher.topics === topics) return matcher.found
    const found: string[] = []
    const gone = new Set(matcher.verdicts.keys())
    for (const { name } of topics.values()) {
      gone.delete(name)
      let verdict = matcher.verdicts.get(name)
      if (verdict === undefined) matcher.verdicts.set(name, (verdict = matcher.matches(name)))
      if (verdict) found.push(name)
    }
    for (const name of gone) matcher.verdicts.delete(name)
    matcher.topics = topics
    matcher.found = found.sort()
    return matcher.found
  }

  #matcher(pattern: string): Matcher {
    let matcher = this.#matchers.get(pattern)
    if (matcher === undefined) {
      if (pattern.length > PATTERN_LENGTH_MAX) throw new Error(`longer than ${PATTERN_LENGTH_MAX} characters`)
      const compiled = compileRe2(pattern)
      matcher = { matches: (name) => compiled.testExact(name), topics: null, found: [], verdicts: new Map() }
    }
    this.#matchers.delete(pattern)
    this.#matchers.set(pattern, matcher)
    if (this.#matchers.size > PATTERNS_MAX) this.#matchers.delete(this.#matchers.keys().next().value as string)
    return matcher
  }
}
