/**
 * Rows of table files back to record batches: what a cold read does (DESIGN §2). The batches are new ones (borders, producer ids and
 * codec of the original are not in the table and not needed to read); their records are equal to those that were produced (P6), at
 * the same offsets.
 */
import { LOG_APPEND_TIME } from '../../protocol/records/batch.ts'
import { codecNumber } from '../../protocol/records/compression.ts'
import type { CodecName } from '../../protocol/records/compression.ts'
import { BatchBuilder } from '../../protocol/records/encoder.ts'
import { isValid } from './arrow-views.ts'
import type { RangeReader } from './byte-source.ts'
import { unescapeKey } from './header-keys.ts'
import { forEachOrdered, openFile } from './ordered-rows.ts'
import { lengthAt, offsetAt, timestampMsAt, timestampTypeAt } from './row-view.ts'
import type { RowView } from './row-view.ts'

export interface DecodeFileOptions {
  readonly fromOffset: number
  /** Exclusive; none without it. */
  readonly endOffset?: number
  /** Stops once the batches hold this many bytes before compression; at least one batch is returned if there is a row. */
  readonly maxBytes: number
  /**
   * Stops behind a row group once the batches hold this many, `maxBytes` without it. A row group that is cut in its middle is decompressed again
   * for its rest.
   */
  readonly enoughBytes?: number
  /** Codec of the batches; `none` without it. */
  readonly compression?: CodecName
  /** Bytes of one batch before compression, which a single larger record exceeds. */
  readonly batchBytesTarget?: number
}

export interface DecodedFile {
  readonly batches: readonly DecodedBatch[]
  /** True when the files hold no more offsets in [fromOffset, endOffset) than those returned. */
  readonly done: boolean
}

export interface DecodedBatch {
  /** In a buffer of its own, which can be transferred. Leader epoch -1, no producer. */
  readonly bytes: Uint8Array
  readonly baseOffset: number
  readonly lastOffset: number
}

export const batchBytesTargetDefault = 256 * 1024
/** A batch ends before its payload goes over the target; this is for what surrounds it. */
const batchBytesSlack = 1024

/**
 * `readers` are the files of one partition whose offsets may overlap, usually a single one; where two rows have one offset, one of
 * them counts. Throws ParquetFormatError, UnsupportedColumnError, and whatever a reader rejects with.
 */
export async function decodeFiles(readers: readonly RangeReader[], options: DecodeFileOptions): Promise<DecodedFile> {
  const { fromOffset, endOffset = Number.MAX_SAFE_INTEGER, maxBytes, enoughBytes = maxBytes } = options
  const assembler = new BatchAssembler(options)
  const wantsMore = (): boolean => assembler.bytes < maxBytes
  const betweenChunks = (): boolean => assembler.bytes < Math.min(maxBytes, enoughBytes)
  const rows = { fromOffset, endOffset, chunkBytes: Math.max(maxBytes, chunkBytesMin), betweenChunks }
  const done = await forEachOrdered(await Promise.all(readers.map(openFile)), rows, (view, order) => {
    for (let i = 0; i < order.length; i++) {
      if (i > 0 && !wantsMore()) return false
      assembler.append(view, order[i]!)
    }
    return true
  })
  return { batches: assembler.finish(), done }
}

/** Less is not worth a call of the library. */
const chunkBytesMin = 1024 * 1024
/** The record format counts timestamps from the first one of the batch; larger differences are not exact in every codec. */
const timestampSpanMax = 2 ** 51
const offsetSpanMax = 2 ** 31 - 1

class BatchAssembler {
  readonly #codec: number
  readonly #bytesTarget: number
  readonly #builder: BatchBuilder
  readonly #batches: DecodedBatch[] = []
  #finishedBytes = 0
  #baseOffset = 0
  #lastOffset = 0
  #firstTimestamp = 0
  #timestampType: 0 | 1 = 0
  /** The words that `#timestampMs` stands for. */
  #timestampView: RowView | null = null
  #timestampLow = 0
  #timestampHigh = 0
  #timestampMs = 0

  constructor(options: DecodeFileOptions) {
    this.#codec = codecNumber(options.compression ?? 'none')
    this.#bytesTarget = options.batchBytesTarget ?? batchBytesTargetDefault
    this.#builder = new BatchBuilder({ baseOffset: 0, codec: this.#codec }, Math.min(this.#bytesTarget, options.maxBytes) + batchBytesSlack)
  }

  /** Bytes so far, before compression. */
  get bytes(): number {
    return this.#finishedBytes + (this.#builder.recordCount === 0 ? 0 : this.#builder.sizeSoFar)
  }

  append(view: RowView, row: number): void {
    const builder = this.#builder
    const offset = offsetAt(view, row)!
    const timestamp = this.#timestampAt(view, row)
    const timestampType = timestampTypeAt(view, row)
    const { key, value } = view
    const keyLength = lengthAt(key, row)
    const valueLength = lengthAt(value, row)
    if (builder.recordCount > 0 && !this.#fits(offset, timestamp, timestampType, keyLength + valueLength)) this.#cut()
    if (builder.recordCount === 0) {
      builder.reset({ baseOffset: offset, codec: this.#codec, timestampType })
      this.#baseOffset = offset
      this.#firstTimestamp = timestamp
      this.#timestampType = timestampType
    }
    const { headers } = view
    if (headers !== null && isValid(headers.validity, row)) appendHeaders(view, headers.offsets[row]!, headers.offsets[row + 1]!, builder)
    const keyAt = keyLength < 0 ? 0 : key!.offsets[row]!
    const valueAt = valueLength < 0 ? 0 : value!.offsets[row]!
    builder.appendRange(
      offset - this.#baseOffset, timestamp,
      keyLength < 0 ? null : key!.bytes, keyAt, keyAt + keyLength,
      valueLength < 0 ? null : value!.bytes, valueAt, valueAt + valueLength,
    )
    this.#lastOffset = offset
  }

  finish(): readonly DecodedBatch[] {
    if (this.#builder.recordCount > 0) this.#cut()
    return this.#batches
  }

  /** Neighbours often have one timestamp: it is computed once for them. */
  #timestampAt(view: RowView, row: number): number {
    const column = view.timestamp
    if (column === null || !column.wide || column.validity !== null) return timestampMsAt(view, row)
    const low = column.words[row * 2]!
    const high = column.words[row * 2 + 1]!
    if (low !== this.#timestampLow || high !== this.#timestampHigh || view !== this.#timestampView) {
      this.#timestampLow = low
      this.#timestampHigh = high
      this.#timestampView = view
      this.#timestampMs = timestampMsAt(view, row)
    }
    return this.#timestampMs
  }

  #fits(offset: number, timestamp: number, timestampType: 0 | 1, payloadBytes: number): boolean {
    if (timestampType !== this.#timestampType || offset - this.#baseOffset > offsetSpanMax) return false
    if (this.#builder.sizeSoFar + payloadBytes > this.#bytesTarget) return false
    // A log-append batch has one timestamp for all its records.
    const span = Math.abs(timestamp - this.#firstTimestamp)
    return timestampType === LOG_APPEND_TIME ? span === 0 : span < timestampSpanMax
  }

  #cut(): void {
    this.#finishedBytes += this.#builder.sizeSoFar
    this.#batches.push({ bytes: this.#builder.finish(), baseOffset: this.#baseOffset, lastOffset: this.#lastOffset })
    this.#builder.reset({ baseOffset: 0, codec: this.#codec })
  }
}

/** Adds the elements [from, to) of the header columns. A null key, which only somebody else can have written, is an empty one. */
function appendHeaders(view: RowView, from: number, to: number, builder: BatchBuilder): void {
  const { headerKey, headerValue } = view
  for (let i = from; i < to; i++) {
    const keyAt = headerKey?.offsets[i] ?? 0
    const keyEnd = keyAt + Math.max(0, lengthAt(headerKey, i))
    const stored = headerKey?.bytes ?? nothing
    const original = unescapeKey(stored, keyAt, keyEnd)
    const valueLength = lengthAt(headerValue, i)
    const valueAt = headerValue?.offsets[i] ?? 0
    const value = valueLength < 0 ? null : headerValue!.bytes
    if (original === null) builder.addHeaderRange(stored, keyAt, keyEnd, value, valueAt, valueAt + valueLength)
    else builder.addHeaderRange(original, 0, original.length, value, valueAt, valueAt + valueLength)
  }
}

const nothing = new Uint8Array(0)
