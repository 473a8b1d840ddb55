/** What an operator gets wrong: each is one line that says what to do, an exit code that is documented, and no long wait. */
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile, chmod } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { crc32c } from '../../protocol/records/crc32c.ts'
import { startTestBroker } from '../support/broker.ts'
import { failedStart } from './support/failed-start.ts'
import type { StartOptions } from './support/failed-start.ts'

const NOBODY = 65_534
let root: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bayou-start-'))
  await chmod(root, 0o755)
})
after(() => rm(root, { recursive: true, force: true }))

/** One complaint of one line that matches, this exit code, and within the time. */
async function refuses(args: readonly string[], code: number, expected: RegExp, options: StartOptions & { withinMs?: number } = {}): Promise<void> {
  const start = await failedStart(args, options)
  assert.equal(start.complaints.length, 1, `one line, not ${JSON.stringify(start.complaints)}`)
  assert.match(start.complaints[0]!, expected)
  assert.doesNotMatch(start.complaints[0]!, /\n|\.\.|node:internal/)
  assert.equal(start.code, code)
  assert.ok(start.millis < (options.withinMs ?? 15_000), `took ${Math.round(start.millis)} ms`)
}

describe('start-up errors', { concurrency: 3 }, () => {
  test('settings: unknown names, impossible values, unknown profiles', async () => {
    await refuses(['--tabel-flush-interval-ms', '5'], 2, /unknown setting --tabel-flush-interval-ms.*did you mean --table-flush-interval-ms\?/)
    await refuses(['--profile', 'low-latencyy'], 2, /profile = "low-latencyy" \(from --profile\): allowed is one of low-latency, low-cost/)
    await refuses([], 2, /table\.flush\.interval\.ms = "soon" \(from BAYOU_TABLE_FLUSH_INTERVAL_MS\)/, { env: { BAYOU_TABLE_FLUSH_INTERVAL_MS: 'soon' } })
  })

  test('a port in use', async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    t.after(() => server.close())
    await new Promise((done) => server.once('listening', done))
    const { port } = server.address() as AddressInfo
    await refuses(['--store', 'memory:', '--listen', `127.0.0.1:${port}`], 1, /127\.0\.0\.1:\d+ is in use: .*--listen/)
    await refuses(['--store', 'memory:', '--http', `127.0.0.1:${port}`], 1, /127\.0\.0\.1:\d+ is in use: .*--http/)
  })

  test('a store path that is a file, or below one', async () => {
    const file = join(root, 'file')
    await writeFile(file, 'x')
    await refuses(['--store', file], 1, /the store cannot be used: .*file is a file, and the store needs a folder: choose another path/)
    await refuses(['--store', join(file, 'below')], 1, /file is a file/)
  })

  test('a store where the system lets nobody make folders', async () => {
    await refuses(['--store', '/proc/bayou'], 1, /no folders can be created in \/proc: choose another path/)
  })

  test('a store without permission', { skip: process.getuid?.() !== 0 && 'needs to change the user' }, async () => {
    const folder = join(root, 'denied')
    await mkdir(folder, { mode: 0o755 })
    await refuses(['--store', join(folder, 'data')], 1, /EACCES.*Check the owner and the permissions of the directory/, { uid: NOBODY })
    // The folder is there, and nothing may be written.
    await mkdir(join(folder, '.tmp'))
    await refuses(['--store', folder], 1, /EACCES.*Check the owner and the permissions of the directory/, { uid: NOBODY })
  })

  test('an S3 store that is not there, within a bound', async (t) => {
    const credentials = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' }
    const silent = createServer(() => undefined).listen(0, '127.0.0.1')
    t.after(() => silent.close())
    await new Promise((done) => silent.once('listening', done))
    const { port } = silent.address() as AddressInfo
    await refuses(['--store', 's3://bucket/x'], 1, /s3:\/\/bucket\/x\/ at http:\/\/127\.0\.0\.1:1 .*ECONNREFUSED.*Check that it runs and that AWS_ENDPOINT_URL/, {
      env: { ...credentials, AWS_ENDPOINT_URL: 'http://127.0.0.1:1' },
    })
    await refuses(['--store', 's3://bucket/x', '--store-request-timeout-ms', '1500'], 1, /no answer within 1500 ms\. Check that it runs and can be reached/, {
      env: { ...credentials, AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` },
      withinMs: 30_000,
    })
    await refuses(['--store', 's3://bucket/x'], 1, /no credentials for the store \(set AWS_ACCESS_KEY_ID/, { env: { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' } })
  })

  test('damage in the store: the journal, checkpoints, and formats of a later release', async () => {
    const good = join(root, 'good')
    const broker = await startTestBroker({ store: good })
    assert.equal(await broker.stop(), 0)
    const journal = join('meta', 'journal', (await readdir(join(good, 'meta', 'journal')))[0]!)
    const checkpoints = join('lanes', '0', '1', 'checkpoints')
    const checkpoint = join(checkpoints, (await readdir(join(good, checkpoints)))[0]!)
    const damaged = async (name: string, file: string, change: (bytes: Buffer) => Buffer): Promise<string[]> => {
      const store = join(root, name)
      await cp(good, store, { recursive: true })
      await writeFile(join(store, file), change(await readFile(join(store, file))))
      return ['--store', store]
    }
    await refuses(await damaged('torn-journal', journal, () => Buffer.alloc(0)), 1, /meta\/journal\/0+1\.json is not JSON: it was damaged, restore it from a copy/)
    const newer = (bytes: Buffer): Buffer => Buffer.from(bytes.toString().replace('"v":1', '"v":99'))
    await refuses(await damaged('new-journal', journal, newer), 1, /journal entry 1 has format 99, this release reads format 1: use a newer release/)
    const torn = (bytes: Buffer): Buffer => bytes.subarray(0, 40)
    await refuses(await damaged('torn-checkpoint', checkpoint, torn), 1, /lanes\/0\/1\/checkpoints\/0+ is damaged .*restore it from a copy/)
    const later = (bytes: Buffer): Buffer => {
      bytes.writeInt16BE(2, 8)
      bytes.writeUInt32BE(crc32c(bytes.subarray(0, -4)), bytes.length - 4)
      return bytes
    }
    await refuses(await damaged('new-checkpoint', checkpoint, later), 1, /lanes\/0\/1\/checkpoints\/0+ has format version 2; known is 1: use a newer release/)
  })
})
