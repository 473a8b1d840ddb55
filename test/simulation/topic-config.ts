/** What the configs of a simulated topic mean for its logs: those that the runs use, by the names that they have in Kafka. */
import type { TopicLogConfig } from '../../storage/partition/types.ts'

export function simulatedConfig(configs: Readonly<Record<string, string>>): Omit<TopicLogConfig, 'flushBytes' | 'flushIntervalMs'> {
  const policies = (configs['cleanup.policy'] ?? '').split(',')
  const number = (name: string, otherwise: number): number => Number(configs[name] ?? otherwise)
  return {
    maxMessageBytes: 1_000_000,
    timestampType: configs['message.timestamp.type'] === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
    timestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
    timestampAfterMaxMs: Number.MAX_SAFE_INTEGER,
    compression: 'producer',
    segment: { bytes: 64 * 1024 * 1024, ms: 604_800_000 },
    fileDeleteDelayMs: 60_000,
    ...(policies.includes('delete') ? { retention: { ms: number('retention.ms', -1), bytes: -1 } } : {}),
    ...(policies.includes('compact')
      ? {
          compaction: {
            minDirtyRatio: number('min.cleanable.dirty.ratio', 0.5),
            deleteRetentionMs: number('delete.retention.ms', 86_400_000),
            minLagMs: number('min.compaction.lag.ms', 0),
            maxLagMs: number('max.compaction.lag.ms', Number.MAX_SAFE_INTEGER),
          },
        }
      : {}),
  }
}
