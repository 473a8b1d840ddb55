/**
 * The configs of a topic: Kafka's names, types and defaults, where the default comes from (the broker setting that is its synonym), and
 * what it does here. CreateTopics validates against this table, DescribeConfigs prints it. A config that can have no effect takes its default
 * alone; `flush.*` and `min.insync.replicas` take every value, because what they promise is kept whatever they say.
 */
import type { CompactionConfig, TopicLogConfig } from '../../storage/partition/types.ts'
import { settingOf } from '../config/settings.ts'
import type { Config, SettingName } from '../config/settings.ts'

/** As in DescribeConfigs: BOOLEAN 1, STRING 2, INT 3, SHORT 4, LONG 5, DOUBLE 6, LIST 7, CLASS 8, PASSWORD 9. */
export const configType = { boolean: 1, string: 2, int: 3, short: 4, long: 5, double: 6, list: 7 } as const

export interface TopicConfigDefinition {
  readonly name: string
  readonly type: keyof typeof configType
  /** Broker setting that gives the default, or the default itself. */
  readonly setting?: SettingName
  readonly default?: string
  readonly check: (value: string) => string | null
  readonly documentation: string
}

const LONG_MAX = 9_223_372_036_854_775_807n
const LONG_MIN = -9_223_372_036_854_775_808n

const ONE_LZ4_LEVEL = 'There is one level of lz4.'
const NO_FOLLOWERS = 'There are no followers: the object store replicates.'
const NO_INDEX_FILES = 'There are no index files: tables have their own statistics.'
const NO_LOG_FILES = 'There are no log files on a local disk.'
const NO_ROLLING = 'Segments are not rolled at a time: data files are written with every flush.'
const NO_TIERS = 'There are no tiers: everything is on the object store.'
const NO_UNCLEAN_ELECTION = 'A leader always has every acknowledged record.'

export const topicConfigs: readonly TopicConfigDefinition[] = [
  { name: 'cleanup.policy', type: 'list', setting: 'log.cleanup.policy', check: listOf(['compact', 'delete']), documentation: 'delete: old records are removed by retention. compact: of each key the last record stays; every record needs a key.' },
  { name: 'compression.gzip.level', type: 'int', default: '-1', check: gzipLevel, documentation: 'Level of batches that are compressed with gzip because compression.type says so; -1 is the default of the library.' },
  { name: 'compression.lz4.level', type: 'int', default: '9', check: only('9', int(1, 17), ONE_LZ4_LEVEL), documentation: ONE_LZ4_LEVEL },
  { name: 'compression.type', type: 'string', setting: 'compression.type', check: oneOf(['uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer']), documentation: 'Codec of record batches. Other than producer, batches with another codec are compressed anew when they are produced, which costs the broker processor time.' },
  { name: 'compression.zstd.level', type: 'int', default: '3', check: int(-131_072, 22), documentation: 'Level of batches that are compressed with zstd because compression.type says so.' },
  { name: 'delete.retention.ms', type: 'long', setting: 'log.cleaner.delete.retention.ms', check: long(0n), documentation: 'How long tombstones stay in a compacted topic once the records that they delete are gone.' },
  { name: 'file.delete.delay.ms', type: 'long', default: '60000', check: long(0n), documentation: 'How long a data file stays after it left the table, where that is longer than table.deleted.file.retention.ms: readers may still be at it.' },
  { name: 'flush.messages', type: 'long', default: '9223372036854775807', check: long(1n), documentation: 'Whatever it says: every record is on the object store before it is acknowledged.' },
  { name: 'flush.ms', type: 'long', default: '9223372036854775807', check: long(0n), documentation: 'Whatever it says: every record is on the object store before it is acknowledged.' },
  { name: 'follower.replication.throttled.replicas', type: 'list', default: '', check: only('', anything, NO_FOLLOWERS), documentation: NO_FOLLOWERS },
  { name: 'index.interval.bytes', type: 'int', default: '4096', check: only('4096', int(0), NO_INDEX_FILES), documentation: NO_INDEX_FILES },
  { name: 'leader.replication.throttled.replicas', type: 'list', default: '', check: only('', anything, NO_FOLLOWERS), documentation: NO_FOLLOWERS },
  { name: 'local.retention.bytes', type: 'long', default: '-2', check: only('-2', long(-2n), NO_TIERS), documentation: NO_TIERS },
  { name: 'local.retention.ms', type: 'long', default: '-2', check: only('-2', long(-2n), NO_TIERS), documentation: NO_TIERS },
  { name: 'max.compaction.lag.ms', type: 'long', setting: 'log.cleaner.max.compaction.lag.ms', check: long(1n), documentation: 'Age at which records are compacted whatever min.cleanable.dirty.ratio says, once they are in the table.' },
  { name: 'max.message.bytes', type: 'int', setting: 'message.max.bytes', check: int(0), documentation: 'Largest record batch that the topic takes, as it is on the wire.' },
  { name: 'message.timestamp.after.max.ms', type: 'long', setting: 'log.message.timestamp.after.max.ms', check: long(0n), documentation: 'How far ahead of the broker a CreateTime may be.' },
  { name: 'message.timestamp.before.max.ms', type: 'long', setting: 'log.message.timestamp.before.max.ms', check: long(0n), documentation: 'How far behind the broker a CreateTime may be.' },
  { name: 'message.timestamp.type', type: 'string', setting: 'log.message.timestamp.type', check: oneOf(['CreateTime', 'LogAppendTime']), documentation: 'Whether records carry the time of the producer or of the broker.' },
  { name: 'min.cleanable.dirty.ratio', type: 'double', setting: 'log.cleaner.min.cleanable.ratio', check: ratio, documentation: 'Share of not yet compacted bytes in the table above which a partition is compacted.' },
  { name: 'min.compaction.lag.ms', type: 'long', setting: 'log.cleaner.min.compaction.lag.ms', check: long(0n), documentation: 'Age below which records are not compacted, by the newest record of a data file.' },
  { name: 'min.insync.replicas', type: 'int', setting: 'min.insync.replicas', check: int(1), documentation: 'Whatever it says: a record is on the object store before it is acknowledged, and the object store replicates.' },
  { name: 'preallocate', type: 'boolean', default: 'false', check: only('false', flag, NO_LOG_FILES), documentation: NO_LOG_FILES },
  { name: 'remote.log.copy.disable', type: 'boolean', default: 'false', check: only('false', flag, NO_TIERS), documentation: NO_TIERS },
  { name: 'remote.log.delete.on.disable', type: 'boolean', default: 'false', check: only('false', flag, NO_TIERS), documentation: NO_TIERS },
  { name: 'remote.storage.enable', type: 'boolean', default: 'false', check: only('false', flag, NO_TIERS), documentation: NO_TIERS },
  { name: 'retention.bytes', type: 'long', setting: 'log.retention.bytes', check: long(LONG_MIN), documentation: 'Size of a partition beyond which old records may be deleted; -1 keeps them.' },
  { name: 'retention.ms', type: 'long', setting: 'log.retention.ms', check: long(-1n), documentation: 'Age at which records may be deleted; -1 keeps them.' },
  { name: 'segment.bytes', type: 'int', default: '1073741824', check: int(1024 * 1024), documentation: 'Size up to which data files are merged, 64 MiB at most: retention removes whole files.' },
  { name: 'segment.index.bytes', type: 'int', default: '10485760', check: only('10485760', int(4), NO_INDEX_FILES), documentation: NO_INDEX_FILES },
  { name: 'segment.jitter.ms', type: 'long', default: '0', check: only('0', long(0n), NO_ROLLING), documentation: NO_ROLLING },
  { name: 'segment.ms', type: 'long', default: '604800000', check: long(1n), documentation: 'Data files are merged only with those that expire at most so long after them, or a minute: retention removes whole files.' },
  { name: 'unclean.leader.election.enable', type: 'boolean', default: 'false', check: only('false', flag, NO_UNCLEAN_ELECTION), documentation: NO_UNCLEAN_ELECTION },
  { name: 'bayou.table.flush.interval.ms', type: 'int', setting: 'table.flush.interval.ms', check: int(10), documentation: 'How often new records are committed to the Delta table of the topic.' },
  { name: 'bayou.table.flush.bytes', type: 'int', setting: 'table.flush.bytes', check: int(65_536), documentation: 'Unflushed bytes that commit the table before its interval is over.' },
]

const byName = new Map(topicConfigs.map((definition) => [definition.name, definition]))

export function topicConfigDefinition(name: string): TopicConfigDefinition | undefined {
  return byName.get(name)
}

/** What is wrong with the configs of a CreateTopics or alter request, in Kafka's words where it has some; null when all is well. */
export function topicConfigProblem(configs: ReadonlyMap<string, string | null>): string | null {
  for (const [name, value] of configs) {
    const definition = byName.get(name)
    if (definition === undefined) return `Unknown topic config name: ${name}`
    if (value === null) return `Null value not supported for topic configs: ${name}`
    const problem = definition.check(value.trim())
    if (problem !== null) return `Invalid value ${value} for configuration ${name}: ${problem}`
  }
  return null
}

/** The value in force: the topic's own, else the broker's. */
export function effectiveTopicConfig(definition: TopicConfigDefinition, own: Readonly<Record<string, string>>, config: Config): string {
  return own[definition.name] ?? defaultTopicConfig(definition, config)
}

export function defaultTopicConfig(definition: TopicConfigDefinition, config: Config): string {
  return definition.setting !== undefined ? settingOf(definition.setting).format(config[definition.setting]) : (definition.default ?? '')
}

/** The part of a topic's configs that its partition logs act on. */
export function logConfigOf(own: Readonly<Record<string, string>>, config: Config): TopicLogConfig {
  const value = (name: string): string => effectiveTopicConfig(byName.get(name)!, own, config).trim()
  const compression = value('compression.type')
  const policies = new Set(value('cleanup.policy').split(',').map((policy) => policy.trim()))
  return {
    maxMessageBytes: Number(value('max.message.bytes')),
    timestampType: value('message.timestamp.type') === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
    timestampBeforeMaxMs: Number(value('message.timestamp.before.max.ms')),
    timestampAfterMaxMs: Number(value('message.timestamp.after.max.ms')),
    compression: compression === 'uncompressed' ? 'none' : (compression as TopicLogConfig['compression']),
    ...compressionLevelOf(compression, value),
    ...(policies.has('compact') ? { compaction: compactionOf(value) } : {}),
    ...(policies.has('delete') ? { retention: { ms: Number(value('retention.ms')), bytes: Number(value('retention.bytes')) } } : {}),
    flushIntervalMs: Number(value('bayou.table.flush.interval.ms')),
    flushBytes: Number(value('bayou.table.flush.bytes')),
    segment: { bytes: Number(value('segment.bytes')), ms: Number(value('segment.ms')) },
    fileDeleteDelayMs: Number(value('file.delete.delay.ms')),
  }
}

/** Nothing where the codec has no levels, or the library's own is asked for. */
function compressionLevelOf(compression: string, value: (name: string) => string): { compressionLevel?: number } {
  if (compression !== 'gzip' && compression !== 'zstd') return {}
  const level = Number(value(`compression.${compression}.level`))
  return compression === 'gzip' && level === -1 ? {} : { compressionLevel: level }
}

function compactionOf(value: (name: string) => string): CompactionConfig {
  return {
    minDirtyRatio: Number(value('min.cleanable.dirty.ratio')),
    deleteRetentionMs: Number(value('delete.retention.ms')),
    minLagMs: Number(value('min.compaction.lag.ms')),
    maxLagMs: Number(value('max.compaction.lag.ms')),
  }
}

function anything(): null {
  return null
}

function oneOf(allowed: readonly string[]): (value: string) => string | null {
  return (value) => (allowed.includes(value) ? null : `String must be one of: ${allowed.join(', ')}`)
}

/** May be empty: then nothing is deleted and nothing compacted. */
function listOf(allowed: readonly string[]): (value: string) => string | null {
  return (value) => {
    const items = value.split(',').map((item) => item.trim()).filter((item) => item !== '')
    const bad = items.find((item) => !allowed.includes(item))
    return bad === undefined ? null : `String must be one of: ${allowed.join(', ')}`
  }
}

function flag(value: string): string | null {
  return /^(true|false)$/i.test(value) ? null : 'Expected value to be either true or false'
}

/** Of a config without effect: any other value would be a wish that nobody fulfils, so it is refused, and says why. */
function only(value: string, check: (value: string) => string | null, why: string): (value: string) => string | null {
  return (given) => check(given) ?? (given.toLowerCase() === value ? null : `it has no effect here and must stay ${value === '' ? 'empty' : value}. ${why}`)
}

function int(min: number, max = 0x7fff_ffff): (value: string) => string | null {
  return (value) => {
    if (!/^[+-]?\d{1,18}$/.test(value) || Math.abs(Number(value)) > 0x7fff_ffff) return 'Not a number of type INT'
    if (Number(value) < min) return `Value must be at least ${min}`
    return Number(value) > max ? `Value must be no more than ${max}` : null
  }
}

function gzipLevel(value: string): string | null {
  return value === '-1' ? null : int(1, 9)(value)
}

function long(min: bigint): (value: string) => string | null {
  return (value) => {
    if (!/^[+-]?\d{1,30}$/.test(value)) return 'Not a number of type LONG'
    const number = BigInt(value)
    if (number > LONG_MAX || number < LONG_MIN) return 'Not a number of type LONG'
    return number < min ? `Value must be at least ${min}` : null
  }
}

function ratio(value: string): string | null {
  const number = Number(value)
  if (value === '' || Number.isNaN(number)) return 'Not a number of type DOUBLE'
  if (number < 0) return 'Value must be at least 0'
  return number > 1 ? 'Value must be no more than 1' : null
}
