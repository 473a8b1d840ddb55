/**
 * One partition of `__transaction_state` as the coordinator uses it. A record is in the lane when `append` returns: whatever is appended after it,
 * to whichever partition, is durable only if the record is. So nothing but the answers to clients has to wait.
 */
import { attributes, isControl } from '../../protocol/records/batch.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import { RecordCursor } from '../../protocol/records/record.ts'
import type { Env } from '../../storage/env.ts'
import type { PartitionLog } from '../../storage/partition/types.ts'
import type { Offset } from '../../storage/types.ts'
import { readLog } from '../cluster/read-log.ts'
import type { RecordBytes } from '../groups/records.ts'

const READ_BYTES_MAX = 5 * 1024 * 1024

export type TransactionAppend =
  | { readonly kind: 'appended'; readonly lastOffset: Offset }
  /** The partition has another leader now, or is gone. */
  | { readonly kind: 'lost' }
  | { readonly kind: 'refused'; readonly reason: string }

export class TransactionLog {
  readonly #log: PartitionLog
  readonly #env: Env

  constructor(log: PartitionLog, env: Env) {
    this.#log = log
    this.#env = env
  }

  get partition(): number {
    return this.#log.partition
  }

  append(records: readonly RecordBytes[]): TransactionAppend {
    const timestamp = this.#env.clock.now()
    const batch = encodeBatch({ baseOffset: 0, records: records.map(({ key, value }) => ({ timestamp, key, value })) })
    const outcome = this.#log.append(batch, { origin: 'broker' })
    switch (outcome.kind) {
      case 'appended':
      case 'duplicate':
        return { kind: 'appended', lastOffset: outcome.lastOffset }
      case 'notLeader':
      case 'deleted':
        return { kind: 'lost' }
      case 'tooLarge':
      case 'corrupt':
      case 'invalidRecord':
      case 'invalidTimestamp':
      case 'invalidTransactionState':
      case 'outOfOrderSequence':
      case 'staleProducerEpoch':
      case 'unsupportedCodec':
        return { kind: 'refused', reason: outcome.reason }
    }
  }

  /** Calls back with true once the record at `offset` is durable, with false when it never will be for us. May call at once. */
  whenDurable(offset: Offset, done: (durable: boolean) => void): void {
    this.#log.whenDurable(offset, (outcome) => done(outcome === 'durable'))
  }

  /**
   * Reads all records up to the high watermark, in order. The cursor is valid during the call only.
   *
   * @throws Error when the partition cannot be read (another leader, a store that stays away)
   */
  async read(visit: (cursor: RecordCursor) => void): Promise<void> {
    const cursor = new RecordCursor()
    await readLog(this.#log, this.#env.clock, 0, READ_BYTES_MAX, (chunk, start, from) => {
      if (isControl(attributes(chunk, start))) return
      cursor.reset(chunk, start)
      while (cursor.next()) if (cursor.offset >= from) visit(cursor)
    })
  }
}
