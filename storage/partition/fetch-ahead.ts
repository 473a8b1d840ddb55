/**
 * Bytes of data files for a reader that goes on in order: while the rows of one range are decoded, the range behind it is fetched already,
 * and the footer of a file, which every chunk of it needs, is fetched once. Data files never change, so what is in hand stays true.
 */
import type { ObjectStore } from '../objects/object-store.ts'
import { tailBytes } from '../parquet/byte-source.ts'
import type { RangeReader } from '../parquet/byte-source.ts'

/** A file that is read in ranges. */
export interface DataFile {
  readonly key: string
  readonly size: number
}

/** Thrown where a file has been deleted: the table moved on. */
export class FileGoneError extends Error {}

/** Row groups of one file have about the same size: so much more than the last one is asked for. */
const MARGIN = 1.1
/** Ends of files that are kept. */
const TAILS_MAX = 64

interface Ahead {
  readonly start: number
  readonly end: number
  /** Null when it could not be fetched. */
  readonly bytes: Promise<Uint8Array | null>
}

export class FetchAhead {
  readonly #store: ObjectStore
  readonly #bytesMax: number
  /** By key, the oldest first: one range of each file. */
  readonly #ahead = new Map<string, Ahead>()
  readonly #tails = new Map<string, Promise<Uint8Array | null>>()
  #bytes = 0

  /** `bytesMax` bounds what is in hand and was not asked for yet, over all files. */
  constructor(store: ObjectStore, bytesMax: number) {
    this.#store = store
    this.#bytesMax = bytesMax
  }

  /** Reads ranges of `file` wherever they are. Rejects with FileGoneError, StoreError. */
  reader({ key, size }: DataFile): RangeReader {
    return { size, read: (start, end) => this.#get(key, start, end) }
  }

  /** As `reader`, for ranges that follow each other: fetches the one behind each, and behind the last one the first of `following`. */
  readerInOrder(file: DataFile, following: DataFile | null): RangeReader {
    return {
      size: file.size,
      read: async (start, end) => {
        if (end === file.size) return await this.#tail(file, start)
        const bytes = await this.#range(file, start, end)
        this.#fetchBehind(file, end, end - start, following)
        return bytes
      },
    }
  }

  async #tail(file: DataFile, start: number): Promise<Uint8Array> {
    const known = file.size - start === Math.min(file.size, tailBytes) ? await this.#keepTail(file) : null
    return known ?? (await this.#get(file.key, start, file.size))
  }

  #keepTail(file: DataFile): Promise<Uint8Array | null> {
    let tail = this.#tails.get(file.key)
    if (tail === undefined) tail = this.#try(file.key, Math.max(0, file.size - tailBytes), file.size)
    this.#tails.delete(file.key)
    this.#tails.set(file.key, tail)
    for (const oldest of this.#tails.keys()) {
      if (this.#tails.size <= TAILS_MAX) break
      this.#tails.delete(oldest)
    }
    return tail
  }

  async #range(file: DataFile, start: number, end: number): Promise<Uint8Array> {
    const ahead = this.#ahead.get(file.key)
    if (ahead === undefined || start < ahead.start || start >= ahead.end) return await this.#get(file.key, start, end)
    this.#forget(file.key)
    const [first, rest] = await Promise.all([ahead.bytes, end > ahead.end ? this.#get(file.key, ahead.end, end) : null])
    if (first === null) return await this.#get(file.key, start, end)
    const inHand = first.subarray(start - ahead.start, end - ahead.start)
    return rest === null ? inHand : Buffer.concat([inHand, rest])
  }

  #fetchBehind(file: DataFile, from: number, lastBytes: number, following: DataFile | null): void {
    const bytes = Math.ceil(lastBytes * MARGIN)
    // What is left of this file may be its footer alone.
    if (file.size - from > tailBytes) this.#fetch(file, from, Math.min(from + bytes, file.size))
    else if (following !== null) {
      void this.#keepTail(following)
      this.#fetch(following, 0, Math.min(bytes, following.size))
    }
  }

  #fetch(file: DataFile, start: number, end: number): void {
    if (end - start > this.#bytesMax || this.#ahead.get(file.key)?.start === start) return
    this.#forget(file.key)
    this.#ahead.set(file.key, { start, end, bytes: this.#try(file.key, start, end) })
    this.#bytes += end - start
    for (const oldest of this.#ahead.keys()) {
      if (this.#bytes <= this.#bytesMax) break
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    const ahead = this.#ahead.get(key)
    if (ahead === undefined) return
    this.#ahead.delete(key)
    this.#bytes -= ahead.end - ahead.start
  }

  /** Whoever needs it asks again and hears what is wrong. */
  async #try(key: string, start: number, end: number): Promise<Uint8Array | null> {
    try {
      return await this.#get(key, start, end)
    } catch {
      this.#tails.delete(key)
      return null
    }
  }

  async #get(key: string, start: number, end: number): Promise<Uint8Array> {
    const bytes = await this.#store.getRange(key, start, end)
    if (bytes === null) throw new FileGoneError(`${key} is gone`)
    return bytes
  }
}
