/**
 * Topics: creation with all of Kafka's checks, deletion, lookup. What exists is decided by the journal; the partition logs of what exists
 * are held by the storage engine. Outcomes carry Kafka error codes, since two APIs and auto-creation answer with them.
 */
import { KafkaError } from '../../protocol/errors.ts'
import type { StorageEngine } from '../../storage/engine/engine.ts'
import type { Env } from '../../storage/env.ts'
import type { TopicRecord } from '../../storage/journal/entries.ts'
import type { Journal, JournalAppendOutcome } from '../../storage/journal/journal.ts'
import { collisionKey, freeLocation, topicByName } from '../../storage/journal/state.ts'
import type { JournalState } from '../../storage/journal/state.ts'
import type { PartitionLog } from '../../storage/partition/types.ts'
import type { Config } from '../config/settings.ts'
import type { Logger } from '../logging.ts'
import { appendChange, givenUp } from './change.ts'
import { topicConfigProblem } from './topic-configs.ts'
import { OFFSETS_TOPIC, TRANSACTIONS_TOPIC, isInternalTopic, topicNameProblem } from './topic-names.ts'

/** More partitions than this in one request would be a typing error or an attack. */
const PARTITIONS_MAX = 100_000

export interface TopicSpec {
  readonly name: string
  /** -1: num.partitions. */
  readonly partitions: number
  /** -1: the default. Any value up to the number of brokers is accepted and means nothing: the store replicates. */
  readonly replicationFactor: number
  readonly configs: ReadonlyMap<string, string | null>
  /** Partition index → broker ids; empty when the broker shall decide. */
  readonly assignments?: ReadonlyMap<number, readonly number[]>
}

export type TopicOutcome =
  | { readonly kind: 'ok'; readonly topic: TopicRecord }
  | { readonly kind: 'error'; readonly code: number; readonly message: string }

export interface TopicsDependencies {
  readonly journal: Journal
  readonly engine: StorageEngine
  readonly config: Config
  readonly env: Env
  readonly log: Logger
}

export class Topics {
  readonly #deps: TopicsDependencies
  /** Auto-creations under way, so that a thousand metadata requests for one name create it once. */
  readonly #creating = new Map<string, Promise<TopicOutcome>>()

  constructor(deps: TopicsDependencies) {
    this.#deps = deps
  }

  all(): Iterable<TopicRecord> {
    return this.#deps.journal.state.topics.values()
  }

  byName(name: string): TopicRecord | null {
    return topicByName(this.#deps.journal.state, name)
  }

  byId(id: string): TopicRecord | null {
    return this.#deps.journal.state.topics.get(id) ?? null
  }

  partition(topicId: string, partition: number): PartitionLog | null {
    return this.#deps.engine.partition(topicId, partition)
  }

  /** Checks everything and, unless `validateOnly`, creates the topic; it is durable and usable when this resolves. */
  async create(spec: TopicSpec, options: { readonly validateOnly?: boolean; readonly timeoutMs?: number } = {}): Promise<TopicOutcome> {
    const { journal, env, log } = this.#deps
    const { clock } = env
    const checked = this.#check(spec)
    if (checked.kind === 'error') return checked
    const { partitions } = checked
    const id = env.uuid()
    const build = (state: JournalState): TopicRecord | { kind: 'refused'; reason: TopicOutcome & { kind: 'error' } } => {
      const problem = nameTaken(state, spec.name)
      if (problem !== null) return { kind: 'refused', reason: problem }
      return {
        id,
        name: spec.name,
        partitions,
        configs: Object.fromEntries([...spec.configs].map(([name, value]) => [name, (value ?? '').trim()])),
        location: freeLocation(state, spec.name, id),
        createdMs: env.clock.now(),
        internal: isInternalTopic(spec.name),
      }
    }
    if (options.validateOnly === true) {
      const built = build(journal.state)
      return 'kind' in built ? built.reason : { kind: 'ok', topic: built }
    }
    const outcome = await appendChange(journal, clock, (state) => {
      const built = build(state)
      return 'kind' in built ? built : [{ type: 'topic-created', topic: built }]
    }, options.timeoutMs)
    switch (outcome.kind) {
      case 'appended': {
        const topic = journal.state.topics.get(id)
        if (topic === undefined) return error(KafkaError.UNKNOWN_SERVER_ERROR, 'The topic was deleted while it was created.')
        this.#deps.engine.syncTopics()
        log.info({ topic: topic.name, id, partitions, location: topic.location, configs: topic.configs }, 'topic created')
        return { kind: 'ok', topic }
      }
      case 'refused':
        return outcome.reason
      case 'aborted':
      case 'unknown':
        return error(KafkaError.REQUEST_TIMED_OUT, givenUp(outcome))
    }
  }

  /** For Metadata requests and producers: the topic, created with defaults where that is allowed. */
  async autoCreate(name: string): Promise<TopicOutcome> {
    const existing = this.byName(name)
    if (existing !== null) return { kind: 'ok', topic: existing }
    let creating = this.#creating.get(name)
    if (creating === undefined) {
      creating = this.create(this.#autoSpec(name)).finally(() => this.#creating.delete(name))
      this.#creating.set(name, creating)
    }
    const outcome = await creating
    if (outcome.kind === 'error' && outcome.code === KafkaError.TOPIC_ALREADY_EXISTS) {
      const winner = this.byName(name)
      if (winner !== null) return { kind: 'ok', topic: winner }
    }
    return outcome
  }

  async delete(id: string, options: { readonly timeoutMs?: number } = {}): Promise<TopicOutcome> {
    const { journal, env: { clock } } = this.#deps
    const topic = this.byId(id)
    if (topic === null) return error(KafkaError.UNKNOWN_TOPIC_ID, 'This server does not host this topic ID.')
    const outcome = await appendChange(
      journal,
      clock,
      (state) => (state.topics.has(id) ? [{ type: 'topic-deleted', id }] : { kind: 'refused' as const, reason: 'gone' }),
      options.timeoutMs,
    )
    switch (outcome.kind) {
      case 'appended':
        this.#deps.engine.syncTopics()
        this.#deps.log.info({ topic: topic.name, id }, 'topic deleted')
        return { kind: 'ok', topic }
      case 'refused':
        return error(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 'This server does not host this topic-partition.')
      case 'aborted':
      case 'unknown':
        return error(KafkaError.REQUEST_TIMED_OUT, givenUp(outcome))
    }
  }

  /** Raises the number of partitions; Kafka's checks and words. `assignments`: one replica list per new partition. */
  async addPartitions(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    options: { readonly validateOnly: boolean; readonly timeoutMs?: number },
  ): Promise<TopicOutcome> {
    const { journal, env: { clock } } = this.#deps
    const problem = (topic: TopicRecord | null): (TopicOutcome & { kind: 'error' }) | null => {
      if (topic === null) return error(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 'This server does not host this topic-partition.')
      if (count === topic.partitions) return error(KafkaError.INVALID_PARTITIONS, `Topic already has ${count} partition(s).`)
      if (count < topic.partitions) {
        return error(
          KafkaError.INVALID_PARTITIONS,
          `The topic ${name} currently has ${topic.partitions} partition(s); ${count} would not be an increase.`,
        )
      }
      if (count > PARTITIONS_MAX) return error(KafkaError.INVALID_PARTITIONS, `A topic can have at most ${PARTITIONS_MAX} partitions.`)
      if (assignments === null) return null
      if (assignments.length !== count - topic.partitions) {
        return error(
          KafkaError.INVALID_REPLICA_ASSIGNMENT,
          `Attempted to add ${count - topic.partitions} additional partition(s), but only ${assignments.length} assignment(s) were specified.`,
        )
      }
      const bad = assignmentProblem(new Map(assignments.map((brokers, index) => [index, brokers])), this.#deps.config['node.id'])
      return bad === null ? null : error(KafkaError.INVALID_REPLICA_ASSIGNMENT, bad)
    }
    const early = problem(this.byName(name))
    if (early !== null) return early
    if (options.validateOnly) return { kind: 'ok', topic: this.byName(name)! }
    const outcome = await appendChange(journal, clock, (state) => {
      const topic = topicByName(state, name)
      const reason = problem(topic)
      return reason === null ? [{ type: 'partitions-created', id: topic!.id, partitions: count }] : { kind: 'refused' as const, reason }
    }, options.timeoutMs)
    return this.#settled(outcome, name)
  }

  /** Replaces the configs of a topic by what `change` makes of the current ones, or refuses with what `change` says. */
  async alterConfigs(
    name: string,
    change: (current: Readonly<Record<string, string>>) => Readonly<Record<string, string>> | { readonly code: number; readonly message: string },
    options: { readonly validateOnly: boolean },
  ): Promise<TopicOutcome> {
    const { journal, env: { clock } } = this.#deps
    if (name === '') return error(KafkaError.INVALID_REQUEST, 'Default topic resources are not allowed.')
    const badName = topicNameProblem(name)
    if (badName !== null) return error(KafkaError.INVALID_TOPIC_EXCEPTION, badName)
    const build = (topic: TopicRecord | null): { configs: Readonly<Record<string, string>> } | (TopicOutcome & { kind: 'error' }) => {
      if (topic === null) return error(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, `The topic '${name}' does not exist.`)
      const configs = change(topic.configs)
      if (typeof configs['code'] === 'number') return error(configs['code'], configs['message'] ?? '')
      const own = configs as Readonly<Record<string, string>>
      const bad = topicConfigProblem(new Map(Object.entries(own)))
      return bad === null ? { configs: own } : error(KafkaError.INVALID_CONFIG, bad)
    }
    const early = build(this.byName(name))
    if ('kind' in early) return early
    if (options.validateOnly) return { kind: 'ok', topic: this.byName(name)! }
    const outcome = await appendChange(journal, clock, (state) => {
      const topic = topicByName(state, name)
      const built = build(topic)
      return 'kind' in built ? { kind: 'refused' as const, reason: built } : [{ type: 'topic-configs-set', id: topic!.id, configs: built.configs }]
    })
    return this.#settled(outcome, name)
  }

  #settled(outcome: JournalAppendOutcome<TopicOutcome & { kind: 'error' }>, name: string): TopicOutcome {
    if (outcome.kind === 'refused') return outcome.reason
    if (outcome.kind !== 'appended') return error(KafkaError.REQUEST_TIMED_OUT, givenUp(outcome))
    this.#deps.engine.syncTopics()
    const topic = this.byName(name)
    if (topic === null) return error(KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 'The topic was deleted meanwhile.')
    this.#deps.log.info({ topic: name, partitions: topic.partitions, configs: topic.configs }, 'topic changed')
    return { kind: 'ok', topic }
  }

  #autoSpec(name: string): TopicSpec {
    if (name === OFFSETS_TOPIC) {
      return {
        name,
        partitions: this.#deps.config['offsets.topic.num.partitions'],
        replicationFactor: -1,
        configs: new Map([
          ['cleanup.policy', 'compact'],
          ['compression.type', 'producer'],
          ['segment.bytes', '104857600'],
        ]),
      }
    }
    if (name === TRANSACTIONS_TOPIC) {
      return {
        name,
        partitions: this.#deps.config['transaction.state.log.num.partitions'],
        replicationFactor: -1,
        configs: new Map([
          ['cleanup.policy', 'compact'],
          ['compression.type', 'uncompressed'],
          ['segment.bytes', '104857600'],
        ]),
      }
    }
    return { name, partitions: -1, replicationFactor: -1, configs: new Map() }
  }

  #check(spec: TopicSpec): { kind: 'ok'; partitions: number } | (TopicOutcome & { kind: 'error' }) {
    const { config } = this.#deps
    const badName = topicNameProblem(spec.name)
    if (badName !== null) return error(KafkaError.INVALID_TOPIC_EXCEPTION, badName)
    let partitions = spec.partitions === -1 ? config['num.partitions'] : spec.partitions
    if (spec.assignments !== undefined && spec.assignments.size > 0) {
      if (spec.replicationFactor !== -1) {
        return error(KafkaError.INVALID_REQUEST, 'A manual partition assignment was specified, but replication factor was not set to -1.')
      }
      if (spec.partitions !== -1) {
        return error(KafkaError.INVALID_REQUEST, 'A manual partition assignment was specified, but numPartitions was not set to -1.')
      }
      const problem = assignmentProblem(spec.assignments, config['node.id'])
      if (problem !== null) return error(KafkaError.INVALID_REPLICA_ASSIGNMENT, problem)
      partitions = spec.assignments.size
    }
    if (partitions < 1) return error(KafkaError.INVALID_PARTITIONS, 'Number of partitions was set to an invalid non-positive value.')
    if (partitions > PARTITIONS_MAX) return error(KafkaError.INVALID_PARTITIONS, `At most ${PARTITIONS_MAX} partitions can be created at once.`)
    if (spec.replicationFactor < -1 || spec.replicationFactor === 0) {
      return error(KafkaError.INVALID_REPLICATION_FACTOR, 'Replication factor must be larger than 0, or -1 to use the default value.')
    }
    if (spec.replicationFactor > 1) {
      return error(
        KafkaError.INVALID_REPLICATION_FACTOR,
        `Unable to replicate the partition ${spec.replicationFactor} time(s): The target replication factor of ${spec.replicationFactor} cannot be reached because only 1 broker(s) are registered.`,
      )
    }
    const badConfig = topicConfigProblem(spec.configs)
    return badConfig === null ? { kind: 'ok', partitions } : error(KafkaError.INVALID_CONFIG, badConfig)
  }
}

function nameTaken(state: JournalState, name: string): (TopicOutcome & { kind: 'error' }) | null {
  if (state.topicIdsByName.has(name)) return error(KafkaError.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`)
  const other = state.topicNamesByCollisionKey.get(collisionKey(name))
  return other === undefined ? null : error(KafkaError.INVALID_TOPIC_EXCEPTION, `Topic '${name}' collides with existing topic: ${other}`)
}

/** What is wrong with an assignment of partitions (from 0 on) to brokers, where there is only this one; null when all is well. */
export function assignmentProblem(assignments: ReadonlyMap<number, readonly number[]>, nodeId: number): string | null {
  for (let partition = 0; partition < assignments.size; partition++) {
    const brokers = assignments.get(partition)
    if (brokers === undefined) return 'partitions should be a consecutive 0-based integer sequence'
    if (brokers.length === 0) return 'The manual partition assignment includes an empty replica list.'
    if (new Set(brokers).size !== brokers.length) return `The manual partition assignment includes the broker ${brokers[0]} more than once.`
    const unknown = brokers.find((id) => id !== nodeId)
    if (unknown !== undefined) return `The manual partition assignment includes broker ${unknown}, but no such broker is registered.`
  }
  return null
}

function error(code: number, message: string): TopicOutcome & { kind: 'error' } {
  return { kind: 'error', code, message }
}
