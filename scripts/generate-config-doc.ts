/** Writes docs/CONFIG.md from the declarations in src/config/settings.ts and src/cluster/topic-configs.ts. */
import { writeFileSync } from 'node:fs'
import { configReference } from '../src/config/print.ts'
import { defaultConfig } from '../src/config/settings.ts'
import { defaultTopicConfig, topicConfigs } from '../src/cluster/topic-configs.ts'

export function configDocument(): string {
  const rows = topicConfigs.map((definition) => {
    const value = defaultTopicConfig(definition, defaultConfig())
    const cells = [`\`${definition.name}\``, definition.setting === undefined ? (value === '' ? 'empty' : `\`${value}\``) : `the broker's \`${definition.setting}\``, definition.documentation]
    return `| ${cells.join(' | ')} |`
  })
  return [
    configReference(),
    '## Configs of topics',
    '',
    'A topic is created with them (`kafka-topics.sh --create --config …`) and they are altered while it is in use (`kafka-configs.sh --alter`).',
    'One that can have no effect here takes its default alone; any other value is refused, with the reason.',
    '',
    '| Config | Default | |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

if (import.meta.main) {
  writeFileSync(new URL('../docs/CONFIG.md', import.meta.url), configDocument())
}
