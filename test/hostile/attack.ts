/** A broker in a child process with little memory, and what must be true of it after whatever clients send. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Produce } from '../../protocol/messages/00-produce.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { CreateTopics } from '../../protocol/messages/19-create-topics.ts'
import { DeleteTopics } from '../../protocol/messages/20-delete-topics.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import { metricSum, rssBytes } from '../robustness/support/process-watch.ts'
import { eventually, removeStore, startTestBroker } from '../support/broker.ts'
import type { TestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'
import type { Bomb } from './bombs.ts'
import type { Vocabulary } from './valid-requests.ts'

/** A leak of what requests hold ends the process long before the machine. */
const HEAP_MIB = 192
/** How long an answer is waited for; requests that wait for something are left alone then. */
const ANSWER_MS = 25

const args = ['--auto-create-topics-enable', 'false', '--group-initial-rebalance-delay-ms', '0', '--offsets-topic-num-partitions', '2', '--cache-bytes', '4194304',
  '--cold-cache-bytes', '4194304', '--table-flush-interval-ms', '200']
const topics = ['hostile-1', 'hostile-2', 'hostile-3']

export class Attack {
  #broker: TestBroker
  #vocabulary: Vocabulary
  /** Log lines that were looked at. */
  #seen = 0

  private constructor(broker: TestBroker) {
    this.#broker = broker
    this.#vocabulary = { topics, topicIds: [] }
  }

  static async start(): Promise<Attack> {
    const attack = new Attack(await startBroker())
    await attack.prepare()
    return attack
  }

  get vocabulary(): Vocabulary {
    return this.#vocabulary
  }

  get broker(): TestBroker {
    return this.#broker
  }

  /** Makes the topics that requests name, where they are gone. Their ids stay what they were where they are not. */
  async prepare(): Promise<void> {
    const client = await RawClient.connect(this.#broker.address)
    const asked = topics.map(name => ({ name, numPartitions: 2, replicationFactor: 1, assignments: [], configs: [] }))
    await client.send(CreateTopics, 7, { topics: asked, timeoutMs: 10_000 })
    const { topics: found } = await client.send(Metadata, 12, { topics: topics.map(name => ({ name })), allowAutoTopicCreation: false })
    this.#vocabulary = { topics, topicIds: found.map(({ topicId }) => topicId) }
    client.close()
  }

  /** Deletes every topic, those that requests made with them. */
  async cleanUp(): Promise<void> {
    const client = await RawClient.connect(this.#broker.address)
    const { topics: all } = await client.send(Metadata, 12, { topics: null, allowAutoTopicCreation: false })
    const names = all.flatMap(({ name, isInternal }) => (isInternal || name === null ? [] : [{ name, topicId: ZERO_UUID }]))
    await client.send(DeleteTopics, 6, { topics: names, timeoutMs: 10_000 })
    client.close()
  }

  /**
   * Sends each to the broker on a connection of its own, all at once. Afterwards the next connection is served, the process lives, and nothing was
   * logged that the broker takes for a fault of its own. Throws what is wrong; a broker that died is replaced, so that the next input meets a
   * living one.
   *
   * @param leave whether clients end their side as soon as they have sent, and so may be gone before the answer is there
   */
  async send(inputs: readonly Uint8Array[], leave = false): Promise<void> {
    try {
      await Promise.all(inputs.map(input => this.#sendOne(input, leave)))
      await this.#serves()
    } catch (error) {
      if (this.#broker.process.exitCode === null && this.#broker.process.signalCode === null) await this.#broker.kill()
      await removeStore(this.#broker.store)
      this.#broker = await startBroker()
      this.#seen = 0
      await this.prepare()
      throw error
    }
  }

  /** Produces each, all at once: honest ones are taken, all others refused, and the broker is well. */
  async bombard(bombs: readonly Bomb[]): Promise<void> {
    await Promise.all(bombs.map(async ({ what, batch, honest }) => {
      const client = await RawClient.connect(this.#broker.address, { answerMs: 60_000 })
      const { responses } = await client.send(Produce, 9, {
        acks: -1, timeoutMs: 30_000, topicData: [{ name: topics[0]!, partitionData: [{ index: 0, records: [batch] }] }],
      })
      client.close()
      const { errorCode, errorMessage } = responses[0]!.partitionResponses[0]!
      if ((errorCode === 0) !== honest) throw new Error(`${what}, ${batch.length} bytes: ${errorCode} ${errorMessage}`)
    }))
    await this.#serves()
    await this.settled()
  }

  /** Waits until nothing is held for connections any more. Gives the resident memory. */
  async settled(): Promise<number> {
    const { http, process: { pid } } = this.#broker
    const held = async (): Promise<string> => (
      `${await metricSum(http, 'bayou_connections')} connections, ${await metricSum(http, 'bayou_request_memory_bytes')} bytes`
    )
    await eventually('connections and the memory of requests are given back', async () => (await held()) === '0 connections, 0 bytes').catch(async (error: unknown) => {
      throw new Error(`still held: ${await held()}`, { cause: error })
    })
    return rssBytes(pid!)
  }

  async end(): Promise<number | null> {
    const code = await this.#broker.stop()
    await removeStore(this.#broker.store)
    return code
  }

  async #sendOne(input: Uint8Array, leave: boolean): Promise<void> {
    const at = this.#broker.address.lastIndexOf(':')
    const socket = connect(Number(this.#broker.address.slice(at + 1)), this.#broker.address.slice(0, at))
    // A broker that closes while bytes are under way resets the connection.
    socket.on('error', () => undefined)
    await Promise.race([once(socket, 'connect'), once(socket, 'close')])
    const done = Promise.withResolvers<void>()
    socket.once('data', () => done.resolve())
    socket.once('close', () => done.resolve())
    if (leave) socket.end(input)
    else socket.write(input)
    const timer = setTimeout(() => done.resolve(), ANSWER_MS)
    await done.promise
    clearTimeout(timer)
    socket.destroy()
  }

  async #serves(): Promise<void> {
    const client = await RawClient.connect(this.#broker.address, { answerMs: 20_000 })
    await client.send(ApiVersions, 3, { clientSoftwareName: 'next', clientSoftwareVersion: '1' })
    client.close()
    const { log } = this.#broker
    const complaints = log.slice(this.#seen).filter(({ level }) => level === 'error' || level === 'fatal')
    this.#seen = log.length
    if (complaints.length > 0) throw new Error(`the broker logged: ${JSON.stringify(complaints).slice(0, 4000)}`)
  }
}

function startBroker(): Promise<TestBroker> {
  return startTestBroker({ args, env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` } })
}
