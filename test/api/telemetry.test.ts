/** Metrics of clients (KIP-714): what is asked of whom, what a push may hold, and where it shows. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { IncrementalAlterConfigs } from '../../protocol/messages/44-incremental-alter-configs.ts'
import { GetTelemetrySubscriptions } from '../../protocol/messages/71-get-telemetry-subscriptions.ts'
import { PushTelemetry } from '../../protocol/messages/72-push-telemetry.ts'
import { compress } from '../../protocol/records/compression.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import { OtlpError, readMetrics } from '../../src/metrics/otlp.ts'
import type { RawClient } from '../support/raw-client.ts'
import { freshName, isError, onlyHere, useBroker } from './support.ts'

const subject = useBroker()
const CLIENT_METRICS = 16
const ZSTD = 4

function field(number: number, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content)
  const length: number[] = []
  for (let left = bytes.length; ; left >>>= 7) {
    length.push(left > 0x7f ? (left & 0x7f) | 0x80 : left)
    if (left <= 0x7f) break
  }
  return Buffer.concat([Buffer.of((number << 3) | 2), Buffer.from(length), bytes])
}

/** MetricsData with one gauge and one sum. */
function metricsData(): Buffer {
  const double = Buffer.alloc(9)
  double[0] = (4 << 3) | 1
  double.writeDoubleLE(2.5, 1)
  const integer = Buffer.alloc(9)
  integer[0] = (6 << 3) | 1
  integer.writeBigInt64LE(-7n, 1)
  const attribute = field(7, Buffer.concat([field(1, 'topic'), field(2, field(1, 'orders'))]))
  const gauge = Buffer.concat([field(1, 'org.apache.kafka.producer.rate'), field(5, field(1, Buffer.concat([double, attribute])))])
  const sum = Buffer.concat([field(1, 'org.apache.kafka.consumer.count'), field(7, field(1, integer))])
  return field(1, field(2, Buffer.concat([field(2, gauge), field(2, sum)])))
}

async function want(name: string, configs: Readonly<Record<string, string>>): Promise<void> {
  const changes = Object.entries(configs).map(([key, value]) => ({ name: key, configOperation: value === '' ? 1 : 0, value: value === '' ? null : value }))
  const resources = [{ resourceType: CLIENT_METRICS, resourceName: name, configs: changes }]
  isError((await subject.client.send(IncrementalAlterConfigs, 1, { resources, validateOnly: false })).responses[0]!.errorCode, 'NONE')
}

async function ask(client: RawClient, clientInstanceId = ZERO_UUID) {
  return await client.send(GetTelemetrySubscriptions, 0, { clientInstanceId })
}

describe('client telemetry', onlyHere, () => {
  test('nobody is asked for anything without a subscription', async () => {
    const { errorCode, clientInstanceId, requestedMetrics, pushIntervalMs } = await ask(subject.client)
    isError(errorCode, 'NONE')
    assert.notEqual(clientInstanceId, ZERO_UUID)
    assert.deepEqual([requestedMetrics, pushIntervalMs], [[], 300_000])
  })

  test('subscriptions that fit the client are joined, and what it pushes shows in Prometheus', async () => {
    const clientId = freshName('app')
    await want('a', { metrics: 'org.apache.kafka.producer.', 'interval.ms': '60000', match: `client_id=${clientId},client_software_name=tes.` })
    await want('b', { metrics: 'org.apache.kafka.admin.', 'interval.ms': '90000', match: `client_id=${clientId}` })
    await want('c', { metrics: 'never.', match: 'client_id=somebody-else' })
    const client = await subject.connect(clientId)
    await client.send(ApiVersions, 4, { clientSoftwareName: 'test', clientSoftwareVersion: '1' })
    const subscription = await ask(client)
    assert.deepEqual([...subscription.requestedMetrics], ['org.apache.kafka.admin.', 'org.apache.kafka.producer.'])
    assert.equal(subscription.pushIntervalMs, 60_000)
    const { clientInstanceId, subscriptionId } = subscription
    const push = { clientInstanceId, subscriptionId, terminating: false, compressionType: ZSTD, metrics: compress(ZSTD, metricsData()) }
    isError((await client.send(PushTelemetry, 0, push)).errorCode, 'NONE')
    const shown = (await (await fetch(`${subject.broker.http}/metrics`)).text()).split('\n').filter((line) => line.startsWith('bayou_client_metric{') && line.includes(clientId))
    assert.equal(shown.length, 1, 'what nobody asked for is left out')
    assert.match(shown[0]!, /name="org\.apache\.kafka\.producer\.rate",attributes="topic=orders"\} 2\.5$/)
    isError((await client.send(PushTelemetry, 0, push)).errorCode, 'THROTTLING_QUOTA_EXCEEDED', 'too early')
    isError((await client.send(PushTelemetry, 0, { ...push, terminating: true })).errorCode, 'NONE')
    isError((await client.send(PushTelemetry, 0, push)).errorCode, 'INVALID_REQUEST', 'after the end')
    await want('a', { metrics: '', 'interval.ms': '', match: '' })
    await want('b', { metrics: '', 'interval.ms': '', match: '' })
  })

  test('a subscription that changed makes the client ask again', async () => {
    const client = await subject.connect('changing')
    const { clientInstanceId, subscriptionId } = await ask(client)
    isError((await ask(client, clientInstanceId)).errorCode, 'THROTTLING_QUOTA_EXCEEDED', 'asked a moment ago')
    await want('d', { metrics: '*', match: 'client_id=changing' })
    const push = { clientInstanceId, subscriptionId, terminating: false, compressionType: 0, metrics: Buffer.alloc(0) }
    isError((await client.send(PushTelemetry, 0, push)).errorCode, 'UNKNOWN_SUBSCRIPTION_ID')
    const changed = await ask(client, clientInstanceId)
    isError(changed.errorCode, 'NONE')
    assert.deepEqual([...changed.requestedMetrics], [''])
    assert.notEqual(changed.subscriptionId, subscriptionId)
    await want('d', { metrics: '', match: '' })
  })

  test('bombs, garbage and strangers are refused', async () => {
    const refuse = async (compressionType: number, metrics: Uint8Array) => {
      const client = await subject.connect(freshName('hostile'))
      const { clientInstanceId, subscriptionId } = await ask(client)
      return (await client.send(PushTelemetry, 0, { clientInstanceId, subscriptionId, terminating: false, compressionType, metrics })).errorCode
    }
    isError(await refuse(ZSTD, compress(ZSTD, Buffer.alloc(64 << 20))), 'TELEMETRY_TOO_LARGE')
    isError(await refuse(0, Buffer.alloc((1 << 20) + 1)), 'TELEMETRY_TOO_LARGE')
    isError(await refuse(ZSTD, Buffer.from('nonsense')), 'INVALID_RECORD')
    isError(await refuse(0, Buffer.from('0aff', 'hex')), 'INVALID_RECORD')
    isError(await refuse(9, Buffer.from('00', 'hex')), 'UNSUPPORTED_COMPRESSION_TYPE')
    const push = { subscriptionId: 1, terminating: false, compressionType: 0, metrics: Buffer.alloc(0) }
    isError((await subject.client.send(PushTelemetry, 0, { ...push, clientInstanceId: ZERO_UUID })).errorCode, 'INVALID_REQUEST')
    isError((await subject.client.send(PushTelemetry, 0, { ...push, clientInstanceId: 'dGVzdC10b3BpYy1pZC0wMA' })).errorCode, 'UNKNOWN_SUBSCRIPTION_ID')
  })
})

test('every truncation of metrics is an OtlpError or less, never another one', () => {
  const whole = metricsData()
  assert.deepEqual(readMetrics(whole, 10).map(({ name, value }) => [name, value]), [['org.apache.kafka.producer.rate', 2.5], ['org.apache.kafka.consumer.count', -7]])
  assert.equal(readMetrics(whole, 1).length, 1)
  for (let length = 1; length < whole.length; length++) assert.throws(() => readMetrics(whole.subarray(0, length), 10), OtlpError)
})
