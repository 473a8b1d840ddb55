/** What a broker's process needs, seen from outside. Linux. */
import { readFileSync, readdirSync } from 'node:fs'

export function rssBytes(pid: number): number {
  return field(pid, 'VmRSS')
}

/** Highest resident memory since the process began, or since the last `resetPeak`. */
export function peakBytes(pid: number): number {
  return field(pid, 'VmHWM')
}

export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Processor time used so far, all threads, milliseconds. */
export function cpuMs(pid: number): number {
  // The second field, the name of the program, may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** The samples of one metric in Prometheus text, by their labels. */
export async function metric(http: string, name: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${http}/metrics`)).text()
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z0-9_:]+)(\{[^}]*\})? (\S+)$/.exec(line)
    if (match?.[1] === name) samples.set(match[2] ?? '', Number(match[3]))
  }
  return samples
}

export async function metricSum(http: string, name: string, labels: RegExp = /(?:)/): Promise<number> {
  let sum = 0
  for (const [key, value] of await metric(http, name)) if (labels.test(key)) sum += value
  return sum
}

/** Status of `/health/ready`; 0 when nobody answers. */
export async function readiness(http: string): Promise<number> {
  try {
    return (await fetch(`${http}/health/ready`, { signal: AbortSignal.timeout(5000) })).status
  } catch {
    return 0
  }
}

/** Samples memory until `stop`. */
export class MemoryWatch {
  readonly #pid: number
  readonly #timer: NodeJS.Timeout
  maxBytes = 0

  constructor(pid: number, everyMs = 100) {
    this.#pid = pid
    this.#sample()
    this.#timer = setInterval(() => this.#sample(), everyMs)
  }

  stop(): number {
    clearInterval(this.#timer)
    this.#sample()
    return this.maxBytes
  }

  #sample(): void {
    try {
      this.maxBytes = Math.max(this.maxBytes, rssBytes(this.#pid))
    } catch {
      // The process has ended.
    }
  }
}

function field(pid: number, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(match?.[1] ?? 0) * 1024
}

export function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}
