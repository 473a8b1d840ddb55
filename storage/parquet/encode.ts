/**
 * Record batches to a Parquet file of the topic's table: what a flush does. Every record is decoded once, straight into columns.
 * Rows are in the order of the batches, which ascend by offset.
 *
 * A batch that cannot be decoded does not fail the file: it is left out whole and reported, so that the caller can keep its bytes
 * elsewhere and go on. One poisoned batch must not stop the flushing of a partition for ever.
 */
import { BATCH_HEADER_SIZE, attributes, baseOffset, isControl, lastOffset, timestampTypeOf } from '../../protocol/records/batch.ts'
import { DecompressionError, RecordFormatError } from '../../protocol/records/errors.ts'
import { RecordCursor } from '../../protocol/records/record.ts'
import type { RowColumns } from './row-columns.ts'
import { TopicFileWriter } from './topic-file-writer.ts'
import type { FileLayout, WrittenFile } from './topic-file-writer.ts'

export interface EncodeOptions extends FileLayout {
  /** Only records with from ≤ offset < end become rows. */
  readonly fromOffset: number
  readonly endOffset: number
  /** Bound on the decompressed records of one batch; a batch beyond it is unreadable. */
  readonly batchBytesMax?: number
}

export interface EncodedFile extends WrittenFile {
  /** Batches that are not in the file because their content is damaged, in the order of the input. */
  readonly unreadable: readonly UnreadableBatch[]
}

export interface UnreadableBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly reason: string
}

/** Beyond this the cursor's arithmetic is not exact. */
const timestampDeltaMax = 2 ** 52
export const batchBytesMaxDefault = 256 * 1024 * 1024

/** One file in the making. */
export class BatchEncoder {
  readonly #options: EncodeOptions
  readonly #writer: TopicFileWriter
  readonly #cursor = new RecordCursor()
  readonly #unreadable: UnreadableBatch[] = []

  /** `columns` is working memory; it can serve the next file when this one is finished. */
  constructor(options: EncodeOptions, columns: RowColumns) {
    this.#options = options
    this.#writer = new TopicFileWriter(columns, options)
  }

  /** Adds one verbatim record batch (v2) with its final base offset, the batches in ascending order. Control batches are no rows. */
  append(batch: Uint8Array): void {
    const reason = appendBatch(batch, this.#options, this.#writer.columns, this.#cursor)
    if (reason !== null) {
      const known = batch.length >= BATCH_HEADER_SIZE
      this.#unreadable.push({ baseOffset: known ? baseOffset(batch, 0) : -1, lastOffset: known ? lastOffset(batch, 0) : -1, reason })
    }
    this.#writer.cutIfFull()
  }

  finish(): EncodedFile {
    return { ...this.#writer.finish(), unreadable: this.#unreadable }
  }
}

/** Adds the rows of one batch, or none at all when it is unreadable: then the reason is returned. */
function appendBatch(batch: Uint8Array, options: EncodeOptions, columns: RowColumns, cursor: RecordCursor): string | null {
  if (batch.length < BATCH_HEADER_SIZE) return 'the batch is cut off'
  const flags = attributes(batch, 0)
  if (isControl(flags)) return null
  const mark = columns.mark()
  try {
    cursor.reset(batch, 0, { maxBytes: options.batchBytesMax ?? batchBytesMaxDefault })
    const problem = appendRecords(cursor, timestampTypeOf(flags), options, columns)
    if (problem !== null) columns.rollback(mark)
    return problem
  } catch (error) {
    columns.rollback(mark)
    if (error instanceof RecordFormatError || error instanceof DecompressionError) return error.message
    throw error
  }
}

function appendRecords(cursor: RecordCursor, timestampType: number, options: EncodeOptions, columns: RowColumns): string | null {
  const { fromOffset, endOffset } = options
  const { bytes } = cursor
  for (;;) {
    const step = cursor.step()
    if (step === 'end') return null
    if (step === 'malformed') return cursor.problem
    if (cursor.offset < fromOffset || cursor.offset >= endOffset) continue
    // Every safe integer of milliseconds fits into 64 bits of microseconds; others were rounded by the cursor and must not go on silently.
    if (!Number.isSafeInteger(cursor.timestamp) || Math.abs(cursor.timestampDelta) > timestampDeltaMax) {
      return `the timestamp of offset ${cursor.offset} is out of range`
    }
    columns.start(cursor.offset, cursor.timestamp, timestampType)
    columns.key(bytes, cursor.keyStart, cursor.keyStart < 0 ? -1 : cursor.keyEnd - cursor.keyStart)
    columns.value(bytes, cursor.valueStart, cursor.valueStart < 0 ? -1 : cursor.valueEnd - cursor.valueStart)
    if (cursor.headerCount > 0) {
      while (cursor.nextHeader()) {
        const valueLength = cursor.headerValueStart < 0 ? -1 : cursor.headerValueEnd - cursor.headerValueStart
        columns.header(bytes, cursor.headerKeyStart, cursor.headerKeyEnd - cursor.headerKeyStart, cursor.headerValueStart, valueLength)
      }
    }
    columns.end()
  }
}
