import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newConsumerGroup } from '../../../src/groups/consumer/membership.ts'
import {
  consumerGroupFrom,
  consumerTombstones,
  groupEpochRecord,
  memberRecord,
  positionRecord,
  regexRecord,
  targetEpochRecord,
  targetRecord,
} from '../../../src/groups/consumer/records.ts'
import { decodeGroupRecord } from '../../../src/groups/records.ts'
import type { RecordBytes } from '../../../src/groups/records.ts'

/**
 * Bytes that Apache Kafka 4.3.1 wrote: its record classes through GroupCoordinatorRecordSerde
 * (`org.apache.kafka:kafka-group-coordinator:4.3.1`).
 */
const KAFKA = {
  group: ['00030003677270', '0000000000070100080000001cbe991a14'],
  groupTombstone: ['00030003677270', null],
  member: [
    '0005000367727000036d2d31',
    '000005696e73740007636c69656e740a2f31302e302e302e3103076f7264657273067573657273000000ea600672616e676500',
  ],
  classicMember: [
    '0005000367727000036d2d32',
    '00000002720263032f6801066f72642e2a0000000100010012010000afc8020672616e6765040102030000',
  ],
  memberTombstone: ['0005000367727000036d2d31', null],
  targetEpoch: ['00060003677270', '0000000000070100080000018bcfe56805'],
  target: ['0007000367727000036d2d31', '000002b09d11f1a12232a53273a942b4ad5300040000000000000001000000050000'],
  targetTombstone: ['0007000367727000036d2d31', null],
  position: [
    '0008000367727000036d2d31',
    '000000000006000000050102b09d11f1a12232a53273a942b4ad530003000000000000000101000903000000030000000602b09d11f1a12232a53273a942b4ad53000200000009010005020000000200',
  ],
  positionWithoutEpochs: [
    '0008000367727000036d2d31',
    '000000000006000000050202b09d11f1a12232a53273a942b4ad5300030000000000000001000100',
  ],
  positionTombstone: ['0008000367727000036d2d31', null],
  regex: ['0010000367727000056f72642e2a', '000002076f726465727300000000000000030000018bcfe5680600'],
  regexTombstone: ['0010000367727000056f72642e2a', null],
} as const

const TOPIC = 'sJ0R8aEiMqUyc6lCtK1TAA'
const NOW = { monotonicMs: 1_000, wallMs: 1_700_000_000_000 }
const LIMITS = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, maxSize: 10, assignors: ['uniform'], upgrade: true, downgrade: true, classicMaxSize: 100 }

const member = {
  instanceId: 'inst',
  rackId: null,
  clientId: 'client',
  clientHost: '/10.0.0.1',
  topicNames: ['orders', 'users'],
  topicRegex: null,
  rebalanceTimeoutMs: 60000,
  assignor: 'range',
  classic: null,
}
const classicMember = {
  instanceId: null,
  rackId: 'r',
  clientId: 'c',
  clientHost: '/h',
  topicNames: [],
  topicRegex: 'ord.*',
  rebalanceTimeoutMs: 1,
  assignor: null,
  classic: { sessionTimeoutMs: 45000, supportedProtocols: [{ name: 'range', metadata: Uint8Array.of(1, 2, 3) }] },
}
const position = {
  epoch: 6,
  previousEpoch: 5,
  state: 'unrevoked',
  assigned: new Map([[TOPIC, new Map([[0, 3], [1, 6]])]]),
  revoking: new Map([[TOPIC, new Map([[9, 2]])]]),
} as const

test('records have the bytes that Kafka writes', () => {
  const group = { ...newConsumerGroup('grp'), epoch: 7, metadataHash: 123456789012, assignmentEpoch: 7 }
  assert.deepEqual(hexOf(groupEpochRecord(group)), KAFKA.group)
  assert.deepEqual(hexOf(memberRecord('grp', 'm-1', member)), KAFKA.member)
  assert.deepEqual(hexOf(memberRecord('grp', 'm-2', classicMember)), KAFKA.classicMember)
  assert.deepEqual(hexOf(memberRecord('grp', 'm-1', null)), KAFKA.memberTombstone)
  assert.deepEqual(hexOf(targetEpochRecord(group, 1700000000005)), KAFKA.targetEpoch)
  assert.deepEqual(hexOf(targetRecord('grp', 'm-1', new Map([[TOPIC, [0, 1, 5]]]))), KAFKA.target)
  assert.deepEqual(hexOf(targetRecord('grp', 'm-1', null)), KAFKA.targetTombstone)
  assert.deepEqual(hexOf(positionRecord('grp', 'm-1', position)), KAFKA.position)
  assert.deepEqual(hexOf(positionRecord('grp', 'm-1', null)), KAFKA.positionTombstone)
  const regex = { topics: ['orders'], version: 3, resolvedAtMs: 1700000000006 }
  assert.deepEqual(hexOf(regexRecord('grp', 'ord.*', regex)), KAFKA.regex)
  assert.deepEqual(hexOf(regexRecord('grp', 'ord.*', null)), KAFKA.regexTombstone)
})

test('a group is restored from the records that Kafka wrote', () => {
  const kinds = ['group', 'member', 'classicMember', 'targetEpoch', 'target', 'position', 'regex'] as const
  const group = consumerGroupFrom('grp', kinds.map((kind) => bytesOf(KAFKA[kind])), NOW, LIMITS)
  assert.ok(group !== null)
  assert.deepEqual([group.epoch, group.metadataHash, group.assignmentEpoch], [7, 123456789012, 7])
  assert.deepEqual(group.members.get('m-1')?.subscription, member)
  assert.deepEqual(group.members.get('m-1')?.position, position)
  assert.equal(group.members.get('m-1')?.sessionDeadlineMs, 46_000)
  assert.equal(group.members.get('m-1')?.revocationDeadlineMs, 61_000)
  assert.deepEqual(group.members.get('m-2')?.subscription, classicMember)
  assert.equal(group.members.get('m-2')?.position.epoch, 0)
  assert.deepEqual(group.staticMembers, new Map([['inst', 'm-1']]))
  assert.deepEqual(group.target, new Map([['m-1', new Map([[TOPIC, [0, 1, 5]]])]]))
  assert.deepEqual(group.owners, new Map([[TOPIC, new Map([[0, 'm-1'], [1, 'm-1'], [9, 'm-1']])]]))
  assert.deepEqual(group.regexes, new Map([['ord.*', { topics: ['orders'], version: 3, resolvedAtMs: 1700000000006 }]]))
  const without = consumerGroupFrom('grp', [KAFKA.group, KAFKA.member, KAFKA.positionWithoutEpochs].map(bytesOf), NOW, LIMITS)
  assert.deepEqual(without?.members.get('m-1')?.position.assigned, new Map([[TOPIC, new Map([[0, 0], [1, 0]])]]))
  assert.equal(without?.members.get('m-1')?.position.state, 'unreleased')
})

test('without the record of the group there is none', () => {
  assert.equal(consumerGroupFrom('grp', [bytesOf(KAFKA.member)], NOW, LIMITS), null)
  assert.throws(() => consumerGroupFrom('grp', [{ key: Buffer.from(KAFKA.group[0], 'hex'), value: Buffer.from('0009', 'hex') }], NOW, LIMITS))
})

test('tombstones cover everything that was written', () => {
  const kinds = ['group', 'member', 'classicMember', 'targetEpoch', 'target', 'position', 'regex'] as const
  const group = consumerGroupFrom('grp', kinds.map((kind) => bytesOf(KAFKA[kind])), NOW, LIMITS)
  assert.ok(group !== null)
  const tombstones = new Set(consumerTombstones(group).map((record) => {
    assert.equal(record.value, null)
    return hexOf(record)[0]
  }))
  for (const kind of kinds) assert.ok(tombstones.has(KAFKA[kind][0]), kind)
})

test('every kind is known to belong to its group', () => {
  for (const [key] of Object.values(KAFKA)) {
    assert.deepEqual(decodeGroupRecord(Buffer.from(key, 'hex'), null), { kind: 'consumer', group: 'grp' })
  }
})

function hexOf({ key, value }: RecordBytes): [string, string | null] {
  return [Buffer.from(key).toString('hex'), value === null ? null : Buffer.from(value).toString('hex')]
}

function bytesOf([key, value]: readonly [string, string | null]): RecordBytes {
  return { key: Buffer.from(key, 'hex'), value: value === null ? null : Buffer.from(value, 'hex') }
}
