/** What cases share: driving the load, waiting for the tables, and what a broker costs meanwhile. */
import type { LoadFlags, LoadMode, LoadResult } from '../load.ts'
import { runLoad } from '../load.ts'
import { UsageSampler } from '../process-usage.ts'
import type { Usage } from '../process-usage.ts'
import type { Numbers } from '../stats.ts'
import type { Target, TargetOptions } from '../target.ts'
import type { CaseContext } from './case.ts'

export const MB = 1e6
const catchUpMsMax = 180_000

/** How often Bayou commits to its tables. */
export function commitsEvery(ms: number): TargetOptions {
  return { args: ['--table-flush-interval-ms', String(ms)] }
}

/** How long a case loads the broker: what was asked for, or one of the two. */
export function secondsOf(context: CaseContext, full: number, quick: number): number {
  return context.seconds ?? (context.quick ? quick : full)
}

/** Runs the load program against the broker. */
export function load(context: CaseContext, target: Target, mode: LoadMode, flags: LoadFlags): Promise<LoadResult> {
  const seconds = typeof flags['seconds'] === 'number' ? flags['seconds'] : 0
  const version = target.kafkaVersion === undefined ? {} : { 'kafka-version': target.kafkaVersion }
  return runLoad(context.program, mode, { brokers: target.address, ...version, ...flags }, seconds + 120)
}

/** Waits until everything is in the tables. A peer has none that this could wait for. */
export async function flushed(target: Target): Promise<void> {
  if (target.subject !== 'bayou') return
  const end = performance.now() + catchUpMsMax
  while ((await target.metrics())['bayou_flush_lag_records'] !== 0) {
    if (performance.now() > end) throw new Error('the tables did not catch up within three minutes')
    await sleep(50)
  }
}

/** Records that are durable and not yet in the tables. */
export async function unflushedRecords(target: Target): Promise<number> {
  return (await target.metrics())['bayou_flush_lag_records'] ?? 0
}

/** Watches what a broker costs: CPU seconds, memory, and, of Bayou, requests and bytes of the store. */
export class Meter {
  readonly #target: Target
  readonly #usage: UsageSampler
  readonly #before: Readonly<Record<string, number>>
  readonly #startedAt = performance.now()

  private constructor(target: Target, usage: UsageSampler, before: Readonly<Record<string, number>>) {
    this.#target = target
    this.#usage = usage
    this.#before = before
  }

  static async start(target: Target): Promise<Meter> {
    const before = await target.metrics()
    return new Meter(target, await UsageSampler.start(target.pid), before)
  }

  /** The costs, and where `megabytes` were produced or read the CPU per GB of them. */
  async stop(megabytes?: number): Promise<Numbers> {
    const seconds = (performance.now() - this.#startedAt) / 1000
    const used = await this.#usage.stop()
    const bayou = this.#target.subject === 'bayou'
    return {
      ...costs(used, seconds, bayou),
      ...(megabytes !== undefined && { cpuSecondsPerGb: (used.cpuSeconds / megabytes) * 1000 }),
      ...(megabytes !== undefined && bayou && { mainSecondsPerGb: (used.mainSeconds / megabytes) * 1000 }),
      ...(bayou && written(this.#before, await this.#target.metrics(), seconds)),
    }
  }
}

/** The main thread says something of Node only. */
export function costs(used: Usage, seconds: number, node: boolean): Numbers {
  return {
    cpuSeconds: used.cpuSeconds, cpuCores: used.cpuSeconds / seconds, rssPeakMb: used.rssPeakMb, rssEndMb: used.rssEndMb,
    ...(node && { mainSeconds: used.mainSeconds, mainCores: used.mainSeconds / seconds }),
  }
}

function written(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>, seconds: number): Numbers {
  const delta = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0)
  const sum = (pattern: RegExp): number => Object.keys(after).filter((name) => pattern.test(name)).reduce((total, name) => total + delta(name), 0)
  const puts = sum(/^bayou_store_operations_total\{.*operation="(put|putIfAbsent)"/)
  const produced = delta('bayou_produced_bytes_total')
  return {
    puts,
    putsPerSecond: puts / seconds,
    lanePutsPerSecond: delta('bayou_lane_segments_total') / seconds,
    commitsPerSecond: delta('bayou_flushes_total') / seconds,
    ...(produced > 0 && { bytesWrittenPerByte: sum(/^bayou_store_bytes_total\{.*operation="(put|putIfAbsent)"/) / produced }),
  }
}

/** Rates of a load, without what its mode does not measure. */
export function rates(result: LoadResult): Numbers {
  return {
    ...(result.recordsPerSecond !== undefined && { recordsPerSecond: result.recordsPerSecond }),
    ...(result.megabytesPerSecond !== undefined && { megabytesPerSecond: result.megabytesPerSecond }),
  }
}

export function sizeName(bytes: number): string {
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`
}

export function sizeKey(bytes: number): string {
  return bytes >= 1024 ? `${bytes / 1024}k` : String(bytes)
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
