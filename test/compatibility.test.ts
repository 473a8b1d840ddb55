/** docs/COMPATIBILITY.md and the registry that it is made of. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { compatibilityDocument } from '../scripts/generate-compatibility.ts'
import { kafkaApis } from '../scripts/kafka-apis.ts'
import { registry } from '../src/api/registry.ts'

test('docs/COMPATIBILITY.md is up to date (node scripts/generate-compatibility.ts)', () => {
  assert.equal(readFileSync(new URL('../docs/COMPATIBILITY.md', import.meta.url), 'utf8'), compatibilityDocument())
})

test('what is served are versions that Kafka has, under the name that it has there', () => {
  for (const { api, versions: [first, last] } of registry) {
    const kafka = kafkaApis.find(({ key }) => key === api.key)
    assert.equal(kafka?.name, api.name)
    assert.ok(first >= kafka.versions[0] && first <= last, api.name)
    assert.deepEqual([first, last], [Math.max(first, api.versions[0]), Math.min(last, api.versions[1])], `${api.name}: the codec speaks what is advertised`)
    // Two-phase commit (KIP-939) is unstable in 4.3, so that a broker advertises it only where it is told to.
    if (api.name !== 'InitProducerId') assert.ok(last <= kafka.versions[1], api.name)
  }
})

test('no API is registered twice', () => {
  assert.equal(new Set(registry.map(({ api }) => api.key)).size, registry.length)
})
