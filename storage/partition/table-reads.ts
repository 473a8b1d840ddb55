/**
 * Reads below the flushed offset: rows of the topic's table, turned back into record batches by the Parquet workers (DESIGN §2). What was
 * decoded is kept in chunks within a byte budget, and a consumer that reads on in order finds the next chunks there already.
 *
 * Rows are found by the offset column wherever they are: other programs may rewrite files at any time (P7). A file that is gone means that
 * the table moved on: its newer commits are read, and the search starts again.
 */
import { baseOffset as baseOffsetOf, lastOffset as lastOffsetOf, patchBatch } from '../../protocol/records/batch.ts'
import type { SnapshotView, TableFile } from '../delta/snapshot.ts'
import { dataFileKey } from '../delta/snapshot.ts'
import type { DeltaTable } from '../delta/table.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import type { ParquetInput } from '../parquet/byte-source.ts'
import type { ParquetCodec } from '../parquet/parquet-codec.ts'
import type { CodecName } from '../../protocol/records/compression.ts'
import type { Offset, Uuid } from '../types.ts'
import { BatchMemory, releaseAll } from './batch-memory.ts'
import { FetchAhead, FileGoneError } from './fetch-ahead.ts'
import type { DataFile } from './fetch-ahead.ts'
import type { ColdReads } from './log.ts'
import { findTimestamp, maxTimestampOf } from './records-in-batch.ts'
import type { OffsetAndTimestamp, PartitionLog } from './types.ts'

export interface TableReadsOptions {
  /** Bound of the decoded chunks that are kept. */
  readonly cacheBytes: number
  /** Codec of the rebuilt batches of a topic. */
  readonly compressionOf: (topicId: Uuid) => CodecName
}

export interface TableReadsDependencies {
  readonly store: ObjectStore
  readonly parquet: Pick<ParquetCodec, 'decode' | 'offsetRange' | 'mergeByOffset'>
  readonly tableOf: (topicId: Uuid) => Promise<DeltaTable | null>
  readonly options: TableReadsOptions
}

/** Decoded bytes that are enough for one chunk, and more than which it does not hold: row groups that we wrote come whole. */
const CHUNK_BYTES = 4 * 1024 * 1024
const CHUNK_BYTES_MAX = 10 * 1024 * 1024
/** Smaller files are read whole; larger ones in ranges. */
const WHOLE_FILE_BYTES_MAX = 8 * 1024 * 1024
/** Small files that make up one chunk, and how many of them are fetched at once. */
const FILES_PER_CHUNK_MAX = 64
const READS_AT_ONCE = 8
/** Chunks that are decoded ahead of a sequential reader. */
const READ_AHEAD = 2
/** Bytes of files that are fetched ahead of decoding, for all readers. */
const FETCH_AHEAD_BYTES = 32 * 1024 * 1024
/** How old others' changes of a table may be before a reader sees them. */
const TABLE_AGE_MAX_MS = 1000
/** How often a search starts again because files vanished under it. */
const SEARCHES_MAX = 4

/** What is decoded of a partition for offsets [from, next); `batches` may leave gaps and may be empty. */
interface DecodedRange {
  readonly from: Offset
  readonly next: Offset
  readonly batches: readonly Uint8Array[]
  readonly bytes: number
  /** `SnapshotView.rowsChangedAt` when it was planned: a chunk is good until that moves. */
  readonly rowsAsOf: number
}

/** A decoded range in hand. Its memory goes back when neither the cache nor a reader holds it; answers hold what they take of it. */
class Chunk {
  readonly range: DecodedRange
  /** Of each batch. */
  readonly #memories: readonly BatchMemory[]
  #holders: number

  constructor(range: DecodedRange, holders: number) {
    this.range = range
    this.#memories = range.batches.map(({ buffer }) => new BatchMemory(buffer as ArrayBuffer))
    this.#holders = holders
  }

  hold(): void {
    this.#holders++
  }

  release(): void {
    if (--this.#holders === 0) releaseAll(this.#memories)
  }

  /** Batches from `from` on, up to the limit, at least one; their memory is added to `held`. */
  select(from: Offset, maxBytes: number, held: BatchMemory[]): Uint8Array[] {
    const selected: Uint8Array[] = []
    let bytes = 0
    for (const [i, batch] of this.range.batches.entries()) {
      if (lastOffsetOf(batch, 0) < from) continue
      if (selected.length > 0 && bytes + batch.length > maxBytes) break
      selected.push(batch)
      bytes += batch.length
      const memory = this.#memories[i]!
      memory.hold()
      held.push(memory)
    }
    return selected
  }
}

/** A chunk on its way. */
interface Loading {
  /** Who waits for it; each gets it held. */
  readers: number
  readonly chunk: Promise<Chunk>
}

interface PartitionChunks {
  readonly chunks: Map<Offset, Chunk>
  readonly loading: Map<Offset, Loading>
  /** Where the newest read will go on, and up to where there is something to read. */
  readerNext: Offset
  readerEnd: Offset
  isReadingAhead: boolean
}

export class TableReads implements ColdReads {
  readonly #deps: TableReadsDependencies
  readonly #partitions = new Map<string, PartitionChunks>()
  /** All chunks in order of use, the longest unused first. */
  readonly #used = new Map<Chunk, PartitionChunks>()
  readonly #fetchAhead: FetchAhead
  #bytes = 0

  constructor(deps: TableReadsDependencies) {
    this.#deps = deps
    this.#fetchAhead = new FetchAhead(deps.store, FETCH_AHEAD_BYTES)
  }

  get cachedBytes(): number {
    return this.#bytes
  }

  /** Drops what is cached of a topic: it was deleted, or its rows changed. */
  forget(topicId: Uuid): void {
    for (const [name, partition] of this.#partitions) {
      if (!name.startsWith(`${topicId}/`)) continue
      this.#partitions.delete(name)
      for (const chunk of partition.chunks.values()) this.#drop(chunk, partition)
    }
  }

  async read(log: PartitionLog, fromOffset: Offset, endOffset: Offset, maxBytes: number, held: BatchMemory[]): Promise<readonly Uint8Array[]> {
    const table = await this.#table(log)
    if (table === null) return []
    const partition = this.#partition(log)
    let from = fromOffset
    while (from < endOffset) {
      const cached = this.#cached(partition, from, table)
      cached?.hold()
      const chunk = cached ?? (await this.#load(log, partition, from, endOffset))
      const { next } = chunk.range
      partition.readerNext = next
      partition.readerEnd = endOffset
      void this.#readAhead(log, partition, table)
      const batches = chunk.select(from, maxBytes, held)
      chunk.release()
      if (batches.length > 0) return batches
      from = Math.max(next, from + 1)
    }
    return []
  }

  async offsetForTimestamp(log: PartitionLog, timestampMs: number): Promise<OffsetAndTimestamp | null> {
    return await this.#searching(log, async (table) => {
      let best: OffsetAndTimestamp | null = null
      for (const file of await this.#filesInOrder(log, table)) {
        // Files that others rewrote may overlap: one that begins later may still hold an earlier match.
        if (best !== null && file.first > best.offset) break
        if (file.maxTimestampMs !== undefined && file.maxTimestampMs < timestampMs) continue
        for await (const batch of this.#batchesOf(log, table, file)) {
          const found = findTimestamp(batch, timestampMs)
          if (found === null) continue
          if (best === null || found.offset < best.offset) best = { ...found, leaderEpoch: log.leaderEpoch }
          break
        }
      }
      return best
    })
  }

  async offsetOfMaxTimestamp(log: PartitionLog): Promise<OffsetAndTimestamp | null> {
    return await this.#searching(log, async (table) => {
      let best: OffsetAndTimestamp | null = null
      const files = await this.#filesInOrder(log, table)
      // The likeliest file first: most others are then excluded by their bounds.
      for (const file of files.toSorted((a, b) => (b.maxTimestampMs ?? Infinity) - (a.maxTimestampMs ?? Infinity))) {
        if (best !== null && file.maxTimestampMs !== undefined && file.maxTimestampMs < best.timestampMs) continue
        for await (const batch of this.#batchesOf(log, table, file)) {
          const found = maxTimestampOf(batch)
          if (best === null || found.timestampMs > best.timestampMs || (found.timestampMs === best.timestampMs && found.offset < best.offset)) {
            best = { ...found, leaderEpoch: log.leaderEpoch }
          }
        }
      }
      return best
    })
  }

  // ---- chunks -----------------------------------------------------------------------------------------------------------------

  #partition(log: PartitionLog): PartitionChunks {
    const name = `${log.topicId}/${log.partition}`
    let partition = this.#partitions.get(name)
    if (partition === undefined) {
      partition = { chunks: new Map(), loading: new Map(), readerNext: 0, readerEnd: 0, isReadingAhead: false }
      this.#partitions.set(name, partition)
    }
    return partition
  }

  #cached(partition: PartitionChunks, offset: Offset, table: DeltaTable): Chunk | null {
    const { rowsChangedAt } = table.snapshot
    for (const chunk of partition.chunks.values()) {
      if (chunk.range.rowsAsOf !== rowsChangedAt) {
        this.#drop(chunk, partition)
        continue
      }
      if (offset < chunk.range.from || offset >= chunk.range.next) continue
      this.#used.delete(chunk)
      this.#used.set(chunk, partition)
      return chunk
    }
    return null
  }

  /** One load per start at a time, shared by all who wait for it. The chunk is held for the caller. */
  #load(log: PartitionLog, partition: PartitionChunks, from: Offset, endOffset: Offset): Promise<Chunk> {
    const known = partition.loading.get(from)
    if (known !== undefined) {
      known.readers++
      return known.chunk
    }
    const load = async (): Promise<Chunk> => {
      try {
        const range = await this.#searching(log, (table) => this.#decodeChunk(log, table, from, endOffset))
        const chunk = new Chunk(range ?? { from, next: endOffset, batches: [], bytes: 0, rowsAsOf: -1 }, loading.readers)
        if (chunk.range.batches.length > 0) this.#keep(chunk, partition)
        return chunk
      } finally {
        // From here on nobody can join.
        partition.loading.delete(from)
      }
    }
    const loading: Loading = { readers: 1, chunk: load() }
    partition.loading.set(from, loading)
    return loading.chunk
  }

  /** Loads what a sequential reader will ask for, one chunk after the other, until `READ_AHEAD` of them are there. Never rejects. */
  async #readAhead(log: PartitionLog, partition: PartitionChunks, table: DeltaTable): Promise<void> {
    if (partition.isReadingAhead) return
    partition.isReadingAhead = true
    try {
      for (;;) {
        const from = this.#firstMissing(partition, table)
        if (from === null) return
        const chunk = await this.#load(log, partition, from, partition.readerEnd)
        chunk.release()
        // Nothing there, or no room to keep it.
        if (this.#cached(partition, from, table) === null) return
      }
    } catch {
      // A failure is seen by the read that needs the chunk.
    } finally {
      partition.isReadingAhead = false
    }
  }

  #firstMissing(partition: PartitionChunks, table: DeltaTable): Offset | null {
    let next = partition.readerNext
    for (let ahead = 0; ahead < READ_AHEAD && next < partition.readerEnd; ahead++) {
      const known = this.#cached(partition, next, table)
      if (known === null) return next
      next = known.range.next
    }
    return null
  }

  #keep(chunk: Chunk, partition: PartitionChunks): void {
    const { from, bytes } = chunk.range
    const old = partition.chunks.get(from)
    if (old !== undefined) this.#drop(old, partition)
    chunk.hold()
    partition.chunks.set(from, chunk)
    this.#used.set(chunk, partition)
    this.#bytes += bytes
    for (const [oldest, owner] of this.#used) {
      if (this.#bytes <= this.#deps.options.cacheBytes) break
      this.#drop(oldest, owner)
    }
  }

  #drop(chunk: Chunk, partition: PartitionChunks): void {
    if (!this.#used.delete(chunk)) return
    const { from, bytes } = chunk.range
    if (partition.chunks.get(from) === chunk) partition.chunks.delete(from)
    this.#bytes -= bytes
    chunk.release()
  }

  // ---- files ------------------------------------------------------------------------------------------------------------------

  /** The table of a partition, with what others committed to it up to about a second ago; null when there is none. */
  async #table(log: PartitionLog): Promise<DeltaTable | null> {
    const table = await this.#deps.tableOf(log.topicId)
    await table?.catchUp(TABLE_AGE_MAX_MS)
    return table
  }

  /** Runs a search on the table, again on its newer state when a file vanished under it. Null when there is no table. */
  async #searching<T>(log: PartitionLog, search: (table: DeltaTable) => Promise<T>): Promise<T | null> {
    const table = await this.#table(log)
    if (table === null) return null
    for (let attempt = 1; ; attempt++) {
      try {
        return await search(table)
      } catch (error) {
        if (!(error instanceof FileGoneError) || attempt >= SEARCHES_MAX) throw error
        await (attempt < SEARCHES_MAX - 1 ? table.poll() : table.load())
      }
    }
  }

  async #decodeChunk(log: PartitionLog, table: DeltaTable, from: Offset, endOffset: Offset): Promise<DecodedRange> {
    const snapshot = await this.#snapshot(log, table)
    const parts = planChunk(snapshot, log.partition, from, endOffset)
    const rowsAsOf = snapshot.rowsChangedAt
    const batches: Uint8Array[] = []
    let bytes = 0
    for (let i = 0; i < parts.length; i += READS_AT_ONCE) {
      const group = parts.slice(i, i + READS_AT_ONCE)
      const decoded = await Promise.all(group.map((part) => this.#decodePart(log, table, part)))
      for (const [index, { batches: found, done }] of decoded.entries()) {
        for (const batch of found) {
          batches.push(batch.bytes)
          bytes += batch.bytes.length
        }
        const last = found.at(-1)
        if (!done && last !== undefined) return { from, next: last.lastOffset + 1, batches, bytes, rowsAsOf }
        if (bytes >= CHUNK_BYTES) return { from, next: group[index]!.endOffset, batches, bytes, rowsAsOf }
      }
    }
    return { from, next: parts.at(-1)?.endOffset ?? endOffset, batches, bytes, rowsAsOf }
  }

  async #decodePart(log: PartitionLog, table: DeltaTable, part: ChunkPart): ReturnType<ParquetCodec['decode']> {
    const { parquet, options } = this.#deps
    const inputs = await Promise.all(part.files.map((file) => this.#openInOrder(table, file, part.following)))
    const decoded = await parquet.decode({
      file: inputs,
      fromOffset: part.fromOffset,
      endOffset: part.endOffset,
      maxBytes: CHUNK_BYTES_MAX,
      enoughBytes: CHUNK_BYTES,
      compression: options.compressionOf(log.topicId),
    })
    for (const { bytes, lastOffset } of decoded.batches) {
      // Of the last record: a batch may go over the end of an epoch, and who has read it must not seem to be beyond that end (KIP-320).
      patchBatch(bytes, 0, { baseOffset: baseOffsetOf(bytes, 0), leaderEpoch: log.epochOf(lastOffset) })
    }
    return decoded
  }

  async #open(table: DeltaTable, file: TableFile): Promise<ParquetInput> {
    return isLarge(file) ? this.#fetchAhead.reader(this.#dataFile(table, file)) : await this.#whole(table, file)
  }

  /** For a reader that goes on to `following` behind it. */
  async #openInOrder(table: DeltaTable, file: TableFile, following: TableFile | undefined): Promise<ParquetInput> {
    if (!isLarge(file)) return await this.#whole(table, file)
    const next = following === undefined || !isLarge(following) ? null : this.#dataFile(table, following)
    return this.#fetchAhead.readerInOrder(this.#dataFile(table, file), next)
  }

  #dataFile(table: DeltaTable, file: TableFile): DataFile {
    const key = dataFileKey(table.location, file)
    if (key === null) throw new Error(`${file.path} lies outside of its table and cannot be read`)
    return { key, size: file.bytes }
  }

  async #whole(table: DeltaTable, file: TableFile): Promise<Uint8Array> {
    const { key } = this.#dataFile(table, file)
    const bytes = await this.#deps.store.get(key)
    if (bytes === null) throw new FileGoneError(`${key} is gone`)
    return bytes
  }

  /** The table with the offsets of all files of the partition known: those without statistics are looked into. */
  async #snapshot(log: PartitionLog, table: DeltaTable): Promise<SnapshotView> {
    // Commits that come while one file is looked into may bring others.
    for (let file = firstUnknown(table, log.partition); file !== undefined; file = firstUnknown(table, log.partition)) {
      const range = await this.#deps.parquet.offsetRange({ file: await this.#open(table, file) })
      table.provideRange(
        file.path,
        range.minOffset < 0 ? { kind: 'none' } : { kind: 'known', first: range.minOffset, last: range.maxOffset },
        { records: range.rows, nullOffsets: range.rowsWithoutOffset },
      )
    }
    return table.snapshot
  }

  async #filesInOrder(log: PartitionLog, table: DeltaTable): Promise<TableFile[]> {
    const snapshot = await this.#snapshot(log, table)
    return [...snapshot.filesFrom(log.partition, log.logStartOffset)]
  }

  async *#batchesOf(log: PartitionLog, table: DeltaTable, file: TableFile): AsyncGenerator<Uint8Array> {
    const input = await this.#openInOrder(table, file, undefined)
    let fromOffset = log.logStartOffset
    for (;;) {
      const { batches, done } = await this.#deps.parquet.decode({
        file: input, fromOffset, maxBytes: CHUNK_BYTES_MAX, enoughBytes: CHUNK_BYTES, compression: 'none',
      })
      for (const batch of batches) yield batch.bytes
      const last = batches.at(-1)
      if (done || last === undefined) return
      fromOffset = last.lastOffset + 1
    }
  }
}

function isLarge(file: TableFile): boolean {
  return file.bytes > WHOLE_FILE_BYTES_MAX
}

function firstUnknown(table: DeltaTable, partition: number): TableFile | undefined {
  return table.snapshot.filesForOffset(partition, 0).unknown[0]
}

/** Files that together hold all rows of offsets [fromOffset, endOffset); more than one where their ranges overlap. */
interface ChunkPart {
  readonly files: readonly TableFile[]
  readonly fromOffset: Offset
  readonly endOffset: Offset
  /** The file behind them, if it is known. */
  readonly following?: TableFile | undefined
}

/** What to decode for a chunk that begins at `from`: as many files, in order, as make up its size. */
function planChunk(snapshot: SnapshotView, partition: number, from: Offset, endOffset: Offset): ChunkPart[] {
  const parts: ChunkPart[] = []
  let bytes = 0
  let at = from
  while (at < endOffset && parts.length < FILES_PER_CHUNK_MAX && bytes < CHUNK_BYTES) {
    const { covering, next } = snapshot.filesForOffset(partition, at)
    if (covering.length === 0) {
      if (next === undefined || next.first >= endOffset) {
        parts.push({ files: [], fromOffset: at, endOffset })
        break
      }
      at = next.first
      continue
    }
    let end = Math.min(endOffset, ...covering.map((file) => file.last + 1))
    if (next !== undefined && next.first > at) end = Math.min(end, next.first)
    parts.push({ files: covering, fromOffset: at, endOffset: end, following: next })
    bytes += covering.reduce((sum, file) => sum + file.bytes, 0)
    at = end
  }
  return parts.filter((part) => part.files.length > 0)
}
