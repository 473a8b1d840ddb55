import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Listener } from '../../src/server/listener.ts'
import { correlationId, echoFrame, echoHandler, gate, RawClient, startTestServer } from './harness.ts'

test('a stop answers what is in flight, closes idle connections and accepts no more', async t => {
  const late = gate()
  const { port, server } = await startTestServer(t, [echoHandler(request => late.promise.then(() => request))])
  const busy = await RawClient.connect(port, t)
  const idle = await RawClient.connect(port, t)
  busy.write(Buffer.concat([echoFrame(1), echoFrame(2), echoFrame(3).subarray(0, 10)]))
  while (server.budget.usedBytes === 0) await new Promise(resolve => setImmediate(resolve))
  const stopped = server.stop(5000)
  await idle.receiveEnd()
  await assert.rejects(RawClient.connect(port, t), { code: 'ECONNREFUSED' })
  busy.write(echoFrame(4))
  late.open()
  await busy.receiveEnd()
  assert.deepEqual(busy.frames.map(correlationId), [1, 2])
  await stopped
  assert.equal(server.connections, 0)
  assert.equal(server.budget.usedBytes, 0)
})

test('handlers that wait are told by their signal, and a stop does not wait longer than it may', async t => {
  const handler = echoHandler((request, { signal }) =>
    request.id === 1 ? new Promise(resolve => signal.addEventListener('abort', () => resolve(request))) : new Promise(() => {}),
  )
  const { port, server } = await startTestServer(t, [handler])
  const polite = await RawClient.connect(port, t)
  const stubborn = await RawClient.connect(port, t)
  polite.write(echoFrame(1))
  stubborn.write(echoFrame(2))
  while (server.budget.usedBytes < 2 * echoFrame(1).length) await new Promise(resolve => setImmediate(resolve))
  const started = performance.now()
  await server.stop(100)
  assert.ok(performance.now() - started < 2000)
  await polite.until(() => polite.closed)
  assert.deepEqual(polite.frames.map(correlationId), [1])
  await stubborn.until(() => stubborn.closed)
  assert.equal(stubborn.frames.length, 0)
})

test('clients that connect while nobody serves wait, and are served then', async t => {
  const listener = await Listener.bind({ host: '127.0.0.1', port: 0 })
  const early = await RawClient.connect(listener.address.port, t)
  early.write(echoFrame(1))
  await assert.rejects(Listener.bind(listener.address), { code: 'EADDRINUSE' })
  const { server } = await startTestServer(t, [echoHandler()])
  assert.equal(early.frames.length, 0)
  server.serve(listener)
  assert.deepEqual((await early.receive(1)).map(correlationId), [1])
})
