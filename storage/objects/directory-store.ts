/**
 * Objects as files of a local directory: the embedded default.
 *
 * An object appears whole or not at all, whatever is killed: its bytes are written to `.tmp/`, synced, and then linked
 * (create) or renamed (replace) to their name, and the folder is synced before anybody hears of it. `link()` fails where
 * the name is taken, also between processes, which makes it the conditional write. An answer `exists` is given only after a sync of
 * the folder, because the winner may have died between its link and its sync.
 */
import * as fs from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { promisify } from 'node:util'
import type { Env } from '../env.ts'
import { assertKey, assertPrefix, assertRange, compareKeys, tempFolder } from './keys.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome, StoreErrorKind } from './object-store.ts'
import { StoreError } from './object-store.ts'

const open = promisify(fs.open)
const close = promisify(fs.close)
const fstat = promisify(fs.fstat)
const lstat = promisify(fs.lstat)
const stat = promisify(fs.stat)
const link = promisify(fs.link)
const rename = promisify(fs.rename)
const unlink = promisify(fs.unlink)
const rmdir = promisify(fs.rmdir)
const mkdir = promisify(fs.mkdir)
const readdir = promisify(fs.readdir)
const fsync = promisify(fs.fsync)
const fdatasync = promisify(fs.fdatasync)

/** A file in `.tmp/` that nobody has touched for this long is left over; a live writer that loses it writes it again. */
const staleTempMs = 10 * 60_000
/** Folders that are known to exist durably. */
const knownFoldersMax = 4096
/** How often a write starts again because somebody else pruned its folder or its temporary file. */
const racesMax = 100
/** Stats under way at once in a list. */
const statsInFlight = 32

/**
 * Opens (and creates) a directory store. Left-over temporary files are removed.
 * Throws StoreError: `denied` without permission, `unsupported` where the file system has no hard links, `invalid` where the path is no folder.
 */
export async function openDirectoryStore(path: string, env: Pick<Env, 'clock' | 'uuid'>): Promise<DirectoryStore> {
  const root = resolve(path)
  const store = new DirectoryStore(root, env)
  await store.prepare()
  return store
}

export class DirectoryStore implements ObjectStore {
  readonly description: string
  readonly #root: string
  readonly #temp: string
  readonly #env: Pick<Env, 'clock' | 'uuid'>
  readonly #folders: DurableFolders
  readonly #tempName: string
  #tempCount = 0
  /** Of the root as it was opened. */
  #identity = ''

  /** Use {@link openDirectoryStore}. `root` is absolute. */
  constructor(root: string, env: Pick<Env, 'clock' | 'uuid'>) {
    this.description = `directory ${root}`
    this.#root = root
    this.#temp = join(root, tempFolder)
    this.#env = env
    this.#folders = new DurableFolders(root, () => this.#assertSameRoot())
    this.#tempName = env.uuid()
  }

  /** Creates the root and `.tmp/`, removes what is left over there. */
  async prepare(): Promise<void> {
    try {
      for (const folder of await makeFolders(this.#temp)) {
        // A parent that may be written but not read cannot be synced by us.
        await syncFolder(dirname(folder)).catch((error: unknown) => {
          if (codeOf(error) !== 'EACCES') throw error
        })
      }
      this.#identity = identityOf(await stat(this.#root))
      const now = this.#env.clock.now()
      for (const name of await readdir(this.#temp)) {
        const file = join(this.#temp, name)
        const info = await orNull(lstat(file))
        if (info !== null && now - info.mtimeMs > staleTempMs) await orNull(unlink(file))
      }
    } catch (error) {
      throw storeError(error, `open ${this.#root}`)
    }
  }

  async get(key: string): Promise<Uint8Array | null> {
    return this.#read(key, 0, null)
  }

  async getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    assertRange(start, endExclusive)
    return this.#read(key, start, endExclusive)
  }

  async head(key: string): Promise<ObjectMeta | null> {
    assertKey(key)
    try {
      const info = await orNull(stat(this.#path(key)))
      if (info === null) await this.#assertSameRoot()
      return info === null || !info.isFile() ? null : metaOf(key, info)
    } catch (error) {
      throw storeError(error, `head ${key}`)
    }
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    assertKey(key)
    const path = this.#path(key)
    let linked = false
    try {
      const taken = await this.#write(path, body, async (temp) => {
        try {
          await link(temp, path)
          linked = true
          return false
        } catch (error) {
          if (codeOf(error) !== 'EEXIST') throw error
          return true
        }
      })
      if (taken && (await orNull(stat(path)))?.isDirectory() === true) {
        throw new StoreError('invalid', `${key} is a folder of other keys`)
      }
      return { kind: taken ? 'exists' : 'created' }
    } catch (error) {
      if (linked) return { kind: 'unknown', cause: error }
      throw storeError(error, `create ${key}`)
    }
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<void> {
    assertKey(key)
    const path = this.#path(key)
    try {
      await this.#write(path, body, (temp) => rename(temp, path))
    } catch (error) {
      throw storeError(error, `put ${key}`)
    }
  }

  async list(prefix: string, options: ListOptions = {}): Promise<readonly ObjectMeta[]> {
    assertPrefix(prefix)
    const limit = options.limit ?? 1000
    const after = options.after ?? ''
    const found: ObjectMeta[] = []
    try {
      // Only the folder that the prefix names and what is below it can hold matches.
      const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
      let keys: string[] = []
      const flush = async (): Promise<void> => {
        for (let i = 0; i < keys.length; i += statsInFlight) {
          const metas = await Promise.all(keys.slice(i, i + statsInFlight).map((key) => this.head(key)))
          for (const meta of metas) if (meta !== null && found.length < limit) found.push(meta)
        }
        keys = []
      }
      for await (const key of this.#walk(folder, prefix, after)) {
        keys.push(key)
        if (keys.length >= limit - found.length) await flush()
        if (found.length >= limit) return found
      }
      await flush()
      return found
    } catch (error) {
      throw storeError(error, `list ${prefix}`)
    }
  }

  async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) assertKey(key)
    const folders = new Set<string>()
    let absent = false
    try {
      for (let i = 0; i < keys.length; i += statsInFlight) {
        await Promise.all(
          keys.slice(i, i + statsInFlight).map(async (key) => {
            const path = this.#path(key)
            try {
              await unlink(path)
              folders.add(dirname(path))
            } catch (error) {
              // EPERM and EISDIR: the key names a folder, so there is no such object.
              if (!isAbsent(error) && !(await isFolder(path))) throw error
              absent = true
            }
          }),
        )
      }
      if (absent) await this.#assertSameRoot()
      for (const folder of folders) await this.#folders.prune(folder)
    } catch (error) {
      throw storeError(error, `delete ${keys.length} objects, the first ${keys[0] ?? ''}`)
    }
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    return this.#root + sep + key
  }

  async #read(key: string, start: number, endExclusive: number | null): Promise<Uint8Array | null> {
    assertKey(key)
    let fd: number | null = null
    try {
      fd = await orNull(open(this.#path(key), 'r'))
      if (fd === null) {
        await this.#assertSameRoot()
        return null
      }
      const info = await fstat(fd)
      if (!info.isFile()) return null
      const end = Math.min(info.size, endExclusive ?? info.size)
      const bytes = new Uint8Array(Math.max(0, end - start))
      const filled = await readFully(fd, bytes, start)
      return filled === bytes.byteLength ? bytes : bytes.subarray(0, filled)
    } catch (error) {
      throw storeError(error, `read ${key}`)
    } finally {
      if (fd !== null) await close(fd)
    }
  }

  /**
   * Writes a synced temporary file, makes sure of the folder, publishes the file and syncs the folder; starts again when somebody
   * removed either before the file was published.
   */
  async #write<T>(path: string, body: readonly Uint8Array[], publish: (temp: string) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const temp = join(this.#temp, `${this.#tempName}-${this.#tempCount++}`)
      let published = false
      try {
        const folder = this.#folders.ensure(dirname(path))
        // Handled by the await below; without this, a failed write would leave it unhandled.
        folder.catch(() => undefined)
        await this.#writeTemp(temp, body)
        await folder
        const result = await publish(temp)
        published = true
        await Promise.all([orNull(unlink(temp)), this.#folders.sync(dirname(path))])
        return result
      } catch (error) {
        await orNull(unlink(temp)).catch(() => undefined)
        if (published || codeOf(error) !== 'ENOENT' || attempt >= racesMax) throw error
        await this.#assertSameRoot()
        this.#folders.forget(dirname(path))
        await mkdir(this.#temp).catch((failure: unknown) => {
          if (codeOf(failure) !== 'EEXIST') throw failure
        })
      }
    }
  }

  /**
   * A root that was removed or unmounted is never made again, and says nothing about what there is: what would be written there is in no
   * store, and is hidden or mixed in with the real one when that comes back. As long as it is gone, the store is unavailable. Asked wherever
   * something is missing, and before a folder is created.
   */
  async #assertSameRoot(): Promise<void> {
    const info = await orNull(stat(this.#root))
    if (info !== null && identityOf(info) === this.#identity) return
    const what = info === null ? 'is gone' : 'is another folder now'
    throw new StoreError('unavailable', `${this.#root} ${what}: it was removed or unmounted while it was in use`)
  }

  async #writeTemp(temp: string, body: readonly Uint8Array[]): Promise<void> {
    const fd = await open(temp, 'wx')
    try {
      await writeFully(fd, body)
      await fdatasync(fd)
    } finally {
      await close(fd)
    }
  }

  /** Keys below `folder` (empty or ending in `/`) that start with the prefix and sort after `after`, in key order. */
  async *#walk(folder: string, prefix: string, after: string): AsyncGenerator<string> {
    const entries = await orNull(readdir(join(this.#root, folder), { withFileTypes: true }))
    if (entries === null || folder === '') await this.#assertSameRoot()
    if (entries === null) return
    // A folder sorts as its name with the slash that all keys in it have: `a-b` comes before `a/b`.
    const names: string[] = []
    for (const entry of entries) {
      if (folder === '' && entry.name === tempFolder) continue
      const isDirectory = entry.isDirectory() || (entry.isSymbolicLink() && (await isFolder(join(this.#root, folder, entry.name))))
      names.push(folder + (isDirectory ? `${entry.name}/` : entry.name))
    }
    for (const name of names.sort(compareKeys)) {
      if (name.endsWith('/')) {
        if (!name.startsWith(prefix) && !prefix.startsWith(name)) continue
        // Every key in the folder starts with its name: all are before `after` unless `after` is inside or before it.
        if (after !== '' && !after.startsWith(name) && compareKeys(name, after) < 0) continue
        yield* this.#walk(name, prefix, after)
      } else if (name.startsWith(prefix) && (after === '' || compareKeys(name, after) > 0)) {
        yield name
      }
    }
  }
}

/**
 * Knows which folders exist durably (each is synced into its parent), creates them, and syncs their entries: callers that
 * arrive while a sync of the same folder runs share the next one.
 */
class DurableFolders {
  readonly #root: string
  readonly #assertSameRoot: () => Promise<void>
  /** Path to identity, in order of use; the identity tells when another process removed and re-created the folder. */
  readonly #known = new Map<string, string>()
  readonly #syncs = new Map<string, { running: Promise<void>; next: Promise<void> | null }>()

  constructor(root: string, assertSameRoot: () => Promise<void>) {
    this.#root = root
    this.#assertSameRoot = assertSameRoot
  }

  /** After this the folder exists and so it does after a power loss, unless somebody prunes it. */
  async ensure(path: string): Promise<void> {
    if (path === this.#root) return
    const identity = this.#known.get(path)
    if (identity !== undefined) {
      this.#known.delete(path)
      this.#known.set(path, identity)
      return
    }
    for (let attempt = 0; ; attempt++) {
      const parent = dirname(path)
      await this.ensure(parent)
      await this.#assertSameRoot()
      try {
        await mkdir(path)
      } catch (error) {
        const code = codeOf(error)
        if (code === 'ENOENT' && attempt < racesMax) {
          this.forget(parent)
          continue
        }
        if (code !== 'EEXIST') throw error
      }
      // Also for a folder that was there: who made it may have died before the sync.
      await this.sync(parent)
      const info = await orNull(stat(path))
      if (info === null && attempt < racesMax) continue
      if (info?.isDirectory() !== true) throw new StoreError('invalid', `${path} is not a folder`)
      this.#remember(path, identityOf(info))
      return
    }
  }

  /** Syncs the entries of the folder, and the folder into its parents when it is not the one we knew. */
  async sync(path: string): Promise<void> {
    const state = this.#syncs.get(path)
    if (state === undefined) {
      const running = this.#sync(path)
      const entry: { running: Promise<void>; next: Promise<void> | null } = { running, next: null }
      this.#syncs.set(path, entry)
      try {
        await running
      } finally {
        if (entry.next === null) this.#syncs.delete(path)
      }
      return
    }
    // The running sync may have begun before our change.
    state.next ??= state.running
      .catch(() => undefined)
      .then(() => {
        this.#syncs.delete(path)
        return this.sync(path)
      })
    await state.next
  }

  /** Removes the folder and its parents as far as they are empty, and makes the deletions before it durable. */
  async prune(path: string): Promise<void> {
    let folder = path
    while (folder !== this.#root) {
      try {
        await rmdir(folder)
      } catch (error) {
        const code = codeOf(error)
        if (code !== 'ENOENT') break
      }
      this.forget(folder)
      folder = dirname(folder)
    }
    await orNull(syncFolder(folder))
  }

  forget(path: string): void {
    for (let folder = path; folder.length > this.#root.length; folder = dirname(folder)) this.#known.delete(folder)
  }

  async #sync(path: string): Promise<void> {
    // A folder that is gone was empty: what we put there has been deleted since, and that is the deleter's to sync.
    const identity = await orNull(syncFolder(path))
    const known = this.#known.get(path)
    if (known === undefined || known === identity) return
    if (identity === null) return this.forget(path)
    this.forget(path)
    await this.ensure(path)
  }

  #remember(path: string, identity: string): void {
    this.#known.set(path, identity)
    if (this.#known.size > knownFoldersMax) this.#known.delete(this.#known.keys().next().value as string)
  }
}

/**
 * Creates the folder and those above it that are missing; gives the new ones, from the top down. One at a time, since Node's recursive
 * mkdir tries for ever where a file system says ENOENT below a folder that is there (/proc). Throws StoreError `invalid` where a file is
 * in the way.
 */
async function makeFolders(path: string): Promise<string[]> {
  const missing: string[] = []
  for (let folder = path; ; folder = dirname(folder)) {
    const info = await orNull(stat(folder))
    if (info?.isDirectory() === true) break
    if (info !== null) throw new StoreError('invalid', `${folder} is a file, and the store needs a folder: choose another path`)
    missing.unshift(folder)
  }
  for (const folder of missing) {
    await mkdir(folder).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') throw new StoreError('unsupported', `no folders can be created in ${dirname(folder)}: choose another path`)
      if (codeOf(error) !== 'EEXIST') throw error
    })
  }
  return missing
}

/** Makes the entries of a folder durable; gives its identity. */
async function syncFolder(path: string): Promise<string> {
  const fd = await open(path, 'r')
  try {
    await fsync(fd)
    return identityOf(fs.fstatSync(fd))
  } finally {
    await close(fd)
  }
}

/** Inode numbers are used again at once, so the time of birth belongs to it. */
function identityOf(info: fs.Stats): string {
  return `${info.ino}:${info.birthtimeMs}`
}

async function writeFully(fd: number, body: readonly Uint8Array[]): Promise<void> {
  let chunks = body.filter((chunk) => chunk.byteLength > 0)
  while (chunks.length > 0) {
    let written = await writev(fd, chunks)
    let done = 0
    while (done < chunks.length && written >= (chunks[done] as Uint8Array).byteLength) {
      written -= (chunks[done] as Uint8Array).byteLength
      done++
    }
    chunks = chunks.slice(done)
    if (written > 0) chunks[0] = (chunks[0] as Uint8Array).subarray(written)
  }
}

function writev(fd: number, chunks: readonly Uint8Array[]): Promise<number> {
  return new Promise((done, fail) => {
    fs.writev(fd, chunks, (error, written) => (error === null ? done(written) : fail(error)))
  })
}

async function readFully(fd: number, into: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < into.byteLength) {
    const count = await readSome(fd, into, filled, position + filled)
    if (count === 0) break
    filled += count
  }
  return filled
}

function readSome(fd: number, into: Uint8Array, offset: number, position: number): Promise<number> {
  return new Promise((done, fail) => {
    fs.read(fd, into, offset, into.byteLength - offset, position, (error, count) => (error === null ? done(count) : fail(error)))
  })
}

function metaOf(key: string, info: fs.Stats): ObjectMeta {
  return { key, bytes: info.size, modifiedMs: Math.floor(info.mtimeMs) }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** There is nothing at the path: a name is missing, or something before its end is a file. */
function isAbsent(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await orNull(stat(path)))?.isDirectory() === true
}

const kindByCode: Readonly<Record<string, StoreErrorKind>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EACCES: 'denied',
  EROFS: 'denied',
  ENAMETOOLONG: 'invalid',
  ENOTDIR: 'invalid',
  EEXIST: 'invalid',
  EISDIR: 'invalid',
  EINVAL: 'invalid',
  EFBIG: 'invalid',
  EPERM: 'unsupported',
  ENOTSUP: 'unsupported',
  EOPNOTSUPP: 'unsupported',
  EXDEV: 'unsupported',
  EMLINK: 'unsupported',
}

function storeError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error
  const code = codeOf(error)
  const kind = (code === undefined ? undefined : kindByCode[code]) ?? 'unavailable'
  const hint = kind === 'unsupported' ? ' (the directory needs one local file system with hard links)' : ''
  return new StoreError(kind, `${doing}: ${error instanceof Error ? error.message : basename(String(error))}${hint}`, { cause: error })
}
