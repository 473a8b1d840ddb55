/**
 * A store that misbehaves by rule and by seed, for simulation: it delays, fails before the effect, loses the reply after it, lands a
 * write long after its reply was lost, is down for a while, and dies with its process. Under a simulated clock every run can be replayed.
 */
import type { Env } from '../env.ts'
import { assertNever } from '../types.ts'
import { joinBody } from './keys.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome, StoreErrorKind, StoreOperation } from './object-store.ts'
import { StoreError } from './object-store.ts'

/** The first rule that matches an operation decides it. Chances are in [0, 1] and exclude each other in the order given here. */
export interface FaultRule {
  /** Default: all. */
  readonly operations?: readonly StoreOperation[]
  /** Start of the key (of the prefix, for a list). Default: all. */
  readonly prefix?: string
  /** Monotonic time of the clock in which the rule holds, [fromMs, untilMs). Default: always. */
  readonly fromMs?: number
  readonly untilMs?: number
  /** Chance of a StoreError without any effect. */
  readonly failBefore?: number
  /** Chance that the effect happens and the reply is lost: `unknown` for putIfAbsent, StoreError for the others. */
  readonly loseReply?: number
  /** Chance that a write's reply is lost and its effect comes after `lateMs`, whatever others have done to the key by then. */
  readonly landLate?: number
  /** Delay before the effect, drawn uniformly from [min, max]; half of it again before the reply. */
  readonly delayMs?: readonly [min: number, max: number]
  /** Delay of a late effect after the lost reply. Default [10, 10_000]. */
  readonly lateMs?: readonly [min: number, max: number]
  /** Kind of the StoreErrors. Default `unavailable`. */
  readonly error?: StoreErrorKind
}

/** A rule for a store that answers nothing. */
export function downRule(fromMs: number, untilMs: number): FaultRule {
  return { fromMs, untilMs, failBefore: 1 }
}

export class FaultyStore implements ObjectStore {
  readonly description: string
  /** May be replaced at any time; operations that have begun keep the rule they began with. */
  rules: readonly FaultRule[]
  /** Faults so far, for assertions that a run has tried something. */
  readonly counts = { failBefore: 0, loseReply: 0, landLate: 0 }
  readonly #inner: ObjectStore
  readonly #env: Pick<Env, 'clock' | 'random'>
  readonly #late = new Set<Promise<unknown>>()
  #dead = false

  constructor(inner: ObjectStore, env: Pick<Env, 'clock' | 'random'>, rules: readonly FaultRule[] = []) {
    this.#inner = inner
    this.#env = env
    this.rules = rules
    this.description = `${inner.description}, faulty`
  }

  /**
   * The process that holds this door dies: no operation answers any more, and each write that is on its way has its effect or not, by
   * the seed. Other doors to the same store are not affected.
   */
  crash(): void {
    this.#dead = true
  }

  /** Waits until every late write has landed. */
  async landed(): Promise<void> {
    while (this.#late.size > 0) await Promise.all(this.#late)
  }

  async get(key: string): Promise<Uint8Array | null> {
    return this.#run('get', key, () => this.#inner.get(key))
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    return this.#run('getRange', key, () => this.#inner.getRange(key, start, endExclusive))
  }

  async head(key: string): Promise<ObjectMeta | null> {
    return this.#run('head', key, () => this.#inner.head(key))
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    const copy = [joinBody(body)]
    return this.#run('putIfAbsent', key, () => this.#inner.putIfAbsent(key, copy), (cause): PutOutcome => ({ kind: 'unknown', cause }))
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    const copy = [joinBody(body)]
    return this.#run('put', key, () => this.#inner.put(key, copy))
  }

  async list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return this.#run('list', prefix, () => this.#inner.list(prefix, options))
  }

  async delete(keys: readonly string[]): Promise<void> {
    const copy = [...keys]
    return this.#run('delete', keys[0] ?? '', () => this.#inner.delete(copy))
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  async #run<T>(operation: StoreOperation, key: string, effect: () => Promise<T>, lost?: (cause: StoreError) => T): Promise<T> {
    if (this.#dead) return never()
    const rule = this.#ruleFor(operation, key)
    const fate = rule === null ? 'well' : this.#drawFate(rule, operation)
    const cause = new StoreError(rule?.error ?? 'unavailable', `${operation} ${key}: ${fate}`)
    const delayMs = rule?.delayMs === undefined ? 0 : between(this.#env, rule.delayMs)
    await this.#sleep(delayMs)
    const reply = async (): Promise<T> => {
      await this.#sleep(delayMs / 2)
      if (this.#dead) return never()
      if (lost !== undefined) return lost(cause)
      throw cause
    }
    // A crash on the way: the request may have left.
    if (this.#dead && (operation === 'get' || this.#env.random() < 0.5)) return never()
    switch (fate) {
      case 'failBefore':
        this.counts.failBefore++
        if (this.#dead) return never()
        throw cause
      case 'landLate':
        this.counts.landLate++
        this.#land(between(this.#env, rule?.lateMs ?? [10, 10_000]), effect)
        return reply()
      case 'loseReply':
        this.counts.loseReply++
        await effect()
        return reply()
      case 'well': {
        const result = await effect()
        await this.#sleep(delayMs / 2)
        return this.#dead ? never() : result
      }
      default:
        return assertNever(fate)
    }
  }

  #ruleFor(operation: StoreOperation, key: string): FaultRule | null {
    const nowMs = this.#env.clock.monotonic()
    for (const rule of this.rules) {
      if (rule.operations !== undefined && !rule.operations.includes(operation)) continue
      if (rule.prefix !== undefined && !key.startsWith(rule.prefix)) continue
      if (nowMs < (rule.fromMs ?? -Infinity) || nowMs >= (rule.untilMs ?? Infinity)) continue
      return rule
    }
    return null
  }

  #drawFate(rule: FaultRule, operation: StoreOperation): 'well' | 'failBefore' | 'loseReply' | 'landLate' {
    const writes = operation === 'putIfAbsent' || operation === 'put' || operation === 'delete'
    let drawn = this.#env.random()
    if ((drawn -= rule.failBefore ?? 0) < 0) return 'failBefore'
    if ((drawn -= rule.loseReply ?? 0) < 0) return 'loseReply'
    if ((drawn -= rule.landLate ?? 0) < 0) return writes ? 'landLate' : 'loseReply'
    return 'well'
  }

  #land(ms: number, effect: () => Promise<unknown>): void {
    const landing: Promise<unknown> = this.#env.clock
      .sleep(ms)
      .then(effect)
      .catch(() => undefined)
      .finally(() => this.#late.delete(landing))
    this.#late.add(landing)
  }

  async #sleep(ms: number): Promise<void> {
    if (ms > 0) await this.#env.clock.sleep(ms)
  }
}

function between(env: Pick<Env, 'random'>, [min, max]: readonly [min: number, max: number]): number {
  return min + env.random() * (max - min)
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}
