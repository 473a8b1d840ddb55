/**
 * The Go clients, sarama and franz-go, against a broker of ours; each of them has one of its own.
 *
 *   node test/clients/go/run.ts [sarama|franz] [flags of go test, such as -run=Admin]
 *   TEST_KAFKA=host:port node test/clients/go/run.ts     the same tests against another broker; those that kill it skip themselves
 *
 * The tests ask for a crash or a restart over HTTP, at BAYOU_CONTROL. Where Go is missing, this says so and ends well, unless CI is set.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { removeStore, startTestBroker } from '../../support/broker.ts'
import { fast } from '../support/setup.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
// The compiler of the other client may still be at work when a broker starts.
const options = { args: [...fast, '--group-min-session-timeout-ms', '1000'], readyMs: 120_000 }
const clients = ['sarama', 'franz']
const named = process.argv.slice(2)
const wanted = clients.filter((client) => named.includes(client))
const flags = named.filter((name) => !clients.includes(name))

if (spawnSync('go', ['version']).status !== 0) {
  console.log('Go is not on the PATH: the tests of sarama and franz-go need it, 1.26 or later (https://go.dev/dl).')
  process.exitCode = process.env['CI'] === undefined ? 0 : 1
} else {
  for (const client of wanted.length > 0 ? wanted : clients) {
    if (await run(client) !== 0) process.exitCode = 1
  }
}

async function run(client: string): Promise<number> {
  const other = process.env['TEST_KAFKA']
  if (other !== undefined && other !== '') return await goTest(client, { BAYOU_BROKER: other })
  let broker = await startTestBroker(options)
  const { store } = broker
  const port = Number(broker.address.split(':').at(-1))
  const control = createServer((request, response) => {
    void (async () => {
      if (request.url === '/crash') await broker.kill()
      else await broker.stop()
      broker = await startTestBroker({ ...options, store, port })
    })().then(() => response.end(), (error: unknown) => response.writeHead(500, String(error)).end())
  })
  await new Promise<void>((done) => control.listen(0, '127.0.0.1', done))
  const code = await goTest(client, {
    BAYOU_BROKER: broker.address,
    BAYOU_CONTROL: `http://127.0.0.1:${(control.address() as AddressInfo).port}`,
  })
  control.close()
  const complaints = broker.log.filter(({ level }) => level === 'error' || level === 'fatal')
  for (const line of complaints) console.log(`the broker says: ${JSON.stringify(line)}`)
  const ended = await broker.stop()
  await removeStore(store)
  return code === 0 && ended === 0 && complaints.length === 0 ? 0 : 1
}

/** Gives the exit code. A test that passed once is run again all the same (`-count=1`): what is tested is the broker. */
async function goTest(client: string, env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn('go', ['test', '-count=1', '-timeout=10m', '-parallel=12', ...flags, `./${client}`], {
    cwd: here,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return await new Promise((done, failed) => child.once('error', failed).once('exit', (code) => done(code ?? 1)))
}
