import assert from 'node:assert/strict'
import { mkdtemp, readdir, rename, rm, utimes, writeFile, mkdir, chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openDirectoryStore } from '../../../storage/objects/directory-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { testEnv } from '../../support/env.ts'
import { bytes, describeObjectStore, keysOf, text } from './contract.ts'

describeObjectStore('directory', async () => {
  const root = await mkdtemp(join(tmpdir(), 'bayou-directory-'))
  const store = await openDirectoryStore(root, testEnv())
  const other = await openDirectoryStore(root, testEnv())
  return { store, other, close: () => rm(root, { recursive: true }) }
})

describe('directory store', () => {
  let root: string
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'bayou-directory-'))
  })
  after(async () => {
    await rm(root, { recursive: true })
  })

  it('removes old temporary files when it opens, and only those', async () => {
    await openDirectoryStore(root, testEnv())
    await writeFile(join(root, '.tmp', 'old'), 'x')
    await writeFile(join(root, '.tmp', 'new'), 'x')
    await utimes(join(root, '.tmp', 'old'), 1, 1)
    const store = await openDirectoryStore(root, testEnv())
    assert.deepEqual(await readdir(join(root, '.tmp')), ['new'])
    assert.deepEqual(await store.list(''), [])
    await rm(join(root, '.tmp', 'new'))
  })

  it('leaves no temporary file behind, whether it wins or loses', async () => {
    const store = await openDirectoryStore(root, testEnv())
    await store.putIfAbsent('t/a', [bytes('1')])
    await store.putIfAbsent('t/a', [bytes('2')])
    await store.put('t/a', [bytes('3')])
    assert.deepEqual(await readdir(join(root, '.tmp')), [])
  })

  it('removes folders that became empty and writes into them again', async () => {
    const store = await openDirectoryStore(root, testEnv())
    const other = await openDirectoryStore(root, testEnv())
    await store.put('p/q/r/a', [bytes('1')])
    await other.delete(['p/q/r/a'])
    assert.equal((await readdir(root)).includes('p'), false)
    assert.deepEqual(await store.putIfAbsent('p/q/r/a', [bytes('2')]), { kind: 'created' })
    assert.equal(text(await other.get('p/q/r/a')), '2')
  })

  it('writes again when its temporary folder is taken away', async () => {
    const store = await openDirectoryStore(root, testEnv())
    await rm(join(root, '.tmp'), { recursive: true })
    assert.deepEqual(await store.putIfAbsent('w/a', [bytes('1')]), { kind: 'created' })
  })

  it('refuses a key that is a folder of other keys, and a key below an object', async () => {
    const store = await openDirectoryStore(root, testEnv())
    await store.put('f/g/h', [bytes('1')])
    await assert.rejects(store.putIfAbsent('f/g', [bytes('2')]), (e) => e instanceof StoreError && e.kind === 'invalid')
    await assert.rejects(store.put('f/g', [bytes('2')]), (e) => e instanceof StoreError && e.kind === 'invalid')
    await assert.rejects(store.putIfAbsent('f/g/h/i', [bytes('2')]), (e) => e instanceof StoreError && e.kind === 'invalid')
    assert.equal(await store.get('f/g'), null)
    assert.equal(await store.get('f/g/h/i'), null)
    assert.equal(await store.head('f/g'), null)
    assert.deepEqual(keysOf(await store.list('f/')), ['f/g/h'])
  })

  it('takes an empty mount point neither for an empty store nor for a place to write', async () => {
    const place = join(root, 'mounted')
    const store = await openDirectoryStore(place, testEnv())
    await store.put('a/b', [bytes('kept')])
    await rename(place, join(root, 'elsewhere'))
    for (const there of [false, true]) {
      if (there) await mkdir(place)
      const operations: (() => Promise<unknown>)[] = [
        () => store.get('a/b'), () => store.getRange('a/b', 0, 1), () => store.head('a/b'), () => store.list('a/'), () => store.list(''),
        () => store.delete(['a/b']), () => store.put('a/b', [bytes('x')]), () => store.putIfAbsent('c/d', [bytes('x')]),
      ]
      for (const operation of operations) {
        await assert.rejects(operation, (error) => error instanceof StoreError && error.kind === 'unavailable' && /removed or unmounted/.test(error.message))
      }
      if (there) assert.deepEqual(await readdir(place), [])
      else await assert.rejects(readdir(place))
    }
    await rm(place, { recursive: true })
    await rename(join(root, 'elsewhere'), place)
    assert.equal(text((await store.get('a/b'))), 'kept')
    assert.equal((await store.putIfAbsent('c/d', [bytes('x')])).kind, 'created')
    await rm(place, { recursive: true })
  })

  it('makes no folders where the file system lets nobody make them', { skip: process.platform !== 'linux', timeout: 5000 }, async () => {
    await assert.rejects(openDirectoryStore('/proc/bayou/data', testEnv()), (error) => error instanceof StoreError && error.kind === 'unsupported')
  })

  it('says that the path is no folder', async () => {
    await writeFile(join(root, 'file'), 'x')
    await assert.rejects(openDirectoryStore(join(root, 'file'), testEnv()), (e) => e instanceof StoreError && e.kind === 'invalid')
  })

  it('says that permission is missing', { skip: process.getuid?.() === 0 ? 'root may do everything' : false }, async () => {
    const store = await openDirectoryStore(root, testEnv())
    await mkdir(join(root, 'locked'))
    await chmod(join(root, 'locked'), 0o500)
    await assert.rejects(store.put('locked/a', [bytes('1')]), (e) => e instanceof StoreError && e.kind === 'denied' && !e.retriable)
    await chmod(join(root, 'locked'), 0o700)
  })

  it('leaves nothing behind when a write fails', async () => {
    const store = await openDirectoryStore(root, testEnv())
    await assert.rejects(store.put(`n/${'x'.repeat(300)}`, [bytes('1')]), (e) => e instanceof StoreError && e.kind === 'invalid')
    assert.deepEqual(await readdir(join(root, '.tmp')), [])
  })
})
