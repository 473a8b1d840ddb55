/**
 * A broker in miniature on top of the lane: one partition, a table that is a map, and the real writer, fence, checkpoints, scan, reads and
 * collector. A run starts several brokers one after the other in a world that delays, fails, loses replies, lands writes late and kills
 * processes at any await point, and says which promise was broken. It follows the recovery that fence.ts prescribes.
 */
import { checkpointSeqs, newestCheckpoint, pruneCheckpoints, writeCheckpoint } from '../../../storage/lane/checkpoint-store.ts'
import { LaneCollector } from '../../../storage/lane/collector.ts'
import { fenceLane } from '../../../storage/lane/fence.ts'
import { LaneWriter } from '../../../storage/lane/lane-writer.ts'
import { listSegments } from '../../../storage/lane/listing.ts'
import { LaneObjectMissingError, readBatches } from '../../../storage/lane/read-batches.ts'
import { LaneGapError, scanSegments } from '../../../storage/lane/scan.ts'
import type { LaneId, LaneRef } from '../../../storage/lane/types.ts'
import { FaultyStore } from '../../../storage/objects/faulty-store.ts'
import type { FaultRule } from '../../../storage/objects/faulty-store.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import type { ObjectStore } from '../../../storage/objects/object-store.ts'
import { SimEnv, SimProcess } from '../../simulation/sim-env.ts'
import { TestEntry } from './support.ts'

/** A committed batch that is not in the table yet; every batch of the model has one record. */
interface Unflushed {
  readonly offset: number
  readonly ref: LaneRef
  /** Null after recovery: it is read from the lane then. */
  bytes: Uint8Array | null
}

interface State {
  next: number
  readonly unflushed: Unflushed[]
}

/** What all brokers share besides the store, and what the checks look at. */
export class World {
  readonly env: SimEnv
  readonly memory: MemoryStore
  readonly rules: readonly FaultRule[]
  readonly brokers: Broker[] = []
  /** The Delta table: row n is offset n; a commit carries the offset it builds on. */
  readonly table: Uint8Array[] = []
  /** Offsets that were acknowledged. */
  readonly acknowledged = new Map<number, Uint8Array>()
  /** By incarnation: where its successors think that its lane ends. */
  readonly ends = new Map<number, number>()
  readonly seen = { gaps: 0, fenced: 0, collected: 0, tableReads: 0, recoveries: 0, walls: 0 }

  constructor(env: SimEnv, rules: readonly FaultRule[]) {
    this.env = env
    this.memory = new MemoryStore({ clock: env.clock })
    this.rules = rules
  }

  start(): Broker {
    const broker = new Broker(this, this.brokers.length + 1)
    this.brokers.push(broker)
    return broker
  }

  violation(what: string): never {
    throw new Error(what)
  }

  /** P4: a row once there never changes, and rows come in order. False when another broker was first. */
  commit(from: number, rows: readonly Uint8Array[]): boolean {
    if (this.table.length !== from) return false
    this.table.push(...rows)
    return true
  }
}

export class Broker {
  readonly process: SimProcess
  readonly lane: LaneId
  readonly door: FaultyStore
  /** Rejects with what went wrong; never settles in a process that was killed. */
  readonly done: Promise<void>
  serving = false
  fencedAt: number | null = null
  readonly entries: TestEntry[] = []
  readonly #world: World
  readonly #store: ObjectStore
  #state: State = { next: 0, unflushed: [] }
  #flushed = 0
  /** Next offset to give; runs ahead of what is committed. */
  #logEnd = 0
  #writer!: LaneWriter
  readonly #collectors: { collector: LaneCollector; lane: LaneId; belowSeq: () => number }[] = []
  #keptFrom = 0
  #stopping = false

  constructor(world: World, incarnation: number) {
    this.#world = world
    this.process = new SimProcess(world.env)
    this.lane = { brokerId: 1, incarnation }
    this.door = new FaultyStore(world.memory, world.env, world.rules)
    this.#store = this.process.store(this.door)
    this.done = this.#run().catch((error: unknown) => {
      if (!(error instanceof Superseded)) throw error
    })
    this.done.catch(() => undefined)
  }

  /** Ends the loops; a last flush is tried. */
  stop(): void {
    this.#stopping = true
  }

  /** Goes on appending after a fence, as a broker that does not know. */
  appendOne(): boolean {
    if (!this.serving) return false
    const { env } = this.#world
    const offset = this.#logEnd
    const entry = new TestEntry(offset, { payloadBytes: env.below(600), told: (told) => this.#told(told) })
    // What tells two batches of one offset apart.
    entry.bytes.fill(this.lane.incarnation, 12, 16)
    if (!this.#writer.append(entry)) return false
    this.#logEnd++
    this.entries.push(entry)
    return true
  }

  async #run(): Promise<void> {
    await this.#recover()
    this.#writer = new LaneWriter({
      store: this.#store, env: this.process, lane: this.lane, firstSeq: 0,
      options: { lingerMs: this.#world.env.below(4), inflightMax: 1 + this.#world.env.below(5), segmentBytesMax: 1500, bufferBytesMax: 5000 },
      onFenced: (seq) => {
        if (this.fencedAt !== null) this.#world.violation('onFenced was called twice')
        this.fencedAt = seq
        this.#world.seen.fenced++
      },
    })
    this.#collectors.push({
      collector: new LaneCollector({ store: this.#store, lane: this.lane, of: { kind: 'live', firstSeq: 0 } }),
      lane: this.lane, belowSeq: () => this.#keptFrom,
    })
    await this.#checkpoint()
    this.serving = true
    await Promise.all([this.#produce(), this.#every(40, () => this.#flush()), this.#every(60, () => this.#maintain())])
    await this.#writer.close()
  }

  // ---- recovery ---------------------------------------------------------------------------------------------------------------

  async #recover(): Promise<void> {
    const { env, seen, table } = this.#world
    const ends = new Map<number, number>()
    for (let incarnation = 1; incarnation < this.lane.incarnation; incarnation++) {
      const lane = { brokerId: 1, incarnation }
      const { fenceSeq } = await this.#patiently(() => fenceLane(this.#store, this.process, lane, 0, this.lane.incarnation))
      const known = this.#world.ends.get(incarnation)
      if (known !== undefined && known !== fenceSeq) this.#world.violation(`lane ${incarnation} ends at ${known} and at ${fenceSeq}`)
      this.#world.ends.set(incarnation, fenceSeq)
      ends.set(incarnation, fenceSeq)
      const collector = new LaneCollector({ store: this.#store, lane, of: { kind: 'dead', fenceSeq } })
      this.#collectors.push({ collector, lane, belowSeq: () => fenceSeq })
    }
    for (let attempt = 0; ; attempt++) {
      try {
        this.#state = await this.#readState(ends)
        break
      } catch (error) {
        if (!(error instanceof LaneGapError)) throw error
        seen.gaps++
        // A later broker has it all and collected: this one has come too late.
        if (attempt > 30 && this.#world.brokers.at(-1) !== this) throw new Superseded()
        if (attempt > 60) throw error
        await this.process.clock.sleep(env.below(50))
      }
    }
    seen.recoveries++
    this.#state.next = Math.max(this.#state.next, table.length)
    this.#logEnd = this.#state.next
    this.#adopt()
  }

  async #readState(ends: ReadonlyMap<number, number>): Promise<State> {
    for (let incarnation = this.lane.incarnation - 1; incarnation > 0; incarnation--) {
      const lane = { brokerId: 1, incarnation }
      const checkpoint = await this.#patiently(() => newestCheckpoint(this.#store, lane, (seq, why) => this.#world.violation(`checkpoint ${seq}: ${why}`)))
      if (checkpoint === null) continue
      return await this.#patiently(async () => {
        const state = decodeState(checkpoint.body)
        for await (const segment of scanSegments(this.#store, lane, checkpoint.seq, { toSeq: ends.get(incarnation)!, concurrency: 4 })) {
          if (segment.kind !== 'segment') this.#world.violation('a guard below the end')
          for (const { baseOffset, start, end } of segment.rows) {
            if (baseOffset !== state.next) this.#world.violation(`offset ${baseOffset} follows ${state.next} in lane ${incarnation} (P2)`)
            state.next++
            state.unflushed.push({ offset: baseOffset, ref: { lane, seq: segment.seq, start, end }, bytes: null })
          }
        }
        return state
      })
    }
    return { next: 0, unflushed: [] }
  }

  // ---- serving ----------------------------------------------------------------------------------------------------------------

  async #produce(): Promise<void> {
    const { env } = this.#world
    while (!this.#stopping && this.#writer.state === 'open') {
      for (let n = env.below(6); n > 0 && this.#writer.hasRoom; n--) this.appendOne()
      if (env.oneIn(20)) await new Promise<void>((done) => this.#writer.whenRoom(done))
      await this.process.clock.sleep(env.below(12))
    }
  }

  #told(entry: TestEntry): void {
    const fate = entry.fate!
    if (fate.kind === 'failed') return
    if (entry.baseOffset !== this.#state.next) this.#world.violation(`${entry.baseOffset} was durable when ${this.#state.next} was next (P2)`)
    const before = this.#world.acknowledged.get(entry.baseOffset)
    if (before !== undefined) this.#world.violation(`offset ${entry.baseOffset} was acknowledged by two brokers (P3)`)
    this.#world.acknowledged.set(entry.baseOffset, entry.bytes)
    this.#state.next++
    this.#state.unflushed.push({ offset: entry.baseOffset, ref: { lane: this.lane, ...fate }, bytes: entry.bytes })
  }

  async #flush(): Promise<void> {
    const { env, table } = this.#world
    this.#adopt()
    const from = this.#flushed
    const part = this.#state.unflushed.slice(0, 1 + env.below(30)).filter(({ offset }) => offset >= from)
    if (part.length === 0) return
    const missing = part.filter(({ bytes }) => bytes === null)
    try {
      const read = await readBatches(this.#store, missing.map(({ ref, offset }) => ({ ...ref, baseOffset: offset })), { gapBytesMax: env.below(300) })
      for (const [i, batch] of missing.entries()) batch.bytes = read[i]!
    } catch (error) {
      if (!(error instanceof LaneObjectMissingError)) throw error
      // P5: gone from the lane means that it is in the table.
      this.#world.seen.tableReads++
      if (table.length <= missing[0]!.offset) this.#world.violation(`${error.message}, and the table ends at ${table.length} (P5)`)
      return
    }
    this.#world.commit(from, part.map(({ bytes }) => bytes!))
    this.#adopt()
  }

  /** Takes over from the table what is flushed, whoever did it. */
  #adopt(): void {
    this.#flushed = this.#world.table.length
    while (this.#state.unflushed.length > 0 && this.#state.unflushed[0]!.offset < this.#flushed) this.#state.unflushed.shift()
  }

  async #maintain(): Promise<void> {
    await this.#checkpoint()
    this.#adopt()
    const needed = new Set(this.#state.unflushed.map(({ ref }) => `${ref.lane.incarnation}/${ref.seq}`))
    for (const { collector, lane, belowSeq } of this.#collectors) {
      const isNeeded = (seq: number): boolean => needed.has(`${lane.incarnation}/${seq}`)
      this.#world.seen.collected += await collector.collect({ belowSeq: belowSeq(), isNeeded })
    }
  }

  async #checkpoint(): Promise<void> {
    const seq = this.#writer.committedSeq
    const body = encodeState(this.#state)
    await this.#patiently(() => writeCheckpoint(this.#store, this.process, this.lane, seq, [body.subarray(0, 10), body.subarray(10)]))
    this.#keptFrom = (await this.#patiently(() => pruneCheckpoints(this.#store, this.lane)))!
  }

  /** Runs until the broker stops; trouble with the store is met by trying again later. */
  async #every(ms: number, task: () => Promise<void>): Promise<void> {
    while (!this.#stopping && this.fencedAt === null) {
      await this.process.clock.sleep(this.#world.env.below(ms))
      try {
        await task()
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
      }
    }
  }

  async #patiently<T>(task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task()
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        await this.process.clock.sleep(this.#world.env.below(20))
      }
    }
  }

  /** For the last check: everything that this broker recovered, as bytes by offset. */
  async readAll(): Promise<Map<number, Uint8Array>> {
    const all = new Map<number, Uint8Array>(this.#world.table.entries())
    for (const { offset, ref, bytes } of this.#state.unflushed) {
      all.set(offset, bytes ?? (await readBatches(this.#world.memory, [{ ...ref, baseOffset: offset }]))[0]!)
    }
    return all
  }
}

class Superseded extends Error {}

function encodeState(state: State): Uint8Array {
  return Buffer.from(JSON.stringify({ next: state.next, unflushed: state.unflushed.map(({ offset, ref }) => ({ offset, ref })) }))
}

function decodeState(body: Uint8Array): State {
  const { next, unflushed } = JSON.parse(Buffer.from(body).toString()) as State
  return { next, unflushed: unflushed.map(({ offset, ref }) => ({ offset, ref, bytes: null })) }
}

/** One seeded run; throws with the promise that was broken. */
export async function simulate(seed: number): Promise<World['seen']> {
  const env = new SimEnv(seed)
  const isCalm = env.oneIn(4)
  const chance = (): number => (isCalm ? 0 : env.random() * 0.15)
  const slow = env.oneIn(3) ? 400 : 8
  const rules: FaultRule[] = [
    { failBefore: chance(), loseReply: chance(), landLate: chance(), lateMs: [1, 2000], delayMs: [0, 1 + env.below(slow)] },
  ]
  const world = new World(env, rules)
  await env.run(drive(world))
  return world.seen
}

async function drive(world: World): Promise<void> {
  const { env } = world
  const brokerCount = 2 + env.below(3)
  for (let i = 0; i < brokerCount; i++) {
    const broker = world.start()
    if (env.oneIn(3)) broker.process.killAfter(env.below(400))
    await env.clock.sleep(env.below(env.oneIn(4) ? 20 : 600))
    if (env.oneIn(4)) broker.process.kill()
  }
  await env.clock.sleep(env.below(500))
  for (const broker of world.brokers) broker.stop()

  // From here on the store is well; what is late still lands.
  for (const broker of world.brokers) broker.door.rules = []
  const last = world.start()
  last.door.rules = []
  while (!last.serving) await Promise.race([env.clock.sleep(10), last.done])
  await Promise.all(world.brokers.map((broker) => broker.door.landed()))
  for (const broker of world.brokers) broker.appendOne()
  last.stop()
  for (const broker of world.brokers) {
    const done = broker.done.then(() => true)
    // It may still meet its end on the way.
    while (broker.process.alive && (await Promise.race([done, env.clock.sleep(10)])) !== true);
  }
  await check(world, last)
}

async function check(world: World, last: Broker): Promise<void> {
  const all = await last.readAll()
  for (const [offset, bytes] of world.acknowledged) {
    const there = all.get(offset)
    if (there === undefined || !Buffer.from(there).equals(bytes)) world.violation(`offset ${offset} was acknowledged and is not there (P1)`)
  }
  for (let offset = 0; offset < all.size; offset++) if (!all.has(offset)) world.violation(`offset ${offset} is missing (P2)`)
  for (const { process, entries, lane, fencedAt } of world.brokers) {
    const end = world.ends.get(lane.incarnation) ?? Infinity
    let hasFailed = false
    for (const { fate, baseOffset } of entries) {
      if (fate === null && process.alive) world.violation(`nobody told offset ${baseOffset} of ${lane.incarnation}`)
      if (fate?.kind === 'durable' && (fate.seq >= end || hasFailed)) world.violation(`offset ${baseOffset} was acknowledged beyond the fence (P3)`)
      hasFailed ||= fate?.kind === 'failed'
    }
    if (fencedAt !== null && fencedAt < end) world.violation(`lane ${lane.incarnation} was fenced at ${fencedAt}, but ends at ${end}`)
    if (hasFailed && fencedAt === null) world.violation(`entries of ${lane.incarnation} failed without a fence`)
    await checkGuards(world, lane, end)
  }
}

/** A fence is never deleted, and nothing that the owner could still commit lies free below it. */
async function checkGuards(world: World, lane: LaneId, end: number): Promise<void> {
  if (end === Infinity) return
  let hasGuard = false
  for await (const { seq, kind } of listSegments(world.memory, lane, end)) {
    hasGuard ||= seq === end && kind !== 'segment'
    if (kind === 'wall') world.seen.walls++
  }
  if (!hasGuard) world.violation(`nothing guards number ${end} of lane ${lane.incarnation} (P5)`)
  const newest = (await checkpointSeqs(world.memory, lane)).at(-1) ?? 0
  if (newest > end) world.violation(`lane ${lane.incarnation} has a checkpoint at ${newest}, beyond its end at ${end}`)
}
