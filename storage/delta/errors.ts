/** Trouble with a table's log, as opposed to an outcome of a commit and to trouble with the store (`StoreError`). */
export class DeltaError extends Error {
  readonly kind: DeltaErrorKind
  constructor(kind: DeltaErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'DeltaError'
    this.kind = kind
  }
}

export type DeltaErrorKind =
  /** There is no table at the location. */
  | 'missing'
  /** The log cannot be read: a gap between versions, a line that is no JSON, no complete checkpoint after a clean-up. */
  | 'corrupt'
  /** The log uses something that this version cannot read. */
  | 'unsupported'
  /** A caller broke the contract of the table (a transaction that would go back, an add without a size). */
  | 'invalid'
