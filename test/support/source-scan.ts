/**
 * Reads TypeScript files as far as the rules of the house need it: what a file imports, and its text without comments, strings and regular
 * expressions, so that a word in prose is never taken for code. A scanner and no parser: it knows where literals begin and end, nothing else.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the checkout. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface Import {
  /** As written: `./x.ts`, `node:fs`, `undici`. */
  readonly specifier: string
  /** The path of the imported file from the root, or null for a package or a module of Node. */
  readonly file: string | null
  /** True when nothing of it is left at run time: `import type`, or braces in which every name is a type. */
  readonly typeOnly: boolean
  readonly line: number
}

export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string
  readonly imports: readonly Import[]
  /** The text with the same length and lines; comments and the insides of literals are blanks. */
  readonly code: string
}

/** Every `.ts` file below the folder, sorted by path. A folder that does not exist has none. */
export function sourceFiles(folder: string): readonly SourceFile[] {
  let entries
  try {
    entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return entries
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('node_modules'))
    .map(entry => join(entry.parentPath, entry.name).slice(root.length + 1).replaceAll('\\', '/'))
    .sort()
    .map(path => scanSource(path, readFileSync(join(root, path), 'utf8')))
}

/** Shape of one file. `path` is where its relative imports start from. */
export function scanSource(path: string, text: string): SourceFile {
  const { code, strings } = blankLiterals(text)
  const imports: Import[] = []
  for (const literal of strings) {
    const before = code.slice(Math.max(0, literal.start - 4000), literal.start)
    const clause = importClause(before)
    if (clause === null) continue
    const specifier = text.slice(literal.start + 1, literal.end - 1)
    const file = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : null
    imports.push({ specifier, file, typeOnly: isTypeOnly(clause), line: lineOf(text, literal.start) })
  }
  return { path, imports, code }
}

/** Line numbers at which the pattern occurs in the code of the file. */
export function linesWith(file: SourceFile, pattern: RegExp): readonly number[] {
  const global = new RegExp(pattern.source, `${pattern.flags.replace('g', '')}g`)
  return [...file.code.matchAll(global)].map(match => lineOf(file.code, match.index))
}

/**
 * The words between `import` or `export` and a string that ends `before`, or null when the string is no module: `import x from`, `export *
 * from`, a bare `import`, `import(`, and `new URL(…, import.meta.url)`, with which worker threads name the file they run.
 */
function importClause(before: string): string | null {
  const dynamic = /\b(?:import|new\s+URL)\s*\(\s*$/.exec(before)
  if (dynamic !== null) return 'dynamic'
  const found = /(?:^|[\n;])\s*(import|export)\b((?:(?!\b(?:import|export)\b)[\w\s{},*$])*)$/.exec(before)
  if (found === null) return null
  const clause = (found[2] ?? '').trim()
  if (found[1] === 'import' && clause === '') return 'bare'
  return /\bfrom$/.test(clause) ? clause : null
}

function isTypeOnly(clause: string): boolean {
  if (/^type\b(?!\s+from\b)/.test(clause)) return true
  const names = /^\{([^}]*)\}\s*from$/.exec(clause)?.[1]
  return names !== undefined && names.split(',').every(name => name.trim() === '' || /^type\s/.test(name.trim()))
}

interface Literal {
  readonly start: number
  readonly end: number
}

/** Blanks comments, strings, templates (not the expressions in them) and regular expressions; gives the places of plain strings. */
function blankLiterals(text: string): { readonly code: string; readonly strings: readonly Literal[] } {
  const out = text.split('')
  const strings: Literal[] = []
  const blank = (from: number, to: number): void => {
    for (let i = from; i < to; i++) if (out[i] !== '\n') out[i] = ' '
  }
  // One entry per open `${`: how many braces are open inside of it.
  const templates: number[] = []
  let last = ''
  let at = 0
  const template = (from: number): number => {
    let end = from
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1
    blank(from, Math.min(end, text.length))
    if (text[end] !== '$') return end + 1
    templates.push(0)
    return end + 2
  }
  while (at < text.length) {
    const char = text[at] ?? ''
    if (text.startsWith('//', at)) {
      const end = text.indexOf('\n', at)
      blank(at, end === -1 ? text.length : end)
      at = end === -1 ? text.length : end
      continue
    }
    if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2) + 2
      blank(at, end)
      at = end
      continue
    }
    if (char === "'" || char === '"') {
      let end = at + 1
      while (end < text.length && text[end] !== char && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1
      strings.push({ start: at, end: end + 1 })
      blank(at + 1, end)
      at = end + 1
      last = char
      continue
    }
    if (char === '`') {
      at = template(at + 1)
      last = '`'
      continue
    }
    if (char === '/' && startsRegExp(text, at, last)) {
      const end = endOfRegExp(text, at)
      blank(at + 1, end)
      at = end
      last = '/'
      continue
    }
    const open = templates.at(-1)
    if (open !== undefined && char === '{') templates[templates.length - 1] = open + 1
    if (open !== undefined && char === '}') {
      if (open === 0) {
        templates.pop()
        at = template(at + 1)
        last = '`'
        continue
      }
      templates[templates.length - 1] = open - 1
    }
    if (char.trim() !== '') last = char
    at++
  }
  return { code: out.join(''), strings }
}

/** A slash divides after a value and begins a regular expression elsewhere. */
function startsRegExp(text: string, at: number, last: string): boolean {
  if (last === '' || '(,=:[!&|?{};+-*%~^<>'.includes(last)) return true
  return /\b(?:return|typeof|case|in|of|do|else|void|await|yield)\s*$/.test(text.slice(Math.max(0, at - 12), at))
}

function endOfRegExp(text: string, start: number): number {
  let inClass = false
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at]
    if (char === '\n') return start + 1
    if (char === '\\') at++
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '/' && !inClass) return at + 1
  }
  return start + 1
}

function lineOf(text: string, index: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) line++
  return line
}
