/** What the configs of a simulated topic mean for its logs: those that the runs use, by the names that they have in Kafka. */
import type { TopicLogConfig } from '../../storage/partition/types.ts'
import { logConfig } from '../support/log-config.ts'

export function simulatedConfig(configs: Readonly<Record<string, string>>): TopicLogConfig {
  const policies = (configs['cleanup.policy'] ?? '').split(',')
  const number = (name: string, otherwise: number): number => Number(configs[name] ?? otherwise)
  return {
    ...logConfig,
    timestampType: configs['message.timestamp.type'] === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
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
