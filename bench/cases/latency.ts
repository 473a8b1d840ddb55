/** One record at a time, on one connection and on sixteen, and one transaction at a time. */
import type { LoadResult } from '../load.ts'
import type { Numbers } from '../stats.ts'
import { median, quantiles } from '../stats.ts'
import { putLatencies } from '../stores.ts'
import type { Case } from './case.ts'
import { brokers, cores, lanePutRate, minios, p50, p99, withKafka } from './case.ts'
import { Meter, commitsEvery, load, secondsOf } from './parts.ts'

export const latencyCases: readonly Case[] = [
  {
    name: 'latency',
    theme: 'Latency',
    about: 'one record of 100 B after the other, acks=all, one in flight; raw conditional PUTs of 4 KiB alternate with it',
    subjects: brokers,
    stores: [...minios, 'dir', 's3-standard', 's3-standard-slow', 's3-express'],
    columns: [
      p50,
      p99,
      { key: 'ratioP50', title: 'p50 over a raw PUT', unit: '×', better: 'lower' },
      { key: 'ratioP99', title: 'p99 over a raw PUT', unit: '×', better: 'lower' },
    ],
    async run(context) {
      const target = await context.start(commitsEvery(1000))
      const objects = await context.store.open(context.store.freshUrl())
      await load(context, target, 'create', { topic: 'one' })
      const raw: number[] = []
      const produced: LoadResult[] = []
      const meter = await Meter.start(target)
      const slices = context.quick ? 2 : 4
      const seconds = secondsOf(context, 10, 4) / slices
      for (let i = 0; i < slices; i++) {
        raw.push(...(await putLatencies(objects, seconds / 2)))
        produced.push(await load(context, target, 'latency', { topic: 'one', seconds: seconds + 0.5, warmup: 0.5 }))
      }
      const cost = await meter.stop()
      await objects.close()
      await target.stop()
      const put = quantiles(raw)
      const times = { p50Ms: median(produced.map((slice) => slice.latencyMs!.p50)), p99Ms: median(produced.map((slice) => slice.latencyMs!.p99)) }
      // A peer that writes elsewhere is not compared with this store.
      const ratios: Numbers = target.subject === 'kafka' ? {} : { ratioP50: times.p50Ms / put.p50, ratioP99: times.p99Ms / put.p99 }
      return { ...times, ...ratios, rawP50Ms: put.p50, rawP99Ms: put.p99, ...cost }
    },
  },
  {
    name: 'unbatched',
    theme: 'Latency',
    about: 'sixteen connections, one record of 100 B a request, one request in flight on each: what group commit carries',
    subjects: brokers,
    stores: [...minios, 's3-standard', 's3-express'],
    columns: [{ key: 'requestsPerSecond', title: 'rate', unit: 'requests/s', better: 'higher' }, p50, p99, lanePutRate, cores],
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic: 'u' })
      const meter = await Meter.start(target)
      const result = await load(context, target, 'latency', { topic: 'u', connections: 16, seconds: secondsOf(context, 6, 4), warmup: 1 })
      const cost = await meter.stop()
      await target.stop()
      return { requestsPerSecond: result.recordsPerSecond ?? 0, p50Ms: result.latencyMs!.p50, p99Ms: result.latencyMs!.p99, ...cost }
    },
  },
  {
    name: 'transactions',
    theme: 'Latency',
    about: 'one transaction of ten records of 100 B in four partitions after the other, from the first record until its end is acknowledged',
    subjects: withKafka,
    stores: [...minios, 's3-standard'],
    columns: [p50, p99, { key: 'commitP50Ms', title: 'p50 of the end alone', unit: 'ms', better: 'lower' }, lanePutRate],
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic: 'x', partitions: 4 })
      const meter = await Meter.start(target)
      const result = await load(context, target, 'transact', { topic: 'x', partitions: 4, burst: 10, seconds: secondsOf(context, 8, 6), warmup: 2 })
      const cost = await meter.stop()
      await target.stop()
      return { p50Ms: result.latencyMs!.p50, p99Ms: result.latencyMs!.p99, commitP50Ms: result.commitMs!.p50, ...cost }
    },
  },
]
