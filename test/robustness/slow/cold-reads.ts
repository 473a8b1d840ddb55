/** Consumers of what only the store has, while the store is slow to answer or does not answer. */
import assert from 'node:assert/strict'
import { eventually } from '../../support/broker.ts'
import { verify } from '../support/ledger.ts'
import { metric, metricSum } from '../support/process-watch.ts'
import { sleep } from '../support/toxic-proxy.ts'
import { shown, stopAll } from './scenario.ts'
import type { Scenario } from './scenario.ts'

/** A fetch waits for the store at most this long (src/api/01-fetch.ts), however short its own max_wait is. */
const READ_WAIT_MS = 10_000

export const coldReads: readonly Scenario[] = [
  {
    name: 'cold reads: slow, cut off, refused, and not answered at all',
    async run(world) {
      const proxy = await world.proxy()
      const store = await world.s3Store()
      const first = await world.broker({ store })
      const producers = await world.load([first.address], 'cold', 1, { records: 50, valueBytes: 2000, pauseMs: 2 })
      await eventually('enough to read', () => producers.every(({ acknowledged }) => acknowledged.length > 60), 60_000)
      await stopAll(producers)
      assert.equal(await first.stop(), 0)

      const broker = await world.broker({ store, proxy, args: ['--cold-cache-bytes', String(1024 * 1024), '--store-request-timeout-ms', '3000'] })
      const reads = (method: string, path: string): boolean => method === 'GET' && path.includes('/topics/')
      const toxics = [
        { name: 'slow by 0.5–1.5 s', set: () => proxy.set({ latencyMs: [500, 1500] }, reads), endsMs: 0 },
        { name: 'cut off half of the time', set: () => proxy.set({ cutAnswers: 0.5 }, reads), endsMs: 0 },
        { name: 'told to slow down, nine times of ten', set: () => proxy.set({ slowDown: 0.9 }, reads), endsMs: 5000 },
        { name: 'blackhole', set: () => proxy.set({ blackhole: true }, reads), endsMs: 14_000 },
      ]
      for (const { name, set, endsMs } of toxics) {
        const troubles = new Map<string, number>()
        let worst = 0
        let count = 0
        set()
        const healing = endsMs === 0 ? null : sleep(endsMs).then(() => proxy.heal())
        const options = {
          troubles,
          // A large answer at a time, so that every fetch needs the store.
          maxBytes: 512 * 1024,
          onFetch: (millis: number) => {
            worst = Math.max(worst, millis)
            count++
          },
        }
        for (const producer of producers) await verify(broker.address, producer, options)
        await healing
        proxy.heal()
        world.note(`${name}: ${count} fetches, the longest ${Math.round(worst)} ms; survived ${shown(troubles)}`)
        assert.ok(worst < READ_WAIT_MS + 3000, `a fetch took ${Math.round(worst)} ms`)
        // What the last consumer left in the cache must not help the next one.
        await sleep(300)
      }
      world.note(`reads by source ${JSON.stringify([...(await metric(broker.http, 'bayou_reads_total'))])}`)
      assert.ok((await metricSum(broker.http, 'bayou_reads_total', /table/)) > 0)
      assert.equal(await broker.stop(), 0)
    },
  },
]
