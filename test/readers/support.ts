/**
 * What the tests with foreign readers share: a client on the bare protocol that sends records with everything that a record can have and
 * reads a topic back whole, what was produced as a ledger, and questions to delta-rs and DuckDB about the topic's table.
 */
import assert from 'node:assert/strict'
import { KafkaError } from '../../protocol/errors.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import { CreateTopics } from '../../protocol/messages/19-create-topics.ts'
import { DeleteTopics } from '../../protocol/messages/20-delete-topics.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import { attributes, baseOffset, isControl, isTransactional, iterateBatches, lastOffset, producerId, timestampTypeOf } from '../../protocol/records/batch.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import type { BatchOptions, RecordToEncode } from '../../protocol/records/encoder.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import type { TestBroker } from '../support/broker.ts'
import { eventually } from '../support/broker.ts'
import { engines } from '../support/delta-reader.ts'
import type { DeltaReader, TableRow } from '../support/delta-reader.ts'
import { seededRandom } from '../support/env.ts'
import { RawClient } from '../support/raw-client.ts'

/** Commits ten times a second and checkpoints five times, so that a short test sees many of both. */
export const busy = [
  '--group-initial-rebalance-delay-ms', '0',
  '--table-flush-interval-ms', '100',
  '--lane-checkpoint-interval-ms', '200',
  '--log-level', 'debug',
]

/** Of control records, the last byte of the key. */
const ABORT_MARKER = 0

/** A record wherever it was read: bytes in base64, header keys too. */
export interface PlainRecord {
  readonly offset: number
  readonly timestamp: number | null
  readonly timestampType: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [string, string | null])[]
}

export function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('base64')
}

export function plain(record: RecordToEncode, offset: number, timestampType = 0): PlainRecord {
  return {
    offset,
    timestamp: record.timestamp === -1 ? null : record.timestamp,
    timestampType,
    key: base64(record.key),
    value: base64(record.value),
    headers: (record.headers ?? []).map(({ key, value }) => [typeof key === 'string' ? key : Buffer.from(key).toString('latin1'), base64(value)]),
  }
}

/** A table's row as a record. The table has no headers where the record has none. */
export function plainRow(row: TableRow): PlainRecord {
  assert.ok(row.offset !== null && row.timestampType !== null)
  const { offset, timestamp, timestampType, key, value } = row
  return { offset, timestamp, timestampType, key, value, headers: row.headers ?? [] }
}

/** The bare protocol, with what a producer and a consumer need of it. Throws where the broker answers an error. */
export class TopicClient {
  readonly raw: RawClient
  private constructor(raw: RawClient) {
    this.raw = raw
  }

  static async connect(broker: TestBroker): Promise<TopicClient> {
    return new TopicClient(await RawClient.connect(broker.address))
  }

  close(): void {
    this.raw.close()
  }

  async create(name: string, numPartitions: number, configs: Readonly<Record<string, string>> = {}): Promise<void> {
    const entries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
    const { topics } = await this.raw.send(CreateTopics, 7, {
      topics: [{ name, numPartitions, replicationFactor: 1, assignments: [], configs: entries }],
    })
    assert.equal(topics[0]!.errorCode, 0, topics[0]!.errorMessage ?? '')
  }

  async delete(name: string): Promise<void> {
    const { responses } = await this.raw.send(DeleteTopics, 6, { topics: [{ name, topicId: 'AAAAAAAAAAAAAAAAAAAAAA' }], topicNames: [], timeoutMs: 10_000 })
    assert.equal(responses[0]!.errorCode, 0)
  }

  async producerId(): Promise<{ producerId: number; producerEpoch: number }> {
    const { errorCode, producerId, producerEpoch } = await this.raw.send(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 0 })
    assert.equal(errorCode, 0)
    return { producerId, producerEpoch }
  }

  /** Gives the offset of the first record, once the records are durable. */
  async produce(topic: string, partition: number, records: readonly RecordToEncode[], options: Partial<BatchOptions> = {}): Promise<number> {
    const batch = encodeBatch({ baseOffset: 0, ...options, records })
    const { responses } = await this.raw.send(Produce, 9, {
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: topic, topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partitionData: [{ index: partition, records: [batch] }] }],
    })
    const answer = responses[0]!.partitionResponses[0]!
    assert.equal(answer.errorCode, 0, `produce to ${topic}/${partition}: ${answer.errorMessage}`)
    return answer.baseOffset
  }

  /**
   * Everything from `fromOffset` up to the high watermark, which is given too. `bytesMax` of a single answer. What the store cannot give at the
   * moment is asked for again, as every client does.
   */
  consume(topic: string, partition: number, fromOffset = 0, bytesMax = 1024 * 1024): Promise<{ records: PlainRecord[]; highWatermark: number }> {
    return this.#read(topic, partition, fromOffset, bytesMax, false)
  }

  /** As `consume`, with `isolation.level=read_committed`: up to the last stable offset, without records of aborted transactions. */
  async consumeCommitted(topic: string, partition: number, fromOffset = 0): Promise<{ records: PlainRecord[]; nextOffset: number }> {
    return await this.#read(topic, partition, fromOffset, 1024 * 1024, true)
  }

  async #read(
    topic: string,
    partition: number,
    fromOffset: number,
    bytesMax: number,
    committed: boolean,
  ): Promise<{ records: PlainRecord[]; highWatermark: number; nextOffset: number }> {
    const records: PlainRecord[] = []
    let highWatermark = Infinity
    let end = Infinity
    let idle = 0
    let refused = 0
    let at = fromOffset
    while (at < end) {
      const { responses } = await this.raw.send(Fetch, 12, {
        maxWaitMs: 500,
        minBytes: 1,
        maxBytes: bytesMax,
        isolationLevel: committed ? 1 : 0,
        topics: [{ topic, topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partitions: [{ partition, fetchOffset: at, partitionMaxBytes: bytesMax }] }],
        forgottenTopicsData: [],
      })
      const answer = responses[0]!.partitions[0]!
      if (answer.errorCode === KafkaError.KAFKA_STORAGE_ERROR && ++refused < 50) {
        await new Promise((done) => setTimeout(done, 100))
        continue
      }
      assert.equal(answer.errorCode, 0, `fetch of ${topic}/${partition} from ${at}`)
      ;({ highWatermark } = answer)
      end = committed ? answer.lastStableOffset : highWatermark
      const aborts = (answer.abortedTransactions ?? []).toSorted((a, b) => a.firstOffset - b.firstOffset)
      const aborting = new Set<number>()
      const bytes = Buffer.concat(answer.records === null ? [] : Array.isArray(answer.records) ? answer.records : [answer.records])
      const before = at
      for (const { start, end } of iterateBatches(bytes)) {
        const batch = bytes.subarray(start, end)
        assert.ok(baseOffset(batch, 0) >= fromOffset || lastOffset(batch, 0) >= at)
        while (aborts.length > 0 && aborts[0]!.firstOffset <= lastOffset(batch, 0)) aborting.add(aborts.shift()!.producerId)
        const bits = attributes(batch, 0)
        const producer = producerId(batch, 0)
        if (isControl(bits) && aborting.has(producer)) {
          // The marker ends what was aborted: the producer's next records count again.
          assert.equal(recordsOf(batch)[0]!.key?.[3], ABORT_MARKER, `${topic}/${partition}: the answer at ${at} has no abort marker of producer ${producer}`)
          aborting.delete(producer)
        }
        for (const record of isControl(bits) || (isTransactional(bits) && aborting.has(producer)) ? [] : recordsOf(batch)) {
          if (record.offset >= at) records.push(plain(record, record.offset, timestampTypeOf(bits)))
        }
        at = Math.max(at, lastOffset(batch, 0) + 1)
      }
      idle = at > before ? 0 : idle + 1
      assert.ok(idle < 3, `nothing comes from ${topic}/${partition} at ${at}, though its end is ${end}`)
    }
    return { records, highWatermark, nextOffset: at }
  }
}

/** What was acknowledged, by partition and offset. */
export class Ledger {
  readonly partitions: Map<number, PlainRecord>[]

  constructor(partitions: number) {
    this.partitions = Array.from({ length: partitions }, () => new Map())
  }

  note(partition: number, first: number, records: readonly RecordToEncode[], timestampType = 0): void {
    for (const [index, record] of records.entries()) {
      assert.ok(!this.partitions[partition]!.has(first + index), `offset ${first + index} of partition ${partition} was given twice`)
      this.partitions[partition]!.set(first + index, plain(record, first + index, timestampType))
    }
  }

  records(partition: number): PlainRecord[] {
    return [...this.partitions[partition]!.values()].toSorted((a, b) => a.offset - b.offset)
  }

  get count(): number {
    return this.partitions.reduce((sum, records) => sum + records.size, 0)
  }
}

const oddTimestamps = [-1, 0, 1, 999, -2, -86_400_000, 1_700_000_000_001, 4_102_444_800_123]

const bytes = (text: string): Uint8Array => Buffer.from(text)

/** Records with all that a record can have, the same for the same seed. */
export function records(random: () => number, count: number, label: string): RecordToEncode[] {
  return Array.from({ length: count }, (_, n) => {
    const kind = Math.floor(random() * 8)
    const timestamp = random() < 0.2 ? oddTimestamps[Math.floor(random() * 7)]! : 1_700_000_000_000 + Math.floor(random() * 1e9)
    return {
      timestamp,
      key: kind === 0 ? null : kind === 1 ? bytes('') : bytes(`${label}-${n}`),
      value: kind === 2 ? null : kind === 3 ? bytes('') : bytes(`${label} ${n} ${'x'.repeat(Math.floor(random() * 200))}`),
      headers: [
        [],
        [{ key: 'a', value: bytes('1') }],
        [{ key: 'a', value: bytes('1') }, { key: 'b', value: bytes('2') }, { key: 'a', value: bytes('3') }],
        [{ key: 'a', value: null }, { key: 'a', value: bytes('') }, { key: '', value: bytes('\u00e9\u4e2d') }],
      ][Math.floor(random() * 4)]!,
    }
  })
}

/** Produces to all partitions of a topic until it is told to stop; what was acknowledged is in the ledger. */
export class Workload {
  readonly ledger: Ledger
  readonly #abort = new AbortController()
  #failure: unknown
  readonly #done: Promise<void>

  constructor(broker: TestBroker, topic: string, partitions: number, options: { readonly pauseMs?: number; readonly seed?: number; readonly ledger?: Ledger } = {}) {
    const { pauseMs = 15, seed = 1 } = options
    const ledger = options.ledger ?? new Ledger(partitions)
    this.ledger = ledger
    const random = seededRandom(seed)
    this.#done = (async () => {
      const client = await TopicClient.connect(broker)
      for (let n = 0; !this.#abort.signal.aborted; n++) {
        const partition = Math.floor(random() * partitions)
        const sent = records(random, 1 + Math.floor(random() * 20), `${seed}-${n}`)
        ledger.note(partition, await client.produce(topic, partition, sent, { codec: Math.floor(random() * 5) }), sent)
        await new Promise((done) => setTimeout(done, pauseMs))
      }
      client.close()
    })()
    this.#done.catch((error: unknown) => (this.#failure = error))
  }

  async stop(): Promise<Ledger> {
    this.#abort.abort()
    await this.#done
    return this.ledger
  }

  /** Waits until so many more records are acknowledged. */
  async progress(count: number): Promise<void> {
    const reached = this.ledger.count + count
    await eventually(`${count} more records`, () => {
      if (this.#failure !== undefined) throw this.#failure as Error
      return this.ledger.count >= reached
    })
  }
}

export interface TopicState {
  readonly id: string
  readonly partitions: readonly { readonly partition: number; readonly flushedOffset: number; readonly highWatermark: number }[]
  readonly table: { readonly location: string; readonly version: number | null; readonly unflushedRecords: number }
}

export async function topicState(broker: TestBroker, topic: string): Promise<TopicState> {
  const answer = await fetch(`${broker.http}/v1/topics/${topic}`)
  assert.equal(answer.status, 200)
  return (await answer.json()) as TopicState
}

/** Waits until everything that is durable now is in the table, and gives where the table is. */
export async function flushed(broker: TestBroker, topic: string): Promise<TopicState> {
  const wanted = (await topicState(broker, topic)).partitions.map(({ highWatermark }) => highWatermark)
  return await eventually(`${topic} flushed`, async () => {
    const state = await topicState(broker, topic)
    return state.partitions.every(({ flushedOffset }, partition) => flushedOffset >= wanted[partition]!) ? state : null
  })
}

/** Both engines hold, now or at a version, exactly the ledger's rows (and none with a null offset, unless `others` more are expected). */
export async function assertTableHolds(reader: DeltaReader, table: string, ledger: Ledger, others = 0): Promise<void> {
  for (const engine of engines) {
    const rows = await reader.rows(engine, table)
    const ours = rows.filter((row) => row.offset !== null)
    assert.equal(rows.length - ours.length, others, `${engine}: rows without an offset`)
    for (const [partition] of ledger.partitions.entries()) {
      assertSameRecords(ours.filter((row) => row.partition === partition).map(plainRow), ledger.records(partition), `${engine}, partition ${partition}`)
    }
    assert.equal(ours.length, ledger.count, engine)
  }
}

/** A consumer from offset 0 gets exactly the ledger's records. */
export async function assertTopicHolds(broker: TestBroker, topic: string, ledger: Ledger): Promise<void> {
  const client = await TopicClient.connect(broker)
  for (const [partition] of ledger.partitions.entries()) {
    const { records: read } = await client.consume(topic, partition)
    assertSameRecords(read, ledger.records(partition), `Kafka, partition ${partition}`)
  }
  client.close()
}

/** As deepEqual, but says where they part instead of printing thousands of records. */
export function assertSameRecords(actual: readonly PlainRecord[], expected: readonly PlainRecord[], what: string): void {
  const at = expected.findIndex((record, index) => actual[index]?.offset !== record.offset)
  if (at >= 0) assert.fail(`${what}: offset ${actual[at]?.offset} where ${expected[at]!.offset} was expected (${actual.length} of ${expected.length} records)`)
  assert.equal(actual.length, expected.length, `${what}: more records than were produced, the first is ${actual[expected.length]?.offset}`)
  for (const [index, record] of expected.entries()) assert.deepEqual(actual[index], record, `${what}, offset ${record.offset}`)
}

/** A consumer that reads the whole topic again and again, and stops at the first record that is missing, doubled or different. */
export class Watcher {
  readonly #abort = new AbortController()
  readonly #done: Promise<number>

  constructor(broker: TestBroker, topic: string, ledger: Ledger) {
    this.#done = this.#run(broker, topic, ledger)
    this.#done.catch(() => undefined)
  }

  async #run(broker: TestBroker, topic: string, ledger: Ledger): Promise<number> {
    const client = await TopicClient.connect(broker)
    let rounds = 0
    for (; !this.#abort.signal.aborted; rounds++) {
      for (const [partition, known] of ledger.partitions.entries()) {
        const { records: read } = await client.consume(topic, partition, 0, 16 * 1024)
        for (const [index, record] of read.entries()) {
          assert.equal(record.offset, index, `consumer of partition ${partition} in round ${rounds}`)
          // An answer to the producer may still be on its way.
          const expected = known.get(index)
          if (expected !== undefined) assert.deepEqual(record, expected)
        }
      }
    }
    client.close()
    return rounds
  }

  /** Gives how often it read everything. */
  async stop(): Promise<number> {
    this.#abort.abort()
    return await this.#done
  }
}

/** Consumers and both engines see the same rows, whatever became of them. Gives the offsets of each partition. */
export async function assertConsumersSeeTable(broker: TestBroker, reader: DeltaReader, topic: string): Promise<number[][]> {
  const { partitions, table } = await flushed(broker, topic)
  const [one, other] = await Promise.all(engines.map((engine) => reader.rows(engine, table.location)))
  assert.equal(one!.length, other!.length)
  const client = await TopicClient.connect(broker)
  const offsets: number[][] = []
  for (const { partition } of partitions) {
    const rows = [one!, other!].map((all) => all.filter((row) => row.partition === partition && row.offset !== null).map(plainRow))
    assertSameRecords(rows[1]!, rows[0]!, `the engines, partition ${partition}`)
    const { records: read } = await client.consume(topic, partition)
    assertSameRecords(read, rows[0]!, `consumers of partition ${partition}`)
    offsets.push(read.map(({ offset }) => offset))
  }
  client.close()
  return offsets
}
