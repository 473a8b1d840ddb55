/** What the pool and its workers tell each other. */
import type { ParquetInput, RangeReader } from './byte-source.ts'

export type JobName =
  | 'encode' | 'decode' | 'offsetRange' | 'mergeByOffset' | 'collectKeys' | 'countSuperseded' | 'mergeByKey' | 'encodeArrowTable' | 'decodeToArrow'

/** A file as a message: its bytes, or its size, and then the worker asks for ranges of file number `index` of the job. */
export type WireFile = { readonly bytes: Uint8Array } | { readonly size: number; readonly index: number }

export type ToWorker =
  /** `batches`: all of an encode job where they are few, so that nothing has to be asked for. */
  | {
      readonly kind: 'job'
      readonly job: number
      readonly name: JobName
      readonly request: object
      readonly files: readonly WireFile[]
      readonly batches: BatchChunk | null
    }
  | { readonly kind: 'answer'; readonly job: number; readonly ask: number; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly job: number; readonly ask: number; readonly error: unknown }

export type FromWorker =
  | { readonly kind: 'result'; readonly job: number; readonly value: unknown; readonly memoryBytes: number }
  | { readonly kind: 'failed'; readonly job: number; readonly error: WireError; readonly memoryBytes: number }
  /** `range` is answered with the bytes, `batches` with the next chunk of them or null at the end. */
  | { readonly kind: 'ask'; readonly job: number; readonly ask: number; readonly what: Ask }

export type Ask =
  | { readonly kind: 'range'; readonly file: number; readonly start: number; readonly end: number }
  /** `spent` is the memory of the chunk before, which can carry the next one: it travels to and fro instead of becoming garbage. */
  | { readonly kind: 'batches'; readonly spent: ArrayBuffer | null }

/** Batches one after the other, and the length of each. */
export interface BatchChunk {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly lengths: Uint32Array<ArrayBuffer>
}

export interface WireError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  /** The Parquet library is in an unknown state: this worker must not be used again. */
  readonly fatal: boolean
  /** True when the error is one that the caller's own `read` rejected with, which the pool then rethrows itself. */
  readonly ask: number | null
}

export function toWire(files: readonly ParquetInput[], bytesOf: (file: Uint8Array) => Uint8Array): WireFile[] {
  return files.map((file, index) => (file instanceof Uint8Array ? { bytes: bytesOf(file) } : { size: file.size, index }))
}

export function fromWire(file: WireFile, read: (index: number, start: number, end: number) => Promise<Uint8Array>): ParquetInput {
  if ('bytes' in file) return file.bytes
  return { size: file.size, read: (start, end) => read(file.index, start, end) } satisfies RangeReader
}
