/**
 * Members that join, leave, crash, fall silent and come back at random, against a broker that is slow and restarts, in virtual time under a
 * seed. Whatever happens: no partition has two owners in one generation, a commit that was acknowledged is never lost, and once it is quiet
 * the group settles with every partition owned.
 *
 *     CHURN_SEED=17 npx node --test test/groups/churn.test.ts     replays one seed
 *     CHURN_SEEDS=500 npx node --test test/groups/churn.test.ts    tries many
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { KafkaError } from '../../protocol/errors.ts'
import { Stage } from './stage.ts'
import { ORDERS } from './world.ts'

const PARTITIONS = 24
const { NONE, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, MEMBER_ID_REQUIRED, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID } = KafkaError
const HEARTBEAT_MS = 3_000

const onlySeed = process.env['CHURN_SEED']
const seedCount = Number(process.env['CHURN_SEEDS'] ?? 6)
const seeds = onlySeed === undefined ? Array.from({ length: seedCount }, (_, i) => i + 1) : [Number(onlySeed)]

for (const seed of seeds) {
  test(`churn under seed ${seed}`, async () => {
    const churn = new Churn(seed, 12 + (seed % 3) * 6)
    await churn.run(180_000)
    await churn.settle()
  })
}

test('a thousand members join, and a part of them goes', async () => {
  const churn = new Churn(1, 0)
  for (let i = 0; i < 1_000; i++) churn.spawn()
  await churn.world.env.advance(60_000)
  for (let i = 0; i < 100; i++) churn.crashOne()
  await churn.settle()
})

class Churn extends Stage {
  readonly #members: Actor[] = []
  readonly #target: number
  /** `generation/partition` → the member, or static instance, that was told to own it. */
  readonly #owners = new Map<string, string>()
  /** `generation/member` → what leaders of that generation wanted it to have. A broker that restarts may give a generation twice. */
  readonly #plans = new Map<string, Set<string>>()

  constructor(seed: number, target: number) {
    super(seed)
    this.#target = target
    this.world.topics.set('orders', { id: ORDERS, partitions: PARTITIONS })
  }

  /** Churn for a while of virtual time. */
  async run(ms: number): Promise<void> {
    const { env } = this.world
    const endMs = env.clock.monotonic() + ms
    while (env.clock.monotonic() < endMs) {
      await env.advance(this.below(800))
      const alive = this.#members.filter((member) => member.alive)
      const dice = this.below(100)
      if (alive.length < this.#target && dice < 55) this.spawn()
      else if (dice < 65) this.crashOne()
      else if (dice < 75) alive[this.below(alive.length)]?.leave()
      else if (dice < 80) alive[this.below(alive.length)]?.silence(this.below(20_000))
      else if (dice < 85) this.#restartStatic()
      else if (dice === 99) await this.restartBroker()
    }
  }

  /** Nothing happens any more: the group must come to rest, with every partition owned by somebody who is alive. */
  async settle(): Promise<void> {
    this.quiet = true
    const { world } = this
    await world.env.advance(200_000)
    const alive = this.#members.filter((member) => member.alive)
    const { state, members } = await world.groups.describe(this.group)
    assert.equal(state, alive.length === 0 ? 'Empty' : 'Stable', `seed ${this.seed}`)
    assert.deepEqual(members.map(({ memberId }) => memberId).toSorted(), alive.map(({ id }) => id).toSorted(), `seed ${this.seed}`)
    const owned = alive.flatMap(({ partitions }) => partitions).toSorted((a, b) => a - b)
    if (alive.length > 0) assert.deepEqual(owned, Array.from({ length: PARTITIONS }, (_, i) => i), `seed ${this.seed}`)
    assert.equal(new Set(alive.map(({ generation }) => generation)).size, Math.min(alive.length, 1))
    assert.ok(this.acknowledged.size > 0, 'somebody committed something')
    await this.nothingLost()
  }

  spawn(): void {
    const isStatic = this.below(4) === 0
    this.#members.push(new Actor(this, isStatic ? `i-${this.#members.length}` : null))
  }

  crashOne(): void {
    const alive = this.#members.filter((member) => member.alive)
    alive[this.below(alive.length)]?.crash()
  }

  plan(generation: number, assignments: ReadonlyMap<string, Uint8Array>): void {
    for (const [memberId, partitions] of assignments) {
      const place = `${generation}/${memberId}`
      const plans = this.#plans.get(place) ?? new Set()
      this.#plans.set(place, plans.add(String(Array.from(partitions))))
    }
  }

  wasPlanned(generation: number, memberId: string, partitions: readonly number[]): void {
    const planned = this.#plans.get(`${generation}/${memberId}`)?.has(String(partitions))
    assert.ok(planned, `seed ${this.seed}: in generation ${generation} no leader gave ${memberId} the partitions ${partitions.join()}`)
  }

  owns(owner: string, generation: number, partitions: readonly number[]): void {
    for (const partition of partitions) {
      const place = `${generation}/${partition}`
      const other = this.#owners.get(place) ?? owner
      assert.equal(owner, other, `seed ${this.seed}: generation and partition ${place} have two owners`)
      this.#owners.set(place, owner)
    }
  }

  /** The process of a static member dies and is started again. */
  #restartStatic(): void {
    const statics = this.#members.filter((member) => member.alive && member.instanceId !== null)
    const member = statics[this.below(statics.length)]
    if (member === undefined) return
    member.crash()
    this.#members.push(new Actor(this, member.instanceId))
  }
}

/** One consumer: joins, syncs, assigns if it leads, sends heartbeats, commits. */
class Actor {
  readonly #churn: Churn
  readonly instanceId: string | null
  alive = true
  id = ''
  generation = -1
  partitions: readonly number[] = []
  #silentUntilMs = 0

  constructor(churn: Churn, instanceId: string | null) {
    this.#churn = churn
    this.instanceId = instanceId
    void this.#live()
  }

  crash(): void {
    this.alive = false
  }

  leave(): void {
    this.alive = false
    const { id, instanceId } = this
    void this.#churn.world.groups.leave(this.#churn.group, [{ memberId: id, instanceId, reason: 'churn' }])
  }

  silence(ms: number): void {
    this.#silentUntilMs = this.#churn.world.env.clock.monotonic() + ms
  }

  async #live(): Promise<void> {
    while (this.alive) {
      if (!(await this.#joinAndSync())) {
        await this.#sleep(100)
        continue
      }
      while (this.alive && (await this.#work())) await this.#sleep(HEARTBEAT_MS)
    }
  }

  async #joinAndSync(): Promise<boolean> {
    const { world, group } = this.#churn
    const { instanceId } = this
    const join = await world.join(group, {
      memberId: this.id,
      instanceId,
      requiresKnownMemberId: true,
      rebalanceTimeoutMs: 20_000,
      protocols: [{ name: 'range', metadata: Buffer.from([0, 0]) }],
    })
    if (!this.alive) return false
    if (join.errorCode === MEMBER_ID_REQUIRED) {
      this.id = join.memberId
      return this.#joinAndSync()
    }
    if (join.errorCode === FENCED_INSTANCE_ID) this.alive = false
    if (join.errorCode === UNKNOWN_MEMBER_ID) this.id = ''
    if (join.errorCode !== NONE) return false
    this.id = join.memberId
    const leads = join.leader === this.id && !join.skipAssignment
    const assignments = new Map<string, Uint8Array>()
    if (leads) {
      const members = join.members.map(({ memberId }) => memberId)
      assert.ok(members.includes(this.id))
      for (const [i, memberId] of members.entries()) {
        const share = Array.from({ length: PARTITIONS }, (_, partition) => partition).filter((partition) => partition % members.length === i)
        assignments.set(memberId, Buffer.from(share))
      }
      this.#churn.plan(join.generation, assignments)
    }
    const sync = await world.sync(group, this.id, join.generation, { instanceId, assignments, protocolType: 'consumer', protocol: join.protocol })
    if (!this.alive) return false
    if (sync.errorCode === UNKNOWN_MEMBER_ID) this.id = ''
    if (sync.errorCode === FENCED_INSTANCE_ID) this.alive = false
    if (sync.errorCode !== NONE) return false
    this.generation = join.generation
    this.partitions = Array.from(sync.assignment)
    if (instanceId === null) this.#churn.wasPlanned(this.generation, this.id, this.partitions)
    // A static member is its instance, under whatever id.
    this.#churn.owns(instanceId ?? this.id, this.generation, this.partitions)
    return true
  }

  /** Commits and sends a heartbeat; false when the group wants the member back. */
  async #work(): Promise<boolean> {
    const { world, group } = this.#churn
    const nowMs = world.env.clock.monotonic()
    if (nowMs < this.#silentUntilMs) await this.#sleep(this.#silentUntilMs - nowMs)
    const partition = this.partitions[this.#churn.below(this.partitions.length)]
    if (partition !== undefined) {
      const offset = this.#churn.offset()
      const { id: memberId, generation, instanceId } = this
      const errorCode = await world.commit(group, offset, { partition, memberId, generation, instanceId })
      if (errorCode === NONE) this.#churn.committed(`${ORDERS}/${partition}`, offset)
    }
    if (!this.alive) return false
    const errorCode = await world.groups.heartbeat(group, this.id, this.instanceId, this.generation)
    switch (errorCode) {
      case NONE:
        return true
      case UNKNOWN_MEMBER_ID:
      case ILLEGAL_GENERATION:
        this.id = ''
        return false
      case FENCED_INSTANCE_ID:
        this.alive = false
        return false
      case REBALANCE_IN_PROGRESS:
        return false
      default:
        // The coordinator is moving or loading: the next heartbeat will tell.
        return true
    }
  }

  async #sleep(ms: number): Promise<void> {
    await this.#churn.world.env.clock.sleep(ms)
    await turn()
  }
}
