/** The transaction coordinator on partition logs in memory, with virtual time and crashes. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import type { ProducerReply } from '../../src/transactions/shard.ts'
import { OFFSETS, World } from './support.ts'

const MINUTE = 60_000
const ALL = ['orders/0', 'orders/1', 'users/0', `${OFFSETS}/3`]

function isError(actual: number, expected: keyof typeof KafkaError): void {
  const name = Object.entries(KafkaError).find(([, code]) => code === actual)?.[0]
  assert.equal(name, expected)
}

async function init(world: World, transactionalId = 'tx', timeoutMs = MINUTE): Promise<ProducerReply> {
  return world.transactions.init({ transactionalId, timeoutMs, expected: null })
}

/** A producer with a transaction that has written to these partitions. */
async function begin(world: World, names: readonly string[] = ALL, clientVersion = 2): Promise<ProducerReply> {
  const producer = await init(world)
  isError(producer.errorCode, 'NONE')
  isError(await world.write('tx', producer, names, clientVersion), 'NONE')
  return producer
}

function end(world: World, { producerId, producerEpoch }: ProducerReply, committed: boolean, clientVersion = 2): Promise<ProducerReply> {
  return world.transactions.end({ transactionalId: 'tx', producerId, producerEpoch, committed, clientVersion })
}

function fates(world: World): string {
  return ALL.map((name) => world.log(name).fates()).join('')
}

suite('a transaction', () => {
  for (const committed of [true, false]) {
    test(`${committed ? 'commits' : 'aborts'} in all its partitions, and the next one has a new epoch`, async () => {
      const world = new World()
      const producer = await begin(world)
      const reply = await end(world, producer, committed)
      assert.deepEqual(reply, { errorCode: KafkaError.NONE, producerId: producer.producerId, producerEpoch: 1 })
      assert.equal(fates(world), (committed ? 'c' : 'a').repeat(4))
      assert.deepEqual(world.history('tx'), ['Empty', 'Ongoing', ...(committed ? ['PrepareCommit', 'CompleteCommit'] : ['PrepareAbort', 'CompleteAbort'])])
      // Retried, because the answer was lost.
      assert.deepEqual(await end(world, producer, committed), reply)
      isError(await world.write('tx', producer, ['orders/0']), 'PRODUCER_FENCED')
      isError(await world.write('tx', reply, ['orders/0']), 'NONE')
    })
  }

  test('of an older client keeps its epoch', async () => {
    const world = new World()
    const producer = await begin(world, ALL, 0)
    assert.equal((await end(world, producer, true, 0)).producerEpoch, 0)
    isError(await world.write('tx', producer, ['orders/1']), 'NONE')
    isError((await end(world, producer, false, 0)).errorCode, 'NONE')
    assert.equal(world.log('orders/1').fates(), 'ca')
  })

  test('ends in one turn, and is answered when the last record of it is durable', async () => {
    const world = new World()
    const producer = await begin(world)
    world.lane.hold = true
    const before = world.lane.appended.length
    let answered = false
    const ending = end(world, producer, true).finally(() => (answered = true))
    await Promise.resolve()
    await Promise.resolve()
    assert.equal(world.lane.appended.length - before, 1 + ALL.length + 1)
    assert.deepEqual([world.lane.appended[before], world.lane.appended.at(-1)], [world.states[0], world.states[0]])
    for (let count = before; count < world.lane.appended.length; count++) {
      world.lane.release(count)
      await world.env.advance(0)
      assert.equal(answered, false)
    }
    world.lane.release()
    isError((await ending).errorCode, 'NONE')
  })

  test('that is not durable has others wait: ends, inits, partitions', async () => {
    const world = new World()
    const producer = await begin(world)
    world.lane.hold = true
    const ending = end(world, producer, true)
    await world.env.advance(0)
    isError((await end(world, producer, true)).errorCode, 'CONCURRENT_TRANSACTIONS')
    isError((await init(world)).errorCode, 'CONCURRENT_TRANSACTIONS')
    const next = { producerId: producer.producerId, producerEpoch: producer.producerEpoch + 1 }
    isError(await world.transactions.addPartitions('tx', next, new Map([['orders', new Set([0])]]), 2), 'CONCURRENT_TRANSACTIONS')
    world.lane.release()
    isError((await ending).errorCode, 'NONE')
  })

  test('whose store does not answer is given up by the client, and is there when it does', async () => {
    const world = new World()
    const producer = await begin(world)
    world.lane.hold = true
    const ending = end(world, producer, true)
    await world.env.advance(25_000)
    isError((await ending).errorCode, 'COORDINATOR_NOT_AVAILABLE')
    world.lane.release()
    isError((await end(world, producer, true)).errorCode, 'NONE')
    assert.equal(fates(world), 'cccc')
  })

  test('passes over partitions that are gone, and those that know a newer epoch', async () => {
    const world = new World()
    const producer = await begin(world)
    world.logs.delete('users/0')
    world.log('orders/1').appendMarker({ ...producer, producerEpoch: 9, coordinatorEpoch: 0, committed: false })
    isError((await end(world, producer, true)).errorCode, 'NONE')
    assert.equal(world.log('orders/0').fates(), 'c')
    assert.equal(world.log('orders/1').fates(), 'a')
    assert.equal(world.history('tx').at(-1), 'CompleteCommit')
  })

  test('that is committed without a partition is an error, and aborted without one is not', async () => {
    const world = new World()
    const producer = await init(world)
    isError((await end(world, producer, true)).errorCode, 'INVALID_TXN_STATE')
    const reply = await end(world, producer, false)
    assert.deepEqual([reply.errorCode, reply.producerEpoch], [KafkaError.NONE, 1])
  })
})

suite('group offsets', () => {
  test('that have to be loaded get their marker before the transaction is said to be over', async () => {
    const world = new World()
    const producer = await begin(world)
    world.offsetsLoaded = false
    const ending = end(world, producer, true)
    await world.env.advance(0)
    assert.equal(world.history('tx').at(-1), 'PrepareCommit')
    isError((await end(world, producer, true)).errorCode, 'CONCURRENT_TRANSACTIONS')
    await world.env.advance(50)
    isError((await ending).errorCode, 'NONE')
    assert.equal(fates(world), 'cccc')
    assert.equal(world.history('tx').at(-1), 'CompleteCommit')
  })

  test('that cannot be loaded are tried again', async () => {
    const world = new World()
    const producer = await begin(world)
    world.offsetsLoaded = false
    world.offsetsError = KafkaError.COORDINATOR_LOAD_IN_PROGRESS
    const ending = end(world, producer, true)
    await world.env.advance(10_000)
    assert.equal(world.log(`${OFFSETS}/3`).fates(), 'o')
    world.offsetsError = KafkaError.NONE
    await world.env.advance(1_000)
    isError((await ending).errorCode, 'NONE')
    assert.equal(fates(world), 'cccc')
  })
})

suite('after a crash', () => {
  for (const committed of [true, false]) {
    for (const offsetsLoaded of [true, false]) {
      // Prepare…, four markers, Complete…
      for (let durable = 0; durable <= 6; durable++) {
        test(`${durable} of the records of ${committed ? 'a commit' : 'an abort'}${offsetsLoaded ? '' : ', with offsets to be loaded'}`, async () => {
          const world = new World()
          const producer = await begin(world)
          world.lane.hold = true
          const before = world.lane.appended.length
          void end(world, producer, committed)
          await world.env.advance(0)
          assert.equal(world.lane.appended.length - before, 6)
          world.lane.release(before + durable)
          world.offsetsLoaded = offsetsLoaded
          await world.restart()
          await world.env.advance(100)
          const fate = durable === 0 ? 'o' : committed ? 'c' : 'a'
          assert.equal(fates(world), fate.repeat(4))
          // The client asks again: the first answer was lost with the connection.
          const ending = end(world, producer, committed)
          await world.env.advance(100)
          const reply = await ending
          assert.deepEqual([reply.errorCode, reply.producerEpoch], [KafkaError.NONE, 1])
          assert.equal(fates(world), (committed ? 'c' : 'a').repeat(4))
          assert.deepEqual(world.warnings, [])
        })
      }
    }
  }

  test('the end goes on when the process dies again while it goes on', async () => {
    const world = new World()
    const producer = await begin(world)
    world.lane.hold = true
    const before = world.lane.appended.length
    void end(world, producer, true)
    await world.env.advance(0)
    world.lane.release(before + 2)
    world.offsetsLoaded = false
    world.offsetsError = KafkaError.COORDINATOR_NOT_AVAILABLE
    await world.restart()
    await world.env.advance(2_000)
    assert.equal(world.history('tx').at(-1), 'PrepareCommit')
    world.offsetsError = KafkaError.NONE
    await world.restart()
    await world.env.advance(1_000)
    assert.equal(fates(world), 'cccc')
    assert.equal(world.history('tx').at(-1), 'CompleteCommit')
  })

  test('what was open is still open, and goes on', async () => {
    const world = new World()
    const producer = await begin(world, ['orders/0'])
    await world.restart()
    isError(world.transactions.admit({ transactionalId: 'tx', ...producer, topic: 'orders', partition: 0, adds: false }), 'NONE')
    isError(await world.write('tx', producer, ['users/0']), 'NONE')
    isError((await end(world, producer, true)).errorCode, 'NONE')
    assert.equal(world.log('orders/0').fates() + world.log('users/0').fates(), 'cc')
  })

  test('a partition is tried again until it can be read, and meanwhile writes are put off', async () => {
    const world = new World()
    const producer = await begin(world, ['orders/0'])
    world.openFails = true
    await world.restart()
    isError(world.transactions.admit({ transactionalId: 'tx', ...producer, topic: 'orders', partition: 0, adds: true }), 'COORDINATOR_LOAD_IN_PROGRESS')
    isError((await end(world, producer, true)).errorCode, 'COORDINATOR_NOT_AVAILABLE')
    world.openFails = false
    await world.env.advance(2_000)
    isError(world.transactions.admit({ transactionalId: 'tx', ...producer, topic: 'orders', partition: 0, adds: true }), 'NONE')
  })
})

suite('fencing', () => {
  test('a new producer aborts what the one before has open, and gets an epoch above it', async () => {
    const world = new World()
    const old = await begin(world)
    isError((await init(world)).errorCode, 'CONCURRENT_TRANSACTIONS')
    assert.equal(fates(world), 'aaaa')
    const young = await init(world)
    assert.deepEqual([young.errorCode, young.producerId, young.producerEpoch], [KafkaError.NONE, old.producerId, 2])
    isError((await end(world, old, true, 0)).errorCode, 'PRODUCER_FENCED')
    isError((await end(world, old, true, 2)).errorCode, 'PRODUCER_FENCED')
    isError(await world.write('tx', old, ['orders/0']), 'PRODUCER_FENCED')
    assert.equal(world.log('orders/0').write(old.producerId, old.producerEpoch).kind, 'staleProducerEpoch')
  })

  test('two producers that come at once are told apart', async () => {
    const world = new World()
    world.lane.hold = true
    const first = init(world)
    await world.env.advance(0)
    isError((await init(world)).errorCode, 'CONCURRENT_TRANSACTIONS')
    world.lane.hold = false
    world.lane.release()
    assert.equal((await first).producerEpoch, 0)
    assert.equal((await init(world)).producerEpoch, 1)
  })

  test('when there are no producer ids, a new id has to wait', async () => {
    const world = new World()
    world.hasIds = false
    isError((await init(world)).errorCode, 'COORDINATOR_NOT_AVAILABLE')
    world.hasIds = true
    isError((await init(world)).errorCode, 'NONE')
  })

  test('a timeout that is none, or too long, and an id that is empty', async () => {
    const world = new World()
    for (const timeoutMs of [0, -1, 900_001]) isError((await init(world, 'tx', timeoutMs)).errorCode, 'INVALID_TRANSACTION_TIMEOUT')
    isError((await init(world, 'tx', 900_000)).errorCode, 'NONE')
    isError((await init(world, '')).errorCode, 'INVALID_REQUEST')
  })

  test('a broker that no longer leads says so', async () => {
    const world = new World()
    const producer = await begin(world)
    world.lane.fenced = true
    isError((await end(world, producer, true)).errorCode, 'NOT_COORDINATOR')
    assert.equal(world.warnings.length, 1)
    const other = new World()
    const waiting = await begin(other)
    other.lane.hold = true
    const ending = end(other, waiting, true)
    await other.env.advance(0)
    for (const log of other.states) log.fence()
    isError((await ending).errorCode, 'NOT_COORDINATOR')
  })
})

suite('admission of writes', () => {
  const write = { transactionalId: 'tx', topic: 'orders', partition: 1 }

  test('adds a partition before the caller appends, once', async () => {
    const world = new World()
    const producer = await init(world)
    world.lane.hold = true
    isError(world.transactions.admit({ ...write, ...producer, adds: true }), 'NONE')
    assert.equal(world.lane.appended.at(-1), world.states[0])
    const { length } = world.lane.appended
    isError(world.transactions.admit({ ...write, ...producer, adds: true }), 'NONE')
    assert.equal(world.lane.appended.length, length)
    // Others do not have to wait until that is durable.
    isError(world.transactions.admit({ ...write, ...producer, partition: 0, adds: true }), 'NONE')
    // But whoever hears of it does.
    let heard = false
    const adding = world.transactions.addPartitions('tx', producer, new Map([['orders', new Set([1])]]), 2).finally(() => (heard = true))
    await world.env.advance(0)
    assert.equal(heard, false)
    world.lane.release()
    isError(await adding, 'NONE')
  })

  test('adds many partitions with one record', async () => {
    const world = new World()
    const producer = await init(world)
    const { length } = world.lane.appended
    isError(world.transactions.admitAll('tx', producer, new Map([['orders', new Set([0, 1])], ['users', new Set([0])]])), 'NONE')
    isError(world.transactions.admit({ ...write, ...producer, adds: true }), 'NONE')
    assert.equal(world.lane.appended.length, length + 1)
  })

  test('without adding says whether the partition is part of it', async () => {
    const world = new World()
    const producer = await begin(world, ['orders/0'])
    isError(world.transactions.admit({ ...write, ...producer, adds: false }), 'TRANSACTION_ABORTABLE')
    isError(world.transactions.admit({ ...write, ...producer, partition: 0, adds: false }), 'NONE')
    assert.deepEqual(await world.transactions.verify('tx', producer, 'orders', [0, 1]), [KafkaError.NONE, KafkaError.TRANSACTION_ABORTABLE])
  })

  test('knows producers by id and epoch', async () => {
    const world = new World()
    const producer = await init(world)
    isError(world.transactions.admit({ ...write, ...producer, producerEpoch: 5, adds: true }), 'PRODUCER_FENCED')
    isError(world.transactions.admit({ ...write, ...producer, producerId: 5, adds: true }), 'INVALID_PRODUCER_ID_MAPPING')
    isError(world.transactions.admit({ ...write, ...producer, transactionalId: 'other', adds: true }), 'INVALID_PRODUCER_ID_MAPPING')
  })

  test('creates no topic for those that ask for what is not there', async () => {
    const world = new World()
    world.exists = false
    const nobody = { producerId: 1, producerEpoch: 0 }
    isError(world.transactions.admit({ ...write, ...nobody, adds: true }), 'INVALID_PRODUCER_ID_MAPPING')
    isError((await end(world, { errorCode: 0, ...nobody }, true)).errorCode, 'INVALID_PRODUCER_ID_MAPPING')
    assert.equal(await world.transactions.describe('tx'), KafkaError.TRANSACTIONAL_ID_NOT_FOUND)
    assert.deepEqual((await world.transactions.list()).transactions, [])
    assert.equal(world.exists, false)
    isError((await init(world)).errorCode, 'NONE')
    assert.equal(world.exists, true)
  })
})

test('metrics tell how transactions ended, and how many are open', async () => {
  const world = new World()
  world.transactions.start()
  const first = await begin(world)
  assert.equal(world.transactions.openCount, 1)
  const second = await end(world, first, true)
  assert.equal(world.transactions.openCount, 0)
  await end(world, second, false)
  assert.deepEqual(world.ends, ['committed'], 'the second one had not begun')
  const third = await begin(world)
  await end(world, third, false)
  await begin(world)
  await init(world)
  await begin(world)
  await world.env.advance(MINUTE + 10_000)
  assert.deepEqual(world.ends, ['committed', 'aborted', 'fenced', 'timed-out'])
})

suite('time', () => {
  test('aborts what is open for too long, and fences its producer', async () => {
    const world = new World()
    world.transactions.start()
    const producer = await begin(world)
    await world.env.advance(MINUTE)
    assert.equal(fates(world), 'oooo')
    await world.env.advance(10_000)
    assert.equal(fates(world), 'aaaa')
    isError((await end(world, producer, true)).errorCode, 'INVALID_TXN_STATE')
    isError((await end(world, producer, true, 0)).errorCode, 'PRODUCER_FENCED')
    assert.equal((await init(world)).producerEpoch, 2)
  })

  test('goes on over a restart', async () => {
    const world = new World()
    await begin(world)
    await world.env.advance(40_000)
    await world.restart()
    await world.env.advance(40_000)
    assert.equal(fates(world), 'aaaa')
  })

  test('forgets ids that nobody uses, and what is open is used', async () => {
    const world = new World()
    world.transactions.start()
    isError((await init(world, 'idle')).errorCode, 'NONE')
    await world.env.advance(3 * 24 * 3_600_000)
    isError((await init(world, 'later')).errorCode, 'NONE')
    await world.env.advance(4 * 24 * 3_600_000 + 3_600_000)
    assert.deepEqual(world.history('idle'), ['Empty', 'gone'])
    assert.equal(await world.transactions.describe('idle'), KafkaError.TRANSACTIONAL_ID_NOT_FOUND)
    assert.equal(typeof (await world.transactions.describe('later')), 'object')
    await world.restart()
    assert.equal(await world.transactions.describe('idle'), KafkaError.TRANSACTIONAL_ID_NOT_FOUND)
    assert.equal((await init(world, 'idle')).producerEpoch, 0)
  })
})

suite('what administrators see', () => {
  test('ids with their states and partitions, over all partitions of the topic', async () => {
    const world = new World({ partitions: 5 })
    await begin(world, ['orders/0', 'users/0'])
    for (const id of ['a', 'b', 'c']) isError((await init(world, id)).errorCode, 'NONE')
    const described = await world.transactions.describe('tx')
    assert.ok(typeof described === 'object')
    assert.deepEqual([described.state, described.timeoutMs, described.partitions], ['Ongoing', MINUTE, new Map([['orders', new Set([0])], ['users', new Set([0])]])])
    const { transactions } = await world.transactions.list()
    assert.deepEqual(transactions.map(({ transactionalId, state }) => `${transactionalId} ${state}`).sort(), ['a Empty', 'b Empty', 'c Empty', 'tx Ongoing'])
    assert.equal(await world.transactions.describe(''), KafkaError.INVALID_REQUEST)
    assert.ok(world.states.filter(({ batches }) => batches.length > 0).length > 1)
  })

  test('a transaction that hangs is ended by a marker', async () => {
    const world = new World()
    const log = world.log('orders/0')
    log.write(77, 0)
    const marker = { producerId: 77, producerEpoch: 0, coordinatorEpoch: 0, committed: false }
    isError(await world.transactions.writeMarker('orders', 0, marker), 'NONE')
    assert.equal(log.fates(), 'a')
    isError(await world.transactions.writeMarker('nothing', 0, marker), 'UNKNOWN_TOPIC_OR_PARTITION')
    log.appendMarker({ ...marker, producerEpoch: 3 })
    isError(await world.transactions.writeMarker('orders', 0, marker), 'INVALID_PRODUCER_EPOCH')
    isError(await world.transactions.writeMarker(OFFSETS, 3, marker), 'NONE')
  })
})
