/** The bytes that consumers put into the classic protocol. What is expected was written by ConsumerProtocol of kafka-clients 4.3.1. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeAssignment, decodeSubscription, encodeAssignment, subscribedTopics, subscriptionVersion } from '../../src/groups/consumer-protocol.ts'

const KAFKA = {
  subscriptions: [
    '00000000000200066f726465727300057573657273000000027564',
    '00010000000200066f7264657273000575736572730000000275640000000200066f7264657273000000020000000100000003000575736572730000000100000000',
    '00020000000200066f7264657273000575736572730000000275640000000200066f726465727300000002000000010000000300057573657273000000010000000000000007',
    '00030000000200066f7264657273000575736572730000000275640000000200066f72646572730000000200000001000000030005757365727300000001000000000000000700067261636b2d31',
  ],
  bareSubscription: '00030000000100066f7264657273ffffffff00000000ffffffffffff',
  assignment: '00000000000200066f7264657273000000020000000100000003000575736572730000000100000000ffffffff',
  assignmentV3: '00030000000200066f7264657273000000020000000100000003000575736572730000000100000000ffffffff',
  customAssignment: '00010000000200066f7264657273000000020000000100000003000575736572730000000100000000000000027564',
}
const OWNED = [
  { topic: 'orders', partitions: [1, 3] },
  { topic: 'users', partitions: [0] },
]

test('subscriptions of all versions are read', () => {
  for (const [version, hex] of KAFKA.subscriptions.entries()) {
    const bytes = Buffer.from(hex, 'hex')
    const { userData, ...rest } = decodeSubscription(bytes)
    assert.equal(Buffer.from(userData ?? []).toString(), 'ud')
    assert.deepEqual(rest, {
      topics: ['orders', 'users'],
      ownedPartitions: version >= 1 ? OWNED : [],
      generation: version >= 2 ? 7 : -1,
      rackId: version >= 3 ? 'rack-1' : null,
    })
    assert.equal(subscriptionVersion(bytes), version)
    assert.deepEqual(subscribedTopics(bytes), ['orders', 'users'])
  }
  const bare = decodeSubscription(Buffer.from(KAFKA.bareSubscription, 'hex'))
  assert.deepEqual(bare, { topics: ['orders'], userData: null, ownedPartitions: [], generation: -1, rackId: null })
})

test('a subscription of a version from the future is read as the newest known', () => {
  const future = Buffer.from(`0009${KAFKA.subscriptions[3]!.slice(4)}ffff`, 'hex')
  assert.equal(decodeSubscription(future).rackId, 'rack-1')
  assert.equal(subscriptionVersion(future), 3)
})

test('topics are read from a subscription whose rest is cut off; the whole is refused', () => {
  const cut = Buffer.from(KAFKA.subscriptions[2]!, 'hex').subarray(0, 30)
  assert.deepEqual(subscribedTopics(cut), ['orders', 'users'])
  assert.throws(() => decodeSubscription(cut), { name: 'ProtocolError' })
  for (const bytes of [Buffer.alloc(0), Buffer.from('x'), Buffer.from('ffff00000000', 'hex'), Buffer.from('00007fffffff', 'hex')]) {
    assert.throws(() => subscribedTopics(bytes), { name: 'ProtocolError' })
  }
})

test('assignments are written and read as Kafka does it', () => {
  assert.equal(Buffer.from(encodeAssignment(0, OWNED)).toString('hex'), KAFKA.assignment)
  assert.equal(Buffer.from(encodeAssignment(3, OWNED)).toString('hex'), KAFKA.assignmentV3)
  assert.deepEqual(decodeAssignment(Buffer.from(KAFKA.assignmentV3, 'hex')), { assignedPartitions: OWNED, userData: null })
  assert.equal(decodeAssignment(Buffer.from(KAFKA.customAssignment, 'hex')).userData?.length, 2)
})
