import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { correlationId, echoFrame, echoHandler, eventually, gate, hurriedClock, RawClient, recordingLogger, startTestServer } from './harness.ts'

const KiB = 1024

test('a request that is larger than the whole budget gets through', async t => {
  const { port, server } = await startTestServer(t, [echoHandler()], { budgetBytes: 10 * KiB })
  const client = await RawClient.connect(port, t)
  client.write(Buffer.concat([echoFrame(1, Buffer.alloc(500 * KiB)), echoFrame(2)]))
  assert.deepEqual((await client.receive(2)).map(correlationId), [1, 2])
  await eventually(() => server.budget.usedBytes === 0, 'all memory is free')
})

test('many large requests at once all get through a budget that holds one of them', async t => {
  let running = 0
  const handler = echoHandler(async request => {
    running++
    await new Promise(resolve => setTimeout(resolve, 1))
    running--
    return { id: request.id, payload: Buffer.alloc(100) }
  })
  const { port, server } = await startTestServer(t, [handler], { budgetBytes: 250 * KiB })
  let most = 0
  const probe = setInterval(() => (most = Math.max(most, server.budget.usedBytes)), 1)
  t.after(() => clearInterval(probe))
  const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(port, t)))
  for (const client of clients) client.write(Buffer.concat([1, 2, 3].map(id => echoFrame(id, Buffer.alloc(200 * KiB)))))
  for (const client of clients) assert.deepEqual((await client.receive(3)).map(correlationId), [1, 2, 3])
  await eventually(() => server.budget.usedBytes === 0, 'all memory is free')
  assert.equal(running, 0)
  // The limit, one chunk that each socket had already been read for, and one request beyond.
  assert.ok(most < 250 * KiB + 20 * 64 * KiB + 200 * KiB, `${most} bytes`)
})

test('half requests that fill the budget do not stop the others', async t => {
  const { log, lines } = recordingLogger()
  const { port, server } = await startTestServer(t, [echoHandler()], { budgetBytes: 100 * KiB }, log, hurriedClock(100))
  const halves = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(port, t)))
  for (const half of halves) half.write(echoFrame(1, Buffer.alloc(60 * KiB)).subarray(0, 30 * KiB))
  await eventually(() => server.budget.exhausted, 'the budget is used up')
  const client = await RawClient.connect(port, t)
  client.write(echoFrame(7, Buffer.alloc(20 * KiB)))
  assert.deepEqual((await client.receive(1)).map(correlationId), [7])
  assert.match(lines[0]!.message, /memory for requests is short and this client hardly moves/)
  assert.ok(halves.some(half => half.closed || half.ended), 'clients that hold memory and do not move are closed')
})

test('clients that take their answers, though slowly, are not taken for stalled', async t => {
  const handler = echoHandler(request => ({ id: request.id, payload: Buffer.alloc(900 * KiB) }))
  const { port } = await startTestServer(t, [handler], { budgetBytes: 500 * KiB }, undefined, hurriedClock(50))
  const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(port, t)))
  for (const client of clients) {
    client.write(Buffer.concat([echoFrame(1), echoFrame(2)]))
    client.socket.on('data', () => {
      client.socket.pause()
      setTimeout(() => client.socket.resume(), 2)
    })
  }
  for (const client of clients) assert.deepEqual((await client.receive(2)).map(correlationId), [1, 2])
})

test('a client that needs long for one large answer, but takes it all the time, is not taken for stalled', async t => {
  const answerBytes = 24 * KiB * KiB
  const handler = echoHandler(request => ({ id: request.id, payload: Buffer.alloc(request.id === 1 ? answerBytes : 0) }))
  const { port, server } = await startTestServer(t, [handler], { budgetBytes: 500 * KiB }, undefined, hurriedClock(20))
  let waited = 0
  const slow = await Promise.all(Array.from({ length: 3 }, async () => {
    const socket = connect({ host: '127.0.0.1', port })
    t.after(() => socket.destroy())
    let taken = 0
    socket.on('data', chunk => {
      taken += chunk.length
      waited = Math.max(waited, server.budget.waiting)
      socket.pause()
      setTimeout(() => socket.resume(), 2)
    })
    socket.write(Buffer.concat([echoFrame(1), echoFrame(2)]))
    await once(socket, 'data')
    return { socket, taken: () => taken }
  }))
  const done = slow.map(({ socket, taken }) => eventually(() => socket.closed || taken() > answerBytes, 'the whole answer', 30_000))
  await Promise.all(done)
  assert.ok(waited > 0, 'memory was short')
  assert.deepEqual(slow.map(({ socket }) => socket.closed), [false, false, false])
})

test('requests wait while the memory is held, and go on when it is free', async t => {
  const held = gate()
  const { port, server, observed } = await startTestServer(t, [echoHandler(request => (request.id === 0 ? held.promise.then(() => request) : request))], {
    budgetBytes: 64 * KiB,
  })
  const holder = await RawClient.connect(port, t)
  holder.write(echoFrame(0, Buffer.alloc(100 * KiB)))
  await eventually(() => server.budget.exhausted && server.budget.waiting === 1, 'the budget is used up')
  const waiting = await RawClient.connect(port, t)
  waiting.write(echoFrame(1, Buffer.alloc(KiB)))
  await eventually(() => server.budget.waiting === 2, 'the second waits')
  assert.equal(observed.requests.length, 0)
  held.open()
  await Promise.all([holder.receive(1), waiting.receive(1)])
  await eventually(() => server.budget.usedBytes === 0, 'all memory is free')
})

test('a client that does not read its answers is not read any more, and the others are served', async t => {
  let handled = 0
  const handler = echoHandler(request => {
    handled++
    return request.id === 0 ? { id: 0, payload: Buffer.alloc(256 * KiB) } : request
  })
  const { port, server } = await startTestServer(t, [handler])
  const deaf = await RawClient.connect(port, t)
  deaf.socket.pause()
  deaf.write(Buffer.concat(Array.from({ length: 1000 }, () => echoFrame(0))))
  const other = await RawClient.connect(port, t)
  for (let id = 1; id <= 50; id++) {
    other.write(echoFrame(id))
    await other.receive(id)
  }
  assert.ok(handled - 50 < 200, `${handled - 50} of 1000 answers were made for nobody`)
  assert.ok(server.budget.usedBytes < 4 * KiB * KiB, `${server.budget.usedBytes} bytes are held`)
  deaf.socket.resume()
  assert.equal((await deaf.receive(1000)).length, 1000)
  await eventually(() => server.budget.usedBytes === 0, 'all memory is free')
})

test('connections that break in every state give back what they held', async t => {
  const never = gate()
  const handler = echoHandler(request => (request.id % 2 === 0 ? never.promise.then(() => request) : { id: 1, payload: Buffer.alloc(300 * KiB) }))
  const { port, server } = await startTestServer(t, [handler])
  const clients = await Promise.all(Array.from({ length: 12 }, () => RawClient.connect(port, t)))
  clients.forEach((client, i) => {
    client.socket.pause()
    const frames = [echoFrame(1), echoFrame(0), echoFrame(1), echoFrame(1, Buffer.alloc(1000)).subarray(0, 500)]
    client.write(Buffer.concat(frames.slice(i % 4)))
  })
  await eventually(() => server.budget.usedBytes > 0, 'something is held')
  await new Promise(resolve => setTimeout(resolve, 20))
  for (const client of clients) client.socket.resetAndDestroy()
  await eventually(() => server.connections === 0, 'all are gone')
  never.open()
  await eventually(() => server.budget.usedBytes === 0, 'all memory is free')
})
