/** The far store of the bench: bytes pass unchanged, and no answer comes before its time. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { it } from 'node:test'
import { serveProxy } from '../../bench/latency-proxy.ts'

it('forwards requests with their headers and bodies, held back by the delay', async () => {
  const upstream = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      outgoing.writeHead(incoming.method === 'PUT' ? 412 : 200, { 'x-host': incoming.headers.host, 'x-path': incoming.url })
      outgoing.end(Buffer.concat(chunks))
    })
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const address = upstream.address()
  assert.ok(address !== null && typeof address !== 'string')
  const proxy = await serveProxy({ upstream: `http://127.0.0.1:${address.port}`, p50Ms: 50, p99Ms: 50, seed: 1 })
  try {
    const body = randomBytes(300_000)
    const started = performance.now()
    const answer = await fetch(`${proxy.endpoint}/bucket/key?x=%20y`, { method: 'PUT', body })
    assert.equal(answer.status, 412)
    assert.ok(performance.now() - started >= 49, 'the answer came before its time')
    // The signature of S3 covers the host that the client spoke to.
    assert.equal(answer.headers.get('x-host'), new URL(proxy.endpoint).host)
    assert.equal(answer.headers.get('x-path'), '/bucket/key?x=%20y')
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), body)
    // Many at once wait side by side and not in a row.
    const answers = await Promise.all(Array.from({ length: 50 }, async (_, index) => (await fetch(`${proxy.endpoint}/${index}`)).status))
    assert.deepEqual(new Set(answers), new Set([200]))
  } finally {
    await proxy.stop()
    upstream.closeAllConnections()
    await new Promise((resolve) => upstream.close(resolve))
  }
})
