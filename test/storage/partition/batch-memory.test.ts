/** Memory of batches goes back when nobody needs it any more, and not before. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BatchMemory, releaseAll } from '../../../storage/partition/batch-memory.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import { append, batchOf, offsetsOf, openLog, read, TestHost } from './support.ts'

interface Sent {
  readonly memory: BatchMemory
  readonly buffer: ArrayBuffer
}

/** As a request brings them: several batches in one piece of memory, which the request holds until it is answered. */
function send(log: StoredPartitionLog, ...batches: readonly Uint8Array[]): Sent {
  const frame = new Uint8Array(Buffer.concat(batches))
  const memory = new BatchMemory(frame.buffer)
  let at = 0
  for (const { length } of batches) {
    const outcome = log.append(frame.subarray(at, at + length), { origin: 'client', memory })
    assert.equal(outcome.kind, 'appended')
    at += length
  }
  return { memory, buffer: frame.buffer }
}

const isFree = ({ buffer }: Sent): boolean => buffer.detached

test('a frame is free when the request is answered and all its batches have left the cache', async () => {
  const host = new TestHost(0)
  const log = openLog(host)
  const sent = send(log, batchOf(['a']), batchOf(['b']))
  await host.settle(1)
  host.cache.trim()
  await host.settle()
  host.cache.trim()
  assert.equal(host.cache.bytes, 0)
  assert.equal(isFree(sent), false, 'the request is not answered')
  sent.memory.release()
  assert.equal(isFree(sent), true)
  const outcome = await read(log, 0)
  assert.deepEqual(offsetsOf(outcome), [0, 1], 'the lane has them')
})

test('an answered request leaves its frame to the cache, until that has room for the next', async () => {
  const host = new TestHost(1500)
  const log = openLog(host)
  const first = send(log, batchOf(['a']))
  first.memory.release()
  await host.settle()
  assert.equal(isFree(first), false)
  const others = [send(log, batchOf(['b'])), send(log, batchOf(['c']))]
  assert.equal(isFree(first), true)
  for (const { memory } of others) memory.release()
  assert.deepEqual(others.map(isFree), [false, false], 'not durable')
  assert.deepEqual(host.submitted.map(({ bytes }) => bytes.length > 0), [true, true])
})

test('a reader holds what it was given, also when the cache has let go of it', async () => {
  const host = new TestHost(10_000)
  const log = openLog(host)
  const sent = [send(log, batchOf(['a'])), send(log, batchOf(['b']))]
  releaseAll(sent.map(({ memory }) => memory))
  await host.settle()
  const outcome = await read(log, 0)
  log.delete()
  assert.deepEqual(sent.map(isFree), [false, false])
  assert.deepEqual(offsetsOf(outcome), [0, 1])
  assert.ok(outcome.kind === 'records' && outcome.held !== undefined)
  releaseAll(outcome.held)
  assert.deepEqual(sent.map(isFree), [true, true])
})

test('one who does not say that he is done leaves it to the garbage collector', async () => {
  const host = new TestHost(10_000)
  const log = openLog(host)
  const sent = send(log, batchOf(['a']))
  sent.memory.release()
  await host.settle()
  const outcome = await read(log, 0)
  log.delete()
  assert.equal(isFree(sent), false)
  assert.deepEqual(offsetsOf(outcome), [0])
})

test('a batch that was compressed anew, was refused or came twice does not hold its frame', () => {
  const host = new TestHost(10_000)
  const refused = new Uint8Array(batchOf(['a']))
  refused[refused.length - 1]! ^= 1
  const memory = new BatchMemory(refused.buffer)
  assert.equal(openLog(host).append(refused, { origin: 'client', memory }).kind, 'corrupt')
  memory.release()
  assert.equal(refused.buffer.detached, true)
  const log = openLog(host, { compression: 'gzip' })
  const sent = send(log, batchOf(['a']))
  sent.memory.release()
  assert.equal(isFree(sent), true)
  assert.ok(host.submitted.at(-1)!.bytes.length > 0)
  const twice = batchOf(['a'], { producerId: 7, producerEpoch: 0, baseSequence: 0 })
  append(log, new Uint8Array(twice))
  const again = new Uint8Array(twice)
  const repeated = new BatchMemory(again.buffer)
  assert.equal(log.append(again, { origin: 'client', memory: repeated }).kind, 'duplicate')
  repeated.release()
  assert.equal(again.buffer.detached, true)
})
