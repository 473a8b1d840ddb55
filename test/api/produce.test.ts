/** Produce: what is taken, what is refused and with which code, and what is there afterwards. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ATTRIBUTES_AT,
  BATCH_LENGTH_AT,
  CRC_AT,
  LAST_OFFSET_DELTA_AT,
  MAGIC_AT,
  MAX_TIMESTAMP_AT,
  RECORD_COUNT_AT,
  baseOffset,
  maxTimestamp,
  partitionLeaderEpoch,
  timestampTypeOf,
  attributes,
  computeCrc,
  crc,
} from '../../protocol/records/batch.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { KafkaError } from '../../protocol/errors.ts'
import { eventually } from '../support/broker.ts'
import {
  alterTopic,
  batchOf,
  bytesOf,
  createTopic,
  endOffset,
  fetchOne,
  freshName,
  isError,
  listOffset,
  onKafka,
  onlyHere,
  produce,
  produceOk,
  produceRequest,
  recordsIn,
  tamper,
  useBroker,
} from './support.ts'


const subject = useBroker()
const UUID = 'BBBBBBBBBBBBBBBBBBBBBA'
const DAY_MS = 86_400_000
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

describe('what is taken', () => {
  test('in every version, and comes back as it was', async () => {
    const topic = await createTopic(subject.client)
    for (let version = 3; version <= 13; version++) {
      const answer = await produce(subject.client, topic, batchOf([`v${version}`]), { version })
      isError(answer.errorCode, 'NONE', answer.errorMessage)
      assert.equal(answer.baseOffset, version - 3)
      assert.equal(answer.logAppendTimeMs, -1)
      assert.equal(answer.logStartOffset, version >= 5 ? 0 : -1)
      assert.deepEqual([answer.recordErrors, answer.errorMessage], [[], null])
    }
    const found = recordsIn(await fetchOne(subject.client, topic, 0))
    assert.deepEqual(found.map(({ offset, value }) => [offset, value]), Array.from({ length: 11 }, (_, i) => [i, `v${i + 3}`]))
  })

  test('names up to v12, ids from v13 on, each given back', async () => {
    const topic = await createTopic(subject.client)
    const v12 = await subject.client.send(Produce, 12, produceRequest(topic, batchOf(['a'])))
    assert.deepEqual(v12.responses.map(({ name, topicId }) => [name, topicId]), [[topic.name, 'AAAAAAAAAAAAAAAAAAAAAA']])
    const v13 = await subject.client.send(Produce, 13, produceRequest(topic, batchOf(['a'])))
    assert.deepEqual(v13.responses.map(({ name, topicId }) => [name, topicId]), [['', topic.id]])
  })

  for (const [codec, name] of codecs.entries()) {
    test(`${name}, byte for byte but for the place in the log`, async () => {
      const topic = await createTopic(subject.client)
      await produceOk(subject.client, topic, batchOf(['before']))
      const batch = batchOf(['a', 'b', 'c'.repeat(1000)], { codec })
      const offset = await produceOk(subject.client, topic, Buffer.from(batch))
      assert.equal(offset, 1)
      const stored = bytesOf(await fetchOne(subject.client, topic, 1))
      assert.equal(baseOffset(stored, 0), 1)
      assert.ok(partitionLeaderEpoch(stored, 0) >= 0)
      assert.deepEqual(stored.subarray(MAGIC_AT), batch.subarray(MAGIC_AT))
    })
  }

  test('null and empty keys, values and headers are four different things; headers keep order, duplicates and nulls', async () => {
    const topic = await createTopic(subject.client)
    const headers = [
      { key: 'b', value: Buffer.from('1') },
      { key: 'a', value: null },
      { key: 'b', value: Buffer.from('') },
    ]
    const batch = batchOf([
      { key: null, value: null, headers },
      { key: Buffer.from(''), value: Buffer.from('') },
      { key: null, value: Buffer.from('') },
      { key: Buffer.from(''), value: null },
    ])
    await produceOk(subject.client, topic, Buffer.from(batch))
    const fetched = await fetchOne(subject.client, topic, 0)
    assert.deepEqual(recordsIn(fetched).map(({ key, value }) => [key, value]), [[null, null], ['', ''], [null, ''], ['', null]])
    assert.deepEqual(bytesOf(fetched).subarray(MAGIC_AT), batch.subarray(MAGIC_AT))
  })

  test('several topics and partitions in one request, answered in its order; what is wrong with one is nothing to the others', async () => {
    const [one, two] = [await createTopic(subject.client, { partitions: 2 }), await createTopic(subject.client)]
    const bad = batchOf(['bad'])
    bad[CRC_AT]! ^= 1
    const { responses } = await subject.client.send(Produce, 9, {
      acks: 1,
      timeoutMs: 10_000,
      topicData: [
        { name: two.name, partitionData: [{ index: 0, records: [batchOf(['x'])] }] },
        {
          name: one.name,
          partitionData: [
            { index: 1, records: [batchOf(['y', 'z'])] },
            { index: 0, records: [bad] },
            { index: 7, records: [batchOf(['nowhere'])] },
          ],
        },
      ],
    })
    const answers = new Map(responses.flatMap(({ name, partitionResponses }) => partitionResponses.map((p) => [`${name}/${p.index}`, [p.errorCode, p.baseOffset]])))
    assert.deepEqual(answers, new Map([
      [`${two.name}/0`, [KafkaError.NONE, 0]],
      [`${one.name}/1`, [KafkaError.NONE, 0]],
      [`${one.name}/0`, [KafkaError.CORRUPT_MESSAGE, -1]],
      [`${one.name}/7`, [KafkaError.UNKNOWN_TOPIC_OR_PARTITION, -1]],
    ]))
    assert.deepEqual([await endOffset(subject.client, one, 0), await endOffset(subject.client, one, 1), await endOffset(subject.client, two)], [0, 2, 1])
  })

  test('a wrong max timestamp in the header is made right', async () => {
    const topic = await createTopic(subject.client)
    const now = Date.now()
    const batch = batchOf([{ timestamp: now - 5 }, { timestamp: now }, { timestamp: now - 9 }])
    await produceOk(subject.client, topic, tamper(batch, (bytes) => bytes.writeBigInt64BE(BigInt(now - 1000), MAX_TIMESTAMP_AT)))
    const stored = bytesOf(await fetchOne(subject.client, topic, 0))
    assert.equal(maxTimestamp(stored, 0), now)
    assert.equal(crc(stored, 0), computeCrc(stored, 0))
    assert.equal((await listOffset(subject.client, topic, -3)).offset, 1)
  })

  test('a timestamp of -1 is no timestamp', async () => {
    const topic = await createTopic(subject.client)
    await produceOk(subject.client, topic, batchOf([{ timestamp: -1, value: Buffer.from('x') }]))
    assert.deepEqual(recordsIn(await fetchOne(subject.client, topic, 0)).map(({ timestamp }) => timestamp), [-1])
  })
})

describe('acks', () => {
  test('0: nothing is answered, and the records are there', async () => {
    const topic = await createTopic(subject.client)
    const client = await subject.connect()
    client.post(Produce, 9, produceRequest(topic, batchOf(['a']), { acks: 0 }))
    isError((await client.send(Produce, 9, produceRequest(topic, batchOf(['b'])))).responses[0]?.partitionResponses[0]?.errorCode, 'NONE')
    assert.deepEqual(recordsIn(await fetchOne(client, topic, 0)).map(({ value }) => value), ['a', 'b'])
  })

  test('0 with an error: the connection is closed, so that the producer notices', async () => {
    const topic = await createTopic(subject.client)
    const bad = batchOf(['a'])
    bad[CRC_AT]! ^= 1
    for (const [name, records] of [[freshName('absent'), batchOf(['a'])], [topic.name, bad]] as const) {
      const client = await subject.connect()
      client.post(Produce, 9, produceRequest({ name }, records, { acks: 0 }))
      await client.closed()
    }
    assert.equal(await endOffset(subject.client, topic), 0)
  })

  test('2 is INVALID_REQUIRED_ACKS, and nothing is written', async () => {
    const topic = await createTopic(subject.client)
    for (const acks of [2, -2]) {
      const answer = await produce(subject.client, topic, batchOf(['a']), { acks })
      isError(answer.errorCode, 'INVALID_REQUIRED_ACKS')
      assert.equal(answer.baseOffset, -1)
    }
    assert.equal(await endOffset(subject.client, topic), 0)
  })

  test('all and 1 are both answered with the offset', async () => {
    const topic = await createTopic(subject.client)
    for (const [offset, acks] of [1, -1].entries()) assert.equal(await produceOk(subject.client, topic, batchOf(['a']), { acks }), offset)
  })
})

describe('where to', () => {
  test('an unknown name or partition is UNKNOWN_TOPIC_OR_PARTITION, and creates nothing', async () => {
    const name = freshName('absent')
    isError((await produce(subject.client, { name }, batchOf(['a']))).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    const { topics } = await subject.client.send(Metadata, 4, { topics: [{ name }], allowAutoTopicCreation: false })
    isError(topics[0]?.errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    const topic = await createTopic(subject.client)
    for (const partition of [1, -1]) {
      isError((await produce(subject.client, topic, batchOf(['a']), { partition })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
    }
  })

  test('a name that is not allowed is UNKNOWN_TOPIC_OR_PARTITION too', async () => {
    for (const name of ['', '..', 'a b', 'x'.repeat(250)]) {
      isError((await produce(subject.client, { name }, batchOf(['a']))).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION', name)
    }
  })

  test('an unknown id is UNKNOWN_TOPIC_ID, a partition that a known id lacks UNKNOWN_TOPIC_OR_PARTITION', async () => {
    for (const id of [UUID, 'AAAAAAAAAAAAAAAAAAAAAA']) {
      isError((await produce(subject.client, { name: '', id }, batchOf(['a']), { version: 13 })).errorCode, 'UNKNOWN_TOPIC_ID')
    }
    const topic = await createTopic(subject.client)
    isError((await produce(subject.client, topic, batchOf(['a']), { version: 13, partition: 3 })).errorCode, 'UNKNOWN_TOPIC_OR_PARTITION')
  })

  test('internal topics take nothing from clients, but for tools that call themselves __admin_client', async () => {
    const client = await subject.connect()
    await eventually('the topic is there', async () => (await client.send(Metadata, 9, { topics: [{ name: '__consumer_offsets' }] })).topics[0]?.errorCode === 0)
    isError((await produce(client, { name: '__consumer_offsets' }, batchOf([{ key: Buffer.from('k') }]))).errorCode, 'INVALID_TOPIC_EXCEPTION')
  })
})

describe('what is refused, with which code', () => {
  const good = batchOf(['one', 'two'])
  const length = good.readInt32BE(BATCH_LENGTH_AT)
  const untouched = (change: (batch: Buffer) => void): Buffer => {
    const copy = Buffer.from(good)
    change(copy)
    return copy
  }
  type Case = readonly [what: string, code: keyof typeof KafkaError, records: Buffer | null, differsFromKafka?: 'differs']
  const cases: readonly Case[] = [
    ['a wrong checksum', 'CORRUPT_MESSAGE', untouched((batch) => (batch[CRC_AT]! ^= 1))],
    ['a flipped bit in the records', 'CORRUPT_MESSAGE', untouched((batch) => (batch[batch.length - 3]! ^= 1))],
    ['magic 3', 'CORRUPT_MESSAGE', tamper(good, (batch) => batch.writeInt8(3, MAGIC_AT))],
    ['magic -1', 'CORRUPT_MESSAGE', tamper(good, (batch) => batch.writeInt8(-1, MAGIC_AT))],
    ['a batch length that is too small', 'CORRUPT_MESSAGE', untouched(lengthOf(10))],
    ['a batch length of a header that is cut off', 'CORRUPT_MESSAGE', untouched(lengthOf(40))],
    ['a batch length of zero', 'CORRUPT_MESSAGE', untouched(lengthOf(0))],
    ['a negative batch length', 'CORRUPT_MESSAGE', untouched(lengthOf(-1))],
    ['a batch length of 2^31-1', 'CORRUPT_MESSAGE', untouched(lengthOf(0x7fff_ffff)), 'differs'],
    ['magic 0', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt8(0, MAGIC_AT))],
    ['magic 1', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt8(1, MAGIC_AT))],
    ['too many records in the count', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt32BE(3, RECORD_COUNT_AT))],
    ['too few records in the count', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt32BE(1, RECORD_COUNT_AT))],
    ['a record count of zero', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt32BE(0, RECORD_COUNT_AT))],
    ['a negative record count', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt32BE(-1, RECORD_COUNT_AT))],
    ['a last offset delta that does not fit', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt32BE(5, LAST_OFFSET_DELTA_AT))],
    ['a batch length slightly too big', 'INVALID_RECORD', untouched(lengthOf(length + 1))],
    ['no bytes', 'INVALID_RECORD', Buffer.alloc(0)],
    ['two batches', 'INVALID_RECORD', Buffer.concat([good, good])],
    ['a batch and garbage', 'INVALID_RECORD', Buffer.concat([good, Buffer.from('garbage')]), 'differs'],
    ['a control batch', 'INVALID_RECORD', tamper(good, (batch) => batch.writeInt16BE(0x20, ATTRIBUTES_AT))],
    ['null records', 'INVALID_RECORD', null, 'differs'],
    ['a codec that does not exist', 'UNSUPPORTED_COMPRESSION_TYPE', tamper(good, (batch) => batch.writeInt16BE(5, ATTRIBUTES_AT)), 'differs'],
    ['gzip that is none', 'CORRUPT_MESSAGE', tamper(good, (batch) => batch.writeInt16BE(1, ATTRIBUTES_AT)), 'differs'],
    ['snappy that is none', 'CORRUPT_MESSAGE', tamper(good, (batch) => batch.writeInt16BE(2, ATTRIBUTES_AT)), 'differs'],
    ['lz4 that is none', 'CORRUPT_MESSAGE', tamper(good, (batch) => batch.writeInt16BE(3, ATTRIBUTES_AT)), 'differs'],
    ['zstd that is none', 'CORRUPT_MESSAGE', tamper(good, (batch) => batch.writeInt16BE(4, ATTRIBUTES_AT)), 'differs'],
    ['a timestamp type that only brokers set', 'INVALID_TIMESTAMP', tamper(good, (batch) => batch.writeInt16BE(8, ATTRIBUTES_AT)), 'differs'],
    ['a timestamp a day ahead', 'INVALID_TIMESTAMP', batchOf([{ timestamp: Date.now() + DAY_MS, value: Buffer.from('x') }])],
  ]
  for (const [what, code, records, differs] of cases) {
    test(`${what}: ${code}`, differs === undefined ? {} : onlyHere, async () => {
      const topic = await createTopic(subject.client)
      const answer = await produce(subject.client, topic, records)
      isError(answer.errorCode, code, answer.errorMessage)
      assert.deepEqual([answer.baseOffset, answer.logAppendTimeMs], [-1, -1])
      assert.equal(await endOffset(subject.client, topic), 0)
      assert.equal(await produceOk(subject.client, topic, batchOf(['next'])), 0)
    })
  }

  for (const [codec, name] of codecs.entries()) {
    if (codec === 0) continue
    const records = batchOf(Array.from({ length: 50 }, (_, i) => `value ${i} ${Math.sin(i)}`), { codec })
    const damaged: readonly [string, Buffer][] = [
      ['cut off', tamperedLength(records.subarray(0, -15))],
      ['with bytes overwritten', tamper(records, (batch) => batch.fill(0xa5, batch.length - 60, batch.length - 20))],
      ['of fewer records than promised', tamper(records, (batch) => {
        batch.writeInt32BE(51, RECORD_COUNT_AT)
        batch.writeInt32BE(50, LAST_OFFSET_DELTA_AT)
      })],
    ]
    for (const [what, batch] of damaged) {
      test(`${name} ${what} is refused`, onlyHere, async () => {
        const topic = await createTopic(subject.client)
        const answer = await produce(subject.client, topic, batch)
        const codes: number[] = [KafkaError.CORRUPT_MESSAGE, KafkaError.INVALID_RECORD]
        assert.ok(codes.includes(answer.errorCode), `${answer.errorCode} ${answer.errorMessage}`)
        assert.equal(await endOffset(subject.client, topic), 0)
      })
    }
  }

  test('zstd below v7: UNSUPPORTED_COMPRESSION_TYPE', async () => {
    const topic = await createTopic(subject.client)
    const batch = batchOf(['a'], { codec: 4 })
    isError((await produce(subject.client, topic, Buffer.from(batch), { version: 6 })).errorCode, 'UNSUPPORTED_COMPRESSION_TYPE')
    isError((await produce(subject.client, topic, Buffer.from(batch), { version: 7 })).errorCode, 'NONE')
  })

  test('no key on a compacted topic: INVALID_RECORD, and which records (KIP-467)', async () => {
    const topic = await createTopic(subject.client, { configs: { 'cleanup.policy': 'compact' } })
    for (const codec of [0, 1, 4]) {
      const batch = batchOf([{ key: Buffer.from('k') }, { key: null }, { key: Buffer.from('k') }, { key: null }], { codec })
      const answer = await produce(subject.client, topic, batch)
      isError(answer.errorCode, 'INVALID_RECORD')
      assert.deepEqual(answer.recordErrors.map(({ batchIndex }) => batchIndex), [1, 3])
      assert.match(answer.recordErrors[0]?.batchIndexErrorMessage ?? '', /Compacted topic cannot accept message without key/)
    }
    assert.equal(await endOffset(subject.client, topic), 0)
    await produceOk(subject.client, topic, batchOf([{ key: Buffer.from('k') }, { key: Buffer.from('') }]))
  })

  test('too far ahead: INVALID_TIMESTAMP, and which records', async () => {
    const topic = await createTopic(subject.client)
    const now = Date.now()
    for (const codec of [0, 1]) {
      const answer = await produce(subject.client, topic, batchOf([{ timestamp: now }, { timestamp: now + DAY_MS }, { timestamp: now }], { codec }))
      isError(answer.errorCode, 'INVALID_TIMESTAMP')
      assert.deepEqual(answer.recordErrors.map(({ batchIndex }) => batchIndex), [1])
    }
  })

  test('timestamps: as far behind and ahead as the topic allows', async () => {
    const configs = { 'message.timestamp.before.max.ms': '60000', 'message.timestamp.after.max.ms': '1000' }
    const topic = await createTopic(subject.client, { configs })
    const now = Date.now()
    isError((await produce(subject.client, topic, batchOf([{ timestamp: now - 120_000 }]))).errorCode, 'INVALID_TIMESTAMP')
    isError((await produce(subject.client, topic, batchOf([{ timestamp: now + 10_000 }]))).errorCode, 'INVALID_TIMESTAMP')
    isError((await produce(subject.client, topic, batchOf([{ timestamp: now - 1000 }]))).errorCode, 'NONE')
    const anyTime = await createTopic(subject.client)
    isError((await produce(subject.client, anyTime, batchOf([{ timestamp: 0 }]))).errorCode, 'NONE')
  })

  test('larger than max.message.bytes of the topic: MESSAGE_TOO_LARGE, and the end offset stays 0', async () => {
    const topic = await createTopic(subject.client, { configs: { 'max.message.bytes': '1000' } })
    isError((await produce(subject.client, topic, batchOf(['x'.repeat(1000)]))).errorCode, 'MESSAGE_TOO_LARGE')
    assert.equal(await endOffset(subject.client, topic), 0)
    const fits = batchOf(['x'.repeat(1000 - batchOf(['']).length - 2)])
    assert.equal(fits.length, 1000)
    assert.equal(await produceOk(subject.client, topic, fits), 0)
    isError((await produce(subject.client, topic, batchOf(['x'.repeat(999 - batchOf(['']).length)]))).errorCode, 'MESSAGE_TOO_LARGE')
  })

  test('larger than message.max.bytes of the broker: MESSAGE_TOO_LARGE; compressed it may fit', async () => {
    const topic = await createTopic(subject.client)
    const value = 'x'.repeat(1_100_000)
    isError((await produce(subject.client, topic, batchOf([value]))).errorCode, 'MESSAGE_TOO_LARGE')
    await produceOk(subject.client, topic, batchOf([value], { codec: 1 }))
    assert.equal(recordsIn(await fetchOne(subject.client, topic, 0))[0]?.value, value)
  })

  test('a transactional batch without a transactional id: TRANSACTIONAL_ID_AUTHORIZATION_FAILED for the whole request', async () => {
    const topic = await createTopic(subject.client, { partitions: 2 })
    const transactional = batchOf(['a'], { transactional: true, producerId: 7_000_000, producerEpoch: 0, baseSequence: 0 })
    const { responses } = await subject.client.send(Produce, 9, {
      acks: -1,
      timeoutMs: 10_000,
      topicData: [{ name: topic.name, partitionData: [{ index: 0, records: [transactional] }, { index: 1, records: [batchOf(['plain'])] }] }],
    })
    for (const { errorCode } of responses.flatMap(({ partitionResponses }) => partitionResponses)) isError(errorCode, 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED')
    assert.deepEqual([await endOffset(subject.client, topic, 0), await endOffset(subject.client, topic, 1)], [0, 0])
  })
})

describe('LogAppendTime', () => {
  const logAppendTime = { 'message.timestamp.type': 'LogAppendTime' }

  test('the answer says the time, and the records carry it', async () => {
    const topic = await createTopic(subject.client, { configs: logAppendTime })
    for (const codec of [0, 4]) {
      const before = Date.now()
      const answer = await produce(subject.client, topic, batchOf([{ timestamp: 5 }, { timestamp: Date.now() + 10 * DAY_MS }], { codec }))
      isError(answer.errorCode, 'NONE', answer.errorMessage)
      assert.ok(answer.logAppendTimeMs >= before && answer.logAppendTimeMs <= Date.now(), String(answer.logAppendTimeMs))
      const fetched = await fetchOne(subject.client, topic, answer.baseOffset)
      const stored = bytesOf(fetched)
      assert.equal(timestampTypeOf(attributes(stored, 0)), 1)
      assert.equal(maxTimestamp(stored, 0), answer.logAppendTimeMs)
      assert.equal(crc(stored, 0), computeCrc(stored, 0))
      assert.deepEqual(recordsIn(fetched).map(({ timestamp }) => timestamp), [answer.logAppendTimeMs, answer.logAppendTimeMs])
    }
  })

  test('takes effect after an alter, both ways', async () => {
    const topic = await createTopic(subject.client)
    const now = Date.now()
    const at = (timestamp: number) => produce(subject.client, topic, batchOf([{ timestamp }]))
    isError((await at(now - 1000)).errorCode, 'NONE')
    await alterTopic(subject.client, topic, 'message.timestamp.type', 'LogAppendTime')
    await eventually('LogAppendTime is in force', async () => (await at(now - 2000)).logAppendTimeMs > 0)
    await alterTopic(subject.client, topic, 'message.timestamp.type', 'CreateTime')
    await eventually('CreateTime is in force', async () => (await at(now - 3000)).logAppendTimeMs === -1)
    const timestamps = recordsIn(await fetchOne(subject.client, topic, 0)).map(({ timestamp }) => timestamp)
    assert.deepEqual([timestamps[0], timestamps.at(-1)], [now - 1000, now - 3000])
    if (!onKafka) assert.equal(timestamps.length, 3)
  })

  test('a duplicate is answered with the time that the batch was given', async () => {
    const topic = await createTopic(subject.client, { configs: logAppendTime })
    const batch = batchOf(['a'], { producerId: 4711, producerEpoch: 0, baseSequence: 0 })
    const first = await produce(subject.client, topic, Buffer.from(batch))
    const second = await produce(subject.client, topic, Buffer.from(batch))
    isError(second.errorCode, 'NONE')
    assert.deepEqual([second.baseOffset, second.logAppendTimeMs], [first.baseOffset, first.logAppendTimeMs])
  })
})

function lengthOf(value: number): (batch: Buffer) => void {
  return (batch) => batch.writeInt32BE(value, BATCH_LENGTH_AT)
}

function tamperedLength(batch: Buffer): Buffer {
  return tamper(Buffer.from(batch), (bytes) => bytes.writeInt32BE(bytes.length - 12, BATCH_LENGTH_AT))
}
