// Reads a topic with local timestamps, writes a topic with epoch milliseconds. Offsets are committed after what they stand for was written
// and acknowledged, so a crash repeats records and loses none.
//
//   node etl.js events|flights COUNT      ends when COUNT records have been written
import { kafka } from './kafka.js'
import { epochOf } from './local-time.js'

const transforms = {
  events: ({ device, event, at }) => ({ device, event, epochMs: epochOf(device, at) }),
  flights: ({ date, zone, ...flight }) => ({ ...flight, zone, epochMs: epochOf(zone, `${date.replaceAll('/', '-').replace(' ', 'T')}:00`) }),
}

const [kind, count] = [process.argv[2], Number(process.argv[3])]
const transform = transforms[kind]
const consumer = kafka.consumer({ groupId: `etl-${kind}`, maxWaitTimeInMs: 200 })
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
await Promise.all([consumer.connect(), producer.connect()])
await consumer.subscribe({ topic: `${kind}-local`, fromBeginning: true })

let written = 0
const done = Promise.withResolvers()
await consumer.run({
  autoCommitInterval: 500,
  eachBatchAutoResolve: true,
  eachBatch: async ({ batch }) => {
    const messages = batch.messages.map(({ key, value }) => {
      const row = transform(JSON.parse(value.toString()))
      return { key, value: JSON.stringify(row), timestamp: String(row.epochMs) }
    })
    await producer.send({ topic: `${kind}-utc`, acks: -1, messages })
    written += messages.length
    if (written >= count) done.resolve()
  },
})
await done.promise
await consumer.disconnect()
await producer.disconnect()
console.log(`${kind}: ${written} records written in UTC`)
