/** Results as Markdown tables: the subjects side by side, Bayou over each peer, and what each cost. */
import type { Column } from './cases/case.ts'
import type { Report, Result } from './results.ts'
import { ratioTo, subjectNames } from './results.ts'
import type { Spread } from './stats.ts'
import { round } from './stats.ts'
import { storeNames } from './stores.ts'
import type { StoreName } from './stores.ts'
import type { Subject } from './target.ts'

const peersInOrder: readonly Subject[] = ['kafka', 'nisshi', 'delta-queue']

/** Median, with the least and the most where they differ. */
export function figure(spread: Spread | undefined): string {
  if (spread === undefined) return ''
  const [least, middle, most] = [round(spread.min), round(spread.median), round(spread.max)]
  return least === most ? middle : `${middle} (${least} … ${most})`
}

/** One line of what a case gave, for the terminal. */
export function oneLine(result: Result): string {
  if (result.error !== undefined) return `no figures: ${result.error.split('\n')[0]}`
  return result.columns.flatMap((column) => (result.spreads[column.key] === undefined ? [] : [cell(column, result)])).join('; ')
}

function cell(column: Column, result: Result): string {
  return `${column.title} ${figure(result.spreads[column.key])} ${column.unit}`
}

/** Everything, by store and theme. */
export function renderTables(report: Report): string {
  const stores = storeNames.filter((store) => report.results.some((result) => result.store === store))
  return [limitsTable(report), ...stores.flatMap((store) => storeSection(report, store)), failures(report)].filter((part) => part !== '').join('\n\n')
}

function limitsTable(report: Report): string {
  const rows = Object.entries(report.limits).map(
    ([store, { putMs, putMegabytesPerSecond }]) => `| ${store} | ${round(putMs.p50)} | ${round(putMs.p99)} | ${round(putMegabytesPerSecond)} |`,
  )
  return ['| store | conditional PUT of 4 KiB, p50, ms | p99, ms | 8 MiB, four at once, MB/s |', '|---|--:|--:|--:|', ...rows].join('\n')
}

function storeSection(report: Report, store: StoreName): string[] {
  const results = report.results.filter((result) => result.store === store && result.error === undefined)
  const themes = [...new Set(results.map(({ theme }) => theme))]
  const parts = themes.flatMap((theme) => [`#### ${theme}`, subjectsTable(results.filter((result) => result.theme === theme))])
  return [`### On ${store}`, ...parts, '#### What it cost', costTable(results)]
}

function subjectsTable(results: readonly Result[]): string {
  const names = [...new Set(results.map(({ name }) => name))]
  const peers = peersInOrder.filter((peer) => results.some(({ subject }) => subject === peer))
  const heads = ['case', 'figure', 'Bayou', ...peers.flatMap((peer) => [subjectNames[peer], `Bayou / ${subjectNames[peer]}`])]
  const rows = names.flatMap((name) => {
    const of = (subject: Subject): Result | undefined => results.find((result) => result.name === name && result.subject === subject)
    const columns = results.find((result) => result.name === name)?.columns ?? []
    return columns
      .filter(({ key }) => results.some((result) => result.name === name && result.spreads[key] !== undefined))
      .map((column, index) => {
        const figures = peers.flatMap((peer) => {
          const ratio = ratioTo(of(peer), of('bayou'), column.key)
          return [figure(of(peer)?.spreads[column.key]), ratio === undefined ? '' : `${round(ratio)} ×`]
        })
        return [index === 0 ? `\`${name}\`` : '', `${column.title}, ${column.unit}`, figure(of('bayou')?.spreads[column.key]), ...figures]
      })
  })
  return table(heads, rows)
}

function costTable(results: readonly Result[]): string {
  const columns = [
    ['cpuSeconds', 'CPU, s'], ['mainSeconds', 'main thread, s'], ['rssPeakMb', 'peak memory, MB'], ['puts', 'PUTs'], ['bytesWrittenPerByte', 'bytes written per byte'],
  ] as const
  const rows = results.map(({ name, subject, spreads }) => [`\`${name}\``, subjectNames[subject], ...columns.map(([key]) => figure(spreads[key]))])
  return table(['case', 'who', ...columns.map(([, title]) => title)], rows)
}

function failures(report: Report): string {
  const failed = report.results.filter(({ error }) => error !== undefined)
  if (failed.length === 0) return ''
  return ['### Without figures', ...failed.map(({ name, store, subject, error }) => `- \`${name}\` on ${store}, ${subjectNames[subject]}: ${error?.split('\n')[0] ?? ''}`)].join('\n')
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return [line(heads), `|${heads.map((_, index) => (index < 2 ? '---' : '--:')).join('|')}|`, ...rows.map(line)].join('\n')
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
