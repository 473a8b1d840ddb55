/** The states of a transactional id, and what each request makes of them, by the rules of Kafka's coordinator. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { KafkaError } from '../../protocol/errors.ts'
import { TRANSACTION_STATES, completed, decideAdd, decideEnd, decideInit, fence, verify } from '../../src/transactions/transaction.ts'
import type { Decision, Transaction, TransactionState } from '../../src/transactions/transaction.ts'

const NOW = 5_000
const ME = { producerId: 7, producerEpoch: 3 }
const PARTITIONS = new Map([['orders', new Set([0, 2])]])

function known(change: Partial<Transaction> = {}): Transaction {
  return {
    transactionalId: 'tx',
    producerId: 7,
    previousProducerId: 7,
    nextProducerId: -1,
    producerEpoch: 3,
    lastProducerEpoch: 2,
    timeoutMs: 60_000,
    state: 'Empty',
    partitions: new Map(),
    startMs: -1,
    updatedMs: 1_000,
    clientVersion: 0,
    ...change,
  }
}

const ongoing = (change: Partial<Transaction> = {}): Transaction => known({ state: 'Ongoing', partitions: PARTITIONS, startMs: 2_000, ...change })

function next(decision: Decision): Transaction {
  assert.equal(decision.kind, 'become', JSON.stringify(decision))
  return (decision as { next: Transaction }).next
}

/** The name of the error, or the state to come, or the kind of the decision. */
function said(decision: Decision): string {
  if (decision.kind === 'become') return decision.next.state
  if (decision.kind !== 'refuse') return decision.kind
  return Object.entries(KafkaError).find(([, code]) => code === decision.errorCode)?.[0] ?? String(decision.errorCode)
}

suite('InitProducerId', () => {
  const init = (
    current: Transaction | null,
    options: { expected?: { producerId: number; producerEpoch: number }; busy?: boolean; freshId?: number } = {},
  ): Decision =>
    decideInit(current, { transactionalId: 'tx', timeoutMs: 9_000, expected: options.expected ?? null }, options.busy === true, NOW, options.freshId ?? null)

  test('a new id gets a producer id and epoch 0', () => {
    assert.equal(init(null).kind, 'needsProducerId')
    const made = next(init(null, { freshId: 40 }))
    assert.deepEqual([made.producerId, made.producerEpoch, made.state, made.timeoutMs, made.startMs], [40, 0, 'Empty', 9_000, -1])
  })

  test('every time after that the epoch goes up, and the one before is forgotten', () => {
    for (const state of ['Empty', 'CompleteCommit', 'CompleteAbort'] as const) {
      const made = next(init(known({ state, startMs: 3 })))
      assert.deepEqual([made.producerId, made.producerEpoch, made.lastProducerEpoch, made.state, made.timeoutMs, made.startMs], [7, 4, -1, 'Empty', 9_000, -1])
    }
  })

  test('an open transaction is aborted with a higher epoch', () => {
    const made = next(init(ongoing()))
    assert.deepEqual([made.state, made.producerEpoch, made.lastProducerEpoch, made.partitions], ['PrepareAbort', 4, 3, PARTITIONS])
  })

  test('one that is ending, or an id that is being initialised, has to be waited for', () => {
    assert.equal(said(init(known({ state: 'PrepareCommit' }))), 'CONCURRENT_TRANSACTIONS')
    assert.equal(said(init(known({ state: 'PrepareAbort' }))), 'CONCURRENT_TRANSACTIONS')
    assert.equal(said(init(known(), { busy: true })), 'CONCURRENT_TRANSACTIONS')
  })

  test('a producer that names itself goes on with the next epoch, its retry gets the same, and an older one is fenced (KIP-360)', () => {
    const made = next(init(known(), { expected: ME }))
    assert.deepEqual([made.producerEpoch, made.lastProducerEpoch], [4, 3])
    const again = next(init(made, { expected: ME }))
    assert.deepEqual([again.producerEpoch, again.lastProducerEpoch], [4, 3])
    assert.equal(said(init(made, { expected: { producerId: 7, producerEpoch: 2 } })), 'PRODUCER_FENCED')
    assert.equal(said(init(known(), { expected: { producerId: 8, producerEpoch: 3 } })), 'PRODUCER_FENCED')
    // Somebody else has initialised the id: what came before is fenced, whatever it knows.
    assert.equal(said(init(next(init(made)), { expected: { producerId: 7, producerEpoch: 4 } })), 'PRODUCER_FENCED')
  })

  test('when the epochs are used up there is a new producer id, and the old one may ask again for it', () => {
    const last = known({ producerEpoch: 32_766 })
    assert.equal(init(last).kind, 'needsProducerId')
    assert.equal(next(init(known({ producerEpoch: 32_765 }))).producerEpoch, 32_766)
    const made = next(init(last, { freshId: 41, expected: { producerId: 7, producerEpoch: 32_766 } }))
    assert.deepEqual([made.producerId, made.producerEpoch, made.previousProducerId], [41, 0, 7])
    const again = next(init(made, { expected: { producerId: 7, producerEpoch: 32_766 } }))
    assert.deepEqual([again.producerId, again.producerEpoch], [41, 0])
    assert.equal(said(init(made, { expected: { producerId: 7, producerEpoch: 32_000 } })), 'PRODUCER_FENCED')
  })

  test('the epoch that fences the last one is never given to anybody', () => {
    const aborted = completed(next(init(ongoing({ producerEpoch: 32_766 }))), NOW)
    assert.equal(aborted.producerEpoch, 32_767)
    assert.equal(next(init(aborted, { freshId: 42 })).producerId, 42)
    assert.equal(next(init(aborted, { freshId: 42, expected: { producerId: 7, producerEpoch: 32_766 } })).producerId, 42)
    assert.equal(next(fence(ongoing({ producerEpoch: 32_767 }), NOW)).producerEpoch, 32_767)
  })
})

suite('partitions become part of a transaction', () => {
  const add = (current: Transaction | null, partitions = PARTITIONS, producer = ME, busy = false): Decision =>
    decideAdd(current, producer, partitions, 2, busy, NOW)

  test('the first ones begin it', () => {
    for (const state of ['Empty', 'CompleteCommit', 'CompleteAbort'] as const) {
      const made = next(add(known({ state, startMs: 1 })))
      assert.deepEqual([made.state, made.startMs, made.updatedMs, made.clientVersion, made.partitions], ['Ongoing', NOW, NOW, 2, PARTITIONS])
    }
  })

  test('others join them, without a change of when it began', () => {
    const made = next(add(ongoing(), new Map([['orders', new Set([5])], ['users', new Set([1])]])))
    assert.deepEqual(made.partitions, new Map([['orders', new Set([0, 2, 5])], ['users', new Set([1])]]))
    assert.equal(made.startMs, 2_000)
    assert.deepEqual(PARTITIONS, new Map([['orders', new Set([0, 2])]]))
  })

  test('those that are part of it already change nothing', () => {
    assert.equal(said(add(ongoing(), new Map([['orders', new Set([2])]]))), 'done')
    // Nothing is part of one that is over.
    assert.equal(said(add(known({ state: 'CompleteCommit' }), new Map())), 'Ongoing')
  })

  test('not for others, and not while it ends', () => {
    assert.equal(said(add(null)), 'INVALID_PRODUCER_ID_MAPPING')
    assert.equal(said(add(ongoing(), PARTITIONS, { producerId: 8, producerEpoch: 3 })), 'INVALID_PRODUCER_ID_MAPPING')
    for (const producerEpoch of [2, 4]) assert.equal(said(add(ongoing(), PARTITIONS, { producerId: 7, producerEpoch })), 'PRODUCER_FENCED')
    assert.equal(said(add(known({ state: 'PrepareCommit' }))), 'CONCURRENT_TRANSACTIONS')
    assert.equal(said(add(known({ state: 'CompleteCommit' }), PARTITIONS, ME, true)), 'CONCURRENT_TRANSACTIONS')
  })

  test('what is asked of them without adding', () => {
    assert.equal(verify(ongoing(), ME, 'orders', 2), KafkaError.NONE)
    assert.equal(verify(ongoing(), ME, 'orders', 1), KafkaError.TRANSACTION_ABORTABLE)
    assert.equal(verify(known({ state: 'CompleteCommit' }), ME, 'orders', 2), KafkaError.TRANSACTION_ABORTABLE)
    assert.equal(verify(ongoing({ state: 'PrepareAbort' }), ME, 'orders', 2), KafkaError.CONCURRENT_TRANSACTIONS)
    assert.equal(verify(ongoing(), { producerId: 7, producerEpoch: 2 }, 'orders', 2), KafkaError.PRODUCER_FENCED)
    assert.equal(verify(ongoing(), { producerId: 8, producerEpoch: 3 }, 'orders', 2), KafkaError.INVALID_PRODUCER_ID_MAPPING)
    assert.equal(verify(null, ME, 'orders', 2), KafkaError.INVALID_PRODUCER_ID_MAPPING)
  })
})

suite('EndTxn up to v4', () => {
  const end = (current: Transaction | null, committed: boolean, producer = ME, busy = false): Decision =>
    decideEnd(current, { transactionalId: 'tx', ...producer, committed, clientVersion: 0 }, busy, NOW, null)

  test('keeps the epoch', () => {
    const prepared = next(end(ongoing(), true))
    assert.deepEqual([prepared.state, prepared.producerEpoch, prepared.partitions, prepared.startMs], ['PrepareCommit', 3, PARTITIONS, 2_000])
    const over = completed(prepared, NOW + 1)
    assert.deepEqual([over.state, over.producerEpoch, over.partitions.size, over.updatedMs], ['CompleteCommit', 3, 0, NOW + 1])
    assert.equal(completed(next(end(ongoing(), false)), NOW).state, 'CompleteAbort')
  })

  const answers: readonly [TransactionState, abort: string, commit: string][] = [
    ['Empty', 'INVALID_TXN_STATE', 'INVALID_TXN_STATE'],
    ['Ongoing', 'PrepareAbort', 'PrepareCommit'],
    ['PrepareCommit', 'INVALID_TXN_STATE', 'CONCURRENT_TRANSACTIONS'],
    ['PrepareAbort', 'CONCURRENT_TRANSACTIONS', 'INVALID_TXN_STATE'],
    ['CompleteCommit', 'INVALID_TXN_STATE', 'done'],
    ['CompleteAbort', 'done', 'INVALID_TXN_STATE'],
  ]
  for (const [state, abort, commit] of answers) {
    test(`${state}: abort ${abort}, commit ${commit}; others are fenced`, () => {
      assert.deepEqual([said(end(known({ state }), false)), said(end(known({ state }), true))], [abort, commit])
      for (const producerEpoch of [2, 4]) assert.equal(said(end(known({ state }), true, { producerId: 7, producerEpoch })), 'PRODUCER_FENCED')
      assert.equal(said(end(known({ state }), true, { producerId: 8, producerEpoch: 3 })), 'INVALID_PRODUCER_ID_MAPPING')
      assert.equal(said(end(known({ state }), true, ME, true)), 'CONCURRENT_TRANSACTIONS')
    })
  }

  test('an id that nobody knows', () => assert.equal(said(end(null, true)), 'INVALID_PRODUCER_ID_MAPPING'))
})

suite('EndTxn from v5 on (KIP-890)', () => {
  const end = (current: Transaction | null, committed: boolean, producer = ME, busy = false, freshId: number | null = null): Decision =>
    decideEnd(current, { transactionalId: 'tx', ...producer, committed, clientVersion: 2 }, busy, NOW, freshId)
  const BEFORE = { producerId: 7, producerEpoch: 2 }

  test('gives a new epoch, and the same to a retry', () => {
    const over = completed(next(end(ongoing(), true)), NOW)
    assert.deepEqual([over.state, over.producerId, over.producerEpoch, over.clientVersion], ['CompleteCommit', 7, 4, 2])
    assert.equal(said(end(over, true)), 'done')
    assert.equal(said(end(over, false)), 'INVALID_TXN_STATE')
  })

  // Kafka's table: by the epoch before (a retry), and by the current one.
  const answers: readonly [TransactionState, abortRetry: string, abort: string, commitRetry: string, commit: string][] = [
    ['Empty', 'PRODUCER_FENCED', 'PrepareAbort', 'PRODUCER_FENCED', 'INVALID_TXN_STATE'],
    ['Ongoing', 'PRODUCER_FENCED', 'PrepareAbort', 'PRODUCER_FENCED', 'PrepareCommit'],
    ['PrepareCommit', 'INVALID_TXN_STATE', 'PRODUCER_FENCED', 'CONCURRENT_TRANSACTIONS', 'PRODUCER_FENCED'],
    ['PrepareAbort', 'CONCURRENT_TRANSACTIONS', 'PRODUCER_FENCED', 'INVALID_TXN_STATE', 'PRODUCER_FENCED'],
    ['CompleteCommit', 'INVALID_TXN_STATE', 'PrepareAbort', 'done', 'INVALID_TXN_STATE'],
    ['CompleteAbort', 'done', 'PrepareAbort', 'INVALID_TXN_STATE', 'INVALID_TXN_STATE'],
  ]
  for (const [state, ...expected] of answers) {
    test(`${state}: ${expected.join(', ')}`, () => {
      const current = known({ state })
      assert.deepEqual([said(end(current, false, BEFORE)), said(end(current, false)), said(end(current, true, BEFORE)), said(end(current, true))], expected)
      for (const producerEpoch of [1, 4]) assert.equal(said(end(current, true, { producerId: 7, producerEpoch })), 'PRODUCER_FENCED')
      assert.equal(said(end(current, true, { producerId: 8, producerEpoch: 3 })), 'INVALID_PRODUCER_ID_MAPPING')
    })
  }

  test('an abort of what never began starts when it ends, and changes the epoch all the same', () => {
    const over = completed(next(end(known(), false)), NOW)
    assert.deepEqual([over.state, over.producerEpoch, over.startMs], ['CompleteAbort', 4, NOW])
  })

  test('while the end is not durable, its retry has to wait', () => {
    const over = completed(next(end(ongoing(), true)), NOW)
    assert.equal(said(end(over, true, ME, true)), 'CONCURRENT_TRANSACTIONS')
    assert.equal(said(end(over, true, BEFORE, true)), 'PRODUCER_FENCED')
  })

  test('the last epoch ends in a new producer id, and so does its retry', () => {
    const last = { producerId: 7, producerEpoch: 32_766 }
    assert.equal(end(ongoing(last), true, last).kind, 'needsProducerId')
    const prepared = next(end(ongoing(last), true, last, false, 50))
    // The markers still have the old id, and an epoch above everything that was given out.
    assert.deepEqual([prepared.producerId, prepared.producerEpoch, prepared.nextProducerId], [7, 32_767, 50])
    const over = completed(prepared, NOW)
    assert.deepEqual([over.producerId, over.producerEpoch, over.previousProducerId, over.nextProducerId], [50, 0, 7, -1])
    assert.equal(said(end(over, true, last)), 'done')
    assert.equal(said(end(over, true, { producerId: 7, producerEpoch: 32_765 })), 'INVALID_PRODUCER_ID_MAPPING')
  })

  test('whoever was fenced by time cannot commit, but may learn that it was aborted', () => {
    const aborted = completed(next(fence(ongoing(), NOW)), NOW)
    assert.equal(said(end(aborted, true)), 'INVALID_TXN_STATE')
    assert.equal(said(end(aborted, false)), 'done')
    assert.equal(said(decideEnd(aborted, { transactionalId: 'tx', ...ME, committed: true, clientVersion: 0 }, false, NOW, null)), 'PRODUCER_FENCED')
  })
})

test('the numbers of the states are Kafka\'s', () => {
  assert.deepEqual(Object.entries(TRANSACTION_STATES).map(([number, state]) => `${number} ${state}`), [
    '0 Empty', '1 Ongoing', '2 PrepareCommit', '3 PrepareAbort', '4 CompleteCommit', '5 CompleteAbort', '6 Dead', '7 PrepareEpochFence',
  ])
})
