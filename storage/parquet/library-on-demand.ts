/**
 * The Parquet library and Arrow, loaded when something needs them: files of other writers, codecs other than zstd, checkpoints of the Delta log. A
 * thread that only flushes and reads what we wrote does without their 20 MB, which every garbage collection would go through.
 */
import { createRequire } from 'node:module'
import type * as Library from './parquet-library.ts'
import type { RowColumns } from './row-columns.ts'
import type * as RowIpc from './row-ipc.ts'

const require = createRequire(import.meta.url)
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
let library: typeof Library | null = null

/** Blocks while it loads. */
export function parquetLibrary(): typeof Library {
  return (library ??= require(`./parquet-library.${extension}`) as typeof Library)
}

/** As in `row-ipc.ts`: what `writeTopicRows` takes. */
export function rowsToIpc(rows: RowColumns): Uint8Array {
  return (require(`./row-ipc.${extension}`) as typeof RowIpc).rowsToIpc(rows)
}

/** Bytes that the library's memory has grown to, 0 while it is not loaded. It never shrinks. */
export function libraryMemoryBytes(): number {
  return library?.libraryMemoryBytes() ?? 0
}

/**
 * True for a trap inside the library, such as a panic or memory that ran out: its state is undefined from then on, and the thread has to be
 * replaced. Every other error leaves it usable.
 */
export function isLibraryTrap(error: unknown): boolean {
  return error instanceof Error && (error.name === 'RuntimeError' || (error.name === 'RangeError' && /memory/i.test(error.message)))
}
