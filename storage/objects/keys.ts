/** What a key may look like and how keys are ordered; the same for every adapter, so that a store can be swapped. */
import { StoreError } from './object-store.ts'

/** S3's limit, in UTF-8 bytes. */
export const keyBytesMax = 1024

/** Name of the folder in the root of a directory store that holds unfinished writes; keys may not start with it. */
export const tempFolder = '.tmp'

/**
 * Throws StoreError 'invalid' unless the key is `/`-separated non-empty names, none of them `.` or `..`, at most
 * 1,024 bytes. It is what keeps every key inside the root of a directory store.
 */
export function assertKey(key: string): void {
  if (key.length === 0 || Buffer.byteLength(key) > keyBytesMax) {
    throw new StoreError('invalid', `a key has 1 to ${keyBytesMax} bytes: ${JSON.stringify(key.slice(0, 100))}`)
  }
  assertNames(key, key.split('/'))
}

/** As {@link assertKey} for the start of keys: may be empty and may end anywhere, after a `/` as well. */
export function assertPrefix(prefix: string): void {
  const names = prefix.split('/')
  const last = names.pop() as string
  if (last.includes('\0')) throw new StoreError('invalid', `a key has no NUL: ${JSON.stringify(prefix)}`)
  assertNames(prefix, names)
}

function assertNames(key: string, names: readonly string[]): void {
  if (names[0] === tempFolder) throw new StoreError('invalid', `${tempFolder}/ is reserved: ${JSON.stringify(key)}`)
  for (const name of names) {
    if (name === '' || name === '.' || name === '..' || name.includes('\0')) {
      throw new StoreError('invalid', `not a key: ${JSON.stringify(key)}`)
    }
  }
}

/**
 * Order of the UTF-8 bytes. JavaScript compares UTF-16 units, which puts surrogate pairs (above U+FFFF) before
 * U+E000…U+FFFF; everything else agrees.
 */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return x >= 0xd800 && y >= 0xd800 ? surrogatesLast(x) - surrogatesLast(y) : x - y
  }
  return a.length - b.length
}

function surrogatesLast(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}

/** Length of a body that is given as chunks. */
export function bodyBytes(body: readonly Uint8Array[]): number {
  let bytes = 0
  for (const chunk of body) bytes += chunk.byteLength
  return bytes
}

/** One array with the bytes of all chunks; always a copy. */
export function joinBody(body: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(bodyBytes(body))
  let at = 0
  for (const chunk of body) {
    joined.set(chunk, at)
    at += chunk.byteLength
  }
  return joined
}

/** Throws StoreError 'invalid' unless 0 ≤ start ≤ endExclusive and both are integers. */
export function assertRange(start: number, endExclusive: number): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(endExclusive) || start < 0 || endExclusive < start) {
    throw new StoreError('invalid', `not a byte range: [${start}, ${endExclusive})`)
  }
}
