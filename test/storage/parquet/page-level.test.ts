import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { compressBody } from '../../../storage/parquet/page-codec.ts'
import { PageLevel } from '../../../storage/parquet/page-level.ts'

/** Levels of that many pages, and their bytes. */
function write(pages: readonly Uint8Array[], level: number): { levels: number[]; bytes: number } {
  const chooser = new PageLevel(level)
  const levels: number[] = []
  let bytes = 0
  for (const page of pages) {
    levels.push(chooser.next)
    const body = compressBody(page, chooser.next)
    chooser.wrote(page.length, body.length)
    bytes += body.length
  }
  return { levels, bytes }
}

const atLevel = (pages: readonly Uint8Array[], level: number): number => pages.reduce((sum, page) => sum + compressBody(page, level).length, 0)

test('random bytes get the fast level from the second page on, and are no larger for it', () => {
  const pages = Array.from({ length: 4 }, () => Buffer.concat(Array.from({ length: 200 }, () => [randomBytes(512), Buffer.alloc(512, 'abcdefgh')]).flat()))
  const { levels, bytes } = write(pages, 1)
  assert.deepEqual(levels, [1, -5, -5, -5])
  assert.ok(bytes < atLevel(pages, 1) * 1.01, `${bytes} bytes`)
})

test('pages that become much smaller keep their level', () => {
  const page = Buffer.from(JSON.stringify(Array.from({ length: 2000 }, (_, id) => ({ id, event: ['click', 'view', 'buy'][id % 3], at: 1_764_298_000_000 + id * 37 }))))
  assert.deepEqual(write([page, page, page], 3).levels, [3, 3, 3])
})

test('where the fast level costs bytes, it is tried once', () => {
  // Words in random order: half of the size with a good match finder, hardly smaller with a hasty one.
  let seed = 1
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
  const words = Array.from({ length: 12_000 }, () => Buffer.from(Array.from({ length: 6 }, () => 97 + random(26))).toString())
  const pages = Array.from({ length: 4 }, () => Buffer.from(Array.from({ length: 20_000 }, () => words[random(words.length)]).join(' ')))
  const { levels, bytes } = write(pages, 1)
  assert.deepEqual(levels, [1, -5, 1, 1])
  assert.ok(bytes < atLevel(pages, -5))
})

test('an empty page tells nothing', () => {
  const level = new PageLevel(1)
  level.wrote(0, 9)
  assert.equal(level.next, 1)
})
