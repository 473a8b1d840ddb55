/**
 * The last offset of each key, in memory that is set aside once and never grows (as the offset map of Kafka's LogCleaner): 24 bytes a place, keys
 * as 128 bits of their SHA-256. Lies in shared memory, so that worker threads fill and read one map without copies; only one of them
 * may write at a time. Putting the same again changes nothing, so a job that failed half way can be repeated.
 */
import { hash } from 'node:crypto'

const placeBytes = 24
/** The number of keys, and room to keep the rest aligned. */
const headBytes = 8
/** Beyond it, searches take long. */
const loadMax = 0.8
const two32 = 2 ** 32

export class KeyOffsets {
  readonly memory: SharedArrayBuffer
  readonly #count: Uint32Array
  /** 0 where the place is free, else the offset + 1. */
  readonly #offsets: Float64Array
  readonly #hashes: Uint32Array
  readonly #keysMax: number
  /** Of the key that was looked for last. */
  readonly #digest = new Uint32Array(4)

  constructor(memory: SharedArrayBuffer) {
    const places = Math.floor((memory.byteLength - headBytes) / placeBytes)
    if (places < 2) throw new RangeError(`${memory.byteLength} bytes are too few for a map of keys`)
    this.memory = memory
    this.#count = new Uint32Array(memory, 0, 1)
    this.#offsets = new Float64Array(memory, headBytes, places)
    this.#hashes = new Uint32Array(memory, headBytes + places * 8, places * 4)
    this.#keysMax = Math.max(1, Math.floor(places * loadMax))
  }

  /** Room for so many keys, within `bytesMax`. */
  static create(keys: number, bytesMax: number): KeyOffsets {
    const wanted = headBytes + placeBytes * (Math.ceil(keys / loadMax) + 1)
    return new KeyOffsets(new SharedArrayBuffer(Math.max(headBytes + 2 * placeBytes, Math.min(wanted, bytesMax))))
  }

  get size(): number {
    return this.#count[0]!
  }

  /** The last offset that was put for the key, -1 for none. */
  get(key: Uint8Array): number {
    return this.#offsets[this.#placeOf(key)]! - 1
  }

  /** Notes that the key occurs at the offset. False when there is no room for another key. */
  put(key: Uint8Array, offset: number): boolean {
    const place = this.#placeOf(key)
    const known = this.#offsets[place]!
    if (known === 0) {
      if (this.size >= this.#keysMax) return false
      this.#count[0]!++
      this.#hashes.set(this.#digest, place * 4)
    }
    if (offset + 1 > known) this.#offsets[place] = offset + 1
    return true
  }

  /** Where the key is, or where it would go; its hash is in `#digest` then. */
  #placeOf(key: Uint8Array): number {
    // As text, because a buffer for each key costs several times what the hash does.
    const text = hash('sha256', key, 'binary')
    const digest = this.#digest
    for (let i = 0; i < 4; i++) digest[i] = wordAt(text, i * 4)
    const a = digest[0]!
    const b = digest[1]!
    const c = digest[2]!
    const d = digest[3]!
    const offsets = this.#offsets
    const hashes = this.#hashes
    for (let place = Math.floor((a / two32) * offsets.length); ; place = place + 1 < offsets.length ? place + 1 : 0) {
      if (offsets[place] === 0) return place
      const at = place * 4
      if (hashes[at] === a && hashes[at + 1] === b && hashes[at + 2] === c && hashes[at + 3] === d) return place
    }
  }
}

/** Four bytes of a text that has one in each character. */
function wordAt(text: string, at: number): number {
  return (text.charCodeAt(at) << 24) | (text.charCodeAt(at + 1) << 16) | (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3)
}
