/**
 * Writes the part of helm/bayou/values.schema.json that describes the settings of the broker, from their declarations: with it the chart refuses
 * an unknown setting before anything is installed. `--check` writes nothing and fails when the file is not up to date.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { settingNames, settingOf } from '../src/config/settings.ts'
import type { SettingName } from '../src/config/settings.ts'

const path = fileURLToPath(new URL('../helm/bayou/values.schema.json', import.meta.url))

/** Settings that the chart makes out of other values. */
const ownedByChart: ReadonlySet<SettingName> = new Set<SettingName>(['listen', 'advertise', 'http', 'store', 'config'])

/** JSON Schema of one setting as it is written in YAML: a number is a number there, and a flag is true or false. */
function schemaOf(name: SettingName): object {
  const { schema, doc, type } = settingOf(name)
  if (type === 'boolean') return { type, description: doc }
  const { $schema: _, ...shape } = z.toJSONSchema(schema, { io: 'output' })
  return { ...shape, description: doc }
}

const current = readFileSync(path, 'utf8')
const document = JSON.parse(current) as { properties: { config: { properties: Record<string, object> } } }
document.properties.config.properties = Object.fromEntries(
  settingNames.filter(name => !ownedByChart.has(name)).map(name => [name, schemaOf(name)]),
)
const wanted = `${JSON.stringify(document, null, 2)}\n`
if (process.argv.includes('--check')) {
  if (wanted !== current) {
    console.error('helm/bayou/values.schema.json is not up to date: run node scripts/generate-chart-schema.ts')
    process.exitCode = 1
  }
} else {
  writeFileSync(path, wanted)
}
