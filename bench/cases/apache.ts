/** Apache Kafka's own performance tools, as its users know them. */
import { parseConsumerPerformance, parseEndToEndLatency, parseProducerPerformance, runKafkaTool } from '../peers/kafka-tools.ts'
import type { KafkaTool } from '../peers/kafka-tools.ts'
import type { Numbers } from '../stats.ts'
import type { Target } from '../target.ts'
import type { Case, CaseContext, Column } from './case.ts'
import { bandwidth, p50, p99, recordRate, withKafka } from './case.ts'
import { Meter, load } from './parts.ts'

const topic = 'apache'
const shape = { theme: "Apache Kafka's own tools", subjects: withKafka, stores: ['minio'], needs: 'kafka-tools' } as const

export const apacheCases: readonly Case[] = [
  toolCase('apache-producer', 'ProducerPerformance, 100 B, as fast as it goes, acks=all, its defaults otherwise', [recordRate, bandwidth, p50, p99], (context, target) =>
    produce(context, target, context.quick ? 1_000_000 : 3_000_000),
  ),
  {
    ...toolCase('apache-consumer', 'ConsumerPerformance, 100 B, after ProducerPerformance, without the time of the rebalance', [recordRate, bandwidth], async (context, target) => {
      const records = context.quick ? 1_000_000 : 3_000_000
      await produce(context, target, records)
      return parseConsumerPerformance(await tool(context, 'ConsumerPerformance', ['--bootstrap-server', target.address, '--topic', topic, '--num-records', String(records)]))
    }),
  },
  toolCase('apache-end-to-end', 'EndToEndLatency, one record of 100 B after the other, acks=all', [p50, p99], async (context, target) =>
    parseEndToEndLatency(await tool(context, 'EndToEndLatency', [target.address, topic, context.quick ? '2000' : '5000', 'all', '100'])),
  ),
]

function toolCase(name: string, about: string, columns: readonly [Column, ...Column[]], run: (context: CaseContext, target: Target) => Promise<Numbers>): Case {
  return {
    ...shape,
    name,
    about,
    columns,
    async run(context) {
      const target = await context.start()
      await load(context, target, 'create', { topic })
      const meter = await Meter.start(target)
      const numbers = await run(context, target)
      const cost = await meter.stop()
      await target.stop()
      return { ...numbers, ...cost }
    },
  }
}

async function produce(context: CaseContext, target: Target, records: number): Promise<Numbers> {
  return parseProducerPerformance(
    await tool(context, 'ProducerPerformance', [
      '--topic', topic, '--num-records', String(records), '--record-size', '100', '--throughput', '-1', '--bootstrap-server', target.address,
      '--command-property', 'acks=all', '--warmup-records', String(records / 5),
    ]),
  )
}

function tool(context: CaseContext, name: KafkaTool, args: readonly string[]): Promise<string> {
  return runKafkaTool(context.kafkaTools(), name, args)
}
