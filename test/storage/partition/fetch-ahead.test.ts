import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { FetchAhead, FileGoneError } from '../../../storage/partition/fetch-ahead.ts'

const kib = 1024
const tail = 64 * kib

/** Says which ranges are fetched. */
class RangeStore extends MemoryStore {
  readonly ranges: string[] = []
  broken = false

  override getRange(...[key, start, end]: Parameters<MemoryStore['getRange']>): ReturnType<MemoryStore['getRange']> {
    this.ranges.push(`${key} ${start}–${end}`)
    return this.broken ? Promise.reject(new Error('out of order')) : super.getRange(key, start, end)
  }
}

async function stored(...sizes: number[]): Promise<{ store: RangeStore; files: { key: string; size: number; bytes: Buffer }[] }> {
  const store = new RangeStore()
  const files = sizes.map((size, n) => ({ key: `f${n}`, size, bytes: Buffer.from(Uint32Array.from({ length: size / 4 }, (_, i) => i * 7 + n).buffer) }))
  for (const { key, bytes } of files) await store.put(key, [bytes])
  return { store, files }
}

describe('bytes fetched ahead', () => {
  test('are those behind a range, and what is asked for is what is in the file', async () => {
    const { store, files: [file] } = await stored(1000 * kib)
    const reader = new FetchAhead(store, 1000 * kib).readerInOrder(file!, null)
    const read = async (start: number, end: number): Promise<void> => assert.deepEqual(Buffer.from(await reader.read(start, end)), file!.bytes.subarray(start, end))
    await read(4, 200_004)
    assert.deepEqual(store.ranges, ['f0 4–200004', 'f0 200004–420005'])
    // Within what is in hand; then beyond its end.
    await read(200_004, 400_000)
    assert.equal(store.ranges.length, 3)
    await read(400_000, 700_000)
    assert.ok(store.ranges.includes('f0 619996–700000'), store.ranges.join('; '))
    // Somewhere else.
    await read(100_000, 100_100)
  })

  test('go on in the file that follows, whose footer is fetched once', async () => {
    const { store, files: [first, second] } = await stored(300 * kib, 400 * kib)
    const ahead = new FetchAhead(store, 1000 * kib)
    const end = first!.size - 10 * kib
    await ahead.readerInOrder(first!, second!).read(4, end)
    const fetched = store.ranges.length
    for (let n = 0; n < 3; n++) {
      const reader = ahead.readerInOrder(second!, null)
      assert.deepEqual(Buffer.from(await reader.read(second!.size - tail, second!.size)), second!.bytes.subarray(-tail))
    }
    assert.deepEqual(Buffer.from(await ahead.readerInOrder(second!, null).read(4, 200_000)), second!.bytes.subarray(4, 200_000))
    assert.deepEqual(store.ranges.slice(fetched).filter((range) => range.startsWith('f1 4–') || range.startsWith(`f1 ${second!.size - tail}–`)), [])
  })

  test('are bounded, and the oldest go first', async () => {
    const { store, files } = await stored(400 * kib, 400 * kib, 400 * kib)
    const ahead = new FetchAhead(store, 250 * kib)
    for (const file of files) await ahead.readerInOrder(file, null).read(0, 100 * kib)
    store.ranges.length = 0
    for (const file of files.toReversed()) await ahead.readerInOrder(file, null).read(100 * kib, 200 * kib)
    assert.deepEqual(store.ranges.filter((range) => range.includes(` ${100 * kib}–`)), [`f0 ${100 * kib}–${200 * kib}`])
  })

  test('that could not be fetched are asked for again', async () => {
    const { store, files: [file] } = await stored(400 * kib)
    const reader = new FetchAhead(store, 1000 * kib).readerInOrder(file!, null)
    await reader.read(0, 100 * kib)
    store.broken = true
    const later = new FetchAhead(store, 1000 * kib).readerInOrder(file!, null)
    await assert.rejects(later.read(0, 100 * kib), /out of order/)
    await assert.rejects(later.read(file!.size - tail, file!.size), /out of order/)
    store.broken = false
    assert.equal((await later.read(file!.size - tail, file!.size)).length, tail)
    assert.equal((await reader.read(100 * kib, 200 * kib)).length, 100 * kib)
    await store.delete([file!.key])
    await assert.rejects(later.read(200 * kib, 300 * kib), FileGoneError)
  })
})
