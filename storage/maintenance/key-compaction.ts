/**
 * Compaction by key (`cleanup.policy=compact`), as Kafka's LogCleaner does it to segments, here to the files of a table. One pass over a partition:
 *
 * 1. The keys of dirty rows are collected with their last offsets, as many as fit into memory (P8).
 * 2. Files are searched for rows that these supersede, by their keys alone.
 * 3. Only files that hold such rows are written again without them, neighbours together, in one commit each time. A row leaves when a later one of its key is
 *    in the table already, so every version between the commits is right, and a pass that ends half way has done no harm.
 * 4. The last commit moves the transaction that says up to where the partition is clean.
 *
 * Somebody else's change to one of the files makes the commit a conflict, and the pass is given up: the next one begins where this one did. Offsets never
 * change, and the rows that are not flushed yet play no part.
 */
import type { TableChange, TxnStep } from '../delta/change.ts'
import { isAppendOnly } from '../delta/schema.ts'
import { dataFileKey } from '../delta/snapshot.ts'
import type { TableFile } from '../delta/snapshot.ts'
import { cleanAppId } from '../delta/table.ts'
import type { ParquetInput } from '../parquet/byte-source.ts'
import { KeyOffsets } from '../parquet/key-offsets.ts'
import type { KeyMergedFile } from '../parquet/merge-by-key.ts'
import type { ParquetCodec } from '../parquet/parquet-codec.ts'
import type { CompactionConfig } from '../partition/types.ts'
import type { Offset } from '../types.ts'
import { isOldFile, planCleaning } from './cleanable.ts'
import type { CleaningPlan } from './cleanable.ts'
import { commitFile, inputsOf, newestModifiedMs, removalOf, writeFile } from './rewriting.ts'
import type { RewritingDependencies, RewrittenTopic } from './rewriting.ts'

export interface CompactedTopic extends RewrittenTopic {
  readonly deleted: boolean
  /** Absent where the topic is not compacted. */
  readonly compaction: CompactionConfig | undefined
  readonly logs: readonly CompactedLog[]
}

export interface CompactedLog {
  readonly partition: number
  readonly logStartOffset: Offset
  readonly flushedOffset: Offset
  /** Rows of the table below the offset are gone: batches in memory that still have them are not to be served any more. */
  forgetFlushed(below: Offset): void
}

export interface KeyCompactionDependencies extends RewritingDependencies {
  readonly parquet: Pick<ParquetCodec, 'collectKeys' | 'countSuperseded' | 'mergeByKey'>
  readonly options: { readonly parquetCompression: 'zstd' | 'snappy' | 'none'; readonly keyBytesMax: number }
  readonly isClosed: () => boolean
}

export interface KeyCompactionResult {
  /** Files that were written again. */
  readonly files: number
  readonly rowsDropped: number
}

/** Small files that a pass keeps from one step to the next, so that they are fetched once. */
const KEPT_BYTES_MAX = 32 * 1024 * 1024
/** Of one job: files that are read together, and files that become one. A file that is larger goes alone. */
const JOB_BYTES_MAX = 64 * 1024 * 1024
const JOB_FILES_MAX = 256

/** Whether a partition of the topic is to be cleaned. Looks at what is in memory. */
export function isCleaningDue(topic: CompactedTopic, nowMs: number): boolean {
  return topic.table.isLoaded && topic.logs.some((log) => planOf(topic, log, nowMs) !== null)
}

/**
 * One pass over each partition that needs it; null when none did, or all was done in vain. One that fails does not keep the others from theirs; then
 * throws StoreError, or what Parquet throws.
 */
export async function compactByKey(topic: CompactedTopic, deps: KeyCompactionDependencies): Promise<KeyCompactionResult | null> {
  let files = 0
  let rowsDropped = 0
  const failures: unknown[] = []
  for (const log of topic.logs) {
    if (isOver(topic, deps)) break
    const plan = planOf(topic, log, deps.env.clock.now())
    if (plan === null) continue
    try {
      const done = await new CleaningPass(topic, log, plan, deps).run()
      files += done.files
      rowsDropped += done.rowsDropped
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
  return files === 0 ? null : { files, rowsDropped }
}

function planOf(topic: CompactedTopic, log: CompactedLog, nowMs: number): CleaningPlan | null {
  const { compaction, table } = topic
  if (compaction === undefined || log.flushedOffset === 0 || table.suspended !== null || isAppendOnly(table.snapshot.metadata)) return null
  const { logStartOffset, flushedOffset } = log
  const cleanedOffset = table.snapshot.txn(cleanAppId(topic.id, log.partition)) ?? 0
  const plan = planCleaning({ files: table.snapshot.files(log.partition), cleanedOffset, logStartOffset, flushedOffset }, compaction, nowMs)
  // Files of a shallow clone cannot be read.
  return plan === null || plan.files.some((file) => dataFileKey(table.location, file) === null) ? null : plan
}

function isOver(topic: CompactedTopic, deps: KeyCompactionDependencies): boolean {
  return topic.deleted || deps.isClosed()
}

/** A file with rows that leave, or with tombstones whose time begins. */
interface Found {
  readonly file: TableFile
  readonly clean: boolean
  readonly superseded: boolean
  readonly tombstones: boolean
}

/** Files that become one. */
interface Group {
  readonly files: TableFile[]
  readonly clean: boolean
  readonly dropTombstones: boolean
  bytes: number
}

class CleaningPass {
  readonly #topic: CompactedTopic
  readonly #log: CompactedLog
  readonly #plan: CleaningPlan
  readonly #deps: KeyCompactionDependencies
  readonly #keys: KeyOffsets
  readonly #kept = new Map<TableFile, Uint8Array>()
  #keptBytes = 0
  /** Where the transaction stood when the pass began. */
  readonly #txn: number | null
  #end: Offset
  #files = 0
  #rowsDropped = 0

  constructor(topic: CompactedTopic, log: CompactedLog, plan: CleaningPlan, deps: KeyCompactionDependencies) {
    this.#topic = topic
    this.#log = log
    this.#plan = plan
    this.#deps = deps
    this.#txn = topic.table.snapshot.txn(cleanAppId(topic.id, log.partition)) ?? null
    this.#end = plan.endOffset
    const rows = this.#dirtyFiles().reduce((sum, file) => sum + (file.records ?? Infinity), 0)
    this.#keys = KeyOffsets.create(rows, deps.options.keyBytesMax)
  }

  async run(): Promise<KeyCompactionResult> {
    await this.#collect()
    const groups = grouped(this.#plan.files, await this.#search())
    const steps = this.#steps()
    for (const [i, group] of groups.entries()) {
      if (this.#isOver || !(await this.#rewrite(group, i === groups.length - 1 ? steps : []))) return this.#result()
    }
    if (groups.length === 0 && steps.length > 0 && !this.#isOver) await this.#note(steps)
    return this.#result()
  }

  get #isOver(): boolean {
    return isOver(this.#topic, this.#deps)
  }

  #result(): KeyCompactionResult {
    if (this.#rowsDropped > 0) this.#log.forgetFlushed(this.#end)
    return { files: this.#files, rowsDropped: this.#rowsDropped }
  }

  #isClean(file: TableFile): boolean {
    return file.last < this.#plan.fromOffset
  }

  #dirtyFiles(): TableFile[] {
    return this.#plan.files.filter((file) => !this.#isClean(file))
  }

  /** Brings the end down to where there was no more room for keys. */
  async #collect(): Promise<void> {
    const { fromOffset, endOffset } = this.#plan
    const dirty = this.#dirtyFiles()
    for (let at = 0; at < dirty.length && !this.#isOver; ) {
      const files = portion(dirty, at)
      at += files.length
      const inputs = await this.#inputs(files)
      const reached = await this.#deps.parquet.collectKeys({ files: inputs, keys: this.#keys.memory, fromOffset, endOffset })
      if (reached === endOffset) continue
      // Files that others wrote may overlap: those behind were not looked at.
      this.#end = dirty.slice(at).reduce((least, file) => Math.min(least, file.first), reached)
      if (this.#end <= fromOffset) throw new Error('the memory for keys is too small for files that overlap so much')
      return
    }
  }

  async #search(): Promise<Found[]> {
    const found: Found[] = []
    let tombstonesMayGo = true
    for (const file of this.#plan.files) {
      if (file.first >= this.#end || this.#isOver) break
      const looked = await this.#look(file)
      // Its rows stay, and a deleted key must not come back with them.
      if (looked === null) tombstonesMayGo = false
      else found.push(looked)
    }
    const isAffected = ({ clean, superseded, tombstones }: Found): boolean => superseded || (tombstones && (!clean || tombstonesMayGo))
    return found.map((one) => ({ ...one, tombstones: one.tombstones && tombstonesMayGo })).filter((_, i) => isAffected(found[i]!))
  }

  /** Null for a file that is not ours to write again. */
  async #look(file: TableFile): Promise<Found | null> {
    if ((file.nullOffsets ?? 0) > 0 || file.hasDeletionVector) return null
    const clean = this.#isClean(file)
    const { fromOffset, tombstonesBeforeMs } = this.#plan
    const wantsTombstones = (!clean || isOldFile(file, tombstonesBeforeMs)) && file.nullValues !== 0
    const known = wantsTombstones && file.nullValues !== undefined
    if (this.#end === fromOffset && (known || !wantsTombstones)) return { file, clean, superseded: false, tombstones: wantsTombstones }
    const [input] = await this.#inputs([file])
    const withTombstones = wantsTombstones && !known
    const rows = await this.#deps.parquet.countSuperseded({ file: input!, keys: this.#keys.memory, endOffset: this.#end, withTombstones })
    if (rows === null) return null
    return { file, clean, superseded: rows.superseded > 0, tombstones: known || (rows.tombstones ?? 0) > 0 }
  }

  /** False when somebody else's change came first. */
  async #rewrite(group: Group, txns: readonly TxnStep[]): Promise<boolean> {
    const { env, parquet, options } = this.#deps
    const { table } = this.#topic
    const { files, dropTombstones } = group
    const inputs = await this.#inputs(files)
    const merged = await parquet.mergeByKey({
      files: inputs, compression: options.parquetCompression, keys: this.#keys.memory, endOffset: this.#end, dropTombstones,
    })
    assertComplete(files, merged)
    const nowMs = env.clock.now()
    const file = await writeFile(table, this.#log.partition, merged, group.clean ? newestModifiedMs(files) : nowMs, this.#deps)
    const dataChange = merged.dropped > 0
    const change: TableChange = {
      commitId: env.uuid(),
      operation: dataChange ? 'DELETE' : 'OPTIMIZE',
      ...(dataChange ? { operationParameters: { predicate: '["superseded by a later record of the same key"]' } } : {}),
      adds: file === null ? [] : [{ ...file.add, dataChange }],
      removes: files.map((old) => removalOf(old, dataChange, nowMs)),
      txns,
    }
    if (!(await commitFile(this.#topic, change, file, this.#deps))) return false
    this.#files += files.length
    this.#rowsDropped += merged.dropped
    return true
  }

  async #inputs(files: readonly TableFile[]): Promise<ParquetInput[]> {
    const missing = files.filter((file) => !this.#kept.has(file))
    const read = await inputsOf(this.#topic.table, missing, this.#deps.store)
    const inputs = new Map<TableFile, ParquetInput>(missing.map((file, i) => [file, read[i]!]))
    for (const [file, input] of inputs) {
      if (!(input instanceof Uint8Array) || this.#keptBytes + input.length > KEPT_BYTES_MAX) continue
      this.#kept.set(file, input)
      this.#keptBytes += input.length
    }
    return files.map((file) => inputs.get(file) ?? this.#kept.get(file)!)
  }

  #steps(): TxnStep[] {
    if (this.#end <= (this.#txn ?? 0)) return []
    return [{ appId: cleanAppId(this.#topic.id, this.#log.partition), from: this.#txn, to: this.#end }]
  }

  /** Nothing was superseded: what was looked at is clean all the same. */
  async #note(txns: readonly TxnStep[]): Promise<void> {
    await this.#topic.table.commit({ commitId: this.#deps.env.uuid(), operation: 'OPTIMIZE', adds: [], removes: [], txns })
  }
}

/** Files from `at` on that are read in one job. */
function portion(files: readonly TableFile[], at: number): TableFile[] {
  const taken: TableFile[] = []
  let bytes = 0
  for (const file of files.slice(at, at + JOB_FILES_MAX)) {
    if (taken.length > 0 && bytes + file.bytes > JOB_BYTES_MAX) break
    taken.push(file)
    bytes += file.bytes
  }
  return taken
}

/**
 * Neighbours together. A clean file with tombstones stays by itself: the time since which they are clean is that of their file, and would begin anew with
 * that of a younger neighbour, again and again.
 */
function grouped(files: readonly TableFile[], found: readonly Found[]): Group[] {
  const places = new Map(files.map((file, i) => [file, i]))
  const groups: Group[] = []
  let group: Group | undefined
  for (const { file, clean, tombstones } of found) {
    const dropTombstones = clean && tombstones
    const isAlone = clean && file.nullValues !== 0
    const last = group?.files.at(-1)
    const isNext = last !== undefined && places.get(file) === places.get(last)! + 1
    const isAlike = group !== undefined && !isAlone && group.clean === clean && !(clean && last?.nullValues !== 0)
    if (!isNext || !isAlike || group!.bytes + file.bytes > JOB_BYTES_MAX || group!.files.length >= JOB_FILES_MAX) {
      group = { files: [], clean, dropTombstones, bytes: 0 }
      groups.push(group)
    }
    group!.files.push(file)
    group!.bytes += file.bytes
  }
  return groups
}

/** Where statistics say how many rows there were, each is in the new file or was left out. */
function assertComplete(files: readonly TableFile[], merged: KeyMergedFile): void {
  const rows = files.reduce((sum, file) => sum + (file.records ?? Number.NaN), 0)
  if (!Number.isNaN(rows) && rows !== merged.rows + merged.dropped) {
    throw new Error(`${rows} rows were to be compacted, and ${merged.rows} with ${merged.dropped} dropped are not all of them`)
  }
}
