/**
 * The names in `_delta_log/` and how to find the newest of them (Delta PROTOCOL, "Delta Log Entries", "Checkpoints").
 *
 * Names sort by version, and everything that is not numbered (`_last_checkpoint`, `_sidecars/`, temporary files of others)
 * sorts behind. Files of other kinds (`.crc`, `.compacted.json`) are not looked at.
 */
import type { ObjectStore } from '../objects/object-store.ts'
import { deltaLogPrefix, digits20 } from '../paths.ts'

export type LogFile =
  | { readonly kind: 'commit'; readonly version: number; readonly key: string; readonly bytes: number; readonly modifiedMs: number }
  | {
      readonly kind: 'checkpoint'
      readonly version: number
      readonly key: string
      readonly bytes: number
      readonly modifiedMs: number
      readonly format: 'parquet' | 'json'
      /** 1-based place among the parts of a multi-part checkpoint; 1 of 1 otherwise. */
      readonly part: number
      readonly parts: number
      /** Of a v2 checkpoint. */
      readonly unique?: string
    }
  /** Numbered, and of a kind that is not read; cleaned up with its version. */
  | { readonly kind: 'other'; readonly version: number; readonly key: string; readonly bytes: number; readonly modifiedMs: number }

/** A checkpoint of which every part is there. */
export interface CheckpointFiles {
  readonly version: number
  readonly format: 'parquet' | 'json'
  /** Names sidecars, where the actions are. */
  readonly isV2: boolean
  readonly keys: readonly string[]
  readonly modifiedMs: number
}

export interface LogListing {
  /** In order. */
  readonly commits: readonly number[]
  /** Complete ones, oldest first. */
  readonly checkpoints: readonly CheckpointFiles[]
  /** More files follow than were asked for. */
  readonly truncated: boolean
  /** Files that were looked at, of whatever kind, give or take a page. */
  readonly seen: number
}

export function lastCheckpointKey(location: string): string {
  return `${deltaLogPrefix(location)}_last_checkpoint`
}

export function checkpointKey(location: string, version: number): string {
  return `${deltaLogPrefix(location)}${digits20(version)}.checkpoint.parquet`
}

/** What a key in the log is, or null for one that is not numbered. */
export function parseLogFile(prefix: string, file: { readonly key: string; readonly bytes: number; readonly modifiedMs: number }): LogFile | null {
  const name = file.key.slice(prefix.length)
  const match = /^(\d{20})\.(.+)$/.exec(name)
  if (match === null) return null
  const version = Number(match[1])
  const base = { version, key: file.key, bytes: file.bytes, modifiedMs: file.modifiedMs }
  const rest = match[2] as string
  if (rest === 'json') return { kind: 'commit', ...base }
  if (rest === 'checkpoint.parquet') return { kind: 'checkpoint', ...base, format: 'parquet', part: 1, parts: 1 }
  const multi = /^checkpoint\.(\d{10})\.(\d{10})\.parquet$/.exec(rest)
  if (multi !== null) return { kind: 'checkpoint', ...base, format: 'parquet', part: Number(multi[1]), parts: Number(multi[2]) }
  const v2 = /^checkpoint\.([0-9a-zA-Z-]{36})\.(json|parquet)$/.exec(rest)
  if (v2 !== null) {
    const format = v2[2] === 'json' ? 'json' : 'parquet'
    return { kind: 'checkpoint', ...base, format, part: 1, parts: 1, unique: v2[1] as string }
  }
  return { kind: 'other', ...base }
}

/** Everything numbered from `fromVersion` on, a page at a time. */
export async function* listLogFiles(store: ObjectStore, location: string, fromVersion: number): AsyncGenerator<LogFile[]> {
  const prefix = deltaLogPrefix(location)
  let after = prefix + digits20(fromVersion)
  for (;;) {
    const page = await store.list(prefix, { after, limit: pageKeys })
    const files: LogFile[] = []
    let numbered = true
    for (const file of page) {
      const parsed = parseLogFile(prefix, file)
      if (parsed !== null) files.push(parsed)
      else if (file.key.slice(prefix.length) > '9') numbered = false
    }
    yield files
    const last = page.at(-1)
    if (last === undefined || page.length < pageKeys || !numbered) return
    after = last.key
  }
}

const pageKeys = 1000

export interface ListLogOptions {
  /** Last version, inclusive. Default: the end. */
  readonly toVersion?: number
  /** Bound on the number of files that are looked at, give or take a page. */
  readonly filesMax?: number
}

/** Commits and complete checkpoints from `fromVersion` on. */
export async function listLog(
  store: ObjectStore,
  location: string,
  fromVersion: number,
  { toVersion = Infinity, filesMax = Infinity }: ListLogOptions = {},
): Promise<LogListing> {
  const commits: number[] = []
  const files: LogFile[] = []
  let seen = 0
  for await (const page of listLogFiles(store, location, fromVersion)) {
    seen += page.length
    for (const file of page) {
      if (file.version > toVersion) return { commits, checkpoints: completeCheckpoints(files), truncated: false, seen }
      if (file.kind === 'commit') commits.push(file.version)
      else if (file.kind === 'checkpoint') files.push(file)
    }
    if (seen >= filesMax) return { commits, checkpoints: completeCheckpoints(files), truncated: true, seen }
  }
  return { commits, checkpoints: completeCheckpoints(files), truncated: false, seen }
}

/** Groups the parts of checkpoints; those that lack a part are left out. Oldest first. */
export function completeCheckpoints(files: readonly LogFile[]): CheckpointFiles[] {
  const groups = new Map<string, Extract<LogFile, { kind: 'checkpoint' }>[]>()
  for (const file of files) {
    if (file.kind !== 'checkpoint') continue
    const group = `${digits20(file.version)}/${file.unique ?? ''}/${file.format}/${file.parts}`
    const members = groups.get(group)
    if (members === undefined) groups.set(group, [file])
    else members.push(file)
  }
  const complete: CheckpointFiles[] = []
  for (const members of groups.values()) {
    const first = members[0]
    if (first === undefined || members.length !== first.parts) continue
    complete.push({
      version: first.version,
      format: first.format,
      isV2: first.unique !== undefined,
      keys: members.toSorted((a, b) => a.part - b.part).map((member) => member.key),
      modifiedMs: Math.max(...members.map((member) => member.modifiedMs)),
    })
  }
  return complete.toSorted((a, b) => a.version - b.version)
}

/**
 * The greatest version that has any file, or -1, in a number of lists that grows with its logarithm: a log of months is
 * found without a hint and without listing it.
 */
export async function findTail(store: ObjectStore, location: string): Promise<number> {
  const prefix = deltaLogPrefix(location)
  const versionAtOrAfter = async (version: number): Promise<number> => {
    const [file] = await store.list(prefix, { after: prefix + digits20(version), limit: 1 })
    return file === undefined ? -1 : (parseLogFile(prefix, file)?.version ?? -1)
  }
  let low = await versionAtOrAfter(0)
  if (low === -1) return -1
  let step = 1024
  let high = Infinity
  while (high === Infinity) {
    const found = await versionAtOrAfter(low + step)
    if (found === -1) high = low + step
    else low = found
    step *= 2
  }
  // Some file is at `low`; none is at or after `high`.
  while (high - low > 1) {
    const middle = low + ((high - low) >> 1)
    const found = await versionAtOrAfter(middle)
    if (found === -1) high = middle
    else low = found
  }
  return low
}
