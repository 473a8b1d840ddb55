/**
 * The transaction coordinator of this broker: finds the shard of a transactional id, loading it on first use, checks what does not depend on the
 * state of the id, and answers in the terms of the protocol. It knows no API versions; the handlers in `src/api/` translate.
 */
import { KafkaError } from '../../protocol/errors.ts'
import type { Timer } from '../../storage/env.ts'
import type { TransactionMarker } from '../../storage/partition/types.ts'
import { Shards } from '../cluster/shards.ts'
import { partitionOfGroup } from '../groups/records.ts'
import { durableMarker, writeMarker } from './markers.ts'
import type { TransactionCoordinatorOptions } from './ports.ts'
import { TransactionShard } from './shard.ts'
import type { ProducerReply } from './shard.ts'
import { EPOCH_BUMP_VERSION } from './transaction.ts'
import type { EndRequest, InitRequest, Partitions, Producer, Transaction } from './transaction.ts'

/** Partitions that are loaded at once when the broker starts, and how long to wait before one is tried again. */
const LOADED_AT_ONCE = 4
const LOAD_RETRY_MS = 1_000

/** What a producer is about to write. */
export interface AdmittedWrite extends Producer {
  readonly transactionalId: string
  readonly topic: string
  readonly partition: number
  /** A partition that is not part of the transaction becomes part of it (KIP-890). */
  readonly adds: boolean
}

export class TransactionCoordinator {
  readonly #options: TransactionCoordinatorOptions
  readonly #shards: Shards<TransactionShard>
  #timers: Timer[] = []

  constructor(options: TransactionCoordinatorOptions) {
    this.#options = options
    this.#shards = new Shards(options.env.clock, (partition) => this.#openShard(partition))
  }

  /**
   * Loads what there is, in the background: open transactions hold back readers of committed records until their time is over, and what an earlier
   * broker began to end has to be ended. Begins to look for transactions that take too long, and for ids that nobody uses.
   */
  start(): void {
    const { config } = this.#options
    if (this.#options.statePartitions.exists()) void this.#loadAll()
    this.#every(config['transaction.abort.timed.out.transaction.cleanup.interval.ms'], (shard) => shard.abortTimedOut())
    const expirationMs = config['transactional.id.expiration.ms']
    this.#every(config['transaction.remove.expired.transaction.cleanup.interval.ms'], (shard) => shard.removeExpired(expirationMs))
  }

  /** Refuses everything from now on; what is on its way is answered. */
  stop(): void {
    for (const timer of this.#timers) timer.cancel()
    for (const shard of this.#shards.stop()) shard.close()
  }

  /** Transactions that have begun and not ended, of the partitions that are loaded. */
  get openCount(): number {
    let count = 0
    for (const shard of this.#shards) count += shard.openCount
    return count
  }

  /** Gives a producer its id and epoch, and fences those before it. */
  async init(request: InitRequest): Promise<ProducerReply> {
    if (request.transactionalId === '') return failed(KafkaError.INVALID_REQUEST)
    const { timeoutMs } = request
    if (timeoutMs <= 0 || timeoutMs > this.#options.config['transaction.max.timeout.ms']) return failed(KafkaError.INVALID_TRANSACTION_TIMEOUT)
    const shard = await this.#shardOf(request.transactionalId)
    return typeof shard === 'number' ? failed(shard) : shard.init(request)
  }

  /** Makes partitions part of the transaction. An error code, once that is durable. `clientVersion`: a level of `transaction.version`. */
  async addPartitions(transactionalId: string, producer: Producer, partitions: Partitions, clientVersion: number): Promise<number> {
    const shard = await this.#existing(transactionalId)
    return typeof shard === 'number' ? shard : shard.add(transactionalId, producer, partitions, clientVersion)
  }

  /** Whether partitions are part of the transaction: an error code for each. */
  async verify(transactionalId: string, producer: Producer, topic: string, partitions: readonly number[]): Promise<readonly number[]> {
    const shard = await this.#existing(transactionalId)
    return partitions.map((partition) => (typeof shard === 'number' ? shard : shard.verify(transactionalId, producer, topic, partition)))
  }

  /** Ends the transaction. Answers when all of it is durable, the markers too. */
  async end(request: EndRequest): Promise<ProducerReply> {
    const shard = await this.#existing(request.transactionalId)
    return typeof shard === 'number' ? failed(shard) : shard.end(request)
  }

  /**
   * Whether a producer may write to a partition within its transaction: an error code, at once. Where `adds`, a partition that is not part of the
   * transaction becomes part of it, and a transaction is begun where there is none; the record of that is in the lane before this returns, so before
   * what the caller appends.
   */
  admit({ transactionalId, producerId, producerEpoch, topic, partition, adds }: AdmittedWrite): number {
    const shard = this.#loaded(transactionalId)
    if (typeof shard === 'number') return shard
    const producer = { producerId, producerEpoch }
    if (!adds) return shard.verify(transactionalId, producer, topic, partition)
    return shard.admit(transactionalId, producer, new Map([[topic, new Set([partition])]]), EPOCH_BUMP_VERSION)
  }

  /** As `admit` with `adds`, for many partitions with one record. Who only does it to save records need not look at the answer. */
  admitAll(transactionalId: string, producer: Producer, partitions: Partitions): number {
    const shard = this.#loaded(transactionalId)
    return typeof shard === 'number' ? shard : shard.admit(transactionalId, producer, partitions, EPOCH_BUMP_VERSION)
  }

  /** Writes a marker that nobody's transaction asked for, as administrators do. An error code, once it is durable. */
  async writeMarker(topic: string, partition: number, marker: TransactionMarker): Promise<number> {
    if (this.#shards.isStopped) return KafkaError.NOT_LEADER_OR_FOLLOWER
    return durableMarker(writeMarker(this.#options.targets, topic, partition, marker))
  }

  /** What is known of an id, or an error code. */
  async describe(transactionalId: string): Promise<Transaction | number> {
    if (transactionalId === '') return KafkaError.INVALID_REQUEST
    if (!this.#options.statePartitions.exists()) return this.#shards.isStopped ? KafkaError.NOT_COORDINATOR : KafkaError.TRANSACTIONAL_ID_NOT_FOUND
    const shard = await this.#shardOf(transactionalId)
    if (typeof shard === 'number') return shard
    return shard.get(transactionalId) ?? KafkaError.TRANSACTIONAL_ID_NOT_FOUND
  }

  async list(): Promise<{ readonly errorCode: number; readonly transactions: readonly Transaction[] }> {
    const { statePartitions } = this.#options
    const transactions: Transaction[] = []
    if (!statePartitions.exists()) return { errorCode: KafkaError.NONE, transactions }
    const partitions = Array.from({ length: statePartitions.count }, (_, partition) => partition)
    for (const shard of await Promise.all(partitions.map(async (partition) => this.#shards.at(partition)))) {
      if (typeof shard === 'number') return { errorCode: shard, transactions: [] }
      for (const transaction of shard.transactions()) transactions.push(transaction)
    }
    return { errorCode: KafkaError.NONE, transactions }
  }

  /** The shard of an id that may exist; where there is no topic it does not, and none is created. */
  async #existing(transactionalId: string): Promise<TransactionShard | number> {
    if (transactionalId === '') return KafkaError.INVALID_REQUEST
    if (!this.#options.statePartitions.exists()) return this.#shards.isStopped ? KafkaError.NOT_COORDINATOR : KafkaError.INVALID_PRODUCER_ID_MAPPING
    return this.#shardOf(transactionalId)
  }

  /** As `#existing`, for those who cannot wait. */
  #loaded(transactionalId: string): TransactionShard | number {
    if (transactionalId === '') return KafkaError.INVALID_REQUEST
    if (this.#shards.isStopped) return KafkaError.NOT_COORDINATOR
    const { statePartitions } = this.#options
    if (!statePartitions.exists()) return KafkaError.INVALID_PRODUCER_ID_MAPPING
    return this.#shards.now(partitionOfGroup(transactionalId, statePartitions.count))
  }

  #shardOf(transactionalId: string): TransactionShard | Promise<TransactionShard | number> {
    return this.#shards.at(partitionOfGroup(transactionalId, this.#options.statePartitions.count))
  }

  async #openShard(partition: number): Promise<TransactionShard | number> {
    const { env, log, statePartitions, targets, metrics, coordinatorEpoch, nextProducerId } = this.#options
    try {
      const partitionLog = await statePartitions.open(partition)
      const shard = new TransactionShard({
        env,
        log,
        partitionLog,
        targets,
        metrics: metrics ?? null,
        coordinatorEpoch,
        nextProducerId,
        onLost: () => this.#lose(partition),
      })
      await shard.load(() => !this.#shards.isStopped)
      return this.#shards.isStopped ? KafkaError.NOT_COORDINATOR : shard
    } catch (error) {
      log.warn({ partition, err: error }, 'a partition of __transaction_state could not be loaded')
      return KafkaError.COORDINATOR_NOT_AVAILABLE
    }
  }

  /** The partition is led by somebody else now, or gone: clients are to find the new coordinator. */
  #lose(partition: number): void {
    this.#shards.drop(partition)
    this.#options.log.warn({ partition }, 'a partition of __transaction_state is no longer ours')
  }

  /** All partitions, a few at a time, until each has been loaded. */
  async #loadAll(): Promise<void> {
    const { statePartitions, env } = this.#options
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < statePartitions.count && !this.#shards.isStopped) {
        const partition = next++
        for (;;) {
          if (typeof (await this.#shards.whenLoaded(partition)) !== 'number' || this.#shards.isStopped) break
          await env.clock.sleep(LOAD_RETRY_MS)
        }
      }
    }
    await Promise.all(Array.from({ length: LOADED_AT_ONCE }, worker))
  }

  #every(intervalMs: number, visit: (shard: TransactionShard) => void): void {
    const { clock } = this.#options.env
    const index = this.#timers.length
    const tick = (): void => {
      if (this.#shards.isStopped) return
      for (const shard of this.#shards) visit(shard)
      this.#timers[index] = clock.schedule(intervalMs, tick)
    }
    this.#timers[index] = clock.schedule(intervalMs, tick)
  }
}

function failed(errorCode: number): ProducerReply {
  return { errorCode, producerId: -1, producerEpoch: -1 }
}
