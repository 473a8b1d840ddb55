import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { startHttpServer } from '../../src/http/http-server.ts'
import type { HttpSource, TopicDetail } from '../../src/http/http-source.ts'
import { silentLogger } from '../../src/logging.ts'
import { Metrics } from '../../src/metrics/metrics.ts'

const orders: TopicDetail = {
  name: 'orders',
  id: 'AAAAAAAAAAAAAAAAAAAAAQ',
  internal: false,
  partitions: [
    { partition: 0, leaderEpoch: 3, logStartOffset: 0, flushedOffset: 90, highWatermark: 100, lastStableOffset: 100, logEndOffset: 105 },
    { partition: 1, leaderEpoch: 3, logStartOffset: 0, flushedOffset: 5, highWatermark: 5, lastStableOffset: 5, logEndOffset: 5 },
  ],
  table: { location: '/data/topics/orders', version: 12 },
}

async function start(t: TestContext, source: Partial<HttpSource> = {}, metrics = new Metrics({ process: false })): Promise<(path: string) => Promise<Response>> {
  const server = await startHttpServer({
    address: { host: '127.0.0.1', port: 0 },
    source: {
      notReady: () => null,
      topics: () => [{ name: 'orders', id: orders.id, internal: false, partitions: 2 }],
      topic: name => (name === 'orders' ? orders : null),
      ...source,
    },
    registry: metrics.registry,
    log: silentLogger(),
  })
  t.after(() => server.close())
  return path => fetch(`http://127.0.0.1:${server.address.port}${path}`)
}

test('live is about the process, ready is about serving clients', async t => {
  let reason: string | null = 'recovering'
  const get = await start(t, { notReady: () => reason })
  assert.equal((await get('/health/live')).status, 200)
  const recovering = await get('/health/ready')
  assert.equal(recovering.status, 503)
  assert.deepEqual(await recovering.json(), { status: 'not ready', reason: 'recovering' })
  reason = null
  assert.equal((await get('/health/ready')).status, 200)
})

test('topics are listed, and one is shown with offsets and what is not in its table yet', async t => {
  const get = await start(t)
  assert.deepEqual(await (await get('/v1/topics')).json(), { topics: [{ name: 'orders', id: orders.id, internal: false, partitions: 2 }] })
  const topic = (await (await get('/v1/topics/orders')).json()) as { partitions: { unflushedRecords: number }[]; table: object }
  assert.deepEqual(topic.partitions.map(partition => partition.unflushedRecords), [10, 0])
  assert.deepEqual(topic.table, { location: '/data/topics/orders', version: 12, unflushedRecords: 10 })
})

test('what is not there is a 404 with a reason, a failure a 500 without details', async t => {
  const get = await start(t, {
    topics: () => {
      throw new Error('secret detail')
    },
  })
  assert.deepEqual(await (await get('/v1/topics/nope')).json(), { error: 'no such topic: nope' })
  assert.equal((await get('/nowhere')).status, 404)
  const failed = await get('/v1/topics')
  assert.equal(failed.status, 500)
  assert.ok(!(await failed.text()).includes('secret'))
})

test('metrics show what was recorded', async t => {
  const metrics = new Metrics({ process: false })
  const get = await start(t, {}, metrics)
  metrics.watch({ flushLagSeconds: () => 1.5, hotCacheBytes: () => 42 })
  metrics.request('Produce', 0, 0.003, 100, 50)
  metrics.request('Produce', 6, 0.003, 100, 50)
  metrics.produced('orders', 100, 7)
  metrics.segmentWritten(1000, 3, 12)
  metrics.storeOperation({ operation: 'putIfAbsent', outcome: 'exists', ms: 4, bytes: 1000 })
  metrics.connectionOpened()
  const response = await get('/metrics')
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain/)
  const text = await response.text()
  for (const line of [
    'bayou_requests_total{api="Produce",error="NONE"} 1',
    'bayou_requests_total{api="Produce",error="NOT_LEADER_OR_FOLLOWER"} 1',
    'bayou_request_seconds_bucket{le="0.005",api="Produce"} 2',
    'bayou_produced_bytes_total{topic="orders"} 100',
    'bayou_produced_records_total{topic="orders"} 7',
    'bayou_lane_segments_total 1',
    'bayou_lane_put_seconds_count 1',
    'bayou_store_operations_total{operation="putIfAbsent",outcome="exists"} 1',
    'bayou_connections 1',
    'bayou_flush_lag_seconds 1.5',
    'bayou_cache_hot_bytes 42',
  ]) {
    assert.ok(text.split('\n').includes(line), `${line} in\n${text}`)
  }
})

test('a scrape stays small whatever the number of topics', async () => {
  const metrics = new Metrics({ process: false })
  for (let i = 0; i < 5000; i++) metrics.produced(`topic-${i}`, 1, 1)
  const text = await metrics.registry.metrics()
  assert.ok(text.split('\n').length < 1500)
  assert.match(text, /bayou_produced_bytes_total\{topic="\(other\)"\} 4800/)
})

test('a port that is in use is an error with the code of the system', async t => {
  const get = await start(t)
  const port = Number(new URL((await get('/health/live')).url).port)
  const options = { source: { notReady: () => null, topics: () => [], topic: () => null }, registry: new Metrics({ process: false }).registry, log: silentLogger() }
  await assert.rejects(startHttpServer({ address: { host: '127.0.0.1', port }, ...options }), { code: 'EADDRINUSE' })
})
