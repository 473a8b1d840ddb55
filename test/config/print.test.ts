import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { loadConfig } from '../../src/config/load.ts'
import { configDocument } from '../../scripts/generate-config-doc.ts'
import { configJson, configTable } from '../../src/config/print.ts'
import { settingNames } from '../../src/config/settings.ts'

const loaded = loadConfig({ flags: { '--num-partitions': '8' }, environment: {} })

test('docs/CONFIG.md is what scripts/generate-config-doc.ts writes', () => {
  assert.equal(readFileSync(new URL('../../docs/CONFIG.md', import.meta.url), 'utf8'), configDocument())
})

test('the table has a line for each setting, with value, default and origin', () => {
  const lines = configTable(loaded).trimEnd().split('\n')
  assert.equal(lines.length, settingNames.length + 1)
  assert.match(lines.find(line => line.startsWith('num.partitions ')) ?? '', /^num\.partitions +8 +4 +--num-partitions +Partitions of/)
})

test('JSON keeps the types of values', () => {
  const entries = JSON.parse(configJson(loaded)) as { name: string; value: unknown; default: unknown; origin: string }[]
  const partitions = entries.find(entry => entry.name === 'num.partitions')
  assert.deepEqual([partitions?.value, partitions?.default, partitions?.origin], [8, 4, '--num-partitions'])
  assert.equal(entries.find(entry => entry.name === 'listen')?.value, '127.0.0.1:9092')
})
