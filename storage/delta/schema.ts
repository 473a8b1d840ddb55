/**
 * The schema of a topic's table (DESIGN §5, names as in Spark's Kafka source), and whether somebody else's protocol or
 * metadata still is one that we can write under.
 *
 * Every column is nullable: writers refuse rows without an offset otherwise, and such rows are how others append messages.
 */
import type { Metadata, Protocol } from './actions.ts'

export const engineInfo = 'bayou/0.1.0'

/** Reader 1 and writer 2: readable and writable by everybody. */
export const tableProtocol: Protocol = { minReaderVersion: 1, minWriterVersion: 2 }

/** Table property that says which topic incarnation a table belongs to. */
export const topicIdProperty = 'bayou.topic.id'

export type DeltaType =
  | string
  | { readonly type: 'array'; readonly elementType: DeltaType; readonly containsNull: boolean }
  | { readonly type: 'map'; readonly keyType: DeltaType; readonly valueType: DeltaType; readonly valueContainsNull: boolean }
  | { readonly type: 'struct'; readonly fields: readonly DeltaField[] }

export interface DeltaField {
  readonly name: string
  readonly type: DeltaType
  readonly nullable: boolean
  readonly metadata: Readonly<Record<string, unknown>>
}

function nullable(name: string, type: DeltaType): DeltaField {
  return { name, type, nullable: true, metadata: {} }
}

export const topicFields: readonly DeltaField[] = [
  nullable('partition', 'integer'),
  nullable('offset', 'long'),
  nullable('timestamp', 'timestamp'),
  nullable('timestampType', 'integer'),
  nullable('key', 'binary'),
  nullable('value', 'binary'),
  nullable('headers', {
    type: 'array',
    elementType: { type: 'struct', fields: [nullable('key', 'string'), nullable('value', 'binary')] },
    containsNull: true,
  }),
]

export const topicSchemaString = JSON.stringify({ type: 'struct', fields: topicFields })

export interface TableConfig {
  /** The topic's id, 22 characters of base64url. */
  readonly topicId: string
  /** The topic's name, for people. */
  readonly name?: string
  /** Columns of the typed value, after ours. Names may not equal ours in any case (readers compare without case). */
  readonly extraFields?: readonly DeltaField[]
  /** Table properties, such as `delta.logRetentionDuration`: `interval 30 days`. */
  readonly properties?: Readonly<Record<string, string>>
}

/** The metaData action of a new topic table. `createdTimeMs`: milliseconds since the epoch. */
export function topicMetadata(config: TableConfig, createdTimeMs: number): Metadata {
  const fields = [...topicFields, ...(config.extraFields ?? [])]
  const names = new Set(fields.map((field) => field.name.toLowerCase()))
  if (names.size !== fields.length) throw new RangeError('column names differ only in case, which most Delta readers refuse')
  return {
    id: guidOf(config.topicId),
    ...(config.name === undefined ? {} : { name: config.name }),
    format: { provider: 'parquet', options: {} },
    schemaString: config.extraFields === undefined ? topicSchemaString : JSON.stringify({ type: 'struct', fields }),
    partitionColumns: ['partition'],
    configuration: { ...config.properties, [topicIdProperty]: config.topicId },
    createdTime: createdTimeMs,
  }
}

/** A topic id as a GUID, which is what the protocol wants a table id to be. */
export function guidOf(topicId: string): string {
  const hex = Buffer.from(topicId, 'base64url').toString('hex').padEnd(32, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}

/** Features of writer 7 that ask nothing of us unless the table's schema or properties say more. */
const harmlessWriterFeatures = new Set([
  'appendOnly',
  'invariants',
  'checkConstraints',
  'changeDataFeed',
  'generatedColumns',
  'columnMapping',
  'identityColumns',
  'timestampNtz',
  'v2Checkpoint',
  'vacuumProtocolCheck',
])
const harmlessReaderFeatures = new Set(['columnMapping', 'timestampNtz', 'v2Checkpoint', 'vacuumProtocolCheck'])

/**
 * Why Bayou may not write under this protocol and metadata, or null when it may. The text is for the operator.
 * Numbers alone are not refused: a table at writer 4 whose properties ask for nothing is an ordinary table.
 */
export function suspension(protocol: Protocol, metadata: Metadata): string | null {
  return protocolBlocker(protocol) ?? propertyBlocker(metadata.configuration) ?? schemaBlocker(metadata)
}

/** Rewrites that delete rows are forbidden on append-only tables (writer 2); rewrites that keep them are not. */
export function isAppendOnly(metadata: Metadata): boolean {
  return isTrue(metadata.configuration['delta.appendOnly'])
}

function protocolBlocker(protocol: Protocol): string | null {
  if (protocol.minReaderVersion > 3) return `the table needs Delta reader version ${protocol.minReaderVersion}`
  if (protocol.minWriterVersion > 7) return `the table needs Delta writer version ${protocol.minWriterVersion}`
  for (const feature of protocol.readerFeatures ?? []) {
    if (!harmlessReaderFeatures.has(feature)) return `the table uses the feature "${feature}", which is not supported`
  }
  for (const feature of protocol.writerFeatures ?? []) {
    if (!harmlessWriterFeatures.has(feature)) return `the table uses the feature "${feature}", which is not supported`
  }
  return null
}

function propertyBlocker(configuration: Readonly<Record<string, string>>): string | null {
  const mapping = configuration['delta.columnMapping.mode']
  if (mapping !== undefined && mapping !== 'none') return `the table uses column mapping (${mapping}), which is not supported`
  for (const name of ['delta.enableDeletionVectors', 'delta.enableRowTracking', 'delta.enableInCommitTimestamps']) {
    if (isTrue(configuration[name])) return `the table sets ${name}, which is not supported`
  }
  for (const name of Object.keys(configuration)) {
    if (name.startsWith('delta.constraints.')) return `the table has the CHECK constraint ${name}, which is not supported`
  }
  return null
}

/** Columns that are never null in rows of ours. */
const neverNull = new Set(['partition', 'offset', 'timestampType'])

function schemaBlocker(metadata: Metadata): string | null {
  if (metadata.format.provider !== 'parquet') return `the table's files are ${metadata.format.provider}`
  if (metadata.partitionColumns.length !== 1 || metadata.partitionColumns[0] !== 'partition') {
    return `the table is partitioned by (${metadata.partitionColumns.join(', ')}) and no longer by (partition)`
  }
  const fields = parseSchema(metadata.schemaString)
  if (fields === null) return 'the schema of the table cannot be read'
  for (const wanted of topicFields) {
    const field = fields.find((candidate) => candidate.name === wanted.name)
    if (field === undefined) return `the column "${wanted.name}" is gone`
    if (!field.nullable && !neverNull.has(field.name)) return `the column "${wanted.name}" may no longer be null`
    if (!sameType(field.type, wanted.type)) return `the column "${wanted.name}" has another type`
  }
  for (const field of fields) {
    const ours = topicFields.some((candidate) => candidate.name === field.name)
    if (!ours && !field.nullable) return `the column "${field.name}" was added and may not be null`
    for (const key of Object.keys(field.metadata)) {
      if (key === 'delta.invariants' || key === 'delta.generationExpression' || key.startsWith('delta.identity.')) {
        return `the column "${field.name}" carries ${key}, which is not supported`
      }
    }
  }
  return null
}

/** The columns of a schema string, or null when it is none. */
export function parseSchema(schemaString: string): readonly DeltaField[] | null {
  try {
    const schema = JSON.parse(schemaString) as { type?: unknown; fields?: unknown }
    if (schema.type !== 'struct' || !Array.isArray(schema.fields)) return null
    return schema.fields.map((field: Partial<DeltaField>) => {
      if (typeof field.name !== 'string' || field.type === undefined) throw new Error('no field')
      return { name: field.name, type: field.type, nullable: field.nullable !== false, metadata: field.metadata ?? {} }
    })
  } catch {
    return null
  }
}

/** Equal but for nullability, which others may widen or narrow in nested fields without an effect on what we write. */
function sameType(a: DeltaType, b: DeltaType): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b
  if (a.type === 'array' && b.type === 'array') return sameType(a.elementType, b.elementType)
  if (a.type === 'map' && b.type === 'map') return sameType(a.keyType, b.keyType) && sameType(a.valueType, b.valueType)
  if (a.type !== 'struct' || b.type !== 'struct') return false
  return b.fields.every((field) => a.fields.some((other) => other.name === field.name && sameType(other.type, field.type)))
}

function isTrue(value: string | undefined): boolean {
  return value?.toLowerCase() === 'true'
}

/**
 * A duration property (`interval 30 days`, `1 week`, `interval 2 days 12 hours`) in milliseconds; undefined when absent or
 * not understood. Months and years have no fixed length and are not understood, as in Spark.
 */
export function durationProperty(metadata: Metadata, name: string): number | undefined {
  const text = metadata.configuration[name]
  if (text === undefined) return undefined
  let total = 0
  let rest = text.trim().toLowerCase().replace(/^interval\b/, '').trim()
  if (rest === '') return undefined
  while (rest !== '') {
    const match = /^(\d+)\s*(millisecond|second|minute|hour|day|week)s?\b\s*/.exec(rest)
    if (match === null) return undefined
    total += Number(match[1]) * (unitMs[match[2] as string] as number)
    rest = rest.slice(match[0].length)
  }
  return total
}

const unitMs: Readonly<Record<string, number>> = {
  millisecond: 1,
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  week: 604_800_000,
}
