/** Figures over samples and over repeats. */

export interface Quantiles {
  readonly count: number
  readonly min: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** What a case measured, by name with unit. */
export type Numbers = Record<string, number>

export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** As the load program computes them. Sorts in place; all but the count are NaN where there is no sample. */
export function quantiles(ms: number[]): Quantiles {
  ms.sort((a, b) => a - b)
  const at = (q: number): number => ms[Math.min(ms.length - 1, Math.floor(q * ms.length))] ?? Number.NaN
  return { count: ms.length, min: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) }
}

/** NaN where there is no value. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** Median, least and most of each number, name by name, over the repeats that have it. */
export function spreads(repeats: readonly Numbers[]): Record<string, Spread> {
  const names = new Set(repeats.flatMap((repeat) => Object.keys(repeat)))
  return Object.fromEntries(
    [...names].flatMap((name) => {
      const values = repeats.flatMap((repeat) => (Number.isFinite(repeat[name]) ? [repeat[name]!] : []))
      return values.length === 0 ? [] : [[name, { min: Math.min(...values), median: median(values), max: Math.max(...values) }]]
    }),
  )
}

/** Least squares: by how much y grows with 1 of x. 0 where all x are the same. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length
  let covariance = 0
  let variance = 0
  for (const [x, y] of points) {
    covariance += (x - meanX) * (y - meanY)
    variance += (x - meanX) ** 2
  }
  return variance === 0 ? 0 : covariance / variance
}

/** The 99th percentile of the standard normal distribution. */
const normalP99 = 2.326_347_874

/** A log-normal distribution by its median and 99th percentile; `random` gives numbers in [0, 1). */
export function logNormal(random: () => number, p50: number, p99: number): () => number {
  const sigma = Math.log(p99 / p50) / normalP99
  return () => {
    // Box–Muller; 1 - random() is never 0.
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    return p50 * Math.exp(sigma * normal)
  }
}

/** Three significant digits are what a shared machine gives. */
export function round(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  if (Math.abs(value) >= 100) return String(Math.round(value))
  return String(Number(value.toPrecision(3)))
}
