// A device somewhere in the world: sends events with the time of its wall clock, in a zone of its own.
//
//   node produce-events.js ZONE COUNT
import { kafka } from './kafka.js'
import { localTime } from './local-time.js'

const [zone, count] = [process.argv[2], Number(process.argv[3])]
const producer = kafka.producer()
await producer.connect()
for (let sent = 0; sent < count; ) {
  const size = Math.min(50, count - sent)
  const messages = Array.from({ length: size }, (_, n) => ({
    key: zone,
    value: JSON.stringify({ device: zone, event: sent + n, at: localTime(zone, Date.now()) }),
  }))
  await producer.send({ topic: 'events-local', messages })
  sent += size
}
await producer.disconnect()
console.log(`${zone}: ${count} events sent`)
