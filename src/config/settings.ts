/**
 * Every setting of the broker, declared once: the flags, the environment variables, the file, `bayou config`, the reference in
 * docs/CONFIG.md and the `Config` type all come from here. A setting is here because something reads it.
 */
import { address, flag, integer, kafka, long, oneOf, optionalAddress, ratio, someOf, text } from './setting.ts'
import type { Setting } from './setting.ts'

const KiB = 1024
const MiB = 1024 * KiB
const int32Max = 2_147_483_647
const long64Max = Number.MAX_SAFE_INTEGER
const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** What `profile` stands for; a setting that is given itself wins over its preset. */
export const presets = {
  'low-latency': { 'lane.linger.ms': 2, 'lane.inflight.max': 4, 'table.flush.interval.ms': second, 'log.cleaner.backoff.ms': 15 * second },
  'low-cost': { 'lane.linger.ms': 200, 'lane.inflight.max': 4, 'table.flush.interval.ms': 10 * second, 'log.cleaner.backoff.ms': 5 * minute },
} as const satisfies Record<string, Record<string, number>>

const usual = presets['low-latency']

const processSettings = {
  listen: address('127.0.0.1:9092', 'Where the Kafka protocol is served.'),
  advertise: optionalAddress('listen', 'listen', 'The address that clients are told to connect to; port 0 stands for the real port.'),
  http: optionalAddress('127.0.0.1:9644', 'off', 'Where health, metrics and the REST interface are served.'),
  store: text(
    './bayou-data',
    /^(memory:|s3:\/\/[a-z0-9][a-z0-9.-]+[a-z0-9](\/.*)?|file:\/\/\/.*|(?![a-zA-Z][a-zA-Z0-9+.-]+:).+)$/,
    'a path, file:///path, s3://bucket/prefix or memory:',
    'The object store that holds everything.',
  ),
  config: text('', /./, 'the path of a YAML file', 'File with more settings; flags and the environment win over it.'),
  profile: oneOf('low-latency', ['low-latency', 'low-cost'], 'Preset: short waits for MinIO and disks, or few requests for cloud stores.'),
  'node.id': kafka(integer(0, 0, int32Max, 'Id of this broker, as clients see it. A broker that starts takes over the store from the one before, whatever its id.')),
  'log.level': oneOf('info', ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], 'The least severe level that is logged.'),
  'log.format': oneOf('auto', ['auto', 'json', 'pretty'], 'Form of the log; auto is pretty on a terminal and JSON elsewhere.'),
  'shutdown.timeout.ms': integer(25 * second, 0, hour, 'How long an orderly stop may take before the process exits anyway.'),
}

const connectionSettings = {
  'max.connections': kafka(integer(10_000, 1, int32Max, 'Connections at once; more are closed as they arrive.')),
  'max.connections.per.ip': kafka(integer(int32Max, 1, int32Max, 'Connections at once from one address.')),
  'connections.max.idle.ms': kafka(long(10 * minute, 10, 'A connection without a complete request for this long is closed.')),
  // Below 0x16030000, so that the first bytes of TLS and HTTP are never taken for the length of a request.
  'socket.request.max.bytes': kafka(integer(100 * MiB, 1024, 256 * MiB, 'Largest request that is read; a longer one closes its connection.')),
  'queued.max.request.bytes': kafka(
    long(128 * MiB, 1024, 'Memory for requests in flight and answers not yet sent, over all connections; beyond it sockets are not read.'),
  ),
  'connection.inflight.max': integer(64, 1, 10_000, 'Requests of one connection that are worked on at once.'),
}

const topicSettings = {
  'num.partitions': kafka(integer(4, 1, 100_000, 'Partitions of a topic that is created without a number (Kafka: 1).')),
  'auto.create.topics.enable': kafka(flag(true, 'Whether asking for an unknown topic creates it.')),
  'delete.topic.enable': kafka(flag(true, 'Whether topics can be deleted.')),
  'min.insync.replicas': kafka(integer(1, 1, int32Max, 'Reported to clients; a record is durable in the store before it is acknowledged.')),
  'message.max.bytes': kafka(integer(1_048_588, 0, int32Max, 'Largest record batch, as it is on the wire, that a topic takes.')),
  'compression.type': kafka(
    oneOf(
      'producer',
      ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'],
      'Codec of batches that consumers get from tables; producer leaves the choice to clients.',
    ),
  ),
  'log.cleanup.policy': kafka(
    oneOf('delete', ['delete', 'compact', 'compact,delete', 'delete,compact'], 'What happens to old records: deleted by age, or compacted by key.'),
  ),
  'log.retention.ms': kafka(long(7 * day, -1, 'Age at which records are deleted; -1 keeps them.')),
  'log.retention.bytes': kafka(long(-1, -1, 'Size of a partition beyond which the oldest records are deleted; -1 is no limit.')),
  'log.retention.check.interval.ms': kafka(long(5 * minute, 1, 'How often records are looked for that topics no longer keep.')),
  'log.cleaner.enable': kafka(flag(true, 'Whether topics are compacted whose cleanup policy says so.')),
  'log.cleaner.backoff.ms': kafka(long(usual['log.cleaner.backoff.ms'], 1, 'How often compacted topics are looked at for what is worth compacting.')),
  'log.cleaner.dedupe.buffer.size': kafka(
    integer(128 * MiB, 4 * KiB, 4096 * MiB, 'Memory for the keys that one pass over a partition takes up, about 30 bytes each; used while a topic is compacted.'),
  ),
  'log.cleaner.min.cleanable.ratio': kafka(ratio(0.5, 'Share of not yet compacted bytes above which a partition is compacted.')),
  'log.cleaner.min.compaction.lag.ms': kafka(long(0, 0, 'Age below which records are not compacted.')),
  'log.cleaner.max.compaction.lag.ms': kafka(long(long64Max, 1, 'Age at which records are compacted whatever the share.')),
  'log.cleaner.delete.retention.ms': kafka(long(day, 0, 'How long tombstones stay once the records that they delete are gone.')),
  'log.message.timestamp.type': kafka(
    oneOf('CreateTime', ['CreateTime', 'LogAppendTime'], 'Whether records carry the time of the producer or of the broker.'),
  ),
  'log.message.timestamp.before.max.ms': kafka(long(long64Max, 0, 'How far in the past a CreateTime may lie.')),
  'log.message.timestamp.after.max.ms': kafka(long(hour, 0, 'How far in the future a CreateTime may lie.')),
}

const clientSettings = {
  'fetch.max.bytes': kafka(integer(55 * MiB, 1024, int32Max, 'Most bytes in the answer to one fetch, whatever the client asks for.')),
  'max.incremental.fetch.session.cache.slots': kafka(integer(1000, 0, int32Max, 'Incremental fetch sessions that are kept (KIP-227).')),
  'producer.id.expiration.ms': kafka(integer(day, 1, int32Max, 'How long the sequence numbers of a silent idempotent producer are remembered.')),
  'group.initial.rebalance.delay.ms': kafka(integer(3 * second, 0, int32Max, 'How long the first rebalance of a group waits for more members.')),
  'group.min.session.timeout.ms': kafka(integer(6 * second, 1, int32Max, 'Shortest session timeout that a group member may ask for.')),
  'group.max.session.timeout.ms': kafka(integer(30 * minute, 1, int32Max, 'Longest session timeout that a group member may ask for.')),
  'group.max.size': kafka(integer(int32Max, 1, int32Max, 'Most members in one group.')),
  'group.consumer.session.timeout.ms': kafka(
    integer(45 * second, 1, int32Max, 'How long a member of the consumer protocol may be silent before its partitions go to others.'),
  ),
  'group.consumer.min.session.timeout.ms': kafka(
    integer(45 * second, 1, int32Max, 'Shortest session timeout that a group of the consumer protocol may be configured to have.'),
  ),
  'group.consumer.max.session.timeout.ms': kafka(
    integer(minute, 1, int32Max, 'Longest session timeout that a group of the consumer protocol may be configured to have.'),
  ),
  'group.consumer.heartbeat.interval.ms': kafka(
    integer(5 * second, 1, int32Max, 'How often members of the consumer protocol are told to report, and so learn of changes.'),
  ),
  'group.consumer.min.heartbeat.interval.ms': kafka(
    integer(5 * second, 1, int32Max, 'Shortest heartbeat interval that a group of the consumer protocol may be configured to have.'),
  ),
  'group.consumer.max.heartbeat.interval.ms': kafka(
    integer(15 * second, 1, int32Max, 'Longest heartbeat interval that a group of the consumer protocol may be configured to have.'),
  ),
  'group.consumer.max.size': kafka(integer(int32Max, 1, int32Max, 'Most members in one group of the consumer protocol.')),
  'group.consumer.assignors': kafka(
    someOf(['uniform', 'range'], ['uniform', 'range'], 'Assignors that members of the consumer protocol may ask for; the first is used where they do not.'),
  ),
  'group.consumer.migration.policy': kafka(
    oneOf(
      'bidirectional',
      ['bidirectional', 'upgrade', 'downgrade', 'disabled'],
      'Which groups with members change their protocol while they run: a classic group when a member of the consumer protocol joins (upgrade), a consumer group when its last such member goes (downgrade).',
    ),
  ),
  'offsets.topic.num.partitions': kafka(integer(50, 1, 10_000, 'Partitions of __consumer_offsets; fixed once the topic exists.')),
  'offsets.retention.minutes': kafka(integer(7 * 24 * 60, 1, int32Max, 'How long the offsets of a group without members are kept.')),
  'offset.metadata.max.bytes': kafka(integer(4096, 0, int32Max, 'Largest metadata text that may accompany a committed offset.')),
  'offsets.retention.check.interval.ms': kafka(long(10 * minute, 1, 'How often expired offsets are looked for.')),
  'offsets.commit.timeout.ms': kafka(integer(5 * second, 1, int32Max, 'How long a commit of offsets may wait for the store.')),
  'offsets.load.buffer.size': kafka(integer(5 * MiB, 1, int32Max, 'Bytes that are read at once when groups are loaded.')),
}

const transactionSettings = {
  'transaction.state.log.num.partitions': kafka(integer(50, 1, 10_000, 'Partitions of __transaction_state; fixed once the topic exists.')),
  'transaction.max.timeout.ms': kafka(integer(15 * minute, 1, int32Max, 'Longest time that a producer may ask for, for its transactions to be open.')),
  'transaction.abort.timed.out.transaction.cleanup.interval.ms': kafka(
    integer(10 * second, 1, int32Max, 'How often transactions are looked for that have been open for longer than their producers asked for; they are aborted.'),
  ),
  'transactional.id.expiration.ms': kafka(integer(7 * day, 1, int32Max, 'How long a transactional id is remembered that nobody uses.')),
  'transaction.remove.expired.transaction.cleanup.interval.ms': kafka(
    integer(hour, 1, int32Max, 'How often transactional ids are looked for that nobody has used for that time.'),
  ),
  'transaction.partition.verification.enable': kafka(
    flag(true, 'Whether the first write of a transaction to a partition is refused where the partition is not part of an open transaction.'),
  ),
}

const laneSettings = {
  'lane.linger.ms': integer(
    usual['lane.linger.ms'],
    0,
    minute,
    'How long a write-ahead segment gathers batches while another is being written; with nothing in flight it is written at once.',
  ),
  'lane.inflight.max': integer(usual['lane.inflight.max'], 1, 64, 'Write-ahead segments that are written at once.'),
  'lane.segment.bytes': integer(8 * MiB, 64 * KiB, 1024 * MiB, 'Size at which a write-ahead segment is closed and written.'),
  'lane.buffer.bytes': integer(64 * MiB, MiB, 16 * 1024 * MiB, 'Bytes accepted and not yet durable; beyond it producers wait.'),
  'lane.checkpoint.interval.ms': integer(3 * second, 100, hour, 'How often the state that recovery starts from is written; less often while much is not flushed, so that it takes at most a twentieth of the time.'),
}

const tableSettings = {
  'table.flush.interval.ms': integer(usual['table.flush.interval.ms'], 10, day, 'How often new records are committed to the tables.'),
  'table.flush.bytes': integer(64 * MiB, 64 * KiB, 1024 * MiB, 'Unflushed bytes of a topic that commit it before its interval is over.'),
  'table.parquet.compression': oneOf('zstd', ['zstd', 'snappy', 'none'], 'Codec of the Parquet files.'),
  'table.worker.threads': integer(1, 1, 64, 'Threads that write and read Parquet.'),
  'table.compaction.enable': flag(true, 'Whether small files of a table are merged.'),
  'table.log.retention.ms': long(day, hour, 'How long commits of a Delta log are kept for time travel.'),
  'table.deleted.file.retention.ms': long(day, hour, 'How long data files stay after a commit removed them.'),
}

const storeSettings = {
  'cache.bytes': integer(128 * MiB, 0, 1024 * 1024 * MiB, 'Memory for the newest record batches, as they were produced.'),
  'cold.cache.bytes': integer(64 * MiB, 0, 1024 * 1024 * MiB, 'Memory for records that were read back from lanes and tables.'),
  'store.request.timeout.ms': integer(10 * second, 100, 10 * minute, 'How long one request to the object store may take.'),
  'store.connections.max': integer(64, 1, 10_000, 'Connections to the object store at once.'),
}

export const settings = {
  ...processSettings,
  ...connectionSettings,
  ...topicSettings,
  ...clientSettings,
  ...transactionSettings,
  ...laneSettings,
  ...tableSettings,
  ...storeSettings,
}

export type SettingName = keyof typeof settings

/** All settings with their types: `config['num.partitions']` is a number. */
export type Config = {
  readonly [Name in SettingName]: (typeof settings)[Name] extends Setting<infer T> ? T : never
}

export const settingNames = Object.keys(settings) as readonly SettingName[]

/** The order and the headings of the reference. */
export const sections: readonly { readonly title: string; readonly names: readonly SettingName[] }[] = [
  { title: 'The process', names: namesOf(processSettings) },
  { title: 'Connections', names: namesOf(connectionSettings) },
  { title: 'Topics', names: namesOf(topicSettings) },
  { title: 'Producers, consumers and groups', names: namesOf(clientSettings) },
  { title: 'Transactions', names: namesOf(transactionSettings) },
  { title: 'Lanes (the write-ahead log)', names: namesOf(laneSettings) },
  { title: 'Tables', names: namesOf(tableSettings) },
  { title: 'Caches and the object store', names: namesOf(storeSettings) },
]

/** The declaration of a setting whose name is only known at run time. */
export function settingOf(name: SettingName): Setting<unknown> {
  return settings[name]
}

/** The defaults, with some of them replaced: for tests and for embedding. Relations are not checked. */
export function defaultConfig(overrides: Partial<Config> = {}): Config {
  const values = Object.fromEntries(settingNames.map(name => [name, settingOf(name).default]))
  return Object.freeze({ ...values, ...overrides }) as Config
}

/** `table.flush.interval.ms` as a flag: `--table-flush-interval-ms`. */
export function flagName(name: SettingName): string {
  return `--${name.replaceAll('.', '-')}`
}

/** `table.flush.interval.ms` as an environment variable: `BAYOU_TABLE_FLUSH_INTERVAL_MS`. */
export function variableName(name: SettingName): string {
  return `BAYOU_${name.replaceAll('.', '_').toUpperCase()}`
}

function namesOf<T extends object>(declarations: T): readonly (keyof T & SettingName)[] {
  return Object.keys(declarations) as (keyof T & SettingName)[]
}
