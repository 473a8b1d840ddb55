/**
 * How old a record is when its row is in the table: the new commits of the Delta log are read through the store as they appear, and what
 * their `txn` actions say is flushed is compared with when the records were due.
 */
import { readFile } from 'node:fs/promises'
import { deltaCommitKey } from '../storage/paths.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Quantiles } from './load.ts'
import { quantiles } from './stores.ts'

const pollMs = 4

interface Seen {
  readonly atMs: number
  readonly partition: number
  /** All rows below it are in the table. */
  readonly nextOffset: number
}

/** Follows the Delta log of a topic until it is stopped. */
export class DeltaLogWatch {
  readonly #objects: ObjectStore
  readonly #location: string
  readonly #seen: Seen[] = []
  #stopped = false
  #done: Promise<void>
  commits = 0

  constructor(objects: ObjectStore, location: string) {
    this.#objects = objects
    this.#location = location
    this.#done = this.#follow()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  /** From the moment a record was due until the commit with its row was seen. The file has lines "partition offset microseconds". */
  async ages(samplesFile: string): Promise<Quantiles> {
    const ms: number[] = []
    for (const line of (await readFile(samplesFile, 'utf8')).split('\n')) {
      if (line === '') continue
      const [partition, offset, dueMicros] = line.split(' ').map(Number) as [number, number, number]
      const commit = this.#seen.find((seen) => seen.partition === partition && seen.nextOffset > offset)
      if (commit !== undefined) ms.push(commit.atMs - dueMicros / 1000)
    }
    return quantiles(ms)
  }

  async #follow(): Promise<void> {
    for (let version = 0; !this.#stopped; ) {
      const bytes = await this.#objects.get(deltaCommitKey(this.#location, version))
      if (bytes === null) {
        await new Promise((resolve) => setTimeout(resolve, pollMs))
        continue
      }
      const atMs = performance.timeOrigin + performance.now()
      for (const line of Buffer.from(bytes).toString().split('\n')) {
        if (!line.includes('"txn"')) continue
        const { txn } = JSON.parse(line) as { txn: { appId: string; version: number } }
        this.#seen.push({ atMs, partition: Number(txn.appId.split('/')[2]), nextOffset: txn.version })
      }
      version++
      this.commits++
    }
  }
}
