/** A topic's config for tests of storage: everything is taken, and flushed soon. */
import type { TopicLogConfig } from '../../storage/partition/types.ts'

export const logConfig: TopicLogConfig = {
  maxMessageBytes: 1024 * 1024,
  timestampType: 'CreateTime',
  timestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  timestampAfterMaxMs: Number.MAX_SAFE_INTEGER,
  compression: 'producer',
  segment: { bytes: 64 * 1024 * 1024, ms: 604_800_000 },
  fileDeleteDelayMs: 60_000,
  flushIntervalMs: 10,
  flushBytes: 1024 * 1024,
}
