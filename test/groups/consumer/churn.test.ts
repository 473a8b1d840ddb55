/**
 * Members of the consumer protocol that join, leave, crash, fall silent, resubscribe and come back at random, while topics grow, against a
 * broker that is slow and restarts, in virtual time under a seed. Whatever happens: no partition is held by two members at a time, a commit
 * that was acknowledged is never lost, and once it is quiet the group settles with every partition held.
 *
 *     CHURN_SEED=17 npx node --test test/groups/consumer/churn.test.ts     replays one seed
 *     CHURN_SEEDS=500 npx node --test test/groups/consumer/churn.test.ts    tries many
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../support/env.ts'
import { VirtualEnv } from '../support.ts'
import { ORDERS, USERS, World } from '../world.ts'
import { ConsumerActor } from './actor.ts'
import type { Stage } from './actor.ts'

const GROUP = 'churn'
const onlySeed = process.env['CHURN_SEED']
const seedCount = Number(process.env['CHURN_SEEDS'] ?? 6)
const seeds = onlySeed === undefined ? Array.from({ length: seedCount }, (_, i) => i + 1) : [Number(onlySeed)]

for (const seed of seeds) {
  test(`churn under seed ${seed}`, async () => {
    const churn = new Churn(seed, 8 + (seed % 3) * 6)
    await churn.run(300_000)
    await churn.settle()
    assert.ok(churn.handovers > 50, `${churn.handovers} partitions changed hands: too little happened`)
  })
}

test('a thousand members join, and a part of them goes', async () => {
  const churn = new Churn(1, 0)
  for (let i = 0; i < 1_000; i++) churn.spawn()
  await churn.world.env.advance(30_000)
  for (let i = 0; i < 100; i++) churn.crashOne()
  await churn.settle()
})

class Churn implements Stage {
  readonly group = GROUP
  readonly world: World
  readonly seed: number
  readonly #random: () => number
  readonly #members: ConsumerActor[] = []
  readonly #target: number
  #quiet = false
  /** Who holds a partition now. */
  readonly holders = new Map<string, { readonly id: string }>()
  readonly acknowledged = new Map<string, number>()
  handovers = 0
  #nextOffset = 1
  #nextId = 1

  constructor(seed: number, target: number) {
    this.seed = seed
    this.#target = target
    this.#random = seededRandom(seed)
    this.world = new World({ env: new VirtualEnv(seededRandom(seed + 1000)), snapshots: seed % 2 === 0 })
    this.world.topics.set('orders', { id: ORDERS, partitions: 16 })
    this.world.topics.set('users', { id: USERS, partitions: 5 })
    for (const log of this.world.logs) log.hold = true
    this.#releaseLater()
  }

  async run(ms: number): Promise<void> {
    const { env, topics } = this.world
    const endMs = env.clock.monotonic() + ms
    while (env.clock.monotonic() < endMs) {
      await env.advance(this.below(1_500))
      const alive = this.#members.filter((member) => member.alive)
      const one = alive[this.below(alive.length)]
      const dice = this.below(100)
      if (alive.length < this.#target && dice < 55) this.spawn()
      else if (dice < 60) one?.crash()
      else if (dice < 68) one?.leave()
      else if (dice < 75) one?.silence(this.below(20_000))
      else if (dice < 80) this.#restartStatic()
      else if (dice < 84) one?.resubscribe(this.below(3) === 0 ? ['orders'] : ['orders', 'users'])
      else if (dice < 86) topics.set('users', { id: USERS, partitions: (topics.get('users')?.partitions ?? 0) + 1 })
      else if (dice === 99) await this.#restartBroker()
    }
  }

  /** Nothing happens any more: the group must come to rest, with every partition held by somebody who is alive. */
  async settle(): Promise<void> {
    this.#quiet = true
    const { world } = this
    for (const member of this.#members) if (member.alive) member.resubscribe(['orders', 'users'])
    await world.env.advance(250_000)
    const alive = this.#members.filter((member) => member.alive)
    const { state, members, epoch } = await world.groups.describeConsumer(GROUP)
    assert.equal(state, alive.length === 0 ? 'Empty' : 'Stable', `seed ${this.seed}`)
    assert.deepEqual(members.map(({ memberId }) => memberId).toSorted(), alive.map(({ id }) => id).toSorted(), `seed ${this.seed}`)
    const every = [...world.topics].flatMap(([, { id, partitions }]) => Array.from({ length: partitions }, (_, partition) => `${id}/${partition}`))
    if (alive.length > 0) assert.deepEqual(alive.flatMap(({ held }) => [...held]).toSorted(), every.toSorted(), `seed ${this.seed}`)
    for (const member of alive) assert.equal(member.epoch, epoch, `seed ${this.seed}`)
    const loads = alive.map(({ held }) => held.size)
    assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `seed ${this.seed}: shares ${loads.join()}`)
    assert.ok(this.acknowledged.size > 0, 'somebody committed something')
    await this.#nothingLost()
  }

  spawn(): void {
    this.#members.push(new ConsumerActor(this, this.below(4) === 0 ? `i-${this.#nextId}` : null))
  }

  crashOne(): void {
    const alive = this.#members.filter((member) => member.alive)
    alive[this.below(alive.length)]?.crash()
  }

  below(n: number): number {
    return Math.floor(this.#random() * n)
  }

  id(): string {
    return `m-${this.#nextId++}`
  }

  offset(): number {
    return this.#nextOffset++
  }

  take(place: string, actor: { readonly id: string }): void {
    const other = this.holders.get(place)
    assert.equal(other, undefined, `seed ${this.seed}: ${actor.id} is given ${place}, which ${other?.id} holds`)
    this.holders.set(place, actor)
    this.handovers++
  }

  /** The process of a static member stops, orderly or not, and another one takes its place. */
  #restartStatic(): void {
    const statics = this.#members.filter((member) => member.alive && member.instanceId !== null)
    const member = statics[this.below(statics.length)]
    if (member === undefined) return
    if (this.below(2) === 0) member.crash()
    else member.leave(-2)
    this.#members.push(new ConsumerActor(this, member.instanceId))
  }

  /** Preferably at a moment when something has been accepted and is not durable. */
  async #restartBroker(): Promise<void> {
    const { env, logs } = this.world
    for (let i = 0; i < 1_000 && logs.every((log) => log.highWatermark === log.logEndOffset); i++) await env.advance(5)
    const old = this.world.groups
    this.world.restart()
    old.stop()
    await this.#nothingLost()
  }

  async #nothingLost(): Promise<void> {
    for (const [place, offset] of this.acknowledged) {
      const [topicId, partition] = place.split('/')
      const found = await this.world.offset(GROUP, Number(partition), topicId === ORDERS ? 'orders' : 'users')
      assert.ok(found >= offset, `seed ${this.seed}: ${place} has ${found}, acknowledged was ${offset}`)
    }
  }

  #releaseLater(): void {
    this.world.env.clock.schedule(this.#quiet ? 200 : 1 + this.below(60), () => {
      for (const log of this.world.logs) log.release()
      this.#releaseLater()
    })
  }
}
