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
import { parseCommit } from './actions.ts'
import { DeltaError } from './errors.ts'
import { findTail, lastCheckpointKey, listLog } from './log-files.ts'
import type { CheckpointFiles, LogListing } from './log-files.ts'
import { Snapshot } from './snapshot.ts'

/** Turns the Parquet bytes of a checkpoint part into actions, in pieces that do not hold up the event loop. */
export interface CheckpointReader {
  read(parquet: Uint8Array, where: string): AsyncIterable<Partial<Commit>>
}

export interface LoadedTable {
  readonly snapshot: Snapshot
  /** Version of the checkpoint that the snapshot was built on, -1 for none. */
  readonly checkpointVersion: number
  /** Live files and tombstones of that checkpoint. */
  readonly checkpointRows: number
  /** Commits after the checkpoint, oldest first, as far as they were written by Bayou: version by commit id. */
  readonly commitIds: ReadonlyMap<string, number>
}

const parallelGets = 32

/**
 * @throws DeltaError `missing` when there is no table, `corrupt` or `unsupported` when its log cannot be read.
 * @throws StoreError
 */
export async function loadTable(
  store: ObjectStore,
  clock: Pick<Clock, 'sleep'>,
  location: string,
  checkpoints: CheckpointReader,
): Promise<LoadedTable> {
  let failure: unknown
  const tried = new Set<string>()
  const hint = await readHint(store, location)
  if (hint !== null) {
    const listing = await listLog(store, location, hint)
    const loaded = await tryCheckpoints(listing)
    if (loaded !== null) return loaded
  }
  // Clean-up may take away what was just listed, hence a second look.
  for (let attempt = 0; attempt < 2; attempt++) {
    const tail = await findTail(store, location)
    if (tail === -1) throw new DeltaError('missing', `there is no Delta table at ${location}`)
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
    let rows = 0
    if (checkpoint !== null) {
      for await (const piece of readCheckpoint(store, location, checkpoint, checkpoints)) {
        rows += (piece.adds?.length ?? 0) + (piece.removes?.length ?? 0)
        snapshot.absorb({ ...piece, removes: [] }, 0)
        await clock.sleep(0)
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
    return { snapshot, checkpointVersion: checkpoint?.version ?? -1, checkpointRows: rows, commitIds }
  }
}

/** The commit of a version, or null when there is none. */
export async function readCommit(store: ObjectStore, location: string, version: number): Promise<Commit | null> {
  const key = deltaCommitKey(location, version)
  const bytes = await store.get(key)
  return bytes === null ? null : parseCommit(bytes, key)
}

/**
 * The actions of a checkpoint in pieces: classic in one or many parts, or v2 (JSON or Parquet with sidecars).
 * @throws DeltaError `corrupt` when a part is gone or torn.
 */
export async function* readCheckpoint(
  store: ObjectStore,
  location: string,
  checkpoint: CheckpointFiles,
  reader: CheckpointReader,
): AsyncGenerator<Partial<Commit>> {
  const sidecars: string[] = []
  for (const key of checkpoint.keys) {
    for await (const piece of readPart(store, key, checkpoint.format, reader)) {
      sidecars.push(...(piece.sidecars ?? []))
      yield piece
    }
  }
  for (const path of sidecars) {
    // A sidecar is named relative to `_sidecars/`, or by a path of its own.
    const name = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
    yield* readPart(store, `${deltaLogPrefix(location)}_sidecars/${name}`, 'parquet', reader)
  }
}

async function* readPart(
  store: ObjectStore,
  key: string,
  format: 'parquet' | 'json',
  reader: CheckpointReader,
): AsyncGenerator<Partial<Commit>> {
  const bytes = await store.get(key)
  if (bytes === null) throw new DeltaError('corrupt', `${key} is gone`)
  if (format === 'json') yield parseCommit(bytes, key)
  else yield* reader.read(bytes, key)
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
