/**
 * P4 for transactions: whatever moment a broker is killed at, every version of a table has each of them whole, in all the partitions that it
 * wrote to, or not at all; those that were aborted are in none, and those that were committed in the last, once.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { KafkaError, errorName, isRetriable } from '../../protocol/errors.ts'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import { AddPartitionsToTxn } from '../../protocol/messages/24-add-partitions-to-txn.ts'
import { EndTxn } from '../../protocol/messages/26-end-txn.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import type { RecordToEncode } from '../../protocol/records/encoder.ts'
import { eventually, freshStore, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { DeltaReader, engines, noDeltaReaders } from '../support/delta-reader.ts'
import type { TableRow } from '../support/delta-reader.ts'
import { seededRandom } from '../support/env.ts'
import type { RawClient } from '../support/raw-client.ts'
import { TopicClient, assertSameRecords, busy, flushed, plainRow } from './support.ts'
import type { PlainRecord } from './support.ts'

const ROUNDS = 5
const PARTITIONS = 3
const PRODUCERS = 4
const TOPIC = 'orders'
const NO_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA'

/** A transaction as its producer knows it. `unknown`: the broker was killed before it answered the commit, and was not asked again. */
interface Transaction {
  fate: 'committed' | 'aborted' | 'unknown'
  /** What it wrote, or tried to write: `partition/value`. The key of all its records is its label. */
  readonly records: Set<string>
}

/** The connection ended before the answer came. */
class ConnectionLost extends Error {}

interface World {
  readonly random: () => number
  /** No transaction is begun any more. */
  readonly end: AbortSignal
  /** Nobody starts the broker any more. */
  readonly gone: AbortSignal
  /** The one that runs, or ran last. */
  broker(): TestBroker
}

/**
 * Writes one transaction after the other, each of some batches to some partitions. Where the broker is killed meanwhile, it goes on with the
 * transaction as Kafka's producer does, or begins anew as one that died as well.
 */
class TransactionalProducer {
  readonly transactions = new Map<string, Transaction>()
  readonly #world: World
  readonly #id: string
  /** Goes by the rules of KIP-890: Produce makes partitions part of the transaction, and every end gives a new epoch. */
  readonly #isNew: boolean
  #client: TopicClient | null = null
  #producer: { producerId: number; producerEpoch: number } | null = null
  #sequences: number[] = []

  constructor(world: World, id: string, isNew: boolean) {
    this.#world = world
    this.#id = id
    this.#isNew = isNew
  }

  async run(): Promise<void> {
    const { random, end } = this.#world
    for (let n = 0; !end.aborted || this.#producer === null; n++) {
      try {
        if (this.#producer === null) await this.#init()
        else await this.#transaction(`${this.#id}-${n}`, random() < 0.5)
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error
        this.#producer = null
      }
      await pause(random() * 60)
    }
    this.#client?.close()
  }

  async #init(): Promise<void> {
    const { producerId, producerEpoch } = await this.#ask(true, (client) =>
      client.send(InitProducerId, 5, { transactionalId: this.#id, transactionTimeoutMs: 60_000 }),
    )
    this.#became(producerId, producerEpoch)
  }

  #became(producerId: number, producerEpoch: number): void {
    this.#producer = { producerId, producerEpoch }
    this.#sequences = Array.from({ length: PARTITIONS }, () => 0)
  }

  /** `persists`: a crash does not keep it from going on. */
  async #transaction(label: string, persists: boolean): Promise<void> {
    const { random } = this.#world
    const transaction: Transaction = { fate: 'aborted', records: new Set() }
    this.transactions.set(label, transaction)
    const added = new Set<number>()
    const isSlow = random() < 0.1
    for (let batches = 1 + Math.floor(random() * 4); batches > 0; batches--) {
      const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition).filter(() => random() < 0.6)
      if (partitions.length === 0) partitions.push(Math.floor(random() * PARTITIONS))
      if (!this.#isNew) await this.#add(partitions.filter((partition) => !added.has(partition)), persists)
      for (const partition of partitions) added.add(partition)
      await this.#produce(label, transaction, partitions, persists)
      await pause(random() * (isSlow ? 150 : 15))
    }
    const committed = random() < 0.75
    if (committed) transaction.fate = 'unknown'
    const { producerId, producerEpoch } = this.#producer!
    const answer = await this.#ask(persists, (client) =>
      client.send(EndTxn, this.#isNew ? 5 : 4, { transactionalId: this.#id, producerId, producerEpoch, committed }),
    )
    if (committed) transaction.fate = 'committed'
    if (this.#isNew) this.#became(answer.producerId, answer.producerEpoch)
  }

  async #add(partitions: readonly number[], persists: boolean): Promise<void> {
    if (partitions.length === 0) return
    await this.#ask(persists, async (client) => {
      const { resultsByTopicV3AndBelow } = await client.send(AddPartitionsToTxn, 3, {
        v3AndBelowTransactionalId: this.#id,
        v3AndBelowProducerId: this.#producer!.producerId,
        v3AndBelowProducerEpoch: this.#producer!.producerEpoch,
        v3AndBelowTopics: [{ name: TOPIC, partitions: [...partitions] }],
      })
      return worst(resultsByTopicV3AndBelow[0]!.resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode))
    })
  }

  /** A batch for each of some partitions, in one request: the same, with the same sequence numbers, until it is acknowledged. */
  async #produce(label: string, transaction: Transaction, partitions: readonly number[], persists: boolean): Promise<void> {
    const { random } = this.#world
    const sent = partitions.map((index) => {
      const records = Array.from({ length: 1 + Math.floor(random() * 4) }, (): RecordToEncode => {
        const value = `${label} ${transaction.records.size} ${'x'.repeat(Math.floor(random() * 100))}`
        transaction.records.add(`${index}/${value}`)
        return { timestamp: Date.now(), key: Buffer.from(label), value: Buffer.from(value) }
      })
      const batch = encodeBatch({ baseOffset: 0, ...this.#producer!, baseSequence: this.#sequences[index]!, transactional: true, records })
      this.#sequences[index]! += records.length
      return { index, records: [batch] }
    })
    await this.#ask(persists, async (client) => {
      const { responses } = await client.send(Produce, this.#isNew ? 12 : 9, {
        transactionalId: this.#id,
        acks: -1,
        timeoutMs: 30_000,
        topicData: [{ name: TOPIC, topicId: NO_TOPIC_ID, partitionData: sent }],
      })
      return worst(responses[0]!.partitionResponses.map(({ errorCode }) => errorCode))
    })
  }

  /** Asks again for as long as the broker says so, and, where it `persists`, after crashes. Throws ConnectionLost where it does not. */
  async #ask<T extends { readonly errorCode?: number }>(persists: boolean, request: (client: RawClient) => Promise<T>): Promise<T> {
    for (let wasAsked = false; ; ) {
      let answer: T
      try {
        this.#client ??= await TopicClient.connect(this.#world.broker())
        wasAsked = true
        answer = await request(this.#client.raw)
      } catch (error) {
        if (error instanceof assert.AssertionError || this.#world.gone.aborted) throw error
        this.#client?.close()
        this.#client = null
        if (wasAsked && !persists) throw new ConnectionLost()
        await pause(20)
        continue
      }
      const code = answer.errorCode ?? KafkaError.NONE
      if (code === KafkaError.NONE) return answer
      assert.ok(isRetriable(code), `${this.#id}: ${errorName(code)}`)
      await pause(5)
    }
  }
}

/** Of several, the first that no retry helps against, else the first that is one at all. */
function worst(codes: readonly (number | undefined)[]): { readonly errorCode: number } {
  const errors = codes.map((code) => code ?? KafkaError.NONE).filter((code) => code !== KafkaError.NONE)
  return { errorCode: errors.find((code) => !isRetriable(code)) ?? errors[0] ?? KafkaError.NONE }
}

function text(bytes: string | null): string {
  return Buffer.from(bytes ?? '', 'base64').toString()
}

/** The labels of the transactions that rows belong to. Each must be there with all of its records, each once, and must not have been aborted. */
function wholeTransactions(rows: readonly TableRow[], transactions: ReadonlyMap<string, Transaction>, what: string): Set<string> {
  const found = new Map<string, Set<string>>()
  for (const { partition, key, value } of rows) {
    const label = text(key)
    const record = `${partition}/${text(value)}`
    const records = found.get(label) ?? new Set()
    assert.ok(!records.has(record), `${what}: "${record}" is there twice`)
    found.set(label, records.add(record))
  }
  for (const [label, records] of found) {
    const transaction = transactions.get(label)
    assert.ok(transaction !== undefined, `${what}: ${label} was never begun`)
    assert.notEqual(transaction.fate, 'aborted', `${what}: ${label} was aborted`)
    const missing = [...transaction.records].filter((record) => !records.has(record))
    assert.deepEqual(missing, [], `${what}: ${label} is there in part`)
    assert.equal(records.size, transaction.records.size, `${what}: ${label} has records that it did not write`)
  }
  return new Set(found.keys())
}

describe('kill -9 at random moments while transactional producers go on', { skip: noDeltaReaders }, () => {
  const random = seededRandom(Number(process.env['BAYOU_TEST_SEED'] ?? Date.now() % 1e9))
  const end = new AbortController()
  const gone = new AbortController()
  const world: World = { random, end: end.signal, gone: gone.signal, broker: () => broker }
  const producers = Array.from({ length: PRODUCERS }, (_, n) => new TransactionalProducer(world, `producer-${n}`, n % 2 === 0))
  let store = ''
  let broker: TestBroker
  let reader: DeltaReader
  let table = ''
  let failure: unknown
  let producing = Promise.resolve()
  /** What a consumer of committed records has got, from before the first crash on. */
  const consumed = Array.from({ length: PARTITIONS }, (): { records: PlainRecord[]; nextOffset: number } => ({ records: [], nextOffset: 0 }))

  function countOf(fate: Transaction['fate']): number {
    return producers.reduce((sum, { transactions }) => sum + [...transactions.values()].filter((one) => one.fate === fate).length, 0)
  }

  /** Goes on from where it was. */
  async function consume(): Promise<void> {
    const client = await TopicClient.connect(broker)
    for (const [partition, position] of consumed.entries()) {
      const { records, nextOffset } = await client.consumeCommitted(TOPIC, partition, position.nextOffset)
      position.records.push(...records)
      position.nextOffset = nextOffset
    }
    client.close()
  }

  before(async () => {
    store = await freshStore()
    reader = new DeltaReader()
    broker = await startTestBroker({ store, args: busy })
    const client = await TopicClient.connect(broker)
    await client.create(TOPIC, PARTITIONS)
    client.close()
    producing = Promise.all(producers.map((producer) => producer.run())).then(() => undefined)
    producing.catch((error: unknown) => (failure = error))
  })
  after(async () => {
    end.abort()
    gone.abort()
    await reader.close()
    await broker.kill()
    await removeStore(store)
  })

  test(`after ${ROUNDS} kills every version of the table has whole transactions`, async (t) => {
    for (let round = 0; round < ROUNDS; round++) {
      const count = countOf('committed') + 20
      await eventually('twenty more transactions', () => {
        if (failure !== undefined) throw failure as Error
        return countOf('committed') >= count
      })
      await pause(random() * 300)
      await consume()
      await broker.kill()
      broker = await startTestBroker({ store, args: busy })
    }
    end.abort()
    await producing
    const state = await flushed(broker, TOPIC)
    table = state.table.location
    const transactions = new Map(producers.flatMap((producer) => [...producer.transactions]))
    let previous = new Set<string>()
    let steps = 0
    for (let version = 0; version <= state.table.version!; version++) {
      const found = wholeTransactions(await reader.rows('deltalake', table, version), transactions, `version ${version}`)
      assert.deepEqual([...previous].filter((label) => !found.has(label)), [], `version ${version} lacks transactions that the one before had`)
      if (found.size > previous.size) steps++
      previous = found
    }
    const lacking = [...transactions].filter(([label, { fate }]) => fate === 'committed' && !previous.has(label))
    assert.deepEqual(lacking, [], 'the last version lacks committed transactions')
    const fates = (['committed', 'aborted', 'unknown'] as const).map((fate) => `${countOf(fate)} ${fate}`)
    t.diagnostic(`${fates.join(', ')}; ${steps} of ${state.table.version! + 1} versions have more than the one before`)
    assert.ok(countOf('aborted') > 0 && steps > 2)
  })

  test('a consumer that lived through it has got what the table has, and so do those that come later', async () => {
    await consume()
    const rows = await Promise.all(engines.map((engine) => reader.rows(engine, table)))
    for (const [partition, { records }] of consumed.entries()) {
      for (const [n, engine] of engines.entries()) {
        assertSameRecords(records, rows[n]!.filter((row) => row.partition === partition).map(plainRow), `${engine}, partition ${partition}`)
      }
    }
    assert.equal(await broker.stop(), 0)
    broker = await startTestBroker({ store, args: busy })
    const client = await TopicClient.connect(broker)
    for (const [partition, { records }] of consumed.entries()) {
      assertSameRecords((await client.consumeCommitted(TOPIC, partition)).records, records, `partition ${partition} from the table`)
      // What was aborted has never been in the table, for those either who do not ask for committed records.
      assertSameRecords((await client.consume(TOPIC, partition)).records, records, `partition ${partition} from the table, uncommitted`)
    }
    client.close()
  })
})

async function pause(ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms))
}
