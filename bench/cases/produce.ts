/** Produce as fast as it goes: by size, codec and number of partitions. */
import type { LoadMode } from '../load.ts'
import type { Subject } from '../target.ts'
import type { StoreName } from '../stores.ts'
import type { Case } from './case.ts'
import { bandwidth, brokers, cpuPerGb, mainPerGb, minios, recordRate, withKafka } from './case.ts'
import { MB, Meter, flushed, load, rates, secondsOf, sizeKey, sizeName, unflushedRecords } from './parts.ts'

interface Shape {
  readonly size: number
  readonly codec?: 'lz4' | 'zstd'
  readonly partitions?: number
  readonly mode?: LoadMode
  readonly onRequest?: boolean
  readonly subjects?: readonly Subject[]
  readonly stores?: readonly StoreName[]
}

export const produceCases: readonly Case[] = [
  produceCase({ size: 18 }),
  produceCase({ size: 100, stores: [...minios, 'dir'] }),
  produceCase({ size: 1024, stores: [...minios, 'dir', 's3-standard'] }),
  produceCase({ size: 10_240 }),
  produceCase({ size: 100, codec: 'lz4', stores: minios }),
  produceCase({ size: 100, codec: 'zstd', stores: minios }),
  produceCase({ size: 1024, codec: 'lz4' }),
  produceCase({ size: 1024, codec: 'zstd' }),
  produceCase({ size: 18, codec: 'lz4', onRequest: true }),
  produceCase({ size: 18, codec: 'zstd', onRequest: true }),
  produceCase({ size: 10_240, codec: 'lz4', onRequest: true }),
  produceCase({ size: 10_240, codec: 'zstd', onRequest: true }),
  produceCase({ size: 1024, partitions: 16, subjects: brokers, stores: minios }),
  produceCase({ size: 1024, partitions: 100 }),
  produceCase({ size: 1024, partitions: 1000 }),
  produceCase({ size: 1024, mode: 'blast', onRequest: true }),
  produceCase({ size: 100, mode: 'blast', onRequest: true }),
]

function produceCase({ size, codec, partitions = 1, mode = 'produce', onRequest = false, subjects, stores = ['minio'] }: Shape): Case {
  const suffix = `${codec === undefined ? '' : `-${codec}`}${partitions === 1 ? '' : `-${partitions}p`}`
  return {
    name: `${mode}-${sizeKey(size)}${suffix}`,
    theme: 'Produce',
    about:
      `unthrottled, ${sizeName(size)} half random, ${partitions === 1 ? 'one partition' : `${partitions} partitions`}` +
      `${codec === undefined ? '' : `, ${codec} by the client`}${mode === 'blast' ? ', batches that were encoded once' : ''}`,
    onRequest,
    subjects: subjects ?? (codec === undefined && partitions === 1 && mode === 'produce' ? brokers : withKafka),
    stores,
    columns: [bandwidth, recordRate, { key: 'ratioBandwidth', title: 'of the raw PUT bandwidth', unit: '×', better: 'higher' }, cpuPerGb, mainPerGb],
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic: 'p', partitions })
      const shape = { topic: 'p', partitions, size, ...(codec !== undefined && { codec }) }
      // What a runtime spends once, on compiling its code, belongs to no gigabyte.
      await load(context, target, mode, { ...shape, seconds: context.quick ? 1 : 4, warmup: 0 })
      await flushed(target)
      const meter = await Meter.start(target)
      const result = await load(context, target, mode, { ...shape, seconds: secondsOf(context, 6, 4), warmup: 1 })
      const unflushedMb = ((await unflushedRecords(target)) * size) / MB
      const drainStart = performance.now()
      await flushed(target)
      const drainSeconds = (performance.now() - drainStart) / 1000
      const cost = await meter.stop((result.valueBytes ?? 0) / MB)
      await target.stop()
      return {
        ...rates(result),
        ...(target.subject !== 'kafka' && { ratioBandwidth: (result.megabytesPerSecond ?? 0) / context.limit.putMegabytesPerSecond }),
        ...(target.subject === 'bayou' && { unflushedMb, drainSeconds }),
        ...cost,
      }
    },
  }
}
