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
import { Stage, twoTopics } from '../stage.ts'
import { USERS } from '../world.ts'
import { ConsumerActor } from './actor.ts'

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

class Churn extends Stage {
  readonly #members: ConsumerActor[] = []
  readonly #target: number

  constructor(seed: number, target: number) {
    super(seed)
    this.#target = target
    twoTopics(this.world)
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
      else if (dice === 99) await this.restartBroker()
    }
  }

  /** Nothing happens any more: the group must come to rest, with every partition held by somebody who is alive. */
  async settle(): Promise<void> {
    this.quiet = true
    const { world } = this
    for (const member of this.#members) if (member.alive) member.resubscribe(['orders', 'users'])
    await world.env.advance(250_000)
    const alive = this.#members.filter((member) => member.alive)
    const { state, members, epoch } = await world.groups.describeConsumer(this.group)
    assert.equal(state, alive.length === 0 ? 'Empty' : 'Stable', `seed ${this.seed}`)
    assert.deepEqual(members.map(({ memberId }) => memberId).toSorted(), alive.map(({ id }) => id).toSorted(), `seed ${this.seed}`)
    if (alive.length > 0) assert.deepEqual(alive.flatMap(({ held }) => [...held]).toSorted(), this.everyPlace(), `seed ${this.seed}`)
    for (const member of alive) assert.equal(member.epoch, epoch, `seed ${this.seed}`)
    const loads = alive.map(({ held }) => held.size)
    assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `seed ${this.seed}: shares ${loads.join()}`)
    assert.ok(this.acknowledged.size > 0, 'somebody committed something')
    await this.nothingLost()
  }

  spawn(): void {
    this.#members.push(new ConsumerActor(this, this.below(4) === 0 ? `i-${this.#members.length}` : null))
  }

  crashOne(): void {
    const alive = this.#members.filter((member) => member.alive)
    alive[this.below(alive.length)]?.crash()
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
}
