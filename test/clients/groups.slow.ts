/** Groups as their members and their operators see them: who reads what while members come, go, crash and return; static members; what admins are told. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { Consumer, MessagesStreamModes } from '@platformatic/kafka'
import { eventually } from '../support/broker.ts'
import { allClients, clients, kafkajs, kafkajsGroup, numbered, platformatic, platformaticAdmin, platformaticGroup, texts, unique } from './support/client.ts'
import type { Member, Outgoing } from './support/client.ts'
import { createTopic, sharedBroker } from './support/setup.ts'

const broker = sharedBroker('--group-min-session-timeout-ms', '1000')

async function produce(topic: string, messages: readonly Outgoing[]): Promise<void> {
  const sender = await clients[0]!.sender(broker.address())
  await sender.send(topic, messages)
  await sender.close()
}

async function topicOf(what: string, partitions: number): Promise<string> {
  const topic = unique(what)
  await createTopic(broker.address(), topic, partitions)
  return topic
}

function all(members: readonly Member[]): (string | null)[] {
  return texts(members.flatMap(({ seen }) => seen))
}

/** Every partition belongs to one of them, and nobody is without. */
function sharedBy(members: readonly Member[], partitions: number): boolean {
  const owned = members.map((member) => member.partitions())
  return owned.every(({ length }) => length > 0) && owned.flat().length === partitions && new Set(owned.flat()).size === partitions
}

for (const client of allClients) {
  describe(client.name, () => {
    test('members share the partitions; when one leaves, the others have all of them, and no message is left out', async () => {
      const topic = await topicOf('shared', 4)
      const groupId = unique('shared')
      const members = [await client.join(broker.address(), topic, { groupId }), await client.join(broker.address(), topic, { groupId })]
      await eventually('both have a share', () => sharedBy(members, 4))
      await produce(topic, numbered('both', 40, (n) => ({ partition: n % 4 })))
      await eventually('all of it', () => new Set(all(members)).size === 40)
      assert.ok(members.every(({ seen }) => seen.length > 0))
      await members[1]!.stop()
      await eventually('the rest for the other', () => members[0]!.partitions().length === 4)
      await produce(topic, numbered('one', 40, (n) => ({ partition: n % 4 })))
      await eventually('all of it again', () => new Set(all(members)).size === 80)
      await members[0]!.stop()
    })

    test('more members than partitions: one stays without, and takes over when the other goes', async () => {
      const topic = await topicOf('idle', 1)
      const groupId = unique('idle')
      const members = [await client.join(broker.address(), topic, { groupId }), await client.join(broker.address(), topic, { groupId })]
      await eventually('one has it', () => members.flatMap((member) => member.partitions()).length === 1)
      const [busy, idle] = members[0]!.partitions().length === 1 ? [members[0]!, members[1]!] : [members[1]!, members[0]!]
      await produce(topic, [{ value: 'first' }])
      await eventually('the first', () => busy.seen.length === 1)
      await busy.stop()
      await produce(topic, [{ value: 'second' }])
      await eventually('the second', () => texts(idle.seen).includes('second'))
      await idle.stop()
      assert.deepEqual(texts(idle.seen), ['second'])
    })
  })
}

// @platformatic/kafka 2.12 does not look for new partitions in classic groups, and in those of the consumer protocol its fetch falls over metadata that is older than its assignment.
test('partitions that are added to a topic are read by its running members', async () => {
  const topic = await topicOf('growing', 1)
  const member = await clients[0]!.join(broker.address(), topic, { groupId: unique('growing') })
  const admin = kafkajs(broker.address()).admin()
  await admin.connect()
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  await admin.disconnect()
  await produce(topic, numbered('new', 3, (n) => ({ partition: n })))
  await eventually('all partitions', () => member.seen.length === 3)
  await member.stop()
})

test('a member that shares no assignor with a group is refused, and the group is not disturbed', async () => {
  const topic = await topicOf('mixed', 2)
  const groupId = unique('mixed')
  const member = await clients[0]!.join(broker.address(), topic, { groupId })
  const stranger = new Consumer({ ...platformatic(broker.address()), ...platformaticGroup, groupId, retries: 0, protocols: [{ name: 'only-mine', version: 1 }] })
  await assert.rejects(stranger.consume({ topics: [topic] }), (error) => inspect(error, { depth: 5 }).includes('INCONSISTENT_GROUP_PROTOCOL'))
  await stranger.close(true)
  await produce(topic, [{ value: 'undisturbed' }])
  await eventually('the member goes on', () => member.seen.length === 1)
  await member.stop()
})

test('a static member that returns under its name has its partitions at once, and there is no rebalance', async () => {
  const topic = await topicOf('static', 2)
  const groupId = unique('static')
  const start = async (groupInstanceId: string): Promise<Consumer> => {
    const consumer = new Consumer({ ...platformatic(broker.address()), ...platformaticGroup, groupId, groupInstanceId })
    consumer.on('error', () => undefined)
    const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.LATEST, maxWaitTime: 100 })
    stream.on('data', () => undefined).on('error', () => undefined)
    return consumer
  }
  const stays = await start('stays')
  const first = await start('returns')
  await eventually('both have one', () => [stays, first].every(({ assignments }) => assignments?.[0]?.partitions.length === 1))
  const before = { generation: stays.generationId, partitions: first.assignments }
  const second = await start('returns')
  assert.deepEqual(second.assignments, before.partitions)
  assert.deepEqual([second.generationId, stays.generationId], [before.generation, before.generation])
  // This client answers its fencing with another join, so that the two would take turns for ever.
  for (const consumer of [first, second, stays]) await consumer.close(true)
})

test('a member that stops sending heartbeats loses its partitions to the other', async () => {
  const topic = await topicOf('silent', 2)
  const groupId = unique('silent')
  const silent = kafkajs(broker.address()).consumer({ groupId, ...kafkajsGroup, sessionTimeout: 2_000, heartbeatInterval: 300 })
  let released = (): void => undefined
  const held = new Promise<void>((done) => (released = done))
  let holding = false
  await silent.connect()
  await silent.subscribe({ topic, fromBeginning: true })
  await silent.run({
    eachMessage: async () => {
      holding = true
      await held
    },
  })
  await produce(topic, [{ partition: 0, value: 'a' }, { partition: 1, value: 'b' }])
  await eventually('it has a message in hand', () => holding)
  const member = await clients[0]!.join(broker.address(), topic, { groupId })
  await eventually('everything goes to the other', () => new Set(texts(member.seen)).size === 2)
  released()
  await silent.disconnect()
  await member.stop()
})

describe('what operators see', () => {
  test('groups are listed and described while they are active, empty when all left, and gone when deleted', async () => {
    const topic = await topicOf('described', 2)
    const groupId = unique('described')
    const admin = kafkajs(broker.address()).admin()
    await admin.connect()
    const member = await clients[0]!.join(broker.address(), topic, { groupId })
    await eventually('stable', async () => (await admin.describeGroups([groupId])).groups[0]!.state === 'Stable')
    const { groups } = await admin.describeGroups([groupId])
    assert.deepEqual([groups[0]!.protocolType, groups[0]!.protocol, groups[0]!.members.length, groups[0]!.members[0]!.clientId], ['consumer', 'RoundRobinAssigner', 1, 'kafkajs'])
    assert.ok((await admin.listGroups()).groups.some((group) => group.groupId === groupId && group.protocolType === 'consumer'))
    await assert.rejects(admin.deleteGroups([groupId]), { name: 'KafkaJSDeleteGroupsError' })
    await member.stop()
    await eventually('empty', async () => (await admin.describeGroups([groupId])).groups[0]!.state === 'Empty')
    assert.deepEqual((await admin.deleteGroups([groupId])).map((group) => [group.groupId, group.errorCode]), [[groupId, 0]])
    assert.ok(!(await admin.listGroups()).groups.some((group) => group.groupId === groupId))
    await admin.disconnect()
  })

  test('a group that does not exist is Dead for kafkajs, and deleting it with one that does names the one', async () => {
    const groupId = unique('real')
    const member = await clients[0]!.join(broker.address(), await topicOf('real', 1), { groupId })
    await member.stop()
    const admin = kafkajs(broker.address()).admin()
    await admin.connect()
    assert.deepEqual((await admin.describeGroups(['nobody-knows-me'])).groups.map(({ state, members }) => [state, members]), [['Dead', []]])
    await assert.rejects(admin.deleteGroups([groupId, 'nobody-knows-me']), (error) => {
      const { groups } = error as { groups: { groupId: string; error: { type: string } }[] }
      assert.deepEqual(groups.map((group) => [group.groupId, group.error.type]), [['nobody-knows-me', 'GROUP_ID_NOT_FOUND']])
      return true
    })
    assert.ok(!(await admin.listGroups()).groups.some((group) => group.groupId === groupId))
    await admin.disconnect()
  })

  test('lists by state and type', async () => {
    const topic = await topicOf('types', 1)
    const [classic, modern] = [unique('classic'), unique('modern')]
    const members = [await allClients[1]!.join(broker.address(), topic, { groupId: classic }), await allClients[2]!.join(broker.address(), topic, { groupId: modern })]
    const admin = platformaticAdmin(broker.address())
    const ids = async (...types: string[]): Promise<string[]> => [...(await admin.listGroups({ types })).keys()].filter((id) => id === classic || id === modern)
    assert.deepEqual([await ids('classic'), await ids('consumer')], [[classic], [modern]])
    await eventually('both stable', async () => {
      const stable = await admin.listGroups({ states: ['STABLE'], types: ['classic', 'consumer'] })
      return stable.has(classic) && stable.has(modern)
    })
    for (const member of members) await member.stop()
    await admin.close()
  })

  test('a member that an operator removes joins again', async () => {
    const topic = await topicOf('removed', 1)
    const groupId = unique('removed')
    const admin = platformaticAdmin(broker.address())
    const member = await clients[0]!.join(broker.address(), topic, { groupId })
    const memberIds = async (): Promise<string[]> => [...((await admin.describeGroups({ groups: [groupId] })).get(groupId)?.members.keys() ?? [])]
    const first = await eventually('a member', async () => (await memberIds())[0])
    await admin.removeMembersFromConsumerGroup({ groupId, members: [{ memberId: first, reason: 'by hand' }] })
    await eventually('another id', async () => {
      const ids = await memberIds()
      return ids.length === 1 && ids[0] !== first
    })
    await produce(topic, [{ value: 'after' }])
    await eventually('it reads', () => member.seen.length === 1)
    await member.stop()
    await admin.close()
  })
})
