/**
 * The store that all incarnations share, with an eye on every object that appears or goes: it knows from the bytes alone (journal entries,
 * Delta commits, lane segments) what may be deleted, and says at once when a promise about deletion or overwriting is broken.
 */
import { listSegments } from '../../storage/lane/listing.ts'
import { readSegmentIndex } from '../../storage/lane/segment.ts'
import type { GuardHead, SegmentRow } from '../../storage/lane/segment.ts'
import { MemoryStore } from '../../storage/objects/memory-store.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome } from '../../storage/objects/object-store.ts'
import type { Clock } from '../../storage/env.ts'

interface LaneBook {
  readonly name: string
  readonly rows: Map<number, readonly SegmentRow[]>
  readonly guards: GuardHead[]
  readonly checkpoints: Set<number>
  /** Virtual wall clock at which its first guard came. */
  fencedAtMs: number
}

export interface TableBook {
  readonly location: string
  version: number
  readonly txns: Map<string, number>
}

export interface TopicBook {
  readonly id: string
  readonly name: string
  readonly location: string
  readonly partitions: number
  deleted: boolean
}

export class Disk implements ObjectStore {
  readonly description = 'simulated'
  readonly memory: MemoryStore
  readonly lanes = new Map<string, LaneBook>()
  readonly tables = new Map<string, TableBook>()
  readonly topics = new Map<string, TopicBook>()
  /** Incarnations that the journal has not retired, by number. */
  readonly incarnations = new Set<number>()
  readonly #clock: Pick<Clock, 'now'>
  readonly #fail: (what: string) => void
  readonly #note: (line: string) => void

  constructor(clock: Pick<Clock, 'now'>, fail: (what: string) => void, note: (line: string) => void) {
    this.memory = new MemoryStore({ clock })
    this.#clock = clock
    this.#fail = fail
    this.#note = note
  }

  get(key: string): Promise<Uint8Array | null> {
    return this.memory.get(key)
  }

  getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    return this.memory.getRange(key, start, endExclusive)
  }

  head(key: string): Promise<ObjectMeta | null> {
    return this.memory.head(key)
  }

  list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return this.memory.list(prefix, options)
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    const outcome = await this.memory.putIfAbsent(key, body)
    this.#note(`create ${key} ${outcome.kind}`)
    if (outcome.kind === 'created') await this.#created(key, Buffer.concat(body))
    return outcome
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    const isHint = key.endsWith('/_last_checkpoint') || key.startsWith('meta/snapshots/') || key.startsWith('quarantine/')
    if (!isHint) {
      const there = await this.memory.get(key)
      // A lost reply makes the same bytes come twice.
      if (there !== null && !Buffer.from(there).equals(Buffer.concat(body))) this.#fail(`P5: ${key} was overwritten with something else`)
    }
    await this.memory.put(key, body)
    this.#note(`put ${key}`)
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.#deleting(key)
    await this.memory.delete(keys)
    this.#note(`delete ${keys.join(' ')}`)
  }

  async close(): Promise<void> {}

  /** Where the table of a partition says that it ends; 0 without a transaction. */
  flushed(topicId: string, partition: number): number {
    const topic = this.topics.get(topicId)
    return (topic && this.tables.get(topic.location)?.txns.get(`bayou/${topicId}/${partition}`)) ?? 0
  }

  /** Where the lane ends by its highest fence; Infinity without one. */
  endOf(lane: LaneBook): number {
    let highest: GuardHead | null = null
    for (const guard of lane.guards) if (guard.kind === 'fence' && (highest === null || guard.seq > highest.seq)) highest = guard
    return highest?.endSeq ?? Infinity
  }

  async #created(key: string, bytes: Buffer): Promise<void> {
    const segment = /^lanes\/(\d+\/\d+)\/(\d{20})$/.exec(key)
    if (segment !== null) return this.#segment(this.#lane(segment[1]!), bytes)
    const checkpoint = /^lanes\/(\d+\/\d+)\/checkpoints\/(\d{20})$/.exec(key)
    if (checkpoint !== null) this.#lane(checkpoint[1]!).checkpoints.add(Number(checkpoint[2]))
    else if (key.startsWith('meta/journal/')) this.#journal(Number(/\d{20}/.exec(key)![0]), bytes)
    else {
      const commit = /^(.+)\/_delta_log\/(\d{20})\.json$/.exec(key)
      if (commit !== null) await this.#commit(commit[1]!, Number(commit[2]), bytes)
    }
  }

  #segment(lane: LaneBook, bytes: Buffer): void {
    const index = readSegmentIndex(bytes)
    if (index.kind === 'segment') lane.rows.set(index.seq, index.rows)
    else {
      lane.guards.push(index)
      lane.fencedAtMs = Math.min(lane.fencedAtMs, this.#clock.now())
    }
  }

  #journal(version: number, bytes: Buffer): void {
    const { changes } = JSON.parse(bytes.toString()) as { changes: readonly Record<string, unknown>[] }
    for (const change of changes) {
      if (change['type'] === 'topic-created') {
        const { id, name, location, partitions } = change['topic'] as Omit<TopicBook, 'deleted'>
        this.topics.set(id, { id, name, location, partitions, deleted: false })
      } else if (change['type'] === 'topic-deleted') this.topics.get(change['id'] as string)!.deleted = true
      else if (change['type'] === 'incarnation-started') this.incarnations.add(version)
      else if (change['type'] === 'incarnation-retired') this.incarnations.delete(change['incarnation'] as number)
    }
  }

  async #commit(location: string, version: number, bytes: Buffer): Promise<void> {
    let table = this.tables.get(location)
    if (table === undefined) {
      table = { location, version: -1, txns: new Map() }
      this.tables.set(location, table)
    }
    const isDead = [...this.topics.values()].some((topic) => topic.location === location && topic.deleted)
    if (version !== table.version + 1 && !isDead) this.#fail(`P7: ${location} got version ${version} after ${table.version}`)
    table.version = version
    for (const line of bytes.toString().split('\n')) {
      if (line === '') continue
      const action = JSON.parse(line) as { txn?: { appId: string; version: number }; add?: { path: string } }
      if (action.txn !== undefined) {
        const before = table.txns.get(action.txn.appId) ?? 0
        if (action.txn.version <= before && !isDead) this.#fail(`P4: ${action.txn.appId} went from ${before} to ${action.txn.version} in version ${version}`)
        table.txns.set(action.txn.appId, action.txn.version)
      }
      if (action.add !== undefined && !isDead) {
        const key = `${location}/${decodeURIComponent(action.add.path)}`
        if ((await this.memory.head(key)) === null) this.#fail(`P7: version ${version} of ${location} adds ${action.add.path}, which is not there`)
      }
    }
  }

  async #deleting(key: string): Promise<void> {
    const segment = /^lanes\/(\d+\/\d+)\/(\d{20})$/.exec(key)
    if (segment !== null) return this.#deletingSegment(this.#lane(segment[1]!), Number(segment[2]))
    const checkpoint = /^lanes\/(\d+\/\d+)\/checkpoints\/(\d{20})$/.exec(key)
    if (checkpoint !== null) return this.#deletingCheckpoint(this.#lane(checkpoint[1]!), Number(checkpoint[2]))
    if (key.startsWith('meta/journal/')) this.#fail(`P5: ${key} was deleted`)
  }

  #deletingSegment(lane: LaneBook, seq: number): void {
    const guard = lane.guards.find((candidate) => candidate.seq === seq)
    // A guard below the end or below a checkpoint was put where a collected segment had been, and stops nobody.
    const end = this.endOf(lane)
    if (guard !== undefined && seq >= Math.max(end, ...lane.checkpoints)) this.#fail(`P5: the ${guard.kind} at ${seq} of lane ${lane.name} was deleted`)
    if (seq >= end || guard !== undefined) return
    for (const row of lane.rows.get(seq) ?? []) {
      if (this.topics.get(row.topicId)?.deleted === true) continue
      const flushed = this.flushed(row.topicId, row.partition)
      if (row.lastOffset < flushed) continue
      const topic = this.topics.get(row.topicId)?.name ?? row.topicId
      this.#fail(`P5: segment ${seq} of lane ${lane.name} was deleted; it holds ${topic}/${row.partition}@${row.baseOffset}..${row.lastOffset}, the table ends at ${flushed}`)
    }
  }

  /** A recovery must always find a checkpoint: a later one in this lane or in that of a successor. */
  #deletingCheckpoint(lane: LaneBook, seq: number): void {
    if (!lane.checkpoints.delete(seq)) return
    const incarnation = Number(lane.name.split('/')[1])
    if ([...lane.checkpoints].some((other) => other > seq)) return
    for (const other of this.lanes.values()) {
      if (Number(other.name.split('/')[1]) > incarnation && other.checkpoints.size > 0) return
    }
    this.#fail(`P5: checkpoint ${seq} of lane ${lane.name} was deleted and there is none after it`)
  }

  #lane(name: string): LaneBook {
    let lane = this.lanes.get(name)
    if (lane === undefined) {
      lane = { name, rows: new Map(), guards: [], checkpoints: new Set(), fencedAtMs: Infinity }
      this.lanes.set(name, lane)
    }
    return lane
  }
}

/** What of a lane is in the store: for the check at the end. */
export async function laneObjects(disk: Disk, name: string): Promise<{ segments: number[]; guards: number[]; checkpoints: number[] }> {
  const [brokerId, incarnation] = name.split('/').map(Number) as [number, number]
  const segments: number[] = []
  const guards: number[] = []
  for await (const { seq, kind } of listSegments(disk.memory, { brokerId, incarnation }, 0)) (kind === 'segment' ? segments : guards).push(seq)
  const prefix = `lanes/${name}/checkpoints/`
  const checkpoints = (await disk.memory.list(prefix)).map(({ key }) => Number(key.slice(prefix.length)))
  return { segments, guards, checkpoints }
}
