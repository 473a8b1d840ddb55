/**
 * Every API that is advertised, in every version that is advertised, asked by the message classes of Kafka's own Java client (test/conformance/java).
 *
 *   node --test test/conformance/every-version.ts
 *
 * What passed is kept in every-version.json, from which docs/COMPATIBILITY.md is made; RECORD=1 writes it. KAFKA=host:port asks a broker that
 * runs already, a real Kafka for instance: what the cases expect is what Kafka does, and APIs that Kafka alone serves are left out. Needs a JDK
 * and kafka-clients with what it depends on (scripts/fetch-kafka-clients.sh); without them the test is skipped, in CI it fails.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { registry } from '../../src/api/registry.ts'
import { findKafkaJar, KAFKA_VERSION } from '../protocol/kafka-jar.ts'
import { removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'
import { recordedResults, resultsFile } from './every-version-results.ts'
import type { ApiResult } from './every-version-results.ts'

const sources = fileURLToPath(new URL('java/', import.meta.url))
const kafka = process.env['KAFKA']
const jar = findKafkaJar()
const missing = jar === undefined ? `kafka-clients ${KAFKA_VERSION} is not here` : hasJdk() ? null : 'no JDK is here'

interface Row {
  readonly status: string
  readonly key: number
  readonly name: string
  readonly version: number
  /** What was seen, or what is wrong. */
  readonly note: string
}

describe('every version of every API, asked by Apache Kafka\'s Java client', { skip: missing !== null && process.env['CI'] === undefined ? missing : false }, () => {
  let broker: TestBroker | null = null
  let classes = ''
  let rows: readonly Row[] = []
  /** `name version` of all that is advertised. */
  let advertised: readonly string[] = []

  before(async () => {
    assert.equal(missing, null)
    classes = mkdtempSync(join(tmpdir(), 'bayou-every-version-'))
    const path = classPath(jar!)
    await promisify(execFile)('javac', ['-d', classes, '-cp', path, ...globSync(join(sources, '*.java'))])
    if (kafka === undefined) broker = await startTestBroker({ args: ['--group-initial-rebalance-delay-ms', '0'] })
    const address = kafka ?? broker!.address
    advertised = await advertisedBy(address)
    rows = parse(await output('java', ['-cp', `${path}:${classes}`, 'EveryVersion', address])).filter(({ key }) => isServed(key))
  })

  after(async () => {
    if (broker !== null) {
      await broker.stop()
      await removeStore(broker.store)
    }
    if (classes !== '') rmSync(classes, { recursive: true, force: true })
  })

  test('everything that was asked was answered as Kafka answers', () => {
    const failed = rows.filter(({ status }) => status !== 'pass')
    assert.deepEqual(failed.map(({ name, version, note }) => `${name} v${version}: ${note}`), [])
  })

  test('everything that is advertised was asked', () => {
    assert.ok(advertised.length > 200)
    assert.deepEqual(rows.map(({ key, version }) => `${key} ${version}`).toSorted(), advertised.toSorted())
  })

  test('the broker complained of nothing', () => {
    assert.deepEqual(broker?.log.filter(({ level }) => level === 'error' || level === 'fatal') ?? [], [])
  })

  test('every-version.json holds what passed (RECORD=1 writes it)', { skip: kafka !== undefined }, () => {
    const results = resultsOf(rows)
    if (process.env['RECORD'] === '1') writeFileSync(resultsFile, `${JSON.stringify({ kafkaClients: KAFKA_VERSION, apis: results }, null, 1)}\n`)
    assert.deepEqual(recordedResults(), results)
  })
})

function resultsOf(all: readonly Row[]): readonly ApiResult[] {
  const byKey = Map.groupBy(all.filter(({ status }) => status === 'pass').toSorted((a, b) => a.key - b.key || a.version - b.version), ({ key }) => key)
  return [...byKey.values()].map((passed) => ({
    key: passed[0]!.key,
    name: passed[0]!.name,
    first: passed[0]!.version,
    last: passed.at(-1)!.version,
    passed: passed.length,
    seen: passed.at(-1)!.note,
  }))
}

function parse(text: string): readonly Row[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [status = '', key = '', name = '', version = '', note = ''] = line.split('\t')
      return { status, key: Number(key), name, version: Number(version), note }
    })
}

async function advertisedBy(address: string): Promise<string[]> {
  const client = await RawClient.connect(address)
  const { apiKeys } = await client.send(ApiVersions, 3, { clientSoftwareName: 'every-version', clientSoftwareVersion: '1' })
  client.close()
  return apiKeys.filter(({ apiKey }) => isServed(apiKey)).flatMap(({ apiKey, minVersion, maxVersion }) => (
    Array.from({ length: maxVersion - minVersion + 1 }, (_, index) => `${apiKey} ${minVersion + index}`)
  ))
}

function isServed(key: number): boolean {
  return kafka === undefined || registry.some(({ api }) => api.key === key)
}

/** Standard output, whether the program ends well or not: failures are lines of it. */
function output(command: string, args: readonly string[]): Promise<string> {
  return new Promise((done, fail) => {
    execFile(command, args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null && stdout === '') fail(new Error(`${command} printed nothing: ${stderr.slice(-2000)}`))
      else done(stdout)
    })
  })
}

/** kafka-clients and what it needs at run time: beside it in Maven's repository, or in the same folder. */
function classPath(clients: string): string {
  const folder = dirname(clients)
  const repository = resolve(folder, '../../../../..')
  const needed = ['org/slf4j/slf4j-api', 'at/yawk/lz4/lz4-java', 'org/lz4/lz4-java', 'org/xerial/snappy/snappy-java', 'com/github/luben/zstd-jni']
  const found = needed.flatMap((artifact) => globSync(join(repository, artifact, '*/*.jar')).toSorted().slice(-1))
  return [clients, ...found, ...globSync(join(folder, '*.jar'))].join(':')
}

function hasJdk(): boolean {
  try {
    execFileSync('javac', ['-version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
