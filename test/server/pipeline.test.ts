import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeResponseFrame, encodeRequestFrame } from '../../protocol/messages/header.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { Echo, correlationId, decodeEcho, echoFrame, echoHandler, eventually, gate, RawClient, recordingLogger, startTestServer } from './harness.ts'
import type { EchoRequest } from './harness.ts'

test('a request that arrives byte by byte is answered', async t => {
  const { port } = await startTestServer(t, [echoHandler()])
  const client = await RawClient.connect(port, t)
  client.socket.setNoDelay(true)
  for (const byte of echoFrame(7, Buffer.from('slow'))) {
    client.write(Buffer.of(byte))
    await new Promise(resolve => setImmediate(resolve))
  }
  const [frame] = await client.receive(1)
  assert.deepEqual({ ...decodeEcho(frame!, 7) }, { errorCode: 0, id: 7, payload: new Uint8Array(Buffer.from('slow')) })
})

test('requests are started as they arrive and answered in order', async t => {
  const started: number[] = []
  const gates = [gate(), gate(), gate()]
  const handler = echoHandler(async request => {
    started.push(request.id)
    await gates[request.id]!.promise
    return request
  })
  const { port } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t)
  client.write(Buffer.concat([echoFrame(0), echoFrame(1), echoFrame(2)]))
  await eventually(() => started.length === 3, 'all three are started while the first waits')
  gates[2]!.open()
  gates[1]!.open()
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(client.frames.length, 0, 'nothing overtakes the first')
  gates[0]!.open()
  assert.deepEqual((await client.receive(3)).map(correlationId), [0, 1, 2])
})

test('large answers are worked on one at a time, and nothing else waits for them', async t => {
  const started: number[] = []
  const gates = Array.from({ length: 6 }, () => gate())
  const work = async (request: EchoRequest): Promise<EchoRequest> => {
    started.push(request.id)
    await gates[request.id]!.promise
    return request
  }
  const handler = { ...echoHandler(work), oneAtATime: true }
  const other = { ...echoHandler(work), api: { ...Echo, key: 501 } } as typeof handler
  const otherFrame = (id: number): Buffer => {
    const frame = echoFrame(id)
    frame.writeInt16BE(501, 4)
    return frame
  }
  const { port, server } = await startTestServer(t, [handler, { ...other, oneAtATime: false }])
  const client = await RawClient.connect(port, t)
  client.write(Buffer.concat([echoFrame(0), echoFrame(1), otherFrame(2), echoFrame(3)]))
  await eventually(() => started.length === 2, 'the first of each')
  assert.deepEqual(started, [0, 2])
  gates[2]!.open()
  gates[0]!.open()
  await eventually(() => started.length === 3, 'the second one')
  gates[1]!.open()
  await eventually(() => started.length === 4, 'the third one')
  gates[3]!.open()
  assert.deepEqual((await client.receive(4)).map(correlationId), [0, 1, 2, 3])
  assert.deepEqual(started, [0, 2, 1, 3])
  // One that is gone leaves nothing behind.
  client.write(Buffer.concat([echoFrame(4), echoFrame(5), echoFrame(1)]))
  await eventually(() => started.includes(4), 'the next round')
  client.socket.resetAndDestroy()
  await eventually(() => server.connections === 0, 'the connection is gone')
  gates[4]!.open()
  await eventually(() => server.budget.usedBytes === 0, 'all memory came back')
  assert.ok(!started.includes(5))
})

test('a client that half-closes gets the answers to all that it has asked', async t => {
  const handler = { ...echoHandler(async request => request), oneAtATime: true }
  const { port, server } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t, { allowHalfOpen: true })
  client.socket.end(Buffer.concat([0, 1, 2, 3].map(id => echoFrame(id))))
  assert.deepEqual((await client.receive(4)).map(correlationId), [0, 1, 2, 3])
  await client.receiveEnd()
  client.socket.destroy()
  await eventually(() => server.budget.usedBytes === 0, 'all memory came back')
})

test('an answer that waits for the one before it is in the memory budget', async t => {
  const first = gate()
  const handler = echoHandler(async request => {
    if (request.id === 0) await first.promise
    return { id: request.id, payload: Buffer.alloc(100_000) }
  })
  const { port, server } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t)
  client.write(Buffer.concat([0, 1, 2, 3].map(id => echoFrame(id))))
  await eventually(() => server.budget.usedBytes > 300_000, 'three answers are counted')
  first.open()
  await client.receive(4)
  await eventually(() => server.budget.usedBytes === 0, 'all memory came back')
})

test('who waits for an answer to be sent hears of it when the client has taken it, and never when the client leaves', async t => {
  const sent: number[] = []
  const handler = echoHandler((request, context) => {
    context.whenSent(() => sent.push(request.id))
    return { id: request.id, payload: Buffer.alloc(request.id === 1 ? 16_000_000 : 10) }
  })
  const { port, server } = await startTestServer(t, [handler], { budgetBytes: 1e9 })
  const client = await RawClient.connect(port, t)
  client.write(echoFrame(0))
  await client.receive(1)
  await eventually(() => sent.length === 1, 'the small one was sent')
  client.socket.pause()
  client.write(Buffer.concat([echoFrame(1), echoFrame(2)]))
  await eventually(() => server.budget.usedBytes > 4_000_000, 'the large one is on its way')
  assert.deepEqual(sent, [0])
  client.socket.resume()
  await client.receive(3)
  await eventually(() => sent.length === 3, 'all were sent')
  assert.deepEqual(sent, [0, 1, 2])
  client.socket.pause()
  client.write(echoFrame(1))
  await eventually(() => server.budget.usedBytes > 4_000_000, 'the next one is on its way')
  client.socket.resetAndDestroy()
  await eventually(() => server.connections === 0, 'the connection is gone')
  assert.equal(sent.length, 3)
})

test('a thousand requests in one write come back in order, answered at once or later', async t => {
  const handler = echoHandler(request => (request.id % 3 === 0 ? Promise.resolve(request) : request))
  const { port, observed } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t)
  const ids = Array.from({ length: 1000 }, (_, id) => id)
  client.write(Buffer.concat(ids.map(id => echoFrame(id, Buffer.alloc(id)))))
  const frames = await client.receive(1000)
  assert.deepEqual(frames.map(correlationId), ids)
  assert.ok(frames.every((frame, id) => decodeEcho(frame, id).payload.length === id))
  assert.equal(observed.requests.length, 1000)
})

test('no more than the allowed requests are in flight', async t => {
  let running = 0
  let most = 0
  const handler = echoHandler(async request => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setTimeout(resolve, 1))
    running--
    return request
  })
  const { port } = await startTestServer(t, [handler], { inflightMax: 4 })
  const client = await RawClient.connect(port, t)
  client.write(Buffer.concat(Array.from({ length: 40 }, (_, id) => echoFrame(id))))
  assert.equal((await client.receive(40)).length, 40)
  assert.equal(most, 4)
})

test('a request without an answer (acks=0) does not hold up the next, and can close the connection', async t => {
  const handler = echoHandler((request, context) => {
    if (request.id === 9) context.closeConnection()
    return request.id === 1 ? request : null
  })
  const { port } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t)
  client.write(Buffer.concat([echoFrame(0), echoFrame(1), echoFrame(9), echoFrame(1)]))
  await client.receiveEnd()
  assert.deepEqual(client.frames.map(correlationId), [1], 'what came before is answered, what comes behind is not')
})

test('a connection that its client has half closed ends with the answer that closes it, and holds nothing', async t => {
  const late = gate()
  const over = gate()
  const handler = echoHandler(async (request, context) => {
    context.signal.addEventListener('abort', () => over.open(), { once: true })
    await late.promise
    context.closeConnection()
    return request
  })
  const { port, server } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t)
  client.socket.end(echoFrame(1))
  await over.promise
  late.open()
  await client.receiveEnd()
  assert.deepEqual(client.frames.map(correlationId), [1])
  client.socket.destroy()
  await eventually(() => server.connections === 0 && server.budget.usedBytes === 0, 'nothing is left behind')
})

test('closeConnection after an answer sends the answer first', async t => {
  const handler = echoHandler(async (request, context) => {
    await Promise.resolve()
    context.closeConnection()
    return request
  })
  const { port } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t)
  client.write(echoFrame(3))
  await client.receiveEnd()
  assert.deepEqual(client.frames.map(correlationId), [3])
})

test('a handler that throws is an answer, and the connection lives on', async t => {
  const handler = echoHandler(request => {
    if (request.id === 1) throw new Error('sync')
    if (request.id === 2) return Promise.reject(new Error('async'))
    if (request.id === 3) return { id: 0.5, payload: request.payload }
    return request
  })
  const { log, lines } = recordingLogger()
  const { port, observed } = await startTestServer(t, [handler], {}, log)
  const client = await RawClient.connect(port, t)
  client.write(Buffer.concat([0, 1, 2, 3, 4].map(id => echoFrame(id))))
  const frames = await client.receive(5)
  assert.deepEqual(frames.map((frame, id) => decodeEcho(frame, id).errorCode), [0, -1, -1, -1, 0])
  assert.equal(observed.requests.filter(request => request.errorCode === -1).length, 3)
  assert.equal(lines.length, 3)
})

test('ApiVersions in an unknown version is answered in version 0 with key 18 alone (KIP-511)', async t => {
  const { port } = await startTestServer(t, [])
  const client = await RawClient.connect(port, t)
  const body = { clientSoftwareName: 'a', clientSoftwareVersion: '1' }
  const frame = Buffer.concat(encodeRequestFrame(ApiVersions, 4, { correlationId: 77, clientId: 'x' }, body))
  frame.writeInt16BE(99, 6)
  client.write(frame)
  const [answer] = await client.receive(1)
  const response = decodeResponseFrame(ApiVersions, 0, 77, answer!)
  assert.equal(response.errorCode, 35)
  assert.deepEqual(response.apiKeys.map(key => ({ ...key })), [{ apiKey: 18, minVersion: 0, maxVersion: 4 }])
})

test('a version that the codec knows and the server does not serve gets UNSUPPORTED_VERSION', async t => {
  const { port } = await startTestServer(t, [echoHandler()])
  const client = await RawClient.connect(port, t)
  client.write(echoFrame(1, Buffer.alloc(0), 2))
  const [frame] = await client.receive(1)
  assert.equal(decodeEcho(frame!, 1).errorCode, 35)
})

test('interceptors answer, delay and change', async t => {
  const { port, dispatcher } = await startTestServer(t, [echoHandler()])
  const client = await RawClient.connect(port, t)
  const remove = dispatcher.intercept(500, async (_request, _context, next) => ({ ...((await next()) as object), errorCode: 42 }))
  client.write(echoFrame(1))
  assert.equal(decodeEcho((await client.receive(1))[0]!, 1).errorCode, 42)
  remove()
  client.write(echoFrame(2))
  assert.equal(decodeEcho((await client.receive(2))[1]!, 2).errorCode, 0)
})

test('a client that closes its half still gets what it asked for', async t => {
  const opened = gate()
  const { port } = await startTestServer(t, [echoHandler(request => opened.promise.then(() => request))])
  const client = await RawClient.connect(port, t, { allowHalfOpen: true })
  client.socket.end(echoFrame(5))
  await new Promise(resolve => setTimeout(resolve, 20))
  opened.open()
  assert.deepEqual((await client.receive(1)).map(correlationId), [5])
  await client.receiveEnd()
})

test('the signal tells a waiting handler that its client is gone', async t => {
  const aborted = gate<boolean>()
  const handler = echoHandler((request, context) => {
    context.signal.addEventListener('abort', () => aborted.open(true))
    return new Promise(resolve => context.signal.addEventListener('abort', () => resolve(request)))
  })
  const { port, server } = await startTestServer(t, [handler])
  const client = await RawClient.connect(port, t)
  client.write(echoFrame(1))
  await eventually(() => server.budget.usedBytes > 0, 'the request is there')
  client.socket.destroy()
  assert.equal(await aborted.promise, true)
  await eventually(() => server.connections === 0 && server.budget.usedBytes === 0, 'connection and memory are free')
})
