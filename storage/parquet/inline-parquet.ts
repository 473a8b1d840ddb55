/** All Parquet work in the calling thread, which it blocks. Inside a worker this is the work itself; outside it is for simulations. */
import { inputsOf, rangeReaderOf } from './byte-source.ts'
import { decodeFiles } from './decode.ts'
import type { DecodedFile } from './decode.ts'
import { BatchEncoder } from './encode.ts'
import type { EncodeOptions, EncodedFile } from './encode.ts'
import { collectKeys, countSuperseded, mergeByKey } from './merge-by-key.ts'
import type { KeyMergedFile, SupersededRows } from './merge-by-key.ts'
import { mergeByOffset, offsetRange } from './merge.ts'
import type { OffsetRange } from './merge.ts'
import type {
  ArrowTableOptions, CollectKeysRequest, DecodeRequest, EncodeRequest, FileRequest, KeyMergeRequest, OffsetMergeRequest, ParquetCodec,
  SupersededRequest,
} from './parquet-codec.ts'
import { parquetLibrary } from './library-on-demand.ts'
import { RowColumns } from './row-columns.ts'
import type { WrittenFile } from './topic-file-writer.ts'

export class InlineParquet implements ParquetCodec {
  /** Working memory that no job uses at the moment. */
  readonly #columns: RowColumns[] = []
  readonly #pause: (() => Promise<void>) | undefined

  /** `pause` lets other jobs have the thread in the middle of a merge. */
  constructor(pause?: () => Promise<void>) {
    this.#pause = pause
  }

  async encode(request: EncodeRequest): Promise<EncodedFile> {
    return this.encodeChunks([request.batches], request)
  }

  /** As `encode`, for batches that arrive in chunks. */
  async encodeChunks(
    chunks: Iterable<readonly Uint8Array[]> | AsyncIterable<readonly Uint8Array[]>, options: EncodeOptions,
  ): Promise<EncodedFile> {
    return await this.#withColumns(async (columns) => {
      const encoder = new BatchEncoder(options, columns)
      for await (const batches of chunks) for (const batch of batches) encoder.append(batch)
      return encoder.finish()
    })
  }

  async decode(request: DecodeRequest): Promise<DecodedFile> {
    return await decodeFiles(inputsOf(request.file).map(rangeReaderOf), request)
  }

  async offsetRange(request: FileRequest): Promise<OffsetRange> {
    return await offsetRange(rangeReaderOf(request.file))
  }

  async mergeByOffset(request: OffsetMergeRequest): Promise<WrittenFile> {
    return await this.#withColumns((columns) => mergeByOffset(request.files.map(rangeReaderOf), { ...request, pause: this.#pause }, columns))
  }

  async collectKeys(request: CollectKeysRequest): Promise<number> {
    return await collectKeys(request.files.map(rangeReaderOf), request)
  }

  async countSuperseded(request: SupersededRequest): Promise<SupersededRows | null> {
    return await countSuperseded(rangeReaderOf(request.file), request)
  }

  async mergeByKey(request: KeyMergeRequest): Promise<KeyMergedFile> {
    return await this.#withColumns((columns) => mergeByKey(request.files.map(rangeReaderOf), { ...request, pause: this.#pause }, columns))
  }

  async encodeArrowTable(ipc: Uint8Array, options: ArrowTableOptions = {}): Promise<Uint8Array> {
    return parquetLibrary().writeTable(ipc, options.compression ?? 'snappy', options.rowGroupRows ?? 1024 * 1024)
  }

  async decodeToArrow(parquet: Uint8Array): Promise<Uint8Array> {
    return parquetLibrary().readTable(parquet)
  }

  async close(): Promise<void> {}

  async #withColumns<T>(use: (columns: RowColumns) => Promise<T>): Promise<T> {
    const columns = this.#columns.pop() ?? new RowColumns()
    try {
      return await use(columns)
    } finally {
      columns.clear()
      if (this.#columns.length === 0) this.#columns.push(columns)
    }
  }
}
