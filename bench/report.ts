/** `npm run bench -- report results.json`: the generated part of docs/PERFORMANCE.md and the plots in docs/performance/. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { plotsOf } from './plots.ts'
import type { Plot } from './plots.ts'
import type { Report } from './results.ts'
import { round } from './stats.ts'
import { renderTables } from './tables.ts'
import { renderTargets } from './targets.ts'

const docs = fileURLToPath(new URL('../docs/', import.meta.url))
const plotFolder = 'performance'

/** Several files count as one run: later figures of a case take the place of earlier ones. */
export async function writeReport(files: readonly string[], folder = docs): Promise<void> {
  const report = merge(await Promise.all(files.map(async (file) => JSON.parse(await readFile(file, 'utf8')) as Report)))
  const plots = plotsOf(report)
  await rm(join(folder, plotFolder), { recursive: true, force: true })
  await mkdir(join(folder, plotFolder), { recursive: true })
  for (const { file, svg } of plots) await writeFile(join(folder, plotFolder, file), svg)
  const document = join(folder, 'PERFORMANCE.md')
  let text = await readFile(document, 'utf8')
  text = replacePart(text, 'targets', renderTargets(report))
  text = replacePart(text, 'figures', [head(report), plots.map(image).join('\n'), renderTables(report)].join('\n\n'))
  await writeFile(document, text)
}

export function merge(reports: readonly Report[]): Report {
  const first = reports[0]
  if (first === undefined) throw new Error('report: name the JSON file of a run')
  const results = new Map(reports.flatMap((report) => report.results.map((result) => [`${result.store} ${result.name} ${result.subject}`, result])))
  return {
    ...first,
    quick: reports.some(({ quick }) => quick),
    seconds: reports.reduce((sum, { seconds }) => sum + seconds, 0),
    limits: Object.assign({}, ...reports.map(({ limits }) => limits)) as Report['limits'],
    results: [...results.values()],
  }
}

/** Puts content between `<!-- NAME: generated -->` and `<!-- NAME: end -->`. Throws when the document has no such place. */
export function replacePart(text: string, name: string, content: string): string {
  const begin = `<!-- ${name}: generated -->`
  const end = `<!-- ${name}: end -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from === -1 || to < from) throw new Error(`the document has no place for ${name}`)
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}

function head({ startedAt, seconds, quick, machine, node, results }: Report): string {
  const repeats = Math.max(...results.map((result) => result.repeats.length))
  return (
    `Run of ${startedAt.slice(0, 10)}, ${Math.round(seconds / 60)} minutes: ${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB, Linux ${machine.kernel}, Node ${node}; ` +
    `load average at the start ${machine.loadAverage.map(round).join(', ')}. Medians of ${repeats === 1 ? 'one run' : `up to ${repeats} repeats`}, in parentheses the least and the most.` +
    (quick ? ' **A quick run: short, without repeats, no figures to quote.**' : '')
  )
}

function image({ file, title }: Plot): string {
  return `![${title}](${plotFolder}/${file})`
}
