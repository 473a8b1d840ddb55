/** docs/COMPATIBILITY.md and the registry that it is made of. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { compatibilityDocument } from '../scripts/generate-compatibility.ts'
import { kafkaApis } from '../scripts/kafka-apis.ts'
import { registry } from '../src/api/registry.ts'
import { recordedResults } from './conformance/every-version-results.ts'

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

test('Kafka\'s own client has passed every version of every API that is advertised (RECORD=1 node --test test/conformance/every-version.ts)', () => {
  const passed = recordedResults().map(({ key, name, first, last, passed: count }) => ({ key, name, first, last, all: count === last - first + 1 }))
  const advertised = registry.map(({ api, versions: [first, last] }) => ({ key: api.key, name: api.name, first: api.key === 0 ? 0 : first, last, all: true }))
  assert.deepEqual(passed, advertised.toSorted((a, b) => a.key - b.key))
})

test('a test of a foreign suite is either on its list or left out with a reason', () => {
  for (const suite of ['librdkafka', 'librdkafka-consumer', 'apache-tools', 'kcat', 'kafka-python']) {
    const lines = readFileSync(new URL(`conformance/${suite}.allow`, import.meta.url), 'utf8').split('\n')
    const allowed = new Set(lines.map(line => line.replace(/#.*/, '').trim()).filter(name => name !== ''))
    for (const line of lines.filter(each => each.startsWith('# not here:'))) {
      const [, names, reason] = /^# not here: (.+) — (.+)$/.exec(line) ?? []
      assert.ok(names !== undefined && reason !== undefined, `${suite}: ${line}`)
      for (const name of names.split(', ')) assert.ok(!allowed.has(name), `${suite}: ${name} passes: strike its reason`)
    }
  }
})
