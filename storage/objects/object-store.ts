/**
 * The only door to durable bytes.
 *
 * An object is immutable once created by `putIfAbsent`; `put` overwrites and is for data files with unique names and for
 * hints whose loss never matters. `putIfAbsent` never guesses and never retries: a lost reply is `unknown`, and only
 * `storage/log/create-once.ts` turns `unknown` and `exists` into an answer (DESIGN: rules for conditional writes).
 *
 * Keys are `/`-separated, relative to the root that the store was opened with, and listed in the order of their UTF-8 bytes.
 */
export interface ObjectStore {
  /** For logs and error messages, without secrets: `s3://bucket/prefix at http://…`, `directory /data`. */
  readonly description: string
  /** The whole object, or null when there is none. */
  get(key: string): Promise<Uint8Array | null>
  /** Bytes [start, endExclusive), fewer where the object ends before; null when there is no object. */
  getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null>
  /** Size and age of one object, or null. */
  head(key: string): Promise<ObjectMeta | null>
  /** Creates the object, durably, if the key is free. `body` is written as the concatenation of its chunks. */
  putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome>
  /** Creates or replaces the object, durably. */
  put(key: string, body: readonly Uint8Array[]): Promise<void>
  /** Objects whose key starts with `prefix` and sorts after `after`, in key order, at most `limit` (default 1000). */
  list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]>
  /** Deletes what is there; absent keys are no error. */
  delete(keys: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** What can be asked of a store, as metrics and simulated faults name it. */
export type StoreOperation = 'get' | 'getRange' | 'head' | 'putIfAbsent' | 'put' | 'list' | 'delete'

export interface ListOptions {
  readonly after?: string
  readonly limit?: number
}

export interface ObjectMeta {
  readonly key: string
  readonly bytes: number
  /** Wall clock of the store; `head` and `list` may differ by the part of a second. */
  readonly modifiedMs: number
}

export type PutOutcome =
  | { readonly kind: 'created' }
  /** The key was taken; by whom is settled by reading it (a retry of our own may have been first). */
  | { readonly kind: 'exists' }
  /** The store may or may not have created it, now or later: the reply was lost, late, or ambiguous. */
  | { readonly kind: 'unknown'; readonly cause: unknown }

/** Trouble with the store, as opposed to an outcome. Every adapter throws only this. */
export class StoreError extends Error {
  readonly kind: StoreErrorKind
  readonly retriable: boolean
  constructor(kind: StoreErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'StoreError'
    this.kind = kind
    this.retriable = kind === 'unavailable' || kind === 'timeout' || kind === 'throttled' || kind === 'full'
  }
}

export type StoreErrorKind =
  | 'unavailable'
  | 'timeout'
  | 'throttled'
  | 'full'
  | 'denied'
  | 'missing-bucket'
  | 'invalid'
  | 'unsupported'
