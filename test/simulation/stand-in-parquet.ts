/**
 * A stand-in for Parquet in runs that are not about it: the "file" is the record batches one after the other. It takes a fraction of the time, so
 * that more seeds can be run; every third seed uses the real one.
 */
import { LOG_APPEND_TIME, attributes, iterateBatches, timestampTypeOf } from '../../protocol/records/batch.ts'
import type { TimestampType } from '../../protocol/records/batch.ts'
import { codecNumber } from '../../protocol/records/compression.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import type { DecodedRecord } from '../../protocol/records/record.ts'
import type { ParquetInput } from '../../storage/parquet/byte-source.ts'
import type { DecodedBatch, DecodedFile } from '../../storage/parquet/decode.ts'
import type { EncodedFile } from '../../storage/parquet/encode.ts'
import { KeyOffsets } from '../../storage/parquet/key-offsets.ts'
import type { KeyMergedFile, SupersededRows } from '../../storage/parquet/merge-by-key.ts'
import type { OffsetRange } from '../../storage/parquet/merge.ts'
import type {
  CollectKeysRequest, DecodeRequest, EncodeRequest, FileRequest, KeyMergeRequest, OffsetMergeRequest, ParquetCodec, SupersededRequest,
} from '../../storage/parquet/parquet-codec.ts'
import type { WrittenFile } from '../../storage/parquet/topic-file-writer.ts'

type Codec = Pick<ParquetCodec, 'encode' | 'decode' | 'offsetRange' | 'mergeByOffset' | 'collectKeys' | 'countSuperseded' | 'mergeByKey'>

interface Row extends DecodedRecord {
  readonly type: TimestampType
}

export class StandInParquet implements Codec {
  async encode(request: EncodeRequest): Promise<EncodedFile> {
    const rows = request.batches.flatMap(rowsOf).filter(({ offset }) => offset >= request.fromOffset && offset < request.endOffset)
    return { ...written(rows), unreadable: [] }
  }

  async decode(request: DecodeRequest): Promise<DecodedFile> {
    const { fromOffset, endOffset = Infinity, maxBytes, compression = 'none' } = request
    const files = Array.isArray(request.file) ? (request.file as readonly ParquetInput[]) : [request.file as ParquetInput]
    const rows = sorted((await Promise.all(files.map(bytesOf))).flatMap(rowsOf)).filter(({ offset }) => offset >= fromOffset && offset < endOffset)
    const batches: DecodedBatch[] = []
    let bytes = 0
    for (let at = 0; at < rows.length; ) {
      if (bytes >= maxBytes) return { batches, done: false }
      const end = Math.min(endOfBatch(rows, at), at + 50)
      batches.push(batchOf(rows.slice(at, end), codecNumber(compression)))
      bytes += batches.at(-1)!.bytes.length
      at = end
    }
    return { batches, done: true }
  }

  async offsetRange(request: FileRequest): Promise<OffsetRange> {
    const offsets = rowsOf(await bytesOf(request.file)).map(({ offset }) => offset)
    return { rows: offsets.length, rowsWithoutOffset: 0, minOffset: Math.min(...offsets), maxOffset: Math.max(...offsets) }
  }

  async mergeByOffset({ files, fromOffset = 0 }: OffsetMergeRequest): Promise<WrittenFile> {
    return written((await rowsOfAll(files)).filter(({ offset }) => offset >= fromOffset))
  }

  async collectKeys({ files, keys, fromOffset, endOffset }: CollectKeysRequest): Promise<number> {
    const map = new KeyOffsets(keys)
    for (const { offset, key } of await rowsOfAll(files)) {
      if (offset >= fromOffset && offset < endOffset && key !== null && !map.put(key, offset)) return offset
    }
    return endOffset
  }

  async countSuperseded({ file, keys, endOffset, withTombstones }: SupersededRequest): Promise<SupersededRows> {
    const map = new KeyOffsets(keys)
    const rows = rowsOf(await bytesOf(file)).filter(({ offset }) => offset < endOffset)
    const tombstones = withTombstones ? rows.filter(({ value }) => value === null).length : null
    return { superseded: rows.filter((row) => isSuperseded(row, map)).length, tombstones }
  }

  async mergeByKey({ files, keys, endOffset, dropTombstones }: KeyMergeRequest): Promise<KeyMergedFile> {
    const map = new KeyOffsets(keys)
    const rows = await rowsOfAll(files)
    const kept = rows.filter((row) => row.offset >= endOffset || !(isSuperseded(row, map) || (dropTombstones && row.value === null)))
    return { ...written(kept), dropped: rows.length - kept.length }
  }
}

function isSuperseded({ key, offset }: Row, map: KeyOffsets): boolean {
  return key === null || map.get(key) > offset
}

async function rowsOfAll(files: readonly ParquetInput[]): Promise<Row[]> {
  return sorted((await Promise.all(files.map(bytesOf))).flatMap(rowsOf))
}

async function bytesOf(file: ParquetInput): Promise<Uint8Array> {
  return file instanceof Uint8Array ? file : await file.read(0, file.size)
}

function rowsOf(bytes: Uint8Array): Row[] {
  const rows: Row[] = []
  for (const { start } of iterateBatches(bytes)) {
    const type = timestampTypeOf(attributes(bytes, start))
    for (const record of recordsOf(bytes, start)) rows.push({ ...record, type })
  }
  return rows
}

function sorted(rows: readonly Row[]): Row[] {
  return rows.toSorted((a, b) => a.offset - b.offset)
}

/** Rows of one batch have one timestamp type, and with log append time one timestamp. */
function endOfBatch(rows: readonly Row[], at: number): number {
  const first = rows[at]!
  const isSame = (row: Row): boolean => row.type === first.type && (row.type !== LOG_APPEND_TIME || row.timestamp === first.timestamp)
  let end = at + 1
  while (end < rows.length && isSame(rows[end]!)) end++
  return end
}

function batchOf(rows: readonly Row[], codec: number): DecodedBatch {
  const baseOffset = rows[0]!.offset
  return { bytes: encodeBatch({ baseOffset, codec, timestampType: rows[0]!.type, records: rows }), baseOffset, lastOffset: rows.at(-1)!.offset }
}

function written(rows: readonly Row[]): WrittenFile {
  const chunks: Uint8Array[] = []
  for (let at = 0; at < rows.length; ) {
    const end = endOfBatch(rows, at)
    chunks.push(batchOf(rows.slice(at, end), 0).bytes)
    at = end
  }
  const times = rows.map(({ timestamp }) => timestamp).filter((timestamp) => timestamp !== -1)
  const count = (has: (row: Row) => boolean): number => rows.filter((row) => !has(row)).length
  return {
    parquet: rows.length === 0 ? null : [new Uint8Array(Buffer.concat(chunks))],
    rows: rows.length,
    minOffset: rows[0]?.offset ?? -1,
    maxOffset: rows.at(-1)?.offset ?? -1,
    minTimestampMicros: times.length === 0 ? null : Math.min(...times) * 1000,
    maxTimestampMicros: times.length === 0 ? null : Math.max(...times) * 1000,
    nullCounts: {
      offset: 0, timestamp: rows.length - times.length, timestampType: 0, key: count(({ key }) => key !== null), value: count(({ value }) => value !== null), headers: 0,
    },
  }
}
