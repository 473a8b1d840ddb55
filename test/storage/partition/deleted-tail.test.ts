/** Rows that somebody deleted from a table at the end of the log: readers get past them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attributes, baseOffset, computeCrc, crc, isControl, lastOffset } from '../../../protocol/records/batch.ts'
import type { ReadOutcome } from '../../../storage/partition/types.ts'
import { TestHost, batchOf, openLog } from './support.ts'

const request = { maxBytes: 100_000, atLeastOne: true, isolation: 'readUncommitted' } as const

function onlyBatch(outcome: ReadOutcome): Uint8Array {
  assert.ok(outcome.kind === 'records')
  assert.equal(outcome.chunks.length, 1)
  return outcome.chunks[0]!
}

test('a batch without messages covers the gap up to the high watermark', async () => {
  const host = new TestHost(0)
  const log = openLog(host)
  log.append(batchOf(['a', 'b', 'c']), { origin: 'client' })
  log.append(batchOf(['d', 'e']), { origin: 'client' })
  await host.settle()
  host.cache.trim()
  log.markFlushed(5)
  // Of the five rows the table still has the first two.
  host.cold.batches = [batchOf(['a', 'b'])]
  const kept = onlyBatch(await log.read({ ...request, fromOffset: 0 }))
  assert.equal(lastOffset(kept, 0), 1)
  const gap = onlyBatch(await log.read({ ...request, fromOffset: 2 }))
  assert.deepEqual([baseOffset(gap, 0), lastOffset(gap, 0), isControl(attributes(gap, 0))], [2, 4, true])
  assert.equal(crc(gap, 0), computeCrc(gap, 0))

  // What comes behind the gap is read as ever.
  log.append(batchOf(['f']), { origin: 'client' })
  await host.settle()
  for (const fromOffset of [2, 4, 5]) assert.equal(lastOffset(onlyBatch(await log.read({ ...request, fromOffset })), 0), 5)
})

test('records that are durable and in no table yet are no gap', async () => {
  const host = new TestHost(0)
  const log = openLog(host)
  log.append(batchOf(['a', 'b', 'c']), { origin: 'client' })
  await host.settle()
  host.cache.trim()
  log.markFlushed(3)
  log.append(batchOf(['d']), { origin: 'client' })
  assert.partialDeepStrictEqual(await log.read({ ...request, fromOffset: 0 }), { kind: 'records', bytes: 0 }, 'they are about to be readable')
  await host.settle()
  assert.equal(baseOffset(onlyBatch(await log.read({ ...request, fromOffset: 0 })), 0), 3)
})
