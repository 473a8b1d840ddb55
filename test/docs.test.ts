/** What the documents name is there: files, links, settings, metrics, and the words of the log. Line numbers and prose are nobody's business here. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, it } from 'node:test'
import { settingNames } from '../src/config/settings.ts'
import { root } from './support/source-scan.ts'

const folders = ['.', 'bin', 'protocol', 'storage', 'src', 'test', 'scripts', 'helm', 'docs', 'bench', 'examples']
const files: ReadonlySet<string> = new Set(folders.flatMap(folder => filesIn(folder)))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const adrs = readdirSync(join(root, 'docs', 'adr')).map(name => `docs/adr/${name}`)
const documents = ['README.md', 'CHANGELOG.md', 'docs/ARCHITECTURE.md', 'docs/FORMATS.md', 'docs/OPERATIONS.md', 'docs/PERFORMANCE.md', ...adrs]

describe('documents', () => {
  for (const path of documents) {
    const text = read(path)

    it(`${path}: links lead somewhere`, () => {
      const missing = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target]) => {
        const [file, anchor] = (target ?? '').split('#')
        if (/^[a-z]+:/.test(target ?? '')) return []
        const linked = file === '' || file === undefined ? path : normalize(join(dirname(path), file))
        if (!existsSync(join(root, linked))) return [target]
        return anchor === undefined || anchorsOf(read(linked)).has(anchor) ? [] : [target]
      })
      assert.deepEqual(missing, [])
    })

    it(`${path}: files that it names exist`, () => {
      const named = [...text.matchAll(/`((?:[a-z0-9-]+\/)*[a-z0-9-]+(?:\.test)?\.(?:ts|sh|json|yaml))`/g)].map(([, name]) => name ?? '')
      const places = ['', 'storage/', 'src/', 'protocol/']
      // Names alone (settings.ts) are looked for anywhere.
      const there = (name: string): boolean => places.some(place => files.has(place + name)) || (!name.includes('/') && [...files].some(file => file.endsWith(`/${name}`)))
      assert.deepEqual(named.filter(name => !there(name) && !madeUp.has(name)), [])
    })

    it(`${path}: settings that it names exist`, () => {
      const named = [...text.matchAll(/`((?:lane|table|store|http|log|queued|cache|cold|shutdown|socket|num|auto|group|offsets)\.[a-z.]+)(?:: [^`]*)?`/g)]
      const names = named.map(([, name]) => name ?? '').filter(name => !/\.(ts|json|yaml|md)$/.test(name))
      assert.deepEqual(names.filter(name => !(settingNames as readonly string[]).includes(name)), [])
    })
  }

  const sources = [...files]
    .filter(path => /^(?:src|storage)\/.*\.ts$/.test(path))
    .map(read)
    .join('\n')
    // A sentence may go on in the next literal.
    .replace(/['`]\s*\+\s*['`]/g, '')

  it('OPERATIONS.md quotes the log as it is', () => {
    const rows = [...read('docs/OPERATIONS.md').matchAll(/^\| (`.*?`) \|/gm)].map(([, cell]) => cell ?? '')
    const messages = rows.flatMap(cell => [...cell.matchAll(/`([^`]+)`/g)].map(([, message]) => message ?? '')).filter(message => / .* /.test(message))
    assert.ok(messages.length > 15, 'the table was not found')
    const pieces = messages.flatMap(message => message.split('…').map(piece => piece.trim()))
    assert.deepEqual(pieces.filter(piece => !sources.includes(piece)), [])
  })

  it('OPERATIONS.md names metrics that exist', () => {
    const names = new Set([...read('docs/OPERATIONS.md').matchAll(/\bbayou_[a-z_]+/g)].map(([name]) => name))
    assert.ok(names.size > 10)
    assert.deepEqual([...names].filter(name => !sources.includes(`'${name}'`)), [])
  })

  it('ARCHITECTURE.md is a map, not a book', () => {
    assert.ok(read('docs/ARCHITECTURE.md').split('\n').length < 300)
  })
})

/** Files that people make. */
const madeUp: ReadonlySet<string> = new Set(['bayou.yaml'])

/** Paths from the root of everything in the folder; of the root itself only what is directly in it. */
function filesIn(folder: string): readonly string[] {
  if (!existsSync(join(root, folder))) return []
  const entries = readdirSync(join(root, folder), { recursive: folder !== '.', encoding: 'utf8' })
  return entries.filter(path => !path.includes('node_modules')).map(path => normalize(join(folder, path)).replaceAll('\\', '/'))
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading ?? '')
  return new Set(headings.map(heading => heading.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-')))
}
