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
}

/** Watches a process from `start` to `stop`. */
export class UsageSampler {
  readonly #pid: number
  #before: Times
  #rssPeak = 0
  #rss = 0
  #timer: NodeJS.Timeout | null = null

  private constructor(pid: number, before: Times) {
    this.#pid = pid
    this.#before = before
  }

  static async start(pid: number): Promise<UsageSampler> {
    const sampler = new UsageSampler(pid, await timesOf(pid))
    await sampler.#sample()
    sampler.#timer = setInterval(() => void sampler.#sample(), sampleMs)
    return sampler
  }

  async stop(): Promise<Usage> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#sample()
    const after = await timesOf(this.#pid)
    const threads: Record<string, number> = {}
    for (const [id, { name, seconds }] of after.threads) {
      const spent = seconds - (this.#before.threads.get(id)?.seconds ?? 0)
      threads[name] = (threads[name] ?? 0) + spent
    }
    const main = after.threads.get(this.#pid)?.seconds ?? 0
    return {
      cpuSeconds: after.total - this.#before.total,
      mainSeconds: main - (this.#before.threads.get(this.#pid)?.seconds ?? 0),
      threads,
      rssPeakMb: this.#rssPeak,
      rssEndMb: this.#rss,
    }
  }

  async #sample(): Promise<void> {
    this.#rss = await residentMb(this.#pid)
    this.#rssPeak = Math.max(this.#rssPeak, this.#rss)
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
