/** One broker for the tests of a file, with waits short enough that nobody has to sleep. */
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { freshStore, removeStore, startTestBroker } from '../../support/broker.ts'
import type { TestBroker } from '../../support/broker.ts'
import { kafkajs } from './client.ts'

export const fast: readonly string[] = [
  '--group-initial-rebalance-delay-ms',
  '0',
  '--table-flush-interval-ms',
  '100',
  '--lane-checkpoint-interval-ms',
  '200',
  '--group-consumer-min-heartbeat-interval-ms',
  '200',
  '--group-consumer-heartbeat-interval-ms',
  '200',
  '--group-consumer-min-session-timeout-ms',
  '10000',
  '--group-consumer-session-timeout-ms',
  '10000',
]

export interface Shared {
  /** Where clients connect. */
  address(): string
  /** SIGKILL, and a new process on the same port and store. */
  crash(): Promise<void>
  /** The same with an orderly stop. */
  restart(): Promise<void>
}

export function sharedBroker(...args: readonly string[]): Shared {
  let broker: TestBroker
  let store: string
  const start = async (port = 0): Promise<void> => {
    broker = await startTestBroker({ store, port, args: [...fast, ...args] })
  }
  const port = (): number => Number(broker.address.split(':').at(-1))
  before(async () => {
    store = await freshStore()
    await start()
  })
  after(async () => {
    assert.equal(await broker.stop(), 0)
    await removeStore(store)
  })
  return {
    address: () => broker.address,
    async crash() {
      await broker.kill()
      await start(port())
    },
    async restart() {
      assert.equal(await broker.stop(), 0)
      await start(port())
    },
  }
}

export async function createTopic(address: string, topic: string, numPartitions = 1, configs: Readonly<Record<string, string>> = {}): Promise<void> {
  const admin = kafkajs(address).admin()
  await admin.connect()
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] })
  await admin.disconnect()
}

/** The end offsets of a topic, by partition. */
export async function endOffsets(address: string, topic: string): Promise<number[]> {
  const admin = kafkajs(address).admin()
  await admin.connect()
  const offsets = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  return offsets.toSorted((a, b) => a.partition - b.partition).map(({ high }) => Number(high))
}
