/** The command line: `bayou serve`, `bayou config`, `bayou --version`. Flags come from the declarations of the settings. */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { Command, CommanderError, Option } from 'commander'
import { configJson, configTable } from '../config/print.ts'
import { ConfigError, loadConfig } from '../config/load.ts'
import type { LoadedConfig } from '../config/load.ts'
import { flagName, settingNames, settingOf } from '../config/settings.ts'
import { exitCodes } from './exit-codes.ts'

/** What the command line may touch, so that tests can run it without a process. */
export interface CliHost {
  readonly environment: Readonly<Record<string, string | undefined>>
  out(text: string): void
  error(text: string): void
  /** Runs the broker until it stops; gives the exit code. */
  serve(loaded: LoadedConfig): Promise<number>
}

/** Parses `args` (without node and script), runs the command, and gives the exit code. */
export async function runCli(args: readonly string[], host: CliHost): Promise<number> {
  let exitCode: number = exitCodes.ok
  const withConfig = async (command: Command, run: (loaded: LoadedConfig) => number | Promise<number>): Promise<void> => {
    try {
      exitCode = await run(loadConfig({ flags: givenFlags(command), environment: host.environment }))
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      host.error(`${error.problems.map(problem => `bayou: ${problem.message}`).join('\n')}\n`)
      exitCode = exitCodes.badSettings
    }
  }

  const program = new Command('bayou')
    .description('A Kafka broker whose topics are Delta Lake tables on an object store.')
    .version(packageVersion(), '-v, --version', 'print the version')
    .exitOverride()
    .configureOutput({ writeOut: text => host.out(text), writeErr: text => host.error(text) })
  const serve = program.command('serve').description('run a broker until SIGTERM or SIGINT')
  addFlags(serve).action(() => withConfig(serve, loaded => host.serve(loaded)))
  const config = program.command('config').description('print every setting with its value, default, origin and help')
  config.addOption(new Option('--json', 'as JSON'))
  addFlags(config).action(({ json }: { json?: boolean }) =>
    withConfig(config, loaded => {
      host.out(json === true ? configJson(loaded) : configTable(loaded))
      return exitCodes.ok
    }),
  )
  program.addHelpText('after', exitCodeHelp)

  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Commander has printed help, the version, or what is wrong with the arguments.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.badSettings
  }
  return exitCode
}

const exitCodeHelp = `
Exit codes:
  0  stopped in an orderly way
  1  could not start, or failed
  2  wrong arguments or settings
  3  another broker took over the store`

function addFlags(command: Command): Command {
  for (const name of settingNames) {
    const setting = settingOf(name)
    // A bare flag says true.
    const value = setting.type === 'boolean' ? '[true|false]' : '<value>'
    const help = `${setting.doc} Allowed: ${setting.allowed}. Default: ${setting.format(setting.default) || 'none'}.`
    command.addOption(new Option(`${flagName(name)} ${value}`, help))
  }
  // Unknown flags are left to the settings, which name the nearest.
  return command.allowUnknownOption().allowExcessArguments()
}

/** The flags of settings, and what commander did not know. */
function givenFlags(command: Command): Record<string, string | boolean> {
  const flags: Record<string, string | boolean> = {}
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName())
    if (option.long !== '--json' && (typeof value === 'string' || typeof value === 'boolean')) flags[option.long!] = value
  }
  const rest = [...command.args]
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    const [flag, value] = splitOnce(argument, '=')
    flags[flag] = value ?? (argument.startsWith('-') && rest[0]?.startsWith('-') === false ? rest.shift()! : true)
  }
  return flags
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

export function packageVersion(): string {
  const path = findPackageJSON(import.meta.url)
  return path === undefined ? 'unknown' : (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
