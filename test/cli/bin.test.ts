import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const bin = fileURLToPath(new URL('../../bin/bayou.js', import.meta.url))
const run = promisify(execFile)

/** A Node of the machine that is too old to run the sources itself, if there is one. */
const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find(path => {
  if (!existsSync(path)) return false
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  const major = Number(/^v(\d+)/.exec(stdout)?.[1])
  return major >= 18 && major < 24
})

for (const [name, node] of [['this Node', process.execPath], ['an older Node', oldNode]] as const) {
  test(`the bin runs on ${name}`, { skip: node === undefined ? 'there is none here' : false }, async () => {
    const { stdout } = await run(node!, [bin, '--version'])
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
    await assert.rejects(run(node!, [bin, 'config', '--nmu-partitions', '1']), { code: 2 })
  })
}
