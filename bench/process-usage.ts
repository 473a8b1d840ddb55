/** What a process costs, from /proc: CPU seconds by thread and resident memory. Linux only; elsewhere everything is zero. */
import { readFile, readdir } from 'node:fs/promises'

/** Clock ticks per second of /proc; 100 on every Linux that Node runs on. */
const ticksPerSecond = 100
const sampleMs = 100

export interface Usage {
  /** CPU seconds of the whole process. */
  readonly cpuSeconds: number
  /** CPU seconds of the main thread alone. */
  readonly mainSeconds: number
  /** CPU seconds by thread name. */
  readonly threads: Readonly<Record<string, number>>
  readonly rssPeakMb: number
  readonly rssEndMb: number
  /** Resident memory over the time since the start. */
  readonly memory: readonly (readonly [seconds: number, mb: number])[]
}

/** Watches a process from `start` to `stop`. */
export class UsageSampler {
  readonly #pid: number
  readonly #before: Times
  readonly #startedAt = performance.now()
  readonly #memory: (readonly [seconds: number, mb: number])[] = []
  readonly #timer: NodeJS.Timeout
  #latest: Times

  private constructor(pid: number, before: Times) {
    this.#pid = pid
    this.#before = before
    this.#latest = before
    this.#timer = setInterval(() => void this.#sample(), sampleMs).unref()
  }

  /** Once the process has ended, nothing is told of it any more: what the last sample saw stands. */
  static async start(pid: number): Promise<UsageSampler> {
    const sampler = new UsageSampler(pid, await timesOf(pid))
    await sampler.#sample()
    return sampler
  }

  async stop(): Promise<Usage> {
    clearInterval(this.#timer)
    await this.#sample()
    const threads: Record<string, number> = {}
    for (const [id, { name, seconds }] of this.#latest.threads) {
      threads[name] = (threads[name] ?? 0) + seconds - (this.#before.threads.get(id)?.seconds ?? 0)
    }
    const main = this.#latest.threads.get(this.#pid)?.seconds ?? 0
    const mb = this.#memory.map(([, value]) => value)
    return {
      cpuSeconds: this.#latest.total - this.#before.total,
      mainSeconds: main - (this.#before.threads.get(this.#pid)?.seconds ?? 0),
      threads,
      rssPeakMb: mb.reduce((most, value) => Math.max(most, value), 0),
      rssEndMb: mb.at(-1) ?? 0,
      memory: this.#memory,
    }
  }

  async #sample(): Promise<void> {
    const [mb, times] = await Promise.all([residentMb(this.#pid), timesOf(this.#pid)])
    if (mb === 0 || times.total === 0) return
    this.#memory.push([(performance.now() - this.#startedAt) / 1000, mb])
    this.#latest = times
  }
}

/** Resident memory in MB (10^6 bytes). */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024) / 1e6
}

interface Times {
  readonly total: number
  readonly threads: ReadonlyMap<number, { readonly name: string; readonly seconds: number }>
}

async function timesOf(pid: number): Promise<Times> {
  const threads = new Map<number, { name: string; seconds: number }>()
  for (const id of await readdir(`/proc/${pid}/task`).catch(() => [])) {
    const stat = parseStat(await readFile(`/proc/${pid}/task/${id}/stat`, 'utf8').catch(() => ''))
    if (stat !== null) threads.set(Number(id), { ...stat, name: Number(id) === pid ? 'main' : stat.name })
  }
  return { total: parseStat(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))?.seconds ?? 0, threads }
}

/** proc(5): the name is in parentheses, utime and stime are fields 14 and 15. */
function parseStat(text: string): { name: string; seconds: number } | null {
  const match = /^\d+ \((.*)\) (.*)$/s.exec(text)
  if (match === null) return null
  const fields = match[2]!.split(' ')
  return { name: match[1]!, seconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond }
}
