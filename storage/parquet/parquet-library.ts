/**
 * The only file that touches parquet-wasm; `library-on-demand.ts` loads it. Everything is synchronous and blocks the thread for as long as it takes, so it runs in a
 * worker (`parquet-worker.ts`).
 *
 * The asynchronous calls of the library are avoided on purpose: inside them an error of the source becomes a panic, and an error
 * while writing is dropped. `footer.ts` gives what they would be good for, reading by ranges and writing row group after row group.
 */
import {
  Compression, Encoding, EnabledStatistics, Table, WriterPropertiesBuilder, readParquet, wasmMemory, writeParquet,
} from 'parquet-wasm'
import type { ReaderOptions, RecordBatch } from 'parquet-wasm'
import { columnViews } from './arrow-views.ts'
import type { ColumnView } from './arrow-views.ts'
import { ParquetFormatError } from './footer.ts'
import { isLibraryTrap } from './library-on-demand.ts'

/** Codecs of Parquet pages that every reader of Delta tables knows. */
export type ParquetCompression = 'none' | 'snappy' | 'gzip' | 'lz4' | 'zstd'

const codecs: Readonly<Record<ParquetCompression, Compression>> = {
  none: Compression.UNCOMPRESSED,
  snappy: Compression.SNAPPY,
  gzip: Compression.GZIP,
  lz4: Compression.LZ4_RAW,
  zstd: Compression.ZSTD,
}

const createdBy = 'bayou'

/** Rows of the topic schema (`row-ipc.ts`) as a Parquet file with one row group. `ipc` is an Arrow IPC stream. */
export function writeTopicRows(ipc: Uint8Array, compression: ParquetCompression): Uint8Array {
  const properties = new WriterPropertiesBuilder()
    .setCreatedBy(createdBy)
    .setCompression(codecs[compression])
    .setMaxRowGroupSize(2 ** 31 - 1)
    // Offsets and timestamps ascend: differences are small. Values hardly repeat: a dictionary would be built in vain.
    .setDictionaryEnabled(false)
    .setColumnEncoding('offset', Encoding.DELTA_BINARY_PACKED)
    .setColumnEncoding('timestamp', Encoding.DELTA_BINARY_PACKED)
    .setColumnEncoding('value', Encoding.DELTA_LENGTH_BYTE_ARRAY)
    .setColumnDictionaryEnabled('timestampType', true)
    // Few different keys are a dictionary; many outgrow it, and the rest of them is stored as values are.
    .setColumnDictionaryEnabled('key', true)
    .setColumnEncoding('key', Encoding.DELTA_LENGTH_BYTE_ARRAY)
    .setColumnStatisticsEnabled('value', EnabledStatistics.None)
    .build()
  return write(ipc, properties)
}

/** Any Arrow IPC stream as a Parquet file. */
export function writeTable(ipc: Uint8Array, compression: ParquetCompression, rowGroupRows: number): Uint8Array {
  const properties = new WriterPropertiesBuilder()
    .setCreatedBy(createdBy)
    .setCompression(codecs[compression])
    .setMaxRowGroupSize(rowGroupRows)
    .build()
  return write(ipc, properties)
}

function write(ipc: Uint8Array, properties: ReturnType<WriterPropertiesBuilder['build']>): Uint8Array {
  // Both arguments are consumed by the call, whatever comes of it.
  return writeParquet(Table.fromIPCStream(ipc), properties)
}

function read(file: Uint8Array, options: ReaderOptions): Table {
  try {
    return readParquet(file, options)
  } catch (cause) {
    if (isLibraryTrap(cause)) throw cause
    throw new ParquetFormatError(`unreadable Parquet file: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** A whole Parquet file as an Arrow IPC stream. */
export function readTable(file: Uint8Array): Uint8Array {
  return read(file, {}).intoIPCStream()
}

/** Rows [start, start + count) of a file. */
export interface RowSpan {
  readonly start: number
  readonly count: number
}

/**
 * Calls `visit` with the columns of some rows of a file. They come in one piece unless the library sees a reason to split them;
 * pieces are in file order. The views are valid during the call only, and `visit` must not call the library.
 */
export function readColumns(
  file: Uint8Array, span: RowSpan, visit: (columns: ReadonlyMap<string, ColumnView>, rows: number) => void,
): void {
  const table = read(file, { batchSize: Math.max(1, span.count), offset: span.start, limit: span.count })
  let batches: RecordBatch[]
  try {
    batches = table.recordBatches()
  } finally {
    table.free()
  }
  let taken = 0
  try {
    for (const batch of batches) {
      const rows = batch.numRows
      taken++
      // Consumes the batch; the exported structs own the arrays from here on.
      const exported = batch.intoFFI()
      try {
        visit(columnViews(wasmMemory().buffer, exported.arrayAddr(), exported.schemaAddr()), rows)
      } finally {
        exported.free()
      }
    }
  } finally {
    for (const batch of batches.slice(taken)) batch.free()
  }
}

/** Bytes that the library's memory has grown to. It never shrinks. */
export function libraryMemoryBytes(): number {
  return wasmMemory().buffer.byteLength
}
