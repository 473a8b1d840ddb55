/** A broker with nothing to do, one that was killed, and one under a steady load for long. */
import { slope } from '../stats.ts'
import { UsageSampler } from '../process-usage.ts'
import type { Case } from './case.ts'
import { bayouAlone, brokers, p50, p99 } from './case.ts'
import { MB, Meter, commitsEvery, costs, flushed, load, secondsOf, sleep, unflushedRecords } from './parts.ts'

const hourSeconds = 3600

export const upkeepCases: readonly Case[] = [
  {
    name: 'idle',
    theme: 'Recovery and upkeep',
    about: 'memory and CPU of a broker with nothing to do',
    subjects: brokers,
    stores: ['minio'],
    columns: [
      { key: 'rssEndMb', title: 'resident memory', unit: 'MB', better: 'lower' },
      { key: 'cpuPercent', title: 'CPU', unit: '%', better: 'lower' },
    ],
    async run(context) {
      const target = await context.start()
      const seconds = secondsOf(context, 4, 2)
      await sleep(seconds * 1000)
      const meter = await Meter.start(target)
      await sleep(seconds * 1000)
      const cost = await meter.stop()
      await target.stop()
      return { ...cost, cpuPercent: (cost['cpuCores'] ?? 0) * 100 }
    },
  },
  {
    name: 'restart',
    theme: 'Recovery and upkeep',
    about: 'kill -9 with 1 GB of records of 1 KiB that are in no table yet, until the broker serves again and has taken and given a record',
    subjects: bayouAlone,
    stores: ['minio'],
    columns: [
      { key: 'servingMs', title: 'serving after', unit: 'ms', better: 'lower' },
      { key: 'readyMs', title: 'listening after', unit: 'ms', better: 'lower' },
      { key: 'unflushedMb', title: 'unflushed', unit: 'MB', better: 'higher' },
      { key: 'rssPeakMb', title: 'peak memory', unit: 'MB', better: 'lower' },
    ],
    async run(context) {
      // With its usual memory a broker flushes earlier, so that it never has so much to recover.
      const never = { args: ['--table-flush-interval-ms', '86400000', '--table-flush-bytes', '1073741824', '--cache-bytes', '4294967296'] }
      const records = context.quick ? 300_000 : 1_000_000
      const first = await context.start(never)
      await load(context, first, 'create', { topic: 'r' })
      // The first commit to a table does not wait for the interval.
      await load(context, first, 'produce', { topic: 'r', size: 1024, records: 512, seconds: 10, warmup: 0 })
      await flushed(first)
      await load(context, first, 'produce', { topic: 'r', size: 1024, records, seconds: 120, warmup: 0 })
      const unflushedMb = ((await unflushedRecords(first)) * 1024) / MB
      await first.kill()
      const startedAt = performance.now()
      const second = await context.start({ ...never, url: first.store })
      const readyMs = performance.now() - startedAt
      const usage = await UsageSampler.start(second.pid)
      await load(context, second, 'latency', { topic: 'r', seconds: 0.01, warmup: 0 })
      await load(context, second, 'consume', { topic: 'r', records: 1 })
      const servingMs = performance.now() - startedAt
      const used = await usage.stop()
      await second.kill()
      return { servingMs, readyMs, unflushedMb, ...costs(used, servingMs / 1000, true) }
    },
  },
  {
    name: 'steady',
    theme: 'Recovery and upkeep',
    about: '30 minutes of 10,000 records/s of 100 B, evenly spread, commits every 100 ms: whether memory and latency stay',
    onRequest: true,
    subjects: bayouAlone,
    stores: ['minio'],
    columns: [
      { key: 'rssSlopeMbPerHour', title: 'growth of memory in the second half', unit: 'MB/h', better: 'lower' },
      { key: 'rssPeakMb', title: 'peak memory', unit: 'MB', better: 'lower' },
      p50,
      p99,
      { key: 'lastP99Ms', title: 'p99 of the last tenth', unit: 'ms', better: 'lower' },
    ],
    async run(context) {
      const target = await context.start(commitsEvery(100))
      await load(context, target, 'create', { topic: 's' })
      const seconds = secondsOf(context, 1800, 60)
      const usage = await UsageSampler.start(target.pid)
      const result = await load(context, target, 'bursts', { topic: 's', size: 100, rate: 10_000, smooth: true, seconds, warmup: 10, window: seconds / 10 })
      const used = await usage.stop()
      await target.stop()
      const secondHalf = used.memory.filter(([at]) => at > seconds / 2)
      return {
        rssSlopeMbPerHour: slope(secondHalf) * hourSeconds, p50Ms: result.latencyMs!.p50, p99Ms: result.latencyMs!.p99,
        lastP99Ms: result.windows?.at(-1)?.p99 ?? Number.NaN, ...costs(used, seconds, true),
      }
    },
  },
]
