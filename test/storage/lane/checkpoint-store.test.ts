import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from '../../../protocol/records/crc32c.ts'
import { newestCheckpoint, pruneCheckpoints, writeCheckpoint } from '../../../storage/lane/checkpoint-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { laneCheckpointKey } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { lane } from './support.ts'

const env = new SimEnv(3)
const key = (seq: number): string => laneCheckpointKey(lane.brokerId, lane.incarnation, seq)

async function newest(store: MemoryStore, corrupt: string[] = []): Promise<string | null> {
  const found = await newestCheckpoint(store, lane, (seq, reason) => corrupt.push(`${seq}: ${reason}`))
  return found === null ? null : `${found.seq} ${Buffer.from(found.body).toString()}`
}

test('the newest checkpoint is found, in the order of numbers', async () => {
  const store = new MemoryStore()
  assert.equal(await newest(store), null)
  for (const seq of [0, 9, 10, 100]) {
    assert.equal(await writeCheckpoint(store, env, lane, seq, [Buffer.from('state '), Buffer.from(`of ${seq}`)]), 'written')
  }
  assert.equal(await newest(store), '100 state of 100')
  assert.equal(await newestCheckpoint(store, { ...lane, incarnation: 4 }), null)
})

test('the bytes of a checkpoint never change', async () => {
  const store = new MemoryStore()
  await writeCheckpoint(store, env, lane, 5, [Buffer.from('body')])
  const bytes = Buffer.from((await store.get(key(5)))!)
  const hex = (from: number, to: number): string => bytes.subarray(from, to).toString('hex')
  assert.equal(hex(0, 32), ['4261796f75434b50', '0001', '0000', '00000007', '000000000000002a', '0000000000000005'].join(''))
  assert.equal(hex(48, 68), ['0000018bcfe56800', '0000000000000004', '626f6479'].join(''))
  assert.equal(bytes.readUInt32BE(68), crc32c(bytes.subarray(0, 68)))
  assert.equal(bytes.byteLength, 72)
})

test('a checkpoint is never replaced', async () => {
  const store = new MemoryStore()
  assert.equal(await writeCheckpoint(store, env, lane, 5, [Buffer.from('first')]), 'written')
  assert.equal(await writeCheckpoint(store, env, lane, 5, [Buffer.from('second')]), 'exists')
  assert.equal(await newest(store), '5 first')
})

test('a lost reply is settled', async () => {
  const store = new MemoryStore()
  const put = store.putIfAbsent.bind(store)
  let tries = 0
  store.putIfAbsent = async (at, body) => {
    const outcome = await put(at, body)
    return tries++ === 0 ? { kind: 'unknown', cause: new Error('lost') } : outcome
  }
  assert.equal(await env.run(writeCheckpoint(store, env, lane, 5, [])), 'written')
})

test('damaged ones are passed over, whatever the damage', async () => {
  const store = new MemoryStore()
  await writeCheckpoint(store, env, lane, 1, [Buffer.from('good')])
  await writeCheckpoint(store, env, lane, 2, [Buffer.from('bad')])
  const bytes = Buffer.from((await store.get(key(2)))!)
  for (let at = 0; at < bytes.byteLength; at++) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 4
    await store.put(key(2), [changed])
    assert.equal(await newest(store), '1 good', `byte ${at}`)
    await store.put(key(2), [bytes.subarray(0, at)])
    assert.equal(await newest(store), '1 good', `cut at ${at}`)
  }
  await store.put(key(2), [bytes, Buffer.from('x')])
  const corrupt: string[] = []
  assert.equal(await newest(store, corrupt), '1 good')
  assert.deepEqual(corrupt, ['2: 4 bytes of body instead of 3'])
  // A whole one at the wrong place is as bad.
  await store.put(key(3), [(await store.get(key(1)))!])
  assert.equal(await newest(store, corrupt), '1 good')
  assert.equal(corrupt.at(-2), '3: it belongs elsewhere')
})

test('a lane whose only checkpoints are damaged is no lane without checkpoints', async () => {
  const store = new MemoryStore()
  assert.equal(await newest(store), null)
  await store.put(key(3), [Buffer.from('torn')])
  await assert.rejects(newestCheckpoint(store, lane), /00000000000000000003 is damaged \(4 bytes are too few\).*restore it/)
})

test('a checkpoint of a newer release is refused, not passed over', async () => {
  const store = new MemoryStore()
  await writeCheckpoint(store, env, lane, 1, [Buffer.from('ours')])
  await writeCheckpoint(store, env, lane, 2, [Buffer.from('theirs')])
  const bytes = Buffer.from((await store.get(key(2)))!)
  bytes.writeInt16BE(2, 8)
  bytes.writeUInt32BE(crc32c(bytes.subarray(0, -4)), bytes.byteLength - 4)
  await store.put(key(2), [bytes])
  await assert.rejects(newestCheckpoint(store, lane), /format version 2; known is 1: use a newer release/)
})

test('pruning keeps the newest and tells how far recovery can fall back', async () => {
  const store = new MemoryStore()
  assert.equal(await pruneCheckpoints(store, lane), null)
  for (let seq = 0; seq < 1205; seq++) await store.put(key(seq), [Buffer.from('x')])
  assert.equal(await pruneCheckpoints(store, lane), 1203)
  assert.equal(store.size, 2)
  assert.equal(await pruneCheckpoints(store, lane), 1203)
  assert.equal(await pruneCheckpoints(store, lane, 0), null)
  assert.equal(store.size, 0)
})
