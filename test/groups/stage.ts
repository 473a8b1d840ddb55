/**
 * Where the members of the churn tests act: a coordinator on a log that is slow, chance under a seed, and the books of who holds what and what
 * was acknowledged. Partitions are `topicId/partition`.
 */
import assert from 'node:assert/strict'
import type { GroupConfig } from '../../src/groups/ports.ts'
import { seededRandom } from '../support/env.ts'
import { VirtualEnv } from './support.ts'
import { ORDERS, USERS, World } from './world.ts'

export class Stage {
  readonly group = 'churn'
  readonly seed: number
  readonly world: World
  /** Who holds a partition now. */
  readonly holders = new Map<string, { readonly id: string }>()
  /** The greatest offset that was acknowledged, by partition. */
  readonly acknowledged = new Map<string, number>()
  /** How often a partition was taken. */
  handovers = 0
  /** The log takes its time less at random, so that what is under way comes to its end. */
  quiet = false
  readonly #random: () => number
  #nextOffset = 1
  #nextId = 1

  constructor(seed: number, config: Partial<GroupConfig> = {}) {
    this.seed = seed
    this.#random = seededRandom(seed)
    this.world = new World({ env: new VirtualEnv(seededRandom(seed + 1000)), snapshots: seed % 2 === 0, config })
    for (const log of this.world.logs) log.hold = true
    this.#releaseLater()
  }

  /** Uniform integer below `n`. */
  below(n: number): number {
    return Math.floor(this.#random() * n)
  }

  id(): string {
    return `m-${this.#nextId++}`
  }

  offset(): number {
    return this.#nextOffset++
  }

  /** The actor takes a partition; fails when somebody holds it. */
  take(place: string, actor: { readonly id: string }): void {
    const other = this.holders.get(place)
    assert.equal(other, undefined, `seed ${this.seed}: ${actor.id} is given ${place}, which ${other?.id} holds`)
    this.holders.set(place, actor)
    this.handovers++
  }

  /** A commit was acknowledged. */
  committed(place: string, offset: number): void {
    this.acknowledged.set(place, Math.max(offset, this.acknowledged.get(place) ?? 0))
  }

  /** Preferably at a moment when something has been accepted and is not durable. */
  async restartBroker(): Promise<void> {
    const { env, logs } = this.world
    for (let i = 0; i < 1_000 && logs.every((log) => log.highWatermark === log.logEndOffset); i++) await env.advance(5)
    const old = this.world.groups
    this.world.restart()
    old.stop()
    await this.nothingLost()
  }

  /** Every commit that was acknowledged is there, or a later one. */
  async nothingLost(): Promise<void> {
    for (const [place, offset] of Array.from(this.acknowledged)) {
      const { topic, partition } = placeOf(place)
      const found = await this.world.offset(this.group, partition, topic)
      assert.ok(found >= offset, `seed ${this.seed}: ${place} has ${found}, acknowledged was ${offset}`)
    }
  }

  /** Every partition of every topic. */
  everyPlace(): string[] {
    return [...this.world.topics].flatMap(([, { id, partitions }]) => Array.from({ length: partitions }, (_, partition) => `${id}/${partition}`)).toSorted()
  }

  #releaseLater(): void {
    this.world.env.clock.schedule(this.quiet ? 200 : 1 + this.below(60), () => {
      for (const log of this.world.logs) log.release()
      this.#releaseLater()
    })
  }
}

export function placeOf(place: string): { readonly topic: string; readonly partition: number } {
  const [topicId, partition] = place.split('/')
  return { topic: topicId === ORDERS ? 'orders' : 'users', partition: Number(partition) }
}

/** Topics as most members subscribe to them. */
export function twoTopics(world: World): void {
  world.topics.set('orders', { id: ORDERS, partitions: 16 })
  world.topics.set('users', { id: USERS, partitions: 5 })
}
