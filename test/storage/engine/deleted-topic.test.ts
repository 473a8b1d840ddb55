import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { SimEnv } from '../../simulation/sim-env.ts'
import { Door, TestBroker, keysOf } from './support.ts'

test('what a flush had under way when its topic was deleted is gone with the rest', async () => {
  const env = new SimEnv(1)
  const work = async (): Promise<void> => {
    const store = new MemoryStore({ clock: env.clock })
    const door = new Door()
    const broker = await TestBroker.start(env, store, { gate: (operation, key) => (operation === 'put' && key.endsWith('.parquet') ? door.pass() : undefined) })
    const topic = await broker.createTopic('orders')
    await broker.produce(topic, ['a', 'b'])
    await door.reached
    await broker.deleteTopic(topic)
    await env.clock.sleep(1000)
    door.open()
    await env.clock.sleep(1000)
    assert.deepEqual(await keysOf(store, 'topics/'), [])
    await broker.engine.close(1000)
  }
  await env.run(work())
})
