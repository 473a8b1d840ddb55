/** From the JSON of a run to the document: tables, ratios, targets and plots say what was measured and nothing else. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { chooseCases } from '../../bench/cases/all.ts'
import { p50, p99 } from '../../bench/cases/case.ts'
import { merge, replacePart, writeReport } from '../../bench/report.ts'
import type { Report, Result } from '../../bench/results.ts'
import type { Numbers } from '../../bench/stats.ts'
import { spreads } from '../../bench/stats.ts'
import { niceStep } from '../../bench/svg.ts'
import { renderTables } from '../../bench/tables.ts'
import type { Subject } from '../../bench/target.ts'
import { renderTargets } from '../../bench/targets.ts'

describe('report of the bench', () => {
  it('sets the subjects side by side with the ratio of their medians', () => {
    const text = renderTables(report([result('bursts-10k', 'bayou', [{ p99Ms: 30 }, { p99Ms: 10 }, { p99Ms: 20 }]), result('bursts-10k', 'kafka', [{ p99Ms: 10 }])]))
    assert.match(text, /^\| case \| figure \| Bayou \| Apache Kafka \| Bayou \/ Apache Kafka \|$/m)
    assert.match(text, /^\| `bursts-10k` \| p99, ms \| 20 \(10 … 30\) \| 10 \| 2 × \|$/m)
    assert.doesNotMatch(text, /NaN|undefined|^\|.*\| p50, ms \|/m)
  })

  it('tells what has no figures instead of leaving it out', () => {
    const failed: Result = { ...result('bursts-250k', 'nisshi', []), error: '3 of 7 records arrived\nmore' }
    const text = renderTables(report([result('bursts-250k', 'bayou', [{ p99Ms: 30 }]), failed]))
    assert.match(text, /`bursts-250k` on minio, Nisshi: 3 of 7 records arrived$/m)
    assert.doesNotMatch(text, /Bayou \/ Nisshi/)
  })

  it('judges a target by all figures that were measured, and leaves the cell empty where none was', () => {
    const good = renderTargets(report([result('bursts-10k', 'bayou', [{ p50Ms: 12, p99Ms: 33 }])]))
    assert.match(row(good, 'end to end'), /\| 10k p50 12 ms, p99 33 ms \| yes \|  \|  \|$/)
    const bad = renderTargets(report([result('bursts-10k', 'bayou', [{ p50Ms: 12, p99Ms: 33 }]), result('bursts-70k', 'bayou', [{ p50Ms: 12, p99Ms: 61 }])]))
    assert.match(row(bad, 'end to end'), /\| no \|  \|  \|$/)
    assert.match(row(good, 'restart'), /s \|  \|  \|  \|  \|$/)
  })

  it('has a column for MinIO in memory, and asks what is asked of S3 of S3', () => {
    const elsewhere = { ...result('bursts-10k', 'bayou', [{ p50Ms: 30, p99Ms: 33 }]), store: 'minio-memory' as const }
    const s3 = { ...result('smooth-10k', 'bayou', [{ p99Ms: 100, lanePutsPerSecond: 30 }]), store: 's3-standard' as const }
    const text = renderTargets(report([result('bursts-10k', 'bayou', [{ p50Ms: 12, p99Ms: 33 }]), elsewhere, s3]))
    assert.match(row(text, 'end to end'), /p50 12 ms, p99 33 ms \| yes \| 10k p50 30 ms, p99 33 ms \| no \|$/)
    assert.match(row(text, 'simulated S3 Standard'), /\| 30 PUTs\/s, smooth-10k p99 100 ms \| yes \|  \|  \|$/)
  })

  it('writes the document and its plots, and keeps what people wrote', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bayou-report-'))
    try {
      const document = join(folder, 'PERFORMANCE.md')
      const places = '<!-- targets: generated -->\nold\n<!-- targets: end -->\nmiddle\n<!-- figures: generated -->\n<!-- figures: end -->\nlast words\n'
      await writeFile(document, `# Title\n${places}`)
      const json = join(folder, 'run.json')
      const rates = ['bursts-10k', 'bursts-70k'].map((name) => result(name, 'bayou', [{ p50Ms: 10, p99Ms: 20 }]))
      await writeFile(json, JSON.stringify(report([...rates, result('latency', 'bayou', [{ p50Ms: 2 }])])))
      await writeReport([json], folder)
      const text = await readFile(document, 'utf8')
      assert.match(text, /^# Title\n[^]*middle\n[^]*last words\n$/)
      assert.doesNotMatch(text, /^old$/m)
      const files = await readdir(join(folder, 'performance'))
      assert.deepEqual(files.toSorted(), ['bursts.svg', 'latency.svg'])
      for (const file of files) {
        assert.ok(text.includes(`](performance/${file})`), file)
        const svg = await readFile(join(folder, 'performance', file), 'utf8')
        assert.match(svg, /^<svg [^]*<\/svg>\n$/)
        assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('later runs take the place of earlier figures of the same case', () => {
    const merged = merge([report([result('latency', 'bayou', [{ p50Ms: 2 }]), result('latency', 'kafka', [{ p50Ms: 1 }])]), report([result('latency', 'bayou', [{ p50Ms: 3 }])])])
    assert.deepEqual(merged.results.map(({ subject, repeats }) => [subject, repeats[0]?.['p50Ms']]), [['bayou', 3], ['kafka', 1]])
  })

  it('a document without a place for the figures is refused', () => {
    assert.throws(() => replacePart('# Title\n', 'figures', ''), /no place/)
  })

  it('steps of an axis are 1, 2 or 5 times a power of ten', () => {
    assert.deepEqual([0.03, 1, 1.1, 3, 26, 70].map(niceStep), [0.05, 1, 2, 5, 50, 100])
  })
})

describe('choice of cases', () => {
  it('a whole name is that case, the beginning of names all that are not on request', () => {
    assert.deepEqual(names('latency|produce-1k'), ['latency', 'produce-1k'])
    assert.deepEqual(names('blast-1k'), ['blast-1k'])
    assert.deepEqual(names('topics'), ['topics-1', 'topics-100', 'topics-10000'])
  })

  it('what names nothing fails with the list, and an empty alternative names nothing more', () => {
    for (const wrong of ['nothing', 'latency|nothing', '', '|']) assert.throws(() => names(wrong), /none of latency, /)
    assert.deepEqual(names('latency|'), ['latency'])
  })

  it('names are unique, and Bayou takes part in every case', () => {
    const all = chooseCases('.*')
    assert.equal(new Set(all.map(({ name }) => name)).size, all.length)
    assert.ok(all.every(({ subjects, stores }) => subjects.includes('bayou') && stores.length > 0))
    assert.ok(names(null).length < all.length)
  })
})

function row(text: string, start: string): string {
  return text.split('\n').find((line) => line.startsWith(`| ${start}`)) ?? ''
}

function names(pattern: string | null): readonly string[] {
  return chooseCases(pattern).map(({ name }) => name)
}

function result(name: string, subject: Subject, repeats: readonly Numbers[]): Result {
  return { store: 'minio', subject, name, theme: 'Latency', about: name, columns: [p99, p50], repeats, spreads: spreads(repeats) }
}

function report(results: readonly Result[]): Report {
  const putMs = { count: 1, min: 1, p50: 1, p90: 1, p99: 1, p999: 1, max: 1 }
  return {
    startedAt: '2026-01-02T03:04:05.000Z', seconds: 60, quick: false, node: 'v24',
    machine: { cpu: 'a processor', cores: 2, memoryGb: 8, kernel: '6.1', loadAverage: [0, 0, 0] },
    limits: { minio: { putMs, putMegabytesPerSecond: 100 } },
    results,
  }
}
