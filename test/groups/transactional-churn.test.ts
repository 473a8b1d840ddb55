/**
 * Transactions of several producers that commit offsets of several groups at random, mixed with plain commits and deletions, against a broker
 * that is slow, restarts, takes snapshots and flushes. After each step everybody is told what the log says: a model reads all of it by the rule
 * of Kafka, which compares the offsets of records.
 *
 *     CHURN_SEED=17 npx node --test test/groups/transactional-churn.test.ts     replays one seed
 *     CHURN_SEEDS=500 npx node --test test/groups/transactional-churn.test.ts    tries many
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { KafkaError } from '../../protocol/errors.ts'
import { attributes, baseOffset, isControl, isTransactional, producerId } from '../../protocol/records/batch.ts'
import { recordsOf } from '../../protocol/records/record.ts'
import { decodeGroupRecord } from '../../src/groups/records.ts'
import { seededRandom } from '../support/env.ts'
import type { MemoryLog } from './support.ts'
import { World } from './world.ts'

const onlySeed = process.env['CHURN_SEED']
const seedCount = Number(process.env['CHURN_SEEDS'] ?? 6)
const seeds = onlySeed === undefined ? Array.from({ length: seedCount }, (_, i) => i + 1) : [Number(onlySeed)]
const STEPS = 200
const GROUPS = ['a', 'b', 'c']
const PARTITIONS = 3
const PRODUCERS = 3
const UNSTABLE = 'UNSTABLE_OFFSET_COMMIT'

for (const seed of seeds) {
  test(`transactions under seed ${seed}`, async () => {
    const churn = new Churn(seed)
    for (let step = 0; step < STEPS; step++) await churn.step()
    await churn.finish()
  })
}

class Churn {
  readonly #seed: number
  readonly #random: () => number
  readonly #world: World
  readonly #log: MemoryLog
  /** Every batch as it was written, whatever became of it in the table. */
  readonly #history = new Map<number, Uint8Array>()
  #nextOffset = 1

  constructor(seed: number) {
    this.#seed = seed
    this.#random = seededRandom(seed)
    this.#world = new World({ snapshots: seed % 2 === 0, config: { 'offsets.load.buffer.size': seed % 3 === 0 ? 1 : 100_000 } })
    this.#log = this.#world.logs[0] as MemoryLog
  }

  /** A few requests in one turn; then some of them become durable, or all, or the process dies. */
  async step(): Promise<void> {
    this.#log.hold = this.#below(3) > 0
    for (let i = this.#below(4); i >= 0; i--) this.#request()
    await turn()
    this.#remember()
    if (this.#below(10) === 0) await this.#restart()
    const { highWatermark } = this.#log
    if (this.#below(3) === 0) this.#log.release(this.#batchEnd(highWatermark))
    else this.#log.release()
    await this.#world.env.advance(this.#below(500))
    this.#remember()
    if (this.#below(8) === 0) this.#log.flush()
    await this.#check()
  }

  /** All transactions end: nothing is pending any more, also after a restart. */
  async finish(): Promise<void> {
    this.#log.hold = false
    this.#log.release()
    for (let producer = 1; producer <= PRODUCERS; producer++) {
      const committed = this.#below(2) === 0
      assert.equal(await this.#world.end('a', producer, committed), KafkaError.NONE)
      this.#remember()
    }
    await this.#check()
    this.#log.flush()
    await this.#restart()
    await this.#check()
    for (const [, expected] of this.#expected()) assert.notEqual(expected.stable, UNSTABLE)
  }

  #request(): void {
    const group = GROUPS[this.#below(GROUPS.length)] as string
    const partition = this.#below(PARTITIONS)
    const producer = 1 + this.#below(PRODUCERS)
    const dice = this.#below(100)
    const { groups } = this.#world
    if (dice < 45) void this.#world.commitTransactional(group, this.#nextOffset++, producer, { partition })
    else if (dice < 65) void this.#world.commit(group, this.#nextOffset++, { partition })
    else if (dice < 90) void this.#world.end(group, producer, this.#below(3) > 0)
    else if (dice < 95) void groups.deleteOffsets(group, [{ name: 'orders', partitionIndexes: [partition] }])
    else void groups.delete(group)
  }

  async #restart(): Promise<void> {
    const old = this.#world.groups
    this.#world.restart()
    old.stop()
    for (const offset of this.#history.keys()) if (offset >= this.#log.highWatermark) this.#history.delete(offset)
    // The table may be written while it is loaded.
    const { beforeRead } = this.#log
    assert.equal(beforeRead, null)
    if (this.#below(2) === 0) this.#log.beforeRead = () => (this.#log.beforeRead = () => this.#log.flush())
    await this.#world.offset('a')
    this.#log.beforeRead = null
  }

  async #check(): Promise<void> {
    const { highWatermark, logEndOffset } = this.#log
    const where = `seed ${this.#seed}, at ${highWatermark} of ${logEndOffset}`
    for (const [place, expected] of this.#expected()) {
      const [group, partition] = place.split('/') as [string, string]
      assert.equal(await this.#world.offset(group, Number(partition)), expected.offset, `${where}: ${place}`)
      // Who wants stable offsets waits for what is on its way.
      if (highWatermark === logEndOffset) assert.equal(await this.#world.stable(group, Number(partition)), expected.stable, `${where}: ${place}`)
    }
  }

  /** What each partition of each group has to be told, as of the high watermark. */
  #expected(): Map<string, { offset: number; stable: number | string }> {
    const committed = new Map<string, { offset: number; at: number }>()
    const pending = new Map<number, Map<string, { offset: number; at: number }>>()
    for (const [base, batch] of [...this.#history].toSorted(([a], [b]) => a - b)) {
      if (base >= this.#log.highWatermark) continue
      const flags = attributes(batch, 0)
      const producer = producerId(batch, 0)
      for (const { key, value, offset: at } of recordsOf(batch)) {
        if (isControl(flags)) {
          for (const [place, offset] of key?.[3] === 1 ? (pending.get(producer) ?? []) : []) {
            if (offset.at > (committed.get(place)?.at ?? -1)) committed.set(place, offset)
          }
          pending.delete(producer)
          continue
        }
        const record = decodeGroupRecord(key as Uint8Array, value)
        assert.ok(record?.kind === 'offset')
        const place = `${record.group}/${record.partition}`
        if (record.value === null) {
          committed.delete(place)
          for (const offsets of pending.values()) offsets.delete(place)
        } else if (isTransactional(flags)) {
          const offsets = pending.get(producer) ?? new Map<string, { offset: number; at: number }>()
          pending.set(producer, offsets.set(place, { offset: record.value.offset, at }))
        } else {
          committed.set(place, { offset: record.value.offset, at })
        }
      }
    }
    const expected = new Map<string, { offset: number; stable: number | string }>()
    for (const group of GROUPS) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const place = `${group}/${partition}`
        const offset = committed.get(place)?.offset ?? -1
        const open = [...pending.values()].some((offsets) => offsets.has(place))
        expected.set(place, { offset, stable: open ? UNSTABLE : offset })
      }
    }
    return expected
  }

  #remember(): void {
    for (const batch of this.#log.batches) {
      const base = baseOffset(batch, 0)
      if (!this.#history.has(base)) this.#history.set(base, batch)
    }
  }

  /** The end of the first batch that is not durable. */
  #batchEnd(highWatermark: number): number {
    const next = [...this.#history.keys()].filter((base) => base > highWatermark).toSorted((a, b) => a - b)[0]
    return next ?? this.#log.logEndOffset
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n)
  }
}
