/** Committed offsets: when they are committed, what a group begins with, and what operators do to them. The cases are those of the clients' own suites. */
/* oxlint-disable typescript/unbound-method -- kafkajs gives its handlers functions to be taken out of the payload, and declares them as methods */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Consumer, MessagesStreamModes } from '@platformatic/kafka'
import type { Admin, Consumer as KafkajsConsumer, ConsumerRunConfig } from 'kafkajs'
import { eventually } from '../support/broker.ts'
import { allClients, clients, kafkajs, kafkajsGroup, numbered, platformatic, platformaticAdmin, texts, unique } from './support/client.ts'
import { createTopic, sharedBroker } from './support/setup.ts'

const broker = sharedBroker()

async function filled(what: string, count: number, partitions = 1): Promise<string> {
  const topic = unique(what)
  await createTopic(broker.address(), topic, partitions)
  const sender = await clients[0]!.sender(broker.address())
  for (let partition = 0; partition < partitions; partition++) await sender.send(topic, numbered(String(partition), count, () => ({ partition })))
  await sender.close()
  return topic
}

async function withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafkajs(broker.address()).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/** The committed offsets of a group in a topic, by partition; -1 where there is none. */
async function committed(groupId: string, topic: string): Promise<number[]> {
  const [found] = await withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [topic] }))
  return found!.partitions.toSorted((a, b) => a.partition - b.partition).map(({ offset }) => Number(offset))
}

async function running(topic: string, groupId: string, config: ConsumerRunConfig): Promise<KafkajsConsumer> {
  const consumer = kafkajs(broker.address()).consumer({ groupId, ...kafkajsGroup })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run(config)
  return consumer
}

for (const client of allClients) {
  test(`${client.name}: members that come and go over and over read everything, and nothing that was committed again`, async () => {
    const topic = await filled('relay', 30)
    const groupId = unique('relay')
    const values: (string | null)[] = []
    while (values.length < 30) {
      const member = await client.join(broker.address(), topic, { groupId })
      await eventually('some more', () => member.seen.length > 0)
      await member.stop()
      values.push(...texts(member.seen))
    }
    assert.deepEqual(values, Array.from({ length: 30 }, (_, n) => `0-${n}`))
    assert.deepEqual(await committed(groupId, topic), [30])
  })
}

describe('kafkajs', () => {
  test('autoCommitThreshold: an offset is committed after that many messages, before the batch ends', async () => {
    const topic = await filled('threshold', 10)
    const groupId = unique('threshold')
    const seenInside: number[][] = []
    const consumer = await running(topic, groupId, {
      autoCommitThreshold: 4,
      eachMessage: async ({ message }) => {
        if (message.offset === '5' || message.offset === '9') seenInside.push(await committed(groupId, topic))
      },
    })
    // What does not reach the threshold is committed when the batch has ended.
    await eventually('the end of the batch', async () => (await committed(groupId, topic))[0] === 10)
    await consumer.disconnect()
    assert.deepEqual(seenInside, [[4], [8]])
  })

  test('autoCommitInterval: offsets are committed while a batch goes on', async () => {
    const topic = await filled('interval', 10)
    const groupId = unique('interval')
    let seenInside = -1
    const consumer = await running(topic, groupId, {
      autoCommitInterval: 1,
      eachMessage: async ({ message }) => {
        await new Promise((done) => setTimeout(done, 2))
        if (message.offset === '8') [seenInside = -1] = await committed(groupId, topic)
      },
    })
    await eventually('the look inside', () => seenInside >= 0)
    await consumer.disconnect()
    assert.ok(seenInside >= 1 && seenInside <= 8, String(seenInside))
  })

  test('autoCommit off: nothing is committed until commitOffsets says so, with its metadata', async () => {
    const topic = await filled('by-hand', 5)
    const groupId = unique('by-hand')
    let read = 0
    const consumer = await running(topic, groupId, { autoCommit: false, eachMessage: () => Promise.resolve(void read++) })
    await eventually('all', () => read === 5)
    assert.deepEqual(await committed(groupId, topic), [-1])
    await consumer.commitOffsets([{ topic, partition: 0, offset: '3', metadata: 'three of five' }])
    await consumer.disconnect()
    const [found] = await withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [topic] }))
    assert.deepEqual(found!.partitions, [{ partition: 0, offset: '3', metadata: 'three of five' }])
  })

  test('eachBatch: uncommittedOffsets and commitOffsetsIfNecessary, with offsets of its own and without', async () => {
    const topic = await filled('if-necessary', 6)
    const groupId = unique('if-necessary')
    const steps: [string | undefined, number | undefined][] = []
    const consumer = await running(topic, groupId, {
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset, uncommittedOffsets, commitOffsetsIfNecessary }) => {
        if (batch.isEmpty() || steps.length > 0) return
        const look = async (): Promise<void> => void steps.push([uncommittedOffsets().topics[0]?.partitions[0]?.offset, (await committed(groupId, topic))[0]])
        resolveOffset('1')
        await look()
        // No threshold and no interval: not necessary.
        await commitOffsetsIfNecessary()
        await look()
        await commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition: 0, offset: '2' }] }] })
        await look()
      },
    })
    await eventually('all steps', () => steps.length === 3)
    await consumer.disconnect()
    assert.deepEqual(steps, [['2', -1], ['2', -1], [undefined, 2]])
  })

  test('an error in the handler commits what went before it', async () => {
    const topic = await filled('before-error', 5)
    const groupId = unique('before-error')
    const consumer = await running(topic, groupId, { eachMessage: ({ message }) => (message.offset === '3' ? Promise.reject(new Error('not this one')) : Promise.resolve()) })
    await eventually('the commit', async () => (await committed(groupId, topic))[0] === 3)
    await consumer.disconnect()
  })

  test('setOffsets and resetOffsets move an idle group; while it is active they are refused', async () => {
    const topic = await filled('moved', 10)
    const groupId = unique('moved')
    const member = await clients[0]!.join(broker.address(), topic, { groupId })
    await eventually('all', () => member.seen.length === 10)
    const partitions = [{ partition: 0, offset: '6' }]
    await withAdmin((admin) => assert.rejects(admin.setOffsets({ groupId, topic, partitions }), /running/))
    await withAdmin((admin) => assert.rejects(admin.resetOffsets({ groupId, topic, earliest: true }), /running/))
    await member.stop()
    await withAdmin((admin) => admin.setOffsets({ groupId, topic, partitions }))
    assert.deepEqual(await committed(groupId, topic), [6])
    const again = await clients[0]!.join(broker.address(), topic, { groupId })
    await eventually('the rest', () => again.seen.length === 4)
    await again.stop()
    await withAdmin((admin) => admin.resetOffsets({ groupId, topic, earliest: true }))
    const [earliest] = await withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [topic], resolveOffsets: true }))
    assert.equal(earliest!.partitions[0]!.offset, '0')
    await withAdmin((admin) => admin.resetOffsets({ groupId, topic, earliest: false }))
    const [latest] = await withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [topic], resolveOffsets: true }))
    assert.equal(latest!.partitions[0]!.offset, '10')
  })

  test('fetchOffsets without topics gives every topic that the group has committed', async () => {
    const [one, two] = [await filled('one', 1), await filled('two', 1)]
    const groupId = unique('all-topics')
    for (const topic of [one, two]) await withAdmin((admin) => admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '1' }] }))
    const offsets = await withAdmin((admin) => admin.fetchOffsets({ groupId }))
    assert.deepEqual(offsets.map(({ topic }) => topic).toSorted(), [one, two].toSorted())
  })
})

describe('@platformatic/kafka', () => {
  test('a manual commit advances to the next offset, whatever was read ahead', async () => {
    const topic = await filled('next', 5)
    const groupId = unique('next')
    const consumer = new Consumer({ ...platformatic(broker.address()), groupId })
    const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false, maxWaitTime: 100 })
    for await (const message of stream) {
      if (message.offset === 2n) await message.commit()
      if (message.offset === 4n) break
    }
    await consumer.close(true)
    assert.deepEqual(await committed(groupId, topic), [3])
  })

  test('commits of one group from many places at once: each partition has the last of its own', async () => {
    const topic = await filled('race', 1, 4)
    const groupId = unique('race')
    const consumer = new Consumer({ ...platformatic(broker.address()), groupId })
    const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false, maxWaitTime: 100 })
    stream.on('data', () => undefined)
    const partitions = [0, 1, 2, 3]
    await Promise.all(
      partitions.map(async (partition) => {
        for (let offset = 1n; offset <= 15n; offset++) await consumer.commit({ offsets: [{ topic, partition, offset, leaderEpoch: -1 }] })
      }),
    )
    assert.deepEqual(await consumer.listCommittedOffsets({ topics: [{ topic, partitions }] }), new Map([[topic, [15n, 15n, 15n, 15n]]]))
    await consumer.close(true)
  })

  test('an admin lists, alters and deletes offsets of an idle group', async () => {
    const topic = await filled('altered', 5, 2)
    const groupId = unique('altered')
    const admin = platformaticAdmin(broker.address())
    await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 2n }, { partition: 1, offset: 3n }] }] })
    const list = async (): Promise<[number, bigint][]> => {
      const [group] = await admin.listConsumerGroupOffsets({ groups: [groupId] })
      return group!.topics.flatMap(({ partitions }) => partitions.map(({ partitionIndex, committedOffset }): [number, bigint] => [partitionIndex, committedOffset])).toSorted(([a], [b]) => a - b)
    }
    assert.deepEqual(await list(), [[0, 2n], [1, 3n]])
    await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [0] }] })
    assert.deepEqual(await list(), [[1, 3n]])
    await admin.close()
  })
})

test('commits are there after the broker was killed', async () => {
  const topic = await filled('durable', 7)
  const groupId = unique('durable')
  const member = await clients[0]!.join(broker.address(), topic, { groupId })
  await eventually('all', () => member.seen.length === 7)
  await member.stop()
  await broker.crash()
  assert.deepEqual(await committed(groupId, topic), [7])
})
