/**
 * Copies of short byte ranges, as keys and values of small records are: eight bytes at a time, which beats both a loop over bytes and a call
 * into the runtime with a view made for it.
 */

/** Longer ranges are for `Uint8Array.set`. */
export const LOOP_COPY_MAX = 160

/** Copies `source[from, from + length)` to `target[to, …)`. Throws RangeError when either does not reach so far. */
export function copyWords(target: DataView, to: number, source: DataView, from: number, length: number): void {
  let i = 0
  for (; i + 8 <= length; i += 8) target.setBigInt64(to + i, source.getBigInt64(from + i))
  for (; i < length; i++) target.setUint8(to + i, source.getUint8(from + i))
}
