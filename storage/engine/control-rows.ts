/**
 * Control rows of a lane: state that must be durable in order with the batches and is none (docs/FORMATS.md, "Lane segment"). Recovery applies
 * those behind its checkpoint; a checkpoint contains what came before it.
 */
import type { LaneControl } from '../lane/types.ts'
import type { Offset, Uuid } from '../types.ts'

/** Says nothing; takes a lane one step on. */
const NOTHING = 0
/** The log of a partition begins at an offset: eight bytes, big endian. */
const LOG_START = 1

export interface LogStart {
  readonly topicId: Uuid
  readonly partition: number
  readonly offset: Offset
}

/** A newer release wrote what this one would lose by ignoring it. */
export class UnknownControlRowError extends Error {}

export function logStartControl({ topicId, partition, offset }: LogStart): LaneControl {
  const payload = Buffer.alloc(8)
  payload.writeBigInt64BE(BigInt(offset))
  return { type: LOG_START, topicId, partition, payload }
}

/** What a control row says; null for nothing. @throws UnknownControlRowError */
export function readControl({ type, topicId, partition, payload }: LaneControl): LogStart | null {
  if (type === NOTHING) return null
  if (type !== LOG_START || payload.length !== 8) throw new UnknownControlRowError(`a control row of type ${type} in a lane: use a newer release`)
  const offset = Buffer.from(payload.buffer, payload.byteOffset, 8).readBigInt64BE()
  return { topicId, partition, offset: Number(offset) }
}
