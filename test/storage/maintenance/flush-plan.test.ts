/** What a flush takes of partitions with transactions: each whole or not at all, and never held back by those that overlap. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { recordsOf } from '../../../protocol/records/record.ts'
import { decodeCheckpoint, encodeCheckpoint, encodePartition } from '../../../storage/engine/checkpoint-codec.ts'
import { completeBelow, planFlush } from '../../../storage/maintenance/flush-plan.ts'
import type { FlushPlan } from '../../../storage/maintenance/flush-plan.ts'
import { StoredPartitionLog } from '../../../storage/partition/log.ts'
import { TopicTransactions } from '../../../storage/partition/transactions.ts'
import { TestHost, batchOf, config, topicId } from '../partition/support.ts'

const ALL = 1_000_000

/** Partitions of one topic and a table that is what plans put into it. A step is `p0` (a plain record to partition 0), `w1.0` (of producer 1), `c1.0` or `a1.0` (its end). */
class Topic {
  readonly host = new TestHost()
  logs: StoredPartitionLog[]
  /** What each commit added, by `partition:offset`. */
  readonly commits: string[][] = []
  readonly #sequences = new Map<string, number>()

  constructor(partitions: number) {
    const transactions = new TopicTransactions()
    this.logs = Array.from({ length: partitions }, (_, p) => new StoredPartitionLog(this.host, topicId, p, 3, config, transactions))
  }

  async do(steps: string): Promise<this> {
    for (const step of steps.split(' ')) {
      const [, kind, producer = '', partition = ''] = /^([pwca])(\d+)(?:\.(\d+))?$/.exec(step)!
      const log = this.logs[Number(kind === 'p' ? producer : partition)]!
      const producerId = Number(producer)
      if (kind === 'p') log.append(batchOf([step]), { origin: 'client' })
      else if (kind === 'w') {
        const baseSequence = this.#sequences.get(`${producer}.${partition}`) ?? 0
        this.#sequences.set(`${producer}.${partition}`, baseSequence + 1)
        log.append(batchOf([step], { producerId, producerEpoch: 0, baseSequence, transactional: true }), { origin: 'client' })
      } else log.appendMarker({ producerId, producerEpoch: 0, coordinatorEpoch: 0, committed: kind === 'c' })
    }
    await this.host.settle()
    return this
  }

  plan(bytesMax = ALL, previous: FlushPlan | null = null): FlushPlan {
    return planFlush(this.logs, bytesMax, previous)
  }

  /** Carries a plan out; gives what it added and where everything is in the table up to. */
  commit(plan = this.plan()): { readonly added: string[]; readonly flushed: number[] } {
    const added: string[] = []
    for (const { log, run } of plan.runs) {
      for (let i = 0; i < run.batches.length; i++) added.push(...recordsOf(run.batches.bytes(i)!).map(({ offset }) => `${log.partition}:${offset}`))
    }
    this.commits.push(added)
    const complete = this.logs.map((log) => completeBelow(log, this.logs, plan.ends))
    for (const [p, log] of this.logs.entries()) log.markFlushed(complete[p]!, plan.ends.get(log) ?? log.tableEnd)
    return { added, flushed: this.logs.map(({ flushedOffset }) => flushedOffset) }
  }

  /** The same topic after a crash; the table says where it ends. */
  recover(): void {
    const ends = this.logs.map(({ tableEnd }) => tableEnd)
    const states = this.logs.map((log) => decodeCheckpoint(Buffer.concat(encodeCheckpoint(1, [...encodePartition(log.checkpoint())])))[0]!)
    const transactions = new TopicTransactions()
    this.logs = states.map((state, p) => new StoredPartitionLog(this.host, topicId, p, 4, config, transactions))
    for (const [p, log] of this.logs.entries()) log.restore(states[p]!)
    const map = new Map(this.logs.map((log, p) => [log, ends[p]!]))
    const complete = this.logs.map((log) => completeBelow(log, this.logs, map))
    for (const [p, log] of this.logs.entries()) log.markFlushed(complete[p]!, ends[p])
  }
}

describe('a flush', () => {
  it('without transactions takes everything in one run of each partition', async () => {
    const topic = await new Topic(2).do('p0 p0 p1')
    const plan = topic.plan()
    assert.deepEqual(plan.runs.map(({ run }) => [run.fromOffset, run.endOffset]), [[0, 2], [0, 1]])
    assert.deepEqual(topic.commit(plan), { added: ['0:0', '0:1', '1:0'], flushed: [2, 1] })
    assert.deepEqual(topic.plan().runs, [])
  })

  it('takes committed transactions whole, without markers, and nothing of aborted ones', async () => {
    const topic = await new Topic(2).do('w1.0 w1.1 w2.0 p0 c1.0 c1.1 a2.0')
    assert.deepEqual(topic.commit(), { added: ['0:0', '0:2', '1:0'], flushed: [5, 2] })
  })

  it('leaves out a transaction that ends behind the end, in all partitions, and makes up for it', async () => {
    const topic = await new Topic(2).do('w1.0 w1.1 p0 w2.1 c1.0 c1.1 p1')
    // Partition 1 is stable up to the open transaction at 1; the end of the first one comes after that.
    assert.deepEqual(topic.commit(), { added: ['0:1'], flushed: [0, 0] })
    await topic.do('c2.1')
    assert.deepEqual(topic.commit(), { added: ['0:0', '1:0', '1:1', '1:3'], flushed: [3, 5] })
  })

  it('is held back by transactions that always overlap no longer than each of them is open', async () => {
    const topic = await new Topic(1).do('w1.0')
    for (let i = 0; i < 20; i++) {
      const [old, young] = i % 2 === 0 ? [1, 2] : [2, 1]
      await topic.do(`w${young}.0 c${old}.0 p0`)
      topic.commit()
    }
    assert.ok(topic.logs[0]!.flushedOffset > 50, String(topic.logs[0]!.flushedOffset))
    await topic.do('c1.0 p0')
    topic.commit()
    const rows = topic.commits.flat()
    assert.equal(new Set(rows).size, rows.length, 'each once')
    assert.equal(topic.logs[0]!.flushedOffset, topic.logs[0]!.highWatermark)
    assert.equal(rows.length, 21 + 21)
  })

  it('takes a transaction that is larger than its room whole, in pieces', async () => {
    const topic = await new Topic(1).do(`${'w1.0 '.repeat(30)}c1.0`)
    const plan = topic.plan(400)
    assert.ok(plan.runs.length > 5)
    const { added, flushed } = topic.commit(plan)
    assert.equal(added.length, 30)
    assert.deepEqual(flushed, [31])
  })

  it('waits for markers that other partitions lack', async () => {
    const topic = await new Topic(2).do('w1.0 w1.1 c1.0')
    assert.equal(topic.plan().ends.size, 0, 'nothing to gain')
    await topic.do('c1.1')
    assert.deepEqual(topic.commit(), { added: ['0:0', '1:0'], flushed: [2, 2] })
  })

  it('gets past what was aborted, though it adds nothing', async () => {
    const topic = await new Topic(1).do('w1.0 a1.0')
    assert.deepEqual(topic.commit(), { added: [], flushed: [2] })
    assert.equal(topic.plan().ends.size, 0)
  })

  it('tells one transaction of a producer from its next', async () => {
    const topic = await new Topic(2).do('w1.0 c1.0 w1.1 w1.0 c1.0')
    assert.deepEqual(topic.commit(), { added: ['0:0'], flushed: [2, 0] }, 'the second one is open in partition 1')
    await topic.do('c1.1')
    assert.deepEqual(topic.commit(), { added: ['0:2', '1:0'], flushed: [4, 2] })
  })

  it('after another one that is on its way takes what that leaves', async () => {
    const topic = await new Topic(2).do('w1.0 w1.1 p0 w2.1 c1.0 c1.1 p1')
    const first = topic.plan()
    await topic.do('c2.1')
    const second = topic.plan(ALL, first)
    assert.deepEqual([...second.starts.values()], [3, 1])
    assert.deepEqual(topic.commit(first).added, ['0:1'])
    assert.deepEqual(topic.commit(second), { added: ['0:0', '1:0', '1:1', '1:3'], flushed: [3, 5] })
  })

  it('goes on after a recovery where it was', async () => {
    const topic = await new Topic(2).do('w1.0 w1.1 p0 w2.1 c1.0 c1.1 p1')
    topic.commit()
    topic.recover()
    assert.deepEqual(topic.logs.map(({ flushedOffset, tableEnd }) => [flushedOffset, tableEnd]), [[0, 3], [0, 1]])
    topic.logs[1]!.appendMarker({ producerId: 2, producerEpoch: 0, coordinatorEpoch: 0, committed: true })
    await topic.host.settle()
    const plan = topic.plan()
    const places = plan.runs.flatMap(({ log, run }) => Array.from({ length: run.batches.length }, (_, i) => `${log.partition}:${run.batches.baseOffset(i)}`))
    assert.deepEqual(places, ['0:0', '1:0', '1:1', '1:3'])
  })

  it('tells transactions apart too where a marker came so late that the next one had begun', async () => {
    const topic = await new Topic(2).do('w1.0 w1.1 c1.0 w1.0 c1.0 p1')
    assert.deepEqual(topic.commit(), { added: ['0:2'], flushed: [0, 0] })
    await topic.do('c1.1')
    assert.deepEqual(topic.commit(), { added: ['0:0', '1:0', '1:1'], flushed: [4, 3] })
  })

  it('of many transactions is planned in a time that grows with their number', async () => {
    const topic = await new Topic(1).do(Array.from({ length: 2000 }, (_, i) => `w${i}.0 c${i}.0`).join(' '))
    const plan = topic.plan()
    assert.equal(plan.runs[0]!.run.batches.length, 2000)
    topic.commit(plan)
    assert.equal(topic.logs[0]!.flushedOffset, 4000)
    assert.deepEqual(topic.logs[0]!.endedTransactions, [])
  })
})
