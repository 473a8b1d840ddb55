/**
 * The librdkafka client for Node (@confluentinc/kafka-javascript), in its promise interface and the one below it. Started by run.ts, which
 * keeps the broker: BROKER is its address, CLIENT the folder where the client was compiled.
 */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { after, describe, test } from 'node:test'

const { KafkaJS, AdminClient, KafkaConsumer, features } = createRequire(process.env.CLIENT)('@confluentinc/kafka-javascript')
const { Kafka, logLevel, ErrorCodes } = KafkaJS
const brokers = [process.env.BROKER]
const quiet = { brokers, logLevel: logLevel.NOTHING }
const kafka = new Kafka({ kafkaJS: quiet })

const unique = (what) => `${what}-${Math.random().toString(36).slice(2, 10)}`
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

async function eventually(what, check, ms = 60_000) {
  const end = performance.now() + ms
  for (;;) {
    const value = await check()
    if (value) return value
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`)
    await sleep(50)
  }
}

const admin = kafka.admin()
await admin.connect()
// Without run.ts there is no broker to talk to.
const orphaned = () => process.exit(1)
process.once('disconnect', orphaned)
after(async () => {
  await admin.disconnect()
  process.off('disconnect', orphaned)
  process.disconnect()
  // Threads of the library may keep the process: the report is out by then.
  setTimeout(() => process.exit(), 2_000).unref()
})

async function topicOf(what, numPartitions = 1) {
  const topic = unique(what)
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions }] }), true)
  return topic
}

async function produce(topic, messages, kafkaJS = {}) {
  const producer = kafka.producer({ kafkaJS, 'linger.ms': 0 })
  await producer.connect()
  const reports = await producer.send({ topic, messages })
  await producer.disconnect()
  return reports
}

const values = (seen) => seen.map(({ message }) => message.value?.toString() ?? null)
const numbered = (prefix, count, more = () => ({})) => Array.from({ length: count }, (_, n) => ({ value: `${prefix}-${n}`, ...more(n) }))

/** A running member; `seen` grows. */
async function join(topics, { groupId = unique('group'), config = {}, kafkaJS = {}, run = {} } = {}) {
  const consumer = kafka.consumer({ kafkaJS: { groupId, fromBeginning: true, autoCommitInterval: 200, ...kafkaJS }, ...config })
  const seen = []
  await consumer.connect()
  await consumer.subscribe({ topics: [topics].flat() })
  await consumer.run({ eachMessage: async (payload) => void seen.push(payload), ...run })
  await eventually('an assignment', () => consumer.assignment().length > 0)
  return { consumer, seen, partitions: () => consumer.assignment().map(({ partition }) => partition), stop: () => consumer.disconnect() }
}

describe('messages', () => {
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', ...(features.includes('zstd') ? ['zstd'] : [])]) {
    test(`${codec}: what is sent comes back in order`, async () => {
      const topic = await topicOf(codec)
      await produce(topic, numbered(codec, 300), { compression: codec })
      const member = await join(topic)
      await eventually('all', () => member.seen.length === 300)
      await member.stop()
      assert.deepEqual(values(member.seen), numbered(codec, 300).map(({ value }) => value))
    })
  }

  test('null, empty and int64 keys and values are told apart', async () => {
    const topic = await topicOf('nulls')
    const int64 = Buffer.alloc(8)
    int64.writeBigInt64BE(-2n)
    await produce(topic, [{ key: null, value: 'no key' }, { key: 'tombstone', value: null }, { key: '', value: '' }, { key: int64, value: 'int64' }])
    const member = await join(topic)
    await eventually('all', () => member.seen.length === 4)
    await member.stop()
    assert.deepEqual(member.seen.map(({ message }) => message.key?.toString('latin1') ?? null), [null, 'tombstone', '', int64.toString('latin1')])
    // The client gives an empty value as null; that the broker keeps the two apart is shown in records.test.ts.
    assert.deepEqual(values(member.seen), ['no key', null, null, 'int64'])
  })

  test('headers: duplicates, unicode and bytes', async () => {
    const topic = await topicOf('headers')
    await produce(topic, [{ value: 'x', headers: { plain: 'a', twice: ['1', '2'], 'Größe 🙂': 'äöü', bytes: Buffer.from([0, 255]) } }])
    const member = await join(topic)
    await eventually('it', () => member.seen.length === 1)
    await member.stop()
    const { headers } = member.seen[0].message
    assert.deepEqual(headers.twice.map(String), ['1', '2'])
    assert.equal(String(headers['Größe 🙂']), 'äöü')
    assert.deepEqual([...headers.bytes], [0, 255])
  })

  test('an idempotent producer that sends from many places: each message once', async () => {
    const topic = await topicOf('idempotent', 2)
    const producer = kafka.producer({ kafkaJS: { idempotent: true } })
    await producer.connect()
    const sends = Array.from({ length: 200 }, (_, n) => producer.send({ topic, messages: [{ partition: n % 2, value: String(n) }] }))
    await producer.flush({ timeout: 30_000 })
    await Promise.all(sends)
    await producer.disconnect()
    assert.deepEqual((await admin.fetchTopicOffsets(topic)).map(({ high }) => high).toSorted(), ['100', '100'])
  })

  test('an invalid topic name is refused, and the producer goes on to a valid one', async () => {
    const topic = await topicOf('valid')
    const producer = kafka.producer()
    await producer.connect()
    await assert.rejects(producer.send({ topic: `${topic}-abc)(*&^%`, messages: [{ value: 'x' }] }))
    await producer.send({ topic, messages: [{ value: 'x' }] })
    await producer.disconnect()
  })

  test('a message beyond max.message.bytes of its topic is refused', async () => {
    const topic = unique('large')
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries: [{ name: 'max.message.bytes', value: '1000' }] }] })
    await assert.rejects(produce(topic, [{ value: 'x'.repeat(5000) }]), (error) => error.code === ErrorCodes.ERR_MSG_SIZE_TOO_LARGE)
  })
})

describe('consumers', () => {
  test('seek back, and pause and resume of one partition', async () => {
    const topic = await topicOf('seek', 2)
    await produce(topic, numbered('0', 5, () => ({ partition: 0 })))
    const member = await join(topic)
    await eventually('all', () => member.seen.length === 5)
    member.consumer.seek({ topic, partition: 0, offset: '3' })
    await eventually('two again', () => member.seen.length === 7)
    assert.deepEqual(values(member.seen).slice(5), ['0-3', '0-4'])
    member.consumer.pause([{ topic, partitions: [0] }])
    await produce(topic, [{ partition: 0, value: 'held' }, { partition: 1, value: 'flowing' }])
    await eventually('the other', () => values(member.seen).includes('flowing'))
    assert.ok(!values(member.seen).includes('held'))
    member.consumer.resume([{ topic, partitions: [0] }])
    await eventually('the held one', () => values(member.seen).includes('held'))
    await member.stop()
  })

  test('seek beyond the end recovers by the reset policy', async () => {
    const topic = await topicOf('range')
    await produce(topic, numbered('0', 3))
    const member = await join(topic)
    await eventually('all', () => member.seen.length === 3)
    member.consumer.seek({ topic, partition: 0, offset: '1000' })
    await eventually('from the beginning', () => member.seen.length === 6)
    await member.stop()
  })

  test('batches: what is not resolved comes again', async () => {
    const topic = await topicOf('batches')
    await produce(topic, numbered('0', 10))
    const seen = []
    const member = await join(topic, {
      run: {
        eachMessage: undefined,
        eachBatchAutoResolve: false,
        eachBatch: async ({ batch, resolveOffset }) => {
          const [first] = batch.messages
          seen.push(first.value.toString())
          resolveOffset(first.offset)
        },
      },
    })
    await eventually('all', () => seen.length >= 10)
    await member.stop()
    assert.deepEqual(seen, numbered('0', 10).map(({ value }) => value))
  })

  test('commits with metadata are what another consumer of the group finds', async () => {
    const topic = await topicOf('metadata')
    const groupId = unique('metadata')
    await produce(topic, numbered('0', 5))
    const member = await join(topic, { groupId, kafkaJS: { autoCommit: false } })
    await eventually('all', () => member.seen.length === 5)
    await member.consumer.commitOffsets([{ topic, partition: 0, offset: '3', metadata: 'three' }])
    const [committed] = await member.consumer.committed([{ topic, partition: 0 }], 5000)
    assert.deepEqual([committed.offset, committed.metadata], ['3', 'three'])
    await member.stop()
    const next = await join(topic, { groupId })
    await eventually('the rest', () => next.seen.length === 2)
    await next.stop()
    assert.deepEqual(values(next.seen), ['0-3', '0-4'])
  })

  test('the end of a partition is told, of an empty one too', async () => {
    const topic = await topicOf('eof', 2)
    await produce(topic, [{ partition: 0, value: 'x' }])
    const consumer = new KafkaConsumer({ 'metadata.broker.list': brokers[0], 'group.id': unique('eof'), 'enable.partition.eof': true }, { 'auto.offset.reset': 'earliest' })
    const ends = new Map()
    consumer.on('partition.eof', ({ partition, offset }) => ends.set(partition, Number(offset)))
    await new Promise((done, failed) => consumer.connect({}, (error) => (error ? failed(error) : done())))
    consumer.assign([0, 1].map((partition) => ({ topic, partition, offset: 0 })))
    consumer.consume()
    await eventually('both ends', () => ends.size === 2)
    assert.deepEqual([ends.get(0), ends.get(1)], [1, 0])
    assert.deepEqual(await new Promise((done, failed) => consumer.queryWatermarkOffsets(topic, 0, 5000, (error, offsets) => (error ? failed(error) : done([offsets.lowOffset, offsets.highOffset].map(Number))))), [0, 1])
    await new Promise((done) => consumer.disconnect(done))
  })

  test('a subscription by expression finds topics that are made later', async () => {
    const prefix = unique('expression')
    const first = `${prefix}-1`
    await admin.createTopics({ topics: [{ topic: first, numPartitions: 1 }] })
    const member = await join(new RegExp(`^${prefix}-.*`), { config: { 'topic.metadata.refresh.interval.ms': 500 } })
    const second = `${prefix}-2`
    await admin.createTopics({ topics: [{ topic: second, numPartitions: 1 }] })
    await produce(second, [{ value: 'later' }])
    await eventually('it', () => values(member.seen).includes('later'))
    await member.stop()
  })
})

describe('groups', () => {
  const protocols = {
    'the classic protocol': {},
    'cooperative-sticky': { 'partition.assignment.strategy': 'cooperative-sticky' },
    'the consumer protocol': { 'group.protocol': 'consumer' },
  }
  for (const [name, config] of Object.entries(protocols)) {
    test(`${name}: two share a topic, one takes over`, async () => {
      const topic = await topicOf('shared', 4)
      const groupId = unique('shared')
      const one = await join(topic, { groupId, config })
      const two = await join(topic, { groupId, config })
      await eventually('two each', () => one.partitions().length === 2 && two.partitions().length === 2)
      await produce(topic, numbered('both', 40, (n) => ({ partition: n % 4 })))
      await eventually('all', () => new Set(values([...one.seen, ...two.seen])).size === 40)
      await two.stop()
      await eventually('all four', () => one.partitions().length === 4)
      await produce(topic, numbered('one', 40, (n) => ({ partition: n % 4 })))
      await eventually('all again', () => new Set(values([...one.seen, ...two.seen])).size === 80)
      await one.stop()
    })
  }

  test('a static member that restarts within its session timeout: the others see no rebalance', async () => {
    const topic = await topicOf('static', 2)
    const groupId = unique('static')
    const static1 = { config: { 'group.instance.id': 'one' }, groupId }
    let rebalances = 0
    const one = await join(topic, static1)
    const two = await join(topic, { groupId, config: { 'group.instance.id': 'two', rebalance_cb: () => void rebalances++ } })
    await eventually('one each', () => one.partitions().length === 1 && two.partitions().length === 1)
    const before = rebalances
    const kept = one.partitions()
    await one.stop()
    const again = await join(topic, static1)
    assert.deepEqual(again.partitions(), kept)
    assert.equal(rebalances, before)
    await again.stop()
    await two.stop()
  })

  test('partitions that are added are read by the members that run', async () => {
    const topic = await topicOf('growing')
    const member = await join(topic, { config: { 'topic.metadata.refresh.interval.ms': 500 } })
    const client = AdminClient.create({ 'bootstrap.servers': brokers[0] })
    await new Promise((done, failed) => client.createPartitions(topic, 3, 10_000, (error) => (error ? failed(error) : done())))
    await assert.rejects(new Promise((done, failed) => client.createPartitions(topic, 1, 10_000, (error) => (error ? failed(error) : done()))))
    client.disconnect()
    await produce(topic, numbered('new', 3, (n) => ({ partition: n })))
    await eventually('all', () => member.seen.length === 3)
    await member.stop()
  })

  test('a topic that is deleted and made again: producer and member go on with the new one', async () => {
    const topic = await topicOf('again')
    const producer = kafka.producer({ 'linger.ms': 0, 'topic.metadata.refresh.interval.ms': 500 })
    await producer.connect()
    const member = await join(topic, { config: { 'topic.metadata.refresh.interval.ms': 500 } })
    await producer.send({ topic, messages: [{ value: 'old' }] })
    await eventually('the old one', () => member.seen.length === 1)
    await admin.deleteTopics({ topics: [topic] })
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
    // The member keeps its position, so that the first of the new ones may lie before it.
    await eventually('new ones', async () => {
      await producer.send({ topic, messages: [{ value: 'new' }] }).catch(() => undefined)
      return values(member.seen).includes('new')
    })
    await producer.disconnect()
    await member.stop()
  })
})

describe('admin', () => {
  test('groups: listed, described, refused while active, deleted when empty', async () => {
    const topic = await topicOf('described')
    const groupId = unique('described')
    const member = await join(topic, { groupId })
    assert.ok((await admin.listGroups()).groups.some((group) => group.groupId === groupId))
    const { groups } = await admin.describeGroups([groupId])
    assert.deepEqual([groups[0].groupId, groups[0].members.length], [groupId, 1])
    await assert.rejects(admin.deleteGroups([groupId]))
    await member.stop()
    await eventually('deleted', () => admin.deleteGroups([groupId]).then(() => true, () => false))
    assert.ok(!(await admin.listGroups()).groups.some((group) => group.groupId === groupId))
  })

  test('createTopics tells what is there already, and gives the reason of a refusal', async () => {
    const topic = await topicOf('there')
    assert.equal(await admin.createTopics({ topics: [{ topic }] }), false)
    await assert.rejects(admin.createTopics({ topics: [{ topic: unique('bad'), replicationFactor: 9999 }] }))
  })

  test('metadata of an unknown topic is an error, and does not make it', async () => {
    const topic = unique('unknown')
    await assert.rejects(admin.fetchTopicMetadata({ topics: [topic] }))
    assert.ok(!(await admin.listTopics()).includes(topic))
  })

  test('offsets by time, records deleted up to an offset and to the end', async () => {
    const topic = await topicOf('offsets', 2)
    await produce(topic, numbered('0', 4, (n) => ({ partition: 0, timestamp: String(1_700_000_000_000 + n * 1000) })))
    assert.equal((await admin.fetchTopicOffsetsByTimestamp(topic, 1_700_000_001_500)).find(({ partition }) => partition === 0).offset, '2')
    const deleted = await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })
    assert.equal(Number(deleted[0].lowWatermark), 3)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '-1' }] })
    const [first] = (await admin.fetchTopicOffsets(topic)).toSorted((a, b) => a.partition - b.partition)
    assert.deepEqual([first.low, first.high], ['4', '4'])
  })
})

test('the broker is killed and comes back under load: nothing that was acknowledged is lost, nothing is there twice', async () => {
  const topic = await topicOf('crash', 2)
  const producer = kafka.producer({ kafkaJS: { idempotent: true }, 'linger.ms': 5 })
  await producer.connect()
  const member = await join(topic)
  const acknowledged = []
  let producing = true
  const work = (async () => {
    for (let n = 0; producing; n++) {
      await producer.send({ topic, messages: [{ partition: n % 2, value: String(n) }] })
      acknowledged.push(String(n))
    }
  })()
  for (let round = 0; round < 2; round++) {
    const reached = acknowledged.length + 50
    await eventually('progress', () => acknowledged.length >= reached)
    const restarted = new Promise((done) => process.once('message', done))
    process.send('crash')
    await restarted
  }
  const reached = acknowledged.length + 50
  await eventually('progress after the last crash', () => acknowledged.length >= reached)
  producing = false
  await work
  await producer.disconnect()
  await eventually('all of it', () => new Set(values(member.seen)).size >= acknowledged.length)
  await member.stop()
  const ends = (await admin.fetchTopicOffsets(topic)).map(({ high }) => Number(high))
  assert.equal(ends[0] + ends[1], acknowledged.length)
})
