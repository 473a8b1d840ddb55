/** Offsets of transactions on a broker that is killed and flushes: what the log, lanes and tables keep of them is what clients were told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkaError, errorName } from '../../protocol/errors.ts'
import { OffsetFetch } from '../../protocol/messages/09-offset-fetch.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import { EndTxn } from '../../protocol/messages/26-end-txn.ts'
import { TxnOffsetCommit } from '../../protocol/messages/28-txn-offset-commit.ts'
import { createTopic, onlyHere, quick } from '../api/support.ts'
import type { TestTopic } from '../api/support.ts'
import { eventually, removeStore, startTestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'

interface Producer {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
}

test('after kill -9 pending offsets are pending, and those that counted count', onlyHere, async () => {
  let broker = await startTestBroker({ args: quick })
  const { store } = broker
  let client = await RawClient.connect(broker.address)
  const restart = async (): Promise<void> => {
    client.close()
    await broker.kill()
    broker = await startTestBroker({ store, args: quick })
    client = await RawClient.connect(broker.address)
  }
  const all = (topic: TestTopic): Promise<(number | string)[]> => Promise.all(['g', 'h', 'i'].map((group) => stable(client, group, topic)))
  try {
    const topic = await createTopic(client)
    let done = await init(client, 'done')
    const open = await init(client, 'open')
    const dropped = await init(client, 'dropped')
    await commit(client, done, 'g', topic, 5)
    await commit(client, open, 'h', topic, 6)
    await commit(client, dropped, 'i', topic, 7)
    done = await end(client, done, true)
    await end(client, dropped, false)
    assert.deepEqual(await all(topic), [5, 'UNSTABLE_OFFSET_COMMIT', -1])
    await restart()
    assert.deepEqual(await all(topic), [5, 'UNSTABLE_OFFSET_COMMIT', -1])
    // Some of it is in the table when the next process reads it.
    done = await end(client, await commit(client, done, 'g', topic, 8), true)
    await end(client, open, true)
    assert.deepEqual(await all(topic), [8, 6, -1])
    await eventually('all is flushed', async () => (await unflushedRecords(broker.http)) === 0)
    await commit(client, done, 'i', topic, 9)
    await restart()
    assert.deepEqual(await all(topic), [8, 6, 'UNSTABLE_OFFSET_COMMIT'])
    // Another process of the same producer takes over: what is open is aborted.
    await init(client, 'done')
    assert.deepEqual(await all(topic), [8, 6, -1])
  } finally {
    client.close()
    assert.equal(await broker.stop(), 0)
    await removeStore(store)
  }
})

async function init(client: RawClient, transactionalId: string): Promise<Producer> {
  return eventually('a producer id', async () => {
    const reply = await client.send(InitProducerId, 5, { transactionalId, transactionTimeoutMs: 60_000, producerId: -1, producerEpoch: -1 })
    return reply.errorCode === KafkaError.NONE ? { transactionalId, producerId: reply.producerId, producerEpoch: reply.producerEpoch } : null
  })
}

async function commit(client: RawClient, producer: Producer, groupId: string, { name }: TestTopic, offset: number): Promise<Producer> {
  const partitions = [{ partitionIndex: 0, committedOffset: offset, committedMetadata: '' }]
  await eventually('the offset is taken', async () => {
    const { topics } = await client.send(TxnOffsetCommit, 5, { ...producer, groupId, topics: [{ name, partitions }] })
    return topics[0]?.partitions[0]?.errorCode === KafkaError.NONE
  })
  return producer
}

async function end(client: RawClient, producer: Producer, committed: boolean): Promise<Producer> {
  return eventually('the transaction has ended', async () => {
    const { errorCode, producerId, producerEpoch } = await client.send(EndTxn, 5, { ...producer, committed })
    return errorCode === KafkaError.NONE ? { transactionalId: producer.transactionalId, producerId, producerEpoch } : null
  })
}

/** The offset, or the name of the error; -1 where there is none. */
async function stable(client: RawClient, groupId: string, { name }: TestTopic): Promise<number | string> {
  const asked = { groups: [{ groupId, topics: [{ name, partitionIndexes: [0] }] }], requireStable: true }
  const group = await eventually('the group is loaded', async () => {
    const { groups } = await client.send(OffsetFetch, 8, asked)
    return groups[0]?.errorCode === KafkaError.NONE ? groups[0] : null
  })
  const partition = group.topics[0]!.partitions[0]!
  return partition.errorCode === KafkaError.NONE ? partition.committedOffset : errorName(partition.errorCode)
}

async function unflushedRecords(http: string): Promise<number> {
  const { table } = (await (await fetch(`${http}/v1/topics/__consumer_offsets`)).json()) as { table: { unflushedRecords: number } }
  return table.unflushedRecords
}
