/**
 * Parquet work in worker threads, so that compressing a flush or decoding a cold file does not hold up the broker's event loop.
 *
 * Bounded in every direction (P8): threads, jobs under way per thread, jobs that wait (beyond that a call is refused as busy), the
 * memory of the Parquet library (a thread whose library has grown too large is replaced when it is idle), and the bytes that are
 * copied at one go. A thread that dies rejects its jobs with a retriable error and is replaced at the next job; jobs are pure
 * functions, so repeating one is safe.
 */
import { Worker } from 'node:worker_threads'
import type { Clock } from '../env.ts'
import { inputsOf } from './byte-source.ts'
import type { ParquetInput } from './byte-source.ts'
import type { DecodedFile } from './decode.ts'
import type { EncodedFile } from './encode.ts'
import { ParquetFormatError } from './footer.ts'
import type { KeyMergedFile, SupersededRows } from './merge-by-key.ts'
import type { OffsetRange } from './merge.ts'
import type {
  ArrowTableOptions, CollectKeysRequest, DecodeRequest, EncodeRequest, FileRequest, KeyMergeRequest, OffsetMergeRequest, ParquetCodec,
  SupersededRequest,
} from './parquet-codec.ts'
import { NotMergeableError } from './parquet-codec.ts'
import type { WrittenFile } from './topic-file-writer.ts'
import { toWire } from './worker-messages.ts'
import type { Ask, BatchChunk, FromWorker, JobName, ToWorker, WireError } from './worker-messages.ts'

export interface ParquetWorkersOptions {
  /** Threads at most; they start when there is work. */
  readonly threads: number
  /** Jobs under way per thread; they overlap while one waits for its file. */
  readonly jobsPerThread?: number
  /** Jobs that wait for a thread; one more is refused as busy. */
  readonly queueMax?: number
  /** Memory of the library beyond which a thread is replaced when idle. Bytes. */
  readonly memoryBytesMax?: number
  /** Gives the metrics durations. */
  readonly clock?: Pick<Clock, 'monotonic'>
  readonly onMetric?: (metric: ParquetMetric) => void
  /** Another program for the threads, for tests of how the pool takes their misbehaviour. */
  readonly workerUrl?: URL
}

export type ParquetMetric =
  /** `waitMs` in the queue, `runMs` in the thread, both 0 without a clock. */
  | { readonly kind: 'job'; readonly name: JobName; readonly outcome: 'done' | 'failed'; readonly waitMs: number; readonly runMs: number }
  | { readonly kind: 'queue'; readonly waiting: number; readonly running: number }
  | { readonly kind: 'thread'; readonly event: 'started' | 'crashed' | 'retired'; readonly memoryBytes: number }

/** A job that was not done. `format` errors come again, the others are worth another try. */
export class ParquetWorkerError extends Error {
  /**
   * `busy` the queue is full, `crashed` the thread died, `closed` the pool is, `format` the file is damaged or not supported,
   * `failed` else.
   */
  readonly kind: 'busy' | 'crashed' | 'closed' | 'format' | 'failed'
  readonly retriable: boolean
  constructor(kind: ParquetWorkerError['kind'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'ParquetWorkerError'
    this.kind = kind
    this.retriable = kind === 'busy' || kind === 'crashed'
  }
}

const jobsPerThreadDefault = 4
const queueMaxDefault = 256
const memoryBytesMaxDefault = 512 * 1024 * 1024
/** Bytes of batches that are copied for a worker at one go, to keep the event loop responsive. */
const chunkBytesMax = 4 * 1024 * 1024
/** Batches of a prompt job that go with it; more is asked for when the thread has come to it. */
const promptBytesMax = 1024 * 1024

export class ParquetWorkers implements ParquetCodec {
  readonly #options: Required<Omit<ParquetWorkersOptions, 'clock' | 'onMetric' | 'workerUrl'>> & ParquetWorkersOptions
  readonly #waiting: Job[] = []
  readonly #threads = new Set<Thread>()
  #lastJob = 0
  #closed = false

  constructor(options: ParquetWorkersOptions) {
    this.#options = {
      jobsPerThread: jobsPerThreadDefault, queueMax: queueMaxDefault, memoryBytesMax: memoryBytesMaxDefault, ...options,
    }
    if (!(options.threads >= 1)) throw new RangeError('at least one thread')
  }

  /** Starts a thread, which takes as long as many a job: to be called where there will be some. */
  warm(): void {
    if (this.#threads.size === 0 && !this.#closed) this.#start()
  }

  async encode(request: EncodeRequest): Promise<EncodedFile> {
    const { batches, prompt, ...rest } = request
    return await this.#submit<EncodedFile>('encode', rest, [], batches, prompt)
  }

  async decode(request: DecodeRequest): Promise<DecodedFile> {
    const { file, ...rest } = request
    return await this.#submit<DecodedFile>('decode', rest, inputsOf(file))
  }

  async offsetRange(request: FileRequest): Promise<OffsetRange> {
    return await this.#submit<OffsetRange>('offsetRange', {}, [request.file])
  }

  async mergeByOffset(request: OffsetMergeRequest): Promise<WrittenFile> {
    const { files, ...rest } = request
    return await this.#submit<WrittenFile>('mergeByOffset', rest, files)
  }

  async collectKeys(request: CollectKeysRequest): Promise<number> {
    const { files, ...rest } = request
    return await this.#submit<number>('collectKeys', rest, files)
  }

  async countSuperseded(request: SupersededRequest): Promise<SupersededRows | null> {
    const { file, ...rest } = request
    return await this.#submit<SupersededRows | null>('countSuperseded', rest, [file])
  }

  async mergeByKey(request: KeyMergeRequest): Promise<KeyMergedFile> {
    const { files, ...rest } = request
    return await this.#submit<KeyMergedFile>('mergeByKey', rest, files)
  }

  async encodeArrowTable(ipc: Uint8Array, options: ArrowTableOptions = {}): Promise<Uint8Array> {
    return await this.#submit<Uint8Array>('encodeArrowTable', options, [ipc])
  }

  async decodeToArrow(parquet: Uint8Array): Promise<Uint8Array> {
    return await this.#submit<Uint8Array>('decodeToArrow', {}, [parquet])
  }

  /** Ends the threads; jobs that are waiting or under way are rejected as `closed`. */
  async close(): Promise<void> {
    this.#closed = true
    const closed = new ParquetWorkerError('closed', 'the Parquet workers are closed')
    for (const job of this.#waiting.splice(0)) job.reject(closed)
    const threads = [...this.#threads]
    this.#threads.clear()
    await Promise.all(threads.map((thread) => thread.stop(closed)))
  }

  #submit<T>(name: JobName, request: object, files: readonly ParquetInput[], batches: readonly Uint8Array[] = [], prompt = false): Promise<T> {
    if (this.#closed) return Promise.reject(new ParquetWorkerError('closed', 'the Parquet workers are closed'))
    if (this.#waiting.length >= this.#options.queueMax) {
      return Promise.reject(new ParquetWorkerError('busy', `${this.#waiting.length} Parquet jobs are waiting`))
    }
    return new Promise<T>((resolve, reject) => {
      const submittedAt = this.#now()
      const finish = (outcome: 'done' | 'failed', job: Job): void => {
        const now = this.#now()
        this.#options.onMetric?.({ kind: 'job', name, outcome, waitMs: job.startedAt - submittedAt, runMs: now - job.startedAt })
      }
      const job: Job = {
        id: ++this.#lastJob, name, request, files, batches, prompt, nextBatch: 0, refusals: new Map(), startedAt: submittedAt,
        resolve: (value) => {
          finish('done', job)
          resolve(value as T)
        },
        reject: (error) => {
          finish('failed', job)
          reject(error)
        },
      }
      this.#waiting.push(job)
      this.#dispatch()
    })
  }

  /** Gives waiting jobs to the threads that have fewest. */
  #dispatch(): void {
    const { threads, jobsPerThread } = this.#options
    for (let job = this.#waiting[0]; job !== undefined; job = this.#waiting[0]) {
      const usable = [...this.#threads].filter((thread) => !thread.leaving)
      let thread = usable.toSorted((a, b) => a.running - b.running)[0]
      if ((thread === undefined || thread.running > 0) && usable.length < threads) thread = this.#start()
      if (thread === undefined || thread.running >= jobsPerThread) break
      this.#waiting.shift()
      job.startedAt = this.#now()
      thread.run(job)
    }
    const running = [...this.#threads].reduce((sum, thread) => sum + thread.running, 0)
    this.#options.onMetric?.({ kind: 'queue', waiting: this.#waiting.length, running })
  }

  #start(): Thread {
    const thread = new Thread(this.#options.workerUrl ?? workerUrl, {
      jobDone: (memoryBytes) => {
        if (memoryBytes > this.#options.memoryBytesMax) thread.leaving = true
        if (thread.leaving && thread.running === 0 && this.#threads.delete(thread)) {
          this.#options.onMetric?.({ kind: 'thread', event: 'retired', memoryBytes })
          void thread.stop(new ParquetWorkerError('closed', 'the thread was retired'))
        }
        this.#dispatch()
      },
      crashed: () => {
        if (!this.#threads.delete(thread)) return
        this.#options.onMetric?.({ kind: 'thread', event: 'crashed', memoryBytes: 0 })
        if (!this.#closed) this.#dispatch()
      },
    })
    this.#threads.add(thread)
    this.#options.onMetric?.({ kind: 'thread', event: 'started', memoryBytes: 0 })
    return thread
  }

  #now(): number {
    return this.#options.clock?.monotonic() ?? 0
  }
}

interface Job {
  readonly id: number
  readonly name: JobName
  readonly request: object
  readonly files: readonly ParquetInput[]
  readonly batches: readonly Uint8Array[]
  readonly prompt: boolean
  nextBatch: number
  /** What the caller's `read` rejected with, by question. */
  readonly refusals: Map<number, unknown>
  startedAt: number
  resolve(value: unknown): void
  reject(error: unknown): void
}

interface ThreadEvents {
  /** A job was settled. */
  jobDone(memoryBytes: number): void
  /** The thread is gone, its jobs are rejected. */
  crashed(): void
}

/** The same file name as this one's, so that it works compiled and uncompiled. */
const workerUrl = new URL(import.meta.url.endsWith('.ts') ? './parquet-worker.ts' : './parquet-worker.js', import.meta.url)

class Thread {
  /** No new jobs. */
  leaving = false
  readonly #worker: Worker
  readonly #events: ThreadEvents
  readonly #jobs = new Map<number, Job>()
  /** Memory for the next chunk of batches. */
  #spare: ArrayBuffer | null = null

  constructor(program: URL, events: ThreadEvents) {
    this.#events = events
    this.#worker = new Worker(program)
    this.#worker.unref()
    this.#worker.on('message', (message: FromWorker) => this.#receive(message))
    this.#worker.on('error', (cause) => this.#gone(new ParquetWorkerError('crashed', 'a Parquet worker died', { cause })))
    this.#worker.on('messageerror', (cause) => this.#gone(new ParquetWorkerError('crashed', 'a Parquet worker sent garbage', { cause })))
    this.#worker.on('exit', (code) => this.#gone(new ParquetWorkerError('crashed', `a Parquet worker exited with ${code}`)))
  }

  get running(): number {
    return this.#jobs.size
  }

  run(job: Job): void {
    this.#jobs.set(job.id, job)
    // Only a thread with work keeps the process alive.
    this.#worker.ref()
    const transfer: ArrayBuffer[] = []
    const files = toWire(job.files, (file) => copyFor(file, transfer))
    const batches = job.prompt && bytesOf(job.batches) <= promptBytesMax ? this.#nextChunk(job, null, transfer) : null
    this.#send({ kind: 'job', job: job.id, name: job.name, request: job.request, files, batches }, transfer)
  }

  async stop(reason: Error): Promise<void> {
    this.leaving = true
    for (const job of this.#jobs.values()) job.reject(reason)
    this.#jobs.clear()
    await this.#worker.terminate()
  }

  #receive(message: FromWorker): void {
    const job = this.#jobs.get(message.job)
    if (job === undefined) return
    switch (message.kind) {
      case 'ask':
        void this.#answer(job, message.ask, message.what)
        return
      case 'result':
        this.#settled(job)
        job.resolve(message.value)
        this.#events.jobDone(message.memoryBytes)
        return
      case 'failed': {
        const error = errorOf(job, message.error)
        this.#settled(job)
        job.reject(error)
        // The other jobs of the thread must not go on with a library in an undefined state.
        if (message.error.fatal) {
          this.#gone(new ParquetWorkerError('crashed', 'the Parquet library trapped in another job', { cause: error }))
        } else this.#events.jobDone(message.memoryBytes)
        return
      }
      default:
        message satisfies never
    }
  }

  async #answer(job: Job, ask: number, what: Ask): Promise<void> {
    const transfer: ArrayBuffer[] = []
    try {
      const value = what.kind === 'batches' ? this.#nextChunk(job, what.spent, transfer) : await readRange(job, what, transfer)
      if (this.#jobs.has(job.id)) this.#send({ kind: 'answer', job: job.id, ask, value }, transfer)
    } catch (error) {
      job.refusals.set(ask, error)
      if (this.#jobs.has(job.id)) this.#send({ kind: 'refusal', job: job.id, ask, error: null }, [])
    }
  }

  /** The next batches of an encode job, copied together, or null when all were given. */
  #nextChunk(job: Job, spent: ArrayBuffer | null, transfer: ArrayBuffer[]): BatchChunk | null {
    if (spent?.byteLength === chunkBytesMax) this.#spare = spent
    const from = job.nextBatch
    let bytes = 0
    let to = from
    while (to < job.batches.length && (to === from || bytes + job.batches[to]!.length <= chunkBytesMax)) bytes += job.batches[to++]!.length
    if (to === from) return null
    job.nextBatch = to
    const lengths = new Uint32Array(to - from)
    const copy = new Uint8Array(this.#memoryFor(bytes), 0, bytes)
    let at = 0
    for (let i = from; i < to; i++) {
      const batch = job.batches[i]!
      copy.set(batch, at)
      at += batch.length
      lengths[i - from] = batch.length
    }
    transfer.push(copy.buffer, lengths.buffer)
    return { bytes: copy, lengths }
  }

  /** Small flushes, which are many, get what they need; large ones share one buffer. */
  #memoryFor(bytes: number): ArrayBuffer {
    if (bytes > chunkBytesMax || bytes < chunkBytesMax / 4) return new ArrayBuffer(bytes)
    const memory = this.#spare ?? new ArrayBuffer(chunkBytesMax)
    this.#spare = null
    return memory
  }

  #settled(job: Job): void {
    this.#jobs.delete(job.id)
    if (this.#jobs.size === 0) this.#worker.unref()
  }

  #gone(reason: ParquetWorkerError): void {
    this.leaving = true
    for (const job of this.#jobs.values()) job.reject(reason)
    this.#jobs.clear()
    this.#events.crashed()
    void this.#worker.terminate()
  }

  #send(message: ToWorker, transfer: ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer)
  }
}

function bytesOf(batches: readonly Uint8Array[]): number {
  let bytes = 0
  for (const { length } of batches) bytes += length
  return bytes
}

async function readRange(job: Job, range: { file: number; start: number; end: number }, transfer: ArrayBuffer[]): Promise<Uint8Array> {
  const file = job.files[range.file]
  if (file === undefined || file instanceof Uint8Array) throw new RangeError('there is no such file')
  return copyFor(await file.read(range.start, range.end), transfer)
}

/** The bytes in a buffer of their own, which goes to the thread; shared memory goes as it is. */
function copyFor(bytes: Uint8Array, transfer: ArrayBuffer[]): Uint8Array {
  if (!(bytes.buffer instanceof ArrayBuffer)) return bytes
  const copy = new Uint8Array(bytes)
  transfer.push(copy.buffer)
  return copy
}

const formatErrors: ReadonlySet<string> = new Set([ParquetFormatError.name, 'UnsupportedColumnError'])

function errorOf(job: Job, error: WireError): unknown {
  if (error.ask !== null && job.refusals.has(error.ask)) return job.refusals.get(error.ask)
  if (error.name === NotMergeableError.name) return new NotMergeableError(error.message)
  const cause = new Error(error.message)
  cause.name = error.name
  if (error.stack !== undefined) cause.stack = error.stack
  const kind = error.fatal ? 'crashed' : formatErrors.has(error.name) ? 'format' : 'failed'
  return new ParquetWorkerError(kind, `${job.name}: ${error.message}`, { cause })
}
