/** What a message is when it comes back: keys, values, headers, timestamps, codecs. Each client reads what each client wrote. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually } from '../support/broker.ts'
import { clients, codecs, kafkajs, numbered, texts, unique } from './support/client.ts'
import type { Incoming, NodeClient, Outgoing } from './support/client.ts'
import { createTopic, endOffsets, sharedBroker } from './support/setup.ts'

const broker = sharedBroker()

async function read(client: NodeClient, topic: string, count: number): Promise<readonly Incoming[]> {
  const member = await client.join(broker.address(), topic, { groupId: unique('reader') })
  await eventually(`${count} messages of ${topic}`, () => member.seen.length >= count)
  await member.stop()
  return member.seen
}

async function send(client: NodeClient, topic: string, messages: readonly Outgoing[]): Promise<void> {
  const sender = await client.sender(broker.address())
  await sender.send(topic, messages)
  await sender.close()
}

for (const writer of clients) {
  describe(`what ${writer.name} wrote`, () => {
    test('null, empty and binary keys and values are four different things to every reader, and a tombstone is delivered', async () => {
      const topic = unique('nulls')
      const int64 = Buffer.alloc(8)
      int64.writeBigInt64BE(-2n)
      await createTopic(broker.address(), topic)
      await send(writer, topic, [
        { key: 'tombstone', value: null },
        { key: null, value: 'no key' },
        { key: '', value: '' },
        { key: null, value: null },
        { key: int64, value: Buffer.from([0, 255, 0, 128]) },
      ])
      for (const reader of clients) {
        const seen = await read(reader, topic, 5)
        assert.deepEqual(seen.map(({ key }) => key?.toString('latin1') ?? null), ['tombstone', null, '', null, int64.toString('latin1')], reader.name)
        assert.deepEqual(seen.map(({ value }) => value?.toString('latin1') ?? null), [null, 'no key', '', null, '\u0000\u00ff\u0000\u0080'], reader.name)
      }
    })

    test('headers keep their bytes, their duplicates, and names in any script', async () => {
      const topic = unique('headers')
      await createTopic(broker.address(), topic)
      const headers: [string, string | Buffer][] = [
        ['plain', 'value'],
        ['twice', 'first'],
        ['twice', 'second'],
        ['empty', ''],
        ['bytes', Buffer.from([0, 1, 254, 255])],
        ['Größe', 'äöü'],
        ['emoji 🙂', '🎉'],
        ['日本語', '値'],
      ]
      await send(writer, topic, [{ value: 'with', headers }, { value: 'without' }])
      for (const reader of clients) {
        const seen = await read(reader, topic, 2)
        assert.deepEqual(seen[0]!.headers.map(([name, value]) => [name, value.toString('hex')]), headers.map(([name, value]) => [name, Buffer.from(value).toString('hex')]), reader.name)
        assert.deepEqual(seen[1]!.headers, [], reader.name)
      }
    })

    test('a timestamp is what the producer said, to the millisecond', async () => {
      const topic = unique('timestamps')
      await createTopic(broker.address(), topic)
      // Within 24 days of each other: beyond that the deltas of @platformatic/kafka 2.12 overflow.
      const stamps = [1_700_000_000_001, 1_699_999_999_000, 1_700_000_000_999]
      await send(writer, topic, stamps.map((timestamp) => ({ value: 'x', timestamp })))
      for (const reader of clients) assert.deepEqual((await read(reader, topic, 3)).map(({ timestamp }) => timestamp), stamps, reader.name)
    })

    test('the offset that the producer is told is where consumers find the message', async () => {
      const topic = unique('told')
      await createTopic(broker.address(), topic, 2)
      const sender = await writer.sender(broker.address())
      const told: [number, number][] = []
      for (let round = 0; round < 5; round++) {
        for (const [partition, offset] of await sender.send(topic, numbered(`${round}`, round + 1, () => ({ partition: round % 2 })))) told.push([partition, offset])
      }
      await sender.close()
      const seen = await read(clients[0]!, topic, 15)
      assert.deepEqual(told.map(([partition, offset]) => texts(seen.filter((one) => one.partition === partition && one.offset === offset))), [['0-0'], ['1-0'], ['2-0'], ['3-0'], ['4-0']])
    })

    test('a message of almost max.message.bytes arrives whole', async () => {
      const topic = unique('large')
      await createTopic(broker.address(), topic)
      const value = Buffer.alloc(1_000_000, 'abcdefghij')
      await send(writer, topic, [{ value }])
      for (const reader of clients) assert.ok((await read(reader, topic, 1))[0]!.value?.equals(value), reader.name)
    })

    test('a message beyond max.message.bytes of its topic is refused, and leaves nothing behind', async () => {
      const topic = unique('too-large')
      await createTopic(broker.address(), topic, 1, { 'max.message.bytes': '1000' })
      const sender = await writer.sender(broker.address())
      await assert.rejects(sender.send(topic, [{ value: 'x'.repeat(2000) }]))
      await sender.send(topic, [{ value: 'fits' }])
      await sender.close()
      assert.deepEqual(await endOffsets(broker.address(), topic), [1])
    })
  })
}

for (const codec of codecs) {
  test(`${codec}: every client reads what every client compressed, in order`, async () => {
    for (const writer of clients) {
      const topic = unique(codec)
      await createTopic(broker.address(), topic)
      const sender = await writer.sender(broker.address(), { codec })
      const messages = numbered(codec, 300, () => ({ key: 'k' }))
      for (let from = 0; from < messages.length; from += 100) await sender.send(topic, messages.slice(from, from + 100))
      await sender.close()
      for (const reader of clients) assert.deepEqual(texts(await read(reader, topic, messages.length)), messages.map(({ value }) => value), `${writer.name} to ${reader.name}`)
    }
  })
}

test('batches of all codecs and both clients in one partition are read in the order in which they were acknowledged', async () => {
  const topic = unique('mixed')
  await createTopic(broker.address(), topic)
  const expected: Outgoing[] = []
  for (const codec of codecs) {
    for (const writer of clients) {
      const sender = await writer.sender(broker.address(), { codec })
      const messages = numbered(`${codec}-${writer.name}`, 3)
      await sender.send(topic, messages)
      await sender.close()
      expected.push(...messages)
    }
  }
  for (const reader of clients) assert.deepEqual(texts(await read(reader, topic, expected.length)), expected.map(({ value }) => value), reader.name)
})

test('an empty list of messages is no error and writes nothing', async () => {
  const topic = unique('empty')
  await createTopic(broker.address(), topic)
  const producer = kafkajs(broker.address()).producer()
  await producer.connect()
  await producer.send({ topic, messages: [] })
  await producer.sendBatch({ topicMessages: [] })
  await producer.disconnect()
  assert.deepEqual(await endOffsets(broker.address(), topic), [0])
})

test('an invalid topic name is refused, and the producer goes on to a valid one', async () => {
  const topic = unique('valid')
  const producer = kafkajs(broker.address(), { retry: { retries: 0 } }).producer()
  await producer.connect()
  await assert.rejects(producer.send({ topic: `${topic}-abc)(*&^%`, messages: [{ value: 'x' }] }), /invalid topic/)
  const again = kafkajs(broker.address()).producer()
  await again.connect()
  await again.send({ topic, messages: [{ value: 'x' }] })
  await assert.doesNotReject(producer.send({ topic, messages: [{ value: 'x' }] }))
  await again.disconnect()
  await producer.disconnect()
})
