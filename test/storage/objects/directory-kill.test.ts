import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { openDirectoryStore } from '../../../storage/objects/directory-store.ts'
import { testEnv } from '../../support/env.ts'

it('kill -9 of writers: every acknowledged object is there, and every object is whole', async () => {
  const root = await mkdtemp(join(tmpdir(), 'bayou-kill-'))
  try {
    const acknowledged = new Set<string>()
    for (let round = 0; round < 4; round++) {
      for (const key of await writeUntilKilled(root, `r${round}`, 40 + round * 35)) acknowledged.add(key)
    }
    assert.ok(acknowledged.size > 100, `only ${acknowledged.size} objects`)
    const store = await openDirectoryStore(root, testEnv())
    const there = await store.list('', { limit: 1_000_000 })
    const keys = new Set(there.map((object) => object.key))
    for (const key of acknowledged) assert.ok(keys.has(key), `${key} was acknowledged and is gone`)
    for (const { key, bytes } of there) {
      const object = await store.get(key)
      assert.ok(object !== null && object.byteLength === bytes)
      if (key.startsWith('gone/')) continue
      const hash = createHash('sha256').update(object.subarray(32)).digest()
      assert.ok(hash.equals(object.subarray(0, 32)), `${key} is torn`)
    }
    // What the dead left in the temporary folder is neither listed now nor kept for ever.
    const later = { ...testEnv(), clock: { ...testEnv().clock, now: () => Date.now() + 3_600_000 } }
    await openDirectoryStore(root, later)
    assert.deepEqual(await readdir(join(root, '.tmp')), [])
  } finally {
    await rm(root, { recursive: true })
  }
})

async function writeUntilKilled(root: string, id: string, acknowledgements: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'directory-writer.ts'), root, id], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    if (output.split('\n').length > acknowledgements) child.kill('SIGKILL')
  })
  await new Promise((done) => child.once('close', done))
  // The last line may be cut.
  return output.split('\n').slice(0, -1)
}
