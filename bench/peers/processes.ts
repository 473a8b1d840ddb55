/** Child processes of the bench: they end with it, and their last words are kept for the error. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { connect } from 'node:net'

const outputCharsMax = 4000

export interface PeerProcess {
  readonly child: ChildProcess
  /** The end of what it printed. */
  output(): string
  /** SIGTERM, and SIGKILL ten seconds later. */
  readonly stop: () => Promise<void>
  readonly kill: () => Promise<void>
}

export function startProcess(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): PeerProcess {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const keep = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-outputCharsMax))
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', (error) => {
      output += String(error)
      resolve()
    })
  })
  const stopWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', stopWithUs)
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    process.removeListener('exit', stopWithUs)
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    const force = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await exited
    clearTimeout(force)
  }
  return { child, output: () => output, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
}

/** Runs a program to its end and gives its standard output. Rejects with what it said when it fails or takes too long. */
export async function runToEnd(command: string, args: readonly string[], options: { readonly timeoutMs: number; readonly env?: Readonly<Record<string, string>> }): Promise<string> {
  const child = spawn(command, args, { env: { ...process.env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const stopWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', stopWithUs)
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs)
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-outputCharsMax)))
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    if (code !== 0) throw new Error(`${command} ${args.join(' ').slice(0, 300)} ended with ${code}:\n${errors}${output.slice(-1000)}`)
    return output
  } finally {
    clearTimeout(timer)
    process.removeListener('exit', stopWithUs)
  }
}

/** Waits until somebody listens. Rejects when the process ends before that, or after the time. */
export async function listening(address: string, peer: PeerProcess, timeoutMs: number): Promise<void> {
  const [host, port] = address.split(':') as [string, string]
  const end = performance.now() + timeoutMs
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(Number(port), host, () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (open) return
    const gone = peer.child.exitCode !== null || peer.child.signalCode !== null || peer.child.pid === undefined
    if (gone || performance.now() > end) throw new Error(`nobody listens at ${address}:\n${peer.output()}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
