// The client of all three programs. BROKER is where the broker listens.
import { Kafka, logLevel } from 'kafkajs'

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'

export const kafka = new Kafka({
  clientId: 'etl-example',
  brokers: [process.env.BROKER ?? '127.0.0.1:9092'],
  logLevel: logLevel.WARN,
})
