/**
 * Our files under other people's readers, and files of other people's writers under ours. Needs a Python with pyarrow, and takes
 * duckdb as well if it is there.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { encodeBatch } from '../../../protocol/records/encoder.ts'
import { joinBody } from '../../../storage/objects/keys.ts'
import { InlineParquet } from '../../../storage/parquet/inline-parquet.ts'
import { plainBatches, plainFile, plainRecords, utf8 } from './sample-records.ts'

const python = process.env['BAYOU_PYTHON']
const options = { skip: python === undefined ? 'BAYOU_PYTHON does not name a Python with pyarrow' : false, timeout: 120_000 }
const script = fileURLToPath(new URL('./foreign_readers.py', import.meta.url))
const parquet = new InlineParquet()
let folder = ''

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'bayou-parquet-'))
})
after(() => rmSync(folder, { recursive: true }))

function run(...args: string[]): unknown {
  return JSON.parse(execFileSync(python!, [script, ...args], { encoding: 'utf8', maxBuffer: 2 ** 28 }))
}

interface ForeignRow {
  readonly offset: number
  readonly micros: number | null
  readonly timestampType: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [string, string | null])[] | null
}

interface ForeignRead {
  readonly pyarrow: ForeignRow[]
  readonly duckdb: ForeignRow[] | null
  readonly schema: string
  readonly meta: { readonly ranges: number[][]; readonly sorted: number[][]; readonly pageIndex: boolean }
}

const edgeCases = [
  encodeBatch({
    baseOffset: 0,
    records: [
      { timestamp: -1, key: null, value: null },
      { timestamp: 0, key: utf8(''), value: utf8(''), headers: [] },
      {
        timestamp: -1500, key: new Uint8Array([0, 255]), value: utf8('x'),
        headers: [{ key: 'größe', value: utf8('') }, { key: '', value: null }],
      },
      {
        timestamp: 253_402_300_799_999, key: null, value: null,
        headers: [{ key: new Uint8Array([0xff]), value: null }, { key: 'a', value: utf8('a') }],
      },
    ],
  }),
  encodeBatch({
    baseOffset: 4, timestampType: 1, codec: 4, records: [{ timestamp: 1_700_000_000_123, key: null, value: utf8('append time') }],
  }),
]

test('pyarrow and DuckDB read every row of our files as it was produced', options, async () => {
  for (const compression of ['none', 'snappy', 'gzip', 'lz4', 'zstd'] as const) {
    const batches = [...edgeCases, ...plainBatches(100, 50, 1000)]
    const encoded = await parquet.encode({ partition: 0, batches, fromOffset: 0, endOffset: 1e9, compression, rowGroupRows: 1200 })
    const path = join(folder, `${compression}.parquet`)
    writeFileSync(path, joinBody(encoded.parquet!))
    const expected = plainRecords(batches).map((record): ForeignRow => ({
      offset: record.offset,
      micros: record.timestamp === -1 ? null : record.timestamp * 1000,
      timestampType: record.timestampType,
      key: record.key,
      value: record.value,
      headers: record.headers.length === 0 ? null : record.headers.map((header) => [storedKey(header.key), header.value] as const),
    }))
    const read = run('read', path) as ForeignRead
    assert.deepEqual(read.pyarrow, expected)
    if (read.duckdb !== null) assert.deepEqual(read.duckdb, expected)
    assert.equal(read.schema, [
      'offset: int64', 'timestamp: timestamp[us, tz=UTC]', 'timestampType: int32', 'key: binary', 'value: binary',
      'headers: list<element: struct<key: string, value: binary>>', '  child 0, element: struct<key: string, value: binary>',
      '      child 0, key: string', '      child 1, value: binary',
    ].join('\n'))
    assert.equal(read.meta.ranges.length, 5)
    assert.deepEqual(read.meta.ranges.at(-1)!.slice(1), [5999, 0])
    assert.ok(read.meta.sorted.every((columns) => columns.length === 1 && columns[0] === 0))
    // Of files that the Parquet library writes; ours have small row groups with statistics instead.
    assert.equal(read.meta.pageIndex, !['none', 'zstd'].includes(compression))
  }
})

test('files of pyarrow and DuckDB in all their encodings are read in the order of offsets', options, async () => {
  const names = run('write', folder) as string[]
  assert.ok(names.length >= 9)
  const expected = Array.from({ length: 2000 }, (_, i) => ({
    offset: i, timestamp: 1_700_000_000_000 + i, timestampType: 0, key: i % 5 === 0 ? null : hex(`k${i % 3}`), value: hex(`value-${i}`),
    headers: i % 4 === 0 ? [{ key: hex('h'), value: hex(String(i)) }] : [],
  }))
  for (const name of names) {
    const file = readFileSync(join(folder, name))
    const whole = await parquet.decode({ file, fromOffset: 0, maxBytes: 1e9 })
    assert.deepEqual(plainFile(whole), expected, name)
    assert.equal(whole.done, true)
    const range = await parquet.offsetRange({ file })
    assert.deepEqual(range, { rows: 2000, rowsWithoutOffset: 0, minOffset: 0, maxOffset: 1999 }, name)
    if (name === 'int96.parquet' || name === 'millis.parquet') continue
    const merged = await parquet.mergeByOffset({ files: [file], compression: 'zstd' })
    assert.deepEqual(plainFile(await parquet.decode({ file: joinBody(merged.parquet!), fromOffset: 0, maxBytes: 1e9 })), expected, name)
  }
})

const hex = (text: string): string => Buffer.from(text).toString('hex')

/** The stored form of a key in hexadecimal, for the keys above: text, or the one byte that is none. */
function storedKey(key: string): string {
  return key === 'ff' ? '\uFFFDff' : Buffer.from(key, 'hex').toString()
}
