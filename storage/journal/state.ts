/**
 * What the journal adds up to. The fold is pure: every broker that has read the same entries has the same state. A change that does
 * not fit (a topic deleted twice, a name or location taken twice) is void for everybody, so a bug in one writer splits no cluster.
 */
import type { Incarnation, LogVersion, Uuid } from '../types.ts'
import { assertNever } from '../types.ts'
import type { JournalChange, JournalEntry, ResourceKind, TopicRecord } from './entries.ts'
import { assertFormat, decodeTopic, journalFormat, resourceKindOf } from './entries.ts'
import type { JsonFields } from './json-fields.ts'
import { jsonFields } from './json-fields.ts'

/** Number of the first journal entry; 0 stands for "nothing yet", so no incarnation and no epoch is 0. */
export const firstJournalVersion: LogVersion = 1

export interface JournalState {
  /** Newest entry that is folded in; 0 for none. */
  readonly version: LogVersion
  /** Commit id of that entry; empty for none. */
  readonly commitId: string
  readonly clusterId: Uuid | null
  /** Topics that exist. */
  readonly topics: ReadonlyMap<Uuid, TopicRecord>
  readonly topicIdsByName: ReadonlyMap<string, Uuid>
  /** Names of topics by {@link collisionKey}. */
  readonly topicNamesByCollisionKey: ReadonlyMap<string, string>
  /** Deleted topics whose data may still be in the store. */
  readonly deletedTopics: ReadonlyMap<Uuid, TopicRecord>
  /** Every location that was ever given to a topic, so that none is given twice. */
  readonly locations: ReadonlySet<string>
  /** Broker processes whose lane has not been retired, the oldest first. */
  readonly incarnations: ReadonlyMap<Incarnation, IncarnationRecord>
  /** Resources with configs of their own that are no topics, by {@link resourceKey}. */
  readonly resources: ReadonlyMap<string, ResourceRecord>
  /** First producer id that nobody owns. */
  readonly nextProducerId: number
}

export interface IncarnationRecord {
  readonly incarnation: Incarnation
  readonly brokerId: number
  readonly host: Readonly<Record<string, string>>
  readonly startedMs: number
}

export interface ResourceRecord {
  readonly resource: ResourceKind
  readonly name: string
  readonly configs: Readonly<Record<string, string>>
}

export const emptyJournalState: JournalState = {
  version: firstJournalVersion - 1,
  commitId: '',
  clusterId: null,
  topics: new Map(),
  topicIdsByName: new Map(),
  topicNamesByCollisionKey: new Map(),
  deletedTopics: new Map(),
  locations: new Set(),
  incarnations: new Map(),
  resources: new Map(),
  nextProducerId: 0,
}

/** The state after the next entry. Throws RangeError unless `version` is the next one. */
export function applyEntry(state: JournalState, version: LogVersion, entry: JournalEntry): JournalState {
  const fold = new JournalFold(state)
  fold.entry(version, entry)
  return fold.state
}

/** The topic of that name, or null. */
export function topicByName(state: JournalState, name: string): TopicRecord | null {
  const id = state.topicIdsByName.get(name)
  return id === undefined ? null : (state.topics.get(id) ?? null)
}

/** The same for names that differ only in `.` and `_`, which metrics cannot tell apart. */
export function collisionKey(name: string): string {
  return name.replaceAll('.', '_')
}

/** Key of a resource in `JournalState.resources`. */
export function resourceKey(resource: ResourceKind, name: string): string {
  return `${resource}/${name}`
}

/** Where a new topic is kept: `topics/<name>` for the first of its name, with the suffix (the topic id) for those after it. */
export function freeLocation(state: JournalState, name: string, suffix: string): string {
  const plain = `topics/${name}`
  return state.locations.has(plain) ? `${plain}.${suffix}` : plain
}

/** Folds many entries with one copy of what they change. The state that it began with is not touched. */
export class JournalFold {
  #state: JournalState
  /** Collections that belong to this fold and may be changed in place. */
  readonly #own = new Set<unknown>()

  constructor(state: JournalState) {
    this.#state = state
  }

  /** Valid until the next call. */
  get state(): JournalState {
    return this.#state
  }

  /** Hands the state out for good: later calls copy before they change. */
  seal(): JournalState {
    this.#own.clear()
    return this.#state
  }

  entry(version: LogVersion, entry: JournalEntry): void {
    if (version !== this.#state.version + 1) throw new RangeError(`journal entry ${version} after ${this.#state.version}`)
    for (const change of entry.changes) this.change(version, entry.atMs, change)
    this.#state = { ...this.#state, version, commitId: entry.commitId }
  }

  /** Applies one change of entry `version`; false when it is void. */
  change(version: LogVersion, atMs: number, change: JournalChange): boolean {
    const state = this.#state
    switch (change.type) {
      case 'cluster-created':
        if (state.clusterId !== null) return false
        this.#state = { ...state, clusterId: change.clusterId }
        return true
      case 'incarnation-started': {
        // The version names the incarnation, so an entry starts one at most.
        if (state.incarnations.has(version)) return false
        const started = { incarnation: version, brokerId: change.brokerId, host: change.host, startedMs: atMs }
        this.#map('incarnations').set(version, started)
        return true
      }
      case 'incarnation-retired':
        if (!state.incarnations.has(change.incarnation)) return false
        return this.#map('incarnations').delete(change.incarnation)
      case 'topic-created':
        return this.#createTopic(change.topic)
      case 'topic-deleted': {
        const topic = state.topics.get(change.id)
        if (topic === undefined) return false
        this.#map('topics').delete(change.id)
        this.#map('topicIdsByName').delete(topic.name)
        // Two such names cannot be created any more; journals of before may hold them.
        if (state.topicNamesByCollisionKey.get(collisionKey(topic.name)) === topic.name) {
          this.#map('topicNamesByCollisionKey').delete(collisionKey(topic.name))
        }
        this.#map('deletedTopics').set(change.id, topic)
        return true
      }
      case 'topic-purged':
        if (!state.deletedTopics.has(change.id)) return false
        return this.#map('deletedTopics').delete(change.id)
      case 'topic-configs-set': {
        const topic = state.topics.get(change.id)
        if (topic === undefined) return false
        this.#map('topics').set(change.id, { ...topic, configs: change.configs })
        return true
      }
      case 'partitions-created': {
        const topic = state.topics.get(change.id)
        if (topic === undefined || change.partitions <= topic.partitions) return false
        this.#map('topics').set(change.id, { ...topic, partitions: change.partitions })
        return true
      }
      case 'resource-configs-set': {
        const { resource, name, configs } = change
        const key = resourceKey(resource, name)
        if (Object.keys(configs).length > 0) this.#map('resources').set(key, { resource, name, configs })
        else if (!state.resources.has(key)) return false
        else this.#map('resources').delete(key)
        return true
      }
      case 'producer-ids-allocated':
        if (change.from < state.nextProducerId || change.to <= change.from) return false
        this.#state = { ...state, nextProducerId: change.to }
        return true
      default:
        return assertNever(change)
    }
  }

  #createTopic(topic: TopicRecord): boolean {
    const { topics, deletedTopics, topicIdsByName, locations } = this.#state
    if (topics.has(topic.id) || deletedTopics.has(topic.id)) return false
    if (topicIdsByName.has(topic.name) || locations.has(topic.location) || topic.partitions < 1) return false
    this.#map('topics').set(topic.id, topic)
    this.#map('topicIdsByName').set(topic.name, topic.id)
    this.#map('topicNamesByCollisionKey').set(collisionKey(topic.name), topic.name)
    if (!this.#own.has(locations)) this.#state = { ...this.#state, locations: this.#owned(new Set(locations)) }
    ;(this.#state.locations as Set<string>).add(topic.location)
    return true
  }

  #map<K extends MapName>(name: K): JournalState[K] extends ReadonlyMap<infer A, infer B> ? Map<A, B> : never {
    const current: unknown = this.#state[name]
    if (!this.#own.has(current)) {
      const copy = this.#owned(new Map(current as ReadonlyMap<unknown, unknown>))
      this.#state = { ...this.#state, [name]: copy }
    }
    return this.#state[name] as never
  }

  #owned<T>(collection: T): T {
    this.#own.add(collection)
    return collection
  }
}

type MapName = 'topics' | 'topicIdsByName' | 'topicNamesByCollisionKey' | 'deletedTopics' | 'incarnations' | 'resources'

/** The state as JSON, `meta/snapshots/<version>.json`. */
export function encodeSnapshot(state: JournalState): Uint8Array {
  const inUse = new Set<string>()
  for (const topic of state.topics.values()) inUse.add(topic.location)
  for (const topic of state.deletedTopics.values()) inUse.add(topic.location)
  const snapshot = {
    v: journalFormat,
    version: state.version,
    commitId: state.commitId,
    clusterId: state.clusterId,
    topics: [...state.topics.values()],
    deletedTopics: [...state.deletedTopics.values()],
    retiredLocations: [...state.locations].filter((location) => !inUse.has(location)),
    incarnations: [...state.incarnations.values()],
    resources: [...state.resources.values()],
    nextProducerId: state.nextProducerId,
  }
  return new TextEncoder().encode(JSON.stringify(snapshot))
}

/** Throws for anything that {@link encodeSnapshot} did not write. */
export function decodeSnapshot(bytes: Uint8Array): JournalState {
  const fields = jsonFields(JSON.parse(new TextDecoder().decode(bytes)), 'journal snapshot')
  assertFormat(fields, 'journal snapshot')
  const topics = fields.list('topics', decodeTopic)
  const deletedTopics = fields.list('deletedTopics', decodeTopic)
  const incarnations = fields.list('incarnations', (item): IncarnationRecord => ({
    incarnation: item.count('incarnation'),
    brokerId: item.count('brokerId'),
    host: item.strings('host'),
    startedMs: item.count('startedMs'),
  }))
  const resources = fields.has('resources') ? fields.list('resources', decodeResource) : []
  const locations = new Set(fields.stringList('retiredLocations'))
  for (const topic of topics) locations.add(topic.location)
  for (const topic of deletedTopics) locations.add(topic.location)
  return {
    version: fields.count('version'),
    commitId: fields.string('commitId'),
    clusterId: fields.optionalString('clusterId'),
    topics: new Map(topics.map((topic) => [topic.id, topic])),
    topicIdsByName: new Map(topics.map((topic) => [topic.name, topic.id])),
    topicNamesByCollisionKey: new Map(topics.map((topic) => [collisionKey(topic.name), topic.name])),
    deletedTopics: new Map(deletedTopics.map((topic) => [topic.id, topic])),
    locations,
    incarnations: new Map(incarnations.map((item) => [item.incarnation, item])),
    resources: new Map(resources.map((item) => [resourceKey(item.resource, item.name), item])),
    nextProducerId: fields.count('nextProducerId'),
  }
}

function decodeResource(fields: JsonFields): ResourceRecord {
  return { resource: resourceKindOf(fields, 'journal snapshot'), name: fields.string('name'), configs: fields.strings('configs') }
}
