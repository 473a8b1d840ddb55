/**
 * Tests of the librdkafka client for Node against a broker of ours.
 *
 *   node test/clients/librdkafka/run.ts
 *
 * Its binary is compiled once, into $BAYOU_CACHE (~/.cache/bayou): that takes a compiler, OpenSSL's headers, and a Node with its own headers beside it (`include/node`),
 * which is looked for on the PATH. The tests run on that Node, the broker on this one. Where no such Node is, this says so and ends well.
 */
import { execFileSync, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { removeStore, startTestBroker } from '../../support/broker.ts'
import { fast } from '../support/setup.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const cache = process.env['BAYOU_CACHE'] ?? join(homedir(), '.cache/bayou')
const folder = join(cache, 'librdkafka-node')

const prefix = nodeWithHeaders()
if (prefix === null) {
  console.log('No Node with its headers is on the PATH: going on without the librdkafka client.')
} else {
  build(prefix)
  process.exitCode = await run(join(prefix, 'bin/node'))
}

/** The prefix of the first Node on the PATH that has its headers beside it. */
function nodeWithHeaders(): string | null {
  const prefixes = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((entry) => join(entry, 'node'))
    .filter((node) => existsSync(node))
    .map((node) => dirname(dirname(realpathSync(node))))
  return prefixes.find((one) => existsSync(join(one, 'include/node/node_api.h'))) ?? null
}

/** Installs and compiles, unless the same has been done before. */
function build(nodePrefix: string): void {
  const node = join(nodePrefix, 'bin/node')
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' })
  const stamp = createHash('sha256').update(readFileSync(join(here, 'package-lock.json'))).update(version).digest('hex')
  const stampFile = join(folder, 'built')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) copyFileSync(join(here, name), join(folder, name))
  const log = `${folder}.log`
  console.log(`compiling the librdkafka client (once, two to five minutes), log: ${log}`)
  const output = openSync(log, 'w')
  // Linked dynamically it takes the libraries of the system; a static build downloads sources of its own.
  const env = { ...process.env, PATH: `${join(nodePrefix, 'bin')}${delimiter}${process.env['PATH'] ?? ''}`, CKJS_LINKING: 'dynamic', npm_config_nodedir: nodePrefix }
  const client = join(folder, 'node_modules/@confluentinc/kafka-javascript')
  const step = (cwd: string, command: string, ...args: string[]): void => void execFileSync(command, args, { cwd, env, stdio: ['ignore', output, output] })
  step(folder, 'npm', 'ci', '--ignore-scripts')
  // The library first: its own build would start as many compilers as there are files.
  step(client, node, 'util/configure')
  step(client, 'make', '-j2', '-C', 'deps/librdkafka', 'libs')
  step(client, join(folder, 'node_modules/.bin/node-pre-gyp'), 'install', '--build-from-source')
  writeFileSync(stampFile, stamp)
}

async function run(node: string): Promise<number> {
  let broker = await startTestBroker({ args: fast })
  const port = Number(broker.address.split(':').at(-1))
  const suite = fork(resolve(here, 'suite.mjs'), [], {
    execPath: node,
    execArgv: [],
    env: { ...process.env, BROKER: broker.address, CLIENT: join(folder, 'node_modules/') },
  })
  const exited = new Promise<number>((done) => suite.once('exit', (code) => done(code ?? 1)))
  suite.on('message', (message) => {
    if (message !== 'crash') return
    void (async () => {
      await broker.kill()
      broker = await startTestBroker({ store: broker.store, port, args: fast })
      suite.send('restarted')
    })()
  })
  const code = await exited
  const ended = await broker.stop()
  await removeStore(broker.store)
  return code === 0 && ended === 0 ? 0 : 1
}
