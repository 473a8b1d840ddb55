/** The directory store on a disk that is full, read-only, or gone. Mounts a small tmpfs, for which it needs to be root. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readSegmentIndex } from '../../../storage/lane/segment.ts'
import { eventually } from '../../support/broker.ts'
import { readiness } from '../support/process-watch.ts'
import { failedStart } from '../support/failed-start.ts'
import { complaints, portOf, stopAll, verifyAll } from './scenario.ts'
import type { Scenario, World } from './scenario.ts'
import { sleep } from '../support/toxic-proxy.ts'

/** A disk of a few MiB; null where nothing may be mounted. */
async function smallDisk(world: World, mebibytes: number): Promise<string | null> {
  const folder = await world.folder()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    world.note('skipped: nothing can be mounted here')
    return null
  }
  world.after(() => void execFileSync('umount', ['-l', folder]))
  return folder
}

async function fill(disk: string): Promise<void> {
  const { bavail, bsize } = await statfs(disk)
  // The broker writes at the same time: the last pages are taken one by one.
  await writeFile(join(disk, 'filler'), Buffer.alloc(Math.max(0, bavail * bsize - 512 * 1024))).catch(() => undefined)
  for (let i = 0; i < 160; i++) await writeFile(join(disk, `filler-${i}`), Buffer.alloc(4096)).catch(() => undefined)
}

async function free(disk: string): Promise<void> {
  for (const name of await readdir(disk)) if (name.startsWith('filler')) await rm(join(disk, name))
}

/** Every object below `lanes/` is whole. Gives how many there are. */
async function checkSegments(store: string): Promise<number> {
  let count = 0
  for (const entry of await readdir(join(store, 'lanes'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.parentPath.endsWith('checkpoints')) continue
    const bytes = await readFile(join(entry.parentPath, entry.name))
    const index = readSegmentIndex(bytes)
    if (index.kind === 'segment') assert.equal(index.objectBytes, bytes.length, `${entry.parentPath}/${entry.name} is torn`)
    count++
  }
  return count
}

export const disk: readonly Scenario[] = [
  {
    name: 'disk: full, freed, killed while full, and full at start',
    async run(world) {
      const folder = await smallDisk(world, 48)
      if (folder === null) return
      const store = join(folder, 'data')
      const broker = await world.broker({ store })
      let address = broker.address
      const producers = await world.load(() => [address], 'full', 2, { timeoutMs: 1500, pauseMs: 2 })
      await eventually('the load runs', () => producers.every(({ acknowledged }) => acknowledged.length > 20))
      await fill(folder)
      await eventually('producers are told to try again', () => producers.every(({ troubles }) => troubles.has('REQUEST_TIMED_OUT')), 20_000)
      await eventually('unready', async () => (await readiness(broker.http)) === 503, 20_000)
      const said = complaints(broker)
      world.note(`said: ${[...new Set(said)].join(' | ')}`)
      const full = broker.log.find(({ msg }) => String(msg).includes('did not take a lane segment'))
      assert.match(JSON.stringify(full), /ENOSPC|no space left/, 'the log says that the disk is full')
      assert.ok(said.length < 15, `${said.length} complaints in a few seconds are too many`)
      await free(folder)
      const before = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('goes on when there is space', () => producers.every(({ acknowledged }, i) => acknowledged.length > before[i]! + 20), 30_000)
      await eventually('ready again', async () => (await readiness(broker.http)) === 200, 5000)

      await fill(folder)
      await sleep(500)
      await broker.kill()
      world.note(`${await checkSegments(store)} lane objects after kill -9 on a full disk, all whole`)
      const start = await failedStart(['--store', store])
      assert.equal(start.code, 1)
      assert.equal(start.complaints.length, 1, start.complaints.join('\n'))
      assert.match(start.complaints[0]!, /ENOSPC.*Free some space/)
      await free(folder)
      const again = await world.broker({ store, port: portOf(address) })
      address = again.address
      const reached = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('goes on after the restart', () => producers.every(({ acknowledged }, i) => acknowledged.length > reached[i]! + 20), 30_000)
      await stopAll(producers)
      for (const producer of producers) world.note(producer.summary())
      await verifyAll(again.address, producers)
      assert.equal(await again.stop(), 0)
      const cold = await world.broker({ store })
      await verifyAll(cold.address, producers)
      assert.equal(await cold.stop(), 0)
    },
  },
  {
    name: 'disk: becomes read-only, and writable again',
    async run(world) {
      const folder = await smallDisk(world, 48)
      if (folder === null) return
      const store = join(folder, 'data')
      const broker = await world.broker({ store })
      const producers = await world.load([broker.address], 'readonly', 2, { timeoutMs: 1500, pauseMs: 2 })
      await eventually('the load runs', () => producers.every(({ acknowledged }) => acknowledged.length > 20))
      // Files that are open for writing delay it.
      await eventually('read-only', () => {
        try {
          execFileSync('mount', ['-o', 'remount,ro', folder], { stdio: 'ignore' })
          return true
        } catch {
          return false
        }
      })
      await eventually('producers are told to try again', () => producers.every(({ troubles }) => troubles.has('REQUEST_TIMED_OUT')), 20_000)
      const line = broker.log.find(({ msg }) => String(msg).includes('did not take a lane segment'))
      assert.match(JSON.stringify(line), /EROFS|read-only/)
      const start = await failedStart(['--store', store])
      assert.equal(start.code, 1)
      assert.match(start.complaints.join('\n'), /^the store cannot be used: .*EROFS.*Check the owner and the permissions/)
      execFileSync('mount', ['-o', 'remount,rw', folder])
      const before = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('goes on', () => producers.every(({ acknowledged }, i) => acknowledged.length > before[i]! + 20), 30_000)
      await stopAll(producers)
      await verifyAll(broker.address, producers)
      assert.equal(await broker.stop(), 0)
    },
  },
  {
    name: 'disk: unmounted under a running broker, and mounted again',
    async run(world) {
      const folder = await smallDisk(world, 48)
      if (folder === null) return
      const mountPoint = await world.folder()
      execFileSync('mount', ['--bind', folder, mountPoint])
      world.after(() => {
        try {
          execFileSync('umount', ['-l', mountPoint], { stdio: 'ignore' })
        } catch {
          // It is unmounted.
        }
      })
      const broker = await world.broker({ store: mountPoint })
      const producers = await world.load([broker.address], 'unmounted', 2, { timeoutMs: 1500, pauseMs: 2 })
      await eventually('the load runs', () => producers.every(({ acknowledged }) => acknowledged.length > 20))
      execFileSync('umount', ['-l', mountPoint])
      await eventually('producers are told to try again', () => producers.every(({ troubles }) => troubles.has('REQUEST_TIMED_OUT')), 20_000)
      assert.deepEqual(await readdir(mountPoint), [], 'nothing is written into the empty mount point')
      const line = broker.log.find(({ msg }) => String(msg).includes('did not take a lane segment'))
      assert.match(JSON.stringify(line), /was removed or unmounted while it was in use/)
      execFileSync('mount', ['--bind', folder, mountPoint])
      const before = producers.map(({ acknowledged }) => acknowledged.length)
      await eventually('goes on', () => producers.every(({ acknowledged }, i) => acknowledged.length > before[i]! + 20), 30_000)
      await stopAll(producers)
      await verifyAll(broker.address, producers)
      assert.equal(await broker.stop(), 0)
    },
  },
]
