#!/usr/bin/env node
// Runs Bayou on the Node that it was made for, whatever Node this file is run with. Kept to what old versions understand.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const majorMin = 24
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const source = join(root, 'src', 'main.ts')
const built = join(root, 'dist', 'src', 'main.js')
// A checkout runs its sources; a package has none.
const main = existsSync(source) ? source : built

/**
 * How glibc gives out memory, which it reads when a process starts. By default each thread collects what it frees for itself, in pieces of 64 MB, and a broker that
 * flushes and merges for a quarter of an hour holds twice what it uses: one place for all threads, and what is large is mapped by itself and given back.
 */
const allocator = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '4194304' }
/** The young generation of a heap, MiB: see src/heap-flags.ts. */
const heapFlags = ['--max-semi-space-size=4', '--semi-space-growth-factor=1']
const allocatorIsSet = process.platform !== 'linux' || Object.keys(allocator).some(function (name) { return process.env[name] !== undefined })

if (Number(process.versions.node.split('.')[0]) >= majorMin) {
  if (!allocatorIsSet && typeof process.execve === 'function') {
    // The same process, begun again; this does not return.
    process.execve(process.execPath, [process.execPath].concat(heapFlags, process.execArgv, process.argv.slice(1)), Object.assign({}, process.env, allocator))
  }
  keepCompiledCode()
  void import(pathToFileURL(main).href)
} else {
  runOnPinnedNode()
}

/**
 * Compiled code is kept for the next start, and for the worker threads, which hear of it through the variable: a start takes half of the processor time, and the
 * compiler of TypeScript need not be loaded. Beside the packages, where only their owner writes; where nobody may write, nothing is kept.
 */
function keepCompiledCode() {
  if (process.env.NODE_COMPILE_CACHE !== undefined) return
  const cache = module.enableCompileCache(join(root, 'node_modules', '.cache', 'bayou'))
  if (cache.directory !== undefined) process.env.NODE_COMPILE_CACHE = cache.directory
}

function runOnPinnedNode() {
  const node = pinnedNode()
  if (node === null) {
    console.error('bayou needs Node ' + majorMin + ' or later; this is ' + process.version + '. Install it, or run npm install without --ignore-scripts, which brings it.')
    process.exit(1)
  }
  const env = allocatorIsSet ? process.env : Object.assign({}, process.env, allocator)
  const child = spawn(node, heapFlags.concat(fileURLToPath(import.meta.url), process.argv.slice(2)), { stdio: 'inherit', env })
  const forward = function (signal) {
    child.kill(signal)
  }
  // A terminal sends SIGINT to the child as well, which knows to take the two for one.
  process.on('SIGINT', forward)
  process.on('SIGTERM', forward)
  process.on('SIGHUP', forward)
  child.on('error', function (error) {
    console.error('bayou: ' + node + ' cannot be run: ' + error.message)
    process.exit(1)
  })
  child.on('exit', function (code, signal) {
    process.exit(signal === null ? code : 128 + constants.signals[signal])
  })
}

/** The binary of the npm package `node`, or null when it is not installed. */
function pinnedNode() {
  const require = createRequire(import.meta.url)
  for (const name of ['node/bin/node', 'node/bin/node.exe']) {
    try {
      return require.resolve(name)
    } catch {
      // The next name.
    }
  }
  return null
}
