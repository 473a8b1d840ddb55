/** What a run leaves in its JSON file: every repeat of everything, the machine, and the limits of the stores. */
import type { Column, Theme } from './cases/case.ts'
import type { Numbers, Spread } from './stats.ts'
import type { StoreLimit, StoreName } from './stores.ts'
import type { Subject } from './target.ts'

/** One case of one subject on one store. A peer that keeps its data on its own disk has its figures beside every store. */
export interface Result {
  readonly store: StoreName
  readonly subject: Subject
  readonly name: string
  readonly theme: Theme
  readonly about: string
  readonly columns: readonly Column[]
  readonly repeats: readonly Numbers[]
  /** Over the repeats, by name. */
  readonly spreads: Readonly<Record<string, Spread>>
  /** Why it has no figures. */
  readonly error?: string
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  /** When the run began. */
  readonly loadAverage: readonly number[]
}

export interface Report {
  readonly startedAt: string
  readonly seconds: number
  readonly quick: boolean
  readonly machine: Machine
  readonly node: string
  readonly limits: Readonly<Partial<Record<StoreName, StoreLimit>>>
  readonly results: readonly Result[]
}

export const subjectNames: Readonly<Record<Subject, string>> = {
  bayou: 'Bayou', kafka: 'Apache Kafka', nisshi: 'Nisshi', 'delta-queue': 'delta-rs as a queue',
}

/** Bayou over the peer, of the medians; undefined where one of them is not there or the peer's is 0. */
export function ratioTo(peer: Result | undefined, bayou: Result | undefined, key: string): number | undefined {
  const theirs = peer?.spreads[key]?.median
  const ours = bayou?.spreads[key]?.median
  return theirs === undefined || ours === undefined || theirs === 0 ? undefined : ours / theirs
}
