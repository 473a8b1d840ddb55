/** Child process of `directory-kill.test.ts`: writes objects without end and prints a line for each that is durable. */
import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { openDirectoryStore } from '../../../storage/objects/directory-store.ts'
import { testEnv } from '../../support/env.ts'

const [root, id] = process.argv.slice(2) as [string, string]
const store = await openDirectoryStore(root, testEnv())

async function write(worker: number): Promise<never> {
  for (let i = 0; ; i++) {
    // The body says what it must hash to, so that a torn object betrays itself.
    const filling = Buffer.alloc(1 + ((i * 7919 + worker * 104_729) % 200_000), `${id}/${worker}/${i} `)
    const hash = createHash('sha256').update(filling).digest()
    const key = `${worker}/${Math.floor(i / 10)}/${id}-${i}`
    if (i % 3 === 0) {
      const plain = `put/${worker}`
      await store.put(plain, [hash, filling])
      writeSync(1, `${plain}\n`)
    }
    const outcome = await store.putIfAbsent(key, [hash, filling])
    if (outcome.kind === 'created') writeSync(1, `${key}\n`)
    if (i % 5 === 4) {
      await store.putIfAbsent(`gone/${worker}/${id}-${i}`, [hash])
      await store.delete([`gone/${worker}/${id}-${i}`])
    }
  }
}

await Promise.all([0, 1, 2, 3].map(write))
