/** Where a flush may cut the partitions of a topic without cutting a transaction. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cutBetweenTransactions } from '../../../storage/maintenance/transaction-cuts.ts'
import type { StoredPartitionLog } from '../../../storage/partition/log.ts'
import { PartitionTransactions, TopicTransactions } from '../../../storage/partition/transactions.ts'

/** Partitions of one topic; a step is `w` (a record of a producer), `c` (its commit) or `a` (its abort) at the next offset of a partition. */
class Topic {
  readonly #transactions = new TopicTransactions()
  readonly #partitions: { readonly state: PartitionTransactions; next: number }[] = []

  constructor(partitions: number) {
    for (let p = 0; p < partitions; p++) this.#partitions.push({ state: new PartitionTransactions(p, this.#transactions), next: 0 })
  }

  do(...steps: readonly (readonly [kind: 'w' | 'c' | 'a', producerId: number, partition: number])[]): this {
    for (const [kind, producerId, partition] of steps) {
      const to = this.#partitions[partition]!
      if (kind === 'w') to.state.written(producerId, to.next++)
      else to.state.marked(producerId, to.next++, kind === 'c')
    }
    return this
  }

  /** The ends after a flush was to reach these. */
  cut(...ends: readonly number[]): number[] {
    const map = new Map(ends.entries())
    const logs = this.#partitions.map(({ state }, partition) => ({ partition, endedTransactions: state.ended }) as unknown as StoredPartitionLog)
    cutBetweenTransactions(logs, map)
    return [...map.values()]
  }
}

describe('ends of a flush', () => {
  it('stay where whole transactions are before them', () => {
    const topic = new Topic(2).do(['w', 1, 0], ['w', 1, 1], ['c', 1, 0], ['c', 1, 1], ['w', 2, 0], ['c', 2, 0])
    assert.deepEqual(topic.cut(4, 2), [4, 2])
    assert.deepEqual(topic.cut(2, 2), [2, 2], 'the second one waits')
  })

  it('move before a transaction that would be cut in its partition', () => {
    const topic = new Topic(1).do(['w', 9, 0], ['c', 9, 0], ['w', 1, 0], ['w', 1, 0], ['c', 1, 0])
    assert.deepEqual(topic.cut(3), [2])
    assert.deepEqual(topic.cut(4), [2])
    assert.deepEqual(topic.cut(5), [5])
  })

  it('move before a transaction of which another partition has a part behind its end, and so on', () => {
    const topic = new Topic(3).do(
      ['w', 1, 0], ['w', 1, 1], ['c', 1, 0], ['c', 1, 1],
      ['w', 2, 1], ['w', 2, 2], ['c', 2, 1], ['c', 2, 2],
    )
    assert.deepEqual(topic.cut(2, 4, 2), [2, 4, 2])
    assert.deepEqual(topic.cut(2, 4, 1), [2, 2, 0])
    assert.deepEqual(topic.cut(0, 4, 2), [0, 0, 0], 'the second one comes after the first in its partition')
  })

  it('move before a transaction whose marker another partition still lacks', () => {
    const topic = new Topic(2).do(['w', 1, 0], ['w', 1, 1], ['c', 1, 0])
    assert.deepEqual(topic.cut(2, 0), [0, 0])
    topic.do(['c', 1, 1])
    assert.deepEqual(topic.cut(2, 2), [2, 2])
  })

  it('may cut what was aborted', () => {
    const topic = new Topic(2).do(['w', 1, 0], ['w', 1, 1], ['a', 1, 0])
    assert.deepEqual(topic.cut(1, 0), [1, 0])
  })

  it('tell one transaction of a producer from its next', () => {
    const topic = new Topic(2).do(['w', 1, 0], ['c', 1, 0], ['w', 1, 1], ['w', 1, 0], ['c', 1, 0], ['c', 1, 1])
    assert.deepEqual(topic.cut(2, 0), [2, 0], 'the first one is in one partition')
    assert.deepEqual(topic.cut(4, 0), [2, 0], 'the second one in both')
    assert.deepEqual(topic.cut(4, 2), [4, 2])
  })

  it('tell them apart too where a marker came so late that the next one had begun', () => {
    const topic = new Topic(2).do(['w', 1, 0], ['w', 1, 1], ['c', 1, 0], ['w', 1, 0], ['c', 1, 0], ['c', 1, 1])
    assert.deepEqual(topic.cut(2, 2), [2, 2])
    assert.deepEqual(topic.cut(4, 2), [4, 2])
    assert.deepEqual(topic.cut(4, 0), [0, 0])
  })

  it('are right after a recovery too', () => {
    const transactions = new TopicTransactions()
    const [a, b] = [new PartitionTransactions(0, transactions), new PartitionTransactions(1, transactions)]
    a.written(1, 0)
    b.written(1, 0)
    a.marked(1, 1, true)
    const again = new TopicTransactions()
    const [a2, b2] = [new PartitionTransactions(0, again), new PartitionTransactions(1, again)]
    a2.restore(a.snapshot(0))
    b2.restore(b.snapshot(0))
    const logs = (): StoredPartitionLog[] => [a2, b2].map(({ ended }, partition) => ({ partition, endedTransactions: ended }) as unknown as StoredPartitionLog)
    const ends = new Map([[0, 2], [1, 0]])
    cutBetweenTransactions(logs(), ends)
    assert.deepEqual([...ends.values()], [0, 0])
    b2.marked(1, 1, true)
    const whole = new Map([[0, 2], [1, 2]])
    cutBetweenTransactions(logs(), whole)
    assert.deepEqual([...whole.values()], [2, 2])
    a2.written(1, 2)
    assert.notEqual(a2.snapshot(0).open[0]![2], a.snapshot(0).ended[0]![4], 'numbers are not used again')
  })
})
