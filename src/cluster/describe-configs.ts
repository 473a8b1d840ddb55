/** Configs of topics and of this broker as DescribeConfigs and CreateTopics print them, with their origin and synonyms. */
import type { TopicRecord } from '../../storage/journal/entries.ts'
import { settingNames, settingOf } from '../config/settings.ts'
import type { Config, SettingName } from '../config/settings.ts'
import { configType, defaultTopicConfig, topicConfigs } from './topic-configs.ts'

/** ConfigSource of the protocol. */
export const configSource = { topic: 1, staticBroker: 4, default: 5 } as const

export interface DescribedConfig {
  readonly name: string
  readonly value: string
  readonly source: number
  readonly readOnly: boolean
  readonly sensitive: boolean
  readonly type: number
  readonly documentation: string
  readonly synonyms: readonly { readonly name: string; readonly value: string; readonly source: number }[]
}

export function describeTopicConfigs(topic: TopicRecord, config: Config): DescribedConfig[] {
  return topicConfigs.map((definition) => {
    const own = topic.configs[definition.name]
    const inherited = { name: definition.setting ?? definition.name, value: defaultTopicConfig(definition, config), source: configSource.default }
    return {
      name: definition.name,
      value: own ?? inherited.value,
      source: own === undefined ? configSource.default : configSource.topic,
      readOnly: false,
      sensitive: false,
      type: configType[definition.type],
      documentation: definition.documentation,
      synonyms: own === undefined ? [inherited] : [{ name: definition.name, value: own, source: configSource.topic }, inherited],
    }
  })
}

/** The settings that carry Kafka's names. They are fixed at the start, hence read-only. */
export function describeBrokerConfigs(config: Config, origins: Readonly<Partial<Record<SettingName, string>>>): DescribedConfig[] {
  return settingNames
    .filter((name) => settingOf(name).kafka === true)
    .map((name) => {
      const setting = settingOf(name)
      const value = setting.format(config[name])
      const inherited = { name, value: setting.format(setting.default), source: configSource.default }
      const given = (origins[name] ?? 'default') !== 'default'
      return {
        name,
        value,
        source: given ? configSource.staticBroker : configSource.default,
        readOnly: true,
        sensitive: setting.secret === true,
        type: configType[setting.type],
        documentation: setting.doc,
        synonyms: given ? [{ name, value, source: configSource.staticBroker }, inherited] : [inherited],
      }
    })
}
