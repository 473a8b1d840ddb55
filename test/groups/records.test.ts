import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeGroupRecord, groupRecord, offsetRecord, partitionOfGroup } from '../../src/groups/records.ts'
import type { CommittedOffset } from '../../src/groups/records.ts'
import type { GroupMetadata } from '../../src/groups/types.ts'

/**
 * Bytes that Apache Kafka 4.3.1 wrote: the records of GroupCoordinatorRecordHelpers through GroupCoordinatorRecordSerde
 * (`org.apache.kafka:kafka-group-coordinator:4.3.1`), and the generated value classes for the versions that only older brokers write.
 */
const KAFKA = {
  commit: [
    '000100076772c3bc70706500066f726465727300000007',
    '00040000011f71fb04cb0000002a096d65746120e29c930000018bcfe5680001001001b09d11f1a12232a53273a942b4ad53',
  ],
  commitWithoutTopicId: ['000100016700017400000000', '00040000000000000000ffffffff010000018bcfe5680100'],
  commitWithExpiry: ['000100016700017400000001', '0001000000000000000500016d0000018bcfe568010000018bcfee8fc1'],
  commitTombstone: ['000100016700017400000001', null],
  group: [
    '00020003677270',
    '00030008636f6e73756d65720000000c000572616e676500036d2d310000018bcfe568050000000100036d2d310004696e73740006636c69656e7400092f31302e302e302e310000ea6000002710000000040000000100000003010203',
  ],
  emptyGroup: ['00020003677270', '0003000000000000ffffffff0000018bcfe5680400000000'],
  groupTombstone: ['00020003677270', null],
} as const

const OFFSET_VALUES_V0_TO_V3 = [
  '000000000000000000630001780000018bcfe56802',
  '000100000000000000630001780000018bcfe56802ffffffffffffffff',
  '000200000000000000630001780000018bcfe56802',
  '00030000000000000063000000080001780000018bcfe56802',
]

const GROUP_VALUES_V0_TO_V4 = [
  '00000008636f6e73756d657200000003000572616e67650003632d31000000020003632d31000163000a2f3132372e302e302e310000afc8000000030001020000000209080003632d3200016300042f3a3a31000027100000000000000000',
  '00010008636f6e73756d657200000003000572616e67650003632d31000000020003632d31000163000a2f3132372e302e302e310000ea600000afc8000000030001020000000209080003632d3200016300042f3a3a31000493e0000027100000000000000000',
  '00020008636f6e73756d657200000003000572616e67650003632d310000018bcfe56803000000020003632d31000163000a2f3132372e302e302e310000ea600000afc8000000030001020000000209080003632d3200016300042f3a3a31000493e0000027100000000000000000',
  '00030008636f6e73756d657200000003000572616e67650003632d310000018bcfe56803000000020003632d310003692d31000163000a2f3132372e302e302e310000ea600000afc8000000030001020000000209080003632d32ffff00016300042f3a3a31000493e0000027100000000000000000',
  '000409636f6e73756d6572000000030672616e676504632d310000018bcfe568030304632d3104692d3102630b2f3132372e302e302e310000ea600000afc8040001020309080004632d32000263052f3a3a31000493e00000271001010000',
]

const NO_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA'

const commit: CommittedOffset = {
  offset: 1234567890123,
  leaderEpoch: 42,
  metadata: 'meta ✓',
  commitTimestampMs: 1700000000000,
  expireTimestampMs: -1,
  topicId: 'AbCdEfGhIjKlMnOpQrStUw',
}

const group: GroupMetadata = {
  protocolType: 'consumer',
  generation: 12,
  protocol: 'range',
  leader: 'm-1',
  phaseChangedAtMs: 1700000000005,
  members: [
    {
      memberId: 'm-1',
      instanceId: 'inst',
      clientId: 'client',
      clientHost: '/10.0.0.1',
      rebalanceTimeoutMs: 60000,
      sessionTimeoutMs: 10000,
      subscription: Uint8Array.of(0, 0, 0, 1),
      assignment: Uint8Array.of(1, 2, 3),
    },
  ],
}

test('records have the bytes that Kafka writes', () => {
  assert.deepEqual(hexOf(offsetRecord('grüppe', 'orders', 7, commit)), KAFKA.commit)
  const bare = { offset: 0, leaderEpoch: -1, metadata: '', commitTimestampMs: 1700000000001, expireTimestampMs: -1, topicId: NO_TOPIC_ID }
  assert.deepEqual(hexOf(offsetRecord('g', 't', 0, bare)), KAFKA.commitWithoutTopicId)
  const expiring = { ...bare, offset: 5, leaderEpoch: 3, metadata: 'm', expireTimestampMs: 1700000600001 }
  assert.deepEqual(hexOf(offsetRecord('g', 't', 1, expiring)), KAFKA.commitWithExpiry)
  assert.deepEqual(hexOf(offsetRecord('g', 't', 1, null)), KAFKA.commitTombstone)
  assert.deepEqual(hexOf(groupRecord('grp', group)), KAFKA.group)
  const empty = { protocolType: '', generation: 0, protocol: null, leader: null, phaseChangedAtMs: 1700000000004, members: [] }
  assert.deepEqual(hexOf(groupRecord('grp', empty)), KAFKA.emptyGroup)
  assert.deepEqual(hexOf(groupRecord('grp', null)), KAFKA.groupTombstone)
})

test('records that Kafka wrote are read', () => {
  assert.deepEqual(read(KAFKA.commit), { kind: 'offset', group: 'grüppe', topic: 'orders', partition: 7, value: commit })
  assert.deepEqual(read(KAFKA.commitTombstone), { kind: 'offset', group: 'g', topic: 't', partition: 1, value: null })
  assert.deepEqual(read(KAFKA.group), { kind: 'group', group: 'grp', value: group })
  assert.deepEqual(read(KAFKA.groupTombstone), { kind: 'group', group: 'grp', value: null })
})

test('offsets of all older versions are read', () => {
  const expected = { offset: 99, leaderEpoch: -1, metadata: 'x', commitTimestampMs: 1700000000002, expireTimestampMs: -1, topicId: NO_TOPIC_ID }
  for (const [version, value] of OFFSET_VALUES_V0_TO_V3.entries()) {
    const record = read([KAFKA.commitTombstone[0], value])
    assert.ok(record?.kind === 'offset')
    assert.deepEqual(record.value, { ...expected, leaderEpoch: version === 3 ? 8 : -1 }, `version ${version}`)
  }
})

test('groups of all versions are read', () => {
  for (const [version, value] of GROUP_VALUES_V0_TO_V4.entries()) {
    const record = read([KAFKA.group[0], value])
    assert.ok(record?.kind === 'group' && record.value !== null)
    assert.equal(record.value.phaseChangedAtMs, version >= 2 ? 1700000000003 : -1)
    assert.deepEqual(record.value.members[0], {
      memberId: 'c-1',
      instanceId: version >= 3 ? 'i-1' : null,
      clientId: 'c',
      clientHost: '/127.0.0.1',
      rebalanceTimeoutMs: version >= 1 ? 60000 : -1,
      sessionTimeoutMs: 45000,
      subscription: Uint8Array.of(0, 1, 2),
      assignment: Uint8Array.of(9, 8),
    })
    assert.equal(record.value.members[1]?.memberId, 'c-2')
  }
})

test('keys of other kinds of groups are passed over, damaged ones are an error', () => {
  assert.equal(decodeGroupRecord(Buffer.from('000b000167', 'hex'), null), null)
  assert.throws(() => decodeGroupRecord(Buffer.from('000100ff', 'hex'), null))
  assert.throws(() => read([KAFKA.group[0], '0005']))
})

test('a group belongs to the partition that Kafka puts it on', () => {
  const partitions = { '': 0, g: 3, 'my-group': 12, grüppe: 12, 'console-consumer-12345': 6, 'kafka ✓ 😀': 40, polygenelubricants: 0 }
  for (const [id, partition] of Object.entries(partitions)) assert.equal(partitionOfGroup(id, 50), partition, id)
})

function hexOf({ key, value }: { key: Uint8Array; value: Uint8Array | null }): [string, string | null] {
  return [Buffer.from(key).toString('hex'), value === null ? null : Buffer.from(value).toString('hex')]
}

function read([key, value]: readonly [string, string | null]): ReturnType<typeof decodeGroupRecord> {
  return decodeGroupRecord(Buffer.from(key, 'hex'), value === null ? null : Buffer.from(value, 'hex'))
}
