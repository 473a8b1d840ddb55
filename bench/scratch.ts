/** Folders of a run, which do not outlive it, even when it is interrupted: brokers with gigabytes of data leave nothing behind. */
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Scratch {
  readonly path: string
  remove(): Promise<void>
}

/** A folder of its own, under the system's temporary one where no other is named. */
export async function scratchFolder(purpose: string, under = tmpdir()): Promise<Scratch> {
  const path = await mkdtemp(join(under, `bayou-bench-${purpose}-`))
  const removeWithUs = (): void => rmSync(path, { recursive: true, force: true })
  process.once('exit', removeWithUs)
  return {
    path,
    async remove() {
      process.removeListener('exit', removeWithUs)
      await rm(path, { recursive: true, force: true })
    },
  }
}
