/**
 * What is done with checkpoints away from the event loop, as plain functions of bytes: a thread runs them in a broker, and
 * simulations run them inline.
 */
import { excerpt, footerOf, join } from '../parquet/footer.ts'
import { readTable, writeTable } from '../parquet/parquet-library.ts'
import { assertNever } from '../types.ts'
import { parseCommit } from './actions.ts'
import { LogState, checkpointChunks, checkpointColumns, checkpointCommit, checkpointLines } from './checkpoint-file.ts'

/** Everything that a log says up to a version: the parts of a checkpoint (sidecars included) and the commits after it, in order. */
export interface LogBytes {
  readonly parts: readonly { readonly format: 'parquet' | 'json'; readonly bytes: Uint8Array }[]
  readonly commits: readonly Uint8Array[]
}

export type CheckpointJob =
  /** One Parquet part as JSON lines in pieces of a thousand, without tombstones. */
  | { readonly kind: 'read'; readonly parquet: Uint8Array }
  | { readonly kind: 'build'; readonly log: LogBytes; readonly removedSinceMs: number }
  /** Decoded paths of tombstones older than that. */
  | { readonly kind: 'expired'; readonly log: LogBytes; readonly removedBeforeMs: number; readonly limit: number }
  /** Which of the decoded paths nothing in the log needs. */
  | { readonly kind: 'unreferenced'; readonly log: LogBytes; readonly paths: readonly string[]; readonly removedSinceMs: number }

export type CheckpointAnswer =
  | { readonly kind: 'read'; readonly pieces: readonly Uint8Array[]; readonly removes: number }
  | {
      readonly kind: 'built'
      readonly parquet: Uint8Array
      readonly actions: number
      readonly adds: number
      readonly addBytes: number
      readonly removes: number
    }
  /** `oldestKeptMs`: of the tombstones that are not among the paths, the time of the oldest, null for none. */
  | { readonly kind: 'expired'; readonly paths: readonly string[]; readonly oldestKeptMs: number | null }
  | { readonly kind: 'unreferenced'; readonly paths: readonly string[] }
  | { readonly kind: 'failed'; readonly message: string }

const pieceLines = 1000
/** Bounds the memory of Parquet, in which a checkpoint of any size is read and written. */
const rowGroupActions = 32_768

/** Throws on bytes that are no checkpoint or no commit. */
export function runCheckpointJob(job: CheckpointJob): CheckpointAnswer {
  switch (job.kind) {
    case 'read':
      return read(job.parquet)
    case 'build':
      return build(stateOf(job.log), job.removedSinceMs)
    case 'expired':
      return { kind: 'expired', ...stateOf(job.log).expired(job.removedBeforeMs, job.limit) }
    case 'unreferenced':
      return { kind: 'unreferenced', paths: stateOf(job.log).unreferenced(job.paths, job.removedSinceMs) }
    default:
      return assertNever(job)
  }
}

/** The buffers of an answer that its receiver may take over. */
export function transfersOf(answer: CheckpointAnswer): ArrayBuffer[] {
  const arrays = answer.kind === 'read' ? answer.pieces : answer.kind === 'built' ? [answer.parquet] : []
  return arrays.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : []))
}

function build(state: LogState, removedSinceMs: number): CheckpointAnswer {
  const files: Uint8Array[] = []
  for (const ipc of checkpointChunks(state, removedSinceMs, rowGroupActions)) files.push(writeTable(ipc, 'none', rowGroupActions))
  const parquet = join(files, null, 1)
  const actions = footerOf(parquet).rows
  let addBytes = 0
  for (const add of state.adds.values()) addBytes += add.size
  const adds = state.adds.size
  return { kind: 'built', parquet, actions, adds, addBytes, removes: actions - adds - state.txns.size - 2 }
}

function read(parquet: Uint8Array): CheckpointAnswer {
  const pieces: Uint8Array[] = []
  let lines: string[] = []
  let others = 0
  const seal = () => {
    if (lines.length > 0) pieces.push(new TextEncoder().encode(lines.join('\n')))
    lines = []
  }
  for (const ipc of rowGroups(parquet, withoutTombstones)) {
    for (const line of checkpointLines(ipc)) {
      others++
      lines.push(JSON.stringify(line))
      if (lines.length === pieceLines) seal()
    }
  }
  seal()
  // Each row has one action.
  return { kind: 'read', pieces, removes: footerOf(parquet).rows - others }
}

const withoutTombstones: ReadonlySet<string> = new Set([...checkpointColumns].filter((column) => column !== 'remove'))

/** The row groups of a part as Arrow IPC streams with some of its columns. */
function* rowGroups(parquet: Uint8Array, columns: ReadonlySet<string>): Generator<Uint8Array> {
  const footer = footerOf(parquet)
  for (const group of footer.rowGroups) {
    yield readTable(excerpt(footer, [group], columns, (chunk) => parquet.subarray(chunk.start, chunk.end)))
  }
}

function stateOf(log: LogBytes): LogState {
  const state = new LogState()
  for (const part of log.parts) {
    if (part.format === 'json') state.apply(parseCommit(part.bytes, 'checkpoint'))
    else for (const ipc of rowGroups(part.bytes, checkpointColumns)) state.apply(checkpointCommit(ipc, 'checkpoint'))
  }
  for (const commit of log.commits) state.apply(parseCommit(commit, 'commit'))
  return state
}
