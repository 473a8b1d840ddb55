/**
 * What the tests of the APIs share: one broker per file, topics of their own, record batches down to the byte, and the few requests that
 * nearly every test sends.
 *
 * `TEST_KAFKA=host:port` points the same tests at a real Kafka. What Bayou does on purpose in another way is skipped there
 * (`onlyHere`), so that what is left is a comparison.
 */
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { CRC_AT, computeCrc } from '../../protocol/records/batch.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import type { BatchToEncode, RecordToEncode } from '../../protocol/records/encoder.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import { iterateBatches } from '../../protocol/records/batch.ts'
import { KafkaError, errorName } from '../../protocol/errors.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import { ListOffsets } from '../../protocol/messages/02-list-offsets.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { CreateTopics } from '../../protocol/messages/19-create-topics.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import { IncrementalAlterConfigs } from '../../protocol/messages/44-incremental-alter-configs.ts'
import type { DecodedResponseOf, RequestInputOf } from '../../protocol/schema/api.ts'
import { defaultOf, emptyOf, existsIn } from '../../protocol/schema/field.ts'
import type { FieldSpec } from '../../protocol/schema/field.ts'
import { eventually, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'

const kafka = process.env['TEST_KAFKA'] ?? ''

/** For `test(name, onlyHere, …)`: what Kafka does otherwise, or what needs a broker of our own. */
export const onlyHere = { skip: kafka === '' ? false : 'differs from Kafka on purpose' }
export const onKafka = kafka !== ''

export type FetchResult = DecodedResponseOf<typeof Fetch>
export type FetchedPartition = FetchResult['responses'][number]['partitions'][number]
export type ProducedPartition = DecodedResponseOf<typeof Produce>['responses'][number]['partitionResponses'][number]
type FetchRequest = RequestInputOf<typeof Fetch>

/** Settings that make tests quick without changing what they see. */
export const quick = ['--group-initial-rebalance-delay-ms', '0', '--table-flush-interval-ms', '100', '--lane-checkpoint-interval-ms', '200']

export interface Subject {
  readonly address: string
  /** A connection that is closed after the tests of the file. */
  readonly client: RawClient
  /** The broker of our own; not there when the tests run against Kafka. */
  readonly broker: TestBroker
  /** Another connection; the test closes it, or the end of the file does. */
  connect(clientId?: string | null): Promise<RawClient>
}

/** To be called once per file: a broker for all its tests. */
export function useBroker(args: readonly string[] = []): Subject {
  const clients: RawClient[] = []
  let address = kafka
  let broker: TestBroker | null = null
  let client: RawClient | null = null
  const connect = async (clientId?: string | null): Promise<RawClient> => {
    const opened = await RawClient.connect(address, clientId === undefined ? {} : { clientId })
    clients.push(opened)
    return opened
  }
  before(async () => {
    if (kafka === '') {
      broker = await startTestBroker({ args: [...quick, ...args] })
      address = broker.address
    }
    client = await connect()
  })
  after(async () => {
    for (const opened of clients) opened.close()
    if (broker === null) return
    assert.equal(await broker.stop(), 0)
    await removeStore(broker.store)
  })
  return {
    connect,
    get address() {
      return address
    },
    get client() {
      assert.ok(client !== null)
      return client
    },
    get broker() {
      assert.ok(broker !== null)
      return broker
    },
  }
}

// ---- topics ---------------------------------------------------------------------------------------------------------------------

export interface TestTopic {
  readonly name: string
  readonly id: string
}

let topics = 0

export function freshName(prefix = 'topic'): string {
  return `${prefix}-${process.pid}-${Math.random().toString(36).slice(2, 8)}-${++topics}`
}

export interface TopicOptions {
  readonly name?: string
  readonly partitions?: number
  readonly configs?: Readonly<Record<string, string>>
}

/** A new topic that can be written to at once. */
export async function createTopic(client: RawClient, options: TopicOptions = {}): Promise<TestTopic> {
  const name = options.name ?? freshName()
  const configs = Object.entries(options.configs ?? {}).map(([key, value]) => ({ name: key, value }))
  const { topics: results } = await client.send(CreateTopics, 7, {
    topics: [{ name, numPartitions: options.partitions ?? 1, replicationFactor: 1, assignments: [], configs }],
    timeoutMs: 10_000,
  })
  const [created] = results
  assert.ok(created !== undefined)
  assert.equal(errorName(created.errorCode), 'NONE', created.errorMessage ?? '')
  if (onKafka) await eventually(`${name} has leaders`, () => hasLeaders(client, name, options.partitions ?? 1))
  return { name, id: created.topicId }
}

async function hasLeaders(client: RawClient, name: string, partitions: number): Promise<boolean> {
  const { topics: found } = await client.send(Metadata, 12, { topics: [{ name }], allowAutoTopicCreation: false })
  const ready = found[0]?.partitions.filter(({ leaderId }) => leaderId >= 0).length ?? 0
  if (ready < partitions) return false
  const asked = Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1 }))
  const { topics: offsets } = await client.send(ListOffsets, 7, { replicaId: -1, topics: [{ name, partitions: asked }] })
  return offsets[0]?.partitions.every(({ errorCode }) => errorCode === KafkaError.NONE) ?? false
}

/** Sets one config of a topic. */
export async function alterTopic(client: RawClient, topic: { readonly name: string }, name: string, value: string): Promise<void> {
  const { responses } = await client.send(IncrementalAlterConfigs, 1, {
    resources: [{ resourceType: 2, resourceName: topic.name, configs: [{ name, configOperation: 0, value }] }],
    validateOnly: false,
  })
  isError(responses[0]?.errorCode, 'NONE', responses[0]?.errorMessage)
}

// ---- batches --------------------------------------------------------------------------------------------------------------------

export type TestRecord = Partial<RecordToEncode> & { readonly value?: Uint8Array | null }

/** A batch of records with these values, or of these records, as a producer would make it now. */
export function batchOf(records: readonly (string | Partial<RecordToEncode>)[], options: Partial<BatchToEncode> = {}): Buffer {
  const now = Date.now()
  const encoded = encodeBatch({
    baseOffset: 0,
    ...options,
    records: records.map((record) =>
      typeof record === 'string'
        ? { timestamp: now, key: null, value: Buffer.from(record) }
        : { timestamp: now, key: null, value: null, ...record },
    ),
  })
  return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.length)
}

/** Changes bytes of a batch and makes its checksum right again. */
export function tamper(batch: Buffer, change: (batch: Buffer) => void): Buffer {
  const copy = Buffer.from(batch)
  change(copy)
  copy.writeUInt32BE(computeCrc(copy, 0), CRC_AT)
  return copy
}

// ---- requests -------------------------------------------------------------------------------------------------------------------

export interface ProduceOptions {
  readonly version?: number
  readonly acks?: number
  readonly partition?: number
  readonly timeoutMs?: number
}

export function produceRequest(topic: { name: string; id?: string }, records: Uint8Array | null, options: ProduceOptions = {}) {
  return {
    acks: options.acks ?? -1,
    timeoutMs: options.timeoutMs ?? 10_000,
    topicData: [
      {
        name: topic.name,
        ...(topic.id === undefined ? {} : { topicId: topic.id }),
        partitionData: [{ index: options.partition ?? 0, records: records === null ? null : [records] }],
      },
    ],
  } satisfies RequestInputOf<typeof Produce>
}

/** Produces one batch and gives what was answered for its partition. */
export async function produce(
  client: RawClient,
  topic: { name: string; id?: string },
  records: Uint8Array | null,
  options: ProduceOptions = {},
): Promise<ProducedPartition> {
  const { responses } = await client.send(Produce, options.version ?? 12, produceRequest(topic, records, options))
  const partition = responses[0]?.partitionResponses[0]
  assert.ok(partition !== undefined)
  return partition
}

/** As `produce`, for batches that must be taken. Gives the base offset. */
export async function produceOk(client: RawClient, topic: { name: string; id?: string }, records: Uint8Array, options: ProduceOptions = {}): Promise<number> {
  const { errorCode, errorMessage, baseOffset } = await produce(client, topic, records, options)
  assert.equal(errorName(errorCode), 'NONE', errorMessage ?? '')
  return baseOffset
}

export interface FetchOptions extends Partial<FetchRequest> {
  readonly version?: number
  readonly partition?: number
  readonly partitionMaxBytes?: number
  readonly currentLeaderEpoch?: number
  readonly lastFetchedEpoch?: number
}

export function fetchRequest(topic: TestTopic, fetchOffset: number, options: FetchOptions = {}): FetchRequest {
  const { version: _, partition = 0, partitionMaxBytes = 1 << 20, currentLeaderEpoch = -1, lastFetchedEpoch = -1, ...request } = options
  return {
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: 50 << 20,
    topics: [
      {
        topic: topic.name,
        topicId: topic.id,
        partitions: [{ partition, fetchOffset, partitionMaxBytes, currentLeaderEpoch, lastFetchedEpoch }],
      },
    ],
    ...request,
  }
}

/** Fetches from one partition without a session and gives what was answered for it. */
export async function fetchOne(client: RawClient, topic: TestTopic, fetchOffset: number, options: FetchOptions = {}): Promise<FetchedPartition> {
  const response = await client.send(Fetch, options.version ?? 13, fetchRequest(topic, fetchOffset, options))
  assert.equal(errorName(response.errorCode), 'NONE')
  return onlyPartition(response)
}

export function onlyPartition(response: FetchResult): FetchedPartition {
  const partitions = response.responses.flatMap((topic) => topic.partitions)
  assert.equal(partitions.length, 1)
  return partitions[0]!
}

export function bytesOf(partition: FetchedPartition): Buffer {
  return Buffer.concat(partition.records ?? [])
}

export function recordsIn(partition: FetchedPartition): { offset: number; timestamp: number; key: string | null; value: string | null }[] {
  const bytes = bytesOf(partition)
  return [...iterateBatches(bytes)].flatMap(({ start, end }) =>
    recordsOf(bytes.subarray(start, end)).map(({ offset, timestamp, key, value }) => ({
      offset,
      timestamp,
      key: key === null ? null : Buffer.from(key).toString(),
      value: value === null ? null : Buffer.from(value).toString(),
    })),
  )
}

/** Everything from an offset on, in as many fetches as it takes. */
export async function readFrom(client: RawClient, topic: TestTopic, offset = 0): Promise<ReturnType<typeof recordsIn>> {
  const found: ReturnType<typeof recordsIn> = []
  for (let next = offset; ; next = found.at(-1)!.offset + 1) {
    const partition = await fetchOne(client, topic, next)
    isError(partition.errorCode, 'NONE')
    if (next >= partition.highWatermark) return found
    const more = recordsIn(partition).filter((record) => record.offset >= next)
    assert.ok(more.length > 0, `nothing at ${next} of ${partition.highWatermark}`)
    found.push(...more)
  }
}

/** Sizes of the batches in an answer. */
export function batchSizes(partition: FetchedPartition): number[] {
  return [...iterateBatches(bytesOf(partition))].map(({ start, end }) => end - start)
}

export async function listOffset(client: RawClient, topic: { name: string }, timestamp: number, options: { version?: number; partition?: number; isolationLevel?: number } = {}) {
  const { topics: results } = await client.send(ListOffsets, options.version ?? 8, {
    replicaId: -1,
    isolationLevel: options.isolationLevel ?? 0,
    topics: [{ name: topic.name, partitions: [{ partitionIndex: options.partition ?? 0, timestamp }] }],
  })
  const partition = results[0]?.partitions[0]
  assert.ok(partition !== undefined)
  return partition
}

export async function endOffset(client: RawClient, topic: { name: string }, partition = 0): Promise<number> {
  return (await listOffset(client, topic, -1, { partition })).offset
}

/** A producer id of an idempotent producer. */
export async function freshProducerId(client: RawClient): Promise<number> {
  for (;;) {
    const reply = await client.send(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 60_000 })
    if (reply.errorCode === KafkaError.COORDINATOR_LOAD_IN_PROGRESS) continue
    assert.equal(errorName(reply.errorCode), 'NONE')
    return reply.producerId
  }
}

/** Fails unless `code` is the code of this name. */
export function isError(code: number | undefined, name: keyof typeof KafkaError, message?: string | null): void {
  assert.equal(errorName(code ?? NaN), name, message ?? undefined)
}

/** A request of zeroes, with so many elements in each of its arrays and null wherever null is allowed. */
export function plainRequest(spec: FieldSpec, version: number, elements: number): unknown {
  const { type } = spec
  if (version >= spec.nullableSince && elements === 0) return null
  if (type.kind === 'array') return Array.from({ length: elements }, () => plainRequest(type.element, version, elements))
  if (type.kind !== 'struct') return type.kind === 'string' && elements > 0 ? 'x' : emptyOf(type)
  const fields = Object.entries(type.fields).filter(([, field]) => existsIn(field, version))
  return Object.fromEntries(fields.map(([name, field]) => [name, field.type.kind === 'records' ? defaultOf(field) : plainRequest(field, version, elements)]))
}
