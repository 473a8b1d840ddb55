import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppendGate } from '../../../storage/engine/append-gate.ts'
import { SimulatedEnv } from '../../support/env.ts'

/** A lane of a few bytes: appends fill it, and the test drains it. */
class SmallLane {
  pending = 0
  over = false
  readonly #waiters: (() => void)[] = []

  get hasRoom(): boolean {
    return this.pending < 10
  }

  whenRoom(callback: () => void): void {
    this.#waiters.push(callback)
    this.#wake()
  }

  drain(bytes: number): void {
    this.pending -= bytes
    this.#wake()
  }

  end(): void {
    this.over = true
    this.#wake()
  }

  #wake(): void {
    while (this.#waiters.length > 0 && (this.hasRoom || this.over)) this.#waiters.shift()!()
  }
}

function setUp() {
  const env = new SimulatedEnv(1)
  const lane = new SmallLane()
  const gate = new AppendGate(env.clock, lane)
  const log: string[] = []
  const never = new AbortController().signal
  const wait = (name: string, bytes: number, timeoutMs = 1000, signal = never): void =>
    gate.wait(timeoutMs, signal, (admitted) => {
      log.push(admitted ? name : `${name} gave up`)
      if (admitted) lane.pending += bytes
    })
  return { env, lane, gate, log, wait }
}

test('with room and nobody waiting the gate is open, and whoever waits goes in at once', () => {
  const { gate, log, wait } = setUp()
  assert.equal(gate.isOpen, true)
  wait('a', 4)
  assert.deepEqual(log, ['a'])
})

test('first come, first served; whoever fills the lane closes the gate for the next', () => {
  const { lane, gate, log, wait } = setUp()
  lane.pending = 10
  for (const name of ['a', 'b', 'c', 'd']) wait(name, 6)
  assert.deepEqual(log, [])
  lane.drain(1)
  assert.deepEqual(log, ['a'], 'room for one')
  assert.equal(gate.isOpen, false)
  lane.drain(14)
  assert.deepEqual(log, ['a', 'b', 'c'])
  assert.equal(gate.waiting, 1)
  lane.drain(14)
  assert.deepEqual(log, ['a', 'b', 'c', 'd'])
})

test('nobody overtakes: with somebody waiting the gate is not open, room or not', () => {
  const { lane, gate, log } = setUp()
  const signal = new AbortController().signal
  lane.pending = 10
  const seen: boolean[] = []
  gate.wait(1000, signal, () => {
    log.push('first')
    // What comes while the first one is let in is behind those who wait.
    seen.push(gate.isOpen)
    gate.wait(1000, signal, () => log.push('third'))
  })
  gate.wait(1000, signal, () => log.push('second'))
  lane.drain(10)
  assert.deepEqual(log, ['first', 'second', 'third'])
  assert.deepEqual(seen, [false])
})

test('time and signals end the wait, and those behind move up', async () => {
  const { env, lane, gate, log, wait } = setUp()
  lane.pending = 10
  const abort = new AbortController()
  wait('slow', 1, 5000)
  wait('hasty', 1, 100)
  wait('gone', 1, 5000, abort.signal)
  wait('last', 1, 5000)
  abort.abort()
  assert.deepEqual(log, ['gone gave up'])
  await env.run(env.clock.sleep(200))
  assert.deepEqual(log, ['gone gave up', 'hasty gave up'])
  lane.drain(5)
  assert.deepEqual(log, ['gone gave up', 'hasty gave up', 'slow', 'last'])
  assert.equal(gate.waiting, 0)
  wait('too late', 1, 5000, abort.signal)
  assert.equal(log.at(-1), 'too late gave up')
})

test('the last waiter gave up before there was room: the next one is still served', async () => {
  const { env, lane, log, wait } = setUp()
  lane.pending = 10
  wait('a', 1, 10)
  await env.run(env.clock.sleep(20))
  wait('b', 1)
  lane.drain(5)
  assert.deepEqual(log, ['a gave up', 'b'])
})

test('when the lane is over, everybody is let in to be told so', () => {
  const { lane, log, wait } = setUp()
  lane.pending = 10
  wait('a', 0)
  wait('b', 0)
  lane.end()
  assert.deepEqual(log, ['a', 'b'])
})

test('those who gave up leave no trace, however many and however long the first one waits', async () => {
  const { env, lane, gate, log, wait } = setUp()
  lane.pending = 10
  wait('first', 6, 1e9)
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 500; i++) wait('', 0, 1)
    await env.run(env.clock.sleep(2))
    assert.equal(gate.waiting, 1)
  }
  wait('second', 6, 1e9)
  log.length = 0
  lane.drain(10)
  assert.deepEqual(log, ['first', 'second'])
})

test('fifty thousand waiters need no deep stack', () => {
  const { lane, log, wait } = setUp()
  lane.pending = 10
  for (let i = 0; i < 50_000; i++) wait('x', 0, 1000, new AbortController().signal)
  lane.drain(1)
  assert.equal(log.length, 50_000)
})
