/** Records of `__transaction_state` as Kafka's message definitions lay them out. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { decodeTransactionRecord, expiryRecord, transactionRecord } from '../../src/transactions/records.ts'
import type { Transaction } from '../../src/transactions/transaction.ts'

const TRANSACTION: Transaction = {
  transactionalId: 'tx-1',
  producerId: 7,
  previousProducerId: 6,
  nextProducerId: -1,
  producerEpoch: 3,
  lastProducerEpoch: -1,
  timeoutMs: 60_000,
  state: 'Ongoing',
  partitions: new Map([['t', new Set([1, 4])]]),
  startMs: 2,
  updatedMs: 5,
  clientVersion: 2,
}

const KEY = plain`0000 0004 74782d31`
/** Up to the partitions: producer id, epoch, timeout, state. */
const HEAD = plain`0000000000000007 0003 0000ea60 01`
/** Of the last change, and of the beginning. */
const TIMES = plain`0000000000000005 0000000000000002`

/** Hexadecimal digits without the blanks. */
function plain(strings: TemplateStringsArray, ...parts: readonly string[]): string {
  return String.raw(strings, ...parts).replaceAll(/\s/g, '')
}

function hex(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('hex')
}

suite('records of __transaction_state', () => {
  test('are written in version 1, with tagged fields', () => {
    const { key, value } = transactionRecord(TRANSACTION)
    assert.equal(hex(key), KEY)
    // Compact arrays and strings; of the tags, 0 is the previous producer id and 2 the version of the client's rules, and 1 has its default.
    const partitions = plain`02 0274 03 00000001 00000004 00`
    const tags = plain`02 00 08 0000000000000006 02 02 0002`
    assert.equal(hex(value), plain`0001 ${HEAD} ${partitions} ${TIMES} ${tags}`)
  })

  test('say null for the partitions of an id without a transaction', () => {
    const { value } = transactionRecord({ ...TRANSACTION, state: 'Empty', partitions: new Map(), previousProducerId: -1, clientVersion: 0, startMs: -1 })
    assert.equal(hex(value), plain`0001 0000000000000007 0003 0000ea60 00 00 0000000000000005 ffffffffffffffff 00`)
  })

  test('of version 0 are read', () => {
    const partitions = plain`00000001 0001 74 00000002 00000001 00000004`
    const value = Buffer.from(plain`0000 ${HEAD} ${partitions} ${TIMES}`, 'hex')
    const read = decodeTransactionRecord(Buffer.from(KEY, 'hex'), value)
    assert.deepEqual(read, { transactionalId: 'tx-1', transaction: { ...TRANSACTION, previousProducerId: -1, clientVersion: 0 } })
  })

  test('are read as they were written, in every state', () => {
    for (const state of ['Empty', 'Ongoing', 'PrepareCommit', 'PrepareAbort', 'CompleteCommit', 'CompleteAbort'] as const) {
      const transaction = { ...TRANSACTION, state, nextProducerId: 12, partitions: state === 'Empty' ? new Map() : TRANSACTION.partitions }
      const { key, value } = transactionRecord(transaction)
      assert.deepEqual(decodeTransactionRecord(key, value), { transactionalId: 'tx-1', transaction })
    }
  })

  test('delete with a null value', () => {
    const { key, value } = expiryRecord('tx-1')
    assert.deepEqual([hex(key), value], [KEY, null])
    assert.deepEqual(decodeTransactionRecord(key, value), { transactionalId: 'tx-1', transaction: null })
  })

  test('of other kinds are passed over, and those that nobody knows are refused', () => {
    assert.equal(decodeTransactionRecord(Buffer.from('00010000', 'hex'), null), null)
    const key = Buffer.from(KEY, 'hex')
    assert.throws(() => decodeTransactionRecord(key, Buffer.from(`0002${HEAD}`, 'hex')), /version 2/)
    assert.throws(() => decodeTransactionRecord(key, Buffer.from(plain`0000 ${HEAD.replace(/01$/, '63')} 00000000 ${TIMES}`, 'hex')), /status 99/)
    assert.throws(() => decodeTransactionRecord(key, Buffer.from(`0001${HEAD}`, 'hex')))
  })
})
