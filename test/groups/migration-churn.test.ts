/**
 * Members of both protocols, eager, cooperative, static and not, that come and go at random in one group, which so changes its protocol again
 * and again, against a broker that is slow and restarts, in virtual time under a seed. Whatever happens: no partition is held by two members
 * at a time, a commit that was acknowledged is never lost, and once it is quiet the group settles with every partition held.
 *
 *     CHURN_SEED=17 npx node --test test/groups/migration-churn.test.ts     replays one seed
 *     CHURN_SEEDS=500 npx node --test test/groups/migration-churn.test.ts    tries many
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import { Classic } from './classic-client.ts'
import { ConsumerActor } from './consumer/actor.ts'
import { Stage, placeOf, twoTopics } from './stage.ts'
import { ORDERS, USERS } from './world.ts'

const HEARTBEAT_MS = 3_000
/** Short, so that those who crash do not keep the group in their protocol for long; longer than anybody who lives is silent. */
const SESSION_MS = 20_000
const { NONE, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID } = KafkaError

type Wave = 'classic' | 'consumer' | 'mixed'

const onlySeed = process.env['CHURN_SEED']
const seedCount = Number(process.env['CHURN_SEEDS'] ?? 2)
const seeds = onlySeed === undefined ? Array.from({ length: seedCount }, (_, i) => i + 1) : [Number(onlySeed)]

for (const seed of seeds) {
  test(`churn of both protocols under seed ${seed}`, async () => {
    const churn = new Churn(seed, 6 + (seed % 3) * 4)
    await churn.run(600_000)
    await churn.settle(seed % 3 === 0 ? 'classic' : seed % 3 === 1 ? 'consumer' : 'mixed')
    assert.ok(churn.handovers > 50, `${churn.handovers} partitions changed hands: too little happened`)
    assert.ok(churn.changes >= 4, `the group changed its protocol ${churn.changes} times: too little happened`)
  })
}

test('a thousand members go over from the classic to the consumer protocol and back', async () => {
  const churn = new Churn(4, 0)
  for (let i = 0; i < 500; i++) churn.spawn('classic')
  await churn.advance(60_000)
  for (let i = 0; i < 500; i++) churn.spawn('consumer')
  await churn.advance(90_000)
  await churn.settle('classic')
  assert.equal(churn.changes, 2)
})

class Churn extends Stage {
  readonly cooperative: boolean
  #members: (ConsumerActor | ClassicActor)[] = []
  readonly #target: number
  /** How often the group was seen to have changed its protocol. */
  changes = 0
  #type = 'classic'

  constructor(seed: number, target: number) {
    super(seed, { 'group.consumer.session.timeout.ms': SESSION_MS })
    this.#target = target
    this.cooperative = seed % 2 === 1
    twoTopics(this.world)
  }

  /** Waves: for a while members of one protocol come, those of the other go, and the other way round. */
  async run(ms: number): Promise<void> {
    const { env } = this.world
    const endMs = env.clock.monotonic() + ms
    let wave: Wave = 'classic'
    let waveEndMs = 0
    while (env.clock.monotonic() < endMs) {
      await this.advance(this.below(1_500))
      if (env.clock.monotonic() > waveEndMs) {
        wave = wave === 'classic' ? 'consumer' : 'classic'
        waveEndMs = env.clock.monotonic() + 35_000 + this.below(30_000)
      }
      const alive = this.#members.filter((member) => member.alive)
      const old = alive.filter((member) => kindOf(member) !== wave)
      const one = alive[this.below(alive.length)]
      const dice = this.below(100)
      if (old.length > 0 && dice < 35) old[this.below(old.length)]?.leave()
      else if (alive.length < this.#target && dice < 60) this.spawn(this.below(12) === 0 ? 'mixed' : wave)
      else if (dice < 63) one?.crash()
      else if (dice < 70) one?.silence(this.below(5_000))
      else if (dice < 78) this.#restartStatic(wave)
      else if (dice >= 97) await this.restartBroker()
    }
  }

  /** Nothing happens any more but that members of the other protocol leave: the group must come to rest, with every partition held. */
  async settle(kind: Wave): Promise<void> {
    if (this.#members.every((member) => !member.alive || (kind !== 'mixed' && kindOf(member) !== kind))) this.spawn(kind)
    for (const member of this.#members) if (member.alive && kind !== 'mixed' && kindOf(member) !== kind) member.leave(-1)
    this.quiet = true
    await this.advance(200_000)
    const { world, seed } = this
    const alive = this.#members.filter((member) => member.alive)
    const [listed] = (await world.groups.list([], [])).groups
    const classic = alive.every((member) => member instanceof ClassicActor)
    assert.deepEqual([listed?.type, listed?.state], [classic ? 'classic' : 'consumer', 'Stable'], `seed ${seed}`)
    const { members } = classic ? await world.groups.describe(this.group) : await world.groups.describeConsumer(this.group)
    assert.deepEqual(members.map(({ memberId }) => memberId).toSorted(), alive.map(({ id }) => id).toSorted(), `seed ${seed}`)
    assert.deepEqual(alive.flatMap(({ held }) => [...held]).toSorted(), this.everyPlace(), `seed ${seed}`)
    assert.ok(this.acknowledged.size > 0, 'somebody committed something')
    await this.nothingLost()
  }

  async advance(ms: number): Promise<void> {
    const { env } = this.world
    const endMs = env.clock.monotonic() + ms
    do {
      await env.advance(Math.min(1_000, Math.max(0, endMs - env.clock.monotonic())))
      await this.#watchType()
    } while (env.clock.monotonic() < endMs)
  }

  spawn(kind: Wave): void {
    const classic = kind === 'mixed' ? this.below(2) === 0 : kind === 'classic'
    this.#add(classic, this.below(4) === 0 ? `i${this.id()}` : null)
  }

  #add(classic: boolean, instanceId: string | null): void {
    this.#members = this.#members.filter((member) => member.alive)
    this.#members.push(classic ? new ClassicActor(this, instanceId) : new ConsumerActor(this, instanceId))
  }

  /** The process of a static member stops and is started again, perhaps with the other protocol. */
  #restartStatic(wave: Wave): void {
    const statics = this.#members.filter((member) => member.alive && member.instanceId !== null)
    const member = statics[this.below(statics.length)]
    if (member === undefined) return
    if (member instanceof ClassicActor || this.below(2) === 0) member.crash()
    else member.leave(-2)
    this.#add(this.below(4) === 0 ? kindOf(member) === 'classic' : wave === 'classic', member.instanceId)
  }

  async #watchType(): Promise<void> {
    const [listed] = (await this.world.groups.list([], [])).groups
    if (listed === undefined || listed.type === this.#type || listed.state === 'Empty') return
    this.#type = listed.type
    this.changes++
  }
}

function kindOf(member: ConsumerActor | ClassicActor): Wave {
  return member instanceof ClassicActor ? 'classic' : 'consumer'
}

/** A consumer of the classic protocol in its own loop: heartbeats, commits, and rejoins when it is called. */
class ClassicActor {
  readonly #churn: Churn
  readonly #client: Classic
  readonly instanceId: string | null
  alive = true
  readonly held = new Set<string>()
  #silentUntilMs = 0

  constructor(churn: Churn, instanceId: string | null) {
    this.#churn = churn
    this.instanceId = instanceId
    this.#client = new Classic(churn.world, churn.group, {
      cooperative: churn.cooperative,
      topics: ['orders', 'users'],
      sessionTimeoutMs: SESSION_MS,
      ...(instanceId !== null && { instanceId }),
    })
    void this.#live()
  }

  get id(): string {
    return this.#client.id
  }

  crash(): void {
    this.alive = false
    this.#dropAll()
  }

  leave(): void {
    if (!this.alive) return
    this.crash()
    void this.#churn.world.groups.leave(this.#churn.group, [{ memberId: this.id, instanceId: this.instanceId, reason: 'churn' }])
  }

  silence(ms: number): void {
    this.#silentUntilMs = this.#churn.world.env.clock.monotonic() + ms
  }

  async #live(): Promise<void> {
    const { clock } = this.#churn.world.env
    while (this.alive) {
      if (!(await this.#rejoin())) {
        await clock.sleep(100 + this.#churn.below(300))
        continue
      }
      while (this.alive && (await this.#work())) await clock.sleep(HEARTBEAT_MS)
    }
  }

  /** True when the member is in a generation with all that it is to have. */
  async #rejoin(): Promise<boolean> {
    const { clock } = this.#churn.world.env
    const client = this.#client
    if (!this.#churn.cooperative) await this.#giveUp([...this.held])
    if (!this.alive) return false
    const joined = await client.join()
    const code = joined === NONE && this.alive ? await client.sync() : joined
    if (!this.alive) return false
    if (code !== NONE) {
      this.#failed(code)
      return false
    }
    const told = new Set(client.assigned.map((place) => place.replace('orders:', `${ORDERS}/`).replace('users:', `${USERS}/`)))
    const gone = [...this.held].filter((place) => !told.has(place))
    await this.#giveUp(gone)
    await clock.sleep(this.#churn.below(300))
    if (!this.alive) return false
    for (const place of told) {
      if (this.held.has(place)) continue
      this.#churn.take(place, this)
      this.held.add(place)
    }
    // Who gave something up says so at once.
    return gone.length === 0
  }

  /** Callbacks and commits take their time; the partitions are held until they are done. */
  async #giveUp(places: readonly string[]): Promise<void> {
    if (places.length === 0) return
    await this.#churn.world.env.clock.sleep(this.#churn.below(800))
    if (!this.alive) return
    for (const place of places) {
      this.held.delete(place)
      this.#churn.holders.delete(place)
    }
  }

  /** Commits and sends a heartbeat; false when the group wants the member back. */
  async #work(): Promise<boolean> {
    const { world } = this.#churn
    const silentMs = this.#silentUntilMs - world.env.clock.monotonic()
    if (silentMs > 0) await world.env.clock.sleep(silentMs)
    if (!this.alive) return false
    const place = [...this.held][this.#churn.below(this.held.size)]
    if (place !== undefined) {
      const offset = this.#churn.offset()
      const { topic, partition } = placeOf(place)
      const errorCode = await this.#client.commit(partition, offset, topic)
      if (errorCode === NONE) this.#churn.committed(place, offset)
    }
    if (!this.alive) return false
    const errorCode = await this.#client.heartbeat()
    if (!this.alive) return false
    this.#failed(errorCode)
    return errorCode !== REBALANCE_IN_PROGRESS && errorCode !== UNKNOWN_MEMBER_ID && errorCode !== ILLEGAL_GENERATION
  }

  #failed(errorCode: number): void {
    if (errorCode === FENCED_INSTANCE_ID) return this.crash()
    if (errorCode !== UNKNOWN_MEMBER_ID && errorCode !== ILLEGAL_GENERATION) return
    this.#dropAll()
    this.#client.reset(errorCode === UNKNOWN_MEMBER_ID)
  }

  #dropAll(): void {
    for (const place of this.held) this.#churn.holders.delete(place)
    this.held.clear()
  }
}
