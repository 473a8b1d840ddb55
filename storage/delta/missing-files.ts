/**
 * Whether data files are in the store. One that was asked for by its key is a request; a commit of a thousand partitions has a thousand
 * files, and a listing, which gives a thousand objects at once, is cheaper for broker and store as long as the table has not too many others.
 */
import { atOnce } from '../at-once.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { dataFileKey } from './snapshot.ts'

/** Requests at once: they are not to fill the connections to the store, nor the event loop with signatures. */
const HEADS_AT_ONCE = 4
const PAGE = 1000
/** A page of a listing costs about as much as so many requests for single objects. */
const HEADS_PER_PAGE = 16

/**
 * Those of `paths` (as in add actions) that are gone. `tableFiles` is how many files the table has, about: what the store holds below the
 * table is more, which the bound of the listing takes into account. Throws StoreError.
 */
export async function missingFiles(store: ObjectStore, location: string, paths: readonly string[], tableFiles: number): Promise<string[]> {
  const unseen = new Map(paths.map((path) => [dataFileKey(location, { path }) ?? path, path]))
  const pagesMax = Math.floor(paths.length / HEADS_PER_PAGE)
  if (tableFiles / PAGE < pagesMax) await removeListed(store, commonPrefix([...unseen.keys()]), unseen, pagesMax)
  const missing: string[] = []
  await atOnce(HEADS_AT_ONCE, [...unseen], async ([key, path]) => {
    if ((await store.head(key)) === null) missing.push(path)
  })
  return missing
}

async function removeListed(store: ObjectStore, prefix: string, unseen: Map<string, string>, pagesMax: number): Promise<void> {
  let after: string | null = null
  for (let page = 0; page < pagesMax && unseen.size > 0; page++) {
    const objects = await store.list(prefix, { limit: PAGE, ...(after !== null && { after }) })
    for (const { key } of objects) unseen.delete(key)
    if (objects.length < PAGE) return
    after = objects.at(-1)!.key
  }
}

function commonPrefix(keys: readonly string[]): string {
  let prefix = keys[0] ?? ''
  for (const key of keys) {
    let length = 0
    while (length < prefix.length && prefix[length] === key[length]) length++
    prefix = prefix.slice(0, length)
  }
  return prefix
}
