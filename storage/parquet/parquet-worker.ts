/**
 * The thread in which Parquet work is done. Several jobs can be under way at once: while one waits for a range of its file, another
 * one computes. Started by `ParquetWorkers`; everything arrives by message.
 */
import { parentPort } from 'node:worker_threads'
import { stepBack } from './background-thread.ts'
import { rangeReaderOf } from './byte-source.ts'
import type { ParquetInput, RangeReader } from './byte-source.ts'
import type { ArrowTableOptions, CollectKeysRequest, KeyMergeRequest, OffsetMergeRequest, SupersededRequest } from './parquet-codec.ts'
import type { DecodeFileOptions } from './decode.ts'
import type { EncodeOptions } from './encode.ts'
import { InlineParquet } from './inline-parquet.ts'
import { isLibraryTrap, libraryMemoryBytes } from './library-on-demand.ts'
import { fromWire } from './worker-messages.ts'
import type { Ask, BatchChunk, FromWorker, JobName, ToWorker } from './worker-messages.ts'

if (parentPort === null) throw new Error('parquet-worker runs in a worker thread')
stepBack()
const port = parentPort
const parquet = new InlineParquet(courtesy)
const asks = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>()
let lastAsk = 0

/** The caller's own error, which stays on its side; only the number of the question travels. */
class RefusedAsk extends Error {
  readonly ask: number
  constructor(ask: number) {
    super('a range could not be read')
    this.ask = ask
  }
}

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'job':
      void run(message)
      return
    case 'answer':
      settle(message.ask)?.resolve(message.value)
      return
    case 'refusal':
      settle(message.ask)?.reject(new RefusedAsk(message.ask))
      return
    default:
      message satisfies never
  }
})

function settle(ask: number) {
  const waiting = asks.get(ask)
  asks.delete(ask)
  return waiting
}

function question(job: number, what: Ask, transfer: ArrayBuffer[] = []): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ask = ++lastAsk
    asks.set(ask, { resolve, reject })
    send({ kind: 'ask', job, ask, what }, transfer)
  })
}

type Job = Extract<ToWorker, { kind: 'job' }>

/** Jobs that take seconds. Somebody waits for each of the others: a consumer, or the readers of a table. */
const longJobs: ReadonlySet<JobName> = new Set<JobName>(['mergeByOffset', 'mergeByKey', 'collectKeys', 'countSuperseded'])
let urgentJobs = 0
/** Long jobs that wait until one of the others is done. */
const waitingLongJobs: (() => void)[] = []

/** Files of a long job: before it reads on, the other jobs of the thread have their turn. */
function readCourteously(files: readonly ParquetInput[]): RangeReader[] {
  return files.map(rangeReaderOf).map((file) => ({
    size: file.size,
    async read(start, end) {
      await courtesy()
      return await file.read(start, end)
    },
  }))
}

async function courtesy(): Promise<void> {
  // What came meanwhile is heard of first.
  await new Promise<void>((resolve) => void setImmediate(resolve))
  // A step for every job that ends: where others always come, a long job goes on all the same.
  if (urgentJobs > 0) await new Promise<void>((resolve) => waitingLongJobs.push(resolve))
}

async function run(message: Job): Promise<void> {
  const isUrgent = !longJobs.has(message.name)
  if (isUrgent) urgentJobs++
  await runJob(message)
  if (!isUrgent) return
  urgentJobs--
  for (const goOn of waitingLongJobs.splice(0)) goOn()
}

/** Never rejects. */
async function runJob(message: Job): Promise<void> {
  const { job } = message
  try {
    const transfer: ArrayBuffer[] = []
    const value = await work(message, transfer)
    send({ kind: 'result', job, value, memoryBytes: libraryMemoryBytes() }, transfer)
  } catch (error) {
    const { name, message: text, stack } = error instanceof Error ? error : new Error(String(error))
    const fatal = isLibraryTrap(error)
    const ask = error instanceof RefusedAsk ? error.ask : null
    send({ kind: 'failed', job, error: { name, message: text, stack, fatal, ask }, memoryBytes: libraryMemoryBytes() }, [])
  }
}

/** Smaller buffers may be Node's pool. */
const givenBytesMin = 64 * 1024

/** The result; buffers that go with it are added to `transfer`. */
async function work({ job, name, request, files: wireFiles, batches }: Job, transfer: ArrayBuffer[]): Promise<unknown> {
  const inputs = wireFiles.map((file) => fromWire(file, async (index, start, end) =>
    (await question(job, { kind: 'range', file: index, start, end })) as Uint8Array))
  const files = longJobs.has(name) ? readCourteously(inputs) : inputs
  const file = files[0] ?? new Uint8Array()
  const give = <T extends Uint8Array>(bytes: T): T => {
    // What is a view on a larger buffer, or on the library's memory, is copied by posting it.
    if (bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength) transfer.push(bytes.buffer)
    return bytes
  }
  /** Pieces of a file: those that are worth it have a buffer of their own. */
  const giveAll = (pieces: readonly Uint8Array[] | null): void => {
    for (const { buffer } of pieces ?? []) if (buffer instanceof ArrayBuffer && buffer.byteLength >= givenBytesMin) transfer.push(buffer)
  }
  switch (name) {
    case 'encode': {
      const encoded = await parquet.encodeChunks(batches === null ? batchChunks(job) : [batchesIn(batches)], request as EncodeOptions)
      giveAll(encoded.parquet)
      return encoded
    }
    case 'decode': {
      const decoded = await parquet.decode({ ...(request as DecodeFileOptions), file: files })
      for (const batch of decoded.batches) give(batch.bytes)
      return decoded
    }
    case 'offsetRange':
      return await parquet.offsetRange({ file })
    case 'mergeByOffset': {
      const merged = await parquet.mergeByOffset({ ...(request as OffsetMergeRequest), files })
      giveAll(merged.parquet)
      return merged
    }
    case 'collectKeys':
      return await parquet.collectKeys({ ...(request as CollectKeysRequest), files })
    case 'countSuperseded':
      return await parquet.countSuperseded({ ...(request as SupersededRequest), file })
    case 'mergeByKey': {
      const merged = await parquet.mergeByKey({ ...(request as KeyMergeRequest), files })
      giveAll(merged.parquet)
      return merged
    }
    case 'encodeArrowTable':
      return give(await parquet.encodeArrowTable(file as Uint8Array, request as ArrowTableOptions))
    case 'decodeToArrow':
      return give(await parquet.decodeToArrow(file as Uint8Array))
    default:
      return name satisfies never
  }
}

/** The batches of a chunk are gone when the next one is asked for. */
async function* batchChunks(job: number): AsyncGenerator<Uint8Array[]> {
  let spent: ArrayBuffer | null = null
  for (;;) {
    const chunk = (await question(job, { kind: 'batches', spent }, spent === null ? [] : [spent])) as BatchChunk | null
    if (chunk === null) return
    spent = chunk.bytes.buffer
    yield batchesIn(chunk)
  }
}

function batchesIn({ bytes, lengths }: BatchChunk): Uint8Array[] {
  const batches: Uint8Array[] = []
  let at = 0
  for (const length of lengths) {
    batches.push(bytes.subarray(at, at + length))
    at += length
  }
  return batches
}

function send(message: FromWorker, transfer: ArrayBuffer[]): void {
  port.postMessage(message, transfer)
}
