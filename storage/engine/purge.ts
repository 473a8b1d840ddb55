/** Removes the objects of a deleted topic: its location was never another topic's and never will be (DESIGN §3), so all of it may go. */
import type { Env } from '../env.ts'
import { backoffMs } from '../log/create-once.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { StoreError } from '../objects/object-store.ts'

const PAGE = 1000
/** A late writer of the deleted topic may still be at work: what it leaves is removed in a second pass. */
const SECOND_PASS_MS = 60_000

/** Resolves to true when nothing is left, false when the signal came first. Throws StoreErrors that are not retriable. */
export async function purgeTopic(store: ObjectStore, env: Env, location: string, signal: AbortSignal): Promise<boolean> {
  await removeAll(store, env, `${location}/`, signal)
  await env.clock.sleep(SECOND_PASS_MS, signal)
  if (signal.aborted) return false
  await removeAll(store, env, `${location}/`, signal)
  return !signal.aborted
}

async function removeAll(store: ObjectStore, env: Env, prefix: string, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; !signal.aborted; ) {
    try {
      const page = await store.list(prefix, { limit: PAGE })
      if (page.length === 0) return
      await store.delete(page.map((object) => object.key))
      attempt = 1
    } catch (error) {
      if (!(error instanceof StoreError && error.retriable)) throw error
      await env.clock.sleep(backoffMs(env, attempt++, 100, 10_000), signal)
    }
  }
}
