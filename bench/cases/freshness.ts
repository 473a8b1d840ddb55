/** How old a row is when a reader on delta-rs has it: in Bayou's table, and in a table that delta-rs writes alone. */
import { runDeltaQueue, startTableReader } from '../peers/delta-queue.ts'
import type { Case } from './case.ts'
import { cores, minios, p50, p99 } from './case.ts'
import { Meter, commitsEvery, costs, load, secondsOf } from './parts.ts'

const burst = 1000
const valueBytes = 18
const warmup = 3

export const freshnessCases: readonly Case[] = [10_000, 70_000, 250_000].map((rate) => ({
  name: `freshness-${rate / 1000}k`,
  theme: 'Table freshness',
  about: `from the intended send time until a polling reader on delta-rs has the row, ${rate / 1000}k records/s of 18 B in bursts of 1,000, commits every 100 ms`,
  subjects: ['bayou', 'delta-queue'],
  needs: 'python',
  stores: rate === 10_000 ? [...minios, 'dir'] : minios,
  columns: [p99, p50, { key: 'commitsPerSecond', title: 'commits', unit: '1/s', better: 'higher' }, cores],
  async run(context) {
    const seconds = secondsOf(context, 10, 6)
    const records = Math.trunc((seconds * rate) / burst) * burst
    const python = context.python()
    if (context.subject === 'delta-queue') {
      const { ages, used, ...run } = await runDeltaQueue(python, context.store, { rate, burst, seconds, warmup })
      if (ages.rows < records) throw new Error(`the reader had ${ages.rows} of ${records} rows when it gave up`)
      return { p50Ms: ages.p50, p99Ms: ages.p99, maxMs: ages.max, commitsPerSecond: run.commits / run.seconds, ...costs(used, run.seconds, false) }
    }
    const target = await context.start(commitsEvery(100))
    await load(context, target, 'create', { topic: 'f' })
    // The greeting of the load is a row too.
    const reader = await startTableReader(python, context.store, `${target.store}/topics/f`, records + 1, warmup)
    const meter = await Meter.start(target)
    const bursts = await load(context, target, 'bursts', { topic: 'f', size: valueBytes, rate, burst, seconds, warmup })
    const cost = await meter.stop()
    const ages = await reader.result()
    await target.stop()
    if (ages.rows < records) throw new Error(`the reader had ${ages.rows} of ${records} rows when it gave up`)
    return { p50Ms: ages.p50, p99Ms: ages.p99, maxMs: ages.max, consumerP50Ms: bursts.latencyMs!.p50, consumerP99Ms: bursts.latencyMs!.p99, ...cost }
  },
}))
