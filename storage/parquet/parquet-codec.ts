/**
 * What the rest of storage asks of Parquet. `ParquetWorkers` does it in worker threads; `InlineParquet` does the same in the calling
 * thread, for simulations, which must not depend on threads.
 *
 * Every call is a pure function of its request: a failed one can be repeated.
 */
import type { ParquetInput } from './byte-source.ts'
import type { DecodeFileOptions, DecodedFile } from './decode.ts'
import type { EncodeOptions, EncodedFile } from './encode.ts'
import type { CollectKeysOptions, KeyMergedFile, KeyMergeOptions, SupersededOptions, SupersededRows } from './merge-by-key.ts'
import type { OffsetMergeOptions, OffsetRange } from './merge.ts'
import type { ParquetCompression } from './parquet-library.ts'
import type { FileLayout, WrittenFile } from './topic-file-writer.ts'

/** Merging would lose something: rows without an offset, or columns that are not ours. Leave these files alone. */
export class NotMergeableError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'NotMergeableError'
  }
}

export interface ParquetCodec {
  /** Record batches to a file of the table. Damaged batches are reported in the result, not thrown. */
  encode(request: EncodeRequest): Promise<EncodedFile>
  /** Rows of a file, or of several, back to record batches, in the order of their offsets. */
  decode(request: DecodeRequest): Promise<DecodedFile>
  /** Least and greatest offset and the number of rows of a file whose Delta statistics are missing. */
  offsetRange(request: FileRequest): Promise<OffsetRange>
  /** One file with the rows of all `files` (of one partition), ascending by offset. Throws NotMergeableError where rows would be lost. */
  mergeByOffset(request: OffsetMergeRequest): Promise<WrittenFile>
  /** Notes the last offset of each key of all `files`; gives the offset up to which there was room. */
  collectKeys(request: CollectKeysRequest): Promise<number>
  /** Rows of a file that later ones supersede; null where `mergeByKey` would throw NotMergeableError. */
  countSuperseded(request: SupersededRequest): Promise<SupersededRows | null>
  /** As `mergeByOffset`, without rows that later ones supersede (log compaction). */
  mergeByKey(request: KeyMergeRequest): Promise<KeyMergedFile>
  /** An Arrow IPC stream (any schema) as a Parquet file, e.g. a checkpoint of the Delta log. */
  encodeArrowTable(ipc: Uint8Array, options?: ArrowTableOptions): Promise<Uint8Array>
  /** A whole Parquet file (any schema) as an Arrow IPC stream. */
  decodeToArrow(parquet: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

export interface EncodeRequest extends EncodeOptions {
  /** For errors and metrics; the partition column is not in the file. */
  readonly partition: number
  /** Verbatim record batches v2 with final base offsets, ascending. Must not change until the call is done. */
  readonly batches: readonly Uint8Array[]
  /**
   * Batches that are few bytes go to the thread with the job, which then has nothing to ask for. For a commit of few files: one of a thousand
   * keeps the store busy as it is.
   */
  readonly prompt?: boolean
}

export interface FileRequest {
  readonly file: ParquetInput
}

export interface DecodeRequest extends DecodeFileOptions {
  /** One file, or several of one partition whose offsets overlap: they are read as if they were one. */
  readonly file: ParquetInput | readonly ParquetInput[]
}

export interface MergeRequest extends FileLayout {
  readonly files: readonly ParquetInput[]
}

export interface OffsetMergeRequest extends MergeRequest, OffsetMergeOptions {}

export interface CollectKeysRequest extends CollectKeysOptions {
  readonly files: readonly ParquetInput[]
}

export interface SupersededRequest extends FileRequest, SupersededOptions {}

export interface KeyMergeRequest extends MergeRequest, KeyMergeOptions {}

export interface ArrowTableOptions {
  /** `snappy` without it: what every reader of Delta checkpoints knows. */
  readonly compression?: ParquetCompression
  readonly rowGroupRows?: number
}
