import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logConfigOf } from '../../src/cluster/topic-configs.ts'
import { defaultConfig } from '../../src/config/settings.ts'

test('compaction by key: on where the cleanup policy says so, with the values of the topic, else of the broker', () => {
  const config = { ...defaultConfig(), 'log.cleaner.min.compaction.lag.ms': 7, 'log.cleaner.delete.retention.ms': 8 }
  assert.equal(logConfigOf({}, config).compaction, undefined)
  const compact = logConfigOf({ 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.01', 'delete.retention.ms': '86400', 'max.compaction.lag.ms': '5' }, config)
  assert.deepEqual(compact.compaction, { minDirtyRatio: 0.01, deleteRetentionMs: 86_400, minLagMs: 7, maxLagMs: 5 })
  assert.equal(compact.retention, undefined)
  const both = logConfigOf({ 'cleanup.policy': 'compact, delete', 'retention.ms': '9' }, config)
  assert.deepEqual(both.compaction, { minDirtyRatio: 0.5, deleteRetentionMs: 8, minLagMs: 7, maxLagMs: 2 ** 63 })
  assert.equal(both.retention?.ms, 9)
})
