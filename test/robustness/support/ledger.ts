/**
 * Who was told what: producers write down what was acknowledged, and at the end everything is read back. A record that was acknowledged must
 * be there once, at the offset that its producer was given; what was not acknowledged may be there, but not twice either; the records of one
 * producer are in the order in which they were sent.
 */
import assert from 'node:assert/strict'
import { iterateBatches } from '../../../protocol/records/batch.ts'
import { KafkaError, errorName } from '../../../protocol/errors.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { Produce } from '../../../protocol/messages/00-produce.ts'
import { Fetch } from '../../../protocol/messages/01-fetch.ts'
import { ListOffsets } from '../../../protocol/messages/02-list-offsets.ts'
import { CreateTopics } from '../../../protocol/messages/19-create-topics.ts'
import { InitProducerId } from '../../../protocol/messages/22-init-producer-id.ts'
import { recordsOf } from '../../../protocol/records/record.ts'
import { RawClient } from '../../support/raw-client.ts'
import { sleep } from './toxic-proxy.ts'

export interface LedgerOptions {
  readonly topic: string
  readonly partition: number
  /** Records of one batch, and bytes of each value. */
  readonly records?: number
  readonly valueBytes?: number
  /** The request's timeout: how long the broker may wait for its store. */
  readonly timeoutMs?: number
  readonly pauseMs?: number
}

/**
 * An idempotent producer with one request in flight, that never gives up: it sends the same batch, with the same sequence, to one broker
 * after the other until one acknowledges it. Stricter than a library, which may hide what it was told.
 */
export class LedgerProducer {
  readonly #addresses: () => readonly string[]
  readonly #options: Required<LedgerOptions>
  /** Offset of each acknowledged batch, by its number. */
  readonly acknowledged: number[] = []
  /** Errors and connection losses that were survived, by name. */
  readonly troubles = new Map<string, number>()
  #client: RawClient | null = null
  #at = 0
  #running = true
  #done: Promise<void> = Promise.resolve()
  #producer: { id: number; epoch: number } | null = null
  /** Longest time from the first sending of a batch to its acknowledgement. */
  worstMs = 0
  failure: Error | null = null

  constructor(addresses: readonly string[] | (() => readonly string[]), options: LedgerOptions) {
    this.#addresses = typeof addresses === 'function' ? addresses : () => addresses
    this.#options = { records: 10, valueBytes: 100, timeoutMs: 5000, pauseMs: 0, ...options }
  }

  get options(): Required<LedgerOptions> {
    return this.#options
  }

  start(): this {
    this.#done = this.#run().catch((error: unknown) => {
      this.failure = error instanceof Error ? error : new Error(String(error))
    })
    return this
  }

  /** Finishes the batch that is under way. Rejects when the producer was told what must not be. */
  async stop(withinMs = 120_000): Promise<void> {
    this.#running = false
    const late = sleep(withinMs).then(() => assert.fail(`producer of ${this.#options.topic}-${this.#options.partition} hangs: ${this.summary()}`))
    await Promise.race([this.#done, late])
    this.#client?.close()
    if (this.failure !== null) throw this.failure
  }

  /** Ends without finishing: the last batch may or may not be there. */
  async abandon(): Promise<void> {
    this.#running = false
    this.#client?.close()
    this.#abandoned = true
    await this.#done
  }
  #abandoned = false

  summary(): string {
    const troubles = [...this.troubles].map(([name, count]) => `${name} ×${count}`).join(', ')
    return `${this.acknowledged.length} batches, worst ${Math.round(this.worstMs)} ms; ${troubles || 'no trouble'}`
  }

  async #run(): Promise<void> {
    while (this.#running) {
      await this.#sendOne(this.acknowledged.length)
      if (this.#options.pauseMs > 0) await sleep(this.#options.pauseMs)
    }
  }

  async #sendOne(number: number): Promise<void> {
    const { topic, partition, records, timeoutMs } = this.#options
    const startedMs = performance.now()
    while (!this.#abandoned) {
      try {
        const client = await this.#connected()
        this.#producer ??= await this.#register(client)
        const batch = encodeBatch({
          baseOffset: 0,
          producerId: this.#producer.id,
          producerEpoch: this.#producer.epoch,
          baseSequence: (number * records) % 2 ** 31,
          records: Array.from({ length: records }, (_, i) => ({ timestamp: Date.now(), key: null, value: this.#value(number, i) })),
        })
        const answer = await client.send(Produce, 9, {
          acks: -1, timeoutMs, topicData: [{ name: topic, partitionData: [{ index: partition, records: [batch] }] }],
        })
        const result = answer.responses[0]!.partitionResponses[0]!
        if (result.errorCode === 0) {
          this.acknowledged.push(result.baseOffset)
          this.worstMs = Math.max(this.worstMs, performance.now() - startedMs)
          return
        }
        this.#note(errorName(result.errorCode))
        if (forbidden.has(result.errorCode)) throw new ForbiddenError(`batch ${number}: ${errorName(result.errorCode)} ${result.errorMessage}`)
        if (elsewhere.has(result.errorCode)) this.#leave()
      } catch (error) {
        if (error instanceof ForbiddenError) throw error
        this.#note(error instanceof Error ? error.message.replaceAll(/\d+/g, 'N').slice(0, 60) : 'unknown')
        this.#leave()
      }
      await sleep(20 + Math.random() * 80)
    }
  }

  async #register(client: RawClient): Promise<{ id: number; epoch: number }> {
    const answer = await client.send(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 60_000 })
    if (answer.errorCode !== 0) throw new Error(`InitProducerId: ${errorName(answer.errorCode)}`)
    return { id: answer.producerId, epoch: answer.producerEpoch }
  }

  async #connected(): Promise<RawClient> {
    if (this.#client?.isOpen === true) return this.#client
    const addresses = this.#addresses()
    const address = addresses[this.#at % addresses.length]!
    this.#client = await RawClient.connect(address, { clientId: 'ledger', answerMs: this.#options.timeoutMs + 15_000 })
    return this.#client
  }

  /** The next try goes to the next broker. */
  #leave(): void {
    this.#client?.close()
    this.#client = null
    this.#at++
  }

  #note(trouble: string): void {
    this.troubles.set(trouble, (this.troubles.get(trouble) ?? 0) + 1)
  }

  #value(batch: number, record: number): Buffer {
    const value = Buffer.alloc(this.#options.valueBytes, '.')
    value.write(`${this.#options.partition}/${batch}/${record}/`)
    return value
  }
}

class ForbiddenError extends Error {}

/** With one request in flight and no gaps, nothing may make a broker say this. */
const forbidden = new Set<number>([
  KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError.UNKNOWN_PRODUCER_ID, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.CORRUPT_MESSAGE,
  KafkaError.UNKNOWN_SERVER_ERROR, KafkaError.DUPLICATE_SEQUENCE_NUMBER, KafkaError.MESSAGE_TOO_LARGE,
])
const elsewhere = new Set<number>([KafkaError.NOT_LEADER_OR_FOLLOWER, KafkaError.UNKNOWN_TOPIC_OR_PARTITION])

/** Reads the partition from the beginning and holds it against what the producer was told. Gives the number of records. */
export async function verify(address: string, producer: LedgerProducer, options: ReadOptions = {}): Promise<number> {
  const { topic, partition, records } = producer.options
  const name = `${topic}-${partition}`
  let next = 0
  let inBatch = 0
  let batches = 0
  const read = await readPartition(address, topic, partition, (offset, value) => {
    assert.equal(offset, next, `${name}: an offset was skipped or given twice`)
    const [from, batch, record] = value.toString('latin1').split('/').map(Number)
    assert.equal(from, partition, `${name}: a record of another partition at ${offset}`)
    const expected = `${batches}/${inBatch}`
    assert.equal(`${batch}/${record}`, expected, `${name}: at offset ${offset} there is ${batch}/${record} where ${expected} belongs`)
    if (inBatch === 0 && batches < producer.acknowledged.length) {
      assert.equal(offset, producer.acknowledged[batches], `${name}: batch ${batches} was acknowledged at another offset`)
    }
    next++
    if (++inBatch === records) {
      inBatch = 0
      batches++
    }
  }, options)
  assert.ok(batches >= producer.acknowledged.length, `${name}: ${producer.acknowledged.length} batches were acknowledged, ${batches} are there`)
  assert.ok(batches <= producer.acknowledged.length + 1, `${name}: ${batches} batches are there, ${producer.acknowledged.length} were acknowledged`)
  return read
}

export interface ReadOptions {
  /** No progress for this long is a failure. */
  readonly stallMs?: number
  readonly maxBytes?: number
  /** Errors that the reads met and survived. */
  readonly troubles?: Map<string, number>
  /** Told how long each fetch took, milliseconds. */
  readonly onFetch?: (millis: number, bytes: number) => void
}

/** Every record from offset 0 to the high watermark. Retriable errors and broken connections are survived. */
export async function readPartition(
  address: string,
  topic: string,
  partition: number,
  visit: (offset: number, value: Buffer) => void,
  options: ReadOptions = {},
): Promise<number> {
  const { stallMs = 60_000, maxBytes = 4 * 1024 * 1024, troubles = new Map<string, number>() } = options
  const note = (name: string): void => void troubles.set(name, (troubles.get(name) ?? 0) + 1)
  let client: RawClient | null = null
  let offset = 0
  let end = -1
  let progressMs = performance.now()
  while (end < 0 || offset < end) {
    if (performance.now() - progressMs > stallMs) assert.fail(`${topic}-${partition}: no progress at ${offset} of ${end} for ${stallMs} ms; ${JSON.stringify([...troubles])}`)
    try {
      client ??= await RawClient.connect(address, { clientId: 'reader', answerMs: 30_000 })
      if (end < 0) end = await highWatermark(client, topic, partition)
      if (end === 0) break
      const askedMs = performance.now()
      const answer = await client.send(Fetch, 11, {
        maxWaitMs: 500, minBytes: 1, maxBytes,
        topics: [{ topic, partitions: [{ partition, fetchOffset: offset, partitionMaxBytes: maxBytes }] }],
      })
      const result = answer.responses[0]!.partitions[0]!
      const bytes = Buffer.concat(result.records ?? [])
      options.onFetch?.(performance.now() - askedMs, bytes.length)
      if (result.errorCode !== 0) {
        assert.ok(retriable.has(result.errorCode), `${topic}-${partition} at ${offset}: ${errorName(result.errorCode)}`)
        note(errorName(result.errorCode))
        await sleep(100)
        continue
      }
      for (const { start } of iterateBatches(bytes)) {
        for (const record of recordsOf(bytes, start)) {
          if (record.offset < offset) continue
          assert.ok(record.value !== null)
          visit(record.offset, Buffer.from(record.value.buffer, record.value.byteOffset, record.value.byteLength))
          offset = record.offset + 1
          progressMs = performance.now()
        }
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      note(error instanceof Error ? error.message.replaceAll(/\d+/g, 'N').slice(0, 60) : 'unknown')
      client?.close()
      client = null
      await sleep(100)
    }
  }
  client?.close()
  return offset
}

const retriable = new Set<number>([KafkaError.KAFKA_STORAGE_ERROR, KafkaError.NOT_LEADER_OR_FOLLOWER, KafkaError.UNKNOWN_TOPIC_OR_PARTITION])

async function highWatermark(client: RawClient, topic: string, partition: number): Promise<number> {
  const answer = await client.send(ListOffsets, 5, { replicaId: -1, isolationLevel: 0, topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp: -1 }] }] })
  const found = answer.topics[0]!.partitions[0]!
  if (found.errorCode !== 0) throw new Error(`ListOffsets: ${errorName(found.errorCode)}`)
  return found.offset
}

/** Creates a topic; one that is there already is fine. */
export async function createTopic(address: string, name: string, partitions: number, configs: Readonly<Record<string, string>> = {}): Promise<void> {
  const client = await RawClient.connect(address, { answerMs: 60_000 })
  try {
    const answer = await client.send(CreateTopics, 5, {
      topics: [{ name, numPartitions: partitions, replicationFactor: -1, assignments: [], configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })) }],
    })
    const { errorCode, errorMessage } = answer.topics[0]!
    if (errorCode !== 0 && errorCode !== KafkaError.TOPIC_ALREADY_EXISTS) throw new Error(`${name}: ${errorName(errorCode)} ${errorMessage}`)
  } finally {
    client.close()
  }
}
