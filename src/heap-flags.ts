/**
 * How the runtime collects garbage. Almost all memory of a broker is bytes outside of the JavaScript heap: frames, the cache, files on their way.
 * By default V8 weighs what was allocated there since the last full collection against a limit that it derives from the small heap
 * alone, and marks the whole heap again for every 10 to 25 MB that are produced: a third of all CPU under load (docs/PERFORMANCE.md). Here
 * the limit is derived from both, and garbage may take a part of what is alive.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { stepBack } from '../storage/parquet/background-thread.ts'

const garbagePercentMin = 20
const garbagePercentMax = 100
/** Where less than this is alive several times over, a collection for every fifth of it would pause the broker for nothing. */
const garbageBytes = 64 * 1024 * 1024
const followMs = 1000
/** Name of the threads that mark the heap and compile, and their steps of nice(2) behind the thread that answers clients. */
const helperThread = 'V8Worker'
const helperSteps = 5

/** To be called before worker threads start: their heaps follow the same flags. Flags that this V8 does not know are ignored by it. */
export function tuneHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
  followHeap()
  setInterval(followHeap, followMs).unref()
  stepBackHelpers()
}

/**
 * A full collection marks the heap beside the program, in as many threads as there are. Where the processor is short they would take half of it
 * for a fifth of a second, and clients, the store and the flusher would feel each collection. Linux alone has priorities of threads.
 */
function stepBackHelpers(): void {
  const threads = process.platform === 'linux' ? readdirSync('/proc/self/task') : []
  for (const thread of threads) {
    try {
      if (readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').trim() === helperThread) stepBack(helperSteps, Number(thread))
    } catch {
      // It has ended meanwhile, or the system does not let it be touched: then it stays as it is, and only takes more than its share.
    }
  }
}

/** Lets garbage take as much as is alive, but not much more than `garbageBytes`, and always a fifth. */
function followHeap(): void {
  const { used_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics()
  const percent = Math.round((100 * garbageBytes) / (heapBytes + externalBytes))
  setFlagsFromString(`--heap-growing-percent=${Math.min(garbagePercentMax, Math.max(garbagePercentMin, percent))}`)
}

/**
 * Gives back what a start leaves behind: code that ran once, and what was read to compile it. To be called once, before clients are served; takes some 50 ms.
 * From then on a young generation grows with its load from one to the four megabytes that bin/bayou.js allows: with one, requests that wait for a PUT are copied
 * about twice as often; sixteen, as V8 would have it, are collected for as long and take 40 MB more. During the start it does not grow, since what is loaded stays.
 */
export function collectAfterStart(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort' }) => void
  setFlagsFromString('--no-expose-gc')
  collect({ type: 'major', flavor: 'last-resort' })
  setFlagsFromString('--semi-space-growth-factor=2')
}
