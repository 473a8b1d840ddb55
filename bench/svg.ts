/** Two kinds of plots as SVG: bars by group, and lines on logarithmic axes. Text and lines are readable on light and dark ground alike. */
import { round } from './stats.ts'

export interface Series {
  readonly name: string
  readonly color: string
}

export interface BarPlot {
  readonly title: string
  readonly unit: string
  readonly series: readonly Series[]
  /** A bar of each series per group; null leaves the place empty. Whiskers from min to max. */
  readonly groups: readonly { readonly name: string; readonly bars: readonly ({ readonly min: number; readonly value: number; readonly max: number } | null)[] }[]
}

export interface LinePlot {
  readonly title: string
  readonly xTitle: string
  readonly unit: string
  readonly series: readonly (Series & { readonly dashed?: boolean; readonly points: readonly (readonly [x: number, y: number])[] })[]
}

const width = 860
const height = 360
const left = 76
const right = 20
const top = 90
const legendColumns = 4
const bottom = 60
const plotWidth = width - left - right
const plotHeight = height - top - bottom
const ink = '#808080'

export function barPlot({ title, unit, series, groups }: BarPlot): string {
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map((bar) => bar?.max ?? 0)), Number.MIN_VALUE)
  const step = niceStep(most / 4)
  const ceiling = Math.ceil(most / step) * step
  const y = (value: number): number => top + plotHeight * (1 - value / ceiling)
  const grid = Array.from({ length: Math.round(ceiling / step) + 1 }, (_, index) => gridLine(y(index * step), round(index * step)))
  const groupWidth = plotWidth / groups.length
  const barWidth = Math.min(46, (groupWidth * 0.8) / series.length)
  const drawn = groups.flatMap(({ name, bars }, group) => {
    const middle = left + groupWidth * (group + 0.5)
    const label = text(middle, height - bottom + 18, name, 'middle')
    const shapes = bars.flatMap((bar, index) => {
      if (bar === null) return []
      const x = middle + (index - series.length / 2) * barWidth
      const center = x + barWidth / 2
      return [
        `<rect x="${at(x + 1)}" y="${at(y(bar.value))}" width="${at(barWidth - 2)}" height="${at(top + plotHeight - y(bar.value))}" fill="${series[index]?.color ?? ink}"/>`,
        `<path d="M${at(center)} ${at(y(bar.min))}V${at(y(bar.max))}" stroke="${ink}"/>`,
        text(center, y(bar.max) - 4, round(bar.value), 'middle', 10),
      ]
    })
    return [label, ...shapes]
  })
  return svg(title, unit, series, [...grid, ...drawn])
}

export function linePlot({ title, xTitle, unit, series }: LinePlot): string {
  const points = series.flatMap((one) => one.points)
  const xs = logScale(points.map(([x]) => x), left, plotWidth)
  const ys = logScale(points.map(([, y]) => y), top + plotHeight, -plotHeight)
  const grid = ys.ticks.map((value) => gridLine(ys.place(value), round(value)))
  const labels = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b).map((x) => text(xs.place(x), height - bottom + 18, x >= 1000 ? `${x / 1000}k` : String(x), 'middle'))
  const drawn = series.flatMap(({ color, dashed, points: own }) => {
    const placed = own.map(([x, y]) => `${at(xs.place(x))},${at(ys.place(y))}`)
    const dots = placed.map((point) => `<circle cx="${point.split(',')[0]}" cy="${point.split(',')[1]}" r="3" fill="${color}"/>`)
    return [`<polyline points="${placed.join(' ')}" fill="none" stroke="${color}" stroke-width="2"${dashed === true ? ' stroke-dasharray="5 4"' : ''}/>`, ...dots]
  })
  return svg(title, unit, series, [...grid, ...labels, text(left + plotWidth / 2, height - bottom + 36, xTitle, 'middle'), ...drawn])
}

function svg(title: string, unit: string, series: readonly (Series & { readonly dashed?: boolean })[], parts: readonly string[]): string {
  const legend = series.flatMap(({ name, color, dashed }, index) => {
    const x = left + (index % legendColumns) * (plotWidth / legendColumns)
    const y = 36 + Math.floor(index / legendColumns) * 18
    const sample = dashed === true ? `<path d="M${at(x)} ${y + 5}h14" stroke="${color}" stroke-width="2" stroke-dasharray="4 3"/>` : `<rect x="${at(x)}" y="${y}" width="12" height="10" fill="${color}"/>`
    return [sample, text(x + 18, y + 9, name, 'start')]
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="${ink}">`,
    `<title>${escape(title)}</title>`,
    text(left, 20, `${title}, ${unit}`, 'start', 15),
    ...legend,
    ...parts,
    '</svg>\n',
  ].join('\n')
}

function gridLine(y: number, label: string): string {
  return `<path d="M${left} ${at(y)}H${width - right}" stroke="${ink}" stroke-opacity="0.3"/>\n${text(left - 8, y + 4, label, 'end')}`
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', size = 12): string {
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}" font-size="${size}">${escape(content)}</text>`
}

/** From the power of ten below the least to the one above the most; ticks at 1, 2 and 5. */
function logScale(values: readonly number[], origin: number, extent: number): { place(value: number): number; readonly ticks: readonly number[] } {
  const positive = values.filter((value) => value > 0)
  const candidates = Array.from({ length: 16 }, (_, index) => index - 4).flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power))
  const least = Math.min(...positive)
  const most = Math.max(...positive)
  const low = candidates.findLast((value) => value <= least) ?? least
  const high = candidates.find((value) => value >= most && value > low) ?? most
  const place = (value: number): number => origin + (extent * Math.log(Math.max(value, low) / low)) / Math.log(high / low)
  return { place, ticks: candidates.filter((value) => value >= low && value <= high) }
}

/** 1, 2 or 5 times a power of ten, at least that much. */
export function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  return ([1, 2, 5, 10].find((digit) => digit * power >= least * (1 - 1e-9)) ?? 10) * power
}

function at(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
