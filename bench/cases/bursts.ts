/** Open loop, end to end: bursts (the published load of Pathway's queue on Delta tables) and the same rates evenly spread. */
import { runDeltaQueue } from '../peers/delta-queue.ts'
import { median } from '../stats.ts'
import type { Numbers } from '../stats.ts'
import type { Subject } from '../target.ts'
import type { StoreName } from '../stores.ts'
import type { Case, CaseContext } from './case.ts'
import { brokers, cores, everybody, lanePutRate, minios, p50, p99, withKafka } from './case.ts'
import { Meter, commitsEvery, costs, load, secondsOf } from './parts.ts'

const burst = 10_000
const valueBytes = 18

interface Shape {
  readonly rate: number
  readonly smooth?: boolean
  readonly partitions?: number
  readonly name?: string
  readonly onRequest?: boolean
  readonly stores?: readonly StoreName[]
  readonly subjects?: readonly Subject[]
}

export const burstCases: readonly Case[] = [
  burstCase({ rate: 10_000, stores: [...minios, 's3-standard', 's3-standard-slow', 's3-express'] }),
  burstCase({ rate: 30_000, stores: minios }),
  burstCase({ rate: 70_000, stores: [...minios, 'dir', 's3-standard', 's3-express'] }),
  burstCase({ rate: 150_000, stores: minios }),
  burstCase({ rate: 250_000, stores: minios }),
  burstCase({ rate: 10_000, smooth: true, stores: ['minio', 's3-standard', 's3-express'] }),
  burstCase({ rate: 30_000, smooth: true, onRequest: true }),
  burstCase({ rate: 70_000, smooth: true }),
  burstCase({ rate: 150_000, smooth: true, onRequest: true }),
  burstCase({ rate: 250_000, smooth: true }),
]

/** The same traffic to one partition and to a thousand. */
export const manyPartitionsCases: readonly Case[] = [1, 1000].map((partitions) =>
  burstCase({ name: `many-partitions-${partitions}`, rate: 10_000, smooth: true, partitions, subjects: withKafka, stores: minios }),
)

function burstCase({ rate, smooth = false, partitions = 1, name, onRequest = false, stores = ['minio'], subjects }: Shape): Case {
  const shape = smooth ? 'records of 18 B evenly spread' : 'bursts of 10,000 records of 18 B'
  return {
    name: name ?? `${smooth ? 'smooth' : 'bursts'}-${rate / 1000}k`,
    theme: partitions === 1 && name === undefined ? 'Bursts and smooth load' : 'Scale',
    about:
      `${shape}, ${rate / 1000}k records/s, ${name === undefined ? '' : `${partitions} partition${partitions === 1 ? '' : 's'}, `}` +
      'commits every 100 ms, client linger 5 ms, end to end from the intended send time',
    onRequest,
    subjects: subjects ?? (smooth ? brokers : everybody),
    stores,
    columns: [p99, p50, { key: 'secondHalfP50Ms', title: 'p50 of the second half', unit: 'ms', better: 'lower' }, lanePutRate, cores],
    async run(context) {
      const seconds = secondsOf(context, 12, 7)
      if (context.subject === 'delta-queue') return await queue(context, rate, seconds)
      const target = await context.start(commitsEvery(100))
      await load(context, target, 'create', { topic: 'b', partitions })
      const meter = await Meter.start(target)
      const window = Math.max(seconds / 10, 1)
      const result = await load(context, target, 'bursts', { topic: 'b', size: valueBytes, rate, burst, smooth, partitions, seconds, warmup: 4, window })
      const cost = await meter.stop()
      await target.stop()
      const windows = result.windows ?? []
      const half = Math.floor(windows.length / 2)
      return {
        p50Ms: result.latencyMs!.p50, p99Ms: result.latencyMs!.p99, maxMs: result.latencyMs!.max,
        firstHalfP50Ms: median(windows.slice(0, half).map((one) => one.p50)),
        secondHalfP50Ms: median(windows.slice(half).map((one) => one.p50)),
        generatorLateMs: result.generatorLateMsMax ?? 0,
        ...cost,
      }
    },
  }
}

async function queue(context: CaseContext, rate: number, seconds: number): Promise<Numbers> {
  const run = await runDeltaQueue(context.python(), context.store, { rate, burst, seconds, warmup: 4 })
  if (run.ages.rows < Math.trunc((seconds * rate) / burst) * burst) throw new Error(`the reader had ${run.ages.rows} rows when it gave up`)
  return { p50Ms: run.ages.p50, p99Ms: run.ages.p99, maxMs: run.ages.max, commitsPerSecond: run.commits / run.seconds, ...costs(run.used, run.seconds, false) }
}
