/**
 * The actions of a Delta commit: types, JSON lines in, JSON lines out (Delta PROTOCOL, "Actions").
 *
 * Reading is tolerant where the protocol is (unknown actions, unknown fields, any order inside a commit) and strict where a
 * wrong value would lose rows. Paths stay as they are in the log (percent-encoded); `fileKey` gives the identity.
 */
import { DeltaError } from './errors.ts'

export interface Protocol {
  readonly minReaderVersion: number
  readonly minWriterVersion: number
  readonly readerFeatures?: readonly string[]
  readonly writerFeatures?: readonly string[]
}

export interface Metadata {
  readonly id: string
  readonly name?: string
  readonly description?: string
  readonly format: { readonly provider: string; readonly options: Readonly<Record<string, string>> }
  readonly schemaString: string
  readonly partitionColumns: readonly string[]
  readonly configuration: Readonly<Record<string, string>>
  /** Milliseconds since the epoch. */
  readonly createdTime?: number
}

export type PartitionValues = Readonly<Record<string, string | null>>

export interface AddFile {
  /** Percent-encoded, relative to the table. */
  readonly path: string
  readonly partitionValues: PartitionValues
  /** Bytes, exact: several readers cannot open the file otherwise. */
  readonly size: number
  /** Milliseconds since the epoch, an integer. */
  readonly modificationTime: number
  readonly dataChange: boolean
  /** A JSON document in a string. */
  readonly stats?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly deletionVector?: DeletionVector
}

export interface RemoveFile {
  readonly path: string
  /** Milliseconds since the epoch. */
  readonly deletionTimestamp?: number
  readonly dataChange: boolean
  readonly extendedFileMetadata?: boolean
  readonly partitionValues?: PartitionValues
  readonly size?: number
  readonly deletionVector?: DeletionVector
}

/** Only its identity matters here: tables that use deletion vectors are suspended, never misread. */
export interface DeletionVector {
  readonly storageType: string
  readonly pathOrInlineDv: string
  readonly offset?: number
}

export interface Txn {
  readonly appId: string
  readonly version: number
  /** Never written by Bayou: writers drop transactions that carry it. */
  readonly lastUpdated?: number
}

export interface CommitInfo {
  readonly timestamp?: number
  readonly operation?: string
  readonly operationParameters?: Readonly<Record<string, unknown>>
  readonly engineInfo?: string
  readonly isBlindAppend?: boolean
  /** The random id that makes an entry ours (DESIGN: rules for conditional writes). */
  readonly bayouCommitId?: string
}

/** What one commit says. The order of actions inside a commit has no meaning. */
export interface Commit {
  readonly protocol?: Protocol
  readonly metadata?: Metadata
  readonly adds: readonly AddFile[]
  readonly removes: readonly RemoveFile[]
  readonly txns: readonly Txn[]
  readonly commitInfo?: CommitInfo
  /** Present in v2 checkpoints only. */
  readonly sidecars: readonly string[]
}

/** The lines of a commit, each ending in a line feed: no blank line, no byte-order mark (both break readers). */
export function encodeCommit(commit: Partial<Commit>): Uint8Array {
  const lines: string[] = []
  const line = (kind: string, value: unknown) => lines.push(`${JSON.stringify({ [kind]: value })}\n`)
  if (commit.commitInfo !== undefined) line('commitInfo', commit.commitInfo)
  if (commit.protocol !== undefined) line('protocol', commit.protocol)
  if (commit.metadata !== undefined) line('metaData', commit.metadata)
  for (const txn of commit.txns ?? []) line('txn', txn)
  for (const remove of commit.removes ?? []) line('remove', remove)
  for (const add of commit.adds ?? []) line('add', add)
  return new TextEncoder().encode(lines.join(''))
}

/**
 * Parses the JSON lines of a commit (or of a v2 checkpoint in JSON).
 * @throws DeltaError `corrupt` when a line is not JSON or an action lacks what the protocol requires.
 */
export function parseCommit(bytes: Uint8Array, where: string): Commit {
  const builder = new CommitBuilder(where)
  for (const line of new TextDecoder().decode(bytes).split('\n')) {
    if (line.trim() === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch (cause) {
      throw new DeltaError('corrupt', `${where}: a line is not JSON`, { cause })
    }
    if (!isRecord(value)) throw new DeltaError('corrupt', `${where}: a line is not a JSON object`)
    builder.accept(value)
  }
  return builder.commit
}

/** Collects actions from their JSON shape; unknown kinds are skipped, as the protocol asks. */
export class CommitBuilder {
  readonly #where: string
  readonly commit: {
    protocol?: Protocol
    metadata?: Metadata
    adds: AddFile[]
    removes: RemoveFile[]
    txns: Txn[]
    commitInfo?: CommitInfo
    sidecars: string[]
  } = { adds: [], removes: [], txns: [], sidecars: [] }

  constructor(where: string) {
    this.#where = where
  }

  accept(line: Record<string, unknown>): void {
    for (const [kind, value] of Object.entries(line)) {
      if (!isRecord(value)) continue
      const fields = new Fields(value, `${this.#where}: ${kind}`)
      switch (kind) {
        case 'add':
          this.commit.adds.push(addFrom(fields))
          break
        case 'remove':
          this.commit.removes.push(removeFrom(fields))
          break
        case 'txn':
          this.commit.txns.push(txnFrom(fields))
          break
        case 'protocol':
          this.commit.protocol = protocolFrom(fields)
          break
        case 'metaData':
          this.commit.metadata = metadataFrom(fields)
          break
        case 'commitInfo':
          this.commit.commitInfo = value
          break
        case 'sidecar':
          this.commit.sidecars.push(fields.string('path'))
          break
        default:
      }
    }
  }
}

/**
 * The identity of a data file: its decoded path, and its deletion vector where it has one (Delta PROTOCOL, "Action
 * Reconciliation").
 */
export function fileKey(file: { readonly path: string; readonly deletionVector?: DeletionVector }): string {
  const path = decodePath(file.path)
  const dv = file.deletionVector
  return dv === undefined ? path : `${path}\0${dv.storageType}${dv.pathOrInlineDv}@${dv.offset ?? ''}`
}

/** The path as the file system or object store knows it. A path with a stray percent sign is taken as it is. */
export function decodePath(path: string): string {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** The path as the log wants it: percent-encoded, with `/` and `=` as they are. */
export function encodePath(path: string): string {
  return /^[\w\-./=]*$/.test(path) ? path : encodeURIComponent(path).replaceAll('%2F', '/').replaceAll('%3D', '=')
}

/** Whether the path leaves the table's folder (an absolute URI or path, as shallow clones have). */
export function isAbsolutePath(path: string): boolean {
  return path.startsWith('/') || /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(path)
}

/** Reads the fields of one action, and names the action and the field when one is missing or of another type. */
class Fields {
  readonly value: Record<string, unknown>
  readonly #where: string

  constructor(value: Record<string, unknown>, where: string) {
    this.value = value
    this.#where = where
  }

  string(name: string): string {
    const value = this.value[name]
    if (typeof value !== 'string') throw this.#wrong(name, 'a string')
    return value
  }

  optionalString(name: string): string | undefined {
    const value = this.value[name]
    return typeof value === 'string' ? value : undefined
  }

  integer(name: string): number {
    const value = this.optionalInteger(name)
    if (value === undefined) throw this.#wrong(name, 'an integer')
    return value
  }

  /** Some writers print integers as `1.0e3` or as floats; a fraction is cut off. */
  optionalInteger(name: string): number | undefined {
    const value = this.value[name]
    if (typeof value === 'bigint') return Number(value)
    return typeof value === 'number' && Number.isFinite(value) ? Math.trunc(value) : undefined
  }

  boolean(name: string, otherwise: boolean): boolean {
    const value = this.value[name]
    return typeof value === 'boolean' ? value : otherwise
  }

  strings(name: string): string[] | undefined {
    const value = this.value[name]
    if (!Array.isArray(value)) return undefined
    return value.filter((item) => typeof item === 'string')
  }

  /** A map of strings; keys whose value is null or no string are left out. */
  stringMap(name: string): Record<string, string> | undefined {
    const value = this.value[name]
    if (!isRecord(value)) return undefined
    const out: Record<string, string> = {}
    for (const [key, item] of Object.entries(value)) if (typeof item === 'string') out[key] = item
    return out
  }

  partitionValues(): PartitionValues | undefined {
    const value = this.value['partitionValues']
    if (!isRecord(value)) return undefined
    const out: Record<string, string | null> = {}
    for (const [key, item] of Object.entries(value)) out[key] = typeof item === 'string' ? item : null
    return out
  }

  deletionVector(): DeletionVector | undefined {
    const value = this.value['deletionVector']
    if (!isRecord(value)) return undefined
    const fields = new Fields(value, `${this.#where}.deletionVector`)
    const offset = fields.optionalInteger('offset')
    return {
      storageType: fields.string('storageType'),
      pathOrInlineDv: fields.string('pathOrInlineDv'),
      ...(offset === undefined ? {} : { offset }),
    }
  }

  nested(name: string): Fields | undefined {
    const value = this.value[name]
    return isRecord(value) ? new Fields(value, `${this.#where}.${name}`) : undefined
  }

  #wrong(name: string, expected: string): DeltaError {
    return new DeltaError('corrupt', `${this.#where}: "${name}" is not ${expected}`)
  }
}

function addFrom(fields: Fields): AddFile {
  const stats = fields.optionalString('stats')
  const tags = fields.stringMap('tags')
  const deletionVector = fields.deletionVector()
  return {
    path: fields.string('path'),
    partitionValues: fields.partitionValues() ?? {},
    size: fields.integer('size'),
    modificationTime: fields.optionalInteger('modificationTime') ?? 0,
    dataChange: fields.boolean('dataChange', true),
    ...(stats === undefined ? {} : { stats }),
    ...(tags === undefined ? {} : { tags }),
    ...(deletionVector === undefined ? {} : { deletionVector }),
  }
}

function removeFrom(fields: Fields): RemoveFile {
  const deletionTimestamp = fields.optionalInteger('deletionTimestamp')
  const size = fields.optionalInteger('size')
  const partitionValues = fields.partitionValues()
  const deletionVector = fields.deletionVector()
  return {
    path: fields.string('path'),
    dataChange: fields.boolean('dataChange', true),
    extendedFileMetadata: fields.boolean('extendedFileMetadata', false),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(partitionValues === undefined ? {} : { partitionValues }),
    ...(size === undefined ? {} : { size }),
    ...(deletionVector === undefined ? {} : { deletionVector }),
  }
}

function txnFrom(fields: Fields): Txn {
  const lastUpdated = fields.optionalInteger('lastUpdated')
  return {
    appId: fields.string('appId'),
    version: fields.integer('version'),
    ...(lastUpdated === undefined ? {} : { lastUpdated }),
  }
}

function protocolFrom(fields: Fields): Protocol {
  const readerFeatures = fields.strings('readerFeatures')
  const writerFeatures = fields.strings('writerFeatures')
  return {
    minReaderVersion: fields.integer('minReaderVersion'),
    minWriterVersion: fields.integer('minWriterVersion'),
    ...(readerFeatures === undefined ? {} : { readerFeatures }),
    ...(writerFeatures === undefined ? {} : { writerFeatures }),
  }
}

function metadataFrom(fields: Fields): Metadata {
  const format = fields.nested('format')
  const name = fields.optionalString('name')
  const description = fields.optionalString('description')
  const createdTime = fields.optionalInteger('createdTime')
  return {
    id: fields.string('id'),
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    format: { provider: format?.optionalString('provider') ?? 'parquet', options: format?.stringMap('options') ?? {} },
    schemaString: fields.string('schemaString'),
    partitionColumns: fields.strings('partitionColumns') ?? [],
    configuration: fields.stringMap('configuration') ?? {},
    ...(createdTime === undefined ? {} : { createdTime }),
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
