/** Hours in minutes: steady load on many topics with a table commit every 100 ms. Nothing may grow that has no reason to. */
import assert from 'node:assert/strict'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually } from '../../support/broker.ts'
import { LedgerProducer, createTopic } from '../support/ledger.ts'
import { cpuMs, metricSum, mib, openFiles, rssBytes } from '../support/process-watch.ts'
import { sleep } from '../support/toxic-proxy.ts'
import { complaints, verifyAll } from './scenario.ts'
import type { Scenario } from './scenario.ts'

const TOPICS = 20

async function laneObjects(store: string): Promise<number> {
  const entries = await readdir(join(store, 'lanes'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).length
}

/** Data files that the newest version of each table refers to, the most of one table; and the commits since its checkpoint. */
async function tableFiles(store: string): Promise<{ files: number; commits: number }> {
  let files = 0
  let commits = 0
  for (const topic of await readdir(join(store, 'topics'))) {
    const log = join(store, 'topics', topic, '_delta_log')
    const names = (await readdir(log)).sort()
    const active = new Set<string>()
    const checkpoint = names.filter((name) => name.includes('.checkpoint.')).map((name) => Number(name.slice(0, 20))).at(-1) ?? -1
    commits = Math.max(commits, names.filter((name) => name.endsWith('.json') && Number(name.slice(0, 20)) > checkpoint).length)
    for (const name of names.filter((other) => /^\d{20}\.json$/.test(other))) {
      for (const line of (await readFile(join(log, name), 'utf8')).split('\n')) {
        if (line === '') continue
        const action = JSON.parse(line) as { add?: { path: string }; remove?: { path: string } }
        if (action.add !== undefined) active.add(action.add.path)
        if (action.remove !== undefined) active.delete(action.remove.path)
      }
    }
    files = Math.max(files, active.size)
  }
  return { files, commits }
}

export const soak: readonly Scenario[] = [
  {
    name: 'soak: twenty topics with a table commit every 100 ms',
    async run(world) {
      const seconds = world.full ? 180 : 30
      const broker = await world.broker({ args: ['--table-flush-interval-ms', '100'] })
      const pid = broker.process.pid!
      const producers: LedgerProducer[] = []
      for (let i = 0; i < TOPICS; i++) {
        await createTopic(broker.address, `soak-${i}`, 1)
        producers.push(new LedgerProducer([broker.address], { topic: `soak-${i}`, partition: 0, records: 5, pauseMs: 20 }).start())
      }
      world.after(() => Promise.all(producers.map((producer) => producer.abandon())))
      const samples: { rss: number; lag: number; objects: number; files: number }[] = []
      const cpu = cpuMs(pid)
      const every = seconds / 10
      for (let i = 0; i < 10; i++) {
        await sleep(every * 1000)
        samples.push({
          rss: rssBytes(pid),
          lag: await metricSum(broker.http, 'nodejs_eventloop_lag_p99_seconds'),
          objects: await laneObjects(broker.store),
          files: openFiles(pid),
        })
      }
      const used = (cpuMs(pid) - cpu) / (seconds * 10)
      const flushes = await metricSum(broker.http, 'bayou_flushes_total')
      const tables = await tableFiles(broker.store)
      world.note(`${seconds} s, ${producers.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0)} batches, ${flushes} commits (${(flushes / seconds / TOPICS).toFixed(1)} per topic and second), ${used.toFixed(0)} % of a processor`)
      world.note(`memory ${samples.map(({ rss }) => mib(rss)).join(' ')}`)
      world.note(`event-loop lag p99 ${samples.map(({ lag }) => (lag * 1000).toFixed(0)).join(' ')} ms`)
      world.note(`lane objects ${samples.map(({ objects }) => objects).join(' ')}; open files ${samples.at(-1)!.files}`)
      world.note(`at most ${tables.files} data files in a table, ${tables.commits} commits since its checkpoint; flush lag ${(await metricSum(broker.http, 'bayou_flush_lag_seconds')).toFixed(2)} s`)
      assert.deepEqual(complaints(broker), [], 'no complaints in the log')
      assert.ok(tables.files < 120, `${tables.files} files in a table: they are merged`)
      assert.ok(samples.at(-1)!.objects < 2000, 'lanes are collected')
      const settled = samples.slice(4)
      assert.ok(Math.max(...settled.map(({ rss }) => rss)) < settled[0]!.rss + 120 * 1024 * 1024, 'memory does not grow')

      // SIGTERM under load: everything that was acknowledged is flushed, within the bound.
      const stopMs = performance.now()
      const code = await broker.stop()
      world.note(`stopped under load in ${Math.round(performance.now() - stopMs)} ms`)
      assert.equal(code, 0)
      assert.deepEqual(complaints(broker), [], 'no complaints at the stop')
      const recovered = await world.broker({ store: broker.store })
      const line = recovered.log.find(({ msg }) => msg === 'recovered')
      assert.equal(line?.['batches'], 0, 'everything had been flushed')
      await Promise.all(producers.map((producer) => producer.abandon()))
      await eventually('served', async () => (await metricSum(recovered.http, 'bayou_topics')) >= TOPICS)
      await verifyAll(recovered.address, producers)
      assert.equal(await recovered.stop(), 0)
    },
  },
]
