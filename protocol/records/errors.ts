/**
 * What goes wrong while record batches are read. Callers that meet untrusted bytes use `validateProduceBatch`, which
 * returns outcomes; these errors are for batches that were accepted before and should be sound.
 */

/** Bytes that are no record batch v2, or records that do not fit their batch. */
export class RecordFormatError extends Error {
  override readonly name = 'RecordFormatError'
}

/**
 * Compressed bytes that do not decompress.
 * `reason` is `too-large` when the output would exceed the caller's bound, `unsupported` for an unknown codec number,
 * and `corrupt` for everything else.
 */
export class DecompressionError extends Error {
  override readonly name = 'DecompressionError'
  readonly reason: 'corrupt' | 'too-large' | 'unsupported'

  constructor(reason: 'corrupt' | 'too-large' | 'unsupported', message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}
