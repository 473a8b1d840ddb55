/**
 * Header keys in the table. Kafka's header keys are bytes that should be UTF-8; the column is a STRING, which must be. Keys that are
 * valid UTF-8 are stored as they are, so that everybody can read them. Any other key is stored escaped: U+FFFD REPLACEMENT CHARACTER
 * followed by the key's bytes in lower-case hexadecimal. A valid key that itself begins with U+FFFD is escaped too, so that each stored
 * string stands for exactly one key (P6). A stored string that begins with U+FFFD and is not what the escape would have produced
 * (somebody else wrote it) stands for itself.
 */
import { isUtf8 } from 'node:buffer'

/** UTF-8 of U+FFFD. */
const mark = Uint8Array.of(0xef, 0xbf, 0xbd)
const hexDigits = new TextEncoder().encode('0123456789abcdef')

/** True when `bytes[start, end)` must not be stored as it is. */
export function needsEscape(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start
  while (i < end && bytes[i]! < 0x80) i++
  if (i === end) return false
  return startsWithMark(bytes, start, end) || !isUtf8(bytes.subarray(i, end))
}

/** The stored form of a key for which `needsEscape` holds. */
export function escapeKey(key: Uint8Array): Uint8Array {
  const escaped = new Uint8Array(mark.length + key.length * 2)
  escaped.set(mark)
  key.forEach((byte, i) => {
    escaped[mark.length + i * 2] = hexDigits[byte >> 4]!
    escaped[mark.length + i * 2 + 1] = hexDigits[byte & 15]!
  })
  return escaped
}

/** The key that the stored string `bytes[start, end)` stands for, or null when it stands for itself. */
export function unescapeKey(bytes: Uint8Array, start: number, end: number): Uint8Array | null {
  if (!startsWithMark(bytes, start, end) || (end - start - mark.length) % 2 !== 0) return null
  const key = new Uint8Array((end - start - mark.length) / 2)
  for (let i = 0; i < key.length; i++) {
    const high = hexDigits.indexOf(bytes[start + mark.length + i * 2]!)
    const low = hexDigits.indexOf(bytes[start + mark.length + i * 2 + 1]!)
    if (high < 0 || low < 0) return null
    key[i] = (high << 4) | low
  }
  return needsEscape(key, 0, key.length) ? key : null
}

function startsWithMark(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= mark.length && bytes[start] === mark[0] && bytes[start + 1] === mark[1] && bytes[start + 2] === mark[2]
}
