/** Memory of batches is given back as soon as the cache lets go of them, and used again at once. An answer that is still on its way must not see it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import { decodeResponseFrame } from '../../protocol/messages/header.ts'
import { computeCrc, crc, iterateBatches } from '../../protocol/records/batch.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import { batchOf, bytesOf, createTopic, fetchRequest, onlyHere, onlyPartition, produceOk, useBroker } from './support.ts'

const MiB = 1024 * 1024
const subject = useBroker(['--cache-bytes', String(24 * MiB), '--cold-cache-bytes', String(MiB), '--table-flush-interval-ms', '20'])
const version = 13
const batchBytes = 500_000
/** More than the network takes of an answer whose client reads nothing, and more than the cache has room for. */
const batches = 40
const batchesAfter = 60

function valueOf(number: number): Buffer {
  const four = Buffer.alloc(4)
  four.writeUInt32BE(number)
  return Buffer.alloc(batchBytes, four)
}

test('an answer that its client takes late is what was read, whatever the cache has made of the memory since', onlyHere, async () => {
  const topic = await createTopic(subject.client)
  for (let number = 0; number < batches; number++) await produceOk(subject.client, topic, batchOf([{ value: valueOf(number) }]))
  const clients = await Promise.all([subject.connect(), subject.connect(), subject.connect()])
  const asked = clients.map((client) => {
    client.pause()
    return client.post(Fetch, version, fetchRequest(topic, 0, { partitionMaxBytes: 24 * MiB }))
  })
  for (let number = batches; number < batches + batchesAfter; number++) await produceOk(subject.client, topic, batchOf([{ value: valueOf(number) }]))
  // One leaves without its answer.
  clients[2].close()
  for (const [i, client] of clients.slice(0, 2).entries()) {
    client.resume()
    const response = decodeResponseFrame(Fetch, version, asked[i]!, await client.frame('an answer that was not taken at once'))
    const bytes = bytesOf(onlyPartition(response))
    let next = 0
    for (const { start, end } of iterateBatches(bytes)) {
      const batch = bytes.subarray(start, end)
      assert.equal(computeCrc(batch, 0), crc(batch, 0))
      const [{ offset, value }] = recordsOf(batch) as [ReturnType<typeof recordsOf>[number]]
      assert.equal(offset, next)
      assert.ok(valueOf(next++).equals(value!), `offset ${offset}`)
    }
    assert.equal(next, batches)
  }
})
