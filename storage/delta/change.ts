/**
 * A change that wants to become a commit, and the rules by which it may (P4). The rules look at the state of the table
 * alone, never at who changed it: whatever somebody else committed in between, the change is applied exactly when its
 * transactions still stand where it was built on them and the files that it replaces are still live.
 */
import type { AddFile, Commit, CommitInfo, RemoveFile } from './actions.ts'
import { assertNever } from '../types.ts'
import { DeltaError } from './errors.ts'
import { engineInfo, isAppendOnly, suspension } from './schema.ts'
import type { Snapshot } from './snapshot.ts'

export interface TableChange {
  /** Random and unique to this change; the same for every try to commit it. */
  readonly commitId: string
  readonly operation: 'STREAMING UPDATE' | 'WRITE' | 'OPTIMIZE' | 'DELETE' | 'VACUUM END' | 'SET TBLPROPERTIES'
  /** For people (`DESCRIBE HISTORY`). Values are strings, as Spark's history reader expects. */
  readonly operationParameters?: Readonly<Record<string, string>>
  readonly adds: readonly AddFile[]
  readonly removes: readonly RemoveFile[]
  readonly txns: readonly TxnStep[]
}

/** Moves one transaction from where the change found it to where it leaves it. */
export interface TxnStep {
  readonly appId: string
  /** Version that the change was built on; null when the table had none. */
  readonly from: number | null
  readonly to: number
}

export type CommitOutcome =
  | { readonly kind: 'committed'; readonly version: number }
  /** The change, or another one that covers all of it, is in the table; `version` where it is known. */
  | { readonly kind: 'already-applied'; readonly version: number | null }
  /** Nothing of the change is in the table nor ever will be, and it must be built anew. */
  | { readonly kind: 'conflict'; readonly winner: number | null; readonly reason: ConflictReason; readonly detail: string }
  /** Somebody asked something of the table that Bayou cannot honour. Nothing was written. */
  | { readonly kind: 'suspended'; readonly reason: string }

export type ConflictReason =
  /** A transaction of the change stands elsewhere: somebody else flushed, or an outsider erased it. */
  | 'txn-moved'
  /** A file that the change removes is no longer live. */
  | 'file-removed'
  /** Lost against other writers on every try. */
  | 'contention'

export type Verdict = { readonly kind: 'ready' } | Exclude<CommitOutcome, { kind: 'committed' }>

/** Whether the change may be committed on top of the snapshot. `winner`: the version that was read last. */
export function judge(snapshot: Snapshot, change: TableChange, winner: number | null): Verdict {
  if (change.txns.length > 0) {
    const applied = change.txns.filter((step) => (snapshot.txn(step.appId) ?? -1) >= step.to)
    if (applied.length === change.txns.length) return { kind: 'already-applied', version: null }
    for (const step of change.txns) {
      const current = snapshot.txn(step.appId) ?? null
      if (current === step.from) continue
      return conflict(winner, 'txn-moved', `${step.appId} stands at ${current} and not at ${step.from}`)
    }
  }
  const gone = change.removes.find((remove) => !snapshot.hasFile(remove.path))
  if (gone !== undefined) {
    const landed = change.txns.length === 0 && change.adds.length > 0 && change.adds.every((add) => snapshot.hasFile(add.path))
    return landed ? { kind: 'already-applied', version: null } : conflict(winner, 'file-removed', `${gone.path} is no longer live`)
  }
  const reason = suspensionOf(snapshot, change.removes.some((remove) => remove.dataChange))
  return reason === null ? { kind: 'ready' } : { kind: 'suspended', reason }
}

/** Why nothing may be written to the table now, or null. `deletesRows`: whether rows are to be taken out. */
export function suspensionOf(snapshot: Snapshot, deletesRows = false): string | null {
  const reason = suspension(snapshot.protocol, snapshot.metadata)
  if (reason !== null) return reason
  if (snapshot.deletionVectorCount > 0) return 'the table has files with deletion vectors, which are not supported'
  if (deletesRows && isAppendOnly(snapshot.metadata)) return 'the table is append-only (delta.appendOnly)'
  return null
}

/** The actions of the change as a commit made at `nowMs`. */
export function commitOf(change: TableChange, nowMs: number): Commit {
  const commitInfo: CommitInfo = {
    timestamp: nowMs,
    operation: change.operation,
    operationParameters: change.operationParameters ?? defaultParameters(change.operation),
    isBlindAppend: change.removes.length === 0,
    engineInfo,
    bayouCommitId: change.commitId,
  }
  return {
    commitInfo,
    txns: change.txns.map((step) => ({ appId: step.appId, version: step.to })),
    adds: change.adds,
    removes: change.removes,
    sidecars: [],
  }
}

/** @throws DeltaError `invalid` for a change that no state of a table could take. */
export function assertChange(change: TableChange): void {
  const fail = (what: string) => new DeltaError('invalid', `change ${change.commitId}: ${what}`)
  if (change.adds.length + change.removes.length + change.txns.length === 0) throw fail('it is empty')
  if (new Set(change.txns.map((step) => step.appId)).size !== change.txns.length) throw fail('a transaction appears twice')
  for (const step of change.txns) {
    if (!Number.isSafeInteger(step.to) || step.to <= (step.from ?? -1)) throw fail(`${step.appId} would go from ${step.from} to ${step.to}`)
  }
  const paths = new Set<string>()
  for (const add of change.adds) {
    if (!Number.isSafeInteger(add.size) || add.size <= 0) throw fail(`the size of ${add.path} is ${add.size}`)
    if (!Number.isSafeInteger(add.modificationTime)) throw fail(`the modification time of ${add.path} is no integer`)
    if (!('partition' in add.partitionValues)) throw fail(`${add.path} has no partition value`)
    paths.add(add.path)
  }
  for (const remove of change.removes) paths.add(remove.path)
  if (paths.size !== change.adds.length + change.removes.length) throw fail('a file appears twice')
}

function defaultParameters(operation: TableChange['operation']): Readonly<Record<string, string>> {
  switch (operation) {
    case 'STREAMING UPDATE':
      return { outputMode: 'Append' }
    case 'WRITE':
      return { mode: 'Append', partitionBy: '["partition"]' }
    case 'OPTIMIZE':
    case 'DELETE':
      return { predicate: '[]' }
    case 'VACUUM END':
    case 'SET TBLPROPERTIES':
      return {}
    default:
      return assertNever(operation)
  }
}

function conflict(winner: number | null, reason: ConflictReason, detail: string): Verdict {
  return { kind: 'conflict', winner, reason, detail }
}
