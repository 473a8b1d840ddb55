/** Configs of topics and of this broker as DescribeConfigs and CreateTopics print them, with their origin and synonyms. */
import type { TopicRecord } from '../../storage/journal/entries.ts'
import { settingNames, settingOf } from '../config/settings.ts'
import type { Config, SettingName } from '../config/settings.ts'
import { configType, defaultTopicConfig, topicConfigs } from './topic-configs.ts'
import type { TopicConfigDefinition } from './topic-configs.ts'

/** ConfigSource of the protocol. */
export const configSource = { topic: 1, staticBroker: 4, default: 5, logger: 6 } as const

/** Where the settings of the broker come from; a name that is missing was not set. */
export type Origins = Readonly<Partial<Record<SettingName, string>>>

/** A value that a config has or would have without those before it. */
interface ConfigValue {
  readonly name: string
  readonly value: string
  readonly source: number
}

export interface DescribedConfig {
  readonly name: string
  readonly value: string
  readonly source: number
  readonly readOnly: boolean
  readonly sensitive: boolean
  readonly type: number
  readonly documentation: string
  /** What is in force, then what would be without it, and so on. */
  readonly synonyms: readonly ConfigValue[]
}

export function describeTopicConfigs(topic: TopicRecord, config: Config, origins: Origins): DescribedConfig[] {
  return topicConfigs.map((definition) => {
    const own = topic.configs[definition.name]
    const inherited = inheritedValues(definition, config, origins)
    const values = own === undefined ? inherited : [{ name: definition.name, value: own, source: configSource.topic }, ...inherited]
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

/** The settings that carry Kafka's names. They are fixed at the start, hence read-only. */
export function describeBrokerConfigs(config: Config, origins: Origins): DescribedConfig[] {
  return settingNames
    .filter((name) => settingOf(name).kafka === true)
    .map((name) => {
      const setting = settingOf(name)
      const values = settingValues(name, config, origins)
      return {
        name,
        value: values[0]!.value,
        source: values[0]!.source,
        readOnly: true,
        sensitive: setting.secret === true,
        type: configType[setting.type],
        documentation: setting.doc,
        synonyms: values,
      }
    })
}

function inheritedValues(definition: TopicConfigDefinition, config: Config, origins: Origins): ConfigValue[] {
  if (definition.setting !== undefined) return settingValues(definition.setting, config, origins)
  return [{ name: definition.name, value: defaultTopicConfig(definition, config), source: configSource.default }]
}

/** The value of a setting, then what would be without it. */
export function settingValues(name: SettingName, config: Config, origins: Origins): ConfigValue[] {
  const setting = settingOf(name)
  const byDefault = { name, value: setting.format(setting.default), source: configSource.default }
  if ((origins[name] ?? 'default') === 'default') return [byDefault]
  return [{ name, value: setting.format(config[name]), source: configSource.staticBroker }, byDefault]
}
