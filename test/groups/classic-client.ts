/** A consumer of the classic protocol, with an eager or a cooperative assignor, that talks to a coordinator in memory. */
import { KafkaError } from '../../protocol/errors.ts'
import { decodeSubscription } from '../../src/groups/consumer-protocol.ts'
import type { JoinReply } from '../../src/groups/types.ts'
import type { World } from './world.ts'

const { NONE, MEMBER_ID_REQUIRED } = KafkaError

export interface ClassicOptions {
  readonly instanceId?: string
  /** Keeps its partitions over rebalances, and says so when it joins. */
  readonly cooperative?: boolean
  readonly topics?: readonly string[]
  readonly rebalanceTimeoutMs?: number
  readonly sessionTimeoutMs?: number
}

export class Classic {
  readonly #world: World
  readonly #groupId: string
  readonly #options: ClassicOptions
  #lastJoin: JoinReply | null = null
  id = ''
  generation = -1
  /** `topic:partition`, in order. */
  assigned: readonly string[] = []

  constructor(world: World, groupId: string, options: ClassicOptions = {}) {
    this.#world = world
    this.#groupId = groupId
    this.#options = options
  }

  get instanceId(): string | null {
    return this.#options.instanceId ?? null
  }

  get leads(): boolean {
    const join = this.#lastJoin
    return join !== null && join.leader === this.id && !join.skipAssignment
  }

  /** An error code. Eager members give everything up before. */
  async join(): Promise<number> {
    const { cooperative = false, topics = ['orders'], rebalanceTimeoutMs = 60_000, sessionTimeoutMs = 10_000 } = this.#options
    if (!cooperative) this.assigned = []
    const join = await this.#world.join(this.#groupId, {
      memberId: this.id,
      instanceId: this.instanceId,
      requiresKnownMemberId: true,
      clientId: 'client',
      rebalanceTimeoutMs,
      sessionTimeoutMs,
      protocols: [{ name: 'range', metadata: subscriptionBytes({ topics, owned: this.assigned, generation: this.generation }) }],
    })
    if (join.errorCode === MEMBER_ID_REQUIRED) {
      this.id = join.memberId
      return this.join()
    }
    if (join.errorCode !== NONE) return join.errorCode
    this.#lastJoin = join
    this.id = join.memberId
    this.generation = join.generation
    return NONE
  }

  /** An error code. Who leads assigns partitions of all topics in turn. */
  async sync(): Promise<number> {
    const join = this.#lastJoin
    const assignments = new Map<string, Uint8Array>()
    if (join !== null && this.leads) {
      const given = join.members.map((): string[] => [])
      const owners = new Map(join.members.flatMap(({ metadata }, i) => ownedOf(metadata).map((place) => [place, i] as const)))
      let next = 0
      for (const topic of this.#options.topics ?? ['orders']) {
        const count = this.#world.topics.get(topic)?.partitions ?? 0
        for (let partition = 0; partition < count; partition++) {
          const place = `${topic}:${partition}`
          const i = next++ % given.length
          // What another member has yet to give up is given to nobody.
          if ((owners.get(place) ?? i) === i) given[i]!.push(place)
        }
      }
      for (const [i, { memberId }] of join.members.entries()) assignments.set(memberId, assignmentBytes(given[i]!))
    }
    const { errorCode, assignment } = await this.#world.sync(this.#groupId, this.id, this.generation, {
      instanceId: this.instanceId,
      protocolType: 'consumer',
      protocol: join?.protocol ?? null,
      assignments,
    })
    if (errorCode === NONE) this.assigned = assignmentOf(assignment)
    return errorCode
  }

  /** JoinGroup and SyncGroup: the first error code, or 0. */
  async rejoin(): Promise<number> {
    const errorCode = await this.join()
    return errorCode === NONE ? this.sync() : errorCode
  }

  /** Everything is lost: the generation, and perhaps the id. */
  reset(forgetsId: boolean): void {
    if (forgetsId) this.id = ''
    this.generation = -1
    this.assigned = []
  }

  heartbeat(): Promise<number> {
    return this.#world.groups.heartbeat(this.#groupId, this.id, this.instanceId, this.generation)
  }

  commit(partition: number, offset: number, topic = 'orders'): Promise<number> {
    const { id: memberId, generation, instanceId } = this
    return this.#world.commit(this.#groupId, offset, { partition, memberId, generation, instanceId, topic })
  }
}

/** ConsumerProtocolSubscription, versions 0 to 2; `owned` as `topic:partition`. */
export function subscriptionBytes(
  options: { readonly version?: number; readonly topics?: readonly string[]; readonly owned?: readonly string[]; readonly generation?: number } = {},
): Buffer {
  const { version = 2, topics = ['orders'], owned = [], generation = -1 } = options
  return Buffer.concat([
    int16(version),
    int32(topics.length),
    ...topics.map(string),
    int32(-1),
    ...(version >= 1 ? [topicPartitions(owned)] : []),
    ...(version >= 2 ? [int32(generation)] : []),
  ])
}

/** ConsumerProtocolAssignment of partitions given as `topic:partition`. */
export function assignmentBytes(partitions: readonly string[]): Buffer {
  return Buffer.concat([int16(1), topicPartitions(partitions), int32(-1)])
}

/** `topic:partition …`, in order. */
export function assignmentOf(bytes: Uint8Array): string[] {
  if (bytes.length === 0) return []
  const buffer = Buffer.from(bytes)
  const assigned: string[] = []
  let at = 6
  for (let topics = buffer.readInt32BE(2); topics > 0; topics--) {
    const length = buffer.readInt16BE(at)
    const topic = buffer.toString('utf8', at + 2, at + 2 + length)
    at += 2 + length
    const count = buffer.readInt32BE(at)
    for (let i = 1; i <= count; i++) assigned.push(`${topic}:${buffer.readInt32BE(at + 4 * i)}`)
    at += 4 * (count + 1)
  }
  return assigned.toSorted()
}

/** What a member says that it owns. */
function ownedOf(subscription: Uint8Array): string[] {
  return decodeSubscription(subscription).ownedPartitions.flatMap(({ topic, partitions }) => partitions.map((partition) => `${topic}:${partition}`))
}

function topicPartitions(partitions: readonly string[]): Buffer {
  const topics = new Map<string, number[]>()
  for (const place of partitions) {
    const [topic, partition] = place.split(':') as [string, string]
    topics.set(topic, [...(topics.get(topic) ?? []), Number(partition)])
  }
  const parts = Array.from(topics, ([topic, numbers]) => Buffer.concat([string(topic), int32(numbers.length), ...numbers.map(int32)]))
  return Buffer.concat([int32(topics.size), ...parts])
}

function string(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([int16(bytes.length), bytes])
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
