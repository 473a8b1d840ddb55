import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { encodeRequestFrame } from '../../protocol/messages/header.ts'
import { correlationId, echoFrame, echoHandler, eventually, gate, RawClient, recordingLogger, startTestServer } from './harness.ts'

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

const apiVersionsFrame = Buffer.concat(
  encodeRequestFrame(ApiVersions, 3, { correlationId: 1, clientId: 'x' }, { clientSoftwareName: 'a', clientSoftwareVersion: '1' }),
)

/** What arrives, and what the log line that explains the close must say. */
const garbage: readonly [name: string, bytes: Buffer, says: RegExp][] = [
  ['a negative length', int32(-1), /not a request of the Kafka protocol/],
  ['a length of 2 GiB', Buffer.concat([int32(0x7fff_ffff), Buffer.alloc(100)]), /not a request of the Kafka protocol/],
  ['a length of zero', int32(0), /not a request/],
  ['a length of three', Buffer.concat([int32(3), Buffer.alloc(3)]), /not a request/],
  ['a TLS handshake', Buffer.from('16030100c8010000c40303', 'hex'), /TLS.*security\.protocol=PLAINTEXT/],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /HTTP request on the Kafka port/],
  ['an HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /HTTP request on the Kafka port/],
  ['an unknown API key', Buffer.concat([int32(10), Buffer.from('7fff0000000000010000', 'hex')]), /cannot be answered/],
  ['an unsupported version', echoFrame(1, Buffer.alloc(0)).fill(9, 7, 8), /cannot be answered/],
  ['a client id that runs out of the frame', Buffer.concat([int32(10), Buffer.from('00120000000000017fff', 'hex')]), /cannot be answered/],
  ['a body that ends early', Buffer.concat([int32(11), Buffer.from('0012000300000001ffff00', 'hex')]), /cannot be answered/],
  ['eight bytes of nothing', Buffer.concat([int32(8), Buffer.alloc(8)]), /cannot be answered/],
]

for (const [name, bytes, says] of garbage) {
  test(`${name} closes the connection with one line, after the answers that are owed`, async t => {
    const { log, lines } = recordingLogger()
    const { port, server } = await startTestServer(t, [echoHandler()], {}, log)
    for (let i = 0; i < 3; i++) {
      const client = await RawClient.connect(port, t)
      client.write(Buffer.concat([echoFrame(5), bytes]))
      await client.receiveEnd()
      assert.deepEqual(client.frames.map(correlationId), [5])
    }
    assert.equal(lines.length, 1, JSON.stringify(lines))
    assert.match(lines[0]!.message, says)
    assert.equal(lines[0]!.fields['client'], '/127.0.0.1')
    await eventually(() => server.connections === 0 && server.budget.usedBytes === 0, 'nothing is left behind')
    const alive = await RawClient.connect(port, t)
    alive.write(apiVersionsFrame)
    await alive.receive(1)
  })
}

test('garbage behind a request that is still worked on waits for its answer, and what follows is dropped', async t => {
  for (const [, bytes] of garbage) {
    const late = gate()
    const { log, lines } = recordingLogger()
    const { port, server, observed } = await startTestServer(t, [echoHandler(request => late.promise.then(() => request))], {}, log)
    const client = await RawClient.connect(port, t)
    client.write(Buffer.concat([echoFrame(1), bytes]))
    await eventually(() => lines.length > 0, 'the garbage was seen')
    for (let i = 0; i < 20; i++) {
      client.write(Buffer.concat([echoFrame(2, Buffer.alloc(50_000)), Buffer.alloc(50_000)]))
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.ok(server.budget.usedBytes <= echoFrame(1).length + bytes.length, `${server.budget.usedBytes} bytes are held`)
    late.open()
    await client.receiveEnd()
    assert.deepEqual(client.frames.map(correlationId), [1])
    assert.equal(observed.requests.length, 1)
    assert.equal(lines.length, 1)
    client.socket.destroy()
    await eventually(() => server.budget.usedBytes === 0, 'nothing is left behind')
  }
})

test('bytes behind a complete body are ignored', async t => {
  const { port } = await startTestServer(t, [echoHandler()])
  const client = await RawClient.connect(port, t)
  const frame = Buffer.concat([echoFrame(1), Buffer.from('extra')])
  frame.writeInt32BE(frame.length - 4)
  client.write(frame)
  assert.deepEqual((await client.receive(1)).map(correlationId), [1])
})

test('random bytes never harm the server', async t => {
  const { port, server } = await startTestServer(t, [echoHandler()])
  let seed = 12345
  const random = (): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff
  for (let round = 0; round < 60; round++) {
    const client = await RawClient.connect(port, t)
    const frame = Buffer.from(Buffer.concat([apiVersionsFrame, echoFrame(round, Buffer.alloc(20))]))
    for (let i = 0; i < 1 + random() * 6; i++) frame[Math.floor(random() * frame.length)] = Math.floor(random() * 256)
    client.socket.end(frame)
    await client.receiveEnd()
    client.socket.destroy()
  }
  await eventually(() => server.connections === 0 && server.budget.usedBytes === 0, 'nothing is left behind')
})

test('a connection that completes no request is closed, however it trickles', async t => {
  const { port } = await startTestServer(t, [echoHandler()], { idleMs: 100 })
  const silent = await RawClient.connect(port, t)
  const slow = await RawClient.connect(port, t)
  slow.write(int32(1000))
  const trickle = setInterval(() => slow.write(Buffer.of(1)), 10)
  t.after(() => clearInterval(trickle))
  await Promise.all([silent.receiveEnd(), slow.receiveEnd()])
})

test('a connection that waits for a slow answer is not idle', async t => {
  const late = gate()
  const { port } = await startTestServer(t, [echoHandler(request => late.promise.then(() => request))], { idleMs: 40 })
  const client = await RawClient.connect(port, t)
  client.write(echoFrame(1))
  await new Promise(resolve => setTimeout(resolve, 150))
  late.open()
  assert.deepEqual((await client.receive(1)).map(correlationId), [1])
})

test('connections beyond the limit are refused with one line, and freed places are given again', async t => {
  const { log, lines } = recordingLogger()
  const { port, server, observed } = await startTestServer(t, [echoHandler()], { connectionsMax: 3 }, log)
  const first = await Promise.all([1, 2, 3].map(() => RawClient.connect(port, t)))
  await eventually(() => server.connections === 3, 'three are in')
  for (let i = 0; i < 3; i++) await (await RawClient.connect(port, t)).receiveEnd()
  assert.deepEqual(observed.refused, ['limit', 'limit', 'limit'])
  assert.equal(lines.length, 1)
  assert.equal(lines[0]!.fields['setting'], 'max.connections')
  first[0]!.socket.destroy()
  await eventually(() => server.connections === 2, 'one has left')
  const next = await RawClient.connect(port, t)
  next.write(echoFrame(1))
  await next.receive(1)
})

test('connections from one address are limited on their own', async t => {
  const { port, observed } = await startTestServer(t, [echoHandler()], { connectionsPerIpMax: 1 })
  const other = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' })
  t.after(() => other.destroy())
  await once(other, 'connect')
  const first = await RawClient.connect(port, t)
  first.write(echoFrame(1))
  await first.receive(1)
  await (await RawClient.connect(port, t)).receiveEnd()
  assert.deepEqual(observed.refused, ['limit per address'])
})

test('two thousand connections that come and go leave nothing behind', async t => {
  const { port, server, observed } = await startTestServer(t, [echoHandler()])
  for (let wave = 0; wave < 10; wave++) {
    const clients = await Promise.all(Array.from({ length: 200 }, () => RawClient.connect(port)))
    clients.forEach((client, i) => {
      if (i % 4 === 0) client.socket.destroy()
      else if (i % 4 === 1) client.socket.end(echoFrame(i))
      else if (i % 4 === 2) client.socket.end(int32(5000))
      else client.socket.resetAndDestroy()
    })
    await Promise.all(clients.map(client => client.until(() => client.closed)))
  }
  await eventually(() => server.connections === 0, 'all are gone')
  assert.equal(server.budget.usedBytes, 0)
  assert.equal(observed.opened, observed.closed)
})
