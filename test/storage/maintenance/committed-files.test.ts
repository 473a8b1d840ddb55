import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InlineCheckpointEngine } from '../../../storage/delta/inline-checkpoint-engine.ts'
import { DeltaTable, flushAppId } from '../../../storage/delta/table.ts'
import { CommittedFiles } from '../../../storage/maintenance/committed-files.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { SimulatedEnv } from '../../support/env.ts'
import { addOf, foreign, location, removeOf, topicId } from '../delta/support.ts'

class World {
  readonly env = new SimulatedEnv(1)
  readonly store = new MemoryStore({ clock: this.env.clock })
  readonly table = new DeltaTable(this.store, this.env, location, { checkpoints: new InlineCheckpointEngine() })
  readonly topic = { id: topicId, name: 'orders', table: this.table }
  readonly troubles: string[] = []
  readonly files = new CommittedFiles({ env: this.env, store: this.store, trouble: (_topic, message) => void this.troubles.push(message) })
  next = 0

  /** A flush of ten records; gives the key of its file. */
  async flush(size = 100): Promise<string> {
    const from = this.next
    this.next += 10
    const add = addOf(0, from, this.next - 1, this.env.uuid())
    const parquet = new Uint8Array(size).fill(1)
    const key = `${location}/${add.path}`
    await this.store.put(key, [parquet])
    const txn = { appId: flushAppId(topicId, 0), from: from === 0 ? null : from, to: this.next }
    await this.table.commit({ commitId: this.env.uuid(), operation: 'STREAMING UPDATE', adds: [add], removes: [], txns: [txn] })
    this.files.keep(this.topic, [{ path: add.path, parquet: [parquet] }])
    return key
  }

  /** A commit of somebody's VACUUM at the next version. */
  async vacuum(step: 'START' | 'END'): Promise<void> {
    const version = Number((await this.store.list(`${location}/_delta_log/`)).at(-1)!.key.match(/(\d{20})\.json$/)![1]) + 1
    await foreign(this.store, version, {}, `VACUUM ${step}`)
  }

  async exists(key: string): Promise<boolean> {
    return (await this.store.head(key)) !== null
  }
}

async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = new World()
  const work = async (): Promise<void> => {
    await world.table.create({ topicId }, world.env.uuid())
    await body(world)
    await world.files.close()
  }
  await world.env.run(work())
}

test('a file that a VACUUM took after its commit is back with the next commit that sees the end of the VACUUM', () => inWorld(async (world) => {
  await world.vacuum('START')
  const key = await world.flush()
  await world.store.delete([key])
  await world.vacuum('END')
  await world.flush()
  await world.env.clock.sleep(10)
  assert.ok(await world.exists(key))
  assert.equal((await world.store.get(key))!.length, 100)
  assert.match(world.troubles.join(), /VACUUM/)
}))

test('it is back as well when nothing is committed any more', () => inWorld(async (world) => {
  const key = await world.flush()
  await world.env.clock.sleep(20_000)
  await world.vacuum('START')
  await world.env.clock.sleep(6000)
  await world.store.delete([key])
  await world.vacuum('END')
  await world.env.clock.sleep(20_000)
  assert.ok(await world.exists(key))
}))

test('the look is repeated while the store fails', () => inWorld(async (world) => {
  const key = await world.flush()
  const head = world.store.head.bind(world.store)
  let failures = 0
  world.store.head = async (name) => {
    if (++failures <= 2) throw new Error('no answer')
    return await head(name)
  }
  await world.store.delete([key])
  await world.vacuum('END')
  await world.env.clock.sleep(30_000)
  assert.ok(await world.exists(key))
}))

test('what the table no longer refers to stays away', () => inWorld(async (world) => {
  const key = await world.flush()
  await foreign(world.store, 2, { removes: [removeOf({ ...addOf(0, 0, 9), path: key.slice(location.length + 1) }, true)] }, 'DELETE')
  await world.store.delete([key])
  await world.vacuum('END')
  await world.env.clock.sleep(30_000)
  assert.equal(await world.exists(key), false)
}))

test('what is kept is bounded in bytes and in time, and a quiet table costs nothing after a minute', () => inWorld(async (world) => {
  for (let n = 0; n < 10; n++) await world.flush(7 * 1024 * 1024)
  assert.equal(world.files.bytes, 28 * 1024 * 1024)
  await world.flush(9 * 1024 * 1024)
  assert.equal(world.files.bytes, 28 * 1024 * 1024)
  await world.env.clock.sleep(90_000)
  assert.equal(world.files.bytes, 0)
  let requests = 0
  const get = world.store.get.bind(world.store)
  world.store.get = async (key) => {
    requests++
    return await get(key)
  }
  await world.env.clock.sleep(600_000)
  assert.equal(requests, 0)
  // Each flush of a table that rests costs five more requests.
  await world.flush()
  requests = 0
  await world.env.clock.sleep(600_000)
  assert.equal(requests, 5)
}))

test('a merged file of any size is looked at once, right after its commit', () => inWorld(async (world) => {
  const key = await world.flush()
  await world.store.delete([key])
  await world.files.settle(world.topic, [{ path: key.slice(location.length + 1), parquet: [new Uint8Array(100)] }])
  assert.ok(await world.exists(key))
}))

test('nothing of a topic is kept once it is forgotten', () => inWorld(async (world) => {
  const key = await world.flush()
  void world.files.forget(topicId)
  assert.equal(world.files.bytes, 0)
  await world.store.delete([key])
  await world.vacuum('END')
  await world.env.clock.sleep(30_000)
  assert.equal(await world.exists(key), false)
}))
