/**
 * kafkajs and @platformatic/kafka behind one face, for tests whose promise is the same whoever keeps asking: what is sent comes back, groups
 * share their topics, nothing is lost. Tests of one client's own features use that client directly.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { Admin, Consumer, MessagesStreamModes, ProduceAcks, Producer } from '@platformatic/kafka'
import type { ConsumerOptions, GroupOptions } from '@platformatic/kafka'
import kafkajsPackage, { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import type { IHeaders, KafkaConfig } from 'kafkajs'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync, uncompressSync } from 'snappy'

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1'

export type Codec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
export const codecs: readonly Codec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

export type Bytes = Buffer | string | null

export interface Outgoing {
  readonly partition?: number
  readonly key?: Bytes
  readonly value: Bytes
  /** In order; a name may come twice. */
  readonly headers?: readonly (readonly [name: string, value: Buffer | string])[]
  readonly timestamp?: number
}

export interface Incoming {
  readonly partition: number
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly (readonly [name: string, value: Buffer])[]
  readonly timestamp: number
}

export interface SendOptions {
  readonly codec?: Codec
  readonly idempotent?: boolean
  readonly acks?: 0 | 1 | -1
}

export interface Sender {
  /** @returns the offset of the first message per partition, where the acks give one */
  send(topic: string, messages: readonly Outgoing[]): Promise<ReadonlyMap<number, number>>
  close(): Promise<void>
}

export interface MemberOptions {
  readonly groupId: string
  readonly from?: 'earliest' | 'latest'
  /** Called before a message counts as read; a slow one makes a slow consumer. */
  readonly onMessage?: (message: Incoming) => Promise<void> | void
}

export interface Member {
  readonly seen: readonly Incoming[]
  /** Partitions of the last assignment. */
  partitions(): readonly number[]
  /** Commits, leaves the group and closes. */
  stop(): Promise<void>
}

export interface NodeClient {
  readonly name: string
  sender(address: string, options?: SendOptions): Promise<Sender>
  /** Resolves when the member has joined. */
  join(address: string, topic: string, options: MemberOptions): Promise<Member>
}

/** A group or topic name that no other test has. */
export function unique(what: string): string {
  return `${what}-${Math.random().toString(36).slice(2, 10)}`
}

// ── kafkajs ───────────────────────────────────────────────────────────────────────────────────────────────────────

const kafkajsCodecs: Readonly<Record<Codec, CompressionTypes>> = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

interface Encoder {
  readonly buffer: Buffer
}

/** kafkajs brings gzip alone; the others are plugged in as its documentation describes. */
function plug(type: CompressionTypes.Snappy | CompressionTypes.LZ4 | CompressionTypes.ZSTD, compress: (bytes: Buffer) => Buffer, decompress: (bytes: Buffer) => Buffer): void {
  const table: Record<number, () => unknown> = kafkajsPackage.CompressionCodecs
  table[type] = () => ({
    compress: ({ buffer }: Encoder) => Promise.resolve(compress(buffer)),
    decompress: (buffer: Buffer) => Promise.resolve(decompress(buffer)),
  })
}
plug(CompressionTypes.Snappy, compressSync, (bytes) => Buffer.from(uncompressSync(bytes)))
plug(CompressionTypes.LZ4, (bytes) => compressFrameSync(bytes), decompressFrameSync)
plug(CompressionTypes.ZSTD, (bytes) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }), zstdDecompressSync)

export function kafkajs(address: string, more: Partial<KafkaConfig> = {}): Kafka {
  return new Kafka({
    clientId: 'kafkajs',
    brokers: [address],
    logLevel: logLevel.NOTHING,
    retry: { retries: 100, initialRetryTime: 50, maxRetryTime: 500 },
    ...more,
  })
}

/** Short waits, so that tests do not sleep. */
export const kafkajsGroup = { maxWaitTimeInMs: 100, heartbeatInterval: 300, sessionTimeout: 10_000, rebalanceTimeout: 10_000 }

const throughKafkajs: NodeClient = {
  name: 'kafkajs',
  async sender(address, { codec = 'none', idempotent = false, acks = -1 } = {}) {
    const producer = kafkajs(address).producer({ idempotent, ...(idempotent ? { maxInFlightRequests: 1 } : {}) })
    await producer.connect()
    return {
      async send(topic, messages) {
        const sent = await producer.send({
          topic,
          acks,
          compression: kafkajsCodecs[codec],
          messages: messages.map(({ partition, key = null, value, headers, timestamp }) => ({
            key,
            value,
            ...(partition === undefined ? {} : { partition }),
            ...(headers === undefined ? {} : { headers: grouped(headers) }),
            ...(timestamp === undefined ? {} : { timestamp: String(timestamp) }),
          })),
        })
        return new Map(sent.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]))
      },
      close: () => producer.disconnect(),
    }
  },
  async join(address, topic, { groupId, from = 'earliest', onMessage }) {
    const consumer = kafkajs(address).consumer({ groupId, ...kafkajsGroup, metadataMaxAge: 500 })
    const seen: Incoming[] = []
    let partitions: readonly number[] = []
    const joined = Promise.withResolvers<void>()
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      partitions = payload.memberAssignment[topic] ?? []
      joined.resolve()
    })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: from === 'earliest' })
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        const { key, value, headers, offset, timestamp } = message
        const incoming = { partition, offset: Number(offset), key, value, headers: flat(headers ?? {}), timestamp: Number(timestamp) }
        await onMessage?.(incoming)
        seen.push(incoming)
      },
    })
    await joined.promise
    return { seen, partitions: () => partitions, stop: () => consumer.disconnect() }
  },
}

function grouped(headers: NonNullable<Outgoing['headers']>): IHeaders {
  const result: Record<string, (Buffer | string)[]> = {}
  for (const [name, value] of headers) (result[name] ??= []).push(value)
  return result
}

function flat(headers: IHeaders): [string, Buffer][] {
  return Object.entries(headers).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one): [string, Buffer] => [name, Buffer.from(one ?? '')]))
}

// ── @platformatic/kafka ───────────────────────────────────────────────────────────────────────────────────────────

export interface PlatformaticOptions {
  readonly clientId: string
  readonly bootstrapBrokers: string[]
  readonly retries: number
  readonly retryDelay: number
  readonly metadataMaxAge: number
}

export function platformatic(address: string): PlatformaticOptions {
  return { clientId: 'platformatic', bootstrapBrokers: [address], retries: 1200, retryDelay: 50, metadataMaxAge: 500 }
}

type RawConsumer = ConsumerOptions<Buffer, Buffer, Buffer, Buffer>

export const platformaticGroup: GroupOptions = { heartbeatInterval: 300, sessionTimeout: 10_000, rebalanceTimeout: 10_000 }

function throughPlatformatic(name: string, group: Partial<RawConsumer>): NodeClient {
  return {
    name,
    sender(address, { codec = 'none', idempotent = false, acks = -1 } = {}) {
      const producer = new Producer({ ...platformatic(address), autocreateTopics: true, idempotent })
      return Promise.resolve({
        async send(topic, messages) {
          const { offsets = [] } = await producer.send({
            acks: acks === -1 ? ProduceAcks.ALL : acks,
            compression: codec,
            messages: messages.map(({ partition, key, value, headers, timestamp }) => {
              const [keyBytes, valueBytes] = [bytesOf(key ?? null), bytesOf(value)]
              return {
                topic,
                ...(keyBytes === null ? {} : { key: keyBytes }),
                ...(valueBytes === null ? {} : { value: valueBytes }),
                ...(partition === undefined ? {} : { partition }),
                ...(timestamp === undefined ? {} : { timestamp: BigInt(timestamp) }),
                // Buffers are keys by identity: a name may come twice.
                ...(headers === undefined ? {} : { headers: new Map(headers.map(([header, bytes]) => [Buffer.from(header), Buffer.from(bytes)])) }),
              }
            }),
          })
          return new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]))
        },
        close: () => producer.close(),
      })
    },
    async join(address, topic, { groupId, from = 'earliest', onMessage }) {
      const consumer = new Consumer({ ...platformatic(address), ...group, groupId })
      // A member that is closed while it joins says so here, and would end the process.
      consumer.on('error', () => undefined)
      const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.COMMITTED, fallbackMode: from, autocommit: 100, maxWaitTime: 100 })
      const seen: Incoming[] = []
      const reading = (async () => {
        for await (const { partition, offset, key, value, headerEntries, timestamp } of stream) {
          const headers = headerEntries.map(([header, bytes]): [string, Buffer] => [header.toString(), bytes])
          const incoming = { partition, offset: Number(offset), key: key ?? null, value: value ?? null, headers, timestamp: Number(timestamp) }
          await onMessage?.(incoming)
          seen.push(incoming)
        }
      })()
      return {
        seen,
        partitions: () => consumer.assignments?.find((one) => one.topic === topic)?.partitions ?? [],
        async stop() {
          await stream.close()
          await reading
          await consumer.close(true)
        },
      }
    },
  }
}

function bytesOf(bytes: Bytes): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes as string)
}

export function platformaticAdmin(address: string): Admin {
  return new Admin(platformatic(address))
}

/** The clients of the classic group protocol. */
export const clients: readonly NodeClient[] = [throughKafkajs, throughPlatformatic('@platformatic/kafka', platformaticGroup)]

/** All, with the one that speaks the consumer protocol (KIP-848). */
export const allClients: readonly NodeClient[] = [...clients, throughPlatformatic('@platformatic/kafka with the consumer protocol', { groupProtocol: 'consumer' })]

// ── what is said about messages ───────────────────────────────────────────────────────────────────────────────────

export function texts(seen: readonly Incoming[]): (string | null)[] {
  return seen.map(({ value }) => value?.toString() ?? null)
}

export function numbered(prefix: string, count: number, more: (index: number) => Partial<Outgoing> = () => ({})): Outgoing[] {
  return Array.from({ length: count }, (_, index) => ({ value: `${prefix}-${index}`, ...more(index) }))
}
