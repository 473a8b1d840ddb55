/** What Apache Kafka's performance tools (4.3) print. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseConsumerPerformance, parseEndToEndLatency, parseProducerPerformance } from '../../bench/peers/kafka-tools.ts'

it('reads the last line of ProducerPerformance, which is about the whole', () => {
  const output = [
    '73621 records sent, 14724.2 records/sec (1.40 MB/sec), 1200.0 ms avg latency, 1500.0 ms max latency.',
    '1000000 records sent, 250000.5 records/sec (23.84 MB/sec), 12.30 ms avg latency, 99.00 ms max latency, 10 ms 50th, 30 ms 95th, 45 ms 99th, 80 ms 99.9th.',
  ].join('\n')
  const { megabytesPerSecond, ...numbers } = parseProducerPerformance(output)
  assert.deepEqual(numbers, { recordsPerSecond: 250_000.5, meanMs: 12.3, maxMs: 99, p50Ms: 10, p99Ms: 45 })
  assert.ok(Math.abs((megabytesPerSecond ?? 0) - 25) < 0.01, 'MB of the tool are MiB')
  assert.throws(() => parseProducerPerformance('org.apache.kafka.common.errors.TimeoutException'), /TimeoutException/)
})

it('reads ConsumerPerformance by the names of its columns', () => {
  const output = [
    'start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec',
    '2026-01-01 00:00:00:000, 2026-01-01 00:00:05:000, 95.3674, 19.0, 1000000, 200000.0, 3500, 1500, 63.5783, 666666.6667',
  ].join('\n')
  const numbers = parseConsumerPerformance(output)
  assert.equal(numbers['recordsPerSecond'], 666_666.6667)
  assert.equal(numbers['rebalanceMs'], 3500)
  assert.throws(() => parseConsumerPerformance('nothing'), /nothing/)
})

it('reads EndToEndLatency', () => {
  const output = '0\t41.2\n1000\t3.1\nAvg latency: 3.4567 ms\nPercentiles: 50th = 3, 99th = 9, 99.9th = 41\n'
  assert.deepEqual(parseEndToEndLatency(output), { meanMs: 3.4567, p50Ms: 3, p99Ms: 9, p999Ms: 41 })
  assert.throws(() => parseEndToEndLatency(''), /EndToEndLatency/)
})
