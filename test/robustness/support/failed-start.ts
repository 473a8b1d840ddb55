/** Runs `bayou serve` where it cannot start, and gives what an operator sees. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../../bin/bayou.js', import.meta.url))

export interface FailedStart {
  readonly code: number | null
  /** Log lines of level error and above, and what was written to standard error. */
  readonly complaints: readonly string[]
  readonly millis: number
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Runs as this user. */
  readonly uid?: number
  /** Kills it then: the start has hung. Default 20,000. */
  readonly timeoutMs?: number
}

export async function failedStart(args: readonly string[], options: StartOptions = {}): Promise<FailedStart> {
  const startedMs = performance.now()
  const common = ['--listen', '127.0.0.1:0', '--http', 'off', '--log-format', 'json']
  const child = spawn(process.execPath, [main, 'serve', ...common, ...args], {
    env: { PATH: process.env['PATH'] ?? '', AWS_EC2_METADATA_DISABLED: 'true', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  })
  let out = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    // It started after all: the test fails by the exit code.
    if (out.includes('"msg":"ready"')) child.kill('SIGTERM')
  })
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 20_000)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  const logged = lines(out)
    .map((line) => JSON.parse(line) as { level: string; msg: string; err?: { stack?: string } })
    .filter(({ level }) => level === 'error' || level === 'fatal')
    .map(({ msg, err }) => (err === undefined ? msg : `${msg}\n${err.stack ?? ''}`))
  return { code, complaints: [...logged, ...lines(errors)], millis: performance.now() - startedMs }
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
