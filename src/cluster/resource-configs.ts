/**
 * Configs of what is no topic and no broker: groups of the newer protocols (KIP-848) and subscriptions to metrics of clients (KIP-714). A
 * resource exists as long as it has a config of its own; the journal keeps them.
 */
import { KafkaError } from '../../protocol/errors.ts'
import type { Clock } from '../../storage/env.ts'
import type { ResourceKind } from '../../storage/journal/entries.ts'
import type { Journal } from '../../storage/journal/journal.ts'
import { resourceKey } from '../../storage/journal/state.ts'
import type { ResourceRecord } from '../../storage/journal/state.ts'
import { appendChange, givenUp } from './change.ts'
import { settingOf } from '../config/settings.ts'
import type { Config, SettingName } from '../config/settings.ts'
import { configSource, settingValues } from './describe-configs.ts'
import type { DescribedConfig, Origins } from './describe-configs.ts'
import { configType } from './topic-configs.ts'

export interface ResourceConfigDefinition {
  readonly name: string
  readonly type: 'int' | 'list'
  /** The broker's setting that counts where the resource has no value, or the value itself. */
  readonly default: SettingName | { readonly value: string }
  /** What is wrong with a value, or null. */
  readonly check: (value: string, config: Config) => string | null
  readonly documentation: string
}

/** ConfigSource of the protocol: DYNAMIC_CLIENT_METRICS_CONFIG and DYNAMIC_GROUP_CONFIG. */
const ownSource = { 'client-metrics': 7, group: 8 } as const

const MATCHES: ReadonlySet<string> = new Set([
  'client_instance_id',
  'client_id',
  'client_software_name',
  'client_software_version',
  'client_source_address',
  'client_source_port',
])

export const resourceConfigs: Readonly<Record<ResourceKind, readonly ResourceConfigDefinition[]>> = {
  group: [
    { name: 'consumer.heartbeat.interval.ms', type: 'int', default: 'group.consumer.heartbeat.interval.ms', check: withinSettings('heartbeat.interval.ms'), documentation: 'Heartbeat interval of the members of a group with the consumer protocol.' },
    { name: 'consumer.session.timeout.ms', type: 'int', default: 'group.consumer.session.timeout.ms', check: withinSettings('session.timeout.ms'), documentation: 'Silence after which a member of a group with the consumer protocol is taken for dead.' },
  ],
  'client-metrics': [
    { name: 'interval.ms', type: 'int', default: { value: '300000' }, check: between(100, 3_600_000), documentation: 'How often clients push the metrics.' },
    { name: 'match', type: 'list', default: { value: '' }, check: matches, documentation: 'Clients that push: attribute=pattern, all of which must fit. Attributes are those of KIP-714, patterns are regular expressions for the whole of it.' },
    { name: 'metrics', type: 'list', default: { value: '' }, check: () => null, documentation: 'Prefixes of the names of the metrics; * stands for all of them.' },
  ],
}

export type ResourceOutcome = { readonly kind: 'ok' } | { readonly kind: 'error'; readonly code: number; readonly message: string }
type Configs = Readonly<Record<string, string>>

export class ResourceConfigs {
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #config: Config
  readonly #origins: Origins

  constructor(options: { readonly journal: Journal; readonly clock: Clock; readonly config: Config; readonly origins: Origins }) {
    this.#journal = options.journal
    this.#clock = options.clock
    this.#config = options.config
    this.#origins = options.origins
  }

  /** Resources with configs of their own. */
  all(resource: ResourceKind): ResourceRecord[] {
    return Array.from(this.#journal.state.resources.values()).filter((record) => record.resource === resource)
  }

  /** A resource's own value of a config; null where it has none. */
  value(resource: ResourceKind, name: string, config: string): string | null {
    return this.#own(resource, name)[config] ?? null
  }

  describe(resource: ResourceKind, name: string): DescribedConfig[] {
    const own = this.#own(resource, name)
    return resourceConfigs[resource].map((definition) => {
      const inherited =
        typeof definition.default === 'string'
          ? settingValues(definition.default, this.#config, this.#origins)
          : [{ name: definition.name, value: definition.default.value, source: configSource.default }]
      const value = own[definition.name]
      const values = value === undefined ? inherited : [{ name: definition.name, value, source: ownSource[resource] }, ...inherited]
      return {
        name: definition.name,
        value: values[0]!.value,
        source: values[0]!.source,
        readOnly: false,
        sensitive: false,
        type: configType[definition.type],
        documentation: definition.documentation,
        synonyms: values,
      }
    })
  }

  /** Replaces the configs of a resource by what `change` makes of them. In force and durable when this resolves. */
  async alter(
    resource: ResourceKind,
    name: string,
    change: (current: Configs) => Configs | { readonly code: number; readonly message: string },
    options: { readonly validateOnly: boolean },
  ): Promise<ResourceOutcome> {
    const build = (current: Configs): { configs: Configs } | (ResourceOutcome & { kind: 'error' }) => {
      const changed = change(current)
      if (typeof changed['code'] === 'number') return failed(changed['code'], changed['message'] ?? '')
      const configs = changed as Configs
      const problem = configsProblem(resource, configs, this.#config)
      return problem === null ? { configs } : failed(KafkaError.INVALID_CONFIG, problem)
    }
    const early = build(this.#own(resource, name))
    if ('kind' in early) return early
    if (options.validateOnly) return { kind: 'ok' }
    const outcome = await appendChange(this.#journal, this.#clock, (state) => {
      const built = build(state.resources.get(resourceKey(resource, name))?.configs ?? {})
      return 'kind' in built ? { kind: 'refused' as const, reason: built } : [{ type: 'resource-configs-set', resource, name, configs: built.configs }]
    })
    if (outcome.kind === 'refused') return outcome.reason
    return outcome.kind === 'appended' ? { kind: 'ok' } : failed(KafkaError.REQUEST_TIMED_OUT, givenUp(outcome))
  }

  #own(resource: ResourceKind, name: string): Configs {
    return this.#journal.state.resources.get(resourceKey(resource, name))?.configs ?? {}
  }
}

/** What counts where a resource has no value of its own. */
export function defaultResourceConfig({ default: fallback }: ResourceConfigDefinition, config: Config): string {
  return typeof fallback === 'string' ? settingOf(fallback).format(config[fallback]) : fallback.value
}

/** Why a config is refused that nothing here acts on; the words for groups are Kafka's. */
export function unknownResourceConfig(resource: ResourceKind, name: string): string {
  if (resource === 'client-metrics') return `Unknown client metrics configuration: ${name}`
  return /^(share|streams)\./.test(name) ? `Unsupported group config name: ${name}; there are no groups of this kind here` : `Unknown group config name: ${name}`
}

function configsProblem(resource: ResourceKind, configs: Configs, config: Config): string | null {
  for (const [name, value] of Object.entries(configs)) {
    const definition = resourceConfigs[resource].find((candidate) => candidate.name === name)
    if (definition === undefined) return unknownResourceConfig(resource, name)
    const problem = definition.check(value, config)
    if (problem !== null) return `Invalid value ${value} for configuration ${name}: ${problem}`
  }
  if (resource !== 'group') return null
  const sessionTimeoutMs = Number(configs['consumer.session.timeout.ms'] ?? config['group.consumer.session.timeout.ms'])
  const heartbeatIntervalMs = Number(configs['consumer.heartbeat.interval.ms'] ?? config['group.consumer.heartbeat.interval.ms'])
  return sessionTimeoutMs > heartbeatIntervalMs ? null : 'consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms'
}

/** The range that the broker's settings leave to groups. */
function withinSettings(name: 'session.timeout.ms' | 'heartbeat.interval.ms'): ResourceConfigDefinition['check'] {
  return (value, config) => between(config[`group.consumer.min.${name}`], config[`group.consumer.max.${name}`])(value)
}

function between(min: number, max: number): (value: string) => string | null {
  return (value) => {
    if (!/^[+-]?\d{1,15}$/.test(value)) return 'Not a number of type INT'
    return Number(value) < min || Number(value) > max ? `Value must be between ${min} and ${max}` : null
  }
}

function matches(value: string): string | null {
  for (const item of value.split(',').map((part) => part.trim()).filter((part) => part !== '')) {
    const [attribute, ...pattern] = item.split('=')
    if (pattern.length !== 1) return `Illegal client matching pattern: ${item}`
    if (!MATCHES.has(attribute!.trim())) return `Illegal client matching attribute: ${attribute}`
    if (wholePattern(pattern[0]!) === null) return `Illegal client matching pattern: ${item}`
  }
  return null
}

/** A regular expression for the whole of a text; null where it is none. */
export function wholePattern(pattern: string): RegExp | null {
  try {
    return new RegExp(`^(?:${pattern.trim()})$`)
  } catch {
    return null
  }
}

function failed(code: number, message: string): ResourceOutcome & { kind: 'error' } {
  return { kind: 'error', code, message }
}
