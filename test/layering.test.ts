/**
 * The rules of the house that no compiler checks: who may import whom, where the world may be touched, and what the tracked files may say.
 *
 * Layers: protocol/ imports nothing of ours; storage/ imports itself and protocol/records/; src/ imports what it likes; nothing below test/
 * and bench/ imports them. The same borders are drawn by tsconfig.protocol.json and tsconfig.storage.json (`npm run typecheck`).
 *
 * Stages of storage/: a later stage may import an earlier one, never the reverse, and two folders of one stage do not know each other.
 * Types count like values: a type that two stages share lives in the earlier one (storage/types.ts, storage/partition/types.ts), and so far
 * no exception was needed.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { linesWith, root, scanSource, sourceFiles } from './support/source-scan.ts'
import type { Import, SourceFile } from './support/source-scan.ts'

const protocol = sourceFiles('protocol')
const storage = sourceFiles('storage')
const src = sourceFiles('src')
const shipped = [...protocol, ...storage, ...src]
const everything = [...shipped, ...['test', 'bench', 'scripts', 'examples'].flatMap(sourceFiles)]

/** The stages of storage/, first to last. Files directly in storage/ (env, types, paths, limits) come before all of them. */
const stages: readonly (readonly string[])[] = [['objects', 'parquet'], ['log'], ['lane', 'delta'], ['partition', 'journal'], ['maintenance'], ['engine']]

/** Packages that one folder keeps to itself. */
const homes: readonly { readonly package: RegExp; readonly home: RegExp; readonly reason: string }[] = [
  { package: /^(@aws-sdk\/|@smithy\/)/, home: /^storage\/objects\/s3-[\w-]+\.ts$/, reason: 'the S3 client belongs to storage/objects/s3-*.ts' },
  { package: /^undici$/, home: /^storage\/objects\/s3-[\w-]+\.ts$/, reason: 'signed requests belong to storage/objects/s3-*.ts' },
  { package: /^parquet-wasm/, home: /^storage\/parquet\//, reason: 'the Parquet library belongs to storage/parquet/' },
  { package: /^(@node-rs\/crc32|snappy|lz4-napi)$/, home: /^protocol\/records\//, reason: 'checksums and codecs belong to protocol/records/' },
  { package: /^(fastify|@fastify\/)/, home: /^src\/http\//, reason: 'HTTP belongs to src/http/' },
]

/** The world, which code below src/ gets as an argument (storage/env.ts). */
const world: readonly { readonly name: string; readonly pattern: RegExp }[] = [
  { name: 'Date.now', pattern: /\bDate\s*\.\s*now\b/ },
  { name: 'the time of day', pattern: /\bnew\s+Date\s*(?:\(\s*\)|(?!\s*\())/ },
  { name: 'performance', pattern: /\bperformance\s*\.\s*\w/ },
  { name: 'process.hrtime', pattern: /\bprocess\s*\.\s*(?:hrtime|uptime)\b/ },
  { name: 'process.env', pattern: /\bprocess\s*\.\s*env\b/ },
  { name: 'Math.random', pattern: /\bMath\s*\.\s*random\b/ },
  { name: 'a random id or random bytes', pattern: /\b(?:randomUUID|randomBytes|randomInt|randomFill|randomFillSync|getRandomValues)\b/ },
  { name: 'a timer', pattern: /(?<![\w.])(?:setTimeout|setInterval|setImmediate)\b/ },
]
const worldModules = /^(?:node:)?(?:timers|timers\/promises|perf_hooks)$/

/** Files below src/ that may touch the world after all, each with the reason. */
const worldExempt: ReadonlyMap<string, string> = new Map([
  ['storage/parquet/parquet-worker.ts', 'the program of a thread, which takes turns of its own event loop; simulations do the same work inline'],
])

describe('layering', () => {
  it('finds the sources', () => {
    assert.ok(protocol.length > 20 && storage.length > 40 && src.length > 20, 'too few files: the scan is broken')
    const imports = shipped.flatMap(file => file.imports)
    assert.ok(imports.length > 300, `${imports.length} imports: the scan is broken`)
  })

  it('imports name a file that exists', () => {
    const missing = violations(everything, (_, { file }) => file !== null && !existsSync(join(root, file)) && 'there is no such file')
    assert.deepEqual(missing, [])
  })

  it('protocol/ imports nothing of ours', () => {
    assert.deepEqual(violations(protocol, (_, { file }) => file !== null && !file.startsWith('protocol/') && 'leaves protocol/'), [])
  })

  it('protocol/records/ imports only itself', () => {
    const records = protocol.filter(file => file.path.startsWith('protocol/records/'))
    assert.deepEqual(violations(records, (_, { file }) => file !== null && !file.startsWith('protocol/records/') && 'leaves records/'), [])
  })

  it('storage/ imports itself and protocol/records/ alone', () => {
    const allowed = /^(?:storage|protocol\/records)\//
    assert.deepEqual(violations(storage, (_, { file }) => file !== null && !allowed.test(file) && 'leaves storage/'), [])
  })

  it('the stages of storage/ import earlier stages alone', () => {
    assert.deepEqual(violations(storage, stageProblem), [])
  })

  it('every folder of storage/ has a stage', () => {
    const folders = new Set(storage.map(file => folderOf(file.path)))
    assert.deepEqual([...folders].filter(folder => folder !== '' && stageOf(folder) === -1), [])
  })

  it('nothing that ships imports tests, benchmarks, scripts or examples', () => {
    assert.deepEqual(violations(shipped, (_, { file }) => file !== null && !/^(?:protocol|storage|src)\//.test(file) && 'does not ship'), [])
  })

  it('packages stay in their homes', () => {
    assert.deepEqual(violations(shipped, homeProblem), [])
  })

  it('packages that ship are dependencies, and every dependency is used', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
    const imported = new Set(shipped.flatMap(file => file.imports).flatMap(found => packageOf(found.specifier) ?? []))
    assert.deepEqual([...imported].filter(name => !(name in dependencies)), [], 'imported, but no dependency')
    // `node` is the runtime; pino loads pino-pretty by its name.
    const named = new Set(['node', 'pino-pretty'])
    assert.deepEqual(Object.keys(dependencies).filter(name => !imported.has(name) && !named.has(name)), [], 'a dependency that nothing imports')
  })
})

describe('the world as an argument', () => {
  it('no clock, randomness, timer or environment below src/', () => {
    const found: string[] = []
    for (const file of [...protocol, ...storage]) {
      if (worldExempt.has(file.path)) continue
      for (const { name, pattern } of world) found.push(...linesWith(file, pattern).map(line => `${file.path}:${line} touches ${name}`))
      found.push(...violations([file], (_, { specifier }) => worldModules.test(specifier) && 'brings timers or clocks'))
    }
    assert.deepEqual(found, [])
  })

  it('exemptions are still needed', () => {
    const idle = [...worldExempt.keys()].filter(path => {
      const file = [...protocol, ...storage].find(candidate => candidate.path === path)
      return file === undefined || !world.some(({ pattern }) => linesWith(file, pattern).length > 0)
    })
    assert.deepEqual(idle, [])
  })
})

describe('style', () => {
  const rules: readonly { readonly name: string; readonly pattern: RegExp }[] = [
    { name: 'any', pattern: /(?<=[:<|&,(=]\s*|\bas\s+|\bextends\s+|\bis\s+)any\b(?!\s*[:(])/ },
    { name: 'a default export', pattern: /\bexport\s+default\b|\bas\s+default\b(?=[\s,}])/ },
    { name: 'an enum', pattern: /(?<![\w.$])enum\s+[A-Za-z_$][\w$]*\s*\{/ },
    { name: 'a namespace', pattern: /(?:^|\n)\s*(?:export\s+)?(?:declare\s+)?namespace\s+[A-Za-z_$]/ },
    { name: 'a barrel', pattern: /\bexport\s*\*/ },
    { name: 'the keyword private', pattern: /(?<![\w.$#])private\s+(?!constructor\b)[A-Za-z_$]/ },
  ]
  for (const { name, pattern } of rules) {
    it(`no file has ${name}`, () => {
      assert.deepEqual(everything.flatMap(file => linesWith(file, pattern).map(line => `${file.path}:${line}`)), [])
    })
  }

  it('files are named in kebab-case', () => {
    assert.deepEqual(everything.map(file => file.path).filter(path => !/^[a-z0-9]+(?:[-.][a-z0-9]+)*\.ts$/.test(basename(path))), [])
  })
})

describe('tracked files', () => {
  const tracked = trackedFiles()
  const skip = tracked === null ? 'not a git checkout' : false
  const patterns: readonly RegExp[] = [
    /(?<![\w.])\/(?:home|Users)\/[a-z][\w.-]*\//,
    /(?<![\w.])\/root\/\S/,
    /\bregistry\.(?:npmjs|yarnpkg|npmmirror|hub|terraform)\.\w+/,
    /\/\/[\w.-]*\b(?:artifactory|nexus|registry|mirrors?|jfrog)\b[\w-]*\.[\w.-]+/i,
    /\b(?:files\.pythonhosted|pypi)\.org\/(?:simple|packages)/,
    /\b(?:npm\.pkg\.github\.com|repo1?\.maven\.(?:org|apache\.org)|proxy\.golang\.org)\b/,
    /\b(?:docker\.io|ghcr\.io|quay\.io|gcr\.io|mcr\.microsoft\.com|public\.ecr\.aws)\//,
  ]

  it('name no folder of somebody and no registry', { skip }, () => {
    const found: string[] = []
    // A checkout in a folder as common as /app says nothing.
    const places = [homedir(), root].filter(place => place.split(/[\\/]/).length > 2)
    for (const path of tracked ?? []) {
      if (path === 'test/layering.test.ts' || !isText(path) || !existsSync(join(root, path)) || !statSync(join(root, path)).isFile()) continue
      const lines = readFileSync(join(root, path), 'utf8').split('\n')
      lines.forEach((line, index) => {
        if (patterns.some(pattern => pattern.test(line)) || places.some(place => line.includes(place))) {
          found.push(`${path}:${index + 1} ${line.trim().slice(0, 120)}`)
        }
      })
    }
    assert.deepEqual(found, [])
  })

  it('every dependency has its line in docs/adr/0002-dependencies.md', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<'dependencies' | 'devDependencies', Record<string, string>>
    const text = readFileSync(join(root, 'docs', 'adr', '0002-dependencies.md'), 'utf8')
    const names = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)]
    assert.deepEqual(names.filter(name => !text.includes(`\`${name}\``)), [])
  })
})

describe('the scan itself', () => {
  it('sees every form of import', () => {
    const { imports } = scan(
      [
        "import { a, type B } from './b.ts'",
        "import type { C } from '../c.ts'",
        "import { type D, type E } from '../../protocol/records/d.ts'",
        "import * as fs from 'node:fs'",
        "import './side-effect.ts'",
        "export { f } from './f.ts'",
        "export type * from './g.ts'",
        'import {\n  h,\n} from "./h.ts"',
        "const late = await import('./late.ts')",
        "new Worker(new URL('./worker.ts', import.meta.url))",
      ].join('\n'),
    )
    assert.deepEqual(
      imports.map(({ file, specifier, typeOnly, line }) => [file ?? specifier, typeOnly, line]),
      [
        ['storage/lane/b.ts', false, 1],
        ['storage/c.ts', true, 2],
        ['protocol/records/d.ts', true, 3],
        ['node:fs', false, 4],
        ['storage/lane/side-effect.ts', false, 5],
        ['storage/lane/f.ts', false, 6],
        ['storage/lane/g.ts', true, 7],
        ['storage/lane/h.ts', false, 10],
        ['storage/lane/late.ts', false, 11],
        ['storage/lane/worker.ts', false, 12],
      ],
    )
  })

  it('takes no prose for code and no code for prose', () => {
    const text = "// import x from './x.ts'; Date.now()\nconst a = 'import y from \"./y.ts\"'\nconst b = `Date.now ${Date.now()} ${`${1}`} Date.now`\n"
    const file = scan(`${text}const c = /[/'"]/.test(a) ? 6 / 2 / 3 : "/* no"\nconst d = Math.random()\n/* Math.random */`)
    assert.deepEqual(file.imports, [])
    assert.deepEqual(linesWith(file, /Date\.now/), [3])
    assert.deepEqual(linesWith(file, /Math\.random/), [5])
  })

  it('knows a broken rule when it sees one', () => {
    const bad = scan("import { Journal } from '../journal/journal.ts'\nimport { Engine } from '../engine/engine.ts'\n")
    assert.equal(violations([bad], stageProblem).length, 2)
    const good = scan("import { createOnce } from '../log/create-once.ts'\nimport { digits20 } from '../paths.ts'\n")
    assert.deepEqual(violations([good], stageProblem), [])
    const sibling = scan("import { DeltaTable } from '../delta/table.ts'\n")
    assert.equal(violations([sibling], stageProblem).length, 1)
  })
})

/** As if it were a file of storage/lane/. */
function scan(text: string): SourceFile {
  return scanSource('storage/lane/a.ts', text)
}

/** `path:line imports what: why`, for each import in which `problem` sees one. */
function violations(files: readonly SourceFile[], problem: (file: SourceFile, found: Import) => string | false): readonly string[] {
  return files.flatMap(file =>
    file.imports.flatMap(found => {
      const why = problem(file, found)
      return why === false ? [] : [`${file.path}:${found.line} imports ${found.specifier}: ${why}`]
    }),
  )
}

function stageProblem(file: SourceFile, found: Import): string | false {
  if (found.file === null || !found.file.startsWith('storage/')) return false
  const from = folderOf(file.path)
  const to = folderOf(found.file)
  if (from === to || stageOf(to) < stageOf(from)) return false
  return `${from === '' ? 'the foundation' : from} may not import ${to}`
}

function homeProblem(file: SourceFile, { specifier }: Import): string | false {
  const home = homes.find(candidate => candidate.package.test(specifier))
  return home !== undefined && !home.home.test(file.path) && home.reason
}

/** The folder of storage/ that a path lies in; '' for a file directly in it. */
function folderOf(path: string): string {
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] ?? '') : ''
}

/** Position in the order; -1 for the foundation (and for a folder that has no place yet). */
function stageOf(folder: string): number {
  return stages.findIndex(stage => stage.includes(folder))
}

/** `@scope/name` or `name`; null for files and modules of Node. */
function packageOf(specifier: string): string | null {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return null
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

function isText(path: string): boolean {
  return !/\.(?:parquet|bin|jar|class|png|jpg|gif|ico|gz|zst)$/.test(path)
}

/** Null where there is no git or no checkout. */
function trackedFiles(): readonly string[] | null {
  try {
    return execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\0').filter(Boolean)
  } catch {
    return null
  }
}
