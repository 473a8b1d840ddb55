/** The same traffic over more topics and over more connections. */
import type { Case } from './case.ts'
import { bayouAlone, cores, lanePutRate, p50, p99, putRate, withKafka } from './case.ts'
import { manyPartitionsCases } from './bursts.ts'
import { Meter, commitsEvery, load, secondsOf } from './parts.ts'

const topicsRate = 2000
const connectionsRate = 10_000

export const scaleCases: readonly Case[] = [...manyPartitionsCases, ...[1, 100, 10_000].map(topicsCase), ...[1, 100, 1000].map(connectionsCase)]

function topicsCase(topics: number): Case {
  return {
    name: `topics-${topics}`,
    theme: 'Scale',
    about: `${topicsRate.toLocaleString('en-US')} records/s of 100 B over ${topics.toLocaleString('en-US')} topic${topics === 1 ? '' : 's'} of one partition, tables every ten minutes, until acknowledged`,
    subjects: bayouAlone,
    stores: ['minio'],
    columns: [lanePutRate, putRate, p50, p99, cores],
    async run(context) {
      // What tables cost grows with their number; the lane is what must not.
      const target = await context.start(commitsEvery(600_000))
      const { seconds: createSeconds } = await load(context, target, 'create', { topic: 't', topics })
      const meter = await Meter.start(target)
      const result = await load(context, target, 'spread', { topic: 't', topics, size: 100, rate: topicsRate, seconds: secondsOf(context, 10, 5), warmup: 1 })
      const cost = await meter.stop()
      // An orderly stop would commit to every table first.
      await target.kill()
      return { p50Ms: result.latencyMs!.p50, p99Ms: result.latencyMs!.p99, createSeconds: createSeconds ?? 0, ...cost }
    },
  }
}

function connectionsCase(connections: number): Case {
  return {
    name: `connections-${connections}`,
    theme: 'Scale',
    about: `${connectionsRate.toLocaleString('en-US')} records/s of 100 B over ${connections.toLocaleString('en-US')} producer${connections === 1 ? '' : 's'}, sixteen partitions, client linger 5 ms, until acknowledged`,
    subjects: withKafka,
    stores: ['minio'],
    columns: [p99, p50, lanePutRate, cores],
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic: 'c', partitions: 16 })
      const meter = await Meter.start(target)
      const seconds = secondsOf(context, 8, 5)
      const result = await load(context, target, 'spread', { topic: 'c', partitions: 16, connections, size: 100, rate: connectionsRate, seconds, warmup: 2 })
      const cost = await meter.stop()
      await target.stop()
      return { p50Ms: result.latencyMs!.p50, p99Ms: result.latencyMs!.p99, generatorLateMs: result.generatorLateMsMax ?? 0, ...cost }
    },
  }
}
