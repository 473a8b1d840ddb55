/**
 * The only place that turns the three outcomes of a conditional write into an answer (DESIGN §3).
 *
 * An unknown outcome is settled by occupying the key: the same body, with the same commit id inside, is written again until the
 * store says `created` or `exists`. A read alone would settle nothing, because the lost write may still land after it.
 * `exists` is no answer either: one of our own tries may have been first, so the object is read and its commit id compared.
 */
import type { Env } from '../env.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'

export type CreateOnceOutcome =
  /** The object is durable and its bytes are ours. */
  | { readonly kind: 'created' }
  /** Somebody else owns the key, for good; `winner` is what is there (its first `winnerBytesMax` bytes). */
  | { readonly kind: 'taken'; readonly winner: Uint8Array }
  /** The signal ended the tries before the outcome was settled: the object may be there, now or later. */
  | { readonly kind: 'aborted' }

export interface CreateOnceOptions {
  /** Ends the tries. Without it they go on until the store answers. */
  readonly signal?: AbortSignal
  /** Delay before the second try, doubled up to `delayMaxMs`; each delay is drawn from its upper half. Default 10 ms. */
  readonly delayMs?: number
  /** Default 2,000 ms. */
  readonly delayMaxMs?: number
  /** How much of the object that took the key is read to tell whose it is, in bytes. Default: all of it. */
  readonly winnerBytesMax?: number
  /** Called before each wait. */
  readonly onRetry?: (retry: CreateOnceRetry) => void
}

export interface CreateOnceRetry {
  readonly key: string
  /** 1 for the first try that settled nothing. */
  readonly attempt: number
  readonly delayMs: number
  readonly cause: unknown
}

/**
 * Creates `key` with `body` exactly once, or finds out who has it. `isMine` says whether the bytes of the object carry the
 * commit id of this body; a body is never used for two calls with different keys at the same time.
 *
 * Throws a StoreError that is not retriable (no permission, no bucket). After a throw, as after `aborted`, the object may exist.
 */
export async function createOnce(
  store: ObjectStore,
  env: Pick<Env, 'clock' | 'random'>,
  key: string,
  body: readonly Uint8Array[],
  isMine: (bytes: Uint8Array) => boolean,
  options: CreateOnceOptions = {},
): Promise<CreateOnceOutcome> {
  let occupied = false
  for (let attempt = 1; options.signal?.aborted !== true; attempt++) {
    let cause: unknown
    try {
      if (!occupied) {
        const outcome = await store.putIfAbsent(key, body)
        if (outcome.kind === 'created') return { kind: 'created' }
        occupied = outcome.kind === 'exists'
        if (outcome.kind === 'unknown') cause = outcome.cause
      }
      if (occupied) {
        const winner =
          options.winnerBytesMax === undefined ? await store.get(key) : await store.getRange(key, 0, options.winnerBytesMax)
        if (winner !== null) return isMine(winner) ? { kind: 'created' } : { kind: 'taken', winner }
        // It was deleted in between: the key is free again and must be occupied.
        occupied = false
        cause = new StoreError('unavailable', `${key} existed and then was gone`)
      }
    } catch (error) {
      if (!(error instanceof StoreError) || !error.retriable) throw error
      cause = error
    }
    const delayMs = backoffMs(env, attempt, options.delayMs ?? 10, options.delayMaxMs ?? 2000)
    options.onRetry?.({ key, attempt, delayMs, cause })
    await env.clock.sleep(delayMs, options.signal)
  }
  return { kind: 'aborted' }
}

/** Exponential with jitter: between half of and the whole of min(max, base · 2^(attempt − 1)), in milliseconds. */
export function backoffMs(env: Pick<Env, 'random'>, attempt: number, baseMs: number, maxMs: number): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30))
  return ceiling * (0.5 + env.random() / 2)
}
