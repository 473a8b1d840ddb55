import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LaneWriter } from '../../../storage/lane/lane-writer.ts'
import type { LaneWriterConfig } from '../../../storage/lane/lane-writer.ts'
import { scanSegments } from '../../../storage/lane/scan.ts'
import { encodeGuard, readSegmentIndex } from '../../../storage/lane/segment.ts'
import type { SegmentHead, SegmentRow } from '../../../storage/lane/segment.ts'
import type { LaneOptions } from '../../../storage/lane/types.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import type { PutOutcome } from '../../../storage/objects/object-store.ts'
import { laneSegmentKey } from '../../../storage/paths.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { lane, laneOptions, TestEntry, topicB } from './support.ts'

/** A store whose PUTs take 10 ms each, or what the script says for that number. */
class SlowStore extends MemoryStore {
  readonly script = new Map<number, { ms?: number; outcomes?: (PutOutcome | StoreError)[] }>()
  readonly started: { seq: number; atMs: number }[] = []
  running = 0
  runningMax = 0
  readonly #env: SimEnv

  constructor(env: SimEnv) {
    super()
    this.#env = env
  }

  override async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    const seq = Number(key.slice(-20))
    const step = this.script.get(seq)
    this.started.push({ seq, atMs: this.#env.nowMs })
    this.runningMax = Math.max(this.runningMax, ++this.running)
    await this.#env.clock.sleep(step?.ms ?? 10)
    this.running--
    const outcome = step?.outcomes?.shift()
    if (outcome instanceof StoreError) throw outcome
    return outcome ?? (await super.putIfAbsent(key, body))
  }
}

interface Bench {
  readonly env: SimEnv
  readonly store: SlowStore
  readonly writer: LaneWriter
  /** What the lane told, in order. */
  readonly told: string[]
  readonly entry: (offset: number, payloadBytes?: number) => TestEntry
  readonly segments: () => Promise<SegmentHead[]>
}

function bench(options: Partial<LaneOptions> = {}, config: Partial<LaneWriterConfig> = {}): Bench {
  const env = new SimEnv(1)
  const store = new SlowStore(env)
  const told: string[] = []
  const writer = new LaneWriter({
    store, env, lane, firstSeq: 0, options: { ...laneOptions, ...options },
    onFenced: (seq) => told.push(`fenced at ${seq}`), ...config,
  })
  return {
    env, store, writer, told,
    entry: (offset, payloadBytes = 39) =>
      new TestEntry(offset, {
        payloadBytes,
        told: ({ fate }) => told.push(fate?.kind === 'durable' ? `${offset} in ${fate.seq}` : `${offset} ${fate?.reason}`),
      }),
    segments: async () => {
      const all: SegmentHead[] = []
      for await (const index of scanSegments(store, lane, 0)) if (index.kind === 'segment') all.push(index)
      return all
    },
  }
}

function putGuard(store: MemoryStore, seq: number): Promise<PutOutcome> {
  const fence = encodeGuard({ kind: 'fence', lane, seq, commitId: topicB, createdAtMs: 0, fencedBy: 43, endSeq: seq })
  return MemoryStore.prototype.putIfAbsent.call(store, laneSegmentKey(7, 42, seq), [fence])
}

test('entries of one turn share a segment and are durable in order', async () => {
  const { env, store, writer, told, entry } = bench()
  const entries = [0, 1, 2].map((offset) => entry(offset))
  for (const one of entries) assert.equal(writer.append(one), true)
  assert.equal(store.started.length, 0)
  await env.run(writer.flush())
  assert.deepEqual(told, ['0 in 0', '1 in 0', '2 in 0'])
  assert.equal(writer.committedSeq, 1)
  assert.equal(writer.pendingBytes, 0)
  const bytes = (await store.get(laneSegmentKey(7, 42, 0)))!
  const index = readSegmentIndex(bytes, { lane, seq: 0 })
  assert(index.kind === 'segment')
  for (const [i, one] of entries.entries()) {
    const row: SegmentRow = index.rows[i]!
    assert.deepEqual(one.fate, { kind: 'durable', seq: 0, start: row.start, end: row.end })
    assert.deepEqual(Buffer.from(bytes.subarray(row.start, row.end)), Buffer.from(one.bytes))
  }
})

test('with nothing in flight it is written at the end of the turn, whatever the linger', async () => {
  const { env, store, writer, entry } = bench({ lingerMs: 1000 })
  writer.append(entry(0))
  await env.pass(0)
  assert.deepEqual(store.started, [{ seq: 0, atMs: 0 }])
})

test('with a PUT in flight it lingers, then a second PUT runs beside the first', async () => {
  const { env, store, writer, told, entry } = bench({ lingerMs: 5 })
  store.script.set(0, { ms: 50 })
  writer.append(entry(0))
  await env.pass(2)
  writer.append(entry(1))
  await env.pass(3)
  writer.append(entry(2))
  await env.pass(45)
  assert.deepEqual(store.started, [{ seq: 0, atMs: 0 }, { seq: 1, atMs: 7 }])
  assert.deepEqual(told, ['0 in 0', '1 in 1', '2 in 1'])
})

test('what lingers is written as soon as nothing is in flight any more', async () => {
  const { env, store, writer, entry } = bench({ lingerMs: 1000 })
  writer.append(entry(0))
  await env.pass(1)
  writer.append(entry(1))
  await env.pass(30)
  assert.deepEqual(store.started, [{ seq: 0, atMs: 0 }, { seq: 1, atMs: 10 }])
})

test('a full segment does not linger, and no more PUTs run than allowed', async () => {
  const { env, store, writer, told, entry } = bench({ lingerMs: 1000, inflightMax: 3, segmentBytesMax: 1000 })
  for (let offset = 0; offset < 6; offset++) writer.append(entry(offset, 900))
  await env.pass(1)
  assert.deepEqual(store.started.map(({ seq }) => seq), [0, 1, 2])
  await env.run(writer.flush())
  assert.deepEqual(store.started.map(({ atMs }) => atMs), [0, 0, 0, 10, 10, 10])
  assert.equal(store.runningMax, 3)
  assert.deepEqual(told, [0, 1, 2, 3, 4, 5].map((offset) => `${offset} in ${offset}`))
})

test('segments are filled up to their limit and not beyond it, except by a single batch', async () => {
  const { env, writer, entry, segments } = bench({ segmentBytesMax: 1000 })
  for (const [offset, size] of [400, 400, 400, 5000, 10].entries()) writer.append(entry(offset, size))
  await env.run(writer.flush())
  assert.deepEqual((await segments()).map(({ rows }) => rows.map(({ baseOffset }) => baseOffset)), [[0, 1], [2], [3], [4]])
})

test('a segment is committed only after all before it, however they finish', async () => {
  const { env, store, writer, told, entry } = bench({ segmentBytesMax: 100 })
  store.script.set(0, { ms: 30 }).set(1, { ms: 1 }).set(2, { ms: 2 })
  for (let offset = 0; offset < 3; offset++) writer.append(entry(offset))
  await env.pass(29)
  assert.deepEqual([told.length, writer.committedSeq, writer.nextSeq], [0, 0, 3])
  await env.pass(1)
  assert.deepEqual(told, ['0 in 0', '1 in 1', '2 in 2'])
  assert.equal(writer.committedSeq, 3)
})

test('a lost reply is settled by our own commit id, a lost request by writing again', async () => {
  const { env, store, writer, told, entry } = bench()
  const unknown: PutOutcome = { kind: 'unknown', cause: new Error('connection reset') }
  store.script.set(0, { outcomes: [unknown, new StoreError('timeout', 'slow'), new StoreError('throttled', 'later')] })
  writer.append(entry(0))
  await env.run(writer.flush())
  assert.deepEqual(told, ['0 in 0'])
  // Now the write lands and only its reply is lost: the next try finds it.
  const put = store.putIfAbsent.bind(store)
  let isLost = true
  store.putIfAbsent = async (key, body) => {
    const outcome = await put(key, body)
    if (!isLost) return outcome
    isLost = false
    return unknown
  }
  writer.append(entry(1))
  await env.run(writer.flush())
  assert.deepEqual(told, ['0 in 0', '1 in 1'])
})

test('a store that is gone or refuses is asked for ever, and says so now and then', async () => {
  const logged: string[] = []
  let retries = 0
  const { env, store, writer, told, entry } = bench(
    {},
    { log: (level, message) => logged.push(`${level} ${message}`), observer: { segmentWritten: () => undefined, segmentRetried: () => retries++ } },
  )
  const refusals = Array.from({ length: 60 }, (_, i) => new StoreError(i % 3 === 0 ? 'denied' : 'unavailable', 'no'))
  store.script.set(0, { outcomes: refusals })
  writer.append(entry(0))
  await env.run(writer.flush())
  assert.deepEqual(told, ['0 in 0'])
  assert.equal(retries, 60)
  const seconds = env.nowMs / 1000
  assert(logged.length >= 2 && logged.length <= seconds / 10 + 1, `${logged.length} lines in ${seconds} s`)
})

test('a fence ends the lane: what is before it counts, what is after it fails, in order', async () => {
  const { env, store, writer, told, entry } = bench({ segmentBytesMax: 100 })
  await putGuard(store, 1)
  store.script.set(0, { ms: 40 })
  for (let offset = 0; offset < 5; offset++) writer.append(entry(offset))
  await env.pass(20)
  assert.deepEqual(told, ['fenced at 1'], 'the first is still on its way')
  assert.equal(writer.state, 'fenced')
  const late = entry(9)
  assert.equal(writer.append(late), false)
  await env.pass(30)
  assert.deepEqual(told, ['fenced at 1', '0 in 0', '1 fenced', '2 fenced', '3 fenced', '4 fenced'])
  assert.deepEqual([writer.pendingBytes, writer.committedSeq, late.fate], [0, 1, null])
})

test('a second fence below the first takes more away, and is told once', async () => {
  const { env, store, writer, told, entry } = bench({ segmentBytesMax: 100 })
  await putGuard(store, 2)
  await putGuard(store, 1)
  store.script.set(0, { ms: 20 }).set(1, { ms: 15 }).set(2, { ms: 5 })
  for (let offset = 0; offset < 3; offset++) writer.append(entry(offset))
  await env.run(writer.flush())
  assert.deepEqual(told, ['fenced at 2', '0 in 0', '1 fenced', '2 fenced'])
})

test('an object of anybody else at our number is a fence to us', async () => {
  const { env, store, writer, told, entry } = bench()
  await MemoryStore.prototype.putIfAbsent.call(store, laneSegmentKey(7, 42, 0), [Buffer.from('not a segment')])
  writer.append(entry(0))
  await env.run(writer.flush())
  assert.deepEqual(told, ['fenced at 0', '0 fenced'])
})

test('no room above the limit, and waiters come in when there is', async () => {
  const { env, writer, told, entry } = bench({ bufferBytesMax: 1500, segmentBytesMax: 1000, inflightMax: 1 })
  writer.append(entry(0, 800))
  assert.equal(writer.hasRoom, true)
  writer.append(entry(1, 800))
  assert.equal(writer.hasRoom, false)
  for (const offset of [2, 3, 4]) {
    writer.whenRoom(() => {
      told.push(`room for ${offset}`)
      writer.append(entry(offset, 1000))
    })
  }
  assert.deepEqual(told, [])
  await env.run(writer.flush())
  assert.deepEqual(told, ['0 in 0', 'room for 2', '1 in 1', 'room for 3'])
  await env.run(writer.flush())
  await env.run(writer.flush())
  assert.deepEqual(told.slice(4), ['2 in 2', 'room for 4', '3 in 3', '4 in 4'])
})

test('control rows keep their place among the batches', async () => {
  const { env, writer, told, entry, segments } = bench()
  const control = (type: number): void => {
    const callbacks = { durable: (_: unknown, seq: number) => told.push(`control ${type} in ${seq}`), failed: () => told.push('failed') }
    assert(writer.appendControl({ type, topicId: topicB, partition: 1, payload: new Uint8Array([type]) }, callbacks))
  }
  control(1)
  writer.append(entry(0))
  control(2)
  control(3)
  writer.append(entry(1))
  control(4)
  await env.run(writer.flush())
  assert.deepEqual(told, ['control 1 in 0', '0 in 0', 'control 2 in 0', 'control 3 in 0', '1 in 0', 'control 4 in 0'])
  const [segment] = await segments()
  assert.deepEqual(segment!.controls.map(({ type, rowsBefore }) => [type, rowsBefore]), [[1, 0], [2, 1], [3, 1], [4, 2]])
  control(5)
  await env.run(writer.flush())
  assert.deepEqual(told.slice(6), ['control 5 in 1'])
})

test('close accepts nothing more, and waits for what it has', async () => {
  const { env, writer, told, entry } = bench({ lingerMs: 1000 })
  writer.append(entry(0))
  await env.pass(1)
  writer.append(entry(1))
  const closing = writer.close()
  assert.equal(writer.state, 'closing')
  assert.equal(writer.append(entry(2)), false)
  await env.run(closing)
  assert.deepEqual([told, writer.state], [['0 in 0', '1 in 1'], 'closed'])
  await writer.close()
})

test('abandon fails what is not durable, once, and the objects on their way are left alone', async () => {
  const { env, store, writer, told, entry, segments } = bench({ segmentBytesMax: 100 })
  store.script.set(0, { ms: 30 })
  writer.append(entry(0))
  writer.append(entry(1))
  const closing = writer.close()
  await env.pass(20)
  writer.abandon()
  await closing
  assert.deepEqual(told, ['0 closed', '1 closed'])
  await env.pass(100)
  assert.equal(told.length, 2)
  assert.equal((await segments()).length, 2)
  assert.equal(writer.state, 'closed')
})

test('callbacks may use the lane, and one that throws harms nobody', async () => {
  const logged: string[] = []
  const { env, writer, told, entry } = bench({}, { log: (_, message) => logged.push(message) })
  const greedy = new TestEntry(0, {
    told: () => {
      told.push('0')
      writer.append(entry(2))
      throw new Error('a bug')
    },
  })
  writer.append(greedy)
  writer.append(entry(1))
  await env.run(writer.flush())
  await env.run(writer.flush())
  assert.deepEqual(told, ['0', '1 in 0', '2 in 1'])
  assert.deepEqual(logged, ['a callback of the lane threw'])
})

test('abandon from inside a callback keeps the order', async () => {
  const { env, writer, told, entry } = bench({ segmentBytesMax: 1000 })
  writer.append(new TestEntry(0, { told: () => writer.abandon() }))
  writer.append(entry(1))
  writer.append(entry(2, 1000))
  await env.run(writer.flush())
  assert.deepEqual(told, ['1 in 0', '2 closed'])
})

test('options that change take effect on what waits', async () => {
  const { env, store, writer, entry } = bench({ lingerMs: 1000, inflightMax: 2 })
  store.script.set(0, { ms: 500 })
  writer.append(entry(0))
  await env.pass(1)
  writer.append(entry(1))
  await env.pass(1)
  writer.setOptions({ ...laneOptions, lingerMs: 3 })
  await env.pass(5)
  assert.deepEqual(store.started, [{ seq: 0, atMs: 0 }, { seq: 1, atMs: 4 }])
})

test('what the format cannot hold is refused at once', () => {
  const { writer, entry } = bench()
  const named = new TestEntry(0, { topicId: 'orders' })
  assert.throws(() => writer.append(named), RangeError)
  const callbacks = { durable: () => undefined, failed: () => undefined }
  assert.throws(() => writer.appendControl({ type: 1, topicId: topicB, partition: 0, payload: new Uint8Array(2 ** 20 + 1) }, callbacks), RangeError)
  assert.equal(writer.pendingBytes, 0)
  assert.equal(writer.append(entry(0)), true)
})
