/** Where the bytes of a Parquet file come from: memory, or ranges of an object in the store. */
import { footerLength, footerTailBytes, parseFooter, ParquetFormatError } from './footer.ts'
import type { ParquetFooter } from './footer.ts'

/** A file that is read in ranges. `read` gives exactly the bytes [start, end) or rejects. */
export interface RangeReader {
  readonly size: number
  read(start: number, end: number): Promise<Uint8Array>
}

/** Small files are passed whole, large ones as a reader. */
export type ParquetInput = Uint8Array | RangeReader

/** One input or several as a list. */
export function inputsOf(file: ParquetInput | readonly ParquetInput[]): readonly ParquetInput[] {
  return Array.isArray(file) ? (file as readonly ParquetInput[]) : [file as ParquetInput]
}

export function rangeReaderOf(input: ParquetInput): RangeReader {
  if (!(input instanceof Uint8Array)) return input
  return { size: input.length, read: (start, end) => Promise.resolve(input.subarray(start, end)) }
}

/** What `readFooter` reads first: most footers fit, so that one read does. */
export const tailBytes = 64 * 1024

/** Throws ParquetFormatError for what is no Parquet file, and what `read` rejects with. */
export async function readFooter(file: RangeReader): Promise<ParquetFooter> {
  const tailStart = Math.max(0, file.size - tailBytes)
  const tail = await readExactly(file, tailStart, file.size)
  const length = footerLength(tail)
  const end = file.size - footerTailBytes
  const start = end - length
  if (start < 4) throw new ParquetFormatError(`no Parquet file: a footer of ${length} bytes in ${file.size}`)
  return parseFooter(start >= tailStart ? tail.subarray(start - tailStart, end - tailStart) : await readExactly(file, start, end))
}

/** The bytes [start, end). Throws ParquetFormatError when the file is shorter than its metadata says. */
export async function readExactly(file: RangeReader, start: number, end: number): Promise<Uint8Array> {
  if (start < 0 || end > file.size || end < start) {
    throw new ParquetFormatError(`range ${start}–${end} is not in a file of ${file.size} bytes`)
  }
  const bytes = await file.read(start, end)
  if (bytes.length !== end - start) throw new ParquetFormatError(`got ${bytes.length} bytes of the range ${start}–${end}`)
  return bytes
}
