/** A member of the consumer protocol, as clients behave, in a group that others stir. */
import assert from 'node:assert/strict'
import { KafkaError } from '../../../protocol/errors.ts'
import type { HeartbeatReply } from '../../../src/groups/consumer/types.ts'
import { placeOf } from '../stage.ts'
import type { Stage } from '../stage.ts'
import { beat } from './support.ts'

const { NONE, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH, GROUP_ID_NOT_FOUND, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, UNRELEASED_INSTANCE_ID } = KafkaError
/** A heartbeat without an answer is sent again after this time, with everything in it. */
const REQUEST_TIMEOUT_MS = 8_000

/** One consumer, as clients do it: one heartbeat at a time, first give up, then take; whoever is fenced drops everything and joins again. */
export class ConsumerActor {
  readonly #churn: Stage
  readonly instanceId: string | null
  readonly id: string
  alive = true
  epoch = 0
  readonly held = new Set<string>()
  #told: ReadonlySet<string> = new Set()
  #topicNames: readonly string[] = ['orders', 'users']
  #full = true
  #sentOwned = ''
  #silentUntilMs = 0

  constructor(churn: Stage, instanceId: string | null) {
    this.#churn = churn
    this.instanceId = instanceId
    this.id = churn.id()
    void this.#live()
  }

  crash(): void {
    this.alive = false
    this.#dropAll()
  }

  leave(memberEpoch = this.instanceId === null || this.#churn.below(2) === 0 ? -1 : -2): void {
    if (!this.alive) return
    this.crash()
    void beat(this.#churn.world, this.#churn.group, this.id, { memberEpoch, instanceId: this.instanceId })
  }

  silence(ms: number): void {
    this.#silentUntilMs = this.#churn.world.env.clock.monotonic() + ms
  }

  resubscribe(topicNames: readonly string[]): void {
    this.#topicNames = topicNames
    this.#full = true
  }

  async #live(): Promise<void> {
    const { world } = this.#churn
    const { clock } = world.env
    while (this.alive) {
      const silentMs = this.#silentUntilMs - clock.monotonic()
      if (silentMs > 0) await clock.sleep(silentMs)
      if (!this.alive) return
      const reply = await this.#heartbeat()
      if (!this.alive) return
      let waitMs = 5_000
      if (reply === null) {
        this.#full = true
        waitMs = 500
      } else if (reply.errorCode === NONE) {
        this.epoch = reply.memberEpoch
        if (reply.assignment !== null) {
          this.#told = placesOf(reply.assignment)
          if (await this.#reconcile()) waitMs = 1
        }
      } else if ([FENCED_MEMBER_EPOCH, GROUP_ID_NOT_FOUND, UNKNOWN_MEMBER_ID].includes(reply.errorCode as never)) {
        this.#dropAll()
        this.epoch = 0
        this.#full = true
        waitMs = 1 + this.#churn.below(500)
      } else if (reply.errorCode === FENCED_INSTANCE_ID) {
        this.crash()
        return
      } else {
        this.#full = true
        waitMs = reply.errorCode === UNRELEASED_INSTANCE_ID ? 2_000 : 300
      }
      if (!this.alive) return
      if (this.held.size > 0 && this.#churn.below(3) === 0) void this.#commit()
      await clock.sleep(waitMs)
    }
  }

  async #heartbeat(): Promise<HeartbeatReply | null> {
    const { world } = this.#churn
    const topics = new Map<string, number[]>()
    for (const place of this.held) {
      const [topicId, partition] = place.split('/') as [string, string]
      topics.set(topicId, [...(topics.get(topicId) ?? []), Number(partition)])
    }
    const owned = Array.from(topics, ([topicId, partitions]) => ({ topicId, partitions }))
    const full = this.#full
    const changed = JSON.stringify(owned) !== this.#sentOwned
    this.#full = false
    this.#sentOwned = JSON.stringify(owned)
    let timer: { cancel(): void } | undefined
    const timeout = new Promise<null>((resolve) => {
      timer = world.env.clock.schedule(REQUEST_TIMEOUT_MS, () => resolve(null))
    })
    const answer = beat(world, this.#churn.group, this.id, {
      memberEpoch: this.epoch,
      instanceId: this.instanceId,
      rebalanceTimeoutMs: full ? 60_000 : -1,
      topicNames: full ? this.#topicNames : null,
      owned: full || changed ? owned : null,
    })
    const reply = await Promise.race([answer, timeout])
    timer?.cancel()
    return reply
  }

  /** True when something changed, which the broker is to hear of at once. */
  async #reconcile(): Promise<boolean> {
    const { world, holders } = this.#churn
    let changed = false
    for (const place of this.held) {
      if (this.#told.has(place)) continue
      // Callbacks and commits take their time; the partition is held until they are done.
      await world.env.clock.sleep(this.#churn.below(800))
      if (this.alive && this.#churn.below(3) === 0 && !(await this.#stillBusy())) return true
      if (!this.alive) return false
      this.held.delete(place)
      holders.delete(place)
      changed = true
    }
    await world.env.clock.sleep(this.#churn.below(300))
    if (!this.alive) return false
    for (const place of this.#told) {
      if (this.held.has(place)) continue
      this.#churn.take(place, this)
      this.held.add(place)
      changed = true
    }
    return changed
  }

  /** A heartbeat in between, while partitions that are to go are still held. False when the main loop has to see to it. */
  async #stillBusy(): Promise<boolean> {
    const reply = await this.#heartbeat()
    if (reply === null || reply.errorCode !== NONE) {
      this.#full = true
      return false
    }
    this.epoch = reply.memberEpoch
    if (reply.assignment !== null) this.#told = placesOf(reply.assignment)
    return true
  }

  async #commit(): Promise<void> {
    const { world, group } = this.#churn
    const place = [...this.held][this.#churn.below(this.held.size)] as string
    const offset = this.#churn.offset()
    const errorCode = await world.commit(group, offset, { memberId: this.id, generation: this.epoch, ...placeOf(place) })
    if (errorCode === NONE) this.#churn.committed(place, offset)
    else assert.notEqual(errorCode, STALE_MEMBER_EPOCH, `seed ${this.#churn.seed}: ${this.id} holds ${place} in epoch ${this.epoch}`)
  }

  #dropAll(): void {
    for (const place of this.held) this.#churn.holders.delete(place)
    this.held.clear()
    this.#told = new Set()
  }
}

function placesOf(assignment: NonNullable<HeartbeatReply['assignment']>): Set<string> {
  return new Set(Array.from(assignment, ([id, partitions]) => partitions.map((p) => `${id}/${p}`)).flat())
}
