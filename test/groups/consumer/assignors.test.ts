import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ASSIGNORS, assignUniformly } from '../../../src/groups/consumer/assignors.ts'
import type { AssignableMember } from '../../../src/groups/consumer/assignors.ts'
import type { Partitions } from '../../../src/groups/consumer/types.ts'

const subscriptions = fc.array(fc.subarray(['t0', 't1', 't2', 't3'], { minLength: 1 }), { minLength: 1, maxLength: 12 })
const counts = fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 1, max: 12 })))

function partitionsOf(members: readonly AssignableMember[], sizes: readonly number[]): Map<string, number> {
  return new Map(['t0', 't1', 't2', 't3'].flatMap((topic, i) => (members.some(({ topicIds }) => topicIds.has(topic)) ? [[topic, sizes[i]!]] : [])))
}

function membersOf(wanted: readonly (readonly string[])[], current: ReadonlyMap<string, Partitions> = new Map()): AssignableMember[] {
  return wanted.map((topics, i) => ({
    id: `m${i}`,
    instanceId: i % 3 === 0 ? `i${i}` : null,
    topicIds: new Set(topics),
    current: current.get(`m${i}`) ?? new Map(),
  }))
}

function flat(result: ReadonlyMap<string, Partitions>): Map<string, string> {
  const owners = new Map<string, string>()
  for (const [id, topics] of result) {
    for (const [topic, partitions] of topics) {
      for (const partition of partitions) {
        assert.ok(!owners.has(`${topic}:${partition}`), 'no partition twice')
        owners.set(`${topic}:${partition}`, id)
      }
    }
  }
  return owners
}

for (const [name, assign] of ASSIGNORS) {
  test(`${name}: every partition of a subscribed topic has one owner, who subscribes to it`, () => {
    fc.assert(
      fc.property(subscriptions, counts, (wanted, sizes) => {
        const members = membersOf(wanted)
        const partitions = partitionsOf(members, sizes)
        const result = assign({ members, partitions })
        assert.equal(result.size, members.length)
        const owners = flat(result)
        assert.equal(owners.size, [...partitions.values()].reduce((sum, count) => sum + count, 0))
        for (const [place, id] of owners) {
          const [topic, partition] = place.split(':') as [string, string]
          assert.ok(members.find((member) => member.id === id)!.topicIds.has(topic))
          assert.ok(Number(partition) < partitions.get(topic)!)
        }
      }),
    )
  })
}

test('uniform: shares of equal members differ by one at most, and what fits into a share stays', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), counts, (before, after, sizes) => {
      const all = ['t0', 't1', 't2', 't3']
      const partitions = new Map(all.map((topic, i) => [topic, sizes[i]!]))
      const total = sizes.reduce((sum, count) => sum + count, 0)
      const first = assignUniformly({ members: membersOf(Array.from({ length: before }, () => all)), partitions })
      const second = assignUniformly({ members: membersOf(Array.from({ length: after }, () => all), first), partitions })
      const loads = Array.from(second.values(), (topics) => [...topics.values()].flat().length)
      assert.ok(Math.max(...loads) - Math.min(...loads) <= 1)
      const old = flat(first)
      const moved = [...flat(second)].filter(([place, id]) => old.get(place) !== id).length
      // Members that come need their shares; the partitions of those that go need a place. Nothing else moves.
      const needed = after >= before
        ? loads.slice(before).reduce((sum, load) => sum + load, 0)
        : [...old.values()].filter((id) => Number(id.slice(1)) >= after).length
      assert.ok(moved <= needed + (after === before ? 0 : before), `${moved} of ${total} moved, ${needed} had to`)
      if (after === before) assert.equal(moved, 0)
    }),
  )
})

test('uniform: unequal subscriptions, too, end as even as they can', () => {
  const members = membersOf([['t0'], ['t0', 't1'], ['t1']])
  const result = assignUniformly({ members, partitions: new Map([['t0', 6], ['t1', 3]]) })
  assert.deepEqual(Array.from(result.values(), (topics) => [...topics.values()].flat().length), [3, 3, 3])
  // A member that comes later takes from the one with the most.
  const more = membersOf([['t0'], ['t0', 't1'], ['t1'], ['t1', 't0']], result)
  const loads = Array.from(assignUniformly({ members: more, partitions: new Map([['t0', 6], ['t1', 3]]) }).values(), (topics) => [...topics.values()].flat().length)
  assert.ok(Math.max(...loads) <= 3 && Math.min(...loads) >= 2, String(loads))
})

test('a thousand members and as many partitions are assigned in no time', () => {
  const members = membersOf(Array.from({ length: 1_000 }, () => ['t0']))
  const startedMs = performance.now()
  const first = assignUniformly({ members, partitions: new Map([['t0', 1_000]]) })
  assignUniformly({ members: membersOf(Array.from({ length: 1_001 }, () => ['t0']), first), partitions: new Map([['t0', 1_000]]) })
  assert.ok(performance.now() - startedMs < 1_000)
})
