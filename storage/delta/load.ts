/**
 * From an object store to a snapshot: checkpoint, then the commits after it (Delta PROTOCOL, "Reading Tables").
 *
 * `_last_checkpoint` is only a hint. Where it is absent, garbage, or points at something that is gone or torn, the log
 * itself is searched, and older checkpoints are tried before giving up.
 */
import type { Clock } from '../env.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { deltaCommitKey, deltaLogPrefix } from '../paths.ts'
import type { Commit } from './actions.ts'
import { decodePath, parseCommit } from './actions.ts'
import { readCheckpointPart } from './checkpoint-engine.ts'
import type { CheckpointEngine } from './checkpoint-engine.ts'
import type { LogBytes } from './checkpoint-jobs.ts'
import { DeltaError } from './errors.ts'
import { findTail, lastCheckpointKey, listLog } from './log-files.ts'
import type { CheckpointFiles, LogListing } from './log-files.ts'
import { Snapshot } from './snapshot.ts'

export interface LoadedTable {
  readonly snapshot: Snapshot
  /** Version of the checkpoint that the snapshot was built on, -1 for none. */
  readonly checkpointVersion: number
  /** Of that checkpoint. */
  readonly tombstones: number
  /** Commits after the checkpoint, oldest first, as far as they were written by Bayou: version by commit id. */
  readonly commitIds: ReadonlyMap<string, number>
}

const parallelGets = 32
/** Files after the hinted checkpoint; commits between two checkpoints of ours are far fewer. */
const hintFilesMax = 20_000
/** A page of a list. */
const shortLogFiles = 1000

/**
 * @throws DeltaError `missing` when there is no table, `corrupt` or `unsupported` when its log cannot be read.
 * @throws StoreError
 */
export async function loadTable(
  store: ObjectStore,
  clock: Pick<Clock, 'sleep'>,
  location: string,
  engine: CheckpointEngine,
): Promise<LoadedTable> {
  let failure: unknown
  const tried = new Set<string>()
  const hint = await readHint(store, location)
  if (hint !== null) {
    const listing = await listLog(store, location, hint, { filesMax: hintFilesMax })
    // A hint that is far behind costs more than the search for the tail.
    const loaded = listing.truncated ? null : await tryCheckpoints(listing)
    if (loaded !== null) return loaded
  }
  // A short log is one page, whether there is a table or not.
  const whole = await listLog(store, location, 0, { filesMax: shortLogFiles })
  if (!whole.truncated) {
    if (whole.seen === 0) throw missing(location)
    const loaded = (await tryCheckpoints(whole)) ?? (whole.commits[0] === 0 ? await loadFrom(null, whole) : null)
    if (loaded !== null) return loaded
  }
  // Clean-up may take away what was just listed, hence a second look.
  for (let attempt = 0; attempt < 2; attempt++) {
    const tail = await findTail(store, location)
    if (tail === -1) throw missing(location)
    for (let window = 2000, done = false; !done; window *= 4) {
      const from = Math.max(0, tail - window)
      done = from === 0
      const listing = await listLog(store, location, from)
      const loaded = await tryCheckpoints(listing)
      if (loaded !== null) return loaded
      if (listing.commits[0] === 0) return loadFrom(null, listing)
    }
  }
  throw failure instanceof DeltaError && failure.kind === 'unsupported'
    ? failure
    : new DeltaError('corrupt', `${location}: no checkpoint can be read and the first commit is gone`, { cause: failure })

  async function tryCheckpoints(listing: LogListing): Promise<LoadedTable | null> {
    for (const checkpoint of listing.checkpoints.toReversed()) {
      const name = checkpoint.keys.join()
      if (tried.has(name)) continue
      try {
        return await loadFrom(checkpoint, listing)
      } catch (error) {
        if (!(error instanceof DeltaError)) throw error
        tried.add(name)
        failure ??= error
      }
    }
    return null
  }

  async function loadFrom(checkpoint: CheckpointFiles | null, listing: LogListing): Promise<LoadedTable> {
    const snapshot = new Snapshot()
    let tombstones = 0
    if (checkpoint !== null) {
      for (const part of await checkpointParts(store, location, checkpoint, engine)) {
        const { pieces, removes } =
          part.format === 'json' ? { pieces: [parseCommit(part.bytes, part.key)], removes: 0 } : await readCheckpointPart(engine, part.bytes, part.key)
        tombstones += removes
        for (const piece of pieces) {
          snapshot.absorb({ ...piece, removes: [] }, 0)
          // A checkpoint of a hundred thousand files must not hold up the event loop.
          await clock.sleep(0)
        }
      }
      if (!snapshot.isComplete) throw new DeltaError('corrupt', `${checkpoint.keys[0]}: no protocol or no metadata`)
      snapshot.startAt(checkpoint.version)
    }
    const commitIds = new Map<string, number>()
    const versions = listing.commits.filter((version) => version > snapshot.version)
    for (let at = 0; at < versions.length; at += parallelGets) {
      const window = versions.slice(at, at + parallelGets)
      const commits = await Promise.all(window.map((version) => readCommit(store, location, version)))
      for (const [index, commit] of commits.entries()) {
        const version = window[index] as number
        if (commit === null || version !== snapshot.version + 1) {
          throw new DeltaError('corrupt', `${location}: version ${snapshot.version + 1} is missing from the log`)
        }
        snapshot.apply(version, commit)
        const id = commit.commitInfo?.bayouCommitId
        if (typeof id === 'string') commitIds.set(id, version)
      }
    }
    if (!snapshot.isComplete) throw new DeltaError('corrupt', `${location}: the log has no protocol or no metadata`)
    return { snapshot, checkpointVersion: checkpoint?.version ?? -1, tombstones, commitIds }
  }
}

function missing(location: string): DeltaError {
  return new DeltaError('missing', `there is no Delta table at ${location}`)
}

/** The commit of a version, or null when there is none. */
export async function readCommit(store: ObjectStore, location: string, version: number): Promise<Commit | null> {
  const key = deltaCommitKey(location, version)
  const bytes = await store.get(key)
  return bytes === null ? null : parseCommit(bytes, key)
}

/**
 * The bytes of a checkpoint's parts: classic in one or many, or v2 (JSON or Parquet, with the sidecars that it names).
 * @throws DeltaError `corrupt` when a part is gone.
 */
async function checkpointParts(
  store: ObjectStore,
  location: string,
  checkpoint: CheckpointFiles,
  engine: CheckpointEngine,
): Promise<CheckpointPart[]> {
  const read = async (key: string, format: 'parquet' | 'json'): Promise<CheckpointPart> => {
    const bytes = await store.get(key)
    if (bytes === null) throw new DeltaError('corrupt', `${key} is gone`)
    return { key, format, bytes }
  }
  const parts = await Promise.all(checkpoint.keys.map((key) => read(key, checkpoint.format)))
  const [top] = parts
  if (!checkpoint.isV2 || top === undefined) return parts
  const commits =
    top.format === 'json' ? [parseCommit(top.bytes, top.key)] : (await readCheckpointPart(engine, top.bytes, top.key)).pieces
  for (const { sidecars } of commits) {
    for (const path of sidecars) {
      // A sidecar is named relative to `_sidecars/`, or by a path of its own that ends in it.
      const name = decodePath(path.slice(path.lastIndexOf('/') + 1))
      parts.push(await read(`${deltaLogPrefix(location)}_sidecars/${name}`, 'parquet'))
    }
  }
  return parts
}

interface CheckpointPart {
  readonly key: string
  readonly format: 'parquet' | 'json'
  readonly bytes: Uint8Array
}

/**
 * Everything that the log says up to `version`, as bytes: the newest complete checkpoint at or above `base` and the commits after it.
 * `base` is the version of a checkpoint that is known to be good, or -1 for a log that still has its first commit.
 * @throws DeltaError `corrupt` when a commit is missing.
 */
export async function readLogBytes(
  store: ObjectStore,
  location: string,
  base: number,
  version: number,
  engine: CheckpointEngine,
): Promise<LogBytes & { readonly base: number }> {
  const listing = await listLog(store, location, Math.max(0, base), { toVersion: version })
  const checkpoint = base === -1 ? undefined : listing.checkpoints.find((candidate) => candidate.version === base)
  if (base !== -1 && checkpoint === undefined) throw new DeltaError('corrupt', `${location}: the checkpoint of version ${base} is gone`)
  const parts = checkpoint === undefined ? [] : await checkpointParts(store, location, checkpoint, engine)
  const commits: Uint8Array[] = []
  for (let at = base + 1; at <= version; at += parallelGets) {
    const count = Math.min(parallelGets, version - at + 1)
    const keys = Array.from({ length: count }, (_, index) => deltaCommitKey(location, at + index))
    for (const [index, bytes] of (await Promise.all(keys.map((key) => store.get(key)))).entries()) {
      if (bytes === null) throw new DeltaError('corrupt', `${keys[index]} is missing from the log`)
      commits.push(bytes)
    }
  }
  return { base, parts, commits }
}

/** The version that `_last_checkpoint` names, or null when it is absent or no use. */
export async function readHint(store: ObjectStore, location: string): Promise<number | null> {
  const bytes = await store.get(lastCheckpointKey(location))
  if (bytes === null) return null
  try {
    const hint = JSON.parse(new TextDecoder().decode(bytes)) as { version?: unknown } | null
    const version = hint?.version
    return typeof version === 'number' && Number.isSafeInteger(version) && version >= 0 ? version : null
  } catch {
    return null
  }
}
