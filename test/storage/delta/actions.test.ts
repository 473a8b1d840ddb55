import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { decodePath, encodeCommit, encodePath, parseCommit } from '../../../storage/delta/actions.ts'
import { durationProperty, guidOf, suspension, tableProtocol, topicFields, topicMetadata, topicSchemaString } from '../../../storage/delta/schema.ts'
import { encodeStats, parseStats } from '../../../storage/delta/stats.ts'
import { fileStats } from '../../../storage/maintenance/file-stats.ts'
import { addOf, removeOf, topicId } from './support.ts'

const parse = (text: string) => parseCommit(Buffer.from(text), 'test')
function features(readerFeatures: string[], writerFeatures: string[]) {
  return { minReaderVersion: 3, minWriterVersion: 7, readerFeatures, writerFeatures }
}

const metadata = topicMetadata({ topicId, name: 'orders' }, 1)

describe('actions', () => {
  test('are written as one JSON object per line, without blank lines, and read back equal', () => {
    const commit = {
      commitInfo: { timestamp: 1, operation: 'WRITE', bayouCommitId: 'x' },
      protocol: tableProtocol,
      metadata,
      txns: [{ appId: 'a', version: 3 }],
      adds: [addOf(0, 0, 1)],
      removes: [removeOf(addOf(0, 0, 1, 'old'))],
    }
    const bytes = encodeCommit(commit)
    const lines = Buffer.from(bytes).toString().split('\n')
    assert.equal(lines.pop(), '')
    assert.deepEqual(lines.map((line) => Object.keys(JSON.parse(line) as object)), [
      ['commitInfo'], ['protocol'], ['metaData'], ['txn'], ['remove'], ['add'],
    ])
    assert.deepEqual(parseCommit(bytes, 'test'), { ...commit, sidecars: [] })
    assert.equal(typeof (JSON.parse(lines[5] as string) as { add: { stats: unknown } }).add.stats, 'string')
  })

  test('of kinds and fields that are not known are skipped', () => {
    const commit = parse('{"cdc":{"path":"x"}}\r\n\n{"txn":{"appId":"a","version":1,"novel":[]},"also":3}\n{"newAction":null}')
    assert.deepEqual(commit.txns, [{ appId: 'a', version: 1 }])
    assert.equal(commit.adds.length, 0)
  })

  test('that are broken are refused with the place', () => {
    const lines = ['{', '[]', '3', '{"add":{"size":1}}', '{"txn":{"appId":"a"}}', '{"protocol":{}}', '{"metaData":{"id":"x"}}', '{"add":{"path":"p"}}']
    for (const line of lines) assert.throws(() => parse(line), { name: 'DeltaError', kind: 'corrupt', message: /^test: / }, line)
  })

  test('never crash the reader but with a DeltaError', () => {
    const kinds = fc.constantFrom('add', 'remove', 'txn', 'protocol', 'metaData', 'commitInfo', 'sidecar', 'x')
    fc.assert(
      fc.property(fc.array(fc.tuple(kinds, fc.jsonValue())), (actions) => {
        try {
          parse(actions.map(([kind, value]) => JSON.stringify({ [kind]: value })).join('\n'))
        } catch (error) {
          assert.equal((error as Error).name, 'DeltaError')
        }
      }),
      { numRuns: 300 },
    )
  })

  test('have percent-encoded paths', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (path) => assert.equal(decodePath(encodePath(path)), path)))
    assert.equal(encodePath('partition=3/00000000000000000000-abc_-.parquet'), 'partition=3/00000000000000000000-abc_-.parquet')
    assert.equal(encodePath('a b/ü%.parquet'), 'a%20b/%C3%BC%25.parquet')
  })
})

describe('statistics', () => {
  test('are read back, and unknown where they make no sense', () => {
    const stats = encodeStats({ numRecords: 3, minOffset: 5, maxOffset: 9, minTimestampMs: 0, maxTimestampMs: 1_700_000_000_123 })
    const { maxTimestampMs, ...rest } = parseStats(stats)
    assert.deepEqual(rest, { nullValues: undefined, minTimestampMs: 0, records: 3, nullOffsets: 0, range: { kind: 'known', first: 5, last: 9 } })
    assert.ok(maxTimestampMs !== undefined && maxTimestampMs >= 1_700_000_000_123)
    assert.match(stats, /"timestamp":"2023-11-14T22:13:20.123Z"/)
    const unknown = [undefined, '', '{', 'null', '3', '{}', '{"numRecords":3}', '{"numRecords":3,"minValues":{"offset":1}}',
      '{"numRecords":3,"minValues":{"offset":5},"maxValues":{"offset":4},"nullCount":{"offset":1}}',
      '{"numRecords":3,"minValues":{"offset":1.5},"maxValues":{"offset":4}}', '{"numRecords":3,"nullCount":{"offset":2}}']
    for (const text of unknown) assert.equal(parseStats(text).range.kind, 'unknown', text)
    assert.deepEqual(parseStats('{"numRecords":0}').range, { kind: 'none' })
    assert.deepEqual(parseStats('{"numRecords":2,"nullCount":{"offset":2}}').range, { kind: 'none' })
  })

  test('never state a bound that a reader could not parse or that is narrower than the rows', () => {
    const nullCounts = { offset: 0, timestamp: 1, timestampType: 0, key: 0, value: 0, headers: 0 }
    const written = { parquet: null, rows: 2, minOffset: 1, maxOffset: 2, minTimestampMicros: 1_001, maxTimestampMicros: 2_001, nullCounts }
    assert.deepEqual(JSON.parse(fileStats(written)), {
      numRecords: 2,
      minValues: { offset: 1, timestamp: '1970-01-01T00:00:00.001Z' },
      maxValues: { offset: 2, timestamp: '1970-01-01T00:00:00.003Z' },
      nullCount: { offset: 0, timestamp: 1, value: 0 },
    })
    assert.doesNotMatch(fileStats({ ...written, maxTimestampMicros: 9e18 }), /timestamp":"/)
    assert.doesNotMatch(fileStats({ ...written, minTimestampMicros: -9e18 }), /timestamp":"/)
  })
})

describe('the schema of a topic', () => {
  test('is the one that is documented', () => {
    assert.deepEqual(topicFields.map((field) => [field.name, field.nullable]), [
      ['partition', true], ['offset', true], ['timestamp', true], ['timestampType', true], ['key', true], ['value', true], ['headers', true],
    ])
    assert.equal(JSON.parse(topicSchemaString).fields[6].type.elementType.fields[1].type, 'binary')
    assert.deepEqual(metadata.partitionColumns, ['partition'])
    assert.match(guidOf(topicId), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    const clash = { name: 'Offset', type: 'long', nullable: true, metadata: {} }
    assert.throws(() => topicMetadata({ topicId, extraFields: [clash] }, 1), RangeError)
  })

  test('may be changed by others only in ways that Bayou can honour', () => {
    const fields = JSON.parse(topicSchemaString).fields as Record<string, unknown>[]
    const schema = (change: (all: Record<string, unknown>[]) => unknown[]) => ({
      ...metadata, schemaString: JSON.stringify({ type: 'struct', fields: change(structuredClone(fields)) }),
    })
    const set = (configuration: Record<string, string>) => ({ ...metadata, configuration: { ...metadata.configuration, ...configuration } })
    const extra = { name: 'extra', type: 'string', nullable: true, metadata: {} }
    const fine = [
      metadata, schema((all) => [...all, extra]), set({ 'delta.appendOnly': 'true' }), set({ 'delta.columnMapping.mode': 'none' }),
      set({ 'delta.enableChangeDataFeed': 'true' }), { ...metadata, id: 'other' },
    ]
    for (const each of fine) assert.equal(suspension(tableProtocol, each), null)
    const bad = [
      schema((all) => all.slice(1)), schema((all) => [...all, { ...extra, nullable: false }]),
      schema((all) => all.map((field) => (field['name'] === 'value' ? { ...field, type: 'string' } : field))),
      schema((all) => all.map((field) => (field['name'] === 'key' ? { ...field, nullable: false } : field))),
      schema((all) => [...all, { ...extra, metadata: { 'delta.generationExpression': 'x' } }]),
      set({ 'delta.constraints.a': 'true' }), set({ 'delta.columnMapping.mode': 'name' }), set({ 'delta.enableDeletionVectors': 'true' }),
      set({ 'delta.enableRowTracking': 'TRUE' }), set({ 'delta.enableInCommitTimestamps': 'true' }),
      { ...metadata, partitionColumns: [] }, { ...metadata, schemaString: '{' }, { ...metadata, format: { provider: 'orc', options: {} } },
    ]
    for (const each of bad) assert.equal(typeof suspension(tableProtocol, each), 'string', JSON.stringify(each))
    assert.equal(suspension(features(['timestampNtz'], ['timestampNtz', 'appendOnly']), metadata), null)
    assert.match(suspension(features(['deletionVectors'], ['deletionVectors']), metadata) ?? '', /deletionVectors/)
    assert.match(suspension(features([], ['rowTracking']), metadata) ?? '', /rowTracking/)
    assert.match(suspension({ minReaderVersion: 4, minWriterVersion: 2 }, metadata) ?? '', /reader version 4/)
  })

  test('has properties with durations', () => {
    const ms = (text: string) => durationProperty({ ...metadata, configuration: { p: text } }, 'p')
    assert.deepEqual(['interval 30 days', '1 week', 'INTERVAL 2 days 12 hours', '90 minutes'].map(ms), [
      30 * 86_400_000, 7 * 86_400_000, 60 * 3_600_000, 90 * 60_000,
    ])
    assert.deepEqual(['', 'interval', '1 month', 'soon', '3'].map(ms), [undefined, undefined, undefined, undefined, undefined])
    assert.equal(durationProperty(metadata, 'q'), undefined)
  })
})
