/** Configs of topics that take effect, seen from outside: what is kept, in which codec, and when it is in the table. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { attributes, codecOf } from '../../protocol/records/batch.ts'
import { codecName } from '../../protocol/records/compression.ts'
import { eventually } from '../support/broker.ts'
import { alterTopic, batchOf, bytesOf, createTopic, fetchOne, isError, listOffset, onlyHere, produce, produceOk, useBroker } from './support.ts'
import type { TestTopic } from './support.ts'

const EARLIEST = -2
const subject = useBroker(['--table-flush-interval-ms', '600000', '--log-retention-check-interval-ms', '50'])

async function codecAt(topic: TestTopic, offset: number): Promise<string | null> {
  return codecName(codecOf(attributes(bytesOf(await fetchOne(subject.client, topic, offset)), 0)))
}

async function unflushed(topic: TestTopic): Promise<number> {
  const { partitions } = (await (await fetch(`${subject.broker.http}/v1/topics/${topic.name}`)).json()) as { partitions: { unflushedRecords: number }[] }
  return partitions[0]!.unflushedRecords
}

describe('compression.type', () => {
  test('what is produced in another codec is kept in this one, until it is altered', async () => {
    const topic = await createTopic(subject.client, { configs: { 'compression.type': 'zstd' } })
    assert.equal(await codecAt(topic, await produceOk(subject.client, topic, batchOf(['a'.repeat(500)]))), 'zstd')
    await alterTopic(subject.client, topic, 'compression.type', 'uncompressed')
    await eventually('uncompressed is in force', async () => (await codecAt(topic, await produceOk(subject.client, topic, batchOf(['b'], { codec: 1 })))) === 'none')
    await alterTopic(subject.client, topic, 'compression.type', 'producer')
    await eventually('producer is in force', async () => (await codecAt(topic, await produceOk(subject.client, topic, batchOf(['c'], { codec: 1 })))) === 'gzip')
    assert.equal(await codecAt(topic, 0), 'zstd')
  })
})

test('min.insync.replicas beyond the one copy is taken, and acks=all is answered: the store replicates', onlyHere, async () => {
  const topic = await createTopic(subject.client, { configs: { 'min.insync.replicas': '3' } })
  isError((await produce(subject.client, topic, batchOf(['a']), { acks: -1 })).errorCode, 'NONE')
})

describe('the table of a topic', onlyHere, () => {
  /** A first flush comes soon, whatever the interval. */
  async function flushedOnce(configs: Record<string, string> = {}): Promise<TestTopic> {
    const topic = await createTopic(subject.client, { configs })
    await produceOk(subject.client, topic, batchOf(['first']))
    await eventually('the first flush', async () => (await unflushed(topic)) === 0)
    return topic
  }

  test('bayou.table.flush.interval.ms: after that time it has what was produced, and that of another topic has not; altered, it counts at once', async () => {
    const [early, late] = [await flushedOnce({ 'bayou.table.flush.interval.ms': '20' }), await flushedOnce()]
    for (const topic of [late, early]) await produceOk(subject.client, topic, batchOf(['a', 'b']))
    await eventually('the early one is flushed', async () => (await unflushed(early)) === 0)
    assert.equal(await unflushed(late), 2)
    await alterTopic(subject.client, late, 'bayou.table.flush.interval.ms', '20')
    await eventually('the other one too, once it is told so', async () => (await unflushed(late)) === 0)
  })

  test('bayou.table.flush.bytes: with so many bytes it does not wait for the time; altered, it counts at once', async () => {
    const [small, large] = [await flushedOnce({ 'bayou.table.flush.bytes': '65536' }), await flushedOnce()]
    for (const topic of [large, small]) await produceOk(subject.client, topic, batchOf(['x'.repeat(70_000)]))
    await eventually('the small one is flushed', async () => (await unflushed(small)) === 0)
    assert.equal(await unflushed(large), 1)
    await alterTopic(subject.client, large, 'bayou.table.flush.bytes', '65536')
    await eventually('the large one too, once it is told so', async () => (await unflushed(large)) === 0)
  })
})

test('retention.bytes that is set later: what is beyond it goes at the next check, and the log begins later', onlyHere, async () => {
  const topic = await createTopic(subject.client, { configs: { 'bayou.table.flush.interval.ms': '20' } })
  for (const value of ['a', 'b', 'c']) {
    await produceOk(subject.client, topic, batchOf([value]))
    await eventually('it is in a file of its own', async () => (await unflushed(topic)) === 0)
  }
  assert.equal((await listOffset(subject.client, topic, EARLIEST)).offset, 0)
  await alterTopic(subject.client, topic, 'retention.bytes', '1')
  await eventually('the older two go', async () => (await listOffset(subject.client, topic, EARLIEST)).offset === 2)
  isError((await fetchOne(subject.client, topic, 0)).errorCode, 'OFFSET_OUT_OF_RANGE')
  assert.equal((await fetchOne(subject.client, topic, 2)).errorCode, 0)
})
