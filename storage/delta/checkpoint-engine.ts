/**
 * Runs checkpoint jobs in a thread of its own, which starts with the first job and ends when it has been idle for a while.
 * One job at a time; the queue is as long as there are tables. `InlineCheckpointEngine` is its twin for simulations.
 */
import { Worker } from 'node:worker_threads'
import type { Clock, Timer } from '../env.ts'
import type { Commit } from './actions.ts'
import { parseCommit } from './actions.ts'
import type { CheckpointAnswer, CheckpointJob } from './checkpoint-jobs.ts'
import { DeltaError } from './errors.ts'

export interface CheckpointEngine {
  /** @throws DeltaError `corrupt` when the bytes cannot be read. */
  run(job: CheckpointJob): Promise<CheckpointAnswer>
  close(): Promise<void>
}

export interface ThreadedCheckpointEngineOptions {
  /** The thread ends after that long without a job: its memory is worth more than its start. Default 30,000. */
  readonly idleMs?: number
  /** Bound on the heap of the thread. Default 1,024 MiB. */
  readonly heapMiBMax?: number
}

interface Waiting {
  readonly resolve: (answer: CheckpointAnswer) => void
  readonly reject: (error: Error) => void
}

export class ThreadedCheckpointEngine implements CheckpointEngine {
  readonly #clock: Pick<Clock, 'schedule'>
  readonly #idleMs: number
  readonly #heapMiBMax: number
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #idle: Timer | undefined
  #lastId = 0
  #closed = false
  #tail: Promise<unknown> = Promise.resolve()

  constructor(clock: Pick<Clock, 'schedule'>, options: ThreadedCheckpointEngineOptions = {}) {
    this.#clock = clock
    this.#idleMs = options.idleMs ?? 30_000
    this.#heapMiBMax = options.heapMiBMax ?? 1024
  }

  run(job: CheckpointJob): Promise<CheckpointAnswer> {
    const result = this.#tail.then(() => this.#post(job))
    this.#tail = result.catch(() => undefined)
    return result
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#idle?.cancel()
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
    this.#fail(new Error('closed'))
  }

  async #post(job: CheckpointJob): Promise<CheckpointAnswer> {
    if (this.#closed) throw new DeltaError('unsupported', 'checkpoints are no longer read or written: the engine is closed')
    this.#idle?.cancel()
    const worker = (this.#worker ??= this.#start())
    const id = ++this.#lastId
    // The thread keeps the process alive only while it works.
    worker.ref()
    const answer = await new Promise<CheckpointAnswer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage({ id, job: tight(job) })
    }).finally(() => worker.unref())
    this.#idle = this.#clock.schedule(this.#idleMs, () => {
      const idle = this.#worker
      this.#worker = undefined
      void idle?.terminate()
    })
    if (answer.kind === 'failed') throw new DeltaError('corrupt', answer.message)
    return answer
  }

  #start(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = new Worker(new URL(`./checkpoint-worker.${extension}`, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: this.#heapMiBMax },
    })
    worker.on('message', ({ id, answer }: { readonly id: number; readonly answer: CheckpointAnswer }) => {
      this.#waiting.get(id)?.resolve(answer)
      this.#waiting.delete(id)
    })
    const gone = (cause: unknown) => {
      if (this.#worker === worker) this.#worker = undefined
      if (this.#worker === undefined) this.#fail(new DeltaError('unsupported', `the checkpoint thread ended: ${message(cause)}`, { cause }))
    }
    worker.on('error', gone)
    worker.on('exit', (code) => gone(`exit code ${code}`))
    return worker
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

/** Actions of a Parquet part in pieces, and how many tombstones it holds. */
export async function readCheckpointPart(
  engine: CheckpointEngine,
  parquet: Uint8Array,
  where: string,
): Promise<{ readonly pieces: Iterable<Commit>; readonly removes: number }> {
  let answer: CheckpointAnswer
  try {
    answer = await engine.run({ kind: 'read', parquet })
  } catch (cause) {
    throw new DeltaError(cause instanceof DeltaError ? cause.kind : 'corrupt', `${where}: ${message(cause)}`, { cause })
  }
  if (answer.kind !== 'read') throw new DeltaError('corrupt', `${where}: unexpected answer ${answer.kind}`)
  const { pieces, removes } = answer
  return { pieces: parsed(pieces, where), removes }
}

function* parsed(pieces: readonly Uint8Array[], where: string): Generator<Commit> {
  for (const piece of pieces) yield parseCommit(piece, where)
}

/**
 * The same job with arrays that own their memory: cloning a view clones all of what it looks at, such as a pool of small
 * buffers.
 */
function tight(job: CheckpointJob): CheckpointJob {
  if (job.kind === 'read') return { ...job, parquet: own(job.parquet) }
  const parts = job.log.parts.map(({ format, bytes }) => ({ format, bytes: own(bytes) }))
  return { ...job, log: { parts, commits: job.log.commits.map(own) } }
}

function own(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
