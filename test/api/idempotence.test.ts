/** Idempotent producers (KIP-98): what a retry gets, what a gap gets, and what is still known after a restart and after kill -9. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import { removeStore, startTestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'
import {
  batchOf,
  createTopic,
  endOffset,
  freshProducerId,
  isError,
  onlyHere,
  produce,
  produceRequest,
  quick,
  readFrom,
  useBroker,
} from './support.ts'
import type { ProducedPartition, TestTopic } from './support.ts'

const subject = useBroker()
const SEQUENCE_MAX = 0x7fff_ffff

/** A producer that keeps no count: every batch says its own sequence. */
class Producer {
  readonly id: number
  readonly topic: TestTopic
  readonly client: RawClient

  constructor(client: RawClient, topic: TestTopic, id: number) {
    this.client = client
    this.topic = topic
    this.id = id
  }

  static async create(client: RawClient, topic?: TestTopic): Promise<Producer> {
    return new Producer(client, topic ?? (await createTopic(client)), await freshProducerId(client))
  }

  batch(baseSequence: number, options: { epoch?: number; records?: number; value?: string } = {}): Buffer {
    const { epoch = 0, records = 1, value = `s${baseSequence}` } = options
    return batchOf(Array.from({ length: records }, () => value), { producerId: this.id, producerEpoch: epoch, baseSequence })
  }

  send(baseSequence: number, options: { epoch?: number; records?: number; value?: string } = {}): Promise<ProducedPartition> {
    return produce(this.client, this.topic, this.batch(baseSequence, options))
  }

  async ok(baseSequence: number, options: { epoch?: number; records?: number } = {}): Promise<number> {
    const answer = await this.send(baseSequence, options)
    isError(answer.errorCode, 'NONE', answer.errorMessage)
    return answer.baseOffset
  }
}

describe('InitProducerId', () => {
  test('gives everybody an id of their own, with epoch 0, in every version', async () => {
    const ids = new Set<number>()
    ids.add(await freshProducerId(subject.client))
    for (let version = 0; version <= 5; version++) {
      for (let i = 0; i < 3; i++) {
        const reply = await subject.client.send(InitProducerId, version, { transactionalId: null, transactionTimeoutMs: 60_000 })
        isError(reply.errorCode, 'NONE')
        assert.equal(reply.producerEpoch, 0)
        ids.add(reply.producerId)
      }
    }
    assert.equal(ids.size, 19)
  })

  test('many at once are all different', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => freshProducerId(subject.client)))
    assert.equal(new Set(ids).size, 50)
  })

  test('an empty transactional id is INVALID_REQUEST', async () => {
    isError((await subject.client.send(InitProducerId, 4, { transactionalId: '', transactionTimeoutMs: 60_000 })).errorCode, 'INVALID_REQUEST')
  })

  test('an id without its epoch, or an epoch without its id, is INVALID_REQUEST', async () => {
    for (const given of [{ producerId: 5 }, { producerEpoch: 5 }]) {
      isError((await subject.client.send(InitProducerId, 3, { transactionalId: null, transactionTimeoutMs: 60_000, ...given })).errorCode, 'INVALID_REQUEST')
    }
  })
})

describe('a retry', () => {
  test('gets the offset of the first time, and nothing is written twice', async () => {
    const producer = await Producer.create(subject.client)
    for (let sequence = 0; sequence < 5; sequence++) assert.equal(await producer.ok(sequence), sequence)
    for (const sequence of [4, 0, 2, 2]) {
      const again = await producer.send(sequence)
      isError(again.errorCode, 'NONE')
      assert.equal(again.baseOffset, sequence)
      assert.equal(again.logStartOffset, 0)
    }
    assert.equal(await endOffset(subject.client, producer.topic), 5)
    assert.equal(await producer.ok(5), 5)
  })

  test('that overtakes the answer to the first one waits for it, and gets the same', async () => {
    const producer = await Producer.create(subject.client)
    const other = await subject.connect()
    const [first, second, third] = await Promise.all([
      producer.send(0, { records: 3 }),
      produce(subject.client, producer.topic, producer.batch(0, { records: 3 })),
      produce(other, producer.topic, producer.batch(0, { records: 3 })),
    ])
    for (const answer of [first, second, third]) assert.deepEqual([answer.errorCode, answer.baseOffset], [0, 0])
    assert.equal(await endOffset(subject.client, producer.topic), 3)
  })

  test('of one of the last five batches is known; an older one is OUT_OF_ORDER_SEQUENCE_NUMBER, as nobody can say that it was written', async () => {
    const producer = await Producer.create(subject.client)
    for (let sequence = 0; sequence < 6; sequence++) await producer.ok(sequence)
    isError((await producer.send(0)).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
    assert.equal((await producer.send(1)).baseOffset, 1)
    assert.equal(await endOffset(subject.client, producer.topic), 6)
  })

  test('five in flight at once over one connection, sent twice', async () => {
    const producer = await Producer.create(subject.client)
    const client = await subject.connect()
    const sent = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4].map((n) => client.send(Produce, 9, produceRequest(producer.topic, producer.batch(n * 2, { records: 2 }))))
    const offsets = (await Promise.all(sent)).map(({ responses }) => responses[0]!.partitionResponses[0]!)
    assert.deepEqual(offsets.map(({ errorCode, baseOffset }) => [errorCode, baseOffset]), [0, 2, 4, 6, 8, 0, 2, 4, 6, 8].map((offset) => [0, offset]))
  })

  test('partitions count on their own', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    const producer = await Producer.create(subject.client, topic)
    for (const partition of [0, 1]) assert.equal((await produce(subject.client, topic, producer.batch(0), { partition })).baseOffset, 0)
    isError((await produce(subject.client, topic, producer.batch(2), { partition: 1 })).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
  })
})

describe('connections that die', () => {
  test('under the requests: every batch is there once, in order', async () => {
    const producer = await Producer.create(subject.client)
    const batches = 40
    let died = 0
    for (let sequence = 0; sequence < batches; ) {
      // Up to five in flight; the connection ends at once, soon, or not at all.
      const client = await subject.connect()
      const sent = Array.from({ length: Math.min(5, batches - sequence) }, (_, ahead) => client.send(Produce, 9, produceRequest(producer.topic, producer.batch(sequence + ahead))))
      const fate = sequence % 3
      if (fate === 0) client.close()
      else if (fate === 1) setTimeout(() => client.close(), 1)
      const answers = await Promise.allSettled(sent)
      for (const answer of answers) {
        if (answer.status === 'rejected') {
          died++
          // As a client does: again from the first one that was not answered, over another connection.
          assert.equal(await producer.ok(sequence), sequence)
          sequence++
          break
        }
        const { errorCode, baseOffset } = answer.value.responses[0]!.partitionResponses[0]!
        assert.deepEqual([errorCode, baseOffset], [0, sequence])
        sequence++
      }
      client.close()
    }
    assert.ok(died > 0)
    const found = await readFrom(subject.client, producer.topic)
    assert.deepEqual(found.map(({ offset, value }) => [offset, value]), Array.from({ length: batches }, (_, sequence) => [sequence, `s${sequence}`]))
  })
})

describe('sequences and epochs', () => {
  test('a gap is OUT_OF_ORDER_SEQUENCE_NUMBER, and the right one is still taken', async () => {
    const producer = await Producer.create(subject.client)
    await producer.ok(0, { records: 3 })
    for (const sequence of [4, 100]) isError((await producer.send(sequence)).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
    assert.equal(await producer.ok(3), 3)
  })

  test('a batch that lies half in what is known is out of order', async () => {
    const producer = await Producer.create(subject.client)
    await producer.ok(0, { records: 3 })
    await producer.ok(3, { records: 3 })
    isError((await producer.send(4, { records: 3 })).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
    assert.equal(await endOffset(subject.client, producer.topic), 6)
  })

  test('a producer that nobody knows may begin anywhere', async () => {
    const producer = await Producer.create(subject.client)
    assert.equal(await producer.ok(77), 0)
    assert.equal(await producer.ok(78), 1)
  })

  test('a new epoch begins at 0', async () => {
    const producer = await Producer.create(subject.client)
    await producer.ok(0)
    isError((await producer.send(1, { epoch: 1 })).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
    assert.equal(await producer.ok(0, { epoch: 1 }), 1)
    assert.equal(await producer.ok(1, { epoch: 1 }), 2)
  })

  test('an old epoch is INVALID_PRODUCER_EPOCH', async () => {
    const producer = await Producer.create(subject.client)
    await producer.ok(0, { epoch: 3 })
    for (const [epoch, sequence] of [[2, 1], [0, 0]] as const) isError((await producer.send(sequence, { epoch })).errorCode, 'INVALID_PRODUCER_EPOCH')
  })

  test('sequences wrap around after 2^31-1', async () => {
    const producer = await Producer.create(subject.client)
    assert.equal(await producer.ok(SEQUENCE_MAX - 1), 0)
    assert.equal(await producer.ok(SEQUENCE_MAX), 1)
    assert.equal(await producer.ok(0), 2)
    assert.equal(await producer.ok(1), 3)
    for (const [sequence, offset] of [[SEQUENCE_MAX - 1, 0], [SEQUENCE_MAX, 1], [0, 2], [1, 3]] as const) {
      assert.equal((await producer.send(sequence)).baseOffset, offset)
    }
  })

  test('a batch across the wrap', async () => {
    const producer = await Producer.create(subject.client)
    assert.equal(await producer.ok(SEQUENCE_MAX - 1, { records: 4 }), 0)
    assert.equal((await producer.send(SEQUENCE_MAX - 1, { records: 4 })).baseOffset, 0)
    isError((await producer.send(1)).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
    assert.equal(await producer.ok(2), 4)
  })

  test('a producer id without an epoch or a sequence is INVALID_RECORD', onlyHere, async () => {
    const producer = await Producer.create(subject.client)
    for (const bad of [{ producerEpoch: -1 }, { baseSequence: -1 }]) {
      const batch = batchOf(['x'], { producerId: producer.id, producerEpoch: 0, baseSequence: 0, ...bad })
      isError((await produce(subject.client, producer.topic, batch)).errorCode, 'INVALID_RECORD')
    }
    assert.equal(await endOffset(subject.client, producer.topic), 0)
  })

  test('a batch that is refused does not move the sequence', async () => {
    const producer = await Producer.create(subject.client)
    await producer.ok(0)
    const bad = producer.batch(1)
    bad[bad.length - 1]! ^= 1
    isError((await produce(subject.client, producer.topic, bad)).errorCode, 'CORRUPT_MESSAGE')
    assert.equal(await producer.ok(1), 1)
  })
})

describe('afterwards', onlyHere, () => {
  const stores: string[] = []
  after(async () => {
    for (const store of stores) await removeStore(store)
  })

  for (const how of ['a restart', 'kill -9']) {
    test(`sequences are known after ${how}: of flushed, of unflushed and of old records; ids are not given twice`, async () => {
      let broker = await startTestBroker({ args: quick })
      stores.push(broker.store)
      let client = await RawClient.connect(broker.address)
      const producer = await Producer.create(client)
      // A producer that replays old data: producers age by the clock of the broker, not by their records.
      const old = await Producer.create(client)
      const oldBatch = (sequence: number): Buffer =>
        batchOf([{ timestamp: 1000, value: Buffer.from('old') }], { producerId: old.id, producerEpoch: 0, baseSequence: sequence })
      for (let sequence = 0; sequence < 8; sequence++) {
        assert.equal(await producer.ok(sequence), sequence)
        isError((await produce(client, old.topic, oldBatch(sequence))).errorCode, 'NONE')
      }
      client.close()
      if (how === 'kill -9') await broker.kill()
      else assert.equal(await broker.stop(), 0)
      broker = await startTestBroker({ store: broker.store, args: quick })
      client = await RawClient.connect(broker.address)
      try {
        const again = new Producer(client, producer.topic, producer.id)
        for (let sequence = 3; sequence < 8; sequence++) assert.equal((await again.send(sequence)).baseOffset, sequence)
        isError((await again.send(2)).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
        isError((await again.send(9)).errorCode, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
        assert.equal(await again.ok(8), 8)
        assert.equal((await produce(client, old.topic, oldBatch(7))).baseOffset, 7)
        assert.equal(await endOffset(client, old.topic), 8)
        assert.equal((await readFrom(client, producer.topic)).length, 9)
        const fresh = await freshProducerId(client)
        assert.ok(fresh > old.id, `${fresh} after ${old.id}`)
      } finally {
        client.close()
        await broker.stop()
      }
    })
  }
})
