/** Producers and consumers as Kafka's clients behave: pipelining, retries in order, time-outs, another broker when one does not answer. */
import { attributes, computeCrc, crc, isControl, iterateBatches, lastOffset } from '../../protocol/records/batch.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import type { PartitionLedger } from './ledger.ts'
import { encodePlan, makeKeyedRecord, makeRecord } from './records.ts'
import type { BatchPlan } from './records.ts'
import type { FetchReply, ProduceReply, SimBroker } from './sim-broker.ts'
import { simEpochMs } from './sim-env.ts'
import type { World } from './world.ts'

/** As many as Kafka's producers have in flight with idempotence. */
const PIPELINE = 5
const REQUEST_TIMEOUT_MS = 700

export interface ProducerPlan {
  readonly idempotent: boolean
  /** Batches in all; draining ends it earlier. */
  readonly batchesMax: number
  /** Between two batches, at most, milliseconds. */
  readonly pauseMs: number
}

interface Batch {
  readonly plan: BatchPlan
  sentAtMs: number
}

/** A connection to one broker: answers of an older one are no longer heard. */
interface Session {
  readonly broker: SimBroker
  /** How many of the pending batches went out on it. */
  sent: number
}

export class Producer {
  readonly done: Promise<void>
  readonly name: string
  readonly #world: World
  readonly #ledger: PartitionLedger
  readonly #plan: ProducerPlan
  readonly #producerId: number
  #made = 0
  #records = 0
  #pending: Batch[] = []
  #session: Session | null = null

  constructor(world: World, ledger: PartitionLedger, plan: ProducerPlan) {
    this.#world = world
    this.#ledger = ledger
    this.#plan = plan
    const id = world.nextProducerId()
    this.#producerId = plan.idempotent ? id : -1
    this.name = `${plan.idempotent ? 'idempotent' : 'plain'}${id}`
    this.done = this.#run()
  }

  async #run(): Promise<void> {
    const { env } = this.#world
    while (!this.#ledger.topic.deleteRequested) {
      const mayMake = !this.#world.draining && this.#made < this.#plan.batchesMax
      if (!mayMake && this.#pending.length === 0) return
      if (mayMake && this.#pending.length < PIPELINE) this.#make()
      this.#pump()
      await env.clock.sleep(env.below(this.#plan.pauseMs) + (this.#session === null ? 10 : 0))
    }
  }

  #make(): void {
    const { env } = this.#world
    const count = 1 + env.below(env.oneIn(5) ? 20 : 4)
    const make = this.#ledger.topic.compaction === null ? makeRecord : makeKeyedRecord
    const records = Array.from({ length: count }, (_, i) => make(env, this.name, this.#records + i))
    const plan = {
      records, codec: env.oneIn(4) ? env.below(5) : 0, producerId: this.#producerId, producerEpoch: this.#plan.idempotent ? 0 : -1,
      baseSequence: this.#plan.idempotent ? this.#records : -1,
    }
    if (this.#plan.idempotent) for (const [i, record] of records.entries()) this.#ledger.noteSent(this.name, this.#records + i, record, true)
    this.#records += count
    this.#made++
    this.#pending.push({ plan, sentAtMs: 0 })
  }

  #pump(): void {
    const { env } = this.#world
    const oldest = this.#pending[0]
    if (oldest === undefined) return
    if (this.#session !== null && this.#session.sent > 0 && env.nowMs - oldest.sentAtMs > REQUEST_TIMEOUT_MS) {
      this.#world.count('request timeouts')
      this.#lose(oldest)
    }
    const broker = this.#session?.broker ?? this.#world.leader()
    // Clients ask for metadata first, and a broker that does not know the topic yet gets no batch of it.
    if (broker === null || broker.partition(this.#ledger.topic.record.id, this.#ledger.partition) === null) return
    const session = (this.#session ??= { broker, sent: 0 })
    for (; session.sent < this.#pending.length; session.sent++) this.#send(session, this.#pending[session.sent]!)
  }

  #send(session: Session, batch: Batch): void {
    const { plan } = batch
    batch.sentAtMs = this.#world.env.nowMs
    if (!this.#plan.idempotent) for (const record of plan.records) this.#ledger.noteSent(this.name, -1, record, false)
    const onAnswer = (reply: ProduceReply): void => {
      if (reply.kind !== 'acked') return
      this.#world.count('batches acknowledged')
      this.#ledger.noteAcked(reply.baseOffset, plan.records, session.broker.name)
    }
    session.broker.produce(this.#ledger.topic.record.id, this.#ledger.partition, encodePlan(plan), onAnswer, (reply) => {
      if (this.#session === session) this.#answered(batch, reply)
    })
  }

  #answered(batch: Batch, reply: ProduceReply): void {
    const { deleteRequested } = this.#ledger.topic
    switch (reply.kind) {
      case 'acked':
        if (this.#pending[0] !== batch) this.#world.fail(`P1: ${this.#ledger.name}: batches of ${this.name} were not acknowledged in order`)
        this.#pending = this.#pending.filter((other) => other !== batch)
        this.#session!.sent--
        return
      case 'refused': {
        const { kind } = reply.outcome
        // A broker that has not heard of its successor yet does not know what was written there.
        const isBehind = kind === 'outOfOrderSequence' && this.#world.hasServedAfter(this.#session!.broker)
        if (kind !== 'notLeader' && !(kind === 'deleted' && deleteRequested) && !isBehind) {
          this.#world.fail(`${this.#ledger.name}: a batch of ${this.name} was refused: ${JSON.stringify(reply.outcome)}`)
        }
        break
      }
      case 'failed':
        if (reply.why === 'deleted' && !deleteRequested) this.#world.fail(`${this.#ledger.name} is said to be deleted`)
        break
    }
    this.#lose(batch)
  }

  /** Whether these batches were written is not known. Idempotent ones are sent again; the others as new copies, or never again. */
  #lose(oldest: Batch): void {
    this.#session = null
    if (this.#plan.idempotent || !this.#world.env.oneIn(2)) return
    this.#pending = this.#pending.filter((batch) => batch !== oldest)
  }
}

/** Follows a partition from offset 0, and looks back at what it has seen from time to time. */
export class Consumer {
  readonly done: Promise<void>
  readonly #world: World
  readonly #ledger: PartitionLedger
  readonly #goesBack: boolean
  #next = 0
  #greatest = 0

  constructor(world: World, ledger: PartitionLedger, goesBack: boolean) {
    this.#world = world
    this.#ledger = ledger
    this.#goesBack = goesBack
    this.done = this.#run()
  }

  async #run(): Promise<void> {
    const { env } = this.#world
    while (!this.#ledger.topic.deleteRequested) {
      const broker = this.#world.leader()
      const maxBytes = env.oneIn(4) ? 1 : 200 + env.below(20_000)
      const reply = broker === null ? null : await fetchFrom(this.#world, broker, this.#ledger, this.#next, maxBytes)
      if (reply?.kind === 'outOfRange' && mayBeGone(this.#ledger, this.#next)) {
        // auto.offset.reset=earliest
        const earliest = broker!.partition(this.#ledger.topic.record.id, this.#ledger.partition)?.logStartOffset ?? 0
        this.#next = Math.max(this.#next, earliest)
        this.#greatest = Math.max(this.#greatest, this.#next)
      }
      if (reply === null || reply.kind !== 'records' || reply.bytes === 0) {
        if (this.#world.draining && reply?.kind === 'records' && this.#next === this.#greatest) return
        await env.clock.sleep(5 + env.below(30))
        continue
      }
      this.#next = takeRecords(this.#world, this.#ledger, this.#next, reply, broker!.name).next
      this.#greatest = Math.max(this.#greatest, this.#next)
      if (this.#goesBack && !this.#world.draining && env.oneIn(12)) this.#next = env.below(this.#next + 1)
      await env.clock.sleep(env.below(10))
    }
  }
}

/** Deletes records from time to time (DeleteRecords), never more than consumers have seen. */
export class Deleter {
  readonly done: Promise<void>
  readonly #world: World
  readonly #ledger: PartitionLedger

  constructor(world: World, ledger: PartitionLedger) {
    this.#world = world
    this.#ledger = ledger
    this.done = this.#run()
  }

  async #run(): Promise<void> {
    const { env } = this.#world
    while (!this.#world.draining && !this.#ledger.topic.deleteRequested) {
      await env.clock.sleep(env.below(800))
      const broker = this.#world.leader()
      const below = env.below(this.#ledger.seenEnd + 1)
      if (broker === null || below === 0) continue
      this.#ledger.mayBeginAt = Math.max(this.#ledger.mayBeginAt, below)
      const { promise, resolve } = Promise.withResolvers<void>()
      broker.deleteRecords(this.#ledger.topic.record.id, this.#ledger.partition, below, (logStart) => {
        this.#world.count('deletions of records')
        this.#ledger.beginsAt = Math.max(this.#ledger.beginsAt, logStart)
        resolve()
      })
      // Nothing is on its way any more when this client ends, unless its broker is gone.
      await Promise.race([promise, env.clock.sleep(REQUEST_TIMEOUT_MS)])
    }
  }
}

/** One fetch; null when no answer came in time. */
export async function fetchFrom(world: World, broker: SimBroker, ledger: PartitionLedger, fromOffset: number, maxBytes: number): Promise<FetchReply | null> {
  const { promise, resolve } = Promise.withResolvers<FetchReply | null>()
  const timer = world.env.setTimer(REQUEST_TIMEOUT_MS, () => resolve(null))
  broker.fetch(ledger.topic.record.id, ledger.partition, { fromOffset, maxBytes, atLeastOne: true, isolation: 'readUncommitted' }, resolve)
  const reply = await promise
  timer.cancel()
  // A broker that has not heard of its successor yet cannot know what consumers have read there.
  if (reply?.kind === 'outOfRange' && !mayBeGone(ledger, fromOffset) && !ledger.topic.deleteRequested && !world.hasServedAfter(broker)) {
    world.fail(`P1: ${ledger.name}@${fromOffset} is out of range at ${broker.name}`)
  }
  return reply
}

function mayBeGone({ mayBeginAt, topic }: PartitionLedger, offset: number): boolean {
  return offset < mayBeginAt || topic.retentionMs !== Infinity
}

/** Hands the records of an answer to the ledger, in order, and without a gap unless the topic is compacted; gives the next offset to ask for. */
export function takeRecords(
  world: World, ledger: PartitionLedger, fromOffset: number, reply: Extract<FetchReply, { kind: 'records' }>, by: string,
): { readonly next: number; readonly records: ReturnType<typeof recordsOf> } {
  const where = `at ${by}`
  const taken: ReturnType<typeof recordsOf> = []
  const nowMs = simEpochMs + world.env.nowMs
  let next = fromOffset
  const skipTo = (offset: number): void => {
    if (offset < next || (offset > next && ledger.topic.compaction === null)) world.fail(`P2: ${ledger.name}: offset ${offset} follows ${next - 1} ${where}`)
    for (; next < offset; next++) if (!ledger.passedOver.has(next)) ledger.passedOver.set(next, nowMs)
  }
  for (const chunk of reply.chunks) {
    for (const { start, end } of iterateBatches(chunk)) {
      const batch = chunk.subarray(start, end)
      if (crc(batch, 0) !== computeCrc(batch, 0)) world.fail(`P6: ${ledger.name}: a batch with a wrong checksum at offset ${next} ${where}`)
      for (const record of isControl(attributes(batch, 0)) ? [] : recordsOf(batch)) {
        if (record.offset < fromOffset) continue
        skipTo(record.offset)
        ledger.noteSeen(record, where)
        taken.push(record)
        next = record.offset + 1
      }
      skipTo(Math.max(next, lastOffset(batch, 0) + 1))
    }
  }
  if (next === fromOffset) world.fail(`P2: ${ledger.name}: nothing at or after ${fromOffset} in an answer of ${reply.bytes} bytes ${where}`)
  world.count('records read', taken.length)
  return { next, records: taken }
}
