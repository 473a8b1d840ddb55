/**
 * Tries at start whether a store keeps what everything here stands on: that exactly one of many can create a key, and that what was
 * written is read and listed. Some S3-compatible stores accept `If-None-Match` and ignore it; on those a broker must not run.
 */
import type { Env } from '../env.ts'
import { compareKeys } from './keys.ts'
import type { ObjectStore } from './object-store.ts'
import { StoreError } from './object-store.ts'

const creators = 32
/** An answer of `unknown` (409) is asked again this often. */
const triesMax = 10

/**
 * Throws StoreError 'unsupported' that names what the store fails at, and the StoreErrors of the store itself. Takes a handful of
 * round trips and leaves nothing behind (after a crash: keys below `probe/`).
 */
export async function probeStore(store: ObjectStore, env: Env): Promise<void> {
  const prefix = `probe/${env.uuid()}/`
  const fresh = `${prefix}create`
  const plain = `${prefix}put`
  try {
    await probeCreate(store, env, fresh)
    await store.put(plain, [bytes('first')])
    await expectRead(store, plain, 'first', 'a read after a put')
    await store.put(plain, [bytes('second')])
    await expectRead(store, plain, 'second', 'a read after an overwrite')
    if ((await settled(store, env, plain, 'third')) === 'created') {
      throw failure(store, 'creates a key with If-None-Match although an object is there (conditional writes are ignored)')
    }
    await expectRead(store, plain, 'second', 'a read after a refused create')
    const range = await store.getRange(plain, 1, 4)
    if (range === null || text(range) !== 'eco') throw failure(store, 'does not answer byte ranges correctly')
    const listed = (await store.list(prefix)).map((object) => object.key)
    if (listed.join() !== [fresh, plain].sort(compareKeys).join()) throw failure(store, 'does not list objects right after they were written')
    await store.delete([fresh, plain])
    if ((await store.get(plain)) !== null || (await store.list(prefix)).length > 0) {
      throw failure(store, 'still shows objects after they were deleted')
    }
  } finally {
    await store.delete([fresh, plain]).catch(() => undefined)
  }
}

async function probeCreate(store: ObjectStore, env: Env, key: string): Promise<void> {
  const answers = await Promise.all(Array.from({ length: creators }, (_, i) => settled(store, env, key, `writer ${i}`)))
  const winners = answers.flatMap((answer, i) => (answer === 'created' ? [i] : []))
  if (winners.length > 1) {
    throw failure(store, `let ${winners.length} of ${creators} concurrent writers create the same key (conditional writes are ignored or not atomic)`)
  }
  if (winners.length === 0) throw failure(store, `let none of ${creators} concurrent writers create a fresh key`)
  await expectRead(store, key, `writer ${winners[0]}`, 'a read of the object that a concurrent create has won')
}

/** Whether this writer created the key; `unknown` is settled by asking again and comparing the body. */
async function settled(store: ObjectStore, env: Env, key: string, body: string): Promise<'created' | 'exists'> {
  let uncertain = false
  for (let attempt = 1; attempt <= triesMax; attempt++) {
    const outcome = await store.putIfAbsent(key, [bytes(body)])
    switch (outcome.kind) {
      case 'created':
        return 'created'
      case 'exists': {
        if (!uncertain) return 'exists'
        const there = await store.get(key)
        return there !== null && text(there) === body ? 'created' : 'exists'
      }
      case 'unknown':
        uncertain = true
        await env.clock.sleep(20 * attempt * (0.5 + env.random()))
    }
  }
  throw new StoreError('unavailable', `${store.description}: ${triesMax} conditional writes in a row had no clear answer`)
}

async function expectRead(store: ObjectStore, key: string, body: string, what: string): Promise<void> {
  const there = await store.get(key)
  if (there === null || text(there) !== body) {
    throw failure(store, `fails at ${what}: ${there === null ? 'nothing' : JSON.stringify(text(there).slice(0, 40))} instead of ${JSON.stringify(body)}`)
  }
}

function failure(store: ObjectStore, what: string): StoreError {
  return new StoreError('unsupported', `${store.description} cannot be used: it ${what}`)
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

function text(value: Uint8Array): string {
  return new TextDecoder().decode(value)
}
