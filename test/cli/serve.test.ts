import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../bin/bayou.js', import.meta.url))

interface Line {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

class ServeProcess {
  readonly child: ChildProcess
  readonly lines: Line[] = []
  stderr = ''
  readonly #exited: Promise<number | null>
  #wake: (() => void)[] = []

  constructor(t: TestContext, ...flags: string[]) {
    this.child = spawn(process.execPath, [main, 'serve', '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', ...flags])
    t.after(() => this.child.kill('SIGKILL'))
    this.#exited = once(this.child, 'close').then(([code]) => {
      this.#changed()
      return code as number | null
    })
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    createInterface({ input: this.child.stdout! }).on('line', line => {
      this.lines.push(JSON.parse(line) as Line)
      this.#changed()
    })
  }

  /** The first log line with this message. */
  async line(message: string): Promise<Line> {
    for (;;) {
      const found = this.lines.find(({ msg }) => msg.startsWith(message))
      if (found !== undefined) return found
      if (this.child.exitCode !== null) throw new Error(`exited: ${this.stderr}${JSON.stringify(this.lines)}`)
      await new Promise<void>(resolve => this.#wake.push(resolve))
    }
  }

  exit(): Promise<number | null> {
    return this.#exited
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bayou-serve-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

test('one ready line says where; SIGTERM stops with exit code 0', async t => {
  const broker = new ServeProcess(t, '--store', await directory(t), '--node-id', '3')
  const ready = await broker.line('ready')
  assert.match(String(ready['kafka']), /^127\.0\.0\.1:[1-9]\d*$/)
  assert.equal(ready['advertised'], ready['kafka'])
  assert.equal(ready['nodeId'], 3)
  assert.equal(typeof ready['incarnation'], 'number')
  const response = await fetch(`http://${String(ready['http'])}/health/ready`)
  assert.equal(response.status, 200)
  const socket = connect({ host: '127.0.0.1', port: Number(String(ready['kafka']).split(':')[1]) })
  await once(socket, 'connect')
  broker.child.kill('SIGTERM')
  assert.equal(await broker.exit(), 0)
  assert.equal(broker.lines.filter(({ msg }) => msg === 'ready').length, 1)
  assert.equal(broker.lines.at(-1)?.msg, 'stopped')
  assert.equal(broker.stderr, '')
})

const linux = process.platform === 'linux' ? {} : { skip: 'threads have priorities of their own on Linux alone' }

test('threads that mark the heap step back behind the one that answers clients', linux, async t => {
  const broker = new ServeProcess(t, '--store', await directory(t))
  await broker.line('ready')
  const threads = `/proc/${broker.child.pid}/task`
  const priorities = new Map<string, number[]>()
  for (const thread of await readdir(threads)) {
    const name = (await readFile(join(threads, thread, 'comm'), 'latin1')).trim()
    // The 19th field; the second one, the name, may hold spaces (proc_pid_stat(5)).
    const fields = (await readFile(join(threads, thread, 'stat'), 'latin1')).split(') ')[1]!.split(' ')
    const key = Number(thread) === broker.child.pid ? 'main' : name
    priorities.set(key, [...(priorities.get(key) ?? []), Number(fields[16])])
  }
  const [main] = priorities.get('main')!
  const helpers = priorities.get('V8Worker') ?? []
  assert.ok(helpers.length > 0)
  assert.deepEqual(new Set(helpers), new Set([Math.min(19, main! + 5)]))
})

test('a port in use stops the start with one line, and the broker that has the port and the store lives on', async t => {
  const store = await directory(t)
  const first = new ServeProcess(t, '--store', store)
  const { kafka } = await first.line('ready')
  const second = new ServeProcess(t, '--store', store, '--listen', String(kafka))
  assert.equal(await second.exit(), 1)
  const last = second.lines.at(-1)
  assert.equal(last?.level, 'fatal')
  assert.match(last?.msg ?? '', new RegExp(`^${String(kafka)} is in use: .*--listen`))
  assert.equal(last?.['err'], undefined, 'a sentence, not a stack')
  first.child.kill('SIGTERM')
  assert.equal(await first.exit(), 0, 'the first was not fenced')
})

test('a second broker on the store takes over, and the first exits with code 3 at its next write', async t => {
  const store = await directory(t)
  const first = new ServeProcess(t, '--store', store)
  await first.line('ready')
  const second = new ServeProcess(t, '--store', store)
  await second.line('ready')
  // The first one notices when it writes; its own housekeeping or the journal tells it as well.
  assert.equal(await first.exit(), 3)
  assert.ok(first.lines.some(({ level, msg }) => level === 'fatal' && msg.startsWith('cannot go on')))
  second.child.kill('SIGTERM')
  assert.equal(await second.exit(), 0)
})

test('wrong settings and an unusable store are one line each', async t => {
  const settings = new ServeProcess(t, '--num-partitions', 'many')
  const store = new ServeProcess(t, '--store', '/dev/null/here')
  assert.equal(await settings.exit(), 2)
  assert.equal(settings.stderr, 'bayou: num.partitions = "many" (from --num-partitions): allowed is an integer from 1 to 100000\n')
  assert.equal(await store.exit(), 1)
  assert.match(store.lines.at(-1)?.msg ?? '', /^the store cannot be used: /)
})
