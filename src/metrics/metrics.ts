/** Every metric of the broker, declared in one place, with one typed function per event. Names and labels are for operators to hang alerts on. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { errorName } from '../../protocol/errors.ts'
import type { LaneObserver } from '../../storage/lane/types.ts'
import type { StoreObservation } from '../../storage/objects/metered-store.ts'
import type { ReadSource } from '../../storage/partition/types.ts'
import type { GroupMetrics } from '../groups/ports.ts'
import type { RequestObserver } from '../server/dispatch.ts'
import type { ConnectionObserver } from '../server/server.ts'
import type { TransactionMetrics } from '../transactions/ports.ts'
import type { PushedPoint } from './otlp.ts'

/** Values that are looked at when they are asked for; absent ones are not shown. */
export interface GaugeSource {
  readonly requestMemoryBytes: () => number
  readonly requestMemoryLimitBytes: () => number
  readonly requestMemoryWaiting: () => number
  readonly hotCacheBytes: () => number
  readonly coldCacheBytes: () => number
  readonly laneBufferBytes: () => number
  readonly topics: () => number
  readonly partitions: () => number
  /** Of the partitions of `__consumer_offsets` that are loaded: all that anybody has asked for. */
  readonly groups: () => number
  /** Of the partitions of `__transaction_state` that are loaded: soon after a start, all. */
  readonly openTransactions: () => number
  /** Durable records that are not in their tables yet, over all topics. */
  readonly flushLagRecords: () => number
  /** Age of the oldest durable record that is not in its table yet; 0 where there is none. */
  readonly flushLagSeconds: () => number
}

const gauges: Readonly<Record<keyof GaugeSource, readonly [name: string, help: string]>> = {
  requestMemoryBytes: ['bayou_request_memory_bytes', 'Bytes of requests in flight and of answers not yet sent'],
  requestMemoryLimitBytes: ['bayou_request_memory_limit_bytes', 'Limit of bayou_request_memory_bytes (queued.max.request.bytes)'],
  requestMemoryWaiting: ['bayou_request_memory_waiting_connections', 'Connections that are not read because that limit is reached'],
  hotCacheBytes: ['bayou_cache_hot_bytes', 'Bytes of record batches in the memory cache'],
  coldCacheBytes: ['bayou_cache_cold_bytes', 'Bytes of records read back from lanes and tables in the cache'],
  laneBufferBytes: ['bayou_lane_buffer_bytes', 'Bytes accepted and not yet durable'],
  topics: ['bayou_topics', 'Topics'],
  partitions: ['bayou_partitions', 'Partitions'],
  groups: ['bayou_groups', 'Consumer groups'],
  openTransactions: ['bayou_transactions_open', 'Transactions that have begun and not ended'],
  flushLagRecords: ['bayou_flush_lag_records', 'Durable records that are not in their tables yet'],
  flushLagSeconds: ['bayou_flush_lag_seconds', 'Age of the oldest durable record that is not in its table yet'],
}

/** Topics with a label of their own; the traffic of all others is shown as `(other)`, so that a scrape stays small. */
const topicLabelsMax = 200
const otherTopics = '(other)'
/** Series of metrics that clients push; the one that was not pushed for the longest time makes room. */
const clientSeriesMax = 5000
const clientLabelLengthMax = 200

const requestSeconds = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30]
const storeSeconds = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
const flushSeconds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60]

export class Metrics implements RequestObserver, ConnectionObserver, LaneObserver {
  readonly registry = new Registry()
  readonly #requests = this.#tallied('bayou_requests_total', 'Requests answered, by API and first error', ['api', 'error'])
  readonly #requestSeconds = this.#histogram('bayou_request_seconds', 'From a whole request to its answer', requestSeconds, ['api'])
  readonly #requestBytes = this.#tallied('bayou_request_bytes_total', 'Bytes of requests', ['api'])
  readonly #responseBytes = this.#tallied('bayou_response_bytes_total', 'Bytes of answers', ['api'])
  readonly #clientMetric = new Gauge({
    name: 'bayou_client_metric',
    help: 'What clients pushed last (KIP-714), by client id, name and attributes',
    labelNames: ['client', 'name', 'attributes'],
    registers: [this.registry],
  })
  readonly #clientSeries = new Map<string, readonly [client: string, name: string, attributes: string]>()
  readonly #connections = this.#gauge('bayou_connections', 'Open client connections')
  readonly #connectionsRefused = this.#counter('bayou_connections_refused_total', 'Connections closed as they arrived', ['reason'])
  readonly #producedBytes = this.#tallied('bayou_produced_bytes_total', 'Bytes of record batches from producers', ['topic'])
  readonly #producedRecords = this.#tallied('bayou_produced_records_total', 'Records from producers', ['topic'])
  readonly #fetchedBytes = this.#tallied('bayou_fetched_bytes_total', 'Bytes of record batches to consumers', ['topic'])
  readonly #reads = this.#tallied('bayou_reads_total', 'Reads of record batches by where they came from', ['source'])
  readonly #readBytes = this.#tallied('bayou_read_bytes_total', 'Bytes of record batches by where they came from', ['source'])
  readonly #laneSegments = this.#counter('bayou_lane_segments_total', 'Write-ahead segments that became durable')
  readonly #laneBytes = this.#counter('bayou_lane_bytes_total', 'Bytes of write-ahead segments')
  readonly #laneBatches = this.#counter('bayou_lane_batches_total', 'Record batches in write-ahead segments')
  readonly #laneRetries = this.#counter('bayou_lane_retries_total', 'Writes of segments that were tried again')
  readonly #laneSeconds = this.#histogram('bayou_lane_put_seconds', 'Time to write one segment', storeSeconds)
  readonly #flushes = this.#counter('bayou_flushes_total', 'Commits of records to tables')
  readonly #flushRows = this.#counter('bayou_flush_records_total', 'Records committed to tables')
  readonly #flushBytes = this.#counter('bayou_flush_bytes_total', 'Bytes of data files committed to tables')
  readonly #flushSeconds = this.#histogram('bayou_flush_seconds', 'Time of one flush of a topic', flushSeconds)
  readonly #flushTrouble = this.#counter('bayou_flush_failures_total', 'Flushes that failed and are tried again')
  readonly #quarantined = this.#counter('bayou_quarantined_batches_total', 'Batches that could not be decoded and are not in their table')
  readonly #storeOperations = this.#counter('bayou_store_operations_total', 'Requests to the object store', ['operation', 'outcome'])
  readonly #storeSeconds = this.#histogram('bayou_store_seconds', 'Time of requests to the object store', storeSeconds, ['operation'])
  readonly #storeBytes = this.#counter('bayou_store_bytes_total', 'Bytes sent to and received from the object store', ['operation'])
  readonly #rebalances = this.#counter('bayou_group_rebalances_total', 'Rebalances of consumer groups that were completed')
  readonly #offsetCommits = this.#counter('bayou_group_offset_commits_total', 'Offsets committed, one for each partition')
  readonly #offsetExpirations = this.#counter('bayou_group_offset_expirations_total', 'Committed offsets that expired')
  readonly #groupLoadSeconds = this.#histogram('bayou_group_load_seconds', 'Time to load one partition of __consumer_offsets', flushSeconds)
  readonly #transactions = this.#counter('bayou_transactions_total', 'Transactions by how they ended', ['end'])
  readonly #readsBy: Readonly<Record<ReadSource, { readonly reads: Tally; readonly bytes: Tally }>> = {
    memory: { reads: this.#reads.labels('memory'), bytes: this.#readBytes.labels('memory') },
    lane: { reads: this.#reads.labels('lane'), bytes: this.#readBytes.labels('lane') },
    table: { reads: this.#reads.labels('table'), bytes: this.#readBytes.labels('table') },
  }
  readonly #apis = new Map<string, ApiMetrics>()
  readonly #topics = new Map<string, TopicMetrics>()

  /** `process: false` leaves out what prom-client says about the process (CPU, memory, event-loop lag), which costs a timer. */
  constructor(options: { readonly process?: boolean } = {}) {
    if (options.process !== false) collectDefaultMetrics({ register: this.registry })
  }

  request(api: string, errorCode: number, seconds: number, requestBytes: number, responseBytes: number): void {
    let metrics = this.#apis.get(api)
    if (metrics === undefined) {
      metrics = {
        seconds: this.#requestSeconds.labels(api),
        requestBytes: this.#requestBytes.labels(api),
        responseBytes: this.#responseBytes.labels(api),
        errors: new Map(),
      }
      this.#apis.set(api, metrics)
    }
    let count = metrics.errors.get(errorCode)
    if (count === undefined) {
      count = this.#requests.labels(api, errorName(errorCode))
      metrics.errors.set(errorCode, count)
    }
    count.add(1)
    metrics.seconds.observe(seconds)
    metrics.requestBytes.add(requestBytes)
    metrics.responseBytes.add(responseBytes)
  }

  connectionOpened(): void {
    this.#connections.inc()
  }

  connectionClosed(): void {
    this.#connections.dec()
  }

  connectionRefused(reason: string): void {
    this.#connectionsRefused.labels(reason).inc()
  }

  /** A record batch that was taken from a producer. */
  produced(topic: string, bytes: number, records: number): void {
    const metrics = this.#topic(topic)
    metrics.producedBytes.add(bytes)
    metrics.producedRecords.add(records)
  }

  /** Record batches that are sent to a consumer. */
  fetched(topic: string, bytes: number): void {
    this.#topic(topic).fetchedBytes.add(bytes)
  }

  /** One read of a partition, by the slowest place that it needed. */
  read(source: ReadSource, bytes: number): void {
    const metrics = this.#readsBy[source]
    metrics.reads.add(1)
    metrics.bytes.add(bytes)
  }

  segmentWritten(bytes: number, batches: number, millis: number): void {
    this.#laneSegments.inc()
    this.#laneBytes.inc(bytes)
    this.#laneBatches.inc(batches)
    this.#laneSeconds.observe(millis / 1000)
  }

  segmentRetried(): void {
    this.#laneRetries.inc()
  }

  flushed(rows: number, bytes: number, millis: number): void {
    this.#flushes.inc()
    this.#flushRows.inc(rows)
    this.#flushBytes.inc(bytes)
    this.#flushSeconds.observe(millis / 1000)
  }

  flushFailed(): void {
    this.#flushTrouble.inc()
  }

  /** Metrics that a client pushed, as they were when it did. */
  clientMetrics(clientId: string, points: readonly PushedPoint[]): void {
    for (const { name, value, attributes } of points) {
      const pairs = Array.from(attributes, ([key, of]) => `${key}=${of}`).toSorted().join(',')
      const labels = [clientId, name, pairs].map((text) => text.slice(0, clientLabelLengthMax)) as [string, string, string]
      const series = JSON.stringify(labels)
      this.#clientMetric.labels(...labels).set(value)
      this.#clientSeries.delete(series)
      this.#clientSeries.set(series, labels)
    }
    for (const [series, labels] of this.#clientSeries) {
      if (this.#clientSeries.size <= clientSeriesMax) break
      this.#clientSeries.delete(series)
      this.#clientMetric.remove(...labels)
    }
  }

  batchQuarantined(): void {
    this.#quarantined.inc()
  }

  readonly groups: Required<GroupMetrics> = {
    rebalanceCompleted: () => this.#rebalances.inc(),
    offsetsCommitted: (count) => this.#offsetCommits.inc(count),
    offsetsExpired: (count) => this.#offsetExpirations.inc(count),
    partitionLoaded: (ms) => this.#groupLoadSeconds.observe(ms / 1000),
  }

  readonly transactions: TransactionMetrics = {
    ended: (how) => this.#transactions.labels(how).inc(),
  }

  /** An arrow function, so that it can be handed to a MeteredStore as it is. */
  readonly storeOperation = ({ operation, outcome, ms, bytes }: StoreObservation): void => {
    this.#storeOperations.labels(operation, outcome).inc()
    this.#storeSeconds.labels(operation).observe(ms / 1000)
    if (bytes > 0) this.#storeBytes.labels(operation).inc(bytes)
  }

  /** Registers values that are sampled at each scrape. Each may be given once. */
  watch(source: Partial<GaugeSource>): void {
    for (const [key, sample] of Object.entries(source) as [keyof GaugeSource, () => number][]) {
      const [name, help] = gauges[key]
      const gauge: Gauge = new Gauge({
        name,
        help,
        registers: [this.registry],
        collect(): void {
          gauge.set(sample())
        },
      })
    }
  }

  #topic(topic: string): TopicMetrics {
    const known = this.#topics.get(topic)
    if (known !== undefined) return known
    if (this.#topics.size >= topicLabelsMax && topic !== otherTopics) return this.#topic(otherTopics)
    const metrics = {
      producedBytes: this.#producedBytes.labels(topic),
      producedRecords: this.#producedRecords.labels(topic),
      fetchedBytes: this.#fetchedBytes.labels(topic),
    }
    this.#topics.set(topic, metrics)
    return metrics
  }

  #counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.registry] })
  }

  #tallied(name: string, help: string, labelNames: readonly string[]): TalliedCounter {
    return new TalliedCounter(name, help, labelNames, this.registry)
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.registry] })
  }

  #histogram(name: string, help: string, buckets: number[], labelNames: readonly string[] = []): Histogram {
    return new Histogram({ name, help, buckets, labelNames, registers: [this.registry] })
  }
}

/** A counter for what happens with every request or batch: labels are looked up once, and what was counted is handed on when somebody asks for it. */
class TalliedCounter {
  readonly #counter: Counter
  readonly #tallies: Tally[] = []

  constructor(name: string, help: string, labelNames: readonly string[], registry: Registry) {
    this.#counter = new Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect: () => {
        for (const tally of this.#tallies) tally.settle()
      },
    })
  }

  /** To be kept by whoever counts. */
  labels(...values: string[]): Tally {
    const tally = new Tally(this.#counter.labels(...values))
    this.#tallies.push(tally)
    return tally
  }
}

class Tally {
  readonly #counter: Counter.Internal
  #pending = 0

  constructor(counter: Counter.Internal) {
    this.#counter = counter
  }

  add(count: number): void {
    this.#pending += count
  }

  settle(): void {
    // Also nothing, so that the series is there before the first.
    this.#counter.inc(this.#pending)
    this.#pending = 0
  }
}

interface ApiMetrics {
  readonly seconds: Histogram.Internal<string>
  readonly requestBytes: Tally
  readonly responseBytes: Tally
  readonly errors: Map<number, Tally>
}

interface TopicMetrics {
  readonly producedBytes: Tally
  readonly producedRecords: Tally
  readonly fetchedBytes: Tally
}
