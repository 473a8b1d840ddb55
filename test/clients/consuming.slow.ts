/** What a consumer controls while it reads: where it begins, seek, pause and resume, batches by hand, errors of its own. The cases are those of the clients' own suites. */
/* oxlint-disable typescript/unbound-method -- kafkajs gives its handlers functions to be taken out of the payload, and declares them as methods */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Consumer, MessagesStreamModes } from '@platformatic/kafka'
import type { Consumer as KafkajsConsumer, ConsumerRunConfig, EachBatchPayload } from 'kafkajs'
import { eventually } from '../support/broker.ts'
import { allClients, clients, kafkajs, kafkajsGroup, numbered, platformatic, platformaticGroup, texts, unique } from './support/client.ts'
import type { Outgoing } from './support/client.ts'
import { createTopic, endOffsets, sharedBroker } from './support/setup.ts'

const broker = sharedBroker()

async function produce(topic: string, messages: readonly Outgoing[]): Promise<void> {
  const sender = await clients[0]!.sender(broker.address())
  await sender.send(topic, messages)
  await sender.close()
}

/** A topic with `count` messages in each partition, `0-0`, `0-1`, … */
async function filled(what: string, partitions: number, count: number): Promise<string> {
  const topic = unique(what)
  await createTopic(broker.address(), topic, partitions)
  for (let partition = 0; partition < partitions; partition++) await produce(topic, numbered(String(partition), count, () => ({ partition })))
  return topic
}

interface Running {
  readonly consumer: KafkajsConsumer
  readonly values: string[]
}

/** A consumer of kafkajs that reads from the beginning and notes values; `run` replaces its way of reading. */
async function consumer(topics: readonly (string | RegExp)[], run: (values: string[], running: () => KafkajsConsumer) => ConsumerRunConfig = each, groupId = unique('group')): Promise<Running> {
  const one = kafkajs(broker.address()).consumer({ groupId, ...kafkajsGroup, metadataMaxAge: 500 })
  const values: string[] = []
  await one.connect()
  await one.subscribe({ topics: [...topics], fromBeginning: true })
  await one.run(run(values, () => one))
  return { consumer: one, values }
}

function each(values: string[]): ConsumerRunConfig {
  return {
    eachMessage: ({ message }) => {
      values.push(String(message.value))
      return Promise.resolve()
    },
  }
}

for (const client of allClients) {
  describe(client.name, () => {
    test('from the beginning reads what was there, from the end only what comes', async () => {
      const topic = await filled('beginning', 2, 5)
      const early = await client.join(broker.address(), topic, { groupId: unique('early') })
      const late = await client.join(broker.address(), topic, { groupId: unique('late'), from: 'latest' })
      await eventually('all of the old ones', () => early.seen.length === 10)
      // The late one has looked up the end when it gets something: what came before that may be lost on it.
      let sent = 0
      await eventually('something new', async () => {
        await produce(topic, [{ partition: 0, value: `new-${sent++}` }, { partition: 1, value: `new-${sent++}` }])
        return late.seen.length > 0
      })
      await eventually('all of the new ones', () => early.seen.length === 10 + sent)
      assert.ok(texts(late.seen).every((value) => value?.startsWith('new-')), texts(late.seen).join())
      await early.stop()
      await late.stop()
    })

    test('a slow consumer of many small batches gets each message once and in order', async () => {
      const topic = unique('slow')
      await createTopic(broker.address(), topic)
      const sender = await clients[0]!.sender(broker.address())
      for (let batch = 0; batch < 20; batch++) await sender.send(topic, numbered(String(batch), 5))
      await sender.close()
      const member = await client.join(broker.address(), topic, { groupId: unique('slow'), onMessage: () => new Promise((done) => setTimeout(done, 3)) })
      await eventually('everything', () => member.seen.length >= 100)
      await member.stop()
      assert.deepEqual(member.seen.map(({ offset }) => offset), Array.from({ length: 100 }, (_, offset) => offset))
    })
  })
}

describe('kafkajs', () => {
  test('seek in a running group: back, forward, the last seek wins, and the other partition goes on', async () => {
    const topic = await filled('seek', 2, 10)
    const { consumer: one, values } = await consumer([topic])
    await eventually('both partitions', () => values.length === 20)
    values.length = 0
    one.seek({ topic, partition: 0, offset: '2' })
    one.seek({ topic, partition: 0, offset: '7' })
    await eventually('the rest of partition 0', () => values.includes('0-9'))
    assert.deepEqual(values, ['0-7', '0-8', '0-9'])
    one.seek({ topic, partition: 1, offset: '9' })
    await eventually('the last of partition 1', () => values.includes('1-9'))
    await one.disconnect()
    assert.deepEqual(values, ['0-7', '0-8', '0-9', '1-9'])
  })

  test('seek beyond the end: the consumer recovers from OFFSET_OUT_OF_RANGE and reads on', async () => {
    const topic = await filled('out-of-range', 1, 3)
    const { consumer: one, values } = await consumer([topic])
    await eventually('the first ones', () => values.length === 3)
    one.seek({ topic, partition: 0, offset: '1000' })
    await eventually('everything again, from the beginning', () => values.length === 6)
    await produce(topic, [{ value: 'next' }])
    await eventually('what comes then', () => values.includes('next'))
    await one.disconnect()
  })

  test('records that are deleted under a reader: it goes on at the new start', async () => {
    const topic = await filled('deleted', 1, 10)
    const { consumer: one, values } = await consumer([topic])
    await eventually('everything', () => values.length === 10)
    const admin = kafkajs(broker.address()).admin()
    await admin.connect()
    // What it knows of a topic it knows from here; deleteTopicRecords does not ask.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
    await admin.disconnect()
    one.seek({ topic, partition: 0, offset: '2' })
    await eventually('from the new start', () => values.length === 14)
    await one.disconnect()
    assert.deepEqual(values.slice(10), ['0-6', '0-7', '0-8', '0-9'])
  })

  test('a paused partition is not read, the others are; resume reads on where it stopped', async () => {
    const topic = await filled('pause', 2, 3)
    const { consumer: one, values } = await consumer([topic])
    await eventually('the first ones', () => values.length === 6)
    one.pause([{ topic, partitions: [0] }])
    assert.deepEqual(one.paused(), [{ topic, partitions: [0] }])
    await produce(topic, [{ partition: 0, value: 'held' }, { partition: 1, value: 'flowing' }])
    await eventually('the other partition', () => values.includes('flowing'))
    assert.ok(!values.includes('held'))
    one.resume([{ topic, partitions: [0] }])
    await eventually('what was held', () => values.includes('held'))
    await one.disconnect()
    assert.equal(values.length, 8)
  })

  test('pausing while a message is handled: it comes again after the resume, and nothing is skipped', async () => {
    const topic = await filled('pause-inside', 1, 5)
    let resume: (() => void) | undefined
    const { consumer: one, values } = await consumer([topic], (seen) => ({
      eachMessage: ({ message, pause }) => {
        if (String(message.value) === '0-2' && resume === undefined) {
          resume = pause()
          return Promise.reject(new Error('not now'))
        }
        seen.push(String(message.value))
        return Promise.resolve()
      },
    }))
    await eventually('the pause', () => resume !== undefined)
    assert.deepEqual(values, ['0-0', '0-1'])
    resume!()
    await eventually('all', () => values.length === 5)
    await one.disconnect()
    assert.deepEqual(values, ['0-0', '0-1', '0-2', '0-3', '0-4'])
  })

  test('a message whose handler throws is given again, and none behind it before', async () => {
    const topic = await filled('handler', 1, 5)
    let failures = 0
    const { consumer: one, values } = await consumer([topic], (seen) => ({
      eachMessage: ({ message }) => {
        if (String(message.value) === '0-3' && failures++ < 3) return Promise.reject(new Error('once more'))
        seen.push(String(message.value))
        return Promise.resolve()
      },
    }))
    await eventually('all', () => values.length === 5)
    await one.disconnect()
    assert.deepEqual(values, ['0-0', '0-1', '0-2', '0-3', '0-4'])
    assert.equal(failures, 4)
  })

  test('batches: what is not resolved comes again, the high watermark and the lag are right', async () => {
    const topic = await filled('batches', 1, 10)
    const batches: { readonly first: string | null; readonly high: string; readonly lag: string }[] = []
    const { consumer: one, values } = await consumer([topic], (seen) => ({
      eachBatchAutoResolve: false,
      eachBatch: ({ batch, resolveOffset, heartbeat }: EachBatchPayload) => {
        batches.push({ first: batch.firstOffset(), high: batch.highWatermark, lag: batch.offsetLagLow() })
        for (const { offset, value } of batch.messages.slice(0, 4)) {
          seen.push(String(value))
          resolveOffset(offset)
        }
        return heartbeat()
      },
    }))
    await eventually('all', () => values.length === 10)
    await one.disconnect()
    assert.deepEqual(values, Array.from({ length: 10 }, (_, n) => `0-${n}`))
    const some = batches.filter(({ first }) => first !== null)
    assert.deepEqual(some.map(({ first }) => first), ['0', '4', '8'])
    assert.deepEqual(some.map(({ high, lag }) => [high, lag]), [['10', '9'], ['10', '5'], ['10', '1']])
  })

  test('a seek makes the batch in hand stale, and its rest is left', async () => {
    const topic = await filled('stale', 1, 10)
    let sought = false
    const { consumer: one, values } = await consumer([topic], (seen, running) => ({
      eachBatchAutoResolve: false,
      eachBatch: ({ batch, resolveOffset, isRunning, isStale }: EachBatchPayload) => {
        for (const { offset, value } of batch.messages) {
          if (!isRunning() || isStale()) break
          seen.push(String(value))
          resolveOffset(offset)
          if (offset === '2' && !sought) {
            sought = true
            running().seek({ topic, partition: 0, offset: '8' })
          }
        }
        return Promise.resolve()
      },
    }))
    await eventually('the last', () => values.includes('0-9'))
    await one.disconnect()
    assert.deepEqual(values, ['0-0', '0-1', '0-2', '0-8', '0-9'])
  })

  test('stopping in the middle of a batch: isRunning says so, and the next run of the group begins behind what was resolved', async () => {
    const topic = await filled('stopping', 1, 10)
    const groupId = unique('stopping')
    let stopped: Promise<void> | undefined
    const { consumer: one, values } = await consumer([topic], (seen, running) => ({
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset, isRunning }: EachBatchPayload) => {
        for (const { offset, value } of batch.messages) {
          if (!isRunning()) break
          seen.push(String(value))
          resolveOffset(offset)
          if (offset === '3') {
            stopped = running().stop()
            await eventually('the stop', () => !isRunning())
          }
        }
      },
    }), groupId)
    await eventually('the stop', () => stopped !== undefined)
    await stopped
    await one.disconnect()
    assert.deepEqual(values, ['0-0', '0-1', '0-2', '0-3'])
    const again = await consumer([topic], each, groupId)
    await eventually('the rest', () => again.values.includes('0-9'))
    await again.consumer.disconnect()
    assert.deepEqual(again.values, ['0-4', '0-5', '0-6', '0-7', '0-8', '0-9'])
  })

  test('partitions are worked on at the same time, each in order', async () => {
    const topic = await filled('parallel', 3, 10)
    let busy = 0
    let most = 0
    const inOrder = new Map<number, string[]>()
    const { consumer: one } = await consumer([topic], () => ({
      partitionsConsumedConcurrently: 3,
      eachMessage: async ({ partition, message }) => {
        most = Math.max(most, ++busy)
        await new Promise((done) => setTimeout(done, 5))
        busy--
        inOrder.set(partition, [...(inOrder.get(partition) ?? []), message.offset])
      },
    }))
    await eventually('all', () => [...inOrder.values()].flat().length === 30)
    await one.disconnect()
    assert.ok(most > 1, 'one at a time')
    for (const offsets of inOrder.values()) assert.deepEqual(offsets, Array.from({ length: 10 }, (_, n) => String(n)))
  })

  test('a subscription by expression reads every topic that matches, and no other', async () => {
    const prefix = unique('expression')
    for (const suffix of ['one', 'two', 'other']) {
      await createTopic(broker.address(), `${prefix}-${suffix}`)
      await produce(`${prefix}-${suffix}`, [{ value: suffix }])
    }
    const { consumer: one, values } = await consumer([new RegExp(`^${prefix}-(one|two)$`)])
    await eventually('both', () => values.length === 2)
    await produce(`${prefix}-one`, [{ value: 'again' }])
    await eventually('one more', () => values.length === 3)
    await one.disconnect()
    assert.deepEqual(values.toSorted(), ['again', 'one', 'two'])
  })

  test('a limit of bytes smaller than any message still lets messages through, one at a time', async () => {
    const topic = unique('bytes')
    await createTopic(broker.address(), topic)
    for (let i = 0; i < 3; i++) await produce(topic, [{ value: 'x'.repeat(10_000) }])
    const one = kafkajs(broker.address()).consumer({ groupId: unique('bytes'), ...kafkajsGroup, maxBytes: 1024, maxBytesPerPartition: 512 })
    let read = 0
    await one.connect()
    await one.subscribe({ topic, fromBeginning: true })
    await one.run({ eachMessage: () => Promise.resolve(void read++) })
    await eventually('all', () => read === 3)
    await one.disconnect()
  })
})

describe('@platformatic/kafka', () => {
  const consume = (groupId = unique('group')): Consumer => new Consumer({ ...platformatic(broker.address()), ...platformaticGroup, groupId })

  test('offsets by hand: a stream starts exactly there', async () => {
    const topic = await filled('manual', 2, 10)
    const one = consume()
    const stream = await one.consume({
      topics: [topic],
      mode: MessagesStreamModes.MANUAL,
      offsets: [{ topic, partition: 0, offset: 7n }, { topic, partition: 1, offset: 9n }],
      maxWaitTime: 100,
    })
    const values: string[] = []
    for await (const message of stream) if (values.push(message.value.toString()) === 4) break
    await one.close(true)
    assert.deepEqual(values.toSorted(), ['0-7', '0-8', '0-9', '1-9'])
  })

  test('#99 minBytes beyond what there is: the fetch waits for its time and then gives all of it, once', async () => {
    const topic = await filled('min-bytes', 1, 10)
    const one = consume()
    const stream = await one.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, minBytes: 1_000_000, maxWaitTime: 200 })
    const values: string[] = []
    for await (const message of stream) if (values.push(message.value.toString()) === 10) break
    await one.close(true)
    assert.equal(new Set(values).size, 10)
  })

  test('#128 a hot partition does not starve the others', async () => {
    const topic = await filled('hot', 3, 5)
    for (let i = 0; i < 10; i++) await produce(topic, numbered(`hot-${i}`, 100, () => ({ partition: 0, key: 'x'.repeat(200) })))
    const one = consume()
    const stream = await one.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, maxWaitTime: 100, maxBytes: 50_000 })
    const partitions: number[] = []
    for await (const message of stream) if (partitions.push(message.partition) === 1015) break
    await one.close(true)
    assert.deepEqual([0, 1, 2].map((partition) => partitions.filter((other) => other === partition).length), [1005, 5, 5])
    assert.ok(partitions.lastIndexOf(2) < 1000, 'the cold ones came last of all')
  })

  for (const groupProtocol of ['classic', 'consumer'] as const) {
    test(`#300 pause and resume before the first offsets are known do not end the stream (${groupProtocol})`, async () => {
      const topic = await filled('early-pause', 3, 2)
      const one = new Consumer({ ...platformatic(broker.address()), groupProtocol, groupId: unique('early-pause') })
      const stream = await one.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, maxWaitTime: 100 })
      const errors: Error[] = []
      let read = 0
      stream.on('error', (error) => errors.push(error))
      stream.on('data', () => void read++)
      stream.pause()
      stream.resume()
      await eventually('all', () => read === 6 || errors.length > 0)
      assert.deepEqual(errors, [])
      await stream.close()
      await one.close(true)
    })
  }

  test('the lag is the distance to the end, and nothing when all is committed', async () => {
    const topic = await filled('lag', 1, 10)
    const one = consume()
    const stream = await one.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false, maxWaitTime: 100 })
    let read = 0
    for await (const message of stream) {
      if (++read === 4) await message.commit()
      if (read === 10) break
    }
    const again = new Consumer({ ...platformatic(broker.address()), groupId: one.groupId })
    assert.deepEqual(await again.listCommittedOffsets({ topics: [{ topic, partitions: [0] }] }), new Map([[topic, [4n]]]))
    await again.close(true)
    await one.close(true)
    assert.deepEqual(await endOffsets(broker.address(), topic), [10])
  })

  test('offsets by time: the first message at or after it, and -1 beyond the last', async () => {
    const topic = unique('by-time')
    await createTopic(broker.address(), topic)
    await produce(topic, [100, 200, 300].map((timestamp) => ({ value: 'x', timestamp })))
    const one = consume()
    const at = async (timestamp: bigint): Promise<bigint | undefined> => (await one.listOffsetsWithTimestamps({ topics: [topic], timestamp })).get(topic)?.get(0)?.offset
    assert.deepEqual([await at(150n), await at(300n), await at(301n)], [1n, 2n, -1n])
    await one.close(true)
  })
})
