import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCli } from '../../src/cli/program.ts'
import type { LoadedConfig } from '../../src/config/load.ts'

async function run(...args: string[]): Promise<{ code: number; out: string; error: string; served: LoadedConfig | null }> {
  const result: { code: number; out: string; error: string; served: LoadedConfig | null } = { code: -1, out: '', error: '', served: null }
  result.code = await runCli(args, {
    environment: { BAYOU_NUM_PARTITIONS: '7' },
    out: text => void (result.out += text),
    error: text => void (result.error += text),
    serve: loaded => {
      result.served = loaded
      return Promise.resolve(0)
    },
  })
  return result
}

test('serve takes the settings from flags and environment', async () => {
  const { code, served } = await run('serve', '--store', 'memory:', '--log-retention-bytes', '-1', '--auto-create-topics-enable', '--delete-topic-enable', 'false')
  assert.equal(code, 0)
  assert.equal(served?.config.store, 'memory:')
  assert.equal(served?.config['num.partitions'], 7)
  assert.equal(served?.config['log.retention.bytes'], -1)
  assert.equal(served?.config['auto.create.topics.enable'], true)
  assert.equal(served?.config['delete.topic.enable'], false)
  assert.equal(served?.origins.store, '--store')
})

test('a wrong setting stops with exit code 2, in words and without a stack', async () => {
  const { code, error, served } = await run('serve', '--num-partitions', 'many', '--num-partitons', '8', '--unheard=1')
  assert.equal(code, 2)
  assert.equal(served, null)
  assert.deepEqual(error.trimEnd().split('\n'), [
    'bayou: unknown setting --num-partitons = "8" (from the command line): did you mean --num-partitions?',
    'bayou: unknown setting --unheard = "1" (from the command line): the nearest name is --node-id; bayou config lists all',
    'bayou: num.partitions = "many" (from --num-partitions): allowed is an integer from 1 to 100000',
  ])
})

test('config prints the table, or JSON', async () => {
  assert.match((await run('config')).out, /^NAME +VALUE +DEFAULT +ORIGIN +HELP\n/)
  const { code, out } = await run('config', '--json', '--num-partitions', '9')
  assert.equal(code, 0)
  assert.ok((JSON.parse(out) as { name: string; value: unknown }[]).some(({ name, value }) => name === 'num.partitions' && value === 9))
})

test('version and help are no errors, an unknown command is', async () => {
  const version = await run('--version')
  assert.deepEqual([version.code, /^\d+\.\d+\.\d+\n$/.test(version.out)], [0, true])
  const help = await run('serve', '--help')
  assert.equal(help.code, 0)
  assert.match(help.out, /--table-flush-interval-ms <value>/)
  assert.equal((await run('server')).code, 2)
})
