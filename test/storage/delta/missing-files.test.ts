/** Whether the files of a commit are there, and how many requests it takes to know. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingFiles } from '../../../storage/delta/missing-files.ts'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'

const location = 'topics/t'

/** With a file for each of `partitions`, in encoded form as an add action has it. */
async function filled(partitions: number): Promise<{ store: MemoryStore; paths: string[]; asked: { heads: number; lists: number } }> {
  const store = new MemoryStore()
  const asked = { heads: 0, lists: 0 }
  const head = store.head.bind(store)
  const list = store.list.bind(store)
  store.head = (key) => {
    asked.heads++
    return head(key)
  }
  store.list = (prefix, options) => {
    asked.lists++
    return list(prefix, options)
  }
  const paths = Array.from({ length: partitions }, (_, p) => `partition=${p}/${p}%20of-a-flush.parquet`)
  for (const path of paths) await store.put(keyOf(path), [Buffer.from('x')])
  return { store, paths, asked }
}

function keyOf(path: string): string {
  return `${location}/${decodeURIComponent(path)}`
}

test('the files of a small commit are asked for one by one', async () => {
  const { store, paths, asked } = await filled(10)
  await store.delete([keyOf(paths[3]!), keyOf(paths[7]!)])
  assert.deepEqual(await missingFiles(store, location, paths, 10), [paths[3], paths[7]])
  assert.deepEqual(asked, { heads: 10, lists: 0 })
})

test('those of a large one are looked for in a listing, and only what is not in it is asked for', async () => {
  const { store, paths, asked } = await filled(2500)
  assert.deepEqual(await missingFiles(store, location, paths, 2500), [])
  assert.deepEqual(asked, { heads: 0, lists: 3 })
  await store.delete([keyOf(paths[3]!), keyOf(paths[2400]!)])
  assert.deepEqual((await missingFiles(store, location, paths, 2500)).toSorted(), [paths[2400], paths[3]])
  assert.deepEqual(asked, { heads: 2, lists: 6 })
})

test('a table with many more files than the commit is not listed, nor listed to its end where it turns out to have them', async () => {
  const { store, paths, asked } = await filled(100)
  assert.deepEqual(await missingFiles(store, location, paths, 1_000_000), [])
  assert.deepEqual(asked, { heads: 100, lists: 0 })
  const others = Array.from({ length: 8000 }, (_, n) => `${location}/partition=0/0-${String(n).padStart(5, '0')}`)
  for (const key of others) await store.put(key, [Buffer.from('x')])
  assert.deepEqual(await missingFiles(store, location, paths, 100), [])
  assert.deepEqual(asked.lists, 6)
  assert.ok(asked.heads > 100 && asked.heads <= 200, `${asked.heads} asked for`)
})
