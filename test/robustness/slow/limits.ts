/** Much of everything: connections, topics, partitions, members, bytes, garbage. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { KafkaError } from '../../../protocol/errors.ts'
import { Produce } from '../../../protocol/messages/00-produce.ts'
import { Fetch } from '../../../protocol/messages/01-fetch.ts'
import { Metadata } from '../../../protocol/messages/03-metadata.ts'
import { JoinGroup } from '../../../protocol/messages/11-join-group.ts'
import { Heartbeat } from '../../../protocol/messages/12-heartbeat.ts'
import { SyncGroup } from '../../../protocol/messages/14-sync-group.ts'
import { ApiVersions } from '../../../protocol/messages/18-api-versions.ts'
import { CreateTopics } from '../../../protocol/messages/19-create-topics.ts'
import { encodeRequestFrame } from '../../../protocol/messages/header.ts'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { eventually } from '../../support/broker.ts'
import { RawClient } from '../../support/raw-client.ts'
import { LedgerProducer, createTopic, verify } from '../support/ledger.ts'
import { MemoryWatch, cpuMs, metricSum, mib, openFiles, rssBytes } from '../support/process-watch.ts'
import { sleep } from '../support/toxic-proxy.ts'
import { portOf, stopAll, verifyAll } from './scenario.ts'
import type { Scenario } from './scenario.ts'

const MiB = 1024 * 1024

function open(address: string): Promise<Socket> {
  const socket = connect(portOf(address), '127.0.0.1')
  socket.on('error', () => undefined)
  return once(socket, 'connect').then(() => socket)
}

function batchOf(bytes: number): Uint8Array {
  return encodeBatch({ baseOffset: 0, records: [{ timestamp: Date.now(), key: null, value: Buffer.alloc(bytes, 'x') }] })
}

function produceFrame(topic: string, partition: number, batch: Uint8Array, acks = -1): Buffer {
  const request = { acks, timeoutMs: 30_000, topicData: [{ name: topic, partitionData: [{ index: partition, records: [batch] }] }] }
  return Buffer.concat(encodeRequestFrame(Produce, 7, { correlationId: 1, clientId: 'limits' }, request))
}

export const limits: readonly Scenario[] = [
  {
    name: 'limits: 1,000 connections, half of them slow',
    async run(world) {
      const broker = await world.broker()
      const pid = broker.process.pid!
      await createTopic(broker.address, 'many', 4)
      const before = rssBytes(pid)
      const frame = produceFrame('many', 0, batchOf(1000))
      // One byte now and then, of a request that would be fine.
      const slow = await Promise.all(Array.from({ length: 500 }, () => open(broker.address)))
      world.after(() => slow.forEach((socket) => socket.destroy()))
      let at = 0
      const drip = setInterval(() => {
        for (const socket of slow) socket.write(frame.subarray(at % 900, (at % 900) + 1))
        at++
      }, 100)
      world.after(() => clearInterval(drip))
      const clients = await Promise.all(Array.from({ length: 500 }, () => RawClient.connect(broker.address, { answerMs: 30_000 })))
      world.after(() => clients.forEach((client) => client.close()))
      const latencies: number[] = []
      const batch = batchOf(100)
      await Promise.all(clients.map(async (client, i) => {
        for (let round = 0; round < 5; round++) {
          const startedMs = performance.now()
          const answer = await client.send(Produce, 7, { acks: -1, timeoutMs: 10_000, topicData: [{ name: 'many', partitionData: [{ index: i % 4, records: [Buffer.from(batch)] }] }] })
          assert.equal(answer.responses[0]!.partitionResponses[0]!.errorCode, 0)
          latencies.push(performance.now() - startedMs)
          await sleep(500 * Math.random())
        }
      }))
      latencies.sort((a, b) => a - b)
      assert.equal(await metricSum(broker.http, 'bayou_connections'), 1000)
      const during = rssBytes(pid)
      world.note(`memory ${mib(before)} → ${mib(during)}, ${Math.round((during - before) / 1000 / 1024)} KiB per connection; ${openFiles(pid)} files`)
      world.note(`produce p50 ${latencies[latencies.length >> 1]!.toFixed(1)} ms, p99 ${latencies[Math.floor(latencies.length * 0.99)]!.toFixed(1)} ms`)
      assert.ok(during - before < 150 * MiB)
      clearInterval(drip)
      slow.forEach((socket) => socket.destroy())
      clients.forEach((client) => client.close())
      await eventually('all are gone', async () => (await metricSum(broker.http, 'bayou_connections')) === 0, 5000)
      assert.ok(openFiles(pid) < 100, `${openFiles(pid)} files are open`)
      assert.equal(await broker.stop(), 0)
    },
  },
  {
    name: 'limits: 10,000 topics',
    async run(world) {
      const count = world.full ? 10_000 : 4000
      const broker = await world.broker()
      const pid = broker.process.pid!
      const before = rssBytes(pid)
      const client = await RawClient.connect(broker.address, { answerMs: 120_000 })
      const createdMs = performance.now()
      for (let from = 0; from < count; from += 500) {
        const topics = Array.from({ length: 500 }, (_, i) => ({ name: `topic.${from + i}`, numPartitions: 1, replicationFactor: -1, assignments: [], configs: [] }))
        const answer = await client.send(CreateTopics, 5, { topics })
        assert.ok(answer.topics.every(({ errorCode }) => errorCode === 0))
      }
      const millis = performance.now() - createdMs
      const oneByOneMs = performance.now()
      for (let i = 0; i < 50; i++) await createTopic(broker.address, `single.${i}`, 1)
      world.note(`created ${count} in ${(millis / 1000).toFixed(1)} s in requests of 500, then single ones in ${((performance.now() - oneByOneMs) / 50).toFixed(1)} ms each`)
      world.note(`memory ${mib(before)} → ${mib(rssBytes(pid))}`)
      const metadataMs = performance.now()
      const metadata = await client.send(Metadata, 8, { topics: null })
      assert.equal(metadata.topics.length, count + 50)
      world.note(`metadata of all topics in ${Math.round(performance.now() - metadataMs)} ms`)

      const idle = async (): Promise<void> => {
        await eventually('the last checkpoints and collections are done', async () => {
          const before = await metricSum(broker.http, 'bayou_store_operations_total', /put/)
          await sleep(2000)
          return (await metricSum(broker.http, 'bayou_store_operations_total', /put/)) === before
        }, 60_000)
        const puts = await metricSum(broker.http, 'bayou_store_operations_total', /put/)
        const before = { cpu: cpuMs(pid), operations: await metricSum(broker.http, 'bayou_store_operations_total') }
        await sleep(5000)
        const cpu = (cpuMs(pid) - before.cpu) / 50
        const operations = ((await metricSum(broker.http, 'bayou_store_operations_total')) - before.operations) / 5
        const written = (await metricSum(broker.http, 'bayou_store_operations_total', /put/)) - puts
        world.note(`idle: ${cpu.toFixed(1)} % of a processor, ${operations.toFixed(1)} requests to the store per second, ${written} writes in 5 s`)
        assert.equal(written, 0)
        assert.ok(operations <= 2)
        assert.ok(cpu < 10, `idle costs ${cpu} % of a processor`)
      }
      await idle()
      for (let from = 0; from < 1000; from += 200) {
        const topicData = Array.from({ length: 200 }, (_, i) => ({ name: `topic.${from + i}`, partitionData: [{ index: 0, records: [batchOf(50)] }] }))
        const answer = await client.send(Produce, 7, { acks: -1, timeoutMs: 30_000, topicData })
        assert.ok(answer.responses.every(({ partitionResponses }) => partitionResponses[0]!.errorCode === 0))
      }
      const flushMs = performance.now()
      await eventually('all tables are written', async () => (await metricSum(broker.http, 'bayou_flush_lag_records')) === 0, 120_000)
      world.note(`a thousand tables begun and flushed in ${((performance.now() - flushMs) / 1000).toFixed(1)} s`)
      if (world.full) {
        // Files that were just committed are looked after for a minute.
        await sleep(70_000)
        await idle()
      }
      client.close()
      const stopMs = performance.now()
      assert.equal(await broker.stop(), 0)
      const restartMs = performance.now()
      const again = await world.broker({ store: broker.store })
      world.note(`stopped in ${Math.round(restartMs - stopMs)} ms, up again in ${Math.round(performance.now() - restartMs)} ms with ${mib(rssBytes(again.process.pid!))}`)
      assert.equal(await again.stop(), 0)
    },
  },
  {
    name: 'limits: 1,000 partitions produced to at once cost no more lane writes than one',
    async run(world) {
      const broker = await world.broker({ args: ['--lane-linger-ms', '20', '--table-flush-interval-ms', '60000'] })
      await createTopic(broker.address, 'narrow', 1)
      await createTopic(broker.address, 'wide', 1000)
      const client = await RawClient.connect(broker.address, { answerMs: 60_000 })
      const rate = async (topic: string, partitions: number): Promise<number> => {
        const before = await metricSum(broker.http, 'bayou_lane_segments_total')
        const startedMs = performance.now()
        const answers: Promise<unknown>[] = []
        for (let round = 0; performance.now() - startedMs < 3000; round++) {
          const partitionData = Array.from({ length: partitions }, (_, index) => ({ index, records: [batchOf(20)] }))
          answers.push(client.send(Produce, 7, { acks: -1, timeoutMs: 30_000, topicData: [{ name: topic, partitionData }] }).then((answer) => {
            assert.ok(answer.responses[0]!.partitionResponses.every(({ errorCode }) => errorCode === 0))
          }))
          await sleep(100)
        }
        await Promise.all(answers)
        return ((await metricSum(broker.http, 'bayou_lane_segments_total')) - before) / ((performance.now() - startedMs) / 1000)
      }
      const narrow = await rate('narrow', 1)
      const wide = await rate('wide', 1000)
      world.note(`lane writes per second: ${narrow.toFixed(1)} with 1 partition, ${wide.toFixed(1)} with 1,000`)
      assert.ok(wide < narrow * 1.5 + 2)
      const flushMs = performance.now()
      client.close()
      assert.equal(await broker.stop(), 0)
      world.note(`a thousand partitions flushed and stopped in ${((performance.now() - flushMs) / 1000).toFixed(1)} s`)
    },
  },
  {
    name: 'limits: requests of 100 MB from many clients at once',
    async run(world) {
      const broker = await world.broker()
      const pid = broker.process.pid!
      await createTopic(broker.address, 'big', 1)
      await createTopic(broker.address, 'small', 1)
      const polite = new LedgerProducer([broker.address], { topic: 'small', partition: 0, timeoutMs: 20_000 }).start()
      world.after(() => polite.abandon())
      await eventually('the load runs', () => polite.acknowledged.length > 20)
      const before = rssBytes(pid)
      const memory = new MemoryWatch(pid)
      const frame = produceFrame('big', 0, batchOf(99 * 1024 * 1024))
      const codes: number[] = []
      await Promise.all(Array.from({ length: 6 }, async () => {
        const socket = await open(broker.address)
        const answer = new Promise<number>((done) => {
          socket.once('data', (data: Buffer) => done(data.readInt16BE(14 + data.readInt16BE(12) + 8)))
          socket.once('close', () => done(-1))
        })
        socket.write(frame)
        codes.push(await answer)
        socket.destroy()
      }))
      const most = memory.stop()
      world.note(`six of them answered ${codes.join()}; memory ${mib(before)} → at most ${mib(most)}`)
      assert.deepEqual(codes, Array.from({ length: 6 }, () => KafkaError.MESSAGE_TOO_LARGE))
      // The budget of 128 MiB, one overdraft of 100 MiB, and as much again that the garbage collector has not seen yet.
      assert.ok(most - before < 500 * MiB)
      const reached = polite.acknowledged.length
      await eventually('others go on', () => polite.acknowledged.length > reached + 10)
      // And 100 MB that are announced and never come.
      const idle = await Promise.all(Array.from({ length: 50 }, () => open(broker.address)))
      for (const socket of idle) socket.write(frame.subarray(0, 20_000))
      await sleep(500)
      world.note(`after 50 that only announce them: ${mib(rssBytes(pid))}; polite producer ${polite.summary()}`)
      for (const socket of idle) socket.destroy()
      await polite.stop()
      await verify(broker.address, polite)
      assert.equal(await broker.stop(), 0)
    },
  },
  {
    name: 'limits: consumers that ask and never read',
    async run(world) {
      const budget = 64 * MiB
      const broker = await world.broker({ args: ['--queued-max-request-bytes', String(budget), '--socket-request-max-bytes', String(32 * MiB), '--cache-bytes', String(8 * MiB), '--cold-cache-bytes', String(8 * MiB)] })
      const pid = broker.process.pid!
      const producers = await world.load([broker.address], 'unread', 4, { records: 20, valueBytes: 10_000 })
      await eventually('enough to read', () => producers.every(({ acknowledged }) => acknowledged.length > 100), 60_000)
      await eventually('flushed', async () => (await metricSum(broker.http, 'bayou_flush_lag_records')) < 2000, 60_000)
      const before = rssBytes(pid)
      const memory = new MemoryWatch(pid)
      const deaf = await Promise.all(Array.from({ length: 30 }, () => open(broker.address)))
      world.after(() => deaf.forEach((socket) => socket.destroy()))
      for (const socket of deaf) socket.pause()
      // Each asks for everything, fifty times over, at different places.
      for (const [i, socket] of deaf.entries()) {
        for (let n = 0; n < 50; n++) {
          const topics = [{ topic: 'unread', partitions: [0, 1, 2, 3].map((partition) => ({ partition, fetchOffset: ((i * 50 + n) * 37) % 1900, partitionMaxBytes: 50 * MiB })) }]
          socket.write(Buffer.concat(encodeRequestFrame(Fetch, 11, { correlationId: n, clientId: 'deaf' }, { maxWaitMs: 100, minBytes: 1, maxBytes: 50 * MiB, topics })))
        }
      }
      await sleep(12_000)
      const most = memory.stop()
      const held = await metricSum(broker.http, 'bayou_request_memory_bytes')
      const evicted = 30 + 4 - (await metricSum(broker.http, 'bayou_connections'))
      world.note(`memory ${mib(before)} → at most ${mib(most)}; budget ${mib(held)} of ${mib(budget)}; ${evicted} of 30 were closed`)
      // Each connection has at most one answer beyond the limit.
      assert.ok(held < 3 * budget, `queued.max.request.bytes: ${mib(held)} of ${mib(budget)}`)
      const reached = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('others go on', () => producers.every(({ acknowledged }, i) => acknowledged.length > reached[i]! + 10), 30_000)
      assert.ok(most - before < 400 * MiB, `${mib(before)} → ${mib(most)}`)
      deaf.forEach((socket) => socket.destroy())
      await stopAll(producers)
      world.note(producers[0]!.summary())
      await verifyAll(broker.address, producers)
      assert.equal(await broker.stop(), 0)
    },
  },
  {
    name: 'limits: hostile frames in a loop',
    async run(world) {
      const broker = await world.broker()
      const pid = broker.process.pid!
      await createTopic(broker.address, 'victim', 1)
      const polite = new LedgerProducer([broker.address], { topic: 'victim', partition: 0, pauseMs: 20 }).start()
      world.after(() => polite.abandon())
      const good = produceFrame('victim', 0, batchOf(200))
      const kinds: ((random: () => number) => Buffer)[] = [
        // Noise; a length that cannot be; TLS; HTTP.
        (random) => Buffer.from(Array.from({ length: 200 }, () => Math.floor(random() * 256))),
        () => Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 18]),
        () => Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
        () => Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
        // A request that is fine but for a byte or two, and one that is cut short.
        (random) => {
          const bytes = Buffer.from(good)
          for (let i = 0; i < 3; i++) bytes[4 + Math.floor(random() * (bytes.length - 4))] = Math.floor(random() * 256)
          return bytes
        },
        (random) => good.subarray(0, 4 + Math.floor(random() * (good.length - 4))),
        // Arrays that claim to be long: every API, with counts of two thousand million.
        (random) => {
          const body = Buffer.alloc(64, 0x7f)
          body.writeInt32BE(60, 0)
          body.writeInt16BE(Math.floor(random() * 80), 4)
          body.writeInt16BE(Math.floor(random() * 14), 6)
          body.writeInt16BE(-1, 12)
          return body
        },
      ]
      const attack = async (rounds: number): Promise<number> => {
        let done = 0
        const one = async (): Promise<void> => {
          for (let i = 0; i < rounds; i++) {
            const socket = await open(broker.address).catch(() => null)
            if (socket === null) continue
            socket.write(kinds[done++ % kinds.length]!(Math.random))
            // Whether it is answered, closed, or waited for, is its business.
            await Promise.race([once(socket, 'close'), once(socket, 'data'), sleep(30)])
            socket.destroy()
          }
        }
        await Promise.all(Array.from({ length: 8 }, one))
        return done
      }
      await attack(150)
      const before = rssBytes(pid)
      const files = openFiles(pid)
      const lines = broker.log.length
      const sent = await attack(world.full ? 2000 : 500)
      await eventually('connections are gone', async () => (await metricSum(broker.http, 'bayou_connections')) <= 1, 10_000)
      await polite.stop()
      const after = rssBytes(pid)
      world.note(`${sent} hostile connections: memory ${mib(before)} → ${mib(after)}, files ${files} → ${openFiles(pid)}, ${broker.log.length - lines} log lines`)
      world.note(`polite producer: ${polite.summary()}`)
      assert.ok(after - before < 64 * MiB)
      assert.ok(broker.log.length - lines < 60, `${broker.log.length - lines} log lines`)
      assert.ok(!broker.log.some(({ msg }) => String(msg).startsWith('a bug')), 'no bug was found')
      assert.ok(!broker.log.some(({ msg }) => msg === 'a request failed unexpectedly'), JSON.stringify(broker.log.find(({ msg }) => msg === 'a request failed unexpectedly')))
      await readOnly(broker.address)
      assert.equal(await broker.stop(), 0)
    },
  },
  {
    name: 'limits: thousands of members in one group',
    async run(world) {
      const members = world.full ? 3000 : 1000
      const broker = await world.broker({ args: ['--group-initial-rebalance-delay-ms', '3000'] })
      const pid = broker.process.pid!
      await createTopic(broker.address, 'shared', 100)
      const before = rssBytes(pid)
      const clients = await Promise.all(Array.from({ length: members }, () => RawClient.connect(broker.address, { answerMs: 60_000 })))
      world.after(() => clients.forEach((client) => client.close()))
      const startedMs = performance.now()
      const request = {
        groupId: 'crowd', sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 60_000, memberId: '', protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: Buffer.from([0, 1, 0, 0, 0, 1, 0, 6, ...Buffer.from('shared'), 0xff, 0xff, 0xff, 0xff]) }],
      }
      const joined = await Promise.all(clients.map(async (client) => {
        const first = await client.send(JoinGroup, 5, request)
        return first.errorCode === KafkaError.MEMBER_ID_REQUIRED ? await client.send(JoinGroup, 5, { ...request, memberId: first.memberId }) : first
      }))
      assert.ok(joined.every(({ errorCode }) => errorCode === 0), `errors ${[...new Set(joined.map(({ errorCode }) => errorCode))].join()}`)
      // Those who came before the end of the join phase are of an older generation; everybody joins once more, as clients do.
      const newest = Math.max(...joined.map(({ generationId }) => generationId))
      world.note(`${members} members joined in ${Math.round(performance.now() - startedMs)} ms, generation ${newest}`)
      const leader = joined.find((answer) => answer.generationId === newest && answer.memberId === answer.leader)!
      assert.equal(leader.members.length, members)
      const assignments = leader.members.map(({ memberId }) => ({ memberId, assignment: Buffer.from('assigned') }))
      const syncMs = performance.now()
      const synced = await Promise.all(clients.map(async (client, i) => {
        const { memberId, generationId } = joined[i]!
        return await client.send(SyncGroup, 3, { groupId: 'crowd', generationId, memberId, assignments: memberId === leader.memberId ? assignments : [] })
      }))
      assert.ok(synced.every(({ errorCode }) => errorCode === 0), `errors ${[...new Set(synced.map(({ errorCode }) => errorCode))].join()}`)
      const beats = await Promise.all(clients.map(async (client, i) => (await client.send(Heartbeat, 3, { groupId: 'crowd', generationId: newest, memberId: joined[i]!.memberId })).errorCode))
      assert.ok(beats.every((code) => code === 0))
      world.note(`synced and heard of in ${Math.round(performance.now() - syncMs)} ms; memory ${mib(before)} → ${mib(rssBytes(pid))}`)
      assert.ok(rssBytes(pid) - before < 300 * MiB)
      assert.equal(await broker.stop(), 0)
    },
  },
]

async function readOnly(address: string): Promise<void> {
  const client = await RawClient.connect(address)
  assert.equal((await client.send(ApiVersions, 0, {})).errorCode, 0)
  client.close()
}
