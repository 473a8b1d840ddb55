/**
 * The files of one partition in the order of their first offset.
 *
 * Our own files follow each other without overlap; files that others rewrote may hold any offsets, so ranges may overlap.
 * Blocks of a few hundred entries, each with its greatest last offset, keep insertion, removal and lookup far below the
 * number of files: a table with ten commits a second grows by 36,000 files an hour.
 */
export interface Ranged {
  readonly key: string
  readonly first: number
  readonly last: number
}

const blockEntriesMax = 256

interface Block<T extends Ranged> {
  readonly entries: T[]
  /** Greatest `last` of the entries. */
  last: number
}

export class OffsetIndex<T extends Ranged> {
  readonly #blocks: Block<T>[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The greatest last offset, or -1 when there is no file. */
  get greatest(): number {
    let greatest = -1
    for (const block of this.#blocks) if (block.last > greatest) greatest = block.last
    return greatest
  }

  add(entry: T): void {
    this.#size++
    const at = this.#blockFor(entry)
    const block = this.#blocks[at]
    if (block === undefined) {
      this.#blocks.push({ entries: [entry], last: entry.last })
      return
    }
    block.entries.splice(upperBound(block.entries, entry), 0, entry)
    if (entry.last > block.last) block.last = entry.last
    if (block.entries.length > blockEntriesMax) this.#split(at, block)
  }

  remove(entry: T): boolean {
    // Entries with equal keys of order may span a block border, so the search goes on while first offsets are equal.
    for (let at = this.#blockFor(entry); at >= 0; at--) {
      const block = this.#blocks[at]
      if (block === undefined) break
      const index = block.entries.findIndex((candidate) => candidate.key === entry.key)
      if (index >= 0) {
        block.entries.splice(index, 1)
        this.#size--
        if (block.entries.length === 0) this.#blocks.splice(at, 1)
        else if (entry.last === block.last) block.last = greatestLast(block.entries)
        return true
      }
      const first = block.entries[0]
      if (first !== undefined && compare(first, entry) < 0) break
    }
    return false
  }

  /** Files whose range contains the offset. */
  covering(offset: number): T[] {
    const found: T[] = []
    for (const block of this.#blocks) {
      const first = block.entries[0]
      if (first !== undefined && first.first > offset) break
      if (block.last < offset) continue
      for (const entry of block.entries) {
        if (entry.first > offset) break
        if (entry.last >= offset) found.push(entry)
      }
    }
    return found
  }

  /** The file with the smallest first offset above `offset`, or undefined: where a reader goes on after a gap. */
  after(offset: number): T | undefined {
    for (const block of this.#blocks) {
      const tail = block.entries.at(-1)
      if (tail === undefined || tail.first <= offset) continue
      return block.entries.find((entry) => entry.first > offset)
    }
    return undefined
  }

  /** Files that hold `offset` or anything after it, by first offset. */
  *from(offset: number): Generator<T> {
    for (const block of this.#blocks) {
      if (block.last < offset) continue
      for (const entry of block.entries) if (entry.last >= offset) yield entry
    }
  }

  *[Symbol.iterator](): Generator<T> {
    for (const block of this.#blocks) yield* block.entries
  }

  /** The last block whose first entry is not after `entry`; 0 when all are after it. */
  #blockFor(entry: T): number {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const first = (this.#blocks[middle] as Block<T>).entries[0] as T
      if (compare(first, entry) <= 0) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  /** Appending in order leaves full blocks behind; a split in the middle halves them. */
  #split(at: number, block: Block<T>): void {
    const keep = at === this.#blocks.length - 1 ? blockEntriesMax : block.entries.length >> 1
    const moved = block.entries.splice(keep)
    block.last = greatestLast(block.entries)
    this.#blocks.splice(at + 1, 0, { entries: moved, last: greatestLast(moved) })
  }
}

function compare(a: Ranged, b: Ranged): number {
  if (a.first !== b.first) return a.first - b.first
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

function upperBound<T extends Ranged>(entries: readonly T[], entry: T): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compare(entries[middle] as T, entry) <= 0) low = middle + 1
    else high = middle
  }
  return low
}

function greatestLast(entries: readonly Ranged[]): number {
  let greatest = -1
  for (const entry of entries) if (entry.last > greatest) greatest = entry.last
  return greatest
}
