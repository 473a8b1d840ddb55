/**
 * The composition root: the only place where services are made and wired together. `startBroker` resolves when everything acknowledged
 * before can be served and clients can connect.
 */
import { hostname } from 'node:os'
import { ThreadedCheckpointEngine } from '../storage/delta/checkpoint-engine.ts'
import { StorageEngine } from '../storage/engine/engine.ts'
import type { EngineObserver } from '../storage/engine/engine.ts'
import type { Env } from '../storage/env.ts'
import { Journal } from '../storage/journal/journal.ts'
import { WatchedStore } from '../storage/objects/watched-store.ts'
import { ParquetWorkers } from '../storage/parquet/parquet-workers.ts'
import type { PartitionLog } from '../storage/partition/types.ts'
import { TableReads } from '../storage/partition/table-reads.ts'
import { registry } from './api/registry.ts'
import type { BrokerParts, RunningBroker } from './cli/serve.ts'
import { ClientTelemetry } from './cluster/client-telemetry.ts'
import { FetchSessions } from './cluster/fetch-sessions.ts'
import { StoreReads } from './cluster/store-reads.ts'
import { ProducerIds } from './cluster/producer-ids.ts'
import { ResourceConfigs } from './cluster/resource-configs.ts'
import { logConfigOf } from './cluster/topic-configs.ts'
import { OFFSETS_TOPIC, TRANSACTIONS_TOPIC } from './cluster/topic-names.ts'
import { Topics } from './cluster/topics.ts'
import type { Address } from './config/setting.ts'
import type { Config, SettingName } from './config/settings.ts'
import { GroupCoordinator } from './groups/coordinator.ts'
import { snapshotsIn } from './groups/snapshot-store.ts'
import { startHttpServer } from './http/http-server.ts'
import type { HttpServer } from './http/http-server.ts'
import type { HttpSource, TopicDetail } from './http/http-source.ts'
import { Loggers } from './loggers.ts'
import { RateLimiter } from './logging.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics/metrics.ts'
import { Dispatcher } from './server/dispatch.ts'
import type { RegisteredHandler } from './server/dispatch.ts'
import { Listener } from './server/listener.ts'
import { KafkaServer, serverLimits } from './server/server.ts'
import { TransactionCoordinator } from './transactions/coordinator.ts'

/** What handlers see of the broker. */
export interface Broker {
  readonly config: Config
  readonly configOrigins: Readonly<Partial<Record<SettingName, string>>>
  readonly env: Env
  readonly log: Logger
  readonly loggers: Loggers
  readonly metrics: Metrics
  readonly engine: StorageEngine
  readonly journal: Journal
  readonly topics: Topics
  /** Configs of groups and of subscriptions to metrics of clients. */
  readonly resourceConfigs: ResourceConfigs
  readonly telemetry: ClientTelemetry
  readonly groups: GroupCoordinator
  readonly transactions: TransactionCoordinator
  readonly fetchSessions: FetchSessions
  readonly storeReads: StoreReads
  readonly producerIds: ProducerIds
  readonly handlers: readonly RegisteredHandler[]
  readonly clusterId: string
  /** Where everything is kept, as people would write it: `s3://bucket/prefix` or a folder. The one log directory. */
  readonly storeLocation: string
  /** This broker as clients are told to reach it. */
  readonly node: { readonly id: number; readonly host: string; readonly port: number }
}

/** What a fetch that reads from the store takes, about, beside the cache. */
const COLD_BYTES_PER_FETCH = 16 * 1024 * 1024
const JOURNAL_POLL_MS = 2000
const FLUSH_RETRY_MS = 2000
const TOPICS_FLUSHED_AT_ONCE = 8
/** A store that has been asked in vain for this long makes the broker unready, and so does a lane write that is not done for longer. */
const STORE_SILENT_MS = 5000
const LANE_STUCK_MS = 15_000

export async function startBroker(parts: BrokerParts): Promise<RunningBroker> {
  const { config, env, log, metrics } = parts
  const loggers = new Loggers(log)
  const store = new WatchedStore(parts.store, env.clock)
  const state: { notReady: string | null } = { notReady: 'recovering' }
  const fatal = Promise.withResolvers<Error>()
  const started: { engine?: StorageEngine } = {}
  // Health is served while recovery runs: an orchestrator must see that the process lives.
  const http = config.http === null ? null : await startHttpServer({
    address: config.http,
    source: httpSource(store, state, started),
    registry: metrics.registry,
    log,
  })
  // Before anything is taken over: a port in use must not cost the broker that has it its lane.
  const listener = await Listener.bind(config.listen).catch(async (error: unknown) => {
    await http?.close()
    throw error
  })
  const workers = new ParquetWorkers({ threads: config['table.worker.threads'], clock: env.clock })
  const checkpoints = new ThreadedCheckpointEngine(env.clock)
  const journal = await Journal.open(store, env)
  let tableReads: TableReads | null = null
  let engine: StorageEngine
  try {
    engine = await StorageEngine.start(
      {
        env,
        store,
        journal,
        workers,
        checkpoints,
        coldReads: (tableOf) => {
          tableReads = new TableReads({
            store,
            parquet: workers,
            tableOf,
            options: {
              cacheBytes: config['cold.cache.bytes'],
              compressionOf: (topicId) => rebuiltCodec(journal, topicId, config),
            },
          })
          return tableReads
        },
        configOf: (topic) => logConfigOf(topic.configs, config),
        options: {
          nodeId: config['node.id'],
          lane: {
            lingerMs: config['lane.linger.ms'],
            inflightMax: config['lane.inflight.max'],
            segmentBytesMax: config['lane.segment.bytes'],
            bufferBytesMax: config['lane.buffer.bytes'],
          },
          checkpointIntervalMs: config['lane.checkpoint.interval.ms'],
          journalPollMs: JOURNAL_POLL_MS,
          cacheBytes: config['cache.bytes'],
          producerExpirationMs: config['producer.id.expiration.ms'],
          retentionCheckIntervalMs: config['log.retention.check.interval.ms'],
          cleanerBackoffMs: config['log.cleaner.backoff.ms'],
          flush: {
            parquetCompression: config['table.parquet.compression'],
            topicsAtOnce: TOPICS_FLUSHED_AT_ONCE,
            retryMs: FLUSH_RETRY_MS,
          },
          maintenance: {
            compaction: config['table.compaction.enable'],
            ...(config['log.cleaner.enable'] ? { keyBytesMax: config['log.cleaner.dedupe.buffer.size'] } : {}),
            parquetCompression: config['table.parquet.compression'],
            logRetentionMs: config['table.log.retention.ms'],
            deletedFileRetentionMs: config['table.deleted.file.retention.ms'],
          },
        },
        observer: engineObserver(env, loggers.of('storage'), metrics),
        onFenced: (reason) => {
          state.notReady = `fenced: ${reason}`
          log.error({ reason }, 'fenced: another broker process took over this store; nothing is acknowledged any more')
          fatal.resolve(new Error(`fenced: ${reason}`))
        },
      },
      { host: hostname(), pid: String(process.pid) },
    )
  } catch (error) {
    listener.close()
    await Promise.allSettled([http?.close(), workers.close(), checkpoints.close(), journal.close()])
    throw error
  }
  started.engine = engine

  const topics = new Topics({ journal, engine, config, env, log })
  const node = { id: config['node.id'], host: '', port: 0 }
  const resourceConfigs = new ResourceConfigs({ journal, clock: env.clock, config, origins: parts.origins })
  const groups = new GroupCoordinator({
    env,
    log: loggers.of('groups'),
    config,
    offsetsPartitions: partitionsOf(OFFSETS_TOPIC, topics, config['offsets.topic.num.partitions']),
    snapshots: snapshotsIn(store),
    metrics: metrics.groups,
    topics: {
      resolve: (name) => topics.byName(name) ?? undefined,
      byId: (id) => topics.byId(id) ?? undefined,
      all: () => journal.state.topics,
    },
    ownConfig: (groupId, name) => resourceConfigs.value('group', groupId, name),
    selfNode: () => node,
  })
  const producerIds = new ProducerIds(journal, engine.incarnation)
  const transactions = new TransactionCoordinator({
    env,
    log: loggers.of('transactions'),
    config,
    metrics: metrics.transactions,
    statePartitions: partitionsOf(TRANSACTIONS_TOPIC, topics, config['transaction.state.log.num.partitions']),
    targets: {
      partitionLog(name, partition) {
        const topic = topics.byName(name)
        return topic === null ? null : topics.partition(topic.id, partition)
      },
      offsetsLoaded: (partition) => groups.isLoaded(partition),
      endInOffsets: async (partition, marker) => groups.endTransaction(partition, marker),
    },
    nextProducerId: async () => producerIds.next(),
    coordinatorEpoch: engine.incarnation,
  })
  const broker: Broker = {
    config,
    configOrigins: parts.origins,
    env,
    log,
    loggers,
    metrics,
    engine,
    journal,
    topics,
    resourceConfigs,
    telemetry: new ClientTelemetry({ env, resourceConfigs, pushed: (clientId, points) => metrics.clientMetrics(clientId, points) }),
    groups,
    transactions,
    // Each has a chunk or two of every partition that it reads in hand, on their way to the cache and from it.
    storeReads: new StoreReads(Math.max(2, Math.floor(config['cold.cache.bytes'] / COLD_BYTES_PER_FETCH))),
    fetchSessions: new FetchSessions(env, config['max.incremental.fetch.session.cache.slots']),
    producerIds,
    handlers: registry,
    clusterId: engine.clusterId,
    storeLocation: storeLocation(store.description),
    node,
  }
  const logLimiter = new RateLimiter(env.clock)
  const server = new KafkaServer({
    limits: serverLimits(config),
    dispatcher: new Dispatcher({ handlers: registry, broker, clock: env.clock, log: loggers.of('server'), logLimiter, observer: metrics }),
    clock: env.clock,
    log: loggers.of('server'),
    logLimiter,
    observer: metrics,
  })
  watch(metrics, engine, server, { groups, transactions }, () => tableReads?.cachedBytes ?? 0)
  const kafka = listener.address
  const advertised = advertisedAddress(config, kafka)
  node.host = advertised.host
  node.port = advertised.port
  groups.start()
  transactions.start()
  server.serve(listener)
  if (state.notReady === 'recovering') state.notReady = null

  // Where there are topics there will be flushes and reads of tables.
  if (journal.state.topics.size > 0) workers.warm()
  return {
    addresses: { kafka, advertised, http: http?.address ?? null },
    nodeId: node.id,
    incarnation: engine.incarnation,
    fatal: fatal.promise,
    async stop() {
      state.notReady = 'stopping'
      const startedMs = env.clock.monotonic()
      const leftMs = (): number => Math.max(1000, config['shutdown.timeout.ms'] - (env.clock.monotonic() - startedMs) - 1000)
      transactions.stop()
      groups.stop()
      await server.stop(leftMs() / 2)
      await engine.close(leftMs())
      await Promise.allSettled([journal.close(), workers.close(), checkpoints.close(), closeHttp(http)])
    },
  }
}

async function closeHttp(http: HttpServer | null): Promise<void> {
  await http?.close()
}

function advertisedAddress(config: Config, listening: Address): Address {
  const { advertise } = config
  if (advertise === null) return { host: reachable(listening.host), port: listening.port }
  return { host: advertise.host, port: advertise.port === 0 ? listening.port : advertise.port }
}

/** "All interfaces" is nowhere that a client could connect to. */
function reachable(host: string): string {
  return host === '0.0.0.0' || host === '::' ? hostname() : host
}

/** What rebuilt batches are compressed with: what the topic asks for; what clients chose is not in the table. */
function rebuiltCodec(journal: Journal, topicId: string, config: Config): 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd' {
  const topic = journal.state.topics.get(topicId)
  if (topic === undefined) return 'none'
  const { compression } = logConfigOf(topic.configs, config)
  return compression === 'producer' ? 'none' : compression
}

/** An internal topic, which is created on first use. `count`: how many partitions it then gets. */
function partitionsOf(
  name: string,
  topics: Topics,
  count: number,
): { readonly count: number; exists(): boolean; open(partition: number): Promise<PartitionLog> } {
  return {
    get count() {
      return topics.byName(name)?.partitions ?? count
    },
    exists: () => topics.byName(name) !== null,
    async open(partition) {
      const created = await topics.autoCreate(name)
      if (created.kind === 'error') throw new Error(`${name} could not be created: ${created.message}`)
      const log = topics.partition(created.topic.id, partition)
      if (log === null) throw new Error(`${name} has no partition ${partition}`)
      return log
    },
  }
}

function engineObserver(env: Env, log: Logger, metrics: Metrics): EngineObserver {
  const limiter = new RateLimiter(env.clock)
  return {
    lane: {
      segmentWritten: (bytes, batches, millis) => metrics.segmentWritten(bytes, batches, millis),
      segmentRetried: () => metrics.segmentRetried(),
    },
    flush: {
      flushed: (topic, { rows, bytes, millis, version }) => {
        metrics.flushed(rows, bytes, millis)
        log.debug({ topic, rows, bytes, millis: Math.round(millis), version }, 'flushed')
      },
      trouble: (topic, message, cause) => {
        metrics.flushFailed()
        const admitted = limiter.admit(`flush ${topic} ${message}`)
        if (admitted !== null) log.warn({ topic, err: cause, suppressed: admitted.suppressed }, message)
      },
      quarantined: (topic, partition, baseOffset, reason, key) => {
        metrics.batchQuarantined()
        log.error(
          { topic, partition, baseOffset, reason, key },
          'a record batch cannot be decoded: it was set aside under its key and is not in the table; its producer is broken',
        )
      },
    },
    maintenance: {
      done: (topic, job, fields) => log.debug({ topic, ...fields }, `maintenance: ${job}`),
      failed: (topic, job, cause) => {
        const admitted = limiter.admit(`${job} ${topic}`)
        if (admitted !== null) log.warn({ topic, err: cause, suppressed: admitted.suppressed }, `maintenance: ${job} failed and will be tried again`)
      },
    },
    info: (message, fields) => log.info(fields, message),
    warn: (message, fields) => {
      const { topic } = fields
      const admitted = limiter.admit(`${message} ${typeof topic === 'string' ? topic : ''}`)
      if (admitted !== null) log.warn({ ...fields, suppressed: admitted.suppressed }, message)
    },
  }
}

function watch(
  metrics: Metrics,
  engine: StorageEngine,
  server: KafkaServer,
  { groups, transactions }: Pick<Broker, 'groups' | 'transactions'>,
  coldCacheBytes: () => number,
): void {
  const logs = function* (): Generator<{ flushedOffset: number; highWatermark: number; oldestUnflushedMs: number | null }> {
    for (const topic of engine.topics()) yield* topic.logs
  }
  metrics.watch({
    hotCacheBytes: () => engine.cache.bytes,
    coldCacheBytes,
    laneBufferBytes: () => engine.pendingBytes,
    requestMemoryBytes: () => server.budget.usedBytes,
    requestMemoryWaiting: () => server.budget.waiting,
    requestMemoryLimitBytes: () => server.budget.limitBytes,
    groups: () => groups.groupCount,
    openTransactions: () => transactions.openCount,
    topics: () => [...engine.topics()].length,
    partitions: () => [...engine.topics()].reduce((sum, topic) => sum + topic.logs.length, 0),
    flushLagRecords: () => {
      let records = 0
      for (const log of logs()) records += log.highWatermark - log.flushedOffset
      return records
    },
    flushLagSeconds: () => {
      const nowMs = engine.env.clock.monotonic()
      let oldestMs = nowMs
      for (const log of logs()) if (log.oldestUnflushedMs !== null) oldestMs = Math.min(oldestMs, log.oldestUnflushedMs)
      return (nowMs - oldestMs) / 1000
    },
  })
}

function httpSource(
  store: WatchedStore,
  state: { readonly notReady: string | null },
  started: { readonly engine?: StorageEngine },
): HttpSource {
  return {
    notReady() {
      const { engine } = started
      const { silentMs } = store
      const silent = silentMs < STORE_SILENT_MS ? null : `the object store has not answered for ${Math.round(silentMs / 1000)} s`
      if (state.notReady === 'recovering' && silent !== null) return `recovering: ${silent}`
      if (state.notReady !== null) return state.notReady
      if (engine === undefined) return 'recovering'
      if (silent !== null) return silent
      if (engine.oldestInflightMs > LANE_STUCK_MS) return 'the object store does not take writes'
      return null
    },
    topics: () =>
      [...(started.engine?.topics() ?? [])].map(({ record }) => ({
        name: record.name,
        id: record.id,
        internal: record.internal,
        partitions: record.partitions,
      })),
    topic(name): TopicDetail | null {
      const topic = [...(started.engine?.topics() ?? [])].find(({ record }) => record.name === name)
      if (topic === undefined) return null
      return {
        name,
        id: topic.id,
        internal: topic.record.internal,
        partitions: topic.logs.map((log) => ({
          partition: log.partition,
          leaderEpoch: log.leaderEpoch,
          logStartOffset: log.logStartOffset,
          flushedOffset: log.flushedOffset,
          highWatermark: log.highWatermark,
          lastStableOffset: log.lastStableOffset,
          logEndOffset: log.logEndOffset,
        })),
        table: {
          location: tableUrl(store.description, topic.record.location),
          version: topic.table.isLoaded ? topic.table.snapshot.version : null,
        },
      }
    },
  }
}

/** `s3://bucket/prefix at http://…` and `directory /data` to where a reader finds the table. */
function tableUrl(description: string, location: string): string {
  return `${storeLocation(description)}/${location}`
}

function storeLocation(description: string): string {
  return description.replace(/^directory /, '').replace(/ at .*$/, '').replace(/\/$/, '')
}
