/** From flags, environment and file to one checked `Config`, with the origin of every value. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { closest, distance } from 'fastest-levenshtein'
import type * as Yaml from 'yaml'
import { brokenRelations } from './relations.ts'
import { flagName, presets, settingNames, settingOf, variableName } from './settings.ts'
import type { Config, SettingName } from './settings.ts'

export interface ConfigSources {
  /** Values by flag, as the command line had them: `{'--num-partitions': '8'}`; a bare flag is `true`. */
  readonly flags: Readonly<Record<string, string | boolean>>
  /** Usually `process.env`; only variables that begin with BAYOU_ are looked at. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Reads the file of `config`; replaced in tests. */
  readonly readFile?: (path: string) => string
}

export interface LoadedConfig {
  readonly config: Config
  /** Where each value came from, in words: `default`, `profile low-cost`, `/etc/bayou.yaml`, `BAYOU_STORE`, `--store`. */
  readonly origins: Readonly<Record<SettingName, string>>
}

/** One thing that is wrong with the settings. `toString` of the error lists them all, one line each. */
export interface ConfigProblem {
  readonly setting: string
  readonly message: string
}

/** The settings are unusable; the start must stop and the message is for the operator. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[]
  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(problem => problem.message).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/**
 * Precedence: flag, environment, file, preset of `profile`, default. Throws ConfigError with everything that is wrong at once.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const problems: ConfigProblem[] = []
  const flags = fromFlags(sources.flags, problems)
  const environment = fromEnvironment(sources.environment, problems)
  const path = (flags.get('config') ?? environment.get('config'))?.raw
  const file = typeof path !== 'string' ? new Map<SettingName, Given>() : fromFile(path, sources.readFile ?? readText, problems)

  const values: Partial<Record<SettingName, unknown>> = {}
  const origins: Partial<Record<SettingName, string>> = {}
  const given = new Map<SettingName, Given>([...file, ...environment, ...flags])
  for (const name of settingNames) {
    const setting = settingOf(name)
    const value = given.get(name)
    values[name] = setting.default
    origins[name] = value?.origin ?? 'default'
    if (value === undefined) continue
    const parsed = setting.schema.safeParse(value.raw)
    if (parsed.success) values[name] = parsed.data
    else problems.push(impossible(name, value))
  }
  const profile = given.has('profile') ? (values['profile'] as Config['profile']) : undefined
  if (profile !== undefined) {
    for (const [name, value] of Object.entries(presets[profile]) as [SettingName, number][]) {
      if (given.has(name)) continue
      values[name] = value
      origins[name] = `profile ${profile}`
    }
  }
  const config = Object.freeze(values) as Config
  if (problems.length === 0) problems.push(...relationProblems(config, origins as Record<SettingName, string>))
  if (problems.length > 0) throw new ConfigError(problems)
  return { config, origins: origins as Record<SettingName, string> }
}

interface Given {
  readonly raw: unknown
  readonly origin: string
}

function fromFlags(flags: ConfigSources['flags'], problems: ConfigProblem[]): Map<SettingName, Given> {
  const given = new Map<SettingName, Given>()
  const names = new Map(settingNames.map(name => [flagName(name), name]))
  for (const [flag, raw] of Object.entries(flags)) {
    const name = names.get(flag)
    if (name !== undefined) given.set(name, { raw, origin: flag })
    else problems.push(unknown(flag, raw, 'the command line', [...names.keys()]))
  }
  return given
}

/** Variables of the project's own scripts and tests, which may be exported where a broker is started. */
const toolVariable = /^BAYOU_(CACHE|PYTHON|TEST_[A-Z0-9_]+|BENCH_[A-Z0-9_]+)$/
/** Kubernetes puts such variables into every pod when a Service has the name `bayou`; they are no settings. */
const serviceLink = /^BAYOU(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/

function fromEnvironment(environment: ConfigSources['environment'], problems: ConfigProblem[]): Map<SettingName, Given> {
  const given = new Map<SettingName, Given>()
  const names = new Map(settingNames.map(name => [variableName(name), name]))
  for (const [variable, raw] of Object.entries(environment)) {
    // An empty variable is how compose files and charts say "not set".
    if (!variable.startsWith('BAYOU_') || raw === undefined || raw === '') continue
    const name = names.get(variable)
    if (name !== undefined) given.set(name, { raw, origin: variable })
    else if (!serviceLink.test(variable) && !toolVariable.test(variable)) problems.push(unknown(variable, raw, 'the environment', [...names.keys()]))
  }
  return given
}

function fromFile(path: string, readFile: (path: string) => string, problems: ConfigProblem[]): Map<SettingName, Given> {
  const given = new Map<SettingName, Given>()
  const broken = (message: string): Map<SettingName, Given> => {
    problems.push({ setting: 'config', message: `config = ${show(path)}: ${message}` })
    return given
  }
  let content: string
  try {
    content = readFile(path)
  } catch (error) {
    return broken(`the file cannot be read: ${(error as Error).message}`)
  }
  // Loaded where there is a file: elsewhere its modules would only take memory.
  const { parseDocument } = createRequire(import.meta.url)('yaml') as typeof Yaml
  const document = parseDocument(content)
  const trouble = document.errors[0]
  if (trouble !== undefined) return broken(`the file is not YAML: ${trouble.message.trimEnd()}`)
  const root: unknown = document.toJS()
  if (root === null || root === undefined) return given
  if (typeof root !== 'object' || Array.isArray(root)) return broken('the file must hold a map of settings')
  for (const [name, raw] of flatten(root as Record<string, unknown>, '')) {
    if (!isSettingName(name)) problems.push(unknown(name, raw, path, settingNames))
    else if (name === 'config') broken('a file cannot name another file')
    else if (given.has(name)) broken(`${name} is there twice`)
    else given.set(name, { raw, origin: path })
  }
  return given
}

/** `{table: {flush: {bytes: 1}}}` and `{'table.flush': {bytes: 1}}` both give `table.flush.bytes`. */
function* flatten(map: Record<string, unknown>, prefix: string): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(map)) {
    const name = prefix + key
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) yield* flatten(value as Record<string, unknown>, `${name}.`)
    else yield [name, value]
  }
}

function unknown(name: string, raw: unknown, origin: string, names: readonly string[]): ConfigProblem {
  const nearest = closest(name, names)
  const sure = distance(name, nearest) <= Math.max(2, name.length / 3)
  const hint = sure ? `did you mean ${nearest}?` : `the nearest name is ${nearest}; bayou config lists all`
  return { setting: name, message: `unknown setting ${name} = ${show(raw)} (from ${origin}): ${hint}` }
}

function impossible(name: SettingName, { raw, origin }: Given): ConfigProblem {
  const setting = settingOf(name)
  const value = setting.secret === true ? '***' : show(raw)
  const hint = typeof raw === 'string' ? nearestWord(raw, setting.allowed) : ''
  return { setting: name, message: `${name} = ${value} (from ${origin}): allowed is ${setting.allowed}${hint}` }
}

/** Of "one of zstd, snappy, none", the word that was probably meant. */
function nearestWord(raw: string, allowed: string): string {
  if (!allowed.startsWith('one of ')) return ''
  const word = closest(raw, allowed.slice('one of '.length).split(', '))
  return distance(raw, word) <= 3 ? `; did you mean ${word}?` : ''
}

function relationProblems(config: Config, origins: Record<SettingName, string>): ConfigProblem[] {
  return brokenRelations(config).map(({ name, other, allowed }) => {
    const value = settingOf(name).format(config[name])
    const from = `${other} is from ${origins[other]}`
    return { setting: name, message: `${name} = ${show(value)} (from ${origins[name]}): allowed is ${allowed}; ${from}` }
  })
}

function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settingsByName, name)
}

const settingsByName = Object.fromEntries(settingNames.map(name => [name, true]))

function show(raw: unknown): string {
  return typeof raw === 'string' ? JSON.stringify(raw) : (JSON.stringify(raw) ?? String(raw))
}

function readText(path: string): string {
  return readFileSync(path, 'utf8')
}
