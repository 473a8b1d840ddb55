/** More than the broker or its store can take: producers are slowed down, and memory stays within the budgets. */
import assert from 'node:assert/strict'
import { eventually } from '../../support/broker.ts'
import { Flood } from '../support/flood.ts'
import { LedgerProducer, createTopic, verify } from '../support/ledger.ts'
import { MemoryWatch, metricSum, mib, rssBytes } from '../support/process-watch.ts'
import { sleep } from '../support/toxic-proxy.ts'
import type { Scenario } from './scenario.ts'

const MiB = 1024 * 1024
const small = [
  '--lane-buffer-bytes', String(16 * MiB), '--queued-max-request-bytes', String(48 * MiB), '--socket-request-max-bytes', String(16 * MiB),
  '--cache-bytes', String(32 * MiB), '--cold-cache-bytes', String(16 * MiB), '--lane-segment-bytes', String(4 * MiB), '--store-request-timeout-ms', '3000',
]

export const overload: readonly Scenario[] = [
  {
    name: 'overload: unthrottled producers while the store is a blackhole',
    async run(world) {
      const proxy = await world.proxy()
      const store = await world.s3Store()
      const broker = await world.broker({ store, proxy, args: small })
      const pid = broker.process.pid!
      await createTopic(broker.address, 'flood', 8)
      await createTopic(broker.address, 'ledger', 1)
      const polite = new LedgerProducer([broker.address], { topic: 'ledger', partition: 0, timeoutMs: 2000 }).start()
      world.after(() => polite.abandon())
      const floods = await Promise.all(
        ([-1, -1, -1, 1, 1, 0, 0, -1] as const).map((acks, i) =>
          new Flood({ address: broker.address, topic: 'flood', partitions: 8, acks, valueBytes: [100, 10_000, 64_000, 900_000][i % 4]!, inflight: 50, timeoutMs: 4000 }).start()),
      )
      world.after(() => floods.forEach((flood) => flood.stop()))
      await sleep(4000)
      const warm = rssBytes(pid)
      const memory = new MemoryWatch(pid)
      proxy.set({ blackhole: true })
      let buffered = 0
      let requests = 0
      const until = performance.now() + 14_000
      while (performance.now() < until) {
        buffered = Math.max(buffered, await metricSum(broker.http, 'bayou_lane_buffer_bytes'))
        requests = Math.max(requests, await metricSum(broker.http, 'bayou_request_memory_bytes'))
        await sleep(200)
      }
      const during = memory.stop()
      const codes = new Map<number, number>()
      for (const flood of floods) for (const [code, count] of flood.codes) codes.set(code, (codes.get(code) ?? 0) + count)
      world.note(`warm ${mib(warm)}, in the blackhole at most ${mib(during)}; lane buffer at most ${mib(buffered)} of 16, requests ${mib(requests)} of 48`)
      world.note(`answers by code ${JSON.stringify([...codes])}, disconnects ${floods.map(({ disconnects }) => disconnects).join()}`)
      // One request goes beyond each limit: it is let in when there is room for its first byte.
      assert.ok(buffered <= 16 * MiB + 2 * MiB, `lane.buffer.bytes holds: ${mib(buffered)}`)
      assert.ok(requests <= 48 * MiB + 17 * MiB, `queued.max.request.bytes holds: ${mib(requests)}`)
      assert.ok(during < warm + 150 * MiB, `memory is bounded: ${mib(warm)} → ${mib(during)}`)
      proxy.heal()
      const answeredBefore = floods.map(({ answered }) => answered)
      const before = polite.acknowledged.length
      await eventually('the polite producer goes on', () => polite.acknowledged.length > before + 5, 30_000)
      await eventually('the others go on', () => floods.filter(({ answered }, i) => answered > answeredBefore[i]! + 5).length >= 6, 30_000)
      floods.forEach((flood) => flood.stop())
      await polite.stop()
      world.note(`polite producer: ${polite.summary()}`)
      await verify(broker.address, polite)
      await eventually('the lane has been written', async () => (await metricSum(broker.http, 'bayou_lane_buffer_bytes')) === 0, 60_000)
      await eventually('everything has been flushed', async () => (await metricSum(broker.http, 'bayou_flush_lag_records')) === 0, 120_000)
      world.note(`afterwards ${mib(rssBytes(pid))}`)
      assert.equal(await broker.stop(), 0)
    },
  },
]
