/**
 * Compresses and decompresses the pages of Parquet files with the zstd of the runtime. The one inside the Parquet library is three
 * times slower (it is compiled to wasm), and zstd is most of the work of a flush. The library sees uncompressed pages only.
 *
 * Source: parquet.thrift (PageHeader, DataPageHeaderV2, CompressionCodec); Parquet format, "Data Pages".
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { numberField, patched, readThriftPrefix, structField, thriftType, i32Field, writeThriftStruct } from './thrift-compact.ts'
import type { ThriftStruct } from './thrift-compact.ts'

/** Numbers of CompressionCodec in parquet.thrift. */
export const codecUncompressed = 0
export const codecZstd = 6

/** What a page becomes: the bytes between two pages stay where they are. */
export interface Page {
  readonly header: Uint8Array
  readonly body: Uint8Array
  readonly isDictionary: boolean
  /** Bytes of the page in the original column chunk, header included. */
  readonly originalBytes: number
  /** Of the body. */
  readonly uncompressedBytes: number
}

const pageHeader = { type: 1, uncompressedBytes: 2, compressedBytes: 3, crc: 4, dataPageV2: 8 } as const
const dataPageV2 = { definitionLevelBytes: 5, repetitionLevelBytes: 6, isCompressed: 7 } as const
const dictionaryPage = 2

/** The pages of an uncompressed column chunk, compressed at a zstd level. Throws RangeError on bytes that are no pages. */
export function compressPages(chunk: Uint8Array, level: number): Page[] {
  return pagesOf(chunk).map(({ struct, body, originalBytes }) => page(struct, compressBody(body, level), body.length, originalBytes))
}

/** A page's body, compressed at a zstd level. */
export function compressBody(plain: Uint8Array, level: number): Uint8Array {
  // Room for all of it at once (ZSTD_compressBound): growing piece by piece costs more than the compression of easy pages.
  const chunkSize = plain.length + (plain.length >> 8) + 512
  return zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: level }, pledgedSrcSize: plain.length, chunkSize })
}

/** The pages of a column chunk that is compressed with zstd, decompressed. Throws RangeError and what zlib throws on damaged bytes. */
export function decompressPages(chunk: Uint8Array): Page[] {
  return pagesOf(chunk).map(({ struct, body, originalBytes }) => {
    const plain = plainBody(struct, body)
    return page(struct, plain, plain.length, originalBytes)
  })
}

/** Body of one page of a column chunk that is compressed with zstd. Throws as `decompressPages`. */
export function plainBody(struct: ThriftStruct, body: Uint8Array): Uint8Array {
  const size = numberField(struct, pageHeader.uncompressedBytes) ?? -1
  const v2 = structField(struct, pageHeader.dataPageV2)
  // The levels of a version 2 page are never compressed; its values may be or not.
  const levels = v2 === undefined ? 0
    : (numberField(v2, dataPageV2.definitionLevelBytes) ?? 0) + (numberField(v2, dataPageV2.repetitionLevelBytes) ?? 0)
  if (size < levels || levels > body.length) throw new RangeError('damaged Parquet page header')
  if (v2?.get(dataPageV2.isCompressed)?.value === false) return body
  const values = size === levels ? nothing
    : zstdDecompressSync(body.subarray(levels), { maxOutputLength: size - levels, chunkSize: Math.max(64, size - levels) })
  if (values.length !== size - levels) throw new RangeError('a Parquet page has not its declared size')
  // A plain view even of a Buffer: one kind of array keeps the loops over its bytes fast.
  if (levels === 0) return new Uint8Array(values.buffer, values.byteOffset, values.length)
  const plain = new Uint8Array(size)
  plain.set(body.subarray(0, levels))
  plain.set(values, levels)
  return plain
}

const nothing = new Uint8Array(0)

function page(struct: ThriftStruct, body: Uint8Array, uncompressedBytes: number, originalBytes: number): Page {
  const v2 = structField(struct, pageHeader.dataPageV2)
  const header = writeThriftStruct(patched(struct, {
    [pageHeader.uncompressedBytes]: i32Field(uncompressedBytes),
    [pageHeader.compressedBytes]: i32Field(body.length),
    [pageHeader.crc]: null,
    [pageHeader.dataPageV2]: v2 === undefined ? null : {
      type: thriftType.struct, value: patched(v2, { [dataPageV2.isCompressed]: { type: thriftType.false, value: false } }),
    },
  }))
  return { header, body, isDictionary: numberField(struct, pageHeader.type) === dictionaryPage, originalBytes, uncompressedBytes }
}

/** Headers and bodies of the pages of a column chunk, one after the other. Throws RangeError on bytes that are no pages. */
export function pagesOf(chunk: Uint8Array): { struct: ThriftStruct; body: Uint8Array; originalBytes: number }[] {
  const pages: { struct: ThriftStruct; body: Uint8Array; originalBytes: number }[] = []
  for (let at = 0; at < chunk.length; ) {
    const { struct, end } = readThriftPrefix(chunk.subarray(at))
    const size = numberField(struct, pageHeader.compressedBytes) ?? -1
    if (size < 0 || size > chunk.length - at - end) throw new RangeError('a Parquet page goes beyond its column')
    pages.push({ struct, body: chunk.subarray(at + end, at + end + size), originalBytes: end + size })
    at += end + size
  }
  return pages
}
