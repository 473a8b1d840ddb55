/** Snapshots of offsets partitions: a start reads what is alive, and a bad snapshot costs time only. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { offsetRecord } from '../../src/groups/records.ts'
import type { RecordBytes } from '../../src/groups/records.ts'
import { encodeSnapshot, readSnapshot } from '../../src/groups/snapshot.ts'
import { World, ZERO } from './world.ts'

const NOW_MS = 1_700_000_000_000
const HOUR_MS = 60 * 60 * 1000
const PLACE = { topicId: 'consumerOffsetsTopicI', partition: 3, nextOffset: 1000, takenAtMs: NOW_MS }
const LOG = { topicId: 'consumerOffsetsTopicI', partition: 3, highWatermark: 1000 }

test('a snapshot is read as it was written', async () => {
  const records = Array.from({ length: 20_000 }, (_, i) => offset(i))
  let pauses = 0
  const bytes = await encoded(records, async () => void pauses++)
  assert.ok(pauses > 2, 'the event loop had its turns')
  const seen: string[] = []
  assert.equal(readSnapshot(bytes, LOG, NOW_MS, (cursor) => seen.push(Buffer.from(cursor.key() ?? []).toString('hex'))), 1000)
  assert.deepEqual(seen, records.map(({ key }) => Buffer.from(key).toString('hex')))
})

test('an empty state is a snapshot too', async () => {
  assert.equal(readSnapshot(await encoded([]), LOG, NOW_MS, () => assert.fail('there is nothing')), 1000)
})

test('a snapshot that is damaged, cut off, old or of something else is not used, not even in part', async () => {
  const bytes = await encoded(Array.from({ length: 100 }, (_, i) => offset(i)))
  const refused = (what: Uint8Array, log = LOG, nowMs = NOW_MS): void =>
    assert.equal(readSnapshot(what, log, nowMs, () => assert.fail('visited')), null)
  for (let at = 0; at < bytes.length; at += 13) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] as number) ^ 0x55
    // The base offset and leader epoch of a batch are outside its checksum, and mean nothing here.
    if (readSnapshot(damaged, LOG, NOW_MS, () => {}) === null) refused(damaged)
  }
  const flipped = Buffer.from(bytes)
  flipped[bytes.length - 5] = (flipped[bytes.length - 5] as number) ^ 1
  refused(flipped)
  for (let length = 0; length < bytes.length; length += 97) refused(bytes.subarray(0, length))
  refused(Buffer.from('{"not":"a snapshot"}'))
  refused(Buffer.alloc(200))
  refused(bytes, { ...LOG, partition: 4 })
  refused(bytes, { ...LOG, topicId: 'another' })
  refused(bytes, { ...LOG, highWatermark: 999 })
  // Compaction may have removed tombstones that a snapshot of yesterday does not know of.
  refused(bytes, LOG, NOW_MS + 13 * HOUR_MS)
  assert.equal(readSnapshot(bytes, LOG, NOW_MS + HOUR_MS, () => {}), 1000)
})

test('a start after many commits reads few records, and finds everything', async () => {
  const world = new World({ snapshots: true })
  const [log] = world.logs
  assert.ok(log)
  const { memberId, generation } = await world.settle('members')
  for (let i = 0; i < 2_000; i++) {
    await world.commit(`g${i % 10}`, i)
    await world.env.advance(10)
    if (i % 500 === 0) await world.groups.heartbeat('members', memberId, null, generation)
  }
  await world.groups.delete('g7')
  world.restart()
  for (let i = 0; i < 10; i++) assert.equal(await world.offset(`g${i}`), i === 7 ? -1 : 1_990 + i)
  assert.equal((await world.groups.describe('members')).state, 'Stable')
  assert.ok(log.records > 2_000)
  assert.ok(log.batchesRead < 150, `${log.batchesRead} batches were read`)
})

test('without a usable snapshot the log is read', async () => {
  const world = new World({ snapshots: true })
  for (let i = 0; i < 100; i++) await world.commit('g', i)
  await turn()
  assert.equal(world.snapshots?.size, 1)
  world.snapshots?.set(0, Buffer.from('garbage'))
  world.restart()
  assert.equal(await world.offset('g'), 99)
})

test('a snapshot has nothing in it that is not durable', async () => {
  const world = new World({ snapshots: true })
  const [log] = world.logs
  assert.ok(log)
  for (let i = 0; i < 19; i++) await world.commit('g', i)
  const joining = world.join('members')
  await world.env.advance(3_000)
  const { memberId, generation } = await joining
  log.hold = true
  void world.commit('g', 19)
  await turn()
  void world.sync('members', memberId, generation)
  void world.commit('g', 20)
  await turn()
  log.release(20)
  await turn()
  assert.equal(world.snapshots?.size, 1, 'taken when the twentieth record became durable')
  assert.equal(log.logEndOffset, 22)
  world.restart()
  assert.equal(await world.offset('g'), 19)
  assert.equal((await world.groups.describe('members')).state, 'Dead')
  assert.equal(log.batchesRead, 0)
})

function offset(i: number): RecordBytes {
  const value = { offset: i, leaderEpoch: -1, metadata: 'm', commitTimestampMs: 1, expireTimestampMs: -1, topicId: ZERO }
  return offsetRecord(`group-${i}`, 'topic', i, value)
}

async function encoded(records: readonly RecordBytes[], pause: () => Promise<void> = async () => {}): Promise<Uint8Array> {
  return Buffer.concat(await encodeSnapshot(PLACE, records.map((record) => () => record), pause))
}
