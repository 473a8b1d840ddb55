/** Handlers without a broker: what they answer when something unforeseen happens, and what a waiting fetch leaves behind. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import type { FetchRequest } from '../../protocol/messages/01-fetch.ts'
import type { Api } from '../../protocol/schema/api.ts'
import { fetch } from '../../src/api/01-fetch.ts'
import type { RequestContext } from '../../src/api/handler.ts'
import { registry } from '../../src/api/registry.ts'
import type { Broker } from '../../src/broker.ts'
import { StoreReads } from '../../src/cluster/store-reads.ts'
import { FetchSessions } from '../../src/cluster/fetch-sessions.ts'
import { defaultConfig } from '../../src/config/settings.ts'
import type { PartitionLog, ReadOutcome } from '../../storage/partition/types.ts'
import { SimulatedEnv } from '../support/env.ts'
import { batchOf, plainRequest } from './support.ts'

describe('an unforeseen failure is an answer (P9)', () => {
  // They answer from memory, always the same, and cannot fail.
  const constant = new Set(['DescribeAcls', 'CreateAcls', 'DeleteAcls', 'AlterReplicaLogDirs', 'DescribeProducers'])
  const broker = { node: { id: 0, host: 'localhost', port: 9092 }, clusterId: 'x' } as Broker

  for (const handler of registry) {
    const { api, versions: [first, last] } = handler
    if (constant.has(api.name)) continue
    test(`${api.name} v${first} to v${last}`, () => {
      const codec = api as unknown as Api<unknown, unknown, unknown, unknown>
      for (let apiVersion = first; apiVersion <= last; apiVersion++) {
        for (const elements of [0, 1]) {
          const encoded = codec.encodeRequest(apiVersion, { ...(plainRequest(api.request, apiVersion, elements) as object), ...(api.key === 0 ? { acks: 1 } : {}) })
          const request = codec.decodeRequest(apiVersion, Buffer.concat(encoded))
          const context = { broker, apiVersion, closeConnection: () => undefined } as unknown as RequestContext
          const response = handler.onError?.(request, KafkaError.KAFKA_STORAGE_ERROR, context)
          assert.ok(response !== null && response !== undefined, `v${apiVersion}`)
          const answered = codec.decodeResponse(apiVersion, Buffer.concat(codec.encodeResponse(apiVersion, response)))
          if (elements === 1) assert.match(JSON.stringify(answered, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)), /rrorCode":56/, `v${apiVersion} says it`)
        }
      }
    })
  }
})

describe('a fetch that waits', () => {
  /** A partition that tells nobody but the fetch, with the reads that it is given. */
  function world(
    read: (fromOffset: number, partition: number) => ReadOutcome | Promise<ReadOutcome>,
    readsStore: (partition: number) => boolean = () => false,
    storeReads = new StoreReads(2),
  ) {
    const env = new SimulatedEnv(1)
    const listeners = new Set<() => void>()
    const logOf = (partition: number) => ({
      leaderEpoch: 0, highWatermark: 0, lastStableOffset: 0, logStartOffset: 0,
      read: ({ fromOffset }: { fromOffset: number }) => read(fromOffset, partition),
      readsStore: () => readsStore(partition),
      isAtEnd: () => false,
      onAdvance: (listener: () => void) => listeners.add(listener),
      offAdvance: (listener: () => void) => listeners.delete(listener),
    }) as unknown as PartitionLog
    const connection = new AbortController()
    const broker = {
      config: defaultConfig(), env, fetchSessions: new FetchSessions(env, 10), metrics: { fetched: () => undefined, read: () => undefined },
      topics: { byName: () => ({ id: 't', name: 'topic' }), partition: (_: string, partition: number) => logOf(partition) }, storeReads,
    } as unknown as Broker
    const context = { broker, apiVersion: 12, signal: connection.signal } as unknown as RequestContext
    const ask = async (wanted: Partial<FetchRequest> = {}) => {
      const request = Fetch.decodeRequest(12, Buffer.concat(Fetch.encodeRequest(12, {
        maxWaitMs: 500, minBytes: 1, topics: [{ topic: 'topic', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }] }], forgottenTopicsData: [], ...wanted,
      })))
      const answer = await fetch.handle(request, context)
      return answer!.responses[0]!.partitions[0]!
    }
    /** Bytes of each of the first `count` partitions. */
    const askFor = async (count: number, wanted: Partial<FetchRequest> = {}) => {
      const partitions = Array.from({ length: count }, (_, partition) => ({ partition, fetchOffset: 0, partitionMaxBytes: 2 ** 30 }))
      const request = Fetch.decodeRequest(12, Buffer.concat(Fetch.encodeRequest(12, {
        maxWaitMs: 500, minBytes: 1, topics: [{ topic: 'topic', partitions }], forgottenTopicsData: [], ...wanted,
      })))
      const answer = await fetch.handle(request, context)
      return answer!.responses[0]!.partitions.map(({ records }) => (records ?? []).reduce((sum, chunk) => sum + chunk.length, 0))
    }
    return { env, ask, askFor, connection, listeners, advance: () => listeners.forEach((listener) => listener()) }
  }
  const nothing: ReadOutcome = { kind: 'records', chunks: [], bytes: 0, source: 'memory' }
  const batch = batchOf(['x'])
  const one: ReadOutcome = { kind: 'records', chunks: [batch], bytes: batch.length, source: 'memory' }

  test('leaves nothing on its connection or on its partitions', async () => {
    const { env, ask, connection, listeners } = world(() => nothing)
    for (let i = 0; i < 5; i++) await env.run(ask())
    assert.equal(env.clock.monotonic(), 2500)
    assert.equal(getEventListeners(connection.signal, 'abort').length, 0)
    assert.equal(listeners.size, 0)
  })

  test('ends with its connection', async () => {
    const { env, ask, connection, listeners } = world(() => nothing)
    const waiting = ask()
    env.clock.schedule(100, () => connection.abort())
    await env.run(waiting)
    assert.equal(env.clock.monotonic(), 100)
    assert.equal(listeners.size, 0)
  })

  test('hears what comes while the store is read', async () => {
    const store = Promise.withResolvers<ReadOutcome>()
    let reads = 0
    const { env, ask, advance } = world(() => (++reads === 1 ? store.promise : one), () => reads === 0)
    const waiting = ask({ maxWaitMs: 60_000 })
    env.clock.schedule(10, advance)
    env.clock.schedule(20, () => store.resolve(nothing))
    const { records } = await env.run(waiting)
    assert.deepEqual(records, [batch])
    assert.equal(env.clock.monotonic(), 20)
  })

  test('a store that does not answer at all costs ten seconds, not for ever', async () => {
    const { env, ask } = world(() => new Promise<ReadOutcome>(() => undefined), () => true)
    const { records, errorCode } = await env.run(ask())
    assert.deepEqual([records, errorCode ?? 0], [[], 0])
    assert.equal(env.clock.monotonic(), 10_000)
  })

  test('a store that does not answer holds up what is in memory for half a second', async () => {
    const { env, askFor } = world((_, partition) => (partition === 1 ? one : new Promise<ReadOutcome>(() => undefined)), (partition) => partition !== 1)
    assert.deepEqual(await env.run(askFor(3)), [0, batch.length, 0])
    assert.equal(env.clock.monotonic(), 500)
  })

  test('one that does not wait for records gets those that are there, also where the store takes its time', async () => {
    const { env, ask } = world(async () => {
      await env.clock.sleep(3000)
      return one
    }, () => true)
    for (const wanted of [{ maxWaitMs: 0 }, { maxWaitMs: 100, minBytes: 0 }]) assert.deepEqual((await env.run(ask(wanted))).records, [batch])
    assert.equal(env.clock.monotonic(), 6000)
  })

  test('reads four partitions at once from the store, and no more once it has enough', async () => {
    let running = 0
    let most = 0
    let reads = 0
    const megabytes: ReadOutcome = { kind: 'records', chunks: [Buffer.alloc(3 * 1024 * 1024)], bytes: 3 * 1024 * 1024, source: 'table' }
    const { env, askFor } = world(async () => {
      reads++
      most = Math.max(most, ++running)
      await env.clock.sleep(10)
      running--
      return megabytes
    }, () => true)
    const bytes = await env.run(askFor(50))
    assert.equal(most, 4)
    assert.equal(reads, 4)
    assert.deepEqual(bytes, Array.from({ length: 50 }, (_, i) => (i < 4 ? 3 * 1024 * 1024 : 0)))
    // Partitions that turn out to be empty do not count.
    const empty = world(() => Promise.resolve(nothing), () => true)
    assert.equal((await empty.env.run(empty.askFor(50))).length, 50)
  })

  test('few fetches read from the store at once; the others wait their turn, and not for ever', async () => {
    const slots = new StoreReads(2)
    let running = 0
    let most = 0
    const { env, askFor } = world(async () => {
      most = Math.max(most, ++running)
      await env.clock.sleep(4000)
      running--
      return one
    }, () => true, slots)
    const answers = await env.run(Promise.all(Array.from({ length: 8 }, () => askFor(1))))
    assert.equal(most, 2)
    // Two at 4 s, two at 8 s; those who would have to wait for more than 10 s are answered without.
    assert.deepEqual(answers.map(([bytes]) => bytes! > 0), [true, true, true, true, false, false, false, false])
    assert.equal(env.clock.monotonic(), 10_000)
    await env.run(env.clock.sleep(5000))
    assert.equal(slots.waiting, 0)
    assert.deepEqual(await env.run(askFor(1)), [batch.length], 'every slot came back')
  })

  test('reads nothing for a connection that is closing', async () => {
    const { env, askFor, connection } = world(() => assert.fail('a read'), () => assert.fail('a look'))
    connection.abort()
    assert.deepEqual(await env.run(askFor(2)), [0, 0])
  })
})

describe('fetch sessions', () => {
  test('one that was not used for two minutes makes room, one that was does not', async () => {
    const env = new SimulatedEnv(1)
    const sessions = new FetchSessions(env, 2)
    const [a, b] = [sessions.create(true, new Map())!, sessions.create(true, new Map())!]
    assert.equal(sessions.create(true, new Map()), null)
    await env.run(env.clock.sleep(110_000))
    assert.equal(sessions.get(a.id), a)
    await env.run(env.clock.sleep(11_000))
    const c = sessions.create(true, new Map())!
    assert.deepEqual([sessions.get(a.id), sessions.get(b.id), sessions.get(c.id), sessions.size], [a, null, c, 2])
    assert.equal(sessions.create(true, new Map()), null)
  })

  test('no slots, no sessions', () => {
    assert.equal(new FetchSessions(new SimulatedEnv(1), 0).create(true, new Map()), null)
  })
})
