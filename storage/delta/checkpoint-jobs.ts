/**
 * What is done with checkpoints away from the event loop, as plain functions of bytes: a thread runs them in a broker, and
 * simulations run them inline.
 */
import { readTable, writeTable } from '../parquet/parquet-library.ts'
import { assertNever } from '../types.ts'
import type { Commit } from './actions.ts'
import { parseCommit } from './actions.ts'
import { LogState, checkpointCommit, checkpointContent, checkpointLines } from './checkpoint-file.ts'

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
  | { readonly kind: 'paths'; readonly paths: readonly string[] }
  | { readonly kind: 'failed'; readonly message: string }

const pieceLines = 1000
const rowGroupRows = 100_000

/** Throws on bytes that are no checkpoint or no commit. */
export function runCheckpointJob(job: CheckpointJob): CheckpointAnswer {
  switch (job.kind) {
    case 'read':
      return read(job.parquet)
    case 'build': {
      const { ipc, ...counts } = checkpointContent(stateOf(job.log), job.removedSinceMs)
      return { kind: 'built', parquet: writeTable(ipc, 'zstd', rowGroupRows), ...counts }
    }
    case 'expired':
      return { kind: 'paths', paths: stateOf(job.log).expired(job.removedBeforeMs, job.limit) }
    case 'unreferenced':
      return { kind: 'paths', paths: stateOf(job.log).unreferenced(job.paths, job.removedSinceMs) }
    default:
      return assertNever(job)
  }
}

/** The buffers of an answer that its receiver may take over. */
export function transfersOf(answer: CheckpointAnswer): ArrayBuffer[] {
  const arrays = answer.kind === 'read' ? answer.pieces : answer.kind === 'built' ? [answer.parquet] : []
  return arrays.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : []))
}

function read(parquet: Uint8Array): CheckpointAnswer {
  const pieces: Uint8Array[] = []
  let lines: string[] = []
  let removes = 0
  const seal = () => {
    // A copy of its own, so that it can be transferred: small buffers of Node share memory.
    if (lines.length > 0) pieces.push(new TextEncoder().encode(lines.join('\n')))
    lines = []
  }
  for (const line of checkpointLines(readTable(parquet))) {
    if ('remove' in line) removes++
    else lines.push(JSON.stringify(line))
    if (lines.length === pieceLines) seal()
  }
  seal()
  return { kind: 'read', pieces, removes }
}

function stateOf(log: LogBytes): LogState {
  const state = new LogState()
  const parts: Commit[] = log.parts.map((part) =>
    part.format === 'json' ? parseCommit(part.bytes, 'checkpoint') : checkpointCommit(readTable(part.bytes), 'checkpoint'),
  )
  for (const part of parts) state.apply(part)
  for (const commit of log.commits) state.apply(parseCommit(commit, 'commit'))
  return state
}
