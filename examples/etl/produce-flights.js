// Real data: flights of January to March 2001 (vega-datasets), whose departure is written in the local time of the airport that they leave from.
//
//   node produce-flights.js
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kafka } from './kafka.js'
import { zoneOfState } from './us-zones.js'

const data = join(import.meta.dirname, 'node_modules/vega-datasets/data')
const flights = JSON.parse(readFileSync(join(data, 'flights-20k.json'), 'utf8'))
const states = new Map(
  readFileSync(join(data, 'airports.csv'), 'utf8')
    .split('\n')
    .map((line) => /^(\w+),.*,([A-Z]{2}),USA,/.exec(line))
    .filter((match) => match !== null)
    .map(([, iata, state]) => [iata, state]),
)

const producer = kafka.producer()
await producer.connect()
for (let i = 0; i < flights.length; i += 500) {
  const messages = flights.slice(i, i + 500).map((flight) => ({
    key: flight.origin,
    value: JSON.stringify({ ...flight, zone: zoneOfState(states.get(flight.origin)) }),
  }))
  await producer.send({ topic: 'flights-local', messages })
}
await producer.disconnect()
console.log(`${flights.length} flights sent`)
