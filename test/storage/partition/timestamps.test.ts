import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { timestampMsMax } from '../../../storage/limits.ts'
import { HotCache } from '../../../storage/partition/hot-cache.ts'
import { StoredPartitionLog } from '../../../storage/partition/log.ts'
import type { PartitionHost } from '../../../storage/partition/log.ts'
import { testEnv } from '../../support/env.ts'
import { logConfig } from '../../support/log-config.ts'

function logWithoutTimeLimits(): StoredPartitionLog {
  const unused = (): never => assert.fail('not used here')
  const host: PartitionHost = {
    env: testEnv(1n),
    cache: new HotCache(1024 * 1024),
    submit: () => undefined,
    batchDurable: unused,
    batchReleased: unused,
    readLane: unused,
    cold: { read: unused, offsetForTimestamp: unused, offsetOfMaxTimestamp: unused },
  }
  return new StoredPartitionLog(host, 'AAAAAAAAAAAAAAAAAAAAAQ', 0, 1, logConfig)
}

test('a timestamp is taken exactly where its microseconds are a safe integer; beyond that it is INVALID_TIMESTAMP', () => {
  assert.ok(Number.isSafeInteger(timestampMsMax * 1000))
  assert.ok(!Number.isSafeInteger((timestampMsMax + 1) * 1000))
  const kindOf = (...timestamps: number[]): string => {
    const records = timestamps.map((timestamp) => ({ timestamp, key: null, value: Buffer.from('v') }))
    return logWithoutTimeLimits().append(encodeBatch({ baseOffset: 0, records }), { origin: 'client' }).kind
  }
  for (const good of [timestampMsMax, -timestampMsMax, 0, -1, 1]) assert.equal(kindOf(good), 'appended', String(good))
  for (const bad of [timestampMsMax + 1, -timestampMsMax - 1]) {
    assert.equal(kindOf(bad), 'invalidTimestamp', String(bad))
    assert.equal(kindOf(1, bad, 2), 'invalidTimestamp', `${bad} between others`)
  }
})
