/**
 * Entries of the journal, `meta/journal/<version>.json`: who is in the cluster and which topics there are (DESIGN §6).
 * One entry carries one or more changes that happen together, as a Delta commit carries actions.
 */
import type { LogEntry } from '../log/put-if-absent-log.ts'
import { StoreError } from '../objects/object-store.ts'
import type { Incarnation, LogVersion, Uuid } from '../types.ts'
import type { JsonFields } from './json-fields.ts'
import { jsonFields } from './json-fields.ts'

/** Version of the format. A reader refuses what is newer: it could not fold it. */
export const journalFormat = 1

export interface JournalEntry extends LogEntry {
  readonly v: typeof journalFormat
  readonly commitId: Uuid
  /** Wall clock of the writer, for people. */
  readonly atMs: number
  readonly changes: readonly JournalChange[]
}

export type JournalChange =
  | { readonly type: 'cluster-created'; readonly clusterId: Uuid }
  /** A broker process started. The version of this entry is its incarnation. `host` is for people: hostname, pid, software version. */
  | { readonly type: 'incarnation-started'; readonly brokerId: number; readonly host: Readonly<Record<string, string>> }
  /** Everything in its lane has been taken over or flushed: nobody needs to look there again. */
  | { readonly type: 'incarnation-retired'; readonly incarnation: Incarnation }
  | { readonly type: 'topic-created'; readonly topic: TopicRecord }
  | { readonly type: 'topic-deleted'; readonly id: Uuid }
  /** The data of a deleted topic has been removed from the store. */
  | { readonly type: 'topic-purged'; readonly id: Uuid }
  /** Replaces all configs that differ from the defaults. */
  | { readonly type: 'topic-configs-set'; readonly id: Uuid; readonly configs: Readonly<Record<string, string>> }
  /** `partitions` is the new total; it only grows. */
  | { readonly type: 'partitions-created'; readonly id: Uuid; readonly partitions: number }
  /** Replaces all configs of a resource that is no topic; none removes it. */
  | { readonly type: 'resource-configs-set'; readonly resource: ResourceKind; readonly name: string; readonly configs: Readonly<Record<string, string>> }
  /** Producer ids from `from` up to and without `to` belong to the incarnation. */
  | { readonly type: 'producer-ids-allocated'; readonly from: number; readonly to: number; readonly incarnation: Incarnation }

/** What has configs beside topics: groups (KIP-848) and subscriptions to metrics of clients (KIP-714). */
export type ResourceKind = 'group' | 'client-metrics'

export interface TopicRecord {
  readonly id: Uuid
  readonly name: string
  readonly partitions: number
  /** Configs that differ from the defaults, by Kafka's names. */
  readonly configs: Readonly<Record<string, string>>
  /** Folder of the Delta table, e.g. `topics/orders`; never used by two topics. */
  readonly location: string
  readonly createdMs: number
  readonly internal: boolean
}

/** Checks a parsed entry. Throws StoreError 'invalid', or 'unsupported' for one that a newer release wrote. */
export function decodeEntry(value: unknown, version: LogVersion): JournalEntry {
  const where = `journal entry ${version}`
  const fields = jsonFields(value, where)
  assertFormat(fields, where)
  return {
    v: journalFormat,
    commitId: fields.string('commitId'),
    atMs: fields.count('atMs'),
    changes: fields.list('changes', (change) => changeOf(change, where)),
  }
}

/** Checks one change of entry `version`. Throws as {@link decodeEntry}. */
export function decodeChange(value: unknown, version: LogVersion): JournalChange {
  const where = `a change of journal entry ${version}`
  return changeOf(jsonFields(value, where), where)
}

export function assertFormat(fields: JsonFields, where: string): void {
  const format = fields.count('v')
  if (format !== journalFormat) {
    throw new StoreError('unsupported', `${where} has format ${format}, this release reads format ${journalFormat}: use a newer release`)
  }
}

function changeOf(fields: JsonFields, where: string): JournalChange {
  const type = fields.string('type')
  switch (type) {
    case 'cluster-created':
      return { type, clusterId: fields.string('clusterId') }
    case 'incarnation-started':
      return { type, brokerId: fields.count('brokerId'), host: fields.strings('host') }
    case 'incarnation-retired':
      return { type, incarnation: fields.count('incarnation') }
    case 'topic-created':
      return { type, topic: decodeTopic(fields.object('topic')) }
    case 'topic-deleted':
    case 'topic-purged':
      return { type, id: fields.string('id') }
    case 'topic-configs-set':
      return { type, id: fields.string('id'), configs: fields.strings('configs') }
    case 'partitions-created':
      return { type, id: fields.string('id'), partitions: fields.count('partitions') }
    case 'resource-configs-set': {
      const resource = resourceKindOf(fields, where)
      return { type, resource, name: fields.string('name'), configs: fields.strings('configs') }
    }
    case 'producer-ids-allocated':
      return { type, from: fields.count('from'), to: fields.count('to'), incarnation: fields.count('incarnation') }
    default:
      throw new StoreError('unsupported', `${where} has a change of the unknown type ${JSON.stringify(type)}: use a newer release`)
  }
}

/** The kind of resource that a change or snapshot names. Throws as {@link decodeEntry}. */
export function resourceKindOf(fields: JsonFields, where: string): ResourceKind {
  const kind = fields.string('resource')
  if (kind === 'group' || kind === 'client-metrics') return kind
  throw new StoreError('unsupported', `${where} configures a resource of the unknown kind ${JSON.stringify(kind)}: use a newer release`)
}

export function decodeTopic(fields: JsonFields): TopicRecord {
  return {
    id: fields.string('id'),
    name: fields.string('name'),
    partitions: fields.count('partitions'),
    configs: fields.strings('configs'),
    location: fields.string('location'),
    createdMs: fields.count('createdMs'),
    internal: fields.boolean('internal'),
  }
}
