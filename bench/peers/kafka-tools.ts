/** Apache Kafka's own performance tools as clients: what they print, as numbers. */
import type { Numbers } from '../stats.ts'
import { runToEnd } from './processes.ts'

const toolMsMax = 180_000
const java = ['-Xmx512m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn']

export type KafkaTool = 'ProducerPerformance' | 'ConsumerPerformance' | 'EndToEndLatency'

export async function runKafkaTool(classPath: string, tool: KafkaTool, args: readonly string[]): Promise<string> {
  return await runToEnd('java', [...java, '-cp', classPath, `org.apache.kafka.tools.${tool}`, ...args], { timeoutMs: toolMsMax })
}

/** The last line of kafka-producer-perf-test. Throws when there is none. */
export function parseProducerPerformance(output: string): Numbers {
  const line = output.trim().split('\n').findLast((one) => one.includes('99.9th')) ?? ''
  const match = /([\d.]+) records\/sec.*?\(([\d.]+) MB\/sec\).*?([\d.]+) ms avg latency.*?([\d.]+) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th/.exec(line)
  if (match === null) throw new Error(`ProducerPerformance said: ${output.slice(-500)}`)
  const [recordsPerSecond, mebibytesPerSecond, meanMs, maxMs, p50Ms, , p99Ms] = match.slice(1).map(Number) as [number, number, number, number, number, number, number]
  return { recordsPerSecond, megabytesPerSecond: mebibytesPerSecond * 1.048_576, meanMs, maxMs, p50Ms, p99Ms }
}

/** The row of kafka-consumer-perf-test, by the names in its header. The rate is that of fetching, without the group's rebalance. */
export function parseConsumerPerformance(output: string): Numbers {
  const lines = output.trim().split('\n').map((line) => line.split(',').map((cell) => cell.trim()))
  const header = lines.findIndex((cells) => cells.includes('fetch.nMsg.sec'))
  const row = lines[header + 1]
  const cell = (name: string): number => Number(row?.[lines[header]?.indexOf(name) ?? -1])
  const numbers = { recordsPerSecond: cell('fetch.nMsg.sec'), megabytesPerSecond: cell('fetch.MB.sec') * 1.048_576, rebalanceMs: cell('rebalance.time.ms') }
  if (!Number.isFinite(numbers.recordsPerSecond)) throw new Error(`ConsumerPerformance said: ${output.slice(-500)}`)
  return numbers
}

/** "Avg latency: x ms" and "Percentiles: 50th = a, 99th = b, 99.9th = c". */
export function parseEndToEndLatency(output: string): Numbers {
  const mean = /Avg latency: ([\d.]+) ms/.exec(output)
  const percentiles = /50th = ([\d.]+), 99th = ([\d.]+), 99.9th = ([\d.]+)/.exec(output)
  if (mean === null || percentiles === null) throw new Error(`EndToEndLatency said: ${output.slice(-500)}`)
  return { meanMs: Number(mean[1]), p50Ms: Number(percentiles[1]), p99Ms: Number(percentiles[2]), p999Ms: Number(percentiles[3]) }
}
