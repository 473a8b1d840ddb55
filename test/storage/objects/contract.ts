/** What every object store must do; each adapter runs it (see the `*.contract.test.ts` files). */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { ObjectStore, PutOutcome } from '../../../storage/objects/object-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'

export interface OpenedStore {
  readonly store: ObjectStore
  /** A second door to the same objects, as another process would have. */
  readonly other: ObjectStore
  close(): Promise<void>
}

export function describeObjectStore(name: string, open: () => Promise<OpenedStore>): void {
  describe(`object store contract: ${name}`, () => {
    let opened: OpenedStore
    let store: ObjectStore
    before(async () => {
      opened = await open()
      store = opened.store
    })
    after(async () => {
      await opened?.close()
    })

    it('reads back what was put, whole and by range', async () => {
      await store.put('read/whole', [bytes('hello '), bytes(''), bytes('world')])
      assert.equal(text(await store.get('read/whole')), 'hello world')
      assert.equal(text(await store.getRange('read/whole', 0, 5)), 'hello')
      assert.equal(text(await store.getRange('read/whole', 6, 11)), 'world')
      assert.equal(text(await store.getRange('read/whole', 6, 1000)), 'world')
      assert.equal((await store.getRange('read/whole', 3, 3))?.byteLength, 0)
      assert.equal((await store.getRange('read/whole', 11, 20))?.byteLength, 0)
      assert.equal((await store.getRange('read/whole', 500, 501))?.byteLength, 0)
      assert.equal(text(await opened.other.get('read/whole')), 'hello world')
    })

    it('gives null for what is not there', async () => {
      assert.equal(await store.get('absent/a'), null)
      assert.equal(await store.getRange('absent/a', 0, 10), null)
      assert.equal(await store.getRange('absent/a', 0, 0), null)
      assert.equal(await store.head('absent/a'), null)
      assert.deepEqual(await store.list('absent/'), [])
    })

    it('keeps empty objects', async () => {
      assert.deepEqual(await store.putIfAbsent('empty/a', []), { kind: 'created' })
      await store.put('empty/b', [bytes('')])
      assert.equal((await store.get('empty/a'))?.byteLength, 0)
      assert.equal((await store.getRange('empty/b', 0, 10))?.byteLength, 0)
      assert.equal((await store.head('empty/a'))?.bytes, 0)
      assert.deepEqual(await store.putIfAbsent('empty/a', [bytes('x')]), { kind: 'exists' })
    })

    it('creates once and refuses to create again', async () => {
      assert.deepEqual(await store.putIfAbsent('create/a', [bytes('one')]), { kind: 'created' })
      assert.deepEqual(await store.putIfAbsent('create/a', [bytes('two')]), { kind: 'exists' })
      assert.deepEqual(await opened.other.putIfAbsent('create/a', [bytes('three')]), { kind: 'exists' })
      assert.equal(text(await store.get('create/a')), 'one')
      await store.delete(['create/a'])
      assert.deepEqual(await store.putIfAbsent('create/a', [bytes('four')]), { kind: 'created' })
      assert.equal(text(await store.get('create/a')), 'four')
    })

    it('refuses to create over what was put', async () => {
      await store.put('create/put', [bytes('one')])
      assert.deepEqual(await store.putIfAbsent('create/put', [bytes('two')]), { kind: 'exists' })
    })

    it('has exactly one winner among concurrent creators', async () => {
      for (let round = 0; round < 5; round++) {
        const key = `race/${round}/deep/er`
        const tries = Array.from({ length: 16 }, (_, i) => settled(i % 2 === 0 ? store : opened.other, key, `writer ${i}`))
        const outcomes = await Promise.all(tries)
        const winners = outcomes.flatMap((outcome, i) => (outcome.kind === 'created' ? [i] : []))
        assert.equal(winners.length, 1, JSON.stringify(outcomes))
        assert.equal(text(await store.get(key)), `writer ${winners[0]}`)
      }
    })

    it('replaces by put', async () => {
      await store.put('replace/a', [bytes('a longer first version')])
      await store.put('replace/a', [bytes('second')])
      assert.equal(text(await opened.other.get('replace/a')), 'second')
      assert.equal((await store.head('replace/a'))?.bytes, 6)
    })

    it('writes many chunks and large bodies without changing them', async () => {
      const chunks = Array.from({ length: 3000 }, (_, i) => bytes(`${i},`))
      await store.put('large/chunks', chunks)
      assert.equal(text(await store.get('large/chunks')), chunks.map((_, i) => `${i},`).join(''))
      const big = Buffer.alloc(3 * 1024 * 1024 + 17)
      for (let i = 0; i < big.length; i += 4096) big.writeUInt32LE(i, Math.min(i, big.length - 4))
      assert.deepEqual(await store.putIfAbsent('large/big', [big.subarray(0, 1_000_001), big.subarray(1_000_001)]), { kind: 'created' })
      const back = await store.get('large/big')
      assert.ok(back !== null && big.equals(back))
      const part = await store.getRange('large/big', 999_999, 1_000_010)
      assert.ok(part !== null && big.subarray(999_999, 1_000_010).equals(part))
    })

    it('tells size and age', async () => {
      await store.put('head/a', [bytes('12345')])
      const meta = await store.head('head/a')
      assert.equal(meta?.key, 'head/a')
      assert.equal(meta?.bytes, 5)
      assert.ok(Number.isInteger(meta?.modifiedMs))
      // S3 tells milliseconds in a list and whole seconds in a header.
      const [listed] = await store.list('head/')
      assert.deepEqual({ ...listed, modifiedMs: 0 }, { ...meta, modifiedMs: 0 })
      assert.ok(Math.abs((listed?.modifiedMs ?? 0) - (meta?.modifiedMs ?? 0)) < 1000)
    })

    it('lists in the order of UTF-8 bytes, by prefix, after a key, up to a limit', async () => {
      const names = ['a', 'a-b', 'a.c', 'a/0', 'a/b/c', 'a0', 'b/1', 'b/10', 'b/2', 'partition=3/x', 'sp ace', 'é', '\u{ffee}', '\u{1f600}']
      for (const name of names.toReversed()) {
        if (name !== 'a') await store.put(`list/${name}`, [bytes(name)])
      }
      const expected = names.filter((name) => name !== 'a').map((name) => `list/${name}`)
      assert.deepEqual(keysOf(await store.list('list/')), expected)
      assert.deepEqual(keysOf(await store.list('list/a')), ['list/a-b', 'list/a.c', 'list/a/0', 'list/a/b/c', 'list/a0'])
      assert.deepEqual(keysOf(await store.list('list/a/')), ['list/a/0', 'list/a/b/c'])
      assert.deepEqual(keysOf(await store.list('list/b/1')), ['list/b/1', 'list/b/10'])
      assert.deepEqual(keysOf(await store.list('list/', { limit: 3 })), expected.slice(0, 3))
      for (let i = 0; i < expected.length; i++) {
        assert.deepEqual(keysOf(await store.list('list/', { after: expected[i] as string })), expected.slice(i + 1))
      }
      assert.deepEqual(keysOf(await store.list('list/', { after: 'list/a/a', limit: 2 })), ['list/a/b/c', 'list/a0'])
      assert.deepEqual(keysOf(await store.list('list/', { after: 'list/zzzz\u{10ffff}' })).at(-1), expected.at(-1))
      assert.deepEqual(keysOf(await store.list('list/b/', { after: 'list/a' })), ['list/b/1', 'list/b/10', 'list/b/2'])
      assert.deepEqual(keysOf(await store.list('list/a/', { after: 'list/b' })), [])
    })

    it('lists more than one page', async () => {
      const keys = Array.from({ length: 1010 }, (_, i) => `pages/${String(i).padStart(5, '0')}`)
      for (let i = 0; i < keys.length; i += 50) {
        await Promise.all(keys.slice(i, i + 50).map((key) => store.put(key, [bytes('x')])))
      }
      assert.deepEqual(keysOf(await store.list('pages/')), keys.slice(0, 1000))
      assert.deepEqual(keysOf(await store.list('pages/', { limit: 2000 })), keys)
      assert.deepEqual(keysOf(await store.list('pages/', { after: keys[999] as string })), keys.slice(1000))
      await store.delete(keys)
      assert.deepEqual(await store.list('pages/'), [])
    })

    it('deletes what is there and ignores what is not', async () => {
      await store.put('delete/a/b/c', [bytes('1')])
      await store.put('delete/d', [bytes('2')])
      await store.delete([])
      await store.delete(['delete/nothing', 'delete/a/b/c', 'delete/a/b', 'delete/a/b/c'])
      assert.deepEqual(keysOf(await store.list('delete/')), ['delete/d'])
      assert.equal(await store.get('delete/a/b/c'), null)
      assert.deepEqual(await store.putIfAbsent('delete/a/b/c', [bytes('3')]), { kind: 'created' })
      await store.delete(['delete/a/b/c', 'delete/d'])
      assert.deepEqual(await opened.other.list('delete/'), [])
    })

    it('survives creates and deletes in the same folder at the same time', async () => {
      await Promise.all(Array.from({ length: 6 }, (_, id) => churn(id % 2 === 0 ? store : opened.other, id)))
      assert.deepEqual(await store.list('churn/'), [])
    })

    it('keeps keys with characters that URLs and shells mind', async () => {
      const keys = ['odd/a b+c%20d&e=f?g#h', "odd/'quoted'(1)*!~@:,;$", 'odd/äöü/日本', 'odd/partition=1/-x.parquet']
      for (const key of keys) {
        assert.deepEqual(await store.putIfAbsent(key, [bytes(key)]), { kind: 'created' })
        assert.equal(text(await store.get(key)), key)
        assert.equal(text(await store.getRange(key, 0, 3)), 'odd')
        assert.equal((await store.head(key))?.bytes, Buffer.byteLength(key))
      }
      assert.deepEqual(new Set(keysOf(await store.list('odd/'))), new Set(keys))
      await store.delete(keys)
      assert.deepEqual(await store.list('odd/'), [])
    })

    it('gives arrays that the caller may change', async () => {
      await store.put('own/a', [bytes('abc')])
      const first = await store.get('own/a')
      first?.fill(0)
      assert.equal(text(await store.get('own/a')), 'abc')
    })

    it('refuses keys that are none', async () => {
      for (const key of ['', '/', '/a', 'a/', 'a//b', '.', '..', '../a', 'a/../b', 'a/./b', 'a\0b', 'x'.repeat(1025), '.tmp/a']) {
        await assert.rejects(store.get(key), invalid, `get ${key}`)
        await assert.rejects(store.putIfAbsent(key, [bytes('x')]), invalid, `putIfAbsent ${key}`)
        await assert.rejects(store.put(key, [bytes('x')]), invalid, `put ${key}`)
        await assert.rejects(store.head(key), invalid, `head ${key}`)
        await assert.rejects(store.delete([key]), invalid, `delete ${key}`)
      }
      await assert.rejects(store.list('../'), StoreError)
      await assert.rejects(store.getRange('a', 5, 4), StoreError)
      await assert.rejects(store.getRange('a', -1, 4), StoreError)
    })
  })
}

async function churn(door: ObjectStore, id: number): Promise<void> {
  for (let i = 0; i < 10; i++) {
    const key = `churn/x/y/${id}-${i}`
    assert.deepEqual(await settled(door, key, key), { kind: 'created' })
    assert.equal(text(await door.get(key)), key)
    await door.delete([key])
    assert.equal(await door.get(key), null)
  }
}

/** Under contention a store may say that it does not know (409 of S3, others of MinIO); then it is asked again, as everybody has to. */
async function settled(store: ObjectStore, key: string, body: string): Promise<PutOutcome> {
  let uncertain = false
  for (let attempt = 0; attempt < 20; attempt++) {
    const outcome = await store.putIfAbsent(key, [bytes(body)])
    if (outcome.kind === 'created') return outcome
    if (outcome.kind === 'exists') return uncertain && text(await store.get(key)) === body ? { kind: 'created' } : outcome
    uncertain = true
  }
  return assert.fail(`no clear answer for ${key}`)
}

function invalid(error: unknown): boolean {
  return error instanceof StoreError && error.kind === 'invalid' && !error.retriable
}

export function bytes(value: string): Uint8Array {
  return Buffer.from(value)
}

export function text(value: Uint8Array | null): string | null {
  return value === null ? null : Buffer.from(value).toString()
}

export function keysOf(objects: readonly { readonly key: string }[]): string[] {
  return objects.map((object) => object.key)
}
