/** P4: whatever moment a broker is killed at, each acknowledged record is once in the table and once in Kafka. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { DeltaReader, engines, noDeltaReaders } from '../support/delta-reader.ts'
import { seededRandom } from '../support/env.ts'
import { Ledger, TopicClient, assertTableHolds, assertTopicHolds, busy, flushed, records } from './support.ts'

const ROUNDS = 5
const PARTITIONS = 3
const TOPIC = 'payments'

describe('kill -9 at random moments while an idempotent producer goes on', { skip: noDeltaReaders }, () => {
  const ledger = new Ledger(PARTITIONS)
  const random = seededRandom(Number(process.env['BAYOU_TEST_SEED'] ?? Date.now() % 1e9))
  let store = ''
  let broker: TestBroker
  let reader: DeltaReader
  let table = ''
  const end = new AbortController()
  let failure: unknown
  let producing = Promise.resolve()

  /** One partition: the same batch, with the same sequence number, until it is acknowledged. */
  async function produceTo(partition: number, producerId: number, producerEpoch: number): Promise<void> {
    let client: TopicClient | null = null
    for (let baseSequence = 0, n = 0; !end.signal.aborted; n++) {
      const sent = records(random, 1 + Math.floor(random() * 10), `${partition}-${n}`)
      for (;;) {
        try {
          client ??= await TopicClient.connect(broker)
          const first = await client.produce(TOPIC, partition, sent, { producerId, producerEpoch, baseSequence })
          ledger.note(partition, first, sent)
          break
        } catch (error) {
          if (error instanceof assert.AssertionError || end.signal.aborted) throw error
          client?.close()
          client = null
          await pause(20)
        }
      }
      baseSequence += sent.length
      await pause(random() * 10)
    }
    client?.close()
  }

  before(async () => {
    store = await freshStore()
    reader = new DeltaReader()
    broker = await startTestBroker({ store, args: busy })
    const client = await TopicClient.connect(broker)
    await client.create(TOPIC, PARTITIONS)
    const { producerId, producerEpoch } = await client.producerId()
    client.close()
    producing = Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => produceTo(partition, producerId, producerEpoch))).then(() => undefined)
    producing.catch((error: unknown) => (failure = error))
  })
  after(async () => {
    end.abort()
    await reader.close()
    await broker.kill()
    await removeStore(store)
  })

  test(`after ${ROUNDS} kills each acknowledged record is there once, for both engines and for consumers`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const count = ledger.count + 60
      while (ledger.count < count) {
        if (failure !== undefined) throw failure as Error
        await pause(5)
      }
      await pause(random() * 300)
      await broker.kill()
      broker = await startTestBroker({ store, args: busy })
      if (round === 0) table = (await flushed(broker, TOPIC)).table.location
      // What readers see right after the crash is a valid table without doubles, whatever is still missing from it.
      for (const engine of engines) {
        for (const [partition, { count: rows, distinct, min, max }] of Object.entries((await reader.summary(engine, table)).partitions)) {
          assert.deepEqual({ rows, distinct, min }, { rows: max + 1, distinct: max + 1, min: 0 }, `${engine}, partition ${partition}, round ${round}`)
        }
      }
    }
    end.abort()
    await producing
    table = (await flushed(broker, TOPIC)).table.location
    await assertTableHolds(reader, table, ledger)
    await assertTopicHolds(broker, TOPIC, ledger)
  })

  test('the same after an orderly stop, which leaves nothing unflushed behind', async () => {
    const client = await TopicClient.connect(broker)
    for (let n = 0; n < 20; n++) {
      const sent = records(random, 10, `last-${n}`)
      ledger.note(n % PARTITIONS, await client.produce(TOPIC, n % PARTITIONS, sent), sent)
    }
    client.close()
    assert.equal(await broker.stop(), 0)
    await assertTableHolds(reader, table, ledger)
    broker = await startTestBroker({ store, args: busy })
    await assertTopicHolds(broker, TOPIC, ledger)
  })
})

async function pause(ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms))
}
